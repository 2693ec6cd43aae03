/* accord/client_parts.h — shared by the files of the client; nobody else includes this. */
#ifndef ACCORD_CLIENT_PARTS_H
#define ACCORD_CLIENT_PARTS_H

#include "accord/client.h"

#define CLIENT_MAX_HELLO ((size_t)64 * 1024) /* octets of the ClientHello that is kept */

/* What hangs on the context. */
struct client {
	struct accord_client_config config;
	void (*next_info)(const SSL *ssl, int where, int ret);
	X509 *approval_cert; /* self-signed, for the approval key */
	uint8_t approval_spki[256];
	size_t approval_spki_len;
};

/* What hangs on a connection. */
struct client_state {
	const struct client *client;
	uint8_t random[32]; /* of the ClientHello: tells one connection of an SSL from the next */
	struct accord_offer offer;
	uint8_t list[128]; /* extension_data */
	size_t list_len;
	bool told_to_ignore; /* the program had turned verification off */
	bool demanded;       /* the proxy's CertificateRequest asks for an approval */
	bool passed, reported;
	bool hello_lost;
	uint8_t *hello; /* the last ClientHello as sent, with its header */
	size_t hello_len;
	uint8_t *proof;
	size_t proof_len;
	uint8_t *chain; /* DER of what the peer sent, for views of the outcome */
	uint8_t approval[512];
	size_t approval_len;
	uint8_t address[16];
	struct accord_outcome outcome;
};

/* NULL where there is none. */
must_check struct client_state *client_state_of(const SSL *ssl);
/* Tells the outcome, once. */
void client_report(SSL *ssl, struct client_state *state);
/* Refuses: path and error are set. Returns false. */
bool client_refuse(struct client_state *state, const char *format, ...) printf_like(2, 3);
/* Prepares certificate and approval after a proof that passed. False when the handshake must not go on. */
must_check bool client_approve(SSL *ssl, struct client_state *state);
/* The self-signed certificate that an approval key is shown in. */
must_check bool client_approval_prepare(struct client *client, struct error *err);

#endif
