/*
 * proxy/intake_socks.h — SOCKS5 with no authentication or name and password (RFC 1928, RFC 1929), SOCKS4 and 4a:
 * as a server on the explicit port, and SOCKS5 as a client of an upstream proxy. CONNECT only. No I/O, no allocation.
 */
#ifndef PROXY_INTAKE_SOCKS_H
#define PROXY_INTAKE_SOCKS_H

#include "base/bytes.h"
#include "base/error.h"
#include "proxy/intake_http.h"
#include "proxy/target.h"

/* Reply codes of RFC 1928, 6. */
enum socks_code {
	SOCKS_SUCCEEDED,
	SOCKS_FAILURE,
	SOCKS_NOT_ALLOWED,
	SOCKS_NETWORK_UNREACHABLE,
	SOCKS_HOST_UNREACHABLE,
	SOCKS_REFUSED_BY_HOST,
	SOCKS_TTL_EXPIRED,
	SOCKS_BAD_COMMAND,
	SOCKS_BAD_ADDRESS_TYPE,
};

must_check const char *socks_code_text(uint8_t code);

#define SOCKS_REPLY_MAX 22

enum intake_socks_result {
	INTAKE_SOCKS_NEED_MORE, /* nothing to send; more octets are needed */
	INTAKE_SOCKS_REPLY,     /* send reply, drop `used` octets, call again with what is left */
	INTAKE_SOCKS_TARGET, /* connect to `target`, then send intake_socks_answer. The tunnel begins after `used` octets */
	INTAKE_SOCKS_REFUSED, /* send reply (may be empty), then close; `why` says the reason */
};

/* The state of one client. Zeroed when new. */
struct intake_socks {
	enum { SOCKS_AT_START, SOCKS_AT_AUTH, SOCKS_AT_REQUEST, SOCKS_AT_END } stage;
	uint8_t version; /* 4 or 5 once known */

	/* Set by the last step. */
	size_t used;
	uint8_t reply[SOCKS_REPLY_MAX];
	size_t reply_len;
	struct target target;
	bool authenticated;
	size_t user; /* index in users->list when authenticated */
	struct error why;
};

/*
 * One step on `in`, the octets that have come and were not yet dropped. With users, SOCKS5 must authenticate, and
 * SOCKS4, which cannot, is refused.
 */
must_check enum intake_socks_result intake_socks_step(
	struct intake_socks *s, struct bytes in, const struct intake_users *users);

/* The answer to a request: `code` as in RFC 1928, in the client's version; `bound` may be NULL. Returns its octets. */
size_t intake_socks_answer(
	const struct intake_socks *s, uint8_t code, const struct hostport *bound, uint8_t out[SOCKS_REPLY_MAX]);

/* Name and password, 255 octets each, and their frame; larger than any request. */
#define SOCKS_CLIENT_MAX 520

enum socks_client_result {
	SOCKS_CLIENT_NEED_MORE,
	SOCKS_CLIENT_SEND, /* drop `used` octets of what came, send the message, call again with what is left */
	SOCKS_CLIENT_OPEN, /* the tunnel begins after `used` octets */
	SOCKS_CLIENT_FAILED,
};

/* The state of one connection to an upstream SOCKS5 proxy. Zeroed when new, wiped with socks_client_wipe. */
struct socks_client {
	enum {
		SOCKS_CLIENT_START,
		SOCKS_CLIENT_METHOD,
		SOCKS_CLIENT_AUTH,
		SOCKS_CLIENT_REQUEST,
		SOCKS_CLIENT_END
	} stage;

	/* Set by the last step. */
	size_t used;
	uint8_t message[SOCKS_CLIENT_MAX]; /* may hold the password */
	size_t message_len;
	uint8_t code; /* the proxy's refusal, 0 when it did not come to that */
	struct error why;
};

/*
 * One step; the first is called with no octets. `name` and `password` are both empty for none, else 1..255 octets each.
 * The same arguments go into every step.
 */
must_check enum socks_client_result socks_client_step(
	struct socks_client *c, struct bytes in, const struct target *target, struct bytes name, struct bytes password);
void socks_client_wipe(struct socks_client *c);

#endif
