/*
 * A request gives the same result in one piece and in two; the head sent on for it is itself in order, with the same
 * host and framing and no second request in it; and a body ends at the same octet however it comes.
 */
#include "proxy/intake_http.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check_forwarded(const struct intake_http *h)
{
	static uint8_t room[HTTP_MAX_FORWARD];
	static struct intake_http again;
	struct writer w = writer_over(room, sizeof(room));
	struct bytes out;
	intake_http_forward(h, bytes_str("me"), NULL, &w);
	if (!writer_done(&w, &out))
		abort();
	again = (struct intake_http){0};
	/* The rewritten head may pass the cap on heads by what was added to it. */
	if (out.len > HTTP_MAX_HEAD || h->head.count > HTTP_MAX_FIELDS - 4)
		return;
	if (intake_http_read(&again, out, bytes_str("me")) != INTAKE_HTTP_ORIGIN)
		abort();
	if (again.head.len != out.len || again.head.framing != h->head.framing || !again.looped || !again.head.close)
		abort();
	if (again.head.content_length != h->head.content_length || strcmp(again.target.host, h->target.host) != 0)
		abort();
	if (again.proxy_authorization.len > 0 || again.target.port != h->target.port)
		abort();
}

static void check_body(const struct http_head *head, struct bytes in, size_t cut)
{
	struct http_body whole, part;
	struct error why;
	size_t used = 0, first = 0, second = 0;
	struct bytes front;
	http_body_begin(&whole, head);
	http_body_begin(&part, head);
	enum http_body_result result = http_body_feed(&whole, in, &used, &why);
	if (!bytes_take(&in, cut % (in.len + 1), &front))
		abort();
	enum http_body_result halves = http_body_feed(&part, front, &first, &why);
	if (halves == HTTP_BODY_MORE)
		halves = http_body_feed(&part, in, &second, &why);
	if (halves != result || (result != HTTP_BODY_BAD && (first + second != used || part.seen != whole.seen)))
		abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static struct intake_http whole, part;
	if (size < 2)
		return 0;
	size_t cut = (size_t)(data[0] << 8 | data[1]);
	struct bytes in = bytes_of(data + 2, size - 2);
	whole = part = (struct intake_http){0};
	enum intake_http_result result = intake_http_read(&whole, in, bytes_str("me"));
	enum intake_http_result halves =
		intake_http_read(&part, bytes_of(in.data, cut % (in.len + 1)), bytes_str("me"));
	if (halves == INTAKE_HTTP_NEED_MORE)
		halves = intake_http_read(&part, in, bytes_str("me"));
	if (halves != result || whole.status != part.status || whole.head.len != part.head.len)
		abort();
	if (result == INTAKE_HTTP_ABSOLUTE)
		check_forwarded(&whole);
	if (result >= INTAKE_HTTP_CONNECT && bytes_skip(&in, whole.head.len))
		check_body(&whole.head, in, cut);
	struct http_head chunked = {.framing = HTTP_CHUNKED};
	check_body(&chunked, bytes_of(data + 2, size - 2), cut);
	struct intake_user user = {INTAKE_USER_BASIC, bytes_str("a:b")};
	struct intake_users users = {&user, 1};
	size_t which;
	if (intake_auth_header(bytes_of(data, size), &users, &which) && which != 0)
		abort();
	(void)intake_protocol(in);
	return 0;
}
