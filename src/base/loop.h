/*
 * base/loop.h — an event loop on edge-triggered epoll. One thread; nothing here blocks but loop_run.
 *
 * A descriptor is registered once, for both directions. The loop keeps in `readable` and `writable` what the kernel
 * last said; the owner clears them when a call returns EAGAIN. So no change of interest ever costs a system call.
 */
#ifndef BASE_LOOP_H
#define BASE_LOOP_H

#include "base/attr.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct loop;

/* Embedded in its owner. Zeroed when new. */
struct loop_io {
	int fd;
	bool readable, writable, hung; /* hung: the peer closed or failed; reading tells which */
	bool registered;
	void (*ready)(struct loop_io *io);
};

/* Embedded in its owner. Zeroed when new; `at` 0 means not in the heap. */
struct loop_timer {
	uint64_t deadline_ns; /* of clock_monotonic_ns */
	size_t at;
	void (*expired)(struct loop_timer *timer);
};

/* Work for the end of this turn. Embedded in its owner, zeroed when new. */
struct loop_task {
	struct loop_task *next;
	uint64_t turn;
	bool queued;
	void (*run)(struct loop_task *task);
};

/* NULL without memory or descriptors. */
must_check struct loop *loop_new(void);
void loop_free(struct loop *loop);

/* False with errno set. `fd` stays the caller's: loop_remove before closing it. */
must_check bool loop_add(struct loop *loop, struct loop_io *io, int fd, void (*ready)(struct loop_io *io));
/* For a listening socket that several processes watch: each connection wakes one of them. Readable only. */
must_check bool loop_add_shared(struct loop *loop, struct loop_io *io, int fd, void (*ready)(struct loop_io *io));
/* After it `ready` is not called again, not even for events of the present turn. Harmless when not registered. */
void loop_remove(struct loop *loop, struct loop_io *io);

/*
 * The same without telling the kernel, for a descriptor that is closed next and has no duplicate: closing it removes it.
 */
void loop_forget(struct loop *loop, struct loop_io *io);

/* Sets or moves the timer. False without memory (the timer is then not set). */
bool loop_timer_set(
	struct loop *loop, struct loop_timer *timer, uint64_t deadline_ns, void (*expired)(struct loop_timer *timer));
void loop_timer_clear(struct loop *loop, struct loop_timer *timer);

/* Runs once at the end of this turn, however often it is asked for. */
void loop_task_queue(struct loop *loop, struct loop_task *task, void (*run)(struct loop_task *task));
void loop_task_cancel(struct loop *loop, struct loop_task *task);

/* Monotonic time at the start of this turn. */
must_check uint64_t loop_now_ns(const struct loop *loop);

/* Until loop_stop. False when epoll itself failed, with errno set. */
bool loop_run(struct loop *loop);
void loop_stop(struct loop *loop);

#endif
