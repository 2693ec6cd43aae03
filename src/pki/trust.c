#include "pki/trust.h"

#include "base/cache.h"
#include "pki/file.h"

#include <dirent.h>
#include <errno.h>
#include <limits.h>
#include <openssl/err.h>
#include <openssl/pem.h>
#include <stdio.h>
#include <stdlib.h>

#define MAX_FILE    (64U << 20)
#define MAX_ANCHORS 100000

struct trust {
	X509_STORE *store;
	OSSL_LIB_CTX *lib;
	struct cache *known; /* SHA-256 of what is held */
	BIO *bundle;         /* PEM of everything, for trust_export */
	EVP_MD_CTX *hash;    /* over the digests of everything, in order: the generation */
	uint64_t generation;
	struct trust_counts counts;
};

struct trust *trust_new(OSSL_LIB_CTX *lib)
{
	struct trust *trust = calloc(1, sizeof(*trust));
	if (!trust)
		return NULL;
	trust->lib = lib;
	trust->store = X509_STORE_new();
	trust->known = cache_new(MAX_ANCHORS, NULL);
	trust->bundle = BIO_new(BIO_s_mem());
	trust->hash = EVP_MD_CTX_new();
	if (!trust->store || !trust->known || !trust->bundle || !trust->hash ||
		EVP_DigestInit_ex(trust->hash, EVP_sha256(), NULL) != 1) {
		trust_free(trust);
		return NULL;
	}
	return trust;
}

void trust_free(struct trust *trust)
{
	if (!trust)
		return;
	X509_STORE_free(trust->store);
	cache_free(trust->known);
	BIO_free(trust->bundle);
	EVP_MD_CTX_free(trust->hash);
	free(trust);
}

/* Where a fault stands, for its error text. */
struct place {
	const char *what;
	size_t number; /* of the block, from 1 */
};

enum known { KNOWN_NEW, KNOWN_REPEATED, KNOWN_FAILED };

/* Notes the DER as held. System stores give the same anchors twice, by file and by directory: decoding them is dear. */
static enum known remember(struct trust *trust, struct bytes der)
{
	uint8_t digest[32];
	if (EVP_Digest(der.data, der.len, digest, NULL, EVP_sha256(), NULL) != 1)
		return KNOWN_FAILED;
	struct bytes key = bytes_of(digest, sizeof(digest));
	if (cache_get(trust->known, key)) {
		trust->counts.repeated++;
		return KNOWN_REPEATED;
	}
	if (trust->counts.anchors + trust->counts.crls >= MAX_ANCHORS || !cache_put(trust->known, key, trust) ||
		EVP_DigestUpdate(trust->hash, digest, sizeof(digest)) != 1)
		return KNOWN_FAILED;
	return KNOWN_NEW;
}

/* A certificate, with the trust settings behind it when `aux`. */
static bool cert_add(struct trust *trust, struct bytes der, bool aux, struct place place, struct error *err)
{
	enum known known = remember(trust, der);
	if (known != KNOWN_NEW)
		return known == KNOWN_REPEATED ||
		       error_set(err, "%s: no room for certificate %zu", place.what, place.number);
	X509 *cert = X509_new_ex(trust->lib, NULL);
	const unsigned char *at = der.data;
	X509 *read = !cert ? NULL : aux ? d2i_X509_AUX(&cert, &at, (long)der.len) : d2i_X509(&cert, &at, (long)der.len);
	/* On a fault d2i has freed what it was given. */
	if (!read)
		return error_set_openssl(err, "%s: certificate %zu is damaged", place.what, place.number);
	bool ok = true;
	if (at != der.data + der.len) {
		ok = error_set(err, "%s: certificate %zu is damaged: octets behind its end", place.what, place.number);
	} else if (!X509_get0_pubkey(read)) {
		ERR_clear_error();
		trust->counts.unusable++;
	} else if (!X509_STORE_add_cert(trust->store, read) || PEM_write_bio_X509_AUX(trust->bundle, read) != 1) {
		ok = error_set_openssl(err, "%s: certificate %zu", place.what, place.number);
	} else {
		trust->counts.anchors++;
	}
	X509_free(read);
	return ok;
}

static bool crl_add(struct trust *trust, struct bytes der, struct place place, struct error *err)
{
	enum known known = remember(trust, der);
	if (known != KNOWN_NEW)
		return known == KNOWN_REPEATED || error_set(err, "%s: no room for CRL %zu", place.what, place.number);
	const unsigned char *at = der.data;
	X509_CRL *crl = d2i_X509_CRL(NULL, &at, (long)der.len);
	if (!crl)
		return error_set_openssl(err, "%s: CRL %zu is damaged", place.what, place.number);
	bool ok = X509_STORE_add_crl(trust->store, crl) && PEM_write_bio_X509_CRL(trust->bundle, crl) == 1;
	X509_CRL_free(crl);
	if (!ok)
		return error_set_openssl(err, "%s: CRL %zu", place.what, place.number);
	trust->counts.crls++;
	return true;
}

