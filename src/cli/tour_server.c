/*
 * cli/tour_server.c — the server that a tour's clients talk to: stock OpenSSL, HTTP/1.1 (RFC 9112), one answer per
 * connection, "localhost" at 127.0.0.1. It knows nothing of Overt.
 */
#include "assess/identity.h"
#include "base/text.h"
#include "cli/options.h"
#include "cli/tour_parts.h"

#include <netinet/in.h>
#include <openssl/pem.h>
#include <openssl/ssl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#define CONNECTION_S 20 /* after which a connection is ended */
#define BODY         "{\"owner\": \"Ada\", \"balance\": 42}\n"

/* Files. */

static bool put(const struct tour *tour, const char *name, BIO *text, struct error *err)
{
	char *data = NULL;
	long len = BIO_get_mem_data(text, &data);
	return len > 0 && tour_write(tour, name, bytes_of(data, (size_t)len), err);
}

/* server.pem: the leaf, what stands above it, and the key. */
static bool write_files(
	const struct tour *tour, const struct identity_maker *maker, const struct identity *identity, struct error *err)
{
	BIO *ca = BIO_new(BIO_s_mem()), *server = BIO_new(BIO_s_secmem());
	bool ok = ca && server && PEM_write_bio_X509(ca, identity_root(maker)) == 1 &&
	          PEM_write_bio_X509(server, identity->leaf) == 1;
	for (int i = 0; ok && i < sk_X509_num(identity->above); i++)
		ok = PEM_write_bio_X509(server, sk_X509_value(identity->above, i)) == 1;
	ok = ok && PEM_write_bio_PrivateKey(server, identity->key, NULL, NULL, 0, NULL, NULL) == 1;
	if (!ok)
		error_set_openssl(err, "the server's certificate cannot be written");
	ok = ok && put(tour, "ca.pem", ca, err) && put(tour, "server.pem", server, err);
	BIO_free(ca);
	BIO_free(server);
	return ok;
}

static bool make_files(const struct tour *tour, struct error *err)
{
	struct identity identity = {0};
	struct identity_maker *maker = identity_maker_new("localhost", NULL, err);
	bool ok = maker && (identity_make(maker, IDENTITY_GOOD, false, &identity) ||
				   error_set_openssl(err, "a certificate for localhost cannot be made"));
	ok = ok && write_files(tour, maker, &identity, err);
	identity_free(&identity);
	identity_maker_free(maker);
	return ok;
}

static SSL_CTX *context_of(const char *path, struct error *err)
{
	SSL_CTX *ctx = SSL_CTX_new(TLS_server_method());
	if (ctx && SSL_CTX_set_min_proto_version(ctx, TLS1_2_VERSION) == 1 &&
		SSL_CTX_use_certificate_chain_file(ctx, path) == 1 &&
		SSL_CTX_use_PrivateKey_file(ctx, path, SSL_FILETYPE_PEM) == 1)
		return ctx;
	error_set_openssl(err, "%s", path);
	SSL_CTX_free(ctx);
	return NULL;
}

/* Port 0: the kernel's choice. -1 with err set. */
static int listen_at(uint16_t *port, struct error *err)
{
	struct sockaddr_in at = {
		.sin_family = AF_INET, .sin_port = htons(*port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	socklen_t len = sizeof(at);
	int one = 1, fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (fd >= 0 && setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one)) == 0 &&
		bind(fd, (struct sockaddr *)&at, sizeof(at)) == 0 && listen(fd, 16) == 0 &&
		getsockname(fd, (struct sockaddr *)&at, &len) == 0) {
		*port = ntohs(at.sin_port);
		return fd;
	}
	error_set_errno(err, "127.0.0.1 port %u", *port);
	if (fd >= 0)
		close(fd);
	return -1;
}

/* Serving. */

