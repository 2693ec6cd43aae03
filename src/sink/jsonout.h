/*
 * sink/jsonout.h — JSON (RFC 8259) written into a buffer, one object per line. What is no UTF-8 becomes U+FFFD, octet
 * by octet, so that every line is valid. No allocation. Values inside arrays take NULL for a key.
 *
 * Why not jansson: it builds a tree first, which takes 3.6 times as long; see docs/jsonl.md.
 */
#ifndef SINK_JSONOUT_H
#define SINK_JSONOUT_H

#include "base/bytes.h"

struct jsonout {
	uint8_t *data;
	size_t len, cap;
	bool full;  /* something did not fit: the line is of no use */
	bool comma; /* a value stands before */
};

static inline struct jsonout jsonout_over(void *data, size_t cap)
{
	return (struct jsonout){.data = data, .cap = cap};
}

void jsonout_object(struct jsonout *json, const char *key);
void jsonout_object_end(struct jsonout *json);
void jsonout_array(struct jsonout *json, const char *key);
void jsonout_array_end(struct jsonout *json);
void jsonout_text(struct jsonout *json, const char *key, struct bytes text);
/* For texts of our own. */
void jsonout_word(struct jsonout *json, const char *key, const char *text);
void jsonout_number(struct jsonout *json, const char *key, uint64_t value);
void jsonout_bool(struct jsonout *json, const char *key, bool value);
/* RFC 3339 in UTC with nine digits: "2026-11-21T23:04:42.000000001Z". */
void jsonout_time(struct jsonout *json, const char *key, uint64_t time_ns);
/* Nanoseconds as seconds with six digits: 0.001234. */
void jsonout_seconds(struct jsonout *json, const char *key, uint64_t ns);
/* Ends the line. False where it did not fit. */
must_check bool jsonout_done(struct jsonout *json, size_t *len);

#endif
