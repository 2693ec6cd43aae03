/* assess/run.h — runs a client's command once, within a time, with nothing of its output kept. */
#ifndef ASSESS_RUN_H
#define ASSESS_RUN_H

#include "base/error.h"

#include <stdint.h>

struct run_wish {
	char **command; /* ends with NULL; "{}" in its words is replaced by `url` */
	const char *url, *ca_file;
	uint64_t patience_ns;
	int signals; /* readable once the whole is to end: a signalfd */
};

enum run_end { RUN_EXITED, RUN_KILLED, RUN_LATE, RUN_STOPPED };

/*
 * In *code the exit code or signal. One that takes longer is killed with its process group. False: it cannot be run, or *end
 * is RUN_STOPPED. From one thread of the program only: the command is killed when that ends.
 */
must_check bool run_once(const struct run_wish *wish, enum run_end *end, int *code, struct error *err);

#endif
