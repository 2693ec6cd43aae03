#include "proxy/worker.h"

#include "base/cache.h"
#include "base/clock.h"
#include "base/log.h"
#include "proxy/accord_limit.h"
#include "proxy/accord_shown.h"
#include "proxy/aia.h"
#include "proxy/answer.h"
#include "proxy/conn.h"
#include "proxy/intake.h"
#include "proxy/local_parts.h"
#include "proxy/upstream.h"

#include <errno.h>
#include <ifaddrs.h>
#include <malloc.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#define ACCEPTS_PER_TURN 64
#define ACCEPT_PAUSE_NS  (200 * NS_PER_MS)
#define VERDICT_MEMO     4096
#define TIDY_NS          (2 * NS_PER_S)

/* Accepting. */

static void accept_some(struct listener *listener);

static void accept_resume(struct loop_timer *timer)
{
	struct worker *worker = (struct worker *)(void *)((char *)timer - offsetof(struct worker, accept_again));
	worker->accept_paused = false;
	for (size_t i = 0; i < worker->listener_count; i++)
		accept_some(&worker->listeners[i]);
}

/* Without descriptors or memory, clients wait in the kernel's queue instead of being turned away. */
static void accept_pause(struct worker *worker, int code)
{
	if (worker->counts.accept_pauses++ % 100 == 0)
		log_warn("accept paused", LOG_S("why", strerrorname_np(code)), LOG_N("open", worker->counts.open),
			LOG_S("do", "raise the limit of open files (ulimit -n, LimitNOFILE)"));
	worker->accept_paused = true;
	loop_timer_set(worker->loop, &worker->accept_again, loop_now_ns(worker->loop) + ACCEPT_PAUSE_NS, accept_resume);
}

static void accept_again_later(struct worker *worker)
{
	worker->accept_paused = true;
	loop_timer_set(worker->loop, &worker->accept_again, loop_now_ns(worker->loop), accept_resume);
}

static bool out_of_something(int code)
{
	return code == EMFILE || code == ENFILE || code == ENOMEM || code == ENOBUFS;
}

static void accept_some(struct listener *listener)
{
	struct worker *worker = listener->worker;
	for (int i = 0; i < ACCEPTS_PER_TURN; i++) {
		if (worker->accept_paused || worker->draining || !worker->keeper_ready)
			return;
		if (worker->counts.open >= worker->config->connections) {
			accept_pause(worker, EMFILE);
			return;
		}
		struct sockaddr_storage from;
		socklen_t len = sizeof(from);
		int fd = accept4(listener->io.fd, (struct sockaddr *)&from, &len, SOCK_NONBLOCK | SOCK_CLOEXEC);
		if (fd < 0 && (errno == EAGAIN || errno == EINVAL))
			return; /* EINVAL: bound, but not listened at before the whole family is up */
		if (fd < 0) {
			if (out_of_something(errno)) {
				accept_pause(worker, errno);
				return;
			}
			continue; /* the client gave up while it waited */
		}
		struct hostport peer;
		if (!hostport_from_sockaddr(&peer, (struct sockaddr *)&from, len) ||
			(worker->mine && !local_admits(worker->mine, fd))) {
			close(fd);
			continue;
		}
		worker->counts.accepted++;
		struct conn *conn = conn_new(worker, listener, fd, &peer);
		if (conn)
			intake_begin(conn);
	}
	accept_again_later(worker);
}

static void listener_ready(struct loop_io *io)
{
	accept_some((struct listener *)(void *)io);
}

/* Connections in and out. */

static void free_count(void *value)
{
	free(value);
}

static bool count_in(struct worker *worker, const struct hostport *peer)
{
	struct bytes key = bytes_of(peer->ip, sizeof(peer->ip));
	uint32_t *count = cache_get(worker->per_client, key);
	if (!count) {
		count = calloc(1, sizeof(*count));
		if (!count || !cache_put(worker->per_client, key, count))
			return false;
	}
	if (*count >= worker->config->connections_per_client) {
		worker->counts.refused_per_client++;
		return false;
	}
	++*count;
	return true;
}

