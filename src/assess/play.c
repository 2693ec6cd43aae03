#include "assess/play.h"

#include "assess/visit.h"

#include <openssl/core_names.h>
#include <openssl/param_build.h>

#define STRONG "ECDHE+AESGCM:ECDHE+CHACHA20"

/* A group that no document names, of a modulus that has at least two factors. */
static EVP_PKEY *make_group(unsigned bits)
{
	BIGNUM *p = BN_new(), *q = BN_new(), *g = BN_new();
	BN_CTX *bn = BN_CTX_new();
	OSSL_PARAM_BLD *build = OSSL_PARAM_BLD_new();
	OSSL_PARAM *params = NULL;
	EVP_PKEY_CTX *ctx = EVP_PKEY_CTX_new_from_name(NULL, "DH", NULL);
	EVP_PKEY *group = NULL;
	bool ok = p && q && g && bn && build && ctx &&
	          BN_rand(p, (int)bits / 2, BN_RAND_TOP_TWO, BN_RAND_BOTTOM_ODD) == 1 &&
	          BN_rand(q, (int)(bits - bits / 2), BN_RAND_TOP_TWO, BN_RAND_BOTTOM_ODD) == 1 &&
	          BN_mul(p, p, q, bn) == 1 && BN_set_word(g, 2) == 1 &&
	          OSSL_PARAM_BLD_push_BN(build, OSSL_PKEY_PARAM_FFC_P, p) == 1 &&
	          OSSL_PARAM_BLD_push_BN(build, OSSL_PKEY_PARAM_FFC_G, g) == 1;
	if (ok && (params = OSSL_PARAM_BLD_to_param(build)) && EVP_PKEY_fromdata_init(ctx) == 1)
		(void)!EVP_PKEY_fromdata(ctx, &group, EVP_PKEY_KEY_PARAMETERS, params);
	EVP_PKEY_CTX_free(ctx);
	OSSL_PARAM_free(params);
	OSSL_PARAM_BLD_free(build);
	BN_CTX_free(bn);
	BN_free(g);
	BN_free(q);
	BN_free(p);
	return group;
}

static bool use_group(SSL_CTX *ctx, const struct play *play)
{
	if (!play->custom_group)
		return true;
	EVP_PKEY *group = make_group(play->dh_bits ? play->dh_bits : 2048);
	if (group && SSL_CTX_set0_tmp_dh_pkey(ctx, group) == 1)
		return true;
	EVP_PKEY_free(group);
	return false;
}

SSL_CTX *play_context(const struct play *play)
{
	SSL_CTX *ctx = SSL_CTX_new(TLS_server_method());
	const struct identity *identity = play->identity;
	if (!ctx)
		return NULL;
	SSL_CTX_set_security_level(ctx, 0);
	(void)SSL_CTX_set_tlsext_status_cb(ctx, visit_staple);
	SSL_CTX_set_options(ctx, SSL_OP_NO_TICKET | (play->no_ems ? SSL_OP_NO_EXTENDED_MASTER_SECRET : 0));
	SSL_CTX_set_session_cache_mode(ctx, SSL_SESS_CACHE_OFF);
	(void)SSL_CTX_set_num_tickets(ctx, 0);
	bool ok = SSL_CTX_set_min_proto_version(ctx, play->min ? play->min : TLS1_2_VERSION) == 1 &&
	          SSL_CTX_set_max_proto_version(ctx, play->max ? play->max : TLS1_3_VERSION) == 1 &&
	          SSL_CTX_set_cipher_list(ctx, play->suites ? play->suites : STRONG) == 1 &&
	          SSL_CTX_use_certificate(ctx, identity->leaf) == 1 &&
	          SSL_CTX_use_PrivateKey(ctx, identity->key) == 1 &&
	          (!identity->above || SSL_CTX_set1_chain(ctx, identity->above) == 1) && use_group(ctx, play);
	if (ok)
		return ctx;
	SSL_CTX_free(ctx);
	return NULL;
}
