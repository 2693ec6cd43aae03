/*
 * tls/quic_initial.h — Initial packets of QUIC versions 1 and 2, whose keys anybody can derive who sees the client's
 * first one (RFC 9001, 5; RFC 9369, 3.3), and the handshake octets in them (RFC 9000, 19.6). No I/O.
 *
 *	quic_initial_keys(crypto, packet.version, packet.receiver, QUIC_CLIENT, &keys);
 *	if (quic_initial_open(crypto, &keys, &packet, room, sizeof(room), &opened) == QUIC_OPEN_OK)
 *		while (quic_crypto_next(&opened.frames, &crypto_frame) == QUIC_FRAME_CRYPTO) ...
 */
#ifndef TLS_QUIC_INITIAL_H
#define TLS_QUIC_INITIAL_H

#include "tls/crypto.h"
#include "tls/quic.h"

enum quic_side { QUIC_CLIENT, QUIC_SERVER };

#define QUIC_KEY_LEN 16 /* AEAD_AES_128_GCM, whatever is negotiated later */
#define QUIC_IV_LEN  12
#define QUIC_TAG_LEN 16

#define QUIC_PACKET_MAX 65535 /* octets: no datagram of IP holds more */

/* Not secret: everybody on the path can make them. */
struct quic_keys {
	uint8_t key[QUIC_KEY_LEN];
	uint8_t iv[QUIC_IV_LEN];
	uint8_t header[QUIC_KEY_LEN]; /* for header protection */
};

/*
 * The keys of what `side` sends. `id` is the Destination Connection ID of the client's first Initial: of the one it sent
 * after a Retry, where there was one. False for other versions, and where libcrypto fails.
 */
must_check bool quic_initial_keys(
	struct crypto *crypto, uint32_t version, struct bytes id, enum quic_side side, struct quic_keys *out);

struct quic_opened {
	uint64_t number;     /* of the packet: its lowest octets as sent, which for an Initial are nearly always all */
	struct bytes frames; /* in the room that was given */
};

enum quic_open {
	QUIC_OPEN_OK,
	QUIC_OPEN_SHORT, /* no room for a packet number, a sample and a tag */
	QUIC_OPEN_ROOM,  /* longer than the room given, or than QUIC_PACKET_MAX */
	QUIC_OPEN_TAG,   /* does not authenticate: other keys, or altered */
	QUIC_OPEN_BITS,  /* authentic, but reserved bits are set, or it holds no frame */
	QUIC_OPEN_FAILED /* libcrypto, or out of memory */
};

/* Takes header protection off and opens the packet into `room`. `packet` is an INITIAL. */
must_check enum quic_open quic_initial_open(struct crypto *crypto, const struct quic_keys *keys,
	const struct quic_packet *packet, uint8_t *room, size_t cap, struct quic_opened *out);

/* A stretch of the handshake's octets. */
struct quic_crypto {
	uint64_t offset;
	struct bytes octets;
};

enum quic_frame {
	QUIC_FRAME_CRYPTO,
	QUIC_FRAME_CLOSE, /* CONNECTION_CLOSE */
	QUIC_FRAME_END,
	QUIC_FRAME_BAD, /* malformed, or a frame that no Initial may hold (RFC 9000, 12.4) */
};

/* Goes on to the next CRYPTO or CONNECTION_CLOSE; PADDING, PING and ACK are passed over. `*out` is set for CRYPTO. */
must_check enum quic_frame quic_crypto_next(struct bytes *frames, struct quic_crypto *out);

/*
 * The ClientHello out of CRYPTO frames in any order, with overlaps, over any number of packets. About 19 KiB: whoever
 * holds many bounds them. Where frames disagree about an octet, the first stands.
 */
#define QUIC_HELLO_MAX 16384 /* octets of the message, its header included */

struct quic_hello {
	size_t have; /* octets from the beginning on that are there without a hole */
	size_t end;  /* one past the last octet that is there */
	uint8_t octets[QUIC_HELLO_MAX];
	uint8_t there[QUIC_HELLO_MAX / 8];
};

enum quic_hello_result {
	QUIC_HELLO_DONE,
	QUIC_HELLO_MORE,
	QUIC_HELLO_NONE,     /* the handshake begins with another message */
	QUIC_HELLO_TOO_LONG, /* over QUIC_HELLO_MAX; says so as soon as the length is known */
};

/* Empty. */
void quic_hello_begin(struct quic_hello *hello);
/* What lies beyond QUIC_HELLO_MAX is left out. */
void quic_hello_add(struct quic_hello *hello, const struct quic_crypto *part);
/* On DONE, `*body` is what client_hello_parse takes, in `hello`. */
must_check enum quic_hello_result quic_hello_get(const struct quic_hello *hello, struct bytes *body);

#endif
