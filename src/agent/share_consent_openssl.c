#include "agent/share_consent_openssl.h"

#include "agent/library.h"
#include "agent/share_consent.h"
#include "agent/share_pool.h"
#include "tls/hello.h"

#include <errno.h>
#include <stdlib.h>

#define CONTEXTS (SSL_EXT_TLS_ONLY | SSL_EXT_TLS1_3_ONLY | SSL_EXT_CLIENT_HELLO | SSL_EXT_TLS1_3_ENCRYPTED_EXTENSIONS)
#define QUIC     1 /* what SSL_version says of it; its keys are none of records */
#define WHO      __builtin_return_address(0)

/* Of a connection. */
struct state {
	uint8_t random[KEYLOG_RANDOM]; /* of the hello: an SSL may serve for one connection after another */
	struct share_consent_state consent;
	bool sure;
	struct share_item *kept; /* the key of what the server sends, while it waits: in `waiting`. Else NULL */
};

static struct share_pool waiting = SHARE_POOL_OF(struct share_item);

/* Of a context whose program has an extension of this number itself. */
struct theirs {
	unsigned int context;
	SSL_custom_ext_add_cb_ex add;
	SSL_custom_ext_free_cb_ex release;
	SSL_custom_ext_parse_cb_ex parse;
	void *add_arg, *parse_arg;
};

/* Connections. */

static void state_clear(struct state *state)
{
	share_pool_put(&waiting, state->kept);
	explicit_bzero(state, sizeof(*state));
}

static void state_free(void *parent, void *ptr, CRYPTO_EX_DATA *ad, int index, long argl, void *argp)
{
	(void)parent, (void)ad, (void)index, (void)argl, (void)argp;
	if (!ptr)
		return;
	state_clear(ptr);
	free(ptr);
}

static void theirs_free(void *parent, void *ptr, CRYPTO_EX_DATA *ad, int index, long argl, void *argp)
{
	(void)parent, (void)ad, (void)index, (void)argl, (void)argp;
	free(ptr);
}

/* A copy of an SSL is one that has no connection yet. Its second argument has other types in other versions. */
static int state_dup(CRYPTO_EX_DATA *to, const CRYPTO_EX_DATA *from, void **ptr, int index, long argl, void *argp)
{
	(void)to, (void)from, (void)index, (void)argl, (void)argp;
	*ptr = NULL;
	return 1;
}

bool share_consent_library(struct openssl_library *library)
{
	library->consent_slot = library->new_index(CRYPTO_EX_INDEX_SSL, 0, NULL, NULL, state_dup, state_free);
	library->consent_ctx_slot = library->new_index(CRYPTO_EX_INDEX_SSL_CTX, 0, NULL, NULL, NULL, theirs_free);
	return library->consent_slot >= 0 && library->consent_ctx_slot >= 0;
}

/* NULL: there is none, or it is of an earlier connection. */
static struct state *state_of(const struct openssl_library *library, const SSL *ssl)
{
	uint8_t random[KEYLOG_RANDOM];
	struct state *state = library->get_data(ssl, library->consent_slot);
	bool same = state && library->client_random(ssl, random, sizeof(random)) == sizeof(random) &&
	            memcmp(random, state->random, sizeof(random)) == 0;
	return same ? state : NULL;
}

/* NULL: no memory. */
static struct state *state_for(const struct openssl_library *library, SSL *ssl)
{
	struct state *state = state_of(library, ssl);
	if (state)
		return state;
	state = library->get_data(ssl, library->consent_slot);
	if (!state) {
		state = calloc(1, sizeof(*state));
		if (!state || library->set_data(ssl, library->consent_slot, state) != 1) {
			free(state);
			return NULL;
		}
	}
	state_clear(state);
	(void)library->client_random(ssl, state->random, sizeof(state->random));
	return state;
}

static bool sha256_of(const void *ctx, struct bytes data, uint8_t out[static 32])
{
	const struct openssl_library *library = ctx;
	unsigned int len;
	SHA256_CTX hash;
	/* Without looking it up, where that is possible (share_openssl_hmac.c). */
	if (library->sha256_init)
		return library->sha256_init(&hash) == 1 && library->sha256_update(&hash, data.data, data.len) == 1 &&
		       library->sha256_final(out, &hash) == 1;
	return library->digest(data.data, data.len, out, &len, library->sha256(), NULL) == 1;
}

