#include "bus/missed.h"

#include <string.h>

static uint64_t *word(struct missed *missed, uint64_t number)
{
	return &missed->come[number % MISSED_WINDOW / 64];
}

static uint64_t bit(uint64_t number)
{
	return UINT64_C(1) << (number % 64);
}

/* Past all that have come. */
static void advance(struct missed *missed, uint64_t now_ns)
{
	uint64_t before = missed->floor;
	while (missed->floor < missed->end && (*word(missed, missed->floor) & bit(missed->floor))) {
		*word(missed, missed->floor) &= ~bit(missed->floor);
		missed->floor++;
	}
	if (missed->floor != before)
		missed->since_ns = now_ns;
	missed->full = missed->full && missed->end - missed->floor > MISSED_WINDOW;
}

void missed_mark(struct missed *missed, uint64_t number, uint64_t now_ns)
{
	if (missed->end == 0) {
		missed->floor = missed->end = number;
		missed->since_ns = now_ns;
	}
	if (number < missed->floor)
		return;
	/* What comes after a pause is not late because of the pause. */
	if (missed->floor == missed->end)
		missed->since_ns = now_ns;
	if (number >= missed->end)
		missed->end = number + 1;
	if (number - missed->floor >= MISSED_WINDOW) {
		missed->full = true;
		return;
	}
	*word(missed, number) |= bit(number);
	advance(missed, now_ns);
}

void missed_expect(struct missed *missed, uint64_t end, uint64_t now_ns)
{
	if (missed->end == 0)
		missed->floor = missed->end = end;
	if (end <= missed->end)
		return;
	if (missed->floor == missed->end)
		missed->since_ns = now_ns;
	missed->end = end;
}

void missed_skip(struct missed *missed, uint64_t number, uint64_t now_ns)
{
	if (number > missed->end)
		number = missed->end;
	if (number > missed->floor && number - missed->floor >= MISSED_WINDOW) {
		memset(missed->come, 0, sizeof(missed->come));
		missed->floor = number;
		missed->since_ns = now_ns;
		missed->full = missed->full && missed->end - number > MISSED_WINDOW;
	}
	while (missed->floor < number)
		missed_mark(missed, missed->floor, now_ns);
}

bool missed_next(const struct missed *missed, uint64_t now_ns, uint64_t wait_ns, uint64_t *number)
{
	bool late = missed->full || now_ns - missed->since_ns >= wait_ns;
	if (missed->floor == missed->end || !late)
		return false;
	*number = missed->floor;
	return true;
}
