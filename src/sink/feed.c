#include "sink/feed.h"

#include "base/cache.h"

#include <openssl/crypto.h>
#include <stdlib.h>

#define FLOW_MAX_DEFAULT 262144
#define SKIP_WORTHWHILE  65536 /* octets: less is on its way before the source hears of it */
#define SKIP_ALL         ((UINT64_C(1) << 56) - 1)
#define FIRST_MAX        24 /* octets of a client that a guess may need */

enum decoding {
	DECODING_GUESS, /* what it speaks is not known yet */
	DECODING_ON,
	DECODING_OFF,
};

/* A flow and what is kept beside it. Owned by the cache. */
struct feed_flow {
	struct flow *flow;
	struct feed_source *source;
	struct feed_flow *next, **link; /* in the list of its source */
	struct decoder *decoder;
	enum decoding decoding;
	uint8_t first[FIRST_MAX];
	size_t first_len;
	uint64_t lost_first; /* octets of the client's that are missing before what a guess has seen */
	uint64_t next_offset[2];
	uint64_t skip_told[2];
	uint64_t seen_ns;
};

struct feed {
	struct sink *sinks[FLOW_SLOTS];
	unsigned sink_count;
	unsigned wants; /* of all sinks */
	struct cache *flows;
	struct feed_flow *last; /* events of one flow often come in a row */
	struct decoder_output output;
	struct decoder_limits limits;
	struct feed_counts counts;
};

/* Sinks. */

