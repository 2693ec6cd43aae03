/* What decoding costs. Prints nanoseconds per message pair and megabytes of body per second. */
#include "base/clock.h"
#include "decode/decoder.h"

#include <nghttp2/nghttp2.h>
#include <stdio.h>
#include <stdlib.h>

#define PAIRS 500000

#define REQUEST "GET /index.html?q=1 HTTP/1.1\r\nHost: www.example.com\r\nUser-Agent: bench/1.0\r\nAccept: */*\r\n\r\n"
#define RESPONSE                                                                                                       \
	"HTTP/1.1 200 OK\r\nServer: bench\r\nContent-Type: text/plain\r\nContent-Length: "                             \
	"20\r\n\r\n01234567890123456789"

static uint64_t calls;

static void request(void *ctx, const struct message_request *q)
{
	(void)ctx;
	calls += q->header_count;
}

static void response(void *ctx, const struct message_response *s)
{
	(void)ctx;
	calls += s->header_count;
}

static void end(void *ctx, const struct message_end *e)
{
	(void)ctx;
	calls += e->ending == MESSAGE_DONE;
}

static void notice(void *ctx, enum flow_severity severity, const char *name, struct bytes text)
{
	(void)ctx;
	(void)severity;
	(void)fprintf(stderr, "%s: %.*s\n", name, (int)text.len, (const char *)text.data);
	exit(1);
}

static void body(void *ctx, const struct message_body *b)
{
	(void)ctx;
	calls += b->bytes.len > 0;
}

static const struct decoder_output out = {request, response, NULL, end, notice};
static const struct decoder_output with_bodies = {request, response, body, end, notice};

static struct decoder *fresh(enum decoder_kind kind, const struct decoder_output *output)
{
	struct decoder *decoder = decoder_new(kind, 1, &DECODER_LIMITS_DEFAULT, output, NULL);
	if (!decoder)
		exit(1);
	return decoder;
}

static void http1_pairs(bool split)
{
	struct decoder *decoder = fresh(DECODER_HTTP1, &out);
	struct bytes ask = bytes_str(REQUEST);
	struct bytes answer = bytes_str(RESPONSE);
	size_t cut = split ? 40 : 0;
	uint64_t start = clock_monotonic_ns();
	for (unsigned i = 0; i < PAIRS; i++) {
		decoder_feed(decoder, FLOW_UP, bytes_of(ask.data, cut), i);
		decoder_feed(decoder, FLOW_UP, bytes_of(ask.data + cut, ask.len - cut), i);
		decoder_feed(decoder, FLOW_DOWN, bytes_of(answer.data, cut), i);
		decoder_feed(decoder, FLOW_DOWN, bytes_of(answer.data + cut, answer.len - cut), i);
	}
	(void)printf("http1 pair%s, %zu + %zu octets: %.0f ns\n", split ? " in pieces" : "", ask.len, answer.len,
		(double)(clock_monotonic_ns() - start) / PAIRS);
	decoder_free(decoder);
}

static void http1_body(bool chunked)
{
	static uint8_t chunk[16384 + 8];
	struct decoder *decoder = fresh(DECODER_HTTP1, &with_bodies);
	size_t len = chunked ? sizeof(chunk) : 16384;
	memset(chunk, 'x', sizeof(chunk));
	if (chunked) {
		struct writer front = writer_over(chunk, 6);
		writer_bytes(&front, bytes_str("4000\r\n"));
		struct writer back = writer_over(chunk + sizeof(chunk) - 2, 2);
		writer_bytes(&back, bytes_str("\r\n"));
	}
	decoder_feed(decoder, FLOW_UP, bytes_str(REQUEST), 1);
	decoder_feed(decoder, FLOW_DOWN,
		bytes_str(chunked ? "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
				  : "HTTP/1.1 200 OK\r\nContent-Length: 99999999999999\r\n\r\n"),
		1);
	uint64_t start = clock_monotonic_ns();
	for (unsigned i = 0; i < PAIRS; i++)
		decoder_feed(decoder, FLOW_DOWN, bytes_of(chunk, len), 1);
	(void)printf("http1 %s body: %.0f MB/s\n", chunked ? "chunked" : "plain",
		16384.0 * PAIRS * 1000 / (double)(clock_monotonic_ns() - start));
	decoder_free(decoder);
}

