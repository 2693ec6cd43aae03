#include "accord/client.h"

#include "accord/client_parts.h"
#include "accord/seal.h"
#include "tls/handshake.h"

#include <openssl/crypto.h>
#include <openssl/rand.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

static void client_free(struct client *client)
{
	if (!client)
		return;
	EVP_PKEY_free(client->config.approval_key);
	X509_free(client->approval_cert);
	free(client);
}

static void state_free(struct client_state *state)
{
	if (!state)
		return;
	free(state->hello);
	free(state->proof);
	free(state->chain);
	free(state);
}

static void on_ctx_free(void *parent, void *ptr, CRYPTO_EX_DATA *ad, int idx, long argl, void *argp)
{
	(void)parent, (void)ad, (void)idx, (void)argl, (void)argp;
	client_free(ptr);
}

static void on_free(void *parent, void *ptr, CRYPTO_EX_DATA *ad, int idx, long argl, void *argp)
{
	(void)parent, (void)ad, (void)idx, (void)argl, (void)argp;
	state_free(ptr);
}

static CRYPTO_ONCE once = CRYPTO_ONCE_STATIC_INIT;
static int ctx_slot = -1;
static int slot = -1;

/* SSL_dup makes another connection, with a state of its own. */
static int not_copied(CRYPTO_EX_DATA *to, const CRYPTO_EX_DATA *from, void **value, int index, long argl, void *argp)
{
	(void)to, (void)from, (void)index, (void)argl, (void)argp;
	*value = NULL;
	return 1;
}

static void make_slots(void)
{
	ctx_slot = SSL_CTX_get_ex_new_index(0, NULL, NULL, NULL, on_ctx_free);
	slot = SSL_get_ex_new_index(0, NULL, NULL, not_copied, on_free);
}

static bool slots_ok(void)
{
	return CRYPTO_THREAD_run_once(&once, make_slots) == 1 && ctx_slot >= 0 && slot >= 0;
}

static const struct client *client_of(const SSL *ssl)
{
	return slots_ok() ? SSL_CTX_get_ex_data(SSL_get_SSL_CTX(ssl), ctx_slot) : NULL;
}

struct client_state *client_state_of(const SSL *ssl)
{
	return slots_ok() ? SSL_get_ex_data(ssl, slot) : NULL;
}

bool client_refuse(struct client_state *state, const char *format, ...)
{
	char text[400];
	va_list args;
	va_start(args, format);
	vsnprintf(text, sizeof(text), format, args);
	va_end(args);
	state->outcome.path = ACCORD_PATH_REFUSED;
	return error_set(&state->outcome.judgement.error, "%s", text);
}

void client_report(SSL *ssl, struct client_state *state)
{
	const struct accord_client_config *config = &state->client->config;
	if (state->reported)
		return;
	state->reported = true;
	if (config->report)
		config->report(config->ctx, ssl, &state->outcome);
}

static bool make_offer(struct client_state *state)
{
	const struct client *client = state->client;
	uint8_t body[2 + ACCORD_NONCE + 2 + ACCORD_HASH];
	struct accord_list list = {0};
	struct bytes all;
	state->offer.accepted_roles = client->config.accepted_roles;
	if (RAND_bytes(state->offer.client_nonce, ACCORD_NONCE) != 1)
		return false;
	if (client->approval_spki_len > 0) {
		state->offer.has_approval = true;
		if (!accord_approval_hash(state->offer.client_nonce,
			    bytes_of(client->approval_spki, client->approval_spki_len), state->offer.approval_hash))
			return false;
	}
	struct writer w = writer_over(body, sizeof(body));
	accord_offer_write(&w, &state->offer);
	if (!writer_done(&w, &list.offer))
		return false;
	w = writer_over(state->list, sizeof(state->list));
	accord_list_write(&w, &list);
	state->list_len = w.len;
	return writer_done(&w, &all);
}

/*
 * The state of this connection. An SSL can be used again for another one, whose ClientHello has another random; after a
 * HelloRetryRequest the random stays, and so do nonce and offer.
 */
