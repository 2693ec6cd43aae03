/*
 * share/sender.h — releases on their way to a collector: each is judged by the grants that are here, logged, sealed to the
 * reader of each grant that covers it, and sent (keys/courier.h) until the collector says that it has it. Two threads of
 * its own, of which one sends and the other ends grants in time while the first waits, and that of its audit log.
 *
 * Nothing is sent before its entry is in the log, nor under a grant that has ended while it waited. What the collector
 * refuses for the time being is sent again for half a minute (share/kept.h).
 */
#ifndef SHARE_SENDER_H
#define SHARE_SENDER_H

#include "base/error.h"
#include "keys/grant.h"
#include "keys/share_item.h"
#include "share/queue.h"

#include <openssl/ssl.h>

#define SENDER_QUEUE QUEUE_MAX /* releases that wait for the thread; more are lost, and counted */
#define SENDER_TAG   QUEUE_TAG /* octets */

struct sender_options {
	const char *grants; /* folder of *.grant and *.revoked: looked at again whenever it changes */
	const struct note_key *signers;
	size_t signer_count;
	const char *audit; /* file of this host's audit log */
	/* The certificate by which it sends: a common name, and the SHA-256 of its key; where a grant says who may send. */
	const char *name;
	uint8_t key_hash[32];
	/* From the thread that sends: a connection to the collector whose handshake is over, which blocks, and not for
	 * ever. NULL with a sentence. */
	SSL *(*connect)(void *arg, struct error *err);
	/*
	 * From the thread that sends: the collector has this release, or nobody is to get it. Not called for what was
	 * lost, could not be logged, or was not sent when it ended. NULL: nobody wants to know.
	 */
	void (*done)(void *arg, const void *tag);
	/*
	 * From either thread: a grant has ended in the connection of this client_random, whose keys are to change so
	 * that its reader reads no further. `tag` is that of its first release, or NULL. NULL: nobody wants to know.
	 */
	void (*over)(void *arg, const uint8_t client_random[static KEYLOG_RANDOM], const void *tag);
	void *arg;
};

struct sender_counts {
	uint64_t offered;
	uint64_t lost;           /* the queue was full */
	uint64_t uncovered;      /* no grant covers them */
	uint64_t sealed;         /* for one reader each */
	uint64_t unlogged;       /* the log could not be written: not released */
	uint64_t taken, refused; /* by the collector */
	uint64_t again;          /* batches sent again because they were refused for the time being */
	uint64_t connections;    /* made */
	uint64_t unsent;         /* left when it ended */
	uint64_t ended;          /* sealed, and not sent: their grants had ended or were revoked by then */
	uint64_t over;           /* grants that ended within a connection */
	uint64_t kept_back;      /* releases that would have been covered but for that */
	uint64_t forgotten;      /* connections of which nobody remembers whether a grant has ended there */
};

struct sender;

/* Reads the grants, opens the log and begins; whether the collector is there shows later. NULL with `err` set. */
must_check struct sender *sender_new(const struct sender_options *options, struct error *err);

/*
 * Copies the release, and a tag of SENDER_TAG octets that `done` and `over` will get (NULL: none). Any thread; never
 * blocks.
 */
void sender_put(struct sender *sender, const struct release *release, const void *tag);
/* For the log: a connection whose sides do not agree, an item of kind SHARE_REFUSED. Any thread; never blocks. */
void sender_disagreed(struct sender *sender, const struct share_item *item);
/* Whether a grant of grade raw is in force. Any thread. */
must_check bool sender_wants_lines(struct sender *sender);
/* Sends what waits, as long as the collector takes it and at most `most_ns`, and ends. NULL is allowed. */
struct sender_counts sender_free(struct sender *sender, uint64_t most_ns);

#endif
