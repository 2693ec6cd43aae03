#include "share/sender.h"

#include "base/clock.h"
#include "keys/secret.h"
#include "share/entry.h"
#include "share/sender_parts.h"

#include <stdlib.h>
#include <time.h>

#define IDLE_NS (250 * NS_PER_MS) /* between looks at the grants, and at the collector while nothing comes */
/* A batch has a sync of the log, a record and an answer of its own: where nobody waits for them, few are made. */
#define PACE_NS (5 * NS_PER_MS)
#define ENOUGH  (QUEUE_MAX / 4)

void sender_put(struct sender *sender, const struct release *release, const void *tag)
{
	atomic_fetch_add(&sender->offered, 1);
	if (!queue_put(sender->queue, release, tag))
		atomic_fetch_add(&sender->lost, 1);
}

void sender_disagreed(struct sender *sender, const struct share_item *item)
{
	refusals_put(sender->refusals, item);
}

bool sender_wants_lines(struct sender *sender)
{
	return atomic_load(&sender->wants_lines);
}

int64_t sender_wall_s(void)
{
	return (int64_t)(clock_wall_ns() / NS_PER_S);
}

void sender_lock(struct sender *sender)
{
	pthread_mutex_lock(&sender->lock);
}

void sender_unlock(struct sender *sender)
{
	pthread_mutex_unlock(&sender->lock);
}

/* The log, under the lock. */

bool sender_log(struct sender *sender, const struct audit_entry *entry)
{
	return audit_append(sender->log, entry, clock_wall_ns(), NULL) == AUDIT_QUEUED;
}

void sender_log_refusal(struct sender *sender, const char *why, const char *side, uint64_t count)
{
	struct audit_entry entry;
	entry_of_refusal(why, side, count, &entry);
	(void)!sender_log(sender, &entry);
}

void sender_tell_done(struct sender *sender, const struct batch_tags *tags)
{
	for (size_t i = 0; i < tags->count && sender->options.done; i++)
		sender->options.done(sender->options.arg, tags->octets[i]);
}

static bool append_refusal(void *arg, const struct audit_entry *entry)
{
	return sender_log(arg, entry);
}

/* Grants: on the disk before they count. */
static bool append_grant(void *arg, const struct audit_entry *entry)
{
	struct sender *sender = arg;
	return sender_log(sender, entry) && audit_flush(sender->log);
}

static void over(void *arg, const uint8_t grant[static RELEASE_GRANT],
	const uint8_t client_random[static KEYLOG_RANDOM], const uint8_t *tag)
{
	const struct sender *sender = arg;
	(void)grant;
	if (sender->options.over)
		sender->options.over(sender->options.arg, client_random, tag);
}

/* What has ended by now, and what was refused by the two sides of a connection. */
static void look(struct sender *sender)
{
	granting_refresh(sender->granting, sender_wall_s(), clock_monotonic_ns());
	atomic_store(&sender->wants_lines, granting_wants_lines(sender->granting, sender_wall_s()));
	(void)refusals_log(sender->refusals, append_refusal, sender);
}

static void *run(void *arg)
{
	struct sender *sender = arg;
	while (queue_goes_on(sender->queue)) {
		post_listen(sender->post);
		bool ending = queue_ending(sender->queue);
		sender_lock(sender);
		look(sender);
		bool some = sender_fill(sender);
		sender_unlock(sender);
		uint64_t began_ns = clock_monotonic_ns();
		if (some)
			sender_send(sender);
		if (!sender_send_kept(sender, ending && !some) && ending && !some)
			break;
		if (sender->more.len == 0)
			queue_wait(sender->queue, IDLE_NS);
		if (some && !sender->options.done)
			queue_gather(sender->queue, ENOUGH, began_ns + PACE_NS);
	}
	sender->counts.unsent += sender_drop_more(sender);
	for (size_t i = 0; i < sender->kept.count; i++)
		sender->counts.unsent += sender->kept.batches[i].batch.sealed - sender->kept.batches[i].batch.taken;
	return NULL;
}

/* The keeper: grants end in time, whatever the thread waits for. */

static struct timespec next_look(const struct sender *sender)
{
	uint64_t at_ns = clock_monotonic_ns() + IDLE_NS, next_ns = granting_next(sender->granting);
	at_ns = next_ns < at_ns ? next_ns : at_ns;
	return (struct timespec){.tv_sec = (time_t)(at_ns / NS_PER_S), .tv_nsec = (long)(at_ns % NS_PER_S)};
}

