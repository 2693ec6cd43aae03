/*
 * bench/server.c — the origin: HTTP/1.1 keep-alive over TLS 1.3, one thread. `/` answers 100 octets, `/bytes/N` so many.
 *
 * It listens on four ports of the kernel's choice, printed as JSON: `full` never resumes, `resume` does, `wrongname`
 * has a certificate for another name, `untrusted` one that nobody signed. A line on standard input is answered with the
 * counts so far; its end ends the server.
 */
#include "base/loop.h"
#include "base/text.h"
#include "head.h"
#include "mint.h"
#include "tlsside.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <openssl/err.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#define PORTS        4
#define BODY         100
#define STREAM_CHUNK 65536
#define DEFAULT_NAME "www.bench.test"
#define WRONG_NAME   "www.wrong.test"

enum port_kind { PORT_FULL, PORT_RESUME, PORT_WRONG_NAME, PORT_UNTRUSTED };
static const char *const port_names[PORTS] = {"full", "resume", "wrongname", "untrusted"};

struct server;

struct port {
	struct loop_io io;
	struct server *server;
	enum port_kind kind;
	SSL_CTX *ctx;
	uint64_t handshakes, resumed, requests;
};

struct server {
	struct loop *loop;
	struct mint *mint;
	X509 *self_signed;
	struct port ports[PORTS];
	struct loop_io input;
	uint8_t stream[STREAM_CHUNK];
};

struct peer {
	struct loop_io io; /* first: the loop hands this back */
	struct port *port;
	SSL *ssl;
	bool open; /* the handshake is done */
	uint8_t in[4096];
	size_t in_len;
	char out[256];
	size_t out_len, out_at;
	uint64_t stream_left;
};

static void peer_free(struct peer *peer)
{
	loop_remove(peer->port->server->loop, &peer->io);
	SSL_free(peer->ssl);
	close(peer->io.fd);
	free(peer);
}

/* True when the call may be tried again later; the peer is gone otherwise. */
static bool after_tls(struct peer *peer, int result)
{
	switch (SSL_get_error(peer->ssl, result)) {
	case SSL_ERROR_WANT_READ:
	case SSL_ERROR_WANT_WRITE:
		return true;
	case SSL_ERROR_ZERO_RETURN:
		SSL_shutdown(peer->ssl);
		break;
	default:
		break;
	}
	peer_free(peer);
	return false;
}

static bool respond(struct peer *peer, struct bytes target)
{
	uint64_t length;
	struct bytes prefix = bytes_str("/bytes/");
	const char *status = "200 OK";
	peer->port->requests++;
	peer->stream_left = BODY;
	if (bytes_starts(target, prefix)) {
		if (!bytes_skip(&target, prefix.len) || !text_number(target, 1ULL << 40, &length))
			return false;
		peer->stream_left = length;
	} else if (!bytes_equal(target, bytes_str("/"))) {
		status = "404 Not Found";
	}
	peer->out_at = 0;
	peer->out_len = (size_t)snprintf(peer->out, sizeof(peer->out),
		"HTTP/1.1 %s\r\nContent-Type: application/octet-stream\r\nContent-Length: %" PRIu64 "\r\n\r\n", status,
		peer->stream_left);
	/* A small answer goes out as one record. */
	if (peer->stream_left <= BODY) {
		memset(peer->out + peer->out_len, 'x', peer->stream_left);
		peer->out_len += peer->stream_left;
		peer->stream_left = 0;
	}
	return true;
}

/* Sends what is due. 1: all is sent; 0: the socket is full; -1: the peer is gone. */
static int peer_send(struct peer *peer)
{
	while (peer->out_at < peer->out_len || peer->stream_left > 0) {
		const void *from = peer->out + peer->out_at;
		size_t n = peer->out_len - peer->out_at;
		if (n == 0) {
			from = peer->port->server->stream;
			n = peer->stream_left < STREAM_CHUNK ? peer->stream_left : STREAM_CHUNK;
		}
		int result = SSL_write(peer->ssl, from, (int)n);
		if (result <= 0)
			return after_tls(peer, result) ? 0 : -1;
		if (peer->out_at < peer->out_len)
			peer->out_at += (size_t)result;
		else
			peer->stream_left -= (uint64_t)result;
	}
	return 1;
}

