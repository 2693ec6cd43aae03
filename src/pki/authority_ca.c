#include "pki/authority_parts.h"

#include "pki/summary.h"

#include <openssl/ec.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/x509v3.h>
#include <stdlib.h>

/* How a key signs: AlgorithmIdentifier (RFC 5758, 3.2; RFC 4055, 5; RFC 8410, 3) and digest. */
struct signing {
	int key;            /* EVP_PKEY_… */
	int bits;           /* of an EC key; 0: any */
	const char *digest; /* NULL: the key's own */
	uint8_t len;
	uint8_t algorithm[15];
};

static const struct signing signings[] = {
	{EVP_PKEY_EC, 256, "SHA256", 12, {0x30, 0x0a, 0x06, 0x08, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x04, 0x03, 0x02}},
	{EVP_PKEY_EC, 384, "SHA384", 12, {0x30, 0x0a, 0x06, 0x08, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x04, 0x03, 0x03}},
	{EVP_PKEY_EC, 521, "SHA512", 12, {0x30, 0x0a, 0x06, 0x08, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x04, 0x03, 0x04}},
	{EVP_PKEY_RSA, 0, "SHA256", 15,
		{0x30, 0x0d, 0x06, 0x09, 0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x01, 0x0b, 0x05, 0x00}},
	{EVP_PKEY_ED25519, 0, NULL, 7, {0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x70}},
	{EVP_PKEY_ED448, 0, NULL, 7, {0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x71}},
};

static const struct signing *signing_of(EVP_PKEY *key)
{
	int id = key ? EVP_PKEY_get_base_id(key) : 0;
	for (size_t i = 0; i < sizeof(signings) / sizeof(signings[0]); i++) {
		const struct signing *signing = &signings[i];
		if (signing->key == id && (signing->bits == 0 || signing->bits == EVP_PKEY_get_bits(key)))
			return signing;
	}
	return NULL;
}

static bool is_good_ca(X509 *cert, struct error *err)
{
	if (X509_check_ca(cert) != 1)
		return error_set(err, "is no CA certificate (basicConstraints CA:TRUE is missing)");
	if ((X509_get_key_usage(cert) & KU_KEY_CERT_SIGN) == 0)
		return error_set(err, "may not sign certificates (keyUsage lacks keyCertSign)");
	return true;
}

static bool range_of(const GENERAL_NAME *name, struct name_range *out)
{
	int type;
	const ASN1_STRING *value = GENERAL_NAME_get0_value(name, &type);
	struct bytes raw = bytes_of(ASN1_STRING_get0_data(value), (size_t)ASN1_STRING_length(value));
	*out = (struct name_range){0};
	if (type == GEN_IPADD) {
		if (raw.len != 8 && raw.len != 32)
			return false;
		out->ip_len = (uint8_t)(raw.len / 2);
		memcpy(out->ip, raw.data, out->ip_len);
		memcpy(out->mask, raw.data + out->ip_len, out->ip_len);
		return true;
	}
	out->whole = raw.len == 0;
	return out->whole || name_range_parse(raw, out, NULL);
}

static bool subtrees_read(
	STACK_OF(GENERAL_SUBTREE) * trees, struct name_ranges *out, bool *directory, struct error *err)
{
	for (int i = 0; trees && i < sk_GENERAL_SUBTREE_num(trees); i++) {
		const GENERAL_NAME *base = sk_GENERAL_SUBTREE_value(trees, i)->base;
		*directory |= base->type == GEN_DIRNAME;
		if (base->type != GEN_DNS && base->type != GEN_IPADD)
			continue;
		if (out->count == NAME_RANGES_MAX)
			return error_set(err, "has more than %d name constraints", NAME_RANGES_MAX);
		if (!range_of(base, &out->at[out->count]))
			return error_set(err, "has a name constraint that cannot be read");
		out->count++;
	}
	return true;
}

