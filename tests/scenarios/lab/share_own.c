/*
 * share_own CHAIN KEY — a program that uses the extension's number for something of its own: a handshake with itself, in
 * memory, and what each side was told by the other.
 */
#include <openssl/ssl.h>
#include <stdio.h>
#include <string.h>

#define NUMBER 0xFFAD

static char heard[2][32]; /* by the client, by the server */

static int add(SSL *ssl, unsigned int type, unsigned int context, const unsigned char **out, size_t *len, X509 *x,
	size_t at, int *alert, void *arg)
{
	(void)type, (void)context, (void)x, (void)at, (void)alert, (void)arg;
	*out = (const unsigned char *)(SSL_is_server(ssl) ? "from the server" : "from the client");
	*len = 15;
	return 1;
}

static int parse(SSL *ssl, unsigned int type, unsigned int context, const unsigned char *in, size_t len, X509 *x,
	size_t at, int *alert, void *arg)
{
	(void)type, (void)context, (void)x, (void)at, (void)alert, (void)arg;
	if (len < sizeof(heard[0]))
		memcpy(heard[SSL_is_server(ssl)], in, len);
	return 1;
}

static int meet(SSL *client, SSL *server)
{
	BIO *near, *far;
	if (BIO_new_bio_pair(&near, 0, &far, 0) != 1)
		return 0;
	SSL_set_bio(client, near, near);
	SSL_set_bio(server, far, far);
	SSL_set_connect_state(client);
	SSL_set_accept_state(server);
	for (int turn = 0; turn < 10; turn++) {
		int done = SSL_do_handshake(client) == 1;
		if (SSL_do_handshake(server) == 1 && done)
			return 1;
	}
	return 0;
}

int main(int argc, char **argv)
{
	const unsigned int where = SSL_EXT_CLIENT_HELLO | SSL_EXT_TLS1_3_ENCRYPTED_EXTENSIONS;
	SSL_CTX *ctx = SSL_CTX_new(TLS_method());
	if (argc != 3 || !ctx || SSL_CTX_use_certificate_chain_file(ctx, argv[1]) != 1 ||
		SSL_CTX_use_PrivateKey_file(ctx, argv[2], SSL_FILETYPE_PEM) != 1)
		return 2;
	int added = SSL_CTX_add_custom_ext(ctx, NUMBER, where, add, NULL, NULL, parse, NULL);
	int again = SSL_CTX_add_custom_ext(ctx, NUMBER, where, add, NULL, NULL, parse, NULL);
	SSL *client = SSL_new(ctx), *server = SSL_new(ctx);
	int met = client && server && meet(client, server);
	printf("added %d, again %d, met %d\nclient heard: %s\nserver heard: %s\n", added, again, met, heard[0],
		heard[1]);
	SSL_free(client);
	SSL_free(server);
	SSL_CTX_free(ctx);
	return 0;
}
