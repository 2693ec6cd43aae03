/*
 * explain/accord_play.h — one handshake of Accord among client, proxy and server (docs/accord.md, 4), all in this process
 * and joined by memory, played to the end, so that what it proved can be looked at.
 */
#ifndef EXPLAIN_ACCORD_PLAY_H
#define EXPLAIN_ACCORD_PLAY_H

#include "accord/client.h"
#include "accord/proxy_leg.h"
#include "accord/server.h"
#include "explain/lab.h"

#define PLAY_PROXY "proxy.example" /* the name in the proxy's certificate */

enum play_level {
	PLAY_UNAWARE,  /* level 1: the server knows nothing of Accord */
	PLAY_AWARE,    /* level 2: it answers with a verdict */
	PLAY_APPROVAL, /* level 2, and it demands the client's approval */
	PLAY_LEVELS,
};

struct play {
	enum play_level level;
	SSL_CTX *client_ctx, *leg1_ctx, *leg2_ctx, *server_ctx;
	SSL *client, *leg1, *leg2, *server;
	X509_STORE *anchors, *roots;
	X509 *proxy_cert;
	EVP_PKEY *proxy_key, *client_key;
	struct bytes proof;    /* as the proxy shows it: leg 2's */
	bool leg1_up, leg2_up; /* the handshakes are complete */
	bool invented;         /* the client read what the proxy made up */
	char server_said[64];  /* what came through the proxy from the server, at the client */
};

/* Plays it; false with err set where a party could not be made. What came of it is in the play, which play_free ends. */
must_check bool play_run(struct play *play, const struct lab *lab, enum play_level level, struct error *err);
void play_free(struct play *play);

/* The messages of leg 2 that the server's signature covers: all before its CertificateVerify. Empty without a proof. */
must_check struct bytes play_signed_by_server(const struct play *play);
/* Whether `needle` stands somewhere in `in`. */
must_check bool play_holds(struct bytes in, struct bytes needle);

#endif
