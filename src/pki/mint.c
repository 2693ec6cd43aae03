#include "pki/mint.h"

#include "pki/der.h"
#include "pki/verify.h"

#include <openssl/core_names.h>
#include <openssl/ec.h>
#include <openssl/evp.h>
#include <openssl/rand.h>
#include <openssl/x509.h>
#include <stdio.h>

#define DAY_S 86400

enum { SAN_DNS = DER_CONTEXT | 2, SAN_IP = DER_CONTEXT | 7 };

/* The OIDs and whole extensions that never change, in DER. */
static const uint8_t oid_san[] = {0x55, 0x1d, 0x11};
static const uint8_t oid_ski[] = {0x55, 0x1d, 0x0e};
static const uint8_t oid_aki[] = {0x55, 0x1d, 0x23};
static const uint8_t oid_policies[] = {0x55, 0x1d, 0x20};
static const uint8_t oid_cps[] = {0x2b, 0x06, 0x01, 0x05, 0x05, 0x07, 0x02, 0x01};
static const uint8_t oid_cn[] = {0x55, 0x04, 0x03};
/* MINT_POLICY_OID */
static const uint8_t oid_overt[] = {0x69, 0xdc, 0xaa, 0xf0, 0x47};
/* basicConstraints critical, CA:FALSE; keyUsage critical, digitalSignature; extendedKeyUsage serverAuth. */
static const uint8_t fixed_extensions[] = {0x30, 0x0c, 0x06, 0x03, 0x55, 0x1d, 0x13, 0x01, 0x01, 0xff, 0x04, 0x02, 0x30,
	0x00, 0x30, 0x0e, 0x06, 0x03, 0x55, 0x1d, 0x0f, 0x01, 0x01, 0xff, 0x04, 0x04, 0x03, 0x02, 0x07, 0x80, 0x30,
	0x13, 0x06, 0x03, 0x55, 0x1d, 0x25, 0x04, 0x0c, 0x30, 0x0a, 0x06, 0x08, 0x2b, 0x06, 0x01, 0x05, 0x05, 0x07,
	0x03, 0x01};
#define KEY_USAGE_AT 28 /* in fixed_extensions: unused bits, then the bits */

static const uint8_t oid_rsa[] = {0x06, 0x09, 0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x01, 0x01};

/* What is taken from the upstream certificate. */
struct upstream {
	int64_t from_s, until_s;
	struct bytes names; /* the elements of its subjectAltName, or none */
};

/* A leaf about to be written. */
struct plan {
	const struct mint_request *request;
	const struct authority_issuer *issuer; /* of the CA; also where the leaf is signed by a throwaway */
	struct upstream upstream;
	int64_t from_s, until_s;
	EVP_PKEY *throwaway; /* NULL: the CA signs */
	bool wrong_name;     /* the host must not be in it */
	bool subject;        /* the host stands in the CN */
};

const char *mint_result_name(enum mint_result result)
{
	switch (result) {
	case MINT_OK:
		return "ok";
	case MINT_MALFORMED:
		return "malformed";
	case MINT_NO_NAMES:
		return "no-names";
	case MINT_WRONG_NAME:
		return "wrong-name";
	case MINT_NOT_VALID_NOW:
		return "not-valid-now";
	case MINT_NOT_PERMITTED:
		return "not-permitted";
	case MINT_CA_EXPIRED:
		return "ca-expired";
	case MINT_NO_RANDOM:
		return "no-random";
	case MINT_SIGN_FAILED:
		return "sign-failed";
	case MINT_NO_ROOM:
		return "no-room";
	}
	return "unknown";
}

/* Finds the subjectAltName among the extensions; more than one is malformed. */
static bool names_find(struct bytes extensions, struct bytes *out)
{
	bool found = false;
	while (extensions.len > 0) {
		struct bytes extension;
		struct bytes oid;
		struct bytes value;
		struct bytes names;
		if (!der_take(&extensions, DER_SEQUENCE, &extension) || !der_take(&extension, DER_OID, &oid) ||
			!der_skip_optional(&extension, DER_BOOLEAN) || !der_take(&extension, DER_OCTET_STRING, &value))
			return false;
		if (!bytes_equal(oid, bytes_of(oid_san, sizeof(oid_san))))
			continue;
		if (found || !der_take(&value, DER_SEQUENCE, &names) || value.len != 0)
			return false;
		found = true;
		*out = names;
	}
	return true;
}

