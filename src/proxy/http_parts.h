/* proxy/http_parts.h — what the files of proxy/intake_http.h share among themselves (RFC 9110, RFC 9112). */
#ifndef PROXY_HTTP_PARTS_H
#define PROXY_HTTP_PARTS_H

#include "proxy/intake_http.h"

/* The status to answer, and why in words. 0: no fault. */
struct http_fault {
	uint16_t status;
	const char *what;
};

#define HTTP_NO_FAULT ((struct http_fault){0, NULL})

/* Octets of grammar (http_grammar.c). */

must_check bool http_is_token_octet(uint8_t c);
must_check bool http_is_token(struct bytes in);
must_check bool http_is_control(uint8_t c);
must_check bool http_is_blank(uint8_t c);
/* Without blanks around it. */
must_check struct bytes http_trim(struct bytes in);
/* The octets before the next `mark`, which is taken too; all of them when there is none. */
must_check struct bytes http_take_until(struct bytes *in, uint8_t mark);
/* `n` octets from `from` on, fewer when there are fewer. */
must_check struct bytes http_slice(struct bytes in, size_t from, size_t n);

/* Heads (http_grammar.c). */

enum http_head_kind { HEAD_REQUEST, HEAD_RESPONSE };

enum http_scan_result { SCAN_NEED_MORE, SCAN_DONE, SCAN_BAD, SCAN_TOO_LONG };

/* Looks for the end of the head that begins at `start`, whose length from there goes to *len. */
must_check enum http_scan_result http_head_scan(enum http_head_kind kind, struct http_scan *scan, struct bytes in,
	size_t start, size_t *len, struct http_fault *fault);
/* Reads the lines of a whole head, each known to end in CRLF. */
must_check struct http_fault http_head_lines(enum http_head_kind kind, struct bytes in, struct http_head *head);
/* What the fields say of framing, and that they say it in one way only. */
must_check struct http_fault http_framing_read(enum http_head_kind kind, struct http_head *head);

/* Fields (http_grammar.c). */

must_check bool http_name_is(struct bytes name, const char *text);
must_check size_t http_field_count(const struct http_head *head, const char *name);
/* Whether a comma-separated list of tokens has this one. */
must_check bool http_tokens_have(struct bytes list, struct bytes token);
/* Whether a field that is such a list has it, in any of its lines. */
must_check bool http_list_has(const struct http_head *head, const char *name, struct bytes token);

/* What is written anew (http_write.c). */

/* Fields of one hop (RFC 9110, 7.6.1), and those that are written anew. */
must_check bool http_is_hop_field(const struct http_head *head, struct bytes name);
/* The protocols that the request may change the connection to; empty: none. */
must_check struct bytes http_upgrade_of(const struct http_head *request);

void http_put(struct writer *w, const char *text);
void http_put_number(struct writer *w, uint64_t value);
void http_put_field(struct writer *w, struct bytes name, struct bytes value);
void http_put_basic(struct writer *w, struct bytes credentials);
void http_put_via(struct writer *w, const struct http_head *head, struct bytes via);
void http_put_framing(struct writer *w, const struct http_head *head);
/* Host as the target says; the port of http is left out, as every client does, unless `port_always`. */
void http_put_authority(struct writer *w, const struct target *target, bool port_always);

#endif
