/*
 * agent/share_openssl.h — sharing in programs that use OpenSSL from 1.1.1 on: functions of its names that stand before
 * its own.
 *
 * libssl gives every context that it makes a place for data of others, by a function of libcrypto, CRYPTO_new_ex_data.
 * This is where contexts are met: by whatever way the program has found libssl's functions, linked or by dlsym, libssl
 * finds libcrypto's as the linker says. Nothing of OpenSSL is linked here; what is called is looked up by name in the
 * library that made the context, of which there may be several.
 */
#ifndef AGENT_SHARE_OPENSSL_H
#define AGENT_SHARE_OPENSSL_H

#include <openssl/ssl.h>
#include <stdint.h>

/* What follows is CRYPTO_new_ex_data to the linker; as OpenSSL declares it, it would cut what others pass. */
int share_new_ex_data(uintptr_t class_index, void *object, void *data) __asm__("CRYPTO_new_ex_data");
void SSL_CTX_set_keylog_callback(SSL_CTX *ctx, SSL_CTX_keylog_cb_func callback);
SSL_CTX_keylog_cb_func SSL_CTX_get_keylog_callback(const SSL_CTX *ctx);

/* Once. */
void share_openssl_begin(void);

#endif