static bool upstream_read(struct bytes der, struct upstream *out)
{
	struct bytes cert;
	struct bytes tbs;
	struct bytes skipped;
	struct bytes validity;
	struct bytes wrapped;
	struct bytes extensions = BYTES_NONE;
	*out = (struct upstream){.names = BYTES_NONE};
	if (!der_take(&der, DER_SEQUENCE, &cert) || der.len != 0 || !der_take(&cert, DER_SEQUENCE, &tbs) ||
		!der_skip_optional(&tbs, DER_CONTEXT_CONSTRUCTED | 0) || !der_take(&tbs, DER_INTEGER, &skipped) ||
		!der_take(&tbs, DER_SEQUENCE, &skipped) || !der_take(&tbs, DER_SEQUENCE, &skipped) ||
		!der_take(&tbs, DER_SEQUENCE, &validity) || !der_take_time(&validity, &out->from_s) ||
		!der_take_time(&validity, &out->until_s) || !der_take(&tbs, DER_SEQUENCE, &skipped) ||
		!der_take(&tbs, DER_SEQUENCE, &skipped) || !der_skip_optional(&tbs, DER_CONTEXT | 1) ||
		!der_skip_optional(&tbs, DER_CONTEXT | 2))
		return false;
	if (tbs.len == 0)
		return true;
	return der_take(&tbs, DER_CONTEXT_CONSTRUCTED | 3, &wrapped) && tbs.len == 0 &&
	       der_take(&wrapped, DER_SEQUENCE, &extensions) && names_find(extensions, &out->names);
}

enum name_fit { FIT_NONE, FIT_OTHER, FIT_HOST };

/* Whether the leaf may carry this entry, and whether it is the host. */
static enum name_fit name_fit(const struct plan *plan, uint8_t tag, struct bytes value)
{
	const struct subject_name *host = plan->request->host;
	bool limited = !plan->throwaway;
	if (tag == SAN_DNS) {
		if (!dns_pattern_valid(value) || (limited && !authority_permits_dns(plan->issuer, value)))
			return FIT_NONE;
		return dns_pattern_matches(value, host) ? FIT_HOST : FIT_OTHER;
	}
	struct subject_name ip;
	if (tag != SAN_IP || !subject_name_from_ip(value, &ip) ||
		(limited && !authority_permits_ip(plan->issuer, value)))
		return FIT_NONE;
	return subject_name_equal(&ip, host) ? FIT_HOST : FIT_OTHER;
}

/* Copies the entries of one fit. False when the upstream extension is malformed. */
static bool names_copy(const struct plan *plan, enum name_fit wanted, struct writer *w, struct minted *out)
{
	struct bytes rest = plan->upstream.names;
	size_t start = w->len;
	while (rest.len > 0) {
		uint8_t tag;
		struct bytes value;
		if (!der_any(&rest, &tag, &value))
			return false;
		out->names_seen += wanted == FIT_HOST;
		if (name_fit(plan, tag, value) != wanted)
			continue;
		if (out->names_kept == MINT_MAX_NAMES || w->len - start + value.len > MINT_MAX_NAME_BYTES) {
			out->names_over_cap++;
			continue;
		}
		der_put(w, tag, value);
		out->names_kept++;
	}
	return true;
}

static enum mint_result names_put(const struct plan *plan, struct writer *w, struct minted *out)
{
	static const char nobody[] = "upstream-names-another-host.invalid";
	size_t extension = der_open(w, DER_SEQUENCE);
	der_put(w, DER_OID, bytes_of(oid_san, sizeof(oid_san)));
	/* Critical where the subject is empty (RFC 5280, 4.2.1.6). */
	if (!plan->subject)
		der_put_bool(w, true);
	size_t octets = der_open(w, DER_OCTET_STRING);
	size_t names = der_open(w, DER_SEQUENCE);
	struct minted dropped = {0};
	struct writer nowhere = *w;
	/* Entries that are the host come first, so that the cap never costs them. */
	if (!names_copy(plan, FIT_HOST, plan->wrong_name ? &nowhere : w, plan->wrong_name ? &dropped : out))
		return MINT_MALFORMED;
	out->names_seen += dropped.names_seen;
	if (out->names_kept == 0 && !plan->wrong_name)
		return plan->upstream.names.len == 0 ? MINT_NO_NAMES : MINT_WRONG_NAME;
	if (!names_copy(plan, FIT_OTHER, w, out))
		return MINT_MALFORMED;
	if (out->names_kept == 0)
		der_put(w, SAN_DNS, bytes_str(nobody));
	der_close(w, names);
	der_close(w, octets);
	der_close(w, extension);
	return MINT_OK;
}

