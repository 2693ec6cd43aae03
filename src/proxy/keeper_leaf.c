#include "proxy/keeper_parts.h"

#include "base/clock.h"
#include "base/log.h"
#include "pki/authority.h"
#include "pki/mint.h"

#include <stdio.h>

_Static_assert((int)KEEPER_KEY_ECDSA == (int)LEAF_ECDSA && (int)KEEPER_KEY_RSA == (int)LEAF_RSA, "kinds of leaf keys");

/* One leaf being made. */
struct making {
	struct keeper *keeper;
	struct peer *peer;
	const struct keeper_leaf_request *request;
	struct subject_name host;
	int64_t now_s;
	const struct leaf_key *key;
	uint8_t der[MINT_MAX_DER];
	size_t len;
	enum keeper_refusal_cause cause; /* on failure, with the text */
	struct error text;
};

static bool refuse(struct making *making, enum keeper_refusal_cause cause, const char *text)
{
	making->cause = cause;
	return error_set(&making->text, "%s", text);
}

static bool find_key(struct making *making)
{
	struct keeper *keeper = making->keeper;
	struct error err;
	enum keeper_key kind = making->request->key;
	making->key = leaf_keys_get(keeper->leaf_keys, (enum leaf_kind)kind, making->now_s, &err);
	if (!making->key)
		return refuse(making, KEEPER_FAILED, err.text);
	if (!keeper->key_given[kind]) {
		/* Messages keep their order: the key is there before the leaf that needs it. */
		keeper->key_given[kind] = true;
		keeper_welcome(keeper, NULL);
	}
	return true;
}

static bool store_key(struct making *making, uint8_t out[LEAF_STORE_KEY])
{
	struct authority_issuer issuer;
	const char *url = making->keeper->options.policy_url;
	if (!authority_issuer(making->keeper->authority, making->now_s, &issuer))
		return refuse(making, KEEPER_FAILED, "no CA certificate is valid now");
	leaf_store_key(out, making->request->upstream, subject_name_bytes(&making->host), issuer.sha256,
		making->key->id, bytes_str(url ? url : ""));
	return true;
}

/* A stored leaf tells which server was inspected: for no longer than `retention` where that is set. */
static int64_t kept_until(const struct making *making, const struct minted *minted)
{
	int64_t retention_s = (int64_t)(making->keeper->options.retention_ns / NS_PER_S);
	if (retention_s > 0 && retention_s < minted->not_after_s - making->now_s)
		return making->now_s + retention_s;
	return minted->not_after_s;
}

static bool mint(struct making *making, const uint8_t store_key[LEAF_STORE_KEY])
{
	struct keeper *keeper = making->keeper;
	struct minted minted;
	struct mint_request request = {
		.upstream = making->request->upstream,
		.host = &making->host,
		.spki = bytes_of(making->key->spki, making->key->spki_len),
		.policy_url = keeper->options.policy_url,
		.now_s = making->now_s,
		.faults = making->request->faults,
	};
	bool invalid = request.faults != 0;
	enum mint_result result = (invalid ? mint_invalid : mint_leaf)(
		keeper->authority, &request, making->der, sizeof(making->der), &minted);
	if (result != MINT_OK) {
		char text[120];
		snprintf(text, sizeof(text), "no leaf can be made: %s", mint_result_name(result));
		return refuse(making, result == MINT_NOT_PERMITTED ? KEEPER_NOT_PERMITTED : KEEPER_FAILED, text);
	}
	making->len = minted.der.len;
	keeper->counts.minted++;
	keeper->counts.names_over_cap += minted.names_over_cap;
	/* A leaf as invalid as its upstream may be expired when made: nothing to keep. */
	if (!invalid && keeper->leaf_store)
		leaf_store_put(keeper->leaf_store, store_key, minted.der, making->now_s, kept_until(making, &minted));
	log_debug("leaf minted", LOG_S("for", making->peer->name), LOG_S("host", making->host.text),
		LOG_S("key", making->request->key == KEEPER_KEY_RSA ? "rsa" : "ecdsa"), LOG_N("invalid", invalid));
	return true;
}

static bool make(struct making *making)
{
	uint8_t key[LEAF_STORE_KEY];
	struct keeper *keeper = making->keeper;
	if (subject_name_parse(making->request->host, &making->host) != NAME_OK)
		return refuse(making, KEEPER_FAILED, "no leaf can be made for what is no host name");
	if (!find_key(making) || !store_key(making, key))
		return false;
	if (keeper->leaf_store && !making->request->faults &&
		leaf_store_get(
			keeper->leaf_store, key, making->now_s, making->der, sizeof(making->der), &making->len)) {
		keeper->counts.found++;
		return true;
	}
	if (!bucket_take(&making->peer->leaves, keeper->options.mint_rate, keeper->options.mint_burst,
		    clock_monotonic_ns())) {
		keeper->counts.rate_refused++;
		return refuse(making, KEEPER_RATE, "this worker asks for too many new leaves");
	}
	return mint(making, key);
}

bool keeper_leaf_answer(struct peer *peer, const struct ipc_message *message)
{
	struct keeper *keeper = peer->keeper;
	struct keeper_leaf_request request;
	if (!keeper_leaf_request_read(message->body, &request))
		return false;
	/* Looked up and made in one go: no second request for the same leaf can come between. */
	struct making making = {
		.keeper = keeper, .peer = peer, .request = &request, .now_s = (int64_t)(clock_wall_ns() / NS_PER_S)};
	if (make(&making)) {
		keeper_send(peer, KEEPER_LEAF, message->id, bytes_of(making.der, making.len));
		return true;
	}
	uint8_t room[sizeof(making.text.text) + 8];
	struct bytes body;
	struct writer w = writer_over(room, sizeof(room));
	writer_u8(&w, (uint8_t)making.cause);
	writer_vec16(&w, bytes_str(making.text.text));
	if (writer_done(&w, &body))
		keeper_send(peer, KEEPER_REFUSED, message->id, body);
	keeper->counts.failed += making.cause != KEEPER_RATE;
	log_info("leaf refused", LOG_S("for", peer->name), LOG_B("host", request.host),
		LOG_S("reason", making.text.text));
	return true;
}
