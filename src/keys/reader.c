#include "keys/reader.h"

#include <limits.h>
#include <openssl/evp.h>
#include <openssl/pem.h>

static int type_of(enum reader_kind kind)
{
	return kind == READER_X25519 ? EVP_PKEY_X25519 : EVP_PKEY_ED25519;
}

static const char *name_of(enum reader_kind kind)
{
	return kind == READER_X25519 ? "X25519" : "Ed25519";
}

bool reader_make(struct secret *out)
{
	return secret_random(out, READER_KEY);
}

/* What a memory BIO holds, copied out. BIO_s_secmem wipes what it grew out of. */
static size_t copy_out(BIO *bio, bool ok, char pem[static READER_PEM_MAX])
{
	char *data = NULL;
	long len = bio ? BIO_get_mem_data(bio, &data) : 0;
	ok = ok && len > 0 && len < READER_PEM_MAX;
	if (ok) {
		memcpy(pem, data, (size_t)len);
		pem[len] = '\0';
	}
	BIO_free(bio);
	return ok ? (size_t)len : 0;
}

size_t reader_private_pem(enum reader_kind kind, const struct secret *key, char pem[static READER_PEM_MAX])
{
	EVP_PKEY *pkey = EVP_PKEY_new_raw_private_key(type_of(kind), NULL, key->octets, key->len);
	BIO *bio = BIO_new(BIO_s_secmem());
	bool ok = pkey && bio && PEM_write_bio_PKCS8PrivateKey(bio, pkey, NULL, NULL, 0, NULL, NULL) == 1;
	EVP_PKEY_free(pkey);
	return copy_out(bio, ok, pem);
}

size_t reader_public_pem(
	enum reader_kind kind, const uint8_t public_key[static READER_KEY], char pem[static READER_PEM_MAX])
{
	EVP_PKEY *pkey = EVP_PKEY_new_raw_public_key(type_of(kind), NULL, public_key, READER_KEY);
	BIO *bio = BIO_new(BIO_s_mem());
	bool ok = pkey && bio && PEM_write_bio_PUBKEY(bio, pkey) == 1;
	EVP_PKEY_free(pkey);
	return copy_out(bio, ok, pem);
}

bool reader_public(enum reader_kind kind, const struct secret *key, uint8_t public_key[static READER_KEY])
{
	size_t len = READER_KEY;
	EVP_PKEY *pkey = EVP_PKEY_new_raw_private_key(type_of(kind), NULL, key->octets, key->len);
	bool ok = pkey && EVP_PKEY_get_raw_public_key(pkey, public_key, &len) == 1 && len == READER_KEY;
	EVP_PKEY_free(pkey);
	return ok;
}

static BIO *bio_of(struct bytes pem)
{
	return pem.len > 0 && pem.len <= INT_MAX ? BIO_new_mem_buf(pem.data, (int)pem.len) : NULL;
}

/* A file with a passphrase must not stop a program to ask. */
static int no_passphrase(char *buffer, int size, int writing, void *arg)
{
	(void)buffer;
	(void)size;
	(void)writing;
	(void)arg;
	return -1;
}

bool reader_private_read(
	enum reader_kind kind, struct bytes pem, const char *name, struct secret *out, struct error *err)
{
	BIO *bio = bio_of(pem);
	EVP_PKEY *pkey = bio ? PEM_read_bio_PrivateKey(bio, NULL, no_passphrase, NULL) : NULL;
	uint8_t raw[READER_KEY];
	size_t len = sizeof(raw);
	BIO_free(bio);
	bool ok = pkey && EVP_PKEY_get_base_id(pkey) == type_of(kind) &&
	          EVP_PKEY_get_raw_private_key(pkey, raw, &len) == 1 && len == READER_KEY;
	EVP_PKEY_free(pkey);
	ok = ok && secret_set(out, bytes_of(raw, len));
	OPENSSL_cleanse(raw, sizeof(raw));
	return ok || error_set(err, "%s: no %s private key in PEM, without a passphrase", name, name_of(kind));
}

bool reader_public_read(enum reader_kind kind, struct bytes pem, const char *name,
	uint8_t public_key[static READER_KEY], struct error *err)
{
	BIO *bio = bio_of(pem);
	EVP_PKEY *pkey = bio ? PEM_read_bio_PUBKEY(bio, NULL, NULL, NULL) : NULL;
	size_t len = READER_KEY;
	BIO_free(bio);
	bool ok = pkey && EVP_PKEY_get_base_id(pkey) == type_of(kind) &&
	          EVP_PKEY_get_raw_public_key(pkey, public_key, &len) == 1 && len == READER_KEY;
	EVP_PKEY_free(pkey);
	return ok || error_set(err, "%s: no %s public key in PEM", name, name_of(kind));
}
