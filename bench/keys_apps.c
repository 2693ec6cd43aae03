/*
 * keys_apps — many programs at once that use TLS: processes of their own, each with a connection of its own to a server
 * on loopback. All stay until the last one has its answer, and say so by a line on standard output.
 *
 *     keys_apps PORT PROCESSES
 */
#include "base/text.h"

#include <openssl/err.h>
#include <openssl/ssl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#define MOST 4000

static _Noreturn void die(const char *what)
{
	fprintf(stderr, "keys_apps: %s\n", what);
	exit(2);
}

/* One connection, one request. NULL when there was no answer. */
static SSL *ask(SSL_CTX *ctx, const char *port)
{
	static const char request[] = "GET / HTTP/1.1\r\nHost: www.bench.test\r\n\r\n";
	char where[32], answer[512];
	snprintf(where, sizeof(where), "127.0.0.1:%s", port);
	SSL *ssl = SSL_new(ctx);
	BIO *bio = BIO_new_connect(where);
	if (!ssl || !bio)
		return NULL;
	SSL_set_bio(ssl, bio, bio);
	if (SSL_set_tlsext_host_name(ssl, "www.bench.test") == 1 && SSL_connect(ssl) == 1 &&
		SSL_write(ssl, request, (int)strlen(request)) > 0 && SSL_read(ssl, answer, sizeof(answer)) > 0)
		return ssl;
	ERR_print_errors_fp(stderr);
	SSL_free(ssl);
	return NULL;
}

/* Says how it went, and stays until it is told to go: until the other end of `go` is closed. */
static _Noreturn void be_one(const char *port, int said, int go)
{
	char octet;
	SSL_CTX *ctx = SSL_CTX_new(TLS_client_method());
	SSL *ssl = ctx ? ask(ctx, port) : NULL;
	ssize_t told = write(said, ssl ? "+" : "-", 1);
	close(said);
	while (told == 1 && read(go, &octet, 1) > 0)
		;
	SSL_free(ssl);
	SSL_CTX_free(ctx);
	_exit(ssl ? 0 : 1);
}

static size_t await_all(int said, size_t count)
{
	size_t answered = 0;
	char octet;
	for (size_t i = 0; i < count && read(said, &octet, 1) == 1; i++)
		answered += octet == '+';
	return answered;
}

int main(int argc, char **argv)
{
	int said[2], go[2];
	uint64_t count;
	if (argc != 3 || !text_number(bytes_str(argv[2]), MOST, &count) || count == 0)
		die("usage: keys_apps PORT PROCESSES");
	if (pipe(said) != 0 || pipe(go) != 0)
		die("no pipe");
	for (size_t i = 0; i < count; i++) {
		pid_t pid = fork();
		if (pid < 0)
			die("no more processes");
		if (pid == 0) {
			close(said[0]);
			close(go[1]);
			be_one(argv[1], said[1], go[0]);
		}
	}
	close(said[1]);
	size_t answered = await_all(said[0], count);
	printf("answered %zu\n", answered);
	fflush(stdout);
	/* Until whoever started this has looked. */
	(void)!getchar();
	close(go[1]);
	while (wait(NULL) > 0)
		;
	return answered == count ? 0 : 1;
}
