#include "proxy/http_parts.h"

/* Chunked coding (RFC 9112, 7.1), octet by octet but for the data. Blanks before an extension are not accepted. */
enum chunk_stage {
	CHUNK_SIZE,
	CHUNK_EXTENSION,
	CHUNK_SIZE_LF,
	CHUNK_DATA,
	CHUNK_DATA_CR,
	CHUNK_DATA_LF,
	CHUNK_TRAILER, /* at the start of a line */
	CHUNK_TRAILER_NAME,
	CHUNK_TRAILER_VALUE,
	CHUNK_TRAILER_LF,
	CHUNK_END_LF,
};

void http_body_begin(struct http_body *body, const struct http_head *head)
{
	*body = (struct http_body){.framing = head->framing};
	if (head->framing == HTTP_LENGTH)
		body->left = head->content_length;
	body->done = head->framing == HTTP_NO_BODY;
}

static int hex_value(uint8_t c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	c |= 0x20;
	return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

static const char *chunk_size(struct http_body *body, uint8_t c)
{
	int digit = hex_value(c);
	if (digit >= 0) {
		if (body->left >> 59 != 0 || body->digits == 16)
			return "a chunk's size is too large";
		body->left = body->left << 4 | (uint64_t)digit;
		body->digits++;
		return NULL;
	}
	if (body->digits == 0 || (c != ';' && c != '\r'))
		return "a chunk's size is no hexadecimal number";
	body->digits = 0;
	body->stage = c == ';' ? CHUNK_EXTENSION : CHUNK_SIZE_LF;
	return NULL;
}

static const char *chunk_free_text(struct http_body *body, uint8_t c, uint8_t then)
{
	if (c == '\r')
		body->stage = then;
	else if (http_is_control(c))
		return "there is a control character or a bare LF between chunks";
	else if (++body->overhead > HTTP_MAX_TRAILER)
		return "its chunk extensions and trailer fields are longer than 8 KiB";
	return NULL;
}

static const char *chunk_expect(struct http_body *body, uint8_t c, uint8_t expected, uint8_t then)
{
	if (c != expected)
		return "a line or a chunk does not end in CRLF";
	body->stage = then;
	return NULL;
}

static const char *chunk_trailer(struct http_body *body, uint8_t c)
{
	if (body->stage == CHUNK_TRAILER && c == '\r') {
		body->stage = CHUNK_END_LF;
		return NULL;
	}
	bool name_ends = body->stage == CHUNK_TRAILER_NAME && c == ':';
	if (!name_ends && !http_is_token_octet(c))
		return "a trailer line is no field, or is folded";
	body->stage = name_ends ? CHUNK_TRAILER_VALUE : CHUNK_TRAILER_NAME;
	return ++body->overhead > HTTP_MAX_TRAILER ? "its chunk extensions and trailer fields are longer than 8 KiB"
	                                           : NULL;
}

static const char *chunk_octet(struct http_body *body, uint8_t c)
{
	const char *fault = NULL;
	switch ((enum chunk_stage)body->stage) {
	case CHUNK_SIZE:
		return chunk_size(body, c);
	case CHUNK_EXTENSION:
		return chunk_free_text(body, c, CHUNK_SIZE_LF);
	case CHUNK_SIZE_LF:
		return chunk_expect(body, c, '\n', body->left > 0 ? CHUNK_DATA : CHUNK_TRAILER);
	case CHUNK_DATA:
		return NULL; /* passed over in one go by http_body_feed */
	case CHUNK_DATA_CR:
		return chunk_expect(body, c, '\r', CHUNK_DATA_LF);
	case CHUNK_DATA_LF:
		return chunk_expect(body, c, '\n', CHUNK_SIZE);
	case CHUNK_TRAILER:
	case CHUNK_TRAILER_NAME:
		return chunk_trailer(body, c);
	case CHUNK_TRAILER_VALUE:
		return chunk_free_text(body, c, CHUNK_TRAILER_LF);
	case CHUNK_TRAILER_LF:
		return chunk_expect(body, c, '\n', CHUNK_TRAILER);
	case CHUNK_END_LF:
		fault = chunk_expect(body, c, '\n', CHUNK_SIZE);
		body->done = fault == NULL;
		return fault;
	}
	return "its framing is lost";
}

/* Passes over octets of content, as many as there are. */
static void body_content(struct http_body *body, struct bytes *in)
{
	size_t n = in->len < body->left ? in->len : (size_t)body->left;
	if (!bytes_skip(in, n))
		return;
	body->left -= n;
	body->seen += n;
}

static enum http_body_result chunks_feed(struct http_body *body, struct bytes *in, struct error *why)
{
	while (in->len > 0 && !body->done) {
		uint8_t c;
		if (body->stage == CHUNK_DATA) {
			body_content(body, in);
			if (body->left == 0)
				body->stage = CHUNK_DATA_CR;
			continue;
		}
		const char *fault = bytes_u8(in, &c) ? chunk_octet(body, c) : NULL;
		if (fault) {
			body->broken = true;
			error_set(why, "chunked HTTP body: %s", fault);
			return HTTP_BODY_BAD;
		}
	}
	return body->done ? HTTP_BODY_DONE : HTTP_BODY_MORE;
}

enum http_body_result http_body_feed(struct http_body *body, struct bytes in, size_t *used, struct error *why)
{
	struct bytes rest = in;
	enum http_body_result result = HTTP_BODY_MORE;
	*used = 0;
	if (body->broken) {
		error_set(why, "chunked HTTP body: its framing is lost");
		return HTTP_BODY_BAD;
	}
	if (body->done)
		return HTTP_BODY_DONE;
	if (body->framing == HTTP_CHUNKED) {
		result = chunks_feed(body, &rest, why);
	} else if (body->framing == HTTP_UNTIL_CLOSE) {
		body->seen += in.len;
		rest = BYTES_NONE;
	} else {
		body_content(body, &rest);
		body->done = body->left == 0;
		result = body->done ? HTTP_BODY_DONE : HTTP_BODY_MORE;
	}
	*used = in.len - rest.len;
	return result;
}

bool http_body_may_end(const struct http_body *body)
{
	return body->done || (body->framing == HTTP_UNTIL_CLOSE && !body->broken);
}
