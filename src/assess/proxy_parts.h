/* assess/proxy_parts.h — between the parts of the assessment of a proxy. */
#ifndef ASSESS_PROXY_PARTS_H
#define ASSESS_PROXY_PARTS_H

#include "assess/identity.h"
#include "assess/origin.h"
#include "assess/proxy.h"
#include "assess/status.h"
#include "assess/through.h"
#include "tls/hello.h"

struct proxy {
	const struct proxy_options *options;
	struct target target;
	struct through_wish wish;
	struct identity_maker *maker;
	struct origin *origin;
	struct status *status;
	X509 *ca;   /* of options->ca */
	X509 *leaf; /* that the client got for a good server */
	struct identity good;
	struct report *report;
	bool speaks_13;         /* towards servers */
	struct visit_seen seen; /* large */
};

/* Plays a case and sends a request through the proxy. False when it cannot be played. Free `shown` in any case. */
must_check bool proxy_pass(struct proxy *proxy, const struct play *play, const struct through_wish *wish,
	struct through_seen *shown, struct error *err);
/* And adds the finding: `grade` where the request arrived. */
void proxy_try(struct proxy *proxy, const char *check, enum grade grade, const char *probed, const char *why,
	const struct play *play);

/* Checks 1 to 11, in servers' certificates. */
void proxy_certificates(struct proxy *proxy);
/* Reads it from the file of --ca. */
must_check bool proxy_read_ca(struct proxy *proxy, struct error *err);
/* 12 and 17: the proxy's own CA. */
void proxy_ca(struct proxy *proxy);
/* 13, 14 and 16 towards clients. */
void proxy_clients(struct proxy *proxy);
/* 10 and 13 to 16 towards servers. */
void proxy_conduct(struct proxy *proxy);
/* Of the control: the leaf that the client got (checks 18 and 25), and the hello that the server got (13 to 15). */
void proxy_tell_leaf(struct proxy *proxy, const struct through_seen *shown);
void proxy_tell_upstream(struct proxy *proxy);

#endif
