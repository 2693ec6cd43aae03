#include "proxy/supervisor_parts.h"

#include "base/clock.h"
#include "base/log.h"
#include "base/loop.h"
#include "flow/ring.h"
#include "pki/summary.h"
#include "policy/files.h"
#include "proxy/counts.h"
#include "proxy/family.h"
#include "proxy/ipc.h"
#include "proxy/keeper_client.h"
#include "proxy/listening.h"
#include "proxy/log_place.h"
#include "proxy/metrics.h"
#include "proxy/program.h"
#include "proxy/record.h"
#include "proxy/signals.h"
#include "proxy/snapshot.h"
#include "proxy/takeover.h"
#include "proxy/upgrade.h"

#include <errno.h>
#include <fcntl.h>
#include <openssl/err.h>
#include <openssl/pem.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <systemd/sd-daemon.h>
#include <unistd.h>

#define RESTART_NS   (500 * NS_PER_MS) /* a child that dies at once is not started again at once */
#define STOP_WAIT_NS (5 * NS_PER_S)    /* for keeper and scribe to finish writing */

static void child_start(struct child *child);

/* Messages. */

void supervisor_tell(struct child *child, enum family_message kind, struct bytes body, const int *fds, size_t count)
{
	struct ipc_message message = {.kind = (uint16_t)kind, .body = body, .fd_count = count};
	if (!child->ipc)
		return;
	for (size_t i = 0; i < count; i++)
		message.fds[i] = fds[i];
	enum ipc_result result = ipc_send(child->ipc, &message);
	/* One that has closed its channel is ending: it is reaped in a moment. */
	if (result == IPC_SENT || result == IPC_CLOSED)
		return;
	child->supervisor->counts.messages_refused++;
	log_error("child not told", LOG_S("child", family_role_name(child->role)), LOG_N("message", kind));
}

static void tell_setup(struct child *child)
{
	struct supervisor *s = child->supervisor;
	static uint8_t body[IPC_BODY_MAX], words[32 * 1024];
	struct writer w = writer_over(words, sizeof(words));
	for (int i = 0; i < s->argc; i++)
		writer_bytes(&w, bytes_of(s->argv[i], strlen(s->argv[i]) + 1));
	struct family_setup setup = {
		.number = child->number,
		.connections = (s->config->connections + s->worker_count - 1) / s->worker_count,
		.arguments = bytes_of(words, w.len),
		.config_name = s->config->file ? bytes_str(s->config->file) : BYTES_NONE,
		.config_text = s->config_text,
	};
	struct writer body_w = writer_over(body, sizeof(body));
	struct bytes out;
	family_setup_write(&body_w, &setup);
	if (!w.full && s->argc <= FAMILY_ARGUMENTS && writer_done(&body_w, &out))
		supervisor_tell(child, FAMILY_SETUP, out, NULL, 0);
	else
		supervisor_give_up(s, "the configuration file or the command line is too long");
}

/* A pair of channel ends: one to the server, with a name, the other to the worker. */
static void introduce(struct child *worker, struct child *server, enum family_message kind)
{
	int fds[2];
	char name[32];
	struct error err;
	if (!ipc_pair(fds, &err)) {
		log_error("no channel", LOG_S("why", err.text));
		return;
	}
	snprintf(name, sizeof(name), "worker %u", worker->number);
	supervisor_tell(worker, kind, BYTES_NONE, &fds[1], 1);
	close(fds[1]);
	if (server->role == ROLE_KEEPER && worker->supervisor->waiting) {
		/* A keeper that has not opened the state yet serves nobody: kept until it has. */
		if (worker->keeper_end >= 0)
			close(worker->keeper_end);
		worker->keeper_end = fds[0];
		return;
	}
	supervisor_tell(server, FAMILY_SERVE, bytes_str(name), &fds[0], 1);
	close(fds[0]);
}

static void give_ring(struct child *worker)
{
	struct supervisor *s = worker->supervisor;
	struct ring_fds ring;
	struct error err;
	uint8_t body[4];
	if (!ring_create(&ring, s->config->ring_octets, &err)) {
		log_error("no ring", LOG_S("why", err.text));
		return;
	}
	worker->source = ++s->next_source;
	struct writer w = writer_over(body, sizeof(body));
	writer_u32(&w, worker->source);
	int fds[] = {ring.data, ring.control, ring.wake, ring.space};
	supervisor_tell(&s->scribe, FAMILY_RING, bytes_of(body, 4), fds, 4);
	supervisor_tell(worker, FAMILY_RING, bytes_of(body, 4), fds, 4);
	ring_fds_close(&ring);
}

