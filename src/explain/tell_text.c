/* explain/tell_text.c — for the terminal: folded prose, aligned facts, figures drawn with lines. */
#include "explain/tell.h"

#include "base/bytes.h"
#include "sink/utf8.h"

#include <langinfo.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#define INDENT    2
#define NARROWEST 8
#define HEX_GROUP 8   /* digits */
#define WIDEST    110 /* columns: prose that is wider reads badly */

enum paint { PLAIN, BOLD, DIM, GOOD, BAD };

struct page {
	FILE *out;
	struct tell_style style;
	const struct story_item *lanes; /* of the figure in progress, or NULL */
	size_t widths[STORY_COLUMNS];   /* of the table in progress */
};

struct tell_style tell_style_of(FILE *out)
{
	int fd = fileno(out);
	const char *term = getenv("TERM");
	const char *colours = getenv("NO_COLOR");
	struct tell_style style = {.columns = 80, .utf8 = strcmp(nl_langinfo(CODESET), "UTF-8") == 0};
	struct winsize size;
	if (!isatty(fd))
		return style;
	style.colour = !(colours && colours[0]) && !(term && strcmp(term, "dumb") == 0);
	if (ioctl(fd, TIOCGWINSZ, &size) == 0 && size.ws_col >= 40)
		style.columns = size.ws_col;
	return style;
}

static const char *paint_code(const struct page *page, enum paint paint)
{
	static const char *const codes[] = {"", "\033[1m", "\033[2m", "\033[32m", "\033[31m"};
	return page->style.colour ? codes[paint] : "";
}

static void paint_on(struct page *page, enum paint paint)
{
	fputs(paint_code(page, paint), page->out);
}

static void paint_off(struct page *page, enum paint paint)
{
	fputs(paint_code(page, paint)[0] ? "\033[0m" : "", page->out);
}

static void say(struct page *page, enum paint paint, const char *text)
{
	paint_on(page, paint);
	fputs(text, page->out);
	paint_off(page, paint);
}

static void dashes(struct page *page, size_t n)
{
	paint_on(page, DIM);
	while (n-- > 0)
		fputs(page->style.utf8 ? "─" : "-", page->out);
	paint_off(page, DIM);
}

static void blanks(struct page *page, size_t n)
{
	fprintf(page->out, "%*s", (int)n, "");
}

static size_t width_of(const struct page *page)
{
	return page->style.columns < WIDEST ? page->style.columns : WIDEST;
}

/* A run of hex digits: groups of HEX_GROUP of them stay together where it is cut. */
static bool is_hex(const char *word, size_t len)
{
	return len > HEX_GROUP && strspn(word, "0123456789abcdef") >= len;
}

/* Octets of a word for one of several lines that have `room` columns each; never 0. Of hex digits about as many in each. */
static size_t part_of(const char *word, size_t len, size_t room)
{
	size_t fits = utf8_fit(bytes_of(word, len), room).len;
	if (fits == 0 || fits == len)
		return len;
	if (!is_hex(word, len) || room < HEX_GROUP)
		return fits;
	size_t lines = (len + room - 1) / room, each = (len + lines - 1) / lines;
	each = (each + HEX_GROUP - 1) / HEX_GROUP * HEX_GROUP;
	return each <= room ? each : room / HEX_GROUP * HEX_GROUP;
}

/* Words, folded between `left` and the width; the cursor stands at `at`. Ends its line. */
static void fold(struct page *page, enum paint paint, const char *text, size_t left, size_t at)
{
	size_t limit = width_of(page), room = limit > left + NARROWEST ? limit - left : NARROWEST;
	bool first = true;
	paint_on(page, paint);
	while (*text) {
		size_t len = strcspn(text, " ");
		/* A word that has no room in any line is cut. */
		if (utf8_columns(bytes_of(text, len)) > room)
			len = part_of(text, len, room);
		char word[STORY_TEXT + 1];
		snprintf(word, sizeof(word), "%.*s", (int)len, text);
		size_t columns = utf8_columns(bytes_of(word, len));
		if (!first && at + 1 + columns > limit) {
			paint_off(page, paint);
			fputc('\n', page->out);
			blanks(page, left);
			paint_on(page, paint);
			at = left;
			first = true;
		}
		if (!first) {
			fputc(' ', page->out);
			at++;
		}
		fputs(word, page->out);
		at += columns;
		first = false;
		text += len + (text[len] == ' ');
	}
	paint_off(page, paint);
	fputc('\n', page->out);
}

