#include "assess/identity.h"

#include "pki/file.h"
#include "pki/name.h"

#include <openssl/core_names.h>
#include <openssl/err.h>
#include <openssl/ocsp.h>
#include <openssl/param_build.h>
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

/* Octets that the serial numbers of what is revoked consist of. */
#define SERIAL_LEAF  0x4c
#define SERIAL_ABOVE 0x41

struct identity_maker {
	char name[256];
	bool is_ip;
	X509 *root, *old_root; /* old_root: expired, of the same key; NULL in folders of earlier days */
	EVP_PKEY *root_key;
	uint8_t *crl; /* DER */
	size_t crl_len;
	uint16_t status_port; /* 0: none */
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
	[IDENTITY_SIGNED_PART] = {"signed-part", "a date is changed behind the signature"},
	[IDENTITY_V1_ISSUER] = {"v1-issuer", "the intermediate is of version 1, without extensions"},
	[IDENTITY_NAME_EXCLUDED] = {"name-excluded", "the intermediate is barred from the name"},
	[IDENTITY_MALFORMED] = {"malformed", "an extension of the leaf cannot be decoded"},
	[IDENTITY_MD5] = {"md5", "signed with MD5"},
	[IDENTITY_SHA1_ABOVE] = {"sha1-above", "the intermediate is signed with SHA-1"},
	[IDENTITY_CURVE_ABOVE] = {"weak-curve-above", "the intermediate's key is on a curve of 224 bits"},
	[IDENTITY_WILDCARD_BARE] = {"wildcard-bare", "a wildcard below the name, for the name itself"},
	[IDENTITY_WILDCARD_TLD] = {"wildcard-tld", "a wildcard for all of a top-level domain"},
	[IDENTITY_WILDCARD_DEEP] = {"wildcard-deep", "a wildcard that would have to stand for two labels"},
	[IDENTITY_WILDCARD_MIDDLE] = {"wildcard-middle", "a wildcard behind the first label"},
	[IDENTITY_IP_AS_DNS] = {"ip-as-dns", "an address stands as a DNS name in it"},
	[IDENTITY_WRONG_KEY] = {"wrong-key", "another's certificate: the server does not hold its key"},
	[IDENTITY_STAPLE_REVOKED] = {"staple-revoked", "the OCSP staple says that it is revoked"},
	[IDENTITY_STAPLE_EXPIRED] = {"staple-expired", "it demands an OCSP staple, and the one sent is a month old"},
	[IDENTITY_STAPLE_SIGNER] = {"staple-signer",
		"it demands an OCSP staple, and the one sent is signed by a certificate without OCSPSigning"},
	[IDENTITY_ROOT_EXPIRED] = {"root-expired", "the root is trusted, but has expired"},
	[IDENTITY_REVOKED] = {"revoked", "revoked by the root's CRL and by its OCSP responder"},
	[IDENTITY_REVOKED_ABOVE] = {"revoked-intermediate", "the intermediate is revoked by the root's CRL"},
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
	bool critical, nul, must_staple, malformed, v1;
	uint8_t serial;       /* one of those that the CRL has; 0: random */
	uint16_t status_port; /* 0: no pointers */
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

/* `fixed` 0: random. */
static bool number(ASN1_INTEGER *out, uint8_t fixed)
{
	uint8_t octets[16];
	memset(octets, fixed, sizeof(octets));
	if (fixed == 0 && RAND_bytes(octets, sizeof(octets)) != 1)
		return false;
	octets[0] = (uint8_t)((octets[0] & 0x7f) | 0x40);
	BIGNUM *bn = BN_bin2bn(octets, sizeof(octets), NULL);
	bool ok = bn && BN_to_ASN1_INTEGER(bn, out) != NULL;
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

static bool add_octets(X509 *cert, const char *name, bool critical, struct bytes octets)
{
	ASN1_OBJECT *oid = OBJ_txt2obj(name, 0);
	ASN1_OCTET_STRING *value = ASN1_OCTET_STRING_new();
	X509_EXTENSION *extension = NULL;
	bool ok = oid && value && ASN1_OCTET_STRING_set(value, octets.data, (int)octets.len) == 1;
	if (ok)
		extension = X509_EXTENSION_create_by_OBJ(NULL, oid, critical, value);
	ok = extension && X509_add_ext(cert, extension, -1) == 1;
	X509_EXTENSION_free(extension);
	ASN1_OCTET_STRING_free(value);
	ASN1_OBJECT_free(oid);
	return ok;
}

static bool add_pointers(X509 *cert, uint16_t port)
{
	char crl[60], ocsp[60];
	if (port == 0)
		return true;
	snprintf(crl, sizeof(crl), "URI:http://127.0.0.1:%u/crl", port);
	snprintf(ocsp, sizeof(ocsp), "OCSP;URI:http://127.0.0.1:%u/ocsp", port);
	return extend(cert, cert, NID_crl_distribution_points, crl) && extend(cert, cert, NID_info_access, ocsp);
}

static bool fill(X509 *cert, X509 *issuer, const struct plan *plan)
{
	static const char unknown[] = "1.3.6.1.4.1.32473.1.1"; /* of the arc for examples, RFC 5612 */
	bool named = issuer != cert && X509_get_ext_by_NID(issuer, NID_subject_key_identifier, -1) >= 0;
	if (plan->v1)
		return true;
	return add_pointers(cert, plan->status_port) &&
	       (!plan->malformed || add_octets(cert, "basicConstraints", true, bytes_of("\x30\x80\xff", 3))) &&
	       (!plan->critical || add_octets(cert, unknown, true, bytes_of("\x05\x00", 2))) &&
	       extend(cert, issuer, NID_basic_constraints, plan->constraints) &&
	       extend(cert, issuer, NID_key_usage, plan->usage) &&
	       extend(cert, issuer, NID_ext_key_usage, plan->purpose) &&
	       extend(cert, issuer, NID_name_constraints, plan->names) &&
	       extend(cert, issuer, NID_subject_alt_name, plan->nul ? NULL : plan->san) &&
	       extend(cert, issuer, NID_subject_key_identifier, "hash") &&
	       extend(cert, issuer, NID_authority_key_identifier, named ? "keyid" : NULL) &&
	       extend(cert, issuer, NID_tlsfeature, plan->must_staple ? "status_request" : NULL) &&
	       (!plan->nul || add_nul_name(cert, plan->cn));
}

/* Signed by `issuer` with `by`; by itself where `issuer` is NULL. */
static X509 *certify(const struct plan *plan, EVP_PKEY *key, X509 *issuer, EVP_PKEY *by)
{
	X509 *cert = X509_new();
	bool ok = cert && X509_set_version(cert, plan->v1 ? X509_VERSION_1 : X509_VERSION_3) &&
	          number(X509_get_serialNumber(cert), plan->serial) &&
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

static X509 *make_root(EVP_PKEY *key, const char *cn, bool expired)
{
	const struct plan plan = {.cn = cn,
		.constraints = "critical,CA:TRUE",
		.usage = "critical,keyCertSign,cRLSign",
		.from_s = expired ? -ROOT_DAYS * DAY_S : -DAY_S,
		.until_s = expired ? -DAY_S : ROOT_DAYS * DAY_S};
	return certify(&plan, key, NULL, key);
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

static bool find_root(struct identity_maker *maker, const char *folder, struct error *err)
{
	char cert_path[FILE_PATH_MAX], key_path[FILE_PATH_MAX];
	if (folder && (!file_make_directory(folder, err) || !file_join(cert_path, folder, "root.pem", err) ||
			      !file_join(key_path, folder, "root.key", err)))
		return false;
	if (folder && file_exists(cert_path))
		return load_root(maker, cert_path, key_path, err);
	maker->root_key = EVP_EC_gen("P-256");
	maker->root = maker->root_key ? make_root(maker->root_key, "Overt assess test root", false) : NULL;
	maker->old_root = maker->root ? make_root(maker->root_key, "Overt assess test root, expired", true) : NULL;
	if (!maker->old_root)
		return error_set_openssl(err, "a root cannot be made");
	return !folder || save_root(maker, cert_path, key_path, err);
}

static bool revoke(X509_CRL *crl, uint8_t serial)
{
	X509_REVOKED *one = X509_REVOKED_new();
	ASN1_INTEGER *value = ASN1_INTEGER_new();
	ASN1_TIME *when = X509_gmtime_adj(NULL, -DAY_S);
	bool ok = one && value && when && number(value, serial) && X509_REVOKED_set_serialNumber(one, value) == 1 &&
	          X509_REVOKED_set_revocationDate(one, when) == 1 && X509_CRL_add0_revoked(crl, one) == 1;
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

static bool make_crl(struct identity_maker *maker, const char *folder, struct error *err)
{
	X509_CRL *crl = X509_CRL_new();
	ASN1_TIME *from = X509_gmtime_adj(NULL, -DAY_S), *until = X509_gmtime_adj(NULL, LEAF_DAYS * DAY_S);
	bool ok = crl && from && until && X509_CRL_set_version(crl, X509_CRL_VERSION_2) == 1 &&
	          X509_CRL_set_issuer_name(crl, X509_get_subject_name(maker->root)) == 1 &&
	          X509_CRL_set1_lastUpdate(crl, from) == 1 && X509_CRL_set1_nextUpdate(crl, until) == 1 &&
	          revoke(crl, SERIAL_LEAF) && revoke(crl, SERIAL_ABOVE) && number_crl(crl, maker->root) &&
	          X509_CRL_sort(crl) == 1 && X509_CRL_sign(crl, maker->root_key, EVP_sha256()) > 0;
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

static bool name_kind(struct identity_maker *maker, struct error *err)
{
	struct subject_name name;
	enum name_result result = subject_name_parse(bytes_str(maker->name), &name);
	if (result != NAME_OK)
		return error_set(err, "%s: %s", maker->name, name_result_text(result));
	maker->is_ip = name.is_ip;
	return true;
}

struct bytes identity_crl(const struct identity_maker *maker)
{
	return bytes_of(maker->crl, maker->crl_len);
}

void identity_tell_status_at(struct identity_maker *maker, uint16_t port)
{
	maker->status_port = port;
}

static unsigned labels(const char *name)
{
	unsigned count = 1;
	for (const char *at = name; (at = strchr(at, '.')) != NULL; at++)
		count++;
	return count;
}

bool identity_applies(const struct identity_maker *maker, enum identity_fault fault)
{
	unsigned count = labels(maker->name);
	switch (fault) {
	case IDENTITY_WILDCARD_PARTIAL:
	case IDENTITY_WILDCARD_BARE:
	case IDENTITY_NUL:
	case IDENTITY_NAME_CONSTRAINTS:
		return !maker->is_ip;
	case IDENTITY_WILDCARD_TLD:
		return !maker->is_ip && count >= 2;
	case IDENTITY_WILDCARD_DEEP:
	case IDENTITY_WILDCARD_MIDDLE:
		return !maker->is_ip && count >= 3;
	case IDENTITY_IP_AS_DNS:
		return maker->is_ip;
	case IDENTITY_ROOT_EXPIRED:
		return maker->old_root != NULL;
	default:
		return true;
	}
}

struct identity_maker *identity_maker_new(const char *name, const char *folder, struct error *err)
{
	struct identity_maker *maker = calloc(1, sizeof(*maker));
	if (!maker)
		error_set(err, "no memory");
	else
		snprintf(maker->name, sizeof(maker->name), "%s", name);
	if (maker && name_kind(maker, err) && find_root(maker, folder, err) && make_crl(maker, folder, err))
		return maker;
	identity_maker_free(maker);
	return NULL;
}

void identity_maker_free(struct identity_maker *maker)
{
	if (!maker)
		return;
	X509_free(maker->root);
	X509_free(maker->old_root);
	EVP_PKEY_free(maker->root_key);
	OPENSSL_free(maker->crl);
	free(maker);
}

X509 *identity_root(const struct identity_maker *maker)
{
	return maker->root;
}

/* Of which the server's name is excluded. `room` takes NAME_ROOM octets. */
static const char *exclude(const struct identity_maker *maker, char *room)
{
	snprintf(room, NAME_ROOM, "critical,excluded;%s:%s%s", maker->is_ip ? "IP" : "DNS", maker->name,
		!maker->is_ip              ? ""
		: strchr(maker->name, ':') ? "/ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff"
					   : "/255.255.255.255");
	return room;
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
	} else if (fault == IDENTITY_SHA1_ABOVE) {
		plan.digest = EVP_sha1();
	} else if (fault == IDENTITY_REVOKED_ABOVE) {
		plan.serial = SERIAL_ABOVE;
	}
	plan.v1 = fault == IDENTITY_V1_ISSUER;
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

static void set_wildcard(const char *name, enum identity_fault fault, char *san)
{
	const char *first = strchr(name, '.'), *last = strrchr(name, '.');
	const char *second = first ? strchr(first + 1, '.') : NULL;
	if (fault == IDENTITY_WILDCARD_TLD && last)
		snprintf(san, NAME_ROOM, "DNS:*%s", last);
	else if (fault == IDENTITY_WILDCARD_DEEP && second)
		snprintf(san, NAME_ROOM, "DNS:*%s", second);
	else if (fault == IDENTITY_WILDCARD_MIDDLE && second)
		snprintf(san, NAME_ROOM, "DNS:%.*s.*%s", (int)(first - name), name, second);
	else
		snprintf(san, NAME_ROOM, "DNS:*.%s", name);
}

/* `san` takes NAME_ROOM octets and must live as long as the plan. */
static struct plan plan_leaf(const struct identity_maker *maker, enum identity_fault fault, char *san)
{
	struct plan plan = {.cn = maker->name,
		.san = san,
		.constraints = fault == IDENTITY_MALFORMED ? NULL : "critical,CA:FALSE",
		.usage = "critical,digitalSignature,keyEncipherment",
		.purpose = fault == IDENTITY_PURPOSE ? "clientAuth" : "serverAuth",
		.digest = fault == IDENTITY_SHA1  ? EVP_sha1()
	                  : fault == IDENTITY_MD5 ? EVP_md5()
	                                          : NULL,
		.malformed = fault == IDENTITY_MALFORMED,
		.serial = fault == IDENTITY_REVOKED ? SERIAL_LEAF : 0,
		.status_port = fault == IDENTITY_REVOKED ? maker->status_port : 0,
		.critical = fault == IDENTITY_CRITICAL,
		.nul = fault == IDENTITY_NUL,
		.must_staple = fault == IDENTITY_MUST_STAPLE || fault == IDENTITY_STAPLE_EXPIRED ||
	                       fault == IDENTITY_STAPLE_SIGNER};
	set_dates(&plan, fault);
	snprintf(san, NAME_ROOM, "%s:%s", maker->is_ip && fault != IDENTITY_IP_AS_DNS ? "IP" : "DNS", maker->name);
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
	} else if (fault >= IDENTITY_WILDCARD_BARE && fault <= IDENTITY_WILDCARD_MIDDLE) {
		plan.cn = "wildcard";
		set_wildcard(maker->name, fault, san);
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
	char names[NAME_ROOM];
	struct plan plan = plan_above(fault);
	if (fault == IDENTITY_NAME_EXCLUDED)
		plan.names = exclude(maker, names);
	else if (fault == IDENTITY_REVOKED_ABOVE)
		plan.status_port = maker->status_port;
	struct plan second = plan_above(IDENTITY_GOOD);
	bool stranger = fault == IDENTITY_UNKNOWN_ROOT, old = fault == IDENTITY_ROOT_EXPIRED;
	EVP_PKEY *root_key = stranger ? EVP_EC_gen("P-256") : maker->root_key;
	X509 *root = stranger && root_key ? make_root(root_key, "A root that nobody knows", false)
	             : old                ? maker->old_root
	                                  : maker->root;
	/* ECDSA has no form with MD5. */
	*by = fault == IDENTITY_MD5 ? EVP_RSA_gen(2048) : EVP_EC_gen(fault == IDENTITY_CURVE_ABOVE ? "P-224" : "P-256");
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

/* What is in the DER stays signed; what stands behind the signature is not. */
static bool change_date(X509 *cert)
{
	ASN1_TIME *later = X509_gmtime_adj(NULL, (LEAF_DAYS + 1) * DAY_S);
	bool ok = later && X509_set1_notAfter(cert, later) == 1;
	ASN1_TIME_free(later);
	return ok;
}

/* A private number that belongs to another key: libssl compares public parts alone. */
static bool change_key(struct identity *out)
{
	EVP_PKEY *other = EVP_EC_gen("P-256"), *mixed = NULL;
	EVP_PKEY_CTX *ctx = EVP_PKEY_CTX_new_from_name(NULL, "EC", NULL);
	OSSL_PARAM_BLD *build = OSSL_PARAM_BLD_new();
	OSSL_PARAM *params = NULL;
	BIGNUM *number = NULL;
	uint8_t point[200];
	size_t len = 0;
	bool ok = other && ctx && build && EVP_PKEY_get_bn_param(other, OSSL_PKEY_PARAM_PRIV_KEY, &number) == 1 &&
	          EVP_PKEY_get_octet_string_param(out->key, OSSL_PKEY_PARAM_PUB_KEY, point, sizeof(point), &len) == 1 &&
	          OSSL_PARAM_BLD_push_utf8_string(build, OSSL_PKEY_PARAM_GROUP_NAME, "P-256", 0) == 1 &&
	          OSSL_PARAM_BLD_push_octet_string(build, OSSL_PKEY_PARAM_PUB_KEY, point, len) == 1 &&
	          OSSL_PARAM_BLD_push_BN(build, OSSL_PKEY_PARAM_PRIV_KEY, number) == 1 &&
	          (params = OSSL_PARAM_BLD_to_param(build)) != NULL && EVP_PKEY_fromdata_init(ctx) == 1 &&
	          EVP_PKEY_fromdata(ctx, &mixed, EVP_PKEY_KEYPAIR, params) == 1;
	if (ok) {
		EVP_PKEY_free(out->key);
		out->key = mixed;
	}
	BN_clear_free(number);
	OSSL_PARAM_free(params);
	OSSL_PARAM_BLD_free(build);
	EVP_PKEY_CTX_free(ctx);
	EVP_PKEY_free(other);
	return ok;
}

/* A certificate below `issuer` that may do all but sign OCSP responses. */
static X509 *make_signer(X509 *issuer, EVP_PKEY *by, EVP_PKEY *key)
{
	const struct plan plan = {.cn = "Overt assess test signer",
		.constraints = "critical,CA:FALSE",
		.usage = "critical,digitalSignature",
		.purpose = "serverAuth",
		.from_s = -DAY_S,
		.until_s = LEAF_DAYS * DAY_S};
	return certify(&plan, key, issuer, by);
}

/* An answer about the leaf, as its issuer's responder would give it. */
static bool tell_status(enum identity_fault fault, X509 *issuer, EVP_PKEY *by, struct identity *out)
{
	bool revoked = fault == IDENTITY_STAPLE_REVOKED || fault == IDENTITY_REVOKED;
	bool old = fault == IDENTITY_STAPLE_EXPIRED, stranger = fault == IDENTITY_STAPLE_SIGNER;
	EVP_PKEY *key = stranger ? EVP_EC_gen("P-256") : by;
	X509 *signer = stranger && key ? make_signer(issuer, by, key) : issuer;
	OCSP_BASICRESP *basic = OCSP_BASICRESP_new();
	OCSP_CERTID *id = OCSP_cert_to_id(EVP_sha1(), out->leaf, issuer);
	ASN1_TIME *from = X509_gmtime_adj(NULL, old ? -LEAF_DAYS * DAY_S : -DAY_S / 24),
		  *until = X509_gmtime_adj(NULL, old ? -DAY_S : DAY_S), *since = X509_gmtime_adj(NULL, -DAY_S / 2);
	bool ok = key && signer && basic && id && from && until && since &&
	          OCSP_basic_add1_status(basic, id, revoked ? V_OCSP_CERTSTATUS_REVOKED : V_OCSP_CERTSTATUS_GOOD,
			  OCSP_REVOKED_STATUS_KEYCOMPROMISE, revoked ? since : NULL, from, until) != NULL &&
	          OCSP_basic_sign(basic, signer, key, EVP_sha256(), NULL, 0) == 1;
	OCSP_RESPONSE *response = ok ? OCSP_response_create(OCSP_RESPONSE_STATUS_SUCCESSFUL, basic) : NULL;
	int len = response ? i2d_OCSP_RESPONSE(response, &out->status) : 0;
	out->status_len = len > 0 ? (size_t)len : 0;
	OCSP_RESPONSE_free(response);
	OCSP_BASICRESP_free(basic);
	OCSP_CERTID_free(id);
	ASN1_TIME_free(from);
	ASN1_TIME_free(until);
	ASN1_TIME_free(since);
	if (stranger) {
		X509_free(signer);
		EVP_PKEY_free(key);
	}
	return len > 0;
}

/* What is done to a leaf once it is signed. */
static bool finish(enum identity_fault fault, X509 *issuer, EVP_PKEY *by, struct identity *out)
{
	switch (fault) {
	case IDENTITY_SIGNATURE:
		return damage(out->leaf);
	case IDENTITY_SIGNED_PART:
		return change_date(out->leaf);
	case IDENTITY_WRONG_KEY:
		return change_key(out);
	case IDENTITY_STAPLE_REVOKED:
	case IDENTITY_STAPLE_EXPIRED:
	case IDENTITY_STAPLE_SIGNER:
	case IDENTITY_REVOKED:
		return tell_status(fault, issuer, by, out);
	default:
		return true;
	}
}

/* The key becomes the identity's. */
static bool make_with(struct identity_maker *maker, enum identity_fault fault, EVP_PKEY *key, struct identity *out)
{
	char san[NAME_ROOM];
	const struct plan plan = plan_leaf(maker, fault, san);
	X509 *issuer = NULL;
	EVP_PKEY *by = NULL;
	*out = (struct identity){.key = key};
	if (!key || !identity_applies(maker, fault))
		return false;
	if (fault == IDENTITY_SELF_SIGNED) {
		out->leaf = certify(&plan, key, NULL, key);
	} else if (fault == IDENTITY_REVOKED) {
		/* By the root itself, whose CRL can be kept in a file: intermediates are new each time. */
		issuer = X509_up_ref(maker->root) == 1 ? maker->root : NULL;
		by = EVP_PKEY_up_ref(maker->root_key) == 1 ? maker->root_key : NULL;
		out->leaf = issuer && by ? certify(&plan, key, issuer, by) : NULL;
	} else if (make_above(maker, fault, out, &issuer, &by)) {
		out->leaf = certify(&plan, key, issuer, by);
	}
	bool ok = out->leaf && finish(fault, issuer, by, out);
	X509_free(issuer);
	EVP_PKEY_free(by);
	return ok;
}

bool identity_make(struct identity_maker *maker, enum identity_fault fault, bool rsa, struct identity *out)
{
	EVP_PKEY *key = fault == IDENTITY_RSA_1024           ? EVP_RSA_gen(1024)
	                : rsa && fault != IDENTITY_WRONG_KEY ? EVP_RSA_gen(2048)
	                                                     : EVP_EC_gen("P-256");
	return make_with(maker, fault, key, out);
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

bool identity_make_kept(struct identity_maker *maker, const char *folder, struct identity *out, struct error *err)
{
	char path[FILE_PATH_MAX];
	*out = (struct identity){0};
	if (!file_join(path, folder, "front.key", err))
		return false;
	EVP_PKEY *key = file_exists(path) ? read_key(path, err) : keep_key(path, err);
	if (!key)
		return false;
	return make_with(maker, IDENTITY_GOOD, key, out) || error_set_openssl(err, "a certificate cannot be made");
}

void identity_free(struct identity *identity)
{
	X509_free(identity->leaf);
	EVP_PKEY_free(identity->key);
	sk_X509_pop_free(identity->above, X509_free);
	OPENSSL_free(identity->status);
	*identity = (struct identity){0};
}
