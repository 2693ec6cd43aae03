#include "proxy/resolver_client.h"

#include "base/cache.h"
#include "base/clock.h"
#include "proxy/list.h"

#include <arpa/inet.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

/* Room for requests the resolver is too slow to take: each is a name. */
#define QUEUE_CAP ((size_t)1024 * 1024)

/* A name asked for, and who waits for it. It lives until the answer comes, also when nobody waits any more. */
struct flight {
	struct list_item item;
	uint32_t id;
	char name[RESOLVER_NAME_MAX + 1];
	size_t name_len;
	struct list_item *waits; /* struct resolver_wait */
};

struct resolver_wait {
	struct list_item item; /* in its flight, or in the client's list of settled ones */
	struct resolver_client *client;
	struct loop_timer timer;
	struct loop_task task;
	enum resolver_result result;
	struct resolver_answer *answer; /* settled only: its own */
	resolver_done_fn *done;
	void *ctx;
};

struct remembered {
	uint64_t until_ns;
	struct resolver_answer answer;
};

struct resolver_client {
	struct loop *loop;
	struct ipc *ipc; /* NULL: gone */
	struct resolver_limits limits;
	void (*gone)(void *ctx);
	void *ctx;
	struct cache *names;   /* struct remembered by name */
	struct cache *by_name; /* struct flight; never fuller than its cap */
	struct cache *by_id;
	struct list_item *flights;
	struct list_item *settled; /* their result is known; told at the end of the turn */
	uint32_t next_id;
	size_t flying;
	struct resolver_client_counts counts;
};

#define OWNER(type, member, pointer) ((type *)(void *)((char *)(pointer)-offsetof(type, member)))

static void wait_free(struct resolver_wait *wait)
{
	struct loop *loop = wait->client->loop;
	list_remove(&wait->item);
	loop_timer_clear(loop, &wait->timer);
	loop_task_cancel(loop, &wait->task);
	wait->client->counts.pending--;
	free(wait->answer);
	free(wait);
}

/* The wait ends before its call, so that the call may ask again or free what it likes of its own. */
static void wait_tell(struct resolver_wait *wait, enum resolver_result result, const struct resolver_answer *answer)
{
	resolver_done_fn *done = wait->done;
	void *ctx = wait->ctx;
	struct resolver_answer *own = wait->answer;
	wait->answer = NULL;
	wait_free(wait);
	done(result, answer, ctx);
	free(own);
}

static void on_settled(struct loop_task *task)
{
	struct resolver_wait *wait = OWNER(struct resolver_wait, task, task);
	wait_tell(wait, wait->result, wait->answer);
}

/* Told at the end of this turn, never inside the call that asks. False without memory. */
static bool settle(struct resolver_wait *wait, enum resolver_result result, const struct resolver_answer *answer)
{
	wait->answer = malloc(sizeof(*wait->answer));
	if (!wait->answer)
		return false;
	*wait->answer = *answer;
	wait->result = result;
	list_push(&wait->client->settled, &wait->item);
	loop_task_queue(wait->client->loop, &wait->task, on_settled);
	return true;
}

static bool settle_text(struct resolver_wait *wait, enum resolver_result result, const char *text)
{
	struct resolver_answer answer = {0};
	snprintf(answer.text, sizeof(answer.text), "%s", text);
	return settle(wait, result, &answer);
}

static void on_deadline(struct loop_timer *timer)
{
	struct resolver_wait *wait = OWNER(struct resolver_wait, timer, timer);
	struct resolver_answer late = {.text = "no answer in time"};
	wait->client->counts.timeouts++;
	wait_tell(wait, RESOLVER_TIMEOUT, &late);
}

void resolver_wait_cancel(struct resolver_wait *wait)
{
	wait_free(wait);
}

/* Flights. */

static struct bytes flight_name(const struct flight *flight)
{
	return bytes_of(flight->name, flight->name_len);
}

static struct bytes flight_id(const struct flight *flight)
{
	return bytes_of(&flight->id, sizeof(flight->id));
}

/* Off all lists, and everybody told. */
static void flight_end(struct resolver_client *client, struct flight *flight, enum resolver_result result,
	const struct resolver_answer *answer)
{
	(void)cache_remove(client->by_name, flight_name(flight));
	(void)cache_remove(client->by_id, flight_id(flight));
	list_remove(&flight->item);
	client->flying--;
	/* A call may cancel other waits of this flight: each time the first that is left. */
	struct list_item *first;
	while ((first = list_pop(&flight->waits)))
		wait_tell((struct resolver_wait *)(void *)first, result, answer);
	free(flight);
}