bool ca_limit(struct ca *ca, X509 *cert, struct error *err)
{
	int critical;
	NAME_CONSTRAINTS *constraints = X509_get_ext_d2i(cert, NID_name_constraints, &critical, NULL);
	if (!constraints)
		return critical == -1 || error_set(err, "has name constraints that cannot be read");
	struct limits *limits = calloc(1, sizeof(*limits));
	if (!limits) {
		NAME_CONSTRAINTS_free(constraints);
		return error_set(err, "out of memory");
	}
	bool ok = subtrees_read(constraints->permittedSubtrees, &limits->permitted, &limits->directory, err) &&
	          subtrees_read(constraints->excludedSubtrees, &limits->excluded, &limits->directory, err);
	NAME_CONSTRAINTS_free(constraints);
	if (!ok) {
		free(limits);
		return false;
	}
	struct limits **end = &ca->limits;
	while (*end)
		end = &(*end)->next;
	*end = limits;
	return true;
}

static bool encode(struct ca *ca, struct error *err)
{
	int der_len = i2d_X509(ca->cert, &ca->der);
	int name_len = i2d_X509_NAME(X509_get_subject_name(ca->cert), &ca->name);
	if (der_len <= 0 || name_len <= 0 || X509_digest(ca->cert, EVP_sha256(), ca->sha256, NULL) != 1)
		return error_set_openssl(err, "cannot be encoded");
	ca->der_len = (size_t)der_len;
	ca->name_len = (size_t)name_len;
	const ASN1_OCTET_STRING *id = X509_get0_subject_key_id(ca->cert);
	if (id)
		ca->key_id = bytes_of(ASN1_STRING_get0_data(id), (size_t)ASN1_STRING_length(id));
	return true;
}

bool ca_take(struct ca *out, X509 *cert, EVP_PKEY *key, struct error *err)
{
	struct ca ca = {.cert = cert, .key = key};
	const struct signing *signing = signing_of(X509_get0_pubkey(cert));
	bool ok = is_good_ca(cert, err);
	if (ok && !signing)
		ok = error_set(err, "has a key that Overt cannot sign with; use P-256, P-384, P-521, RSA or EdDSA");
	if (ok && key && EVP_PKEY_eq(X509_get0_pubkey(cert), key) != 1)
		ok = error_set(err, "does not go with the key");
	if (ok && !cert_dates(cert, &ca.not_before_s, &ca.not_after_s))
		ok = error_set(err, "has dates that cannot be read");
	ok = ok && encode(&ca, err) && ca_limit(&ca, cert, err);
	ERR_clear_error();
	if (!ok) {
		ca_clear(&ca);
		return false;
	}
	ca.algorithm = bytes_of(signing->algorithm, signing->len);
	ca.digest = signing->digest;
	*out = ca;
	return true;
}

void ca_clear(struct ca *ca)
{
	while (ca->limits) {
		struct limits *next = ca->limits->next;
		free(ca->limits);
		ca->limits = next;
	}
	X509_free(ca->cert);
	EVP_PKEY_free(ca->key); /* libcrypto wipes private numbers */
	OPENSSL_free(ca->der);
	OPENSSL_free(ca->name);
	*ca = (struct ca){0};
}

const struct ca *ca_issuing(const struct authority *authority, int64_t now_s)
{
	const struct ca *best = NULL;
	for (size_t i = 0; i < authority->count; i++) {
		const struct ca *ca = &authority->at[i];
		if (!ca->key || ca->not_before_s > now_s || ca->not_after_s < now_s)
			continue;
		if (!best || ca->not_before_s > best->not_before_s)
			best = ca;
	}
	return best;
}

static bool names_subject(const struct limits *limits)
{
	for (; limits; limits = limits->next) {
		if (limits->directory)
			return true;
	}
	return false;
}