#define NV(n, v) ((nghttp2_nv){(uint8_t *)(uintptr_t)(n), (uint8_t *)(uintptr_t)(v), strlen(n), strlen(v), 0})

static size_t frame(uint8_t *into, uint8_t type, uint8_t flags, uint32_t stream, struct bytes payload)
{
	struct writer w = writer_over(into, 9 + payload.len);
	writer_u24(&w, (uint32_t)payload.len);
	writer_u8(&w, type);
	writer_u8(&w, flags);
	writer_u32(&w, stream);
	writer_bytes(&w, payload);
	return w.len;
}

static struct bytes block(nghttp2_hd_deflater *deflater, const nghttp2_nv *headers, size_t count, uint8_t *into)
{
	ssize_t n = nghttp2_hd_deflate_hd(deflater, into, 1024, headers, count);
	return bytes_of(into, n < 0 ? 0 : (size_t)n);
}

static void http2_pairs(void)
{
	struct decoder *decoder = fresh(DECODER_HTTP2, &out);
	nghttp2_hd_deflater *up;
	nghttp2_hd_deflater *down;
	if (nghttp2_hd_deflate_new(&up, 4096) != 0 || nghttp2_hd_deflate_new(&down, 4096) != 0)
		exit(1);
	const nghttp2_nv ask[] = {NV(":method", "GET"), NV(":scheme", "https"), NV(":authority", "www.example.com"),
		NV(":path", "/index.html?q=1"), NV("user-agent", "bench/1.0"), NV("accept", "*/*")};
	const nghttp2_nv answer[] = {NV(":status", "200"), NV("server", "bench"), NV("content-type", "text/plain"),
		NV("content-length", "20")};
	uint8_t packed[1024];
	uint8_t wire[2048];
	decoder_feed(decoder, FLOW_UP, bytes_str("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"), 1);
	decoder_feed(decoder, FLOW_UP, bytes_of(wire, frame(wire, 4, 0, 0, BYTES_NONE)), 1);
	decoder_feed(decoder, FLOW_DOWN, bytes_of(wire, frame(wire, 4, 0, 0, BYTES_NONE)), 1);
	uint64_t spent = 0;
	for (uint32_t i = 0; i < PAIRS; i++) {
		size_t n = frame(wire, 1, 5, i * 2 + 1, block(up, ask, 6, packed));
		size_t m = frame(wire + n, 1, 4, i * 2 + 1, block(down, answer, 4, packed));
		m += frame(wire + n + m, 0, 1, i * 2 + 1, bytes_str("01234567890123456789"));
		uint64_t start = clock_monotonic_ns();
		decoder_feed(decoder, FLOW_UP, bytes_of(wire, n), 1);
		decoder_feed(decoder, FLOW_DOWN, bytes_of(wire + n, m), 1);
		spent += clock_monotonic_ns() - start;
	}
	(void)printf("http2 pair, same headers: %.0f ns\n", (double)spent / PAIRS);
	static uint8_t data[16384 + 9];
	static uint8_t zeros[16384];
	decoder_feed(decoder, FLOW_UP, bytes_of(wire, frame(wire, 1, 5, PAIRS * 2 + 1, block(up, ask, 6, packed))), 1);
	size_t n = frame(data, 0, 0, PAIRS * 2 + 1, bytes_of(zeros, sizeof(zeros)));
	uint64_t start = clock_monotonic_ns();
	for (unsigned i = 0; i < PAIRS; i++)
		decoder_feed(decoder, FLOW_DOWN, bytes_of(data, n), 1);
	(void)printf("http2 body: %.0f MB/s\n", 16384.0 * PAIRS * 1000 / (double)(clock_monotonic_ns() - start));
	nghttp2_hd_deflate_del(up);
	nghttp2_hd_deflate_del(down);
	decoder_free(decoder);
}

int main(void)
{
	http1_pairs(false);
	http1_pairs(true);
	http1_body(false);
	http1_body(true);
	http2_pairs();
	return calls == 0;
}
