#include "tls/collect.h"

#include "tls/alert.h"
#include "tls/handshake.h"
#include "tls/record.h"

void collect_init(struct collect *c, void *scratch, size_t cap)
{
	*c = (struct collect){.into = writer_over(scratch, cap), .wanted = RECORD_HEADER, .settled = COLLECT_NEED_MORE};
}

/*
 * An SSLv2 CLIENT-HELLO (or the SSLv2 form of a later one): length with the top bit set, message type 1, version 0.2 or
 * 3.x. Anything else is NOT_TLS.
 */
static enum collect_result judge_no_record(struct collect *c, struct bytes start)
{
	uint8_t high, low, type, major, minor;
	c->wanted = 5;
	if (!bytes_u8(&start, &high))
		return COLLECT_NEED_MORE;
	if (!(high & 0x80))
		return COLLECT_NOT_TLS;
	if (!bytes_u8(&start, &low) || !bytes_u8(&start, &type))
		return COLLECT_NEED_MORE;
	if (type != 1)
		return COLLECT_NOT_TLS;
	if (!bytes_u8(&start, &major))
		return COLLECT_NEED_MORE;
	if (major == 3)
		return COLLECT_SSLV2;
	if (major != 0)
		return COLLECT_NOT_TLS;
	if (!bytes_u8(&start, &minor))
		return COLLECT_NEED_MORE;
	return minor == 2 ? COLLECT_SSLV2 : COLLECT_NOT_TLS;
}

/* What speaks against a record from its header alone, so that nobody waits for a body that will be refused. */
static enum collect_result judge_header(const struct collect *c, struct bytes rest)
{
	uint8_t type, major;
	uint16_t length;
	/* The type is judged only with the version beside it: until then it may be no record at all. */
	if (!bytes_u8(&rest, &type) || !bytes_u8(&rest, &major))
		return COLLECT_NEED_MORE;
	if (type != RECORD_HANDSHAKE)
		return c->records == 0 ? COLLECT_NOT_HELLO : COLLECT_INTERLEAVED;
	if (!bytes_skip(&rest, 1) || !bytes_u16(&rest, &length))
		return COLLECT_NEED_MORE;
	if (length == 0)
		return COLLECT_EMPTY_FRAGMENT;
	return length > RECORD_MAX_PLAINTEXT ? COLLECT_RECORD_OVERFLOW : COLLECT_NEED_MORE;
}

/* The first octets of the message, of those held and those in `part` that follow them; at most a header's worth. */
static struct bytes message_head(const struct collect *c, struct bytes part, uint8_t head[HANDSHAKE_HEADER])
{
	struct writer w = writer_over(head, HANDSHAKE_HEADER);
	struct bytes held = bytes_of(c->into.data, c->into.len);
	uint8_t octet;
	while (w.len < HANDSHAKE_HEADER && (bytes_u8(&held, &octet) || bytes_u8(&part, &octet)))
		writer_u8(&w, octet);
	return bytes_of(head, w.len);
}

/*
 * Judges the message from what is there of a fragment of `length` octets. Sets *size to the message's octets with its
 * header once that is known, else to 0.
 */
static enum collect_result judge_fragment(const struct collect *c, struct bytes part, size_t length, size_t *size)
{
	uint8_t room[HANDSHAKE_HEADER], type;
	struct bytes head = message_head(c, part, room);
	uint32_t body;
	*size = 0;
	if (!bytes_u8(&head, &type))
		return COLLECT_NEED_MORE;
	if (type != HANDSHAKE_CLIENT_HELLO)
		return COLLECT_NOT_HELLO;
	if (!bytes_u24(&head, &body))
		return COLLECT_NEED_MORE;
	if (body > COLLECT_MAX_MESSAGE - HANDSHAKE_HEADER)
		return COLLECT_TOO_LONG;
	*size = HANDSHAKE_HEADER + (size_t)body;
	if (c->into.len + length > *size)
		return COLLECT_TRAILING;
	/* Once the length is known, so is whether it fits: better refused now than after 60 KiB more. */
	bool alone = c->into.len == 0 && length == *size;
	return !alone && *size > c->into.cap ? COLLECT_NO_ROOM : COLLECT_NEED_MORE;
}

static enum collect_result finish(struct collect *c, struct bytes message)
{
	struct bytes body = message;
	if (!bytes_skip(&body, HANDSHAKE_HEADER))
		return COLLECT_NEED_MORE;
	c->message = message;
	c->body = body;
	c->consumed = c->position;
	return COLLECT_DONE;
}

