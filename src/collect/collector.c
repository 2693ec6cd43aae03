#include "collect/parts.h"

#include "base/hostport.h"
#include "base/log.h"
#include "base/sandbox.h"
#include "collect/address.h"

#include <openssl/rand.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <unistd.h>

void collect_options_init(struct collect_options *options)
{
	*options = (struct collect_options){
		.store = {.octets = (size_t)256 << 20,
			.owner_octets = (size_t)64 << 20,
			.lifetime_ns = 3600 * NS_PER_S},
		.clients = 1024,
		.client_connections = 256,
		.patience_ns = 10 * NS_PER_S,
		.rate = 200000,
	};
}

/* Listening. */

static void accept_ready(struct loop_io *io)
{
	peer_accept((struct listening *)((char *)io - offsetof(struct listening, io)));
}

static void say_address(int fd)
{
	char text[HOSTPORT_TEXT] = "";
	struct sockaddr_storage sa;
	socklen_t len = sizeof(sa);
	struct hostport at;
	if (getsockname(fd, (struct sockaddr *)&sa, &len) == 0 &&
		hostport_from_sockaddr(&at, (struct sockaddr *)&sa, len))
		(void)hostport_text(&at, text);
	log_info("listening", LOG_S("address", text), LOG_S("mode", "collect"));
}

static bool listen_one(struct collector *collector, size_t number, struct error *err)
{
	struct listening *listening = &collector->listening[number];
	int fd = address_listen(collector->options->listen[number], err);
	listening->collector = collector;
	if (fd < 0)
		return false;
	if (!loop_add_shared(collector->loop, &listening->io, fd, accept_ready)) {
		close(fd);
		return error_set_errno(err, "--listen %s", collector->options->listen[number]);
	}
	say_address(fd);
	return true;
}

/* Signals and the second. */

static bool reload(struct collector *collector, struct error *err)
{
	SSL_CTX *fresh = collect_server_context(&collector->options->files, err);
	if (!fresh)
		return false;
	if (!grants_load(collector, err)) {
		SSL_CTX_free(fresh);
		return false;
	}
	SSL_CTX_free(collector->ctx);
	collector->ctx = fresh;
	return true;
}

static void signal_ready(struct loop_io *io)
{
	struct collector *collector = (struct collector *)((char *)io - offsetof(struct collector, signals));
	struct signalfd_siginfo info;
	struct error err;
	while (read(io->fd, &info, sizeof(info)) == (ssize_t)sizeof(info)) {
		if (info.ssi_signo != SIGHUP) {
			loop_stop(collector->loop);
		} else if (reload(collector, &err)) {
			log_info("reloaded");
		} else {
			log_error(
				"not reloaded", LOG_S("why", err.text), LOG_S("in-force", "what was in force before"));
		}
	}
	io->readable = false;
}

static bool watch_signals(struct collector *collector, struct error *err)
{
	sigset_t set;
	sigemptyset(&set);
	sigaddset(&set, SIGTERM);
	sigaddset(&set, SIGINT);
	sigaddset(&set, SIGHUP);
	int fd = signalfd(-1, &set, SFD_NONBLOCK | SFD_CLOEXEC);
	if (fd >= 0 && loop_add(collector->loop, &collector->signals, fd, signal_ready))
		return true;
	if (fd >= 0)
		close(fd);
	collector->signals.fd = -1;
	return error_set_errno(err, "no signals");
}

static void close_expired(struct collector *collector)
{
	int64_t now_s = collect_now_s();
	for (struct peer *peer = collector->peers, *next; peer; peer = next) {
		next = peer->next;
		if (peer->stage != PEER_HANDSHAKE && now_s > peer->who.not_after_s)
			peer_sorry(peer, COURIER_WHY_NOT_ALLOWED, "the certificate has expired since");
	}
}

/* Nobody connects any more then. */
static void say_expired(struct collector *collector)
{
	struct collect_identity own;
	bool expired = collect_identity_own(collector->ctx, &own) && collect_now_s() > own.not_after_s;
	if (expired && !collector->own_expired)
		log_error("the collector's certificate has expired",
			LOG_S("file", collector->options->files.certificate), LOG_S("do", "renew it and send SIGHUP"));
	collector->own_expired = expired;
}

static void say_log(struct collector *collector)
{
	const char *closed = audit_log_closed(collector->log);
	if ((closed == NULL) == collector->log_open)
		return;
	collector->log_open = closed == NULL;
	if (closed)
		log_error("nothing is taken or given", LOG_S("why", closed));
	else
		log_info("taken and given again");
	give_pump_all(collector);
}

/* Who could not be accepted for want of descriptors or memory stands there still, and makes no event. */
static void accept_left(struct collector *collector)
{
	for (size_t i = 0; i < collector->options->listen_count; i++) {
		if (collector->listening[i].io.registered)
			peer_accept(&collector->listening[i]);
	}
}

static void each_second(struct loop_timer *timer)
{
	struct collector *collector = (struct collector *)((char *)timer - offsetof(struct collector, second));
	store_expire(collector->store, collect_age_ns(collector, loop_now_ns(collector->loop)));
	accept_left(collector);
	close_expired(collector);
	say_expired(collector);
	spool_tidy(collector);
	peers_hurry(collector);
	metrics_tidy(collector);
	say_log(collector);
	grants_end_by_time(collector);
	if (collector->grants_owed || grants_stale(collector))
		grants_refresh(collector);
	loop_timer_set(collector->loop, timer, loop_now_ns(collector->loop) + NS_PER_S, each_second);
}

/* Begin and end. */

static void log_state(const char *reason, void *ctx)
{
	(void)reason;
	say_log(ctx);
}

