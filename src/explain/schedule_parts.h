/*
 * explain/schedule_parts.h — what the files of the story "schedule" share: one connection's handshake messages and what is
 * known of its secrets, and the tellers that compute the key schedule from them (RFC 8446, 7.1; RFC 5246, 8.1; RFC 7627).
 */
#ifndef EXPLAIN_SCHEDULE_PARTS_H
#define EXPLAIN_SCHEDULE_PARTS_H

#include "explain/lab.h"
#include "explain/story.h"
#include "tls/hello.h"
#include "tls/transcript.h"

#define SCHEDULE_UPDATES 4 /* key updates of one direction that are followed */

/* Secrets that a log, or RFC 8448, may name. */
enum schedule_secret {
	SCHEDULE_EARLY,
	SCHEDULE_HANDSHAKE,
	SCHEDULE_CLIENT_HANDSHAKE,
	SCHEDULE_SERVER_HANDSHAKE,
	SCHEDULE_MASTER, /* in TLS 1.2: the master secret */
	SCHEDULE_CLIENT_TRAFFIC,
	SCHEDULE_SERVER_TRAFFIC,
	SCHEDULE_EXPORTER,
	SCHEDULE_RESUMPTION,
	SCHEDULE_TICKET,
	SCHEDULE_SECRETS,
};

struct schedule_source {
	const char *name;                              /* of its rows: "lab", "rfc8448" */
	const char *logged_by;                         /* for people: "OpenSSL's key log" */
	struct bytes messages;                         /* handshake messages with their headers, in order */
	struct tls_secret shared;                      /* (EC)DHE secret, or TLS 1.2's premaster; empty: not known */
	struct tls_secret known[SCHEDULE_SECRETS];     /* as logged; empty: not there */
	struct tls_secret update[2][SCHEDULE_UPDATES]; /* traffic secrets 1.. of client and server, as logged */
	size_t updates[2];
};

void schedule_source_wipe(struct schedule_source *source);

/* What going through the messages gives. */
struct schedule_walk {
	const struct suite *suite;
	uint16_t version;
	bool extended; /* RFC 7627 */
	bool retried;  /* HelloRetryRequest */
	struct bytes client_random, server_random;
	/* The transcript's hash up to and with: ServerHello, ClientKeyExchange, the first and the second Finished. */
	struct tls_secret at_server_hello, at_key_exchange, at_finished[2];
	struct tls_secret before_finished[2];
	struct bytes finished[2]; /* verify_data, in order of appearance */
	struct bytes ticket_nonce;
	bool has_ticket;
};

/* Tells the messages as a table, and fills *walk. False with err set when they are no whole handshake. */
must_check bool schedule_walk(
	const struct schedule_source *source, struct story *story, struct schedule_walk *walk, struct error *err);

/* The tree of secrets, and a row for each that can be compared. False only when libcrypto fails. */
must_check bool schedule_tell13(struct crypto *crypto, const struct schedule_source *source,
	const struct schedule_walk *walk, struct story *story);
must_check bool schedule_tell12(struct crypto *crypto, const struct schedule_source *source,
	const struct schedule_walk *walk, struct story *story);

/* A line of the tree: `value` may be empty, which says that it is not known. `depth` steps from the root. */
void schedule_node(struct story *story, unsigned depth, const char *name, const char *made, struct bytes value);
/* The table that schedule_node writes to. */
void schedule_tree(struct story *story, const char *title);
/* A row: computed = logged. Nothing where either is empty. */
void schedule_compare(struct story *story, const struct schedule_source *source, const char *name, const char *title,
	struct bytes computed, struct bytes logged, const char *why);

/* Sources. Views of `*room` (wiped and cleared by the caller). */
must_check bool schedule_rfc8448(
	struct crypto *crypto, struct buffer *room, struct schedule_source *out, struct error *err);
must_check bool schedule_lab13(
	const struct lab *lab, struct buffer *room, struct schedule_source *out, struct error *err);
must_check bool schedule_lab12(
	const struct lab *lab, struct buffer *room, struct schedule_source *out, struct error *err);
/* Connects to HOST[:PORT] (443), shakes hands, takes leave: at most ten seconds. Tells of the verification. */
must_check bool schedule_host(const struct lab *lab, const char *host, struct buffer *room, struct story *story,
	struct schedule_source *out, struct error *err);

#endif
