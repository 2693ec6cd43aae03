#include "mint.h"

#include "base/bytes.h"

#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/rand.h>
#include <openssl/x509v3.h>
#include <stdlib.h>

#define LIFETIME_S (30L * 86400)
#define SLOTS      (1U << 17) /* power of two */
#define KEPT_MAX   (SLOTS / 2)

struct kept {
	char *name;
	X509 *leaf;
};

struct mint {
	X509 *intermediate;
	EVP_PKEY *issuer_key, *leaf_key;
	struct kept *slots; /* open addressing */
	size_t kept;
};

static bool read_files(struct mint *mint, const char *cert_file, const char *key_file, struct error *err)
{
	FILE *file = fopen(cert_file, "r");
	if (!file)
		return error_set_errno(err, "%s", cert_file);
	mint->intermediate = PEM_read_X509(file, NULL, NULL, NULL);
	fclose(file);
	if (!mint->intermediate)
		return error_set_openssl(err, "%s: no certificate", cert_file);
	file = fopen(key_file, "r");
	if (!file)
		return error_set_errno(err, "%s", key_file);
	mint->issuer_key = PEM_read_PrivateKey(file, NULL, NULL, NULL);
	fclose(file);
	return mint->issuer_key || error_set_openssl(err, "%s: no private key", key_file);
}

struct mint *mint_new(const char *cert_file, const char *key_file, struct error *err)
{
	struct mint *mint = calloc(1, sizeof(*mint));
	if (!mint) {
		error_set_errno(err, "mint");
		return NULL;
	}
	mint->slots = calloc(SLOTS, sizeof(*mint->slots));
	mint->leaf_key = EVP_EC_gen("P-256");
	if (!mint->slots || !mint->leaf_key)
		error_set_openssl(err, "cannot make the leaves' key");
	else if (read_files(mint, cert_file, key_file, err))
		return mint;
	mint_free(mint);
	return NULL;
}

void mint_free(struct mint *mint)
{
	if (!mint)
		return;
	for (size_t i = 0; i < SLOTS && mint->slots; i++) {
		free(mint->slots[i].name);
		X509_free(mint->slots[i].leaf);
	}
	free(mint->slots);
	X509_free(mint->intermediate);
	EVP_PKEY_free(mint->issuer_key);
	EVP_PKEY_free(mint->leaf_key);
	free(mint);
}

EVP_PKEY *mint_key(const struct mint *mint)
{
	return mint->leaf_key;
}

X509 *mint_intermediate(const struct mint *mint)
{
	return mint->intermediate;
}

static bool add_extension(X509 *leaf, X509 *issuer, int nid, const char *value)
{
	X509V3_CTX context;
	X509V3_set_ctx(&context, issuer, leaf, NULL, NULL, 0);
	X509_EXTENSION *extension = X509V3_EXT_conf_nid(NULL, &context, nid, value);
	bool ok = extension && X509_add_ext(leaf, extension, -1) == 1;
	X509_EXTENSION_free(extension);
	return ok;
}

/* Built, not parsed from a string: the name came from a client. */
static bool add_name(X509 *leaf, const char *name)
{
	GENERAL_NAMES *names = sk_GENERAL_NAME_new_null();
	GENERAL_NAME *dns = GENERAL_NAME_new();
	ASN1_IA5STRING *text = ASN1_IA5STRING_new();
	bool ok = names && dns && text && ASN1_STRING_set(text, name, -1) == 1;
	if (ok) {
		GENERAL_NAME_set0_value(dns, GEN_DNS, text);
		text = NULL;
		ok = sk_GENERAL_NAME_push(names, dns) > 0;
		if (ok)
			dns = NULL;
	}
	ok = ok && X509_add1_ext_i2d(leaf, NID_subject_alt_name, names, 1, X509V3_ADD_DEFAULT) == 1;
	ASN1_IA5STRING_free(text);
	GENERAL_NAME_free(dns);
	GENERAL_NAMES_free(names);
	return ok;
}

static bool set_serial(X509 *leaf)
{
	uint64_t serial;
	return RAND_bytes((unsigned char *)&serial, sizeof(serial)) == 1 &&
	       ASN1_INTEGER_set_uint64(X509_get_serialNumber(leaf), (serial >> 1) | 1) == 1;
}

/* The subject stays empty, so the name extension is critical (RFC 5280, 4.2.1.6). */
static X509 *make_leaf(const struct mint *mint, const char *name, X509 *issuer, EVP_PKEY *issuer_key)
{
	X509 *leaf = X509_new();
	if (!leaf)
		return NULL;
	X509 *from = issuer ? issuer : leaf;
	bool ok = X509_set_version(leaf, X509_VERSION_3) == 1 && set_serial(leaf) &&
	          X509_gmtime_adj(X509_getm_notBefore(leaf), -3600) &&
	          X509_gmtime_adj(X509_getm_notAfter(leaf), LIFETIME_S) &&
	          X509_set_issuer_name(leaf, X509_get_subject_name(from)) == 1 &&
	          X509_set_pubkey(leaf, mint->leaf_key) == 1 && add_name(leaf, name) &&
	          add_extension(leaf, from, NID_subject_key_identifier, "hash") &&
	          add_extension(leaf, from, NID_authority_key_identifier, "keyid") &&
	          add_extension(leaf, from, NID_basic_constraints, "critical,CA:FALSE") &&
	          add_extension(leaf, from, NID_key_usage, "critical,digitalSignature") &&
	          add_extension(leaf, from, NID_ext_key_usage, "serverAuth") &&
	          X509_sign(leaf, issuer_key, EVP_sha256()) > 0;
	if (ok)
		return leaf;
	X509_free(leaf);
	return NULL;
}

/* FNV-1a. The benchmark's own client chooses the names, so nobody attacks this table. */
static size_t slot_of(const char *name)
{
	uint32_t hash = 2166136261U;
	for (; *name; name++)
		hash = (hash ^ (uint8_t)*name) * 16777619U;
	return hash & (SLOTS - 1);
}

X509 *mint_leaf(struct mint *mint, const char *name)
{
	size_t at = slot_of(name);
	while (mint->slots[at].name && strcmp(mint->slots[at].name, name) != 0)
		at = (at + 1) & (SLOTS - 1);
	struct kept *kept = &mint->slots[at];
	if (kept->name)
		return kept->leaf;
	if (mint->kept == KEPT_MAX)
		return NULL;
	X509 *leaf = make_leaf(mint, name, mint->intermediate, mint->issuer_key);
	char *copy = leaf ? strdup(name) : NULL;
	if (!copy) {
		X509_free(leaf);
		return NULL;
	}
	*kept = (struct kept){.name = copy, .leaf = leaf};
	mint->kept++;
	return leaf;
}

X509 *mint_self_signed(struct mint *mint, const char *name)
{
	return make_leaf(mint, name, NULL, mint->leaf_key);
}
