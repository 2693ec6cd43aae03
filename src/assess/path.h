/*
 * assess/path.h — is somebody terminating TLS between here and a server, and how well? Judged by the server's certificate,
 * by keys or another place's report that are expected, by how it answers, and by what a cooperating server at the other end
 * saw (assess/listen.h). Nothing but the named host is asked; without a cooperating server no request is sent.
 */
#ifndef ASSESS_PATH_H
#define ASSESS_PATH_H

#include "assess/report.h"
#include "assess/vantage.h"

#define PATH_CONNECTIONS 80

struct path_options {
	const char *host;      /* HOST[:PORT]; 443 by default */
	const char *name;      /* server_name to ask for and to verify; NULL: HOST */
	const char *proxy;     /* explicit proxy, HOST:PORT; NULL: none */
	const char *trust;     /* file of what is trusted here; NULL: the system's */
	const char *web_roots; /* file or folder of the roots that browsers trust; NULL: where Debian keeps them */
	const struct expect *expect;
	bool listener; /* the host runs `overt assess --listen`: ask it what it saw */
	uint64_t patience_ns, whole_ns, pause_ns;
};

enum path_verdict { PATH_NOBODY, PATH_SOMEBODY, PATH_CANNOT_TELL };

/* NULL with err set when the host cannot be reached, or no handshake comes about. */
must_check struct report *path_assess(
	const struct path_options *options, enum path_verdict *verdict, struct error *err);

#endif