static void give_listeners(struct child *worker)
{
	const struct supervisor *s = worker->supervisor;
	for (size_t i = 0; i < s->config->listen.count; i += IPC_FDS_MAX) {
		size_t rest = s->config->listen.count - i;
		supervisor_tell(
			worker, FAMILY_LISTEN, BYTES_NONE, s->listen_fds + i, rest < IPC_FDS_MAX ? rest : IPC_FDS_MAX);
	}
}

static void start_worker(struct child *worker)
{
	struct supervisor *s = worker->supervisor;
	child_start(worker);
	supervisor_tell(worker, FAMILY_SNAPSHOT, BYTES_NONE, &s->snapshot_fd, 1);
	give_listeners(worker);
	introduce(worker, &s->keeper, FAMILY_KEEPER);
	introduce(worker, &s->resolver, FAMILY_RESOLVER);
	give_ring(worker);
	supervisor_tell(worker, FAMILY_START, BYTES_NONE, NULL, 0);
}

/* Going up: the keeper first, since its CA belongs into the snapshot; then the rest. */

static void stop_all(struct supervisor *s);

void supervisor_give_up(struct supervisor *s, const char *why)
{
	if (!s->err->text[0])
		error_set(s->err, "%s", why);
	s->ok = false;
	stop_all(s);
}

static bool write_snapshot(struct supervisor *s, struct error *err)
{
	int fd = snapshot_write(s->config, "", bytes_str(s->own_pem), s->generation + 1, err);
	if (fd < 0)
		return false;
	s->generation++;
	if (s->snapshot_fd >= 0)
		close(s->snapshot_fd);
	s->snapshot_fd = fd;
	return true;
}

/* The audit log, through a channel of the supervisor's own to the keeper. */

static void recorded(bool ok, void *ctx)
{
	(void)ctx;
	if (!ok)
		log_error(
			"not audited", LOG_S("do", "see why the audit log is closed; nothing is inspected meanwhile"));
}

static void write_record(struct supervisor *s, const struct record *record)
{
	if (!keeper_client_audit_synced(s->records, &record->entry, recorded, s))
		recorded(false, s);
}

static void record_snapshot_now(struct supervisor *s)
{
	struct record record;
	struct snapshot snapshot;
	struct error err;
	if (!snapshot_open(&snapshot, s->snapshot_fd, s->config, &err)) {
		log_error("snapshot not audited", LOG_S("why", err.text));
		return;
	}
	record_snapshot(&record, s->config, snapshot.policy, snapshot.generation);
	write_record(s, &record);
	snapshot_close(&snapshot);
}

static void records_changed(unsigned what, void *ctx)
{
	struct supervisor *s = ctx;
	struct record record;
	if (!(what & KEEPER_CHANGED_READY) || s->recorded)
		return;
	s->recorded = true;
	record_start(&record, s->config);
	write_record(s, &record);
	if (record_keylog(&record, s->config))
		write_record(s, &record);
	record_snapshot_now(s);
}

void supervisor_open_records(struct supervisor *s)
{
	static const struct keeper_client_limits limits;
	int fds[2];
	struct error err;
	if (!ipc_pair(fds, &err)) {
		log_error("no channel", LOG_S("why", err.text));
		return;
	}
	supervisor_tell(&s->keeper, FAMILY_SERVE, bytes_str(FAMILY_SUPERVISOR), &fds[0], 1);
	close(fds[0]);
	bool ok = true;
	if (s->records)
		ok = keeper_client_attach(s->records, fds[1], &err);
	else
		s->records = keeper_client_new(s->loop, fds[1], &limits, records_changed, s, &err);
	if (!ok || !s->records)
		log_error("no channel", LOG_S("why", err.text));
}

/* The rest of the family, once the CA is known. */
static void start_others(struct supervisor *s)
{
	struct error err;
	if (!s->own_pem || !write_snapshot(s, &err)) {
		supervisor_give_up(s, s->own_pem ? err.text : "no memory for the snapshot");
		return;
	}
	child_start(&s->resolver);
	child_start(&s->scribe);
	supervisor_tell(&s->resolver, FAMILY_START, BYTES_NONE, NULL, 0);
	supervisor_tell(&s->scribe, FAMILY_START, BYTES_NONE, NULL, 0);
	for (size_t i = 0; i < s->worker_count; i++)
		start_worker(&s->workers[i]);
}

