#include "watch/records.h"

#include "tls/handshake.h"
#include "tls/hello.h"

#include <stdlib.h>

/* A hello's record from its header to the version in it. */
#define HELLO_FRONT (RECORD_HEADER + HANDSHAKE_HEADER + 2)
#define SPARES      16

static const size_t class_size[FRAMER_CLASSES] = {
	[FRAMER_SMALL] = 2048,
	[FRAMER_RECORD] = (size_t)RECORD_HEADER + RECORD_MAX_FRAGMENT,
	/* Room for a candidate, its successor's header, and enough more that moving octets to the front is rare. */
	[FRAMER_WINDOW] = (size_t)64 * 1024,
};

/* A buffer that waits for its next use. */
struct framer_spare {
	struct framer_spare *next;
};

void framer_pool_free(struct framer_pool *pool)
{
	for (int class = 0; class < FRAMER_CLASSES; class ++) {
		while (pool->spare[class]) {
			struct framer_spare *spare = pool->spare[class];
			pool->spare[class] = spare->next;
			free(spare);
		}
		pool->spares[class] = 0;
	}
}

static uint8_t *buffer_take(struct framer_pool *pool, enum framer_class class)
{
	struct framer_spare *spare = pool->spare[class];
	if (class_size[class] > pool->cap - pool->used)
		return NULL;
	if (spare) {
		pool->spare[class] = spare->next;
		pool->spares[class]--;
	} else {
		spare = malloc(class_size[class]);
	}
	if (spare)
		pool->used += class_size[class];
	return (uint8_t *)spare;
}

static void buffer_give(struct framer_pool *pool, uint8_t *buffer, enum framer_class class)
{
	struct framer_spare *spare = (void *)buffer;
	pool->used -= class_size[class];
	if (pool->spares[class] == SPARES) {
		free(spare);
		return;
	}
	spare->next = pool->spare[class];
	pool->spare[class] = spare;
	pool->spares[class]++;
}

void framer_init(struct framer *f, bool from_start)
{
	*f = (struct framer){.mode = from_start ? FRAMER_FRESH : FRAMER_HUNTING};
}

static void let_go(struct framer_pool *pool, struct framer *f)
{
	if (f->held)
		buffer_give(pool, f->held, f->class);
	f->held = NULL;
	f->at = f->scan = f->len = 0;
}

void framer_free(struct framer_pool *pool, struct framer *f)
{
	let_go(pool, f);
	*f = (struct framer){.mode = FRAMER_OFF};
}

/* Moves what is held to the front of a buffer that has room for `need` octets. */
static bool make_room(struct framer_pool *pool, struct framer *f, size_t need)
{
	size_t kept = f->len - f->at;
	enum framer_class class = need > class_size[FRAMER_RECORD]  ? FRAMER_WINDOW
	                          : need > class_size[FRAMER_SMALL] ? FRAMER_RECORD
	                                                            : FRAMER_SMALL;
	if (f->held && class_size[f->class] - f->at >= need)
		return true;
	if (f->held && class_size[f->class] >= need) {
		memmove(f->held, f->held + f->at, kept);
	} else {
		uint8_t *larger = buffer_take(pool, class);
		if (!larger) {
			pool->denied++;
			return false;
		}
		if (f->held) {
			memcpy(larger, f->held + f->at, kept);
			buffer_give(pool, f->held, f->class);
		}
		f->held = larger;
		f->class = (uint8_t) class;
	}
	f->scan -= f->scan < f->at ? f->scan : f->at;
	f->at = 0;
	f->len = kept;
	return true;
}

/* Copies up to `want` octets of the turn behind what is held; the room is there. */
static void append(struct framer *f, struct framer_turn *turn, size_t want)
{
	struct bytes part;
	if (want > turn->rest.len)
		want = turn->rest.len;
	if (want == 0 || !bytes_take(&turn->rest, want, &part))
		return;
	memcpy(f->held + f->len, part.data, part.len);
	f->len += part.len;
}

