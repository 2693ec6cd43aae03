#include "proxy/keeper_client.h"

#include "base/cache.h"
#include "base/clock.h"
#include "base/log.h"
#include "keys/secret.h"
#include "pki/leaf_key.h"
#include "pki/summary.h"
#include "proxy/ipc.h"
#include "proxy/list.h"

#include <openssl/evp.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#define KEY_LEN 32
/* A leaf that is meant to be faulty may be expired when made; it is asked for again after this. */
#define FAULTY_LIFETIME_S 3600

/* A leaf asked for, and who waits for it. It lives until the answer comes, also when nobody waits any more. */
struct flight {
	struct list_item item;
	uint32_t id;
	enum keeper_key key_kind;
	bool faulty;
	uint8_t key[KEY_LEN];
	struct list_item *waits; /* struct keeper_wait */
};

struct keeper_wait {
	struct list_item item; /* in its flight, or in the client's list of settled ones */
	struct keeper_client *client;
	struct loop_timer timer;
	struct loop_task task;
	enum keeper_result result; /* settled only */
	struct keeper_leaf leaf;   /* settled with KEEPER_OK: all three its own */
	const char *text;          /* static */
	keeper_leaf_fn *done;
	void *ctx;
};

struct cached {
	X509 *cert;
	enum keeper_key key_kind;
	int64_t not_after_s;
	int64_t until_s; /* not served from here after it */
};

struct syncing {
	struct syncing *next;
	uint32_t id;
	keeper_synced_fn *done;
	void *ctx;
};

struct keeper_client {
	struct loop *loop;
	struct ipc *ipc; /* NULL: gone */
	struct keeper_client_limits limits;
	void (*changed)(unsigned what, void *ctx);
	void *ctx;
	struct loop_task changed_task;
	unsigned changes;
	bool welcomed;
	char audit_reason[512]; /* empty: open */
	uint8_t issuer[32];
	STACK_OF(X509) * chain;
	struct leaf_key keys[KEEPER_KEYS]; /* pkey NULL: none */
	struct ticket_keys *tickets;       /* in memory of its own */
	struct leaf_key accord_key;        /* pkey NULL: none */
	X509 *accord_cert;
	uint64_t refusal_lifetime_s;
	struct cache *leaves; /* struct cached */
	struct cache *by_key; /* struct flight */
	struct cache *by_id;
	struct cache *refusals; /* struct refusal */
	struct list_item *flights;
	struct list_item *settled;
	struct syncing *syncs;
	size_t flying;
	uint32_t next_id;
	uint8_t *room; /* IPC_BODY_MAX: requests are put together here */
	struct keeper_client_counts counts;
};

#define OWNER(type, member, pointer) ((type *)(void *)((char *)(pointer)-offsetof(type, member)))

static int64_t now_s(void)
{
	return (int64_t)(clock_wall_ns() / NS_PER_S);
}

/* Changes are told from the loop, several at once where they come together. */
static void on_changed(struct loop_task *task)
{
	struct keeper_client *client = OWNER(struct keeper_client, changed_task, task);
	unsigned what = client->changes;
	client->changes = 0;
	if (client->changed)
		client->changed(what, client->ctx);
}

static void note_change(struct keeper_client *client, unsigned what)
{
	client->changes |= what;
	loop_task_queue(client->loop, &client->changed_task, on_changed);
}

/* Waits. */

static void leaf_release(struct keeper_leaf *leaf)
{
	X509_free(leaf->cert);
	EVP_PKEY_free(leaf->key);
	sk_X509_pop_free(leaf->chain, X509_free);
}

static void wait_free(struct keeper_wait *wait)
{
	list_remove(&wait->item);
	loop_timer_clear(wait->client->loop, &wait->timer);
	loop_task_cancel(wait->client->loop, &wait->task);
	wait->client->counts.pending--;
	leaf_release(&wait->leaf);
	free(wait);
}

/* The wait ends before its call, so that the call may ask again, or cancel others. */
static void wait_tell(
	struct keeper_wait *wait, enum keeper_result result, const struct keeper_leaf *leaf, const char *text)
{
	keeper_leaf_fn *done = wait->done;
	void *ctx = wait->ctx;
	struct keeper_leaf own = wait->leaf;
	const struct keeper_leaf *told = leaf == &wait->leaf ? &own : leaf;
	wait->leaf = (struct keeper_leaf){0};
	wait_free(wait);
	done(result, result == KEEPER_OK ? told : NULL, text, ctx);
	leaf_release(&own);
}

