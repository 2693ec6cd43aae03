#include "proxy/child.h"

#include "base/log.h"
#include "base/loop.h"
#include "base/sandbox.h"
#include "pki/accord_ca.h"
#include "pki/authority.h"
#include "proxy/ca_open.h"
#include "proxy/counts.h"
#include "proxy/family.h"
#include "proxy/ipc.h"
#include "proxy/keeper.h"
#include "proxy/resolver.h"
#include "proxy/scribe.h"
#include "proxy/snapshot.h"
#include "proxy/worker.h"

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#define RESOLVERS_MAX    256
#define RESOLVER_THREADS 4

struct child_process {
	enum family_role role;
	struct loop *loop;
	struct ipc *channel;
	struct config *config;
	uint32_t number;
	int code;
	bool started;

	/* worker */
	struct worker *worker;
	struct snapshot snapshot;
	int *listen_fds;
	size_t listen_count;
	int keeper_fd, resolver_fd;
	struct ring_fds ring;
	/* keeper */
	struct authority *authority;
	struct accord_ca *accord;
	bool ca_made;
	struct keeper *keeper;
	/* resolver */
	struct resolver *resolvers[RESOLVERS_MAX];
	size_t resolver_count;
	/* scribe */
	struct scribe *scribe;
};

static void end(struct child_process *p, int code)
{
	p->code = code;
	loop_stop(p->loop);
}

static void tell(struct child_process *p, enum family_message kind, struct bytes body)
{
	struct ipc_message message = {.kind = (uint16_t)kind, .body = body};
	if (ipc_send(p->channel, &message) != IPC_SENT)
		log_warn("supervisor not told", LOG_N("message", kind));
}

static void fail(struct child_process *p, const struct error *err)
{
	tell(p, FAMILY_FAILED, bytes_str(err->text));
	end(p, 1);
}

/* Keeper and scribe do so before they open the files that they will have to open again. */
static bool drop_user(const struct child_process *p, enum sandbox_role role, struct error *err)
{
	struct sandbox_user user;
	const char *name = p->config->user;
	bool faces_network = role == SANDBOX_WORKER || role == SANDBOX_RESOLVER;
	if (!name && faces_network && geteuid() == 0)
		name = "nobody";
	if (name && geteuid() == 0) {
		bool transparent = role == SANDBOX_WORKER && p->config->tproxy_source == CONFIG_SOURCE_CLIENT;
		/* Keeper and scribe write files of the state's owner: they change user only when asked to. */
		if (!sandbox_user_find(name, &user, err) || !sandbox_drop(&user, transparent, err))
			return false;
	}
	return true;
}

/* The sandbox closes once everything that needs files or privileges is open. */
static bool close_sandbox(enum sandbox_role role, struct error *err)
{
	return !sandbox_possible() || sandbox_enter(role, err);
}

/* Configuration, from the words and the text that the whole family shares. */

static int split_words(struct bytes words, char **argv, char *room, size_t cap)
{
	int argc = 0;
	if (words.len >= cap)
		return 0;
	memcpy(room, words.data, words.len);
	room[words.len] = '\0';
	for (size_t at = 0; at < words.len && argc < FAMILY_ARGUMENTS; at += strlen(room + at) + 1)
		argv[argc++] = room + at;
	argv[argc] = NULL;
	return argc;
}

static bool set_up(struct child_process *p, struct bytes body, struct error *err)
{
	static char room[64 * 1024], *argv[FAMILY_ARGUMENTS + 1];
	struct family_setup setup;
	char name[4200];
	int rest;
	if (!family_setup_read(body, &setup))
		return error_set(err, "the supervisor's first message is malformed");
	int argc = split_words(setup.arguments, argv, room, sizeof(room));
	p->number = setup.number;
	p->config = config_new(err);
	snprintf(name, sizeof(name), "%.*s", (int)setup.config_name.len, (const char *)setup.config_name.data);
	bool ok = p->config &&
	          (setup.config_name.len == 0 || config_read_file(p->config, setup.config_text, name, err)) &&
	          config_read_args(p->config, CONFIG_PROXY, argc, argv, &rest, err) &&
	          config_check(p->config, CONFIG_PROXY, err);
	if (ok)
		p->config->connections = setup.connections;
	return ok;
}

