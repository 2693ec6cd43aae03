/* assess/identity_cert.c — one certificate, right or wrong as its plan says (RFC 5280, 4). */
#include "assess/identity_parts.h"

#include <openssl/rand.h>
#include <openssl/x509v3.h>
#include <stdio.h>
#include <string.h>

static bool extend(X509 *cert, X509 *issuer, int nid, const char *value)
{
	X509V3_CTX ctx;
	if (!value)
		return true;
	X509V3_set_ctx_nodb(&ctx);
	X509V3_set_ctx(&ctx, issuer, cert, NULL, NULL, 0);
	X509_EXTENSION *extension = X509V3_EXT_conf_nid(NULL, &ctx, nid, value);
	bool ok = extension && X509_add_ext(cert, extension, -1) == 1;
	X509_EXTENSION_free(extension);
	return ok;
}

/* `fixed` 0: random. */
bool identity_number(ASN1_INTEGER *out, uint8_t fixed)
{
	uint8_t octets[16];
	memset(octets, fixed, sizeof(octets));
	if (fixed == 0 && RAND_bytes(octets, sizeof(octets)) != 1)
		return false;
	octets[0] = (uint8_t)((octets[0] & 0x7f) | 0x40);
	BIGNUM *bn = BN_bin2bn(octets, sizeof(octets), NULL);
	bool ok = bn && BN_to_ASN1_INTEGER(bn, out) != NULL;
	BN_free(bn);
	return ok;
}

/* NUL within a name cannot be written as configuration. */
static bool add_nul_name(X509 *cert, const char *name)
{
	char room[IDENTITY_NAME_ROOM];
	int n = snprintf(room, sizeof(room), "%s_.example", name);
	GENERAL_NAMES *names = GENERAL_NAMES_new();
	GENERAL_NAME *one = GENERAL_NAME_new();
	ASN1_IA5STRING *text = ASN1_IA5STRING_new();
	bool ok = names && one && text && n > 0 && (size_t)n < sizeof(room);
	if (ok) {
		room[strlen(name)] = '\0';
		ok = ASN1_STRING_set(text, room, n) == 1;
		GENERAL_NAME_set0_value(one, GEN_DNS, text);
		text = NULL;
	}
	if (ok && sk_GENERAL_NAME_push(names, one) > 0) {
		one = NULL;
		ok = X509_add1_ext_i2d(cert, NID_subject_alt_name, names, 0, 0) == 1;
	}
	ASN1_IA5STRING_free(text);
	GENERAL_NAME_free(one);
	GENERAL_NAMES_free(names);
	return ok;
}

static bool add_octets(X509 *cert, const char *name, bool critical, struct bytes octets)
{
	ASN1_OBJECT *oid = OBJ_txt2obj(name, 0);
	ASN1_OCTET_STRING *value = ASN1_OCTET_STRING_new();
	X509_EXTENSION *extension = NULL;
	bool ok = oid && value && ASN1_OCTET_STRING_set(value, octets.data, (int)octets.len) == 1;
	if (ok)
		extension = X509_EXTENSION_create_by_OBJ(NULL, oid, critical, value);
	ok = extension && X509_add_ext(cert, extension, -1) == 1;
	X509_EXTENSION_free(extension);
	ASN1_OCTET_STRING_free(value);
	ASN1_OBJECT_free(oid);
	return ok;
}

static bool add_pointers(X509 *cert, uint16_t port)
{
	char crl[60], ocsp[60];
	if (port == 0)
		return true;
	snprintf(crl, sizeof(crl), "URI:http://127.0.0.1:%u/crl", port);
	snprintf(ocsp, sizeof(ocsp), "OCSP;URI:http://127.0.0.1:%u/ocsp", port);
	return extend(cert, cert, NID_crl_distribution_points, crl) && extend(cert, cert, NID_info_access, ocsp);
}

static bool fill(X509 *cert, X509 *issuer, const struct identity_plan *plan)
{
	static const char unknown[] = "1.3.6.1.4.1.32473.1.1"; /* of the arc for examples, RFC 5612 */
	bool named = issuer != cert && X509_get_ext_by_NID(issuer, NID_subject_key_identifier, -1) >= 0;
	if (plan->v1)
		return true;
	return add_pointers(cert, plan->status_port) &&
	       (!plan->malformed || add_octets(cert, "basicConstraints", true, bytes_of("\x30\x80\xff", 3))) &&
	       (!plan->critical || add_octets(cert, unknown, true, bytes_of("\x05\x00", 2))) &&
	       extend(cert, issuer, NID_basic_constraints, plan->constraints) &&
	       extend(cert, issuer, NID_key_usage, plan->usage) &&
	       extend(cert, issuer, NID_ext_key_usage, plan->purpose) &&
	       extend(cert, issuer, NID_name_constraints, plan->names) &&
	       extend(cert, issuer, NID_subject_alt_name, plan->nul ? NULL : plan->san) &&
	       extend(cert, issuer, NID_subject_key_identifier, "hash") &&
	       extend(cert, issuer, NID_authority_key_identifier, named ? "keyid" : NULL) &&
	       extend(cert, issuer, NID_tlsfeature, plan->must_staple ? "status_request" : NULL) &&
	       (!plan->nul || add_nul_name(cert, plan->cn));
}

/* Signed by `issuer` with `by`; by itself where `issuer` is NULL. */
X509 *identity_certify(const struct identity_plan *plan, EVP_PKEY *key, X509 *issuer, EVP_PKEY *by)
{
	X509 *cert = X509_new();
	bool ok = cert && X509_set_version(cert, plan->v1 ? X509_VERSION_1 : X509_VERSION_3) &&
	          identity_number(X509_get_serialNumber(cert), plan->serial) &&
	          X509_gmtime_adj(X509_getm_notBefore(cert), plan->from_s) &&
	          X509_gmtime_adj(X509_getm_notAfter(cert), plan->until_s) &&
	          X509_NAME_add_entry_by_txt(X509_get_subject_name(cert), "CN", MBSTRING_ASC,
			  (const unsigned char *)plan->cn, -1, -1, 0) &&
	          X509_set_issuer_name(cert, X509_get_subject_name(issuer ? issuer : cert)) &&
	          X509_set_pubkey(cert, key) && fill(cert, issuer ? issuer : cert, plan) &&
	          X509_sign(cert, by, plan->digest ? plan->digest : EVP_sha256()) > 0;
	if (ok)
		return cert;
	X509_free(cert);
	return NULL;
}
