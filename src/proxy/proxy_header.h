/*
 * proxy/proxy_header.h — the PROXY protocol, versions 1 and 2: who connected to whoever passed the connection on
 * (https://www.haproxy.org/download/2.6/doc/proxy-protocol.txt). No I/O, no allocation.
 */
#ifndef PROXY_PROXY_HEADER_H
#define PROXY_PROXY_HEADER_H

#include "base/bytes.h"
#include "base/error.h"
#include "base/hostport.h"

#define PROXY_HEADER_MAX       4096 /* octets of a whole header */
#define PROXY_HEADER_WRITE_MAX 52

struct proxy_header {
	size_t len;     /* octets of the header: the connection's own begin there */
	bool local;     /* v2 LOCAL: the sender speaks for itself, a health check */
	bool addresses; /* the two below are set; else the connection's own addresses count */
	struct hostport source, destination;
};

enum proxy_header_result {
	PROXY_HEADER_OK,
	PROXY_HEADER_NEED_MORE,
	PROXY_HEADER_BAD,      /* no header of either version, or a broken one: *why */
	PROXY_HEADER_TOO_LONG, /* over PROXY_HEADER_MAX, or a line of v1 over its 107 octets */
	PROXY_HEADER_BAD_CRC,  /* its own CRC32C does not fit */
};

/* Reads one header at the front of `in`. *out is set on PROXY_HEADER_OK only. */
must_check enum proxy_header_result proxy_header_read(struct bytes in, struct proxy_header *out, struct error *why);

/*
 * Writes a header of version 2: PROXY with both addresses (two families are written as IPv6, the IPv4 one
 * mapped), or LOCAL when either is none. PROXY_HEADER_WRITE_MAX octets always suffice.
 */
void proxy_header_write(const struct hostport *source, const struct hostport *destination, struct writer *w);

#endif
