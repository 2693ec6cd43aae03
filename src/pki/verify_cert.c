#include "pki/verify_parts.h"

#include "pki/summary.h"

#include <openssl/core_names.h>
#include <openssl/ec.h>
#include <openssl/err.h>
#include <openssl/x509v3.h>

#define SMALLEST_CURVE 256

/* At level 2 libcrypto still takes P-224, curves spelt out in the key, and DSA. */
static bool key_is_weak(X509 *cert)
{
	EVP_PKEY *key = X509_get0_pubkey(cert);
	if (!key)
		return false;
	int id = EVP_PKEY_get_base_id(key);
	if (id == EVP_PKEY_DSA || id == EVP_PKEY_DH)
		return true;
	if (id != EVP_PKEY_EC)
		return false;
	int spelt_out = 0;
	char group[64];
	size_t len;
	if (EVP_PKEY_get_int_param(key, OSSL_PKEY_PARAM_EC_DECODED_FROM_EXPLICIT_PARAMS, &spelt_out) != 1)
		spelt_out = 0;
	return spelt_out != 0 || EVP_PKEY_get_bits(key) < SMALLEST_CURVE ||
	       EVP_PKEY_get_group_name(key, group, sizeof(group), &len) != 1;
}

static void examine_cert(struct examination *ex, X509 *cert, int depth)
{
	struct findings *findings = &ex->findings;
	int64_t from;
	int64_t until;
	if (!cert_dates(cert, &from, &until)) {
		findings_add(findings, VERIFY_MALFORMED, depth, X509_V_ERR_ERROR_IN_CERT_NOT_BEFORE_FIELD, cert);
	} else {
		if (until < from)
			findings_add(findings, VERIFY_DATES_REVERSED, depth, X509_V_ERR_CERT_HAS_EXPIRED, cert);
		examination_ends(ex, until);
	}
	uint32_t flags = X509_get_extension_flags(cert);
	if ((flags & EXFLAG_INVALID) != 0)
		findings_add(findings, VERIFY_MALFORMED, depth, X509_V_ERR_INVALID_EXTENSION, cert);
	/* libcrypto also takes the two "server gated" purposes of old for serverAuth. */
	if ((flags & EXFLAG_XKUSAGE) != 0 && (X509_get_extended_key_usage(cert) & XKU_SSL_SERVER) == 0)
		findings_add(findings, VERIFY_PURPOSE, depth, X509_V_ERR_INVALID_PURPOSE, cert);
	if (!X509_get0_pubkey(cert))
		findings_add(findings, VERIFY_MALFORMED, depth, X509_V_ERR_UNABLE_TO_DECODE_ISSUER_PUBLIC_KEY, cert);
	else if (key_is_weak(cert))
		findings_add(findings, VERIFY_WEAK_KEY, depth,
			depth == 0 ? X509_V_ERR_EE_KEY_TOO_SMALL : X509_V_ERR_CA_KEY_TOO_SMALL, cert);
}

void examine_certs(struct examination *ex)
{
	int total = sk_X509_num(ex->chain);
	for (int i = 0; i < total; i++) {
		X509 *cert = sk_X509_value(ex->chain, i);
		int64_t from;
		int64_t until;
		if (i < ex->anchor_at || i == 0)
			examine_cert(ex, cert, i);
		else if (cert_dates(cert, &from, &until))
			examination_ends(ex, until);
	}
	uint32_t usage = X509_get_key_usage(ex->leaf); /* all bits where there is no such extension */
	uint32_t need = ex->request->use == VERIFY_USE_SIGN       ? KU_DIGITAL_SIGNATURE
	                : ex->request->use == VERIFY_USE_ENCIPHER ? KU_KEY_ENCIPHERMENT
	                                                          : KU_DIGITAL_SIGNATURE | KU_KEY_ENCIPHERMENT;
	if ((usage & need) == 0)
		findings_add(&ex->findings, VERIFY_KEY_USAGE, 0, X509_V_ERR_KEYUSAGE_NO_DIGITAL_SIGNATURE, ex->leaf);
	ERR_clear_error();
}

static bool printable(struct bytes in)
{
	for (size_t i = 0; i < in.len; i++) {
		if (in.data[i] <= 0x20 || in.data[i] >= 0x7f)
			return false;
	}
	return in.len > 0;
}

/* How many names of servers there are; a malformed one is a finding. */
static size_t names_check(struct examination *ex, const GENERAL_NAMES *names)
{
	size_t count = 0;
	for (int i = 0; i < sk_GENERAL_NAME_num(names); i++) {
		int type;
		const ASN1_STRING *value = GENERAL_NAME_get0_value(sk_GENERAL_NAME_value(names, i), &type);
		if (type != GEN_DNS && type != GEN_IPADD)
			continue;
		struct bytes raw = bytes_of(ASN1_STRING_get0_data(value), (size_t)ASN1_STRING_length(value));
		bool ok = type == GEN_DNS ? printable(raw) : raw.len == 4 || raw.len == 16;
		if (!ok)
			findings_add(
				&ex->findings, VERIFY_NAME_MALFORMED, 0, X509_V_ERR_UNSUPPORTED_NAME_SYNTAX, ex->leaf);
		count++;
	}
	return count;
}

/* No CN, no partial wildcards; libcrypto itself refuses "*.tld" and wildcards anywhere but in the leftmost label. */
static bool leaf_names(X509 *leaf, const struct subject_name *host)
{
	if (host->is_ip)
		return X509_check_ip(leaf, host->ip, host->ip_len, 0) == 1;
	unsigned flags = X509_CHECK_FLAG_NEVER_CHECK_SUBJECT | X509_CHECK_FLAG_NO_PARTIAL_WILDCARDS;
	return X509_check_host(leaf, host->text, strlen(host->text), flags, NULL) == 1;
}

void examine_name(struct examination *ex)
{
	int critical;
	int mismatch = ex->request->host->is_ip ? X509_V_ERR_IP_ADDRESS_MISMATCH : X509_V_ERR_HOSTNAME_MISMATCH;
	GENERAL_NAMES *names = X509_get_ext_d2i(ex->leaf, NID_subject_alt_name, &critical, NULL);
	if (!names && critical == -1) {
		findings_add(&ex->findings, VERIFY_NO_SAN, 0, mismatch, ex->leaf);
		return;
	}
	if (!names) {
		/* There, but twice or not to be decoded. */
		findings_add(&ex->findings, VERIFY_MALFORMED, 0, X509_V_ERR_INVALID_EXTENSION, ex->leaf);
		return;
	}
	if (names_check(ex, names) == 0)
		findings_add(&ex->findings, VERIFY_NO_SAN, 0, mismatch, ex->leaf);
	else if (!leaf_names(ex->leaf, ex->request->host))
		findings_add(&ex->findings, VERIFY_WRONG_NAME, 0, mismatch, ex->leaf);
	GENERAL_NAMES_free(names);
	ERR_clear_error();
}
