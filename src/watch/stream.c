#include "watch/stream.h"

#include "base/clock.h"
#include "watch/backlog.h"

#include <stdlib.h>

/* Room below the first sequence number, so that a position can never fall under zero. */
#define POSITION_BASE ((uint64_t)1 << 32)
/* No receiver opens its window wider (RFC 7323, 2.3). */
#define WINDOW_MAX ((uint64_t)1 << 30)

const struct stream_limits stream_limits_default = {
	.direction = (size_t)4 * 1024 * 1024,
	.total = (size_t)16 * 1024 * 1024,
	.lost = {8192, 10000000000},
	.acknowledged = {128, 100000000},
	.settle = {16, 50000000},
	.settle_window = 65536,
};

const char *stream_cause_name(enum stream_cause cause)
{
	static const char *const names[STREAM_CAUSE_COUNT] = {"lost", "uncaptured", "cut", "full", "unfinished"};
	return cause < STREAM_CAUSE_COUNT ? names[cause] : "unknown";
}

uint64_t stream_position(const struct stream *stream, uint32_t seq)
{
	if (stream->next == 0)
		return 0;
	return stream->next + (uint64_t)(int64_t)(int32_t)(seq - (uint32_t)stream->next);
}

static void begin_at(struct stream *stream, uint64_t position)
{
	stream->origin = position;
	stream->next = position;
	/* An acknowledgment that came before was put near zero. */
	if (stream->acked)
		stream->acked = stream_position(stream, (uint32_t)stream->acked);
}

static void settle(struct stream *stream, uint64_t position)
{
	stream->settling = false;
	stream->origin = position;
	stream->next = position;
}

/* The lowest position of which octets are at hand; UINT64_MAX: none. */
static uint64_t at_hand(const struct stream *stream, const struct stream_turn *turn)
{
	uint64_t first = stream->backlog ? stream->backlog->first : UINT64_MAX;
	bool rest = turn->rest.len || turn->cut;
	return rest && turn->start < first ? turn->start : first;
}

static void drop_rest(struct stream_turn *turn)
{
	turn->rest = BYTES_NONE;
	turn->cut = 0;
}

/* Removes `n` octets from the front of the remainder, those cut off included. Returns how many there were. */
static uint64_t shorten(struct stream_turn *turn, uint64_t n)
{
	uint64_t have = turn->rest.len < n ? turn->rest.len : n;
	uint64_t cut = turn->cut < n - have ? turn->cut : n - have;
	(void)!bytes_skip(&turn->rest, have);
	turn->cut -= cut;
	turn->start += have + cut;
	return have + cut;
}

static void start_turn(const struct stream *stream, uint64_t now, struct stream_turn *turn)
{
	*turn = (struct stream_turn){.now = now, .began = stream->next};
}

/* Of a backlog whose patience has ended. */
static void give_up(const struct backlog *b, struct stream_turn *turn)
{
	static const enum stream_cause causes[STREAM_WAIT_COUNT] = {
		[STREAM_WAIT_SETTLE] = STREAM_LOST,
		[STREAM_WAIT_ACKNOWLEDGED] = STREAM_UNCAPTURED,
		[STREAM_WAIT_LOST] = STREAM_LOST,
	};
	turn->cause = causes[b->wait];
	/* To settle gives up nothing: holes behind the beginning have their own patience. */
	turn->give_up = b->wait != STREAM_WAIT_SETTLE && b->mark > b->first ? b->mark : b->first;
}

/* The first segment of a direction. False: it says nothing of where the stream is. */
static bool begin(struct stream_pool *pool, struct stream *stream, const struct stream_segment *segment)
{
	uint64_t position = POSITION_BASE + segment->seq;
	size_t len = segment->payload.len + segment->cut;
	if (segment->syn) {
		begin_at(stream, position + 1);
		stream->anchored = true;
	} else if (len == 1 && !segment->fin && stream->acked != 0 &&
		   segment->seq + 1 == (uint32_t)(stream->acked - POSITION_BASE)) {
		/* A keep-alive's, of what was acknowledged before it. */
		pool->counts.keepalives++;
		return false;
	} else if (len > 0) {
		/* A single octet may be a keep-alive's; but it may be the first of a record, which would be lost with it. */
		begin_at(stream, position - pool->limits.settle_window);
		stream->settling = true;
	} else if (segment->fin) {
		begin_at(stream, position);
	} else {
		return false;
	}
	return true;
}

/* A SYN that comes after the first data says where the stream began. */
static void late_syn(struct stream *stream, uint64_t position)
{
	if (!stream->settling || !stream->backlog || position < stream->next || position > stream->backlog->first)
		return;
	settle(stream, position);
	stream->anchored = true;
}

