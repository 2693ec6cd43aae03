#include "assess/visit.h"

#include "assess/target.h"
#include "assess/visit_edit.h"
#include "base/clock.h"
#include "tls/collect.h"

#include <errno.h>
#include <openssl/err.h>
#include <poll.h>
#include <stdlib.h>

#define TURN_NS    (50 * NS_PER_MS)
#define HELLO_MAX  ((size_t)64 * 1024)
#define RENEWAL_NS (500 * NS_PER_MS) /* how long a client is given to take up a renegotiation */

struct visit {
	const struct visit_order *order;
	int fd;
	SSL *ssl;
	bool fed, edited, answered;
	struct visit_seen *seen;
	uint8_t octets[HELLO_MAX]; /* until the hello is whole */
	size_t len;
	uint8_t request[VISIT_REQUEST_MAX];
	size_t request_len;
	unsigned finished; /* handshakes completed */
	uint64_t renewal_ns;
};

static void on_message(int write, int version, int type, const void *data, size_t len, SSL *ssl, void *arg)
{
	struct visit *visit = arg;
	const uint8_t *octets = data;
	(void)version;
	(void)ssl;
	if (!write && type == SSL3_RT_HANDSHAKE && len > 0 && octets[0] == SSL3_MT_CLIENT_KEY_EXCHANGE)
		visit->seen->key_exchange = true;
	if (!write && type == SSL3_RT_ALERT && len == 2 && octets[1] != SSL_AD_CLOSE_NOTIFY)
		visit->seen->alert = octets[1];
}

static void on_progress(const SSL *ssl, int where, int result)
{
	struct visit *visit = SSL_get_app_data(ssl);
	(void)result;
	if (visit && where & SSL_CB_HANDSHAKE_DONE)
		visit->finished++;
}

