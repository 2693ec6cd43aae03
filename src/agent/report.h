/*
 * agent/report.h — what the preload agent tells `overt exec`: datagrams on a local socket. In the presentation language
 * of TLS, one per datagram:
 *
 *     struct { uint8 version = 2; opaque token[16]; uint8 kind; uint32 pid; opaque program<0..255>; opaque text<0..511>;
 *              uint32 lost;
 *              select (kind) { case connection: Connection; case served: Served; default: struct {}; } } Report;
 *     struct { uint8 path; uint8 check; uint8 leg; opaque fault<0..255>; opaque host<0..255>; uint8 told;
 *              opaque statement<0..255>; uint8 count; Hop hop[count]; } Connection;
 *     struct { uint8 served; uint8 told; uint8 purpose; opaque host<0..255>; opaque peer<0..255>; opaque rule<0..255>;
 *              opaque client<0..255>; opaque statement<0..255>; uint8 count; Hop hop[count]; } Served;
 *     struct { opaque name<0..255>; uint8 role; opaque purpose<0..255>; } Hop;
 *
 * No I/O, no allocation. The sender is a program of the run, which may send anything; the token, which only its programs
 * know, tells it from others on the machine.
 */
#ifndef AGENT_REPORT_H
#define AGENT_REPORT_H

#include "base/bytes.h"

#define REPORT_VERSION 2
#define REPORT_MAX     8192 /* octets of a datagram */
#define REPORT_HOPS    4
#define REPORT_TEXT    511 /* octets of `text` */
#define REPORT_TOKEN   16

enum report_kind {
	REPORT_ATTACHED = 1,   /* the program has made a TLS context that speaks Accord */
	REPORT_CONNECTION = 2, /* what stands at the other end of a connection */
	REPORT_BARRED = 3,     /* `text`: why a context speaks no Accord; under `require` it was not made */
	REPORT_OTHER = 4,      /* `text`: the TLS libraries that the program has, none of which the agent reaches */
	REPORT_SERVED = 5,     /* a proxy has introduced itself to the program, which is a server */
	REPORT_RULES = 6,      /* `text`: the server's rules were read again, or could not be */
};

/* As enum accord_served (accord/server.h), in numbers that stay. */
enum report_served {
	REPORT_ACCEPTED = 1,
	REPORT_DECLINED = 2,
	REPORT_UNMET = 3,
	REPORT_LEFT = 4,
	REPORT_IGNORED = 5, /* by rule: as a server that knows nothing of Accord */
};

/* As enum accord_path (accord/client.h), in numbers that stay. */
enum report_path {
	REPORT_PROVEN = 1,
	REPORT_DIRECT = 2,
	REPORT_LOCAL = 3,
	REPORT_REFUSED = 4,
};

#define REPORT_TOLD_SEALED  1 /* the server was not told who stands in between */
#define REPORT_TOLD_VERDICT 2 /* the server is aware of Accord and accepts; `statement` is its word */

struct report_hop {
	struct bytes name;
	uint8_t role; /* enum accord_role */
	struct bytes purpose;
};

/* Texts are as strangers sent them: clean them (base/text.h) before they are shown. */
struct report {
	uint8_t token[REPORT_TOKEN];
	uint8_t kind; /* enum report_kind */
	uint32_t pid;
	struct bytes program, text;
	uint32_t lost; /* reports of that process before this one that could not be sent */
	/* With REPORT_CONNECTION only. */
	uint8_t path;  /* enum report_path */
	uint8_t check; /* 1..6, with REPORT_REFUSED; 0: no check of a proof failed */
	uint8_t leg;
	struct bytes fault, host;
	uint8_t told; /* set of REPORT_TOLD_… */
	struct bytes statement;
	struct report_hop hop[REPORT_HOPS]; /* the program's neighbour first */
	size_t hops;
	/* With REPORT_SERVED only, as are host, told, statement and hops; `text` says what was wrong. */
	uint8_t served; /* enum report_served */
	uint8_t purpose;
	struct bytes peer, rule, client; /* client: who approved; empty: nobody was asked */
};

enum report_result {
	REPORT_OK,
	REPORT_TRUNCATED,
	REPORT_TRAILING,
	REPORT_VERSION_UNKNOWN,
	REPORT_VALUE, /* a field with a value that has no meaning */
};

must_check const char *report_result_text(enum report_result result);
/* *out has views of `in`; not to be used on anything but REPORT_OK. */
must_check enum report_result report_read(struct bytes in, struct report *out);
/* Texts that are too long are cut. What does not fit, or has no meaning, sets `full`. */
void report_write(struct writer *w, const struct report *report);

#endif
