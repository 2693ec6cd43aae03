/* decode/http1_head.h — one head of HTTP/1 as a whole (RFC 9112, 2 to 6). No I/O, no allocation. */
#ifndef DECODE_HTTP1_HEAD_H
#define DECODE_HTTP1_HEAD_H

#include "flow/message.h"

#define HTTP1_HEADERS_MAX 256 /* headers given out, whatever the limit says */

enum http1_framing {
	HTTP1_LENGTH, /* `length` octets follow; 0 where nothing was said and nothing follows */
	HTTP1_CHUNKED,
	HTTP1_CLOSE, /* a response until the connection closes */
};

/* Views are of the octets that were parsed. Left as it is by a head that is bad. */
struct http1_head {
	enum message_version version;
	struct bytes method, target; /* of a request */
	unsigned status;             /* of a response, 100..999 */
	struct bytes reason;
	enum http1_framing framing; /* as said by the headers alone: method and status may overrule it */
	uint64_t length;
	bool said_length; /* by Content-Length */
	bool upgrade;     /* Upgrade, named by Connection too */
	size_t header_count;
	bool headers_cut;
	struct message_header headers[HTTP1_HEADERS_MAX];
};

/* Octets of `in` up to and with the empty line that ends a head, looked for from `from` on. 0: not there yet. */
must_check size_t http1_head_end(struct bytes in, size_t from);

/*
 * `in` is a whole head, nothing before and nothing behind it. At most `max` headers are kept. NULL: well; else what is
 * bad, a text for people. Anything that two readers could understand in two ways is bad.
 */
must_check const char *http1_head_request(struct bytes in, size_t max, struct http1_head *out);
must_check const char *http1_head_response(struct bytes in, size_t max, struct http1_head *out);

/* Scheme, authority and path of a request, from its target and Host. */
struct http1_target {
	struct bytes scheme, authority, path;
};

must_check struct http1_target http1_target_of(const struct http1_head *head);

/* True for octets that begin with the whole start line of a request, or of a response. Not all that do parse. */
must_check bool http1_begins_request(struct bytes in);
must_check bool http1_begins_response(struct bytes in);

/* True for an octet of a token (RFC 9110, 5.6.2). */
must_check bool http1_token_octet(uint8_t c);

#endif