static int take_fd(struct ipc_message *message, size_t index)
{
	if (index >= message->fd_count)
		return -1;
	int fd = message->fds[index];
	message->fds[index] = -1;
	return fd;
}

static uint32_t source_of(struct bytes body)
{
	uint32_t source = 0;
	return bytes_u32(&body, &source) ? source : 0;
}

static struct ring_fds take_ring(struct ipc_message *message)
{
	return (struct ring_fds){take_fd(message, 0), take_fd(message, 1), take_fd(message, 2), take_fd(message, 3)};
}

/* Worker. */

static void worker_drained(struct worker *worker, void *ctx)
{
	(void)worker;
	end(ctx, 0);
}

static bool start_worker(struct child_process *p, struct error *err)
{
	struct worker_options options = {
		.number = p->number,
		.config = p->config,
		.snapshot = &p->snapshot,
		.listen_fds = p->listen_fds,
		.keeper_fd = p->keeper_fd,
		.resolver_fd = p->resolver_fd,
		.ring = &p->ring,
	};
	if (p->listen_count != p->config->listen.count || !p->snapshot.policy)
		return error_set(err, "the supervisor did not hand over listeners and rules");
	p->worker = worker_new(p->loop, &options, err);
	return p->worker && drop_user(p, SANDBOX_WORKER, err) && close_sandbox(SANDBOX_WORKER, err);
}

static void worker_snapshot(struct child_process *p, struct ipc_message *message)
{
	struct snapshot fresh;
	struct error err;
	if (message->fd_count != 1 || !snapshot_open(&fresh, message->fds[0], p->config, &err)) {
		log_error("snapshot refused", LOG_S("why", message->fd_count == 1 ? err.text : "no descriptor"));
		return;
	}
	if (p->worker) {
		worker_set_snapshot(p->worker, &fresh);
		return;
	}
	snapshot_close(&p->snapshot);
	p->snapshot = fresh;
}

static void worker_listen(struct child_process *p, struct ipc_message *message)
{
	int *longer = realloc(p->listen_fds, (p->listen_count + IPC_FDS_MAX) * sizeof(int));
	if (!longer)
		return;
	p->listen_fds = longer;
	for (size_t i = 0; i < message->fd_count; i++)
		p->listen_fds[p->listen_count++] = take_fd(message, i);
}

static void worker_ring(struct child_process *p, struct ipc_message *message)
{
	struct ring_fds fresh = take_ring(message);
	struct error err;
	if (p->worker && !worker_set_ring(p->worker, &fresh, &err))
		log_error("no ring", LOG_S("why", err.text));
	ring_fds_close(&p->ring);
	p->ring = fresh;
}

static void forget_listeners(struct child_process *p)
{
	for (size_t i = 0; i < p->listen_count; i++)
		close(p->listen_fds[i]);
	p->listen_count = 0;
}

/*
 * The kernel wakes one of all who watch a socket for each connection, and another family may be among them (upgrade.h).
 * So what it woke this worker for has to be taken before it drains, and its wish to be woken ends before that.
 */
static void accept_last(struct worker *worker)
{
	for (size_t i = 0; i < worker->listener_count; i++) {
		struct loop_io *io = &worker->listeners[i].io;
		uint64_t before;
		loop_remove(worker->loop, io);
		do {
			before = worker->counts.accepted;
			worker->accept_paused = false;
			io->ready(io);
		} while (worker->counts.accepted > before);
	}
}

static void drain_worker(struct child_process *p)
{
	if (!p->worker) {
		end(p, 0);
		return;
	}
	accept_last(p->worker);
	/* Whoever goes on listening does so alone. */
	forget_listeners(p);
	worker_drain(p->worker, worker_drained, p);
}

