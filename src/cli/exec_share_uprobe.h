/*
 * cli/exec_share_uprobe.h — programs of a run that no library gets into: Go's, and static ones with OpenSSL inside. Probes
 * at their functions (uprobe/uprobe.h) see their secrets; keys of records are made of them at once, and the secrets wiped.
 * A thread of its own. Nobody waits for these keys: they may come after the first data.
 */
#ifndef CLI_EXEC_SHARE_UPROBE_H
#define CLI_EXEC_SHARE_UPROBE_H

#include "cli/exec_share_lines.h"
#include "cli/exec_share_view.h"

struct exec_uprobe_options {
	/* Where keys go: to the view, or, where it is NULL, to the collector. */
	struct view *view;
	struct exec_send *send;
	struct exec_lines *lines; /* NULL with a view: secrets of which probes do not tell enough */
	/* Of the run's door: programs that are about to become others ask beside it (agent/share_probes.h). */
	const char *door;
	/* Whether a process is the run's. From a thread of this one, as the next. */
	bool (*ours)(void *arg, pid_t pid);
	/* A word about a program: `what` is a phrase. `pid` is 0 before it was started. */
	void (*say)(void *arg, uint32_t pid, const char *program, bool reached, const char *what);
	void *arg;
};

struct exec_uprobe_counts {
	unsigned programs; /* files in which probes stand */
	uint64_t keys;
	uint64_t lost;       /* no slot was free */
	uint64_t unreadable; /* not as expected */
};

struct exec_uprobe;

/*
 * Loads the probes, if this machine lets us: where it does not, that is said of the programs that would have needed them.
 * NULL without memory.
 */
must_check struct exec_uprobe *exec_uprobe_new(const struct exec_uprobe_options *options);
/* Takes the probes away. NULL is allowed. */
struct exec_uprobe_counts exec_uprobe_free(struct exec_uprobe *probes);

/* The command, before it is started: says what there is to say. True when it is one of those programs, reached or not. */
bool exec_uprobe_command(struct exec_uprobe *probes, const char *command);
/* Fetches what was seen until now. */
void exec_uprobe_drain(struct exec_uprobe *probes);
/* Files in which probes stand, now. Any thread. */
must_check unsigned exec_uprobe_programs(struct exec_uprobe *probes);

#endif
