#include "proxy/scribe.h"

#include "base/cache.h"
#include "base/clock.h"
#include "base/log.h"
#include "sink/jsonl.h"
#include "sink/keylog.h"
#include "sink/pcapng.h"
#include "sink/terminal.h"

#include <openssl/crypto.h>
#include <stdlib.h>

#define FLOW_MAX_DEFAULT 262144
#define NAP_NS           (5 * NS_PER_MS) /* between looks while something goes on: no worker then makes a system call */
#define NAPS_TO_SLEEP    4               /* looks in vain before workers have to wake us */
#define TURN_RECORDS     4096            /* per ring and turn of the loop */
#define SKIP_WORTHWHILE  65536           /* octets: less is in the ring before the worker hears of it */
#define SKIP_ALL         ((UINT64_C(1) << 56) - 1)
#define LOSSES_EVERY_NS  (10 * NS_PER_S)
#define FIRST_MAX        24 /* octets of a client that a guess may need */

struct tracked;

/* One worker's ring. */
struct source {
	struct source *next;
	struct scribe *scribe;
	struct ring_consumer *ring;
	struct ring_fds fds;
	struct loop_io io;
	struct tracked *flows;
	uint32_t number;
	bool complained; /* of an event that did not decode */
};

enum decoding {
	DECODING_GUESS, /* what it speaks is not known yet */
	DECODING_ON,
	DECODING_OFF,
};

/* A flow and what the scribe keeps beside it. Owned by the cache. */
struct tracked {
	struct flow *flow;
	struct source *source;
	struct tracked *next, **link; /* in the list of its source */
	struct decoder *decoder;
	enum decoding decoding;
	uint8_t first[FIRST_MAX];
	size_t first_len;
	uint64_t next_offset[2];
	uint64_t skip_asked[2];
	uint64_t seen_ns;
};

struct scribe {
	struct loop *loop;
	struct source *sources;
	struct sink *sinks[FLOW_SLOTS];
	unsigned sink_count;
	unsigned wants; /* of all sinks */
	struct cache *flows;
	struct tracked *last; /* events of one flow often come in a row */
	struct decoder_output output;
	struct decoder_limits limits;
	struct scribe_counts counts;
	struct loop_timer nap;
	struct loop_task again;
	unsigned naps;
	uint64_t losses_said, losses_said_ns;
	uint8_t buffer[EVENT_SIZE_MAX]; /* the private copy of the event in hand */
};

/* Sinks. */

static void tell(struct tracked *t, const struct event *event)
{
	struct scribe *scribe = t->source->scribe;
	for (unsigned i = 0; i < scribe->sink_count; i++) {
		struct sink *sink = scribe->sinks[i];
		if (!sink->ops->event)
			continue;
		if (event->kind == EVENT_DATA && !(sink->wants & SINK_WANTS_DATA))
			continue;
		if (event->kind == EVENT_KEYLOG && !(sink->wants & SINK_WANTS_SECRETS))
			continue;
		sink->ops->event(sink, t->flow, event);
	}
}

static void tell_request(void *ctx, const struct message_request *request)
{
	struct tracked *t = ctx;
	struct scribe *scribe = t->source->scribe;
	for (unsigned i = 0; i < scribe->sink_count; i++) {
		if (scribe->sinks[i]->ops->request)
			scribe->sinks[i]->ops->request(scribe->sinks[i], t->flow, request);
	}
}

static void tell_response(void *ctx, const struct message_response *response)
{
	struct tracked *t = ctx;
	struct scribe *scribe = t->source->scribe;
	for (unsigned i = 0; i < scribe->sink_count; i++) {
		if (scribe->sinks[i]->ops->response)
			scribe->sinks[i]->ops->response(scribe->sinks[i], t->flow, response);
	}
}

static void tell_body(void *ctx, const struct message_body *body)
{
	struct tracked *t = ctx;
	struct scribe *scribe = t->source->scribe;
	for (unsigned i = 0; i < scribe->sink_count; i++) {
		if ((scribe->sinks[i]->wants & SINK_WANTS_BODIES) && scribe->sinks[i]->ops->body)
			scribe->sinks[i]->ops->body(scribe->sinks[i], t->flow, body);
	}
}

static void tell_end(void *ctx, const struct message_end *end)
{
	struct tracked *t = ctx;
	struct scribe *scribe = t->source->scribe;
	t->flow->exchanges++;
	scribe->counts.exchanges++;
	for (unsigned i = 0; i < scribe->sink_count; i++) {
		if (scribe->sinks[i]->ops->end)
			scribe->sinks[i]->ops->end(scribe->sinks[i], t->flow, end);
	}
}

