#include "pki/authority_parts.h"

#include "pki/file.h"
#include "pki/summary.h"

#include <openssl/x509v3.h>

/* The operator's chain above the CA, which must lead upwards step by step. */
static bool above_read(struct authority *authority, BIO *bio, const char *path, struct error *err)
{
	X509 *below = authority->at[0].cert;
	bool damaged = false;
	X509 *cert;
	while ((cert = ca_cert_next(bio, &damaged))) {
		size_t at = authority->above_count;
		if (at == AUTHORITY_CHAIN_MAX) {
			X509_free(cert);
			return error_set(err, "%s: more than %d certificates above the CA", path, AUTHORITY_CHAIN_MAX);
		}
		authority->above[at] = cert;
		authority->above_count++;
		int len = i2d_X509(cert, &authority->above_der[at]);
		if (len <= 0 || X509_check_issued(cert, below) != X509_V_OK)
			return error_set(err, "%s: certificate %zu did not issue the one before it", path, at + 2);
		authority->above_len[at] = (size_t)len;
		if (!ca_limit(&authority->at[0], cert, err))
			return error_prefix(err, "%s: certificate %zu", path, at + 2);
		below = cert;
	}
	return !damaged || error_set(err, "%s: certificate %zu is damaged", path, authority->above_count + 2);
}

static bool operator_key(const char *key_file, struct ca_keys *out, struct error *err)
{
	struct error why;
	if (!bytes_starts(bytes_str(key_file), bytes_str("pkcs11:")))
		return ca_keys_read(key_file, out, &why) || error_set(err, "--ca-key %s", why.text);
	EVP_PKEY *key = token_key(key_file, err);
	if (!key)
		return false;
	out->at[out->count++] = key;
	return true;
}

static bool operator_dates(const struct ca *ca, const char *cert_file, int64_t now_s, struct error *err)
{
	char date[16];
	if (ca->not_after_s < now_s) {
		cert_date(date, sizeof(date), ca->not_after_s);
		return error_set(err, "%s: the CA expired on %s", cert_file, date);
	}
	cert_date(date, sizeof(date), ca->not_before_s);
	return ca->not_before_s <= now_s || error_set(err, "%s: the CA is not valid before %s", cert_file, date);
}

/* `cert_file` is its name in errors. */
static bool operator_read(struct authority *authority, BIO *bio, const char *cert_file, const char *key_file,
	int64_t now_s, struct error *err)
{
	bool damaged;
	X509 *cert = ca_cert_next(bio, &damaged);
	if (!cert)
		return error_set(
			err, damaged ? "%s: certificate 1 is damaged" : "%s: holds no certificate in PEM", cert_file);
	struct ca_keys keys = {0};
	if (!operator_key(key_file, &keys, err)) {
		X509_free(cert);
		return false;
	}
	EVP_PKEY *key = ca_key_for(&keys, cert);
	ca_keys_clear(&keys);
	bool fits = key != NULL;
	if (!ca_take(&authority->at[0], cert, key, err))
		return error_prefix(err, "%s", cert_file);
	authority->count = 1;
	if (!fits)
		return error_set(err, "--ca-key %s: the key does not go with the first certificate of %s",
			bytes_starts(bytes_str(key_file), bytes_str("pkcs11:")) ? "pkcs11:" : key_file, cert_file);
	return operator_dates(&authority->at[0], cert_file, now_s, err) && above_read(authority, bio, cert_file, err) &&
	       authority_pem_build(authority, err);
}

bool authority_from_files(
	struct authority **out, const char *cert_file, const char *key_file, int64_t now_s, struct error *err)
{
	struct file_bytes file;
	struct error why;
	char label[FILE_PATH_MAX + 16];
	if (!file_read(cert_file, AUTHORITY_FILE_MAX, &file, NULL, &why))
		return error_set(err, "--ca-cert %s", why.text);
	snprintf(label, sizeof(label), "--ca-cert %s", cert_file);
	struct authority *authority = authority_new(err);
	BIO *bio = BIO_new_mem_buf(file.data, (int)file.len);
	bool ok = authority && bio && operator_read(authority, bio, label, key_file, now_s, err);
	BIO_free(bio);
	file_bytes_free(&file);
	if (!ok) {
		authority_free(authority);
		return false;
	}
	*out = authority;
	return true;
}
