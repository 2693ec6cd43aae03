/* explain/tell_html.c — one page with its styles and figures (SVG) inside: no scripts, nothing fetched. */
#include "explain/tell.h"

#include "base/html.h"
#include "base/text.h"

#include <stdlib.h>
#include <string.h>

#define FIGURE_WIDTH 900
#define STEP         52 /* between two messages */

struct sheet {
	FILE *out;
	const struct story *story;
};

static const char head[] =
	"<!doctype html><html lang=\"en\"><head><meta charset=\"utf-8\"><meta name=\"viewport\" "
	"content=\"width=device-width,initial-scale=1\">"
	"<meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; style-src 'unsafe-inline'\"><style>"
	":root{color-scheme:light dark;--ink:#1c2127;--soft:#5d6771;--line:#d5dade;--paper:#fff;--card:#f6f7f8;"
	"--good:#1d7a46;--bad:#b3261e;--mark:#eef1f4}"
	"@media(prefers-color-scheme:dark){:root{--ink:#e5e8eb;--soft:#9aa5b0;--line:#3a424a;--paper:#14181c;"
	"--card:#1c2227;--good:#5cc88c;--bad:#ff8a80;--mark:#252c33}}"
	"body{margin:0 auto;max-width:58rem;padding:2.5rem 1.25rem 4rem;background:var(--paper);color:var(--ink);"
	"font:1rem/1.6 system-ui,sans-serif}h1{font-size:1.7rem;line-height:1.25;margin:0 0 .5rem;text-wrap:balance}"
	"h2{font-size:1.25rem;margin:2.5rem 0 .5rem}h3{font-size:1rem;margin:0 0 .5rem}.lead{color:var(--soft);"
	"font-size:1.1rem;margin-top:0}section.row{background:var(--card);border-left:4px solid var(--good);"
	"padding:.9rem 1.1rem;margin:1rem 0;border-radius:0 6px 6px 0}section.row.off{border-color:var(--bad)}"
	"dl{display:grid;grid-template-columns:fit-content(20rem) minmax(0,1fr);gap:.15rem 1.2rem;margin:.4rem "
	"0}dt{color:var(--soft)}"
	"dd{margin:0;overflow-wrap:anywhere}.why{margin:.6rem 0 0}.off .verdict,.bad{color:var(--bad)}"
	"table{border-collapse:collapse;width:100%;font-size:.92rem}caption{text-align:left;font-weight:600;padding:."
	"4rem 0}"
	"th,td{text-align:left;vertical-align:top;padding:.35rem .9rem .35rem 0;border-bottom:1px solid var(--line);"
	"overflow-wrap:break-word}td:last-child{overflow-wrap:anywhere}td{white-space:pre-wrap}th{color:var(--soft);"
	"font-weight:500}.scroll{overflow-x:auto;"
	"margin:1rem 0}"
	"pre{background:var(--card);padding:.7rem 1rem;border-radius:6px;white-space:pre-wrap;overflow-wrap:anywhere;"
	"font-size:.88rem}.hex{font:.84em/1.7 ui-monospace,monospace;overflow-wrap:anywhere}"
	"figure{margin:1.2rem 0;overflow-x:auto}"
	"figcaption{font-weight:600;margin-bottom:.4rem}svg{width:100%;height:auto;font:14px system-ui,sans-serif}"
	"svg text{fill:var(--ink);paint-order:stroke;stroke:var(--paper);stroke-width:5px}svg .on{stroke:none}svg "
	".soft{fill:var(--soft);font-size:12px}svg .bad{fill:var(--bad)}"
	"svg line,svg path{stroke:var(--soft);fill:none}svg .lane{stroke:var(--line)}svg rect{fill:var(--mark);"
	"stroke:var(--line)}svg .head{fill:var(--soft);stroke:none}"
	/* On a telephone: a value under its label, and what needs its width is moved sideways. */
	"@media(max-width:40rem){body{padding:1.5rem 1rem 3rem}dl{display:block}dd{margin:0 0 .35rem}"
	"svg{min-width:40rem}table{min-width:34rem}section.row{padding:.8rem}}</style>";

/* Text with no markup in it. */
static void plain(struct sheet *sheet, const char *text)
{
	for (const char *rest = text ? text : ""; *rest;) {
		struct html room;
		size_t len = strnlen(rest, 512);
		/* No character is cut in two. */
		while (len == 512 && ((uint8_t)rest[len] & 0xc0) == 0x80)
			len--;
		if (!html_new(&room, (size_t)8 * 1024))
			return;
		html_plain(&room, bytes_of(rest, len));
		fwrite(room.text, 1, room.len, sheet->out);
		free(room.text);
		rest += len;
	}
}

