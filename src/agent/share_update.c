#include "agent/share_update.h"

#include "agent/share_openssl_hmac.h"
#include "agent/share_pool.h"
#include "tls/handshake.h"
#include "tls/hello.h"

#include <errno.h>

#define TELLS 0x30000000UL /* the first OpenSSL whose key log has changed keys */

struct next {
	uint8_t octets[SHARE_HASH_MAX];
	size_t len; /* 0: none */
};

/* Of a connection. */
struct state {
	uint8_t random[KEYLOG_RANDOM]; /* of the hello: an SSL may serve for one connection after another */
	struct next client, server;
};

static struct share_pool states = SHARE_POOL_OF(struct state);
static share_update_fn *tell;

static bool is_meant(const struct openssl_library *library)
{
	return library->version_num() < TELLS;
}

static void state_free(void *ssl, void *data, CRYPTO_EX_DATA *all, int index, long argl, void *argp)
{
	(void)ssl, (void)all, (void)index, (void)argl, (void)argp;
	share_pool_put(&states, data);
}

/* A copy of an SSL is one that has no connection yet. */
static int state_dup(CRYPTO_EX_DATA *to, const CRYPTO_EX_DATA *from, void **data, int index, long argl, void *argp)
{
	(void)to, (void)from, (void)index, (void)argl, (void)argp;
	*data = NULL;
	return 1;
}

bool share_update_library(struct openssl_library *library)
{
	if (!is_meant(library))
		return true;
	library->update_slot = library->new_index(CRYPTO_EX_INDEX_SSL, 0, NULL, NULL, state_dup, state_free);
	library->message_slot = library->new_index(CRYPTO_EX_INDEX_SSL, 0, NULL, NULL, NULL, NULL);
	library->message_ctx_slot = library->new_index(CRYPTO_EX_INDEX_SSL_CTX, 0, NULL, NULL, NULL, NULL);
	return library->update_slot >= 0 && library->message_slot >= 0 && library->message_ctx_slot >= 0;
}

/* Secrets. */

/* NULL: there is no room. */
static struct state *state_for(const struct openssl_library *library, SSL *ssl, struct bytes random)
{
	struct state *state = library->get_data(ssl, library->update_slot);
	if (!state) {
		state = share_pool_take(&states);
		if (!state || library->set_data(ssl, library->update_slot, state) != 1) {
			share_pool_put(&states, state);
			return NULL;
		}
	}
	if (memcmp(state->random, random.data, sizeof(state->random)) != 0) {
		explicit_bzero(state, sizeof(*state));
		memcpy(state->random, random.data, sizeof(state->random));
	}
	return state;
}

void share_update_keep(const struct openssl_library *library, SSL *ssl, const struct share_secret *from)
{
	const struct share_hmac hmac = openssl_hmac(library);
	bool client = from->label == KEYLOG_CLIENT_TRAFFIC;
	if (!is_meant(library) || (!client && from->label != KEYLOG_SERVER_TRAFFIC) ||
		from->client_random.len != KEYLOG_RANDOM)
		return;
	struct state *state = state_for(library, ssl, from->client_random);
	struct next *next = !state ? NULL : client ? &state->client : &state->server;
	if (next)
		next->len = share_derive_next(&hmac, from, next->octets);
}

static bool is_key_update(const struct openssl_library *library, const SSL *ssl, int type, struct bytes message)
{
	uint8_t kind, request;
	uint32_t len;
	return type == SSL3_RT_HANDSHAKE && bytes_u8(&message, &kind) && kind == HANDSHAKE_KEY_UPDATE &&
	       bytes_u24(&message, &len) && len == 1 && bytes_u8(&message, &request) && request <= 1 &&
	       message.len == 0 && library->get_version(ssl) == TLS_VERSION_13;
}

/* The message is whole; its key is used after it. */
static void on_update(const struct openssl_library *library, SSL *ssl, bool client)
{
	struct keylog_line line = {
		.label = client ? KEYLOG_CLIENT_TRAFFIC : KEYLOG_SERVER_TRAFFIC, .epoch = KEYLOG_EPOCH_UNNAMED};
	uint8_t random[KEYLOG_RANDOM], secret[SHARE_HASH_MAX];
	const struct state *state = library->get_data(ssl, library->update_slot);
	const struct next *next = !state ? NULL : client ? &state->client : &state->server;
	size_t len = 0;
	if (library->client_random(ssl, random, sizeof(random)) != sizeof(random) ||
		!keylog_id_set(&line.id, KEYLOG_ID_RANDOM, bytes_of(random, sizeof(random))))
		return;
	if (next && memcmp(random, state->random, sizeof(random)) == 0) {
		len = next->len;
		memcpy(secret, next->octets, len);
	}
	tell(library, ssl, &line, bytes_of(secret, len));
	explicit_bzero(secret, sizeof(secret));
}

/* Callbacks. */

static void on_message(
	const struct openssl_library *library, int write, int type, const void *data, size_t len, SSL *ssl)
{
	int kept = errno;
	if (is_key_update(library, ssl, type, bytes_of(data, len)))
		on_update(library, ssl, (write != 0) != (library->is_server(ssl) != 0));
	errno = kept;
}

/* A callback has no argument of ours to tell the libraries apart by: `arg` is the program's. */
#define CALLBACK(n)                                                                                                    \
	static void on_message_##n(                                                                                    \
		int write, int version, int type, const void *data, size_t len, SSL *ssl, void *arg)                   \
	{                                                                                                              \
		const struct openssl_library *library = openssl_library(n);                                            \
		context_message_fn *own;                                                                               \
		on_message(library, write, type, data, len, ssl);                                                      \
		*(void **)&own = library->get_data(ssl, library->message_slot);                                        \
		if (own)                                                                                               \
			own(write, version, type, data, len, ssl, arg);                                                \
	}
CALLBACK(0)
CALLBACK(1)
CALLBACK(2)
CALLBACK(3)

static context_message_fn *const callbacks[OPENSSL_LIBRARIES] = {
	on_message_0, on_message_1, on_message_2, on_message_3};

void share_update_attach(const struct openssl_library *library, SSL_CTX *ctx)
{
	if (is_meant(library))
		library->ctx_set_message(ctx, callbacks[library->number]);
}

/* An SSL has what its context has when it is made, whatever that has later. */
void share_update_connect(const struct openssl_library *library, SSL *ssl)
{
	if (is_meant(library))
		(void)library->set_data(ssl, library->message_slot,
			library->ctx_get_data(library->get_ctx(ssl), library->message_ctx_slot));
}

bool share_update_own_ctx(const void *set, SSL_CTX *ctx, context_message_fn *own)
{
	const struct openssl_library *library;
	for (unsigned i = 0; (library = openssl_library(i)); i++) {
		if (is_meant(library) && (const void *)(uintptr_t)library->ctx_set_message == set)
			return library->ctx_set_data(ctx, library->message_ctx_slot, *(void **)&own) == 1;
	}
	return false;
}

bool share_update_own(const void *set, SSL *ssl, context_message_fn *own)
{
	const struct openssl_library *library;
	for (unsigned i = 0; (library = openssl_library(i)); i++) {
		if (is_meant(library) && (const void *)(uintptr_t)library->set_message == set)
			return library->set_data(ssl, library->message_slot, *(void **)&own) == 1;
	}
	return false;
}

void share_update_begin(share_update_fn *with)
{
	tell = with;
}
