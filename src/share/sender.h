/*
 * share/sender.h — releases on their way to a collector: each is judged by the grants that are here, logged, sealed to the
 * reader of each grant that covers it, and sent (keys/courier.h) until the collector says that it has it. A thread of its
 * own, and that of its audit log.
 *
 * What is released here is released by one side's rule: a grant that wants both sides to agree covers none of it.
 * Nothing is sent before its entry is in the log.
 */
#ifndef SHARE_SENDER_H
#define SHARE_SENDER_H

#include "base/error.h"
#include "keys/grant.h"

#include <openssl/ssl.h>

#define SENDER_QUEUE 4096 /* releases that wait for the thread; more are lost, and counted */

struct sender_options {
	const char *grants; /* folder of *.grant and *.revoked: looked at again whenever it changes */
	const struct grant_signer *signers;
	size_t signer_count;
	const char *audit; /* file of this host's audit log */
	/* From the thread: a connection to the collector whose handshake is over, which blocks, and not for ever. NULL
	 * with a sentence. */
	SSL *(*connect)(void *arg, struct error *err);
	/*
	 * From the thread: the collector has this release, or nobody is to get it. Not called for what was lost, could not
	 * be logged, or was not sent when it ended. NULL: nobody wants to know.
	 */
	void (*done)(void *arg, const void *tag);
	void *arg;
};

struct sender_counts {
	uint64_t offered;
	uint64_t lost;           /* the queue was full */
	uint64_t uncovered;      /* no grant covers them */
	uint64_t sealed;         /* for one reader each */
	uint64_t unlogged;       /* the log could not be written: not released */
	uint64_t taken, refused; /* by the collector */
	uint64_t connections;    /* made */
	uint64_t unsent;         /* left when it ended */
};

struct sender;

/* Reads the grants, opens the log and begins; whether the collector is there shows later. NULL with `err` set. */
must_check struct sender *sender_new(const struct sender_options *options, struct error *err);
#define SENDER_TAG 16 /* octets */

/* Copies the release, and a tag of SENDER_TAG octets that `done` will get (NULL: none). Any thread; never blocks. */
void sender_put(struct sender *sender, const struct release *release, const void *tag);
/* Sends what waits, as long as the collector takes it and at most `most_ns`, and ends. NULL is allowed. */
struct sender_counts sender_free(struct sender *sender, uint64_t most_ns);

#endif
