#include "pki/leaf_key.h"

#include "pki/file.h"

#include <openssl/ec.h>
#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/rsa.h>
#include <openssl/x509.h>
#include <stdlib.h>
#include <unistd.h>

#define RSA_BITS     2048
#define KEY_FILE_MAX 65536
#define DAY_S        86400

static const char *const file_names[LEAF_KINDS] = {[LEAF_ECDSA] = "leaf-ecdsa.key", [LEAF_RSA] = "leaf-rsa.key"};

struct leaf_keys {
	char *state_dir; /* NULL: in memory only */
	struct leaf_key at[LEAF_KINDS];
};

void leaf_key_clear(struct leaf_key *key)
{
	EVP_PKEY_free(key->pkey);
	*key = (struct leaf_key){.kind = key->kind};
}

/* Takes the key over, freeing it on false. Kinds other than ours are refused. */
static bool key_take(struct leaf_key *out, EVP_PKEY *pkey, int64_t made_s)
{
	struct leaf_key key = {.pkey = pkey, .made_s = made_s};
	bool known = true;
	if (EVP_PKEY_get_base_id(pkey) == EVP_PKEY_EC && EVP_PKEY_get_bits(pkey) == 256)
		key.kind = LEAF_ECDSA;
	else if (EVP_PKEY_get_base_id(pkey) == EVP_PKEY_RSA && EVP_PKEY_get_bits(pkey) == RSA_BITS)
		key.kind = LEAF_RSA;
	else
		known = false;
	uint8_t *der = NULL;
	int len = known ? i2d_PUBKEY(pkey, &der) : 0;
	bool ok = len > 0 && (size_t)len <= sizeof(key.spki) &&
	          EVP_Digest(der, (size_t)len, key.id, NULL, EVP_sha256(), NULL) == 1;
	if (ok) {
		memcpy(key.spki, der, (size_t)len);
		key.spki_len = (size_t)len;
		*out = key;
	} else {
		EVP_PKEY_free(pkey);
	}
	OPENSSL_free(der);
	ERR_clear_error();
	return ok;
}

bool leaf_key_export(const struct leaf_key *key, uint8_t **out, size_t *len)
{
	PKCS8_PRIV_KEY_INFO *info = EVP_PKEY2PKCS8(key->pkey);
	uint8_t *der = NULL;
	int n = info ? i2d_PKCS8_PRIV_KEY_INFO(info, &der) : -1;
	PKCS8_PRIV_KEY_INFO_free(info);
	ERR_clear_error();
	if (n <= 0)
		return false;
	*out = der;
	*len = (size_t)n;
	return true;
}

void leaf_secret_free(uint8_t *secret, size_t len)
{
	OPENSSL_clear_free(secret, len);
}

bool leaf_key_import(struct bytes pkcs8, struct leaf_key *out)
{
	const unsigned char *at = pkcs8.data;
	PKCS8_PRIV_KEY_INFO *info = d2i_PKCS8_PRIV_KEY_INFO(NULL, &at, (long)pkcs8.len);
	EVP_PKEY *pkey = info && at == pkcs8.data + pkcs8.len ? EVP_PKCS82PKEY(info) : NULL;
	PKCS8_PRIV_KEY_INFO_free(info);
	ERR_clear_error();
	return pkey && key_take(out, pkey, 0);
}

static bool key_write(const struct leaf_key *key, const char *path, struct error *err)
{
	BIO *bio = BIO_new(BIO_s_secmem());
	char *data = NULL;
	long len = 0;
	if (bio && PEM_write_bio_PKCS8PrivateKey(bio, key->pkey, NULL, NULL, 0, NULL, NULL) == 1)
		len = BIO_get_mem_data(bio, &data);
	bool ok = len > 0 ? file_replace(path, bytes_of(data, (size_t)len), 0600, err)
	                  : error_set_openssl(err, "%s: the leaf key cannot be encoded", path);
	BIO_free(bio);
	return ok;
}

/* False when the file is not there or holds nothing we can use: a leaf key is easily made anew. */
static bool key_read(struct leaf_key *out, const char *path, enum leaf_kind kind)
{
	struct file_bytes file;
	struct stat info;
	if (!file_read_secret(path, KEY_FILE_MAX, &file, &info, NULL))
		return false;
	BIO *bio = BIO_new_mem_buf(file.data, (int)file.len);
	char nothing[] = "";
	EVP_PKEY *pkey = bio ? PEM_read_bio_PrivateKey(bio, NULL, NULL, nothing) : NULL;
	BIO_free(bio);
	file_bytes_free(&file);
	ERR_clear_error();
	if (!pkey || !key_take(out, pkey, info.st_mtim.tv_sec))
		return false;
	if (out->kind == kind)
		return true;
	leaf_key_clear(out);
	return false;
}

bool leaf_keys_open(struct leaf_keys **out, const char *state_dir, int64_t now_s, struct error *err)
{
	struct leaf_keys *keys = calloc(1, sizeof(*keys));
	if (!keys || (state_dir && !(keys->state_dir = strdup(state_dir)))) {
		free(keys);
		return error_set(err, "out of memory");
	}
	bool ok = !state_dir || file_make_directory(state_dir, err);
	/* The one that nearly every client takes is made now, so that faults show at start. */
	if (!ok || !leaf_keys_get(keys, LEAF_ECDSA, now_s, err)) {
		leaf_keys_free(keys);
		return false;
	}
	*out = keys;
	return true;
}

void leaf_keys_free(struct leaf_keys *keys)
{
	if (!keys)
		return;
	for (int i = 0; i < LEAF_KINDS; i++)
		leaf_key_clear(&keys->at[i]);
	free(keys->state_dir);
	free(keys);
}

bool leaf_keys_renew(struct leaf_keys *keys, enum leaf_kind kind, int64_t now_s, struct error *err)
{
	EVP_PKEY *pkey = kind == LEAF_ECDSA ? EVP_EC_gen("P-256") : EVP_RSA_gen(RSA_BITS);
	struct leaf_key fresh;
	if (!pkey || !key_take(&fresh, pkey, now_s))
		return error_set_openssl(err, "a leaf key could not be made");
	char path[FILE_PATH_MAX];
	bool ok = !keys->state_dir ||
	          (file_join(path, keys->state_dir, file_names[kind], err) && key_write(&fresh, path, err));
	if (!ok) {
		leaf_key_clear(&fresh);
		return false;
	}
	leaf_key_clear(&keys->at[kind]);
	keys->at[kind] = fresh;
	return true;
}

const struct leaf_key *leaf_keys_get(struct leaf_keys *keys, enum leaf_kind kind, int64_t now_s, struct error *err)
{
	char path[FILE_PATH_MAX];
	struct leaf_key *key = &keys->at[kind];
	if (key->pkey)
		return key;
	if (keys->state_dir && !file_join(path, keys->state_dir, file_names[kind], err))
		return NULL;
	bool found = keys->state_dir && key_read(key, path, kind);
	if (found && !leaf_keys_due(keys, kind, now_s))
		return key;
	return leaf_keys_renew(keys, kind, now_s, err) ? key : NULL;
}

bool leaf_keys_due(const struct leaf_keys *keys, enum leaf_kind kind, int64_t now_s)
{
	const struct leaf_key *key = &keys->at[kind];
	return key->pkey && now_s - key->made_s > (int64_t)LEAF_KEY_DAYS * DAY_S;
}