static const char *fact_text(const struct story_fact *fact, char *number, size_t cap)
{
	switch (fact->type) {
	case STORY_FLAG:
		return fact->flag ? "yes" : "no";
	case STORY_NUMBER:
		snprintf(number, cap, "%llu", (unsigned long long)fact->number);
		return number;
	case STORY_WORDS:
		break;
	}
	return fact->words ? fact->words : "";
}

static void tell_row(struct page *page, const struct story_item *row)
{
	size_t widest = 0;
	for (size_t i = 0; i < row->count; i++) {
		size_t n = strlen(row->fact[i].label);
		widest = n > widest ? n : widest;
	}
	fputc('\n', page->out);
	say(page, row->held ? GOOD : BAD, page->style.utf8 ? (row->held ? "✓ " : "✗ ") : (row->held ? "* " : "! "));
	fold(page, BOLD, row->title, INDENT, INDENT);
	for (size_t i = 0; i < row->count; i++) {
		char number[32];
		const struct story_fact *fact = &row->fact[i];
		blanks(page, (size_t)INDENT * 2);
		say(page, DIM, fact->label);
		blanks(page, widest - strlen(fact->label) + 2);
		fold(page, PLAIN, fact_text(fact, number, sizeof(number)), (size_t)INDENT * 2 + widest + 2,
			(size_t)INDENT * 2 + widest + 2);
	}
	if (!row->held) {
		blanks(page, (size_t)INDENT * 2);
		say(page, BAD, "This is not what was expected.\n");
	}
	if (row->note && row->note[0]) {
		blanks(page, (size_t)INDENT * 2);
		fold(page, PLAIN, row->note, (size_t)INDENT * 2, (size_t)INDENT * 2);
	}
}

/* Columns as wide as their widest cell; where that is too much, the widest column gives way. */
static void measure(struct page *page, const struct story *story, size_t i)
{
	const struct story_item *table = story_item(story, i);
	memset(page->widths, 0, sizeof(page->widths));
	for (; i < story_count(story); i++) {
		const struct story_item *line = story_item(story, i);
		if (line != table && line->kind != STORY_LINE)
			break;
		for (size_t c = 0; c < line->count; c++) {
			size_t n = utf8_columns(bytes_str(line->cell[c] ? line->cell[c] : ""));
			page->widths[c] = n > page->widths[c] ? n : page->widths[c];
		}
	}
	for (;;) {
		size_t sum = INDENT, widest = 0;
		for (size_t c = 0; c < table->count; c++) {
			sum += page->widths[c] + 2;
			widest = page->widths[c] > page->widths[widest] ? c : widest;
		}
		if (sum <= width_of(page) || page->widths[widest] <= 12)
			return;
		page->widths[widest]--;
	}
}

/* The front of `text` that fits, cut between words where it can. */
static size_t piece(const char *text, size_t columns)
{
	size_t len = utf8_fit(bytes_str(text), columns).len;
	if (text[len] == '\0')
		return len;
	while (len > 0 && text[len] != ' ')
		len--;
	return len > 0 ? len : part_of(text, strcspn(text, " "), columns);
}

/* What a cell begins with says how deep it stands in a tree, and goes for all of its lines. */
static size_t depth_of(const char *cell, size_t width)
{
	size_t depth = strspn(cell, " ");
	return depth < width / 2 ? depth : width / 2;
}

static void tell_line(struct page *page, const struct story_item *line, enum paint paint)
{
	const char *rest[STORY_COLUMNS];
	size_t depth[STORY_COLUMNS];
	bool more = true;
	for (size_t c = 0; c < line->count; c++) {
		rest[c] = line->cell[c] ? line->cell[c] : "";
		depth[c] = depth_of(rest[c], page->widths[c]);
	}
	while (more) {
		more = false;
		blanks(page, INDENT);
		for (size_t c = 0; c < line->count; c++) {
			char part[STORY_TEXT + 1];
			size_t in = *rest[c] != '\0' && rest[c] != line->cell[c] ? depth[c] : 0;
			size_t len = piece(rest[c], page->widths[c] - in);
			snprintf(part, sizeof(part), "%.*s", (int)len, rest[c]);
			blanks(page, in);
			say(page, paint, part);
			if (c + 1 < line->count)
				blanks(page, page->widths[c] + 2 - in - utf8_columns(bytes_of(part, len)));
			rest[c] += len;
			rest[c] += *rest[c] == ' ';
			more |= *rest[c] != '\0';
		}
		fputc('\n', page->out);
	}
}

