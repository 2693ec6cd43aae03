#include "flow/publish.h"

/* Kept back from plaintext for the news of flows: an eighth of the ring. */
static size_t kept_back(const struct publisher *pub)
{
	return ring_size(pub->ring) / 8;
}

static bool wants(const struct publisher *pub, unsigned bit)
{
	return pub->ring && (ring_wants(pub->ring) & bit);
}

bool publish_wanted(const struct publisher *pub)
{
	return wants(pub, RING_WANTS_EVENTS);
}

bool publish_wants_data(const struct publisher *pub)
{
	return wants(pub, RING_WANTS_DATA);
}

bool publish_wants_secrets(const struct publisher *pub)
{
	return wants(pub, RING_WANTS_SECRETS);
}

/* No event but DATA is longer: a TLS with all its texts full is the longest. */
#define EVENT_SMALL_MAX 6144

static bool put(struct publisher *pub, const struct event *event, size_t max)
{
	uint8_t *room = ring_begin(pub->ring, max);
	size_t len;
	if (!room || !event_encode(event, room, max, &len))
		return false;
	ring_commit(pub->ring, len);
	pub->counts.events++;
	return true;
}

bool publish_event(struct publisher *pub, const struct event *event)
{
	unsigned bit = event->kind == EVENT_KEYLOG ? RING_WANTS_SECRETS : RING_WANTS_EVENTS;
	if (!wants(pub, bit) || put(pub, event, EVENT_SMALL_MAX))
		return true;
	pub->counts.lost_events++;
	return false;
}

static void say_gap(struct publisher *pub, struct publish_flow *flow, enum flow_direction direction, uint64_t time_ns)
{
	struct event event = {
		.kind = EVENT_GAP,
		.flow = flow->id,
		.time_ns = time_ns,
		.gap = {.direction = direction,
			.offset = flow->offset[direction] - flow->gap_octets[direction],
			.octets = flow->gap_octets[direction],
			.why = (enum flow_gap)flow->gap_why[direction]},
	};
	if (put(pub, &event, EVENT_SMALL_MAX))
		flow->gap_octets[direction] = 0;
}

/* Octets that will not be published. A stretch has one reason: another one ends it. */
static void leave_out(struct publisher *pub, struct publish_flow *flow, enum flow_direction direction, uint64_t octets,
	enum flow_gap why, uint64_t time_ns)
{
	if (flow->gap_octets[direction] > 0 && flow->gap_why[direction] != why)
		say_gap(pub, flow, direction, time_ns);
	if (flow->gap_octets[direction] == 0)
		flow->gap_why[direction] = (uint8_t)why;
	flow->gap_octets[direction] += octets;
	flow->offset[direction] += octets;
	uint64_t *count = why == GAP_SKIPPED ? &pub->counts.skipped_octets
	                  : why == GAP_UNTIL ? &pub->counts.until_octets
	                                     : &pub->counts.lost_octets;
	*count += octets;
}

static bool put_data(struct publisher *pub, struct publish_flow *flow, enum flow_direction direction,
	struct bytes bytes, uint64_t time_ns)
{
	size_t max = EVENT_DATA_AT + bytes.len;
	if (!ring_has_room(pub->ring, kept_back(pub) + max))
		return false;
	if (flow->gap_octets[direction] > 0)
		say_gap(pub, flow, direction, time_ns);
	if (flow->gap_octets[direction] > 0)
		return false;
	struct event event = {
		.kind = EVENT_DATA,
		.flow = flow->id,
		.time_ns = time_ns,
		.data = {.direction = direction, .offset = flow->offset[direction], .bytes = bytes},
	};
	if (!put(pub, &event, max))
		return false;
	flow->offset[direction] += bytes.len;
	return true;
}

static uint64_t at_most(uint64_t a, uint64_t b)
{
	return a < b ? a : b;
}

/* One step: the front of `bytes` up to the next change of treatment. Returns the octets dealt with, at least one. */
static size_t publish_some(struct publisher *pub, struct publish_flow *flow, enum flow_direction direction,
	struct bytes bytes, uint64_t time_ns)
{
	uint64_t at = flow->offset[direction];
	uint64_t seen = flow->offset[FLOW_UP] + flow->offset[FLOW_DOWN];
	if (flow->until > 0 && seen >= flow->until) {
		leave_out(pub, flow, direction, bytes.len, GAP_UNTIL, time_ns);
		/* Said once at once, and the rest when the flow ends. */
		if (!flow->until_said[direction]) {
			flow->until_said[direction] = true;
			say_gap(pub, flow, direction, time_ns);
		}
		return bytes.len;
	}
	uint64_t n = at_most(bytes.len, EVENT_DATA_MAX);
	if (at < flow->skip_until[direction]) {
		n = at_most(bytes.len, flow->skip_until[direction] - at);
		leave_out(pub, flow, direction, n, GAP_SKIPPED, time_ns);
		/* The end of a skipped body is news: an exchange ends with it. */
		if (flow->offset[direction] >= flow->skip_until[direction])
			say_gap(pub, flow, direction, time_ns);
		return (size_t)n;
	}
	if (flow->until > 0)
		n = at_most(n, flow->until - seen);
	if (!put_data(pub, flow, direction, bytes_of(bytes.data, (size_t)n), time_ns))
		leave_out(pub, flow, direction, n, GAP_RING_FULL, time_ns);
	return (size_t)n;
}

void publish_data(struct publisher *pub, struct publish_flow *flow, enum flow_direction direction, struct bytes bytes,
	uint64_t time_ns)
{
	if (!publish_wants_data(pub)) {
		flow->offset[direction] += bytes.len;
		return;
	}
	while (bytes.len > 0) {
		size_t n = publish_some(pub, flow, direction, bytes, time_ns);
		bytes = bytes_of(bytes.data + n, bytes.len - n);
	}
}

void publish_gaps(struct publisher *pub, struct publish_flow *flow, uint64_t time_ns)
{
	for (int i = 0; i < 2; i++) {
		if (pub->ring && flow->gap_octets[i] > 0)
			say_gap(pub, flow, (enum flow_direction)i, time_ns);
	}
}

void publish_skip(struct publish_flow *flow, const struct ring_skip *skip)
{
	uint64_t *until = &flow->skip_until[skip->direction & 1];
	if (skip->until > *until)
		*until = skip->until;
}

bool publish_ready(struct publisher *pub, size_t octets)
{
	if (!publish_wants_data(pub))
		return true;
	/* Each started EVENT_DATA_MAX costs a header more, and gaps may stand between. */
	size_t need = octets + (octets / EVENT_DATA_MAX + 2) * (size_t)64;
	if (ring_has_room(pub->ring, kept_back(pub) + need))
		return true;
	return !ring_wait(pub->ring);
}
