/*
 * proxy/target.h — where a connection is to go: `host:port` of CONNECT, absolute-form and SOCKS (RFC 9110, 7.2 and
 * 9.3.6; RFC 3986, 3.2; RFC 1123, 2.1; RFC 5890, 2.3.1). No I/O, no allocation, no name lookup.
 */
#ifndef PROXY_TARGET_H
#define PROXY_TARGET_H

#include "base/bytes.h"
#include "base/hostport.h"

struct target {
	/* A name in lower case without trailing dot, or an address in its canonical text without brackets. */
	char host[256];
	uint16_t port; /* 1..65535 */
	bool is_ip;
	struct hostport address; /* when is_ip, port included */
};

/* `[` host `]:` port and the NUL. */
#define TARGET_TEXT_MAX 264

enum target_result {
	TARGET_OK,
	TARGET_NO_HOST,
	TARGET_TOO_LONG, /* over 253 octets, or a label over 63 */
	TARGET_BAD_NAME, /* an octet, or an empty label, that no host name has */
	TARGET_BAD_ADDRESS, /* brackets without IPv6 in them, a zone, or a number that is no dotted quad: 0x7f.1, 010.0.0.1 */
	TARGET_NO_PORT,
	TARGET_BAD_PORT, /* not 1..65535, or not plain digits */
	TARGET_USERINFO, /* something before an `@` */
};

/* What is wrong, as the end of a sentence: "has no port". */
must_check const char *target_result_text(enum target_result result);

/*
 * Reads `name:port`, `1.2.3.4:port` or `[v6]:port`, and nothing after it. Where the port is missing `default_port` is
 * taken; with 0 that is TARGET_NO_PORT. *out is set on TARGET_OK only.
 */
must_check enum target_result target_parse(struct bytes authority, uint16_t default_port, struct target *out);
/* As target_parse for a host that comes without port and without brackets: of SOCKS, of a rule, of SNI. */
must_check enum target_result target_from_host(struct bytes host, uint16_t port, struct target *out);
/* The port must not be 0. */
must_check struct target target_from_address(const struct hostport *address);

/* `host:port`, brackets around IPv6. Returns the octets written without the NUL. */
size_t target_print(const struct target *target, char out[TARGET_TEXT_MAX]);

/*
 * A dotted quad of decimal numbers without leading zeros, or IPv6 text; whole, without brackets and zone. The port in
 * *out is 0.
 */
must_check bool target_ip_read(struct bytes text, struct hostport *out);

#endif