/*
 * RFC 9293, 3.8.4: the octet just below what the peer expects, of any value. Where it is also the very next octet we
 * want, it may be data whose acknowledgment was captured first: then that was a moment ago.
 */
static bool is_keepalive(const struct stream_pool *pool, const struct stream *stream,
	const struct stream_segment *segment, uint64_t position, uint64_t now)
{
	if (segment->payload.len + segment->cut != 1 || segment->fin || segment->syn)
		return false;
	if (position + 1 == stream->next)
		return true;
	if (position + 1 == stream->acked && position == stream->next)
		return (uint32_t)(now / NS_PER_MS) - stream->acked_ms >= pool->limits.acknowledged.ns / NS_PER_MS;
	return position + 1 == stream->acked ||
	       (stream->settling && stream->backlog && position < stream->backlog->first);
}

static void take_fin(struct stream_pool *pool, struct stream *stream, uint64_t position)
{
	uint64_t reach = stream->backlog ? stream->backlog->reach : stream->next;
	if (reach < stream->next)
		reach = stream->next;
	if (stream->end ? position != stream->end : position < reach)
		pool->counts.astray++;
	else
		stream->end = position;
}

/* Leaves in the turn what is neither given out already nor beyond the end. */
static void clip(struct stream_pool *pool, const struct stream *stream, struct stream_turn *turn)
{
	if (turn->start < stream->next) {
		/* A stream that has not settled has given out nothing. */
		uint64_t begun = stream->settling ? stream->next : stream->origin;
		if (turn->start < begun)
			pool->counts.before += shorten(turn, begun - turn->start);
		pool->counts.repeated += shorten(turn, stream->next - turn->start);
	}
	uint64_t end = turn->start + turn->rest.len + turn->cut;
	if (!stream->end || end <= stream->end)
		return;
	uint64_t wanted = stream->end > turn->start ? stream->end - turn->start : 0;
	pool->counts.astray += end - turn->start - wanted;
	if (turn->rest.len > wanted)
		turn->rest.len = wanted;
	turn->cut = wanted - turn->rest.len;
}

static void take_skipped(struct stream *stream, const struct stream_segment *segment, uint64_t position)
{
	uint64_t end = position + segment->payload.len + segment->cut;
	if (stream->settling)
		settle(stream, position);
	if (end > stream->next && end - stream->next <= WINDOW_MAX && !stream->ended)
		stream->next = end;
	if (segment->fin && end >= stream->next && !stream->end)
		stream->end = end;
}

void stream_take(struct stream_pool *pool, struct stream *stream, const struct stream_segment *segment, uint64_t now,
	struct stream_turn *turn)
{
	start_turn(stream, now, turn);
	if (stream->next == 0 && !begin(pool, stream, segment))
		return;
	uint64_t position = stream_position(stream, segment->seq + segment->syn);
	if (stream->skip) {
		take_skipped(stream, segment, position);
		return;
	}
	if (segment->syn)
		late_syn(stream, position);
	if (is_keepalive(pool, stream, segment, position, now)) {
		pool->counts.keepalives++;
		return;
	}
	if (segment->fin)
		take_fin(pool, stream, position + segment->payload.len + segment->cut);
	turn->began = stream->next;
	turn->start = position;
	turn->rest = segment->payload;
	turn->cut = segment->cut;
	turn->time_ns = segment->time_ns;
	if (stream->ended)
		clip(pool, stream, turn); /* only to be counted */
	struct backlog *b = stream->backlog;
	if (b) {
		b->packets++;
		if (backlog_is_due(pool, b, now))
			give_up(b, turn);
	}
}

bool stream_may_begin_at(const struct stream_pool *pool, const struct stream *stream, uint32_t syn_seq)
{
	uint64_t position = stream_position(stream, syn_seq + 1);
	if (position == 0 || position == stream->origin || stream->anchored)
		return position == 0 || position == stream->origin;
	uint64_t first = stream->settling && stream->backlog ? stream->backlog->first : stream->origin;
	return position <= first && first - position <= pool->limits.settle_window;
}