/* Rules, lists and trust as the files say now, to every worker. */
static bool spread_snapshot(struct supervisor *s, struct error *err)
{
	if (!write_snapshot(s, err))
		return false;
	for (size_t i = 0; i < s->worker_count; i++)
		supervisor_tell(&s->workers[i], FAMILY_SNAPSHOT, BYTES_NONE, &s->snapshot_fd, 1);
	if (s->records)
		record_snapshot_now(s);
	return true;
}

static bool holds(const char *pem, const struct cert_summary *wanted)
{
	struct cert_summary summary;
	BIO *bio = BIO_new_mem_buf(pem, -1);
	X509 *cert;
	bool found = false;
	while (bio && !found && (cert = PEM_read_bio_X509(bio, NULL, NULL, NULL))) {
		cert_summary_of(cert, &summary);
		found = strcmp(summary.sha256, wanted->sha256) == 0;
		X509_free(cert);
	}
	BIO_free(bio);
	return found;
}

/* One line for each certificate that was not there before; where one was only taken away, for the first that stays. */
static void say_authority(const char *before, const char *now)
{
	struct cert_summary first = {.subject = ""}, summary;
	BIO *bio = BIO_new_mem_buf(now, -1);
	X509 *cert;
	size_t fresh = 0;
	for (size_t i = 0; bio && (cert = PEM_read_bio_X509(bio, NULL, NULL, NULL)); i++) {
		cert_summary_of(cert, &summary);
		X509_free(cert);
		if (i == 0)
			first = summary;
		if (before && holds(before, &summary))
			continue;
		log_info("another ca", LOG_S("subject", summary.subject), LOG_S("sha256", summary.sha256));
		fresh++;
	}
	if (fresh == 0)
		log_info("another ca", LOG_S("subject", first.subject), LOG_S("sha256", first.sha256));
	BIO_free(bio);
	ERR_clear_error();
}

/* The pages offer the new CA, and what it issued is known for our own. */
static void authority_changed(struct supervisor *s, struct bytes pem)
{
	struct error err;
	char *copy = strndup((const char *)pem.data, pem.len);
	if (!copy || !s->up || s->stops > 0) {
		free(copy);
		return;
	}
	char *before = s->own_pem;
	s->own_pem = copy;
	if (spread_snapshot(s, &err))
		say_authority(before, copy);
	else
		log_error("workers not told the ca", LOG_S("why", err.text),
			LOG_S("do", "send SIGHUP once it is mended"));
	free(before);
}

/* A keeper in the place of one that died. */
static void keeper_again(struct supervisor *s, struct bytes pem)
{
	for (size_t i = 0; i < s->worker_count; i++)
		introduce(&s->workers[i], &s->keeper, FAMILY_KEEPER);
	supervisor_open_records(s);
	/* The CA may have been rotated, and nobody sent SIGHUP: this keeper has opened the new one. */
	if (s->own_pem && !bytes_equal(bytes_str(s->own_pem), pem))
		authority_changed(s, pem);
}

static void keeper_ready(struct supervisor *s, struct bytes pem)
{
	if (s->waiting) {
		supervisor_keeper_took_over(s);
	} else if (s->workers[0].pid != 0 || s->up) {
		keeper_again(s, pem);
	} else {
		free(s->own_pem);
		s->own_pem = strndup((const char *)pem.data, pem.len);
		start_others(s);
		if (s->stops == 0)
			supervisor_open_records(s);
	}
}

/* It has the CA; the state is still another program's. */
static void keeper_prepared(struct supervisor *s, struct bytes pem)
{
	s->keeper.prepared = true;
	free(s->own_pem);
	s->own_pem = strndup((const char *)pem.data, pem.len);
	start_others(s);
}

static void check_up(struct supervisor *s)
{
	bool up = s->resolver.ready && s->scribe.ready;
	for (size_t i = 0; i < s->worker_count; i++)
		up = up && s->workers[i].ready;
	if (!up || s->up)
		return;
	if (!s->keeper.ready) {
		if (s->waiting && s->keeper.prepared)
			takeover_ready(s->takeover);
		return;
	}
	struct error err;
	if (!listening_begin(s->config, s->listen_fds, &err)) {
		supervisor_give_up(s, err.text);
		return;
	}
	s->up = true;
	log_info("ready", LOG_N("workers", s->worker_count));
	if (s->takeover)
		takeover_serving(s->takeover);
	else
		sd_notify(0, "READY=1");
}

