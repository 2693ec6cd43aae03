#include "proxy/keeper_parts.h"

#include "base/clock.h"
#include "base/log.h"
#include "keys/secret.h"
#include "pki/authority.h"

#include <openssl/crypto.h>
#include <openssl/rand.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#define PEER_QUEUE    ((size_t)4 * 1024 * 1024) /* octets waiting for a slow worker */
#define PEER_WAIT_MS  1000 /* for a slow worker to take its answers before another keeper serves it */
#define REFUSAL_BURST 10   /* seconds' worth of refusals that may come at once */

#define OWNER(member, pointer) ((struct keeper *)(void *)((char *)(pointer)-offsetof(struct keeper, member)))

static int64_t now_s(void)
{
	return (int64_t)(clock_wall_ns() / NS_PER_S);
}

void keeper_send(struct peer *peer, uint16_t kind, uint32_t id, struct bytes body)
{
	struct ipc_message message = {.kind = kind, .id = id, .body = body};
	enum ipc_result result = ipc_send(peer->ipc, &message);
	if (result == IPC_FULL || result == IPC_TOO_LONG)
		peer->keeper->counts.answers_refused++;
}

/* Ticket keys. */

bool keeper_tickets_rotate(struct ticket_keys *keys)
{
	struct ticket_key fresh;
	bool good = RAND_priv_bytes((unsigned char *)&fresh, sizeof(fresh)) == 1;
	if (good) {
		memmove(&keys->key[1], &keys->key[0], sizeof(keys->key[0]) * (TICKET_KEYS_MAX - 1));
		keys->key[0] = fresh;
		keys->count += keys->count < TICKET_KEYS_MAX;
	}
	OPENSSL_cleanse(&fresh, sizeof(fresh));
	return good;
}

static void tell_tickets(struct keeper *keeper)
{
	uint8_t room[sizeof(struct ticket_keys)];
	struct bytes body;
	struct writer w = writer_over(room, sizeof(room));
	keeper_tickets_write(&w, keeper->tickets);
	for (struct peer *peer = keeper->peers; peer && writer_done(&w, &body); peer = peer->next) {
		if (!peer->supervisor)
			keeper_send(peer, KEEPER_TICKETS, 0, body);
	}
	OPENSSL_cleanse(room, sizeof(room));
}

/* Welcome. */

/* Private keys in DER for one message; wiped by exported_free. */
struct exported {
	uint8_t *der[KEEPER_KEYS];
	size_t len[KEEPER_KEYS];
};

static void exported_free(struct exported *exported)
{
	for (int i = 0; i < KEEPER_KEYS; i++) {
		if (exported->der[i])
			leaf_secret_free(exported->der[i], exported->len[i]);
	}
}

static void export_keys(struct keeper *keeper, struct exported *exported, struct keeper_welcome *welcome)
{
	struct error err;
	for (int i = 0; i < KEEPER_KEYS; i++) {
		if (!keeper->key_given[i])
			continue;
		const struct leaf_key *key = leaf_keys_get(keeper->leaf_keys, (enum leaf_kind)i, now_s(), &err);
		if (key && leaf_key_export(key, &exported->der[i], &exported->len[i]))
			welcome->keys[i] = bytes_of(exported->der[i], exported->len[i]);
		else
			log_error("leaf key cannot be handed out", LOG_S("reason", key ? "encoding failed" : err.text));
	}
}