static struct bytes held_from(const struct framer *f, size_t from)
{
	return f->held ? bytes_of(f->held + from, f->len - from) : BYTES_NONE;
}

static bool lost(const struct framer *f, uint64_t octets, struct stretch *out)
{
	*out = (struct stretch){.kind = f->malformed ? STRETCH_MALFORMED : STRETCH_LOST, .octets = octets};
	return octets > 0;
}

static bool whole(struct framer *f, const struct record *record, struct stretch *out)
{
	*out = (struct stretch){.kind = STRETCH_RECORD,
		.found = f->found,
		.octets = RECORD_HEADER + record->fragment.len,
		.record = *record};
	f->mode = FRAMER_RECORDS;
	f->found = f->malformed = false;
	return true;
}

/* A record is given up whose header is held; what is to come of it is skipped. */
static bool broken(struct framer_pool *pool, struct framer *f, uint64_t missing, struct stretch *out)
{
	struct bytes in = held_from(f, f->at);
	struct record record = {0};
	uint16_t len = 0;
	bool read = bytes_u8(&in, &record.type) && bytes_u16(&in, &record.version) && bytes_u16(&in, &len);
	record.fragment = bytes_of(NULL, read ? len : 0);
	*out = (struct stretch){.kind = STRETCH_BROKEN, .octets = (uint64_t)RECORD_HEADER + len, .record = record};
	let_go(pool, f);
	f->skip = missing;
	f->mode = missing > 0 ? FRAMER_SKIPPING : FRAMER_RECORDS;
	f->found = false;
	return true;
}

/* Whether a record header stands at the front of `in`, and where its record ends. */
static bool plausible(const struct framer *f, struct bytes in, size_t *end)
{
	uint8_t type;
	uint16_t version, len;
	if (!bytes_u8(&in, &type) || !bytes_u16(&in, &version) || !bytes_u16(&in, &len) || len == 0)
		return false;
	*end = (size_t)RECORD_HEADER + len;
	if (type == RECORD_CHANGE_CIPHER_SPEC && version == TLS_VERSION_12 && len == 1)
		return true;
	if (f->tls13)
		return type == RECORD_APPLICATION_DATA && version == TLS_VERSION_12 && len <= RECORD_MAX_TLS13;
	return type >= RECORD_CHANGE_CIPHER_SPEC && type <= RECORD_APPLICATION_DATA && version > TLS_VERSION_SSL30 &&
	       version <= TLS_VERSION_12 && len <= RECORD_MAX_FRAGMENT;
}

/* The record of a ClientHello or ServerHello begins here: so many fixed bits that it needs no successor. */
static bool hello_begins(struct bytes in)
{
	uint8_t type, message;
	uint16_t version, len, hello;
	uint32_t body;
	return bytes_u8(&in, &type) && bytes_u16(&in, &version) && bytes_u16(&in, &len) && bytes_u8(&in, &message) &&
	       bytes_u24(&in, &body) && bytes_u16(&in, &hello) && type == RECORD_HANDSHAKE &&
	       version >= TLS_VERSION_SSL30 && version <= TLS_VERSION_12 && len > HANDSHAKE_HEADER &&
	       len <= RECORD_MAX_PLAINTEXT &&
	       (message == HANDSHAKE_CLIENT_HELLO || message == HANDSHAKE_SERVER_HELLO) && body >= 38 &&
	       body <= UINT16_MAX && hello >= TLS_VERSION_SSL30 && hello <= TLS_VERSION_12;
}

enum look { LOOK_FOUND, LOOK_NO, LOOK_MORE };

