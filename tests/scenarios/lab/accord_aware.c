/*
 * A server that knows Accord and can demand approvals, for tests of the proxy: one HTTPS connection after the other on
 * 127.0.0.1. It prints "listening PORT" when it does, and for each connection a line that says what it knew of the proxy
 * when data came, or why none was read.
 *
 * accord_aware CERT KEY RULING [STATEMENT [ANCHORS APPROVAL_KEY]], RULING: accept, refuse, demand or silent.
 */
#include "accord/server.h"
#include "base/clock.h"

#include <arpa/inet.h>
#include <openssl/err.h>
#include <openssl/pem.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

struct mind {
	struct accord_ruling ruling;
	X509_STORE *anchors;
	EVP_PKEY *enrolled;
};

static void rule(void *ctx, SSL *ssl, const struct accord_claim *claim, struct accord_ruling *out)
{
	const struct mind *mind = ctx;
	(void)ssl, (void)claim;
	*out = mind->ruling;
}

static bool verify_proxy(void *ctx, const struct accord_chain *chain, struct accord_identity *who, struct error *err)
{
	const struct mind *mind = ctx;
	return mind->anchors &&
	       accord_chain_verify(mind->anchors, NULL, chain, (int64_t)(clock_wall_ns() / NS_PER_S), who, err);
}

static bool enrolled(void *ctx, SSL *ssl, struct bytes key)
{
	const struct mind *mind = ctx;
	unsigned char *der = NULL;
	(void)ssl;
	int len = mind->enrolled ? i2d_PUBKEY(mind->enrolled, &der) : -1;
	bool same = len > 0 && bytes_equal(key, bytes_of(der, (size_t)len));
	OPENSSL_free(der);
	return same;
}

static bool read_mind(struct mind *mind, int argc, char **argv)
{
	static const char *const words[] = {[ACCORD_RULING_ACCEPT] = "accept",
		[ACCORD_RULING_REFUSE] = "refuse",
		[ACCORD_RULING_DEMAND] = "demand",
		[ACCORD_RULING_SILENT] = "silent"};
	bool known = false;
	for (unsigned i = 0; argc > 3 && i < 4; i++) {
		if (strcmp(argv[3], words[i]) == 0) {
			mind->ruling.kind = (enum accord_ruling_kind)i;
			known = true;
		}
	}
	if (argc > 4)
		snprintf(mind->ruling.statement, sizeof(mind->ruling.statement), "%s", argv[4]);
	if (!known || argc <= 6)
		return known;
	mind->anchors = X509_STORE_new();
	BIO *key = BIO_new_file(argv[6], "r");
	mind->enrolled = key ? PEM_read_bio_PrivateKey(key, NULL, NULL, NULL) : NULL;
	BIO_free(key);
	return mind->anchors && X509_STORE_load_file(mind->anchors, argv[5]) == 1 && mind->enrolled;
}

static int take_http1(
	SSL *ssl, const unsigned char **out, unsigned char *len, const unsigned char *in, unsigned in_len, void *unused)
{
	static const unsigned char own[] = "\x08http/1.1";
	unsigned char *chosen;
	(void)ssl, (void)unused;
	if (SSL_select_next_proto(&chosen, len, own, sizeof(own) - 1, in, in_len) != OPENSSL_NPN_NEGOTIATED)
		return SSL_TLSEXT_ERR_NOACK;
	*out = chosen;
	return SSL_TLSEXT_ERR_OK;
}

static void serve(SSL_CTX *ctx, int fd)
{
	static const char answer[] = "HTTP/1.1 200 OK\r\nContent-Length: 6\r\nConnection: close\r\n\r\naware\n";
	char request[4096];
	SSL *ssl = SSL_new(ctx);
	SSL_set_fd(ssl, fd);
	bool up = SSL_accept(ssl) == 1 && accord_server_passed(ssl);
	const struct accord_claim *claim = accord_server_claim(ssl);
	if (up && SSL_read(ssl, request, sizeof(request)) > 0) {
		printf("read hops=%zu sealed=%d confirmed=%d proxy=%s\n", claim ? claim->introduction.hops : 0,
			claim && claim->sealed, claim && claim->confirmed, claim ? claim->proxy.name : "");
		(void)SSL_write(ssl, answer, sizeof(answer) - 1);
		(void)SSL_shutdown(ssl);
	} else {
		printf("nothing read: %s\n", claim && claim->fault.text[0] ? claim->fault.text : "no handshake");
	}
	ERR_clear_error();
	SSL_free(ssl);
	close(fd);
}

int main(int argc, char **argv)
{
	struct mind mind = {.anchors = NULL};
	struct error err = {""};
	struct sockaddr_in at = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	socklen_t len = sizeof(at);
	signal(SIGPIPE, SIG_IGN);
	setvbuf(stdout, NULL, _IOLBF, 0);
	const struct accord_server_config config = {
		.ctx = &mind, .rule = rule, .verify_proxy = verify_proxy, .enrolled = enrolled};
	SSL_CTX *ctx = SSL_CTX_new(TLS_server_method());
	int fd = socket(AF_INET, SOCK_STREAM, 0);
	bool ok = read_mind(&mind, argc, argv) && ctx && SSL_CTX_use_certificate_chain_file(ctx, argv[1]) == 1 &&
	          SSL_CTX_use_PrivateKey_file(ctx, argv[2], SSL_FILETYPE_PEM) == 1 &&
	          accord_server_attach(ctx, &config, &err) && bind(fd, (struct sockaddr *)&at, len) == 0 &&
	          listen(fd, 16) == 0 && getsockname(fd, (struct sockaddr *)&at, &len) == 0;
	if (!ok) {
		fprintf(stderr, "accord_aware: %s\n", err.text[0] ? err.text : "what it needs is not there");
		return 2;
	}
	SSL_CTX_set_alpn_select_cb(ctx, take_http1, NULL);
	printf("listening %d\n", ntohs(at.sin_port));
	for (int client; (client = accept(fd, NULL, NULL)) >= 0;)
		serve(ctx, client);
	return 0;
}