static enum counts_of counts_of(enum family_role role)
{
	static const enum counts_of of[ROLES] = {
		[ROLE_KEEPER] = COUNTS_KEEPER,
		[ROLE_RESOLVER] = COUNTS_RESOLVER,
		[ROLE_SCRIBE] = COUNTS_SCRIBE,
		[ROLE_WORKER] = COUNTS_WORKER,
	};
	return of[role];
}

static void received(struct ipc *ipc, struct ipc_message *message, void *ctx)
{
	struct child *child = ctx;
	struct supervisor *s = child->supervisor;
	(void)ipc;
	/* Who was told to stop while it starts takes no further step. */
	if (s->stops > 0 && (message->kind == FAMILY_READY || message->kind == FAMILY_PREPARED))
		return;
	if (message->kind == FAMILY_READY) {
		child->ready = true;
		if (child->role == ROLE_KEEPER)
			keeper_ready(s, message->body);
		check_up(s);
	} else if (message->kind == FAMILY_COUNTS) {
		metrics_take(s->metrics, counts_of(child->role), child->number, message->body);
	} else if (message->kind == FAMILY_AUTHORITY && child->role == ROLE_KEEPER) {
		authority_changed(s, message->body);
	} else if (message->kind == FAMILY_PREPARED && child->role == ROLE_KEEPER && s->waiting) {
		keeper_prepared(s, message->body);
		check_up(s);
	} else if (message->kind == FAMILY_PEER && child->role == ROLE_KEEPER && s->upgrade) {
		if (message->fd_count == 1)
			upgrade_peer(s->upgrade, message->fds[0], message->body);
	} else if (message->kind == FAMILY_HANDED && child->role == ROLE_KEEPER && s->upgrade) {
		upgrade_yours(s->upgrade);
	} else if (message->kind == FAMILY_FAILED) {
		child->failed = true;
		/* While starting, the first failure is what the program ends with, and says once. */
		if (!s->up && !s->err->text[0])
			error_set(s->err, "%.*s", (int)message->body.len, (const char *)message->body.data);
		else
			log_error("child failed", LOG_S("child", family_role_name(child->role)),
				LOG_B("why", message->body));
	}
}

static void channel_closed(struct ipc *ipc, const char *reason, void *ctx)
{
	/* What happened is known when the process is reaped. */
	(void)ipc;
	(void)reason;
	(void)ctx;
}

static const struct ipc_handlers handlers = {.received = received, .closed = channel_closed};

/* Processes. */

static no_return void become(enum family_role role, int channel)
{
	char name[32];
	char program[] = "overt";
	snprintf(name, sizeof(name), "child:%s", family_role_name(role));
	char *argv[] = {program, name, NULL};
	sigset_t none;
	family_ignore_signals();
	sigemptyset(&none);
	sigprocmask(SIG_SETMASK, &none, NULL);
	/* The table goes to standard output, which only the scribe may write. */
	int null = open("/dev/null", O_RDWR);
	if (null < 0 || dup2(null, STDIN_FILENO) < 0 || (role != ROLE_SCRIBE && dup2(null, STDOUT_FILENO) < 0))
		_exit(1);
	if (channel != FAMILY_FD && dup2(channel, FAMILY_FD) < 0)
		_exit(1);
	fcntl(FAMILY_FD, F_SETFD, 0);
	if (close_range(FAMILY_FD + 1, ~0U, 0) != 0)
		_exit(1);
	execv("/proc/self/exe", argv);
	_exit(1);
}

static void child_start(struct child *child)
{
	struct supervisor *s = child->supervisor;
	struct error err;
	int fds[2];
	child->ready = child->failed = child->prepared = false;
	child->started_ns = clock_monotonic_ns();
	if (!ipc_pair(fds, &err)) {
		supervisor_give_up(s, err.text);
		return;
	}
	child->pid = fork();
	if (child->pid == 0)
		become(child->role, fds[1]);
	close(fds[1]);
	if (child->pid < 0) {
		child->pid = 0;
		close(fds[0]);
		supervisor_give_up(s, "a process cannot be started");
		return;
	}
	child->ipc = ipc_new(s->loop, fds[0], FAMILY_QUEUE, &handlers, child, &err);
	tell_setup(child);
}

