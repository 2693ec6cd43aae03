#include "share/sender.h"

#include "audit/log.h"
#include "base/clock.h"
#include "base/log.h"
#include "keys/courier.h"
#include "keys/secret.h"
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
#define IDLE_NS    (250 * NS_PER_MS) /* between looks at the grants and the collector while nothing comes */
#define PAUSE_NS   (50 * NS_PER_MS)  /* while there is no collector */

_Static_assert(QUEUE_TAG == ENDS_TAG, "a tag names a connection");

struct sender {
	struct sender_options options;
	struct queue *queue;
	struct granting *granting;
	struct post *post;
	struct refusals *refusals;
	struct loop *loop; /* the log wants one; nothing of it is waited for here */
	struct audit_log *log;
	pthread_t thread;
	bool runs;
	atomic_bool wants_lines;
	atomic_uint_fast64_t offered, lost;
	/* The thread's. */
	struct sender_counts counts;
	struct queued *one; /* memory for secrets */
	uint64_t batch;
	uint32_t sealed; /* in the frame */
	struct batch_tags tags;
	struct writer frame;
	struct kept kept;
	uint8_t room[FRAME_ROOM];
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

/* The log. */

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
	size_t kept = sender->frame.len;
	writer_vec16(&sender->frame, sealed);
	entry_of_release(grant, release, &texts, &entry);
	/* Its entry first: what is not logged does not leave. */
	if (!sender->frame.full && append(sender, &entry)) {
		sender->sealed++;
		return;
	}
	sender->frame.len = kept;
	sender->frame.full = false;
	sender->counts.unlogged++;
}

/* Into the frame for every reader who is to get it. False: nobody is. */
static bool seal_one(struct sender *sender, struct queued *one)
{
	uint32_t before = sender->sealed;
	const struct granting_ask ask = {
		.wall_s = wall_s(), .now_ns = clock_monotonic_ns(), .tag = one->tagged ? one->tag : NULL};
	size_t count = granting_seal(sender->granting, &one->release, &ask, add_sealed, sender);
	release_wipe(&one->release);
	sender->counts.sealed += count;
	if (one->tagged && count > 0 && sender->sealed - before == count)
		memcpy(sender->tags.octets[sender->tags.count++], one->tag, QUEUE_TAG);
	if (one->tagged && count == 0 && sender->options.done)
		sender->options.done(sender->options.arg, one->tag);
	return count > 0;
}

/* Fills a frame with what waits. False when there is nothing in it to be sent. */
static bool make_batch(struct sender *sender)
{
	uint64_t uncovered = 0;
	sender->frame = writer_over(sender->room, sizeof(sender->room));
	sender->sealed = 0;
	sender->tags.count = 0;
	size_t mark = courier_open(&sender->frame, COURIER_PUT);
	writer_u64(&sender->frame, ++sender->batch);
	for (unsigned i = 0;
		i < BATCH_TAGS && sender->frame.len < FRAME_ROOM / 2 && queue_take(sender->queue, sender->one); i++)
		uncovered += !seal_one(sender, sender->one);
	courier_close(&sender->frame, mark);
	sender->counts.uncovered += uncovered;
	if (uncovered > 0)
		log_refusal(sender, "no grant covers it", "host", uncovered);
	if (sender->sealed == 0)
		return false;
	if (audit_flush(sender->log))
		return true;
	sender->counts.unlogged += sender->sealed;
	return false;
}

/* Sending. */

static void write_number(uint8_t *frame, uint64_t number)
{
	struct writer to = writer_over(frame + COURIER_HEADER, 8);
	writer_u64(&to, number);
}

static void refused(struct sender *sender, uint64_t count, enum courier_why why)
{
	sender->counts.refused += count;
	log_refusal(sender, courier_why_text(why), "collector", count);
	log_warn("keys refused by the collector", LOG_N("keys", count), LOG_S("why", courier_why_text(why)));
}

/* Until it was answered, over as many connections as that takes: what was taken already the collector knows again. */
static bool deliver(struct sender *sender, struct bytes frame, uint64_t number, struct courier_taken *taken)
{
	while (queue_goes_on(sender->queue)) {
		const struct timespec pause = {.tv_nsec = (long)PAUSE_NS};
		enum post_result result = post_send(sender->post, frame, number, taken);
		if (result == POST_ANSWERED)
			return true;
		if (result == POST_AWAY)
			nanosleep(&pause, NULL);
	}
	return false;
}

