/*
 * proxy/scribe.h — drains the rings of the workers into the sinks. Runs on a loop of its own in its own process, or on
 * the loop of `--single`. Workers are hostile writers to it: a ring that breaks the rules is let go, and its flows end
 * as lost; the others go on.
 */
#ifndef PROXY_SCRIBE_H
#define PROXY_SCRIBE_H

#include "base/loop.h"
#include "flow/ring.h"
#include "sink/outputs.h"

struct scribe;

/* Zeroed is a scribe without outputs, except outputs.terminal_fd: -1. */
struct scribe_options {
	struct outputs outputs;
	size_t flow_max;              /* flows followed at a time; 0: 262,144 */
	struct decoder_limits limits; /* all 0: the default */
};

struct scribe_counts {
	struct feed_counts feed;
	uint64_t events;
	uint64_t bad_events; /* that did not decode */
	uint64_t broken_rings;
	uint64_t skips_refused; /* skips that found the table full */
};

/* NULL with `err` set: a file that cannot be opened, memory. */
must_check struct scribe *scribe_new(struct loop *loop, const struct scribe_options *options, struct error *err);

/* One more sink, before the first scribe_attach: the scribe's from then on. False where FLOW_SLOTS are taken. */
must_check bool scribe_add_sink(struct scribe *scribe, struct sink *sink);

/*
 * Reads a ring from now on. `source` names it in flow names ("3.42") and must be new: count the workers ever started.
 * On true `fds` are the scribe's (and -1 for the caller); on false they stay the caller's.
 */
must_check bool scribe_attach(struct scribe *scribe, uint32_t source, struct ring_fds *fds, struct error *err);

/* The worker is gone: what its ring still holds is read, its open flows end as lost, the ring is let go. */
void scribe_detach(struct scribe *scribe, uint32_t source);

/* Opens the files of all sinks by name again (SIGHUP). False with the first failure; the others were still done. */
bool scribe_reopen(struct scribe *scribe, struct error *err);

/* Reads what stands in the rings now and flushes the sinks. For tests and for the moment before an answer. */
void scribe_drain(struct scribe *scribe);

/* Drains, ends what is open, closes sinks and rings, frees. NULL is allowed. */
void scribe_close(struct scribe *scribe);

must_check struct scribe_counts scribe_count(const struct scribe *scribe);

#endif
