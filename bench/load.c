/*
 * bench/load.c — the load client: one thread, as many connections as asked for, one line of JSON at the end.
 *
 * handshakes and first open a connection, make one request, close, and begin anew. The request is there because a proxy
 * may begin its own handshake with the server only after the client's. bulk, requests and idle open their connections
 * first, warm each with one request, and only then begin what is measured.
 */
#include "base/clock.h"
#include "connection.h"
#include "figures.h"
#include "options.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <signal.h>
#include <stdlib.h>
#include <unistd.h>

#define ERRORS_MAX   20 /* then it is no use going on */
#define SESSIONS_MAX 64
#define OPENING_MAX  32 /* connections that are not warm yet, when all are opened first */

enum phase { OPENING, READY, RUNNING, DONE, CLOSING };

struct load {
	struct options options;
	struct connection_plan plan;
	struct connection *conns;
	size_t conns_len;
	struct figures figures;
	enum phase phase;
	uint64_t started;   /* operations begun */
	size_t warm, live;  /* connections that had their first answer; that are open or may open again */
	size_t opened_next; /* index of the next connection to open, when all are opened first */
	uint64_t began_ns, began_cpu_ns;
	SSL_SESSION *sessions[SESSIONS_MAX]; /* each offered once */
	size_t sessions_len;
	struct loop_io input;
	struct loop_timer deadline;
};

static struct load *load_of(const struct connection *conn)
{
	return conn->owner;
}

static bool churns(const struct load *load)
{
	return load->options.mode == LOAD_HANDSHAKES || load->options.mode == LOAD_FIRST;
}

static void begin_clock(struct load *load)
{
	load->began_ns = clock_monotonic_ns();
	load->began_cpu_ns = cpu_time_ns();
}

static void report(struct load *load)
{
	figures_print(&load->figures, load->options.mode_name, clock_monotonic_ns() - load->began_ns,
		cpu_time_ns() - load->began_cpu_ns, stdout);
}

/* Ends the run as a failed one. */
static void give_up(struct load *load, const struct error *err)
{
	if (err)
		figures_error(&load->figures, err);
	loop_stop(load->plan.loop);
	if (load->phase == DONE)
		fprintf(stderr, "load: after the measured part: %s\n", load->figures.first.text);
	else if (load->phase != CLOSING)
		report(load);
	load->phase = CLOSING;
}

static int session_new(SSL *ssl, SSL_SESSION *session)
{
	struct load *load = SSL_CTX_get_app_data(SSL_get_SSL_CTX(ssl));
	if (load->sessions_len == SESSIONS_MAX)
		return 0;
	load->sessions[load->sessions_len++] = session;
	return 1;
}

static void open_one(struct load *load, struct connection *conn, uint64_t number)
{
	char name[sizeof(conn->name)];
	options_name(&load->options, load->options.sni_from + number, name, sizeof(name));
	SSL_SESSION *session = load->sessions_len > 0 ? load->sessions[--load->sessions_len] : NULL;
	connection_open(conn, name, session);
	SSL_SESSION_free(session);
}

static void open_more(struct load *load)
{
	while (load->phase == OPENING && load->opened_next < load->conns_len &&
		load->opened_next - load->warm < OPENING_MAX) {
		size_t i = load->opened_next++;
		open_one(load, &load->conns[i], i);
	}
}

static void opened(struct connection *conn)
{
	struct load *load = load_of(conn);
	load->figures.handshakes++;
	load->figures.resumed += SSL_session_reused(conn->ssl) == 1;
	connection_request(conn, "/");
}

static void close_all(struct load *load)
{
	load->phase = CLOSING;
	for (size_t i = 0; i < load->conns_len; i++)
		connection_close(&load->conns[i]);
}

/* The measured part is over; the connections stay until the gate opens. */
static void finish(struct load *load)
{
	load->phase = DONE;
	report(load);
	if (!load->options.gate)
		close_all(load);
}