static void tell_notice(void *ctx, enum flow_severity severity, const char *name, struct bytes text)
{
	struct tracked *t = ctx;
	struct event event = {
		.kind = EVENT_NOTICE,
		.flow = t->flow->id,
		.time_ns = t->seen_ns,
		.notice = {.severity = severity, .name = bytes_str(name), .text = text},
	};
	tell(t, &event);
}

static void flush_sinks(struct scribe *scribe)
{
	for (unsigned i = 0; i < scribe->sink_count; i++)
		scribe->sinks[i]->ops->flush(scribe->sinks[i]);
}

/* Flows. */

struct key {
	uint64_t id, source;
};

static struct bytes key_of(struct key *key, uint64_t id, uint32_t source)
{
	*key = (struct key){id, source};
	return bytes_of(key, sizeof(*key));
}

static struct tracked *find(struct source *source, uint64_t id)
{
	struct scribe *scribe = source->scribe;
	struct tracked *last = scribe->last;
	if (last && last->source == source && last->flow->id == id)
		return last;
	struct key key;
	struct tracked *t = cache_get(scribe->flows, key_of(&key, id, source->number));
	if (t)
		scribe->last = t;
	return t;
}

static void finish(struct tracked *t, const struct event *close)
{
	if (t->decoder)
		decoder_close(t->decoder, close->time_ns);
	flow_apply(t->flow, close);
	tell(t, close);
}

/* Leaves the table: with a word to the sinks where its worker had none. */
static void drop(void *value)
{
	struct tracked *t = value;
	struct scribe *scribe = t->source->scribe;
	if (!t->flow->closed) {
		struct event lost = {
			.kind = EVENT_CLOSE,
			.flow = t->flow->id,
			.time_ns = t->seen_ns,
			.close = {.ending = ENDING_LOST,
				.name = bytes_str("lost"),
				.text = bytes_str("the end of this flow was not told"),
				.plain_octets = {t->next_offset[0], t->next_offset[1]},
				.duration_ns = t->seen_ns > t->flow->opened_ns ? t->seen_ns - t->flow->opened_ns : 0},
		};
		finish(t, &lost);
	}
	if (scribe->last == t)
		scribe->last = NULL;
	*t->link = t->next;
	if (t->next)
		t->next->link = t->link;
	decoder_free(t->decoder);
	flow_free(t->flow);
	OPENSSL_cleanse(t->first, sizeof(t->first));
	free(t);
}

static struct tracked *track(struct source *source, const struct event *event)
{
	struct scribe *scribe = source->scribe;
	struct tracked *t = calloc(1, sizeof(*t));
	if (!t)
		return NULL;
	t->flow = flow_new(source->number, event);
	if (!t->flow) {
		free(t);
		return NULL;
	}
	t->source = source;
	t->seen_ns = event->time_ns;
	t->decoding = scribe->wants & (SINK_WANTS_MESSAGES | SINK_WANTS_BODIES) ? DECODING_GUESS : DECODING_OFF;
	t->next = source->flows;
	t->link = &source->flows;
	if (t->next)
		t->next->link = &t->next;
	source->flows = t;
	struct key key;
	if (!cache_put(scribe->flows, key_of(&key, event->flow, source->number), t))
		return NULL; /* dropped already */
	scribe->counts.flows++;
	scribe->last = t;
	return t;
}

static void forget(struct tracked *t)
{
	struct key key;
	cache_remove(t->source->scribe->flows, key_of(&key, t->flow->id, t->source->number));
}

/* Decoding. */

static void start_decoder(struct tracked *t, enum decoder_kind kind)
{
	struct scribe *scribe = t->source->scribe;
	t->decoding = DECODING_OFF;
	if (kind == DECODER_NONE)
		return;
	t->decoder = decoder_new(kind, t->flow->id, &scribe->limits, &scribe->output, t);
	if (t->decoder)
		t->decoding = DECODING_ON;
	else
		scribe->counts.undecoded++;
}

/* Decides what the flow speaks, if that can be said by now. `bytes` moves past what was taken aside for it. */
static void guess(struct tracked *t, enum flow_direction direction, struct bytes *bytes, uint64_t time_ns)
{
	struct bytes part;
	size_t room = sizeof(t->first) - t->first_len;
	if (direction == FLOW_UP && bytes_take(bytes, bytes->len < room ? bytes->len : room, &part)) {
		memcpy(t->first + t->first_len, part.data, part.len);
		t->first_len += part.len;
	}
	enum decoder_kind kind = DECODER_NONE;
	struct bytes first = bytes_of(t->first, t->first_len);
	bool undecided = decoder_guess(t->flow->alpn, first, &kind) == DECODER_GUESS_MORE;
	if (undecided && direction == FLOW_UP && t->first_len < sizeof(t->first))
		return;
	/* A server that speaks before its client does speaks nothing that is known here. */
	start_decoder(t, undecided ? DECODER_NONE : kind);
	if (t->decoder && first.len > 0)
		decoder_feed(t->decoder, FLOW_UP, first, time_ns);
}

