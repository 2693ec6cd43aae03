#include "pki/authority_parts.h"

#include <openssl/err.h>
#include <openssl/provider.h>
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
/* *found: there is an engine, whatever it says to the URI. */
static EVP_PKEY *key_from_engine(const char *uri, bool *found)
{
	ENGINE_load_dynamic();
	ENGINE *engine = ENGINE_by_id("pkcs11");
	if (!engine)
		return NULL;
	*found = true;
	ERR_clear_error();
	EVP_PKEY *key = NULL;
	/* It would print the URI, and so the PIN, on standard error. */
	ENGINE_ctrl_cmd_string(engine, "QUIET", NULL, 0);
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
static EVP_PKEY *key_from_engine(const char *uri, bool *found)
{
	(void)uri;
	(void)found;
	return NULL;
}
#endif

/* What the token said first; NULL when nothing was said. Reasons are fixed texts: no part of the URI is among them. */
static const char *first_reason(void)
{
	unsigned long code;
	while ((code = ERR_get_error()) != 0) {
		const char *reason = ERR_reason_error_string(code);
		if (reason)
			return reason;
	}
	return NULL;
}

EVP_PKEY *token_key(const char *uri, struct error *err)
{
	ERR_clear_error();
	EVP_PKEY *key = key_from_store(uri);
	bool found = OSSL_PROVIDER_available(NULL, "pkcs11") == 1;
	if (!key)
		key = key_from_engine(uri, &found);
	/* The URI may hold a PIN: it is not repeated. */
	const char *reason = key ? NULL : first_reason();
	if (!key && !found)
		error_set(err, "--ca-key pkcs11:… needs pkcs11-provider or libengine-pkcs11-openssl, and OpenSSL finds "
			       "neither");
	else if (!key)
		error_set(err,
			"--ca-key pkcs11:… cannot be had%s%s: see that token, object and pin-value (or pin-source) of "
			"the URI are right",
			reason ? ": the token says: " : "", reason ? reason : "");
	ERR_clear_error();
	return key;
}