/* Gives a warm connection its next piece of work. False when none is left for it. */
static bool next_work(struct load *load, struct connection *conn)
{
	char target[64] = "/";
	if (load->options.mode == LOAD_BULK) {
		if (load->started == load->conns_len)
			return false;
		snprintf(target, sizeof(target), "/bytes/%" PRIu64, load->options.bytes / load->conns_len);
	} else if (load->options.mode == LOAD_IDLE || load->started == load->options.count) {
		return false;
	}
	load->started++;
	connection_request(conn, target);
	return true;
}

static void begin_running(struct load *load)
{
	load->phase = RUNNING;
	load->live = 0;
	if (load->options.mode == LOAD_IDLE) {
		load->figures.done = load->conns_len;
		finish(load);
		return;
	}
	begin_clock(load);
	for (size_t i = 0; i < load->conns_len; i++) {
		/* Counted before: the request may be answered before this call returns. */
		load->live++;
		if (!next_work(load, &load->conns[i]))
			load->live--;
	}
}

static void warmed(struct load *load)
{
	load->warm++;
	if (load->warm < load->conns_len) {
		open_more(load);
		return;
	}
	load->phase = READY;
	if (load->options.gate && load->options.mode != LOAD_IDLE) {
		puts("ready");
		fflush(stdout);
	} else {
		begin_running(load);
	}
}

static void answered(struct connection *conn)
{
	struct load *load = load_of(conn);
	if (churns(load)) {
		figures_done(&load->figures, clock_monotonic_ns() - conn->opened_ns);
		load->figures.bytes += conn->received;
		connection_close(conn);
	} else if (load->phase == OPENING) {
		conn->received = 0;
		warmed(load);
	} else if (load->phase == RUNNING) {
		figures_done(&load->figures, clock_monotonic_ns() - conn->asked_ns);
		load->figures.bytes += conn->received;
		conn->received = 0;
		if (!next_work(load, conn) && --load->live == 0)
			finish(load);
	}
}

static void churn_closed(struct load *load, struct connection *conn)
{
	if (load->started < load->options.count) {
		open_one(load, conn, load->started++);
	} else if (--load->live == 0) {
		report(load);
		load->phase = CLOSING;
		loop_stop(load->plan.loop);
	}
}

static void closed(struct connection *conn, const struct error *err)
{
	struct load *load = load_of(conn);
	if (churns(load)) {
		if (err)
			figures_error(&load->figures, err);
		if (load->figures.errors >= ERRORS_MAX)
			give_up(load, NULL);
		else
			churn_closed(load, conn);
	} else if (load->phase != CLOSING) {
		give_up(load, err);
	} else if (++load->live == load->conns_len) {
		loop_stop(load->plan.loop);
	}
}

static void input_ready(struct loop_io *io)
{
	struct load *load = (struct load *)(void *)((char *)io - offsetof(struct load, input));
	char line[64];
	ssize_t n = read(io->fd, line, sizeof(line));
	if (n < 0)
		return;
	if (n == 0 && load->phase != DONE) {
		struct error err;
		error_set(&err, "standard input ended before the run did");
		loop_remove(load->plan.loop, io);
		give_up(load, &err);
	} else if (load->phase == READY) {
		begin_running(load);
	} else if (load->phase == DONE) {
		load->live = 0;
		close_all(load);
	}
}

static void deadline_passed(struct loop_timer *timer)
{
	struct load *load = (struct load *)(void *)((char *)timer - offsetof(struct load, deadline));
	struct error err;
	error_set(&err, "the deadline passed");
	give_up(load, &err);
}

