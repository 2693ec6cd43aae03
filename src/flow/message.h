/*
 * flow/message.h — HTTP messages as decoders give them out and sinks take them in (RFC 9110). Views are valid during
 * the call that passes them and not longer. Header names and values are as sent: any octets but those the decoder
 * refused.
 */
#ifndef FLOW_MESSAGE_H
#define FLOW_MESSAGE_H

#include "base/bytes.h"

enum message_version { MESSAGE_HTTP_1_0, MESSAGE_HTTP_1_1, MESSAGE_HTTP_2, MESSAGE_VERSION_COUNT };

struct message_header {
	struct bytes name, value;
};

struct message_request {
	uint64_t flow;
	uint64_t stream;  /* h2: the stream id; h1: 1, 2, 3 … in the order of requests on the connection */
	uint64_t time_ns; /* wall clock at the first octet of the head, as near as the events tell */
	enum message_version version;
	struct bytes method;
	struct bytes scheme;                  /* ":scheme"; h1: from an absolute-form target, else empty */
	struct bytes authority;               /* ":authority", else Host; may be empty */
	struct bytes path;                    /* ":path" or request-target with its query; for CONNECT empty */
	const struct message_header *headers; /* in order, pseudo-headers left out; Host of h1 stays in */
	size_t header_count;
	bool headers_cut; /* the decoder's caps left some out */
};

struct message_response {
	uint64_t flow, stream, time_ns;
	enum message_version version;
	unsigned status;     /* 100..999 */
	bool interim;        /* 1xx: another response follows */
	struct bytes reason; /* h1 only; may be empty */
	const struct message_header *headers;
	size_t header_count;
	bool headers_cut;
};

/* Part of a body, transfer coding removed, content coding as sent. Given out only where somebody wants bodies. */
struct message_body {
	uint64_t flow, stream, time_ns;
	bool response;      /* else of the request */
	uint64_t offset;    /* body octets before this part, lost and skipped ones included */
	struct bytes bytes; /* empty together with `lost`: a stretch that is missing */
	uint64_t lost;      /* octets missing here; 0: none */
};

enum message_ending {
	MESSAGE_DONE,     /* request and response are complete */
	MESSAGE_RESET,    /* RST_STREAM, or the connection ended in the middle */
	MESSAGE_UPGRADED, /* 101 or a 2xx to CONNECT: what follows is no HTTP */
	MESSAGE_BROKEN,   /* not HTTP any more; decoding of this direction stopped */
	MESSAGE_MISSED,   /* octets needed to follow it were lost */
	MESSAGE_ENDING_COUNT,
};

/* Fields behind a body (RFC 9110, 6.5), pseudo-headers left out. */
struct message_trailers {
	const struct message_header *fields;
	size_t count; /* 0: there were none */
	bool cut;     /* the decoder's caps left some out */
};

/* Exactly one for every request and for every response without a request (h1 only). */
struct message_end {
	uint64_t flow, stream, time_ns;
	uint64_t request_octets, response_octets; /* of the bodies, as in message_body; lost and skipped ones count */
	uint64_t duration_ns;                     /* from the request's head to here */
	struct message_trailers request_trailers, response_trailers;
	enum message_ending ending;
};

/* First value of a header, by name without case. False when there is none. */
must_check bool message_header_find(
	const struct message_header *headers, size_t count, const char *name, struct bytes *out);

/* "HTTP/1.0", "HTTP/1.1", "HTTP/2"; "done", "reset", "upgraded", "broken", "missed". Never NULL. */
must_check const char *message_version_name(enum message_version version);
must_check const char *message_ending_name(enum message_ending ending);

#endif