/* Octets in hex, and more than a few. */
static bool is_hex(const char *text)
{
	size_t len = text ? strlen(text) : 0;
	return len >= 16 && strspn(text, "0123456789abcdef") == len;
}

static void tell_row(struct sheet *sheet, const struct story_item *row)
{
	fprintf(sheet->out, "<section class=\"row%s\"><h3>", row->held ? "" : " off");
	plain(sheet, row->title);
	fputs("</h3><dl>", sheet->out);
	for (size_t i = 0; i < row->count; i++) {
		const struct story_fact *fact = &row->fact[i];
		fputs("<dt>", sheet->out);
		plain(sheet, fact->label);
		fprintf(sheet->out, "</dt><dd%s>",
			fact->type == STORY_WORDS && is_hex(fact->words) ? " class=\"hex\"" : "");
		if (fact->type == STORY_NUMBER)
			fprintf(sheet->out, "%llu", (unsigned long long)fact->number);
		else
			plain(sheet, fact->type == STORY_WORDS ? fact->words : fact->flag ? "yes" : "no");
		fputs("</dd>", sheet->out);
	}
	fputs("</dl>", sheet->out);
	if (!row->held)
		fputs("<p class=\"verdict\">This is not what was expected.</p>", sheet->out);
	fputs("<p class=\"why\">", sheet->out);
	plain(sheet, row->note);
	fputs("</p></section>", sheet->out);
}

static void tell_cells(struct sheet *sheet, const struct story_item *line, const char *tag)
{
	fprintf(sheet->out, "<tr%s>", line->bad ? " class=\"bad\"" : "");
	for (size_t c = 0; c < line->count; c++) {
		const char *text = line->cell[c] ? line->cell[c] : "";
		size_t deep = strspn(text, " ");
		fprintf(sheet->out, "<%s%s", tag, is_hex(text) ? " class=\"hex\"" : "");
		/* What stands deeper stays so where it is folded. */
		if (deep > 0)
			fprintf(sheet->out, " style=\"padding-left:%zu.%zuem\"", deep * 6 / 10, deep * 6 % 10);
		fputc('>', sheet->out);
		plain(sheet, text + deep);
		fprintf(sheet->out, "</%s>", tag);
	}
	fputs("</tr>", sheet->out);
}

/* Items from `i` on that belong to the table or figure before them; returns the first that does not. */
static size_t tell_table(struct sheet *sheet, size_t i)
{
	const struct story_item *table = story_item(sheet->story, i++);
	fputs("<div class=\"scroll\"><table><caption>", sheet->out);
	plain(sheet, table->title);
	fputs("</caption><thead>", sheet->out);
	tell_cells(sheet, table, "th");
	fputs("</thead><tbody>", sheet->out);
	while (i < story_count(sheet->story) && story_item(sheet->story, i)->kind == STORY_LINE)
		tell_cells(sheet, story_item(sheet->story, i++), "td");
	fputs("</tbody></table></div>", sheet->out);
	return i;
}

static unsigned lane_x(const struct story_item *figure, unsigned lane)
{
	unsigned lanes = figure->count > 1 ? (unsigned)figure->count : 2;
	return 110 + lane * ((FIGURE_WIDTH - 220) / (lanes - 1));
}

static void draw_text(struct sheet *sheet, unsigned x, unsigned y, const char *class, const char *text)
{
	fprintf(sheet->out, "<text x=\"%u\" y=\"%u\" text-anchor=\"middle\" class=\"%s\">", x, y, class);
	plain(sheet, text);
	fputs("</text>", sheet->out);
}

static void draw_arrow(struct sheet *sheet, const struct story_item *figure, const struct story_item *arrow, unsigned y)
{
	unsigned from = lane_x(figure, arrow->from), to = lane_x(figure, arrow->to);
	bool right = to > from;
	fprintf(sheet->out, "<line x1=\"%u\" y1=\"%u\" x2=\"%u\" y2=\"%u\"/>", from, y, right ? to - 8 : to + 8, y);
	fprintf(sheet->out, "<path class=\"head\" d=\"M%u %ul%s -5v10z\"/>", to, y, right ? "-10" : "10");
	draw_text(sheet, (from + to) / 2, y - 7, "", arrow->title);
	if (arrow->note && arrow->note[0])
		draw_text(sheet, (from + to) / 2, y + 15, "soft", arrow->note);
}

