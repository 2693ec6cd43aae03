/*
 * share/line_keys.h — from lines of a key log (RFC 9850) to releases of record keys, for sources that can give nothing else. A
 * line says neither which suite its secret is for nor, in TLS 1.2, the server's random without which no key can be made
 * of it: the hellos of its connection do, and they say which server was asked for. So a secret is held, in locked memory,
 * until whatever was on the wire before it has been seen; then its keys are made, and it is wiped. No I/O, no clock; one
 * thread at a time.
 *
 * It is held so long also where hellos are known already: somebody else may have said hello with the same random, to
 * have the keys go out under another name. Where two do not agree, none counts.
 *
 * Without the hellos a secret of TLS 1.3 is of one of few suites: the key of each is released with the suite's number,
 * and the ServerHello tells the reader which is the one. A master secret of TLS 1.2 is given up.
 *
 * Traffic secrets of application data only, and master secrets: handshake keys and those of 0-RTT are never released.
 */
#ifndef SHARE_LINE_KEYS_H
#define SHARE_LINE_KEYS_H

#include "keys/release.h"

#define LINE_KEYS_HELD      512  /* secrets that wait for their hellos; the oldest waits no longer, counted */
#define LINE_KEYS_GREETINGS 4096 /* connections whose hellos are kept in mind: the oldest of a bucket is forgotten */
#define LINE_KEYS_NEXTS     2048 /* directions of which it is known what their next secret will be; likewise */

/* What the hellos of one connection say. */
struct line_greeting {
	uint8_t client_random[KEYLOG_RANDOM], server_random[KEYLOG_RANDOM];
	uint16_t version, suite;         /* as the server chose */
	struct hostport client, server;  /* none when not known */
	char name[RELEASE_NAME_MAX + 1]; /* that the client asked for; empty: none */
};

struct line_keys_options {
	/*
	 * A release with grade, mode, consent, key, ends and name set, and nothing else. The receiver's during the call: it
	 * is wiped afterwards.
	 */
	void (*give)(void *arg, const struct release *release);
	void *arg;
	bool ccm; /* without the hellos, AES-128-CCM counts among the suites that a secret may be of */
};

struct line_keys_counts {
	uint64_t met;     /* secrets whose hellos were seen */
	uint64_t guessed; /* of TLS 1.3, whose hellos were not: released for each suite that they may be of */
	uint64_t unsure;  /* of TLS 1.2, whose hellos were not: of no use */
	uint64_t crowded; /* of these, those that did not wait to the end for want of room */
	uint64_t unfit;   /* no suite has a secret of this length, or not the one that the hellos name */
	uint64_t keys;    /* released */
	uint64_t held;    /* secrets, now */
};

struct line_keys;

/* NULL without memory. The options are copied. */
must_check struct line_keys *line_keys_new(const struct line_keys_options *options);
/* Wipes what is held, which is lost: line_keys_pass before. NULL is allowed. */
void line_keys_free(struct line_keys *lines);

/* Whether hellos are looked for: from now on secrets wait for them. Not so at first. */
void line_keys_wait(struct line_keys *lines, bool waits);
/*
 * A line and its secret, of which nothing is kept but what is said above. `came_ns` is the caller's clock. False when no
 * key comes of such a line, by its label or because nobody knows its epoch.
 */
must_check bool line_keys_take(
	struct line_keys *lines, const struct keylog_line *line, struct bytes secret, uint64_t came_ns);
/* The hellos of a connection, whosever. */
void line_keys_meet(struct line_keys *lines, const struct line_greeting *greeting);
/* What was on the wire until then has been seen: secrets that came by that time wait no longer. UINT64_MAX: none does. */
void line_keys_pass(struct line_keys *lines, uint64_t until_ns);

must_check struct line_keys_counts line_keys_count(const struct line_keys *lines);

#endif
