/*
 * accord/proxy_leg.h — what a proxy does on its two legs (docs/accord.md, 4.2): introduces itself on leg 2 and records
 * that handshake, shows the proof on leg 1. State hangs on the SSL objects and goes with them.
 *
 * Order: accord_hello_read on the held ClientHello; accord_leg2_begin before leg 2's handshake; leg 2's handshake;
 * accord_leg2_proof; accord_leg1_begin before the held octets are given to leg 1.
 */
#ifndef ACCORD_PROXY_LEG_H
#define ACCORD_PROXY_LEG_H

#include "accord/body.h"
#include "base/error.h"
#include "tls/hello.h"

#include <openssl/ssl.h>

enum accord_hello_result {
	ACCORD_HELLO_NONE, /* no offer: the client does not speak Accord, or speaks another version of it */
	ACCORD_HELLO_OFFER,
	ACCORD_HELLO_MALFORMED, /* to be answered with the alert illegal_parameter; *fault says why */
};

/* What a client's ClientHello says. */
struct accord_hello {
	struct accord_offer offer;
	bool introduced; /* the client is itself a proxy: these hops come before ours */
	struct accord_introduction introduction;
};

must_check enum accord_hello_result accord_hello_read(
	const struct client_hello *hello, struct accord_hello *out, enum accord_body_result *fault);

/* Extensions and options that leg 2's context needs: call once per context. */
must_check bool accord_leg2_register(SSL_CTX *ctx, struct error *err);

struct accord_leg2_plan {
	const struct accord_hello *client;
	uint8_t leaf_hash[ACCORD_HASH]; /* of the certificate that leg 1 will show */
	uint8_t role;                   /* enum accord_role */
	uint8_t purpose_code;
	struct bytes purpose; /* for people; at most ACCORD_MAX_TEXT octets */
	bool sealed;          /* the server is not told; not to a further proxy */
	bool towards_proxy;   /* the next party is an Accord proxy: the client's offer goes with the introduction */
};

/*
 * Makes the nonce and the bodies of this connection and begins to record. No session may be set on `ssl`. False when the
 * client accepts no such role, when there are four hops already, or without memory or random octets.
 */
must_check bool accord_leg2_begin(SSL *ssl, const struct accord_leg2_plan *plan, struct error *err);

enum accord_leg2_result {
	ACCORD_LEG2_PROOF,     /* *proof is ready */
	ACCORD_LEG2_PENDING,   /* the server's CertificateVerify has not come yet */
	ACCORD_LEG2_REFUSED,   /* the server's verdict: close or step aside, never mint, never try again */
	ACCORD_LEG2_TOO_LONG,  /* over 48 KiB: close or step aside */
	ACCORD_LEG2_NOT_TLS13, /* nothing to prove */
	ACCORD_LEG2_MALFORMED, /* a verdict or demand that cannot be read */
};

must_check const char *accord_leg2_text(enum accord_leg2_result result);
/* The proof body. Belongs to the SSL and lives until it is freed or accord_leg2_begin is called again. */
must_check enum accord_leg2_result accord_leg2_proof(SSL *ssl, struct bytes *proof);
/* The server's verdict where it gave one; NULL otherwise. The SSL's. */
must_check const struct accord_verdict *accord_leg2_verdict(const SSL *ssl);
/* The server asked for the client's approval (its CertificateRequest has come). */
must_check bool accord_leg2_demanded(const SSL *ssl);
/*
 * The next party showed a proof beside its certificate, so it is a proxy: its chain is to be judged by Accord anchors
 * (accord/anchor.h) and not by web roots. The proof itself is for the client. Known when the certificate is verified.
 */
must_check bool accord_leg2_meets_proxy(const SSL *ssl);
/* The introduction as made, for logs. NULL before accord_leg2_begin. */
must_check const struct accord_introduction *accord_leg2_introduction(const SSL *ssl);

/*
 * Frees what was kept, and takes the message callback away: once leg 1 stands and nothing of the above is asked any more.
 * Harmless without state.
 */
void accord_leg2_forget(SSL *ssl);

/*
 * The message callback of leg 2, set by accord_leg2_begin. A proxy with one of its own calls this from there.
 */
void accord_leg2_message(int write, int version, int type, const void *data, size_t len, SSL *ssl, void *arg);

/* Approval: gives leg 2 what the client approved, before its client certificate callback goes on. Copied. */
must_check bool accord_leg2_approve(SSL *ssl, struct bytes approval, struct error *err);

/* Extensions and options that leg 1's context needs (no tickets, no resumption): call once per context. */
must_check bool accord_leg1_register(SSL_CTX *ctx, struct error *err);
/*
 * Gives leg 1 the proof to show (copied) and the offer it must see in every ClientHello. With `demand` the client is
 * asked for its certificate and approval.
 */
must_check bool accord_leg1_begin(
	SSL *ssl, const struct accord_hello *client, struct bytes proof, bool demand, struct error *err);
/* As accord_leg2_forget, once the handshake is complete. */
void accord_leg1_forget(SSL *ssl);
/* The approval body that came with the client's certificate; empty when none did. The SSL's. */
must_check struct bytes accord_leg1_approval(const SSL *ssl);

#endif
