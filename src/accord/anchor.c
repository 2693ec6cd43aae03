#include "accord/anchor.h"

#include <openssl/evp.h>
#include <openssl/objects.h>
#include <openssl/x509v3.h>

#define DAY_S      86400
#define AUTH_LEVEL 2 /* 112 bits: as the web's own verification */

enum purpose { PURPOSE_NONE, PURPOSE_ACCORD, PURPOSE_OTHER };

/* Whether the certificate is for Accord. The purpose counts by its OID alone. */
static enum purpose purpose_of(X509 *cert)
{
	EXTENDED_KEY_USAGE *purposes = X509_get_ext_d2i(cert, NID_ext_key_usage, NULL, NULL);
	ASN1_OBJECT *wanted = OBJ_txt2obj(ACCORD_KEY_PURPOSE_OID, 1);
	enum purpose found = X509_get_ext_by_NID(cert, NID_ext_key_usage, -1) < 0 ? PURPOSE_NONE : PURPOSE_OTHER;
	for (int i = 0; wanted && i < sk_ASN1_OBJECT_num(purposes); i++) {
		if (OBJ_cmp(sk_ASN1_OBJECT_value(purposes, i), wanted) == 0)
			found = PURPOSE_ACCORD;
	}
	ASN1_OBJECT_free(wanted);
	EXTENDED_KEY_USAGE_free(purposes);
	return found;
}

static bool lifetime_ok(const X509 *cert)
{
	int days;
	int seconds;
	if (ASN1_TIME_diff(&days, &seconds, X509_get0_notBefore(cert), X509_get0_notAfter(cert)) != 1)
		return false;
	int64_t life = (int64_t)days * DAY_S + seconds;
	return life >= 0 && life <= (int64_t)ACCORD_LEAF_DAYS * DAY_S;
}

/* The first dNSName of printable ASCII that fits. */
static void find_name(X509 *cert, struct accord_identity *who)
{
	GENERAL_NAMES *names = X509_get_ext_d2i(cert, NID_subject_alt_name, NULL, NULL);
	for (int i = 0; i < sk_GENERAL_NAME_num(names) && who->name[0] == '\0'; i++) {
		const GENERAL_NAME *name = sk_GENERAL_NAME_value(names, i);
		if (name->type != GEN_DNS)
			continue;
		struct bytes text =
			bytes_of(ASN1_STRING_get0_data(name->d.dNSName), (size_t)ASN1_STRING_length(name->d.dNSName));
		if (text.len == 0 || text.len > ACCORD_NAME_MAX)
			continue;
		uint8_t c;
		for (size_t n = 0; bytes_u8(&text, &c); n++) {
			if (c <= 0x20 || c >= 0x7f) {
				memset(who->name, 0, sizeof(who->name));
				break;
			}
			who->name[n] = (char)(c >= 'A' && c <= 'Z' ? c | 0x20 : c);
		}
	}
	GENERAL_NAMES_free(names);
}

static bool find_pin(const X509 *cert, struct accord_identity *who)
{
	unsigned char *spki = NULL;
	int len = i2d_X509_PUBKEY(X509_get_X509_PUBKEY(cert), &spki);
	unsigned got = 0;
	bool ok =
		len > 0 && EVP_Digest(spki, (size_t)len, who->pin, &got, EVP_sha256(), NULL) == 1 && got == ACCORD_PIN;
	OPENSSL_free(spki);
	return ok;
}

enum accord_leaf_result accord_leaf_judge(X509 *leaf, struct accord_identity *who, struct error *err)
{
	*who = (struct accord_identity){0};
	if (!find_pin(leaf, who)) {
		(void)error_set_openssl(err, "the proxy's certificate has no readable public key");
		return ACCORD_LEAF_MALFORMED;
	}
	find_name(leaf, who);
	if (purpose_of(leaf) != PURPOSE_ACCORD) {
		(void)error_set(err, "the proxy's certificate lacks the key purpose %s", ACCORD_KEY_PURPOSE_OID);
		return ACCORD_LEAF_PURPOSE;
	}
	/* Without keyUsage OpenSSL says that every use is allowed. */
	if (X509_check_ca(leaf) != 0 || !(X509_get_key_usage(leaf) & KU_DIGITAL_SIGNATURE)) {
		(void)error_set(err, "the proxy's certificate is a CA's, or may not sign");
		return ACCORD_LEAF_USAGE;
	}
	if (!lifetime_ok(leaf)) {
		(void)error_set(err, "the proxy's certificate is made for more than %d days", ACCORD_LEAF_DAYS);
		return ACCORD_LEAF_LIFETIME;
	}
	return ACCORD_LEAF_OK;
}

static bool issuers_ok(const STACK_OF(X509) * path, struct error *err)
{
	for (int i = 1; i < sk_X509_num(path); i++) {
		if (purpose_of(sk_X509_value(path, i)) == PURPOSE_OTHER)
			return error_set(err, "an issuer of the proxy's certificate is not meant for Accord");
	}
	return true;
}

