#include "sink/stamp.h"

#include "base/clock.h"

size_t stamp_padded(char out[static STAMP_NUMBER], uint64_t value, unsigned width)
{
	char reversed[STAMP_NUMBER];
	size_t n = 0;
	do {
		reversed[n++] = (char)('0' + value % 10);
		value /= 10;
	} while (value > 0);
	while (n < width && n < STAMP_NUMBER)
		reversed[n++] = '0';
	for (size_t i = 0; i < n; i++)
		out[i] = reversed[n - 1 - i];
	return n;
}

size_t stamp_number(char out[static STAMP_NUMBER], uint64_t value)
{
	return stamp_padded(out, value, 1);
}

struct date {
	uint64_t year;
	unsigned month, day;
};

/*
 * The calendar in closed form: years that begin in March put the leap day last, and then months of 31 and 30 days
 * follow the line (153 m + 2) / 5.
 */
static struct date date_of(uint64_t days)
{
	uint64_t z = days + 719468; /* days from 0000-03-01 to 1970-01-01 */
	uint64_t era = z / 146097;
	uint64_t day_of_era = z % 146097;
	uint64_t year_of_era = (day_of_era - day_of_era / 1460 + day_of_era / 36524 - day_of_era / 146096) / 365;
	uint64_t day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
	uint64_t m = (5 * day_of_year + 2) / 153;
	struct date date = {
		.day = (unsigned)(day_of_year - (153 * m + 2) / 5 + 1),
		.month = (unsigned)(m < 10 ? m + 3 : m - 9),
	};
	date.year = year_of_era + era * 400 + (date.month <= 2);
	return date;
}

static size_t two(char *out, unsigned value, char after)
{
	out[0] = (char)('0' + value / 10 % 10);
	out[1] = (char)('0' + value % 10);
	out[2] = after;
	return 3;
}

static size_t fraction(char *out, uint64_t ns, unsigned digits)
{
	char nine[STAMP_NUMBER];
	stamp_padded(nine, ns % NS_PER_S, 9);
	out[0] = '.';
	memcpy(out + 1, nine, digits);
	return digits + 1;
}

size_t stamp_time(char out[static STAMP_TIME], uint64_t time_ns, unsigned digits)
{
	uint64_t seconds = time_ns / NS_PER_S;
	struct date date = date_of(seconds / 86400);
	unsigned of_day = (unsigned)(seconds % 86400);
	char year[STAMP_NUMBER];
	stamp_padded(year, date.year % 10000, 4);
	memcpy(out, year, 4);
	size_t n = 4;
	out[n++] = '-';
	n += two(out + n, date.month, '-');
	n += two(out + n, date.day, 'T');
	n += two(out + n, of_day / 3600, ':');
	n += two(out + n, of_day / 60 % 60, ':');
	n += two(out + n, of_day % 60, 'Z');
	if (digits == 0)
		return n;
	n--; /* the Z comes after the fraction */
	n += fraction(out + n, time_ns, digits < 9 ? digits : 9);
	out[n++] = 'Z';
	return n;
}

size_t stamp_seconds(char out[static STAMP_NUMBER + 7], uint64_t ns, unsigned digits)
{
	char whole[STAMP_NUMBER];
	size_t n = stamp_number(whole, ns / NS_PER_S); /* at most 11 digits */
	memcpy(out, whole, n);
	return n + fraction(out + n, ns, digits < 9 ? digits : 9);
}