static void answer(SSL *ssl)
{
	static const char text[] = "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %zu\r\n"
				   "Connection: close\r\n\r\n%s";
	char head[4096], reply[512];
	size_t have = 0, got = 0;
	while (have < sizeof(head) - 1 && SSL_read_ex(ssl, head + have, sizeof(head) - 1 - have, &got) == 1) {
		have += got;
		head[have] = '\0';
		if (strstr(head, "\r\n\r\n"))
			break;
	}
	int n = snprintf(reply, sizeof(reply), text, sizeof(BODY) - 1, BODY);
	if (have > 0 && n > 0 && SSL_write_ex(ssl, reply, (size_t)n, &got) == 1)
		(void)SSL_shutdown(ssl);
}

static no_return void serve_one(SSL_CTX *ctx, int fd)
{
	SSL *ssl = SSL_new(ctx);
	alarm(CONNECTION_S);
	if (ssl && SSL_set_fd(ssl, fd) == 1 && SSL_accept(ssl) == 1)
		answer(ssl);
	/* What the client still sends is taken, so that it reads the answer and no reset. */
	uint8_t rest[256];
	(void)shutdown(fd, SHUT_WR);
	while (read(fd, rest, sizeof(rest)) > 0)
		;
	_exit(0);
}

/* A process per connection: one that is held open keeps no other waiting. */
static no_return void serve(SSL_CTX *ctx, int listener)
{
	signal(SIGCHLD, SIG_IGN);
	for (;;) {
		int fd = accept(listener, NULL, NULL);
		if (fd < 0)
			continue;
		if (fork() == 0)
			serve_one(ctx, fd);
		close(fd);
	}
}

static no_return void serve_tour(SSL_CTX *ctx, int listener, pid_t parent)
{
	signal(SIGINT, SIG_DFL);
	signal(SIGTERM, SIG_DFL);
	(void)prctl(PR_SET_PDEATHSIG, SIGTERM);
	if (getppid() != parent)
		_exit(1);
	serve(ctx, listener);
}

bool tour_server_begin(struct tour *tour, struct error *err)
{
	char path[FILE_PATH_MAX], text[16];
	pid_t parent = getpid();
	if (!make_files(tour, err) || !tour_path(tour, "server.pem", path, err))
		return false;
	SSL_CTX *ctx = context_of(path, err);
	int fd = ctx ? listen_at(&tour->port, err) : -1;
	int n = snprintf(text, sizeof(text), "%u\n", tour->port);
	bool ok = fd >= 0 && tour_write(tour, "port", bytes_of(text, (size_t)n), err);
	if (ok) {
		tour->server = fork();
		if (tour->server == 0)
			serve_tour(ctx, fd, parent);
		ok = tour->server > 0 || error_set_errno(err, "the server cannot be started");
	}
	if (fd >= 0)
		close(fd);
	SSL_CTX_free(ctx);
	return ok;
}

void tour_server_end(struct tour *tour)
{
	if (tour->server > 0) {
		kill(tour->server, SIGTERM);
		(void)waitpid(tour->server, NULL, 0);
	}
	tour->server = 0;
}

static bool read_port(const char *path, uint16_t *port, struct error *err)
{
	struct file_bytes file = {0};
	uint64_t number = 0;
	if (!file_read(path, 16, &file, NULL, err))
		return false;
	bool ok = file.len > 0 && text_number(bytes_of(file.data, file.len - 1), 65535, &number) && number > 0;
	*port = (uint16_t)number;
	file_bytes_free(&file);
	return ok || error_set(err, "%s: no port stands there", path);
}

int tour_serve(const char *dir)
{
	struct error err = {0};
	char cert[FILE_PATH_MAX], at[FILE_PATH_MAX];
	uint16_t port = 0;
	SSL_CTX *ctx = NULL;
	int fd = -1;
	if (file_join(cert, dir, "server.pem", &err) && file_join(at, dir, "port", &err) && read_port(at, &port, &err))
		ctx = context_of(cert, &err);
	if (ctx)
		fd = listen_at(&port, &err);
	if (fd < 0) {
		SSL_CTX_free(ctx);
		return complain("tour", &err, 1);
	}
	fprintf(stderr, "overt tour: https://localhost:%u/ until Ctrl-C\n", port);
	serve(ctx, fd);
}
