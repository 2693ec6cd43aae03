/*
 * keys/share_waits.h — how long programs waited until the shipper had taken a key: a histogram in the shared memory of
 * each program, which any thread of it adds to, and the sum of several. Four classes for each doubling of time, so that
 * a quantile is known to a fifth of itself. libc only.
 */
#ifndef KEYS_SHARE_WAITS_H
#define KEYS_SHARE_WAITS_H

#include "base/attr.h"

#include <stddef.h>
#include <stdint.h>

#define SHARE_WAIT_CLASSES 80  /* the last one takes all that is longer than 268 ms */
#define SHARE_WAITS_TEXT   160 /* room for share_waits_text */

/* In shared memory: a stranger's to the shipper. Zeroed when new. */
struct share_waits {
	_Atomic uint64_t total_ns;
	_Atomic uint32_t classes[SHARE_WAIT_CLASSES];
};

void share_waits_count(struct share_waits *waits, uint64_t waited_ns);

struct share_wait_sum {
	uint64_t count, total_ns;
	uint64_t classes[SHARE_WAIT_CLASSES];
};

void share_waits_add(struct share_wait_sum *sum, const struct share_waits *waits);
/* Within which time this share of the waits (0..1000 of 1000) was over; 0 when there were none. */
must_check uint64_t share_waits_quantile_ns(const struct share_wait_sum *sum, unsigned per_mille);
/* "1000 waits, p50 12.0 us, p99 40.0 us, 0.014 s in all". */
void share_waits_text(const struct share_wait_sum *sum, char *out, size_t cap);

#endif