static void restart(struct loop_timer *timer)
{
	struct child *child = (struct child *)(void *)((char *)timer - offsetof(struct child, restart));
	struct supervisor *s = child->supervisor;
	s->counts.restarts[child->role]++;
	log_info("child started again", LOG_S("child", family_role_name(child->role)), LOG_N("number", child->number));
	if (child->role == ROLE_WORKER) {
		start_worker(child);
		return;
	}
	child_start(child);
	supervisor_tell(child, FAMILY_START, BYTES_NONE, NULL, 0);
	for (size_t i = 0; i < s->worker_count; i++) {
		if (child->role == ROLE_RESOLVER)
			introduce(&s->workers[i], child, FAMILY_RESOLVER);
		else if (child->role == ROLE_SCRIBE)
			give_ring(&s->workers[i]);
	}
}

void supervisor_restart(struct child *child)
{
	uint64_t lived = clock_monotonic_ns() - child->started_ns;
	uint64_t wait = lived > 10 * RESTART_NS ? 0 : RESTART_NS;
	loop_timer_set(child->supervisor->loop, &child->restart, clock_monotonic_ns() + wait, restart);
}

static void workers_gone(struct supervisor *s)
{
	for (size_t i = 0; i < s->worker_count; i++) {
		if (s->workers[i].pid != 0)
			return;
	}
	keeper_client_free(s->records);
	s->records = NULL;
	/* What the workers have seen is written out before the rest ends. */
	supervisor_tell(&s->scribe, FAMILY_DRAIN, BYTES_NONE, NULL, 0);
	supervisor_tell(&s->keeper, FAMILY_DRAIN, BYTES_NONE, NULL, 0);
	supervisor_tell(&s->resolver, FAMILY_DRAIN, BYTES_NONE, NULL, 0);
	if (s->scribe.pid == 0 && s->keeper.pid == 0 && s->resolver.pid == 0)
		loop_stop(s->loop);
}

static void tell_scribe_gone(struct supervisor *s, uint32_t source)
{
	uint8_t body[4];
	struct writer w = writer_over(body, sizeof(body));
	writer_u32(&w, source);
	supervisor_tell(&s->scribe, FAMILY_DETACH, bytes_of(body, 4), NULL, 0);
}

static void child_gone(struct child *child, int status)
{
	struct supervisor *s = child->supervisor;
	child->pid = 0;
	ipc_free(child->ipc);
	child->ipc = NULL;
	if (child->role == ROLE_WORKER)
		tell_scribe_gone(s, child->source);
	if (s->stops > 0) {
		workers_gone(s);
		return;
	}
	if (child->role == ROLE_KEEPER && s->giving) {
		/* It gave the state away, or died before it could: nobody has it open now. */
		upgrade_yours(s->upgrade);
		return;
	}
	if (!s->up && child->failed) {
		supervisor_give_up(s, "");
		return;
	}
	if (WIFSIGNALED(status))
		log_error("child died", LOG_S("child", family_role_name(child->role)), LOG_N("number", child->number),
			LOG_N("signal", (uint64_t)WTERMSIG(status)));
	else
		log_error("child ended", LOG_S("child", family_role_name(child->role)), LOG_N("number", child->number),
			LOG_N("status", (uint64_t)WEXITSTATUS(status)));
	if (!s->up) {
		supervisor_give_up(s, "a process of the family ended while it was starting; the log says more");
		return;
	}
	supervisor_restart(child);
}

static struct child *child_of(struct supervisor *s, pid_t pid)
{
	struct child *others[] = {&s->keeper, &s->resolver, &s->scribe};
	for (size_t i = 0; i < 3; i++) {
		if (others[i]->pid == pid)
			return others[i];
	}
	for (size_t i = 0; i < s->worker_count; i++) {
		if (s->workers[i].pid == pid)
			return &s->workers[i];
	}
	return NULL;
}

static void reap(struct supervisor *s)
{
	int status;
	pid_t pid;
	while ((pid = waitpid(-1, &status, WNOHANG)) > 0) {
		struct child *child = child_of(s, pid);
		if (child)
			child_gone(child, status);
		else
			supervisor_upgrade_reaped(s, pid, status);
	}
}

/* Signals. */

