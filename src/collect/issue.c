#include "collect/issue.h"

#include "base/bytes.h"
#include "bus/config.h"
#include "collect/tls.h"
#include "pki/file.h"

#include <arpa/inet.h>
#include <openssl/bio.h>
#include <openssl/bn.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/rand.h>
#include <openssl/x509v3.h>
#include <string.h>
#include <time.h>

#define DAY_S   INT64_C(86400)
#define EARLY_S INT64_C(300) /* for clocks that are a little behind */

/* What a certificate says. */
struct wanted {
	const char *common_name;
	const char *constraints, *usage, *purposes; /* as in x509v3_config(5) */
	const char *const *names;                   /* DNS names and addresses; count 0: none */
	size_t count;
	int64_t from_s, until_s;
};

static bool serial_set(X509 *cert)
{
	uint8_t octets[16];
	if (RAND_bytes(octets, sizeof(octets)) != 1)
		return false;
	octets[0] &= 0x7f;
	BIGNUM *number = BN_bin2bn(octets, sizeof(octets), NULL);
	bool ok = number && BN_to_ASN1_INTEGER(number, X509_get_serialNumber(cert));
	BN_free(number);
	return ok;
}

static bool extension_add(X509 *cert, X509 *issuer, int nid, const char *value)
{
	X509V3_CTX context;
	X509V3_set_ctx(&context, issuer, cert, NULL, NULL, 0);
	X509_EXTENSION *extension = X509V3_EXT_conf_nid(NULL, &context, nid, value);
	bool ok = extension && X509_add_ext(cert, extension, -1) == 1;
	X509_EXTENSION_free(extension);
	return ok;
}

/* Built in code: a name never gets near a configuration string. */
static GENERAL_NAME *general_name(const char *name)
{
	uint8_t ip[16];
	int len = inet_pton(AF_INET, name, ip) == 1 ? 4 : inet_pton(AF_INET6, name, ip) == 1 ? 16 : 0;
	GENERAL_NAME *out = GENERAL_NAME_new();
	ASN1_STRING *value = len ? ASN1_OCTET_STRING_new() : ASN1_IA5STRING_new();
	bool ok =
		out && value &&
		ASN1_STRING_set(value, len ? (const void *)ip : (const void *)name, len ? len : (int)strlen(name)) == 1;
	if (!ok) {
		GENERAL_NAME_free(out);
		ASN1_STRING_free(value);
		return NULL;
	}
	GENERAL_NAME_set0_value(out, len ? GEN_IPADD : GEN_DNS, value);
	return out;
}

static bool names_add(X509 *cert, const struct wanted *wanted)
{
	GENERAL_NAMES *names = GENERAL_NAMES_new();
	bool ok = names != NULL;
	for (size_t i = 0; ok && i < wanted->count; i++) {
		GENERAL_NAME *name = general_name(wanted->names[i]);
		ok = name && sk_GENERAL_NAME_push(names, name) > 0;
		if (!ok)
			GENERAL_NAME_free(name);
	}
	ok = ok && X509_add1_ext_i2d(cert, NID_subject_alt_name, names, 0, X509V3_ADD_APPEND) == 1;
	GENERAL_NAMES_free(names);
	return ok;
}

