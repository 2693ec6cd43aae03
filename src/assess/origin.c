#include "assess/origin.h"

#include "assess/target.h"
#include "base/clock.h"
#include "base/hostport.h"
#include "tls/collect.h"
#include "tls/extension.h"
#include "tls/hello.h"

#include <errno.h>
#include <openssl/core_names.h>
#include <openssl/err.h>
#include <openssl/param_build.h>
#include <openssl/ssl.h>
#include <poll.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#define SERVE_NS  (4 * NS_PER_S) /* one connection */
#define TURN_NS   (50 * NS_PER_MS)
#define HELLO_MAX ((size_t)64 * 1024)
#define STRONG    "ECDHE+AESGCM:ECDHE+CHACHA20"

struct origin {
	int fd;
	uint16_t port;
	pthread_t thread;
	bool started;
	atomic_bool end;
	pthread_mutex_t lock; /* of all below */
	struct origin_case play;
	SSL_CTX *ctx;
	unsigned turn; /* counts cases: a connection of an older one is dropped, and writes nothing */
	bool busy;
	struct origin_seen seen;
};

/* One connection, the thread's own. */
struct visit {
	struct origin *origin;
	unsigned turn;
	int fd;
	SSL *ssl;
	bool downgrade, damage, fed;
	struct origin_seen seen;
	uint8_t octets[HELLO_MAX]; /* until the hello is whole */
	size_t len;
};

static void on_message(int write, int version, int type, const void *data, size_t len, SSL *ssl, void *arg)
{
	struct visit *visit = arg;
	const uint8_t *octets = data;
	(void)version;
	(void)ssl;
	if (!write && type == SSL3_RT_HANDSHAKE && len > 0 && octets[0] == SSL3_MT_CLIENT_KEY_EXCHANGE)
		visit->seen.key_exchange = true;
	if (!write && type == SSL3_RT_ALERT && len == 2 && octets[1] != SSL_AD_CLOSE_NOTIFY)
		visit->seen.alert = octets[1];
}

/* A group that no document names, of a modulus that has at least two factors. */
static EVP_PKEY *make_group(unsigned bits)
{
	BIGNUM *p = BN_new(), *q = BN_new(), *g = BN_new();
	BN_CTX *bn = BN_CTX_new();
	OSSL_PARAM_BLD *build = OSSL_PARAM_BLD_new();
	OSSL_PARAM *params = NULL;
	EVP_PKEY_CTX *ctx = EVP_PKEY_CTX_new_from_name(NULL, "DH", NULL);
	EVP_PKEY *group = NULL;
	bool ok = p && q && g && bn && build && ctx &&
	          BN_rand(p, (int)bits / 2, BN_RAND_TOP_TWO, BN_RAND_BOTTOM_ODD) == 1 &&
	          BN_rand(q, (int)(bits - bits / 2), BN_RAND_TOP_TWO, BN_RAND_BOTTOM_ODD) == 1 &&
	          BN_mul(p, p, q, bn) == 1 && BN_set_word(g, 2) == 1 &&
	          OSSL_PARAM_BLD_push_BN(build, OSSL_PKEY_PARAM_FFC_P, p) == 1 &&
	          OSSL_PARAM_BLD_push_BN(build, OSSL_PKEY_PARAM_FFC_G, g) == 1;
	if (ok && (params = OSSL_PARAM_BLD_to_param(build)) && EVP_PKEY_fromdata_init(ctx) == 1)
		(void)!EVP_PKEY_fromdata(ctx, &group, EVP_PKEY_KEY_PARAMETERS, params);
	EVP_PKEY_CTX_free(ctx);
	OSSL_PARAM_free(params);
	OSSL_PARAM_BLD_free(build);
	BN_CTX_free(bn);
	BN_free(g);
	BN_free(q);
	BN_free(p);
	return group;
}

static bool use_group(SSL_CTX *ctx, const struct origin_case *play)
{
	if (!play->custom_group)
		return true;
	EVP_PKEY *group = make_group(play->dh_bits ? play->dh_bits : 2048);
	if (group && SSL_CTX_set0_tmp_dh_pkey(ctx, group) == 1)
		return true;
	EVP_PKEY_free(group);
	return false;
}

