#include "base/loop.h"

#include "base/clock.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <unistd.h>

#define EVENTS_PER_TURN 256

struct loop {
	int epoll_fd;
	bool stopping;
	uint64_t now_ns;
	uint64_t turn;
	struct epoll_event events[EVENTS_PER_TURN];
	int event_count;          /* of the present turn, for loop_remove */
	struct loop_timer **heap; /* from 1: the earliest first */
	size_t heap_len, heap_cap;
	struct loop_task *tasks, **tasks_end;
};

struct loop *loop_new(void)
{
	struct loop *loop = calloc(1, sizeof(*loop));
	if (!loop)
		return NULL;
	loop->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
	if (loop->epoll_fd < 0) {
		free(loop);
		return NULL;
	}
	loop->now_ns = clock_monotonic_ns();
	loop->tasks_end = &loop->tasks;
	return loop;
}

void loop_free(struct loop *loop)
{
	if (!loop)
		return;
	close(loop->epoll_fd);
	free(loop->heap);
	free(loop);
}

uint64_t loop_now_ns(const struct loop *loop)
{
	return loop->now_ns;
}

static bool watch(struct loop *loop, struct loop_io *io, int fd, uint32_t events, void (*ready)(struct loop_io *io))
{
	struct epoll_event event = {.events = events | EPOLLET, .data.ptr = io};
	io->fd = fd;
	io->ready = ready;
	io->readable = io->writable = io->hung = false;
	io->registered = epoll_ctl(loop->epoll_fd, EPOLL_CTL_ADD, fd, &event) == 0;
	return io->registered;
}

bool loop_add(struct loop *loop, struct loop_io *io, int fd, void (*ready)(struct loop_io *io))
{
	return watch(loop, io, fd, EPOLLIN | EPOLLOUT | EPOLLRDHUP, ready);
}

bool loop_add_shared(struct loop *loop, struct loop_io *io, int fd, void (*ready)(struct loop_io *io))
{
	return watch(loop, io, fd, EPOLLIN | EPOLLEXCLUSIVE, ready);
}

void loop_remove(struct loop *loop, struct loop_io *io)
{
	if (!io->registered)
		return;
	epoll_ctl(loop->epoll_fd, EPOLL_CTL_DEL, io->fd, NULL);
	loop_forget(loop, io);
}

void loop_forget(struct loop *loop, struct loop_io *io)
{
	io->registered = false;
	/* Its owner may be freed now while an event for it still stands in this turn's array. */
	for (int i = 0; i < loop->event_count; i++) {
		if (loop->events[i].data.ptr == io)
			loop->events[i].data.ptr = NULL;
	}
}

/* Timers: a binary heap whose elements know their place, so that moving and clearing need no search. */

static void heap_place(struct loop *loop, struct loop_timer *timer, size_t at)
{
	loop->heap[at] = timer;
	timer->at = at;
}

static void heap_up(struct loop *loop, struct loop_timer *timer, size_t at)
{
	for (; at > 1 && loop->heap[at / 2]->deadline_ns > timer->deadline_ns; at /= 2)
		heap_place(loop, loop->heap[at / 2], at);
	heap_place(loop, timer, at);
}

static void heap_down(struct loop *loop, struct loop_timer *timer, size_t at)
{
	for (;;) {
		size_t child = at * 2;
		if (child > loop->heap_len)
			break;
		if (child < loop->heap_len && loop->heap[child + 1]->deadline_ns < loop->heap[child]->deadline_ns)
			child++;
		if (loop->heap[child]->deadline_ns >= timer->deadline_ns)
			break;
		heap_place(loop, loop->heap[child], at);
		at = child;
	}
	heap_place(loop, timer, at);
}

static void heap_move(struct loop *loop, struct loop_timer *timer)
{
	heap_up(loop, timer, timer->at);
	heap_down(loop, timer, timer->at);
}

