/*
 * accord/check.h — the client's checks 1 to 6 over a proof (docs/accord.md, 5). No I/O, no clock, no trust store of its
 * own: the two questions about chains are asked through callbacks. All structure is judged before any signature.
 */
#ifndef ACCORD_CHECK_H
#define ACCORD_CHECK_H

#include "accord/anchor.h"
#include "accord/body.h"
#include "accord/chain.h"
#include "base/error.h"

/* One value per cause, in the order of the checks. */
enum accord_fault {
	ACCORD_OK,
	/* Check 1: leg 1 and the proxy's certificate. */
	ACCORD_LEG1_VERSION,
	ACCORD_LEG1_RESUMED,
	ACCORD_PROXY_CERTIFICATE, /* none, too many, or one that cannot be read */
	ACCORD_PROXY_PURPOSE,     /* the Accord key purpose is not there */
	ACCORD_PROXY_LIFETIME,    /* over seven days */
	ACCORD_PROXY_CHAIN,       /* leads to no Accord anchor, or names a proxy that no rule names */
	/* Check 2: the form of leg 2. */
	ACCORD_PROOF_FORM,       /* the body itself */
	ACCORD_PROOF_SIZE,       /* over 48 KiB, or over four hops */
	ACCORD_MESSAGES,         /* not the handshake messages that must be there, in that order */
	ACCORD_HELLO,            /* a hello, EncryptedExtensions or CertificateRequest that is malformed */
	ACCORD_LEG2_VERSION,     /* not TLS 1.3 */
	ACCORD_LEG2_PSK,         /* pre_shared_key or early_data */
	ACCORD_CERTIFICATE_FORM, /* malformed, too many, a raw key, a delegated credential */
	ACCORD_SUITE,            /* not one suite throughout, not offered, not of TLS 1.3 */
	ACCORD_GROUP,            /* not offered, not of TLS 1.3, or not the one asked for in the retry */
	ACCORD_SCHEME,           /* not offered, not of TLS 1.3 */
	ACCORD_SCHEME_KEY,       /* the scheme does not fit the key, or the key is too large */
	/* Check 3: what leg 2 was told. */
	ACCORD_INTRODUCTION_MISSING,
	ACCORD_INTRODUCTION_FORM,
	ACCORD_INTRODUCTION_DIFFERS, /* between the two ClientHellos */
	ACCORD_SEAL,                 /* the commitment does not fit what the proof opens, or has no place there */
	ACCORD_CLIENT_NONCE,
	ACCORD_ROLE,
	ACCORD_HOPS,     /* a list that does not extend the one before by exactly one hop */
	ACCORD_LAST_HOP, /* not the leaf that the proxy showed */
	ACCORD_APPROVAL_HASH,
	ACCORD_NAME,     /* leg 2's server_name is not what the client asked for */
	ACCORD_PROTOCOL, /* ALPN differs between the legs */
	/* Check 4. */
	ACCORD_SERVER_CHAIN,
	/* Check 5. */
	ACCORD_SIGNATURE,
	/* Check 6. */
	ACCORD_VERDICT_FORM,
	ACCORD_VERDICT_REFUSED,
	/* Nothing can be said. */
	ACCORD_INTERNAL,
	ACCORD_FAULTS, /* how many there are */
};

/* The number of the check a fault belongs to, 1..6; 0 for ACCORD_OK and ACCORD_INTERNAL. */
must_check int accord_fault_check(enum accord_fault fault);
/* Stable identifier for logs: "leg1-resumed"; "ok". Static text; "?" past the end. */
must_check const char *accord_fault_name(enum accord_fault fault);

/* What the client knows of leg 1. Views stay the caller's. */
struct accord_leg1 {
	uint16_t version; /* negotiated */
	bool resumed;
	struct accord_chain proxy;            /* what the peer sent, end entity first */
	struct bytes alpn;                    /* protocol selected; empty: none */
	struct bytes host;                    /* server_name as sent; empty: none was */
	struct bytes address;                 /* 4 or 16 octets, for verify_server when `host` is empty */
	struct bytes suites, groups, sigalgs; /* of the client's own ClientHello: lists of u16 (tls/list.h) */
	struct accord_offer offer;            /* as sent */
};

/* The two questions about trust. Both are asked only after all structure was found good. */
struct accord_trust {
	void *ctx;
	int64_t now_s; /* seconds since 1970 */
	/*
	 * Where each leaf is decoded, once: the chains in the questions below carry it. Best the context that the
	 * callbacks decode the issuers in. NULL: the default context.
	 */
	OSSL_LIB_CTX *lib;
	/* Decodes a leaf in `lib`, or has it decoded from before; a reference. NULL: accord_cert_decode. */
	X509 *(*decode)(void *ctx, struct bytes der);
	/*
	 * Check 1, and again for each proxy further on: does the chain lead to an Accord anchor, and is the name or pin
	 * one that the rule names? Key purpose by OID and lifetime have been checked already. Fills *who (accord_identify
	 * has done so before; the callback may leave it).
	 */
	bool (*verify_proxy)(
		void *ctx, const struct accord_chain *chain, struct accord_identity *who, struct error *err);
	/* Check 4: does it lead to a web root that is no local CA, and name the host (or, host empty, the address)? */
	bool (*verify_server)(void *ctx, const struct accord_chain *chain, struct bytes host, struct bytes address,
		struct error *err);
};

/* One handshake that a proof proves: between a proxy and the party after it. */
struct accord_proven_leg {
	uint16_t suite, group, scheme;
	bool retried; /* HelloRetryRequest */
	uint8_t transcript_hash[64];
	size_t transcript_hash_len; /* 32 or 48: up to and including Certificate, what CertificateVerify signs */
};

struct accord_proven_proxy {
	struct accord_identity who;
	struct accord_hop hop;
	struct bytes leaf;    /* DER */
	struct bytes purpose; /* for people, as sent: clean it (base/text.h) before it is shown */
	uint8_t purpose_code;
	struct accord_proven_leg leg; /* from this proxy onwards */
};

/* What a proof that passed has proven. Views point into the proof and into struct accord_leg1. */
struct accord_proven {
	struct accord_proven_proxy proxy[ACCORD_MAX_HOPS]; /* the client's neighbour first */
	size_t proxies;
	bool sealed;       /* the server was not told */
	struct bytes host; /* empty: an address */
	struct bytes address;
	struct accord_chain server;
	uint8_t server_leaf_hash[ACCORD_HASH];
	bool has_verdict; /* the server is aware of Accord and accepts */
	struct accord_verdict verdict;
	uint8_t approval_digest[ACCORD_HASH]; /* SHA-256 of the last leg's messages: what an approval signs */
	bool demanded;                        /* the server's CertificateRequest carries a demand */
};

struct accord_judgement {
	enum accord_fault fault;
	int check; /* accord_fault_check(fault) */
	int leg;   /* where: 1 for leg 1, 2 for the proxy's handshake with the next party, and so on; 0: nowhere */
	struct error error; /* for people: what exactly */
};

/*
 * Judges the proof, a whole body as it stood in the proxy's end-entity CertificateEntry. True when everything passed;
 * *proven is meaningful only then, *out always. Takes no more than 10 ms and 1 MB whatever the proof is, the callbacks
 * aside, which get at most ACCORD_MAX_HOPS + 1 chains.
 */
must_check bool accord_check(const struct accord_leg1 *leg1, struct bytes proof, const struct accord_trust *trust,
	struct accord_proven *proven, struct accord_judgement *out);

#endif
