/*
 * A response gives the same result in one piece and in two, and the head sent on for it is itself in order and framed
 * the same; the answer of an upstream proxy to CONNECT likewise.
 */
#include "proxy/intake_http.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check_forwarded(const struct http_head *head, const struct http_asked *asked)
{
	static uint8_t room[HTTP_MAX_FORWARD];
	static struct http_head again;
	struct writer w = writer_over(room, sizeof(room));
	struct http_scan scan = {0};
	struct error why;
	struct bytes out;
	bool close = http_response_forward(head, asked, bytes_str("me"), false, &w);
	if (!writer_done(&w, &out))
		abort();
	if (out.len == 0 || out.len > HTTP_MAX_HEAD || head->count > HTTP_MAX_FIELDS - 4)
		return;
	if (http_response_read(&scan, out, asked, &again, &why) < HTTP_RESPONSE_INTERIM)
		abort();
	if (again.len != out.len || again.framing != head->framing || again.status != head->status ||
		again.close != close)
		abort();
}

static void check_connect(struct bytes in, size_t cut)
{
	struct http_connect whole = {0}, part = {0};
	enum http_connect_result result = http_connect_read(&whole, in);
	enum http_connect_result halves = http_connect_read(&part, bytes_of(in.data, cut % (in.len + 1)));
	if (halves == HTTP_CONNECT_NEED_MORE)
		halves = http_connect_read(&part, in);
	if (halves != result || part.used != whole.used || part.status != whole.status || whole.used > in.len)
		abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static struct http_head whole, part;
	struct http_scan scan = {0}, scan_part = {0};
	struct error why;
	if (size < 3)
		return 0;
	size_t cut = (size_t)(data[0] << 8 | data[1]);
	struct http_asked asked = {.head = data[2] & 1, .http10 = data[2] & 2, .close = data[2] & 4};
	struct bytes in = bytes_of(data + 3, size - 3);
	enum http_response_result result = http_response_read(&scan, in, &asked, &whole, &why);
	enum http_response_result halves =
		http_response_read(&scan_part, bytes_of(in.data, cut % (in.len + 1)), &asked, &part, &why);
	if (halves == HTTP_RESPONSE_NEED_MORE)
		halves = http_response_read(&scan_part, in, &asked, &part, &why);
	if (halves != result || (result >= HTTP_RESPONSE_INTERIM && whole.len != part.len))
		abort();
	if (result >= HTTP_RESPONSE_INTERIM)
		check_forwarded(&whole, &asked);
	check_connect(in, cut);
	return 0;
}