/* Answers the request at the front of what has come. False when the peer must wait or is gone. */
static bool peer_answer(struct peer *peer)
{
	struct bytes in = bytes_of(peer->in, peer->in_len);
	struct head head;
	switch (head_read(&in, &head)) {
	case HEAD_OK:
		break;
	case HEAD_NEED_MORE:
		if (peer->in_len < sizeof(peer->in))
			return true;
		/* fall through */
	case HEAD_BROKEN:
		peer_free(peer);
		return false;
	}
	if (!respond(peer, head.words[1])) {
		peer_free(peer);
		return false;
	}
	memmove(peer->in, in.data, in.len);
	peer->in_len = in.len;
	return peer_send(peer) == 1;
}

static bool peer_receive(struct peer *peer)
{
	int result = SSL_read(peer->ssl, peer->in + peer->in_len, (int)(sizeof(peer->in) - peer->in_len));
	if (result <= 0) {
		after_tls(peer, result);
		return false;
	}
	peer->in_len += (size_t)result;
	return peer_answer(peer);
}

static void peer_ready(struct loop_io *io)
{
	struct peer *peer = (struct peer *)io;
	ERR_clear_error();
	if (!peer->open) {
		int result = SSL_accept(peer->ssl);
		if (result != 1) {
			after_tls(peer, result);
			return;
		}
		peer->open = true;
		peer->port->handshakes++;
		peer->port->resumed += SSL_session_reused(peer->ssl) == 1;
	}
	if (peer_send(peer) != 1)
		return;
	while (peer_receive(peer))
		;
}

static void port_ready(struct loop_io *io)
{
	struct port *port = (struct port *)io;
	int fd;
	while ((fd = accept4(io->fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC)) >= 0) {
		struct peer *peer = calloc(1, sizeof(*peer));
		SSL *ssl = SSL_new(port->ctx);
		int on = 1;
		setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
		if (!peer || !ssl || SSL_set_fd(ssl, fd) != 1) {
			free(peer);
			SSL_free(ssl);
			close(fd);
			continue;
		}
		peer->port = port;
		peer->ssl = ssl;
		peer->io.fd = fd;
		SSL_set_accept_state(ssl);
		if (!loop_add(port->server->loop, &peer->io, fd, peer_ready))
			peer_free(peer);
	}
	if (errno != EAGAIN)
		perror("server: accept");
}

static int choose_certificate(SSL *ssl, void *arg)
{
	struct port *port = arg;
	struct mint *mint = port->server->mint;
	const char *name = SSL_get_servername(ssl, TLSEXT_NAMETYPE_host_name);
	X509 *leaf = NULL;
	STACK_OF(X509) *chain = NULL;
	if (port->kind == PORT_UNTRUSTED) {
		leaf = port->server->self_signed;
	} else {
		leaf = mint_leaf(mint, port->kind == PORT_WRONG_NAME ? WRONG_NAME : name ? name : DEFAULT_NAME);
		chain = sk_X509_new_null();
		if (!chain || sk_X509_push(chain, mint_intermediate(mint)) <= 0)
			leaf = NULL;
	}
	int ok = leaf && SSL_use_cert_and_key(ssl, leaf, mint_key(mint), chain, 1) == 1;
	sk_X509_free(chain);
	return ok;
}