static size_t lane_at(const struct page *page, unsigned lane)
{
	size_t lanes = page->lanes && page->lanes->count > 1 ? page->lanes->count : 2;
	size_t room = width_of(page) - 2 * (size_t)INDENT - 12;
	return INDENT + 4 + lane * (room / (lanes - 1));
}

static void tell_figure(struct page *page, const struct story_item *figure)
{
	size_t at = 0;
	page->lanes = figure;
	fputc('\n', page->out);
	if (figure->title && figure->title[0]) {
		blanks(page, INDENT);
		fold(page, BOLD, figure->title, INDENT, INDENT);
	}
	for (unsigned i = 0; i < figure->count; i++) {
		size_t n = utf8_columns(bytes_str(figure->cell[i]));
		size_t place = lane_at(page, i) > n / 2 ? lane_at(page, i) - n / 2 : 0;
		blanks(page, place > at ? place - at : 1);
		say(page, BOLD, figure->cell[i]);
		at = (place > at ? place : at + 1) + n;
	}
	fputc('\n', page->out);
}

static void tell_arrow(struct page *page, const struct story_item *arrow)
{
	bool right = arrow->to > arrow->from, utf8 = page->style.utf8;
	size_t from = lane_at(page, right ? arrow->from : arrow->to),
	       to = lane_at(page, right ? arrow->to : arrow->from);
	size_t text = utf8_columns(bytes_str(arrow->title));
	blanks(page, from);
	if (text <= to - from - 6) {
		size_t length = to - from - text - 4;
		say(page, DIM, right ? (utf8 ? "─" : "-") : (utf8 ? "◀" : "<"));
		dashes(page, length / 2);
		fprintf(page->out, " %s ", arrow->title);
		dashes(page, length - length / 2);
		say(page, DIM, right ? (utf8 ? "▶" : ">") : (utf8 ? "─" : "-"));
		fputc('\n', page->out);
	} else {
		say(page, DIM, right ? (utf8 ? "──▶ " : "--> ") : (utf8 ? "◀── " : "<-- "));
		fold(page, PLAIN, arrow->title, from + 4, from + 4);
	}
	if (arrow->note && arrow->note[0]) {
		blanks(page, from + 2);
		fold(page, DIM, arrow->note, from + 2, from + 2);
	}
}

static void tell_mark(struct page *page, const struct story_item *mark)
{
	size_t n = utf8_columns(bytes_str(mark->title)), limit = width_of(page);
	size_t at = lane_at(page, mark->from);
	at = at > n / 2 ? at - n / 2 : 0;
	at = at + n + 2 > limit ? (limit > n + 2 ? limit - n - 2 : INDENT) : at < INDENT ? INDENT : at;
	blanks(page, at);
	fputc('[', page->out);
	say(page, mark->bad ? BAD : PLAIN, mark->title);
	fputs("]\n", page->out);
}

/* Folded so that it can be pasted: at blanks, with a backslash. */
static void tell_command(struct page *page, const char *text)
{
	size_t at = (size_t)INDENT * 3, limit = width_of(page) - 2;
	fputc('\n', page->out);
	blanks(page, (size_t)INDENT * 2);
	say(page, DIM, "$ ");
	for (bool first = true; *text; first = false) {
		size_t len = strcspn(text, " ");
		size_t columns = utf8_columns(bytes_of(text, len));
		if (!first && at + 1 + columns > limit) {
			fputs(" \\\n", page->out);
			at = (size_t)INDENT * 5;
			blanks(page, at);
		} else if (!first) {
			fputc(' ', page->out);
			at++;
		}
		fprintf(page->out, "%.*s", (int)len, text);
		at += columns;
		text += len + (text[len] == ' ');
	}
	fputc('\n', page->out);
}

