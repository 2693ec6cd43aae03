/*
 * proxy/intake_http.h — HTTP/1 on the explicit port (RFC 9110, RFC 9112): the head of a proxied request, the head to
 * send on instead, where a message ends, credentials of the proxy, and the proxy's own replies; and, for an upstream
 * proxy, CONNECT as its client. No I/O, no allocation.
 *
 * The plan for plain HTTP, which keeps one client's framing mistake from becoming another's request:
 *  - one request per upstream connection. The head sent on says `Connection: close`, and only the octets that belong to
 *    this request are sent, so whatever the server makes of them, no second request can be among them;
 *  - the client's connection lives on, towards any host: its next request is read when the response has ended;
 *  - a message whose end could be read in two ways is refused (400, or 502 for a response), never repaired;
 *  - a change of protocol (RFC 9110, 7.8) is passed on when a request without a body asks for it and the server does what
 *    it was asked, as WebSocket begins. Not to HTTP or TLS: further requests, or secrets, would hide behind it.
 *
 * The grammar is read here and not by llhttp, which accepts more than RFC 9112 does, and not the same in each version
 * and build (bare LF and folded lines in trailers, HTTP/0.9, blanks before a colon, anything in place of CRLF after a
 * chunk). The tests hold every message accepted here against llhttp.
 */
#ifndef PROXY_INTAKE_HTTP_H
#define PROXY_INTAKE_HTTP_H

#include "base/bytes.h"
#include "base/error.h"
#include "proxy/target.h"

#define HTTP_MAX_HEAD    ((size_t)32 * 1024)
#define HTTP_MAX_FIELDS  128
#define HTTP_MAX_FORWARD (HTTP_MAX_HEAD + 2048) /* room that every rewritten head fits in */
#define HTTP_MAX_TRAILER ((size_t)8 * 1024)     /* chunk extensions and trailer fields of one message, together */

/* What a fresh connection to the explicit port speaks, told from its first octets. */
enum intake_protocol {
	SPEAKS_NEED_MORE,
	SPEAKS_HTTP,
	SPEAKS_SOCKS4,
	SPEAKS_SOCKS5,
	SPEAKS_TLS,      /* a ClientHello: TLS to the proxy itself, or a mistaken client */
	SPEAKS_PROXY_V1, /* PROXY protocol: only where the listener expects it */
	SPEAKS_PROXY_V2,
	SPEAKS_UNKNOWN,
};

must_check enum intake_protocol intake_protocol(struct bytes in);

struct http_field {
	struct bytes name, value; /* value without blanks around it */
};

enum http_framing {
	HTTP_NO_BODY,
	HTTP_LENGTH,
	HTTP_CHUNKED,
	HTTP_UNTIL_CLOSE, /* responses only */
};

/* How far a head has been looked through, so that octets that come one by one are looked at once. Zeroed when new. */
struct http_scan {
	size_t at;
	bool begun; /* the first line was in order */
};

/* One head. Every view points into the octets it was read from. */
struct http_head {
	size_t len;    /* octets of the head with its empty line: the body, or the tunnel, begins there */
	uint8_t minor; /* HTTP/1.0 or 1.1 */
	struct bytes method, uri;
	uint16_t status; /* responses */
	struct bytes reason;
	struct http_field fields[HTTP_MAX_FIELDS];
	size_t count;
	enum http_framing framing;
	bool has_length, chunked; /* what the fields say; in an answer to HEAD it says nothing about framing */
	uint64_t content_length;
	bool close; /* the sender wants, or its version means, no second message */
};

enum intake_http_result {
	INTAKE_HTTP_NEED_MORE, /* not a fault: call again with more octets behind the same ones */
	INTAKE_HTTP_BAD,       /* answer `status`, then close */
	INTAKE_HTTP_TOO_LONG,  /* the head passed a cap: answer 431, then close */
	INTAKE_HTTP_CONNECT,   /* a tunnel to `target` begins at head.len */
	INTAKE_HTTP_ABSOLUTE,  /* a plain request to `target` */
	INTAKE_HTTP_ORIGIN, /* a request to the proxy itself; `target` is the Host, port 0 and empty when there is none */
};

struct intake_http {
	struct http_scan scan;

	/* Set with INTAKE_HTTP_BAD and _TOO_LONG. */
	uint16_t status;
	struct error why;

	/* Set with the last three results. */
	struct http_head head;
	struct target target;
	struct bytes path;                /* begins with `/` or `?`, or is `*`, or empty (always for CONNECT) */
	struct bytes proxy_authorization; /* its value, empty when absent. A secret */
	bool looped;                      /* Via already names this proxy */
};

/*
 * Reads one request head at the front of `in`, all octets of the request that have come. `via` is this proxy's name in
 * Via. `h` is zeroed by the caller before the first call and must be zeroed again for the next request.
 */
must_check enum intake_http_result intake_http_read(struct intake_http *h, struct bytes in, struct bytes via);

/*
 * Writes the head to send upstream for INTAKE_HTTP_ABSOLUTE: origin-form, Host as the target says (RFC 9112, 3.2.2),
 * without hop-by-hop fields, with Via (RFC 9110, 7.6.3) and `Connection: close`, or `upgrade`. An HTTP/1.0 client's request goes on
 * as HTTP/1.0, so that the response needs no other framing than the client can read. `upstream_proxy`, when not NULL,
 * makes it absolute-form for that proxy, with its credentials (may be empty) as Proxy-Authorization.
 * The writer is full when it did not fit: HTTP_MAX_FORWARD octets always do for
 * `via` up to 255 octets.
 */
struct http_upstream_proxy {
	struct bytes credentials; /* `user:password` of at most 512 octets, empty for none */
};
void intake_http_forward(const struct intake_http *h, struct bytes via,
	const struct http_upstream_proxy *upstream_proxy, struct writer *w);

