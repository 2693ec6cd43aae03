/*
 * bus/missed.h — which messages of a stream have not come. A reader's stream holds nothing but what is for that reader, so
 * that its numbers have no holes: a number that stays out while later ones come was lost on the way, whatever the bus
 * believes. No I/O, no clock.
 */
#ifndef BUS_MISSED_H
#define BUS_MISSED_H

#include "base/attr.h"

#include <stdbool.h>
#include <stdint.h>

#define MISSED_WINDOW 4096 /* numbers kept account of; a multiple of 64 */

/* A value. Zeroed: nothing has come yet; the first number that does is where it begins. */
struct missed {
	uint64_t floor, end; /* all below `floor` have come, and nothing from `end` on */
	uint64_t since_ns;   /* since when `floor` is what it is */
	bool full;           /* more is missing than can be kept account of */
	uint64_t come[MISSED_WINDOW / 64];
};

/* Number `number` has come, in any order, or need not be waited for. Numbers begin at 1. */
void missed_mark(struct missed *missed, uint64_t number, uint64_t now_ns);
/* All below `end` are there to come; `end` is what comes next. On a zeroed value, that is where it begins. */
void missed_expect(struct missed *missed, uint64_t end, uint64_t now_ns);
/* Nothing below `number` is waited for. */
void missed_skip(struct missed *missed, uint64_t number, uint64_t now_ns);
/* The lowest number that has been missing for `wait_ns`. False when there is none. */
must_check bool missed_next(const struct missed *missed, uint64_t now_ns, uint64_t wait_ns, uint64_t *number);

#endif
