/* explain/lab_identity.c — CAs and certificates for the laboratory (RFC 5280, 4.1). */
#include "explain/lab_parts.h"

#include <openssl/core_names.h>
#include <openssl/rsa.h>
#include <openssl/x509v3.h>
#include <stdlib.h>

#define DAY_S ((long)24 * 60 * 60)

static bool extend(X509 *cert, X509 *issuer, int nid, const char *value)
{
	X509V3_CTX ctx;
	X509V3_set_ctx_nodb(&ctx);
	X509V3_set_ctx(&ctx, issuer, cert, NULL, NULL, 0);
	X509_EXTENSION *extension = X509V3_EXT_conf_nid(NULL, &ctx, nid, value);
	bool ok = extension && X509_add_ext(cert, extension, -1) == 1;
	X509_EXTENSION_free(extension);
	return ok;
}

/* Signed by `issuer` with `by`; by itself where `issuer` is NULL. */
static X509 *certify(const char *name, EVP_PKEY *key, X509 *issuer, EVP_PKEY *by, long serial)
{
	X509 *cert = X509_new();
	bool ok = cert && X509_set_version(cert, X509_VERSION_3) &&
	          ASN1_INTEGER_set(X509_get_serialNumber(cert), serial) &&
	          X509_gmtime_adj(X509_getm_notBefore(cert), -DAY_S) &&
	          X509_gmtime_adj(X509_getm_notAfter(cert), DAY_S) &&
	          X509_NAME_add_entry_by_txt(
			  X509_get_subject_name(cert), "CN", MBSTRING_ASC, (const unsigned char *)name, -1, -1, 0) &&
	          X509_set_issuer_name(cert, X509_get_subject_name(issuer ? issuer : cert)) &&
	          X509_set_pubkey(cert, key) &&
	          extend(cert, issuer ? issuer : cert, NID_basic_constraints,
			  issuer ? "critical,CA:FALSE" : "critical,CA:TRUE") &&
	          extend(cert, issuer ? issuer : cert, NID_subject_key_identifier, "hash");
	if (ok && issuer)
		ok = extend(cert, issuer, NID_subject_alt_name, "DNS:" LAB_NAME);
	if (ok && X509_sign(cert, by, EVP_sha256()) > 0)
		return cert;
	X509_free(cert);
	return NULL;
}

static bool identity_make(struct lab_identity *identity, const char *ca_name, long serial)
{
	EVP_PKEY *ca_key = EVP_EC_gen("P-256");
	identity->key = EVP_RSA_gen(2048);
	if (ca_key && identity->key)
		identity->ca = certify(ca_name, ca_key, NULL, ca_key, serial);
	if (identity->ca)
		identity->cert = certify(LAB_NAME, identity->key, identity->ca, ca_key, serial + 1);
	EVP_PKEY_free(ca_key);
	return identity->cert != NULL;
}

struct lab *lab_new(struct error *err)
{
	struct lab *lab = calloc(1, sizeof(*lab));
	if (lab && identity_make(&lab->identity[LAB_SERVER], "the server's CA", 1) &&
		identity_make(&lab->identity[LAB_RELAY], "the relay's CA", 3))
		return lab;
	error_set_openssl(err, "certificates for the laboratory cannot be made");
	lab_free(lab);
	return NULL;
}

void lab_free(struct lab *lab)
{
	if (!lab)
		return;
	for (enum lab_who who = LAB_SERVER; who < LAB_IDENTITIES; who++) {
		X509_free(lab->identity[who].ca);
		X509_free(lab->identity[who].cert);
		EVP_PKEY_free(lab->identity[who].key);
	}
	free(lab);
}

X509 *lab_cert(const struct lab *lab, enum lab_who who)
{
	return lab->identity[who].cert;
}

EVP_PKEY *lab_key(const struct lab *lab, enum lab_who who)
{
	return lab->identity[who].key;
}

EVP_PKEY *lab_dh_group(void)
{
	char name[] = "ffdhe2048";
	OSSL_PARAM params[] = {
		OSSL_PARAM_construct_utf8_string(OSSL_PKEY_PARAM_GROUP_NAME, name, 0), OSSL_PARAM_construct_end()};
	EVP_PKEY_CTX *ctx = EVP_PKEY_CTX_new_from_name(NULL, "DH", NULL);
	EVP_PKEY *group = NULL;
	if (ctx && EVP_PKEY_keygen_init(ctx) == 1 && EVP_PKEY_CTX_set_params(ctx, params) == 1)
		(void)!EVP_PKEY_generate(ctx, &group);
	EVP_PKEY_CTX_free(ctx);
	return group;
}