static void worker_received(struct child_process *p, struct ipc_message *message)
{
	struct error err;
	switch (message->kind) {
	case FAMILY_SNAPSHOT:
		worker_snapshot(p, message);
		break;
	case FAMILY_LISTEN:
		worker_listen(p, message);
		break;
	case FAMILY_KEEPER:
		if (!p->worker)
			p->keeper_fd = take_fd(message, 0);
		else if (!keeper_client_attach(p->worker->keeper, take_fd(message, 0), &err))
			log_error("keeper not attached", LOG_S("why", err.text));
		break;
	case FAMILY_RESOLVER:
		if (!p->worker)
			p->resolver_fd = take_fd(message, 0);
		else if (!resolver_client_attach(p->worker->resolver, take_fd(message, 0), &err))
			log_error("resolver not attached", LOG_S("why", err.text));
		break;
	case FAMILY_RING:
		worker_ring(p, message);
		break;
	case FAMILY_DRAIN:
		drain_worker(p);
		break;
	default:
		break;
	}
}

/* Keeper. */

static bool open_ca(struct child_process *p, struct error *err)
{
	/* The CA's key may be readable to root alone; all else in the state belongs to whom the proxy runs as. */
	return p->authority || (ca_open(p->config, &p->authority, &p->ca_made, err) &&
				       ca_open_accord(p->config, &p->accord, err) && drop_user(p, SANDBOX_KEEPER, err));
}

static bool start_keeper(struct child_process *p, struct error *err)
{
	struct keeper_options options = {
		.state = p->config->state,
		.policy_url = p->config->disclosure_url,
		.audit = true,
		.retention_ns = p->config->retention_ns,
		.refusals = {.lifetime_s = p->config->refusal_lifetime_ns / 1000000000,
			.cap = p->config->refusal_cache},
	};
	if (!open_ca(p, err))
		return false;
	options.authority = p->authority;
	options.ca_made = p->ca_made;
	options.accord = p->accord;
	p->keeper = keeper_new(p->loop, &options, err);
	return p->keeper && close_sandbox(ca_in_token(p->config) ? SANDBOX_KEEPER_TOKEN : SANDBOX_KEEPER, err);
}

static void prepare_keeper(struct child_process *p)
{
	struct error err;
	if (open_ca(p, &err))
		tell(p, FAMILY_PREPARED, authority_pem(p->authority));
	else
		fail(p, &err);
}

static void give_peer(int fd, const char *name, void *ctx)
{
	struct child_process *p = ctx;
	struct ipc_message message = {.kind = FAMILY_PEER, .body = bytes_str(name), .fds = {fd}, .fd_count = 1};
	if (ipc_send(p->channel, &message) != IPC_SENT)
		log_error("worker not handed over", LOG_S("worker", name));
	close(fd);
}

static void hand_over(struct child_process *p)
{
	if (p->keeper)
		keeper_hand_over(p->keeper, give_peer, p);
	p->keeper = NULL;
	tell(p, FAMILY_HANDED, BYTES_NONE);
	end(p, 0);
}

/* `overt ca rotate` or `install` may have changed it. */
static void reopen_ca(struct child_process *p)
{
	bool changed;
	struct error err;
	if (!keeper_reopen(p->keeper, p->config, &p->authority, &changed, &err))
		log_error("ca not opened again", LOG_S("why", err.text), LOG_S("in-force", "the one opened before"));
	else if (changed)
		tell(p, FAMILY_AUTHORITY, authority_pem(p->authority));
	if (!keeper_accord_reopen(p->keeper, p->config, &p->accord, &err))
		log_error("accord anchor not opened again", LOG_S("why", err.text),
			LOG_S("in-force", "the one opened before"));
}

static void keeper_received(struct child_process *p, struct ipc_message *message)
{
	struct error err;
	char name[64];
	if (message->kind == FAMILY_DRAIN) {
		end(p, 0);
	} else if (message->kind == FAMILY_PREPARE) {
		prepare_keeper(p);
	} else if (message->kind == FAMILY_HAND_OVER) {
		hand_over(p);
	} else if (message->kind == FAMILY_REOPEN && p->keeper) {
		reopen_ca(p);
	} else if (message->kind == FAMILY_SERVE && p->keeper) {
		snprintf(name, sizeof(name), "%.*s", (int)message->body.len, (const char *)message->body.data);
		int fd = take_fd(message, 0);
		bool ok = strcmp(name, FAMILY_SUPERVISOR) == 0 ? keeper_serve_supervisor(p->keeper, fd, &err)
		                                               : keeper_serve(p->keeper, fd, name, &err);
		if (!ok)
			log_error("worker not served", LOG_S("worker", name), LOG_S("why", err.text));
	}
}

