#include "cli/get_http.h"

#include "base/text.h"
#include "decode/chunked.h"
#include "decode/http1_head.h"

#include <stdio.h>
#include <stdlib.h>

#define BUFFER         ((size_t)64 * 1024)
#define CHUNK_EXTRAS   ((size_t)16 * 1024) /* octets of extensions and trailers */
#define INFORMATIONALS 16                  /* responses 1xx before the real one */

struct reading {
	struct get_link *link;
	const struct get_request *request;
	struct get_answer *answer;
	uint8_t buffer[BUFFER];
	size_t len; /* octets in the buffer */
	bool ended; /* close_notify came */
	struct http1_head head;
	struct chunked chunked;
};

static bool send_request(struct get_link *link, const struct get_url *url, struct error *err)
{
	static char request[GET_TARGET_MAX + 1024];
	char host[SUBJECT_NAME_MAX + 16];
	get_url_host(url, host, sizeof(host));
	int n = snprintf(request, sizeof(request),
		"GET %s HTTP/1.1\r\nHost: %s\r\nUser-Agent: overt/%s\r\nAccept: */*\r\nConnection: close\r\n\r\n",
		url->target, host, OVERT_VERSION);
	return n > 0 && (size_t)n < sizeof(request) ? get_link_write(link, bytes_of(request, (size_t)n), err)
	                                            : error_set(err, "the URL is too long");
}

/* Adds octets to the buffer. False also when it is full. */
static bool more(struct reading *r, struct error *err)
{
	size_t got = 0;
	if (r->len == BUFFER)
		return error_set(err, "the response's head is over %zu octets", BUFFER);
	enum get_link_read result = get_link_read(r->link, r->buffer + r->len, BUFFER - r->len, &got, err);
	r->len += got;
	r->ended = result == GET_LINK_END;
	return result != GET_LINK_CUT;
}

static void drop(struct reading *r, size_t n)
{
	memmove(r->buffer, r->buffer + n, r->len - n);
	r->len -= n;
}

/* Leaves a whole final head in r->head, whose views last until the buffer changes; *len is its length. */
static bool read_head(struct reading *r, size_t *len, struct error *err)
{
	for (unsigned i = 0; i < INFORMATIONALS;) {
		*len = http1_head_end(bytes_of(r->buffer, r->len), 0);
		if (*len == 0) {
			if (r->ended)
				return error_set(err, "the server ended the connection before its response was whole");
			if (!more(r, err))
				return false;
			continue;
		}
		const char *bad = http1_head_response(bytes_of(r->buffer, *len), HTTP1_HEADERS_MAX, &r->head);
		if (bad)
			return error_set(err, "the response is malformed: %s", bad);
		if (r->head.status >= 200)
			return true;
		if (r->head.status == 101)
			return error_set(err, "the server switches to another protocol, unasked");
		drop(r, *len);
		i++;
	}
	return error_set(err, "the server sends over %d responses before the real one", INFORMATIONALS);
}

static void note_location(struct reading *r)
{
	for (size_t i = 0; i < r->head.header_count; i++) {
		const struct message_header *header = &r->head.headers[i];
		if (bytes_equal_nocase(header->name, bytes_str("location")))
			text_clean(r->answer->location, sizeof(r->answer->location), header->value);
	}
}

static bool give(struct reading *r, struct bytes part, struct error *err)
{
	if (part.len > r->request->max_octets - r->answer->octets)
		return error_set(
			err, "the body is over %llu octets (--max-size)", (unsigned long long)r->request->max_octets);
	r->answer->octets += part.len;
	return part.len == 0 || r->request->body(r->request->ctx, part, err);
}

/* Takes what is in the buffer. *done: the body is over. */
static bool take(struct reading *r, bool *done, struct error *err)
{
	struct bytes in = bytes_of(r->buffer, r->len);
	struct bytes part;
	bool ok = true;
	enum chunked_result result = CHUNKED_DATA;
	if (r->head.framing == HTTP1_CLOSE) {
		*done = r->ended;
		ok = give(r, in, err);
	} else if (r->head.framing == HTTP1_LENGTH) {
		uint64_t left = r->head.length - r->answer->octets;
		ok = give(r, bytes_of(in.data, in.len < left ? in.len : (size_t)left), err);
		*done = r->answer->octets == r->head.length;
	} else {
		while (ok && result == CHUNKED_DATA) {
			result = chunked_read(&r->chunked, &in, CHUNK_EXTRAS, &part);
			if (result == CHUNKED_DATA)
				ok = give(r, part, err);
		}
		if (result == CHUNKED_BAD)
			ok = error_set(err, "the body's chunks are malformed");
		*done = result == CHUNKED_END;
	}
	r->len = 0;
	return ok;
}

static bool read_body(struct reading *r, struct error *err)
{
	bool done = r->head.status == 204 || r->head.status == 304;
	if (r->head.framing == HTTP1_LENGTH && r->head.length > r->request->max_octets)
		return error_set(err, "the body is %llu octets long, over %llu (--max-size)",
			(unsigned long long)r->head.length, (unsigned long long)r->request->max_octets);
	while (!done) {
		if (!take(r, &done, err))
			return false;
		if (done)
			break;
		if (r->ended)
			return error_set(err, "the body ended after %llu octets, too early",
				(unsigned long long)r->answer->octets);
		if (!more(r, err))
			return false;
	}
	return true;
}

bool get_http(struct get_link *link, const struct get_request *request, struct get_answer *answer, struct error *err)
{
	struct reading *r = calloc(1, sizeof(*r));
	size_t head_len;
	*answer = (struct get_answer){0};
	if (!r)
		return error_set(err, "no memory for the response");
	r->link = link;
	r->request = request;
	r->answer = answer;
	bool ok = send_request(link, request->url, err) && read_head(r, &head_len, err);
	if (ok) {
		answer->status = r->head.status;
		note_location(r);
		drop(r, head_len);
		ok = read_body(r, err);
	}
	free(r);
	return ok;
}
