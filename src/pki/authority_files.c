#include "pki/authority_parts.h"

#include "pki/file.h"

#include <openssl/err.h>
#include <openssl/pem.h>
#include <stdlib.h>

void ca_keys_clear(struct ca_keys *keys)
{
	for (size_t i = 0; i < keys->count; i++)
		EVP_PKEY_free(keys->at[i]);
	*keys = (struct ca_keys){0};
}

/* An encrypted key would make libcrypto ask at the terminal. */
static int no_passphrase(char *buffer, int size, int writing, void *ctx)
{
	(void)buffer;
	(void)size;
	(void)writing;
	*(bool *)ctx = true;
	return -1;
}

bool ca_keys_read(const char *path, struct ca_keys *out, struct error *err)
{
	struct file_bytes file;
	if (!file_read_secret(path, AUTHORITY_FILE_MAX, &file, NULL, err))
		return false;
	BIO *bio = BIO_new_mem_buf(file.data, (int)file.len);
	bool asked = false;
	EVP_PKEY *key;
	while (bio && out->count < CA_KEYS_MAX && (key = PEM_read_bio_PrivateKey(bio, NULL, no_passphrase, &asked)))
		out->at[out->count++] = key;
	BIO_free(bio);
	file_bytes_free(&file);
	ERR_clear_error();
	if (asked)
		return error_set(err, "%s: the key has a passphrase; store it without one", path);
	return out->count > 0 || error_set(err, "%s: holds no private key in PEM", path);
}

EVP_PKEY *ca_key_for(const struct ca_keys *keys, X509 *cert)
{
	EVP_PKEY *public = X509_get0_pubkey(cert);
	for (size_t i = 0; public && i < keys->count; i++) {
		if (EVP_PKEY_eq(public, keys->at[i]) == 1) {
			(void)EVP_PKEY_up_ref(keys->at[i]);
			return keys->at[i];
		}
	}
	return NULL;
}

X509 *ca_cert_next(BIO *bio, bool *damaged)
{
	ERR_clear_error();
	X509 *cert = PEM_read_bio_X509(bio, NULL, NULL, NULL);
	unsigned long code = ERR_peek_last_error();
	*damaged = !cert && !(ERR_GET_LIB(code) == ERR_LIB_PEM && ERR_GET_REASON(code) == PEM_R_NO_START_LINE);
	ERR_clear_error();
	return cert;
}

bool authority_pem_build(struct authority *authority, struct error *err)
{
	BIO *bio = BIO_new(BIO_s_mem());
	bool ok = bio != NULL;
	for (size_t i = 0; ok && i < authority->count; i++)
		ok = PEM_write_bio_X509(bio, authority->at[i].cert) == 1;
	for (size_t i = 0; ok && i < authority->above_count; i++)
		ok = PEM_write_bio_X509(bio, authority->above[i]) == 1;
	char *data = NULL;
	long len = ok ? BIO_get_mem_data(bio, &data) : 0;
	uint8_t *copy = len > 0 ? malloc((size_t)len) : NULL;
	if (copy) {
		memcpy(copy, data, (size_t)len);
		free(authority->pem);
		authority->pem = copy;
		authority->pem_len = (size_t)len;
	}
	BIO_free(bio);
	return copy || error_set(err, "the CA certificates could not be encoded");
}

struct authority *authority_new(struct error *err)
{
	struct authority *authority = calloc(1, sizeof(*authority));
	if (!authority)
		error_set(err, "out of memory");
	return authority;
}

void authority_free(struct authority *authority)
{
	if (!authority)
		return;
	for (size_t i = 0; i < authority->count; i++)
		ca_clear(&authority->at[i]);
	for (size_t i = 0; i < authority->above_count; i++) {
		X509_free(authority->above[i]);
		OPENSSL_free(authority->above_der[i]);
	}
	free(authority->pem);
	free(authority);
}
