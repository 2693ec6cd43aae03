#include "decode/exchange.h"

#include <stdlib.h>

#define ROOM_FIRST 4
#define ROOM_IDLE  16 /* more than that is given back when nothing is in flight */

static struct exchange *items(struct exchanges *open)
{
	return open->list ? open->list + open->first : &open->one;
}

struct exchange *exchange_at(struct exchanges *open, size_t i)
{
	return i < open->count ? items(open) + i : NULL;
}

/* The first that does not come before `stream`. */
static size_t place_of(struct exchanges *open, uint64_t stream)
{
	const struct exchange *list = items(open);
	size_t low = 0;
	size_t high = open->count;
	while (low < high) {
		size_t middle = low + (high - low) / 2;
		if (list[middle].stream < stream)
			low = middle + 1;
		else
			high = middle;
	}
	return low;
}

struct exchange *exchange_find(struct exchanges *open, uint64_t stream)
{
	struct exchange *found = exchange_at(open, place_of(open, stream));
	return found && found->stream == stream ? found : NULL;
}

/* Room for one more behind the last. */
static bool make_room(struct exchanges *open)
{
	if (open->list ? open->first + open->count < open->room : open->count == 0)
		return true;
	if (open->list && open->first > 0 && open->first >= open->count) {
		memmove(open->list, open->list + open->first, open->count * sizeof(*open->list));
		open->first = 0;
		return true;
	}
	size_t room = open->list ? open->room * 2 : ROOM_FIRST;
	struct exchange *wider = malloc(room * sizeof(*wider));
	if (!wider)
		return false;
	memcpy(wider, items(open), open->count * sizeof(*wider));
	free(open->list);
	open->list = wider;
	open->first = 0;
	open->room = room;
	return true;
}

struct exchange *exchange_add(struct exchanges *open, uint64_t stream, uint64_t time_ns, size_t max)
{
	if (open->count >= max || !make_room(open))
		return NULL;
	struct exchange *list = items(open);
	size_t at = open->count;
	while (at > 0 && list[at - 1].stream > stream)
		at--;
	memmove(list + at + 1, list + at, (open->count - at) * sizeof(*list));
	open->count++;
	list[at] = (struct exchange){.stream = stream, .start_ns = time_ns};
	return list + at;
}

void exchange_remove(struct exchanges *open, struct exchange *exchange)
{
	struct exchange *list = items(open);
	size_t at = (size_t)(exchange - list);
	open->count--;
	if (at == 0 && open->list)
		open->first++;
	else
		memmove(exchange, exchange + 1, (open->count - at) * sizeof(*list));
	if (open->count > 0)
		return;
	open->first = 0;
	if (open->room > ROOM_IDLE)
		exchanges_clear(open);
}

void exchanges_clear(struct exchanges *open)
{
	struct exchange *exchange;
	for (size_t i = 0; (exchange = exchange_at(open, i)) != NULL; i++) {
		trailers_free(exchange->trailers[FLOW_UP]);
		trailers_free(exchange->trailers[FLOW_DOWN]);
	}
	free(open->list);
	*open = (struct exchanges){0};
}

void exchange_set_trailers(struct exchange *exchange, enum flow_direction direction, struct trailers *trailers)
{
	trailers_free(exchange->trailers[direction]);
	exchange->trailers[direction] = trailers;
}

void tell_notice(const struct decoder *decoder, enum flow_severity severity, const char *name, const char *text)
{
	if (decoder->out->notice)
		decoder->out->notice(decoder->ctx, severity, name, bytes_str(text));
}

/* Sums of lengths that a stranger names do not wrap. */
static uint64_t add(uint64_t a, uint64_t b)
{
	return a > UINT64_MAX - b ? UINT64_MAX : a + b;
}

void tell_body(const struct decoder *decoder, struct exchange *exchange, enum flow_direction direction,
	struct bytes part, uint64_t lost, uint64_t time_ns)
{
	uint64_t offset = exchange->octets[direction];
	exchange->octets[direction] = add(offset, add(part.len, lost));
	if (!decoder->out->body || (part.len == 0 && lost == 0))
		return;
	struct message_body body = {
		.flow = decoder->flow,
		.stream = exchange->stream,
		.time_ns = time_ns,
		.response = direction == FLOW_DOWN,
		.offset = offset,
		.bytes = part,
		.lost = lost,
	};
	decoder->out->body(decoder->ctx, &body);
}

void tell_end(const struct decoder *decoder, struct exchanges *open, struct exchange *exchange, uint64_t time_ns)
{
	bool complete = exchange->done[FLOW_UP] && exchange->done[FLOW_DOWN];
	struct trailers *up = exchange->trailers[FLOW_UP], *down = exchange->trailers[FLOW_DOWN];
	struct message_end end = {
		.flow = decoder->flow,
		.stream = exchange->stream,
		.time_ns = time_ns,
		.request_octets = exchange->octets[FLOW_UP],
		.response_octets = exchange->octets[FLOW_DOWN],
		.duration_ns = time_ns > exchange->start_ns ? time_ns - exchange->start_ns : 0,
		.ending = exchange->ending == MESSAGE_DONE && !complete ? MESSAGE_RESET : exchange->ending,
		.request_trailers = trailers_view(up),
		.response_trailers = trailers_view(down),
	};
	exchange_remove(open, exchange);
	if (decoder->out->end)
		decoder->out->end(decoder->ctx, &end);
	trailers_free(up);
	trailers_free(down);
}

void tell_end_all(const struct decoder *decoder, struct exchanges *open, enum message_ending why, uint64_t time_ns)
{
	struct exchange *exchange;
	while ((exchange = exchange_at(open, 0))) {
		if (exchange->ending == MESSAGE_DONE)
			exchange->ending = why;
		tell_end(decoder, open, exchange, time_ns);
	}
}

bool tell_done(const struct decoder *decoder, struct exchanges *open, struct exchange *exchange,
	enum flow_direction direction, uint64_t time_ns)
{
	exchange->done[direction] = true;
	if (!exchange->done[FLOW_UP] || !exchange->done[FLOW_DOWN])
		return false;
	tell_end(decoder, open, exchange, time_ns);
	return true;
}
