/*
 * proxy/local.h — the proxy on its user's own machine (`overt local`): leg 2 speaks Accord as a client, leg 1 serves
 * programs of this user by a CA that never leaves the machine. Keeps who read what, and what the user refuses, in the
 * state folder. On the loop of a single (proxy/single.h).
 */
#ifndef PROXY_LOCAL_H
#define PROXY_LOCAL_H

#include "accord/client.h"
#include "base/error.h"
#include "base/loop.h"
#include "pact/pact.h"

#define LOCAL_BOOK_FILE    "readers"
#define LOCAL_REFUSED_FILE "refused"
#define LOCAL_ROWS         1000

struct local;

struct local_options {
	struct pact *pact; /* a reference is taken */
	enum accord_rule rule;
	uint8_t roles;         /* set of enum accord_role: what a proxy may be */
	const char *state;     /* the folder, which must exist; outlives the local */
	uint64_t retention_ns; /* rows of longer ago are forgotten */
};

struct local_counts {
	uint64_t strangers;  /* connections of other users, turned away */
	uint64_t unknown;    /* connections whose owner could not be told, likewise */
	uint64_t refused;    /* by the user's word */
	uint64_t failed;     /* for a check of Accord */
	uint64_t ended;      /* connections in progress that a refusal ended */
	uint64_t forged;     /* requests to the page without its token, from another site or under another name */
	uint64_t not_saved;  /* times a file could not be written */
	uint64_t unreadable; /* lines of the files that could not be read */
};

/* Reads what is kept in the state. NULL with `err` set. */
must_check struct local *local_new(struct loop *loop, const struct local_options *options, struct error *err);
/* Writes what is to be kept. After the single that it serves. NULL is allowed. */
void local_free(struct local *local);

must_check const struct local_counts *local_count(const struct local *local);

#endif
