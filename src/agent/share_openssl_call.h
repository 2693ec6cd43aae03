/*
 * agent/share_openssl_call.h — functions of libssl's names that stand before those after which share_rotate may have
 * something to do. They do nothing but pass calls on, as long as it has not.
 */
#ifndef AGENT_SHARE_OPENSSL_CALL_H
#define AGENT_SHARE_OPENSSL_CALL_H

#include <openssl/ssl.h>

int SSL_read(SSL *ssl, void *to, int len);
int SSL_read_ex(SSL *ssl, void *to, size_t len, size_t *done);
int SSL_peek(SSL *ssl, void *to, int len);
int SSL_peek_ex(SSL *ssl, void *to, size_t len, size_t *done);
int SSL_write(SSL *ssl, const void *from, int len);
int SSL_write_ex(SSL *ssl, const void *from, size_t len, size_t *done);
int SSL_shutdown(SSL *ssl);
int SSL_do_handshake(SSL *ssl);
int SSL_connect(SSL *ssl);
int SSL_accept(SSL *ssl);

/* Once. */
void share_openssl_call_begin(void);

#endif