static void count_out(struct worker *worker, const struct hostport *peer)
{
	struct bytes key = bytes_of(peer->ip, sizeof(peer->ip));
	uint32_t *count = cache_get(worker->per_client, key);
	if (count && --*count == 0)
		cache_remove(worker->per_client, key);
}

static struct conn **slot_of(struct worker *worker, uint64_t flow)
{
	return &worker->by_flow[flow % WORKER_FLOW_SLOTS];
}

static void forget_flow(struct worker *worker, struct conn *conn)
{
	struct conn **at = slot_of(worker, conn->flow.id);
	while (*at && *at != conn)
		at = &(*at)->same_slot;
	if (*at)
		*at = conn->same_slot;
}

void worker_new_flow(struct worker *worker, struct conn *conn)
{
	if (conn->flow.id != 0)
		forget_flow(worker, conn);
	conn->flow = (struct publish_flow){.id = ++worker->next_id};
	struct conn **slot = slot_of(worker, conn->flow.id);
	conn->same_slot = *slot;
	*slot = conn;
}

void worker_take_skips(struct worker *worker)
{
	struct ring_skip skip;
	while (worker->publisher.ring && ring_skip_next(worker->publisher.ring, &skip)) {
		struct conn *conn = *slot_of(worker, skip.flow);
		while (conn && conn->flow.id != skip.flow)
			conn = conn->same_slot;
		if (conn)
			publish_skip(&conn->flow, &skip);
	}
}

bool worker_enter(struct worker *worker, struct conn *conn)
{
	if (!count_in(worker, &conn->peer))
		return false;
	worker->counts.open++;
	conn->older = worker->newest;
	if (worker->newest)
		worker->newest->newer = conn;
	worker->newest = conn;
	worker_new_flow(worker, conn);
	return true;
}

bool worker_rename(struct worker *worker, struct conn *conn, const struct hostport *peer)
{
	if (!count_in(worker, peer))
		return false;
	count_out(worker, &conn->peer);
	conn->peer = *peer;
	return true;
}

static void tell_drained(struct worker *worker)
{
	if (worker->draining && worker->counts.open == 0 && worker->drained)
		worker->drained(worker, worker->drained_ctx);
}

/* Memory goes back to the system once things have calmed down: libc keeps what was freed otherwise. */
static void tidy(struct loop_timer *timer)
{
	struct worker *worker = (struct worker *)(void *)((char *)timer - offsetof(struct worker, tidy));
	if (worker->publisher.ring)
		ring_trim(worker->publisher.ring);
	malloc_trim(0);
}

void worker_leave(struct worker *worker, struct conn *conn)
{
	count_out(worker, &conn->peer);
	forget_flow(worker, conn);
	worker->counts.open--;
	*(conn->newer ? &conn->newer->older : &worker->newest) = conn->older;
	if (conn->older)
		conn->older->newer = conn->newer;
	loop_timer_set(worker->loop, &worker->tidy, loop_now_ns(worker->loop) + TIDY_NS, tidy);
	tell_drained(worker);
}

/* Draining. */

static void drain_late(struct loop_timer *timer)
{
	struct worker *worker = (struct worker *)(void *)((char *)timer - offsetof(struct worker, drain_deadline));
	log_warn("drain deadline passed", LOG_N("open", worker->counts.open));
	for (struct conn *conn = worker->newest, *older; conn; conn = older) {
		older = conn->older;
		conn_end(conn, ENDING_STOPPED, "stopped", "the proxy is stopping");
	}
}

void worker_drain(struct worker *worker, void (*drained)(struct worker *worker, void *ctx), void *ctx)
{
	worker->draining = true;
	worker->drained = drained;
	worker->drained_ctx = ctx;
	for (size_t i = 0; i < worker->listener_count; i++)
		loop_remove(worker->loop, &worker->listeners[i].io);
	loop_timer_set(worker->loop, &worker->drain_deadline, clock_monotonic_ns() + worker->config->drain_timeout_ns,
		drain_late);
	tell_drained(worker);
}

