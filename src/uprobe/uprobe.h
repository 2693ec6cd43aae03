/*
 * uprobe/uprobe.h — probes at functions of programs that nothing can be loaded into, through libbpf. They see what the
 * processes below this one do, and whatever they see is fetched afterwards: no program waits for it. One thread at a
 * time, except where said.
 */
#ifndef UPROBE_UPROBE_H
#define UPROBE_UPROBE_H

#include "base/error.h"
#include "uprobe/event.h"
#include "uprobe/target.h"

#define UPROBE_FILES_MAX 128 /* programs that probes stand in, of one run */

struct uprobe;

struct uprobe_counts {
	uint64_t events;     /* fetched */
	uint64_t dropped;    /* no slot was free: the run was too slow to fetch them */
	uint64_t unreadable; /* the program's memory was not as expected */
};

/* Loads the probes, which stand nowhere yet, and follows what becomes of processes below this one. NULL with `err` set. */
must_check struct uprobe *uprobe_new(struct error *err);
/* Takes the probes away, and overwrites what they left. NULL is allowed. */
void uprobe_free(struct uprobe *uprobe);

/*
 * Places the probes of a target in a file, for every process that runs it, and for those that do already. Again in the
 * same file does nothing, unless the file was changed meanwhile: then those that stand in it are taken away first. False:
 * none stands in it. `fd` may be closed afterwards.
 */
must_check bool uprobe_attach(struct uprobe *uprobe, int fd, const struct target *target, struct error *err);
/* Takes away what stands in a file that was changed since: it is no target any more. */
void uprobe_detach_changed(struct uprobe *uprobe, int fd);
/* In which probes stand now. */
must_check unsigned uprobe_files(const struct uprobe *uprobe);

/* Becomes readable when something is to be fetched. */
must_check int uprobe_fd(const struct uprobe *uprobe);
/*
 * Fetches all that is there, in order. The event is a copy, and is wiped, as its slot is, when `take` returns; lengths
 * are within bounds.
 */
void uprobe_fetch(struct uprobe *uprobe, void (*take)(void *arg, const struct probe_event *event), void *arg);
must_check struct uprobe_counts uprobe_count(const struct uprobe *uprobe);

#endif
