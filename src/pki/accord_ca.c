#include "pki/accord_ca.h"

#include "pki/authority_parts.h"
#include "pki/file.h"
#include "pki/name.h"
#include "pki/summary.h"

#include <openssl/pem.h>
#include <openssl/x509v3.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#define BACKDATE_S 3600 /* for clients whose clocks are behind */
#define DAY_S      86400
#define KEY_ID_LEN 20

struct accord_ca {
	X509 *cert;
	EVP_PKEY *key;
	char name[ACCORD_CA_NAME_MAX + 1];
	char purpose[64];
	uint8_t *pem;
	size_t pem_len;
};

/* Extensions. */

static bool add_usage(X509 *cert, const int *bits)
{
	ASN1_BIT_STRING *usage = ASN1_BIT_STRING_new();
	bool ok = usage != NULL;
	for (; ok && *bits >= 0; bits++)
		ok = ASN1_BIT_STRING_set_bit(usage, *bits, 1) == 1;
	ok = ok && X509_add1_ext_i2d(cert, NID_key_usage, usage, 1, 0) == 1;
	ASN1_BIT_STRING_free(usage);
	return ok;
}

/* Accord's, and client authentication, which an aware server demands (docs/accord.md). */
static bool add_purposes(X509 *cert, const char *purpose)
{
	EXTENDED_KEY_USAGE *purposes = sk_ASN1_OBJECT_new_null();
	ASN1_OBJECT *accord = OBJ_txt2obj(purpose, 1);
	ASN1_OBJECT *client = OBJ_nid2obj(NID_client_auth); /* static */
	bool ok = purposes && accord && sk_ASN1_OBJECT_push(purposes, accord) > 0;
	if (ok)
		accord = NULL;
	ok = ok && client && sk_ASN1_OBJECT_push(purposes, client) > 0 &&
	     X509_add1_ext_i2d(cert, NID_ext_key_usage, purposes, 0, 0) == 1;
	ASN1_OBJECT_free(accord);
	sk_ASN1_OBJECT_pop_free(purposes, ASN1_OBJECT_free);
	return ok;
}

static bool add_constraints(X509 *cert, bool ca)
{
	BASIC_CONSTRAINTS *basic = BASIC_CONSTRAINTS_new();
	bool ok = basic != NULL;
	if (ok && ca) {
		basic->ca = 0xff;
		basic->pathlen = ASN1_INTEGER_new();
		ok = basic->pathlen && ASN1_INTEGER_set(basic->pathlen, 0) == 1;
	}
	ok = ok && X509_add1_ext_i2d(cert, NID_basic_constraints, basic, 1, 0) == 1;
	BASIC_CONSTRAINTS_free(basic);
	return ok;
}

/* 160 bits of SHA-256 over the key (RFC 7093, 2). */
static bool add_key_ids(X509 *cert, X509 *issuer)
{
	uint8_t digest[EVP_MAX_MD_SIZE];
	ASN1_OCTET_STRING *id = ASN1_OCTET_STRING_new();
	AUTHORITY_KEYID *above = AUTHORITY_KEYID_new();
	bool ok = id && above && X509_pubkey_digest(cert, EVP_sha256(), digest, NULL) == 1 &&
	          ASN1_OCTET_STRING_set(id, digest, KEY_ID_LEN) == 1 &&
	          X509_add1_ext_i2d(cert, NID_subject_key_identifier, id, 0, 0) == 1;
	const ASN1_OCTET_STRING *theirs = ok && issuer ? X509_get0_subject_key_id(issuer) : NULL;
	if (theirs) {
		above->keyid = ASN1_OCTET_STRING_dup(theirs);
		ok = above->keyid && X509_add1_ext_i2d(cert, NID_authority_key_identifier, above, 0, 0) == 1;
	}
	ASN1_OCTET_STRING_free(id);
	AUTHORITY_KEYID_free(above);
	return ok;
}

static GENERAL_NAME *dns_name(const char *name)
{
	GENERAL_NAME *out = GENERAL_NAME_new();
	ASN1_IA5STRING *text = ASN1_IA5STRING_new();
	if (out && text && ASN1_STRING_set(text, name, -1) == 1) {
		GENERAL_NAME_set0_value(out, GEN_DNS, text);
		return out;
	}
	GENERAL_NAME_free(out);
	ASN1_IA5STRING_free(text);
	return NULL;
}

