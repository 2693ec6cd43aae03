/*
 * explain/stories.h — the stories: each runs what it tells, with endpoints of its own on stock OpenSSL, and writes down what
 * happened. False with `err` set when it could not be run at all; what happened differently is in the story.
 */
#ifndef EXPLAIN_STORIES_H
#define EXPLAIN_STORIES_H

#include "base/error.h"
#include "explain/story.h"

struct schedule_source; /* explain/schedule_parts.h */

struct explain_options {
	const char *host;    /* schedule: HOST[:PORT] to connect to; NULL: connections made for the purpose */
	uint64_t timeout_ns; /* with `host`, for all of it */
	const struct schedule_source *source; /* schedule: this connection, and no other; NULL: none */
	const char *source_said;              /* with it: where it is from, a sentence */
};

must_check bool explain_dropout(const struct explain_options *options, struct story *story, struct error *err);
must_check bool explain_schedule(const struct explain_options *options, struct story *story, struct error *err);
must_check bool explain_visibility(const struct explain_options *options, struct story *story, struct error *err);
must_check bool explain_readonly(const struct explain_options *options, struct story *story, struct error *err);
must_check bool explain_accord(const struct explain_options *options, struct story *story, struct error *err);

#endif