static bool make_verifier(struct worker *worker, const struct snapshot *snapshot, struct trust **trust,
	struct verifier **verifier, struct error *err)
{
	*verifier = NULL;
	*trust = worker->slim ? trust_new(slim_lib(worker->slim)) : NULL;
	if (!*trust)
		return error_set(err, "no memory for trust anchors");
	if (!trust_add_bytes(*trust, snapshot->trust_pem, "trust anchors", err))
		return false;
	*verifier = verifier_new(*trust, VERDICT_MEMO);
	if (!*verifier)
		return error_set(err, "no memory for the verifier");
	/* What the CA of before issued stays our own too. */
	return verifier_add_own(*verifier, worker->snapshot.own_pem, err) &&
	       verifier_add_own(*verifier, snapshot->own_pem, err);
}

/* Other anchors or revocation lists: what the old ones led to is forgotten with them. Nobody holds on to a verifier. */
static void renew_trust(struct worker *worker, const struct snapshot *fresh)
{
	struct trust *trust;
	struct verifier *verifier;
	struct error err;
	if (!make_verifier(worker, fresh, &trust, &verifier, &err)) {
		log_error("trust anchors not taken up", LOG_S("why", err.text), LOG_S("in-force", "the old ones"));
		verifier_free(verifier);
		trust_free(trust);
		return;
	}
	verifier_free(worker->verifier);
	trust_free(worker->trust);
	worker->verifier = verifier;
	worker->trust = trust;
}

/* Connections in progress keep the context that they began with. */
static bool serve_anew(struct worker *worker, struct error *err)
{
	struct accord_serving *serving = worker->snapshot.serving;
	SSL_CTX *fresh = serving ? accord_serving_ctx(serving, worker, err) : NULL;
	if (serving && !fresh)
		return false;
	SSL_CTX_free(worker->served);
	worker->served = fresh;
	return true;
}

void worker_set_snapshot(struct worker *worker, struct snapshot *fresh)
{
	struct error err;
	if (!bytes_equal(worker->snapshot.trust_pem, fresh->trust_pem))
		renew_trust(worker, fresh);
	/* A rotated CA: what it issued must not be taken for a server's. */
	if (!bytes_equal(worker->snapshot.own_pem, fresh->own_pem) &&
		!verifier_add_own(worker->verifier, fresh->own_pem, &err))
		log_error("own ca not known", LOG_S("why", err.text));
	snapshot_close(&worker->snapshot);
	worker->snapshot = *fresh;
	*fresh = (struct snapshot){0};
	if (!serve_anew(worker, &err))
		log_error("rules of the aware server not taken up", LOG_S("why", err.text));
}

/* This machine's addresses, for listeners on a wildcard. Asked once: the sandbox has no netlink. */
static bool ask_local(struct worker *worker, struct error *err)
{
	struct ifaddrs *all;
	if (getifaddrs(&all) != 0)
		return error_set_errno(err, "this machine's addresses cannot be listed");
	size_t count = 0;
	for (const struct ifaddrs *i = all; i; i = i->ifa_next)
		count++;
	worker->local = calloc(count + 1, sizeof(*worker->local));
	for (const struct ifaddrs *i = all; i && worker->local; i = i->ifa_next) {
		struct hostport *own = &worker->local[worker->local_count];
		if (i->ifa_addr && hostport_from_sockaddr(own, i->ifa_addr, sizeof(struct sockaddr_in6)))
			worker->local_count++;
	}
	freeifaddrs(all);
	return worker->local || error_set(err, "no memory for this machine's addresses");
}

static bool is_local(const struct worker *worker, const struct hostport *address)
{
	for (size_t i = 0; i < worker->local_count; i++) {
		if (hostport_same_ip(&worker->local[i], address))
			return true;
	}
	/* All of 127.0.0.0/8 is this machine, whatever the interface says. */
	return hostport_is_v4(address) && address->ip[12] == 127;
}

