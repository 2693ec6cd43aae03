/*
 * proxy/accord_opening.h — what Accord adds to the opening of a connection (docs/accord.md, 4.2): who gets it, how leg 2
 * introduces us, and what becomes of the server's answer. Where it says false, the connection is over or waits for
 * somebody else.
 */
#ifndef PROXY_ACCORD_OPENING_H
#define PROXY_ACCORD_OPENING_H

#include "audit/entry.h"
#include "proxy/leg.h"

struct conn;

/* After the first pass: does the client's offer apply? */
must_check bool accord_apply(struct conn *conn);
/* Before leg 2's handshake: the introduction. */
must_check bool accord_introduce(struct conn *conn, struct error *err);

/* In leg 2's callbacks. */

/* The server shows a proof of its own: it is a proxy, judged by the Accord anchors into opening->verified. */
must_check int accord_judge_proxy(struct conn *conn, X509_STORE_CTX *store);
/* It asks for a certificate on account of Accord: it demands the client's approval, or ends what it has refused. */
must_check bool accord_certificate_due(const struct conn *conn);
/* For SSL_CTX_set_cert_cb. Stands still until the client has approved. */
must_check int accord_certificate(struct conn *conn, SSL *ssl);

/* Leg 2's handshake failed for a reason of Accord's: settled. */
must_check bool accord_settles_failure(struct conn *conn, enum leg_result result);
/* The verdict is final, and to inspect: may it be done as begun? */
must_check bool accord_confirm(struct conn *conn);
/* Answers the client with the proof, or ends. */
void accord_answer(struct conn *conn);
/* Leg 1 stands and leg 2 waits for the client's approval: passes it on and goes on by opening_answered. */
void accord_pass_approval(struct conn *conn);

/* For people and the audit log: what was done, by key=value. */
#define ACCORD_SUMMARY 96
void accord_summary(const struct conn *conn, char out[ACCORD_SUMMARY]);

/* The client took the proof, or did not. */
void accord_note_taken(struct conn *conn);
void accord_note_not_taken(struct conn *conn, const char *why);

#endif
