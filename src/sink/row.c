#include "sink/row.h"

#include "base/clock.h"
#include "base/text.h"
#include "sink/stamp.h"
#include "sink/utf8.h"

#include <stdio.h>

#define FIELD_MAX 2048 /* octets shown of one field */

/* Widths in columns; 0: the column is left out. The address takes what is left. */
struct layout {
	unsigned time, client, verdict, method, status, type, octets, duration;
	unsigned host; /* 0: host and path stand together */
};

#define ADDRESS_MIN 16

static const struct layout *layout_for(unsigned columns)
{
	static const struct layout tiny = {.verdict = 7, .method = 4, .status = 4};
	static const struct layout narrow = {
		.time = 8, .verdict = 7, .method = 7, .status = 4, .octets = 5, .duration = 6};
	static const struct layout middle = {.time = 8,
		.client = 15,
		.verdict = 7,
		.method = 7,
		.status = 4,
		.type = 10,
		.octets = 5,
		.duration = 6};
	static const struct layout wide = {.time = 12,
		.client = 21,
		.verdict = 7,
		.method = 7,
		.status = 4,
		.type = 24,
		.octets = 5,
		.duration = 6,
		.host = 32};
	return columns < 64 ? &tiny : columns < 100 ? &narrow : columns < 160 ? &middle : &wide;
}

static unsigned address_columns(const struct layout *l, unsigned columns)
{
	const unsigned widths[] = {
		l->time, l->client, l->verdict, l->method, l->status, l->type, l->octets, l->duration, l->host};
	unsigned used = 0;
	for (size_t i = 0; i < sizeof(widths) / sizeof(widths[0]); i++)
		used += widths[i] ? widths[i] + 1 : 0;
	return columns > used + ADDRESS_MIN ? columns - used : ADDRESS_MIN;
}

enum colour { PLAIN, DIM, BOLD, RED, GREEN, YELLOW, CYAN };

struct pen {
	const struct row_style *style;
	char *out;
	size_t len;
	enum colour colour;
};

static void put(struct pen *pen, const void *text, size_t len)
{
	size_t room = ROW_ROOM - 16 - pen->len; /* the end of the line always fits */
	if (len > room)
		len = room;
	memcpy(pen->out + pen->len, text, len);
	pen->len += len;
}

static void set_colour(struct pen *pen, enum colour colour)
{
	static const char *const codes[] = {
		"\x1b[0m", "\x1b[0;2m", "\x1b[0;1m", "\x1b[0;31m", "\x1b[0;32m", "\x1b[0;33m", "\x1b[0;36m"};
	if (!pen->style->colour || pen->colour == colour)
		return;
	pen->colour = colour;
	put(pen, codes[colour], strlen(codes[colour]));
}

static void blanks(struct pen *pen, size_t n)
{
	static const char spaces[] = "                                ";
	for (; n > 0; n -= n < 32 ? n : 32)
		put(pen, spaces, n < 32 ? n : 32);
}

/* Clean text, in a terminal that may not know UTF-8. */
static struct bytes clean(const struct pen *pen, struct bytes text, char out[static FIELD_MAX])
{
	size_t n = text_clean(out, FIELD_MAX, text);
	for (size_t i = 0; i < n && !pen->style->utf8; i++) {
		if ((uint8_t)out[i] >= 0x80)
			out[i] = '?';
	}
	return bytes_of(out, n);
}

/* As much as fits, and a mark where something is cut. Returns the columns used. */
static size_t put_fitted(struct pen *pen, struct bytes text, size_t columns)
{
	size_t whole = utf8_columns(text);
	if (whole <= columns) {
		put(pen, text.data, text.len);
		return whole;
	}
	if (columns == 0)
		return 0;
	struct bytes front = utf8_fit(text, columns - 1);
	put(pen, front.data, front.len);
	put(pen, pen->style->utf8 ? "\xe2\x80\xa6" : "~", pen->style->utf8 ? 3 : 1);
	return utf8_columns(front) + 1;
}

static void left(struct pen *pen, enum colour colour, struct bytes text, unsigned width)
{
	char cleaned[FIELD_MAX];
	if (width == 0)
		return;
	set_colour(pen, colour);
	size_t used = put_fitted(pen, clean(pen, text, cleaned), width);
	set_colour(pen, PLAIN);
	blanks(pen, width - used + 1);
}

/* For texts of our own, in ASCII. */
static void right(struct pen *pen, enum colour colour, const char *text, size_t len, unsigned width)
{
	if (width == 0)
		return;
	if (len > width)
		len = width;
	blanks(pen, width - len);
	set_colour(pen, colour);
	put(pen, text, len);
	set_colour(pen, PLAIN);
	blanks(pen, 1);
}

static void end_line(struct pen *pen)
{
	set_colour(pen, PLAIN);
	while (pen->len > 0 && pen->out[pen->len - 1] == ' ')
		pen->len--;
	pen->out[pen->len++] = '\n';
}