bool loop_timer_set(
	struct loop *loop, struct loop_timer *timer, uint64_t deadline_ns, void (*expired)(struct loop_timer *timer))
{
	timer->deadline_ns = deadline_ns;
	timer->expired = expired;
	if (timer->at) {
		heap_move(loop, timer);
		return true;
	}
	if (loop->heap_len + 1 >= loop->heap_cap) {
		size_t cap = loop->heap_cap ? loop->heap_cap * 2 : 64;
		struct loop_timer **wider = realloc(loop->heap, cap * sizeof(struct loop_timer *));
		if (!wider)
			return false;
		loop->heap = wider;
		loop->heap_cap = cap;
	}
	heap_up(loop, timer, ++loop->heap_len);
	return true;
}

void loop_timer_clear(struct loop *loop, struct loop_timer *timer)
{
	if (!timer->at)
		return;
	size_t hole = timer->at;
	timer->at = 0;
	struct loop_timer *last = loop->heap[loop->heap_len--];
	if (last == timer)
		return;
	last->at = hole;
	heap_move(loop, last);
}

static void run_timers(struct loop *loop)
{
	while (loop->heap_len > 0 && loop->heap[1]->deadline_ns <= loop->now_ns) {
		struct loop_timer *timer = loop->heap[1];
		loop_timer_clear(loop, timer);
		timer->expired(timer);
	}
}

void loop_task_queue(struct loop *loop, struct loop_task *task, void (*run)(struct loop_task *task))
{
	task->run = run;
	if (task->queued)
		return;
	task->queued = true;
	task->turn = loop->turn;
	task->next = NULL;
	*loop->tasks_end = task;
	loop->tasks_end = &task->next;
}

void loop_task_cancel(struct loop *loop, struct loop_task *task)
{
	if (!task->queued)
		return;
	struct loop_task **at = &loop->tasks;
	while (*at != task)
		at = &(*at)->next;
	*at = task->next;
	if (loop->tasks_end == &task->next)
		loop->tasks_end = at;
	task->queued = false;
}

static void run_tasks(struct loop *loop)
{
	/* Tasks queued meanwhile wait for the next turn, whose wait is then 0: I/O is never starved. */
	uint64_t turn = loop->turn++;
	while (loop->tasks && loop->tasks->turn <= turn) {
		struct loop_task *task = loop->tasks;
		loop_task_cancel(loop, task);
		task->run(task);
	}
}

static int wait_ms(const struct loop *loop)
{
	if (loop->tasks)
		return 0;
	if (loop->heap_len == 0)
		return -1;
	uint64_t now = clock_monotonic_ns();
	uint64_t deadline = loop->heap[1]->deadline_ns;
	if (deadline <= now)
		return 0;
	uint64_t ms = (deadline - now + NS_PER_MS - 1) / NS_PER_MS;
	return ms > 60000 ? 60000 : (int)ms;
}

static void dispatch(const struct epoll_event *event)
{
	struct loop_io *io = event->data.ptr;
	if (!io)
		return;
	if (event->events & (EPOLLIN | EPOLLRDHUP | EPOLLHUP | EPOLLERR))
		io->readable = true;
	if (event->events & (EPOLLOUT | EPOLLHUP | EPOLLERR))
		io->writable = true;
	if (event->events & (EPOLLRDHUP | EPOLLHUP | EPOLLERR))
		io->hung = true;
	io->ready(io);
}

bool loop_run(struct loop *loop)
{
	loop->stopping = false;
	while (!loop->stopping) {
		int n = epoll_wait(loop->epoll_fd, loop->events, EVENTS_PER_TURN, wait_ms(loop));
		if (n < 0 && errno != EINTR)
			return false;
		loop->now_ns = clock_monotonic_ns();
		loop->event_count = n < 0 ? 0 : n;
		for (int i = 0; i < loop->event_count; i++)
			dispatch(&loop->events[i]);
		loop->event_count = 0;
		run_timers(loop);
		run_tasks(loop);
	}
	return true;
}

void loop_stop(struct loop *loop)
{
	loop->stopping = true;
}
