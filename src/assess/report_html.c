/* assess/report_html.c — a report as one page with its styles inside: no scripts, nothing fetched. */
#include "assess/report.h"
#include "base/html.h"

#include <stdlib.h>

static const char head[] =
	"<!doctype html><html lang=\"en\"><head><meta charset=\"utf-8\"><meta name=\"viewport\" "
	"content=\"width=device-width,initial-scale=1\">"
	"<meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; style-src 'unsafe-inline'\"><style>"
	":root{color-scheme:light dark;--ink:#1c2127;--soft:#5d6771;--line:#d5dade;--paper:#fff;--good:#1d7a46;"
	"--warn:#8a5a00;--bad:#b3261e}"
	"@media(prefers-color-scheme:dark){:root{--ink:#e5e8eb;--soft:#9aa5b0;--line:#3a424a;--paper:#14181c;"
	"--good:#5cc88c;--warn:#e0b050;--bad:#ff8a80}}"
	"body{margin:0 auto;max-width:58rem;padding:2.5rem 1.25rem 4rem;background:var(--paper);color:var(--ink);"
	"font:1rem/1.6 system-ui,sans-serif}h1{font-size:1.6rem;margin:0 0 1rem}h2{font-size:1.1rem;margin:1.5rem 0 "
	".2rem}"
	"table{border-collapse:collapse;width:100%}td{vertical-align:top;padding:.5rem .9rem .5rem 0;"
	"border-bottom:1px solid var(--line);overflow-wrap:anywhere}td:first-child{font-weight:700;width:2rem}"
	".soft{color:var(--soft)}.a{color:var(--good)}.b,.c,.u{color:var(--warn)}.f{color:var(--bad)}"
	".whole{font-size:1.3rem;font-weight:700}</style><title>";

static const char *class_of(enum grade grade)
{
	static const char *const classes[] = {"soft", "u", "a", "b", "c", "f"};
	return classes[grade];
}

static void plain(struct html *page, const char *text)
{
	html_plain(page, bytes_str(text ? text : ""));
}

static void tell_finding(struct html *page, const struct finding *finding)
{
	html_say(page, "<tr><td class=\"");
	html_say(page, class_of(finding->grade));
	html_say(page, "\">");
	html_say(page, grade_name(finding->grade));
	html_say(page, "</td><td><strong>");
	plain(page, finding->check);
	html_say(page, "</strong>: ");
	plain(page, finding->probed);
	html_say(page, "<br>");
	plain(page, finding->seen);
	html_say(page, "<br><span class=\"soft\">");
	plain(page, finding->why);
	html_say(page, "</span></td></tr>\n");
}

static void tell_verdict(struct html *page, const struct report_conclude *verdict)
{
	html_say(page, "<h2>");
	plain(page, verdict->name);
	html_say(page, ": <span class=\"");
	html_say(page, verdict->bad ? "f" : "a");
	html_say(page, "\">");
	plain(page, verdict->verdict);
	html_say(page, "</span></h2><p>");
	plain(page, verdict->reason);
	html_say(page, "</p>\n");
}

bool report_tell_html(const struct report *report, FILE *out)
{
	struct html page;
	enum grade grade = report_grade(report);
	/* A text takes at most six octets for each of its own. */
	if (!html_new(&page, (REPORT_FINDINGS + REPORT_VERDICTS) * (REPORT_TEXT * 3 * 6) + sizeof(head) + 8192))
		return false;
	html_say(&page, head);
	plain(&page, report->target);
	html_say(&page, "</title></head><body><h1>overt assess ");
	plain(&page, report->verb);
	html_say(&page, " ");
	plain(&page, report->target);
	html_say(&page, "</h1><p class=\"whole\">Grade: <span class=\"");
	html_say(&page, class_of(grade));
	html_say(&page, "\">");
	html_say(&page, grade_name(grade));
	html_say(&page, "</span></p><p class=\"soft\">");
	html_say(&page,
		grade == GRADE_UNKNOWN ? "Nothing was there to be graded.</p>\n" : "The worst line counts.</p>\n");
	for (size_t i = 0; i < report->verdicts; i++)
		tell_verdict(&page, &report->verdict[i]);
	html_say(&page, "<h2>Line by line</h2><table>\n");
	for (size_t i = 0; i < report->findings; i++)
		tell_finding(&page, &report->finding[i]);
	char bounds[120];
	report_tell_bounds(report, bounds, sizeof(bounds));
	html_say(&page, "</table><p class=\"soft\">");
	plain(&page, bounds);
	html_say(&page, "</p></body></html>\n");
	bool ok = !page.full && fwrite(page.text, 1, page.len, out) == page.len && fflush(out) == 0;
	free(page.text);
	return ok;
}