/* The only name, and critical where there is no subject (RFC 5280, 4.2.1.6). */
static bool add_name(X509 *cert, const char *name)
{
	GENERAL_NAMES *names = sk_GENERAL_NAME_new_null();
	GENERAL_NAME *one = dns_name(name);
	bool ok = names && one && sk_GENERAL_NAME_push(names, one) > 0;
	if (ok)
		one = NULL;
	ok = ok && X509_add1_ext_i2d(cert, NID_subject_alt_name, names, 1, 0) == 1;
	GENERAL_NAME_free(one);
	GENERAL_NAMES_free(names);
	return ok;
}

static bool add_permitted(X509 *cert, const char *name)
{
	NAME_CONSTRAINTS *constraints = NAME_CONSTRAINTS_new();
	GENERAL_SUBTREE *tree = GENERAL_SUBTREE_new();
	GENERAL_NAME *one = dns_name(name);
	bool ok = constraints && tree && one;
	if (ok) {
		GENERAL_NAME_free(tree->base);
		tree->base = one;
		one = NULL;
		constraints->permittedSubtrees = sk_GENERAL_SUBTREE_new_null();
		ok = constraints->permittedSubtrees &&
		     sk_GENERAL_SUBTREE_push(constraints->permittedSubtrees, tree) > 0;
		if (ok)
			tree = NULL;
	}
	ok = ok && X509_add1_ext_i2d(cert, NID_name_constraints, constraints, 1, 0) == 1;
	GENERAL_NAME_free(one);
	GENERAL_SUBTREE_free(tree);
	NAME_CONSTRAINTS_free(constraints);
	return ok;
}

/* Certificates. */

static bool name_anchor(X509 *cert, const char *host, int64_t now_s)
{
	char date[16];
	char text[65];
	cert_date(date, sizeof(date), now_s);
	snprintf(text, sizeof(text), "Overt Accord anchor %.32s %.7s", host, date);
	return cert_name_set(cert, text);
}

static bool begin(X509 *cert, EVP_PKEY *key, int64_t from_s, int64_t life_s)
{
	return cert && key && X509_set_version(cert, X509_VERSION_3) == 1 && cert_serial_set(cert) &&
	       ASN1_TIME_set(X509_getm_notBefore(cert), (time_t)from_s) &&
	       ASN1_TIME_set(X509_getm_notAfter(cert), (time_t)(from_s + life_s)) && X509_set_pubkey(cert, key) == 1;
}

static bool make_anchor(struct accord_ca *ca, int64_t now_s)
{
	static const int usage[] = {5, 6, -1}; /* keyCertSign, cRLSign */
	ca->key = EVP_EC_gen("P-256");
	ca->cert = X509_new();
	return begin(ca->cert, ca->key, now_s - BACKDATE_S, (int64_t)ACCORD_CA_DAYS * DAY_S) &&
	       name_anchor(ca->cert, ca->name, now_s) && add_constraints(ca->cert, true) &&
	       add_usage(ca->cert, usage) && add_key_ids(ca->cert, NULL) && add_purposes(ca->cert, ca->purpose) &&
	       add_permitted(ca->cert, ca->name) && X509_sign(ca->cert, ca->key, EVP_sha256()) > 0;
}

bool accord_ca_issue(const struct accord_ca *ca, int64_t now_s, struct accord_ca_leaf *out, struct error *err)
{
	static const int usage[] = {0, -1}; /* digitalSignature */
	int64_t above_from, above_until;
	*out = (struct accord_ca_leaf){.key = EVP_EC_gen("P-256"), .cert = X509_new(), .made_s = now_s};
	bool ok = cert_dates(ca->cert, &above_from, &above_until);
	int64_t from = now_s - BACKDATE_S < above_from ? above_from : now_s - BACKDATE_S;
	int64_t until = from + ACCORD_CA_LEAF_S > above_until ? above_until : from + ACCORD_CA_LEAF_S;
	ok = ok && until > now_s && begin(out->cert, out->key, from, until - from) &&
	     X509_set_issuer_name(out->cert, X509_get_subject_name(ca->cert)) == 1 &&
	     add_constraints(out->cert, false) && add_usage(out->cert, usage) && add_key_ids(out->cert, ca->cert) &&
	     add_purposes(out->cert, ca->purpose) && add_name(out->cert, ca->name) &&
	     X509_sign(out->cert, ca->key, EVP_sha256()) > 0;
	if (ok)
		return true;
	accord_ca_leaf_clear(out);
	return error_set_openssl(err, "a certificate for Accord could not be made");
}