size_t row_octets(uint64_t octets, char out[static 24])
{
	static const char units[] = " KMGTPE";
	size_t unit = 0;
	uint64_t tenths = octets >= UINT64_MAX / 10 ? UINT64_MAX : octets * 10;
	while (tenths >= 10240 - 5) {
		tenths = (tenths + 512) / 1024;
		unit++;
	}
	int n;
	if (unit == 0)
		n = snprintf(out, 24, "%llu", (unsigned long long)octets);
	else if (tenths < 100)
		n = snprintf(out, 24, "%llu.%llu%c", (unsigned long long)tenths / 10, (unsigned long long)tenths % 10,
			units[unit]);
	else
		n = snprintf(out, 24, "%llu%c", (unsigned long long)(tenths + 5) / 10, units[unit]);
	return n > 0 ? (size_t)n : 0;
}

size_t row_duration(uint64_t ns, char out[static 24])
{
	uint64_t us = ns / 1000;
	uint64_t s = ns / NS_PER_S;
	int n;
	if (us < 1000)
		n = snprintf(out, 24, "%lluus", (unsigned long long)us);
	else if (us < 10000)
		n = snprintf(out, 24, "%llu.%llums", (unsigned long long)us / 1000, (unsigned long long)us / 100 % 10);
	else if (s < 1)
		n = snprintf(out, 24, "%llums", (unsigned long long)us / 1000);
	else if (s < 60)
		n = snprintf(out, 24, "%llu.%llus", (unsigned long long)s, (unsigned long long)us / 100000 % 10);
	else if (s < 3600)
		n = snprintf(out, 24, "%llum%02llus", (unsigned long long)s / 60, (unsigned long long)s % 60);
	else if (s < 86400)
		n = snprintf(out, 24, "%lluh%02llum", (unsigned long long)s / 3600, (unsigned long long)s / 60 % 60);
	else
		n = snprintf(out, 24, "%llud%02lluh", (unsigned long long)s / 86400, (unsigned long long)s / 3600 % 24);
	return n > 0 ? (size_t)n : 0;
}

static enum colour tone_colour(enum row_tone tone)
{
	static const enum colour colours[] = {
		[ROW_GOOD] = GREEN, [ROW_ASIDE] = YELLOW, [ROW_BAD] = RED, [ROW_QUIET] = DIM};
	return colours[tone];
}

static enum colour status_colour(unsigned status)
{
	return status >= 500 ? RED : status >= 400 ? YELLOW : status >= 300 ? CYAN : GREEN;
}

/* A port that says nothing new is left out. */
static struct bytes without_port(struct bytes address)
{
	for (size_t i = address.len; i > 0; i--) {
		if (address.data[i - 1] != ':')
			continue;
		bool bracketed = address.data[0] == '[' && i >= 3;
		return bracketed ? bytes_of(address.data + 1, i - 3) : bytes_of(address.data, i - 1);
	}
	return address;
}

static void put_clock(struct pen *pen, const struct row *row, unsigned width)
{
	if (width == 0)
		return;
	char stamp[STAMP_TIME];
	stamp_time(stamp, row->time_ns + pen->style->zone_offset_s * NS_PER_S, 3);
	left(pen, DIM, bytes_of(stamp + 11, width), width); /* "23:04:42" or "23:04:42.123" */
}

/* Host and path, or host and the reason, in one column of `width`; nothing needs to be aligned after the note. */
static void put_address(struct pen *pen, const struct row *row, unsigned width)
{
	char host[FIELD_MAX];
	char rest[FIELD_MAX];
	set_colour(pen, BOLD);
	size_t used = put_fitted(pen, clean(pen, row->host, host), width);
	bool message = row->method.len > 0;
	struct bytes text = clean(pen, message ? row->path : row->note, rest);
	if (used + 2 < width && text.len > 0) {
		set_colour(pen, message ? PLAIN : tone_colour(row->tone));
		if (!message) {
			blanks(pen, 2);
			used += 2;
		}
		used += put_fitted(pen, text, width - used);
	}
	set_colour(pen, PLAIN);
	blanks(pen, width - used + 1);
}

static void put_split_address(struct pen *pen, const struct row *row, const struct layout *l, unsigned width)
{
	left(pen, BOLD, row->host, l->host);
	bool message = row->method.len > 0;
	left(pen, message ? PLAIN : tone_colour(row->tone), message ? row->path : row->note, width);
}

/* "application/vnd.api+json" is "api+json" where room is short: the family says little. */
static struct bytes short_type(struct bytes type)
{
	static const char *const fronts[] = {"x-", "vnd."};
	size_t slash = bytes_find(type, '/', 0);
	struct bytes rest = type;
	if (slash < type.len && !bytes_skip(&rest, slash + 1))
		return type;
	for (size_t i = 0; i < sizeof(fronts) / sizeof(fronts[0]); i++) {
		if (bytes_starts(rest, bytes_str(fronts[i])) && bytes_skip(&rest, strlen(fronts[i])))
			break;
	}
	return rest.len > 0 ? rest : type;
}

