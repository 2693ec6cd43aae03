#include "tls/dtls_join.h"

#include <stdlib.h>

/* Octets of a body that lie together. No two of a part overlap. */
struct dtls_piece {
	struct dtls_piece *next;
	uint32_t at, len;
	uint8_t octets[];
};

struct dtls_part {
	struct dtls_part *next;
	struct dtls_piece *pieces; /* by place */
	uint8_t *whole;            /* header and body, once it was asked for */
	uint32_t length, have;
	uint16_t sequence, epoch;
	uint8_t type;
};

static bool is_whole(const struct dtls_part *part)
{
	return part->have == part->length;
}

static void clear_part(struct dtls_join *join, struct dtls_part *part)
{
	while (part->pieces) {
		struct dtls_piece *gone = part->pieces;
		part->pieces = gone->next;
		join->cost -= sizeof(*gone) + gone->len;
		join->pieces--;
		free(gone);
	}
	if (part->whole)
		join->cost -= DTLS_HANDSHAKE_HEADER + (size_t)part->length;
	free(part->whole);
	part->whole = NULL;
	part->have = 0;
}

static void drop_first(struct dtls_join *join)
{
	struct dtls_part *gone = join->parts;
	join->parts = gone->next;
	clear_part(join, gone);
	join->cost -= sizeof(*gone);
	free(gone);
}

/* The part of this number, made if need be. NULL: no memory, or over the budget. */
static struct dtls_part *part_of(
	struct dtls_join *join, const struct dtls_handshake *fragment, uint16_t epoch, size_t budget)
{
	struct dtls_part **place = &join->parts;
	while (*place && (*place)->sequence < fragment->sequence)
		place = &(*place)->next;
	if (*place && (*place)->sequence == fragment->sequence)
		return *place;
	struct dtls_part *part = budget >= sizeof(*part) ? calloc(1, sizeof(*part)) : NULL;
	if (!part)
		return NULL;
	part->next = *place;
	part->sequence = fragment->sequence;
	part->epoch = epoch;
	part->type = fragment->type;
	part->length = fragment->length;
	*place = part;
	join->cost += sizeof(*part);
	return part;
}

/* Puts `octets`, which nothing held overlaps, in front of `*place`. */
static bool put_piece(struct dtls_join *join, struct dtls_part *part, struct dtls_piece **place, uint32_t at,
	struct bytes octets, size_t most)
{
	size_t cost = sizeof(struct dtls_piece) + octets.len;
	if (join->pieces == DTLS_JOIN_PIECES || join->cost > most || cost > most - join->cost)
		return false;
	struct dtls_piece *piece = malloc(cost);
	if (!piece)
		return false;
	piece->next = *place;
	piece->at = at;
	piece->len = (uint32_t)octets.len;
	memcpy(piece->octets, octets.data, octets.len);
	*place = piece;
	part->have += piece->len;
	join->pieces++;
	join->cost += cost;
	return true;
}

/* Adds what is not held yet of the octets at `at`. */
static enum dtls_join_result merge(
	struct dtls_join *join, struct dtls_part *part, uint32_t at, struct bytes octets, size_t most)
{
	struct dtls_piece **place = &part->pieces;
	enum dtls_join_result result = DTLS_JOIN_OLD;
	bool conflict = false;
	struct bytes head;
	while (octets.len > 0) {
		while (*place && (*place)->at + (*place)->len <= at)
			place = &(*place)->next;
		struct dtls_piece *held = *place;
		bool within = held && held->at <= at;
		size_t reach = !held ? octets.len : within ? held->at + held->len - at : held->at - at;
		if (!bytes_take(&octets, reach < octets.len ? reach : octets.len, &head))
			break;
		if (within)
			conflict |= memcmp(held->octets + (at - held->at), head.data, head.len) != 0;
		else if (put_piece(join, part, place, at, head, most))
			result = DTLS_JOIN_ADDED;
		else
			return DTLS_JOIN_FULL;
		at += (uint32_t)head.len;
	}
	return conflict ? DTLS_JOIN_CONFLICT : result;
}

enum dtls_join_result dtls_join_add(
	struct dtls_join *join, const struct dtls_handshake *fragment, uint16_t epoch, size_t budget)
{
	if (fragment->sequence < join->next)
		return DTLS_JOIN_OLD;
	if (fragment->sequence - join->next > DTLS_JOIN_AHEAD)
		return DTLS_JOIN_FAR;
	if (fragment->length > DTLS_JOIN_MESSAGE)
		return DTLS_JOIN_TOO_LONG;
	size_t most = join->cost + budget, before = join->cost;
	struct dtls_part *part = part_of(join, fragment, epoch, budget);
	if (!part)
		return DTLS_JOIN_FULL;
	if (part->epoch < epoch) {
		clear_part(join, part);
		part->epoch = epoch;
		part->type = fragment->type;
		part->length = fragment->length;
	}
	if (part->epoch > epoch || part->type != fragment->type || part->length != fragment->length)
		return DTLS_JOIN_CONFLICT;
	/* One without a body is whole at once. */
	if (is_whole(part))
		return join->cost > before ? DTLS_JOIN_ADDED : DTLS_JOIN_OLD;
	return merge(join, part, fragment->offset, fragment->body, most);
}

/* Pieces go once the message stands in one place. */
static bool assemble(struct dtls_join *join, struct dtls_part *part)
{
	size_t len = DTLS_HANDSHAKE_HEADER + (size_t)part->length;
	if (part->whole)
		return true;
	uint8_t *whole = malloc(len);
	if (!whole)
		return false;
	struct writer w = writer_over(whole, len);
	dtls_handshake_header(&w, part->type, part->length, part->sequence);
	for (const struct dtls_piece *piece = part->pieces; piece; piece = piece->next)
		writer_bytes(&w, bytes_of(piece->octets, piece->len));
	uint32_t have = part->have;
	clear_part(join, part);
	part->have = have;
	part->whole = whole;
	join->cost += len;
	return true;
}

bool dtls_join_next(struct dtls_join *join, struct dtls_message *out)
{
	struct dtls_part *part = join->parts;
	if (!part || part->sequence != join->next || !is_whole(part) || !assemble(join, part))
		return false;
	struct bytes whole = bytes_of(part->whole, DTLS_HANDSHAKE_HEADER + (size_t)part->length), body = whole;
	if (!bytes_skip(&body, DTLS_HANDSHAKE_HEADER))
		return false;
	*out = (struct dtls_message){
		.type = part->type, .sequence = part->sequence, .epoch = part->epoch, .body = body, .whole = whole};
	return true;
}

void dtls_join_pop(struct dtls_join *join)
{
	if (join->parts && join->parts->sequence == join->next)
		drop_first(join);
	if (join->next < UINT16_MAX)
		join->next++;
}

bool dtls_join_skip(struct dtls_join *join)
{
	while (join->parts && !is_whole(join->parts))
		drop_first(join);
	if (!join->parts)
		return false;
	join->next = join->parts->sequence;
	return true;
}

void dtls_join_reset(struct dtls_join *join, uint16_t next)
{
	while (join->parts)
		drop_first(join);
	join->next = next;
}

void dtls_join_free(struct dtls_join *join)
{
	dtls_join_reset(join, 0);
}
