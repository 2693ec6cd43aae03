#include "proxy/keeper_parts.h"

#include "base/clock.h"
#include "base/log.h"
#include "proxy/ca_open.h"

#include <openssl/err.h>

/* What the workers show under Accord: a key and a certificate of the anchor in the state, anew every day (docs/accord.md, 6). */

#define AGAIN_S 60 /* after a failure */

static int64_t now_s(void)
{
	return (int64_t)(clock_wall_ns() / NS_PER_S);
}

static bool issue(struct keeper *keeper, struct error *err)
{
	struct accord_ca_leaf fresh;
	keeper->accord_tried_s = now_s();
	if (!accord_ca_issue(keeper->options.accord, now_s(), &fresh, err))
		return false;
	accord_ca_leaf_clear(&keeper->accord);
	keeper->accord = fresh;
	return true;
}

bool keeper_accord_open(struct keeper *keeper, struct error *err)
{
	return !keeper->options.accord || issue(keeper, err);
}

bool keeper_accord_renew(struct keeper *keeper)
{
	struct error err;
	bool due = keeper->options.accord && now_s() - keeper->accord.made_s >= ACCORD_CA_RENEW_S &&
	           now_s() - keeper->accord_tried_s >= AGAIN_S;
	if (!due)
		return false;
	if (issue(keeper, &err))
		return true;
	log_error("accord certificate not renewed", LOG_S("reason", err.text),
		LOG_S("do", "make another anchor with overt accord init before this one ends, and give it to clients"));
	return false;
}

void keeper_accord_export(const struct keeper *keeper, struct keeper_accord_der *out)
{
	const struct leaf_key key = {.pkey = keeper->accord.key};
	*out = (struct keeper_accord_der){0};
	if (!keeper->accord.cert)
		return;
	int len = i2d_X509(keeper->accord.cert, &out->cert);
	if (len > 0 && leaf_key_export(&key, &out->key, &out->key_len)) {
		out->cert_len = (size_t)len;
		return;
	}
	log_error("accord certificate cannot be handed out", LOG_S("reason", "encoding failed"));
	keeper_accord_free(out);
	ERR_clear_error();
}

void keeper_accord_free(struct keeper_accord_der *der)
{
	if (der->key)
		leaf_secret_free(der->key, der->key_len);
	OPENSSL_free(der->cert);
	*der = (struct keeper_accord_der){0};
}

bool keeper_accord_reopen(
	struct keeper *keeper, const struct config *config, struct accord_ca **anchor, struct error *err)
{
	struct accord_ca *fresh;
	if (!ca_open_accord(config, &fresh, err))
		return false;
	if (!fresh || (*anchor && bytes_equal(accord_ca_pem(fresh), accord_ca_pem(*anchor)))) {
		accord_ca_free(fresh);
		return true;
	}
	const struct accord_ca *before = keeper->options.accord;
	keeper->options.accord = fresh;
	if (!issue(keeper, err)) {
		keeper->options.accord = before;
		accord_ca_free(fresh);
		return false;
	}
	accord_ca_free(*anchor);
	*anchor = fresh;
	keeper_welcome(keeper, NULL);
	return true;
}