static SSL_CTX *make_context(const struct origin_case *play)
{
	SSL_CTX *ctx = SSL_CTX_new(TLS_server_method());
	const struct identity *identity = play->identity;
	if (!ctx)
		return NULL;
	SSL_CTX_set_security_level(ctx, 0);
	SSL_CTX_set_options(ctx, SSL_OP_NO_TICKET | (play->no_ems ? SSL_OP_NO_EXTENDED_MASTER_SECRET : 0));
	SSL_CTX_set_session_cache_mode(ctx, SSL_SESS_CACHE_OFF);
	(void)SSL_CTX_set_num_tickets(ctx, 0);
	bool ok = SSL_CTX_set_min_proto_version(ctx, play->min ? play->min : TLS1_2_VERSION) == 1 &&
	          SSL_CTX_set_max_proto_version(ctx, play->max ? play->max : TLS1_3_VERSION) == 1 &&
	          SSL_CTX_set_cipher_list(ctx, play->suites ? play->suites : STRONG) == 1 &&
	          SSL_CTX_use_certificate(ctx, identity->leaf) == 1 &&
	          SSL_CTX_use_PrivateKey(ctx, identity->key) == 1 &&
	          (!identity->above || SSL_CTX_set1_chain(ctx, identity->above) == 1) && use_group(ctx, play);
	if (ok)
		return ctx;
	SSL_CTX_free(ctx);
	return NULL;
}

bool origin_play(struct origin *origin, const struct origin_case *play, struct error *err)
{
	SSL_CTX *ctx = make_context(play);
	if (!ctx)
		return error_set_openssl(err, "this OpenSSL cannot play the case");
	pthread_mutex_lock(&origin->lock);
	SSL_CTX_free(origin->ctx);
	origin->ctx = ctx;
	origin->play = *play;
	origin->turn++;
	origin->seen = (struct origin_seen){0};
	pthread_mutex_unlock(&origin->lock);
	return true;
}

/* Gives supported_versions a number that nobody knows. */
static void hide_versions(struct visit *visit, const struct client_hello *hello, struct bytes record)
{
	struct bytes block = hello->extensions;
	for (struct extension one;;) {
		size_t at = (size_t)(block.data - record.data);
		if (!extension_next(&block, &one))
			return;
		if (one.type == EXT_SUPPORTED_VERSIONS && at + 1 < visit->len) {
			visit->octets[at] = 0xfa;
			visit->octets[at + 1] = 0xfb;
		}
	}
}

/* What came so far goes to libssl once the hello is whole, or is none. */
static void read_hello(struct visit *visit)
{
	static const size_t scratch_size = HELLO_MAX;
	struct collect collect;
	struct client_hello hello;
	uint8_t *scratch = malloc(scratch_size);
	collect_init(&collect, scratch, scratch ? scratch_size : 0);
	struct bytes stream = bytes_of(visit->octets, visit->len);
	enum collect_result result = collect_more(&collect, stream);
	bool full = visit->len == sizeof(visit->octets);
	if (result == COLLECT_DONE && client_hello_parse(collect.body, &hello) == HELLO_OK) {
		if (collect.body.len <= sizeof(visit->seen.hello)) {
			memcpy(visit->seen.hello, collect.body.data, collect.body.len);
			visit->seen.hello_len = collect.body.len;
		}
		/* Only in one record does the body lie in our own octets. */
		if (visit->downgrade && collect.records == 1)
			hide_versions(visit, &hello, stream);
	}
	if (result != COLLECT_NEED_MORE || full) {
		visit->fed = true;
		(void)!BIO_write(SSL_get_rbio(visit->ssl), visit->octets, (int)visit->len);
	}
	free(scratch);
}

static bool take(struct visit *visit)
{
	uint8_t room[16384];
	size_t space = visit->fed ? sizeof(room) : sizeof(visit->octets) - visit->len;
	ssize_t n = recv(visit->fd, room, space < sizeof(room) ? space : sizeof(room), 0);
	if (n <= 0)
		return n < 0 && (errno == EAGAIN || errno == EINTR);
	if (visit->fed)
		return BIO_write(SSL_get_rbio(visit->ssl), room, (int)n) == n;
	memcpy(visit->octets + visit->len, room, (size_t)n);
	visit->len += (size_t)n;
	read_hello(visit);
	return true;
}