static bool log_self(struct collector *collector, const char *action, const char *reason)
{
	char lifetime[32];
	struct audit_entry entry = {.kind = AUDIT_COLLECTOR};
	const struct collect_options *options = collector->options;
	snprintf(lifetime, sizeof(lifetime), "%llu s", (unsigned long long)(options->store.lifetime_ns / NS_PER_S));
	entry_add(&entry, AUDIT_T("action", bytes_str(action)));
	entry_add(&entry, AUDIT_T("listening", bytes_str(options->listen[0])));
	entry_add(&entry, AUDIT_T("reason", bytes_str(reason)));
	entry_add(&entry, AUDIT_T("lifetime", bytes_str(lifetime)));
	entry_add(&entry, AUDIT_T("sealed", bytes_str(options->spool ? "on disk" : "in memory")));
	return audit_append(collector->log, &entry, clock_wall_ns(), NULL) == AUDIT_QUEUED &&
	       audit_flush(collector->log);
}

static bool open_log(struct collector *collector, struct error *err)
{
	const struct audit_options options = {.path = collector->options->audit};
	collector->log = audit_log_new(collector->loop, &options, log_state, collector, err);
	collector->log_open = true;
	if (!collector->log)
		return false;
	return log_self(collector, "start", "") ||
	       error_set(err, "the audit log cannot be written: %s", audit_log_closed(collector->log));
}

/* Rights go once the ports are open, and before any file is. */
static bool drop_rights(const struct collect_options *options, struct error *err)
{
	struct sandbox_user user;
	return (!options->user || sandbox_user_find(options->user, &user, err)) &&
	       sandbox_drop(options->user ? &user : NULL, false, err);
}

static bool open_ports(struct collector *collector, struct error *err)
{
	for (size_t i = 0; i < collector->options->listen_count; i++) {
		if (!listen_one(collector, i, err))
			return false;
	}
	return true;
}

static bool begin(struct collector *collector, struct error *err)
{
	const struct collect_options *options = collector->options;
	collector->loop = loop_new();
	collector->store = store_new(&options->store);
	if (!collector->loop || !collector->store || RAND_bytes(collector->instance, COURIER_INSTANCE) != 1)
		return error_set(err, "no memory for the collector");
	if (!open_ports(collector, err) || !metrics_open(collector, err) || !drop_rights(options, err))
		return false;
	collector->ctx = collect_server_context(&options->files, err);
	if (!collector->ctx || !open_log(collector, err) || !grants_read_enough(collector, err) ||
		!grants_load(collector, err) || !spool_open(collector, err) || !bus_open(collector, err) ||
		!watch_signals(collector, err))
		return false;
	if (sandbox_possible() && !sandbox_enter(options->bus.servers ? SANDBOX_COLLECTOR_BUS : SANDBOX_COLLECTOR, err))
		return false;
	return loop_timer_set(collector->loop, &collector->second, clock_monotonic_ns() + NS_PER_S, each_second);
}

static void say_counts(const struct collector *collector)
{
	const struct collect_counts *counts = &collector->counts;
	struct store_counts store = store_count(collector->store);
	log_info("collected", LOG_N("clients", counts->accepted), LOG_N("turned-away", counts->refused_clients),
		LOG_N("failed-handshakes", counts->failed_handshakes), LOG_N("late", counts->late),
		LOG_N("keys", store.fresh), LOG_N("known", store.known), LOG_N("contradictory", store.contradictory),
		LOG_N("refused", counts->refused), LOG_N("malformed", counts->malformed), LOG_N("lines", counts->lines),
		LOG_N("lines-bad", counts->lines_bad), LOG_N("lines-refused", counts->lines_refused),
		LOG_N("lines-unwanted", counts->lines_unwanted), LOG_N("given", counts->given),
		LOG_N("expired", store.expired), LOG_N("evicted", store.evicted),
		LOG_N("log-closed", counts->refused_log), LOG_N("spool-lost", collector->spool_lost));
}

static void finish(struct collector *collector)
{
	for (size_t i = 0; i < collector->options->listen_count; i++) {
		if (collector->listening[i].io.registered) {
			loop_remove(collector->loop, &collector->listening[i].io);
			close(collector->listening[i].io.fd);
		}
	}
	while (collector->peers)
		peer_sorry(collector->peers, COURIER_WHY_STOPPING, courier_why_text(COURIER_WHY_STOPPING));
	bus_close(collector);
	if (collector->log) {
		(void)!log_self(collector, "stop", "asked to");
		audit_log_free(collector->log); /* tells who waits: batches that are still unanswered */
		put_settle(collector);
	}
	loop_task_cancel(collector->loop, &collector->settling);
	spool_close(collector);
	metrics_close(collector);
	if (collector->store)
		say_counts(collector);
	if (collector->signals.registered) {
		loop_remove(collector->loop, &collector->signals);
		close(collector->signals.fd);
	}
	peers_bury(collector);
	lines_free(collector);
	grant_set_free(collector->grants);
	store_free(collector->store);
	sources_free(collector);
	SSL_CTX_free(collector->ctx);
	loop_free(collector->loop);
}

bool collect_run(const struct collect_options *options, struct error *err)
{
	/* What passes through here for a moment is not for a core file or a debugger. */
	if (!sandbox_prepare(err))
		return false;
	struct collector *collector = calloc(1, sizeof(*collector));
	if (!collector)
		return error_set(err, "no memory for the collector");
	collector->options = options;
	collector->batches_end = &collector->batches;
	collector->spool_fd = -1;
	grants_begin(collector);
	bool ok = begin(collector, err);
	if (ok) {
		log_info("ready");
		ok = loop_run(collector->loop) || error_set_errno(err, "the loop failed");
	}
	finish(collector);
	free(collector);
	return ok;
}
