#include "agent/share_pool.h"

#include <errno.h>
#include <stdatomic.h>
#include <string.h>
#include <sys/mman.h>

static pthread_once_t once = PTHREAD_ONCE_INIT;
static pthread_mutex_t all_lock = PTHREAD_MUTEX_INITIALIZER; /* of what follows, for those that add to it */
static struct share_pool *all;

static struct share_pool_slot *slot_at(const struct share_pool *pool, size_t chunk, size_t number)
{
	return (struct share_pool_slot *)(void *)((char *)pool->chunks[chunk] + number * pool->size);
}

static void *thing_of(struct share_pool_slot *slot)
{
	return slot + 1;
}

static void protect(const struct share_pool *pool, void *chunk)
{
	(void)madvise(chunk, SHARE_POOL_CHUNK * pool->size, MADV_DONTDUMP);
	(void)mlock(chunk, SHARE_POOL_CHUNK * pool->size);
}

/* Locked memory is not inherited. Whoever had a lock is not in this process. */
static void forked_child(void)
{
	int kept = errno;
	all_lock = (pthread_mutex_t)PTHREAD_MUTEX_INITIALIZER;
	for (struct share_pool *pool = all; pool; pool = pool->next) {
		pool->lock = (pthread_mutex_t)PTHREAD_MUTEX_INITIALIZER;
		for (size_t i = 0; i < pool->chunk_count; i++)
			protect(pool, pool->chunks[i]);
	}
	errno = kept;
}

static void begin(void)
{
	pthread_atfork(NULL, NULL, forked_child);
}

/* The first of its memory. */
static void enlist(struct share_pool *pool)
{
	(void)pthread_once(&once, begin);
	pthread_mutex_lock(&all_lock);
	pool->next = all;
	all = pool;
	pthread_mutex_unlock(&all_lock);
}

/* Under the pool's lock. */
static bool grow(struct share_pool *pool)
{
	void *memory = pool->chunk_count < SHARE_POOL_CHUNKS
	                       ? mmap(NULL, SHARE_POOL_CHUNK * pool->size, PROT_READ | PROT_WRITE,
					 MAP_PRIVATE | MAP_ANONYMOUS, -1, 0)
	                       : MAP_FAILED;
	if (memory == MAP_FAILED)
		return false;
	protect(pool, memory);
	if (pool->chunk_count == 0)
		enlist(pool);
	/* Before it is counted: a fork, or the end of the process, may come in between. */
	pool->chunks[pool->chunk_count] = memory;
	atomic_signal_fence(memory_order_seq_cst);
	pool->chunk_count++;
	for (size_t i = 0; i < SHARE_POOL_CHUNK; i++) {
		struct share_pool_slot *slot = slot_at(pool, pool->chunk_count - 1, i);
		slot->next = pool->unused;
		pool->unused = slot;
	}
	return true;
}

void *share_pool_take(struct share_pool *pool)
{
	int kept = errno;
	pthread_mutex_lock(&pool->lock);
	struct share_pool_slot *slot = pool->unused || grow(pool) ? pool->unused : NULL;
	if (slot)
		pool->unused = slot->next;
	pthread_mutex_unlock(&pool->lock);
	errno = kept;
	return slot ? thing_of(slot) : NULL;
}

void share_pool_put(struct share_pool *pool, void *thing)
{
	if (!thing)
		return;
	struct share_pool_slot *slot = (struct share_pool_slot *)thing - 1;
	explicit_bzero(thing, pool->size - sizeof(*slot));
	pthread_mutex_lock(&pool->lock);
	slot->next = pool->unused;
	pool->unused = slot;
	pthread_mutex_unlock(&pool->lock);
}

void share_pool_each(const struct share_pool *pool, void (*visit)(void *thing))
{
	for (size_t i = 0; i < pool->chunk_count; i++) {
		for (size_t j = 0; j < SHARE_POOL_CHUNK; j++)
			visit(thing_of(slot_at(pool, i, j)));
	}
}