static void on_settled(struct loop_task *task)
{
	struct keeper_wait *wait = OWNER(struct keeper_wait, task, task);
	wait_tell(wait, wait->result, &wait->leaf, wait->text);
}

static void settle(struct keeper_wait *wait, enum keeper_result result, const char *text)
{
	wait->result = result;
	wait->text = text;
	list_push(&wait->client->settled, &wait->item);
	loop_task_queue(wait->client->loop, &wait->task, on_settled);
}

static void on_deadline(struct loop_timer *timer)
{
	struct keeper_wait *wait = OWNER(struct keeper_wait, timer, timer);
	wait->client->counts.timeouts++;
	wait_tell(wait, KEEPER_LEAF_TIMEOUT, NULL, "the keeper gave no leaf in time");
}

void keeper_wait_cancel(struct keeper_wait *wait)
{
	wait_free(wait);
}

/* Flights. */

static struct bytes flight_key(const struct flight *flight)
{
	return bytes_of(flight->key, sizeof(flight->key));
}

static struct bytes flight_id(const struct flight *flight)
{
	return bytes_of(&flight->id, sizeof(flight->id));
}

static void flight_end(struct keeper_client *client, struct flight *flight, enum keeper_result result,
	const struct keeper_leaf *leaf, const char *text)
{
	cache_remove(client->by_key, flight_key(flight));
	cache_remove(client->by_id, flight_id(flight));
	list_remove(&flight->item);
	client->flying--;
	struct list_item *first;
	while ((first = list_pop(&flight->waits)))
		wait_tell((struct keeper_wait *)(void *)first, result, leaf, text);
	free(flight);
}

static struct flight *flight_new(
	struct keeper_client *client, const struct keeper_leaf_request *request, const uint8_t key[KEY_LEN])
{
	struct flight *flight = client->flying < client->limits.pending ? calloc(1, sizeof(*flight)) : NULL;
	if (!flight)
		return NULL;
	flight->id = client->next_id++;
	flight->key_kind = request->key;
	flight->faulty = request->faults != 0;
	memcpy(flight->key, key, KEY_LEN);
	list_push(&client->flights, &flight->item);
	client->flying++;
	struct writer w = writer_over(client->room, IPC_BODY_MAX);
	struct ipc_message message = {.kind = KEEPER_LEAF_GET, .id = flight->id};
	keeper_leaf_request_write(&w, request);
	if (writer_done(&w, &message.body) && cache_put(client->by_key, flight_key(flight), flight) &&
		cache_put(client->by_id, flight_id(flight), flight) && ipc_send(client->ipc, &message) == IPC_SENT)
		return flight;
	flight_end(client, flight, KEEPER_LEAF_FULL, NULL, "");
	return NULL;
}

/* The cache. */

static bool leaf_key_of(const struct keeper_leaf_request *request, uint8_t out[KEY_LEN])
{
	uint8_t head[16 + KEEPER_HOST_MAX];
	struct bytes start;
	struct writer w = writer_over(head, sizeof(head));
	writer_u8(&w, (uint8_t)request->key);
	writer_u64(&w, request->faults);
	writer_vec16(&w, request->host);
	EVP_MD_CTX *ctx = EVP_MD_CTX_new();
	bool good = ctx && writer_done(&w, &start) && EVP_DigestInit_ex(ctx, EVP_sha256(), NULL) == 1 &&
	            EVP_DigestUpdate(ctx, start.data, start.len) == 1 &&
	            EVP_DigestUpdate(ctx, request->upstream.data, request->upstream.len) == 1 &&
	            EVP_DigestFinal_ex(ctx, out, NULL) == 1;
	EVP_MD_CTX_free(ctx);
	return good;
}

static void cached_drop(void *value)
{
	struct cached *cached = value;
	X509_free(cached->cert);
	free(cached);
}

static struct keeper_leaf leaf_of(const struct keeper_client *client, const struct cached *cached)
{
	return (struct keeper_leaf){.cert = cached->cert,
		.key = client->keys[cached->key_kind].pkey,
		.chain = client->chain,
		.not_after_s = cached->not_after_s};
}

