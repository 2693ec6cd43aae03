/*
 * proxy/takeover.h — the new program's side of an upgrade (upgrade.h): sockets that the running one gives it, and when
 * the state is free. A program that nobody started so has no takeover, which is NULL.
 */
#ifndef PROXY_TAKEOVER_H
#define PROXY_TAKEOVER_H

#include "base/error.h"
#include "base/loop.h"
#include "policy/listen.h"

struct takeover;

struct takeover_handlers {
	/* A worker's channel, for the keeper. Taken by setting *fd to -1. */
	void (*peer)(int *fd, struct bytes name, void *ctx);
	void (*yours)(void *ctx); /* the state may be opened */
	void (*done)(void *ctx);  /* the program before accepts no more */
	void (*gone)(void *ctx);  /* it ended, before that */
};

/*
 * Reads what the running program sends at once; blocks for it, for seconds at most. *out NULL when none has started this
 * one. False with `err` set: it speaks another language, or there is none at the other end.
 */
must_check bool takeover_open(struct takeover **out, struct error *err);
/* Closes what nobody asked for. NULL is allowed. */
void takeover_free(struct takeover *takeover);

/* The socket that was asked for with the same words, now the caller's; -1: there is none. `takeover` may be NULL. */
must_check int takeover_listener(struct takeover *takeover, const struct listen_at *at);

/* From here on the rest is told by `loop`, which outlives the takeover. */
must_check bool takeover_watch(struct takeover *takeover, struct loop *loop, const struct takeover_handlers *handlers,
	void *ctx, struct error *err);
/* No more of it, before that loop goes. */
void takeover_unwatch(struct takeover *takeover);
void takeover_ready(struct takeover *takeover);
void takeover_serving(struct takeover *takeover);
/* Says why this program ends instead. NULL is allowed. */
void takeover_failed(struct takeover *takeover, const struct error *why);

#endif
