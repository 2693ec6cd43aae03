/*
 * assess/report.h — what an assessment found, apart from how it is shown: one finding for each thing probed, with what was
 * seen, the grade it allows at best, and why; verdicts that are no grade; and the whole grade, which is the worst of the
 * lines. Texts are copied, cleaned of what no terminal should see, and cut at REPORT_TEXT.
 */
#ifndef ASSESS_REPORT_H
#define ASSESS_REPORT_H

#include "base/bytes.h"

#include <stdio.h>

#define REPORT_TEXT     ((size_t)1024) /* octets of one text */
#define REPORT_FINDINGS 256            /* of one report; more are counted in `lost` */
#define REPORT_VERDICTS 8

/* What a line allows the whole at best, worst last. */
enum grade {
	GRADE_NONE,    /* told, and no matter of grade */
	GRADE_UNKNOWN, /* could not be found out; does not lower the whole */
	GRADE_A,
	GRADE_B,
	GRADE_C,
	GRADE_F,
};

struct finding {
	const char *check; /* stable identifier: "tls-version"; a literal */
	enum grade grade;
	char *probed; /* what was done */
	char *seen;   /* what came of it */
	char *why;    /* why it matters */
};

/* A judgement of its own beside the grade. */
struct report_conclude {
	const char *name;    /* "dropout"; a literal */
	const char *verdict; /* "exposed", "not-exposed"; a literal */
	bool bad;
	char *reason;
};

struct vantage;

struct report {
	const char *verb; /* "server", "client", "proxy", "path" */
	char target[320];
	struct finding finding[REPORT_FINDINGS];
	size_t findings;
	size_t lost; /* past the cap, or for want of memory: the report is not whole */
	struct report_conclude verdict[REPORT_VERDICTS];
	size_t verdicts;
	unsigned connections; /* made by us, or in a client's place taken by us */
	uint64_t pause_ns;    /* at least so long between two of them */
	uint64_t took_ns;
	/* Of a path: a part of the JSON by which another place compares. NULL: none. */
	struct vantage *vantage;
};

/* NULL without memory. */
must_check struct report *report_new(const char *verb, const char *target);
void report_free(struct report *report); /* NULL is allowed */

/* `why` may be NULL where nothing is to be explained. */
void report_add(struct report *report, const char *check, enum grade grade, const char *probed, const char *why,
	const char *seen, ...) printf_like(6, 7);
void report_conclude(struct report *report, const char *name, const char *verdict, bool bad, const char *reason, ...)
	printf_like(5, 6);

/* Keeps a copy. */
void report_show_vantage(struct report *report, const struct vantage *vantage);

/* The worst grade of its lines; GRADE_UNKNOWN when no line has one. */
must_check enum grade report_grade(const struct report *report);
/* The last finding of this check; NULL when there is none. */
must_check const struct finding *report_find(const struct report *report, const char *check);
/* "A", "B", "C", "F"; "-" for none and "?" for unknown. */
must_check const char *grade_name(enum grade grade);
/* From one of the letters; false for any other text. */
must_check bool grade_parse(const char *text, enum grade *out);

/* How much was asked: "31 connections, 0.05 s apart or more, 2.1 s in all". */
void report_tell_bounds(const struct report *report, char *out, size_t cap);
/* All false when `out` could not take it. `columns` is the width to fold at, 0: 80. */
must_check bool report_tell_text(const struct report *report, bool colour, unsigned columns, FILE *out);
must_check bool report_tell_json(const struct report *report, FILE *out);
/* One page with its styles inside: no scripts, nothing fetched. */
must_check bool report_tell_html(const struct report *report, FILE *out);

#endif