static bool find(struct keeper_client *client, const uint8_t key[KEY_LEN], struct keeper_leaf *leaf)
{
	struct cached *cached = cache_get(client->leaves, bytes_of(key, KEY_LEN));
	if (!cached || !client->keys[cached->key_kind].pkey)
		return false;
	if (now_s() >= cached->until_s) {
		cache_remove(client->leaves, bytes_of(key, KEY_LEN));
		return false;
	}
	*leaf = leaf_of(client, cached);
	return true;
}

bool keeper_client_leaf_find(
	struct keeper_client *client, const struct keeper_leaf_request *request, struct keeper_leaf *leaf)
{
	uint8_t key[KEY_LEN];
	return leaf_key_of(request, key) && find(client, key, leaf);
}

/* The lists of names and dates that libssl asks for are read here once; NULL when the leaf is not for our key. */
static struct cached *leaf_decode(struct keeper_client *client, const struct flight *flight, struct bytes der)
{
	struct cached *cached = calloc(1, sizeof(*cached));
	EVP_PKEY *key = client->keys[flight->key_kind].pkey;
	const unsigned char *at = der.data;
	int64_t not_before_s;
	if (!cached)
		return NULL;
	cached->cert = X509_new_ex(client->limits.lib, NULL);
	cached->key_kind = flight->key_kind;
	if (cached->cert && key && der.len <= INT32_MAX && d2i_X509(&cached->cert, &at, (long)der.len) &&
		X509_check_private_key(cached->cert, key) == 1 &&
		cert_dates(cached->cert, &not_before_s, &cached->not_after_s)) {
		cached->until_s = flight->faulty ? now_s() + FAULTY_LIFETIME_S : cached->not_after_s;
		return cached;
	}
	cached_drop(cached);
	return NULL;
}

static bool on_leaf(struct keeper_client *client, const struct ipc_message *message)
{
	struct flight *flight = cache_get(client->by_id, bytes_of(&message->id, sizeof(message->id)));
	if (!flight)
		return true;
	struct cached *cached = leaf_decode(client, flight, message->body);
	if (!cached) {
		flight_end(client, flight, KEEPER_LEAF_REFUSED, NULL, "the keeper's leaf does not fit the leaf key");
		return true;
	}
	/* Those who wait get it also when the cache has no memory for it, or a call of theirs empties the cache. */
	X509_up_ref(cached->cert);
	struct keeper_leaf leaf = leaf_of(client, cached);
	EVP_PKEY_up_ref(leaf.key);
	leaf.chain = X509_chain_up_ref(client->chain);
	cache_put(client->leaves, flight_key(flight), cached);
	flight_end(client, flight, leaf.chain ? KEEPER_OK : KEEPER_LEAF_FULL, &leaf, leaf.chain ? "" : "no memory");
	leaf_release(&leaf);
	return true;
}

static bool on_refused(struct keeper_client *client, const struct ipc_message *message)
{
	struct flight *flight = cache_get(client->by_id, bytes_of(&message->id, sizeof(message->id)));
	struct bytes body = message->body;
	struct bytes text;
	uint8_t cause;
	struct error err;
	if (!bytes_u8(&body, &cause) || !bytes_vec16(&body, &text) || body.len)
		return false;
	client->counts.refused++;
	error_set(&err, "%.*s", (int)(text.len < 400 ? text.len : 400), text.len ? (const char *)text.data : "");
	if (flight)
		flight_end(client, flight,
			cause == KEEPER_NOT_PERMITTED ? KEEPER_LEAF_NOT_PERMITTED : KEEPER_LEAF_REFUSED, NULL,
			err.text);
	return true;
}

/* Asking. */

static bool begin(struct keeper_client *client, struct keeper_wait *wait, const struct keeper_leaf_request *request)
{
	uint8_t key[KEY_LEN];
	struct keeper_leaf leaf;
	client->counts.asked++;
	if (!leaf_key_of(request, key))
		return false;
	if (find(client, key, &leaf)) {
		wait->leaf = leaf;
		X509_up_ref(leaf.cert);
		EVP_PKEY_up_ref(leaf.key);
		wait->leaf.chain = X509_chain_up_ref(leaf.chain);
		settle(wait, wait->leaf.chain ? KEEPER_OK : KEEPER_LEAF_FULL, wait->leaf.chain ? "" : "no memory");
		return true;
	}
	if (!client->ipc || !client->welcomed) {
		settle(wait, KEEPER_GONE, client->ipc ? "the keeper has not begun yet" : "the keeper process is gone");
		return true;
	}
	struct flight *flight = cache_get(client->by_key, bytes_of(key, KEY_LEN));
	if (flight)
		client->counts.shared++;
	else
		flight = flight_new(client, request, key);
	if (flight) {
		list_push(&flight->waits, &wait->item);
	} else {
		client->counts.full++;
		settle(wait, KEEPER_LEAF_FULL, "too many leaves are being asked for");
	}
	return true;
}

