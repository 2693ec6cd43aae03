/*
 * pki/authority.h — the local CA (RFC 5280, 4.2.1). One per install, made at first use, or the operator's own.
 *
 * Files: STATE/ca.pem (0644) holds what clients may trust, the issuing certificate first; STATE/ca.key (0600) the keys
 * that go with them, PKCS#8. Both are replaced by rename, the key first: a crash leaves either the old CA or the new one.
 *
 * Rotation: a new certificate and key join the files. The issuing one is always the newest whose notBefore has come, so
 * with a lead the old CA goes on issuing until then. Clients install ca.pem again, which holds both: leaves of either are
 * then accepted, and the old certificate is dropped from ca.pem once it has expired. A client that knows only the old CA
 * refuses leaves minted after the switch: give fleets a lead.
 */
#ifndef PKI_AUTHORITY_H
#define PKI_AUTHORITY_H

#include "base/bytes.h"
#include "base/error.h"
#include "pki/name.h"

#include <openssl/x509.h>

#define AUTHORITY_DAYS          730
#define AUTHORITY_MAX           4 /* certificates held in ca.pem at most */
#define AUTHORITY_CHAIN_MAX     6 /* certificates above an operator's CA, presented with each leaf */
#define AUTHORITY_SIGNATURE_MAX 1024

struct authority;

/* For a new CA. */
struct authority_make {
	const char *host;                 /* stands in its name: "Overt CA HOST 2026-11"; NULL: none */
	const struct name_ranges *permit; /* nameConstraints, all else excluded; NULL: none */
	int64_t not_before_s;             /* 0: an hour before now */
	int64_t life_s;                   /* 0: AUTHORITY_DAYS */
};

/*
 * The CA in `state_dir`, made (with the directory, 0700) when there is none. `make` may be NULL. A CA that is there is
 * taken as it is: compare authority_permits. Errors: key file readable by others, key that does not fit, expired, no CA.
 */
must_check bool authority_open(struct authority **out, const char *state_dir, const struct authority_make *make,
	int64_t now_s, struct error *err);
/* As authority_open, but never makes one: an error says so. `missing` (may be NULL) tells that apart from damage. */
must_check bool authority_load(
	struct authority **out, const char *state_dir, int64_t now_s, bool *missing, struct error *err);
/* Replaces what is in `state_dir` by a new CA; the old one is not kept. */
must_check bool authority_remake(struct authority **out, const char *state_dir, const struct authority_make *make,
	int64_t now_s, struct error *err);
/*
 * The operator's own: `cert_file` is PEM, the CA first, then its chain; `key_file` is PEM, or a "pkcs11:" URI (RFC 7512),
 * for which OpenSSL needs a provider or engine that knows it.
 */
must_check bool authority_from_files(
	struct authority **out, const char *cert_file, const char *key_file, int64_t now_s, struct error *err);
/* In memory only, for one run; valid for two days. */
must_check bool authority_in_memory(
	struct authority **out, const struct authority_make *make, int64_t now_s, struct error *err);
void authority_free(struct authority *authority); /* wipes the keys; NULL is allowed */

/*
 * Adds a new CA to `state_dir`, issuing from now + lead_s on, with the constraints of the present one unless `make` has
 * its own. Running keepers see it when they open the directory again.
 */
must_check bool authority_rotate(
	const char *state_dir, const struct authority_make *make, int64_t lead_s, int64_t now_s, struct error *err);

/* What issues at this time. Valid until the authority is freed. */
struct authority_issuer {
	X509 *cert;
	struct bytes der;       /* of the certificate */
	struct bytes name;      /* its subject, DER: the leaf's issuer */
	struct bytes key_id;    /* its subjectKeyIdentifier, empty when it has none */
	struct bytes algorithm; /* AlgorithmIdentifier of its signatures, DER */
	uint8_t sha256[32];     /* of the certificate: names the CA in stores */
	int64_t not_before_s, not_after_s;
	bool bare_subject;  /* directory names are constrained: leave the leaf's subject empty */
	const void *secret; /* for authority_sign */
};

/* False when none is valid at that time. */
must_check bool authority_issuer(const struct authority *authority, int64_t now_s, struct authority_issuer *out);
/* Signs `tbs`. False when the library or the token fails. */
must_check bool authority_sign(
	const struct authority_issuer *issuer, struct bytes tbs, uint8_t out[AUTHORITY_SIGNATURE_MAX], size_t *len);

/* What to send after a leaf: nothing for a root, else the CA and what stands above it without the root. In DER. */
must_check size_t authority_chain(
	const struct authority *authority, int64_t now_s, struct bytes out[AUTHORITY_CHAIN_MAX]);
/* All certificates that clients may trust, PEM: the contents of ca.pem. */
must_check struct bytes authority_pem(const struct authority *authority);
/* Certificates held, issuing one first as in the file. NULL beyond the last. */
must_check X509 *authority_cert(const struct authority *authority, size_t index);

/*
 * Whether a leaf may carry this name under the nameConstraints of the CA and of its chain. A wildcard may when all that
 * it can match may.
 */
must_check bool authority_permits_dns(const struct authority_issuer *issuer, struct bytes pattern);
must_check bool authority_permits_ip(const struct authority_issuer *issuer, struct bytes ip);
must_check bool authority_permits(const struct authority *authority, int64_t now_s, const struct subject_name *name);
/* Permitted ranges of the newest CA, for show and for comparing. False when it is not constrained. */
must_check bool authority_permit_list(const struct authority *authority, struct name_ranges *out);

#endif