static void tell_bar(struct page *page, size_t deep)
{
	blanks(page, (size_t)INDENT * 2);
	say(page, DIM, page->style.utf8 ? "│ " : "| ");
	blanks(page, deep);
}

/* One line of a quotation, cut between words where it is too long; what follows stands a little deeper. */
static void tell_quoted(struct page *page, const char *line)
{
	size_t limit = width_of(page) - (size_t)INDENT * 3, deep = strspn(line, " ");
	size_t len = piece(line, limit);
	size_t start = len + strspn(line + len, " "), word = strcspn(line + start, " ");
	bool cut = len < deep + (limit - deep) / 4, hex = cut && is_hex(line + start, word) && start < limit / 2;
	/* Where a long word would leave nothing but its label in the line, the word is cut. */
	if (hex)
		len = start + part_of(line + start, word, limit - start);
	else if (cut)
		len = utf8_fit(bytes_str(line), limit).len;
	tell_bar(page, 0);
	fprintf(page->out, "%.*s\n", (int)len, line);
	deep = hex ? start : deep + 4 < limit / 2 ? deep + 4 : 0;
	for (line += len; *line; line += len) {
		line += *line == ' ';
		len = piece(line, limit - deep);
		tell_bar(page, deep);
		fprintf(page->out, "%.*s\n", (int)len, line);
	}
}

static void tell_quote(struct page *page, const char *text)
{
	fputc('\n', page->out);
	while (*text) {
		char line[STORY_TEXT + 1];
		size_t len = strcspn(text, "\n");
		snprintf(line, sizeof(line), "%.*s", (int)len, text);
		tell_quoted(page, line);
		text += len + (text[len] == '\n');
	}
}

static void tell_item(struct page *page, const struct story *story, size_t i)
{
	const struct story_item *item = story_item(story, i);
	switch (item->kind) {
	case STORY_CHAPTER:
		fputs("\n\n", page->out);
		say(page, BOLD, item->title);
		fputc('\n', page->out);
		break;
	case STORY_PARAGRAPH:
		fputc('\n', page->out);
		fold(page, PLAIN, item->title, 0, 0);
		break;
	case STORY_ROW:
		tell_row(page, item);
		break;
	case STORY_TABLE:
		measure(page, story, i);
		fputc('\n', page->out);
		blanks(page, INDENT);
		fold(page, BOLD, item->title, INDENT, INDENT);
		tell_line(page, item, DIM);
		break;
	case STORY_LINE:
		tell_line(page, item, item->bad ? BAD : PLAIN);
		break;
	case STORY_FIGURE:
		tell_figure(page, item);
		break;
	case STORY_ARROW:
		tell_arrow(page, item);
		break;
	case STORY_MARK:
		tell_mark(page, item);
		break;
	case STORY_COMMAND:
		tell_command(page, item->title);
		break;
	case STORY_QUOTE:
		tell_quote(page, item->title);
		break;
	}
}

static struct page page_of(const struct tell_style *style, FILE *out)
{
	struct page page = {.out = out, .style = *style};
	if (page.style.columns == 0)
		page.style.columns = 80;
	return page;
}

void tell_text_begin(const struct story *story, const struct tell_style *style, FILE *out)
{
	struct page page = page_of(style, out);
	say(&page, BOLD, story_title(story));
	fputs("\n\n", out);
	fold(&page, PLAIN, story_question(story), 0, 0);
}

size_t tell_text_more(const struct story *story, size_t from, const struct tell_style *style, FILE *out)
{
	struct page page = page_of(style, out);
	for (; from < story_count(story); from++)
		tell_item(&page, story, from);
	return from;
}

bool tell_text_end(const struct story *story, const struct tell_style *style, FILE *out)
{
	struct page page = page_of(style, out);
	fputc('\n', out);
	if (story_holds(story))
		say(&page, GOOD,
			story_is_of_recording(story)
				? "All of this was computed just now from the recording, and fits it.\n"
				: "All of this happened just now, as it is told.\n");
	else
		say(&page, BAD, "Something did not happen as it is told: see the rows that say so.\n");
	return fflush(out) == 0 && !ferror(out);
}

bool tell_text(const struct story *story, const struct tell_style *style, FILE *out)
{
	tell_text_begin(story, style, out);
	(void)!tell_text_more(story, 0, style, out);
	return tell_text_end(story, style, out);
}
