#include "forge.h"

#include <openssl/core_names.h>
#include <openssl/ec.h>
#include <openssl/ocsp.h>
#include <openssl/pem.h>
#include <openssl/rand.h>
#include <openssl/rsa.h>
#include <openssl/x509v3.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>

#include <cmocka.h>

static EVP_PKEY *explicit_key(void)
{
	EVP_PKEY *key = EVP_EC_gen("P-256");
	assert_int_equal(EVP_PKEY_set_utf8_string_param(key, OSSL_PKEY_PARAM_EC_ENCODING, "explicit"), 1);
	return key;
}

EVP_PKEY *forge_key(enum forge_key kind)
{
	EVP_PKEY *key = NULL;
	switch (kind) {
	case FORGE_P256:
		key = EVP_EC_gen("P-256");
		break;
	case FORGE_P384:
		key = EVP_EC_gen("P-384");
		break;
	case FORGE_P224:
		key = EVP_EC_gen("P-224");
		break;
	case FORGE_SECP160:
		key = EVP_EC_gen("secp160r1");
		break;
	case FORGE_EXPLICIT:
		key = explicit_key();
		break;
	case FORGE_RSA1024:
		key = EVP_RSA_gen(1024);
		break;
	case FORGE_RSA2048:
		key = EVP_RSA_gen(2048);
		break;
	case FORGE_ED25519:
		key = EVP_PKEY_Q_keygen(NULL, NULL, "ED25519");
		break;
	}
	assert_non_null(key);
	return key;
}

void forge_extension(struct forge_spec *spec, const char *name, const char *value)
{
	for (int i = 0; i < FORGE_EXTENSIONS; i++) {
		if (spec->extension[i].name && strcmp(spec->extension[i].name, name) != 0)
			continue;
		spec->extension[i].name = name;
		spec->extension[i].value = value;
		return;
	}
	fail_msg("no room for one more extension");
}

static struct forge_spec dated(const char *cn, const struct forged *issuer, int days)
{
	return (struct forge_spec){.cn = cn,
		.issuer = issuer,
		.from_s = FORGE_NOW - days * FORGE_DAY,
		.until_s = FORGE_NOW + days * FORGE_DAY};
}

struct forge_spec forge_root_spec(const char *cn)
{
	struct forge_spec spec = dated(cn, NULL, 3000);
	forge_extension(&spec, "basicConstraints", "critical,CA:TRUE");
	forge_extension(&spec, "keyUsage", "critical,keyCertSign,cRLSign");
	forge_extension(&spec, "subjectKeyIdentifier", "hash");
	return spec;
}

struct forge_spec forge_intermediate_spec(const char *cn, const struct forged *issuer)
{
	struct forge_spec spec = forge_root_spec(cn);
	spec.issuer = issuer;
	forge_extension(&spec, "authorityKeyIdentifier", "keyid");
	return spec;
}

struct forge_spec forge_leaf_spec(const char *cn, const char *san, const struct forged *issuer)
{
	struct forge_spec spec = dated(cn, issuer, 40);
	forge_extension(&spec, "basicConstraints", "critical,CA:FALSE");
	forge_extension(&spec, "keyUsage", "critical,digitalSignature");
	forge_extension(&spec, "extendedKeyUsage", "serverAuth");
	forge_extension(&spec, "subjectKeyIdentifier", "hash");
	forge_extension(&spec, "authorityKeyIdentifier", issuer ? "keyid" : NULL);
	forge_extension(&spec, "subjectAltName", san);
	return spec;
}

static void serial_set(X509 *cert)
{
	uint64_t serial;
	assert_int_equal(RAND_bytes((unsigned char *)&serial, sizeof(serial)), 1);
	assert_int_equal(ASN1_INTEGER_set_uint64(X509_get_serialNumber(cert), serial >> 1 | 1), 1);
}

static void extensions_set(X509 *cert, X509 *issuer, const struct forge_spec *spec)
{
	X509V3_CTX ctx;
	X509V3_set_ctx(&ctx, issuer, cert, NULL, NULL, 0);
	X509V3_set_ctx_nodb(&ctx);
	for (int i = 0; i < FORGE_EXTENSIONS; i++) {
		if (!spec->extension[i].name || !spec->extension[i].value)
			continue;
		X509_EXTENSION *extension =
			X509V3_EXT_nconf(NULL, &ctx, spec->extension[i].name, spec->extension[i].value);
		if (!extension)
			fail_msg("cannot make extension %s = %s", spec->extension[i].name, spec->extension[i].value);
		assert_int_equal(X509_add_ext(cert, extension, -1), 1);
		X509_EXTENSION_free(extension);
	}
}

