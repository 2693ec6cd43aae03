#include "assess/identity.h"

#include "assess/identity_parts.h"
#include "pki/file.h"
#include "pki/name.h"

#include <openssl/core_names.h>
#include <openssl/param_build.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

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
	if (maker && name_kind(maker, err) && identity_find_root(maker, folder, err) &&
		identity_make_crl(maker, folder, err))
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
/* Of which the server's name is excluded. `room` takes IDENTITY_NAME_ROOM octets. */
static const char *exclude(const struct identity_maker *maker, char *room)
{
	snprintf(room, IDENTITY_NAME_ROOM, "critical,excluded;%s:%s%s", maker->is_ip ? "IP" : "DNS", maker->name,
		!maker->is_ip              ? ""
		: strchr(maker->name, ':') ? "/ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff"
					   : "/255.255.255.255");
	return room;
}

static struct identity_plan plan_above(enum identity_fault fault)
{
	struct identity_plan plan = {.cn = "Overt test intermediate",
		.constraints = fault == IDENTITY_PATH_LENGTH ? "critical,CA:TRUE,pathlen:0" : "critical,CA:TRUE",
		.usage = "critical,keyCertSign,cRLSign",
		.from_s = -IDENTITY_DAY_S,
		.until_s = 2 * IDENTITY_LEAF_DAYS * IDENTITY_DAY_S};
	if (fault == IDENTITY_INTERMEDIATE_EXPIRED) {
		plan.from_s = -10 * IDENTITY_DAY_S;
		plan.until_s = -IDENTITY_DAY_S;
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
		plan.serial = IDENTITY_SERIAL_ABOVE;
	}
	plan.v1 = fault == IDENTITY_V1_ISSUER;
	return plan;
}

static void set_dates(struct identity_plan *plan, enum identity_fault fault)
{
	plan->from_s = -IDENTITY_DAY_S;
	plan->until_s = IDENTITY_LEAF_DAYS * IDENTITY_DAY_S;
	if (fault == IDENTITY_EXPIRED) {
		plan->from_s = -10 * IDENTITY_DAY_S;
		plan->until_s = -IDENTITY_DAY_S;
	} else if (fault == IDENTITY_NOT_YET_VALID) {
		plan->from_s = 2 * IDENTITY_DAY_S;
	} else if (fault == IDENTITY_DATES_REVERSED) {
		plan->from_s = IDENTITY_DAY_S;
		plan->until_s = -IDENTITY_DAY_S;
	}
}

static void set_wildcard(const char *name, enum identity_fault fault, char *san)
{
	const char *first = strchr(name, '.'), *last = strrchr(name, '.');
	const char *second = first ? strchr(first + 1, '.') : NULL;
	if (fault == IDENTITY_WILDCARD_TLD && last)
		snprintf(san, IDENTITY_NAME_ROOM, "DNS:*%s", last);
	else if (fault == IDENTITY_WILDCARD_DEEP && second)
		snprintf(san, IDENTITY_NAME_ROOM, "DNS:*%s", second);
	else if (fault == IDENTITY_WILDCARD_MIDDLE && second)
		snprintf(san, IDENTITY_NAME_ROOM, "DNS:%.*s.*%s", (int)(first - name), name, second);
	else
		snprintf(san, IDENTITY_NAME_ROOM, "DNS:*.%s", name);
}

