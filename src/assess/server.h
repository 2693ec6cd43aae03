/*
 * assess/server.h — what a TLS server speaks and shows, and whether a proxy could drop out of its connections. Nothing but
 * the named host is asked: one connection after the other, with a pause, at most TARGET_CONNECTIONS, within a deadline. No
 * request is sent.
 */
#ifndef ASSESS_SERVER_H
#define ASSESS_SERVER_H

#include "assess/report.h"
#include "assess/target.h"

struct server_options {
	const char *host;     /* HOST[:PORT]; 443 by default */
	const char *name;     /* server_name to ask for and to verify; NULL: HOST */
	const char *trust;    /* file of anchors; NULL: the system's */
	uint64_t patience_ns; /* of one connection */
	uint64_t whole_ns;    /* of all */
	uint64_t pause_ns;
};

/* NULL with err set when the host cannot be reached, does not speak TLS, or does not answer. */
must_check struct report *server_assess(const struct server_options *options, struct error *err);

#endif