int visit_staple(SSL *ssl, void *arg)
{
	const struct visit *visit = SSL_get_app_data(ssl);
	struct bytes staple = visit ? visit->order->play->staple : BYTES_NONE;
	uint8_t *copy = staple.len > 0 ? OPENSSL_memdup(staple.data, staple.len) : NULL;
	(void)arg;
	if (copy && SSL_set_tlsext_status_ocsp_resp(ssl, copy, (long)staple.len) == 1)
		return SSL_TLSEXT_ERR_OK;
	OPENSSL_free(copy);
	return SSL_TLSEXT_ERR_NOACK;
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
		if (collect.body.len <= sizeof(visit->seen->hello)) {
			memcpy(visit->seen->hello, collect.body.data, collect.body.len);
			visit->seen->hello_len = collect.body.len;
		}
		/* Only in one record does the body lie in our own octets. */
		if (visit->order->play->downgrade && collect.records == 1)
			edit_hide_versions(visit->octets, visit->len, &hello);
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

/* What the case changes in octets that libssl made. Returns the new length. */
static size_t edit(struct visit *visit, uint8_t *octets, size_t len)
{
	const struct play *play = visit->order->play;
	/* TLS 1.3's only flight ends in Finished, TLS 1.2's second is Finished: its last octet is of a tag. */
	if (play->damage && (SSL_version(visit->ssl) == TLS1_3_VERSION || visit->seen->key_exchange))
		octets[len - 1] ^= 1;
	if (!play->hide_renegotiation || visit->edited)
		return len;
	visit->edited = true;
	return edit_hide_renegotiation(octets, len);
}

/* Sends what libssl wants to say. */
static bool give(struct visit *visit)
{
	uint8_t room[16384];
	uint64_t until_ns = clock_monotonic_ns() + NS_PER_S;
	int n;
	while ((n = BIO_read(SSL_get_wbio(visit->ssl), room, sizeof(room))) > 0) {
		if (!send_until(visit->fd, bytes_of(room, edit(visit, room, (size_t)n)), until_ns))
			return false;
	}
	return true;
}

static void answer(struct visit *visit)
{
	static const char text[] =
		"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: 3\r\nConnection: close\r\n\r\nok\n";
	const struct visit_order *order = visit->order;
	char *room = order->answer ? malloc(order->answer_max) : NULL;
	size_t len = 0;
	if (room)
		len = order->answer(order->arg, visit->ssl, visit->seen, bytes_of(visit->request, visit->request_len),
			room, order->answer_max);
	else
		(void)!SSL_write(visit->ssl, text, sizeof(text) - 1);
	if (len > 0)
		(void)!SSL_write(visit->ssl, room, (int)len);
	(void)SSL_shutdown(visit->ssl);
	visit->answered = true;
	free(room);
}

/* The head of a request is whole, or is asked for by nobody. */
static bool complete(const struct visit *visit)
{
	struct bytes rest = bytes_of(visit->request, visit->request_len);
	if (!visit->order->answer || visit->request_len == sizeof(visit->request))
		return true;
	return memmem(rest.data, rest.len, "\r\n\r\n", 4) != NULL;
}

static void note(struct visit *visit)
{
	struct visit_seen *seen = visit->seen;
	seen->handshake = true;
	seen->version = (uint16_t)SSL_version(visit->ssl);
	seen->suite = SSL_CIPHER_get_protocol_id(SSL_get_current_cipher(visit->ssl));
	seen->extended_master_secret = SSL_get_extms_support(visit->ssl) == 1;
	/* Asked before any answer: what the client sends next is its request, or the second hello. */
	if (visit->order->play->renegotiate && SSL_version(visit->ssl) < TLS1_3_VERSION &&
		SSL_renegotiate(visit->ssl) == 1) {
		(void)!SSL_do_handshake(visit->ssl);
		visit->renewal_ns = clock_monotonic_ns() + RENEWAL_NS;
	}
}

/* False when there is nothing more to do here. */
static bool advance(struct visit *visit)
{
	if (!visit->fed)
		return true;
	ERR_clear_error();
	int result = SSL_is_init_finished(visit->ssl) || visit->seen->handshake ? 1 : SSL_do_handshake(visit->ssl);
	if (result == 1 && !visit->seen->handshake)
		note(visit);
	while (result == 1 && visit->request_len < sizeof(visit->request)) {
		int n = SSL_read(visit->ssl, visit->request + visit->request_len,
			(int)(sizeof(visit->request) - visit->request_len));
		if (n <= 0) {
			result = n;
			break;
		}
		visit->request_len += (size_t)n;
		visit->seen->request += (size_t)n;
	}
	visit->seen->renegotiated = visit->finished > 1;
	bool waits = visit->renewal_ns > clock_monotonic_ns() && visit->finished < 2;
	if (visit->request_len > 0 && complete(visit) && !waits && !visit->answered) {
		answer(visit);
		return false;
	}
	int code = SSL_get_error(visit->ssl, result);
	return result == 1 || code == SSL_ERROR_WANT_READ;
}

static bool goes_on(const struct visit_order *order)
{
	return !order->go_on || order->go_on(order->arg);
}

static void serve(struct visit *visit)
{
	uint64_t until_ns = clock_monotonic_ns() + visit->order->patience_ns;
	bool more = true;
	while (more && clock_monotonic_ns() < until_ns && goes_on(visit->order)) {
		bool ready = wait_until(visit->fd, POLLIN, clock_monotonic_ns() + TURN_NS);
		bool open = !ready || take(visit);
		/* Also without octets: a renegotiation that is not taken up ends the waiting for it. */
		more = (!ready && visit->renewal_ns == 0) || (advance(visit) && open);
		more = give(visit) && more;
	}
	/* What the client may still send would turn our close into a reset that loses the answer. */
	(void)shutdown(visit->fd, SHUT_WR);
	uint8_t room[4096];
	until_ns = clock_monotonic_ns() + NS_PER_S / 2;
	while (wait_until(visit->fd, POLLIN, until_ns) && recv(visit->fd, room, sizeof(room), 0) > 0)
		;
}

void visit(int fd, const struct visit_order *order, struct visit_seen *out)
{
	struct visit *visit = calloc(1, sizeof(*visit));
	BIO *in = BIO_new(BIO_s_mem()), *back = BIO_new(BIO_s_mem());
	SSL *ssl = SSL_new(order->ctx);
	*out = (struct visit_seen){.connections = 1};
	if (visit && in && back && ssl) {
		visit->order = order;
		visit->fd = fd;
		visit->seen = out;
		visit->ssl = ssl;
		BIO_set_mem_eof_return(in, -1);
		BIO_set_mem_eof_return(back, -1);
		SSL_set_bio(ssl, in, back);
		SSL_set_accept_state(ssl);
		SSL_set_app_data(ssl, visit);
		SSL_set_info_callback(ssl, on_progress);
		SSL_set_msg_callback(ssl, on_message);
		SSL_set_msg_callback_arg(ssl, visit);
		serve(visit);
	} else {
		BIO_free(in);
		BIO_free(back);
	}
	SSL_free(ssl);
	ERR_clear_error();
	free(visit);
}

void visit_join(struct visit_seen *whole, const struct visit_seen *one)
{
	struct visit_seen before = *whole;
	if (one->hello_len > 0)
		*whole = *one;
	whole->connections = before.connections + one->connections;
	whole->request = before.request + one->request;
	whole->handshake = before.handshake || one->handshake;
	whole->key_exchange = before.key_exchange || one->key_exchange;
	whole->renegotiated = before.renegotiated || one->renegotiated;
}
