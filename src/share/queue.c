#include "share/queue.h"

#include "base/clock.h"
#include "keys/secret.h"

#include <pthread.h>
#include <stdlib.h>

struct queue {
	pthread_mutex_t lock;
	pthread_cond_t wake;
	struct queued *places; /* QUEUE_MAX of them: memory for secrets */
	size_t first, count;
	size_t enough; /* as many as wake who waits */
	bool ending;
	uint64_t until_ns;
};

static bool begin(struct queue *queue)
{
	pthread_condattr_t attributes;
	return pthread_mutex_init(&queue->lock, NULL) == 0 && pthread_condattr_init(&attributes) == 0 &&
	       pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC) == 0 &&
	       pthread_cond_init(&queue->wake, &attributes) == 0;
}

struct queue *queue_new(void)
{
	struct queue *queue = calloc(1, sizeof(*queue));
	if (!queue)
		return NULL;
	queue->places = secret_alloc(QUEUE_MAX * sizeof(struct queued));
	if (queue->places && begin(queue))
		return queue;
	queue_free(queue);
	return NULL;
}

void queue_free(struct queue *queue)
{
	if (!queue)
		return;
	secret_free(queue->places);
	pthread_cond_destroy(&queue->wake);
	pthread_mutex_destroy(&queue->lock);
	free(queue);
}

bool queue_put(struct queue *queue, const struct release *release, const void *tag)
{
	pthread_mutex_lock(&queue->lock);
	bool room = queue->count < QUEUE_MAX;
	if (room) {
		struct queued *place = &queue->places[(queue->first + queue->count++) % QUEUE_MAX];
		place->release = *release;
		place->tagged = tag != NULL;
		if (tag)
			memcpy(place->tag, tag, QUEUE_TAG);
		if (queue->count >= queue->enough)
			pthread_cond_signal(&queue->wake);
	}
	pthread_mutex_unlock(&queue->lock);
	return room;
}

bool queue_take(struct queue *queue, struct queued *out)
{
	pthread_mutex_lock(&queue->lock);
	bool any = queue->count > 0;
	if (any) {
		*out = queue->places[queue->first];
		release_wipe(&queue->places[queue->first].release);
		queue->first = (queue->first + 1) % QUEUE_MAX;
		queue->count--;
	}
	pthread_mutex_unlock(&queue->lock);
	return any;
}

static void wait_for(struct queue *queue, size_t enough, uint64_t until_ns)
{
	const struct timespec until = {.tv_sec = (time_t)(until_ns / NS_PER_S), .tv_nsec = (long)(until_ns % NS_PER_S)};
	bool in_time = true;
	pthread_mutex_lock(&queue->lock);
	queue->enough = enough;
	while (in_time && queue->count < enough && !queue->ending)
		in_time = pthread_cond_timedwait(&queue->wake, &queue->lock, &until) == 0;
	pthread_mutex_unlock(&queue->lock);
}

void queue_wait(struct queue *queue, uint64_t most_ns)
{
	wait_for(queue, 1, clock_monotonic_ns() + most_ns);
}

void queue_gather(struct queue *queue, size_t enough, uint64_t until_ns)
{
	if (clock_monotonic_ns() < until_ns)
		wait_for(queue, enough, until_ns);
}

void queue_end(struct queue *queue, uint64_t until_ns)
{
	pthread_mutex_lock(&queue->lock);
	queue->ending = true;
	queue->until_ns = until_ns;
	pthread_cond_signal(&queue->wake);
	pthread_mutex_unlock(&queue->lock);
}

bool queue_ending(struct queue *queue)
{
	pthread_mutex_lock(&queue->lock);
	bool ending = queue->ending;
	pthread_mutex_unlock(&queue->lock);
	return ending;
}

bool queue_goes_on(struct queue *queue)
{
	pthread_mutex_lock(&queue->lock);
	bool on = !queue->ending || clock_monotonic_ns() < queue->until_ns;
	pthread_mutex_unlock(&queue->lock);
	return on;
}

size_t queue_left(struct queue *queue)
{
	pthread_mutex_lock(&queue->lock);
	size_t left = queue->count;
	pthread_mutex_unlock(&queue->lock);
	return left;
}