struct keeper_wait *keeper_client_leaf(struct keeper_client *client, const struct keeper_leaf_request *request,
	uint64_t deadline_ns, keeper_leaf_fn *done, void *ctx)
{
	struct keeper_wait *wait = calloc(1, sizeof(*wait));
	if (!wait)
		return NULL;
	*wait = (struct keeper_wait){.client = client, .done = done, .ctx = ctx};
	if (client->counts.pending >= client->limits.pending) {
		client->counts.full++;
		settle(wait, KEEPER_LEAF_FULL, "too many leaves are being asked for");
	} else if (!begin(client, wait, request)) {
		free(wait);
		return NULL;
	}
	client->counts.pending++;
	/* A settled wait is told at the end of this turn: no deadline comes before that. */
	if (!wait->task.queued && !loop_timer_set(client->loop, &wait->timer, deadline_ns, on_deadline)) {
		wait_free(wait);
		return NULL;
	}
	return wait;
}

/* What the keeper tells. */

static STACK_OF(X509) * chain_decode(const struct keeper_welcome *welcome)
{
	STACK_OF(X509) *chain = sk_X509_new_null();
	for (size_t i = 0; chain && i < welcome->chain_count; i++) {
		const unsigned char *at = welcome->chain[i].data;
		X509 *cert = d2i_X509(NULL, &at, (long)welcome->chain[i].len);
		if (!cert || !sk_X509_push(chain, cert)) {
			X509_free(cert);
			sk_X509_pop_free(chain, X509_free);
			return NULL;
		}
	}
	return chain;
}

/* Whether a key that was there is now another one: leaves for it are of no use any more. */
static bool take_keys(struct keeper_client *client, const struct keeper_welcome *welcome)
{
	bool replaced = false;
	for (int i = 0; i < KEEPER_KEYS; i++) {
		struct leaf_key fresh;
		if (!welcome->keys[i].len || !leaf_key_import(welcome->keys[i], &fresh))
			continue;
		struct leaf_key *key = &client->keys[i];
		bool same = key->pkey && memcmp(key->id, fresh.id, sizeof(key->id)) == 0;
		replaced = replaced || (key->pkey && !same);
		if (same) {
			leaf_key_clear(&fresh);
			continue;
		}
		if (key->pkey)
			leaf_key_clear(key);
		*key = fresh;
	}
	return replaced;
}

/* Whatever does not fit together is not taken: what was there stays. */
static void take_accord(struct keeper_client *client, const struct keeper_welcome *welcome)
{
	struct leaf_key key = {.pkey = NULL};
	const unsigned char *at = welcome->accord_cert.data;
	X509 *cert = at ? d2i_X509(NULL, &at, (long)welcome->accord_cert.len) : NULL;
	bool ok = cert && leaf_key_import(welcome->accord_key, &key) && X509_check_private_key(cert, key.pkey) == 1;
	if (!ok || (client->accord_cert && X509_cmp(cert, client->accord_cert) == 0)) {
		leaf_key_clear(&key);
		X509_free(cert);
		return;
	}
	leaf_key_clear(&client->accord_key);
	X509_free(client->accord_cert);
	client->accord_key = key;
	client->accord_cert = cert;
	note_change(client, KEEPER_CHANGED_ACCORD);
}

static bool leaves_forget(struct keeper_client *client)
{
	struct cache *empty = cache_new(client->limits.cache, cached_drop);
	if (!empty)
		return false;
	cache_free(client->leaves);
	client->leaves = empty;
	return true;
}

static void take_reason(struct keeper_client *client, struct bytes reason)
{
	struct error err = {0};
	if (reason.len)
		error_set(&err, "%.*s", (int)(reason.len < 500 ? reason.len : 500), (const char *)reason.data);
	if (strcmp(err.text, client->audit_reason) != 0) {
		snprintf(client->audit_reason, sizeof(client->audit_reason), "%s", err.text);
		note_change(client, KEEPER_CHANGED_AUDIT);
	}
}

