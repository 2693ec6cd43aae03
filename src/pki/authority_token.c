#include "pki/authority_parts.h"

#include <openssl/err.h>
#include <openssl/store.h>
#ifndef OPENSSL_NO_ENGINE
#include <openssl/engine.h>
#endif

static EVP_PKEY *key_from_store(const char *uri)
{
	OSSL_STORE_CTX *store = OSSL_STORE_open(uri, NULL, NULL, NULL, NULL);
	if (!store)
		return NULL;
	EVP_PKEY *key = NULL;
	if (OSSL_STORE_expect(store, OSSL_STORE_INFO_PKEY) == 1) {
		while (!key && !OSSL_STORE_eof(store)) {
			OSSL_STORE_INFO *info = OSSL_STORE_load(store);
			if (!info && OSSL_STORE_error(store))
				break;
			if (info && OSSL_STORE_INFO_get_type(info) == OSSL_STORE_INFO_PKEY)
				key = OSSL_STORE_INFO_get1_PKEY(info);
			OSSL_STORE_INFO_free(info);
		}
	}
	OSSL_STORE_close(store);
	return key;
}

#ifndef OPENSSL_NO_ENGINE
/* Engines are deprecated, yet Debian 12 has no provider for tokens: only libengine-pkcs11-openssl. */
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wdeprecated-declarations"
static EVP_PKEY *key_from_engine(const char *uri)
{
	ENGINE_load_dynamic();
	ENGINE *engine = ENGINE_by_id("pkcs11");
	if (!engine)
		return NULL;
	EVP_PKEY *key = NULL;
	if (ENGINE_init(engine) == 1) {
		key = ENGINE_load_private_key(engine, uri, NULL, NULL);
		/* The key keeps the engine alive. */
		ENGINE_finish(engine);
	}
	ENGINE_free(engine);
	return key;
}
#pragma GCC diagnostic pop
#else
static EVP_PKEY *key_from_engine(const char *uri)
{
	(void)uri;
	return NULL;
}
#endif

EVP_PKEY *token_key(const char *uri, struct error *err)
{
	EVP_PKEY *key = key_from_store(uri);
	if (!key)
		key = key_from_engine(uri);
	ERR_clear_error();
	if (!key)
		/* The URI may hold a PIN: it is not repeated. */
		error_set(err,
			"the pkcs11: key cannot be had: OpenSSL needs pkcs11-provider or libengine-pkcs11-openssl, "
			"and the URI must name token, object and pin-value or pin-source");
	return key;
}