static void policy_put(const char *url, struct writer *w)
{
	size_t extension = der_open(w, DER_SEQUENCE);
	der_put(w, DER_OID, bytes_of(oid_policies, sizeof(oid_policies)));
	size_t octets = der_open(w, DER_OCTET_STRING);
	size_t policies = der_open(w, DER_SEQUENCE);
	size_t policy = der_open(w, DER_SEQUENCE);
	der_put(w, DER_OID, bytes_of(oid_overt, sizeof(oid_overt)));
	size_t qualifiers = der_open(w, DER_SEQUENCE);
	size_t qualifier = der_open(w, DER_SEQUENCE);
	der_put(w, DER_OID, bytes_of(oid_cps, sizeof(oid_cps)));
	der_put(w, DER_IA5, bytes_str(url ? url : MINT_POLICY_URL));
	der_close(w, qualifier);
	der_close(w, qualifiers);
	der_close(w, policy);
	der_close(w, policies);
	der_close(w, octets);
	der_close(w, extension);
}

/* 160 bits of SHA-256 over the SubjectPublicKeyInfo (RFC 7093, 2, method 4). */
static bool key_id(struct bytes spki, uint8_t out[20])
{
	uint8_t digest[32];
	if (EVP_Digest(spki.data, spki.len, digest, NULL, EVP_sha256(), NULL) != 1)
		return false;
	memcpy(out, digest, 20);
	return true;
}

static void key_id_put(struct bytes oid, uint8_t tag, struct bytes id, struct writer *w)
{
	size_t extension = der_open(w, DER_SEQUENCE);
	der_put(w, DER_OID, oid);
	size_t octets = der_open(w, DER_OCTET_STRING);
	/* SubjectKeyIdentifier is an OCTET STRING, AuthorityKeyIdentifier a SEQUENCE with it under [0]. */
	size_t inner = tag == DER_OCTET_STRING ? 0 : der_open(w, DER_SEQUENCE);
	der_put(w, tag, id);
	if (tag != DER_OCTET_STRING)
		der_close(w, inner);
	der_close(w, octets);
	der_close(w, extension);
}

/* The algorithm stands at the front of a SubjectPublicKeyInfo. */
static bool is_rsa(struct bytes spki)
{
	size_t front = spki.len < 24 ? spki.len : 24;
	return front > 0 && memmem(spki.data, front, oid_rsa, sizeof(oid_rsa)) != NULL;
}

static enum mint_result extensions_put(const struct plan *plan, struct writer *w, struct minted *out)
{
	uint8_t own[20];
	uint8_t issuers[20] = {0};
	struct bytes issuer_id = plan->issuer->key_id;
	if (!key_id(plan->request->spki, own))
		return MINT_SIGN_FAILED;
	if (plan->throwaway) {
		/* Nobody has its certificate: any identifier but the CA's will do. */
		if (RAND_bytes(issuers, sizeof(issuers)) != 1)
			return MINT_NO_RANDOM;
		issuer_id = bytes_of(issuers, sizeof(issuers));
	}
	size_t wrapped = der_open(w, DER_CONTEXT_CONSTRUCTED | 3);
	size_t extensions = der_open(w, DER_SEQUENCE);
	uint8_t fixed[sizeof(fixed_extensions)];
	memcpy(fixed, fixed_extensions, sizeof(fixed));
	if (is_rsa(plan->request->spki)) {
		/* keyEncipherment too: some hosts may be allowed RSA key exchange. */
		fixed[KEY_USAGE_AT] = 0x05;
		fixed[KEY_USAGE_AT + 1] = 0xa0;
	}
	writer_bytes(w, bytes_of(fixed, sizeof(fixed)));
	key_id_put(bytes_of(oid_ski, sizeof(oid_ski)), DER_OCTET_STRING, bytes_of(own, sizeof(own)), w);
	if (issuer_id.len > 0)
		key_id_put(bytes_of(oid_aki, sizeof(oid_aki)), DER_CONTEXT | 0, issuer_id, w);
	policy_put(plan->request->policy_url, w);
	enum mint_result result = names_put(plan, w, out);
	if (result != MINT_OK)
		return result;
	der_close(w, extensions);
	der_close(w, wrapped);
	return MINT_OK;
}