static struct bytes welcome_body(struct keeper *keeper, const struct peer *peer)
{
	struct keeper_welcome welcome = {.refusal_lifetime_s = refusal_lifetime_s(keeper->refusals)};
	struct exported exported = {0};
	struct keeper_accord_der accord = {0};
	struct authority_issuer issuer;
	struct bytes body = BYTES_NONE;
	welcome.audit_reason = bytes_str(keeper_audit_reason(peer));
	if (!peer->supervisor) {
		welcome.chain_count = authority_chain(keeper->authority, now_s(), welcome.chain);
		if (authority_issuer(keeper->authority, now_s(), &issuer))
			memcpy(keeper->issuer, issuer.sha256, sizeof(keeper->issuer));
		welcome.issuer = bytes_of(keeper->issuer, sizeof(keeper->issuer));
		welcome.tickets = *keeper->tickets;
		export_keys(keeper, &exported, &welcome);
		keeper_accord_export(keeper, &accord);
		welcome.accord_key = bytes_of(accord.key, accord.key_len);
		welcome.accord_cert = bytes_of(accord.cert, accord.cert_len);
	}
	struct writer w = writer_over(keeper->room, IPC_BODY_MAX);
	keeper_welcome_write(&w, &welcome);
	if (!writer_done(&w, &body))
		log_error("workers cannot be told the CA", LOG_S("reason", "its chain is too long"));
	exported_free(&exported);
	keeper_accord_free(&accord);
	OPENSSL_cleanse(&welcome, sizeof(welcome));
	return body;
}

void keeper_welcome(struct keeper *keeper, struct peer *only)
{
	for (struct peer *peer = only ? only : keeper->peers; peer; peer = only ? NULL : peer->next) {
		struct bytes body = welcome_body(keeper, peer);
		if (body.len)
			keeper_send(peer, KEEPER_WELCOME, 0, body);
		OPENSSL_cleanse(keeper->room, body.len);
	}
}

static void send_refusal(const struct refusal *refusal, void *ctx)
{
	uint8_t room[512];
	struct bytes body;
	struct writer w = writer_over(room, sizeof(room));
	keeper_refusal_write(&w, refusal);
	if (writer_done(&w, &body))
		keeper_send(ctx, KEEPER_REFUSAL, 0, body);
}

/* Refusals. */

/* A full disk would be told every second: only the change is, and the counter says how many are lost. */
static void refusals_state(struct keeper *keeper, bool good, const struct error *err)
{
	if (good == !keeper->refusals_failing)
		return;
	keeper->refusals_failing = !good;
	uint64_t lost = refusal_count(keeper->refusals).lost;
	if (good)
		log_info("refusals written again", LOG_N("lost", lost));
	else
		log_warn("refusals not written", LOG_S("reason", err->text), LOG_N("lost", lost));
}

static bool on_refusal(struct peer *peer, const struct ipc_message *message)
{
	struct refusal refusal;
	struct error err;
	if (!keeper_refusal_read(message->body, &refusal))
		return false;
	struct keeper *keeper = peer->keeper;
	uint32_t rate = keeper->options.refusal_rate;
	if (!bucket_take(&peer->refusals, rate, rate * REFUSAL_BURST, clock_monotonic_ns())) {
		keeper->counts.refusals_over_rate++;
		return true;
	}
	if (!refusal_add(keeper->refusals, &refusal, (uint64_t)now_s(), &err)) {
		refusals_state(keeper, false, &err);
		return true;
	}
	for (struct peer *each = keeper->peers; each; each = each->next)
		send_refusal(&refusal, each);
	return true;
}

/* Peers. */

static void peer_free(struct peer *peer)
{
	*peer->at = peer->next;
	if (peer->next)
		peer->next->at = peer->at;
	peer->keeper->counts.workers -= !peer->supervisor;
	ipc_free(peer->ipc);
	free(peer);
}

static bool on_worker(struct peer *peer, struct ipc_message *message)
{
	struct bytes body = message->body;
	struct bytes text;
	struct error err;
	char name[32];
	if (!bytes_vec8(&body, &text) || text.len == 0 || text.len >= sizeof(name) || body.len ||
		message->fd_count != 1)
		return false;
	memcpy(name, text.data, text.len);
	name[text.len] = '\0';
	int fd = message->fds[0];
	message->fds[0] = -1;
	if (!keeper_serve(peer->keeper, fd, name, &err))
		log_error("keeper cannot serve a worker", LOG_S("worker", name), LOG_S("reason", err.text));
	return true;
}

