#include "pki/private_key.h"

#include "pki/file.h"

#include <openssl/pem.h>

#define KEY_FILE_MAX ((size_t)64 * 1024)

static int no_passphrase(char *buffer, int size, int writing, void *arg)
{
	(void)buffer;
	(void)size;
	(void)writing;
	(void)arg;
	return -1;
}

EVP_PKEY *private_key_parse(struct bytes pem, const char *name, struct error *err)
{
	BIO *bio = pem.len <= KEY_FILE_MAX ? BIO_new_mem_buf(pem.data, (int)pem.len) : NULL;
	EVP_PKEY *key = bio ? PEM_read_bio_PrivateKey(bio, NULL, no_passphrase, NULL) : NULL;
	BIO_free(bio);
	if (!key)
		(void)error_set_openssl(err, "%s: holds no private key in PEM without a passphrase", name);
	return key;
}

EVP_PKEY *private_key_read(const char *path, struct error *err)
{
	struct file_bytes file;
	if (!file_read_secret(path, KEY_FILE_MAX, &file, NULL, err))
		return NULL;
	EVP_PKEY *key = private_key_parse(bytes_of(file.data, file.len), path, err);
	file_bytes_free(&file);
	return key;
}
