/*
 * pki/mint.h — a leaf of the local CA for one upstream certificate (RFC 5280, 4.1 and 4.2; CA/Browser baseline
 * requirements, 7.1.2.7). Written as DER, not through X509 objects: a tenth of the time. Upstream's bytes are hostile.
 *
 * From upstream come the names of its subjectAltName and its dates, never later or wider; all else is our own. So a leaf
 * never looks better than the certificate it stands for: no policy of the site's, no SCTs, no must-staple.
 */
#ifndef PKI_MINT_H
#define PKI_MINT_H

#include "base/bytes.h"
#include "pki/authority.h"
#include "pki/name.h"

#define MINT_MAX_DER        16384 /* room that is always enough */
#define MINT_MAX_NAMES      200   /* subjectAltName entries carried over; those that match the host come first */
#define MINT_MAX_NAME_BYTES 8192  /* of them, altogether */
#define MINT_DAYS           45    /* from now, at most */
#define MINT_WHOLE_DAYS     199   /* notBefore to notAfter, at most */

/*
 * Marks certificates that Overt made; its qualifier is the address that says who inspects and why. An arc of 28 bits:
 * parsers exist that refuse a whole certificate for a longer one (python3-cryptography 38).
 */
#define MINT_POLICY_OID "2.25.193640519"
#define MINT_POLICY_URL "http://overt.internal/"
#define MINT_URL_MAX    256

enum mint_result {
	MINT_OK,
	MINT_MALFORMED,     /* upstream's certificate cannot be read */
	MINT_NO_NAMES,      /* it has no DNS or IP name that a certificate may carry */
	MINT_WRONG_NAME,    /* none of them is the host */
	MINT_NOT_VALID_NOW, /* outside its dates */
	MINT_NOT_PERMITTED, /* nameConstraints of the CA leave the host out: bypass or block */
	MINT_CA_EXPIRED,    /* no CA is valid now */
	MINT_NO_RANDOM,
	MINT_SIGN_FAILED,
	MINT_NO_ROOM,
};

struct mint_request {
	struct bytes upstream;           /* Certificate, DER */
	const struct subject_name *host; /* what the client asked for */
	struct bytes spki;               /* SubjectPublicKeyInfo of the leaf key */
	const char
		*policy_url; /* the operator's own page; NULL: MINT_POLICY_URL. At most MINT_URL_MAX octets of ASCII */
	int64_t now_s;
	uint64_t faults; /* mint_invalid only: bits of enum verify_fault (pki/verify.h) */
};

/* What was made. */
struct minted {
	struct bytes der; /* in the caller's buffer */
	int64_t not_before_s, not_after_s;
	size_t names_seen; /* entries of any kind in the upstream subjectAltName */
	size_t names_kept;
	size_t names_over_cap; /* left out for MINT_MAX_NAMES or MINT_MAX_NAME_BYTES: count these */
};

/* The leaf of a verified upstream certificate. `buffer` has `cap` octets: MINT_MAX_DER are always enough. */
must_check enum mint_result mint_leaf(const struct authority *authority, const struct mint_request *request,
	uint8_t *buffer, size_t cap, struct minted *out);
/*
 * The leaf of one that did not verify, where a rule wants it shown: just as visibly invalid. Faulty dates are carried
 * over as they are; a wrong name stays wrong (the host is never added); every other fault gives a leaf signed by a key
 * thrown away at once, whose issuer nobody trusts. With no fault set that is the outcome too.
 */
must_check enum mint_result mint_invalid(const struct authority *authority, const struct mint_request *request,
	uint8_t *buffer, size_t cap, struct minted *out);

/* "not-permitted" …; "ok" for MINT_OK. Static text. */
must_check const char *mint_result_name(enum mint_result result);

#endif
