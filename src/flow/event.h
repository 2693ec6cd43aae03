/*
 * flow/event.h — the one currency between whatever sees connections (proxy, capture) and whatever shows them: the
 * events of one connection, as values and as octets. No I/O, no clock, no allocation.
 *
 * The octets cross a process border whose writer may be hostile: event_decode takes nothing on trust, and every view
 * in a decoded event lies inside the octets it was given. Texts in events are as the network sent them (any octets):
 * a sink cleans them for its own form.
 */
#ifndef FLOW_EVENT_H
#define FLOW_EVENT_H

#include "base/bytes.h"

#define EVENT_VERSION    1
#define EVENT_NAME_MAX   255   /* octets of a host name, a stable name, a suite, a group, one ALPN protocol */
#define EVENT_TEXT_MAX   1024  /* octets of a reason, a certificate name, a key log line */
#define EVENT_DATA_MAX   65536 /* octets of plaintext in one DATA */
#define EVENT_LIST_MAX   16    /* entries of a list: what comes after is left out */
#define EVENT_SHA256_LEN 32
#define EVENT_HEADER_LEN 24
#define EVENT_DATA_AT    (EVENT_HEADER_LEN + 8)           /* where the plaintext begins in an encoded DATA */
#define EVENT_SIZE_MAX   (EVENT_DATA_AT + EVENT_DATA_MAX) /* no encoded event is longer */

enum flow_direction {
	FLOW_UP = 0,   /* client to server */
	FLOW_DOWN = 1, /* server to client */
};

enum event_kind {
	EVENT_OPEN = 1,
	EVENT_UPSTREAM, /* the server's address became known (again after stepping aside) */
	EVENT_HELLO,
	EVENT_TLS,
	EVENT_VERDICT, /* may come once per pass: the last one stands */
	EVENT_DATA,
	EVENT_GAP,
	EVENT_HALF, /* a direction was closed cleanly */
	EVENT_NOTICE,
	EVENT_KEYLOG,
	EVENT_CLOSE, /* the last of its flow */
};

struct flow_address {
	uint8_t family; /* 4, 6, or 0: not known, and the rest is 0 */
	uint8_t ip[16]; /* in network order; the first four octets where family is 4, the others 0 */
	uint16_t port;
};

enum flow_intake {
	INTAKE_CONNECT,
	INTAKE_HTTP, /* absolute-form request */
	INTAKE_SOCKS5,
	INTAKE_REDIRECT,
	INTAKE_TPROXY,
	INTAKE_REVERSE,
	INTAKE_SNI,
	INTAKE_CAPTURE,
	INTAKE_COUNT,
};

struct event_open {
	struct flow_address client;
	struct flow_address server; /* family 0 until a name is resolved */
	struct bytes host; /* the target as the client named it; empty when it named an address only by its packets */
	uint16_t port;     /* of the target */
	enum flow_intake intake;
	uint16_t worker;
};

struct event_upstream {
	struct flow_address server;
};

enum flow_ech {
	FLOW_ECH_NONE,
	FLOW_ECH_OUTER, /* real or GREASE: nobody but the server can tell */
	FLOW_ECH_INNER,
	FLOW_ECH_COUNT,
};

struct event_hello {
	struct bytes sni; /* empty: none sent */
	struct bytes alpn[EVENT_LIST_MAX];
	size_t alpn_count;
	uint16_t versions[EVENT_LIST_MAX]; /* supported_versions in order, GREASE included; else legacy_version alone */
	size_t version_count;
	struct bytes ja3; /* hex */
	struct bytes ja4;
	enum flow_ech ech;
};

struct event_certificate {
	bool present;
	struct bytes subject, issuer;     /* RFC 4514 text */
	uint8_t sha256[EVENT_SHA256_LEN]; /* of the DER */
	uint64_t not_after_s;             /* seconds since 1970-01-01 UTC */
	struct bytes verification;        /* stable name: "ok", "expired", … ; empty: not verified */
	struct bytes verification_text;   /* a sentence for people */
};

struct event_tls {
	unsigned leg;     /* 1: client–proxy, 2: proxy–server */
	uint16_t version; /* 0x0303, 0x0304 */
	uint16_t suite;
	struct bytes suite_name, group; /* IANA names */
	struct bytes alpn;              /* chosen; empty: none */
	bool resumed;
	struct event_certificate certificate; /* the server's on that leg */
};

enum flow_action { ACTION_INSPECT, ACTION_BYPASS, ACTION_BLOCK, ACTION_COUNT };

struct event_verdict {
	enum flow_action action;
	unsigned pass;       /* 0, 1, 2 */
	struct bytes rule;   /* its label in the rules file: "rule 3 (banks)", "default", … */
	struct bytes reason; /* a sentence for people */
	bool unmasked;       /* an inspecting rule says `mask: false`: credentials of this flow are shown as they are */
};

struct event_data {
	enum flow_direction direction;
	uint64_t offset;    /* plaintext octets of this direction before this chunk, those not published included */
	struct bytes bytes; /* at most EVENT_DATA_MAX */
};