/* In seconds since 1970. A time that cannot be read has been. */
static int64_t seconds_of(const ASN1_TIME *time)
{
	int days;
	int seconds;
	ASN1_TIME *zero = ASN1_TIME_set(NULL, 0);
	bool ok = zero && ASN1_TIME_diff(&days, &seconds, zero, time) == 1;
	ASN1_TIME_free(zero);
	return ok ? (int64_t)days * DAY_S + seconds : 0;
}

/* libcrypto has a certificate ended at the second that its notAfter names. */
static int64_t end_of(const STACK_OF(X509) * path)
{
	int64_t ends_s = INT64_MAX;
	for (int i = 0; i < sk_X509_num(path); i++) {
		int64_t at_s = seconds_of(X509_get0_notAfter(sk_X509_value(path, i)));
		ends_s = at_s < ends_s ? at_s : ends_s;
	}
	return ends_s;
}

static bool find_path(X509_STORE_CTX *ctx, X509_STORE *anchors, STACK_OF(X509) * certs, int64_t now_s, int64_t *ends_s,
	struct error *err)
{
	if (X509_STORE_CTX_init(ctx, anchors, sk_X509_value(certs, 0), certs) != 1)
		return error_set_openssl(err, "the proxy's chain cannot be examined");
	X509_VERIFY_PARAM *param = X509_STORE_CTX_get0_param(ctx);
	X509_VERIFY_PARAM_set_time(param, (time_t)now_s);
	X509_VERIFY_PARAM_set_auth_level(param, AUTH_LEVEL);
	(void)X509_VERIFY_PARAM_set_flags(
		param, X509_V_FLAG_X509_STRICT | X509_V_FLAG_PARTIAL_CHAIN | X509_V_FLAG_TRUSTED_FIRST);
	if (X509_verify_cert(ctx) != 1)
		return error_set(err, "the proxy's chain leads to no Accord anchor: %s",
			X509_verify_cert_error_string(X509_STORE_CTX_get_error(ctx)));
	*ends_s = end_of(X509_STORE_CTX_get0_chain(ctx));
	return issuers_ok(X509_STORE_CTX_get0_chain(ctx), err);
}

bool accord_chain_verify(X509_STORE *anchors, OSSL_LIB_CTX *lib, const struct accord_chain *chain, int64_t now_s,
	struct accord_identity *who, struct error *err)
{
	int64_t ends_s;
	return accord_chain_verify_until(anchors, lib, chain, now_s, who, &ends_s, err);
}

bool accord_chain_verify_until(X509_STORE *anchors, OSSL_LIB_CTX *lib, const struct accord_chain *chain, int64_t now_s,
	struct accord_identity *who, int64_t *ends_s, struct error *err)
{
	STACK_OF(X509) *certs = accord_chain_decode(chain, lib);
	X509_STORE_CTX *ctx = X509_STORE_CTX_new_ex(lib, NULL);
	bool ok = false;
	if (!certs || !ctx)
		(void)error_set_openssl(err, "the proxy's certificates cannot be read");
	else if (accord_leaf_judge(sk_X509_value(certs, 0), who, err) == ACCORD_LEAF_OK)
		ok = find_path(ctx, anchors, certs, now_s, ends_s, err);
	X509_STORE_CTX_free(ctx);
	sk_X509_pop_free(certs, X509_free);
	return ok;
}

static bool same_key(const X509 *a, const X509 *b)
{
	struct accord_identity one = {0};
	struct accord_identity two = {0};
	return find_pin(a, &one) && find_pin(b, &two) && memcmp(one.pin, two.pin, ACCORD_PIN) == 0;
}

static bool holds_key(X509_STORE *store, const X509 *cert)
{
	const STACK_OF(X509_OBJECT) *objects = X509_STORE_get0_objects(store);
	for (int i = 0; i < sk_X509_OBJECT_num(objects); i++) {
		const X509 *other = X509_OBJECT_get0_X509(sk_X509_OBJECT_value(objects, i));
		if (other && same_key(cert, other))
			return true;
	}
	return false;
}

bool accord_anchors_disjoint(X509_STORE *accord, X509_STORE *web, struct error *err)
{
	const STACK_OF(X509_OBJECT) *objects = X509_STORE_get0_objects(accord);
	for (int i = 0; i < sk_X509_OBJECT_num(objects); i++) {
		const X509 *anchor = X509_OBJECT_get0_X509(sk_X509_OBJECT_value(objects, i));
		if (!anchor || !holds_key(web, anchor))
			continue;
		char name[128] = "";
		X509_NAME_oneline(X509_get_subject_name(anchor), name, sizeof(name));
		return error_set(err,
			"the Accord anchor %s is trusted as a web root too: take it out of the web trust store", name);
	}
	return true;
}
