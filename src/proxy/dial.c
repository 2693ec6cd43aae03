#include "proxy/dial.h"

#include "base/buffer.h"
#include "base/clock.h"
#include "proxy/intake_http.h"
#include "proxy/intake_socks.h"
#include "proxy/proxy_header.h"

#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <openssl/crypto.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#define ADDRESSES_MAX    16
#define ATTEMPT_DELAY_NS (250 * NS_PER_MS) /* RFC 8305, 5 */

struct attempt {
	struct dial *dial;
	struct loop_io io; /* fd -1: not in flight */
	struct hostport to;
};

struct dial {
	struct loop *loop;
	dial_done_fn *done;
	void *ctx;
	const struct target *target;
	const struct config_upstream *through;
	bool no_tunnel;
	dial_permits_fn *permits;
	struct hostport source, client;
	unsigned send_proxy; /* enum config_send_proxy */
	uint64_t connect_ns;

	struct resolver_wait *wait;
	struct attempt attempts[ADDRESSES_MAX];
	size_t count, started, failed;
	size_t forbidden;
	struct loop_timer next, deadline;
	struct loop_task finish;
	struct dial_result result;

	struct attempt *winner;
	struct buffer answer; /* of the proxy in between */
	struct http_connect http;
	struct socks_client socks;
};

const char *dial_failure_name(enum dial_failure failure)
{
	static const char *const names[] = {"connected", "no-such-name", "target-forbidden", "upstream-unreachable",
		"upstream-timeout", "upstream-proxy-failed", "out-of-descriptors"};
	return names[failure];
}

static void attempt_close(struct attempt *a)
{
	if (a->io.fd < 0)
		return;
	loop_remove(a->dial->loop, &a->io);
	close(a->io.fd);
	a->io.fd = -1;
}

static void dial_free(struct dial *dial)
{
	for (size_t i = 0; i < dial->count; i++)
		attempt_close(&dial->attempts[i]);
	if (dial->wait)
		resolver_wait_cancel(dial->wait);
	loop_timer_clear(dial->loop, &dial->next);
	loop_timer_clear(dial->loop, &dial->deadline);
	loop_task_cancel(dial->loop, &dial->finish);
	buffer_clear(&dial->answer);
	socks_client_wipe(&dial->socks);
	free(dial);
}

void dial_cancel(struct dial *dial)
{
	if (dial)
		dial_free(dial);
}

static void run_finish(struct loop_task *task)
{
	struct dial *dial = (struct dial *)((char *)task - offsetof(struct dial, finish));
	struct dial_result result = dial->result;
	dial_done_fn *done = dial->done;
	void *ctx = dial->ctx;
	/* The octets behind the proxy's answer outlive the dial by this call only. */
	struct buffer answer = dial->answer;
	dial->answer = (struct buffer){0};
	dial_free(dial);
	done(&result, ctx);
	buffer_clear(&answer);
}

static void finish(struct dial *dial)
{
	loop_timer_clear(dial->loop, &dial->next);
	loop_timer_clear(dial->loop, &dial->deadline);
	loop_task_queue(dial->loop, &dial->finish, run_finish);
}

static bool send_all(struct dial *dial, struct bytes out)
{
	/* A few hundred octets into the empty buffer of a new connection: all or nothing. */
	return send(dial->winner->io.fd, out.data, out.len, MSG_NOSIGNAL) == (ssize_t)out.len;
}

static void fail(struct dial *dial, enum dial_failure failure, const char *text)
{
	dial->result = (struct dial_result){.failure = failure, .fd = -1};
	snprintf(dial->result.text, sizeof(dial->result.text), "%s", text);
	finish(dial);
}

/* The PROXY protocol, first octets of the connection to the server, also inside another proxy's tunnel. */

/* What the client wanted to reach. Behind another proxy a name stays a name: then its port only. */
static struct hostport destination(const struct dial *dial)
{
	struct hostport to = dial->winner->to;
	if (!dial->through)
		return to;
	if (!dial->target->is_ip || !hostport_parse_ip(&to, dial->target->host))
		(void)!hostport_parse_ip(&to, hostport_is_v4(&dial->client) ? "0.0.0.0" : "::");
	to.port = dial->target->port;
	return to;
}

