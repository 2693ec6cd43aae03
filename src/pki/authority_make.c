#include "pki/authority_parts.h"

#include "pki/summary.h"

#include <openssl/ec.h>
#include <openssl/rand.h>
#include <openssl/x509v3.h>
#include <stdio.h>

#define BACKDATE_S 3600 /* for clients whose clocks are behind */

bool cert_serial_set(X509 *cert)
{
	uint8_t raw[16];
	if (RAND_bytes(raw, sizeof(raw)) != 1)
		return false;
	/* 127 bits, positive, and never zero (RFC 5280, 4.1.2.2). */
	raw[0] = (uint8_t)((raw[0] & 0x7f) | 0x40);
	BIGNUM *number = BN_bin2bn(raw, sizeof(raw), NULL);
	bool ok = number && BN_to_ASN1_INTEGER(number, X509_get_serialNumber(cert)) != NULL;
	BN_free(number);
	return ok;
}

bool cert_name_set(X509 *cert, const char *common_name)
{
	X509_NAME *name = X509_NAME_new();
	bool ok = name &&
	          X509_NAME_add_entry_by_NID(
			  name, NID_organizationName, MBSTRING_UTF8, (const unsigned char *)"Overt", -1, -1, 0) == 1 &&
	          X509_NAME_add_entry_by_NID(
			  name, NID_commonName, MBSTRING_UTF8, (const unsigned char *)common_name, -1, -1, 0) == 1 &&
	          X509_set_subject_name(cert, name) == 1 && X509_set_issuer_name(cert, name) == 1;
	X509_NAME_free(name);
	return ok;
}

/* "Overt CA HOST 2026-11"; the host is cut so that the whole stays within the 64 characters of a CN. */
static bool name_set(X509 *cert, const char *host, int64_t now_s)
{
	char date[16];
	char text[65];
	cert_date(date, sizeof(date), now_s);
	if (host && *host)
		snprintf(text, sizeof(text), "Overt CA %.46s %.7s", host, date);
	else
		snprintf(text, sizeof(text), "Overt CA %.7s", date);
	return cert_name_set(cert, text);
}

static bool basics_add(X509 *cert)
{
	BASIC_CONSTRAINTS *basic = BASIC_CONSTRAINTS_new();
	ASN1_BIT_STRING *usage = ASN1_BIT_STRING_new();
	ASN1_OCTET_STRING *id = ASN1_OCTET_STRING_new();
	uint8_t digest[32];
	bool ok = basic && usage && id && (basic->pathlen = ASN1_INTEGER_new()) != NULL;
	if (ok) {
		basic->ca = 0xff;
		/* Bits 5 and 6: keyCertSign, cRLSign. 160 bits of SHA-256 over the key are its identifier (RFC 7093, 2). */
		ok = ASN1_INTEGER_set(basic->pathlen, 0) == 1 && ASN1_BIT_STRING_set_bit(usage, 5, 1) == 1 &&
		     ASN1_BIT_STRING_set_bit(usage, 6, 1) == 1 &&
		     X509_pubkey_digest(cert, EVP_sha256(), digest, NULL) == 1 &&
		     ASN1_OCTET_STRING_set(id, digest, 20) == 1 &&
		     X509_add1_ext_i2d(cert, NID_basic_constraints, basic, 1, 0) == 1 &&
		     X509_add1_ext_i2d(cert, NID_key_usage, usage, 1, 0) == 1 &&
		     X509_add1_ext_i2d(cert, NID_subject_key_identifier, id, 0, 0) == 1;
	}
	BASIC_CONSTRAINTS_free(basic);
	ASN1_BIT_STRING_free(usage);
	ASN1_OCTET_STRING_free(id);
	return ok;
}

static bool subtree_add(STACK_OF(GENERAL_SUBTREE) * *trees, const struct name_range *range)
{
	if (!*trees && !(*trees = sk_GENERAL_SUBTREE_new_null()))
		return false;
	GENERAL_SUBTREE *tree = GENERAL_SUBTREE_new();
	ASN1_STRING *value = ASN1_STRING_type_new(range->ip_len ? V_ASN1_OCTET_STRING : V_ASN1_IA5STRING);
	uint8_t raw[32];
	struct bytes content = bytes_str(range->dns);
	if (range->ip_len) {
		memcpy(raw, range->ip, range->ip_len);
		memcpy(raw + range->ip_len, range->mask, range->ip_len);
		content = bytes_of(raw, (size_t)range->ip_len * 2);
	}
	if (!tree || !value || ASN1_STRING_set(value, content.data, (int)content.len) != 1) {
		GENERAL_SUBTREE_free(tree);
		ASN1_STRING_free(value);
		return false;
	}
	GENERAL_NAME_set0_value(tree->base, range->ip_len ? GEN_IPADD : GEN_DNS, value);
	if (sk_GENERAL_SUBTREE_push(*trees, tree) > 0)
		return true;
	GENERAL_SUBTREE_free(tree);
	return false;
}

/* A list of permitted DNS names alone would leave addresses free: what is not permitted of a kind is excluded whole. */
static bool constraints_fill(NAME_CONSTRAINTS *out, const struct name_ranges *permit)
{
	static const struct name_range everything[] = {
		{.whole = true},
		{.ip_len = 4},
		{.ip_len = 16},
	};
	bool seen[3] = {false, false, false};
	bool ok = true;
	for (size_t i = 0; ok && i < permit->count; i++) {
		uint8_t len = permit->at[i].ip_len;
		seen[len == 0 ? 0 : len == 4 ? 1 : 2] = true;
		ok = subtree_add(&out->permittedSubtrees, &permit->at[i]);
	}
	for (size_t i = 0; ok && i < 3; i++)
		ok = seen[i] || subtree_add(&out->excludedSubtrees, &everything[i]);
	return ok;
}

static bool constraints_add(X509 *cert, const struct name_ranges *permit)
{
	if (!permit || permit->count == 0)
		return true;
	NAME_CONSTRAINTS *constraints = NAME_CONSTRAINTS_new();
	bool ok = constraints && constraints_fill(constraints, permit) &&
	          X509_add1_ext_i2d(cert, NID_name_constraints, constraints, 1, 0) == 1;
	NAME_CONSTRAINTS_free(constraints);
	return ok;
}

bool ca_make(struct ca *out, const struct authority_make *make, EVP_PKEY *key, int64_t now_s, int64_t life_s,
	struct error *err)
{
	static const struct authority_make plain;
	if (!make)
		make = &plain;
	int64_t from = make->not_before_s ? make->not_before_s : now_s - BACKDATE_S;
	if (key)
		(void)EVP_PKEY_up_ref(key);
	else
		key = EVP_EC_gen("P-256");
	X509 *cert = X509_new();
	bool ok = key && cert && X509_set_version(cert, X509_VERSION_3) == 1 && cert_serial_set(cert) &&
	          name_set(cert, make->host, now_s) && ASN1_TIME_set(X509_getm_notBefore(cert), (time_t)from) &&
	          ASN1_TIME_set(X509_getm_notAfter(cert), (time_t)(from + life_s)) && X509_set_pubkey(cert, key) == 1 &&
	          basics_add(cert) && constraints_add(cert, make->permit) && X509_sign(cert, key, EVP_sha256()) > 0;
	if (!ok) {
		X509_free(cert);
		EVP_PKEY_free(key);
		return error_set_openssl(err, "a new CA could not be made");
	}
	return ca_take(out, cert, key, err);
}