static void kill_all(struct supervisor *s)
{
	/* The keeper goes with the others: nobody is to wonder where it is. */
	keeper_client_free(s->records);
	s->records = NULL;
	struct child *others[] = {&s->keeper, &s->resolver, &s->scribe};
	for (size_t i = 0; i < s->worker_count; i++) {
		if (s->workers[i].pid > 0)
			kill(s->workers[i].pid, SIGKILL);
	}
	for (size_t i = 0; i < 3; i++) {
		if (others[i]->pid > 0)
			kill(others[i]->pid, SIGKILL);
	}
}

static void stop_took_long(struct loop_timer *timer)
{
	struct supervisor *s = (struct supervisor *)(void *)((char *)timer - offsetof(struct supervisor, stop_late));
	log_warn("stopping takes too long", LOG_S("do", "the rest is ended by force"));
	kill_all(s);
}

void supervisor_drain(struct supervisor *s)
{
	struct child *others[] = {&s->keeper, &s->resolver, &s->scribe};
	s->stops++;
	for (size_t i = 0; i < 3; i++)
		loop_timer_clear(s->loop, &others[i]->restart);
	for (size_t i = 0; i < s->worker_count; i++) {
		loop_timer_clear(s->loop, &s->workers[i].restart);
		supervisor_tell(&s->workers[i], FAMILY_DRAIN, BYTES_NONE, NULL, 0);
	}
	loop_timer_set(s->loop, &s->stop_late, clock_monotonic_ns() + s->config->drain_timeout_ns + STOP_WAIT_NS,
		stop_took_long);
	workers_gone(s);
}

static void stop_all(struct supervisor *s)
{
	if (s->stops > 0) {
		s->stops++;
		kill_all(s);
		return;
	}
	upgrade_free(s->upgrade);
	s->upgrade = NULL;
	sd_notify(0, "STOPPING=1");
	/* Before that nobody could connect, or the sockets are still another program's. */
	if (s->up)
		listening_end(s->config, s->listen_fds);
	supervisor_drain(s);
}

/* The log and the outputs by their names again: whoever rotates files has moved the old ones away. */
static void reopen(struct supervisor *s)
{
	struct child *others[] = {&s->keeper, &s->resolver, &s->scribe};
	const int log_fd = STDERR_FILENO;
	struct error err;
	if (!log_place_open(s->config, &err))
		log_error("log not reopened", LOG_S("why", err.text), LOG_S("do", "lines go on into the old file"));
	size_t fds = s->config->log_target == CONFIG_LOG_STDERR ? 0 : 1;
	for (size_t i = 0; i < 3; i++)
		supervisor_tell(others[i], FAMILY_REOPEN, BYTES_NONE, &log_fd, fds);
	for (size_t i = 0; i < s->worker_count; i++)
		supervisor_tell(&s->workers[i], FAMILY_REOPEN, BYTES_NONE, &log_fd, fds);
}

void supervisor_say_reloading(void)
{
	sd_notifyf(0, "RELOADING=1\nMONOTONIC_USEC=%llu", (unsigned long long)(clock_monotonic_ns() / 1000));
}

static void reload(struct supervisor *s)
{
	struct error err;
	reopen(s);
	if (!spread_snapshot(s, &err)) {
		s->counts.reloads_refused++;
		log_error("reload refused", LOG_S("why", err.text), LOG_S("in-force", "the old rules"));
		return;
	}
	s->counts.reloads++;
	log_info("reloaded");
}

static void caught(int number, void *ctx)
{
	struct supervisor *s = ctx;
	if (number == SIGCHLD) {
		reap(s);
	} else if (number == SIGHUP && !s->up) {
		log_info("not reloaded", LOG_S("why", "the proxy is still starting, and reads everything anyway"));
	} else if (number == SIGHUP) {
		supervisor_say_reloading();
		reload(s);
		sd_notify(0, "READY=1");
	} else if (number == SIGUSR2) {
		supervisor_upgrade(s);
	} else if (signals_repeat(&s->asked_ns)) {
		/* The first one said it. */
	} else if (s->replaced) {
		/* It drains already, for the other program. The first signal to stop says nothing new. */
		s->replaced = false;
	} else {
		log_info(s->stops == 0 ? "draining" : "ending at once",
			LOG_S("signal", number == SIGINT ? "SIGINT" : "SIGTERM"));
		stop_all(s);
	}
}

/* Counters. */

