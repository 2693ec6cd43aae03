/*
 * overt/accord.h — Accord for programs that use OpenSSL (docs/accord.md): a client learns which proxies stand between
 * it and a server, and checks that the server itself signed a handshake in which they are named; a server learns of them,
 * and accepts or refuses.
 *
 *	struct overt_accord_options options = {.anchors = "accord-anchor.pem"};
 *	struct overt_accord *accord = overt_accord_new(&options, &error);
 *	overt_accord_attach(accord, ctx, &error);                      ctx: an SSL_CTX, before its first SSL
 *	...
 *	if (SSL_connect(ssl) == 1 && overt_accord_passed(ssl))         now data may be sent and believed
 *
 * What is made here does not change afterwards, so threads may share it. Questions about an SSL are for the thread that
 * owns the SSL. Texts are UTF-8 without control characters; those of strangers have them written as \xNN.
 */
#ifndef OVERT_ACCORD_H
#define OVERT_ACCORD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <openssl/ssl.h>

#ifdef __cplusplus
extern "C" {
#endif

#define OVERT_ACCORD_MAX_PROXIES 4

/* One sentence about what failed. Parameters of this type may be NULL. */
struct overt_error {
	char text[512];
};

/* As bits of a set. */
enum overt_accord_role {
	OVERT_ACCORD_READER = 1, /* reads */
	OVERT_ACCORD_WRITER = 2, /* may change what is said too */
};

/* Clients */

enum overt_accord_rule {
	OVERT_ACCORD_REQUIRE, /* a proof, or no proxy at all; TLS 1.3 */
	OVERT_ACCORD_PREFER,  /* else what the program's own verification accepts: then nothing is proven */
};

/* Zero is the default in parentheses. */
struct overt_accord_options {
	const char *anchors; /* file in PEM: the Accord anchors; needed */
	const char *trust;   /* file in PEM: web roots (the distribution's, without those added on this machine) */
	const char *const *proxies; /* names, or pins in 64 hex digits (all that the anchors stand for) */
	size_t proxy_count;
	enum overt_accord_rule rule;
	unsigned roles;         /* set of enum overt_accord_role (OVERT_ACCORD_READER) */
	EVP_PKEY *approval_key; /* P-256 or Ed25519, for servers that demand approval (none); referenced */
	/* Asked before such a key is used (every demand is met). The proxies can be asked about already. */
	bool (*approve)(void *arg, SSL *ssl);
	/* Called when a connection was refused, or its handshake is complete (not called). */
	void (*report)(void *arg, SSL *ssl);
	void *arg;
};

struct overt_accord;

/* Reads the files. NULL on failure. An anchor that is trusted as a web root too is refused. */
struct overt_accord *overt_accord_new(const struct overt_accord_options *options, struct overt_error *error);
/* Contexts that it was attached to keep what they need. NULL is allowed. */
void overt_accord_free(struct overt_accord *accord);

/*
 * Connections of this context speak Accord from now on. Takes its certificate verify callback and its message callback,
 * and turns session caching off: such a connection is never resumed. SSL_set_tlsext_host_name or an expected address
 * says whom the server must be.
 */
bool overt_accord_attach(const struct overt_accord *accord, SSL_CTX *ctx, struct overt_error *error);

/* True once the handshake is complete and a path was found that the rule allows: only now may data be sent. */
bool overt_accord_passed(const SSL *ssl);

/* What stands at the other end. */
enum overt_accord_path {
	OVERT_ACCORD_UNDECIDED,
	OVERT_ACCORD_PROVEN,  /* a proxy, with a proof that passed all checks */
	OVERT_ACCORD_DIRECT,  /* the server itself */
	OVERT_ACCORD_LOCAL,   /* whatever the program's own verification accepts: a local CA, most likely */
	OVERT_ACCORD_REFUSED, /* see the next three */
};

enum overt_accord_path overt_accord_path(const SSL *ssl);
/* The number of the check that failed, 1 to 6; 0 when none did, or when there was no proof to check. */
unsigned overt_accord_failed_check(const SSL *ssl);
/* Its name: "signature", "role"; "ok" when none failed. Static text. */
const char *overt_accord_fault(const SSL *ssl);
/* Why a connection was refused, for people; "" when it was not. Lives as long as the SSL. */
const char *overt_accord_reason(const SSL *ssl);

/* A proxy that was proven. */
struct overt_accord_proxy {
	char name[254];     /* "" when its certificate has none */
	uint8_t pin[32];    /* SHA-256 of its SubjectPublicKeyInfo, of a key that lives for days */
	unsigned role;      /* enum overt_accord_role */
	char purpose[1024]; /* as it says; "" when it says nothing */
	unsigned purpose_code;
	uint8_t nonce[32];
};

/* How many; the neighbour is the first. 0 unless OVERT_ACCORD_PROVEN. */
size_t overt_accord_proxies(const SSL *ssl);
bool overt_accord_proxy(const SSL *ssl, size_t index, struct overt_accord_proxy *out);

/* The server that signed. */
struct overt_accord_server {
	char name[256];           /* or address, as the program asked for it */
	uint8_t certificate[32];  /* SHA-256 of its certificate */
	bool sealed;              /* it was not told of the proxies */
	bool accepts;             /* it knows Accord, and accepts them */
	char statement[1024];     /* with that */
	uint8_t client_nonce[32]; /* which it signed */
};

/* False unless OVERT_ACCORD_PROVEN. */
bool overt_accord_server(const SSL *ssl, struct overt_accord_server *out);

/* Keeps the proof in a file, for `overt accord verify`. False where there was none; what failed is kept too. */
bool overt_accord_save(const SSL *ssl, const char *path, struct overt_error *error);

/* Servers */

struct overt_accord_hop {
	uint8_t leaf_hash[32]; /* SHA-256 of the proxy's certificate */
	uint8_t nonce[32];
	unsigned role; /* enum overt_accord_role */
};

/* What a client's side says of itself. A claim, unless `confirmed`: it may cause refusal, never privilege. */
struct overt_accord_claim {
	bool sealed; /* somebody is there and does not say who: nothing more is known */
	size_t hops; /* 1 to OVERT_ACCORD_MAX_PROXIES; 0 when sealed */
	struct overt_accord_hop hop[OVERT_ACCORD_MAX_PROXIES]; /* the client's neighbour first */
	unsigned purpose_code;
	bool can_approve; /* the client has a key for approvals */
	bool identified;  /* the last proxy has shown the certificate it was introduced with, and it is good */
	bool confirmed;   /* all that was demanded is good */
	char proxy[254];  /* when identified: the name of the last one */
	uint8_t pin[32];  /* likewise */
	char fault[512];  /* why a demand was not met; "" otherwise */
};

enum overt_accord_answer {
	OVERT_ACCORD_ACCEPT,
	OVERT_ACCORD_REFUSE, /* the connection ends before data is read */
	OVERT_ACCORD_DEMAND, /* accepts when the proxy shows its certificate and the client's approval */
	OVERT_ACCORD_SILENT, /* as a server that knows nothing of Accord */
	/*
	 * Who it is decides: the proxy has to show its certificate, and the rule is asked again with the claim identified.
	 * Then only OVERT_ACCORD_ACCEPT and OVERT_ACCORD_DEMAND let it go on.
	 */
	OVERT_ACCORD_IDENTIFY,
};

struct overt_accord_ruling {
	enum overt_accord_answer answer;
	char statement[256]; /* for people, signed with the rest; UTF-8 */
};

struct overt_accord_aware_options {
	const char *anchors;        /* for demands: file in PEM of Accord anchors (no demand can be met) */
	const char *const *proxies; /* for demands: names or pins (all that the anchors stand for) */
	size_t proxy_count;
	/* Asked in the handshake about each connection that introduces a proxy; needed. *out is all zero before. */
	void (*rule)(void *arg, SSL *ssl, const struct overt_accord_claim *claim, struct overt_accord_ruling *out);
	/* For demands: is this key (SubjectPublicKeyInfo, DER) one of a client that may approve? */
	bool (*enrolled)(void *arg, SSL *ssl, const uint8_t *key, size_t len);
	void *arg;
};

struct overt_accord_aware;

struct overt_accord_aware *overt_accord_aware_new(
	const struct overt_accord_aware_options *options, struct overt_error *error);
void overt_accord_aware_free(struct overt_accord_aware *aware); /* as overt_accord_free */
/* Takes the context's certificate verify callback and message callback. */
bool overt_accord_aware_attach(const struct overt_accord_aware *aware, SSL_CTX *ctx, struct overt_error *error);
/* True once the handshake is complete and nothing speaks against reading: no refusal, no demand that was not met. */
bool overt_accord_aware_passed(const SSL *ssl);
/* False when nobody was introduced. */
bool overt_accord_aware_claim(const SSL *ssl, struct overt_accord_claim *out);

#ifdef __cplusplus
}
#endif

#endif
