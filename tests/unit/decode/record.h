/* tests/unit/decode/record.h — what a decoder said, as text that tests can compare. */
#ifndef TESTS_DECODE_RECORD_H
#define TESTS_DECODE_RECORD_H

#include "decode/decoder.h"

/*
 * One line per call, in order:
 *   request 1 GET scheme|authority|path HTTP/1.1 [name: value] …   (" cut" behind it where headers were cut)
 *   response 1 200 OK HTTP/1.1 [name: value] …   ("interim" in place of "response" for 1xx)
 *   end 1 done 0 5
 *   notice http1-malformed
 * Bodies come in pieces that depend on how they were fed: they are put together, and stand before the end as
 *   body 1 up "…"   (lost stretches as <n>)
 * A piece whose offset is not where the one before ended is a fault, told as such.
 */
struct record {
	char *text;
	size_t len, room;
	struct record_body {
		uint64_t stream;
		bool response;
		uint64_t next;
		char *text;
		size_t len, room;
	} bodies[64];
	size_t requests, responses, ends, notices;
	uint64_t last_time_ns, first_duration_ns;
	char last_notice[256];
};

/* All calls; `record_no_bodies` without the one for bodies. The context is a struct record, at first zeroed. */
extern const struct decoder_output record_output;
extern const struct decoder_output record_no_bodies;

/* "" where nothing was said. */
const char *record_text(const struct record *record);
void record_clear(struct record *record);

#endif
