#include "proxy/scribe.h"

#include "base/clock.h"
#include "base/log.h"

#include <openssl/crypto.h>
#include <stdlib.h>

#define NAP_NS          (5 * NS_PER_MS) /* between looks while something goes on: no worker then makes a system call */
#define NAPS_TO_SLEEP   4               /* looks in vain before workers have to wake us */
#define TURN_RECORDS    4096            /* per ring and turn of the loop */
#define LOSSES_EVERY_NS (10 * NS_PER_S)

/* One worker's ring. */
struct source {
	struct source *next;
	struct scribe *scribe;
	struct ring_consumer *ring;
	struct ring_fds fds;
	struct loop_io io;
	struct feed_source feed;
	uint32_t number;
	bool complained; /* of an event that did not decode */
};

struct scribe {
	struct loop *loop;
	struct source *sources;
	struct feed *feed;
	struct scribe_counts counts;
	struct loop_timer nap;
	struct loop_task again;
	unsigned naps;
	uint64_t losses_said, losses_said_ns;
	uint8_t buffer[EVENT_SIZE_MAX]; /* the private copy of the event in hand */
};

/* Tells the worker what it need not publish, where that is worth it. */
static void ask_skip(struct source *source, struct feed_flow *flow, const struct event_head *head)
{
	struct ring_skip skip = {
		.flow = head->flow, .until = feed_skip(flow, head->direction), .direction = head->direction};
	if (skip.until == 0)
		return;
	if (ring_ask_skip(source->ring, &skip))
		feed_skip_told(flow, head->direction, skip.until);
	else
		source->scribe->counts.skips_refused++;
}

/* Events. */

static void complain(struct source *source, enum event_result result)
{
	source->scribe->counts.bad_events++;
	if (!source->complained)
		log_warn("event refused", LOG_N("worker", source->number), LOG_N("result", (uint64_t)result),
			LOG_S("consequence", "it is left out; further ones are only counted"));
	source->complained = true;
}

/* Plaintext is the one kind whose octets are copied only where somebody has a use for them. */
static void handle_data(struct source *source, const struct event_head *head)
{
	struct scribe *scribe = source->scribe;
	struct feed_flow *flow = feed_find(&source->feed, head->flow);
	if (!flow)
		return;
	uint64_t useless = feed_useless(flow, head->direction);
	size_t unused = useless < head->octets ? (size_t)useless : head->octets;
	size_t n = head->octets - unused;
	if (n > 0 && !ring_copy(source->ring, EVENT_DATA_AT + unused, scribe->buffer, n))
		return;
	struct feed_piece piece = {
		.direction = head->direction,
		.offset = head->offset,
		.left_out = unused,
		.bytes = bytes_of(scribe->buffer, n),
		.time_ns = head->time_ns,
	};
	if (feed_data(flow, &piece))
		ask_skip(source, flow, head);
	else
		complain(source, EVENT_BAD_BODY);
}

static enum event_result copy_event(struct source *source, size_t size, struct event *event)
{
	struct scribe *scribe = source->scribe;
	if (size > sizeof(scribe->buffer) || !ring_copy(source->ring, 0, scribe->buffer, size))
		return EVENT_BAD_HEADER;
	return event_decode(bytes_of(scribe->buffer, size), event);
}

/* The record in hand, whose first octets are `front`. What may have held a secret is wiped, here and in the ring. */
static void handle_record(struct source *source, struct bytes front, size_t size)
{
	struct scribe *scribe = source->scribe;
	struct event_head head = {0};
	enum event_result result = event_peek(front, size, &head);
	scribe->counts.events++;
	if (result == EVENT_OK && head.kind == EVENT_DATA) {
		handle_data(source, &head);
		ring_drop(source->ring, false);
		return;
	}
	struct event event;
	bool secret = result != EVENT_OK || head.kind == EVENT_KEYLOG;
	if (result == EVENT_OK)
		result = copy_event(source, size, &event);
	if (result == EVENT_OK)
		feed_event(&source->feed, &event);
	else
		complain(source, result);
	if (secret)
		OPENSSL_cleanse(scribe->buffer, size < sizeof(scribe->buffer) ? size : sizeof(scribe->buffer));
	ring_drop(source->ring, secret);
}