void accord_ca_leaf_clear(struct accord_ca_leaf *leaf)
{
	X509_free(leaf->cert);
	EVP_PKEY_free(leaf->key);
	*leaf = (struct accord_ca_leaf){0};
}

/* The anchor as a whole. */

void accord_ca_free(struct accord_ca *ca)
{
	if (!ca)
		return;
	X509_free(ca->cert);
	EVP_PKEY_free(ca->key);
	free(ca->pem);
	free(ca);
}

X509 *accord_ca_cert(const struct accord_ca *ca)
{
	return ca->cert;
}

const char *accord_ca_name(const struct accord_ca *ca)
{
	return ca->name;
}

struct bytes accord_ca_pem(const struct accord_ca *ca)
{
	return bytes_of(ca->pem, ca->pem_len);
}

static bool encode(struct accord_ca *ca)
{
	BIO *bio = BIO_new(BIO_s_mem());
	char *data = NULL;
	long len = bio && PEM_write_bio_X509(bio, ca->cert) == 1 ? BIO_get_mem_data(bio, &data) : 0;
	ca->pem = len > 0 ? malloc((size_t)len) : NULL;
	if (ca->pem) {
		memcpy(ca->pem, data, (size_t)len);
		ca->pem_len = (size_t)len;
	}
	BIO_free(bio);
	return ca->pem != NULL;
}

static struct accord_ca *ca_new(const char *purpose, struct error *err)
{
	struct accord_ca *ca = calloc(1, sizeof(*ca));
	if (ca)
		snprintf(ca->purpose, sizeof(ca->purpose), "%s", purpose);
	else
		error_set(err, "no memory for the Accord anchor");
	return ca;
}

bool accord_ca_in_memory(
	struct accord_ca **out, const char *name, const char *purpose, int64_t now_s, struct error *err)
{
	struct subject_name subject;
	enum name_result result = subject_name_parse(bytes_str(name), &subject);
	if (result != NAME_OK)
		return error_set(err, "%s: %s; an Accord proxy bears a host name, as proxy.example.com", name,
			name_result_text(result));
	if (subject.is_ip)
		return error_set(err, "%s: an Accord proxy bears a host name, as proxy.example.com", name);
	struct accord_ca *ca = ca_new(purpose, err);
	if (!ca)
		return false;
	snprintf(ca->name, sizeof(ca->name), "%s", subject.text);
	if (make_anchor(ca, now_s) && encode(ca)) {
		*out = ca;
		return true;
	}
	accord_ca_free(ca);
	return error_set_openssl(err, "an Accord anchor could not be made");
}

static bool write_key(const char *path, EVP_PKEY *key, struct error *err)
{
	BIO *bio = BIO_new(BIO_s_secmem());
	char *data = NULL;
	bool ok = bio && PEM_write_bio_PKCS8PrivateKey(bio, key, NULL, NULL, 0, NULL, NULL) == 1;
	long len = ok ? BIO_get_mem_data(bio, &data) : 0;
	ok = len > 0 ? file_replace(path, bytes_of(data, (size_t)len), 0600, err)
	             : error_set_openssl(err, "the key of the Accord anchor could not be encoded");
	BIO_free(bio); /* memory of this kind is wiped */
	return ok;
}