enum flow_gap {
	GAP_RING_FULL, /* the scribe fell behind */
	GAP_UNTIL,     /* `inspect until` was reached */
	GAP_SKIPPED,   /* the scribe had asked for it */
	GAP_LOST,      /* the capture lacks it */
	GAP_SEALED,    /* no key opened it */
	GAP_COUNT
};

struct event_gap {
	enum flow_direction direction;
	uint64_t offset; /* where it begins, counted as in event_data */
	uint64_t octets;
	enum flow_gap why;
};

struct event_half {
	enum flow_direction direction;
};

enum flow_severity { SEVERITY_INFO, SEVERITY_WARN, SEVERITY_ERROR, SEVERITY_COUNT };

struct event_notice {
	enum flow_severity severity;
	struct bytes name; /* stable, lower case, hyphens: "client-distrusts" */
	struct bytes text; /* a sentence for people */
};

struct event_keylog {
	struct bytes line; /* one line of RFC 9850 without its newline. A secret: wipe what held it */
};

enum flow_ending {
	ENDING_DONE,    /* both sides closed as they should */
	ENDING_RESET,   /* a peer reset or vanished */
	ENDING_TIMEOUT, /* a deadline of ours passed */
	ENDING_FAILED,  /* connecting, verifying, or a handshake failed */
	ENDING_REFUSED, /* the client does not trust the leaf */
	ENDING_BLOCKED, /* by verdict */
	ENDING_STOPPED, /* the proxy was stopped */
	ENDING_LOST,    /* made by the scribe: the worker went away without a word */
	ENDING_COUNT,
};

struct event_close {
	enum flow_ending ending;
	struct bytes name;        /* stable: "upstream-unreachable", "unknown-ca", … ; empty: nothing to add */
	struct bytes text;        /* a sentence for people; may be empty */
	uint64_t wire_octets[2];  /* TCP payload by direction, as the client's side saw it */
	uint64_t plain_octets[2]; /* plaintext by direction, published or not */
	uint64_t duration_ns;     /* since OPEN */
};

struct event {
	enum event_kind kind;
	uint64_t flow;    /* unique within its ring */
	uint64_t time_ns; /* wall clock, since 1970-01-01 UTC */
	union {
		struct event_open open;
		struct event_upstream upstream;
		struct event_hello hello;
		struct event_tls tls;
		struct event_verdict verdict;
		struct event_data data;
		struct event_gap gap;
		struct event_half half;
		struct event_notice notice;
		struct event_keylog keylog;
		struct event_close close;
	};
};

/*
 * Writes the event: at most EVENT_SIZE_MAX octets. Texts over their maximum are cut, lists over theirs too; plaintext
 * over EVENT_DATA_MAX, a value outside its enum and a buffer too small give false.
 */
must_check bool event_encode(const struct event *event, void *out, size_t cap, size_t *len);

enum event_result {
	EVENT_OK,
	EVENT_BAD_HEADER,  /* shorter than a header, longer than any event, or its size is not that of the octets */
	EVENT_BAD_VERSION, /* written by another build */
	EVENT_BAD_KIND,
	EVENT_BAD_BODY, /* a length, enum or list outside what it may be, or octets left over */
};

/* One whole event. Views in *out point into `in`. *out is undefined on anything but EVENT_OK. */
must_check enum event_result event_decode(struct bytes in, struct event *out);

/* What can be said before the rest is read. `octets` is the plaintext's length where `kind` is EVENT_DATA, else 0. */
struct event_head {
	enum event_kind kind;
	uint64_t flow, time_ns;
	enum flow_direction direction; /* of a DATA */
	uint64_t offset;               /* of a DATA */
	size_t octets;
};

/* `in` is the first EVENT_DATA_AT octets (or all, where the event is shorter), `size` the length of the whole. */
must_check enum event_result event_peek(struct bytes in, size_t size, struct event_head *out);

/* Stable lower-case words for files and people: "open", "connect", "inspect", "ring-full", "done", … Never NULL. */
must_check const char *event_kind_name(enum event_kind kind);
must_check const char *flow_intake_name(enum flow_intake intake);
must_check const char *flow_action_name(enum flow_action action);
must_check const char *flow_gap_name(enum flow_gap why);
must_check const char *flow_ech_name(enum flow_ech ech);
must_check const char *flow_severity_name(enum flow_severity severity);
must_check const char *flow_ending_name(enum flow_ending ending);
must_check const char *flow_direction_name(enum flow_direction direction); /* "up", "down" */

/* "192.0.2.1:443", "[2001:db8::1]:443", "-" when not known. Returns the length. `cap` of FLOW_ADDRESS_TEXT suffices. */
#define FLOW_ADDRESS_TEXT 56
size_t flow_address_text(const struct flow_address *address, char *out, size_t cap);
/* Without the port and without brackets. */
size_t flow_ip_text(const struct flow_address *address, char *out, size_t cap);

#endif