static void common_name_put(const char *text, struct writer *w)
{
	size_t name = der_open(w, DER_SEQUENCE);
	if (text) {
		size_t set = der_open(w, DER_SET);
		size_t pair = der_open(w, DER_SEQUENCE);
		der_put(w, DER_OID, bytes_of(oid_cn, sizeof(oid_cn)));
		der_put(w, DER_UTF8, bytes_str(text));
		der_close(w, pair);
		der_close(w, set);
	}
	der_close(w, name);
}

static enum mint_result tbs_put(const struct plan *plan, struct bytes algorithm, struct writer *w, struct minted *out)
{
	static const uint8_t version_3[] = {0xa0, 0x03, 0x02, 0x01, 0x02};
	uint8_t serial[16];
	if (RAND_bytes(serial, sizeof(serial)) != 1)
		return MINT_NO_RANDOM;
	serial[0] &= 0x7f;
	size_t tbs = der_open(w, DER_SEQUENCE);
	writer_bytes(w, bytes_of(version_3, sizeof(version_3)));
	der_put_unsigned(w, bytes_of(serial, sizeof(serial)));
	writer_bytes(w, algorithm);
	if (plan->throwaway)
		common_name_put("Overt: the upstream certificate is not trusted", w);
	else
		writer_bytes(w, plan->issuer->name);
	size_t validity = der_open(w, DER_SEQUENCE);
	der_put_time(w, plan->from_s);
	der_put_time(w, plan->until_s);
	der_close(w, validity);
	common_name_put(plan->subject ? plan->request->host->text : NULL, w);
	writer_bytes(w, plan->request->spki);
	enum mint_result result = extensions_put(plan, w, out);
	der_close(w, tbs);
	return result;
}

static bool throwaway_sign(EVP_PKEY *key, struct bytes tbs, uint8_t out[AUTHORITY_SIGNATURE_MAX], size_t *len)
{
	EVP_MD_CTX *ctx = EVP_MD_CTX_new();
	*len = AUTHORITY_SIGNATURE_MAX;
	bool ok = ctx && EVP_DigestSignInit_ex(ctx, NULL, "SHA256", NULL, NULL, key, NULL) == 1 &&
	          EVP_DigestSign(ctx, out, len, tbs.data, tbs.len) == 1;
	EVP_MD_CTX_free(ctx);
	return ok;
}

static enum mint_result write_cert(const struct plan *plan, uint8_t *buffer, size_t cap, struct minted *out)
{
	static const uint8_t ecdsa_sha256[] = {0x30, 0x0a, 0x06, 0x08, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x04, 0x03, 0x02};
	struct bytes algorithm =
		plan->throwaway ? bytes_of(ecdsa_sha256, sizeof(ecdsa_sha256)) : plan->issuer->algorithm;
	struct writer w = writer_over(buffer, cap);
	size_t cert = der_open(&w, DER_SEQUENCE);
	enum mint_result result = tbs_put(plan, algorithm, &w, out);
	struct bytes written;
	if (result != MINT_OK)
		return result;
	if (!writer_done(&w, &written) || !bytes_skip(&written, cert))
		return MINT_NO_ROOM;
	uint8_t signature[AUTHORITY_SIGNATURE_MAX];
	size_t len;
	bool ok = plan->throwaway ? throwaway_sign(plan->throwaway, written, signature, &len)
	                          : authority_sign(plan->issuer, written, signature, &len);
	if (!ok)
		return MINT_SIGN_FAILED;
	writer_bytes(&w, algorithm);
	der_put_bits(&w, bytes_of(signature, len));
	der_close(&w, cert);
	out->not_before_s = plan->from_s;
	out->not_after_s = plan->until_s;
	return writer_done(&w, &out->der) ? MINT_OK : MINT_NO_ROOM;
}

static int64_t least(int64_t a, int64_t b)
{
	return a < b ? a : b;
}

static bool url_fits(const char *url)
{
	size_t len = url ? strlen(url) : 0;
	for (size_t i = 0; i < len; i++) {
		if (url[i] <= 0x20 || url[i] > 0x7e)
			return false;
	}
	return len <= MINT_URL_MAX;
}

