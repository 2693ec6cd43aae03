/*
 * agent/post.h — sends reports from inside somebody else's program. Keeps no descriptor that the program could close and
 * use for something else: one is opened for each report, which is rare enough.
 */
#ifndef AGENT_POST_H
#define AGENT_POST_H

#include "agent/report.h"

/* Where reports go; NULL: nowhere. The text must stay. */
void post_open(const char *path);
/* Fills in pid, program and lost. Waits at most a second; what cannot be sent is counted. */
void post_report(struct report *report);
/* One of the kinds with a text only. */
void post_text(enum report_kind kind, const char *text);

#endif
