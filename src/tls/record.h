/* tls/record.h — the record layer's outer form (RFC 8446, 5.1; RFC 5246, 6.2). No I/O, no allocation. */
#ifndef TLS_RECORD_H
#define TLS_RECORD_H

#include "base/bytes.h"

/* Content types (IANA "TLS ContentType"). */
enum record_type {
	RECORD_CHANGE_CIPHER_SPEC = 20,
	RECORD_ALERT = 21,
	RECORD_HANDSHAKE = 22,
	RECORD_APPLICATION_DATA = 23,
	RECORD_HEARTBEAT = 24,
};

#define RECORD_HEADER 5
/* The most a fragment may hold: in the clear, protected by TLS 1.3, protected by TLS 1.2 (CBC padding, compression). */
#define RECORD_MAX_PLAINTEXT 16384
#define RECORD_MAX_TLS13     (RECORD_MAX_PLAINTEXT + 256)
#define RECORD_MAX_FRAGMENT  (RECORD_MAX_PLAINTEXT + 2048)

/* One record as it stands in a buffer. `fragment` points into the caller's bytes. */
struct record {
	uint8_t type;          /* content type as seen on the wire: 20..24 */
	uint16_t version;      /* legacy_record_version, 0x0300..0x03ff: says nothing about the version spoken */
	struct bytes fragment; /* at most RECORD_MAX_FRAGMENT octets */
};

enum record_result {
	RECORD_OK,
	RECORD_NEED_MORE, /* not a fault: call again with more bytes */
	RECORD_NOT_TLS,   /* no record header can begin so: unknown content type, or major version other than 3 */
	RECORD_TOO_LONG,  /* fragment over RECORD_MAX_FRAGMENT */
};

/*
 * Reads one record from the front of `in` and moves `in` past it. On anything but RECORD_OK, `in` and `*out` stay as
 * they were. A bad header is told from its first bad octet on, without waiting for the rest. Whether the fragment keeps
 * to the tighter limits above is for callers who know what protects it.
 */
must_check enum record_result record_read(struct bytes *in, struct record *out);

/*
 * How many octets must follow `in` before record_read can say more than RECORD_NEED_MORE: first those of the header,
 * then those of the fragment. 0 when it already can.
 */
must_check size_t record_missing(struct bytes in);

/* "handshake" and so on; NULL for types 20..24 do not cover. */
must_check const char *record_type_name(uint8_t type);

#endif
