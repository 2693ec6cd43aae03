#include "assess/identity.h"

#include "pki/file.h"

#include <openssl/pem.h>
#include <openssl/rand.h>
#include <openssl/x509v3.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define DAY_S     ((long)24 * 60 * 60)
#define LEAF_DAYS 30L
#define ROOT_DAYS 365L
#define NAME_ROOM 300
#define PEM_MAX   ((size_t)16 * 1024)

struct identity_maker {
	char name[256];
	X509 *root;
	EVP_PKEY *root_key;
};

static const struct words {
	const char *name, *text;
} words[IDENTITY_FAULTS] = {
	[IDENTITY_GOOD] = {"good", "nothing is wrong with it"},
	[IDENTITY_SELF_SIGNED] = {"self-signed", "the leaf signed itself"},
	[IDENTITY_UNKNOWN_ROOT] = {"unknown-root", "a root that nobody trusts"},
	[IDENTITY_MISSING_INTERMEDIATE] = {"missing-intermediate", "the intermediate is not sent"},
	[IDENTITY_EXPIRED] = {"expired", "the leaf has expired"},
	[IDENTITY_NOT_YET_VALID] = {"not-yet-valid", "the leaf is not valid yet"},
	[IDENTITY_DATES_REVERSED] = {"dates-reversed", "notAfter stands before notBefore"},
	[IDENTITY_INTERMEDIATE_EXPIRED] = {"intermediate-expired", "the intermediate has expired"},
	[IDENTITY_SIGNATURE] = {"bad-signature", "one bit of the signature is changed"},
	[IDENTITY_LEAF_AS_ISSUER] = {"leaf-as-issuer", "issued by another site's leaf, CA:FALSE"},
	[IDENTITY_NO_CONSTRAINTS] = {"no-basic-constraints", "the intermediate has no basicConstraints"},
	[IDENTITY_PATH_LENGTH] = {"path-length", "an intermediate too many below a pathlen of 0"},
	[IDENTITY_NAME_CONSTRAINTS] = {"name-constraints", "the intermediate may vouch for another domain only"},
	[IDENTITY_NO_CERT_SIGN] = {"no-cert-sign", "the intermediate's keyUsage lacks keyCertSign"},
	[IDENTITY_PURPOSE] = {"purpose", "extended key usage of the leaf is clientAuth alone"},
	[IDENTITY_PURPOSE_ABOVE] = {"purpose-above", "extended key usage of the intermediate is clientAuth alone"},
	[IDENTITY_CRITICAL] = {"critical-extension", "an unknown critical extension"},
	[IDENTITY_SHA1] = {"sha1", "signed with SHA-1"},
	[IDENTITY_RSA_1024] = {"rsa-1024", "an RSA key of 1024 bits"},
	[IDENTITY_WRONG_NAME] = {"wrong-name", "for another name"},
	[IDENTITY_NO_SAN] = {"no-san", "the name stands in the common name alone"},
	[IDENTITY_CN_AGAINST_SAN] = {"cn-against-san", "the common name fits, the subjectAltName does not"},
	[IDENTITY_WILDCARD_ALL] = {"wildcard-all", "for the name \"*\""},
	[IDENTITY_WILDCARD_PARTIAL] = {"wildcard-partial", "for a name with a wildcard within its first label"},
	[IDENTITY_NUL] = {"nul-in-name", "the name, a NUL octet, and another domain behind it"},
	[IDENTITY_MUST_STAPLE] = {"must-staple", "it demands an OCSP staple, and none is sent"},
};

const char *identity_fault_name(enum identity_fault fault)
{
	return words[fault].name;
}

const char *identity_fault_text(enum identity_fault fault)
{
	return words[fault].text;
}

/* One certificate. */
struct plan {
	const char *cn, *san; /* SAN as OpenSSL's configuration writes it; NULL: none */
	const char *constraints, *usage, *purpose, *names;
	long from_s, until_s; /* from now */
	const EVP_MD *digest;
	bool critical, nul, must_staple, no_key_id;
};

static bool extend(X509 *cert, X509 *issuer, int nid, const char *value)
{
	X509V3_CTX ctx;
	if (!value)
		return true;
	X509V3_set_ctx_nodb(&ctx);
	X509V3_set_ctx(&ctx, issuer, cert, NULL, NULL, 0);
	X509_EXTENSION *extension = X509V3_EXT_conf_nid(NULL, &ctx, nid, value);
	bool ok = extension && X509_add_ext(cert, extension, -1) == 1;
	X509_EXTENSION_free(extension);
	return ok;
}

