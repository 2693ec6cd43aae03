#include "assess/dh.h"

#include <openssl/bn.h>
#include <openssl/core_names.h>
#include <openssl/evp.h>

#define MAX_BITS 4096 /* what is longer can take a minute */
#define MIN_BITS 512

static const struct known {
	const char *openssl, *name;
	enum dh_kind kind;
} known[] = {
	{"ffdhe2048", "ffdhe2048", DH_NAMED},
	{"ffdhe3072", "ffdhe3072", DH_NAMED},
	{"ffdhe4096", "ffdhe4096", DH_NAMED},
	{"ffdhe6144", "ffdhe6144", DH_NAMED},
	{"ffdhe8192", "ffdhe8192", DH_NAMED},
	{"modp_1536", "RFC 3526 group 5", DH_KNOWN},
	{"modp_2048", "RFC 3526 group 14", DH_KNOWN},
	{"modp_3072", "RFC 3526 group 15", DH_KNOWN},
	{"modp_4096", "RFC 3526 group 16", DH_KNOWN},
	{"modp_6144", "RFC 3526 group 17", DH_KNOWN},
	{"modp_8192", "RFC 3526 group 18", DH_KNOWN},
};

/* The prime of a group that OpenSSL knows by name. NULL when this OpenSSL does not. */
static BIGNUM *prime_of(const char *name)
{
	OSSL_PARAM params[] = {OSSL_PARAM_construct_utf8_string(OSSL_PKEY_PARAM_GROUP_NAME, (void *)(uintptr_t)name, 0),
		OSSL_PARAM_construct_end()};
	EVP_PKEY_CTX *ctx = EVP_PKEY_CTX_new_from_name(NULL, "DH", NULL);
	EVP_PKEY *group = NULL;
	BIGNUM *prime = NULL;
	if (ctx && EVP_PKEY_paramgen_init(ctx) == 1 && EVP_PKEY_CTX_set_params(ctx, params) == 1 &&
		EVP_PKEY_generate(ctx, &group) == 1)
		(void)!EVP_PKEY_get_bn_param(group, OSSL_PKEY_PARAM_FFC_P, &prime);
	EVP_PKEY_free(group);
	EVP_PKEY_CTX_free(ctx);
	return prime;
}

static bool look_up(const BIGNUM *p, struct dh_group *out)
{
	for (size_t i = 0; i < sizeof(known) / sizeof(known[0]); i++) {
		BIGNUM *prime = prime_of(known[i].openssl);
		bool same = prime && BN_cmp(prime, p) == 0;
		BN_free(prime);
		if (same) {
			out->kind = known[i].kind;
			out->name = known[i].name;
			return true;
		}
	}
	return false;
}

/* Neither 0, 1, p - 1 nor more: what is exchanged would be one of two values. */
static bool generates(const BIGNUM *p, const BIGNUM *g, BIGNUM *room)
{
	return BN_sub(room, p, BN_value_one()) == 1 && BN_cmp(g, BN_value_one()) > 0 && BN_cmp(g, room) < 0;
}

static enum dh_kind judge(const BIGNUM *p, BIGNUM *room, BN_CTX *ctx)
{
	int prime = BN_check_prime(p, ctx, NULL);
	if (prime != 1)
		return DH_COMPOSITE;
	return BN_rshift1(room, p) == 1 && BN_check_prime(room, ctx, NULL) == 1 ? DH_SAFE_PRIME : DH_PRIME;
}

bool dh_judge(struct bytes p, struct bytes g, struct dh_group *out)
{
	*out = (struct dh_group){.kind = DH_TOO_LONG};
	BIGNUM *prime = BN_bin2bn(p.data, (int)p.len, NULL), *base = BN_bin2bn(g.data, (int)g.len, NULL),
	       *room = BN_new();
	BN_CTX *ctx = BN_CTX_new();
	bool ok = prime && base && room && ctx;
	if (ok) {
		out->bits = (unsigned)BN_num_bits(prime);
		if (out->bits < MIN_BITS || !BN_is_odd(prime) || !generates(prime, base, room))
			out->kind = DH_TRIVIAL;
		else if (!look_up(prime, out) && out->bits <= MAX_BITS)
			out->kind = judge(prime, room, ctx);
	}
	BN_free(prime);
	BN_free(base);
	BN_free(room);
	BN_CTX_free(ctx);
	return ok;
}

const char *dh_kind_text(enum dh_kind kind)
{
	static const char *const texts[] = {"a named group of RFC 7919", "a well-known group",
		"a safe prime of its own", "a prime, but not a safe one", "not a prime", "no group at all",
		"too long to be judged here"};
	return texts[kind];
}
