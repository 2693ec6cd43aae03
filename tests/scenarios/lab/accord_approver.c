/*
 * A client of Accord that can approve, for tests: one request through an HTTP proxy on 127.0.0.1. Prints what was proven,
 * or why nothing was, and the answer.
 *
 * accord_approver ANCHORS TRUST PROXY_PORT HOST PORT [APPROVAL_KEY]
 */
#include "accord/client.h"
#include "pact/pact.h"

#include <arpa/inet.h>
#include <openssl/err.h>
#include <openssl/pem.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

static int connect_through(const char *proxy, const char *host, const char *port)
{
	struct sockaddr_in at = {.sin_family = AF_INET,
		.sin_addr.s_addr = htonl(INADDR_LOOPBACK),
		.sin_port = htons((uint16_t)strtoul(proxy, NULL, 10))};
	char text[1024] = "";
	size_t len = 0;
	int fd = socket(AF_INET, SOCK_STREAM, 0);
	if (connect(fd, (struct sockaddr *)&at, sizeof(at)) != 0)
		return -1;
	int n = snprintf(text, sizeof(text), "CONNECT %s:%s HTTP/1.1\r\nHost: %s\r\n\r\n", host, port, host);
	if (send(fd, text, (size_t)n, 0) != n)
		return -1;
	memset(text, 0, sizeof(text));
	while (len < sizeof(text) - 1 && !strstr(text, "\r\n\r\n") && recv(fd, text + len, 1, 0) == 1)
		len++;
	return strncmp(text, "HTTP/1.1 200", 12) == 0 ? fd : -1;
}

static void tell(const SSL *ssl)
{
	const struct accord_outcome *outcome = accord_client_outcome(ssl);
	if (outcome && outcome->path == ACCORD_PATH_PROVEN)
		printf("proven\n");
	else
		printf("not proven: path %d, %s\n", outcome ? (int)outcome->path : -1,
			outcome ? outcome->judgement.error.text : "no handshake");
}

static bool ask(SSL *ssl, const char *host)
{
	char text[4096];
	int n = snprintf(text, sizeof(text), "GET / HTTP/1.1\r\nHost: %s\r\n\r\n", host);
	if (SSL_write(ssl, text, n) != n)
		return false;
	n = SSL_read(ssl, text, sizeof(text) - 1);
	if (n <= 0)
		return false;
	text[n] = '\0';
	printf("%s\n", text);
	return true;
}

int main(int argc, char **argv)
{
	struct pact *pact = NULL;
	struct error err = {""};
	signal(SIGPIPE, SIG_IGN);
	if (argc < 6)
		return 2;
	const struct pact_terms terms = {.anchors = argv[1], .trust = argv[2]};
	struct accord_client_config config = {.rule = ACCORD_REQUIRE,
		.accepted_roles = ACCORD_READER,
		.verify_proxy = pact_verify_proxy,
		.verify_server = pact_verify_server,
		.now_s = pact_now};
	BIO *key = argc > 6 ? BIO_new_file(argv[6], "r") : NULL;
	config.approval_key = key ? PEM_read_bio_PrivateKey(key, NULL, NULL, NULL) : NULL;
	BIO_free(key);
	SSL_CTX *ctx = SSL_CTX_new(TLS_client_method());
	bool ok = pact_make(&pact, &terms, &err);
	config.ctx = pact;
	ok = ok && accord_client_attach(ctx, &config, &err);
	SSL *ssl = ok ? SSL_new(ctx) : NULL;
	int fd = ok ? connect_through(argv[3], argv[4], argv[5]) : -1;
	if (fd >= 0) {
		SSL_set_verify(ssl, SSL_VERIFY_PEER, NULL);
		SSL_set_tlsext_host_name(ssl, argv[4]);
		SSL_set1_host(ssl, argv[4]);
		SSL_set_fd(ssl, fd);
		ok = SSL_connect(ssl) == 1 && accord_client_passed(ssl);
		tell(ssl);
		ok = ok && ask(ssl, argv[4]);
		close(fd);
	}
	if (err.text[0])
		fprintf(stderr, "%s\n", err.text);
	SSL_free(ssl);
	SSL_CTX_free(ctx);
	EVP_PKEY_free(config.approval_key);
	pact_free(pact);
	return ok && fd >= 0 ? 0 : 1;
}
