#include "keys/keyring_wait.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <unistd.h>

#define BUCKETS_FIRST 64

/* Waits by the hash of their id, chained; all inboxes of a ring share the table, and its lock guards them too. */
struct keyring_waits {
	pthread_mutex_t lock;
	struct keyring_wait **buckets;
	size_t bucket_count; /* a power of two */
	atomic_size_t waiting;
	uint64_t told;
};

struct keyring_inbox {
	struct keyring_waits *waits;
	int wake_fd;
	struct keyring_wait *all;                       /* that wait, by next and prev */
	struct keyring_wait *told_oldest, *told_newest; /* likewise */
};

struct keyring_waits *keyring_waits_new(void)
{
	struct keyring_waits *waits = calloc(1, sizeof(*waits));
	if (!waits)
		return NULL;
	waits->bucket_count = BUCKETS_FIRST;
	waits->buckets = calloc(BUCKETS_FIRST, sizeof(struct keyring_wait *));
	if (!waits->buckets || pthread_mutex_init(&waits->lock, NULL) != 0) {
		free(waits->buckets);
		free(waits);
		return NULL;
	}
	return waits;
}

void keyring_waits_free(struct keyring_waits *waits)
{
	if (!waits)
		return;
	pthread_mutex_destroy(&waits->lock);
	free(waits->buckets);
	free(waits);
}

static struct keyring_wait **bucket_of(const struct keyring_waits *waits, uint64_t hash)
{
	return &waits->buckets[hash & (waits->bucket_count - 1)];
}

/* Where memory is refused the old table still serves. */
static void grow(struct keyring_waits *waits)
{
	size_t old_count = waits->bucket_count;
	struct keyring_wait **old = waits->buckets;
	struct keyring_wait **wider = calloc(old_count * 2, sizeof(struct keyring_wait *));
	if (!wider)
		return;
	waits->buckets = wider;
	waits->bucket_count = old_count * 2;
	for (size_t i = 0; i < old_count; i++) {
		for (struct keyring_wait *wait = old[i], *after; wait; wait = after) {
			after = wait->chain;
			struct keyring_wait **bucket = bucket_of(waits, wait->hash);
			wait->chain = *bucket;
			*bucket = wait;
		}
	}
	free(old);
}

static void list_leave(struct keyring_inbox *inbox, struct keyring_wait *wait)
{
	if (wait->prev)
		wait->prev->next = wait->next;
	else if (wait->told)
		inbox->told_oldest = wait->next;
	else
		inbox->all = wait->next;
	if (wait->next)
		wait->next->prev = wait->prev;
	else if (wait->told)
		inbox->told_newest = wait->prev;
	wait->next = wait->prev = NULL;
}

static void all_enter(struct keyring_inbox *inbox, struct keyring_wait *wait)
{
	wait->prev = NULL;
	wait->next = inbox->all;
	if (inbox->all)
		inbox->all->prev = wait;
	inbox->all = wait;
}

static void told_enter(struct keyring_inbox *inbox, struct keyring_wait *wait)
{
	wait->told = true;
	wait->next = NULL;
	wait->prev = inbox->told_newest;
	*(inbox->told_newest ? &inbox->told_newest->next : &inbox->told_oldest) = wait;
	inbox->told_newest = wait;
}

static void table_leave(struct keyring_waits *waits, struct keyring_wait *wait)
{
	struct keyring_wait **at = bucket_of(waits, wait->hash);
	while (*at != wait)
		at = &(*at)->chain;
	*at = wait->chain;
	wait->chain = NULL;
	atomic_fetch_sub(&waits->waiting, 1);
}

/* The lock is held. */
static void end(struct keyring_inbox *inbox, struct keyring_wait *wait)
{
	if (!wait->told)
		table_leave(inbox->waits, wait);
	list_leave(inbox, wait);
	wait->told = false;
	wait->inbox = NULL;
}

void keyring_wait_end(struct keyring_wait *wait)
{
	struct keyring_inbox *inbox = wait->inbox;
	if (!inbox)
		return;
	pthread_mutex_lock(&inbox->waits->lock);
	end(inbox, wait);
	pthread_mutex_unlock(&inbox->waits->lock);
}

void keyring_wait_begin(struct keyring_inbox *inbox, struct keyring_wait *wait, const struct keylog_id *id)
{
	struct keyring_waits *waits = inbox->waits;
	keyring_wait_end(wait);
	wait->id = *id;
	wait->hash = keylog_id_hash(id);
	wait->inbox = inbox;
	pthread_mutex_lock(&waits->lock);
	if (atomic_fetch_add(&waits->waiting, 1) >= waits->bucket_count)
		grow(waits);
	struct keyring_wait **bucket = bucket_of(waits, wait->hash);
	wait->chain = *bucket;
	*bucket = wait;
	all_enter(inbox, wait);
	pthread_mutex_unlock(&waits->lock);
}

static void wake(const struct keyring_inbox *inbox)
{
	const uint64_t one = 1;
	if (inbox->wake_fd >= 0)
		(void)!write(inbox->wake_fd, &one, sizeof(one));
}

void keyring_waits_tell(struct keyring_waits *waits, const struct keylog_id *id)
{
	if (atomic_load(&waits->waiting) == 0)
		return;
	uint64_t hash = keylog_id_hash(id);
	pthread_mutex_lock(&waits->lock);
	struct keyring_wait **at = bucket_of(waits, hash);
	while (*at) {
		struct keyring_wait *wait = *at;
		if (wait->hash != hash || !keylog_id_equal(&wait->id, id)) {
			at = &wait->chain;
			continue;
		}
		struct keyring_inbox *inbox = wait->inbox;
		bool first = inbox->told_oldest == NULL;
		*at = wait->chain;
		wait->chain = NULL;
		atomic_fetch_sub(&waits->waiting, 1);
		list_leave(inbox, wait);
		told_enter(inbox, wait);
		waits->told++;
		if (first)
			wake(inbox);
	}
	pthread_mutex_unlock(&waits->lock);
}

void keyring_waits_count(struct keyring_waits *waits, uint64_t *waiting, uint64_t *told)
{
	pthread_mutex_lock(&waits->lock);
	*waiting = atomic_load(&waits->waiting);
	*told = waits->told;
	pthread_mutex_unlock(&waits->lock);
}

struct keyring_inbox *keyring_inbox_new(struct keyring *ring, int wake_fd)
{
	struct keyring_inbox *inbox = calloc(1, sizeof(*inbox));
	if (!inbox)
		return NULL;
	inbox->waits = keyring_waits_of(ring);
	inbox->wake_fd = wake_fd;
	return inbox;
}

void keyring_inbox_free(struct keyring_inbox *inbox)
{
	if (!inbox)
		return;
	pthread_mutex_lock(&inbox->waits->lock);
	while (inbox->all)
		end(inbox, inbox->all);
	while (inbox->told_oldest)
		end(inbox, inbox->told_oldest);
	pthread_mutex_unlock(&inbox->waits->lock);
	free(inbox);
}

struct keyring_wait *keyring_inbox_next(struct keyring_inbox *inbox)
{
	pthread_mutex_lock(&inbox->waits->lock);
	struct keyring_wait *wait = inbox->told_oldest;
	if (wait)
		end(inbox, wait);
	pthread_mutex_unlock(&inbox->waits->lock);
	return wait;
}