static bool handle(struct peer *peer, struct ipc_message *message)
{
	switch (message->kind) {
	case KEEPER_LEAF_GET:
		return !peer->supervisor && keeper_leaf_answer(peer, message);
	case KEEPER_AUDIT:
	case KEEPER_AUDIT_SYNC:
		keeper_on_audit(peer, message);
		return true;
	case KEEPER_REFUSAL_ADD:
		return on_refusal(peer, message);
	case KEEPER_WORKER:
		return peer->supervisor && on_worker(peer, message);
	default:
		return false;
	}
}

static void on_received(struct ipc *ipc, struct ipc_message *message, void *ctx)
{
	struct peer *peer = ctx;
	(void)ipc;
	if (handle(peer, message))
		return;
	peer->keeper->counts.malformed++;
	log_error("keeper cut a worker off", LOG_S("worker", peer->name), LOG_N("kind", message->kind),
		LOG_S("reason", "its message was malformed"));
	peer_free(peer);
}

static void on_closed(struct ipc *ipc, const char *reason, void *ctx)
{
	struct peer *peer = ctx;
	(void)ipc;
	log_debug(
		"worker left the keeper", LOG_S("worker", peer->name), LOG_S("reason", reason ? reason : "it closed"));
	peer_free(peer);
}

static const struct ipc_handlers handlers = {.received = on_received, .closed = on_closed};

static struct bucket full_bucket(uint32_t tokens)
{
	return (struct bucket){.tokens = tokens, .filled_ns = clock_monotonic_ns()};
}

static bool serve(struct keeper *keeper, int fd, const char *name, bool supervisor, struct error *err)
{
	struct peer *peer = calloc(1, sizeof(*peer));
	if (!peer) {
		close(fd);
		return error_set(err, "no memory to serve %s", name);
	}
	peer->ipc = ipc_new(keeper->loop, fd, PEER_QUEUE, &handlers, peer, err);
	if (!peer->ipc) {
		free(peer);
		return false;
	}
	peer->keeper = keeper;
	snprintf(peer->name, sizeof(peer->name), "%s", name);
	peer->serial = keeper->next_serial++;
	peer->supervisor = supervisor;
	peer->leaves = full_bucket(keeper->options.mint_burst);
	peer->entries = full_bucket(keeper->options.audit_burst);
	peer->refusals = full_bucket(keeper->options.refusal_rate * REFUSAL_BURST);
	peer->next = keeper->peers;
	peer->at = &keeper->peers;
	if (peer->next)
		peer->next->at = &peer->next;
	keeper->peers = peer;
	keeper->counts.workers += !supervisor;
	keeper_welcome(keeper, peer);
	struct error unread;
	if (!supervisor && !refusal_each(keeper->refusals, (uint64_t)now_s(), send_refusal, peer, &unread))
		log_warn("refusals cannot be read", LOG_S("reason", unread.text));
	return true;
}

bool keeper_serve(struct keeper *keeper, int fd, const char *name, struct error *err)
{
	return serve(keeper, fd, name, false, err);
}

bool keeper_serve_supervisor(struct keeper *keeper, int fd, struct error *err)
{
	return serve(keeper, fd, "supervisor", true, err);
}

/* What happens by the clock. */

static void renew(struct keeper *keeper)
{
	struct error err;
	bool changed = keeper_accord_renew(keeper);
	for (int i = 0; i < KEEPER_KEYS; i++) {
		if (!keeper->key_given[i] || !leaf_keys_due(keeper->leaf_keys, (enum leaf_kind)i, now_s()))
			continue;
		if (leaf_keys_renew(keeper->leaf_keys, (enum leaf_kind)i, now_s(), &err))
			changed = true;
		else
			log_warn("leaf key not renewed", LOG_S("reason", err.text));
	}
	/* A rotated CA begins to issue when its notBefore has come. */
	struct authority_issuer issuer;
	if (authority_issuer(keeper->authority, now_s(), &issuer) &&
		memcmp(issuer.sha256, keeper->issuer, sizeof(keeper->issuer)) != 0)
		changed = true;
	if (changed)
		keeper_welcome(keeper, NULL);
}

