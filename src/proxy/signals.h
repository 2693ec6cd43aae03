/* proxy/signals.h — SIGINT, SIGTERM, SIGHUP, SIGUSR2 and SIGCHLD as events of a loop. */
#ifndef PROXY_SIGNALS_H
#define PROXY_SIGNALS_H

#include "base/error.h"
#include "base/loop.h"

#include <stdint.h>

struct signals {
	struct loop *loop;
	struct loop_io io; /* fd -1: none */
	void (*caught)(int number, void *ctx);
	void *ctx;
};

must_check bool signals_watch(struct signals *signals, struct loop *loop, void (*caught)(int number, void *ctx),
	void *ctx, struct error *err);
/*
 * Of a signal to stop: whether it is the first one again, since it comes within a second of it. timeout(1) sends its signal
 * to the process and then to the process's group. *first_ns (of clock_monotonic_ns) is 0 before the first, which sets it.
 */
must_check bool signals_repeat(uint64_t *first_ns);
/* For the end of a program: those that come from now on do nothing, so that none turns a good end into another. */
void signals_close(struct signals *signals);

#endif