/* The field's value, or an empty view. The first one when there are more. */
must_check struct bytes http_field(const struct http_head *head, const char *name);

#define HTTP_UPGRADE_MAX 63 /* octets of the Upgrade field of a request that is passed on */

/* What must be remembered of a request to read and send on its response. */
struct http_asked {
	bool head;   /* the method is HEAD: no body follows */
	bool http10; /* the client knows neither chunks nor interim responses */
	bool close;
	char upgrade[HTTP_UPGRADE_MAX + 1]; /* the protocols it may change to, as in its Upgrade field; "": to none */
};

must_check struct http_asked http_asked(const struct http_head *request);

enum http_response_result {
	HTTP_RESPONSE_NEED_MORE,
	HTTP_RESPONSE_BAD,      /* answer 502 with *why */
	HTTP_RESPONSE_INTERIM,  /* a 1xx: send it on, then read the next head behind it with a new scan */
	HTTP_RESPONSE_SWITCHES, /* 101, as asked: what follows it in both directions is another protocol */
	HTTP_RESPONSE_FINAL,
};

/* Reads one response head at the front of `in`. A head over HTTP_MAX_HEAD is HTTP_RESPONSE_BAD. */
must_check enum http_response_result http_response_read(struct http_scan *scan, struct bytes in,
	const struct http_asked *asked, struct http_head *head, struct error *why);
/*
 * Writes the head to send to the client: without hop-by-hop fields, with Via. Returns whether the client's connection
 * must be closed behind this response, which the head then says: because the request asked for it, because only closing
 * ends the body, or because the caller says `must_close` (as when the request's body was not read to its end). Of an
 * interim response nothing is written for a client of HTTP/1.0. HTTP_MAX_FORWARD octets always suffice.
 */
bool http_response_forward(const struct http_head *head, const struct http_asked *asked, struct bytes via,
	bool must_close, struct writer *w);

/* Follows a body to its last octet. Nothing of it is kept. */
struct http_body {
	enum http_framing framing;
	uint64_t left;   /* of the length, or of the present chunk */
	uint64_t seen;   /* octets of content, without chunk lines */
	size_t overhead; /* octets of extensions and trailer fields, see HTTP_MAX_TRAILER */
	uint8_t stage;   /* enum chunk_stage of the source */
	uint8_t digits;  /* of the chunk's size so far */
	bool done, broken;
};

enum http_body_result {
	HTTP_BODY_MORE, /* all of `in` belongs to the body, and more is to come */
	HTTP_BODY_DONE, /* the first *used octets of `in` do; the message has ended */
	HTTP_BODY_BAD,  /* the chunked framing is broken: send nothing more of it on, close both sides */
};

/* Right after it, http_body_feed with no octets tells whether there is a body at all. */
void http_body_begin(struct http_body *body, const struct http_head *head);
must_check enum http_body_result http_body_feed(
	struct http_body *body, struct bytes in, size_t *used, struct error *why);
/* The sender closed: true when the message may end here. */
must_check bool http_body_may_end(const struct http_body *body);

/* Who may use the proxy. The views are the caller's, who wipes them. */
struct intake_user {
	enum { INTAKE_USER_BASIC, INTAKE_USER_BEARER } scheme;
	struct bytes secret; /* `user:password` (RFC 7617), or a token (RFC 6750) */
};

struct intake_users {
	const struct intake_user *list;
	size_t count; /* 0: nobody is asked */
};

/*
 * Checks the value of Proxy-Authorization, or a name and a password of SOCKS (RFC 1929). Every entry is compared in a
 * time that tells lengths only. *which is the entry on success.
 */
must_check bool intake_auth_header(struct bytes value, const struct intake_users *users, size_t *which);
must_check bool intake_auth_password(
	struct bytes name, struct bytes password, const struct intake_users *users, size_t *which);

/* A reply of the proxy's own. */
struct http_reply {
	uint16_t status;
	const char *what;         /* what failed, one sentence; NULL: only the status */
	const char *todo;         /* what can be done about it; NULL: nothing said */
	const char *content_type; /* with `body`; `what` and `todo` are then not used */
	struct bytes body;
	bool head_only;                         /* answers HEAD */
	bool keep_alive;                        /* else the reply says close */
	bool challenge_basic, challenge_bearer; /* for 407 */
};

/*
 * Writes the whole reply, head and body. What strangers sent may stand in `what`: it is cleaned. The body is plain text
 * unless content_type says otherwise. 2 KiB and the body always suffice.
 */
void intake_http_reply(const struct http_reply *reply, struct writer *w);
/* The answer to CONNECT after which the tunnel begins. */
must_check struct bytes intake_http_established(void);
must_check const char *http_status_text(uint16_t status);

/* As a client of an upstream proxy: CONNECT for the target, with `user:password` unless `credentials` is empty. */
void http_connect_write(const struct target *target, struct bytes credentials, struct writer *w);

enum http_connect_result {
	HTTP_CONNECT_NEED_MORE,
	HTTP_CONNECT_BAD,     /* no HTTP reply: `why` */
	HTTP_CONNECT_REFUSED, /* `status` says how, `why` in words */
	HTTP_CONNECT_OPEN,    /* the tunnel begins after `used` octets */
};

/* Zeroed when new. */
struct http_connect {
	struct http_scan scan;
	size_t used; /* octets of interim replies; with HTTP_CONNECT_OPEN, of all that comes before the tunnel */
	uint16_t status;
	struct error why;
};

/* Reads the upstream proxy's answer: `in` is all that has come from it. Interim replies are passed over. */
must_check enum http_connect_result http_connect_read(struct http_connect *c, struct bytes in);

#endif
