#include "pki/slim.h"

#include <openssl/core_dispatch.h>
#include <openssl/crypto.h>
#include <openssl/err.h>
#include <openssl/provider.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#define DECODERS_MAX 32

struct slim {
	OSSL_LIB_CTX *lib;
	OSSL_PROVIDER *provider;
};

/*
 * The algorithms handed on expect the default provider's own context as theirs, so ours can carry nothing: what it needs
 * stands here. It is the same for every context of the process and never changes once worked out.
 */
static CRYPTO_ONCE once = CRYPTO_ONCE_STATIC_INIT;
static OSSL_PROVIDER *base; /* the default provider of the default context; NULL: not to be had */
static OSSL_ALGORITHM decoders[DECODERS_MAX + 1];

/* Kinds of key that a TLS server's certificate can carry. DH and X25519 cannot sign: they are not looked for. */
static bool name_is_wanted(const char *names)
{
	static const char *const wanted[] = {
		"RSA", "RSA-PSS", "EC", "ED25519", "ED448", "ML-DSA-44", "ML-DSA-65", "ML-DSA-87"};
	size_t len = strcspn(names, ":");
	for (size_t i = 0; i < sizeof(wanted) / sizeof(wanted[0]); i++) {
		if (strlen(wanted[i]) == len && strncmp(names, wanted[i], len) == 0)
			return true;
	}
	return false;
}

static bool decoder_is_wanted(const OSSL_ALGORITHM *algorithm)
{
	const char *properties = algorithm->property_definition;
	return properties && strstr(properties, "input=der") && strstr(properties, "structure=SubjectPublicKeyInfo") &&
	       name_is_wanted(algorithm->algorithm_names);
}

static void base_find(void)
{
	base = OSSL_PROVIDER_load(NULL, "default");
	int no_cache;
	const OSSL_ALGORITHM *all = base ? OSSL_PROVIDER_query_operation(base, OSSL_OP_DECODER, &no_cache) : NULL;
	size_t count = 0;
	for (; all && all->algorithm_names && count < DECODERS_MAX; all++) {
		if (decoder_is_wanted(all))
			decoders[count++] = *all;
	}
	/* Without any, certificates could not be read at all: better the default context. */
	if (count == 0) {
		(void)OSSL_PROVIDER_unload(base);
		base = NULL;
	}
}

static const OSSL_ALGORITHM *slim_query(void *context, int operation, int *no_cache)
{
	(void)context;
	*no_cache = 0;
	return operation == OSSL_OP_DECODER ? decoders : OSSL_PROVIDER_query_operation(base, operation, no_cache);
}

/* libssl asks every provider which groups it has. */
static int slim_capabilities(void *context, const char *capability, OSSL_CALLBACK *callback, void *argument)
{
	(void)context;
	return OSSL_PROVIDER_get_capabilities(base, capability, callback, argument);
}

static int slim_init(const OSSL_CORE_HANDLE *handle, const OSSL_DISPATCH *in, const OSSL_DISPATCH **out, void **context)
{
	static const OSSL_DISPATCH dispatch[] = {
		{OSSL_FUNC_PROVIDER_QUERY_OPERATION, (void (*)(void))slim_query},
		{OSSL_FUNC_PROVIDER_GET_CAPABILITIES, (void (*)(void))slim_capabilities},
		{0, NULL},
	};
	(void)handle;
	(void)in;
	*out = dispatch;
	*context = OSSL_PROVIDER_get0_provider_ctx(base);
	return 1;
}

struct slim *slim_new(void)
{
	struct slim *slim = calloc(1, sizeof(*slim));
	if (!slim)
		return NULL;
	if (CRYPTO_THREAD_run_once(&once, base_find) != 1 || !base)
		return slim;
	slim->lib = OSSL_LIB_CTX_new();
	if (slim->lib && OSSL_PROVIDER_add_builtin(slim->lib, "overt-slim", slim_init) == 1)
		slim->provider = OSSL_PROVIDER_load(slim->lib, "overt-slim");
	if (!slim->provider) {
		OSSL_LIB_CTX_free(slim->lib);
		slim->lib = NULL;
	}
	ERR_clear_error();
	return slim;
}

void slim_free(struct slim *slim)
{
	if (!slim)
		return;
	if (slim->provider)
		(void)OSSL_PROVIDER_unload(slim->provider);
	OSSL_LIB_CTX_free(slim->lib);
	free(slim);
}

OSSL_LIB_CTX *slim_lib(const struct slim *slim)
{
	return slim->lib;
}
