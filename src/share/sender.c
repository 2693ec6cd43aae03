#include "share/sender.h"

#include "audit/log.h"
#include "base/clock.h"
#include "base/log.h"
#include "keys/courier.h"
#include "keys/secret.h"
#include "share/batch.h"
#include "share/entry.h"
#include "share/granting.h"
#include "share/kept.h"
#include "share/post.h"
#include "share/refusals.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <time.h>

#define FRAME_ROOM ((size_t)COURIER_HEADER + COURIER_MAX_BODY)
#define IDLE_NS    (250 * NS_PER_MS) /* between looks at the grants, and at the collector while nothing comes */
#define MORE_ROOM  (GRANT_MAX * ((size_t)SEAL_MAX + 2))
#define PAUSE_NS   (50 * NS_PER_MS) /* while there is no collector */
/* A batch has a sync of the log, a record and an answer of its own: where nobody waits for them, few are made. */
#define PACE_NS (5 * NS_PER_MS)
#define ENOUGH  (QUEUE_MAX / 4)

_Static_assert(QUEUE_TAG == ENDS_TAG, "a tag names a connection");

struct sender {
	struct sender_options options;
	struct queue *queue;
	struct granting *granting;
	struct post *post;
	struct refusals *refusals;
	struct loop *loop; /* the log wants one; nothing of it is waited for here */
	struct audit_log *log;
	pthread_t thread, keeper;
	bool runs, keeps;
	/* Of the grants and the log: the thread may wait for the collector for long, and grants end all the same. */
	pthread_mutex_t lock;
	pthread_cond_t wake; /* the keeper */
	bool ending;
	atomic_bool wants_lines;
	atomic_uint_fast64_t offered, lost;
	/* The thread's. */
	struct sender_counts counts;
	struct queued *one; /* memory for secrets */
	uint64_t number;    /* of the last batch sent */
	uint64_t logged;    /* releases sealed, with their entries in the log */
	struct batch batch;
	struct writer frame; /* the batch's */
	struct kept kept;
	/* Of one release for many readers, what the frame has no room for: it goes with the next ones. */
	struct writer more;
	struct bytes more_left;
	bool more_tagged; /* somebody waits for all of it */
	uint8_t more_tag[QUEUE_TAG];
	uint8_t room[FRAME_ROOM], more_room[MORE_ROOM];
};

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

static int64_t wall_s(void)
{
	return (int64_t)(clock_wall_ns() / NS_PER_S);
}

/* The log. What follows up to "Sending" is called under the lock. */

static bool append(struct sender *sender, const struct audit_entry *entry)
{
	return audit_append(sender->log, entry, clock_wall_ns(), NULL) == AUDIT_QUEUED;
}

static bool append_refusal(void *arg, const struct audit_entry *entry)
{
	return append(arg, entry);
}

/* Grants: on the disk before they count. */
static bool append_grant(void *arg, const struct audit_entry *entry)
{
	struct sender *sender = arg;
	return append(sender, entry) && audit_flush(sender->log);
}

static void log_refusal(struct sender *sender, const char *why, const char *side, uint64_t count)
{
	struct audit_entry entry;
	entry_of_refusal(why, side, count, &entry);
	(void)!append(sender, &entry);
}

/* A batch. */

static void tell_done(struct sender *sender, const struct batch_tags *tags)
{
	for (size_t i = 0; i < tags->count && sender->options.done; i++)
		sender->options.done(sender->options.arg, tags->octets[i]);
}

static void over(void *arg, const uint8_t grant[static RELEASE_GRANT],
	const uint8_t client_random[static KEYLOG_RANDOM], const uint8_t *tag)
{
	const struct sender *sender = arg;
	(void)grant;
	if (sender->options.over)
		sender->options.over(sender->options.arg, client_random, tag);
}

static void add_sealed(void *arg, const struct grant *grant, const struct release *release, struct bytes sealed)
{
	struct sender *sender = arg;
	struct entry_texts texts;
	struct audit_entry entry;
	bool fits = sender->more.len == 0 && sender->frame.cap - sender->frame.len >= sealed.len + 2;
	entry_of_release(grant, release, &texts, &entry);
	/* Its entry first: what is not logged does not leave. */
	if (!append(sender, &entry)) {
		sender->counts.unlogged++;
		return;
	}
	writer_vec16(fits ? &sender->frame : &sender->more, sealed);
	sender->batch.sealed += fits;
	sender->logged++;
}

static void add_tag(struct sender *sender, const uint8_t tag[static QUEUE_TAG])
{
	memcpy(sender->batch.tags.octets[sender->batch.tags.count++], tag, QUEUE_TAG);
}