static bool welcome(struct keeper_client *client, const struct keeper_welcome *welcome)
{
	STACK_OF(X509) *chain = chain_decode(welcome);
	if (!chain)
		return false;
	bool other_issuer = !bytes_equal(welcome->issuer, bytes_of(client->issuer, sizeof(client->issuer)));
	bool other_keys = take_keys(client, welcome);
	if ((other_issuer || other_keys) && !leaves_forget(client)) {
		sk_X509_pop_free(chain, X509_free);
		return false;
	}
	sk_X509_pop_free(client->chain, X509_free);
	client->chain = chain;
	if (welcome->issuer.len == sizeof(client->issuer))
		memcpy(client->issuer, welcome->issuer.data, sizeof(client->issuer));
	*client->tickets = welcome->tickets;
	take_accord(client, welcome);
	client->refusal_lifetime_s = welcome->refusal_lifetime_s;
	note_change(
		client, KEEPER_CHANGED_ISSUER | KEEPER_CHANGED_TICKETS | (client->welcomed ? 0 : KEEPER_CHANGED_READY));
	client->welcomed = true;
	take_reason(client, welcome->audit_reason);
	return true;
}

static bool on_welcome(struct keeper_client *client, struct bytes body)
{
	struct keeper_welcome read;
	bool good = keeper_welcome_read(body, &read) && welcome(client, &read);
	OPENSSL_cleanse(&read, sizeof(read));
	return good;
}

static struct bytes refusal_key(const struct refusal *refusal, uint8_t *room, size_t cap)
{
	struct bytes key = BYTES_NONE;
	struct writer w = writer_over(room, cap);
	writer_vec8(&w, bytes_str(refusal->client));
	writer_vec8(&w, bytes_str(refusal->name));
	return writer_done(&w, &key) ? key : BYTES_NONE;
}

static bool on_refusal(struct keeper_client *client, struct bytes body)
{
	uint8_t room[REFUSAL_CLIENT_MAX + REFUSAL_NAME_MAX + 2];
	struct refusal *refusal = malloc(sizeof(*refusal));
	if (!refusal)
		return true;
	if (!keeper_refusal_read(body, refusal)) {
		free(refusal);
		return false;
	}
	cache_put(client->refusals, refusal_key(refusal, room, sizeof(room)), refusal);
	return true;
}

/* Takes the one at `at` off its list and tells it. */
static void syncing_tell(struct syncing **at, bool ok)
{
	struct syncing *syncing = *at;
	*at = syncing->next;
	syncing->done(ok, syncing->ctx);
	free(syncing);
}

static bool on_audited(struct keeper_client *client, const struct ipc_message *message)
{
	uint8_t yes;
	struct bytes body = message->body;
	if (!bytes_u8(&body, &yes) || body.len)
		return false;
	for (struct syncing **at = &client->syncs; *at; at = &(*at)->next) {
		if ((*at)->id == message->id) {
			syncing_tell(at, yes == 1);
			break;
		}
	}
	return true;
}

static bool handle(struct keeper_client *client, const struct ipc_message *message)
{
	struct bytes body = message->body;
	struct bytes text;
	switch (message->kind) {
	case KEEPER_WELCOME:
		return on_welcome(client, body);
	case KEEPER_LEAF:
		return on_leaf(client, message);
	case KEEPER_REFUSED:
		return on_refused(client, message);
	case KEEPER_TICKETS:
		note_change(client, KEEPER_CHANGED_TICKETS);
		return keeper_tickets_read(body, client->tickets);
	case KEEPER_AUDIT_STATE:
		if (!bytes_vec16(&body, &text) || body.len)
			return false;
		take_reason(client, text);
		return true;
	case KEEPER_AUDITED:
		return on_audited(client, message);
	case KEEPER_REFUSAL:
		return on_refusal(client, body);
	default:
		return false;
	}
}

/* Everything on the way has failed. */
static void fail_all(struct keeper_client *client)
{
	struct list_item *first;
	while ((first = list_pop(&client->flights)))
		flight_end(client, (struct flight *)(void *)first, KEEPER_GONE, NULL, "the keeper process is gone");
	while (client->syncs)
		syncing_tell(&client->syncs, false);
}

static void gone(struct keeper_client *client)
{
	ipc_free(client->ipc);
	client->ipc = NULL;
	take_reason(client, bytes_str("the keeper process is gone"));
	note_change(client, KEEPER_CHANGED_GONE);
	fail_all(client);
}