bool worker_is_own(const struct worker *worker, const struct hostport *address)
{
	/* Counters are for this machine's own programs, not for whoever may use the proxy. */
	const struct hostport *metrics = &worker->config->metrics_at.at;
	if (worker->config->metrics && metrics->port == address->port && hostport_same_ip(metrics, address))
		return true;
	static const struct hostport any6;
	struct hostport any4;
	if (!hostport_parse_ip(&any4, "0.0.0.0"))
		return true;
	for (size_t i = 0; i < worker->listener_count; i++) {
		const struct hostport *own = &worker->listeners[i].address;
		if (own->port != address->port)
			continue;
		if (hostport_same_ip(own, address))
			return true;
		if ((hostport_same_ip(own, &any4) || hostport_same_ip(own, &any6)) && is_local(worker, address))
			return true;
	}
	return false;
}

/* Making and ending. */

static bool listen_all(struct worker *worker, const struct worker_options *options, struct error *err)
{
	worker->listeners =
		calloc(options->config->listen.count ? options->config->listen.count : 1, sizeof(*worker->listeners));
	if (!worker->listeners)
		return error_set(err, "no memory for listeners");
	for (size_t i = 0; i < options->config->listen.count; i++) {
		struct listener *listener = &worker->listeners[worker->listener_count++];
		struct sockaddr_storage bound;
		socklen_t len = sizeof(bound);
		listener->worker = worker;
		listener->at = options->config->listen.items[i];
		bool ok = getsockname(options->listen_fds[i], (struct sockaddr *)&bound, &len) == 0 &&
		          hostport_from_sockaddr(&listener->address, (struct sockaddr *)&bound, len) &&
		          loop_add_shared(worker->loop, &listener->io, options->listen_fds[i], listener_ready);
		if (!ok)
			return error_set_errno(err, "listener %zu cannot be watched", i + 1);
	}
	return true;
}

static void ring_space_ready(struct loop_io *io)
{
	struct worker *worker = (struct worker *)(void *)((char *)io - offsetof(struct worker, ring_space));
	uint64_t count;
	while (read(io->fd, &count, sizeof(count)) > 0)
		;
	io->readable = false;
	for (struct conn *conn = worker->newest; conn; conn = conn->older) {
		if (!conn->over)
			conn_again(conn);
	}
}

static bool open_ring(struct worker *worker, const struct ring_fds *ring, struct error *err)
{
	if (!ring)
		return true;
	worker->publisher.ring = ring_producer_new(ring, err);
	if (!worker->publisher.ring)
		return false;
	if (!worker->config->lossless)
		return true;
	if (!loop_add(worker->loop, &worker->ring_space, ring->space, ring_space_ready))
		return error_set_errno(err, "the ring cannot be watched");
	return true;
}

bool worker_set_ring(struct worker *worker, const struct ring_fds *ring, struct error *err)
{
	struct ring_producer *old = worker->publisher.ring;
	loop_remove(worker->loop, &worker->ring_space);
	worker->publisher.ring = NULL;
	bool ok = open_ring(worker, ring, err);
	ring_producer_free(old);
	return ok;
}

/* Connections that told a server of the one before go on with that. */
static void show_anew(struct worker *worker)
{
	struct error err;
	struct accord_shown *fresh = accord_shown_new(worker, &err);
	if (!fresh) {
		log_error("accord certificate not taken up", LOG_S("why", err.text));
		return;
	}
	accord_shown_drop(worker->shown);
	worker->shown = fresh;
}

/* Before the keeper has sent keys nobody could be answered: clients wait in the kernel's queue. */
static void keeper_changed(unsigned what, void *ctx)
{
	struct worker *worker = ctx;
	if (what & KEEPER_CHANGED_ACCORD)
		show_anew(worker);
	if (!(what & KEEPER_CHANGED_READY) || worker->keeper_ready)
		return;
	worker->keeper_ready = true;
	for (size_t i = 0; i < worker->listener_count; i++)
		accept_some(&worker->listeners[i]);
}

