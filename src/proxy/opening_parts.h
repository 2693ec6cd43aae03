/* proxy/opening_parts.h — what the files of proxy/opening share among themselves: from step to step. */
#ifndef PROXY_OPENING_PARTS_H
#define PROXY_OPENING_PARTS_H

#include "proxy/conn.h"
#include "proxy/opening.h"

/* Ways out (opening_aside.c). Each is the last thing the caller does with the connection. */

/* By verdict, or by what would make one impossible: an alert to the client, counted as blocked. */
void opening_block(struct conn *conn, uint8_t alert, const char *name, const char *text);
/* The same, counted as failed. */
void opening_fail(struct conn *conn, uint8_t alert, const char *name, const char *text);
/* The held octets, hello and all, go to conn->server as they came; nobody looks any more. */
void opening_aside(struct conn *conn, unsigned pass, const char *rule, const char *reason);
/* The same on a fresh connection, the present one being used up. `reason`: static text; NULL: the rule said so. */
void opening_aside_afresh(struct conn *conn, const char *reason);
/*
 * Drops the server and connects to it again; after STARTTLS, brings it to where TLS begins. Then calls `go`. Only where
 * opening_may_reconnect.
 */
void opening_reconnect(struct conn *conn, void (*go)(struct conn *conn));
/* False with the reason, static text. */
must_check bool opening_may_reconnect(const struct conn *conn, const char **why);

/* Step 0 (opening.c). Connects to the target, or to `known` when it is given; then calls `dialled`. */
void opening_dial(struct conn *conn, const struct hostport *known,
	void (*dialled)(struct conn *conn, const struct dial_result *result));
/* A stage in which somebody else calls. */
void opening_wait(struct conn *conn);
/* The hello has said where to go. */
void opening_go_to_sni(struct conn *conn);

/* Steps 1 and 2 (opening_hello.c). */

/* Waits for the first octets of either side. */
void opening_watch_first(struct conn *conn);
/* The client's octets are to be a ClientHello. */
void opening_collect(struct conn *conn);
/* It is whole, and a server is connected. */
void opening_judge_hello(struct conn *conn);

/* Steps 3 and 4 (opening_look.c). */
void opening_look(struct conn *conn);

/* Step 5 (opening_answer.c). */

/* Which kind of leaf a client takes in this version of TLS. */
must_check enum keeper_key opening_leaf_key(const struct client_hello *hello, int version);
/* The verdict is to inspect: gets a leaf, writes the audit entry, answers the client. */
void opening_get_leaf(struct conn *conn);
/* Writes it. Else the reason, static text: the connection must not be inspected. */
must_check const char *opening_unaudited(struct conn *conn, const char *name);
/* Writes it, and says that it is inspected. False: the connection is settled. */
must_check bool opening_begin_inspection(struct conn *conn);
/* Leg 1 was begun. */
void opening_await_answer(struct conn *conn);
/* Both legs stand: the relay takes over. */
void opening_answered(struct conn *conn);
void opening_handshake_late(struct conn *conn);

#endif