bool authority_issuer(const struct authority *authority, int64_t now_s, struct authority_issuer *out)
{
	const struct ca *ca = ca_issuing(authority, now_s);
	if (!ca)
		return false;
	*out = (struct authority_issuer){.cert = ca->cert,
		.der = bytes_of(ca->der, ca->der_len),
		.name = bytes_of(ca->name, ca->name_len),
		.key_id = ca->key_id,
		.algorithm = ca->algorithm,
		.not_before_s = ca->not_before_s,
		.not_after_s = ca->not_after_s,
		.bare_subject = names_subject(ca->limits),
		.secret = ca};
	memcpy(out->sha256, ca->sha256, sizeof(out->sha256));
	return true;
}

bool authority_sign(
	const struct authority_issuer *issuer, struct bytes tbs, uint8_t out[AUTHORITY_SIGNATURE_MAX], size_t *len)
{
	const struct ca *ca = issuer->secret;
	EVP_MD_CTX *ctx = EVP_MD_CTX_new();
	*len = AUTHORITY_SIGNATURE_MAX;
	bool ok = ctx && EVP_DigestSignInit_ex(ctx, NULL, ca->digest, NULL, NULL, ca->key, NULL) == 1 &&
	          EVP_DigestSign(ctx, out, len, tbs.data, tbs.len) == 1;
	EVP_MD_CTX_free(ctx);
	return ok;
}

static bool dns_excluded(const struct name_range *range, struct bytes pattern)
{
	if (name_range_holds_dns(range, pattern))
		return true;
	/* "*.example.com" also covers an excluded "a.example.com". */
	struct bytes parent = bytes_str(range->dns);
	bool child = bytes_skip(&parent, bytes_find(parent, '.', 0)) && bytes_skip(&parent, 1);
	return child && range->ip_len == 0 && bytes_starts(pattern, bytes_str("*.")) && bytes_skip(&pattern, 2) &&
	       bytes_equal_nocase(parent, pattern);
}

static bool limits_permit_dns(const struct limits *limits, struct bytes pattern)
{
	bool listed = false;
	bool inside = false;
	for (size_t i = 0; i < limits->permitted.count; i++) {
		listed |= limits->permitted.at[i].ip_len == 0;
		inside |= name_range_holds_dns(&limits->permitted.at[i], pattern);
	}
	for (size_t i = 0; i < limits->excluded.count; i++) {
		if (dns_excluded(&limits->excluded.at[i], pattern))
			return false;
	}
	return inside || !listed;
}

static bool limits_permit_ip(const struct limits *limits, struct bytes ip)
{
	bool listed = false;
	bool inside = false;
	for (size_t i = 0; i < limits->permitted.count; i++) {
		listed |= limits->permitted.at[i].ip_len != 0;
		inside |= name_range_holds_ip(&limits->permitted.at[i], ip);
	}
	for (size_t i = 0; i < limits->excluded.count; i++) {
		if (name_range_holds_ip(&limits->excluded.at[i], ip))
			return false;
	}
	return inside || !listed;
}

bool authority_permits_dns(const struct authority_issuer *issuer, struct bytes pattern)
{
	for (const struct limits *l = ((const struct ca *)issuer->secret)->limits; l; l = l->next) {
		if (!limits_permit_dns(l, pattern))
			return false;
	}
	return true;
}

bool authority_permits_ip(const struct authority_issuer *issuer, struct bytes ip)
{
	for (const struct limits *l = ((const struct ca *)issuer->secret)->limits; l; l = l->next) {
		if (!limits_permit_ip(l, ip))
			return false;
	}
	return true;
}

bool authority_permits(const struct authority *authority, int64_t now_s, const struct subject_name *name)
{
	struct authority_issuer issuer;
	if (!authority_issuer(authority, now_s, &issuer))
		return false;
	return name->is_ip ? authority_permits_ip(&issuer, bytes_of(name->ip, name->ip_len))
	                   : authority_permits_dns(&issuer, subject_name_bytes(name));
}
