#include "pki/slim.h"

#include <openssl/core_dispatch.h>
#include <openssl/crypto.h>
#include <openssl/err.h>
#include <openssl/provider.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#define ALGORITHMS_MAX 48

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
static OSSL_ALGORITHM decoders[ALGORITHMS_MAX + 1];
static OSSL_ALGORITHM keys[ALGORITHMS_MAX + 1];

static bool among(const char *names, const char *const *wanted)
{
	size_t len = strcspn(names, ":");
	for (; *wanted; wanted++) {
		if (strlen(*wanted) == len && strncmp(names, *wanted, len) == 0)
			return true;
	}
	return false;
}

/* Kinds of key that a TLS server's certificate can carry. DH and X25519 cannot sign: they are not looked for. */
static bool decoder_is_wanted(const OSSL_ALGORITHM *algorithm)
{
	static const char *const wanted[] = {
		"RSA", "RSA-PSS", "EC", "ED25519", "ED448", "ML-DSA-44", "ML-DSA-65", "ML-DSA-87", NULL};
	const char *properties = algorithm->property_definition;
	return properties && strstr(properties, "input=der") && strstr(properties, "structure=SubjectPublicKeyInfo") &&
	       among(algorithm->algorithm_names, wanted);
}

/* Those, and what a TLS client agrees on keys with. Each kind more makes every certificate slower to decode. */
static bool key_is_wanted(const OSSL_ALGORITHM *algorithm)
{
	static const char *const wanted[] = {"RSA", "RSA-PSS", "EC", "ED25519", "ED448", "ML-DSA-44", "ML-DSA-65",
		"ML-DSA-87", "X25519", "X448", "DH", "ML-KEM-512", "ML-KEM-768", "ML-KEM-1024", "X25519MLKEM768",
		"X448MLKEM1024", "SecP256r1MLKEM768", "SecP384r1MLKEM1024", NULL};
	return among(algorithm->algorithm_names, wanted);
}

/*
 * Without the OIDs in dots: libcrypto takes every name apart at each look-up, and asks for none of these here. They
 * live as long as the process, like what they replace.
 */
static const char *shortened(const char *names)
{
	char *out = malloc(strlen(names) + 1);
	size_t len = 0;
	if (!out)
		return names;
	while (*names) {
		size_t n = strcspn(names, ":");
		if (names[0] < '0' || names[0] > '9') {
			if (len > 0)
				out[len++] = ':';
			memcpy(out + len, names, n);
			len += n;
		}
		names += n;
		names += *names == ':';
	}
	out[len] = '\0';
	return out;
}

static size_t choose(int operation, bool (*wanted)(const OSSL_ALGORITHM *algorithm), OSSL_ALGORITHM *chosen)
{
	int no_cache;
	size_t count = 0;
	const OSSL_ALGORITHM *all = OSSL_PROVIDER_query_operation(base, operation, &no_cache);
	for (; all && all->algorithm_names && count < ALGORITHMS_MAX; all++) {
		if (!wanted(all))
			continue;
		chosen[count] = *all;
		chosen[count++].algorithm_names = shortened(all->algorithm_names);
	}
	return count;
}

static void base_find(void)
{
	base = OSSL_PROVIDER_load(NULL, "default");
	if (!base)
		return;
	/* Without any, certificates could not be read at all: better the default context. */
	if (choose(OSSL_OP_DECODER, decoder_is_wanted, decoders) == 0 ||
		choose(OSSL_OP_KEYMGMT, key_is_wanted, keys) == 0) {
		(void)OSSL_PROVIDER_unload(base);
		base = NULL;
	}
}

static const OSSL_ALGORITHM *slim_query(void *context, int operation, int *no_cache)
{
	(void)context;
	*no_cache = 0;
	switch (operation) {
	case OSSL_OP_DECODER:
		return decoders;
	case OSSL_OP_KEYMGMT:
		return keys;
	default:
		return OSSL_PROVIDER_query_operation(base, operation, no_cache);
	}
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
