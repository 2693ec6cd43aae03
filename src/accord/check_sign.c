/* Check 5: CertificateVerify over the transcript hash (RFC 8446, 4.4.3). */
#include "accord/check_parts.h"
#include "tls/certificate_verify.h"
#include "tls/suite.h"
#include "tls/transcript.h"

#include <openssl/core_names.h>
#include <openssl/err.h>
#include <openssl/objects.h>
#include <openssl/rsa.h>

#define RSA_MAX_BITS      4096
#define EXPONENT_MAX_BITS 64 /* a long exponent makes verifying as dear as signing */

/*
 * What TLS 1.3 signs handshakes with (RFC 8446, 4.2.3; RFC 8734; draft-ietf-tls-mldsa). Some only later libraries than
 * 3.0 offer or can verify: without them no certificate of that kind can be read.
 */
struct scheme {
	uint16_t value;
	int curve;          /* of EC keys; else NID_undef */
	const char *key;    /* as EVP_PKEY_is_a has it */
	const char *digest; /* NULL: the signature's own */
};

static const struct scheme schemes[] = {
	{0x0403, NID_X9_62_prime256v1, "EC", "SHA256"},
	{0x0503, NID_secp384r1, "EC", "SHA384"},
	{0x0603, NID_secp521r1, "EC", "SHA512"},
	{0x0804, NID_undef, "RSA", "SHA256"},
	{0x0805, NID_undef, "RSA", "SHA384"},
	{0x0806, NID_undef, "RSA", "SHA512"},
	{0x0807, NID_undef, "ED25519", NULL},
	{0x0808, NID_undef, "ED448", NULL},
	{0x0809, NID_undef, "RSA-PSS", "SHA256"},
	{0x080a, NID_undef, "RSA-PSS", "SHA384"},
	{0x080b, NID_undef, "RSA-PSS", "SHA512"},
	{0x081a, NID_brainpoolP256r1, "EC", "SHA256"},
	{0x081b, NID_brainpoolP384r1, "EC", "SHA384"},
	{0x081c, NID_brainpoolP512r1, "EC", "SHA512"},
	{0x0904, NID_undef, "ML-DSA-44", NULL},
	{0x0905, NID_undef, "ML-DSA-65", NULL},
	{0x0906, NID_undef, "ML-DSA-87", NULL},
};

static const struct scheme *find_scheme(uint16_t value)
{
	for (size_t i = 0; i < sizeof(schemes) / sizeof(schemes[0]); i++) {
		if (schemes[i].value == value)
			return &schemes[i];
	}
	return NULL;
}

bool check_scheme_known(uint16_t scheme)
{
	return find_scheme(scheme) != NULL;
}

static bool is_rsa(EVP_PKEY *key)
{
	return EVP_PKEY_is_a(key, "RSA") || EVP_PKEY_is_a(key, "RSA-PSS");
}

static bool rsa_bounded(EVP_PKEY *key)
{
	BIGNUM *exponent = NULL;
	bool ok = EVP_PKEY_get_bits(key) <= RSA_MAX_BITS &&
	          EVP_PKEY_get_bn_param(key, OSSL_PKEY_PARAM_RSA_E, &exponent) == 1 &&
	          BN_num_bits(exponent) <= EXPONENT_MAX_BITS;
	BN_free(exponent);
	return ok;
}

const char *check_scheme_fits(uint16_t value, EVP_PKEY *key)
{
	const struct scheme *scheme = find_scheme(value);
	char curve[64] = "";
	if (!scheme || !EVP_PKEY_is_a(key, scheme->key))
		return "the signature scheme does not fit the kind of key";
	/* Curves spelt out by their parameters have no name, and no place in TLS. */
	if (scheme->curve != NID_undef &&
		(EVP_PKEY_get_group_name(key, curve, sizeof(curve), NULL) != 1 || OBJ_txt2nid(curve) != scheme->curve))
		return "the signature scheme does not fit the key's curve";
	if (is_rsa(key) && !rsa_bounded(key))
		return "the RSA key is over 4096 bits, or its exponent over 64";
	return NULL;
}

/* The hash over the messages up to and including Certificate. */
static bool hash_messages(const struct check_leg *leg, struct accord_proven_leg *out)
{
	struct transcript t;
	struct tls_secret hash;
	transcript_init(&t, TRANSCRIPT_CAP);
	bool ok = transcript_choose(&t, suite_find(leg->suite)->prf) == TRANSCRIPT_OK;
	for (size_t i = 0; ok && i + 1 < leg->messages; i++) {
		if (i == 1 && leg->retried)
			ok = transcript_retry(&t) == TRANSCRIPT_OK;
		ok = ok && transcript_add(&t, leg->message[i].whole) == TRANSCRIPT_OK;
	}
	ok = ok && transcript_value(&t, &hash) == TRANSCRIPT_OK && hash.len <= sizeof(out->transcript_hash);
	if (ok) {
		memcpy(out->transcript_hash, hash.octets, hash.len);
		out->transcript_hash_len = hash.len;
	}
	transcript_free(&t);
	return ok;
}

/* In the key's own context: in another one the key would be exported there first. */
static bool verify(OSSL_LIB_CTX *lib, const struct check_leg *leg, const struct scheme *scheme, struct bytes input)
{
	EVP_MD_CTX *ctx = EVP_MD_CTX_new();
	EVP_PKEY_CTX *pkey = NULL;
	bool ok = ctx && EVP_DigestVerifyInit_ex(ctx, &pkey, scheme->digest, lib, NULL, leg->key, NULL) == 1;
	if (ok && is_rsa(leg->key))
		ok = EVP_PKEY_CTX_set_rsa_padding(pkey, RSA_PKCS1_PSS_PADDING) > 0 &&
		     EVP_PKEY_CTX_set_rsa_pss_saltlen(pkey, RSA_PSS_SALTLEN_DIGEST) > 0;
	ok = ok && EVP_DigestVerify(ctx, leg->signature.data, leg->signature.len, input.data, input.len) == 1;
	EVP_MD_CTX_free(ctx);
	/* A signature that does not fit leaves reasons behind which would be taken for somebody else's. */
	ERR_clear_error();
	return ok;
}

bool check_signature(struct check *check, size_t index)
{
	struct check_leg *leg = &check->leg[index];
	struct accord_proven_leg *proven = &check->proven[index];
	*proven = (struct accord_proven_leg){
		.suite = leg->suite, .group = leg->group, .scheme = leg->scheme, .retried = leg->retried};
	if (!hash_messages(leg, proven))
		return check_fail(check, ACCORD_INTERNAL, index + 2, "the transcript hash cannot be computed");
	uint8_t input[CERTIFICATE_VERIFY_CONTENT];
	struct writer w = writer_over(input, sizeof(input));
	struct bytes content;
	certificate_verify_content(&w, true, bytes_of(proven->transcript_hash, proven->transcript_hash_len));
	if (!writer_done(&w, &content))
		return check_fail(check, ACCORD_INTERNAL, index + 2, "the transcript hash is too long");
	return verify(check->trust->lib, leg, find_scheme(leg->scheme), content) ||
	       check_fail(check, ACCORD_SIGNATURE, index + 2,
		       "CertificateVerify does not verify over this handshake with the certificate's key");
}
