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

#define ACCORD_LABEL 100 /* octets */

enum accord_ruling_kind {
	ACCORD_RULING_ACCEPT,
	ACCORD_RULING_REFUSE, /* says so, signed; the connection then ends before any data is read */
	ACCORD_RULING_DEMAND, /* accepts if the proxy shows its certificate and the client's approval */
	ACCORD_RULING_SILENT, /* as a server that knows nothing of Accord */
	/* Who it is decides: the proxy has to show its certificate, and the rule is asked again with the name known. */
	ACCORD_RULING_IDENTIFY,
};

struct accord_ruling {
	enum accord_ruling_kind kind;
	char statement[ACCORD_MAX_TEXT + 1]; /* for people; UTF-8 */
	/* Not sent; for whoever is told by `report`. */
	char label[ACCORD_LABEL]; /* which rule it was */
	char peer[ACCORD_LABEL];  /* whom the rule was asked about */
};

/* What is known of a connection. A claim until `confirmed`. */
struct accord_claim {
	bool introduced; /* an introduction came */
	bool sealed;     /* only a commitment came: somebody is there, and does not say who */
	struct accord_introduction introduction;
	struct accord_sealed commitment;
	struct accord_ruling ruling;
	uint8_t server_nonce[ACCORD_NONCE];
	char host[ACCORD_NAME_MAX + 1]; /* the name asked for, as sent; "": none */
	bool identified;                /* the proxy has shown the certificate it was introduced with, and it is good */
	struct accord_identity proxy;   /* when identified */
	bool confirmed;                 /* all that was demanded is good */
	uint8_t approval_key[ACCORD_MAX_APPROVAL_KEY]; /* SubjectPublicKeyInfo that approved */
	size_t approval_key_len;                       /* 0: no approval was needed, or none was good */
	struct error fault; /* why a demand was not met, or that a refused proxy went on; "" otherwise */
};

/* What has become of a connection with an introduction or commitment. */
enum accord_served {
	ACCORD_SERVED_ACCEPTED, /* the handshake is complete; a server that is silent "accepts" too */
	ACCORD_SERVED_REFUSED,  /* by the verdict; told again, with a fault, if the proxy goes on all the same */
	ACCORD_SERVED_UNMET,    /* what was demanded did not come: claim->fault */
	ACCORD_SERVED_LEFT,     /* ended before the handshake was complete */
};

struct accord_server_config {
	void *ctx;
	/*
	 * Asked once per connection with an introduction or commitment, before the server answers; and again with
	 * claim->identified when the answer was to identify: then only to accept or to demand lets the proxy go on.
	 */
	void (*rule)(void *ctx, SSL *ssl, const struct accord_claim *claim, struct accord_ruling *out);
	/* For demands: does the proxy's chain lead to an Accord anchor that is accepted? */
	bool (*verify_proxy)(
		void *ctx, const struct accord_chain *chain, struct accord_identity *who, struct error *err);
	/* For demands: is this key (SubjectPublicKeyInfo, DER) enrolled? */
	bool (*enrolled)(void *ctx, SSL *ssl, struct bytes key);
	int (*next_verify)(X509_STORE_CTX *store, void *arg); /* for client certificates without a demand */
	void *next_verify_arg;
	/* What came of it, with the claim as it stands then. Acceptance is told through accord_server_info. May be NULL. */
	void (*report)(void *ctx, const struct accord_claim *claim, enum accord_served what);
};

/*
 * As accord_client_attach. Takes the context's certificate verify callback and message callback, and copies the
 * configuration, whose ctx must live as long as the context's connections.
 */
must_check bool accord_server_attach(SSL_CTX *ctx, const struct accord_server_config *config, struct error *err);
/* NULL when the context was not attached, or no ClientHello with an introduction or commitment has come. */
must_check const struct accord_claim *accord_server_claim(const SSL *ssl);
/* True once the handshake is complete and nothing speaks against reading: not refused, and no unmet demand. */
must_check bool accord_server_passed(const SSL *ssl);
/* The certificate that the peer shows, if any, answers a demand or a refusal: it is a proxy's and no client's. */
must_check bool accord_server_asked(const SSL *ssl);

/* As accord_client_message and its kin: for whoever owns the program's callbacks instead. */
void accord_server_message(int write, int version, int type, const void *data, size_t len, SSL *ssl, void *arg);
void accord_server_info(const SSL *ssl, int where, int ret);
int accord_server_verify(X509_STORE_CTX *store, void *arg);

#endif
