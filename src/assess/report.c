#include "assess/report.h"

#include "assess/vantage.h"
#include "base/clock.h"
#include "base/text.h"

#include <stdarg.h>
#include <stdlib.h>

static const char *const names[] = {"-", "?", "A", "B", "C", "F"};

struct report *report_new(const char *verb, const char *target)
{
	struct report *report = calloc(1, sizeof(*report));
	if (report) {
		report->verb = verb;
		text_clean(report->target, sizeof(report->target), bytes_str(target));
	}
	return report;
}

void report_free(struct report *report)
{
	if (!report)
		return;
	for (size_t i = 0; i < report->findings; i++) {
		free(report->finding[i].probed);
		free(report->finding[i].seen);
		free(report->finding[i].why);
	}
	for (size_t i = 0; i < report->verdicts; i++)
		free(report->verdict[i].reason);
	free(report->vantage);
	free(report);
}

static char *keep(const char *text)
{
	char clean[REPORT_TEXT];
	text_clean(clean, sizeof(clean), bytes_str(text ? text : ""));
	return strdup(clean);
}

static char *keep_format(const char *format, va_list list) printf_like(1, 0);

static char *keep_format(const char *format, va_list list)
{
	char text[REPORT_TEXT];
	vsnprintf(text, sizeof(text), format, list);
	return keep(text);
}

void report_add(struct report *report, const char *check, enum grade grade, const char *probed, const char *why,
	const char *seen, ...)
{
	va_list list;
	if (report->findings == REPORT_FINDINGS) {
		report->lost++;
		return;
	}
	struct finding *finding = &report->finding[report->findings];
	va_start(list, seen);
	*finding = (struct finding){.check = check, .grade = grade, .probed = keep(probed), .why = keep(why)};
	finding->seen = keep_format(seen, list);
	va_end(list);
	report->findings++;
	report->lost += !finding->probed || !finding->why || !finding->seen;
}

void report_conclude(struct report *report, const char *name, const char *verdict, bool bad, const char *reason, ...)
{
	va_list list;
	if (report->verdicts == REPORT_VERDICTS) {
		report->lost++;
		return;
	}
	struct report_conclude *at = &report->verdict[report->verdicts++];
	va_start(list, reason);
	*at = (struct report_conclude){
		.name = name, .verdict = verdict, .bad = bad, .reason = keep_format(reason, list)};
	va_end(list);
	report->lost += !at->reason;
}

void report_show_vantage(struct report *report, const struct vantage *vantage)
{
	free(report->vantage);
	report->vantage = malloc(sizeof(*vantage));
	if (report->vantage)
		*report->vantage = *vantage;
	report->lost += !report->vantage;
}

enum grade report_grade(const struct report *report)
{
	enum grade worst = GRADE_UNKNOWN;
	for (size_t i = 0; i < report->findings; i++)
		worst = report->finding[i].grade > worst ? report->finding[i].grade : worst;
	return worst;
}

const struct finding *report_find(const struct report *report, const char *check)
{
	for (size_t i = report->findings; i > 0; i--) {
		if (strcmp(report->finding[i - 1].check, check) == 0)
			return &report->finding[i - 1];
	}
	return NULL;
}

void report_tell_bounds(const struct report *report, char *out, size_t cap)
{
	char apart[60] = "";
	if (report->pause_ns > 0)
		snprintf(apart, sizeof(apart), ", %.2f s apart or more", (double)report->pause_ns / (double)NS_PER_S);
	snprintf(out, cap, "%u connection%s%s, %.1f s in all", report->connections, report->connections == 1 ? "" : "s",
		apart, (double)report->took_ns / (double)NS_PER_S);
}

const char *grade_name(enum grade grade)
{
	return names[grade];
}

bool grade_parse(const char *text, enum grade *out)
{
	for (enum grade grade = GRADE_A; grade <= GRADE_F; grade++) {
		if (strcmp(text, names[grade]) == 0) {
			*out = grade;
			return true;
		}
	}
	return false;
}