static bool number(X509 *cert)
{
	uint8_t octets[16];
	if (RAND_bytes(octets, sizeof(octets)) != 1)
		return false;
	octets[0] = (uint8_t)((octets[0] & 0x7f) | 0x40);
	BIGNUM *bn = BN_bin2bn(octets, sizeof(octets), NULL);
	bool ok = bn && BN_to_ASN1_INTEGER(bn, X509_get_serialNumber(cert)) != NULL;
	BN_free(bn);
	return ok;
}

/* NUL within a name cannot be written as configuration. */
static bool add_nul_name(X509 *cert, const char *name)
{
	char room[NAME_ROOM];
	int n = snprintf(room, sizeof(room), "%s_.example", name);
	GENERAL_NAMES *names = GENERAL_NAMES_new();
	GENERAL_NAME *one = GENERAL_NAME_new();
	ASN1_IA5STRING *text = ASN1_IA5STRING_new();
	bool ok = names && one && text && n > 0 && (size_t)n < sizeof(room);
	if (ok) {
		room[strlen(name)] = '\0';
		ok = ASN1_STRING_set(text, room, n) == 1;
		GENERAL_NAME_set0_value(one, GEN_DNS, text);
		text = NULL;
	}
	if (ok && sk_GENERAL_NAME_push(names, one) > 0) {
		one = NULL;
		ok = X509_add1_ext_i2d(cert, NID_subject_alt_name, names, 0, 0) == 1;
	}
	ASN1_IA5STRING_free(text);
	GENERAL_NAME_free(one);
	GENERAL_NAMES_free(names);
	return ok;
}

static bool add_unknown(X509 *cert)
{
	ASN1_OBJECT *oid = OBJ_txt2obj("1.3.6.1.4.1.32473.1.1", 1); /* of the arc for examples, RFC 5612 */
	ASN1_OCTET_STRING *value = ASN1_OCTET_STRING_new();
	X509_EXTENSION *extension = NULL;
	bool ok = oid && value && ASN1_OCTET_STRING_set(value, (const unsigned char *)"\x05\x00", 2) == 1;
	if (ok)
		extension = X509_EXTENSION_create_by_OBJ(NULL, oid, 1, value);
	ok = extension && X509_add_ext(cert, extension, -1) == 1;
	X509_EXTENSION_free(extension);
	ASN1_OCTET_STRING_free(value);
	ASN1_OBJECT_free(oid);
	return ok;
}

static bool fill(X509 *cert, X509 *issuer, const struct plan *plan)
{
	return extend(cert, issuer, NID_basic_constraints, plan->constraints) &&
	       extend(cert, issuer, NID_key_usage, plan->usage) &&
	       extend(cert, issuer, NID_ext_key_usage, plan->purpose) &&
	       extend(cert, issuer, NID_name_constraints, plan->names) &&
	       extend(cert, issuer, NID_subject_alt_name, plan->nul ? NULL : plan->san) &&
	       extend(cert, issuer, NID_subject_key_identifier, "hash") &&
	       extend(cert, issuer, NID_authority_key_identifier, issuer == cert ? NULL : "keyid") &&
	       extend(cert, issuer, NID_tlsfeature, plan->must_staple ? "status_request" : NULL) &&
	       (!plan->nul || add_nul_name(cert, plan->cn)) && (!plan->critical || add_unknown(cert));
}

/* Signed by `issuer` with `by`; by itself where `issuer` is NULL. */
static X509 *certify(const struct plan *plan, EVP_PKEY *key, X509 *issuer, EVP_PKEY *by)
{
	X509 *cert = X509_new();
	bool ok = cert && X509_set_version(cert, X509_VERSION_3) && number(cert) &&
	          X509_gmtime_adj(X509_getm_notBefore(cert), plan->from_s) &&
	          X509_gmtime_adj(X509_getm_notAfter(cert), plan->until_s) &&
	          X509_NAME_add_entry_by_txt(X509_get_subject_name(cert), "CN", MBSTRING_ASC,
			  (const unsigned char *)plan->cn, -1, -1, 0) &&
	          X509_set_issuer_name(cert, X509_get_subject_name(issuer ? issuer : cert)) &&
	          X509_set_pubkey(cert, key) && fill(cert, issuer ? issuer : cert, plan) &&
	          X509_sign(cert, by, plan->digest ? plan->digest : EVP_sha256()) > 0;
	if (ok)
		return cert;
	X509_free(cert);
	return NULL;
}

static X509 *make_root(EVP_PKEY *key, const char *cn)
{
	const struct plan plan = {.cn = cn,
		.constraints = "critical,CA:TRUE",
		.usage = "critical,keyCertSign,cRLSign",
		.from_s = -DAY_S,
		.until_s = ROOT_DAYS * DAY_S};
	return certify(&plan, key, NULL, key);
}