static bool set_up(struct worker *worker, const struct worker_options *options, struct error *err)
{
	worker->scratch = malloc(WORKER_SCRATCH);
	worker->per_client = cache_new(worker->config->connections + 1, free_count);
	if (!worker->scratch || !worker->per_client || !leg_room_init(&worker->room))
		return error_set(err, "no memory for the worker");
	worker->slim = slim_new();
	struct keeper_client_limits keeper = {
		.cache = worker->config->leaf_cache,
		.refusals = worker->config->refusal_cache,
		.lib = worker->slim ? slim_lib(worker->slim) : NULL,
	};
	struct resolver_limits resolver = {.cache = worker->config->dns_cache};
	worker->keeper = keeper_client_new(worker->loop, options->keeper_fd, &keeper, keeper_changed, worker, err);
	if (!worker->keeper)
		return false;
	worker->resolver = resolver_client_new(worker->loop, options->resolver_fd, &resolver, NULL, worker, err);
	if (!worker->resolver || !make_verifier(worker, &worker->snapshot, &worker->trust, &worker->verifier, err) ||
		!open_ring(worker, options->ring, err))
		return false;
	struct aia_options aia = {
		.loop = worker->loop,
		.resolver = worker->resolver,
		.through = &worker->config->upstream_proxy,
		.lib = worker->slim ? slim_lib(worker->slim) : NULL,
	};
	worker->aia = aia_new(&aia, err);
	if (!worker->aia)
		return false;
	worker->upstream = upstream_new(worker, err);
	if (!worker->upstream)
		return false;
	worker->answer = answer_new(worker, err);
	worker->limit = accord_limit_new(worker->config);
	return worker->answer && worker->limit && serve_anew(worker, err) && ask_local(worker, err) &&
	       listen_all(worker, options, err);
}

struct worker *worker_new(struct loop *loop, const struct worker_options *options, struct error *err)
{
	struct worker *worker = calloc(1, sizeof(*worker));
	if (!worker) {
		error_set(err, "no memory for a worker");
		return NULL;
	}
	worker->loop = loop;
	worker->number = options->number;
	worker->config = options->config;
	worker->mine = options->local;
	worker->snapshot = *options->snapshot;
	*options->snapshot = (struct snapshot){0};
	if (set_up(worker, options, err)) {
		if (worker->mine)
			local_begin(worker->mine, worker);
		return worker;
	}
	worker_free(worker);
	return NULL;
}

void worker_free(struct worker *worker)
{
	if (!worker)
		return;
	worker->drained = NULL;
	for (struct conn *conn = worker->newest, *older; conn; conn = older) {
		older = conn->older;
		conn_end(conn, ENDING_STOPPED, "stopped", "the proxy is stopping");
		conn_bury(conn);
	}
	for (size_t i = 0; i < worker->listener_count; i++)
		loop_remove(worker->loop, &worker->listeners[i].io);
	free(worker->listeners);
	free(worker->local);
	loop_timer_clear(worker->loop, &worker->accept_again);
	loop_timer_clear(worker->loop, &worker->drain_deadline);
	loop_timer_clear(worker->loop, &worker->tidy);
	loop_remove(worker->loop, &worker->ring_space);
	accord_shown_drop(worker->shown);
	accord_limit_free(worker->limit);
	SSL_CTX_free(worker->served);
	answer_free(worker->answer);
	upstream_free(worker->upstream);
	aia_free(worker->aia);
	verifier_free(worker->verifier);
	trust_free(worker->trust);
	slim_free(worker->slim);
	keeper_client_free(worker->keeper);
	resolver_client_free(worker->resolver);
	ring_producer_free(worker->publisher.ring);
	cache_free(worker->per_client);
	leg_room_free(&worker->room);
	free(worker->scratch);
	snapshot_close(&worker->snapshot);
	if (worker->mine)
		local_begin(worker->mine, NULL);
	free(worker);
}
