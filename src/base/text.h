/* base/text.h — text from strangers, made fit for people: logs, terminals, pages. */
#ifndef BASE_TEXT_H
#define BASE_TEXT_H

#include "base/bytes.h"

/*
 * Writes `in` to `out` (cap octets with the closing NUL, cap > 0) as UTF-8 in which control characters, bidirectional
 * and zero-width marks, and whatever is no UTF-8 stand as \xNN. What does not fit is cut between characters and ends in
 * "...". Returns the octets written, without the NUL.
 */
size_t text_clean(char *out, size_t cap, struct bytes in);

/* The octets of the character of UTF-8 at the front of `in` (not empty), 0 when it is none; the character goes to *point. */
must_check size_t text_character(struct bytes in, uint32_t *point);

/* The octets as lower-case hex; cut at cap. Returns the octets written, without the NUL. */
size_t text_hex(char *out, size_t cap, struct bytes in);

/* Reads an even number of hex digits of either case. False on anything else or when `cap` is too small. */
must_check bool text_unhex(uint8_t *out, size_t cap, size_t *len, struct bytes in);

/* A whole decimal number and nothing else. False on signs, blanks, other characters, and above `max`. */
must_check bool text_number(struct bytes in, uint64_t max, uint64_t *out);

/*
 * A size: a decimal number with an optional unit B, KiB, MiB, GiB (or the same without "iB", k and m allowed), in
 * octets. A duration: a decimal number with unit ns, us, ms, s, m, h or d, in nanoseconds. Both false on overflow.
 */
must_check bool text_size(struct bytes in, uint64_t *out);
must_check bool text_duration(struct bytes in, uint64_t *out_ns);

#endif
