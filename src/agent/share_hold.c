#include "agent/share_hold.h"

#include "agent/share_link.h"

#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#define CHUNK  64 /* connections */
#define CHUNKS (SHARE_HOLD_MAX / CHUNK)

struct share_hold {
	struct share_hold *next; /* among the free ones */
	atomic_flag busy;        /* its keys are looked at: the end of the process may come on another thread */
	bool used;
	bool stopped;
	bool has_left, has_current;
	pid_t owner;    /* who counts what it holds */
	unsigned forks; /* of this process before it was made: what a later fork may go on with is not over */
	struct share_item current;
	struct share_item left;
};

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER; /* of what follows */
static struct share_hold *chunks[CHUNKS];
static size_t chunk_count;
static struct share_hold *unused;
static atomic_uint forks;

/* Memory. */

static void protect(void *memory, size_t size)
{
	(void)madvise(memory, size, MADV_DONTDUMP);
	(void)mlock(memory, size);
}

/* Under `lock`. */
static bool grow(void)
{
	size_t size = CHUNK * sizeof(struct share_hold);
	void *memory = chunk_count < CHUNKS
	                       ? mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0)
	                       : MAP_FAILED;
	if (memory == MAP_FAILED)
		return false;
	protect(memory, size);
	struct share_hold *chunk = chunks[chunk_count++] = memory;
	for (size_t i = 0; i < CHUNK; i++) {
		chunk[i].next = unused;
		unused = &chunk[i];
	}
	return true;
}

struct share_hold *share_hold_new(void)
{
	int kept = errno;
	pthread_mutex_lock(&lock);
	struct share_hold *hold = unused || grow() ? unused : NULL;
	if (hold) {
		unused = hold->next;
		*hold = (struct share_hold){.used = true, .owner = getpid(), .forks = atomic_load(&forks)};
		atomic_flag_clear(&hold->busy);
	}
	pthread_mutex_unlock(&lock);
	if (!hold)
		share_link_count(SHARE_COUNT_UNHELD, 1);
	errno = kept;
	return hold;
}

/* Keys. */

static bool enter(struct share_hold *hold)
{
	return !atomic_flag_test_and_set(&hold->busy);
}

static void leave(struct share_hold *hold)
{
	atomic_flag_clear(&hold->busy);
}

/* What a parent holds it counts itself. */
static void count(const struct share_hold *hold, int64_t more)
{
	if (hold->owner == getpid())
		share_link_count(SHARE_COUNT_HELD, more);
}

static void drop(struct share_hold *hold, bool *has, struct share_item *item)
{
	if (*has)
		count(hold, -1);
	*has = false;
	share_item_wipe(item);
}

static void give(struct share_hold *hold, bool *has, struct share_item *item)
{
	if (*has && !hold->stopped)
		(void)!share_link_give(item, 1, false);
	drop(hold, has, item);
}

void share_hold_key(struct share_hold *hold, const struct share_item *item)
{
	if (hold->stopped || !enter(hold))
		return;
	/* What was left before the last change of key was left for good. */
	give(hold, &hold->has_left, &hold->left);
	if (hold->has_current) {
		hold->left = hold->current;
		hold->has_left = true;
	}
	hold->current = *item;
	hold->has_current = true;
	count(hold, 1);
	leave(hold);
}

void share_hold_release(struct share_hold *hold)
{
	if (!hold->has_left || !enter(hold))
		return;
	give(hold, &hold->has_left, &hold->left);
	leave(hold);
}

void share_hold_close(struct share_hold *hold)
{
	if ((!hold->has_left && !hold->has_current) || !enter(hold))
		return;
	give(hold, &hold->has_left, &hold->left);
	give(hold, &hold->has_current, &hold->current);
	leave(hold);
}

void share_hold_stop(struct share_hold *hold)
{
	if (!enter(hold))
		return;
	hold->stopped = true;
	drop(hold, &hold->has_left, &hold->left);
	drop(hold, &hold->has_current, &hold->current);
	leave(hold);
}

/*
 * A connection from before a fork has two ends here, and which of the processes reads is not known: the other one's read
 * side may still be in this epoch.
 */
static bool is_over(const struct share_hold *hold)
{
	return hold->forks == atomic_load(&forks) && hold->owner == getpid();
}

static void lose(struct share_hold *hold)
{
	if (hold->has_current && hold->owner == getpid())
		share_link_count(SHARE_COUNT_LOST, 1);
	give(hold, &hold->has_left, &hold->left);
	drop(hold, &hold->has_current, &hold->current);
}

void share_hold_free(struct share_hold *hold)
{
	int kept = errno;
	/* Whoever is at it is the end of the process, which wipes it. */
	if (!hold || !enter(hold))
		return;
	if (is_over(hold)) {
		give(hold, &hold->has_left, &hold->left);
		give(hold, &hold->has_current, &hold->current);
	} else {
		lose(hold);
	}
	explicit_bzero(hold, sizeof(*hold));
	pthread_mutex_lock(&lock);
	hold->next = unused;
	unused = hold;
	pthread_mutex_unlock(&lock);
	errno = kept;
}

/* The process. */

/*
 * Put where the shipper finds it when the process is gone, and no bell is rung: other threads may still read. No lock:
 * whoever has it may never give it back. What does not fit any more is lost, and still counted as held.
 */
static void leave_behind(struct share_hold *hold)
{
	if (!hold->used || !enter(hold))
		return;
	give(hold, &hold->has_left, &hold->left);
	if (hold->has_current && is_over(hold) && share_link_leave(&hold->current))
		drop(hold, &hold->has_current, &hold->current);
	share_item_wipe(&hold->current);
	/* It stays busy: nothing comes after the end. */
}

void share_hold_end(void)
{
	for (size_t i = 0; i < chunk_count; i++) {
		for (size_t j = 0; j < CHUNK; j++)
			leave_behind(&chunks[i][j]);
	}
}

static void before_fork(void)
{
	atomic_fetch_add(&forks, 1);
}

/* Locked memory is not inherited. */
static void forked_child(void)
{
	int kept = errno;
	lock = (pthread_mutex_t)PTHREAD_MUTEX_INITIALIZER;
	for (size_t i = 0; i < chunk_count; i++)
		protect(chunks[i], CHUNK * sizeof(struct share_hold));
	errno = kept;
}

void share_hold_begin(void)
{
	pthread_atfork(before_fork, NULL, forked_child);
}