static void *keep(void *arg)
{
	struct sender *sender = arg;
	sender_lock(sender);
	while (!sender->ending) {
		look(sender);
		/* Entries that nothing waits for get there, too. */
		if (!audit_log_closed(sender->log) && audit_count(sender->log).queued > 0)
			(void)!audit_flush(sender->log);
		const struct timespec until = next_look(sender);
		(void)pthread_cond_timedwait(&sender->wake, &sender->lock, &until);
	}
	sender_unlock(sender);
	return NULL;
}

static void end_threads(struct sender *sender, uint64_t most_ns)
{
	if (sender->runs) {
		queue_end(sender->queue, clock_monotonic_ns() + most_ns);
		pthread_join(sender->thread, NULL);
	}
	if (!sender->keeps)
		return;
	sender_lock(sender);
	sender->ending = true;
	(void)refusals_log(sender->refusals, append_refusal, sender);
	pthread_cond_signal(&sender->wake);
	sender_unlock(sender);
	pthread_join(sender->keeper, NULL);
}

static void collector_ended(void *own, const uint8_t grant[static RELEASE_GRANT], enum courier_why why)
{
	struct sender *sender = own;
	sender_lock(sender);
	granting_end(sender->granting, grant, why);
	sender_unlock(sender);
}

/* Making. */

static bool open_grants(struct sender *sender, struct error *err)
{
	const struct sender_options *options = &sender->options;
	struct granting_options granting = {.folder = options->grants,
		.signers = options->signers,
		.signer_count = options->signer_count,
		.sender = options->name ? options->name : "",
		.log = append_grant,
		.over = over,
		.arg = sender};
	memcpy(granting.sender_key, options->key_hash, sizeof(granting.sender_key));
	sender->granting = granting_new(&granting, err);
	if (sender->granting)
		atomic_store(&sender->wants_lines, granting_wants_lines(sender->granting, sender_wall_s()));
	return sender->granting != NULL;
}

static bool begin_lock(struct sender *sender)
{
	pthread_condattr_t attributes;
	return pthread_mutex_init(&sender->lock, NULL) == 0 && pthread_condattr_init(&attributes) == 0 &&
	       pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC) == 0 &&
	       pthread_cond_init(&sender->wake, &attributes) == 0;
}

static bool begin(struct sender *sender, struct error *err)
{
	const struct audit_options audit = {.path = sender->options.audit};
	const struct post_options post = {.connect = sender->options.connect,
		.ended = collector_ended,
		.arg = sender->options.arg,
		.own = sender};
	sender->queue = queue_new();
	sender->one = secret_alloc(sizeof(*sender->one));
	sender->loop = loop_new();
	sender->post = post_new(&post);
	sender->refusals = refusals_new();
	if (!sender->queue || !sender->refusals || !sender->one || !sender->loop || !sender->post)
		return error_set(err, "no memory to send keys");
	sender->log = audit_log_new(sender->loop, &audit, NULL, NULL, err);
	if (!sender->log || !open_grants(sender, err))
		return false;
	sender->keeps = pthread_create(&sender->keeper, NULL, keep, sender) == 0;
	sender->runs = sender->keeps && pthread_create(&sender->thread, NULL, run, sender) == 0;
	return sender->runs || error_set(err, "no threads to send keys");
}

struct sender *sender_new(const struct sender_options *options, struct error *err)
{
	struct sender *sender = calloc(1, sizeof(*sender));
	if (!sender || !begin_lock(sender)) {
		free(sender);
		error_set(err, "no memory to send keys");
		return NULL;
	}
	sender->options = *options;
	sender->more = writer_over(sender->more_room, sizeof(sender->more_room));
	if (begin(sender, err))
		return sender;
	(void)sender_free(sender, 0);
	return NULL;
}

/* What the thread has counted, and the others. The threads are over. */
static struct sender_counts sum_up(struct sender *sender)
{
	struct sender_counts counts = sender->counts;
	struct granting_counts grants = granting_count(sender->granting);
	counts.offered = atomic_load(&sender->offered);
	counts.lost = atomic_load(&sender->lost);
	counts.unsent += queue_left(sender->queue);
	counts.connections = post_connections(sender->post);
	counts.over = grants.over;
	counts.kept_back = grants.kept_back;
	counts.forgotten = grants.evicted;
	return counts;
}

struct sender_counts sender_free(struct sender *sender, uint64_t most_ns)
{
	struct sender_counts counts = {0};
	if (!sender)
		return counts;
	end_threads(sender, most_ns);
	if (sender->runs)
		counts = sum_up(sender);
	audit_log_free(sender->log);
	loop_free(sender->loop);
	post_free(sender->post);
	refusals_free(sender->refusals);
	granting_free(sender->granting);
	kept_free(&sender->kept);
	queue_free(sender->queue);
	secret_free(sender->one);
	pthread_cond_destroy(&sender->wake);
	pthread_mutex_destroy(&sender->lock);
	free(sender);
	return counts;
}