static void ask_counts(void *ctx)
{
	struct supervisor *s = ctx;
	struct child *others[] = {&s->keeper, &s->resolver, &s->scribe};
	uint8_t body[COUNTS_BODY_MAX];
	struct writer w = writer_over(body, sizeof(body));
	struct rlimit limit = {0};
	(void)getrlimit(RLIMIT_NOFILE, &limit);
	s->counts.files_limit = limit.rlim_cur;
	s->counts.ready = s->up && s->stops == 0;
	s->counts.scrapes_refused = metrics_refused(s->metrics);
	counts_supervisor(&s->counts, &w);
	metrics_take(s->metrics, COUNTS_SUPERVISOR, 0, bytes_of(body, w.len));
	for (size_t i = 0; i < 3; i++)
		supervisor_tell(others[i], FAMILY_COUNT, BYTES_NONE, NULL, 0);
	for (size_t i = 0; i < s->worker_count; i++)
		supervisor_tell(&s->workers[i], FAMILY_COUNT, BYTES_NONE, NULL, 0);
}

bool supervisor_serve_counts(struct supervisor *s, struct error *err)
{
	struct metrics_options options = {
		.at = s->config->metrics_at, .workers = s->worker_count, .ask = ask_counts, .ctx = s};
	if (!s->config->metrics)
		return true;
	s->metrics = metrics_new(s->loop, &options, err);
	return s->metrics != NULL;
}

/* All of it. */

static void child_init(struct supervisor *s, struct child *child, enum family_role role, uint32_t number)
{
	*child = (struct child){.supervisor = s, .role = role, .number = number, .keeper_end = -1};
}

static void close_ends(struct supervisor *s)
{
	for (size_t i = 0; i < s->worker_count; i++) {
		if (s->workers[i].keeper_end >= 0)
			close(s->workers[i].keeper_end);
	}
	supervisor_peers_free(s);
}

static bool supervise(struct supervisor *s, struct error *err)
{
	struct signals signals = {.io.fd = -1};
	bool ok = signals_watch(&signals, s->loop, caught, s, err) && (!s->takeover || supervisor_take_over(s, err));
	if (ok) {
		child_start(&s->keeper);
		supervisor_tell(&s->keeper, s->takeover ? FAMILY_PREPARE : FAMILY_START, BYTES_NONE, NULL, 0);
		ok = loop_run(s->loop) || error_set_errno(err, "the event loop failed");
	}
	signals_close(&signals);
	return ok && s->ok;
}

bool supervisor_run(const struct config *config, int argc, char *const *argv, int *listen_fds,
	struct takeover *takeover, struct error *err)
{
	long cores = sysconf(_SC_NPROCESSORS_ONLN);
	struct supervisor s = {
		.loop = loop_new(),
		.config = config,
		.argc = argc,
		.argv = argv,
		.listen_fds = listen_fds,
		.takeover = takeover,
		.snapshot_fd = -1,
		.worker_count = config->workers ? config->workers
	                        : cores > 0     ? (size_t)cores
	                                        : 1,
		.ok = true,
		.err = err,
	};
	err->text[0] = '\0';
	s.workers = calloc(s.worker_count, sizeof(*s.workers));
	if (!s.loop || !s.workers) {
		loop_free(s.loop);
		free(s.workers);
		return error_set(err, "no memory for the supervisor");
	}
	child_init(&s, &s.keeper, ROLE_KEEPER, 0);
	child_init(&s, &s.resolver, ROLE_RESOLVER, 0);
	child_init(&s, &s.scribe, ROLE_SCRIBE, 0);
	for (size_t i = 0; i < s.worker_count; i++)
		child_init(&s, &s.workers[i], ROLE_WORKER, (uint32_t)i);
	if (!program_path(s.program, sizeof(s.program)))
		s.program[0] = '\0';
	/* Who takes another's place gets its port for counters when that one has left it. */
	bool ok = (!config->file || policy_file_read(config->file, &s.config_text, err)) &&
	          (takeover || supervisor_serve_counts(&s, err)) && supervise(&s, err);
	upgrade_free(s.upgrade);
	if (takeover)
		takeover_unwatch(takeover);
	close_ends(&s);
	metrics_free(s.metrics);
	policy_file_free(s.config_text);
	keeper_client_free(s.records);
	if (s.snapshot_fd >= 0)
		close(s.snapshot_fd);
	free(s.own_pem);
	free(s.workers);
	loop_free(s.loop);
	return ok;
}
