/* assess/proxy_parts.h — between the parts of the assessment of a proxy. */
#ifndef ASSESS_PROXY_PARTS_H
#define ASSESS_PROXY_PARTS_H

#include "assess/identity.h"
#include "assess/origin.h"
#include "assess/proxy.h"
#include "assess/through.h"
#include "tls/hello.h"

struct proxy {
	const struct proxy_options *options;
	struct target target;
	struct through_wish wish;
	struct identity_maker *maker;
	struct origin *origin;
	struct identity good;
	struct report *report;
	bool speaks_13;          /* towards servers */
	struct origin_seen seen; /* large */
};

/* Of the control: the leaf that the client got (checks 18 and 25), and the hello that the server got (13 to 15). */
void proxy_tell_leaf(struct proxy *proxy, const struct through_seen *shown);
void proxy_tell_upstream(struct proxy *proxy);

#endif