/* Rings. */

static struct source **link_of(struct scribe *scribe, const struct source *source)
{
	struct source **at = &scribe->sources;
	while (*at && *at != source)
		at = &(*at)->next;
	return at;
}

static void let_go(struct source *source)
{
	feed_source_end(&source->feed);
	*link_of(source->scribe, source) = source->next;
	loop_remove(source->scribe->loop, &source->io);
	ring_consumer_free(source->ring);
	ring_fds_close(&source->fds);
	free(source);
}

enum look { LOOK_NOTHING, LOOK_SOME, LOOK_MORE };

/* Reads up to `most` records. A ring that broke the rules is gone afterwards. */
static enum look look(struct source *source, size_t most)
{
	for (size_t n = 0; n < most; n++) {
		uint8_t front[EVENT_DATA_AT];
		size_t len;
		size_t size;
		enum ring_result result = ring_peek(source->ring, front, sizeof(front), &len, &size);
		if (result == RING_RECORD) {
			handle_record(source, bytes_of(front, len), size);
			continue;
		}
		if (result == RING_EMPTY) {
			ring_release(source->ring);
			return n > 0 ? LOOK_SOME : LOOK_NOTHING;
		}
		source->scribe->counts.broken_rings++;
		log_error("ring broken", LOG_N("worker", source->number),
			LOG_S("consequence", "its flows are no longer shown; the worker should be replaced"));
		let_go(source);
		return LOOK_SOME;
	}
	ring_release(source->ring);
	return LOOK_MORE;
}

static enum look look_at_all(struct scribe *scribe, size_t most)
{
	enum look seen = LOOK_NOTHING;
	for (struct source *source = scribe->sources, *next; source; source = next) {
		next = source->next;
		enum look here = look(source, most);
		if (here > seen)
			seen = here;
	}
	if (seen != LOOK_NOTHING)
		feed_flush(scribe->feed);
	return seen;
}

static bool sleep_all(struct scribe *scribe)
{
	bool asleep = true;
	for (struct source *source = scribe->sources; source; source = source->next)
		asleep &= ring_sleep(source->ring);
	return asleep;
}

static void awake_all(struct scribe *scribe)
{
	for (struct source *source = scribe->sources; source; source = source->next)
		ring_awake(source->ring);
}

/* Who looks at the log learns that the picture has holes, without a line for each hole. */
static void say_losses(struct scribe *scribe, bool now)
{
	uint64_t in_all = feed_count(scribe->feed).lost_octets;
	uint64_t lost = in_all - scribe->losses_said;
	uint64_t at = loop_now_ns(scribe->loop);
	if (lost == 0 || (!now && scribe->losses_said_ns > 0 && at - scribe->losses_said_ns < LOSSES_EVERY_NS))
		return;
	log_warn("plaintext not shown", LOG_N("octets", lost), LOG_N("in_all", in_all),
		LOG_S("why", "the scribe fell behind"), LOG_S("remedy", "--lossless, fewer sinks, or a larger ring"));
	scribe->losses_said = in_all;
	scribe->losses_said_ns = at;
}

static void turn(struct scribe *scribe);

static void nap_over(struct loop_timer *timer)
{
	turn((struct scribe *)(void *)((char *)timer - offsetof(struct scribe, nap)));
}

static void run_again(struct loop_task *task)
{
	turn((struct scribe *)(void *)((char *)task - offsetof(struct scribe, again)));
}

/*
 * Looks, then decides when to look again: at once while there is more than a turn's worth, after a nap while anything
 * goes on, and else only when a worker calls.
 */
static void turn(struct scribe *scribe)
{
	enum look seen = look_at_all(scribe, TURN_RECORDS);
	scribe->naps = seen == LOOK_NOTHING ? scribe->naps + 1 : 0;
	say_losses(scribe, false);
	if (seen == LOOK_MORE) {
		loop_task_queue(scribe->loop, &scribe->again, run_again);
		return;
	}
	if (scribe->naps >= NAPS_TO_SLEEP) {
		scribe->naps = 0;
		if (sleep_all(scribe))
			return;
		awake_all(scribe);
	}
	if (!loop_timer_set(scribe->loop, &scribe->nap, clock_monotonic_ns() + NAP_NS, nap_over))
		(void)sleep_all(scribe); /* without memory for a timer each event wakes us */
}