static bool port_context(struct port *port, const struct tlsside *side, struct error *err)
{
	SSL_CTX *ctx = port->ctx = tlsside_context(TLS_server_method(), side, err);
	if (!ctx)
		return false;
	SSL_CTX_set_cert_cb(ctx, choose_certificate, port);
	SSL_CTX_set_session_cache_mode(ctx, SSL_SESS_CACHE_OFF);
	if (port->kind == PORT_RESUME)
		return SSL_CTX_set_session_id_context(ctx, (const unsigned char *)"bench", 5) == 1 ||
		       error_set_openssl(err, "session context");
	SSL_CTX_set_options(ctx, SSL_OP_NO_TICKET);
	return SSL_CTX_set_num_tickets(ctx, 0) == 1 || error_set_openssl(err, "tickets");
}

/* Listens on a free port of loopback and adds it to what main prints. */
static bool port_open(struct port *port, uint16_t *number, struct error *err)
{
	struct sockaddr_in at = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	socklen_t len = sizeof(at);
	int fd = port->io.fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	if (fd < 0 || bind(fd, (struct sockaddr *)&at, len) != 0 || listen(fd, 4096) != 0 ||
		getsockname(fd, (struct sockaddr *)&at, &len) != 0 ||
		!loop_add(port->server->loop, &port->io, fd, port_ready))
		return error_set_errno(err, "cannot listen on loopback");
	*number = ntohs(at.sin_port);
	return true;
}

static void input_ready(struct loop_io *io)
{
	struct server *server = (struct server *)(void *)((char *)io - offsetof(struct server, input));
	char line[256];
	ssize_t n = read(io->fd, line, sizeof(line));
	if (n == 0 || (n < 0 && errno != EAGAIN))
		loop_stop(server->loop);
	if (n <= 0)
		return;
	for (size_t i = 0; i < PORTS; i++) {
		const struct port *port = &server->ports[i];
		printf("%c\"%s\":{\"handshakes\":%" PRIu64 ",\"resumed\":%" PRIu64 ",\"requests\":%" PRIu64 "}",
			i ? ',' : '{', port_names[i], port->handshakes, port->resumed, port->requests);
	}
	puts("}");
	fflush(stdout);
}

static bool setup(struct server *server, const char *cert_file, const char *key_file, struct error *err)
{
	const struct tlsside side = {.group = "X25519", .suite = "TLS_AES_128_GCM_SHA256"};
	uint16_t numbers[PORTS];
	server->loop = loop_new();
	server->mint = mint_new(cert_file, key_file, err);
	if (!server->loop || !server->mint)
		return false;
	server->self_signed = mint_self_signed(server->mint, DEFAULT_NAME);
	if (!server->self_signed)
		return error_set_openssl(err, "cannot make a self-signed certificate");
	memset(server->stream, 'x', sizeof(server->stream));
	for (size_t i = 0; i < PORTS; i++) {
		struct port *port = &server->ports[i];
		*port = (struct port){.server = server, .kind = (enum port_kind)i};
		if (!port_context(port, &side, err) || !port_open(port, &numbers[i], err))
			return false;
	}
	if (fcntl(0, F_SETFL, O_NONBLOCK) != 0 || !loop_add(server->loop, &server->input, 0, input_ready))
		return error_set_errno(err, "standard input must be a pipe");
	for (size_t i = 0; i < PORTS; i++)
		printf("%c\"%s\":%u", i ? ',' : '{', port_names[i], numbers[i]);
	puts("}");
	return fflush(stdout) == 0 || error_set_errno(err, "standard output");
}

int main(int argc, char **argv)
{
	static struct server server;
	struct error err = {.text = "no memory"};
	signal(SIGPIPE, SIG_IGN);
	descriptors_raise();
	if (argc != 3) {
		fputs("usage: server INTERMEDIATE.pem INTERMEDIATE.key\n", stderr);
		return 2;
	}
	if (!setup(&server, argv[1], argv[2], &err)) {
		fprintf(stderr, "server: %s\n", err.text);
		return 2;
	}
	bool ok = loop_run(server.loop);
	for (size_t i = 0; i < PORTS; i++)
		SSL_CTX_free(server.ports[i].ctx);
	X509_free(server.self_signed);
	mint_free(server.mint);
	return ok ? 0 : 1;
}
