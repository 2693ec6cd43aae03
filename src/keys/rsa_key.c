#include "keys/rsa_key.h"

#include "tls/hello.h"

#include <errno.h>
#include <limits.h>
#include <openssl/core_names.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/rsa.h>
#include <openssl/x509.h>
#include <stdio.h>
#include <stdlib.h>

#define PREMASTER 48
/* Octets of the longest modulus that is tried: 16,384 bits. */
#define MODULUS_MAX 2048

struct rsa_key {
	EVP_PKEY *pkey;
};

void rsa_key_free(struct rsa_key *key)
{
	if (!key)
		return;
	EVP_PKEY_free(key->pkey);
	free(key);
}

static bool key_add(
	EVP_PKEY *pkey, struct rsa_key **keys, size_t cap, size_t *count, const char *path, struct error *err)
{
	if (EVP_PKEY_get_base_id(pkey) != EVP_PKEY_RSA || EVP_PKEY_get_size(pkey) > MODULUS_MAX) {
		EVP_PKEY_free(pkey);
		return error_set(err,
			"%s: private key %zu is no RSA key; only RSA key exchange can be opened with a private key",
			path, *count + 1);
	}
	struct rsa_key *key = *count < cap ? malloc(sizeof(*key)) : NULL;
	if (!key) {
		EVP_PKEY_free(pkey);
		return error_set(err, "%s: more than %zu private keys; give fewer, or no memory", path, cap);
	}
	key->pkey = pkey;
	keys[(*count)++] = key;
	return true;
}

/* One block of the file. */
static bool block_take(const char *name, const char *header, struct bytes der, struct rsa_key **keys, size_t cap,
	size_t *count, const char *path, struct error *err)
{
	const unsigned char *at = der.data;
	if (!strstr(name, "PRIVATE KEY"))
		return true;
	/* Nobody is asked for a passphrase: this runs unattended. */
	if (strstr(name, "ENCRYPTED") || strstr(header, "ENCRYPTED"))
		return error_set(
			err, "%s: private key %zu has a passphrase; give one without (openssl pkey)", path, *count + 1);
	EVP_PKEY *pkey = d2i_AutoPrivateKey(NULL, &at, (long)der.len);
	if (!pkey)
		return error_set_openssl(err, "%s: cannot read private key %zu", path, *count + 1);
	return key_add(pkey, keys, cap, count, path, err);
}

static bool keys_read(BIO *in, struct rsa_key **keys, size_t cap, size_t *count, const char *path, struct error *err)
{
	bool ok = true;
	while (ok) {
		char *name;
		char *header;
		unsigned char *data;
		long len;
		ERR_clear_error();
		if (PEM_read_bio(in, &name, &header, &data, &len) != 1)
			break;
		ok = block_take(name, header, bytes_of(data, (size_t)len), keys, cap, count, path, err);
		OPENSSL_free(name);
		OPENSSL_free(header);
		OPENSSL_clear_free(data, (size_t)len);
	}
	if (ok && ERR_GET_REASON(ERR_peek_last_error()) != PEM_R_NO_START_LINE)
		return error_set_openssl(err, "%s: no readable PEM after private key %zu", path, *count);
	ERR_clear_error();
	return ok && (*count > 0 || error_set(err, "%s: no private key stands in this PEM file", path));
}

bool rsa_keys_load(const char *path, struct rsa_key **keys, size_t cap, size_t *count, struct error *err)
{
	*count = 0;
	errno = 0;
	BIO *in = BIO_new_file(path, "re");
	if (!in) {
		ERR_clear_error();
		return error_set_errno(err, "%s: cannot open this file of private keys", path);
	}
	bool ok = keys_read(in, keys, cap, count, path, err);
	BIO_free(in);
	while (!ok && *count > 0)
		rsa_key_free(keys[--*count]);
	return ok;
}

static X509 *certificate_read(struct bytes certificate)
{
	const unsigned char *at = certificate.data;
	X509 *x509 = certificate.len <= LONG_MAX ? d2i_X509(NULL, &at, (long)certificate.len) : NULL;
	ERR_clear_error();
	return x509;
}

bool rsa_key_fits(const struct rsa_key *key, struct bytes certificate)
{
	X509 *x509 = certificate_read(certificate);
	EVP_PKEY *pkey = x509 ? X509_get0_pubkey(x509) : NULL;
	bool fits = pkey && EVP_PKEY_eq(pkey, key->pkey) == 1;
	X509_free(x509);
	ERR_clear_error();
	return fits;
}

bool rsa_certificate_reads(struct bytes certificate)
{
	X509 *x509 = certificate_read(certificate);
	bool reads = x509 && X509_get0_pubkey(x509);
	X509_free(x509);
	ERR_clear_error();
	return reads;
}

/*
 * Later libraries answer wrong padding with a random secret of random length, so that servers give nothing away (implicit
 * rejection). Here wrong padding should be told; where it is not, length and version still tell.
 */
static void want_padding(EVP_PKEY_CTX *ctx)
{
#ifdef OSSL_ASYM_CIPHER_PARAM_IMPLICIT_REJECTION
	unsigned int off = 0;
	OSSL_PARAM params[] = {
		OSSL_PARAM_construct_uint(OSSL_ASYM_CIPHER_PARAM_IMPLICIT_REJECTION, &off), OSSL_PARAM_construct_end()};
	(void)!EVP_PKEY_CTX_set_params(ctx, params);
#else
	(void)ctx;
#endif
}

static enum rsa_key_result judge(struct bytes plain, struct secret *premaster)
{
	struct bytes in = plain;
	uint16_t version;
	if (plain.len != PREMASTER || !bytes_u16(&in, &version) || !tls_version_name(version))
		return RSA_KEY_NO_SECRET;
	return secret_set(premaster, plain) ? RSA_KEY_OK : RSA_KEY_NO_SECRET;
}

enum rsa_key_result rsa_key_open(const struct rsa_key *key, struct bytes encrypted, struct secret *premaster)
{
	uint8_t plain[MODULUS_MAX];
	size_t len = sizeof(plain);
	/* Of another modulus: nothing to try. */
	if (encrypted.len != (size_t)EVP_PKEY_get_size(key->pkey))
		return RSA_KEY_NOT_THIS;
	EVP_PKEY_CTX *ctx = EVP_PKEY_CTX_new_from_pkey(NULL, key->pkey, NULL);
	if (!ctx || EVP_PKEY_decrypt_init(ctx) != 1 || EVP_PKEY_CTX_set_rsa_padding(ctx, RSA_PKCS1_PADDING) != 1) {
		EVP_PKEY_CTX_free(ctx);
		ERR_clear_error();
		return RSA_KEY_FAILED;
	}
	want_padding(ctx);
	enum rsa_key_result result = RSA_KEY_NOT_THIS;
	if (EVP_PKEY_decrypt(ctx, plain, &len, encrypted.data, encrypted.len) == 1) {
		result = judge(bytes_of(plain, len), premaster);
		OPENSSL_cleanse(plain, len);
	}
	EVP_PKEY_CTX_free(ctx);
	ERR_clear_error();
	return result;
}