static struct flight *flight_new(struct resolver_client *client, struct bytes name)
{
	struct flight *flight = calloc(1, sizeof(*flight));
	if (!flight)
		return NULL;
	memcpy(flight->name, name.data, name.len);
	flight->name_len = name.len;
	flight->id = client->next_id++;
	list_push(&client->flights, &flight->item);
	client->flying++;
	struct ipc_message message = {.kind = RESOLVER_RESOLVE, .id = flight->id, .body = name};
	if (cache_put(client->by_name, flight_name(flight), flight) &&
		cache_put(client->by_id, flight_id(flight), flight) && ipc_send(client->ipc, &message) == IPC_SENT)
		return flight;
	struct resolver_answer nothing = {0};
	flight_end(client, flight, RESOLVER_REFUSED, &nothing);
	return NULL;
}

static void remember(struct resolver_client *client, struct bytes name, const struct resolver_answer *answer)
{
	struct remembered *entry = malloc(sizeof(*entry));
	if (!entry)
		return;
	uint64_t lifetime = answer->count ? client->limits.positive_ns : client->limits.negative_ns;
	*entry = (struct remembered){.until_ns = clock_monotonic_ns() + lifetime, .answer = *answer};
	(void)cache_put(client->names, name, entry);
}

static const struct resolver_answer *recall(struct resolver_client *client, struct bytes name)
{
	struct remembered *entry = cache_get(client->names, name);
	if (!entry)
		return NULL;
	if (entry->until_ns > clock_monotonic_ns())
		return &entry->answer;
	(void)cache_remove(client->names, name);
	return NULL;
}

/* The channel. */

static void on_received(struct ipc *ipc, struct ipc_message *message, void *ctx)
{
	struct resolver_client *client = ctx;
	struct resolver_answer answer;
	(void)ipc;
	struct flight *flight = cache_get(client->by_id, bytes_of(&message->id, sizeof(message->id)));
	if (message->kind != RESOLVER_RESOLVED || !flight)
		return;
	if (!resolver_answer_read(message->body, &answer))
		answer = (struct resolver_answer){.text = "the resolver's answer was broken"};
	remember(client, flight_name(flight), &answer);
	flight_end(client, flight, answer.count ? RESOLVER_OK : RESOLVER_FAILED, &answer);
}

static void on_closed(struct ipc *ipc, const char *reason, void *ctx)
{
	struct resolver_client *client = ctx;
	struct resolver_answer answer = {.text = "the resolver process is gone"};
	(void)reason;
	ipc_free(ipc);
	client->ipc = NULL;
	struct list_item *first;
	while ((first = list_pop(&client->flights)))
		flight_end(client, (struct flight *)(void *)first, RESOLVER_GONE, &answer);
	if (client->gone)
		client->gone(client->ctx);
}

static const struct ipc_handlers handlers = {.received = on_received, .closed = on_closed};

bool resolver_client_attach(struct resolver_client *client, int fd, struct error *err)
{
	struct resolver_answer answer = {.text = "the resolver process is gone"};
	ipc_free(client->ipc);
	client->ipc = ipc_new(client->loop, fd, QUEUE_CAP, &handlers, client, err);
	struct list_item *first;
	while ((first = list_pop(&client->flights)))
		flight_end(client, (struct flight *)(void *)first, RESOLVER_GONE, &answer);
	return client->ipc != NULL;
}

/* Asking. */

static bool numeric(struct bytes host, struct resolver_answer *answer)
{
	char text[INET6_ADDRSTRLEN];
	if (host.len > 2 && host.data[0] == '[' && host.data[host.len - 1] == ']')
		host = bytes_of(host.data + 1, host.len - 2);
	if (host.len == 0 || host.len >= sizeof(text))
		return false;
	memcpy(text, host.data, host.len);
	text[host.len] = '\0';
	*answer = (struct resolver_answer){.count = 1};
	union resolver_address *a = &answer->addresses[0];
	if (inet_pton(AF_INET, text, &a->v4.sin_addr) == 1) {
		a->v4.sin_family = AF_INET;
		return true;
	}
	if (inet_pton(AF_INET6, text, &a->v6.sin6_addr) == 1) {
		a->v6.sin6_family = AF_INET6;
		return true;
	}
	return false;
}

