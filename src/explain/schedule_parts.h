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

#define SCHEDULE_UPDATES 16 /* key updates of one direction that are followed */

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
	SCHEDULE_EARLY_TRAFFIC,
	SCHEDULE_EARLY_EXPORTER,
	SCHEDULE_SECRETS,
};

/* What the keys of a secret opened: a record of its direction, counted from 1 over all of them, and how many in all. */
struct schedule_opened {
	uint64_t first; /* 0: none was there to be opened */
	uint64_t count;
	bool refused; /* a record came that they did not open */
};

struct schedule_source {
	const char *name;                              /* of its rows: "lab", "rfc8448" */
	const char *logged_by;                         /* for people: "OpenSSL's key log" */
	struct bytes messages;                         /* handshake messages with their headers, in order */
	struct tls_secret shared;                      /* (EC)DHE secret, or TLS 1.2's premaster; empty: not known */
	struct tls_secret known[SCHEDULE_SECRETS];     /* as logged; empty: not there */
	struct tls_secret update[2][SCHEDULE_UPDATES]; /* traffic secrets 1.. of client and server, as logged */
	size_t updates[2];
	struct tls_secret psk; /* of the identity that the server chose; empty: there is none, or it is not known */
	/* Of a connection that somebody else held: what was read with keys of the log. */
	bool captured;
	struct schedule_opened opened[SCHEDULE_SECRETS];
	struct schedule_opened opened_master[2]; /* TLS 1.2: the client's and the server's records */
	struct schedule_opened opened_update[2][SCHEDULE_UPDATES];
	const char *ended[2]; /* why reading of client and server ended before the stream did; NULL: it did not */
};

void schedule_source_wipe(struct schedule_source *source);

/* What going through the messages gives. */
struct schedule_walk {
	const struct suite *suite;
	uint16_t version;
	bool extended;                           /* RFC 7627 */
	bool retried;                            /* HelloRetryRequest */
	bool psk_offered, psk_chosen, psk_alone; /* alone: no (EC)DHE beside it */
	bool server_first;                       /* TLS 1.2, resumed: the server's Finished comes first */
	struct bytes binder;                     /* of the identity that was chosen, else of the first one */
	struct tls_secret at_binder;             /* the hash that it is made over */
	struct tls_secret at_client_hello;       /* of the first one */
	struct bytes client_random, server_random;
	/* The transcript's hash up to and with: ServerHello, ClientKeyExchange, the first and the second Finished. */
	struct tls_secret at_server_hello, at_key_exchange, at_finished[2];
	struct tls_secret before_finished[2];
	struct bytes finished[2]; /* verify_data, in order of appearance */
	struct bytes ticket_nonce;
	bool has_ticket;
};

/* Tells the messages as a table, and fills *walk. False with err set when they are no whole handshake. */
must_check bool schedule_walk(struct crypto *crypto, const struct schedule_source *source, struct story *story,
	struct schedule_walk *walk, struct error *err);

/* The tree of secrets, and a row for each that can be compared. False only when libcrypto fails. */
must_check bool schedule_tell13(struct crypto *crypto, const struct schedule_source *source,
	const struct schedule_walk *walk, struct story *story);
must_check bool schedule_tell12(struct crypto *crypto, const struct schedule_source *source,
	const struct schedule_walk *walk, struct story *story);

/* What the secrets of a captured connection opened: a row for each that the log has. */
void schedule_tell_opened(const struct schedule_source *source, const struct schedule_walk *walk, struct story *story);

/* A line of the tree: `value` may be empty, which says that it is not known. `depth` steps from the root. */
void schedule_node(struct story *story, unsigned depth, const char *name, const char *made, struct bytes value);
/* A line that has no value, but stands above others. */
void schedule_branch(struct story *story, unsigned depth, const char *name, const char *made);
/* The table that schedule_node writes to. */
void schedule_tree(struct story *story, const char *title);
/* A row: computed = what stands elsewhere, in what `by` names. Nothing where either is empty. */
void schedule_compare(struct story *story, const struct schedule_source *source, const char *name, const char *title,
	struct bytes computed, struct bytes other, const char *by, const char *why);

/* Sources. Views of `*room` (wiped and cleared by the caller). */
must_check bool schedule_rfc8448(
	struct crypto *crypto, struct buffer *room, struct schedule_source *out, struct error *err);
must_check bool schedule_lab13(
	const struct lab *lab, struct buffer *room, struct schedule_source *out, struct error *err);
must_check bool schedule_lab12(
	const struct lab *lab, struct buffer *room, struct schedule_source *out, struct error *err);
/* Resumed with a ticket of an earlier connection; and one in which the server asks for another key share. */
must_check bool schedule_lab_resumed(
	const struct lab *lab, struct buffer *room, struct schedule_source *out, struct error *err);
must_check bool schedule_lab_retried(
	const struct lab *lab, struct buffer *room, struct schedule_source *out, struct error *err);
/* With LAB_HYBRID; see lab_has_group. */
must_check bool schedule_lab_hybrid(
	const struct lab *lab, struct buffer *room, struct schedule_source *out, struct error *err);
/* Connects to HOST[:PORT] (443), shakes hands, takes leave: within `timeout_ns`. Tells of the verification. */
must_check bool schedule_host(const struct lab *lab, const char *host, uint64_t timeout_ns, struct buffer *room,
	struct story *story, struct schedule_source *out, struct error *err);

#endif
