/* assess/channel.h — libssl over a non-blocking socket with a deadline, and CONNECT through a proxy before it (RFC 9110, 9.3.6). */
#ifndef ASSESS_CHANNEL_H
#define ASSESS_CHANNEL_H

#include "base/bytes.h"

#include <openssl/ssl.h>

/* Whether the call that gave `result` is to be made again: waits for what libssl asks for. False at the deadline too. */
must_check bool channel_again(SSL *ssl, int fd, int result, uint64_t deadline_ns);
/* The handshake. Where it is not done, `fault` says why; OpenSSL's errors are cleared. */
must_check bool channel_shake(SSL *ssl, int fd, uint64_t deadline_ns, char *fault, size_t cap);
/* All of `octets`. */
must_check bool channel_write(SSL *ssl, int fd, struct bytes octets, uint64_t deadline_ns);
/* What comes until the end, the deadline, or `cap` octets. Returns how many. */
size_t channel_read(SSL *ssl, int fd, uint8_t *out, size_t cap, uint64_t deadline_ns);

/* Asks for `where` ("HOST:PORT"). True for an answer of 2xx; in *status what was answered, 0: nothing in HTTP. */
must_check bool channel_connect(int fd, const char *where, uint64_t deadline_ns, unsigned *status);

#endif