static void on_ticket_time(struct loop_timer *timer)
{
	struct keeper *keeper = OWNER(ticket_timer, timer);
	if (keeper_tickets_rotate(keeper->tickets))
		tell_tickets(keeper);
	else
		log_error("ticket keys not rotated", LOG_S("reason", "no randomness"));
	loop_timer_set(keeper->loop, timer, clock_monotonic_ns() + keeper->options.ticket_ns, on_ticket_time);
}

static void on_second(struct loop_timer *timer)
{
	struct keeper *keeper = OWNER(second_timer, timer);
	struct error err;
	if (refusal_due(keeper->refusals, (uint64_t)now_s()))
		refusals_state(keeper, refusal_flush(keeper->refusals, (uint64_t)now_s(), &err), &err);
	keeper_audit_end_waits(keeper);
	if (keeper->leaf_store)
		leaf_store_flush(keeper->leaf_store, now_s());
	renew(keeper);
	loop_timer_set(keeper->loop, timer, clock_monotonic_ns() + NS_PER_S, on_second);
}

/* Life. */

static bool open_stores(struct keeper *keeper, struct error *err)
{
	const char *state = keeper->options.state;
	char leaves[4096];
	char refusals[4096];
	if (state && strlen(state) > 4000)
		return error_set(err, "%s: the path is too long", state);
	snprintf(leaves, sizeof(leaves), "%s/leaves.db", state ? state : "");
	snprintf(refusals, sizeof(refusals), "%s/refusals.db", state ? state : "");
	if (!leaf_keys_open(&keeper->leaf_keys, state, now_s(), err))
		return false;
	if (!leaf_keys_get(keeper->leaf_keys, LEAF_ECDSA, now_s(), err))
		return false;
	keeper->key_given[KEEPER_KEY_ECDSA] = true;
	/* In memory the workers' caches are enough. */
	if (state) {
		keeper->leaf_store = leaf_store_open(leaves, keeper->options.leaf_rows, now_s());
		if (!keeper->leaf_store)
			return error_set(err, "no memory for the leaf store");
	}
	keeper->refusals = refusal_store_open(state ? refusals : NULL, &keeper->options.refusals, err);
	return keeper->refusals != NULL;
}

static bool set_up(struct keeper *keeper, struct error *err)
{
	keeper->room = malloc(IPC_BODY_MAX);
	keeper->tickets = secret_alloc(sizeof(*keeper->tickets));
	if (!keeper->room || !keeper->tickets)
		return error_set(err, "no memory for the keeper");
	if (!keeper_tickets_rotate(keeper->tickets))
		return error_set(err, "no randomness for ticket keys");
	if (!open_stores(keeper, err))
		return false;
	if (!keeper_accord_open(keeper, err))
		return false;
	if (keeper->options.audit && keeper->options.state && !keeper_audit_open(keeper, err))
		return false;
	uint64_t now = clock_monotonic_ns();
	return (loop_timer_set(keeper->loop, &keeper->ticket_timer, now + keeper->options.ticket_ns, on_ticket_time) &&
		       loop_timer_set(keeper->loop, &keeper->second_timer, now + NS_PER_S, on_second)) ||
	       error_set(err, "no memory for the keeper");
}

static void close_state(struct keeper *keeper)
{
	loop_timer_clear(keeper->loop, &keeper->ticket_timer);
	loop_timer_clear(keeper->loop, &keeper->second_timer);
	/* Whoever waits for an entry to be on the disk is told now. */
	audit_log_free(keeper->audit);
	refusal_store_close(keeper->refusals);
	leaf_store_close(keeper->leaf_store);
	leaf_keys_free(keeper->leaf_keys);
	accord_ca_leaf_clear(&keeper->accord);
	secret_free(keeper->tickets);
}