/* One line of TCP4 or TCP6; two families are written as TCP6, the IPv4 one mapped. */
static void header_v1(const struct hostport *from, const struct hostport *to, struct writer *w)
{
	char source[HOSTPORT_TEXT], target[HOSTPORT_TEXT], line[192];
	bool v4 = hostport_is_v4(from) && hostport_is_v4(to);
	hostport_ip_text(from, source);
	hostport_ip_text(to, target);
	snprintf(line, sizeof(line), "PROXY %s %s%s %s%s %u %u\r\n", v4 ? "TCP4" : "TCP6",
		!v4 && hostport_is_v4(from) ? "::ffff:" : "", source, !v4 && hostport_is_v4(to) ? "::ffff:" : "",
		target, from->port, to->port);
	writer_bytes(w, hostport_is_none(from) ? bytes_str("PROXY UNKNOWN\r\n") : bytes_str(line));
}

static bool send_header(struct dial *dial)
{
	uint8_t room[128];
	struct writer w = writer_over(room, sizeof(room));
	struct hostport to = destination(dial);
	struct bytes out;
	if (dial->send_proxy == CONFIG_SEND_PROXY_OFF)
		return true;
	if (dial->send_proxy == CONFIG_SEND_PROXY_V1)
		header_v1(&dial->client, &to, &w);
	else
		proxy_header_write(&dial->client, &to, &w);
	return writer_done(&w, &out) && send_all(dial, out);
}

static void succeed(struct dial *dial, struct bytes early)
{
	struct attempt *a = dial->winner;
	if (!send_header(dial)) {
		fail(dial, DIAL_REFUSED, "the server closed the connection before the PROXY header went out");
		return;
	}
	loop_remove(dial->loop, &a->io);
	dial->result = (struct dial_result){.failure = DIAL_CONNECTED, .fd = a->io.fd, .to = a->to, .early = early};
	a->io.fd = -1;
	finish(dial);
}

/* The conversation with a proxy in between. */

static const char *text_or_empty(const char *text)
{
	return text ? text : "";
}

static bool http_ask(struct dial *dial)
{
	char credentials[600] = "";
	const struct config_upstream *through = dial->through;
	if (through->user) {
		snprintf(credentials, sizeof(credentials), "%s:%s", through->user, text_or_empty(through->password));
	}
	uint8_t head[2048];
	struct writer w = writer_over(head, sizeof(head));
	http_connect_write(dial->target, bytes_str(credentials), &w);
	struct bytes out;
	bool sent = writer_done(&w, &out) && send_all(dial, out);
	OPENSSL_cleanse(head, sizeof(head));
	OPENSSL_cleanse(credentials, sizeof(credentials));
	return sent;
}

static void http_answer(struct dial *dial)
{
	struct bytes in = buffer_bytes(&dial->answer);
	switch (http_connect_read(&dial->http, in)) {
	case HTTP_CONNECT_NEED_MORE:
		return;
	case HTTP_CONNECT_OPEN:
		if (bytes_skip(&in, dial->http.used))
			succeed(dial, in);
		return;
	default:
		error_prefix(&dial->http.why, "the proxy %s:%u", dial->through->host, dial->through->port);
		fail(dial, DIAL_NO_PROXY, dial->http.why.text);
	}
}

static void socks_answer(struct dial *dial)
{
	for (;;) {
		struct bytes in = buffer_bytes(&dial->answer);
		enum socks_client_result step =
			socks_client_step(&dial->socks, in, dial->target, bytes_str(text_or_empty(dial->through->user)),
				bytes_str(text_or_empty(dial->through->password)));
		switch (step) {
		case SOCKS_CLIENT_NEED_MORE:
			return;
		case SOCKS_CLIENT_SEND:
			buffer_drop(&dial->answer, dial->socks.used);
			if (!send_all(dial, bytes_of(dial->socks.message, dial->socks.message_len))) {
				fail(dial, DIAL_NO_PROXY, "the proxy in between closed the connection");
				return;
			}
			break;
		case SOCKS_CLIENT_OPEN:
			if (bytes_skip(&in, dial->socks.used))
				succeed(dial, in);
			return;
		default:
			error_prefix(&dial->socks.why, "the proxy %s:%u", dial->through->host, dial->through->port);
			fail(dial, DIAL_NO_PROXY, dial->socks.why.text);
			return;
		}
	}
}