/* Sends what libssl wants to say. */
static bool give(struct visit *visit)
{
	uint8_t room[16384];
	uint64_t until_ns = clock_monotonic_ns() + NS_PER_S;
	int n;
	while ((n = BIO_read(SSL_get_wbio(visit->ssl), room, sizeof(room))) > 0) {
		/* TLS 1.3's only flight ends in Finished, TLS 1.2's second is Finished: its last octet is of a tag. */
		if (visit->damage && (SSL_version(visit->ssl) == TLS1_3_VERSION || visit->seen.key_exchange))
			room[n - 1] ^= 1;
		struct bytes rest = bytes_of(room, (size_t)n);
		while (rest.len > 0) {
			ssize_t sent = send(visit->fd, rest.data, rest.len, MSG_NOSIGNAL);
			if (sent < 0 && errno != EAGAIN && errno != EINTR)
				return false;
			if (sent < 0 && !wait_until(visit->fd, POLLOUT, until_ns))
				return false;
			if (sent > 0 && !bytes_skip(&rest, (size_t)sent))
				return false;
		}
	}
	return true;
}

static void answer(struct visit *visit)
{
	static const char text[] =
		"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: 3\r\nConnection: close\r\n\r\nok\n";
	(void)!SSL_write(visit->ssl, text, sizeof(text) - 1);
	(void)SSL_shutdown(visit->ssl);
}

/* False when there is nothing more to do here. */
static bool advance(struct visit *visit)
{
	uint8_t room[4096];
	if (!visit->fed)
		return true;
	ERR_clear_error();
	int result = SSL_is_init_finished(visit->ssl) ? 1 : SSL_do_handshake(visit->ssl);
	if (result == 1 && !visit->seen.handshake) {
		visit->seen.handshake = true;
		visit->seen.version = (uint16_t)SSL_version(visit->ssl);
		visit->seen.suite = SSL_CIPHER_get_protocol_id(SSL_get_current_cipher(visit->ssl));
		visit->seen.extended_master_secret = SSL_get_extms_support(visit->ssl) == 1;
	}
	if (result == 1)
		result = SSL_read(visit->ssl, room, sizeof(room));
	if (result > 0 && visit->seen.handshake) {
		visit->seen.request += (size_t)result;
		answer(visit);
		return false;
	}
	return SSL_get_error(visit->ssl, result) == SSL_ERROR_WANT_READ;
}

/* Adds what this visit saw, unless another case is played by now. False then. */
static bool report_visit(struct visit *visit, bool last)
{
	struct origin *origin = visit->origin;
	pthread_mutex_lock(&origin->lock);
	bool mine = origin->turn == visit->turn;
	if (mine && last) {
		struct origin_seen *seen = &origin->seen;
		unsigned connections = seen->connections;
		size_t request = seen->request;
		bool handshake = seen->handshake, exchange = seen->key_exchange;
		/* A connection that said nothing does not wipe out what an earlier one said. */
		if (visit->seen.hello_len > 0)
			*seen = visit->seen;
		seen->connections = connections;
		seen->request = request + visit->seen.request;
		seen->handshake |= handshake;
		seen->key_exchange |= exchange;
	}
	pthread_mutex_unlock(&origin->lock);
	return mine && !atomic_load(&origin->end);
}

static void serve(struct visit *visit)
{
	uint64_t until_ns = clock_monotonic_ns() + SERVE_NS;
	bool more = true;
	while (more && clock_monotonic_ns() < until_ns && report_visit(visit, false)) {
		if (!wait_until(visit->fd, POLLIN, clock_monotonic_ns() + TURN_NS))
			continue;
		bool open = take(visit);
		more = advance(visit) && open;
		more = give(visit) && more;
	}
	/* What the client may still send would turn our close into a reset that loses the answer. */
	(void)shutdown(visit->fd, SHUT_WR);
	uint8_t room[4096];
	until_ns = clock_monotonic_ns() + NS_PER_S / 2;
	while (wait_until(visit->fd, POLLIN, until_ns) && recv(visit->fd, room, sizeof(room), 0) > 0)
		;
}