static void called(struct loop_io *io)
{
	struct source *source = (struct source *)(void *)((char *)io - offsetof(struct source, io));
	awake_all(source->scribe);
	turn(source->scribe);
}

/* Making and unmaking. */

bool scribe_add_sink(struct scribe *scribe, struct sink *sink)
{
	return feed_add_sink(scribe->feed, sink);
}

struct scribe *scribe_new(struct loop *loop, const struct scribe_options *options, struct error *err)
{
	struct scribe *scribe = calloc(1, sizeof(*scribe));
	struct feed_options following = {.flow_max = options->flow_max, .limits = options->limits};
	if (!scribe) {
		error_set(err, "no memory for the scribe");
		return NULL;
	}
	scribe->feed = feed_new(&following, err);
	if (!scribe->feed) {
		free(scribe);
		return NULL;
	}
	scribe->loop = loop;
	if (outputs_open(&options->outputs, scribe->feed, err))
		return scribe;
	scribe_close(scribe);
	return NULL;
}

static unsigned ring_wants_of(const struct feed *feed)
{
	unsigned count = 0;
	unsigned sinks = feed_wants(feed, &count);
	unsigned wants = count > 0 ? RING_WANTS_EVENTS : 0;
	if (sinks & (SINK_WANTS_MESSAGES | SINK_WANTS_BODIES | SINK_WANTS_DATA))
		wants |= RING_WANTS_DATA;
	if (sinks & SINK_WANTS_SECRETS)
		wants |= RING_WANTS_SECRETS;
	return wants;
}

bool scribe_attach(struct scribe *scribe, uint32_t number, struct ring_fds *fds, struct error *err)
{
	struct source *source = calloc(1, sizeof(*source));
	if (!source)
		return error_set(err, "no memory for the ring of worker %u", number);
	source->scribe = scribe;
	source->number = number;
	feed_source_begin(&source->feed, scribe->feed, number);
	source->ring = ring_consumer_new(fds, err);
	if (!source->ring || !loop_add(scribe->loop, &source->io, fds->wake, called)) {
		if (source->ring)
			error_set_errno(err, "cannot watch the ring of worker %u", number);
		ring_consumer_free(source->ring);
		free(source);
		return false;
	}
	source->fds = *fds;
	*fds = (struct ring_fds){-1, -1, -1, -1};
	source->next = scribe->sources;
	scribe->sources = source;
	ring_set_wants(source->ring, ring_wants_of(scribe->feed));
	/* It may hold something already; looking will also put everything to sleep in the end. */
	loop_task_queue(scribe->loop, &scribe->again, run_again);
	return true;
}

void scribe_detach(struct scribe *scribe, uint32_t number)
{
	struct source *source = scribe->sources;
	while (source && source->number != number)
		source = source->next;
	if (!source)
		return;
	/* Nobody writes any more: at most the ring's length in the shortest records there can be. */
	uint64_t broken = scribe->counts.broken_rings;
	(void)look(source, RING_SIZE_MAX / 16);
	if (scribe->counts.broken_rings == broken)
		let_go(source);
	feed_flush(scribe->feed);
}

void scribe_drain(struct scribe *scribe)
{
	(void)look_at_all(scribe, RING_SIZE_MAX / 16);
}

bool scribe_reopen(struct scribe *scribe, struct error *err)
{
	return feed_reopen(scribe->feed, err);
}

void scribe_close(struct scribe *scribe)
{
	if (!scribe)
		return;
	while (scribe->sources)
		scribe_detach(scribe, scribe->sources->number);
	say_losses(scribe, true);
	loop_timer_clear(scribe->loop, &scribe->nap);
	loop_task_cancel(scribe->loop, &scribe->again);
	feed_close(scribe->feed);
	OPENSSL_cleanse(scribe->buffer, sizeof(scribe->buffer));
	free(scribe);
}

struct scribe_counts scribe_count(const struct scribe *scribe)
{
	struct scribe_counts counts = scribe->counts;
	counts.feed = feed_count(scribe->feed);
	return counts;
}