/* A name as the cache keys it: lower case, without a closing dot. False when it is none. */
static bool fold(struct bytes host, char out[RESOLVER_NAME_MAX], struct bytes *name)
{
	if (host.len > 1 && host.data[host.len - 1] == '.')
		host.len--;
	if (host.len == 0 || host.len > RESOLVER_NAME_MAX || bytes_find(host, 0, 0) < host.len)
		return false;
	for (size_t i = 0; i < host.len; i++) {
		char c = (char)host.data[i];
		out[i] = (char)(c >= 'A' && c <= 'Z' ? c + ('a' - 'A') : c);
	}
	*name = bytes_of(out, host.len);
	return true;
}

static bool begin(struct resolver_client *client, struct resolver_wait *wait, struct bytes host)
{
	char folded[RESOLVER_NAME_MAX];
	struct bytes name;
	struct resolver_answer answer;
	if (numeric(host, &answer))
		return settle(wait, RESOLVER_OK, &answer);
	if (!fold(host, folded, &name))
		return settle_text(wait, RESOLVER_REFUSED, "that is no host name");
	const struct resolver_answer *known = recall(client, name);
	if (known)
		return settle(wait, known->count ? RESOLVER_OK : RESOLVER_FAILED, known);
	if (!client->ipc)
		return settle_text(wait, RESOLVER_GONE, "the resolver process is gone");
	struct flight *flight = cache_get(client->by_name, name);
	if (flight) {
		client->counts.shared++;
	} else {
		flight = client->flying < client->limits.pending ? flight_new(client, name) : NULL;
		client->counts.asked++;
	}
	if (!flight) {
		client->counts.refused++;
		return settle_text(wait, RESOLVER_REFUSED, "too many names are being looked up");
	}
	list_push(&flight->waits, &wait->item);
	return true;
}

struct resolver_wait *resolver_client_resolve(
	struct resolver_client *client, struct bytes host, uint64_t deadline_ns, resolver_done_fn *done, void *ctx)
{
	struct resolver_wait *wait = calloc(1, sizeof(*wait));
	if (!wait)
		return NULL;
	wait->client = client;
	wait->done = done;
	wait->ctx = ctx;
	bool begun;
	if (client->counts.pending >= client->limits.pending) {
		client->counts.refused++;
		begun = settle_text(wait, RESOLVER_REFUSED, "too many names are being looked up");
	} else {
		begun = begin(client, wait, host);
	}
	if (!begun) {
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

/* Life. */

struct resolver_client *resolver_client_new(struct loop *loop, int fd, const struct resolver_limits *limits,
	void (*gone)(void *ctx), void *ctx, struct error *err)
{
	struct resolver_client *client = calloc(1, sizeof(*client));
	if (!client) {
		error_set(err, "no memory for the resolver's client");
		close(fd);
		return NULL;
	}
	struct resolver_limits l = limits ? *limits : (struct resolver_limits){0};
	l.pending = l.pending ? l.pending : 4096;
	l.cache = l.cache ? l.cache : 4096;
	l.positive_ns = l.positive_ns ? l.positive_ns : 30 * NS_PER_S;
	l.negative_ns = l.negative_ns ? l.negative_ns : 5 * NS_PER_S;
	*client = (struct resolver_client){.loop = loop, .limits = l, .gone = gone, .ctx = ctx, .next_id = 1};
	client->names = cache_new(l.cache, free);
	client->by_name = cache_new(l.pending + 1, NULL);
	client->by_id = cache_new(l.pending + 1, NULL);
	if (!client->names || !client->by_name || !client->by_id) {
		error_set(err, "no memory for the resolver's client");
		close(fd);
	} else if (resolver_client_attach(client, fd, err)) {
		return client;
	}
	resolver_client_free(client);
	return NULL;
}

void resolver_client_free(struct resolver_client *client)
{
	if (!client)
		return;
	ipc_free(client->ipc);
	struct list_item *first;
	while ((first = list_pop(&client->flights))) {
		struct flight *flight = (struct flight *)(void *)first;
		while ((first = list_pop(&flight->waits)))
			wait_free((struct resolver_wait *)(void *)first);
		free(flight);
	}
	while ((first = list_pop(&client->settled)))
		wait_free((struct resolver_wait *)(void *)first);
	cache_free(client->by_name);
	cache_free(client->by_id);
	cache_free(client->names);
	free(client);
}

struct resolver_client_counts resolver_client_count(const struct resolver_client *client)
{
	struct resolver_client_counts counts = client->counts;
	struct cache_counts cache = cache_count(client->names);
	counts.pending_cap = client->limits.pending;
	counts.cache_hits = cache.hits;
	counts.cache_misses = cache.misses;
	counts.cache_evicted = cache.evicted;
	counts.cached = cache.held;
	counts.cache_cap = cache.cap;
	return counts;
}