static struct client_state *state_for(SSL *ssl)
{
	struct client_state *old = client_state_of(ssl);
	uint8_t random[32];
	const struct client *client = client_of(ssl);
	if (!client || SSL_get_client_random(ssl, random, sizeof(random)) != sizeof(random))
		return NULL;
	if (old && memcmp(old->random, random, sizeof(random)) == 0)
		return old;
	struct client_state *state = calloc(1, sizeof(*state));
	if (!state)
		return NULL;
	state->client = client;
	memcpy(state->random, random, sizeof(random));
	if (!make_offer(state) || SSL_set_ex_data(ssl, slot, state) != 1) {
		state_free(state);
		return NULL;
	}
	state_free(old);
	return state;
}

/* Settings that a program may have changed after attach. */
static bool prepare(SSL *ssl, struct client_state *state)
{
	const SSL_SESSION *session = SSL_get0_session(ssl);
	/* A resumed handshake runs no verify callback. */
	if (session && SSL_SESSION_is_resumable(session))
		return client_refuse(state, "the program set a session: an Accord connection is never resumed");
	int mode = SSL_get_verify_mode(ssl);
	if (!(mode & SSL_VERIFY_PEER)) {
		state->told_to_ignore = true;
		SSL_set_verify(ssl, SSL_VERIFY_PEER, SSL_get_verify_callback(ssl));
	}
	/* A server met directly may have to staple (RFC 7633), which it does for those alone who ask. -1: nobody has. */
	if (SSL_get_tlsext_status_type(ssl) == -1)
		(void)SSL_set_tlsext_status_type(ssl, TLSEXT_STATUSTYPE_ocsp);
	return true;
}

static int add(SSL *ssl, unsigned type, unsigned context, const unsigned char **out, size_t *len, X509 *cert,
	size_t index, int *alert, void *arg)
{
	(void)type, (void)cert, (void)arg;
	if (context == SSL_EXT_TLS1_3_CERTIFICATE) {
		const struct client_state *state = client_state_of(ssl);
		if (!state || index != 0 || state->approval_len == 0)
			return 0;
		*out = state->approval;
		*len = state->approval_len;
		return 1;
	}
	if (context != SSL_EXT_CLIENT_HELLO)
		return 0;
	struct client_state *state = state_for(ssl);
	if (!state || !prepare(ssl, state)) {
		*alert = SSL_AD_INTERNAL_ERROR;
		if (state)
			client_report(ssl, state);
		return -1;
	}
	*out = state->list;
	*len = state->list_len;
	return 1;
}

static bool take_proof(struct client_state *state, struct bytes body)
{
	uint8_t *copy = body.len > 0 ? malloc(body.len) : NULL;
	if (!copy || state->proof) {
		free(copy);
		return false;
	}
	memcpy(copy, body.data, body.len);
	state->proof = copy;
	state->proof_len = body.len;
	return true;
}

static int parse(SSL *ssl, unsigned type, unsigned context, const unsigned char *in, size_t len, X509 *cert,
	size_t index, int *alert, void *arg)
{
	(void)type, (void)cert, (void)arg;
	/* A context for both roles may turn out to be a server's. */
	if (SSL_is_server(ssl))
		return 1;
	struct client_state *state = client_state_of(ssl);
	bool ok = state != NULL;
	if (ok && context == SSL_EXT_TLS1_3_CERTIFICATE)
		ok = index == 0 && take_proof(state, bytes_of(in, len));
	if (ok && context == SSL_EXT_TLS1_3_CERTIFICATE_REQUEST) {
		enum accord_body_result result = accord_demand_read(bytes_of(in, len));
		state->demanded = result == ACCORD_BODY_OK;
		ok = state->demanded || result == ACCORD_BODY_UNKNOWN;
	}
	if (!ok)
		*alert = SSL_AD_ILLEGAL_PARAMETER;
	return ok;
}

/* Keeps the ClientHello: libssl does not tell otherwise what was offered. */
static void keep_hello(struct client_state *state, struct bytes message)
{
	uint8_t *copy = message.len <= CLIENT_MAX_HELLO ? malloc(message.len) : NULL;
	state->hello_lost = copy == NULL;
	free(state->hello);
	state->hello = copy;
	state->hello_len = copy ? message.len : 0;
	if (copy)
		memcpy(copy, message.data, message.len);
}

