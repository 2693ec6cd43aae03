/* tests/unit/accord/stage.h — client, proxies and server of OpenSSL in one process, joined by memory. */
#ifndef TESTS_ACCORD_STAGE_H
#define TESTS_ACCORD_STAGE_H

#include "../pki/forge.h"
#include "accord/client.h"
#include "accord/proxy_leg.h"
#include "accord/server.h"

#define STAGE_HOST "www.example.com"

/* Certificates of all parties. Made once per program: keys are dear. */
struct cast {
	struct forged web_root, accord_root, server, proxy[ACCORD_MAX_HOPS];
	struct forged minted_root, minted; /* a local CA and its leaf for STAGE_HOST */
	X509_STORE *web, *accord, *local;
};

/* What is done differently. All zero: one proxy, open, an unaware server, one round trip, no ALPN. */
struct script {
	enum accord_rule rule; /* ACCORD_PREFER is 0 */
	bool retry;            /* the server wants another group: HelloRetryRequest on leg 2 */
	bool retry_leg1;       /* the proxy does: HelloRetryRequest on leg 1 */
	bool alpn;             /* the client offers h2 and http/1.1, the server takes h2 */
	bool sealed;
	uint8_t roles;           /* what the client accepts; 0: reader and writer */
	uint8_t role;            /* what the proxy is; 0: reader */
	size_t proxies;          /* 0: one */
	const char *server_name; /* what the last proxy asks for; NULL: what the client did */
	const char *leg1_alpn;   /* what the first proxy answers; NULL: what the server chose */
	const char *no_alpn;     /* set: the last proxy offers none */
	bool leg2_tls12, leg1_tls12;
	bool no_proof, minted, direct; /* direct: no proxy at all */
	bool aware;
	struct accord_ruling ruling;
	EVP_PKEY *approval_key;        /* of the client */
	EVP_PKEY *enrolled;            /* at the server */
	bool own_demand;               /* the proxy demands an approval that the server did not */
	const struct forged *approved; /* what the proxy shows the server when it demands */
	bool no_demand;                /* the proxy does not pass the demand on */
	bool push_on;                  /* the proxy goes on after a refusal, and shows what it has */
	const struct forged *server;
	const struct forged *proxy; /* the first proxy, instead of the cast's */
	const struct forged *shown; /* what the first proxy shows on leg 1 instead of its leaf */
	/* Changes the proof before it is shown. `*len` may shrink, and grow by 64 octets. */
	void (*tamper)(uint8_t *proof, size_t *len);
	/* Replaces it: octets of another run. */
	struct bytes other_proof;
	void (*tune_leg2)(SSL *ssl); /* of the last proxy */
	/* Changes what the proxy of this index believes its client to have said. */
	void (*lie)(struct accord_hello *told, size_t index);
	/* Changes the client's held octets before the proxy sees them. */
	void (*on_path)(uint8_t *hello, size_t len);
	void (*tune_client)(SSL *ssl);
};

struct stage {
	const struct cast *cast;
	struct script script;
	SSL_CTX *client_ctx, *leg1_ctx[ACCORD_MAX_HOPS], *leg2_ctx[ACCORD_MAX_HOPS], *server_ctx;
	SSL *client, *leg1[ACCORD_MAX_HOPS], *leg2[ACCORD_MAX_HOPS], *server;
	enum accord_leg2_result leg2_result;
	struct error error;
	unsigned reports;
	bool leg2_up, leg1_up;           /* both ends have finished */
	uint8_t spied[ACCORD_MAX_PROOF]; /* leg 2's messages, for push_on */
	size_t spied_len;
};

void cast_make(struct cast *cast);
void cast_free(struct cast *cast);
/* A proxy's leaf: Accord's key purpose (and clientAuth) for six days. */
struct forge_spec cast_proxy_spec(const struct cast *cast, const char *name);

/* Plays it all. What comes of it is to be seen in the stage, which stage_free ends. */
void stage_play(struct stage *stage, const struct cast *cast, const struct script *script);
void stage_free(struct stage *stage);
/* The client's outcome; fails the test where there is none. */
const struct accord_outcome *stage_outcome(const struct stage *stage);
/* The trust of the client in this play, for accord_check. */
struct accord_trust stage_trust(struct stage *stage);

#endif