/* Resolver. */

/* A worker that is gone leaves its place to the next. */
static void forget_done(struct child_process *p)
{
	size_t kept = 0;
	for (size_t i = 0; i < p->resolver_count; i++) {
		if (resolver_done(p->resolvers[i]))
			resolver_free(p->resolvers[i]);
		else
			p->resolvers[kept++] = p->resolvers[i];
	}
	p->resolver_count = kept;
}

static void resolver_received(struct child_process *p, struct ipc_message *message)
{
	struct error err;
	if (message->kind == FAMILY_DRAIN) {
		end(p, 0);
		return;
	}
	if (message->kind != FAMILY_SERVE)
		return;
	forget_done(p);
	if (p->resolver_count == RESOLVERS_MAX) {
		log_error("worker not served", LOG_S("why", "too many workers for the resolver"));
		return;
	}
	struct resolver *resolver = resolver_serve(take_fd(message, 0), RESOLVER_THREADS, &err);
	if (resolver)
		p->resolvers[p->resolver_count++] = resolver;
	else
		log_error("worker not served", LOG_S("why", err.text));
}

/* Scribe. */

static bool start_scribe(struct child_process *p, struct error *err)
{
	struct scribe_options options = {
		.outputs.terminal_fd = p->config->quiet ? -1 : STDOUT_FILENO,
		.outputs.jsonl = p->config->jsonl,
		.outputs.pcapng = p->config->pcapng,
		.outputs.keylog = p->config->keylog,
		.outputs.unmasked = p->config->show_secrets,
	};
	if (!drop_user(p, SANDBOX_SCRIBE, err))
		return false;
	p->scribe = scribe_new(p->loop, &options, err);
	return p->scribe && close_sandbox(SANDBOX_SCRIBE, err);
}

static void scribe_received(struct child_process *p, struct ipc_message *message)
{
	struct error err;
	struct ring_fds ring;
	switch (message->kind) {
	case FAMILY_RING:
		ring = take_ring(message);
		if (p->scribe && scribe_attach(p->scribe, source_of(message->body), &ring, &err))
			break;
		/* One that could not start has told the supervisor why, once; rings that were on their way follow. */
		if (p->scribe)
			log_error("ring not attached", LOG_S("why", err.text));
		ring_fds_close(&ring);
		break;
	case FAMILY_DETACH:
		if (p->scribe)
			scribe_detach(p->scribe, source_of(message->body));
		break;
	case FAMILY_REOPEN:
		if (p->scribe && !scribe_reopen(p->scribe, &err))
			log_error("output not reopened", LOG_S("why", err.text));
		break;
	case FAMILY_DRAIN:
		end(p, 0);
		break;
	default:
		break;
	}
}

/* All of them. */

static void start(struct child_process *p)
{
	struct error err = {""};
	struct bytes body = BYTES_NONE;
	bool ok = true;
	p->started = true;
	if (p->role == ROLE_WORKER)
		ok = start_worker(p, &err);
	else if (p->role == ROLE_KEEPER)
		ok = start_keeper(p, &err);
	else if (p->role == ROLE_SCRIBE)
		ok = start_scribe(p, &err);
	else
		ok = drop_user(p, SANDBOX_RESOLVER, &err) && close_sandbox(SANDBOX_RESOLVER, &err);
	if (ok && p->role == ROLE_KEEPER)
		body = authority_pem(p->authority);
	if (ok)
		tell(p, FAMILY_READY, body);
	else
		fail(p, &err);
}

