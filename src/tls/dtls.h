/*
 * tls/dtls.h — records, handshake fragments and HelloVerifyRequest of DTLS 1.0 and 1.2 (RFC 6347, 4.1 and 4.2). No I/O,
 * no allocation; views point into the caller's bytes.
 */
#ifndef TLS_DTLS_H
#define TLS_DTLS_H

#include "base/bytes.h"

#define DTLS_VERSION_10 0xfeff
#define DTLS_VERSION_12 0xfefd
#define DTLS_VERSION_13 0xfefc

#define DTLS_RECORD_HEADER    13
#define DTLS_HANDSHAKE_HEADER 12

struct dtls_record {
	uint8_t type;      /* content type: 20..24 */
	uint16_t version;  /* DTLS_VERSION_10 or DTLS_VERSION_12 */
	uint16_t epoch;    /* 0: in the clear */
	uint64_t sequence; /* 48 bits */
	struct bytes fragment;
};

enum dtls_result {
	DTLS_OK,
	DTLS_END,       /* the datagram holds no further record */
	DTLS_NOT_DTLS,  /* no record begins so: unknown content type or version (DTLS 1.3's short header among them) */
	DTLS_TRUNCATED, /* the record reaches past the datagram, which RFC 6347 4.1.1 forbids */
	DTLS_TOO_LONG,  /* over 2^14 + 2048 octets */
};

/* Takes one record from the front of a datagram. On anything but DTLS_OK nothing changes. */
must_check enum dtls_result dtls_record_read(struct bytes *datagram, struct dtls_record *out);

/* One fragment of a handshake message. */
struct dtls_handshake {
	uint8_t type;        /* enum handshake_type, or 3 hello_verify_request */
	uint32_t length;     /* of the whole message's body, 24 bits */
	uint16_t sequence;   /* message_seq */
	uint32_t offset;     /* of the fragment in the body */
	struct bytes body;   /* the fragment */
	bool whole;          /* the fragment is all of the body */
	struct bytes octets; /* header and fragment; when `whole` this goes into the transcript */
};

/* Takes one from the front of a record's content. False when cut short, or the fragment reaches past the message. */
must_check bool dtls_handshake_read(struct bytes *in, struct dtls_handshake *out);

/* The header that a message has in the transcript, as if never fragmented: DTLS_HANDSHAKE_HEADER octets. */
void dtls_handshake_header(struct writer *w, uint8_t type, uint32_t length, uint16_t sequence);

struct hello_verify_request {
	uint16_t version;
	struct bytes cookie; /* at most 255 octets */
};

must_check bool hello_verify_request_parse(struct bytes body, struct hello_verify_request *out);

/*
 * A DTLS ClientHello is TLS's with a cookie after the session id. Writes the body without it, as client_hello_parse
 * takes it. False when the body is cut short before the cookie's end; what does not fit sets `w->full`.
 */
must_check bool dtls_client_hello_strip(struct bytes body, struct writer *w, struct bytes *cookie);

#endif