static bool block_add(struct trust *trust, const char *label, struct bytes der, struct place *place, bool crls_only,
	struct error *err)
{
	bool aux = strcmp(label, PEM_STRING_X509_TRUSTED) == 0;
	bool cert = aux || strcmp(label, PEM_STRING_X509) == 0 || strcmp(label, PEM_STRING_X509_OLD) == 0;
	bool crl = strcmp(label, PEM_STRING_X509_CRL) == 0;
	if (!cert && !crl)
		return true;
	place->number++;
	if (cert && crls_only)
		return error_set(err, "%s: holds a certificate where only CRLs may stand", place->what);
	return cert ? cert_add(trust, der, aux, *place, err) : crl_add(trust, der, *place, err);
}

/* Reads blocks until the end. OpenSSL passes over text outside blocks; a block it cannot read is our error. */
static bool pem_add(struct trust *trust, struct bytes in, struct place *place, bool crls_only, struct error *err)
{
	BIO *bio = BIO_new_mem_buf(in.data, (int)in.len);
	if (!bio)
		return error_set(err, "%s: out of memory", place->what);
	bool ok = true;
	while (ok) {
		char *label = NULL;
		char *header = NULL;
		unsigned char *data = NULL;
		long len;
		ERR_clear_error();
		if (PEM_read_bio(bio, &label, &header, &data, &len) != 1) {
			unsigned long code = ERR_peek_last_error();
			bool end = ERR_GET_LIB(code) == ERR_LIB_PEM && ERR_GET_REASON(code) == PEM_R_NO_START_LINE;
			if (!end)
				ok = error_set_openssl(
					err, "%s: certificate %zu is damaged", place->what, place->number + 1);
			ERR_clear_error();
			break;
		}
		ok = block_add(trust, label, bytes_of(data, (size_t)len), place, crls_only, err);
		OPENSSL_free(label);
		OPENSSL_free(header);
		OPENSSL_free(data);
	}
	BIO_free(bio);
	return ok;
}

static bool blocks_add(struct trust *trust, struct bytes in, const char *what, bool crls_only, struct error *err)
{
	struct place place = {.what = what};
	if (in.len == 0)
		return error_set(err, "%s: is empty", what);
	if (in.len > MAX_FILE)
		return error_set(err, "%s: is larger than %u MiB", what, MAX_FILE >> 20);
	if (in.data[0] == 0x30) {
		/* DER: a certificate's second element is a sequence of at least a version or serial; ask the decoder. */
		const unsigned char *at = in.data;
		X509_CRL *crl = d2i_X509_CRL(NULL, &at, (long)in.len);
		ERR_clear_error();
		X509_CRL_free(crl);
		return block_add(trust, crl ? PEM_STRING_X509_CRL : PEM_STRING_X509, in, &place, crls_only, err);
	}
	if (!pem_add(trust, in, &place, crls_only, err))
		return false;
	return place.number > 0 || error_set(err, "%s: holds no %s", what, crls_only ? "CRL" : "certificate");
}

/* The hash so far, its first octets as a number. */
static bool generation_update(struct trust *trust)
{
	uint8_t digest[32];
	struct bytes in = bytes_of(digest, sizeof(digest));
	EVP_MD_CTX *copy = EVP_MD_CTX_new();
	bool ok = copy && EVP_MD_CTX_copy_ex(copy, trust->hash) == 1 && EVP_DigestFinal_ex(copy, digest, NULL) == 1 &&
	          bytes_u64(&in, &trust->generation);
	EVP_MD_CTX_free(copy);
	return ok;
}

static bool all_add(struct trust *trust, struct bytes in, const char *what, bool crls_only, struct error *err)
{
	bool ok = blocks_add(trust, in, what, crls_only, err);
	return (generation_update(trust) || error_set_openssl(err, "%s", what)) && ok;
}

bool trust_add_bytes(struct trust *trust, struct bytes in, const char *what, struct error *err)
{
	return all_add(trust, in, what, false, err);
}

static bool file_add(struct trust *trust, const char *path, bool crls_only, struct error *err)
{
	struct file_bytes file;
	if (!file_read(path, MAX_FILE, &file, NULL, err))
		return false;
	bool ok = all_add(trust, bytes_of(file.data, file.len), path, crls_only, err);
	file_bytes_free(&file);
	return ok;
}