bool stream_ack(struct stream_pool *pool, struct stream *stream, uint32_t ack, bool opens, uint64_t now)
{
	if (stream->next == 0) {
		stream->acked = POSITION_BASE + ack;
		stream->acked_ms = (uint32_t)(now / NS_PER_MS);
		if (opens)
			begin_at(stream, stream->acked);
		stream->anchored = opens;
		return false;
	}
	uint64_t position = stream_position(stream, ack);
	if (position > stream->acked && position <= stream->next + WINDOW_MAX) {
		stream->acked = position;
		stream->acked_ms = (uint32_t)(now / NS_PER_MS);
	}
	struct backlog *b = stream->backlog;
	if (!b)
		return false;
	b->packets++;
	if (b->wait == STREAM_WAIT_LOST && backlog_waits_for(b) != b->wait)
		backlog_restart(pool, b, now);
	return backlog_is_due(pool, b, now);
}

void stream_resume(struct stream_pool *pool, struct stream *stream, uint64_t now, struct stream_turn *turn)
{
	start_turn(stream, now, turn);
	const struct backlog *b = stream->backlog;
	if (!b)
		return;
	if (backlog_is_due(pool, b, now)) {
		give_up(b, turn);
	} else {
		turn->give_up = UINT64_MAX;
		turn->cause = STREAM_FULL;
	}
}

struct stream *stream_due(struct stream_pool *pool, uint64_t now)
{
	if (pool->counts.waiting == 0)
		return NULL;
	for (size_t i = 0; i < STREAM_WAIT_COUNT; i++) {
		const struct backlog *b = pool->queue[i].first;
		if (b && backlog_is_due(pool, b, now))
			return b->stream;
	}
	/* Who has waited longest gives way, so that one who hoards cannot cost all others their holes. */
	if (pool->counts.held <= pool->limits.total - pool->limits.total / 8)
		return NULL;
	for (size_t i = STREAM_WAIT_COUNT; i-- > 0;) {
		if (pool->queue[i].first)
			return pool->queue[i].first->stream;
	}
	return NULL;
}

void stream_finish(struct stream_pool *pool, struct stream *stream, uint64_t now, struct stream_turn *turn)
{
	(void)pool;
	start_turn(stream, now, turn);
	turn->finish = true;
	turn->give_up = UINT64_MAX;
	turn->cause = STREAM_UNFINISHED;
}

/* Everything given out goes through here: offsets can have no break. */
static bool give_data(struct stream_pool *pool, struct stream *stream, struct bytes octets, uint64_t time_ns,
	struct stream_item *item)
{
	*item = (struct stream_item){STREAM_DATA, .offset = stream->next - stream->origin, .bytes = octets};
	item->time_ns = time_ns;
	stream->next += octets.len;
	pool->counts.octets += octets.len;
	return true;
}

static bool give_gap(struct stream_pool *pool, struct stream *stream, uint64_t until, enum stream_cause cause,
	const struct stream_turn *turn, struct stream_item *item)
{
	uint64_t octets = until - stream->next;
	*item = (struct stream_item){
		STREAM_GAP, .offset = stream->next - stream->origin, .octets = octets, .cause = cause};
	item->time_ns = turn->now;
	stream->next = until;
	pool->counts.gaps[cause]++;
	pool->counts.gap_octets[cause] += octets;
	return true;
}

static bool give_end(struct stream *stream, const struct stream_turn *turn, struct stream_item *item)
{
	*item = (struct stream_item){STREAM_END, .offset = stream->next - stream->origin, .time_ns = turn->now};
	stream->ended = true;
	return true;
}

/* What is held and next in order. What the turn still has of the same octets came later. */
static bool give_held(
	struct stream_pool *pool, struct stream *stream, struct stream_turn *turn, struct stream_item *item)
{
	struct backlog *b = stream->backlog;
	if (!b || b->first != stream->next)
		return false;
	struct segment *s = segment_first(b->tree);
	if (segment_is_void(s)) {
		if (turn->rest.len && turn->start == stream->next)
			return false;
		s = backlog_pop(pool, b);
		uint64_t end = s->end;
		free(s);
		return give_gap(pool, stream, end, STREAM_CUT, turn, item);
	}
	s = backlog_pop(pool, b);
	turn->lent = s;
	struct bytes held = segment_bytes(s);
	if (turn->rest.len && turn->start == s->start) {
		struct bytes first = held, again = turn->rest;
		first.len = again.len = first.len < again.len ? first.len : again.len;
		pool->counts.conflicts += !bytes_equal(first, again);
	}
	return give_data(pool, stream, held, s->time_ns, item);
}

