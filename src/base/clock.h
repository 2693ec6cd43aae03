/* base/clock.h — the only place that asks what time it is. Protocol code gets times as arguments. */
#ifndef BASE_CLOCK_H
#define BASE_CLOCK_H

#include "base/attr.h"

#include <stdint.h>

#define NS_PER_MS 1000000ULL
#define NS_PER_S  1000000000ULL

/* Monotonic, for deadlines and durations. */
must_check uint64_t clock_monotonic_ns(void);
/* Since 1970-01-01 UTC, for what people and files read. */
must_check uint64_t clock_wall_ns(void);

#endif