static void decode(struct tracked *t, enum flow_direction direction, struct bytes bytes, uint64_t time_ns)
{
	if (t->decoding == DECODING_GUESS)
		guess(t, direction, &bytes, time_ns);
	if (t->decoder && bytes.len > 0)
		decoder_feed(t->decoder, direction, bytes, time_ns);
}

/* Octets up to `offset` were not seen. */
static void pass_gap(struct tracked *t, enum flow_direction direction, uint64_t offset, uint64_t time_ns)
{
	uint64_t *at = &t->next_offset[direction];
	if (offset <= *at)
		return;
	if (t->decoder)
		decoder_gap(t->decoder, direction, offset - *at, time_ns);
	else if (t->decoding == DECODING_GUESS)
		t->decoding = DECODING_OFF;
	*at = offset;
}

/* How many of the next octets nobody has a use for. */
static uint64_t useless(const struct tracked *t, enum flow_direction direction)
{
	if (t->source->scribe->wants & SINK_WANTS_DATA)
		return 0;
	if (t->decoding == DECODING_GUESS)
		return 0;
	if (!t->decoder || decoder_left(t->decoder))
		return SKIP_ALL - t->next_offset[direction];
	return decoder_skip(t->decoder, direction);
}

/* Tells the worker what it need not publish, where that is worth it. */
static void ask_skip(struct tracked *t, enum flow_direction direction)
{
	uint64_t octets = useless(t, direction);
	uint64_t at = t->next_offset[direction];
	if (octets < SKIP_WORTHWHILE || t->skip_asked[direction] > at)
		return;
	struct ring_skip skip = {
		.flow = t->flow->id,
		.until = octets > SKIP_ALL - at ? SKIP_ALL : at + octets,
		.direction = direction,
	};
	if (ring_ask_skip(t->source->ring, &skip))
		t->skip_asked[direction] = skip.until;
	else
		t->source->scribe->counts.skips_refused++;
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

static void handle_bytes(struct tracked *t, const struct event_head *head)
{
	struct scribe *scribe = t->source->scribe;
	uint64_t skip = useless(t, head->direction);
	size_t unused = skip < head->octets ? (size_t)skip : head->octets;
	size_t n = head->octets - unused;
	t->flow->octets[head->direction] += head->octets;
	pass_gap(t, head->direction, head->offset + unused, head->time_ns);
	if (n == 0 || !ring_copy(t->source->ring, EVENT_DATA_AT + unused, scribe->buffer, n))
		return;
	struct event event = {
		.kind = EVENT_DATA,
		.flow = head->flow,
		.time_ns = head->time_ns,
		.data = {head->direction, head->offset + unused, bytes_of(scribe->buffer, n)},
	};
	t->next_offset[head->direction] = event.data.offset + n;
	if (scribe->wants & SINK_WANTS_DATA)
		tell(t, &event);
	decode(t, head->direction, event.data.bytes, head->time_ns);
}

/* Plaintext is the one kind whose octets are copied only where somebody has a use for them. */
static void handle_data(struct source *source, const struct event_head *head)
{
	struct tracked *t = find(source, head->flow);
	if (!t) {
		source->scribe->counts.orphan_events++;
		return;
	}
	if (head->offset < t->next_offset[head->direction]) {
		complain(source, EVENT_BAD_BODY);
		return;
	}
	t->seen_ns = head->time_ns;
	handle_bytes(t, head);
	ask_skip(t, head->direction);
}

static void handle_known(struct tracked *t, const struct event *event)
{
	struct scribe *scribe = t->source->scribe;
	t->seen_ns = event->time_ns;
	switch (event->kind) {
	case EVENT_GAP:
		if (event->gap.why == GAP_RING_FULL)
			scribe->counts.lost_octets += event->gap.octets;
		pass_gap(t, event->gap.direction, event->gap.offset + event->gap.octets, event->time_ns);
		break;
	case EVENT_HALF:
		if (t->decoder)
			decoder_half(t->decoder, event->half.direction, event->time_ns);
		break;
	case EVENT_CLOSE:
		finish(t, event);
		forget(t);
		return;
	default:
		break;
	}
	flow_apply(t->flow, event);
	tell(t, event);
}

static void handle(struct source *source, const struct event *event)
{
	bool begins = event->kind == EVENT_OPEN || event->kind == EVENT_UPSTREAM || event->kind == EVENT_HELLO ||
	              event->kind == EVENT_TLS || event->kind == EVENT_VERDICT;
	/* An OPEN begins anew, whatever stood there; the others where the OPEN found no room in the ring. */
	struct tracked *t = event->kind == EVENT_OPEN ? NULL : find(source, event->flow);
	if (!t && begins)
		t = track(source, event);
	if (t)
		handle_known(t, event);
	else
		source->scribe->counts.orphan_events++;
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
		handle(source, &event);
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
	while (source->flows)
		forget(source->flows);
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
		flush_sinks(scribe);
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
	uint64_t lost = scribe->counts.lost_octets - scribe->losses_said;
	uint64_t at = loop_now_ns(scribe->loop);
	if (lost == 0 || (!now && scribe->losses_said_ns > 0 && at - scribe->losses_said_ns < LOSSES_EVERY_NS))
		return;
	log_warn("plaintext not shown", LOG_N("octets", lost), LOG_N("in_all", scribe->counts.lost_octets),
		LOG_S("why", "the scribe fell behind"), LOG_S("remedy", "--lossless, fewer sinks, or a larger ring"));
	scribe->losses_said = scribe->counts.lost_octets;
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
	if (scribe->sink_count >= FLOW_SLOTS)
		return false;
	sink->slot = scribe->sink_count;
	scribe->sinks[scribe->sink_count++] = sink;
	scribe->wants |= sink->wants;
	scribe->output.body = scribe->wants & SINK_WANTS_BODIES ? tell_body : NULL;
	return true;
}

static bool add_new(struct scribe *scribe, struct sink *sink)
{
	return sink && scribe_add_sink(scribe, sink);
}

static bool add_sinks(struct scribe *scribe, const struct scribe_options *options, struct error *err)
{
	if (options->keylog && !add_new(scribe, keylog_new(options->keylog, err)))
		return false;
	if (options->jsonl && !add_new(scribe, jsonl_new(options->jsonl, options->unmasked, err)))
		return false;
	if (options->pcapng && !add_new(scribe, pcapng_new(options->pcapng, err)))
		return false;
	struct terminal_options terminal = {.fd = options->terminal_fd, .unmasked = options->unmasked};
	return options->terminal_fd < 0 || add_new(scribe, terminal_new(&terminal, err));
}

struct scribe *scribe_new(struct loop *loop, const struct scribe_options *options, struct error *err)
{
	struct scribe *scribe = calloc(1, sizeof(*scribe));
	if (scribe)
		scribe->flows = cache_new(options->flow_max ? options->flow_max : FLOW_MAX_DEFAULT, drop);
	if (!scribe || !scribe->flows) {
		free(scribe);
		error_set(err, "no memory for the scribe");
		return NULL;
	}
	scribe->loop = loop;
	scribe->limits = options->limits.head_octets ? options->limits : DECODER_LIMITS_DEFAULT;
	scribe->output = (struct decoder_output){
		.request = tell_request, .response = tell_response, .end = tell_end, .notice = tell_notice};
	if (add_sinks(scribe, options, err))
		return scribe;
	scribe_close(scribe);
	return NULL;
}

static unsigned ring_wants_of(unsigned sinks, unsigned count)
{
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
	ring_set_wants(source->ring, ring_wants_of(scribe->wants, scribe->sink_count));
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
	flush_sinks(scribe);
}

void scribe_drain(struct scribe *scribe)
{
	(void)look_at_all(scribe, RING_SIZE_MAX / 16);
}

bool scribe_reopen(struct scribe *scribe, struct error *err)
{
	bool all = true;
	for (unsigned i = 0; i < scribe->sink_count; i++) {
		struct sink *sink = scribe->sinks[i];
		struct error local = {0};
		if (!sink->ops->reopen || sink->ops->reopen(sink, &local))
			continue;
		if (all)
			error_set(err, "%s", local.text);
		all = false;
	}
	return all;
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
	cache_free(scribe->flows);
	for (unsigned i = 0; i < scribe->sink_count; i++)
		scribe->sinks[i]->ops->close(scribe->sinks[i]);
	OPENSSL_cleanse(scribe->buffer, sizeof(scribe->buffer));
	free(scribe);
}

struct scribe_counts scribe_count(const struct scribe *scribe)
{
	struct scribe_counts counts = scribe->counts;
	struct cache_counts flows = cache_count(scribe->flows);
	counts.evicted_flows = flows.evicted;
	counts.open = flows.held;
	for (unsigned i = 0; i < scribe->sink_count; i++)
		counts.sink_lost += scribe->sinks[i]->counts.lost_records;
	return counts;
}
