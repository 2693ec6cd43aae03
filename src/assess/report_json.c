/* assess/report_json.c — a report as one JSON object (RFC 8259) on one line. */
#include "assess/report.h"
#include "assess/vantage.h"
#include "sink/jsonout.h"

#include <stdlib.h>

/* A text takes at most six octets for each of its own. */
#define ROOM (16384 + (REPORT_FINDINGS + REPORT_VERDICTS) * (REPORT_TEXT * 3 * 2 + 512))

static void write_findings(struct jsonout *json, const struct report *report)
{
	jsonout_array(json, "findings");
	for (size_t i = 0; i < report->findings; i++) {
		const struct finding *finding = &report->finding[i];
		jsonout_object(json, NULL);
		jsonout_word(json, "check", finding->check);
		jsonout_word(json, "grade", grade_name(finding->grade));
		jsonout_text(json, "probed", bytes_str(finding->probed ? finding->probed : ""));
		jsonout_text(json, "seen", bytes_str(finding->seen ? finding->seen : ""));
		jsonout_text(json, "why", bytes_str(finding->why ? finding->why : ""));
		jsonout_object_end(json);
	}
	jsonout_array_end(json);
}

static void write_verdicts(struct jsonout *json, const struct report *report)
{
	jsonout_array(json, "verdicts");
	for (size_t i = 0; i < report->verdicts; i++) {
		const struct report_conclude *verdict = &report->verdict[i];
		jsonout_object(json, NULL);
		jsonout_word(json, "name", verdict->name);
		jsonout_word(json, "verdict", verdict->verdict);
		jsonout_bool(json, "bad", verdict->bad);
		jsonout_text(json, "reason", bytes_str(verdict->reason ? verdict->reason : ""));
		jsonout_object_end(json);
	}
	jsonout_array_end(json);
}

bool report_tell_json(const struct report *report, FILE *out)
{
	uint8_t *room = malloc(ROOM);
	struct jsonout json = jsonout_over(room, room ? ROOM : 0);
	size_t len = 0;
	jsonout_object(&json, NULL);
	jsonout_word(&json, "assess", report->verb);
	jsonout_text(&json, "target", bytes_str(report->target));
	jsonout_word(&json, "grade", grade_name(report_grade(report)));
	write_verdicts(&json, report);
	write_findings(&json, report);
	jsonout_number(&json, "lost", report->lost);
	jsonout_number(&json, "connections", report->connections);
	jsonout_seconds(&json, "pause_s", report->pause_ns);
	jsonout_seconds(&json, "took_s", report->took_ns);
	if (report->vantage)
		vantage_write(&json, report->vantage);
	jsonout_object_end(&json);
	bool ok = jsonout_done(&json, &len) && fwrite(room, 1, len, out) == len && fflush(out) == 0;
	free(room);
	return ok;
}