static void proxy_ready(struct loop_io *io)
{
	struct attempt *a = (struct attempt *)((char *)io - offsetof(struct attempt, io));
	struct dial *dial = a->dial;
	while (io->readable && !dial->finish.queued) {
		size_t space;
		uint8_t *to = buffer_space(&dial->answer, &space);
		ssize_t n = to ? recv(io->fd, to, space, 0) : 0;
		if (n < 0 && errno == EAGAIN) {
			io->readable = false;
			return;
		}
		if (n <= 0) {
			fail(dial, DIAL_NO_PROXY, "the proxy in between closed the connection instead of answering");
			return;
		}
		dial->answer.len += (size_t)n;
		if (dial->through->kind == UPSTREAM_HTTP)
			http_answer(dial);
		else
			socks_answer(dial);
	}
}

static void connected(struct dial *dial, struct attempt *a)
{
	int yes = 1;
	setsockopt(a->io.fd, IPPROTO_TCP, TCP_NODELAY, &yes, sizeof(yes));
	dial->winner = a;
	loop_timer_clear(dial->loop, &dial->next);
	for (size_t i = 0; i < dial->count; i++) {
		if (&dial->attempts[i] != a)
			attempt_close(&dial->attempts[i]);
	}
	if (!dial->through || dial->no_tunnel) {
		succeed(dial, BYTES_NONE);
		return;
	}
	a->io.ready = proxy_ready;
	dial->answer.cap = HTTP_MAX_HEAD + 4096;
	if (dial->through->kind == UPSTREAM_SOCKS5)
		socks_answer(dial);
	else if (!http_ask(dial))
		fail(dial, DIAL_NO_PROXY, "the proxy in between closed the connection");
}

/* Attempts. */

static void start_next(struct dial *dial);

static void attempt_failed(struct dial *dial, struct attempt *a, int code)
{
	attempt_close(a);
	dial->failed++;
	if (dial->started < dial->count) {
		start_next(dial);
		return;
	}
	if (dial->failed < dial->count)
		return;
	char text[256], at[HOSTPORT_TEXT], reason[128];
	snprintf(text, sizeof(text), "connecting to %s failed: %s", hostport_text(&a->to, at),
		strerror_r(code, reason, sizeof(reason)));
	bool local = code == EMFILE || code == ENFILE || code == ENOMEM || code == ENOBUFS;
	fail(dial, local ? DIAL_EXHAUSTED : code == ETIMEDOUT ? DIAL_TIMEOUT : DIAL_REFUSED, text);
}

static void attempt_ready(struct loop_io *io)
{
	struct attempt *a = (struct attempt *)((char *)io - offsetof(struct attempt, io));
	int code = 0;
	socklen_t len = sizeof(code);
	if (!io->writable)
		return;
	if (getsockopt(io->fd, SOL_SOCKET, SO_ERROR, &code, &len) != 0)
		code = errno;
	if (code)
		attempt_failed(a->dial, a, code);
	else
		connected(a->dial, a);
}

