#include "agent/share_hold.h"

#include "agent/share_link.h"
#include "agent/share_pool.h"

#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <string.h>
#include <unistd.h>

struct share_hold {
	atomic_flag busy; /* its keys are looked at: the end of the process may come on another thread */
	bool used;
	bool stopped;
	bool has_left, has_current;
	pid_t owner;    /* who counts what it holds */
	unsigned forks; /* of this process before it was made: what a later fork may go on with is not over */
	struct share_item current;
	struct share_item left;
};

static struct share_pool pool = SHARE_POOL_OF(struct share_hold);
static atomic_uint forks;

_Static_assert(SHARE_HOLD_MAX == SHARE_POOL_MAX, "as many as there is room for");

static void begin(struct share_hold *hold)
{
	hold->owner = getpid();
	hold->forks = atomic_load(&forks);
	hold->stopped = false;
}

struct share_hold *share_hold_new(void)
{
	struct share_hold *hold = share_pool_take(&pool);
	if (!hold) {
		share_link_count(SHARE_COUNT_UNHELD, 1);
		return NULL;
	}
	begin(hold);
	atomic_flag_clear(&hold->busy);
	hold->used = true;
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

/* The connection is no more, here. */
static void finish(struct share_hold *hold)
{
	if (is_over(hold)) {
		give(hold, &hold->has_left, &hold->left);
		give(hold, &hold->has_current, &hold->current);
	} else {
		lose(hold);
	}
}

void share_hold_anew(struct share_hold *hold)
{
	if (!enter(hold))
		return;
	finish(hold);
	begin(hold);
	leave(hold);
}

void share_hold_free(struct share_hold *hold)
{
	int kept = errno;
	/* Whoever is at it is the end of the process, which wipes it. */
	if (!hold || !enter(hold))
		return;
	finish(hold);
	share_pool_put(&pool, hold);
	errno = kept;
}

/* The process. */

/*
 * Put where the shipper finds it when the process is gone, and no bell is rung: other threads may still read. No lock:
 * whoever has it may never give it back. What does not fit any more is lost, and still counted as held.
 */
static void leave_behind(void *thing)
{
	struct share_hold *hold = thing;
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
	share_pool_each(&pool, leave_behind);
}

static void before_fork(void)
{
	atomic_fetch_add(&forks, 1);
}

void share_hold_begin(void)
{
	pthread_atfork(before_fork, NULL, NULL);
}