static void draw_mark(struct sheet *sheet, const struct story_item *figure, const struct story_item *mark, unsigned y)
{
	unsigned width = (unsigned)strlen(mark->title) * 8 + 24;
	width = width > FIGURE_WIDTH - 8 ? FIGURE_WIDTH - 8 : width;
	unsigned x = lane_x(figure, mark->from), half = width / 2;
	x = x < half + 4 ? half + 4 : x + half + 4 > FIGURE_WIDTH ? FIGURE_WIDTH - half - 4 : x;
	fprintf(sheet->out, "<rect x=\"%u\" y=\"%u\" width=\"%u\" height=\"26\" rx=\"5\"/>", x - half, y - 17, width);
	draw_text(sheet, x, y, mark->bad ? "on bad" : "on", mark->title);
}

static bool in_figure(const struct sheet *sheet, size_t i)
{
	if (i >= story_count(sheet->story))
		return false;
	enum story_kind kind = story_item(sheet->story, i)->kind;
	return kind == STORY_ARROW || kind == STORY_MARK;
}

static size_t tell_figure(struct sheet *sheet, size_t i)
{
	const struct story_item *figure = story_item(sheet->story, i++);
	size_t end = i;
	while (in_figure(sheet, end))
		end++;
	unsigned height = 60 + (unsigned)(end - i) * STEP;
	fputs("<figure><figcaption>", sheet->out);
	plain(sheet, figure->title);
	fprintf(sheet->out, "</figcaption><svg viewBox=\"0 0 %d %u\" role=\"img\">", FIGURE_WIDTH, height);
	for (unsigned lane = 0; lane < figure->count; lane++) {
		unsigned x = lane_x(figure, lane);
		fprintf(sheet->out, "<line class=\"lane\" x1=\"%u\" y1=\"30\" x2=\"%u\" y2=\"%u\"/>", x, x, height);
		draw_text(sheet, x, 18, "", figure->cell[lane]);
	}
	for (unsigned y = 30 + STEP; i < end; i++, y += STEP) {
		const struct story_item *item = story_item(sheet->story, i);
		if (item->kind == STORY_ARROW)
			draw_arrow(sheet, figure, item, y);
		else
			draw_mark(sheet, figure, item, y);
	}
	fputs("</svg></figure>", sheet->out);
	return end;
}

static void tell_words(struct sheet *sheet, const char *tag, const char *text)
{
	fprintf(sheet->out, "<%s>", tag);
	plain(sheet, text);
	fprintf(sheet->out, "</%s>", tag);
}

static size_t tell_item(struct sheet *sheet, size_t i)
{
	const struct story_item *item = story_item(sheet->story, i);
	switch (item->kind) {
	case STORY_CHAPTER:
		tell_words(sheet, "h2", item->title);
		break;
	case STORY_PARAGRAPH:
		tell_words(sheet, "p", item->title);
		break;
	case STORY_ROW:
		tell_row(sheet, item);
		break;
	case STORY_TABLE:
		return tell_table(sheet, i);
	case STORY_FIGURE:
		return tell_figure(sheet, i);
	case STORY_COMMAND:
	case STORY_QUOTE:
		tell_words(sheet, "pre", item->title);
		break;
	case STORY_LINE:
	case STORY_ARROW:
	case STORY_MARK:
		break;
	}
	return i + 1;
}

bool tell_html(const struct story *story, FILE *out)
{
	struct sheet sheet = {.out = out, .story = story};
	fputs(head, out);
	tell_words(&sheet, "title", story_title(story));
	fputs("</head><body>", out);
	tell_words(&sheet, "h1", story_title(story));
	fputs("<p class=\"lead\">", out);
	plain(&sheet, story_question(story));
	fputs("</p>", out);
	for (size_t i = 0; i < story_count(story);)
		i = tell_item(&sheet, i);
	const char *end = !story_holds(story) ? "Something did not happen as it is told: see the rows that say so."
	                  : story_is_of_recording(story)
	                          ? "All of this was computed from a recording when this page was made, and fits it."
	                          : "All of this happened when this page was made, as it is told.";
	fprintf(out, "<p%s>%s</p></body></html>\n", story_holds(story) ? "" : " class=\"bad\"", end);
	return fflush(out) == 0 && !ferror(out);
}
