#include "decode/decoder.h"

#include "decode/exchange.h"
#include "decode/http1.h"
#include "decode/http1_head.h"
#include "decode/http2.h"

#define GUESS_MAX 24
#define PREFACE   "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"

static bool alpn_is(struct bytes alpn, const char *name)
{
	return bytes_equal(alpn, bytes_str(name));
}

/* How far `in` is like `word`, without case: all of it there, all of what is there, or not. */
enum likeness { LIKE_ALL, LIKE_SO_FAR, LIKE_NOT };

static enum likeness like(struct bytes in, const char *word)
{
	struct bytes whole = bytes_str(word);
	struct bytes front = bytes_of(whole.data, in.len < whole.len ? in.len : whole.len);
	struct bytes part = bytes_of(in.data, front.len);
	if (!bytes_equal_nocase(part, front))
		return LIKE_NOT;
	return front.len == whole.len ? LIKE_ALL : LIKE_SO_FAR;
}

/* A request line: a token, a blank, and the beginning of a target. Protocols of mail and chat have the first two too. */
static enum likeness like_request(struct bytes first)
{
	size_t n = 0;
	while (n < first.len && http1_token_octet(first.data[n]))
		n++;
	if (n == first.len)
		return LIKE_SO_FAR;
	struct bytes method;
	if (n == 0 || first.data[n] != ' ' || !bytes_take(&first, n, &method) || !bytes_skip(&first, 1))
		return LIKE_NOT;
	if (first.len == 0)
		return LIKE_SO_FAR;
	if (first.data[0] == '/' || first.data[0] == '*')
		return LIKE_ALL;
	if (bytes_equal(method, bytes_str("CONNECT")))
		return first.data[0] > ' ' && first.data[0] < 0x7f ? LIKE_ALL : LIKE_NOT;
	return like(first, "http");
}

enum decoder_guess decoder_guess(struct bytes alpn, struct bytes first, enum decoder_kind *kind)
{
	*kind = DECODER_NONE;
	if (alpn_is(alpn, "h2"))
		*kind = DECODER_HTTP2;
	else if (alpn_is(alpn, "http/1.1") || alpn_is(alpn, "http/1.0"))
		*kind = DECODER_HTTP1;
	if (alpn.len > 0)
		return DECODER_GUESSED;
	enum likeness preface = LIKE_NOT;
	if (first.len <= GUESS_MAX ? bytes_starts(bytes_str(PREFACE), first) : bytes_starts(first, bytes_str(PREFACE)))
		preface = first.len >= GUESS_MAX ? LIKE_ALL : LIKE_SO_FAR;
	enum likeness request = preface == LIKE_NOT ? like_request(first) : LIKE_NOT;
	if (first.len < GUESS_MAX && (preface == LIKE_SO_FAR || request == LIKE_SO_FAR))
		return DECODER_GUESS_MORE;
	if (preface == LIKE_ALL)
		*kind = DECODER_HTTP2;
	else if (request == LIKE_ALL)
		*kind = DECODER_HTTP1;
	return DECODER_GUESSED;
}

struct decoder *decoder_new(enum decoder_kind kind, uint64_t flow, const struct decoder_limits *limits,
	const struct decoder_output *out, void *ctx)
{
	struct decoder base = {.kind = kind, .flow = flow, .limits = *limits, .out = out, .ctx = ctx};
	switch (kind) {
	case DECODER_HTTP1:
		return http1_new(&base);
	case DECODER_HTTP2:
		return http2_new(&base);
	case DECODER_NONE:
		break;
	}
	return NULL;
}

void decoder_free(struct decoder *decoder)
{
	if (!decoder)
		return;
	if (decoder->kind == DECODER_HTTP2)
		http2_free(decoder);
	else
		http1_free(decoder);
}

void decoder_feed(struct decoder *decoder, enum flow_direction direction, struct bytes bytes, uint64_t time_ns)
{
	if (decoder->kind == DECODER_HTTP2)
		http2_feed(decoder, direction, bytes, time_ns);
	else
		http1_feed(decoder, direction, bytes, time_ns);
}

void decoder_gap(struct decoder *decoder, enum flow_direction direction, uint64_t octets, uint64_t time_ns)
{
	if (octets == 0)
		return;
	if (decoder->kind == DECODER_HTTP2)
		http2_gap(decoder, direction, octets, time_ns);
	else
		http1_gap(decoder, direction, octets, time_ns);
}

uint64_t decoder_skip(const struct decoder *decoder, enum flow_direction direction)
{
	return decoder->kind == DECODER_HTTP2 ? http2_skip(decoder, direction) : http1_skip(decoder, direction);
}

void decoder_half(struct decoder *decoder, enum flow_direction direction, uint64_t time_ns)
{
	/* h2 says itself where each stream ends. */
	if (decoder->kind == DECODER_HTTP1)
		http1_half(decoder, direction, time_ns);
}

void decoder_close(struct decoder *decoder, uint64_t time_ns)
{
	if (decoder->kind == DECODER_HTTP2)
		http2_close(decoder, time_ns);
	else
		http1_close(decoder, time_ns);
}

bool decoder_left(const struct decoder *decoder)
{
	return decoder->left;
}
