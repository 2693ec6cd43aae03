/*
 * assess/proxy.h — what an inspecting proxy refuses and what it makes of certificates, against servers of our own on
 * loopback. A case is passed only where no octet of the client's request reached the server. The checks have the numbers of
 * the list in docs/assess.md.
 */
#ifndef ASSESS_PROXY_H
#define ASSESS_PROXY_H

#include "assess/report.h"
#include "base/error.h"

struct proxy_options {
	const char *proxy;    /* HOST:PORT */
	const char *ca;       /* file: the CA that the proxy issues with */
	const char *origin;   /* folder of the root that the proxy trusts for this; NULL: it is not told of any */
	const char *name;     /* of the server, must lead to 127.0.0.1 where the proxy looks it up; NULL: localhost */
	uint16_t origin_port; /* 0: of the kernel's choice */
	bool direct;          /* no CONNECT: the proxy knows where to go, or goes by server_name */
	uint64_t patience_ns; /* of one connection */
	uint64_t whole_ns;
};

/* Makes the root in options->origin, if it is not there, and says in `path` where it is. */
must_check bool proxy_make_root(const char *folder, char *path, size_t cap, struct error *err);
/* NULL with err set when there is no proxy, or not even a good server is reached through it. */
must_check struct report *proxy_assess(const struct proxy_options *options, struct error *err);

#endif
