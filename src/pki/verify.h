/*
 * pki/verify.h — is this upstream chain good for this name, now (RFC 5280, 6; RFC 9525, 6; RFC 6960, 4.2.2)? Strict, no
 * network, time is an argument. One thread per verifier.
 */
#ifndef PKI_VERIFY_H
#define PKI_VERIFY_H

#include "base/bytes.h"
#include "base/error.h"
#include "pki/name.h"
#include "pki/trust.h"

#include <openssl/x509.h>
#include <openssl/x509_vfy.h>

/*
 * One value per cause, most telling first: where several are found, verdict.fault is the one that stands first here, and
 * verdict.faults has them all. A chain that ends at no anchor always has SELF_SIGNED, UNKNOWN_ROOT or MISSING_INTERMEDIATE
 * among its faults, whatever else is wrong with it.
 */
enum verify_fault {
	VERIFY_OK,
	VERIFY_INTERNAL,      /* out of memory, or the library failed: nothing can be said */
	VERIFY_CHAIN_TOO_BIG, /* over VERIFY_MAX_CERTS or VERIFY_MAX_BYTES: not looked at further */
	VERIFY_MALFORMED,     /* a certificate or extension that cannot be decoded */
	VERIFY_OWN_CA,        /* issued by the proxy's own CA: a loop or a forgery */
	VERIFY_BAD_SIGNATURE, /* signature does not fit, or the signed part was changed */
	VERIFY_REVOKED,       /* by CRL or staple */
	VERIFY_SELF_SIGNED,   /* the leaf itself, and it is no anchor */
	VERIFY_V1_ISSUER,     /* an issuer of version 1 or 2 below the anchor */
	VERIFY_NOT_A_CA,      /* an issuer without basicConstraints CA:TRUE: another site's leaf */
	VERIFY_PATH_LENGTH,
	VERIFY_NAME_CONSTRAINTS,     /* DNS, IP, directory name or CN */
	VERIFY_KEY_USAGE,            /* issuer without keyCertSign; leaf that may not do what the handshake needs */
	VERIFY_PURPOSE,              /* extended key usage without serverAuth, in the leaf or above it */
	VERIFY_CRITICAL_EXTENSION,   /* unknown and critical */
	VERIFY_ISSUER_MISMATCH,      /* an issuer of that name was sent, but its key identifier or serial differs */
	VERIFY_UNKNOWN_ROOT,         /* the chain ends at a root, or below one, that is not trusted */
	VERIFY_MISSING_INTERMEDIATE, /* the leaf's issuer was neither sent nor is it an anchor */
	VERIFY_STRICT,               /* breaks a MUST of RFC 5280 in another way (X509_V_FLAG_X509_STRICT) */
	VERIFY_WEAK_SIGNATURE,       /* MD5, SHA-1 below the anchor */
	VERIFY_WEAK_KEY,             /* RSA under 2048 bits, a curve below 256 bits, explicit curve parameters, DSA */
	VERIFY_DATES_REVERSED,       /* notAfter before notBefore */
	VERIFY_EXPIRED,
	VERIFY_NOT_YET_VALID,
	VERIFY_NO_SAN,         /* names only in the CN */
	VERIFY_NAME_MALFORMED, /* NUL bytes, or an address of a strange length, in the subjectAltName */
	VERIFY_WRONG_NAME,
	VERIFY_STAPLE_MISSING,   /* must-staple (RFC 7633) or the rule demands one */
	VERIFY_STAPLE_MALFORMED, /* no OCSP response, or none about this certificate */
	VERIFY_STAPLE_BAD_SIGNATURE,
	VERIFY_STAPLE_SIGNER,  /* signed by one that is neither the issuer nor delegated with OCSPSigning */
	VERIFY_STAPLE_EXPIRED, /* outside thisUpdate to nextUpdate, or older than ten days without nextUpdate */
	VERIFY_STAPLE_UNKNOWN, /* the responder does not know the certificate */
	VERIFY_CRL_MISSING,    /* the rule demands one for every certificate */
	VERIFY_CRL_EXPIRED,    /* or not yet valid */
	VERIFY_CRL_BAD_SIGNATURE,
	VERIFY_CRL_SIGNER,     /* its issuer has no cRLSign, or is not known */
	VERIFY_CRL_MALFORMED,  /* unknown critical extension, unfit scope */
	VERIFY_STATUS_UNKNOWN, /* the rule demands a known status of the leaf; neither staple nor CRL told it */
	VERIFY_FAULTS,         /* how many there are */
};