/* What the turn has and is next in order, as far as nothing is held that came before it. */
static bool give_rest(
	struct stream_pool *pool, struct stream *stream, struct stream_turn *turn, struct stream_item *item)
{
	if (turn->start != stream->next || !(turn->rest.len || turn->cut))
		return false;
	struct backlog *b = stream->backlog;
	if (b && turn->rest.len)
		backlog_fill(pool, b, turn->start + turn->rest.len);
	uint64_t room = b ? b->first - stream->next : UINT64_MAX;
	if (turn->rest.len) {
		struct bytes view = turn->rest;
		if (view.len > room)
			view.len = room;
		(void)shorten(turn, view.len);
		return give_data(pool, stream, view, turn->time_ns, item);
	}
	uint64_t cut = turn->cut < room ? turn->cut : room;
	(void)shorten(turn, cut);
	return give_gap(pool, stream, stream->next + cut, STREAM_CUT, turn, item);
}

/* The end of what the receiver is known to have, or the sender to have sent. */
static bool give_tail(
	struct stream_pool *pool, struct stream *stream, struct stream_turn *turn, struct stream_item *item)
{
	if (stream->end > stream->next) {
		enum stream_cause cause = stream->acked >= stream->end ? STREAM_UNCAPTURED : STREAM_UNFINISHED;
		return give_gap(pool, stream, stream->end, cause, turn, item);
	}
	if (stream->end || stream->acked <= stream->next)
		return false;
	if (stream->acked - stream->next > 1)
		return give_gap(pool, stream, stream->acked, STREAM_UNCAPTURED, turn, item);
	pool->counts.assumed_fins++;
	return false;
}

/* The hole before what is at hand. A stream that has not settled has none: it begins there. */
static bool give_hole(struct stream_pool *pool, struct stream *stream, enum stream_cause cause,
	const struct stream_turn *turn, struct stream_item *item)
{
	uint64_t until = at_hand(stream, turn);
	if (stream->settling) {
		settle(stream, until);
		return false;
	}
	if (cause == STREAM_UNFINISHED && stream->acked >= until)
		cause = STREAM_UNCAPTURED;
	return give_gap(pool, stream, until, cause, turn, item);
}

enum step { STEP_ITEM, STEP_AGAIN, STEP_DONE };

static enum step step(
	struct stream_pool *pool, struct stream *stream, struct stream_turn *turn, struct stream_item *item)
{
	if (stream->end && stream->next == stream->end)
		return give_end(stream, turn, item) ? STEP_ITEM : STEP_DONE;
	if (give_held(pool, stream, turn, item) || give_rest(pool, stream, turn, item))
		return STEP_ITEM;
	if (turn->rest.len || turn->cut) {
		if (backlog_hold(pool, stream, turn) == BACKLOG_HELD)
			return STEP_AGAIN;
		return give_hole(pool, stream, STREAM_FULL, turn, item) ? STEP_ITEM : STEP_AGAIN;
	}
	const struct backlog *b = stream->backlog;
	if (b && b->tree && (b->first <= turn->give_up || (stream->settling && stream->acked >= b->first)))
		return give_hole(pool, stream, turn->cause, turn, item) ? STEP_ITEM : STEP_AGAIN;
	if (turn->finish && stream->next && give_tail(pool, stream, turn, item))
		return STEP_ITEM;
	return STEP_DONE;
}

/* The turn is over: what is held waits from now on, if anything has changed for it. */
static void conclude(struct stream_pool *pool, struct stream *stream, const struct stream_turn *turn)
{
	struct backlog *b = stream->backlog;
	if (!b)
		return;
	if (!b->tree || stream->ended)
		backlog_free(pool, stream);
	else if (stream->next != turn->began || b->wait != backlog_waits_for(b) || !b->mark)
		backlog_restart(pool, b, turn->now);
}

bool stream_next(struct stream_pool *pool, struct stream *stream, struct stream_turn *turn, struct stream_item *item)
{
	/* By far the most turns: one view, and no more. */
	if (!stream->backlog && !turn->rest.len && !turn->cut && !turn->lent && !stream->end && !turn->finish)
		return false;
	free(turn->lent);
	turn->lent = NULL;
	if (stream->skip) {
		bool end = stream->end && !stream->ended && stream->next >= stream->end;
		return end && give_end(stream, turn, item);
	}
	enum step now = stream->ended ? STEP_DONE : STEP_AGAIN;
	while (now == STEP_AGAIN) {
		if (turn->start < stream->next || stream->end)
			clip(pool, stream, turn);
		now = step(pool, stream, turn, item);
	}
	if (now == STEP_ITEM)
		return true;
	drop_rest(turn);
	conclude(pool, stream, turn);
	return false;
}

void stream_skip(struct stream_pool *pool, struct stream *stream)
{
	if (stream->settling)
		settle(stream, stream->backlog->first);
	backlog_free(pool, stream);
	stream->skip = true;
}
