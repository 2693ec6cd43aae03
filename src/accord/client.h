/*
 * accord/client.h — Accord for clients of OpenSSL: attached to an SSL_CTX it offers, reads the proof, runs the checks in
 * the certificate verify callback and remembers what was proven (docs/accord.md, 4.1).
 */
#ifndef ACCORD_CLIENT_H
#define ACCORD_CLIENT_H

#include "accord/check.h"

#include <openssl/ssl.h>

enum accord_rule {
	ACCORD_PREFER, /* offers; a chain that only a local CA stands behind is accepted, reported as ACCORD_PATH_LOCAL */
	ACCORD_REQUIRE, /* offers; a proof, or a chain good against web roots without any local CA; TLS 1.3 */
};

/* What stands at the other end of a connection. */
enum accord_path {
	ACCORD_PATH_UNDECIDED,
	ACCORD_PATH_PROVEN, /* a proxy, with a proof that passed */
	ACCORD_PATH_DIRECT, /* the server itself: nobody in between, or somebody who stepped aside */
	ACCORD_PATH_LOCAL,  /* a chain that the program accepts and web roots do not: a minted leaf, most likely */
	ACCORD_PATH_REFUSED,
};

struct accord_outcome {
	enum accord_path path;
	struct accord_judgement judgement; /* of a proof; of ACCORD_PATH_REFUSED without a proof only `error` is set */
	struct accord_proven proven;       /* with ACCORD_PATH_PROVEN; its views live as long as the SSL's state */
	struct bytes proof;                /* the body as received, empty when none was; lives likewise */
	struct accord_leg1 leg1;           /* what the proof was judged against; with a proof only */
};

struct accord_client_config {
	enum accord_rule rule;
	uint8_t accepted_roles; /* set of enum accord_role */
	void *ctx;              /* for all callbacks here */
	/* As in struct accord_trust. verify_server also judges chains that came without a proof. */
	bool (*verify_proxy)(
		void *ctx, const struct accord_chain *chain, struct accord_identity *who, struct error *err);
	bool (*verify_server)(void *ctx, const struct accord_chain *chain, struct bytes host, struct bytes address,
		struct error *err);
	OSSL_LIB_CTX *lib; /* as in struct accord_trust; must outlive the context's connections */
	X509 *(*decode)(void *ctx, struct bytes der); /* likewise; may be NULL */
	int64_t (*now_s)(void *ctx);                  /* NULL: the system's clock */
	/*
	 * Called once per connection: when it was refused (in the middle of the handshake), or when the handshake is
	 * complete and the peer has proven possession of its key. May be NULL.
	 */
	void (*report)(void *ctx, SSL *ssl, const struct accord_outcome *outcome);
	/*
	 * The program's own certificate verify callback, which libssl does not tell. Asked only where neither proof nor
	 * web roots decide (ACCORD_PREFER). NULL: X509_verify_cert with the program's store, as libssl would.
	 */
	int (*next_verify)(X509_STORE_CTX *store, void *arg);
	void *next_verify_arg;
	/*
	 * The program's own message callback, which libssl does not tell either. Called after ours, with next_message_arg
	 * in place of ours. May be NULL.
	 */
	void (*next_message)(int write, int version, int type, const void *data, size_t len, SSL *ssl, void *arg);
	void *next_message_arg;
	EVP_PKEY *
		approval_key; /* P-256 or Ed25519, used for nothing else; NULL: the client cannot approve. Referenced */
	/*
	 * Asked when a server demands approval and everything else has passed. NULL: approves whenever there is a key.
	 */
	bool (*approve)(void *ctx, SSL *ssl, const struct accord_proven *proven);
};

/*
 * Makes connections of this context speak Accord from now on. The context keeps what it needs and frees it with itself.
 * Takes the context's certificate verify callback, message callback, info callback (the earlier one is called too), and
 * turns session caching off. False when it was attached before, or without memory.
 */
must_check bool accord_client_attach(SSL_CTX *ctx, const struct accord_client_config *config, struct error *err);

/* True once the handshake is complete and one of the accepted paths was found: only now may data be believed or sent. */
must_check bool accord_client_passed(const SSL *ssl);
/* What is known about the connection. NULL when its context was not attached, or before its handshake began. */
must_check const struct accord_outcome *accord_client_outcome(const SSL *ssl);

/*
 * For whoever owns the program's callbacks instead (the preload agent): the parts of attach. A program that replaced the
 * callbacks of attach calls these from its own; otherwise no connection passes.
 */
void accord_client_message(int write, int version, int type, const void *data, size_t len, SSL *ssl, void *arg);
void accord_client_info(const SSL *ssl, int where, int ret);
int accord_client_verify(X509_STORE_CTX *store, void *arg);

#endif
