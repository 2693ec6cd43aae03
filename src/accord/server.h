/*
 * accord/server.h — an aware server on OpenSSL: sees who stands between it and the client, and accepts, refuses or demands
 * the client's approval (docs/accord.md, 4.3).
 */
#ifndef ACCORD_SERVER_H
#define ACCORD_SERVER_H

#include "accord/anchor.h"
#include "accord/body.h"
#include "accord/seal.h"
#include "base/error.h"

#include <openssl/ssl.h>

enum accord_ruling_kind {
	ACCORD_RULING_ACCEPT,
	ACCORD_RULING_REFUSE, /* says so, signed; the connection then ends before any data is read */
	ACCORD_RULING_DEMAND, /* accepts if the proxy shows its certificate and the client's approval */
	ACCORD_RULING_SILENT, /* as a server that knows nothing of Accord */
};

struct accord_ruling {
	enum accord_ruling_kind kind;
	char statement[ACCORD_MAX_TEXT + 1]; /* for people; UTF-8 */
};

/* What is known of a connection. A claim until `confirmed`. */
struct accord_claim {
	bool introduced; /* an introduction came */
	bool sealed;     /* only a commitment came: somebody is there, and does not say who */
	struct accord_introduction introduction;
	struct accord_sealed commitment;
	struct accord_ruling ruling;
	uint8_t server_nonce[ACCORD_NONCE];
	bool confirmed;               /* demanded, and certificate, approval and signatures are good */
	struct accord_identity proxy; /* when confirmed */
	struct error fault;           /* why a demand was not met, or that a refused proxy went on; "" otherwise */
};

struct accord_server_config {
	void *ctx;
	/* Asked once per connection with an introduction or commitment, before the server answers. */
	void (*rule)(void *ctx, SSL *ssl, const struct accord_claim *claim, struct accord_ruling *out);
	/* For demands: does the proxy's chain lead to an Accord anchor that is accepted? */
	bool (*verify_proxy)(
		void *ctx, const struct accord_chain *chain, struct accord_identity *who, struct error *err);
	/* For demands: is this key (SubjectPublicKeyInfo, DER) enrolled? */
	bool (*enrolled)(void *ctx, SSL *ssl, struct bytes key);
	int (*next_verify)(X509_STORE_CTX *store, void *arg); /* for client certificates without a demand */
	void *next_verify_arg;
};

/* As accord_client_attach. Takes the context's certificate verify callback and message callback. */
must_check bool accord_server_attach(SSL_CTX *ctx, const struct accord_server_config *config, struct error *err);
/* NULL when the context was not attached, or no ClientHello with an introduction or commitment has come. */
must_check const struct accord_claim *accord_server_claim(const SSL *ssl);
/* True once the handshake is complete and nothing speaks against reading: not refused, and no unmet demand. */
must_check bool accord_server_passed(const SSL *ssl);

#endif
