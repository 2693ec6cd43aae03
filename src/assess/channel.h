/*
 * assess/channel.h — libssl over a non-blocking socket, and CONNECT through a proxy before it (RFC 9110, 9.3.6). Deadline and
 * octets in all hold for each read that libssl makes by itself, too: a server that floods with what libssl answers or drops
 * on its own (HelloRequest, KeyUpdate, tickets) would keep it inside one call otherwise.
 */
#ifndef ASSESS_CHANNEL_H
#define ASSESS_CHANNEL_H

#include "base/bytes.h"

#include <openssl/ssl.h>

#define CHANNEL_OCTETS ((size_t)1024 * 1024) /* that a server may send on one connection */

struct channel {
	SSL *ssl;
	int fd;
	uint64_t deadline_ns; /* may be changed between calls */
	size_t left;          /* octets that may still come; 0: it sent too many, and no more are read */
};

/* Gives `ssl` the descriptor, which stays the caller's. The channel must outlive `ssl`, and stay where it is. */
must_check bool channel_open(struct channel *channel, SSL *ssl, int fd, uint64_t deadline_ns);
/* Whether the call that gave `result` is to be made again: waits for what libssl asks for. False at the deadline too. */
must_check bool channel_again(struct channel *channel, int result);
/* Why it did not go on, by the deadline, the octets, or OpenSSL's errors, which are cleared. Static text. */
must_check const char *channel_why(const struct channel *channel);
/* The handshake. Where it is not done, channel_why says why. */
must_check bool channel_shake(struct channel *channel);
/* All of `octets`. */
must_check bool channel_write(struct channel *channel, struct bytes octets);
/* What comes until the end, the deadline, or `cap` octets. Returns how many. */
size_t channel_read(struct channel *channel, uint8_t *out, size_t cap);

/* Asks for `where` ("HOST:PORT"). True for an answer of 2xx; in *status what was answered, 0: nothing in HTTP. */
must_check bool channel_connect(int fd, const char *where, uint64_t deadline_ns, unsigned *status);

#endif
