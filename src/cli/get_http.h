/* cli/get_http.h — one GET over a connection and its response (RFC 9112), however large the body. */
#ifndef CLI_GET_HTTP_H
#define CLI_GET_HTTP_H

#include "cli/get_link.h"
#include "cli/get_url.h"

struct get_answer {
	unsigned status;
	char location[1024]; /* of a redirect, clean; "" when there is none */
	uint64_t octets;     /* of the body, given to `body` */
};

struct get_request {
	const struct get_url *url;
	uint64_t max_octets; /* of the body */
	/* Each stretch of the body. False: it cannot be taken, and `err` says why. */
	bool (*body)(void *ctx, struct bytes part, struct error *err);
	void *ctx;
};

/* Sends the request and reads the response to its end. False when it is malformed, cut, or too large. */
must_check bool get_http(
	struct get_link *link, const struct get_request *request, struct get_answer *answer, struct error *err);

#endif
