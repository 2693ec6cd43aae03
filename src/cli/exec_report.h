/* cli/exec_report.h — what the agents of a run report, received and told: a line each, and JSON lines. */
#ifndef CLI_EXEC_REPORT_H
#define CLI_EXEC_REPORT_H

#include "agent/report.h"
#include "base/error.h"
#include "base/loop.h"

#include <stdio.h>
#include <sys/un.h>

#define EXEC_REPORT_SEEN 16

struct exec_report {
	struct loop *loop;
	struct loop_io io;
	char folder[80], path[sizeof(((struct sockaddr_un *)0)->sun_path)];
	FILE *jsonl; /* NULL: none */
	bool quiet, require;
	bool server; /* the agents are in servers, whose workers may be other users' */
	uint8_t token[REPORT_TOKEN];
	/* What was heard of. */
	unsigned attached, connections, refused, unreached, served;
	unsigned malformed;               /* datagrams that were no reports, or without our token */
	char seen[EXEC_REPORT_SEEN][160]; /* lines about programs, which are told once; the first ones are kept */
	unsigned told;
};

/*
 * Makes a token and a socket in a folder of its own, and watches it. Both are for this user only; for servers everybody may
 * send, and what does not begin with the token is counted and dropped. `jsonl`: a path, "-", or NULL.
 */
must_check bool exec_report_open(struct exec_report *report, struct loop *loop, const char *jsonl, struct error *err);
/* Takes what has been sent until now. */
void exec_report_drain(struct exec_report *report);
void exec_report_close(struct exec_report *report);

#endif