static void visit_begin(struct origin *origin, int fd)
{
	struct visit *visit = calloc(1, sizeof(*visit));
	pthread_mutex_lock(&origin->lock);
	if (visit && origin->ctx) {
		visit->origin = origin;
		visit->turn = origin->turn;
		visit->fd = fd;
		visit->downgrade = origin->play.downgrade;
		visit->damage = origin->play.damage;
		visit->ssl = SSL_new(origin->ctx);
		origin->busy = true;
		origin->seen.connections++;
	}
	pthread_mutex_unlock(&origin->lock);
	BIO *in = BIO_new(BIO_s_mem()), *out = BIO_new(BIO_s_mem());
	if (visit && visit->ssl && in && out) {
		BIO_set_mem_eof_return(in, -1);
		BIO_set_mem_eof_return(out, -1);
		SSL_set_bio(visit->ssl, in, out);
		SSL_set_accept_state(visit->ssl);
		SSL_set_msg_callback(visit->ssl, on_message);
		SSL_set_msg_callback_arg(visit->ssl, visit);
		serve(visit);
		(void)!report_visit(visit, true);
	} else {
		BIO_free(in);
		BIO_free(out);
	}
	if (visit)
		SSL_free(visit->ssl);
	free(visit);
	close(fd);
	pthread_mutex_lock(&origin->lock);
	origin->busy = false;
	pthread_mutex_unlock(&origin->lock);
}

static void *run(void *arg)
{
	struct origin *origin = arg;
	while (!atomic_load(&origin->end)) {
		if (!wait_until(origin->fd, POLLIN, clock_monotonic_ns() + TURN_NS))
			continue;
		int fd = accept4(origin->fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
		if (fd >= 0)
			visit_begin(origin, fd);
	}
	return NULL;
}

static bool listen_on(struct origin *origin, const char *ip, uint16_t port, struct error *err)
{
	struct hostport at;
	struct sockaddr_storage to;
	int yes = 1;
	if (!hostport_parse_ip(&at, ip))
		return error_set(err, "%s: is no address to listen on", ip);
	at.port = port;
	socklen_t len = hostport_to_sockaddr(&at, &to);
	origin->fd = socket(to.ss_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	if (origin->fd < 0)
		return error_set_errno(err, "no socket");
	(void)setsockopt(origin->fd, SOL_SOCKET, SO_REUSEADDR, &yes, sizeof(yes));
	if (bind(origin->fd, (struct sockaddr *)&to, len) != 0 || listen(origin->fd, 64) != 0)
		return error_set_errno(err, "%s port %u cannot be listened on", ip, port);
	len = sizeof(to);
	if (getsockname(origin->fd, (struct sockaddr *)&to, &len) != 0 ||
		!hostport_from_sockaddr(&at, (struct sockaddr *)&to, len))
		return error_set_errno(err, "%s", ip);
	origin->port = at.port;
	return true;
}

struct origin *origin_new(const char *ip, uint16_t port, struct error *err)
{
	struct origin *origin = calloc(1, sizeof(*origin));
	if (!origin) {
		error_set(err, "no memory");
		return NULL;
	}
	origin->fd = -1;
	pthread_mutex_init(&origin->lock, NULL);
	atomic_init(&origin->end, false);
	if (listen_on(origin, ip, port, err)) {
		origin->started = pthread_create(&origin->thread, NULL, run, origin) == 0;
		if (origin->started)
			return origin;
		error_set(err, "no thread");
	}
	origin_free(origin);
	return NULL;
}

void origin_free(struct origin *origin)
{
	if (!origin)
		return;
	atomic_store(&origin->end, true);
	if (origin->started)
		pthread_join(origin->thread, NULL);
	if (origin->fd >= 0)
		close(origin->fd);
	SSL_CTX_free(origin->ctx);
	pthread_mutex_destroy(&origin->lock);
	free(origin);
}

uint16_t origin_port(const struct origin *origin)
{
	return origin->port;
}

void origin_look(struct origin *origin, uint64_t patience_ns, struct origin_seen *out)
{
	uint64_t until_ns = clock_monotonic_ns() + patience_ns;
	for (bool busy = true; busy;) {
		pthread_mutex_lock(&origin->lock);
		busy = origin->busy && clock_monotonic_ns() < until_ns;
		*out = origin->seen;
		pthread_mutex_unlock(&origin->lock);
		/* Nothing is awaited here but the other thread's next turn. */
		if (busy)
			(void)poll(NULL, 0, 5);
	}
}