static bool save_root(
	const struct identity_maker *maker, const char *cert_path, const char *key_path, struct error *err)
{
	BIO *cert = BIO_new(BIO_s_mem()), *key = BIO_new(BIO_s_secmem());
	char *cert_pem = NULL, *key_pem = NULL;
	bool ok = cert && key && PEM_write_bio_X509(cert, maker->root) == 1 &&
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
		maker->root_key = PEM_read_bio_PrivateKey(key_bio, NULL, NULL, (void *)(uintptr_t) "");
	}
	if (ok && !(maker->root && maker->root_key && X509_check_private_key(maker->root, maker->root_key) == 1))
		ok = error_set_openssl(err, "%s and %s are no certificate and its key", cert_path, key_path);
	BIO_free(cert_bio);
	BIO_free(key_bio);
	file_bytes_free(&cert);
	file_bytes_free(&key);
	return ok;
}

static bool find_root(struct identity_maker *maker, const char *folder, struct error *err)
{
	char cert_path[FILE_PATH_MAX], key_path[FILE_PATH_MAX];
	if (folder && (!file_make_directory(folder, err) || !file_join(cert_path, folder, "root.pem", err) ||
			      !file_join(key_path, folder, "root.key", err)))
		return false;
	if (folder && file_exists(cert_path))
		return load_root(maker, cert_path, key_path, err);
	maker->root_key = EVP_EC_gen("P-256");
	maker->root = maker->root_key ? make_root(maker->root_key, "Overt assess test root") : NULL;
	if (!maker->root)
		return error_set_openssl(err, "a root cannot be made");
	return !folder || save_root(maker, cert_path, key_path, err);
}

struct identity_maker *identity_maker_new(const char *name, const char *folder, struct error *err)
{
	struct identity_maker *maker = calloc(1, sizeof(*maker));
	if (!maker)
		error_set(err, "no memory");
	else
		snprintf(maker->name, sizeof(maker->name), "%s", name);
	if (maker && find_root(maker, folder, err))
		return maker;
	identity_maker_free(maker);
	return NULL;
}

void identity_maker_free(struct identity_maker *maker)
{
	if (!maker)
		return;
	X509_free(maker->root);
	EVP_PKEY_free(maker->root_key);
	free(maker);
}

X509 *identity_root(const struct identity_maker *maker)
{
	return maker->root;
}

static struct plan plan_above(enum identity_fault fault)
{
	struct plan plan = {.cn = "Overt assess test intermediate",
		.constraints = fault == IDENTITY_PATH_LENGTH ? "critical,CA:TRUE,pathlen:0" : "critical,CA:TRUE",
		.usage = "critical,keyCertSign,cRLSign",
		.from_s = -DAY_S,
		.until_s = 2 * LEAF_DAYS * DAY_S};
	if (fault == IDENTITY_INTERMEDIATE_EXPIRED) {
		plan.from_s = -10 * DAY_S;
		plan.until_s = -DAY_S;
	} else if (fault == IDENTITY_LEAF_AS_ISSUER) {
		plan.constraints = "critical,CA:FALSE";
		plan.usage = "critical,digitalSignature";
	} else if (fault == IDENTITY_NO_CONSTRAINTS) {
		plan.constraints = NULL;
	} else if (fault == IDENTITY_NAME_CONSTRAINTS) {
		plan.names = "critical,permitted;DNS:elsewhere.example";
	} else if (fault == IDENTITY_NO_CERT_SIGN) {
		plan.usage = "critical,cRLSign";
	} else if (fault == IDENTITY_PURPOSE_ABOVE) {
		plan.purpose = "clientAuth";
	}
	return plan;
}

static void set_dates(struct plan *plan, enum identity_fault fault)
{
	plan->from_s = -DAY_S;
	plan->until_s = LEAF_DAYS * DAY_S;
	if (fault == IDENTITY_EXPIRED) {
		plan->from_s = -10 * DAY_S;
		plan->until_s = -DAY_S;
	} else if (fault == IDENTITY_NOT_YET_VALID) {
		plan->from_s = 2 * DAY_S;
	} else if (fault == IDENTITY_DATES_REVERSED) {
		plan->from_s = DAY_S;
		plan->until_s = -DAY_S;
	}
}

