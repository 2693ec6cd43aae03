/*
 * proxy/leg.h — one TLS connection of a split: an SSL object between a socket and the relay.
 *
 * libssl reads through a BIO that first hands it the octets held before it existed (the ClientHello), then the socket,
 * in pieces of up to 64 KiB; what it writes is gathered in one buffer per worker and leaves in one system call. A leg
 * owns memory for ciphertext only while the kernel refuses to take it.
 */
#ifndef PROXY_LEG_H
#define PROXY_LEG_H

#include "base/bytes.h"
#include "base/loop.h"
#include "proxy/outbox.h"

#include <openssl/ssl.h>

/* No DH or RSA below 2048 bits, no SHA-1: Debian's libssl is built so, others are not. Never lowers what is set. */
#define LEG_SECURITY_LEVEL 2
static inline void leg_set_security(SSL_CTX *ctx)
{
	if (SSL_CTX_get_security_level(ctx) < LEG_SECURITY_LEVEL)
		SSL_CTX_set_security_level(ctx, LEG_SECURITY_LEVEL);
}

/* Room shared by all legs of one thread: empty between two calls of the loop. */
struct leg_room {
	uint8_t *plain; /* LEG_PLAIN octets: one record's plaintext */
	uint8_t *out;   /* LEG_OUT octets: ciphertext on its way to a socket */
	size_t out_len;
	struct leg *owner; /* whose ciphertext stands in `out` while out_len > 0 */
};

#define LEG_PLAIN ((size_t)16 * 1024)
#define LEG_OUT   ((size_t)128 * 1024)
/* A peer that says more than this without any plaintext is cut off: libssl reads on as long as there is no plaintext. */
#define LEG_CHATTER_MAX 100
/* More than this waits unsent only for a peer that makes us answer and does not read. */
#define LEG_BOX_MAX ((size_t)1024 * 1024)
/* The relay flushes when this much is gathered, so that a whole record more always fits. */
#define LEG_FLUSH ((size_t)64 * 1024)

enum leg_result {
	LEG_OK,
	LEG_WAIT,     /* until the socket is ready again */
	LEG_NOTIFIED, /* the peer sent close_notify */
	LEG_END,      /* the peer closed TCP without close_notify: what came may be cut short */
	LEG_RESET,    /* TCP reset or another socket error */
	LEG_ALERT,    /* the peer sent a fatal alert: leg->alert_received */
	LEG_FAULT,    /* the peer broke the protocol, or libssl refused: leg_fault_text */
	LEG_FULL,     /* too much waits unsent: nothing was taken */
};

struct leg {
	SSL *ssl; /* NULL: no leg */
	struct loop_io *io;
	struct leg_room *room;
	uint8_t *early; /* octets read before the leg was made, not yet handed to libssl; NULL when none */
	size_t early_len, early_at;
	struct outbox box;              /* ciphertext the kernel did not take */
	int alert_received, alert_sent; /* descriptions, -1: none */
	bool socket_ended, socket_failed;
	unsigned
		chatter; /* handshake messages and warnings since the last plaintext: each costs its sender next to nothing */
	unsigned effort;  /* what the last leg_read took, in records */
	uint64_t wire_in; /* octets of records received; those sent: box.sent */
};

must_check bool leg_room_init(struct leg_room *room);
void leg_room_free(struct leg_room *room);

/*
 * Makes the leg over `io`, whose descriptor is non-blocking and registered. `early` is copied. `ssl` becomes the leg's,
 * also on failure (no memory).
 */
must_check bool leg_init(struct leg *leg, SSL *ssl, struct loop_io *io, struct leg_room *room, struct bytes early);
/* Frees all but the socket. Harmless on a zeroed leg. */
void leg_free(struct leg *leg);

must_check enum leg_result leg_handshake(struct leg *leg);
/* One record's plaintext at most, into room->plain; *len > 0 on LEG_OK. */
must_check enum leg_result leg_read(struct leg *leg, size_t *len);
/* Takes all of `plain` or nothing; it may wait in the room until leg_flush. */
must_check enum leg_result leg_write(struct leg *leg, struct bytes plain);
/* Sends what is gathered. LEG_OK also when the kernel took only a part: ask leg_stalled. */
must_check enum leg_result leg_flush(struct leg *leg);
/* Ciphertext waits for the kernel: write no more until io is writable and leg_flush has been called. */
static inline bool leg_stalled(const struct leg *leg)
{
	return outbox_stalled(&leg->box);
}
/* Sends close_notify; flushes. */
void leg_notify(struct leg *leg);
/* True while libssl or the leg still holds octets that a read would use without the socket. */
must_check bool leg_holds_input(const struct leg *leg);

/* Why the last call failed, for people. Empties OpenSSL's error queue. */
void leg_fault_text(const struct leg *leg, char *out, size_t cap);

#endif