/* `san` takes IDENTITY_NAME_ROOM octets and must live as long as the plan. */
static struct identity_plan plan_leaf(const struct identity_maker *maker, enum identity_fault fault, char *san)
{
	struct identity_plan plan = {.cn = maker->name,
		.san = san,
		.constraints = fault == IDENTITY_MALFORMED ? NULL : "critical,CA:FALSE",
		.usage = "critical,digitalSignature,keyEncipherment",
		.purpose = fault == IDENTITY_PURPOSE ? "clientAuth" : "serverAuth",
		.digest = fault == IDENTITY_SHA1  ? EVP_sha1()
	                  : fault == IDENTITY_MD5 ? EVP_md5()
	                                          : NULL,
		.malformed = fault == IDENTITY_MALFORMED,
		.serial = fault == IDENTITY_REVOKED ? IDENTITY_SERIAL_LEAF : 0,
		.status_port = fault == IDENTITY_REVOKED ? maker->status_port : 0,
		.critical = fault == IDENTITY_CRITICAL,
		.nul = fault == IDENTITY_NUL,
		.must_staple = fault == IDENTITY_MUST_STAPLE || fault == IDENTITY_STAPLE_EXPIRED ||
	                       fault == IDENTITY_STAPLE_SIGNER};
	set_dates(&plan, fault);
	snprintf(san, IDENTITY_NAME_ROOM, "%s:%s", maker->is_ip && fault != IDENTITY_IP_AS_DNS ? "IP" : "DNS",
		maker->name);
	if (fault == IDENTITY_WRONG_NAME) {
		plan.cn = "elsewhere.example";
		snprintf(san, IDENTITY_NAME_ROOM, "DNS:elsewhere.example");
	} else if (fault == IDENTITY_CN_AGAINST_SAN) {
		snprintf(san, IDENTITY_NAME_ROOM, "DNS:elsewhere.example");
	} else if (fault == IDENTITY_NO_SAN) {
		plan.san = NULL;
	} else if (fault == IDENTITY_WILDCARD_ALL) {
		plan.cn = "*";
		snprintf(san, IDENTITY_NAME_ROOM, "DNS:*");
	} else if (fault == IDENTITY_WILDCARD_PARTIAL) {
		plan.cn = "wildcard";
		snprintf(san, IDENTITY_NAME_ROOM, "DNS:%c*%s", maker->name[0],
			strlen(maker->name) > 2 ? maker->name + 2 : "");
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
	char names[IDENTITY_NAME_ROOM];
	struct identity_plan plan = plan_above(fault);
	if (fault == IDENTITY_NAME_EXCLUDED)
		plan.names = exclude(maker, names);
	else if (fault == IDENTITY_REVOKED_ABOVE)
		plan.status_port = maker->status_port;
	struct identity_plan second = plan_above(IDENTITY_GOOD);
	bool stranger = fault == IDENTITY_UNKNOWN_ROOT, old = fault == IDENTITY_ROOT_EXPIRED;
	EVP_PKEY *root_key = stranger ? EVP_EC_gen("P-256") : maker->root_key;
	X509 *root = stranger && root_key ? identity_make_root(root_key, "A root that nobody knows", false)
	             : old                ? maker->old_root
	                                  : maker->root;
	/* ECDSA has no form with MD5. */
	*by = fault == IDENTITY_MD5 ? EVP_RSA_gen(2048) : EVP_EC_gen(fault == IDENTITY_CURVE_ABOVE ? "P-224" : "P-256");
	*issuer = root && *by ? identity_certify(&plan, *by, root, root_key) : NULL;
	bool ok = *issuer && (fault == IDENTITY_MISSING_INTERMEDIATE || put_above(out, *issuer));
	if (ok && fault == IDENTITY_PATH_LENGTH) {
		second.cn = "Overt test intermediate below";
		EVP_PKEY *key = EVP_EC_gen("P-256");
		X509 *below = key ? identity_certify(&second, key, *issuer, *by) : NULL;
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
	ASN1_TIME *later = X509_gmtime_adj(NULL, (IDENTITY_LEAF_DAYS + 1) * IDENTITY_DAY_S);
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
		return identity_tell_status(fault, issuer, by, out);
	default:
		return true;
	}
}

/* The key becomes the identity's. */
static bool make_with(struct identity_maker *maker, enum identity_fault fault, EVP_PKEY *key, struct identity *out)
{
	char san[IDENTITY_NAME_ROOM];
	const struct identity_plan plan = plan_leaf(maker, fault, san);
	X509 *issuer = NULL;
	EVP_PKEY *by = NULL;
	*out = (struct identity){.key = key};
	if (!key || !identity_applies(maker, fault))
		return false;
	if (fault == IDENTITY_SELF_SIGNED) {
		out->leaf = identity_certify(&plan, key, NULL, key);
	} else if (fault == IDENTITY_REVOKED) {
		/* By the root itself, whose CRL can be kept in a file: intermediates are new each time. */
		issuer = X509_up_ref(maker->root) == 1 ? maker->root : NULL;
		by = EVP_PKEY_up_ref(maker->root_key) == 1 ? maker->root_key : NULL;
		out->leaf = issuer && by ? identity_certify(&plan, key, issuer, by) : NULL;
	} else if (make_above(maker, fault, out, &issuer, &by)) {
		out->leaf = identity_certify(&plan, key, issuer, by);
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
bool identity_make_kept(struct identity_maker *maker, const char *folder, struct identity *out, struct error *err)
{
	char path[FILE_PATH_MAX];
	*out = (struct identity){0};
	if (!file_join(path, folder, "front.key", err))
		return false;
	EVP_PKEY *key = identity_kept_key(path, err);
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