/* For every reader who is to get it. False: nobody is. */
static bool seal_one(struct sender *sender, struct queued *one)
{
	uint64_t before = sender->logged;
	const struct granting_ask ask = {
		.wall_s = wall_s(), .now_ns = clock_monotonic_ns(), .tag = one->tagged ? one->tag : NULL};
	size_t count = granting_seal(sender->granting, &one->release, &ask, add_sealed, sender);
	release_wipe(&one->release);
	sender->counts.sealed += count;
	bool waits = one->tagged && count > 0 && sender->logged - before == count;
	sender->more_left = bytes_of(sender->more_room, sender->more.len);
	sender->more_tagged = waits && sender->more.len > 0;
	if (sender->more_tagged)
		memcpy(sender->more_tag, one->tag, QUEUE_TAG);
	else if (waits)
		add_tag(sender, one->tag);
	if (one->tagged && count == 0 && sender->options.done)
		sender->options.done(sender->options.arg, one->tag);
	return count > 0;
}

/* What the frames before had no room for. */
static void add_more(struct sender *sender)
{
	struct bytes rest = sender->more_left, sealed;
	while (bytes_vec16(&rest, &sealed) && sender->frame.cap - sender->frame.len >= sealed.len + 2) {
		writer_vec16(&sender->frame, sealed);
		sender->batch.sealed++;
		sender->more_left = rest;
	}
	if (sender->more_left.len > 0)
		return;
	sender->more = writer_over(sender->more_room, sizeof(sender->more_room));
	if (sender->more_tagged)
		add_tag(sender, sender->more_tag);
	sender->more_tagged = false;
}

/* It will not be sent; how many that are. */
static uint32_t drop_more(struct sender *sender)
{
	struct bytes sealed;
	uint32_t count = 0;
	while (bytes_vec16(&sender->more_left, &sealed))
		count++;
	sender->more.len = 0;
	sender->more_tagged = false;
	return count;
}

/* Fills a frame with what waits. False when there is nothing in it to be sent. */
static bool make_batch(struct sender *sender)
{
	uint64_t uncovered = 0;
	sender->batch = (struct batch){.frame = sender->room};
	sender->frame = writer_over(sender->room, sizeof(sender->room));
	size_t mark = courier_open(&sender->frame, COURIER_PUT);
	writer_u64(&sender->frame, 0);
	add_more(sender);
	for (size_t i = sender->batch.tags.count;
		i < BATCH_TAGS && sender->more.len == 0 && sender->frame.len < FRAME_ROOM / 2 &&
		queue_take(sender->queue, sender->one);
		i++)
		uncovered += !seal_one(sender, sender->one);
	courier_close(&sender->frame, mark);
	sender->batch.len = sender->frame.len;
	sender->counts.uncovered += uncovered;
	if (uncovered > 0)
		log_refusal(sender, "no grant covers it", "host", uncovered);
	if (sender->batch.sealed == 0)
		return false;
	if (audit_flush(sender->log))
		return true;
	sender->counts.unlogged += sender->batch.sealed + drop_more(sender);
	return false;
}

static bool lasts(void *arg, const struct seal_head *head)
{
	const struct sender *sender = arg;
	return granting_lasts(sender->granting, head->grant, wall_s());
}

/* What has ended by now, and what was refused by the two sides of a connection. */
static void look(struct sender *sender)
{
	granting_refresh(sender->granting, wall_s(), clock_monotonic_ns());
	atomic_store(&sender->wants_lines, granting_wants_lines(sender->granting, wall_s()));
	(void)refusals_log(sender->refusals, append_refusal, sender);
}

/* Sending: not under the lock. */

static void lock(struct sender *sender)
{
	pthread_mutex_lock(&sender->lock);
}

static void unlock(struct sender *sender)
{
	pthread_mutex_unlock(&sender->lock);
}

static void refused(struct sender *sender, uint64_t count, enum courier_why why)
{
	sender->counts.refused += count;
	lock(sender);
	log_refusal(sender, courier_why_text(why), "collector", count);
	unlock(sender);
	log_warn("keys refused by the collector", LOG_N("keys", count), LOG_S("why", courier_why_text(why)));
}

/* False when nothing is left of it. */
static bool leave_out_ended(struct sender *sender, struct batch *batch)
{
	static const char *const why = "the grant ended before it was sent";
	lock(sender);
	uint32_t out = batch_leave_out(batch, lasts, sender);
	if (out > 0)
		log_refusal(sender, why, "host", out);
	unlock(sender);
	sender->counts.ended += out;
	if (out > 0)
		log_info("keys not sent", LOG_N("keys", out), LOG_S("why", why));
	return !batch_is_empty(batch);
}

enum delivery {
	DELIVERY_ANSWERED,
	DELIVERY_NONE, /* the grants of all that was in it have ended */
	DELIVERY_STOPPED,
};

