/*
 * agent/share_openssl_library.h — the OpenSSLs of a program, each by its own functions: looked up by name in the library
 * that made a context, of which there may be several. To use one more function, give it a member here and a line in the
 * table.
 */
#ifndef AGENT_SHARE_OPENSSL_LIBRARY_H
#define AGENT_SHARE_OPENSSL_LIBRARY_H

#include "base/attr.h"

#include <openssl/hmac.h>
#include <openssl/sha.h>
#include <openssl/ssl.h>
#include <stdint.h>

#define OPENSSL_LIBRARIES 4 /* of OpenSSL in one process */

/* Functions that stand before the library's (share_openssl_call.h). */
enum openssl_call {
	OPENSSL_READ,
	OPENSSL_READ_EX,
	OPENSSL_PEEK,
	OPENSSL_PEEK_EX,
	OPENSSL_WRITE,
	OPENSSL_WRITE_EX,
	OPENSSL_SHUTDOWN,
	OPENSSL_DO_HANDSHAKE,
	OPENSSL_CONNECT,
	OPENSSL_ACCEPT,
	OPENSSL_CALLS,
};

/* One OpenSSL, from 1.1.1 on. */
struct openssl_library {
	void *calls[OPENSSL_CALLS];
	int (*do_handshake)(SSL *ssl);
	int (*key_update)(SSL *ssl, int type);
	int (*get_key_update)(const SSL *ssl);
	int (*is_finished)(const SSL *ssl);
	int (*get_shutdown)(const SSL *ssl);
	int (*want)(const SSL *ssl);
	uint64_t (*get_options)(const SSL *ssl);
	int (*get_rfd)(const SSL *ssl);
	int (*get_wfd)(const SSL *ssl);
	size_t (*client_random)(const SSL *ssl, unsigned char *out, size_t cap);
	int (*set_mark)(void);
	int (*pop_to_mark)(void);
	unsigned long (*version_num)(void);
	const char *(*version)(int type);
	int (*new_index)(int class_index, long argl, void *argp, CRYPTO_EX_new *new_func, CRYPTO_EX_dup *dup_func,
		CRYPTO_EX_free *free_func);
	void (*ctx_set_keylog)(SSL_CTX *ctx, SSL_CTX_keylog_cb_func callback);
	SSL_CTX_keylog_cb_func (*ctx_get_keylog)(const SSL_CTX *ctx);
	int (*ctx_set_data)(SSL_CTX *ctx, int index, void *data);
	void *(*ctx_get_data)(const SSL_CTX *ctx, int index);
	int (*set_data)(SSL *ssl, int index, void *data);
	void *(*get_data)(const SSL *ssl, int index);
	SSL_CTX *(*get_ctx)(const SSL *ssl);
	int (*get_version)(const SSL *ssl);
	int (*is_server)(const SSL *ssl);
	size_t (*server_random)(const SSL *ssl, unsigned char *out, size_t cap);
	int (*session_reused)(const SSL *ssl);
	void (*ctx_set_message)(SSL_CTX *ctx,
		void (*callback)(int write, int version, int type, const void *data, size_t len, SSL *ssl, void *arg));
	void (*set_message)(SSL *ssl,
		void (*callback)(int write, int version, int type, const void *data, size_t len, SSL *ssl, void *arg));
	int (*add_custom_ext)(SSL_CTX *ctx, unsigned int type, unsigned int context, SSL_custom_ext_add_cb_ex add,
		SSL_custom_ext_free_cb_ex release, void *add_arg, SSL_custom_ext_parse_cb_ex parse, void *parse_arg);
	int (*digest)(const void *data, size_t len, unsigned char *out, unsigned int *out_len, const EVP_MD *md,
		ENGINE *engine);
	const SSL_CIPHER *(*current_cipher)(const SSL *ssl);
	const SSL_CIPHER *(*pending_cipher)(const SSL *ssl);
	uint16_t (*cipher_id)(const SSL_CIPHER *cipher);
	int (*get_fd)(const SSL *ssl);
	const char *(*servername)(const SSL *ssl, int type);
	void (*set_shutdown)(SSL *ssl, int mode);
	unsigned char *(*hmac)(const EVP_MD *md, const void *key, int key_len, const unsigned char *data, size_t len,
		unsigned char *out, unsigned int *out_len);
	const EVP_MD *(*sha256)(void);
	const EVP_MD *(*sha384)(void);
	/* NULL in builds without what is deprecated; then `hmac` serves. */
	int (*sha256_init)(SHA256_CTX *ctx);
	int (*sha256_update)(SHA256_CTX *ctx, const void *data, size_t len);
	int (*sha256_final)(unsigned char *out, SHA256_CTX *ctx);
	int (*sha384_init)(SHA512_CTX *ctx);
	int (*sha384_update)(SHA512_CTX *ctx, const void *data, size_t len);
	int (*sha384_final)(unsigned char *out, SHA512_CTX *ctx);
	unsigned number;                    /* below OPENSSL_LIBRARIES */
	int ctx_slot;                       /* of contexts: the program's own keylog callback */
	int slot;                           /* of connections: how often each side has changed its key */
	int consent_slot, consent_ctx_slot; /* those of share_consent.h */
	int rotate_slot;                    /* of connections: share_rotate's */
	/* Those of share_update.h, where that is needed: of connections, and the program's message callbacks. */
	int update_slot, message_slot, message_ctx_slot;
};

/*
 * The library that has the code at `caller`: one that is known, or else looked up, with places in its objects for data of
 * ours. NULL for what is no OpenSSL, too old, or one too many. One thread at a time.
 */
must_check const struct openssl_library *openssl_library_of(const void *caller);
/* By number; NULL when there are not so many. Any thread. */
must_check const struct openssl_library *openssl_library(unsigned number);
/* The library whose function this is; NULL when it is none of those known. Any thread. */
must_check const struct openssl_library *openssl_library_with(enum openssl_call call, const void *function);
must_check const char *openssl_call_name(enum openssl_call call);

#endif