/* `san` takes NAME_ROOM octets and must live as long as the plan. */
static struct plan plan_leaf(const struct identity_maker *maker, enum identity_fault fault, char *san)
{
	struct plan plan = {.cn = maker->name,
		.san = san,
		.constraints = "critical,CA:FALSE",
		.usage = "critical,digitalSignature,keyEncipherment",
		.purpose = fault == IDENTITY_PURPOSE ? "clientAuth" : "serverAuth",
		.digest = fault == IDENTITY_SHA1 ? EVP_sha1() : NULL,
		.critical = fault == IDENTITY_CRITICAL,
		.nul = fault == IDENTITY_NUL,
		.must_staple = fault == IDENTITY_MUST_STAPLE};
	set_dates(&plan, fault);
	snprintf(san, NAME_ROOM, "DNS:%s", maker->name);
	if (fault == IDENTITY_WRONG_NAME) {
		plan.cn = "elsewhere.example";
		snprintf(san, NAME_ROOM, "DNS:elsewhere.example");
	} else if (fault == IDENTITY_CN_AGAINST_SAN) {
		snprintf(san, NAME_ROOM, "DNS:elsewhere.example");
	} else if (fault == IDENTITY_NO_SAN) {
		plan.san = NULL;
	} else if (fault == IDENTITY_WILDCARD_ALL) {
		plan.cn = "*";
		snprintf(san, NAME_ROOM, "DNS:*");
	} else if (fault == IDENTITY_WILDCARD_PARTIAL) {
		plan.cn = "wildcard";
		snprintf(san, NAME_ROOM, "DNS:%c*%s", maker->name[0], strlen(maker->name) > 2 ? maker->name + 2 : "");
	}
	return plan;
}

static bool put_above(struct identity *out, X509 *cert)
{
	if (!out->above)
		out->above = sk_X509_new_null();
	return out->above && X509_up_ref(cert) == 1 && sk_X509_push(out->above, cert) > 0;
}

/* The chain above the leaf. In *issuer and *by stands who signs it; the caller frees both. */
static bool make_above(
	struct identity_maker *maker, enum identity_fault fault, struct identity *out, X509 **issuer, EVP_PKEY **by)
{
	const struct plan plan = plan_above(fault);
	struct plan second = plan_above(IDENTITY_GOOD);
	bool stranger = fault == IDENTITY_UNKNOWN_ROOT;
	EVP_PKEY *root_key = stranger ? EVP_EC_gen("P-256") : maker->root_key;
	X509 *root = stranger && root_key ? make_root(root_key, "A root that nobody knows") : maker->root;
	*by = EVP_EC_gen("P-256");
	*issuer = root && *by ? certify(&plan, *by, root, root_key) : NULL;
	bool ok = *issuer && (fault == IDENTITY_MISSING_INTERMEDIATE || put_above(out, *issuer));
	if (ok && fault == IDENTITY_PATH_LENGTH) {
		second.cn = "Overt assess test intermediate below";
		EVP_PKEY *key = EVP_EC_gen("P-256");
		X509 *below = key ? certify(&second, key, *issuer, *by) : NULL;
		X509_free(*issuer);
		EVP_PKEY_free(*by);
		*issuer = below;
		*by = key;
		ok = below && put_above(out, below);
	}
	if (stranger) {
		EVP_PKEY_free(root_key);
		X509_free(root);
	}
	return ok;
}

static bool damage(X509 *cert)
{
	const ASN1_BIT_STRING *signature = NULL;
	X509_get0_signature(&signature, NULL, cert);
	uint8_t last = signature->data[signature->length - 1];
	/* What is sent is encoded anew from this. */
	signature->data[signature->length - 1] = (uint8_t)(last ^ 1);
	return true;
}

bool identity_make(struct identity_maker *maker, enum identity_fault fault, bool rsa, struct identity *out)
{
	char san[NAME_ROOM];
	const struct plan plan = plan_leaf(maker, fault, san);
	X509 *issuer = NULL;
	EVP_PKEY *by = NULL;
	*out = (struct identity){0};
	out->key = fault == IDENTITY_RSA_1024 ? EVP_RSA_gen(1024) : rsa ? EVP_RSA_gen(2048) : EVP_EC_gen("P-256");
	if (!out->key)
		return false;
	if (fault == IDENTITY_SELF_SIGNED)
		out->leaf = certify(&plan, out->key, NULL, out->key);
	else if (make_above(maker, fault, out, &issuer, &by))
		out->leaf = certify(&plan, out->key, issuer, by);
	bool ok = out->leaf && (fault != IDENTITY_SIGNATURE || damage(out->leaf));
	X509_free(issuer);
	EVP_PKEY_free(by);
	return ok;
}

void identity_free(struct identity *identity)
{
	X509_free(identity->leaf);
	EVP_PKEY_free(identity->key);
	sk_X509_pop_free(identity->above, X509_free);
	*identity = (struct identity){0};
}