static void tell_counts(struct child_process *p)
{
	uint8_t body[COUNTS_BODY_MAX];
	struct writer w = writer_over(body, sizeof(body));
	struct bytes out;
	if (p->role == ROLE_WORKER && p->worker)
		counts_worker(p->worker, &w);
	else if (p->role == ROLE_KEEPER && p->keeper)
		counts_keeper(p->keeper, &w);
	else if (p->role == ROLE_SCRIBE && p->scribe)
		counts_scribe(p->scribe, &w);
	else if (p->role == ROLE_RESOLVER)
		counts_resolver(p->resolver_count, &w);
	if (writer_done(&w, &out) && out.len > 0)
		tell(p, FAMILY_COUNTS, out);
}

static void received(struct ipc *ipc, struct ipc_message *message, void *ctx)
{
	static void (*const by_role[ROLES])(struct child_process * p, struct ipc_message * message) = {
		keeper_received, resolver_received, scribe_received, worker_received};
	struct child_process *p = ctx;
	struct error err;
	(void)ipc;
	if (message->kind == FAMILY_SETUP) {
		if (!set_up(p, message->body, &err))
			fail(p, &err);
		else if (p->config->verbose)
			log_setup(family_role_name(p->role), STDERR_FILENO, LOG_LEVEL_DEBUG);
		log_priorities(p->config && p->config->log_target == CONFIG_LOG_JOURNAL);
		return;
	}
	if (message->kind == FAMILY_REOPEN && message->fd_count == 1)
		(void)dup3(message->fds[0], STDERR_FILENO, 0);
	if (message->kind == FAMILY_START && p->config && !p->started)
		start(p);
	else if (message->kind == FAMILY_COUNT)
		tell_counts(p);
	else if (p->config)
		by_role[p->role](p, message);
}

/* Without its supervisor a child has nobody to work for. */
static void orphaned(struct ipc *ipc, const char *reason, void *ctx)
{
	struct child_process *p = ctx;
	(void)ipc;
	if (reason)
		log_error("supervisor lost", LOG_S("why", reason));
	if (p->keeper)
		keeper_stop(p->keeper, "the supervisor is gone");
	if (p->role == ROLE_WORKER && p->worker)
		drain_worker(p);
	else
		end(p, 1);
}

static void clean_up(struct child_process *p)
{
	worker_free(p->worker);
	keeper_free(p->keeper);
	authority_free(p->authority);
	accord_ca_free(p->accord);
	scribe_close(p->scribe);
	snapshot_close(&p->snapshot);
	forget_listeners(p);
	free(p->listen_fds);
	ring_fds_close(&p->ring);
	ipc_free(p->channel);
	for (size_t i = 0; i < p->resolver_count; i++)
		resolver_free(p->resolvers[i]);
	config_free(p->config);
	loop_free(p->loop);
}

bool child_wanted(int argc, char **argv)
{
	return argc == 2 && strncmp(argv[1], "child:", 6) == 0;
}

static bool role_named(const char *name, enum family_role *role)
{
	for (int i = 0; i < ROLES; i++) {
		if (strcmp(family_role_name((enum family_role)i), name) == 0) {
			*role = (enum family_role)i;
			return true;
		}
	}
	return false;
}

int child_main(int argc, char **argv)
{
	static const struct ipc_handlers handlers = {.received = received, .closed = orphaned};
	static struct child_process p = {.keeper_fd = -1, .resolver_fd = -1, .ring = {-1, -1, -1, -1}};
	struct error err;
	(void)argc;
	if (!role_named(argv[1] + 6, &p.role))
		return 2;
	family_ignore_signals();
	log_setup(family_role_name(p.role), STDERR_FILENO, LOG_LEVEL_INFO);
	p.loop = loop_new();
	if (!p.loop || !sandbox_prepare(&err))
		return 1;
	p.channel = ipc_new(p.loop, FAMILY_FD, FAMILY_QUEUE, &handlers, &p, &err);
	if (!p.channel) {
		log_error("no supervisor", LOG_S("why", err.text), LOG_S("do", "this is started by overt proxy only"));
		return 1;
	}
	loop_run(p.loop);
	int code = p.code;
	clean_up(&p);
	return code;
}