static const char *name_of(const struct openssl_library *library, const SSL *ssl)
{
	const char *name = library->servername(ssl, TLSEXT_NAMETYPE_host_name);
	return name ? name : "";
}

/* The extension. */

/* 1: it is in *out. 0: there is none. */
static int give_octets(const struct writer *to, const unsigned char **out, size_t *len)
{
	uint8_t *copy = to->full ? NULL : malloc(to->len);
	if (!copy)
		return 0;
	memcpy(copy, to->data, to->len);
	*out = copy;
	*len = to->len;
	return 1;
}

static int add_offer(const struct openssl_library *library, SSL *ssl, const unsigned char **out, size_t *len)
{
	const struct share_sha256 sha256 = {.compute = sha256_of, .ctx = library};
	uint8_t room[SHARE_OFFER_MAX];
	struct writer to = writer_over(room, sizeof(room));
	struct state *state = library->get_version(ssl) == QUIC ? NULL : state_for(library, ssl);
	if (!state || !share_consent_offer(&state->consent, &sha256, name_of(library, ssl), &to))
		return 0;
	return give_octets(&to, out, len);
}

static int add_notice(const struct openssl_library *library, const SSL *ssl, const unsigned char **out, size_t *len)
{
	const struct state *state = state_of(library, ssl);
	uint8_t *room = state ? malloc(SHARE_NOTICE_MAX) : NULL;
	struct writer to = writer_over(room, SHARE_NOTICE_MAX);
	int given = room && share_consent_disclose(&state->consent, &to) ? give_octets(&to, out, len) : 0;
	free(room);
	return given;
}

static const struct theirs *theirs_of(const struct openssl_library *library, const SSL *ssl, unsigned int context)
{
	const struct theirs *theirs = library->ctx_get_data(library->get_ctx(ssl), library->consent_ctx_slot);
	return theirs && (theirs->context & context) != 0 ? theirs : NULL;
}

static int add(SSL *ssl, unsigned int type, unsigned int context, const unsigned char **out, size_t *len, X509 *x,
	size_t at, int *alert, void *arg)
{
	const struct openssl_library *library = arg;
	int kept = errno, given = 0;
	if (library->ctx_get_data(library->get_ctx(ssl), library->consent_ctx_slot)) {
		const struct theirs *theirs = theirs_of(library, ssl, context);
		return theirs && theirs->add ? theirs->add(ssl, type, context, out, len, x, at, alert, theirs->add_arg)
		                             : 0;
	}
	given = context == SSL_EXT_CLIENT_HELLO ? add_offer(library, ssl, out, len)
	                                        : add_notice(library, ssl, out, len);
	errno = kept;
	return given;
}

static void release(SSL *ssl, unsigned int type, unsigned int context, const unsigned char *out, void *arg)
{
	const struct openssl_library *library = arg;
	const struct theirs *theirs = theirs_of(library, ssl, context);
	if (theirs && theirs->release)
		theirs->release(ssl, type, context, out, theirs->add_arg);
	else if (!theirs)
		free((void *)(uintptr_t)out);
}

static int parse(SSL *ssl, unsigned int type, unsigned int context, const unsigned char *in, size_t len, X509 *x,
	size_t at, int *alert, void *arg)
{
	const struct openssl_library *library = arg;
	const struct share_sha256 sha256 = {.compute = sha256_of, .ctx = library};
	int kept = errno;
	if (library->ctx_get_data(library->get_ctx(ssl), library->consent_ctx_slot)) {
		const struct theirs *theirs = theirs_of(library, ssl, context);
		return theirs && theirs->parse
		               ? theirs->parse(ssl, type, context, in, len, x, at, alert, theirs->parse_arg)
		               : 1;
	}
	if (context == SSL_EXT_CLIENT_HELLO) {
		struct state *state = state_for(library, ssl);
		if (state)
			share_consent_offered(&state->consent, &sha256, name_of(library, ssl), bytes_of(in, len));
	} else {
		struct state *state = state_of(library, ssl);
		if (state)
			share_consent_disclosed(&state->consent, bytes_of(in, len));
	}
	errno = kept;
	return 1;
}