#define VERIFY_FAULT_BIT(fault) (UINT64_C(1) << (fault))
#define VERIFY_MAX_CERTS        10
#define VERIFY_MAX_BYTES        ((size_t)256 * 1024) /* of DER as presented; a leaf with 10,000 names still fits */
#define VERIFY_MEMO_MAX_S       60

/* What a rule may ask for. All zero is the default. */
struct verify_policy {
	bool require_staple; /* a good staple although the certificate does not ask for one */
	bool require_crl;    /* a CRL for every certificate below the anchor */
	bool require_status; /* the leaf's status must be known from either: "unreachable" refuses */
	uint64_t generation; /* of the rules; part of the memo's key */
};

/* What the leaf's key does in this handshake: in TLS 1.3 and with (EC)DHE it signs. */
enum verify_use { VERIFY_USE_SIGN, VERIFY_USE_ENCIPHER, VERIFY_USE_ANY };

struct verify_request {
	const struct subject_name *host; /* what the client asked for; never NULL */
	struct bytes staple;             /* OCSPResponse in DER as the server sent it, or BYTES_NONE */
	int64_t now_s;                   /* seconds since 1970 */
	enum verify_use use;
	struct verify_policy policy;
	STACK_OF(X509) * extra; /* further untrusted certificates (fetched issuers), or NULL; never memoised */
};

enum verify_status { VERIFY_STATUS_NONE, VERIFY_STATUS_STAPLE, VERIFY_STATUS_CRL }; /* who said that the leaf is good */

struct verify_verdict {
	enum verify_fault fault;
	uint64_t faults; /* VERIFY_FAULT_BIT of each one found */
	int depth;       /* of the certificate at fault: 0 is the leaf, -1 the chain as a whole */
	enum verify_status status;
	bool must_staple;
	bool from_memo;
	int x509_error;       /* X509_V_ERR_… that says nearly the same, X509_V_OK for VERIFY_OK */
	int64_t good_until_s; /* a memo of this verdict may live until then: at most now + 60 s */
	int64_t ends_s;       /* earliest notAfter or nextUpdate of what it rests on */
	uint8_t anchor[32];   /* SHA-256 of the anchor's DER; zero when there is none */
	char text[400];       /* for people: "expired 3 days ago (2026-11-18), leaf CN=example.com" */
};

struct verifier_counts {
	uint64_t verified;     /* worked out */
	uint64_t remembered;   /* answered from the memo */
	uint64_t refused;      /* verdicts other than VERIFY_OK, both kinds */
	uint64_t memo_evicted; /* the memo's cap cost this many */
	uint64_t chain_too_big;
	size_t memo_held, memo_cap;
};

struct verifier;

/* `trust` must outlive it. `memo_cap` verdicts are remembered, 0: none. NULL without memory. */
must_check struct verifier *verifier_new(const struct trust *trust, size_t memo_cap);
void verifier_free(struct verifier *verifier);
/* The proxy's own CA certificates, as PEM (STATE/ca.pem): what they issued is refused. False when none is in there. */
must_check bool verifier_add_own(struct verifier *verifier, struct bytes pem, struct error *err);

/* `chain` is what the peer sent (with or without the leaf in it), in any order; may be NULL. Fills every field of `out`. */
void verify_chain(struct verifier *verifier, X509 *leaf, STACK_OF(X509) * chain, const struct verify_request *request,
	struct verify_verdict *out);
/*
 * For SSL_CTX_set_cert_verify_callback: takes leaf and chain from `ctx`, ignores its store, and leaves the verdict's
 * X509_V_ERR_… in it, from which libssl chooses its alert. True when VERIFY_OK: the callback's return value.
 */
must_check bool verify_store_ctx(struct verifier *verifier, X509_STORE_CTX *ctx, const struct verify_request *request,
	struct verify_verdict *out);

must_check struct verifier_counts verifier_count(const struct verifier *verifier);

/* Stable identifiers for rules and jsonl: "expired", "unknown-root"; "ok" for VERIFY_OK. Static text. */
must_check const char *verify_fault_name(enum verify_fault fault);
/* False when there is none of that name. */
must_check bool verify_fault_find(struct bytes name, enum verify_fault *out);

#endif