static X509 *make_cert(const struct wanted *wanted, EVP_PKEY *key, X509 *issuer, EVP_PKEY *issuer_key)
{
	X509 *cert = X509_new();
	X509_NAME *subject = X509_NAME_new();
	bool ok = cert && subject && X509_set_version(cert, X509_VERSION_3) == 1 && serial_set(cert) &&
	          X509_NAME_add_entry_by_NID(subject, NID_commonName, MBSTRING_UTF8,
			  (const unsigned char *)wanted->common_name, -1, -1, 0) == 1 &&
	          X509_set_subject_name(cert, subject) == 1 &&
	          X509_set_issuer_name(cert, issuer ? X509_get_subject_name(issuer) : subject) == 1 &&
	          ASN1_TIME_set(X509_getm_notBefore(cert), (time_t)wanted->from_s) &&
	          ASN1_TIME_set(X509_getm_notAfter(cert), (time_t)wanted->until_s) && X509_set_pubkey(cert, key) == 1 &&
	          extension_add(cert, issuer ? issuer : cert, NID_basic_constraints, wanted->constraints) &&
	          extension_add(cert, issuer ? issuer : cert, NID_key_usage, wanted->usage) &&
	          extension_add(cert, issuer ? issuer : cert, NID_subject_key_identifier, "hash") &&
	          (!issuer || extension_add(cert, issuer, NID_authority_key_identifier, "keyid:always")) &&
	          (!wanted->purposes ||
			  extension_add(cert, issuer ? issuer : cert, NID_ext_key_usage, wanted->purposes)) &&
	          (wanted->count == 0 || names_add(cert, wanted)) &&
	          X509_sign(cert, issuer_key ? issuer_key : key, EVP_sha256()) > 0;
	X509_NAME_free(subject);
	if (ok)
		return cert;
	X509_free(cert);
	return NULL;
}

static bool bio_file(BIO *bio, bool ok, const char *folder, const char *name, mode_t mode, struct error *err)
{
	char path[FILE_PATH_MAX];
	char *data = NULL;
	long len = bio ? BIO_get_mem_data(bio, &data) : 0;
	ok = (ok && len > 0) || error_set_openssl(err, "%s", name);
	ok = ok && file_join(path, folder, name, err) && file_replace(path, bytes_of(data, (size_t)len), mode, err);
	BIO_free(bio);
	return ok;
}

static bool key_file(EVP_PKEY *key, const char *folder, const char *name, struct error *err)
{
	BIO *bio = BIO_new(BIO_s_secmem());
	bool ok = bio && PEM_write_bio_PKCS8PrivateKey(bio, key, NULL, NULL, 0, NULL, NULL) == 1;
	return bio_file(bio, ok, folder, name, 0600, err);
}

static bool cert_file(X509 *cert, const char *folder, const char *name, struct error *err)
{
	BIO *bio = BIO_new(BIO_s_mem());
	bool ok = bio && PEM_write_bio_X509(bio, cert) == 1;
	return bio_file(bio, ok, folder, name, 0644, err);
}

/* Key and certificate of this name, which must not be there yet. */
static bool make_files(const struct wanted *wanted, const char *folder, const char *name, X509 *issuer,
	EVP_PKEY *issuer_key, struct error *err)
{
	char key_name[96], cert_name[96], path[FILE_PATH_MAX];
	snprintf(key_name, sizeof(key_name), "%s.key", name);
	snprintf(cert_name, sizeof(cert_name), "%s.pem", name);
	if (!file_join(path, folder, cert_name, err))
		return false;
	if (file_exists(path))
		return error_set(err, "%s stands there already: nothing was changed", path);
	EVP_PKEY *key = EVP_EC_gen("P-256");
	X509 *cert = key ? make_cert(wanted, key, issuer, issuer_key) : NULL;
	bool ok = cert ? key_file(key, folder, key_name, err) && cert_file(cert, folder, cert_name, err)
	               : error_set_openssl(err, "%s", cert_name);
	X509_free(cert);
	EVP_PKEY_free(key);
	return ok;
}

static bool open_ca(const char *folder, X509 **cert, EVP_PKEY **key, struct error *err)
{
	char path[FILE_PATH_MAX];
	struct file_bytes pem = {0}, secret = {0};
	*cert = NULL;
	*key = NULL;
	bool ok = file_join(path, folder, "ca.pem", err) && file_read(path, 65536, &pem, NULL, err) &&
	          file_join(path, folder, "ca.key", err) && file_read_secret(path, 65536, &secret, NULL, err);
	BIO *one = ok ? BIO_new_mem_buf(pem.data, (int)pem.len) : NULL;
	BIO *two = ok ? BIO_new_mem_buf(secret.data, (int)secret.len) : NULL;
	if (one && two) {
		*cert = PEM_read_bio_X509(one, NULL, NULL, NULL);
		*key = PEM_read_bio_PrivateKey(two, NULL, NULL, NULL);
	}
	BIO_free(one);
	BIO_free(two);
	file_bytes_free(&pem);
	file_bytes_free(&secret);
	if (ok && (!*cert || !*key || X509_check_private_key(*cert, *key) != 1))
		ok = error_set_openssl(err, "%s: no CA certificate and key that fit", folder);
	return ok;
}

