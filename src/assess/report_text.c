/* assess/report_text.c — a report for a terminal or a file: a line for each finding, and below it what speaks for it. */
#include "assess/report.h"

#include <string.h>

#define INDENT 5

enum paint { PLAIN, BOLD, DIM, GOOD, WARN, BAD };

struct page {
	FILE *out;
	bool colour;
	unsigned columns;
};

static void say(const struct page *page, enum paint paint, const char *text)
{
	static const char *const codes[] = {"", "1", "2", "32", "33", "31"};
	if (page->colour && paint != PLAIN)
		fprintf(page->out, "\033[%sm%s\033[0m", codes[paint], text);
	else
		fputs(text, page->out);
}

/*
 * Folds at blanks, on a line of which `at` columns are taken, 0 for a new one; a word longer than the line stands on one of
 * its own. Ends the line.
 */
static void fold(const struct page *page, enum paint paint, unsigned indent, unsigned at, const char *text)
{
	char word[REPORT_TEXT];
	while (*text) {
		size_t len = strcspn(text, " ");
		snprintf(word, sizeof(word), "%.*s", (int)len, text);
		if (at == 0 || at + 1 + len > page->columns) {
			fprintf(page->out, "%s%*s", at == 0 ? "" : "\n", (int)indent, "");
			at = indent;
		} else {
			fputc(' ', page->out);
			at++;
		}
		say(page, paint, word);
		at += (unsigned)len;
		text += len + strspn(text + len, " ");
	}
	fputc('\n', page->out);
}

static enum paint paint_of(enum grade grade)
{
	static const enum paint paints[] = {DIM, WARN, GOOD, WARN, WARN, BAD};
	return paints[grade];
}

static void tell_finding(const struct page *page, const struct finding *finding)
{
	fputs("  ", page->out);
	say(page, paint_of(finding->grade), grade_name(finding->grade));
	fputs("  ", page->out);
	say(page, BOLD, finding->check);
	fputc(':', page->out);
	fold(page, PLAIN, INDENT, INDENT + (unsigned)strlen(finding->check) + 1,
		finding->probed ? finding->probed : "");
	if (finding->seen && finding->seen[0])
		fold(page, PLAIN, INDENT, 0, finding->seen);
	if (finding->why && finding->why[0])
		fold(page, DIM, INDENT, 0, finding->why);
}

bool report_tell_text(const struct report *report, bool colour, unsigned columns, FILE *out)
{
	struct page page = {.out = out, .colour = colour, .columns = columns > 40 ? columns : 80};
	char line[400];
	snprintf(line, sizeof(line), "overt assess %s %s", report->verb, report->target);
	say(&page, BOLD, line);
	fputs("\n\n", out);
	for (size_t i = 0; i < report->findings; i++)
		tell_finding(&page, &report->finding[i]);
	for (size_t i = 0; i < report->verdicts; i++) {
		const struct report_conclude *verdict = &report->verdict[i];
		fputc('\n', out);
		snprintf(line, sizeof(line), "%s: %s", verdict->name, verdict->verdict);
		say(&page, verdict->bad ? BAD : GOOD, line);
		fputc('\n', out);
		fold(&page, PLAIN, INDENT, 0, verdict->reason ? verdict->reason : "");
	}
	enum grade grade = report_grade(report);
	fputs("\ngrade: ", out);
	say(&page, paint_of(grade), grade_name(grade));
	fputs(grade == GRADE_UNKNOWN ? "  (nothing was there to be graded; " : "  (the worst line counts; ", out);
	report_tell_bounds(report, line, sizeof(line));
	fprintf(out, "%s)\n", line);
	if (report->lost > 0)
		fprintf(out, "%zu findings had no room: this report is not whole\n", report->lost);
	return fflush(out) == 0 && !ferror(out);
}
