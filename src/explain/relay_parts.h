/* explain/relay_parts.h — what the files of the relay share. */
#ifndef EXPLAIN_RELAY_PARTS_H
#define EXPLAIN_RELAY_PARTS_H

#include "explain/relay.h"
#include "tls/hello.h"
#include "tls/key_exchange.h"
#include "tls/protect.h"
#include "tls/transcript.h"

#define RELAY_KEY     512 /* octets of a premaster secret, a public value or a signature, at most */
#define RELAY_MESSAGE ((size_t)32 * 1024)

struct leg {
	struct transcript transcript;
	uint8_t premaster[RELAY_KEY];
	size_t premaster_len;
	struct tls_secret master;
	struct protect *by_client, *by_server; /* who sealed what it opens, or whose records it seals */
};

struct relay {
	const struct lab *lab;
	struct relay_setup setup;
	struct crypto *crypto;
	const struct suite *suite;
	bool ems;
	uint8_t client_random[HELLO_RANDOM], server_random[HELLO_RANDOM];
	struct leg legs[RELAY_LEGS];
	EVP_PKEY *server_key;         /* of the server's certificate */
	EVP_PKEY *own;                /* ECDHE: the relay's share, the same on both legs */
	uint8_t to_server[RELAY_KEY]; /* DHE: the relay's public value for the server */
	size_t to_server_len;
	unsigned modulus_bits;
};

/* The server's parameters are taken in, and `out` gets the ServerKeyExchange's body that the client is shown. */
must_check bool relay_server_exchange(struct relay *relay, struct bytes body, struct writer *out);
/* The same for the ClientKeyExchange; afterwards both premaster secrets are known. */
must_check bool relay_client_exchange(struct relay *relay, struct bytes body, struct writer *out);

#endif