static bool issue_into(
	const struct wanted *wanted, const char *ca_folder, const char *folder, const char *name, struct error *err)
{
	X509 *ca;
	EVP_PKEY *key;
	bool ok = open_ca(ca_folder, &ca, &key, err) && make_files(wanted, folder, name, ca, key, err);
	X509_free(ca);
	EVP_PKEY_free(key);
	return ok;
}

static bool issue(const struct wanted *wanted, const char *folder, const char *name, struct error *err)
{
	return issue_into(wanted, folder, folder, name, err);
}

bool issue_init(const char *folder, const char *const *names, size_t count, int64_t now_s, struct error *err)
{
	const struct wanted ca = {.common_name = "Overt collector CA",
		.constraints = "critical,CA:TRUE,pathlen:0",
		.usage = "critical,keyCertSign,cRLSign",
		.from_s = now_s - EARLY_S,
		.until_s = now_s + ISSUE_CA_DAYS * DAY_S};
	const struct wanted server = {.common_name = "Overt collector",
		.constraints = "critical,CA:FALSE",
		.usage = "critical,digitalSignature",
		.purposes = "serverAuth",
		.names = names,
		.count = count,
		.from_s = now_s - EARLY_S,
		.until_s = now_s + ISSUE_LEAF_DAYS * DAY_S};
	return file_make_directory(folder, err) && make_files(&ca, folder, "ca", NULL, NULL, err) &&
	       issue(&server, folder, "collector", err);
}

static bool name_valid(const char *name)
{
	static const char allowed[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789.-_";
	size_t len = strlen(name);
	return len > 0 && len <= COLLECT_NAME_MAX && name[0] != '.' && strspn(name, allowed) == len &&
	       strcmp(name, "ca") != 0 && strcmp(name, "collector") != 0 && strcmp(name, BUS_ADMIN) != 0;
}

static bool issue_named(const char *folder, const char *name, int64_t now_s, struct error *err)
{
	const struct wanted client = {.common_name = name,
		.constraints = "critical,CA:FALSE",
		.usage = "critical,digitalSignature",
		.purposes = "clientAuth",
		.from_s = now_s - EARLY_S,
		.until_s = now_s + ISSUE_LEAF_DAYS * DAY_S};
	return issue(&client, folder, name, err);
}

bool issue_client(const char *folder, const char *name, int64_t now_s, struct error *err)
{
	if (!name_valid(name))
		return error_set(err,
			"%s: a name has letters, digits, dots, hyphens and underscores, at most %d, and is "
			"neither ca nor collector nor " BUS_ADMIN,
			name, COLLECT_NAME_MAX);
	return issue_named(folder, name, now_s, err);
}

bool issue_bus_admin(const char *folder, int64_t now_s, struct error *err)
{
	return issue_named(folder, BUS_ADMIN, now_s, err);
}

bool issue_node(
	const char *ca_folder, const char *folder, const char *name, const char *host, int64_t now_s, struct error *err)
{
	const struct wanted node = {.common_name = name,
		.constraints = "critical,CA:FALSE",
		.usage = "critical,digitalSignature",
		.purposes = "serverAuth,clientAuth",
		.names = &host,
		.count = 1,
		.from_s = now_s - EARLY_S,
		.until_s = now_s + ISSUE_LEAF_DAYS * DAY_S};
	return issue_into(&node, ca_folder, folder, "node", err);
}
