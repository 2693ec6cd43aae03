/*
 * tls/key_exchange.h — ServerKeyExchange and ClientKeyExchange up to TLS 1.2 (RFC 5246, 7.4.3 and 7.4.7; RFC 8422, 5.4
 * and 5.7; RFC 4279; RFC 5489). No I/O, no allocation; views point into the caller's bytes.
 */
#ifndef TLS_KEY_EXCHANGE_H
#define TLS_KEY_EXCHANGE_H

#include "base/bytes.h"
#include "tls/suite.h"

enum key_exchange_result {
	KEY_EXCHANGE_OK,
	KEY_EXCHANGE_MALFORMED,
	KEY_EXCHANGE_UNEXPECTED, /* the suite's key exchange has no such message */
	KEY_EXCHANGE_UNKNOWN,    /* a key exchange or curve form not read here: SRP, Kerberos, GOST, explicit curves */
};

/* What a server sends; fields that its key exchange does not have are empty. */
struct server_key_exchange {
	bool has_hint;
	struct bytes psk_hint; /* may be empty */
	uint16_t group;        /* ECDHE: named curve; 0 else */
	struct bytes dh_p, dh_g;
	struct bytes key;    /* ECDHE: point; DHE: Ys */
	struct bytes params; /* what is signed behind the two randoms; empty for plain PSK */
	bool is_signed;      /* not anonymous, not PSK */
	uint16_t scheme;     /* TLS 1.2: signature scheme; 0 below */
	struct bytes signature;
};

/* `version` is the negotiated one, at most 0x0303. */
must_check enum key_exchange_result server_key_exchange_parse(
	struct bytes body, const struct suite *suite, uint16_t version, struct server_key_exchange *out);

struct client_key_exchange {
	bool has_identity;
	struct bytes psk_identity;
	struct bytes encrypted; /* RSA, RSA_PSK: the premaster secret encrypted to the server's key */
	struct bytes key;       /* ECDHE: point; DHE: Yc; empty when the client's certificate holds it */
};

must_check enum key_exchange_result client_key_exchange_parse(
	struct bytes body, const struct suite *suite, uint16_t version, struct client_key_exchange *out);

#endif
