/*
 * cli/get_link.h — one connection of overt get: TCP, a tunnel through an HTTP proxy, TLS over it. Blocking, but no step
 * waits longer than `patience_ns`.
 */
#ifndef CLI_GET_LINK_H
#define CLI_GET_LINK_H

#include "base/bytes.h"
#include "base/error.h"

#include <openssl/ssl.h>

struct get_link {
	int fd;   /* -1: none */
	SSL *ssl; /* NULL before get_link_handshake */
	uint64_t patience_ns;
};

/* Connects to the first address of the name that answers. */
must_check bool get_link_dial(struct get_link *link, const char *host, const char *port, struct error *err);
/* Asks the HTTP proxy at the other end for a tunnel (RFC 9110, 9.3.6) to "host:port". */
must_check bool get_link_tunnel(struct get_link *link, const char *authority, struct error *err);
/* TLS; takes `ssl` over also on false. */
must_check bool get_link_handshake(struct get_link *link, SSL *ssl, struct error *err);

must_check bool get_link_write(struct get_link *link, struct bytes data, struct error *err);

enum get_link_read {
	GET_LINK_DATA,
	GET_LINK_END, /* close_notify */
	GET_LINK_CUT, /* the connection ended without one; or no octet came in time, or TLS failed: `err` says which */
};

must_check enum get_link_read get_link_read(
	struct get_link *link, uint8_t *buffer, size_t cap, size_t *len, struct error *err);

void get_link_close(struct get_link *link);

#endif