void accord_client_message(int write, int version, int type, const void *data, size_t len, SSL *ssl, void *arg)
{
	(void)arg;
	struct client_state *state = client_state_of(ssl);
	const struct client *client = client_of(ssl);
	struct bytes message = bytes_of(data, len);
	uint8_t kind;
	if (state && write && type == SSL3_RT_HANDSHAKE && bytes_u8(&message, &kind) && kind == HANDSHAKE_CLIENT_HELLO)
		keep_hello(state, bytes_of(data, len));
	if (client && client->config.next_message)
		client->config.next_message(write, version, type, data, len, ssl, client->config.next_message_arg);
}

void accord_client_info(const SSL *ssl, int where, int ret)
{
	const struct client *client = client_of(ssl);
	/* libssl's callback has const where all that one may do about it has not. */
	SSL *own = (SSL *)(uintptr_t)ssl;
	if (client && (where & SSL_CB_HANDSHAKE_START) && SSL_in_before(ssl)) {
		(void)SSL_set_session(own, NULL);
		if (client->config.rule == ACCORD_REQUIRE)
			(void)SSL_set_min_proto_version(own, TLS1_3_VERSION);
	}
	if (client && client->next_info)
		client->next_info(ssl, where, ret);
	struct client_state *state = client_state_of(ssl);
	if (state && (where & SSL_CB_HANDSHAKE_DONE) && state->passed)
		client_report(own, state);
	/* What a proxy says that may not, or will not, read: there is nothing else to tell by. */
	if (state && where == SSL_CB_READ_ALERT && (ret & 0xff) == SSL_AD_ACCESS_DENIED &&
		state->outcome.path == ACCORD_PATH_UNDECIDED) {
		(void)!client_refuse(state, "by the other end (access denied): a proxy's own output says why");
		client_report(own, state);
	}
}

static bool config_ok(const struct accord_client_config *config, struct error *err)
{
	if (!config->verify_proxy || !config->verify_server)
		return error_set(err, "Accord needs both questions about trust answered");
	if ((config->accepted_roles & ~ACCORD_ANY_ROLE) != 0)
		return error_set(err, "there is no such role of a proxy");
	return slots_ok() || error_set(err, "no place for Accord's state");
}

bool accord_client_attach(SSL_CTX *ctx, const struct accord_client_config *config, struct error *err)
{
	/* Not limited to TLS 1.3: a program that speaks less is to hear from us too that nothing was proven. */
	const unsigned where = SSL_EXT_CLIENT_HELLO | SSL_EXT_TLS1_3_CERTIFICATE | SSL_EXT_TLS1_3_CERTIFICATE_REQUEST;
	if (!config_ok(config, err))
		return false;
	if (SSL_CTX_get_ex_data(ctx, ctx_slot))
		return error_set(err, "this context speaks Accord already");
	struct client *client = calloc(1, sizeof(*client));
	if (!client)
		return error_set(err, "no memory for Accord");
	client->config = *config;
	if (config->approval_key && EVP_PKEY_up_ref(config->approval_key) != 1)
		client->config.approval_key = NULL;
	client->next_info = SSL_CTX_get_info_callback(ctx);
	if (client->config.approval_key && !client_approval_prepare(client, err)) {
		client_free(client);
		return false;
	}
	if (SSL_CTX_add_custom_ext(ctx, ACCORD_EXTENSION, where, add, NULL, NULL, parse, NULL) != 1 ||
		SSL_CTX_set_ex_data(ctx, ctx_slot, client) != 1) {
		client_free(client);
		return error_set_openssl(err, "Accord cannot be attached to this context");
	}
	if (config->rule == ACCORD_REQUIRE)
		(void)SSL_CTX_set_min_proto_version(ctx, TLS1_3_VERSION);
	SSL_CTX_set_session_cache_mode(ctx, SSL_SESS_CACHE_OFF);
	SSL_CTX_set_cert_verify_callback(ctx, accord_client_verify, NULL);
	SSL_CTX_set_msg_callback(ctx, accord_client_message);
	SSL_CTX_set_info_callback(ctx, accord_client_info);
	return true;
}

bool accord_client_passed(const SSL *ssl)
{
	const struct client_state *state = client_state_of(ssl);
	return state && state->passed && SSL_is_init_finished(ssl) && !SSL_session_reused(ssl);
}

const struct accord_outcome *accord_client_outcome(const SSL *ssl)
{
	const struct client_state *state = client_state_of(ssl);
	return state ? &state->outcome : NULL;
}