/* Reads the request. The dates are those of a good leaf; the caller decides whether now is within them. */
static enum mint_result plan_make(const struct authority *authority, const struct mint_request *request,
	struct authority_issuer *issuer, struct plan *out)
{
	struct bytes spki = request->spki;
	struct bytes content;
	*out = (struct plan){.request = request, .issuer = issuer};
	if (!url_fits(request->policy_url) || !der_take(&spki, DER_SEQUENCE, &content) || spki.len != 0)
		return MINT_NO_ROOM;
	if (!upstream_read(request->upstream, &out->upstream))
		return MINT_MALFORMED;
	if (!authority_issuer(authority, request->now_s, issuer))
		return MINT_CA_EXPIRED;
	const struct subject_name *host = request->host;
	bool permitted = host->is_ip ? authority_permits_ip(issuer, bytes_of(host->ip, host->ip_len))
	                             : authority_permits_dns(issuer, subject_name_bytes(host));
	if (!permitted)
		return MINT_NOT_PERMITTED;
	/* A CN is at most 64 characters (RFC 5280, appendix A), and one that is an address reads as a DNS name to some. */
	out->subject = !host->is_ip && strlen(host->text) <= 64 && !issuer->bare_subject;
	const struct upstream *upstream = &out->upstream;
	out->from_s = upstream->from_s > issuer->not_before_s ? upstream->from_s : issuer->not_before_s;
	out->until_s =
		least(least(upstream->until_s, issuer->not_after_s), request->now_s + (int64_t)MINT_DAYS * DAY_S);
	/* Both ends count as part of the time (RFC 5280, 4.1.2.5). */
	int64_t earliest = out->until_s - (int64_t)MINT_WHOLE_DAYS * DAY_S + 1;
	if (out->from_s < earliest)
		out->from_s = earliest;
	return MINT_OK;
}

enum mint_result mint_leaf(const struct authority *authority, const struct mint_request *request, uint8_t *buffer,
	size_t cap, struct minted *out)
{
	struct authority_issuer issuer;
	struct plan plan;
	*out = (struct minted){.der = BYTES_NONE};
	enum mint_result result = plan_make(authority, request, &issuer, &plan);
	if (result != MINT_OK)
		return result;
	if (plan.upstream.from_s > request->now_s || plan.upstream.until_s < request->now_s)
		return MINT_NOT_VALID_NOW;
	return write_cert(&plan, buffer, cap, out);
}

#define DATE_FAULTS                                                                                                    \
	(VERIFY_FAULT_BIT(VERIFY_EXPIRED) | VERIFY_FAULT_BIT(VERIFY_NOT_YET_VALID) |                                   \
		VERIFY_FAULT_BIT(VERIFY_DATES_REVERSED))
#define NAME_FAULTS (VERIFY_FAULT_BIT(VERIFY_WRONG_NAME) | VERIFY_FAULT_BIT(VERIFY_NO_SAN))

/* Chooses how the fault is shown. What neither dates nor names can show, an unknown issuer does. */
static bool plan_spoil(struct plan *plan)
{
	uint64_t faults = plan->request->faults;
	int64_t now = plan->request->now_s;
	const struct upstream *upstream = &plan->upstream;
	bool dates_bad = upstream->from_s > now || upstream->until_s < now;
	/* An intermediate may be the one that expired: the leaf's own dates would then show nothing. */
	bool shown = faults != 0 && (faults & ~(DATE_FAULTS | NAME_FAULTS)) == 0 &&
	             ((faults & DATE_FAULTS) == 0 || dates_bad);
	if (dates_bad) {
		plan->from_s = upstream->from_s;
		plan->until_s = upstream->until_s;
	}
	plan->wrong_name = (faults & NAME_FAULTS) != 0;
	plan->subject = plan->subject && !plan->wrong_name;
	return shown || (plan->throwaway = EVP_EC_gen("P-256")) != NULL;
}

enum mint_result mint_invalid(const struct authority *authority, const struct mint_request *request, uint8_t *buffer,
	size_t cap, struct minted *out)
{
	struct authority_issuer issuer;
	struct plan plan;
	*out = (struct minted){.der = BYTES_NONE};
	enum mint_result result = plan_make(authority, request, &issuer, &plan);
	if (result != MINT_OK)
		return result;
	if (!plan_spoil(&plan))
		return MINT_SIGN_FAILED;
	result = write_cert(&plan, buffer, cap, out);
	EVP_PKEY_free(plan.throwaway);
	return result;
}
