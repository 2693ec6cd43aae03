/* policy/listen.h — one place to listen at, as configuration writes it: [MODE@]ADDRESS:PORT. No I/O. */
#ifndef POLICY_LISTEN_H
#define POLICY_LISTEN_H

#include "base/error.h"
#include "policy/address.h"

enum listen_mode {
	LISTEN_EXPLICIT,    /* CONNECT, absolute-form HTTP, SOCKS5 */
	LISTEN_TRANSPARENT, /* nftables REDIRECT: SO_ORIGINAL_DST says where to */
	LISTEN_TPROXY,      /* nftables TPROXY: the local address says where to */
	LISTEN_REVERSE,     /* everything goes to host:port */
	LISTEN_SNI,         /* the SNI says the host, `port` the port */
};

#define LISTEN_HOST 254

struct listen_at {
	enum listen_mode mode;
	struct hostport at;     /* port 0: the kernel chooses */
	char host[LISTEN_HOST]; /* LISTEN_REVERSE: name or address, without brackets */
	uint16_t target_port;   /* LISTEN_REVERSE, LISTEN_SNI (443 when not said) */
};

/*
 * Modes: explicit (when none is said), transparent, tproxy, reverse:HOST:PORT, sni, sni:PORT. IPv6 stands in brackets.
 * False with one sentence in `err` that quotes `text`.
 */
must_check bool listen_parse(const char *text, struct listen_at *out, struct error *err);
must_check bool listen_is_loopback(const struct listen_at *at);
/* Writes it in the form that listen_parse reads. Returns the octets written. */
#define LISTEN_TEXT 384
size_t listen_text(const struct listen_at *at, char *out);
must_check const char *listen_mode_name(enum listen_mode mode);

/* "HOST:PORT" or "[V6]:PORT" from the front to the end of `text`; `host` holds LISTEN_HOST octets. Port 1..65535. */
must_check bool host_port_parse(struct bytes text, char *host, uint16_t *port);

#endif