static void tell(struct feed_flow *t, const struct event *event)
{
	struct feed *feed = t->source->feed;
	for (unsigned i = 0; i < feed->sink_count; i++) {
		struct sink *sink = feed->sinks[i];
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
	struct feed_flow *t = ctx;
	struct feed *feed = t->source->feed;
	for (unsigned i = 0; i < feed->sink_count; i++) {
		if (feed->sinks[i]->ops->request)
			feed->sinks[i]->ops->request(feed->sinks[i], t->flow, request);
	}
}

static void tell_response(void *ctx, const struct message_response *response)
{
	struct feed_flow *t = ctx;
	struct feed *feed = t->source->feed;
	for (unsigned i = 0; i < feed->sink_count; i++) {
		if (feed->sinks[i]->ops->response)
			feed->sinks[i]->ops->response(feed->sinks[i], t->flow, response);
	}
}

static void tell_body(void *ctx, const struct message_body *body)
{
	struct feed_flow *t = ctx;
	struct feed *feed = t->source->feed;
	for (unsigned i = 0; i < feed->sink_count; i++) {
		if ((feed->sinks[i]->wants & SINK_WANTS_BODIES) && feed->sinks[i]->ops->body)
			feed->sinks[i]->ops->body(feed->sinks[i], t->flow, body);
	}
}

static void tell_end(void *ctx, const struct message_end *end)
{
	struct feed_flow *t = ctx;
	struct feed *feed = t->source->feed;
	t->flow->exchanges++;
	feed->counts.exchanges++;
	for (unsigned i = 0; i < feed->sink_count; i++) {
		if (feed->sinks[i]->ops->end)
			feed->sinks[i]->ops->end(feed->sinks[i], t->flow, end);
	}
}

static void tell_notice(void *ctx, enum flow_severity severity, const char *name, struct bytes text)
{
	struct feed_flow *t = ctx;
	struct event event = {
		.kind = EVENT_NOTICE,
		.flow = t->flow->id,
		.time_ns = t->seen_ns,
		.notice = {.severity = severity, .name = bytes_str(name), .text = text},
	};
	tell(t, &event);
}

void feed_flush(struct feed *feed)
{
	for (unsigned i = 0; i < feed->sink_count; i++)
		feed->sinks[i]->ops->flush(feed->sinks[i]);
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

static struct feed_flow *find(struct feed_source *source, uint64_t id)
{
	struct feed *feed = source->feed;
	struct feed_flow *last = feed->last;
	if (last && last->source == source && last->flow->id == id)
		return last;
	struct key key;
	struct feed_flow *t = cache_get(feed->flows, key_of(&key, id, source->number));
	if (t)
		feed->last = t;
	return t;
}

static void finish(struct feed_flow *t, const struct event *close)
{
	if (t->decoder)
		decoder_close(t->decoder, close->time_ns);
	flow_apply(t->flow, close);
	tell(t, close);
}

/* Leaves the table: with a word to the sinks where its worker had none. */
static void drop(void *value)
{
	struct feed_flow *t = value;
	struct feed *feed = t->source->feed;
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
	if (feed->last == t)
		feed->last = NULL;
	*t->link = t->next;
	if (t->next)
		t->next->link = t->link;
	decoder_free(t->decoder);
	flow_free(t->flow);
	OPENSSL_cleanse(t->first, sizeof(t->first));
	free(t);
}

static struct feed_flow *track(struct feed_source *source, const struct event *event)
{
	struct feed *feed = source->feed;
	struct feed_flow *t = calloc(1, sizeof(*t));
	if (!t)
		return NULL;
	t->flow = flow_new(source->number, event);
	if (!t->flow) {
		free(t);
		return NULL;
	}
	t->source = source;
	t->seen_ns = event->time_ns;
	t->decoding = feed->wants & (SINK_WANTS_MESSAGES | SINK_WANTS_BODIES) ? DECODING_GUESS : DECODING_OFF;
	t->next = source->flows;
	t->link = &source->flows;
	if (t->next)
		t->next->link = &t->next;
	source->flows = t;
	struct key key;
	if (!cache_put(feed->flows, key_of(&key, event->flow, source->number), t))
		return NULL; /* dropped already */
	feed->counts.flows++;
	feed->last = t;
	return t;
}

static void forget(struct feed_flow *t)
{
	struct key key;
	cache_remove(t->source->feed->flows, key_of(&key, t->flow->id, t->source->number));
}

/* Decoding. */

static void start_decoder(struct feed_flow *t, enum decoder_kind kind)
{
	struct feed *feed = t->source->feed;
	t->decoding = DECODING_OFF;
	if (kind == DECODER_NONE)
		return;
	t->decoder = decoder_new(kind, t->flow->id, &feed->limits, &feed->output, t);
	if (t->decoder)
		t->decoding = DECODING_ON;
	else
		feed->counts.undecoded++;
}

/* Decides what the flow speaks, if that can be said by now. `bytes` moves past what was taken aside for it. */
static void guess(struct feed_flow *t, enum flow_direction direction, struct bytes *bytes, uint64_t time_ns)
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
	/* A server that speaks before its client does speaks nothing that is known here, unless it answers what was lost. */
	if (undecided && direction == FLOW_DOWN && t->first_len == 0 && bytes_starts(*bytes, bytes_str("HTTP/1."))) {
		kind = DECODER_HTTP1;
		undecided = false;
	}
	start_decoder(t, undecided ? DECODER_NONE : kind);
	if (t->decoder && t->lost_first > 0)
		decoder_gap(t->decoder, FLOW_UP, t->lost_first, time_ns);
	if (t->decoder && first.len > 0)
		decoder_feed(t->decoder, FLOW_UP, first, time_ns);
}

static void decode(struct feed_flow *t, enum flow_direction direction, struct bytes bytes, uint64_t time_ns)
{
	if (t->decoding == DECODING_GUESS)
		guess(t, direction, &bytes, time_ns);
	if (t->decoder && bytes.len > 0)
		decoder_feed(t->decoder, direction, bytes, time_ns);
}

/* Octets up to `offset` were not seen. */
static void pass_gap(struct feed_flow *t, enum flow_direction direction, uint64_t offset, uint64_t time_ns)
{
	uint64_t *at = &t->next_offset[direction];
	if (offset <= *at)
		return;
	if (t->decoder)
		decoder_gap(t->decoder, direction, offset - *at, time_ns);
	else if (t->decoding == DECODING_GUESS && (t->first_len > 0 || bytes_equal(t->flow->alpn, bytes_str("h2"))))
		t->decoding = DECODING_OFF; /* what came before cannot be told; h2 needs all of it */
	else if (t->decoding == DECODING_GUESS && direction == FLOW_UP)
		t->lost_first += offset - *at;
	*at = offset;
}

uint64_t feed_useless(const struct feed_flow *t, enum flow_direction direction)
{
	if (t->source->feed->wants & SINK_WANTS_DATA)
		return 0;
	if (t->decoding == DECODING_GUESS)
		return 0;
	if (!t->decoder || decoder_left(t->decoder))
		return SKIP_ALL - t->next_offset[direction];
	return decoder_skip(t->decoder, direction);
}

/* Events. */

static void handle_known(struct feed_flow *t, const struct event *event)
{
	struct feed *feed = t->source->feed;
	t->seen_ns = event->time_ns;
	switch (event->kind) {
	case EVENT_GAP:
		if (event->gap.why == GAP_RING_FULL)
			feed->counts.lost_octets += event->gap.octets;
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

void feed_event(struct feed_source *source, const struct event *event)
{
	bool begins = event->kind == EVENT_OPEN || event->kind == EVENT_UPSTREAM || event->kind == EVENT_HELLO ||
	              event->kind == EVENT_TLS || event->kind == EVENT_VERDICT;
	/* An OPEN begins anew, whatever stood there; the others where the OPEN found no room in the ring. */
	struct feed_flow *t = event->kind == EVENT_OPEN ? NULL : find(source, event->flow);
	if (!t && begins)
		t = track(source, event);
	if (t)
		handle_known(t, event);
	else
		source->feed->counts.orphan_events++;
}

/* Plaintext. */

struct feed_flow *feed_find(struct feed_source *source, uint64_t id)
{
	struct feed_flow *t = find(source, id);
	if (!t)
		source->feed->counts.orphan_events++;
	return t;
}

bool feed_data(struct feed_flow *t, const struct feed_piece *piece)
{
	struct feed *feed = t->source->feed;
	uint64_t at = piece->offset + piece->left_out;
	if (piece->offset < t->next_offset[piece->direction])
		return false;
	t->seen_ns = piece->time_ns;
	t->flow->octets[piece->direction] += piece->left_out + piece->bytes.len;
	pass_gap(t, piece->direction, at, piece->time_ns);
	if (piece->bytes.len == 0)
		return true;
	struct event event = {
		.kind = EVENT_DATA,
		.flow = t->flow->id,
		.time_ns = piece->time_ns,
		.data = {piece->direction, at, piece->bytes},
	};
	t->next_offset[piece->direction] = at + piece->bytes.len;
	if (feed->wants & SINK_WANTS_DATA)
		tell(t, &event);
	decode(t, piece->direction, piece->bytes, piece->time_ns);
	return true;
}

uint64_t feed_skip(const struct feed_flow *t, enum flow_direction direction)
{
	uint64_t octets = feed_useless(t, direction);
	uint64_t at = t->next_offset[direction];
	if (octets < SKIP_WORTHWHILE || t->skip_told[direction] > at)
		return 0;
	return octets > SKIP_ALL - at ? SKIP_ALL : at + octets;
}

void feed_skip_told(struct feed_flow *t, enum flow_direction direction, uint64_t until)
{
	t->skip_told[direction] = until;
}

/* Making and unmaking. */

bool feed_add_sink(struct feed *feed, struct sink *sink)
{
	if (feed->sink_count >= FLOW_SLOTS)
		return false;
	sink->slot = feed->sink_count;
	feed->sinks[feed->sink_count++] = sink;
	feed->wants |= sink->wants;
	feed->output.body = feed->wants & SINK_WANTS_BODIES ? tell_body : NULL;
	return true;
}

unsigned feed_wants(const struct feed *feed, unsigned *count)
{
	if (count)
		*count = feed->sink_count;
	return feed->wants;
}

struct feed *feed_new(const struct feed_options *options, struct error *err)
{
	struct feed *feed = calloc(1, sizeof(*feed));
	if (feed)
		feed->flows = cache_new(options->flow_max ? options->flow_max : FLOW_MAX_DEFAULT, drop);
	if (!feed || !feed->flows) {
		free(feed);
		error_set(err, "no memory to follow flows");
		return NULL;
	}
	feed->limits = options->limits.head_octets ? options->limits : DECODER_LIMITS_DEFAULT;
	feed->output = (struct decoder_output){
		.request = tell_request, .response = tell_response, .end = tell_end, .notice = tell_notice};
	return feed;
}

void feed_close(struct feed *feed)
{
	if (!feed)
		return;
	cache_free(feed->flows);
	for (unsigned i = 0; i < feed->sink_count; i++)
		feed->sinks[i]->ops->close(feed->sinks[i]);
	free(feed);
}

void feed_source_begin(struct feed_source *source, struct feed *feed, uint32_t number)
{
	*source = (struct feed_source){.feed = feed, .number = number};
}

void feed_source_end(struct feed_source *source)
{
	while (source->flows)
		forget(source->flows);
}

bool feed_reopen(struct feed *feed, struct error *err)
{
	bool all = true;
	for (unsigned i = 0; i < feed->sink_count; i++) {
		struct sink *sink = feed->sinks[i];
		struct error local = {0};
		if (!sink->ops->reopen || sink->ops->reopen(sink, &local))
			continue;
		if (all)
			error_set(err, "%s", local.text);
		all = false;
	}
	return all;
}

struct feed_counts feed_count(const struct feed *feed)
{
	struct feed_counts counts = feed->counts;
	struct cache_counts flows = cache_count(feed->flows);
	counts.evicted_flows = flows.evicted;
	counts.open = flows.held;
	for (unsigned i = 0; i < feed->sink_count; i++)
		counts.sink_lost += feed->sinks[i]->counts.lost_records;
	return counts;
}
