/* sink/stamp.h — times and numbers as text, fast: snprintf and strftime would be most of a line's cost. No NUL. */
#ifndef SINK_STAMP_H
#define SINK_STAMP_H

#include "base/bytes.h"

#define STAMP_NUMBER 20 /* octets of the longest number */
#define STAMP_TIME   32

/* Each writes to `out` and returns the octets written. */

size_t stamp_number(char out[static STAMP_NUMBER], uint64_t value);
/* Zeros in front up to `width` digits, at most STAMP_NUMBER. */
size_t stamp_padded(char out[static STAMP_NUMBER], uint64_t value, unsigned width);
/* "2026-11-21T23:04:42.123Z" in UTC; `digits` after the point, 0..9 (0: no point). Years up to 9999. */
size_t stamp_time(char out[static STAMP_TIME], uint64_t time_ns, unsigned digits);
/* "0.001234": nanoseconds as seconds with 1..9 digits. */
size_t stamp_seconds(char out[static STAMP_NUMBER + 7], uint64_t ns, unsigned digits);

#endif