void share_consent_attach(const struct openssl_library *library, SSL_CTX *ctx)
{
	void *arg = (void *)(uintptr_t)library;
	if (share_consent_on())
		(void)library->add_custom_ext(ctx, SHARE_EXTENSION, CONTEXTS, add, release, arg, parse, arg);
}

/* The program's own comes after ours, which is there since the context was made: ours steps back. */
static int step_back(const struct openssl_library *library, SSL_CTX *ctx, const struct theirs *wanted)
{
	if (library->ctx_get_data(ctx, library->consent_ctx_slot))
		return 0;
	struct theirs *theirs = malloc(sizeof(*theirs));
	if (!theirs)
		return 0;
	*theirs = *wanted;
	if (library->ctx_set_data(ctx, library->consent_ctx_slot, theirs) == 1)
		return 1;
	free(theirs);
	return 0;
}

int SSL_CTX_add_custom_ext(SSL_CTX *ctx, unsigned int type, unsigned int context, SSL_custom_ext_add_cb_ex add_cb,
	SSL_custom_ext_free_cb_ex release_cb, void *add_arg, SSL_custom_ext_parse_cb_ex parse_cb, void *parse_arg)
{
	int (*next)(SSL_CTX *, unsigned int, unsigned int, SSL_custom_ext_add_cb_ex, SSL_custom_ext_free_cb_ex, void *,
		SSL_custom_ext_parse_cb_ex, void *);
	const struct theirs wanted = {.context = context,
		.add = add_cb,
		.release = release_cb,
		.parse = parse_cb,
		.add_arg = add_arg,
		.parse_arg = parse_arg};
	const struct openssl_library *library;
	*(void **)&next = library_find("SSL_CTX_add_custom_ext", WHO, (const void *)(uintptr_t)SSL_CTX_add_custom_ext);
	for (unsigned i = 0; share_consent_on() && type == SHARE_EXTENSION && (library = openssl_library(i)); i++) {
		if (library->add_custom_ext == next)
			return step_back(library, ctx, &wanted);
	}
	return next ? next(ctx, type, context, add_cb, release_cb, add_arg, parse_cb, parse_arg) : 0;
}

/* Keys. */

/* With the last of the first keys, when all is known. */
static bool is_last_first(const struct record_key *key)
{
	return key->epoch == 0 && (key->version != TLS_VERSION_13 || key->from_client);
}

/* How many go on: none. Where there is no room the key is as one that does not get there. */
static size_t keep(struct state *state, const struct share_item *item, bool *wait)
{
	if (!state->kept)
		state->kept = share_pool_take(&waiting);
	if (state->kept)
		*state->kept = *item;
	*wait = !state->kept;
	return 0;
}

size_t share_consent_pass(
	const struct openssl_library *library, const SSL *ssl, struct share_item items[2], size_t count, bool *wait)
{
	if (count == 0 || items[0].key.stage != RECORD_STAGE_APPLICATION)
		return count;
	struct state *state = share_consent_on() ? state_of(library, ssl) : NULL;
	struct share_consent_state *consent = state ? &state->consent : NULL;
	for (size_t i = 0; i < count; i++)
		items[i].terms = share_consent_terms(consent, state && library->session_reused(ssl) != 0);
	if (is_last_first(&items[0].key))
		share_consent_say(
			consent, &items[0], !library->ctx_get_data(library->get_ctx(ssl), library->consent_ctx_slot));
	/* After rotation the server's agent releases nothing that the server sends. */
	if (!state || !items[0].server || !share_consent_agreed(consent) || items[0].terms.mode != SHARE_LIVE ||
		state->sure || count != 1)
		return count;
	if (!items[0].key.from_client)
		return keep(state, &items[0], wait);
	/* The client's Finished was right: its key of application data follows from nothing else. */
	state->sure = true;
	if (!state->kept)
		return count;
	items[1] = items[0];
	items[0] = *state->kept;
	share_pool_put(&waiting, state->kept);
	state->kept = NULL;
	*wait = true;
	return 2;
}
