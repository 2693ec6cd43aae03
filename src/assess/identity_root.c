/* assess/identity_root.c — the root, its CRL (RFC 5280, 5), and what of them is kept in a folder. */
#include "assess/identity_parts.h"
#include "pki/file.h"

#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/x509v3.h>

#define PEM_MAX ((size_t)16 * 1024)

X509 *identity_make_root(EVP_PKEY *key, const char *cn, bool expired)
{
	const struct identity_plan plan = {.cn = cn,
		.constraints = "critical,CA:TRUE",
		.usage = "critical,keyCertSign,cRLSign",
		.from_s = expired ? -IDENTITY_ROOT_DAYS * IDENTITY_DAY_S : -IDENTITY_DAY_S,
		.until_s = expired ? -IDENTITY_DAY_S : IDENTITY_ROOT_DAYS * IDENTITY_DAY_S};
	return identity_certify(&plan, key, NULL, key);
}

static bool save_root(
	const struct identity_maker *maker, const char *cert_path, const char *key_path, struct error *err)
{
	BIO *cert = BIO_new(BIO_s_mem()), *key = BIO_new(BIO_s_secmem());
	char *cert_pem = NULL, *key_pem = NULL;
	bool ok = cert && key && PEM_write_bio_X509(cert, maker->root) == 1 &&
	          PEM_write_bio_X509(cert, maker->old_root) == 1 &&
	          PEM_write_bio_PrivateKey(key, maker->root_key, NULL, NULL, 0, NULL, NULL) == 1;
	if (ok) {
		long cert_len = BIO_get_mem_data(cert, &cert_pem), key_len = BIO_get_mem_data(key, &key_pem);
		ok = file_replace(key_path, bytes_of(key_pem, (size_t)key_len), 0600, err) &&
		     file_replace(cert_path, bytes_of(cert_pem, (size_t)cert_len), 0644, err);
	} else {
		error_set_openssl(err, "a root cannot be written");
	}
	BIO_free(cert);
	BIO_free(key);
	return ok;
}

static bool load_root(struct identity_maker *maker, const char *cert_path, const char *key_path, struct error *err)
{
	struct file_bytes cert = {0}, key = {0};
	bool ok =
		file_read(cert_path, PEM_MAX, &cert, NULL, err) && file_read_secret(key_path, PEM_MAX, &key, NULL, err);
	BIO *cert_bio = ok ? BIO_new_mem_buf(cert.data, (int)cert.len) : NULL;
	BIO *key_bio = ok ? BIO_new_mem_buf(key.data, (int)key.len) : NULL;
	if (cert_bio && key_bio) {
		maker->root = PEM_read_bio_X509(cert_bio, NULL, NULL, NULL);
		maker->old_root = PEM_read_bio_X509(cert_bio, NULL, NULL, NULL);
		maker->root_key = PEM_read_bio_PrivateKey(key_bio, NULL, NULL, (void *)(uintptr_t) "");
	}
	if (ok && !(maker->root && maker->root_key && X509_check_private_key(maker->root, maker->root_key) == 1))
		ok = error_set_openssl(err, "%s and %s are no certificate and its key", cert_path, key_path);
	ERR_clear_error();
	BIO_free(cert_bio);
	BIO_free(key_bio);
	file_bytes_free(&cert);
	file_bytes_free(&key);
	return ok;
}

bool identity_find_root(struct identity_maker *maker, const char *folder, struct error *err)
{
	char cert_path[FILE_PATH_MAX], key_path[FILE_PATH_MAX];
	if (folder && (!file_make_directory(folder, err) || !file_join(cert_path, folder, "root.pem", err) ||
			      !file_join(key_path, folder, "root.key", err)))
		return false;
	if (folder && file_exists(cert_path))
		return load_root(maker, cert_path, key_path, err);
	maker->root_key = EVP_EC_gen("P-256");
	maker->root = maker->root_key ? identity_make_root(maker->root_key, "Overt test root", false) : NULL;
	maker->old_root = maker->root ? identity_make_root(maker->root_key, "Overt test root, expired", true) : NULL;
	if (!maker->old_root)
		return error_set_openssl(err, "a root cannot be made");
	return !folder || save_root(maker, cert_path, key_path, err);
}
static bool revoke(X509_CRL *crl, uint8_t serial)
{
	X509_REVOKED *one = X509_REVOKED_new();
	ASN1_INTEGER *value = ASN1_INTEGER_new();
	ASN1_TIME *when = X509_gmtime_adj(NULL, -IDENTITY_DAY_S);
	bool ok = one && value && when && identity_number(value, serial) &&
	          X509_REVOKED_set_serialNumber(one, value) == 1 && X509_REVOKED_set_revocationDate(one, when) == 1 &&
	          X509_CRL_add0_revoked(crl, one) == 1;
	if (!ok)
		X509_REVOKED_free(one);
	ASN1_TIME_free(when);
	ASN1_INTEGER_free(value);
	return ok;
}

