/* proxy/local_parts.h — `overt local` seen from the stages of a connection, and what its own files share. */
#ifndef PROXY_LOCAL_PARTS_H
#define PROXY_LOCAL_PARTS_H

#include "proxy/local.h"
#include "proxy/local_book.h"
#include "proxy/local_peer.h"
#include "proxy/local_refused.h"

#include "proxy/leg.h"

struct conn;
struct worker;

#define LOCAL_TOKEN 33 /* 16 octets in hex, and the NUL */

struct local {
	struct loop *loop;
	struct local_options options;
	struct worker *worker; /* NULL: not begun */
	struct local_peer_asker asker;
	uid_t owner;
	struct book book;
	struct refused refused;
	char token[LOCAL_TOKEN]; /* what forms of the page carry; of this run */
	int64_t began_s;
	struct loop_timer save;
	bool changed; /* the book, since it was written */
	struct local_counts counts;
};

/* What is known of one connection while it opens (struct opening). */
struct local_case {
	X509 *server; /* the server's own certificate, of the proof; NULL: what leg 2 showed */
	struct book_entry what;
	struct error why; /* the user's refusal; "": none */
	/* How a connection ends that was turned away. */
	const char *name; /* stable; static text */
	char text[700];
	uint8_t alert;
	bool by_user;
};

/* The worker, which outlives all its connections. */
void local_begin(struct local *local, struct worker *worker);
/* Does this fresh connection come from a program of our own user? Counts and logs those that do not. */
must_check bool local_admits(struct local *local, int fd);

/* Leg 2 (local_leg.c). */

/*
 * A context for leg 2 that offers these roles. `program_verify` judges what neither proof nor web roots decide. Replaces
 * the context's certificate verify callback.
 */
must_check bool local_attach(struct local *local, SSL_CTX *ctx, uint8_t roles,
	int (*program_verify)(X509_STORE_CTX *store, void *arg), struct error *err);
/* Whether nothing but Accord, or the server itself, is accepted. */
must_check bool local_required(const struct local *local);
/* The roles to be offered on this connection. */
must_check uint8_t local_roles(const struct conn *conn);
/* After a handshake of leg 2: were all checks made? Else the connection was ended. */
must_check bool local_passed(struct conn *conn);
/* The handshake failed for a reason of Accord's, or of the user's: settled. */
must_check bool local_settles_failure(struct conn *conn, enum leg_result result);
void local_case_free(struct local_case *known);
/*
 * In place of an alert, for programs that speak HTTP: goes on without leg 2, and ends as conn->opening->local says. False
 * when nothing can be explained: then the caller ends the connection.
 */
must_check bool local_explain(struct conn *conn);

/* What became of it (local.c). */

/* Leg 2 stands, and the program is answered next: in the book, under this reason. Else the connection was ended. */
must_check bool local_opened(struct conn *conn);
/* For the verdict: who reads. Within one turn. */
must_check const char *local_reason(struct conn *conn);
/* An opened connection is over. */
void local_ended(struct conn *conn);
/* No TLS: in the book. False with the reason when the user wants nobody to read that site. */
must_check bool local_permits_plain(struct conn *conn, struct error *why);
/* Turned away: in the book, and in the log. `check` 0: none failed. */
void local_note_refused(struct conn *conn, unsigned check, const char *why);

/* The user's word (local_page.c): kept at once, and carried out on connections in progress. */
must_check bool local_refuse(struct local *local, enum refused_kind kind, struct bytes what, struct error *err);
must_check bool local_take_back(struct local *local, enum refused_kind kind, struct bytes what, struct error *err);

#endif
