#include "decode/chunked.h"

/*
 * By hand where the rest of HTTP/1 is llhttp's: a stretch of data must be passable unseen (lost, or not copied by the
 * proxy), for which llhttp has no call.
 */
enum state {
	STATE_SIZE,
	STATE_SPACE, /* some pad the size with blanks; nothing else may stand there */
	STATE_EXTENSION,
	STATE_SIZE_LF,
	STATE_DATA,
	STATE_DATA_CR,
	STATE_DATA_LF,
	STATE_LINE, /* a trailer, or the last empty line, begins here */
	STATE_TRAILER,
	STATE_TRAILER_LF,
	STATE_LAST_LF,
};

#define DIGITS_MAX 16 /* more would be over 64 bits, or zeros to fool somebody */

static bool hex_digit(uint8_t c, unsigned *value)
{
	if (c >= '0' && c <= '9')
		*value = (unsigned)(c - '0');
	else if ((c | 0x20) >= 'a' && (c | 0x20) <= 'f')
		*value = (unsigned)((c | 0x20) - 'a') + 10;
	else
		return false;
	return true;
}

static bool size_ends(struct chunked *body, uint8_t c)
{
	body->state = c == '\r' ? STATE_SIZE_LF : c == ';' ? STATE_EXTENSION : STATE_SPACE;
	return c == '\r' || c == ';' || c == ' ' || c == '\t';
}

static bool size_octet(struct chunked *body, uint8_t c)
{
	unsigned value;
	if (hex_digit(c, &value)) {
		body->left = body->left << 4 | value;
		return ++body->digits <= DIGITS_MAX;
	}
	if (body->digits == 0)
		return false;
	return size_ends(body, c);
}

/* Of an extension or a trailer: neither may hold a bare LF, which some would take for the end of the line. */
static bool text_octet(struct chunked *body, uint8_t c, enum state behind)
{
	if (c == '\r')
		body->state = (uint8_t)behind;
	return c != '\n';
}

static bool lf(struct chunked *body, uint8_t c, enum state behind)
{
	body->state = (uint8_t)behind;
	return c == '\n';
}

/* One octet that is not data. */
static bool octet(struct chunked *body, uint8_t c)
{
	switch ((enum state)body->state) {
	case STATE_SIZE:
		return size_octet(body, c);
	case STATE_SPACE:
		return size_ends(body, c);
	case STATE_EXTENSION:
		return text_octet(body, c, STATE_SIZE_LF);
	case STATE_SIZE_LF:
		return lf(body, c, body->left > 0 ? STATE_DATA : STATE_LINE);
	case STATE_DATA_CR:
		body->state = STATE_DATA_LF;
		return c == '\r';
	case STATE_DATA_LF:
		body->digits = 0;
		return lf(body, c, STATE_SIZE);
	case STATE_LINE:
		body->state = c == '\r' ? STATE_LAST_LF : STATE_TRAILER;
		return c != '\n' && c != ':';
	case STATE_TRAILER:
		return text_octet(body, c, STATE_TRAILER_LF);
	case STATE_TRAILER_LF:
		return lf(body, c, STATE_LINE);
	case STATE_LAST_LF:
	case STATE_DATA:
		break;
	}
	return c == '\n';
}

enum chunked_result chunked_read(struct chunked *body, struct bytes *in, size_t cap, struct bytes *data)
{
	uint8_t c;
	while (in->len > 0) {
		if (body->state == STATE_DATA) {
			if (!bytes_take(in, body->left < in->len ? (size_t)body->left : in->len, data))
				return CHUNKED_BAD;
			chunked_pass(body, data->len);
			return CHUNKED_DATA;
		}
		bool last = body->state == STATE_LAST_LF;
		body->trailer += body->state >= STATE_LINE;
		if (++body->extra > cap || !bytes_u8(in, &c) || !octet(body, c))
			return CHUNKED_BAD;
		if (last)
			return CHUNKED_END;
	}
	return CHUNKED_MORE;
}

uint64_t chunked_ahead(const struct chunked *body)
{
	return body->state == STATE_DATA ? body->left : 0;
}

void chunked_pass(struct chunked *body, uint64_t octets)
{
	body->left -= octets;
	body->extra = 0;
	if (body->left == 0)
		body->state = STATE_DATA_CR;
}