/* `last`: nothing follows what is held. */
static enum look candidate(const struct framer *f, size_t at, bool last)
{
	struct bytes in = held_from(f, at);
	size_t end, next;
	if (in.len < HELLO_FRONT && !last)
		return LOOK_MORE;
	if (hello_begins(in))
		return LOOK_FOUND;
	if (f->mode == FRAMER_BEFORE || !plausible(f, in, &end))
		return LOOK_NO;
	if (in.len >= end + RECORD_HEADER)
		return bytes_skip(&in, end) && plausible(f, in, &next) ? LOOK_FOUND : LOOK_NO;
	if (!last)
		return LOOK_MORE;
	return in.len >= end ? LOOK_FOUND : LOOK_NO;
}

/* The octets before `scan` are given out. */
static bool pass(struct framer *f, struct stretch *out)
{
	size_t n = f->scan - f->at;
	if (n == 0)
		return false;
	if (f->mode == FRAMER_BEFORE)
		*out = (struct stretch){.kind = STRETCH_PREAMBLE, .octets = n, .text = bytes_of(f->held + f->at, n)};
	else
		(void)!lost(f, n, out);
	f->at = f->scan;
	return true;
}

static void found(struct framer *f)
{
	f->found = f->mode == FRAMER_HUNTING;
	f->mode = FRAMER_RECORDS;
}

/* What is held and what is missing, at a gap or at the end, when there is no record in it. */
static bool drop(struct framer_pool *pool, struct framer *f, struct framer_turn *turn, struct stretch *out)
{
	uint64_t octets = f->len - f->at + turn->gap;
	if (turn->gap > 0)
		f->malformed = false;
	let_go(pool, f);
	f->mode = FRAMER_HUNTING;
	turn->gap = 0;
	return lost(f, octets, out);
}

/* A plaintext beginning that is too long to be one. */
static bool far(const struct framer *f)
{
	return f->mode == FRAMER_BEFORE && f->scan - f->at > FRAMER_PREAMBLE;
}

/* In HUNTING and BEFORE. True: `out` is set. False: `turn` is used up, or the mode has changed. */
static bool hunt(struct framer_pool *pool, struct framer *f, struct framer_turn *turn, struct stretch *out)
{
	const size_t window = class_size[FRAMER_WINDOW];
	for (;;) {
		bool last = turn->rest.len == 0 && (turn->gap > 0 || turn->end);
		while (f->scan < f->len && !far(f)) {
			enum look look = candidate(f, f->scan, last);
			if (look == LOOK_FOUND) {
				bool some = pass(f, out);
				found(f);
				return some;
			}
			if (look == LOOK_MORE)
				break;
			f->scan++;
		}
		if (turn->rest.len == 0 || far(f))
			break;
		if (f->len == window && pass(f, out))
			return true;
		if ((!f->held || f->len == class_size[f->class]) && !make_room(pool, f, window)) {
			turn->gap += turn->rest.len;
			turn->rest = BYTES_NONE;
			break;
		}
		append(f, turn, class_size[f->class] - f->len);
	}
	return (turn->gap > 0 || turn->end) && f->mode == FRAMER_HUNTING && drop(pool, f, turn, out);
}

/* The preamble is held until a hello ends it, so that it is given out only where TLS follows. */
static bool before(struct framer_pool *pool, struct framer *f, struct framer_turn *turn, struct stretch *out)
{
	if (hunt(pool, f, turn, out))
		return true;
	if (f->mode != FRAMER_BEFORE)
		return false;
	if (turn->gap == 0 && !turn->end && !far(f))
		return false;
	*out = (struct stretch){.kind = STRETCH_NOT_TLS, .octets = f->len - f->at + turn->rest.len + turn->gap};
	*turn = (struct framer_turn){0};
	let_go(pool, f);
	f->mode = FRAMER_OFF;
	return true;
}

static bool skip(struct framer *f, struct framer_turn *turn)
{
	uint64_t n = f->skip < turn->rest.len ? f->skip : turn->rest.len;
	(void)!bytes_skip(&turn->rest, (size_t)n);
	f->skip -= n;
	n = f->skip < turn->gap ? f->skip : turn->gap;
	turn->gap -= n;
	f->skip -= n;
	if (turn->end)
		f->skip = 0;
	if (f->skip > 0)
		return false;
	f->mode = FRAMER_RECORDS;
	return true;
}

