/*
 * proxy/single.h — the whole family in one process and on one loop: for debugging, for tests, and for `overt exec`. The
 * same keeper, resolver, scribe and worker as ever, over socketpairs to itself; only the walls between them are missing.
 */
#ifndef PROXY_SINGLE_H
#define PROXY_SINGLE_H

#include "base/error.h"
#include "base/loop.h"
#include "policy/config.h"

struct authority;
struct local;
struct single;

struct single_options {
	const struct config *config;  /* outlives the single */
	struct authority **authority; /* likewise; the caller's, replaced by single_reload where the CA changed */
	bool ca_made;                 /* it was made just now */
	const char *state;            /* NULL: nothing is kept */
	const char *rules;            /* text in place of a rules file when none is configured */
	bool audit;
	int terminal_fd;       /* -1: no table */
	const int *listen_fds; /* likewise */
	struct local *local;   /* likewise (proxy/local.h); NULL: none */
};

must_check struct single *single_new(struct loop *loop, const struct single_options *options, struct error *err);
/* Reads rules, lists and trust again; on false the old ones stay. Also opens the files of outputs again. */
must_check bool single_reload(struct single *single, struct error *err);
/* No new connections; `drained` once when the last one is gone. */
void single_drain(struct single *single, void (*drained)(void *ctx), void *ctx);
/* Ends what is left, writes out what was seen. NULL is allowed. */
void single_free(struct single *single);

#endif