static int open_socket(const struct dial *dial, const struct sockaddr_storage *to)
{
	int fd = socket(to->ss_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	if (fd < 0 || hostport_is_none(&dial->source))
		return fd;
	struct sockaddr_storage from;
	socklen_t len = hostport_to_sockaddr(&dial->source, &from);
	int yes = 1;
	int level = to->ss_family == AF_INET ? SOL_IP : SOL_IPV6;
	int name = to->ss_family == AF_INET ? IP_TRANSPARENT : IPV6_TRANSPARENT;
	if (setsockopt(fd, level, name, &yes, sizeof(yes)) != 0 || bind(fd, (struct sockaddr *)&from, len) != 0) {
		int code = errno;
		close(fd);
		errno = code;
		return -1;
	}
	return fd;
}

static void next_late(struct loop_timer *timer)
{
	start_next((struct dial *)((char *)timer - offsetof(struct dial, next)));
}

static void start_next(struct dial *dial)
{
	if (dial->started >= dial->count)
		return;
	struct attempt *a = &dial->attempts[dial->started++];
	struct sockaddr_storage to;
	socklen_t len = hostport_to_sockaddr(&a->to, &to);
	a->io.fd = open_socket(dial, &to);
	if (a->io.fd < 0) {
		attempt_failed(dial, a, errno);
		return;
	}
	if (connect(a->io.fd, (struct sockaddr *)&to, len) != 0 && errno != EINPROGRESS) {
		attempt_failed(dial, a, errno);
		return;
	}
	if (!loop_add(dial->loop, &a->io, a->io.fd, attempt_ready)) {
		attempt_failed(dial, a, errno);
		return;
	}
	if (dial->started < dial->count)
		loop_timer_set(dial->loop, &dial->next, clock_monotonic_ns() + ATTEMPT_DELAY_NS, next_late);
}

static void deadline_late(struct loop_timer *timer)
{
	struct dial *dial = (struct dial *)((char *)timer - offsetof(struct dial, deadline));
	char text[256];
	snprintf(text, sizeof(text), "%.200s did not answer within the connect deadline",
		dial->through ? dial->through->host : dial->target->host);
	fail(dial, DIAL_TIMEOUT, text);
}

static void add_address(struct dial *dial, const struct hostport *to)
{
	if (dial->permits && !dial->through && !dial->permits(to, dial->ctx)) {
		dial->forbidden++;
		return;
	}
	if (dial->count < ADDRESSES_MAX)
		dial->attempts[dial->count++] = (struct attempt){.dial = dial, .io.fd = -1, .to = *to};
}

/* RFC 8305, 4: families take turns, beginning with the one the resolver put first. */
static void interleave(struct dial *dial)
{
	struct attempt sorted[ADDRESSES_MAX];
	bool used[ADDRESSES_MAX] = {false};
	bool want_v4 = dial->count > 0 && hostport_is_v4(&dial->attempts[0].to);
	for (size_t out = 0; out < dial->count; out++, want_v4 = !want_v4) {
		size_t pick = dial->count;
		for (size_t i = 0; i < dial->count && pick == dial->count; i++) {
			if (!used[i] && hostport_is_v4(&dial->attempts[i].to) == want_v4)
				pick = i;
		}
		for (size_t i = 0; i < dial->count && pick == dial->count; i++) {
			if (!used[i])
				pick = i;
		}
		used[pick] = true;
		sorted[out] = dial->attempts[pick];
	}
	memcpy(dial->attempts, sorted, dial->count * sizeof(sorted[0]));
}

static void begin_attempts(struct dial *dial)
{
	if (dial->count == 0) {
		fail(dial, DIAL_FORBIDDEN,
			"the target is an address of this machine or its network that no rule allows (allow: loopback, "
			"link-local, metadata), or of this proxy");
		return;
	}
	interleave(dial);
	loop_timer_set(dial->loop, &dial->deadline, clock_monotonic_ns() + dial->connect_ns, deadline_late);
	start_next(dial);
}

static void resolved(enum resolver_result result, const struct resolver_answer *answer, void *ctx)
{
	struct dial *dial = ctx;
	dial->wait = NULL;
	const char *host = dial->through ? dial->through->host : dial->target->host;
	if (result != RESOLVER_OK) {
		char text[256];
		snprintf(text, sizeof(text), "looking up %.120s: %.100s", host, answer->text);
		fail(dial, result == RESOLVER_TIMEOUT ? DIAL_TIMEOUT : DIAL_NO_NAME, text);
		return;
	}
	for (size_t i = 0; i < answer->count; i++) {
		const union resolver_address *a = &answer->addresses[i];
		struct hostport to;
		socklen_t len = a->any.sa_family == AF_INET ? sizeof(a->v4) : sizeof(a->v6);
		if (!hostport_from_sockaddr(&to, &a->any, len))
			continue;
		to.port = dial->through ? dial->through->port : dial->target->port;
		add_address(dial, &to);
	}
	begin_attempts(dial);
}

struct dial *dial_start(struct loop *loop, struct resolver_client *resolver, const struct dial_request *request,
	dial_done_fn *done, void *ctx)
{
	struct dial *dial = calloc(1, sizeof(*dial));
	if (!dial)
		return NULL;
	bool through = request->through && request->through->kind != UPSTREAM_DIRECT;
	dial->loop = loop;
	dial->done = done;
	dial->ctx = ctx;
	dial->target = request->target;
	dial->through = through ? request->through : NULL;
	dial->permits = request->permits;
	dial->connect_ns = request->connect_ns;
	dial->no_tunnel = request->no_tunnel && through && request->through->kind == UPSTREAM_HTTP;
	/* What the other proxy makes of absolute-form requests is its own connection, with its own header. */
	dial->send_proxy = dial->no_tunnel ? CONFIG_SEND_PROXY_OFF : request->send_proxy;
	if (request->source)
		dial->source = *request->source;
	if (request->client)
		dial->client = *request->client;
	if (request->known && !through) {
		add_address(dial, request->known);
		begin_attempts(dial);
		return dial;
	}
	const char *host = through ? request->through->host : request->target->host;
	dial->wait = resolver_client_resolve(
		resolver, bytes_str(host), clock_monotonic_ns() + request->dns_ns, resolved, dial);
	if (!dial->wait) {
		free(dial);
		return NULL;
	}
	return dial;
}