static bool number_crl(X509_CRL *crl, X509 *issuer)
{
	X509V3_CTX ctx;
	ASN1_INTEGER *one = ASN1_INTEGER_new();
	X509V3_set_ctx_nodb(&ctx);
	X509V3_set_ctx(&ctx, issuer, NULL, NULL, crl, 0);
	X509_EXTENSION *key = X509V3_EXT_conf_nid(NULL, &ctx, NID_authority_key_identifier, "keyid");
	bool ok = one && key && ASN1_INTEGER_set(one, 1) == 1 && X509_CRL_add_ext(crl, key, -1) == 1 &&
	          X509_CRL_add1_ext_i2d(crl, NID_crl_number, one, 0, 0) == 1;
	X509_EXTENSION_free(key);
	ASN1_INTEGER_free(one);
	return ok;
}

/* Kept beside the root, where there is a folder. */
static bool save_crl(const X509_CRL *crl, const char *folder, struct error *err)
{
	char path[FILE_PATH_MAX], *pem = NULL;
	BIO *bio = BIO_new(BIO_s_mem());
	bool ok = bio && PEM_write_bio_X509_CRL(bio, crl) == 1 && file_join(path, folder, "root.crl", err);
	if (ok) {
		long len = BIO_get_mem_data(bio, &pem);
		ok = file_replace(path, bytes_of(pem, (size_t)len), 0644, err);
	}
	BIO_free(bio);
	return ok;
}

bool identity_make_crl(struct identity_maker *maker, const char *folder, struct error *err)
{
	X509_CRL *crl = X509_CRL_new();
	ASN1_TIME *from = X509_gmtime_adj(NULL, -IDENTITY_DAY_S),
		  *until = X509_gmtime_adj(NULL, IDENTITY_LEAF_DAYS * IDENTITY_DAY_S);
	bool ok = crl && from && until && X509_CRL_set_version(crl, X509_CRL_VERSION_2) == 1 &&
	          X509_CRL_set_issuer_name(crl, X509_get_subject_name(maker->root)) == 1 &&
	          X509_CRL_set1_lastUpdate(crl, from) == 1 && X509_CRL_set1_nextUpdate(crl, until) == 1 &&
	          revoke(crl, IDENTITY_SERIAL_LEAF) && revoke(crl, IDENTITY_SERIAL_ABOVE) &&
	          number_crl(crl, maker->root) && X509_CRL_sort(crl) == 1 &&
	          X509_CRL_sign(crl, maker->root_key, EVP_sha256()) > 0;
	int len = ok ? i2d_X509_CRL(crl, &maker->crl) : 0;
	maker->crl_len = len > 0 ? (size_t)len : 0;
	if (len <= 0)
		error_set_openssl(err, "a CRL cannot be made");
	ok = len > 0 && (!folder || save_crl(crl, folder, err));
	ASN1_TIME_free(from);
	ASN1_TIME_free(until);
	X509_CRL_free(crl);
	return ok;
}
static EVP_PKEY *read_key(const char *path, struct error *err)
{
	struct file_bytes file = {0};
	EVP_PKEY *key = NULL;
	if (!file_read_secret(path, PEM_MAX, &file, NULL, err))
		return NULL;
	BIO *bio = BIO_new_mem_buf(file.data, (int)file.len);
	if (bio)
		key = PEM_read_bio_PrivateKey(bio, NULL, NULL, (void *)(uintptr_t) "");
	if (!key)
		error_set_openssl(err, "%s: no key", path);
	BIO_free(bio);
	file_bytes_free(&file);
	return key;
}

static EVP_PKEY *keep_key(const char *path, struct error *err)
{
	BIO *bio = BIO_new(BIO_s_secmem());
	EVP_PKEY *key = EVP_EC_gen("P-256");
	char *pem = NULL;
	bool ok = bio && key && PEM_write_bio_PrivateKey(bio, key, NULL, NULL, 0, NULL, NULL) == 1;
	long len = ok ? BIO_get_mem_data(bio, &pem) : 0;
	if (!ok)
		error_set_openssl(err, "a key cannot be made");
	ok = ok && file_replace(path, bytes_of(pem, (size_t)len), 0600, err);
	BIO_free(bio);
	if (ok)
		return key;
	EVP_PKEY_free(key);
	return NULL;
}

EVP_PKEY *identity_kept_key(const char *path, struct error *err)
{
	return file_exists(path) ? read_key(path, err) : keep_key(path, err);
}
