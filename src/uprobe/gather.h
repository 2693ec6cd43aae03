/*
 * uprobe/gather.h — from what probes saw to keys of records. A line of a key log does not tell its suite, and the name
 * that a client asked for stands somewhere else again: here they are put together, connection by connection. Secrets
 * are not kept: what is remembered of them, to know the next one after a KeyUpdate, is a hash. No I/O; one thread.
 */
#ifndef UPROBE_GATHER_H
#define UPROBE_GATHER_H

#include "keys/record_key.h"
#include "uprobe/event.h"

#define GATHER_NAME_MAX 253

/* One key, and what is known of its connection. The receiver's during the call: it is wiped afterwards. */
struct gathered {
	struct record_key key;
	bool sure; /* false: the suite is not known, and this is one of several that it may be */
	uint32_t pid;
	const char *program;            /* the kernel's name for the process: a stranger's */
	bool server;                    /* the program is the server; false as well where that is not known */
	char name[GATHER_NAME_MAX + 1]; /* that the client asked for; empty: not known */
};

struct gather_options {
	void (*key)(void *arg, const struct gathered *gathered);
	/* A master secret (48 octets) of which neither suite nor server's random are known; the receiver wipes its copy. */
	void (*master)(void *arg, const uint8_t random[PROBE_RANDOM], struct bytes master);
	void *arg;
};

struct gather_counts {
	uint64_t keys, masters;
	uint64_t unknown; /* lines that are of no use: another label, or a secret of no length that a suite has */
};

struct gather;

/* NULL without memory. The options are copied. */
must_check struct gather *gather_new(const struct gather_options *options);
void gather_free(struct gather *gather); /* NULL is allowed */
/* PROBE_EXEC and what is no event are passed over. */
void gather_event(struct gather *gather, const struct probe_event *event);
must_check struct gather_counts gather_count(const struct gather *gather);

#endif