/* What begins here is no record: looks for one that is. */
static void astray(struct framer *f)
{
	f->malformed = f->mode != FRAMER_FRESH;
	f->mode = f->mode == FRAMER_FRESH ? FRAMER_BEFORE : FRAMER_HUNTING;
	f->scan = f->at;
}

/* A record that is held in part: takes what it needs, no more. True: there is a stretch, or the mode has changed. */
static bool assemble(
	struct framer_pool *pool, struct framer *f, struct framer_turn *turn, struct stretch *out, bool *has)
{
	for (;;) {
		struct bytes in = held_from(f, f->at);
		size_t missing = record_missing(in);
		if (missing == 0)
			break;
		if (turn->rest.len == 0)
			return false;
		if (!make_room(pool, f, in.len + missing)) {
			size_t here = missing < turn->rest.len ? missing : turn->rest.len;
			(void)!bytes_skip(&turn->rest, here);
			*has = broken(pool, f, missing - here, out);
			return true;
		}
		append(f, turn, missing);
	}
	struct bytes in = held_from(f, f->at);
	struct record record;
	if (record_read(&in, &record) != RECORD_OK) {
		astray(f);
		return true;
	}
	f->at = f->scan = f->len - in.len;
	*has = whole(f, &record, out);
	return true;
}

/* A gap or the end comes while a record is held in part, or none. */
static bool interrupt(struct framer_pool *pool, struct framer *f, struct framer_turn *turn, struct stretch *out)
{
	struct bytes in = held_from(f, f->at);
	size_t missing = record_missing(in);
	if (in.len >= RECORD_HEADER && (turn->end || turn->gap <= missing)) {
		uint64_t left = turn->end ? 0 : missing - turn->gap;
		turn->gap = 0;
		return broken(pool, f, left, out);
	}
	if (turn->gap == 0 && in.len == 0)
		return false;
	return drop(pool, f, turn, out);
}

/* In RECORDS and FRESH. */
static bool records(struct framer_pool *pool, struct framer *f, struct framer_turn *turn, struct stretch *out)
{
	bool has = false;
	struct record record;
	if (f->held && f->at == f->len)
		let_go(pool, f);
	if (!f->held) {
		switch (record_read(&turn->rest, &record)) {
		case RECORD_OK:
			return whole(f, &record, out);
		case RECORD_NEED_MORE:
			break;
		default:
			astray(f);
			return false;
		}
	}
	if (turn->rest.len > 0 && !f->held && !make_room(pool, f, RECORD_HEADER)) {
		f->mode = FRAMER_HUNTING;
		return false;
	}
	if (f->held && assemble(pool, f, turn, out, &has))
		return has;
	return (turn->gap > 0 || turn->end) && interrupt(pool, f, turn, out);
}

static bool step(struct framer_pool *pool, struct framer *f, struct framer_turn *turn, struct stretch *out)
{
	switch (f->mode) {
	case FRAMER_FRESH:
	case FRAMER_RECORDS:
		return records(pool, f, turn, out);
	case FRAMER_SKIPPING:
		(void)skip(f, turn);
		return false;
	case FRAMER_HUNTING:
		return hunt(pool, f, turn, out);
	case FRAMER_BEFORE:
		return before(pool, f, turn, out);
	case FRAMER_OFF:
		break;
	}
	*turn = (struct framer_turn){0};
	return false;
}

bool framer_next(struct framer_pool *pool, struct framer *f, struct framer_turn *turn, struct stretch *out)
{
	for (;;) {
		enum framer_mode mode = f->mode;
		if (step(pool, f, turn, out))
			return true;
		if (f->mode == mode)
			return false;
	}
}
