/*
 * The aware server of bench/accord, one connection after the other, without tickets: it answers each octet that comes
 * with one of its own. Prints "listening PORT".
 *
 * accord_aware CHAIN.pem KEY.pem                               accepts every proxy
 * accord_aware CHAIN.pem KEY.pem ANCHORS.pem APPROVAL.pem      demands an approval by that key
 *
 * A client that knows nothing of Accord finds an ordinary server.
 */
#include <overt/accord.h>

#include <arpa/inet.h>
#include <netinet/tcp.h>
#include <openssl/pem.h>
#include <openssl/ssl.h>
#include <openssl/x509.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

struct rule {
	bool demands;
	unsigned char *spki; /* of the key that approves */
	int spki_len;
};

static void on_rule(void *arg, SSL *ssl, const struct overt_accord_claim *claim, struct overt_accord_ruling *out)
{
	const struct rule *rule = arg;
	(void)ssl, (void)claim;
	out->answer = rule->demands ? OVERT_ACCORD_DEMAND : OVERT_ACCORD_ACCEPT;
}

static bool on_enrolled(void *arg, SSL *ssl, const uint8_t *key, size_t len)
{
	const struct rule *rule = arg;
	(void)ssl;
	return rule->spki_len > 0 && len == (size_t)rule->spki_len && memcmp(key, rule->spki, len) == 0;
}

static bool read_key(struct rule *rule, const char *path)
{
	BIO *bio = BIO_new_file(path, "r");
	EVP_PKEY *key = bio ? PEM_read_bio_PrivateKey(bio, NULL, NULL, NULL) : NULL;
	rule->spki_len = key ? i2d_PUBKEY(key, &rule->spki) : 0;
	rule->demands = true;
	EVP_PKEY_free(key);
	BIO_free(bio);
	return rule->spki_len > 0;
}

static SSL_CTX *make_context(char **argv, const struct overt_accord_aware_options *options, struct overt_error *error)
{
	SSL_CTX *ctx = SSL_CTX_new(TLS_server_method());
	struct overt_accord_aware *aware = overt_accord_aware_new(options, error);
	bool ok = ctx && aware && SSL_CTX_use_certificate_chain_file(ctx, argv[1]) == 1 &&
	          SSL_CTX_use_PrivateKey_file(ctx, argv[2], SSL_FILETYPE_PEM) == 1 &&
	          SSL_CTX_set_num_tickets(ctx, 0) == 1 && SSL_CTX_set_min_proto_version(ctx, TLS1_3_VERSION) == 1 &&
	          overt_accord_aware_attach(aware, ctx, error);
	overt_accord_aware_free(aware);
	if (ok)
		return ctx;
	SSL_CTX_free(ctx);
	return NULL;
}

static int listen_somewhere(void)
{
	struct sockaddr_in at = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	socklen_t len = sizeof(at);
	int fd = socket(AF_INET, SOCK_STREAM, 0);
	if (bind(fd, (struct sockaddr *)&at, len) != 0 || listen(fd, 64) != 0 ||
		getsockname(fd, (struct sockaddr *)&at, &len) != 0) {
		close(fd);
		return -1;
	}
	printf("listening %u\n", ntohs(at.sin_port));
	fflush(stdout);
	return fd;
}

static void serve(SSL_CTX *ctx, int fd)
{
	char octet;
	int yes = 1;
	SSL *ssl = SSL_new(ctx);
	setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &yes, sizeof(yes));
	if (ssl && SSL_set_fd(ssl, fd) == 1 && SSL_accept(ssl) == 1) {
		while (SSL_read(ssl, &octet, 1) == 1 && SSL_write(ssl, &octet, 1) == 1)
			;
		(void)SSL_shutdown(ssl);
	}
	SSL_free(ssl);
	close(fd);
}

int main(int argc, char **argv)
{
	struct rule rule = {.demands = false};
	struct overt_error error = {""};
	const struct overt_accord_aware_options options = {
		.anchors = argc > 4 ? argv[3] : NULL, .rule = on_rule, .enrolled = on_enrolled, .arg = &rule};
	signal(SIGPIPE, SIG_IGN);
	if (argc != 3 && argc != 5) {
		fputs("usage: accord_aware CHAIN KEY [ANCHORS APPROVAL]\n", stderr);
		return 2;
	}
	SSL_CTX *ctx = argc < 5 || read_key(&rule, argv[4]) ? make_context(argv, &options, &error) : NULL;
	int listener = ctx ? listen_somewhere() : -1;
	if (listener < 0) {
		fprintf(stderr, "accord_aware: %s\n", error.text[0] ? error.text : "what it needs is not there");
		return 1;
	}
	for (int fd; (fd = accept(listener, NULL, NULL)) >= 0;)
		serve(ctx, fd);
	return 1;
}