static void on_received(struct ipc *ipc, struct ipc_message *message, void *ctx)
{
	struct keeper_client *client = ctx;
	(void)ipc;
	if (handle(client, message))
		return;
	log_error("keeper's message not understood", LOG_N("kind", message->kind));
	gone(client);
}

static void on_closed(struct ipc *ipc, const char *reason, void *ctx)
{
	(void)ipc;
	log_error("keeper is gone", LOG_S("reason", reason ? reason : "it closed"));
	gone(ctx);
}

static const struct ipc_handlers handlers = {.received = on_received, .closed = on_closed};

bool keeper_client_attach(struct keeper_client *client, int fd, struct error *err)
{
	ipc_free(client->ipc);
	client->welcomed = false;
	client->ipc = ipc_new(client->loop, fd, client->limits.queue_cap, &handlers, client, err);
	fail_all(client);
	return client->ipc != NULL;
}

/* State. */

EVP_PKEY *keeper_client_key(const struct keeper_client *client, enum keeper_key key)
{
	return client->keys[key].pkey;
}

STACK_OF(X509) * keeper_client_chain(const struct keeper_client *client)
{
	return client->chain;
}

void keeper_client_accord(const struct keeper_client *client, X509 **cert, EVP_PKEY **key)
{
	*cert = client->accord_cert;
	*key = client->accord_key.pkey;
}

const struct ticket_keys *keeper_client_tickets(const struct keeper_client *client)
{
	return client->tickets;
}

const char *keeper_client_audit_closed(const struct keeper_client *client)
{
	return client->audit_reason[0] ? client->audit_reason : NULL;
}

/* Audit and refusals. */

static bool send_entry(struct keeper_client *client, uint16_t kind, uint32_t id, const struct audit_entry *entry)
{
	struct error err;
	struct writer w = writer_over(client->room, IPC_BODY_MAX);
	struct ipc_message message = {.kind = kind, .id = id};
	bool good = audit_entry_check(entry, &err);
	if (!good)
		log_error("audit entry refused", LOG_S("reason", err.text));
	if (good && !keeper_client_audit_closed(client)) {
		audit_entry_write(&w, entry);
		if (writer_done(&w, &message.body) && ipc_send(client->ipc, &message) == IPC_SENT) {
			client->counts.audited++;
			return true;
		}
	}
	client->counts.audit_refused++;
	return false;
}

bool keeper_client_audit(struct keeper_client *client, const struct audit_entry *entry)
{
	return send_entry(client, KEEPER_AUDIT, 0, entry);
}

bool keeper_client_audit_synced(
	struct keeper_client *client, const struct audit_entry *entry, keeper_synced_fn *done, void *ctx)
{
	struct syncing *syncing = malloc(sizeof(*syncing));
	uint32_t id = client->next_id++;
	if (!syncing || !send_entry(client, KEEPER_AUDIT_SYNC, id, entry)) {
		free(syncing);
		return false;
	}
	*syncing = (struct syncing){.next = client->syncs, .id = id, .done = done, .ctx = ctx};
	client->syncs = syncing;
	return true;
}

bool keeper_client_worker(struct keeper_client *client, int fd, const char *name)
{
	uint8_t room[64];
	struct writer w = writer_over(room, sizeof(room));
	struct ipc_message message = {.kind = KEEPER_WORKER, .fds = {fd}, .fd_count = 1};
	writer_vec8(&w, bytes_str(name));
	return client->ipc && writer_done(&w, &message.body) && ipc_send(client->ipc, &message) == IPC_SENT;
}

static bool take_text(char *out, size_t cap, struct bytes text)
{
	if (text.len == 0 || text.len >= cap || bytes_find(text, 0, 0) < text.len)
		return false;
	memcpy(out, text.data, text.len);
	out[text.len] = '\0';
	return true;
}

static bool pair(struct refusal *refusal, struct bytes client_address, struct bytes name)
{
	return take_text(refusal->client, sizeof(refusal->client), client_address) &&
	       take_text(refusal->name, sizeof(refusal->name), name);
}

void keeper_client_refusal_add(struct keeper_client *client, struct bytes client_address, struct bytes name, int alert)
{
	uint8_t room[512];
	struct refusal refusal = {.alert = alert >= 0 && alert <= 255 ? alert : REFUSAL_CLOSED, .count = 1};
	struct writer w = writer_over(room, sizeof(room));
	struct ipc_message message = {.kind = KEEPER_REFUSAL_ADD};
	bool good = client->ipc && pair(&refusal, client_address, name);
	keeper_refusal_write(&w, &refusal);
	if (good && writer_done(&w, &message.body) && ipc_send(client->ipc, &message) == IPC_SENT)
		client->counts.refusals_sent++;
	else
		client->counts.refusals_dropped++;
}

