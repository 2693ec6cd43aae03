/*
 * agent/post.h — sends reports from inside somebody else's program. In clients it keeps no descriptor that the program could
 * close and use for something else: one is opened for each report, which is rare enough. In servers it keeps one, since
 * their workers give up the rights by which it was opened.
 */
#ifndef AGENT_POST_H
#define AGENT_POST_H

#include "agent/report.h"

/* Where reports go, and what they begin with (REPORT_TOKEN octets); NULL: nowhere. Both must stay. */
void post_open(const char *path, const uint8_t *token);
/*
 * Opens a descriptor now and keeps it, for this process and those that it forks. It is used only while it is still the
 * socket that was opened; a program that has closed it is reported on by path, as without.
 */
void post_keep(void);
/* Fills in token, pid, program and lost. Waits at most a second; what cannot be sent is counted. */
void post_report(struct report *report);
/* One of the kinds with a text only. */
void post_text(enum report_kind kind, const char *text);

#endif