bool trust_add_file(struct trust *trust, const char *path, struct error *err)
{
	return file_add(trust, path, false, err);
}

bool trust_add_crl_file(struct trust *trust, const char *path, struct error *err)
{
	return file_add(trust, path, true, err);
}

/* 1a2b3c4d.0 for certificates, 1a2b3c4d.r0 for CRLs, as openssl rehash names them. */
static bool is_hash_name(const char *name)
{
	for (int i = 0; i < 8; i++) {
		bool hex = (name[i] >= '0' && name[i] <= '9') || (name[i] >= 'a' && name[i] <= 'f');
		if (!hex)
			return false;
	}
	if (name[8] != '.')
		return false;
	const char *digits = name + 9 + (name[9] == 'r');
	return *digits != '\0' && digits[strspn(digits, "0123456789")] == '\0';
}

static int pick_hash_name(const struct dirent *entry)
{
	return is_hash_name(entry->d_name);
}

static bool directory_add(struct trust *trust, const char *path, struct error *err)
{
	struct dirent **entries = NULL;
	/* Sorted, so that the generation does not depend on the order of the file system. */
	int n = scandir(path, &entries, pick_hash_name, alphasort);
	if (n < 0)
		return errno == ENOENT || error_set_errno(err, "%s", path);
	bool ok = true;
	for (int i = 0; i < n; i++) {
		char file[PATH_MAX];
		int len = snprintf(file, sizeof(file), "%s/%s", path, entries[i]->d_name);
		if (ok && len > 0 && (size_t)len < sizeof(file)) {
			if (!file_exists(file))
				trust->counts.unreadable++;
			else
				ok = trust_add_file(trust, file, err);
		}
		free(entries[i]);
	}
	free(entries);
	return ok;
}

static bool directories_add(struct trust *trust, const char *list, struct error *err)
{
	struct bytes rest = bytes_str(list);
	while (rest.len > 0) {
		struct bytes entry;
		char path[PATH_MAX];
		if (!bytes_take(&rest, bytes_find(rest, ':', 0), &entry) || (rest.len > 0 && !bytes_skip(&rest, 1)))
			return false;
		if (entry.len == 0 || entry.len >= sizeof(path))
			continue;
		memcpy(path, entry.data, entry.len);
		path[entry.len] = '\0';
		if (!directory_add(trust, path, err))
			return false;
	}
	return true;
}

/* What distributions call their bundle, for when OpenSSL's own defaults lead nowhere. */
static const char *const usual_bundles[] = {
	"/etc/ssl/certs/ca-certificates.crt",
	"/etc/pki/tls/certs/ca-bundle.crt",
	"/etc/ssl/ca-bundle.pem",
	"/etc/ssl/cert.pem",
	NULL,
};

bool trust_add_system(struct trust *trust, struct error *err)
{
	const char *file = getenv(X509_get_default_cert_file_env());
	const char *directories = getenv(X509_get_default_cert_dir_env());
	size_t before = trust->counts.anchors + trust->counts.repeated;
	if (file && *file) {
		if (!trust_add_file(trust, file, err))
			return error_prefix(err, "%s", X509_get_default_cert_file_env());
	} else if (file_exists(X509_get_default_cert_file()) &&
		   !trust_add_file(trust, X509_get_default_cert_file(), err)) {
		return false;
	}
	if (!directories_add(trust, directories && *directories ? directories : X509_get_default_cert_dir(), err))
		return false;
	bool own = (file && *file) || (directories && *directories);
	for (size_t i = 0; !own && usual_bundles[i] && trust->counts.anchors + trust->counts.repeated == before; i++) {
		if (file_exists(usual_bundles[i]) && !trust_add_file(trust, usual_bundles[i], err))
			return false;
	}
	if (trust->counts.anchors + trust->counts.repeated == before)
		return error_set(
			err, "the system has no trust anchors: install ca-certificates, or name a file with --trust");
	return true;
}

bool trust_export(const struct trust *trust, uint8_t **out, size_t *len)
{
	char *data;
	long n = BIO_get_mem_data(trust->bundle, &data);
	uint8_t *copy = malloc(n > 0 ? (size_t)n : 1);
	if (!copy || n < 0) {
		free(copy);
		return false;
	}
	if (n > 0)
		memcpy(copy, data, (size_t)n);
	*out = copy;
	*len = (size_t)n;
	return true;
}

struct trust_counts trust_count(const struct trust *trust)
{
	return trust->counts;
}

uint64_t trust_generation(const struct trust *trust)
{
	return trust->generation;
}

X509_STORE *trust_store(const struct trust *trust)
{
	return trust->store;
}

OSSL_LIB_CTX *trust_lib(const struct trust *trust)
{
	return trust->lib;
}
