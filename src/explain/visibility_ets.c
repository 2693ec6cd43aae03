/* explain/visibility_ets.c — the certificate of Enterprise Transport Security: VisibilityInformation (TS 103 523-3, 4.3.3). */
#include "explain/lab.h"
#include "explain/visibility_parts.h"

#include <openssl/x509v3.h>
#include <stdio.h>

#define FINGERPRINT 10 /* octets: the first 80 bits of SHA-256 over the static public key */
#define DAY_S       ((long)24 * 60 * 60)

bool ets_fingerprint(const uint8_t share[VISIBILITY_KEY], uint8_t out[10])
{
	uint8_t digest[EVP_MAX_MD_SIZE];
	if (EVP_Digest(share, VISIBILITY_KEY, digest, NULL, EVP_sha256(), NULL) != 1)
		return false;
	memcpy(out, digest, FINGERPRINT);
	return true;
}

/* SEQUENCE { OCTET STRING fingerprint, UTF8String accessDescription }, below 128 octets. */
static ASN1_TYPE *information(const uint8_t share[VISIBILITY_KEY], const char *description)
{
	uint8_t room[128], fingerprint[FINGERPRINT];
	struct writer w = writer_over(room, sizeof(room));
	struct bytes der;
	if (!ets_fingerprint(share, fingerprint))
		return NULL;
	writer_u8(&w, V_ASN1_SEQUENCE | V_ASN1_CONSTRUCTED);
	size_t all = writer_open(&w, 1);
	writer_u8(&w, V_ASN1_OCTET_STRING);
	writer_vec8(&w, bytes_of(fingerprint, FINGERPRINT));
	writer_u8(&w, V_ASN1_UTF8STRING);
	writer_vec8(&w, bytes_str(description));
	writer_close(&w, all, 1);
	if (!writer_done(&w, &der) || der.len > 129)
		return NULL;
	const unsigned char *at = der.data;
	return d2i_ASN1_TYPE(NULL, &at, (long)der.len);
}

static bool add_names(X509 *cert, const uint8_t share[VISIBILITY_KEY], const char *description)
{
	GENERAL_NAMES *names = sk_GENERAL_NAME_new_null();
	GENERAL_NAME *dns = GENERAL_NAME_new(), *other = GENERAL_NAME_new();
	ASN1_IA5STRING *host = ASN1_IA5STRING_new();
	ASN1_TYPE *value = information(share, description);
	ASN1_OBJECT *oid = OBJ_txt2obj(ETS_OID, 1);
	bool ok = names && dns && other && host && value && oid && ASN1_STRING_set(host, LAB_NAME, -1) == 1;
	if (ok) {
		GENERAL_NAME_set0_value(dns, GEN_DNS, host);
		host = NULL;
		ok = GENERAL_NAME_set0_othername(other, oid, value) == 1;
		oid = NULL;
		value = NULL;
	}
	if (ok && sk_GENERAL_NAME_push(names, dns) > 0)
		dns = NULL;
	if (ok && sk_GENERAL_NAME_push(names, other) > 0)
		other = NULL;
	ok = ok && !dns && !other && X509_add1_ext_i2d(cert, NID_subject_alt_name, names, 0, X509V3_ADD_DEFAULT) == 1;
	ASN1_IA5STRING_free(host);
	ASN1_TYPE_free(value);
	ASN1_OBJECT_free(oid);
	GENERAL_NAME_free(dns);
	GENERAL_NAME_free(other);
	GENERAL_NAMES_free(names);
	return ok;
}

X509 *ets_certificate(EVP_PKEY *key, const uint8_t share[VISIBILITY_KEY], const char *description)
{
	X509 *cert = X509_new();
	if (cert && X509_set_version(cert, X509_VERSION_3) && ASN1_INTEGER_set(X509_get_serialNumber(cert), 7) &&
		X509_gmtime_adj(X509_getm_notBefore(cert), -DAY_S) &&
		X509_gmtime_adj(X509_getm_notAfter(cert), DAY_S) &&
		X509_NAME_add_entry_by_txt(
			X509_get_subject_name(cert), "CN", MBSTRING_ASC, (const unsigned char *)LAB_NAME, -1, -1, 0) &&
		X509_set_issuer_name(cert, X509_get_subject_name(cert)) && X509_set_pubkey(cert, key) &&
		add_names(cert, share, description) && X509_sign(cert, key, EVP_sha256()) > 0)
		return cert;
	X509_free(cert);
	return NULL;
}

static bool read_information(const ASN1_TYPE *value, uint8_t fingerprint[10], char *description, size_t cap)
{
	struct bytes in, sequence, print, text;
	uint8_t tag;
	if (value->type != V_ASN1_SEQUENCE)
		return false;
	in = bytes_of(ASN1_STRING_get0_data(value->value.sequence), (size_t)ASN1_STRING_length(value->value.sequence));
	if (!bytes_u8(&in, &tag) || !bytes_vec8(&in, &sequence) || !bytes_u8(&sequence, &tag) ||
		tag != V_ASN1_OCTET_STRING || !bytes_vec8(&sequence, &print) || print.len != FINGERPRINT ||
		!bytes_u8(&sequence, &tag) || tag != V_ASN1_UTF8STRING || !bytes_vec8(&sequence, &text))
		return false;
	memcpy(fingerprint, print.data, FINGERPRINT);
	snprintf(description, cap, "%.*s", (int)text.len, (const char *)text.data);
	return true;
}

bool ets_read(X509 *cert, uint8_t fingerprint[10], char *description, size_t cap)
{
	GENERAL_NAMES *names = X509_get_ext_d2i(cert, NID_subject_alt_name, NULL, NULL);
	ASN1_OBJECT *oid = OBJ_txt2obj(ETS_OID, 1), *type;
	ASN1_TYPE *value;
	bool found = false;
	for (int i = 0; names && oid && !found && i < sk_GENERAL_NAME_num(names); i++) {
		if (GENERAL_NAME_get0_otherName(sk_GENERAL_NAME_value(names, i), &type, &value) == 1 &&
			OBJ_cmp(type, oid) == 0)
			found = read_information(value, fingerprint, description, cap);
	}
	GENERAL_NAMES_free(names);
	ASN1_OBJECT_free(oid);
	return found;
}