static bool setup_tls(struct load *load, struct error *err)
{
	SSL_CTX *ctx = load->plan.ctx = tlsside_context(TLS_client_method(), &load->options.side, err);
	if (!ctx)
		return false;
	if (load->options.verify) {
		SSL_CTX_set_verify(ctx, SSL_VERIFY_PEER, NULL);
		if (SSL_CTX_load_verify_file(ctx, load->options.ca) != 1)
			return error_set_openssl(err, "%s: cannot load the trust anchors", load->options.ca);
	}
	SSL_CTX_set_app_data(ctx, load);
	if (load->options.resume) {
		SSL_CTX_set_session_cache_mode(ctx, SSL_SESS_CACHE_CLIENT | SSL_SESS_CACHE_NO_INTERNAL);
		SSL_CTX_sess_set_new_cb(ctx, session_new);
	}
	if (load->options.mode == LOAD_BULK) {
		SSL_CTX_set_read_ahead(ctx, 1);
		SSL_CTX_set_default_read_buffer_len(ctx, 65536);
	}
	return true;
}

static bool setup(struct load *load, struct error *err)
{
	const struct options *options = &load->options;
	load->conns_len = options->mode == LOAD_IDLE ? options->count : options->concurrency;
	if (churns(load) && load->conns_len > options->count)
		load->conns_len = options->count;
	load->conns = calloc(load->conns_len, sizeof(*load->conns));
	load->plan.loop = loop_new();
	if (!load->conns || !load->plan.loop || !figures_init(&load->figures, options->count))
		return error_set_errno(err, "cannot set up %zu connections", load->conns_len);
	load->plan.side = options->side;
	load->plan.to = options->to;
	load->plan.to_len = options->to_len;
	load->plan.connect = options->connect;
	load->plan.port = options->port;
	load->plan.leaf_p256 = options->leaf_p256;
	load->plan.opened = opened;
	load->plan.answered = answered;
	load->plan.closed = closed;
	for (size_t i = 0; i < load->conns_len; i++)
		load->conns[i] = (struct connection){.io.fd = -1, .plan = &load->plan, .owner = load};
	if (!setup_tls(load, err))
		return false;
	if (options->gate &&
		(fcntl(0, F_SETFL, O_NONBLOCK) != 0 || !loop_add(load->plan.loop, &load->input, 0, input_ready)))
		return error_set_errno(err, "--gate needs a pipe as standard input");
	uint64_t deadline_ns = clock_monotonic_ns() + options->deadline_ns;
	return loop_timer_set(load->plan.loop, &load->deadline, deadline_ns, deadline_passed) ||
	       error_set_errno(err, "cannot set the deadline");
}

static void start(struct load *load)
{
	begin_clock(load);
	if (!churns(load)) {
		open_more(load);
		return;
	}
	load->live = load->conns_len;
	load->started = load->conns_len;
	for (size_t i = 0; i < load->conns_len && load->phase == OPENING; i++)
		open_one(load, &load->conns[i], i);
}

static void cleanup(struct load *load)
{
	for (size_t i = 0; i < load->conns_len && load->conns; i++) {
		SSL_free(load->conns[i].ssl);
		if (load->conns[i].io.fd >= 0)
			close(load->conns[i].io.fd);
	}
	while (load->sessions_len > 0)
		SSL_SESSION_free(load->sessions[--load->sessions_len]);
	free(load->conns);
	figures_free(&load->figures);
	SSL_CTX_free(load->plan.ctx);
	loop_free(load->plan.loop);
}

int main(int argc, char **argv)
{
	static struct load load;
	struct error err;
	signal(SIGPIPE, SIG_IGN);
	descriptors_raise();
	if (!options_read(&load.options, argc, argv, &err)) {
		fprintf(stderr, "load: %s\n", err.text);
		options_usage();
		return 2;
	}
	if (!setup(&load, &err)) {
		fprintf(stderr, "load: %s\n", err.text);
		cleanup(&load);
		return 2;
	}
	start(&load);
	/* A start that failed at once has stopped a loop that was not running yet. */
	if (load.phase != CLOSING && !loop_run(load.plan.loop))
		perror("load: epoll");
	int status = load.figures.errors > 0;
	cleanup(&load);
	return status;
}
