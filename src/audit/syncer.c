#include "audit/syncer.h"

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <unistd.h>

enum state { SYNC_IDLE, SYNC_ASKED, SYNC_DONE };

struct syncer {
	pthread_t thread;
	pthread_mutex_t lock;
	pthread_cond_t changed;
	enum state state; /* under the lock, as are the next three */
	bool ending;
	int fd;
	int code;
	int event_fd;
};

static void *run(void *arg)
{
	struct syncer *syncer = arg;
	pthread_mutex_lock(&syncer->lock);
	for (;;) {
		while (syncer->state != SYNC_ASKED && !syncer->ending)
			pthread_cond_wait(&syncer->changed, &syncer->lock);
		if (syncer->state != SYNC_ASKED)
			break;
		int fd = syncer->fd;
		pthread_mutex_unlock(&syncer->lock);
		int code = fdatasync(fd) == 0 ? 0 : errno;
		pthread_mutex_lock(&syncer->lock);
		syncer->code = code;
		syncer->state = SYNC_DONE;
		pthread_cond_broadcast(&syncer->changed);
		eventfd_write(syncer->event_fd, 1);
	}
	pthread_mutex_unlock(&syncer->lock);
	return NULL;
}

/* Signals are the loop's business, not this thread's. */
static int start_thread(struct syncer *syncer)
{
	sigset_t all;
	sigset_t old;
	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &old);
	int code = pthread_create(&syncer->thread, NULL, run, syncer);
	pthread_sigmask(SIG_SETMASK, &old, NULL);
	return code;
}

struct syncer *syncer_new(void)
{
	struct syncer *syncer = calloc(1, sizeof(*syncer));
	if (!syncer)
		return NULL;
	syncer->event_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (syncer->event_fd < 0) {
		free(syncer);
		return NULL;
	}
	pthread_mutex_init(&syncer->lock, NULL);
	pthread_cond_init(&syncer->changed, NULL);
	int code = start_thread(syncer);
	if (code != 0) {
		close(syncer->event_fd);
		free(syncer);
		errno = code;
		return NULL;
	}
	return syncer;
}

void syncer_free(struct syncer *syncer)
{
	if (!syncer)
		return;
	pthread_mutex_lock(&syncer->lock);
	syncer->ending = true;
	pthread_cond_broadcast(&syncer->changed);
	pthread_mutex_unlock(&syncer->lock);
	pthread_join(syncer->thread, NULL);
	pthread_cond_destroy(&syncer->changed);
	pthread_mutex_destroy(&syncer->lock);
	close(syncer->event_fd);
	free(syncer);
}

int syncer_fd(const struct syncer *syncer)
{
	return syncer->event_fd;
}

void syncer_begin(struct syncer *syncer, int fd)
{
	pthread_mutex_lock(&syncer->lock);
	syncer->fd = fd;
	syncer->state = SYNC_ASKED;
	pthread_cond_broadcast(&syncer->changed);
	pthread_mutex_unlock(&syncer->lock);
}

bool syncer_result(struct syncer *syncer, int *code)
{
	eventfd_t count;
	pthread_mutex_lock(&syncer->lock);
	bool done = syncer->state == SYNC_DONE;
	if (done) {
		syncer->state = SYNC_IDLE;
		*code = syncer->code;
		(void)eventfd_read(syncer->event_fd, &count);
	}
	pthread_mutex_unlock(&syncer->lock);
	return done;
}

void syncer_wait(struct syncer *syncer)
{
	pthread_mutex_lock(&syncer->lock);
	while (syncer->state == SYNC_ASKED)
		pthread_cond_wait(&syncer->changed, &syncer->lock);
	pthread_mutex_unlock(&syncer->lock);
}