const struct refusal *keeper_client_refusal(
	struct keeper_client *client, struct bytes client_address, struct bytes name)
{
	uint8_t room[REFUSAL_CLIENT_MAX + REFUSAL_NAME_MAX + 2];
	struct refusal wanted = {0};
	if (!pair(&wanted, client_address, name))
		return NULL;
	const struct refusal *known = cache_get(client->refusals, refusal_key(&wanted, room, sizeof(room)));
	return known && known->last_s + client->refusal_lifetime_s > (uint64_t)now_s() ? known : NULL;
}

/* Life. */

static bool set_up(struct keeper_client *client, struct error *err)
{
	struct keeper_client_limits *l = &client->limits;
	l->pending = l->pending ? l->pending : 4096;
	l->cache = l->cache ? l->cache : 2048;
	l->queue_cap = l->queue_cap ? l->queue_cap : (size_t)4 * 1024 * 1024;
	l->refusals = l->refusals ? l->refusals : REFUSAL_CAP;
	client->next_id = 1;
	snprintf(client->audit_reason, sizeof(client->audit_reason), "the keeper has not begun yet");
	client->room = malloc(IPC_BODY_MAX);
	client->tickets = secret_alloc(sizeof(*client->tickets));
	client->leaves = cache_new(l->cache, cached_drop);
	client->by_key = cache_new(l->pending + 1, NULL);
	client->by_id = cache_new(l->pending + 1, NULL);
	client->refusals = cache_new(l->refusals, free);
	return (client->room && client->tickets && client->leaves && client->by_key && client->by_id &&
		       client->refusals) ||
	       error_set(err, "no memory for the keeper's client");
}

struct keeper_client *keeper_client_new(struct loop *loop, int fd, const struct keeper_client_limits *limits,
	void (*changed)(unsigned what, void *ctx), void *ctx, struct error *err)
{
	struct keeper_client *client = calloc(1, sizeof(*client));
	if (!client) {
		error_set(err, "no memory for the keeper's client");
		close(fd);
		return NULL;
	}
	client->loop = loop;
	client->changed = changed;
	client->ctx = ctx;
	if (limits)
		client->limits = *limits;
	if (!set_up(client, err))
		close(fd);
	else if (keeper_client_attach(client, fd, err))
		return client;
	keeper_client_free(client);
	return NULL;
}

void keeper_client_free(struct keeper_client *client)
{
	if (!client)
		return;
	ipc_free(client->ipc);
	loop_task_cancel(client->loop, &client->changed_task);
	struct list_item *first;
	while ((first = list_pop(&client->flights))) {
		struct flight *flight = (struct flight *)(void *)first;
		while ((first = list_pop(&flight->waits)))
			wait_free((struct keeper_wait *)(void *)first);
		free(flight);
	}
	while ((first = list_pop(&client->settled)))
		wait_free((struct keeper_wait *)(void *)first);
	while (client->syncs) {
		struct syncing *syncing = client->syncs;
		client->syncs = syncing->next;
		free(syncing);
	}
	cache_free(client->by_key);
	cache_free(client->by_id);
	cache_free(client->leaves);
	cache_free(client->refusals);
	sk_X509_pop_free(client->chain, X509_free);
	for (int i = 0; i < KEEPER_KEYS; i++) {
		if (client->keys[i].pkey)
			leaf_key_clear(&client->keys[i]);
	}
	leaf_key_clear(&client->accord_key);
	X509_free(client->accord_cert);
	secret_free(client->tickets);
	free(client->room);
	free(client);
}

struct keeper_client_counts keeper_client_count(const struct keeper_client *client)
{
	struct keeper_client_counts counts = client->counts;
	struct cache_counts cache = cache_count(client->leaves);
	counts.pending_cap = client->limits.pending;
	counts.cache_hits = cache.hits;
	counts.cache_misses = cache.misses;
	counts.cache_evicted = cache.evicted;
	counts.cached = cache.held;
	counts.cache_cap = cache.cap;
	counts.queue_cap = client->limits.queue_cap;
	if (client->ipc)
		counts.queued = ipc_count(client->ipc).queued;
	return counts;
}
