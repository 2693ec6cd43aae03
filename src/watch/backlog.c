#include "watch/backlog.h"

#include "base/hash.h"

#include <stdlib.h>

#define NO_SEGMENT     UINT64_MAX
#define CUT_PIECES_MAX 64

static void charge(struct stream_pool *pool, struct backlog *b, size_t cost)
{
	b->octets += cost;
	pool->counts.held += cost;
	if (pool->counts.held > pool->counts.held_peak)
		pool->counts.held_peak = pool->counts.held;
}

static void discharge(struct stream_pool *pool, struct backlog *b, size_t cost)
{
	b->octets -= cost;
	pool->counts.held -= cost;
}

static void queue_leave(struct stream_pool *pool, struct backlog *b)
{
	*(b->earlier ? &b->earlier->later : &pool->queue[b->wait].first) = b->later;
	*(b->later ? &b->later->earlier : &pool->queue[b->wait].last) = b->earlier;
}

static void queue_join(struct stream_pool *pool, struct backlog *b)
{
	b->earlier = pool->queue[b->wait].last;
	b->later = NULL;
	*(b->earlier ? &b->earlier->later : &pool->queue[b->wait].first) = b;
	pool->queue[b->wait].last = b;
}

static struct backlog *backlog_new(struct stream_pool *pool, struct stream *stream, uint64_t now)
{
	struct backlog *b = calloc(1, sizeof(*b));
	if (!b)
		return NULL;
	b->stream = stream;
	b->first = NO_SEGMENT;
	b->since_ns = now;
	b->wait = stream->settling ? STREAM_WAIT_SETTLE : STREAM_WAIT_LOST;
	queue_join(pool, b);
	charge(pool, b, sizeof(*b));
	if (++pool->counts.waiting > pool->counts.waiting_peak)
		pool->counts.waiting_peak = pool->counts.waiting;
	stream->backlog = b;
	return b;
}

void backlog_free(struct stream_pool *pool, struct stream *stream)
{
	struct backlog *b = stream->backlog;
	if (!b)
		return;
	queue_leave(pool, b);
	segment_free_all(&b->tree);
	pool->counts.held -= b->octets;
	pool->counts.waiting--;
	stream->backlog = NULL;
	free(b);
}

/* Priorities that a stranger cannot foresee keep the tree flat whatever the order of positions. */
static uint32_t priority_of(const struct segment *s)
{
	return (uint32_t)hash_bytes(bytes_of(&s->start, sizeof(s->start)));
}

static bool add(struct stream_pool *pool, struct backlog *b, struct segment *s, uint64_t time_ns)
{
	if (!s) {
		pool->counts.no_memory++;
		return false;
	}
	s->time_ns = time_ns;
	s->priority = priority_of(s);
	segment_insert(&b->tree, s);
	charge(pool, b, segment_cost(s));
	if (s->start < b->first)
		b->first = s->start;
	if (s->end > b->reach)
		b->reach = s->end;
	return true;
}

static void refresh_first(struct backlog *b)
{
	const struct segment *s = segment_first(b->tree);
	b->first = s ? s->start : NO_SEGMENT;
}

static void drop(struct stream_pool *pool, struct backlog *b, struct segment *s)
{
	segment_remove(&b->tree, s);
	discharge(pool, b, segment_cost(s));
	free(s);
}

struct segment *backlog_pop(struct stream_pool *pool, struct backlog *b)
{
	struct segment *s = segment_pop(&b->tree);
	discharge(pool, b, segment_cost(s));
	refresh_first(b);
	return s;
}

void backlog_fill(struct stream_pool *pool, struct backlog *b, uint64_t end)
{
	struct segment *s = segment_first(b->tree);
	while (s && segment_is_void(s) && s->start < end) {
		if (s->end > end) {
			s->start = end;
			break;
		}
		drop(pool, b, s);
		s = segment_first(b->tree);
	}
	refresh_first(b);
}

static bool fits(const struct stream_pool *pool, const struct backlog *b, size_t len)
{
	/* As segment_cost will have it, or a little more. */
	size_t cost = sizeof(struct segment) + 32 + len;
	return b->octets + cost <= pool->limits.direction && pool->counts.held + cost <= pool->limits.total;
}

/* Octets for [start, end) have come, where `s` is a void that holds `start`. */
static void carve(struct stream_pool *pool, struct backlog *b, struct segment *s, uint64_t start, uint64_t end)
{
	uint64_t tail = s->end;
	/* Moving an edge inwards leaves the order of the tree as it is. */
	if (s->start < start) {
		s->end = start;
		/* Without room for it the tail is an ordinary hole. */
		if (tail > end && fits(pool, b, 0))
			(void)!add(pool, b, segment_void(end, tail), s->time_ns);
	} else if (tail > end) {
		s->start = end;
	} else {
		drop(pool, b, s);
	}
	refresh_first(b);
}

