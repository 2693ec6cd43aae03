#include "keys/share_waits.h"

#include <stdatomic.h>
#include <stdio.h>

#define SHIFT 8 /* classes begin at 256 ns */
#define STEPS 4 /* in each doubling */

/* The first STEPS classes are those below 512 ns; then those of each doubling. */
static size_t class_of(uint64_t ns)
{
	uint64_t units = ns >> (SHIFT - 2); /* quarters of what classes begin at */
	size_t doublings = 0;
	while (units >= (uint64_t)2 * STEPS && doublings < SHARE_WAIT_CLASSES / STEPS) {
		units >>= 1;
		doublings++;
	}
	size_t at = units < STEPS ? 0 : doublings * STEPS + (size_t)units - STEPS;
	return at < SHARE_WAIT_CLASSES ? at : SHARE_WAIT_CLASSES - 1;
}

/* The end of a class. */
static uint64_t end_of(size_t at)
{
	return ((uint64_t)(at % STEPS + STEPS + 1) << (at / STEPS)) << (SHIFT - 2);
}

void share_waits_count(struct share_waits *waits, uint64_t waited_ns)
{
	atomic_fetch_add_explicit(&waits->total_ns, waited_ns, memory_order_relaxed);
	atomic_fetch_add_explicit(&waits->classes[class_of(waited_ns)], 1, memory_order_relaxed);
}

void share_waits_add(struct share_wait_sum *sum, const struct share_waits *waits)
{
	sum->total_ns += atomic_load(&waits->total_ns);
	for (size_t i = 0; i < SHARE_WAIT_CLASSES; i++) {
		uint32_t count = atomic_load(&waits->classes[i]);
		sum->classes[i] += count;
		sum->count += count;
	}
}

uint64_t share_waits_quantile_ns(const struct share_wait_sum *sum, unsigned per_mille)
{
	uint64_t wanted = (sum->count * per_mille + 999) / 1000, seen = 0;
	for (size_t i = 0; i < SHARE_WAIT_CLASSES && sum->count > 0; i++) {
		seen += sum->classes[i];
		if (seen >= wanted && seen > 0)
			return end_of(i);
	}
	return 0;
}

void share_waits_text(const struct share_wait_sum *sum, char *out, size_t cap)
{
	snprintf(out, cap, "%llu waits, p50 %.1f us, p99 %.1f us, %.6f s in all", (unsigned long long)sum->count,
		(double)share_waits_quantile_ns(sum, 500) / 1e3, (double)share_waits_quantile_ns(sum, 990) / 1e3,
		(double)sum->total_ns / 1e9);
}
