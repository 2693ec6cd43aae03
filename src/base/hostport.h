/* base/hostport.h — an IP address and port in one form for both families: IPv4 stands IPv4-mapped (RFC 4291, 2.5.5.2). */
#ifndef BASE_HOSTPORT_H
#define BASE_HOSTPORT_H

#include "base/bytes.h"

#include <sys/socket.h>

struct hostport {
	uint8_t ip[16]; /* network order; all zero with port 0: none */
	uint16_t port;  /* host order */
	uint32_t scope; /* interface of a link-local IPv6 address, else 0 */
};

#define HOSTPORT_TEXT 64

must_check bool hostport_is_v4(const struct hostport *hp);
must_check bool hostport_is_none(const struct hostport *hp);
/* The same IP; ports and scopes are not compared. */
must_check bool hostport_same_ip(const struct hostport *a, const struct hostport *b);
/* False for families other than AF_INET and AF_INET6. */
must_check bool hostport_from_sockaddr(struct hostport *out, const struct sockaddr *sa, socklen_t len);
/* An IPv4-mapped address becomes AF_INET. Returns the length used. */
socklen_t hostport_to_sockaddr(const struct hostport *hp, struct sockaddr_storage *out);
/* "192.0.2.1" or "2001:db8::1", without port or brackets. False on anything else. */
must_check bool hostport_parse_ip(struct hostport *out, const char *text);
/* Both return `out`. The second as "192.0.2.1:443" or "[2001:db8::1]:443". */
const char *hostport_ip_text(const struct hostport *hp, char out[HOSTPORT_TEXT]);
const char *hostport_text(const struct hostport *hp, char out[HOSTPORT_TEXT]);

#endif