/* Takes a whole record's fragment; the first is copied only when the message goes on after it. */
static enum collect_result take_fragment(struct collect *c, struct bytes fragment)
{
	size_t size;
	enum collect_result result = judge_fragment(c, fragment, fragment.len, &size);
	if (result != COLLECT_NEED_MORE)
		return result;
	if (size > 0 && fragment.len == size)
		return finish(c, fragment);
	struct bytes held;
	writer_bytes(&c->into, fragment);
	if (!writer_done(&c->into, &held))
		return COLLECT_NO_ROOM;
	return size > 0 && held.len == size ? finish(c, held) : COLLECT_NEED_MORE;
}

/* The part of an unfinished record that is there can already show that the message is none we take. */
static enum collect_result judge_part(struct collect *c, struct bytes rest)
{
	size_t size, have = rest.len, missing = record_missing(rest);
	enum collect_result result = judge_header(c, rest);
	if (result != COLLECT_NEED_MORE)
		return result;
	c->wanted = c->position + have + missing;
	if (!bytes_skip(&rest, RECORD_HEADER))
		return COLLECT_NEED_MORE;
	return judge_fragment(c, rest, rest.len + missing, &size);
}

static enum collect_result take_record(struct collect *c, struct bytes *rest)
{
	struct bytes before = *rest;
	struct record record;
	switch (record_read(rest, &record)) {
	case RECORD_OK:
		break;
	case RECORD_NEED_MORE:
		return judge_part(c, before);
	case RECORD_TOO_LONG: {
		enum collect_result result = judge_header(c, before);
		return result == COLLECT_NEED_MORE ? COLLECT_RECORD_OVERFLOW : result;
	}
	case RECORD_NOT_TLS:
		return c->records == 0 ? judge_no_record(c, before) : COLLECT_BROKEN_RECORD;
	}
	enum collect_result result = judge_header(c, before);
	if (result != COLLECT_NEED_MORE)
		return result;
	if (c->records == 0)
		c->version = record.version;
	c->position += RECORD_HEADER + record.fragment.len;
	c->records++;
	c->wanted = c->position + RECORD_HEADER;
	return take_fragment(c, record.fragment);
}

enum collect_result collect_more(struct collect *c, struct bytes stream)
{
	struct bytes rest = stream;
	if (c->settled != COLLECT_NEED_MORE || !bytes_skip(&rest, c->position))
		return c->settled;
	while (c->settled == COLLECT_NEED_MORE) {
		size_t before = c->position;
		c->settled = take_record(c, &rest);
		if (c->position == before)
			break;
	}
	return c->settled;
}

const char *collect_result_text(enum collect_result result)
{
	switch (result) {
	case COLLECT_DONE:
		return "a whole ClientHello";
	case COLLECT_NEED_MORE:
		return "the ClientHello is not complete";
	case COLLECT_NOT_TLS:
		return "the stream does not begin as TLS does";
	case COLLECT_SSLV2:
		return "an SSLv2 hello, which RFC 6176 forbids";
	case COLLECT_NOT_HELLO:
		return "the first message is no ClientHello";
	case COLLECT_INTERLEAVED:
		return "another record stands between the ClientHello's records";
	case COLLECT_EMPTY_FRAGMENT:
		return "a handshake record without content";
	case COLLECT_TRAILING:
		return "the ClientHello's last record goes on after it";
	case COLLECT_RECORD_OVERFLOW:
		return "a record longer than 16 KiB";
	case COLLECT_BROKEN_RECORD:
		return "no record header where one must stand";
	case COLLECT_TOO_LONG:
		return "the ClientHello is longer than 64 KiB";
	case COLLECT_NO_ROOM:
		return "the ClientHello is longer than the room kept for it";
	}
	return "unknown result";
}

uint8_t collect_alert(enum collect_result result)
{
	switch (result) {
	case COLLECT_DONE:
	case COLLECT_NEED_MORE:
	case COLLECT_NOT_TLS:
		return ALERT_CLOSE_NOTIFY;
	case COLLECT_SSLV2:
		return ALERT_PROTOCOL_VERSION;
	case COLLECT_NOT_HELLO:
	case COLLECT_INTERLEAVED:
	case COLLECT_EMPTY_FRAGMENT:
	case COLLECT_TRAILING:
		return ALERT_UNEXPECTED_MESSAGE;
	case COLLECT_RECORD_OVERFLOW:
		return ALERT_RECORD_OVERFLOW;
	case COLLECT_BROKEN_RECORD:
		return ALERT_DECODE_ERROR;
	case COLLECT_TOO_LONG:
		return ALERT_ILLEGAL_PARAMETER;
	case COLLECT_NO_ROOM:
		return ALERT_INTERNAL_ERROR;
	}
	return ALERT_INTERNAL_ERROR;
}
