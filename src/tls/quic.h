/*
 * tls/quic.h — the packets of QUIC in a datagram as far as anybody can read them (RFC 8999; RFC 9000, 17; RFC 9369). No
 * I/O, no allocation; views point into the caller's bytes.
 *
 *	while (quic_packet_read(&datagram, &packet) == QUIC_OK)
 *		...   packets that were put together into one datagram, one by one
 *
 * What an Initial holds is read with tls/quic_initial.h.
 */
#ifndef TLS_QUIC_H
#define TLS_QUIC_H

#include "base/bytes.h"

#define QUIC_VERSION_1 0x00000001U
#define QUIC_VERSION_2 0x6b3343cfU
#define QUIC_ID_MAX    20 /* octets of a connection ID in versions 1 and 2 */

enum quic_type {
	QUIC_INITIAL,
	QUIC_ZERO_RTT,
	QUIC_HANDSHAKE,
	QUIC_RETRY,
	QUIC_NEGOTIATION, /* Version Negotiation: a server speaks none of what the client offered */
	QUIC_SHORT,       /* 1-RTT: its connection ID has a length that only its endpoints know */
	QUIC_OTHER,       /* a long header of a version that is not read here */
	QUIC_TYPES,
};

struct quic_packet {
	enum quic_type type;
	uint32_t version;            /* 0 for NEGOTIATION and SHORT */
	struct bytes receiver;       /* Destination Connection ID, at most 255 octets; empty for SHORT */
	struct bytes sender;         /* Source Connection ID, likewise */
	struct bytes token;          /* of INITIAL and RETRY */
	struct bytes whole;          /* the packet, from its first octet on */
	struct bytes before_number;  /* of INITIAL, ZERO_RTT, HANDSHAKE: its header up to the packet number */
	struct bytes protected_part; /* of the same: packet number and payload, still protected */
};

enum quic_result {
	QUIC_OK,
	QUIC_END,       /* the datagram holds no further packet */
	QUIC_NOT_QUIC,  /* neither header's form, or a connection ID too long for its version */
	QUIC_TRUNCATED, /* a field or its length reaches past the datagram */
};

/*
 * Takes one packet from the front of a datagram. One without a length (RETRY, NEGOTIATION, SHORT, OTHER) takes all that
 * is left. On anything but QUIC_OK nothing changes.
 */
must_check enum quic_result quic_packet_read(struct bytes *datagram, struct quic_packet *out);

/*
 * Whether a datagram may begin a conversation in QUIC: a long header with connection IDs that fit and version 1 or 2, or
 * Version Negotiation, or at a client's full size another version of the IETF's (drafts, and those reserved by RFC 9000,
 * 15). For telling QUIC from other UDP, which seldom looks so by chance.
 */
must_check bool quic_opens(struct bytes datagram);

/* "QUIC version 1", "QUIC version 2", "Version Negotiation"; NULL for other versions. */
must_check const char *quic_version_name(uint32_t version);
/* "initial", "0-rtt", …. Never NULL. */
must_check const char *quic_type_name(enum quic_type type);

/* A variable-length integer (RFC 9000, 16): 1, 2, 4 or 8 octets. As the readers of base/bytes.h. */
must_check bool quic_number(struct bytes *in, uint64_t *out);

#endif