struct forged forge(const struct forge_spec *spec)
{
	struct forged out = {.cert = X509_new(), .key = spec->own_key};
	if (out.key)
		EVP_PKEY_up_ref(out.key);
	else
		out.key = forge_key(spec->key);
	X509 *issuer = spec->issuer ? spec->issuer->cert : out.cert;
	EVP_PKEY *signer = spec->issuer ? spec->issuer->key : out.key;
	X509_NAME *name = X509_NAME_new();
	if (spec->cn)
		assert_int_equal(X509_NAME_add_entry_by_NID(name, NID_commonName, MBSTRING_UTF8,
					 (const unsigned char *)spec->cn, -1, -1, 0),
			1);
	serial_set(out.cert);
	assert_int_equal(X509_set_version(out.cert, spec->version < 0 ? X509_VERSION_1 : X509_VERSION_3), 1);
	assert_int_equal(X509_set_subject_name(out.cert, name), 1);
	assert_int_equal(X509_set_issuer_name(out.cert, X509_get_subject_name(issuer)), 1);
	assert_non_null(ASN1_TIME_set(X509_getm_notBefore(out.cert), spec->from_s));
	assert_non_null(ASN1_TIME_set(X509_getm_notAfter(out.cert), spec->until_s));
	assert_int_equal(X509_set_pubkey(out.cert, out.key), 1);
	if (spec->version >= 0)
		extensions_set(out.cert, issuer, spec);
	bool eddsa = EVP_PKEY_get_base_id(signer) == EVP_PKEY_ED25519;
	const EVP_MD *md = eddsa ? NULL : EVP_get_digestbyname(spec->digest ? spec->digest : "SHA256");
	assert_true(X509_sign(out.cert, signer, md) > 0);
	X509_NAME_free(name);
	/* As it would come from the wire: decoded anew. */
	uint8_t *der = NULL;
	int len = i2d_X509(out.cert, &der);
	const unsigned char *at = der;
	X509_free(out.cert);
	out.cert = d2i_X509(NULL, &at, len);
	OPENSSL_free(der);
	assert_non_null(out.cert);
	return out;
}

struct forged forge_root(const char *cn)
{
	struct forge_spec spec = forge_root_spec(cn);
	return forge(&spec);
}

struct forged forge_intermediate(const char *cn, const struct forged *issuer)
{
	struct forge_spec spec = forge_intermediate_spec(cn, issuer);
	return forge(&spec);
}

struct forged forge_leaf(const char *host, const struct forged *issuer)
{
	char san[300];
	snprintf(san, sizeof(san), "DNS:%s", host);
	struct forge_spec spec = forge_leaf_spec(host, san, issuer);
	return forge(&spec);
}

void forged_free(struct forged *forged)
{
	X509_free(forged->cert);
	EVP_PKEY_free(forged->key);
	*forged = (struct forged){0};
}

X509 *forge_tampered(X509 *cert, const char *part)
{
	uint8_t *der = NULL;
	int len = i2d_X509(cert, &der);
	assert_true(len > 0);
	uint8_t *spot = part ? memmem(der, (size_t)len, part, strlen(part)) : der + len - 1;
	assert_non_null(spot);
	*spot ^= 1;
	const unsigned char *at = der;
	X509 *out = d2i_X509(NULL, &at, len);
	assert_non_null(out);
	OPENSSL_free(der);
	return out;
}

X509_CRL *forge_crl(const struct forged *issuer, EVP_PKEY *signer, const X509 *revoked, int64_t from_s, int64_t until_s)
{
	X509_CRL *crl = X509_CRL_new();
	ASN1_TIME *from = ASN1_TIME_set(NULL, from_s);
	ASN1_TIME *until = ASN1_TIME_set(NULL, until_s);
	assert_int_equal(X509_CRL_set_version(crl, X509_CRL_VERSION_2), 1);
	assert_int_equal(X509_CRL_set_issuer_name(crl, X509_get_subject_name(issuer->cert)), 1);
	assert_int_equal(X509_CRL_set1_lastUpdate(crl, from), 1);
	assert_int_equal(X509_CRL_set1_nextUpdate(crl, until), 1);
	if (revoked) {
		X509_REVOKED *entry = X509_REVOKED_new();
		assert_int_equal(X509_REVOKED_set_serialNumber(
					 entry, (ASN1_INTEGER *)(uintptr_t)X509_get0_serialNumber(revoked)),
			1);
		assert_int_equal(X509_REVOKED_set_revocationDate(entry, from), 1);
		assert_int_equal(X509_CRL_add0_revoked(crl, entry), 1);
	}
	assert_int_equal(X509_CRL_sort(crl), 1);
	X509V3_CTX ctx;
	X509V3_set_ctx(&ctx, issuer->cert, NULL, NULL, crl, 0);
	ASN1_INTEGER *number = ASN1_INTEGER_new();
	assert_int_equal(ASN1_INTEGER_set(number, 1), 1);
	assert_int_equal(X509_CRL_add1_ext_i2d(crl, NID_crl_number, number, 0, 0), 1);
	ASN1_INTEGER_free(number);
	X509_EXTENSION *aki = X509V3_EXT_nconf(NULL, &ctx, "authorityKeyIdentifier", "keyid");
	assert_non_null(aki);
	assert_int_equal(X509_CRL_add_ext(crl, aki, -1), 1);
	X509_EXTENSION_free(aki);
	assert_true(X509_CRL_sign(crl, signer, EVP_sha256()) > 0);
	ASN1_TIME_free(from);
	ASN1_TIME_free(until);
	return crl;
}