/* A row without a message has no type either: its note may run on over that column. */
static void put_where(struct pen *pen, const struct row *row, const struct layout *l, unsigned width)
{
	bool message = row->method.len > 0;
	if (!message && l->type)
		width += l->type + 1;
	if (l->host)
		put_split_address(pen, row, l, width);
	else
		put_address(pen, row, width);
	if (message)
		left(pen, DIM, l->host ? row->type : short_type(row->type), l->type);
}

static void put_numbers(struct pen *pen, const struct row *row, const struct layout *l)
{
	char text[24];
	size_t n = row_octets(row->octets, text);
	right(pen, PLAIN, text, n, l->octets);
	n = row_duration(row->duration_ns, text);
	right(pen, row->duration_ns >= NS_PER_S ? YELLOW : DIM, text, n, l->duration);
}

static size_t write_columns(const struct row *row, const struct row_style *style, char *out)
{
	struct pen pen = {.style = style, .out = out};
	const struct layout *l = layout_for(style->columns);
	unsigned width = address_columns(l, style->columns);
	put_clock(&pen, row, l->time);
	left(&pen, PLAIN, l->client >= 21 ? row->client : without_port(row->client), l->client);
	left(&pen, tone_colour(row->tone), bytes_str(row->verdict), l->verdict);
	struct bytes method =
		row->method.len > 0 ? row->method : bytes_str(row->scheme_method ? row->scheme_method : "-");
	left(&pen, row->method.len > 0 ? CYAN : DIM, method, l->method);
	char status[24];
	int n = row->status ? snprintf(status, sizeof(status), "%u", row->status)
	                    : snprintf(status, sizeof(status), "-");
	right(&pen, row->status ? status_colour(row->status) : DIM, status, (size_t)n, l->status);
	put_where(&pen, row, l, width);
	put_numbers(&pen, row, l);
	end_line(&pen);
	return pen.len;
}

/* A field of a plain line: no blanks inside. */
static void plain_field(struct pen *pen, struct bytes text)
{
	char cleaned[FIELD_MAX];
	size_t n = text_clean(cleaned, sizeof(cleaned), text);
	for (size_t i = 0; i < n; i++) {
		if (cleaned[i] == ' ')
			cleaned[i] = '_';
	}
	if (n == 0)
		put(pen, "-", 1);
	else
		put(pen, cleaned, n);
	put(pen, " ", 1);
}

static size_t write_plain(const struct row *row, const struct row_style *style, char *out)
{
	struct pen pen = {.style = style, .out = out};
	char number[STAMP_TIME];
	put(&pen, number, stamp_time(number, row->time_ns, 3));
	put(&pen, " ", 1);
	plain_field(&pen, row->client);
	plain_field(&pen, bytes_str(row->verdict));
	plain_field(&pen, row->host);
	plain_field(&pen, row->method.len > 0 ? row->method : bytes_str(row->scheme_method ? row->scheme_method : ""));
	plain_field(&pen, row->path);
	plain_field(&pen, row->status ? bytes_of(number, stamp_number(number, row->status)) : BYTES_NONE);
	plain_field(&pen, row->type);
	plain_field(&pen, bytes_of(number, stamp_number(number, row->octets)));
	plain_field(&pen, bytes_of(number, stamp_seconds(number, row->duration_ns, 6)));
	plain_field(&pen, bytes_str(row->ending));
	char note[FIELD_MAX];
	size_t n = text_clean(note, sizeof(note), row->note);
	put(&pen, n ? note : "-", n ? n : 1);
	pen.out[pen.len++] = '\n';
	return pen.len;
}

size_t row_write(const struct row *row, const struct row_style *style, char out[static ROW_ROOM])
{
	return style->columns > 0 ? write_columns(row, style, out) : write_plain(row, style, out);
}

size_t row_headings(const struct row_style *style, char out[static ROW_ROOM])
{
	if (style->columns == 0)
		return 0;
	struct pen pen = {.style = style, .out = out};
	const struct layout *l = layout_for(style->columns);
	unsigned width = address_columns(l, style->columns);
	left(&pen, DIM, bytes_str("TIME"), l->time);
	left(&pen, DIM, bytes_str("CLIENT"), l->client);
	left(&pen, DIM, bytes_str("VERDICT"), l->verdict);
	left(&pen, DIM, bytes_str("METHOD"), l->method);
	right(&pen, DIM, "CODE", 4, l->status);
	left(&pen, DIM, bytes_str("HOST"), l->host);
	left(&pen, DIM, bytes_str(l->host ? "PATH" : "HOST AND PATH"), width);
	left(&pen, DIM, bytes_str("TYPE"), l->type);
	right(&pen, DIM, "BYTES", 5, l->octets);
	right(&pen, DIM, "TOOK", 4, l->duration);
	end_line(&pen);
	return pen.len;
}