/* Without a word in the audit log: one that never came to life says nothing. */
static void keeper_close(struct keeper *keeper)
{
	close_state(keeper);
	while (keeper->peers) {
		struct peer *peer = keeper->peers;
		keeper->peers = peer->next;
		ipc_free(peer->ipc);
		free(peer);
	}
	free(keeper->room);
	free(keeper);
}

void keeper_hand_over(struct keeper *keeper, void (*give)(int fd, const char *name, void *ctx), void *ctx)
{
	keeper_stop(keeper, "handed over");
	close_state(keeper);
	while (keeper->peers) {
		struct peer *peer = keeper->peers;
		keeper->peers = peer->next;
		int fd = ipc_release(peer->ipc, PEER_WAIT_MS);
		if (fd >= 0 && !peer->supervisor)
			give(fd, peer->name, ctx);
		else if (fd >= 0)
			close(fd);
		free(peer);
	}
	free(keeper->room);
	free(keeper);
}

/* Refusals hold client addresses and names in clear: `retention` is the operator's word for how long such things stay. */
static void bound_by_retention(struct keeper_options *options)
{
	uint64_t retention_s = options->retention_ns / NS_PER_S;
	uint64_t *lifetime_s = &options->refusals.lifetime_s;
	if (*lifetime_s == 0)
		*lifetime_s = REFUSAL_LIFETIME_S;
	if (retention_s > 0 && retention_s < *lifetime_s)
		*lifetime_s = retention_s;
}

struct keeper *keeper_new(struct loop *loop, const struct keeper_options *options, struct error *err)
{
	struct keeper *keeper = calloc(1, sizeof(*keeper));
	if (!keeper) {
		error_set(err, "no memory for the keeper");
		return NULL;
	}
	keeper->loop = loop;
	keeper->options = *options;
	keeper->authority = options->authority;
	keeper->next_serial = 1;
	struct keeper_options *o = &keeper->options;
	o->mint_rate = o->mint_rate ? o->mint_rate : 200;
	o->mint_burst = o->mint_burst ? o->mint_burst : 2000;
	o->audit_rate = o->audit_rate ? o->audit_rate : 10000;
	o->audit_burst = o->audit_burst ? o->audit_burst : 50000;
	o->refusal_rate = o->refusal_rate ? o->refusal_rate : 100;
	o->leaf_rows = o->leaf_rows ? o->leaf_rows : LEAF_STORE_ROWS;
	o->ticket_ns = o->ticket_ns ? o->ticket_ns : 3600 * NS_PER_S;
	bound_by_retention(o);
	if (set_up(keeper, err)) {
		keeper_ca_opened(keeper);
		return keeper;
	}
	keeper_close(keeper);
	return NULL;
}

void keeper_stop(struct keeper *keeper, const char *reason)
{
	struct audit_entry entry = {.kind = AUDIT_STOP};
	audit_entry_add(&entry, AUDIT_T("reason", bytes_str(reason)));
	if (keeper->audit && !keeper->stopped)
		(void)!audit_append(keeper->audit, &entry, clock_wall_ns(), NULL);
	keeper->stopped = true;
}

void keeper_free(struct keeper *keeper)
{
	if (!keeper)
		return;
	keeper_stop(keeper, "stopped");
	keeper_close(keeper);
}

struct keeper_counts keeper_count(const struct keeper *keeper)
{
	struct keeper_counts counts = keeper->counts;
	struct leaf_store_counts store = {0};
	if (keeper->leaf_store)
		store = leaf_store_count(keeper->leaf_store);
	counts.rows = store.rows;
	counts.rows_cap = store.cap;
	counts.rows_pruned = store.pruned;
	counts.rows_lost = store.lost;
	counts.refusals = refusal_count(keeper->refusals);
	if (keeper->audit)
		counts.audit = audit_count(keeper->audit);
	return counts;
}