/* Until it was answered, over as many connections as that takes: what was taken already the collector knows again. */
static enum delivery deliver(struct sender *sender, struct batch *batch, struct courier_taken *taken)
{
	batch_number(batch, ++sender->number);
	while (queue_goes_on(sender->queue)) {
		const struct timespec pause = {.tv_nsec = (long)PAUSE_NS};
		bool ready = post_ready(sender->post);
		/* After it was waited for the connection, and before anything leaves. */
		if (!leave_out_ended(sender, batch))
			return DELIVERY_NONE;
		if (ready && post_send(sender->post, bytes_of(batch->frame, batch->len), sender->number, taken))
			return DELIVERY_ANSWERED;
		if (!ready)
			nanosleep(&pause, NULL);
	}
	return DELIVERY_STOPPED;
}

static void send_batch(struct sender *sender)
{
	struct batch *batch = &sender->batch;
	struct courier_taken taken;
	enum delivery delivery = deliver(sender, batch, &taken);
	if (delivery == DELIVERY_STOPPED)
		sender->counts.unsent += batch->sealed;
	else if (delivery == DELIVERY_NONE)
		tell_done(sender, &batch->tags);
	if (delivery != DELIVERY_ANSWERED)
		return;
	sender->counts.taken += (uint64_t)taken.fresh + taken.known;
	bool later = taken.refused > 0 && kept_worth((enum courier_why)taken.why);
	/* Who waits for all of a release waits for this part, too. */
	sender->more_tagged = sender->more_tagged && !later;
	if (later && kept_add(&sender->kept, batch, &taken, clock_monotonic_ns()))
		return;
	if (taken.refused > 0)
		refused(sender, taken.refused, (enum courier_why)taken.why);
	if (!later)
		tell_done(sender, &batch->tags);
}

/* Once more what was refused before; `last`: it will not be tried again. False when there was nothing to try. */
static bool send_kept(struct sender *sender, bool last)
{
	uint64_t now_ns = clock_monotonic_ns();
	struct kept_batch *kept = kept_due(&sender->kept, now_ns, last);
	struct courier_taken taken;
	if (!kept)
		return false;
	struct batch *batch = &kept->batch;
	sender->counts.again++;
	enum delivery delivery = deliver(sender, batch, &taken);
	if (delivery == DELIVERY_STOPPED)
		sender->counts.unsent += batch->sealed - batch->taken;
	else if (delivery == DELIVERY_NONE)
		tell_done(sender, &batch->tags);
	if (delivery != DELIVERY_ANSWERED) {
		kept_drop(&sender->kept, kept);
		return true;
	}
	uint32_t had = taken.fresh + taken.known;
	sender->counts.taken += had > batch->taken ? had - batch->taken : 0;
	batch->taken = had > batch->taken ? had : batch->taken;
	kept->next_ns = now_ns + KEPT_STEP;
	bool later = taken.refused > 0 && kept_worth((enum courier_why)taken.why);
	if (later && !last && now_ns < kept->until_ns)
		return true;
	if (taken.refused > 0)
		refused(sender, taken.refused, (enum courier_why)taken.why);
	if (!later)
		tell_done(sender, &batch->tags);
	kept_drop(&sender->kept, kept);
	return true;
}

static void *run(void *arg)
{
	struct sender *sender = arg;
	while (queue_goes_on(sender->queue)) {
		post_listen(sender->post);
		bool ending = queue_ending(sender->queue);
		lock(sender);
		look(sender);
		bool some = make_batch(sender);
		unlock(sender);
		uint64_t began_ns = clock_monotonic_ns();
		if (some)
			send_batch(sender);
		if (!send_kept(sender, ending && !some) && ending && !some)
			break;
		if (sender->more.len == 0)
			queue_wait(sender->queue, IDLE_NS);
		if (some && !sender->options.done)
			queue_gather(sender->queue, ENOUGH, began_ns + PACE_NS);
	}
	sender->counts.unsent += drop_more(sender);
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
	lock(sender);
	while (!sender->ending) {
		look(sender);
		/* Entries that nothing waits for get there, too. */
		if (!audit_log_closed(sender->log) && audit_count(sender->log).queued > 0)
			(void)!audit_flush(sender->log);
		const struct timespec until = next_look(sender);
		(void)pthread_cond_timedwait(&sender->wake, &sender->lock, &until);
	}
	unlock(sender);
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
	lock(sender);
	sender->ending = true;
	(void)refusals_log(sender->refusals, append_refusal, sender);
	pthread_cond_signal(&sender->wake);
	unlock(sender);
	pthread_join(sender->keeper, NULL);
}

static void collector_ended(void *own, const uint8_t grant[static RELEASE_GRANT], enum courier_why why)
{
	struct sender *sender = own;
	lock(sender);
	granting_end(sender->granting, grant, why);
	unlock(sender);
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
		atomic_store(&sender->wants_lines, granting_wants_lines(sender->granting, wall_s()));
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