static void send_batch(struct sender *sender)
{
	struct courier_taken taken;
	struct bytes frame = bytes_of(sender->room, sender->frame.len);
	if (!deliver(sender, frame, sender->batch, &taken)) {
		sender->counts.unsent += sender->sealed;
		return;
	}
	sender->counts.taken += (uint64_t)taken.fresh + taken.known;
	if (taken.refused > 0 && kept_worth((enum courier_why)taken.why) &&
		kept_add(&sender->kept, frame, &sender->tags, sender->sealed, &taken, clock_monotonic_ns()))
		return;
	if (taken.refused > 0)
		refused(sender, taken.refused, (enum courier_why)taken.why);
	if (taken.refused == 0 || !kept_worth((enum courier_why)taken.why))
		tell_done(sender, &sender->tags);
}

/* Once more what was refused before; `last`: it will not be tried again. False when there was nothing to try. */
static bool send_kept(struct sender *sender, bool last)
{
	uint64_t now_ns = clock_monotonic_ns();
	struct kept_batch *batch = kept_due(&sender->kept, now_ns, last);
	struct courier_taken taken;
	if (!batch)
		return false;
	write_number(batch->frame, ++sender->batch);
	sender->counts.again++;
	if (!deliver(sender, bytes_of(batch->frame, batch->len), sender->batch, &taken)) {
		sender->counts.unsent += batch->sealed - batch->taken;
		kept_drop(&sender->kept, batch);
		return true;
	}
	uint32_t had = taken.fresh + taken.known;
	sender->counts.taken += had > batch->taken ? had - batch->taken : 0;
	batch->taken = had;
	batch->next_ns = now_ns + KEPT_STEP;
	bool over_now =
		taken.refused == 0 || last || now_ns >= batch->until_ns || !kept_worth((enum courier_why)taken.why);
	if (!over_now)
		return true;
	if (taken.refused > 0)
		refused(sender, taken.refused, (enum courier_why)taken.why);
	if (taken.refused == 0 || !kept_worth((enum courier_why)taken.why))
		tell_done(sender, &batch->tags);
	kept_drop(&sender->kept, batch);
	return true;
}

static uint64_t wait_ns(const struct sender *sender)
{
	uint64_t now_ns = clock_monotonic_ns(), next_ns = granting_next(sender->granting);
	uint64_t until_ns = next_ns > now_ns ? next_ns - now_ns : 0;
	return until_ns < IDLE_NS ? until_ns : IDLE_NS;
}

static void *run(void *arg)
{
	struct sender *sender = arg;
	while (queue_goes_on(sender->queue)) {
		post_listen(sender->post);
		granting_refresh(sender->granting, wall_s(), clock_monotonic_ns());
		atomic_store(&sender->wants_lines, granting_wants_lines(sender->granting, wall_s()));
		bool ending = queue_ending(sender->queue);
		(void)refusals_log(sender->refusals, append_refusal, sender);
		bool some = make_batch(sender);
		if (some)
			send_batch(sender);
		if (!send_kept(sender, ending && !some) && ending && !some)
			break;
		queue_wait(sender->queue, wait_ns(sender));
	}
	for (size_t i = 0; i < sender->kept.count; i++)
		sender->counts.unsent += sender->kept.batches[i].sealed - sender->kept.batches[i].taken;
	return NULL;
}

static void collector_ended(void *own, const uint8_t grant[static RELEASE_GRANT], enum courier_why why)
{
	granting_end(((struct sender *)own)->granting, grant, why);
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
	sender->runs = pthread_create(&sender->thread, NULL, run, sender) == 0;
	return sender->runs || error_set(err, "no thread to send keys");
}

struct sender *sender_new(const struct sender_options *options, struct error *err)
{
	struct sender *sender = calloc(1, sizeof(*sender));
	if (!sender) {
		error_set(err, "no memory to send keys");
		return NULL;
	}
	sender->options = *options;
	if (begin(sender, err))
		return sender;
	(void)sender_free(sender, 0);
	return NULL;
}

/* What the thread has counted, and the others. The thread is over. */
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
	if (sender->runs) {
		queue_end(sender->queue, clock_monotonic_ns() + most_ns);
		pthread_join(sender->thread, NULL);
		counts = sum_up(sender);
	}
	audit_log_free(sender->log);
	loop_free(sender->loop);
	post_free(sender->post);
	refusals_free(sender->refusals);
	granting_free(sender->granting);
	kept_free(&sender->kept);
	queue_free(sender->queue);
	secret_free(sender->one);
	free(sender);
	return counts;
}