static void advance(struct stream_turn *turn, size_t n)
{
	(void)!bytes_skip(&turn->rest, n);
	turn->start += n;
}

/* `s` holds the remainder's first octet, as data: it came first. */
static void pass_over(struct stream_pool *pool, const struct segment *s, struct stream_turn *turn)
{
	struct bytes held = segment_bytes(s), again = turn->rest;
	(void)!bytes_skip(&held, turn->start - s->start);
	if (held.len < again.len)
		again.len = held.len;
	held.len = again.len;
	pool->counts.conflicts += !bytes_equal(held, again);
	pool->counts.repeated += again.len;
	advance(turn, again.len);
}

static enum backlog_result hold_octets(struct stream_pool *pool, struct backlog *b, struct stream_turn *turn)
{
	while (turn->rest.len) {
		uint64_t end = turn->start + turn->rest.len;
		struct segment *s = segment_after(b->tree, turn->start);
		if (s && s->start <= turn->start) {
			if (segment_is_void(s))
				carve(pool, b, s, turn->start, end);
			else
				pass_over(pool, s, turn);
			continue;
		}
		struct bytes piece = turn->rest;
		if (s && s->start < end)
			piece.len = s->start - turn->start;
		if (!fits(pool, b, piece.len) || !add(pool, b, segment_new(turn->start, piece), turn->time_ns))
			return BACKLOG_FULL;
		pool->counts.early++;
		advance(turn, piece.len);
	}
	return BACKLOG_HELD;
}

/*
 * A few words of a header can claim that a great many octets were cut off, so the work on them is bounded. What is not
 * held as cut is an ordinary hole, and waited for as such.
 */
static enum backlog_result hold_cut(struct stream_pool *pool, struct backlog *b, struct stream_turn *turn)
{
	for (int i = 0; turn->cut && i < CUT_PIECES_MAX; i++) {
		uint64_t end = turn->start + turn->cut;
		struct segment *s = segment_after(b->tree, turn->start);
		uint64_t stop = end;
		if (s && s->start <= turn->start) {
			stop = s->end < end ? s->end : end;
		} else {
			if (s && s->start < end)
				stop = s->start;
			if (!fits(pool, b, 0) || !add(pool, b, segment_void(turn->start, stop), turn->time_ns))
				return BACKLOG_FULL;
		}
		turn->cut = end - stop;
		turn->start = stop;
	}
	turn->cut = 0;
	return BACKLOG_HELD;
}

enum backlog_result backlog_hold(struct stream_pool *pool, struct stream *stream, struct stream_turn *turn)
{
	struct backlog *b = stream->backlog;
	if (!b) {
		if (pool->limits.direction < sizeof(*b) || pool->counts.held + sizeof(*b) > pool->limits.total)
			return BACKLOG_FULL;
		b = backlog_new(pool, stream, turn->now);
		if (!b) {
			pool->counts.no_memory++;
			return BACKLOG_FULL;
		}
	}
	enum backlog_result result = hold_octets(pool, b, turn);
	return result == BACKLOG_HELD ? hold_cut(pool, b, turn) : result;
}

enum stream_wait backlog_waits_for(const struct backlog *b)
{
	if (b->stream->settling)
		return STREAM_WAIT_SETTLE;
	return b->stream->acked >= b->first ? STREAM_WAIT_ACKNOWLEDGED : STREAM_WAIT_LOST;
}

void backlog_restart(struct stream_pool *pool, struct backlog *b, uint64_t now)
{
	queue_leave(pool, b);
	b->wait = backlog_waits_for(b);
	b->since_ns = now;
	b->packets = 0;
	b->mark = b->wait == STREAM_WAIT_ACKNOWLEDGED ? b->stream->acked : b->reach;
	queue_join(pool, b);
}

bool backlog_is_due(const struct stream_pool *pool, const struct backlog *b, uint64_t now)
{
	const struct stream_limits *limits = &pool->limits;
	const struct stream_patience *patience = &limits->lost;
	if (b->wait == STREAM_WAIT_SETTLE) {
		if (b->stream->acked >= b->first)
			return true;
		patience = &limits->settle;
	} else if (b->wait == STREAM_WAIT_ACKNOWLEDGED) {
		patience = &limits->acknowledged;
	}
	return b->packets >= patience->packets || (now > b->since_ns && now - b->since_ns >= patience->ns);
}