bool accord_ca_make(const char *state_dir, const char *name, const char *purpose, int64_t now_s, struct error *err)
{
	char cert_path[FILE_PATH_MAX], key_path[FILE_PATH_MAX];
	struct accord_ca *ca = NULL;
	if (!file_join(cert_path, state_dir, ACCORD_CA_FILE, err) ||
		!file_join(key_path, state_dir, ACCORD_CA_KEY_FILE, err) || !file_make_directory(state_dir, err))
		return false;
	int lock = file_lock_directory(state_dir, err);
	if (lock < 0)
		return false;
	bool ok = file_exists(cert_path)
	                  ? error_set(err, "%s: there is an Accord anchor already; to replace it, move that file away",
				    cert_path)
	                  : accord_ca_in_memory(&ca, name, purpose, now_s, err) && ca &&
	                            write_key(key_path, ca->key, err) &&
	                            file_replace(cert_path, accord_ca_pem(ca), 0644, err);
	accord_ca_free(ca);
	close(lock);
	return ok;
}

/* The name stands in the anchor itself: it may certify no other. */
static bool read_name(struct accord_ca *ca)
{
	NAME_CONSTRAINTS *constraints = X509_get_ext_d2i(ca->cert, NID_name_constraints, NULL, NULL);
	GENERAL_SUBTREE *tree = constraints ? sk_GENERAL_SUBTREE_value(constraints->permittedSubtrees, 0) : NULL;
	struct subject_name name;
	bool ok = tree && tree->base->type == GEN_DNS;
	if (ok) {
		const ASN1_IA5STRING *text = tree->base->d.dNSName;
		ok = subject_name_parse(
			     bytes_of(ASN1_STRING_get0_data(text), (size_t)ASN1_STRING_length(text)), &name) == NAME_OK;
	}
	if (ok)
		snprintf(ca->name, sizeof(ca->name), "%s", name.text);
	NAME_CONSTRAINTS_free(constraints);
	return ok;
}

static bool read_cert(struct accord_ca *ca, const char *path, struct error *err)
{
	struct file_bytes file;
	bool damaged;
	if (!file_read(path, AUTHORITY_FILE_MAX, &file, NULL, err))
		return false;
	BIO *bio = BIO_new_mem_buf(file.data, (int)file.len);
	ca->cert = bio ? ca_cert_next(bio, &damaged) : NULL;
	BIO_free(bio);
	file_bytes_free(&file);
	if (!ca->cert)
		return error_set(err, "%s: holds no certificate in PEM", path);
	return read_name(ca) ||
	       error_set(err, "%s: is no Accord anchor: it has no name constraint; make one with accord init", path);
}

static bool valid_now(const struct accord_ca *ca, const char *path, int64_t now_s, struct error *err)
{
	int64_t from, until;
	char date[16];
	if (!cert_dates(ca->cert, &from, &until))
		return error_set(err, "%s: its dates cannot be read", path);
	cert_date(date, sizeof(date), now_s < from ? from : until);
	if (now_s < from)
		return error_set(err, "%s: is valid only from %s on", path, date);
	return now_s < until ||
	       error_set(err, "%s: expired on %s; move it away and make a new one with accord init", path, date);
}

enum accord_ca_result accord_ca_open(
	struct accord_ca **out, const char *state_dir, const char *purpose, int64_t now_s, struct error *err)
{
	char cert_path[FILE_PATH_MAX], key_path[FILE_PATH_MAX];
	struct ca_keys keys = {0};
	if (!file_join(cert_path, state_dir, ACCORD_CA_FILE, err) ||
		!file_join(key_path, state_dir, ACCORD_CA_KEY_FILE, err))
		return ACCORD_CA_BAD;
	if (!file_exists(cert_path)) {
		error_set(err, "%s: there is no Accord anchor; make one with accord init", cert_path);
		return ACCORD_CA_MISSING;
	}
	struct accord_ca *ca = ca_new(purpose, err);
	if (!ca)
		return ACCORD_CA_BAD;
	bool ok = read_cert(ca, cert_path, err) && valid_now(ca, cert_path, now_s, err) &&
	          ca_keys_read(key_path, &keys, err);
	if (ok) {
		ca->key = ca_key_for(&keys, ca->cert);
		ok = ca->key ? encode(ca) || error_set(err, "no memory for the Accord anchor")
		             : error_set(err, "%s: does not go with %s", key_path, cert_path);
	}
	ca_keys_clear(&keys);
	if (ok)
		*out = ca;
	else
		accord_ca_free(ca);
	return ok ? ACCORD_CA_OK : ACCORD_CA_BAD;
}
