#include "pki/slim.h"

#include <openssl/core_dispatch.h>
#include <openssl/core_names.h>
#include <openssl/crypto.h>
#include <openssl/err.h>
#include <openssl/params.h>
#include <openssl/provider.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

struct slim {
	OSSL_LIB_CTX *lib;
	OSSL_PROVIDER *provider;
};

#define ALGORITHMS_MAX 48
#define FUNCTIONS_MAX  32
#define PARAMS_MAX     16

/*
 * What is handed on, by operation and by the first of each algorithm's names: what a TLS 1.2 or 1.3 client needs. For
 * every certificate OpenSSL 3.0 walks through all that a context has ever loaded, ciphers and all, to find the kinds of
 * key among it: each algorithm left out makes that walk shorter. Operations not named here are handed on whole.
 */
/* HMAC is one to OpenSSL: the binder of a resumed session is signed with it. */
static const char *const kinds_of_key[] = {"HMAC", "RSA", "RSA-PSS", "EC", "ED25519", "ED448", "ML-DSA-44", "ML-DSA-65",
	"ML-DSA-87", "X25519", "X448", "DH", "ML-KEM-512", "ML-KEM-768", "ML-KEM-1024", "X25519MLKEM768",
	"X448MLKEM1024", "SecP256r1MLKEM768", "SecP384r1MLKEM1024", NULL};
/* DH and X25519 cannot sign: no server certificate holds them. */
static const char *const kinds_in_certificates[] = {
	"RSA", "RSA-PSS", "EC", "ED25519", "ED448", "ML-DSA-44", "ML-DSA-65", "ML-DSA-87", NULL};
static const char *const ciphers[] = {"AES-128-GCM", "AES-256-GCM", "AES-128-CCM", "AES-256-CCM", "AES-128-CBC",
	"AES-256-CBC", "AES-128-ECB", "AES-256-ECB", "AES-128-CTR", "AES-256-CTR", "ChaCha20", "ChaCha20-Poly1305",
	"NULL", NULL};
static const char *const digests[] = {"MD5", "MD5-SHA1", "SHA1", "SHA2-224", "SHA2-256", "SHA2-384", "SHA2-512",
	"SHA3-256", "SHA3-384", "SHA3-512", "SHAKE-128", "SHAKE-256", NULL};
static const char *const derivations[] = {"HKDF", "TLS13-KDF", "TLS1-PRF", NULL};
static const char *const codes[] = {"HMAC", NULL};
/* Of these a new context makes its own generator and the seed for it. */
static const char *const generators[] = {"CTR-DRBG", "SEED-SRC", "JITTER", NULL};

struct choice {
	int operation;
	const char *const *wanted;
	OSSL_ALGORITHM chosen[ALGORITHMS_MAX + 1];
};

/*
 * The algorithms handed on expect the default provider's own context as theirs, so ours can carry nothing: what it needs
 * stands here. It is the same for every context of the process and never changes once worked out.
 */
static CRYPTO_ONCE once = CRYPTO_ONCE_STATIC_INIT;
static OSSL_PROVIDER *base; /* the default provider of the default context; NULL: not to be had */
static struct choice choices[] = {
	{OSSL_OP_DECODER, kinds_in_certificates, {{0}}},
	{OSSL_OP_KEYMGMT, kinds_of_key, {{0}}},
	{OSSL_OP_CIPHER, ciphers, {{0}}},
	{OSSL_OP_DIGEST, digests, {{0}}},
	{OSSL_OP_KDF, derivations, {{0}}},
	{OSSL_OP_MAC, codes, {{0}}},
	{OSSL_OP_RAND, generators, {{0}}},
};
/* CTR-DRBG as handed on, and what it is instantiated with. */
static OSSL_DISPATCH generator[FUNCTIONS_MAX + 1];
static OSSL_FUNC_rand_instantiate_fn *instantiate;

#define CHOICES (sizeof(choices) / sizeof(choices[0]))

static bool among(const char *names, const char *const *wanted)
{
	size_t len = strcspn(names, ":");
	for (; *wanted; wanted++) {
		if (strlen(*wanted) == len && strncmp(names, *wanted, len) == 0)
			return true;
	}
	return false;
}

static bool is_wanted(const struct choice *choice, const OSSL_ALGORITHM *algorithm)
{
	if (!among(algorithm->algorithm_names, choice->wanted))
		return false;
	if (choice->operation != OSSL_OP_DECODER)
		return true;
	const char *properties = algorithm->property_definition;
	return properties && strstr(properties, "input=der") && strstr(properties, "structure=SubjectPublicKeyInfo");
}

/* False when nothing is left: the default context is then the better one. */
static bool choose(struct choice *choice)
{
	int no_cache;
	size_t count = 0;
	const OSSL_ALGORITHM *all = OSSL_PROVIDER_query_operation(base, choice->operation, &no_cache);
	for (; all && all->algorithm_names && count < ALGORITHMS_MAX; all++) {
		if (is_wanted(choice, all))
			choice->chosen[count++] = *all;
	}
	return count > 0;
}

/*
 * OpenSSL 3.5 tells a generator the name of its provider, to take the cipher from there. The generator looks for that
 * name in the default provider's context, where ours does not stand. Without the name it finds the cipher there itself.
 */
static int instantiate_unnamed(void *drbg, unsigned strength, int resistance, const unsigned char *text,
	size_t text_len, const OSSL_PARAM *params)
{
	OSSL_PARAM kept[PARAMS_MAX + 1];
	size_t count = 0;
	for (; params && params->key; params++) {
		if (strcmp(params->key, OSSL_PROV_PARAM_CORE_PROV_NAME) == 0)
			continue;
		if (count == PARAMS_MAX)
			return 0;
		kept[count++] = *params;
	}
	kept[count] = OSSL_PARAM_construct_end();
	return instantiate(drbg, strength, resistance, text, text_len, kept);
}

/* Puts instantiate_unnamed() in place of what CTR-DRBG has. */
static bool choose_generator(struct choice *choice)
{
	if (!choose(choice))
		return false;
	OSSL_ALGORITHM *drbg = choice->chosen;
	while (drbg->algorithm_names && !among(drbg->algorithm_names, (const char *const[]){generators[0], NULL}))
		drbg++;
	if (!drbg->algorithm_names)
		return false;
	const OSSL_DISPATCH *from = drbg->implementation;
	for (size_t i = 0; i < FUNCTIONS_MAX && from[i].function_id != 0; i++) {
		generator[i] = from[i];
		if (from[i].function_id != OSSL_FUNC_RAND_INSTANTIATE)
			continue;
		instantiate = OSSL_FUNC_rand_instantiate(&from[i]);
		generator[i].function = (void (*)(void))instantiate_unnamed;
	}
	drbg->implementation = generator;
	return instantiate != NULL;
}

static void base_find(void)
{
	base = OSSL_PROVIDER_load(NULL, "default");
	for (size_t i = 0; base && i < CHOICES; i++) {
		if (choices[i].operation == OSSL_OP_RAND ? choose_generator(&choices[i]) : choose(&choices[i]))
			continue;
		(void)OSSL_PROVIDER_unload(base);
		base = NULL;
	}
}

static const OSSL_ALGORITHM *slim_query(void *context, int operation, int *no_cache)
{
	(void)context;
	*no_cache = 0;
	for (size_t i = 0; i < CHOICES; i++) {
		if (choices[i].operation == operation)
			return choices[i].chosen;
	}
	return OSSL_PROVIDER_query_operation(base, operation, no_cache);
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