struct bytes forge_staple(const struct forge_staple *spec, uint8_t *buffer, size_t cap)
{
	OCSP_BASICRESP *basic = OCSP_BASICRESP_new();
	OCSP_CERTID *id = OCSP_cert_to_id(EVP_sha1(), spec->leaf, spec->issuer);
	ASN1_TIME *from = ASN1_TIME_set(NULL, spec->from_s);
	ASN1_TIME *until = spec->until_s ? ASN1_TIME_set(NULL, spec->until_s) : NULL;
	ASN1_TIME *when = spec->status == V_OCSP_CERTSTATUS_REVOKED ? from : NULL;
	assert_non_null(
		OCSP_basic_add1_status(basic, id, spec->status, OCSP_REVOKED_STATUS_KEYCOMPROMISE, when, from, until));
	const EVP_MD *md = EVP_get_digestbyname(spec->digest ? spec->digest : "SHA256");
	unsigned long flags = spec->send_signer ? 0 : OCSP_NOCERTS;
	assert_int_equal(OCSP_basic_sign(basic, spec->signer->cert, spec->signer->key, md, NULL, flags), 1);
	OCSP_RESPONSE *response = OCSP_response_create(OCSP_RESPONSE_STATUS_SUCCESSFUL, basic);
	int len = i2d_OCSP_RESPONSE(response, NULL);
	assert_true(len > 0 && (size_t)len <= cap);
	unsigned char *at = buffer;
	assert_int_equal(i2d_OCSP_RESPONSE(response, &at), len);
	OCSP_RESPONSE_free(response);
	OCSP_BASICRESP_free(basic);
	OCSP_CERTID_free(id);
	ASN1_TIME_free(from);
	ASN1_TIME_free(until);
	return bytes_of(buffer, (size_t)len);
}

struct bytes forge_pem(X509 *cert, uint8_t *buffer, size_t cap)
{
	BIO *bio = BIO_new(BIO_s_mem());
	char *data;
	assert_int_equal(PEM_write_bio_X509(bio, cert), 1);
	long len = BIO_get_mem_data(bio, &data);
	assert_true(len > 0 && (size_t)len <= cap);
	memcpy(buffer, data, (size_t)len);
	BIO_free(bio);
	return bytes_of(buffer, (size_t)len);
}

struct bytes forge_der(const X509 *cert, uint8_t *buffer, size_t cap)
{
	int len = i2d_X509(cert, NULL);
	assert_true(len > 0 && (size_t)len <= cap);
	unsigned char *at = buffer;
	assert_int_equal(i2d_X509(cert, &at), len);
	return bytes_of(buffer, (size_t)len);
}

static char directory[64];

const char *forge_directory(void)
{
	if (directory[0] == '\0') {
		snprintf(directory, sizeof(directory), "%s", "/tmp/overt-pki-XXXXXX");
		assert_non_null(mkdtemp(directory));
	}
	return directory;
}

const char *forge_file(const char *name, struct bytes content, unsigned mode)
{
	static char path[256];
	snprintf(path, sizeof(path), "%s/%s", forge_directory(), name);
	FILE *file = fopen(path, "wb");
	assert_non_null(file);
	if (content.len > 0)
		assert_int_equal(fwrite(content.data, 1, content.len, file), content.len);
	assert_int_equal(fclose(file), 0);
	assert_int_equal(chmod(path, mode), 0);
	return path;
}

void forge_cleanup(void)
{
	if (directory[0] == '\0')
		return;
	char command[96];
	snprintf(command, sizeof(command), "rm -rf '%s'", directory);
	assert_int_equal(system(command), 0);
	directory[0] = '\0';
}
