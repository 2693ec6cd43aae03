/*
 * accord/saved.h — a proof kept in a file, with what it was judged against, so that it can be judged again elsewhere and
 * later (docs/accord.md, 9.5). No I/O, no allocation; views point into the caller's bytes.
 */
#ifndef ACCORD_SAVED_H
#define ACCORD_SAVED_H

#include "accord/check.h"

/* Room that is always enough for a ClientHello's lists, eight certificates of 64 KiB and a proof. */
#define ACCORD_MAX_SAVED ((size_t)1024 * 1024)

struct accord_saved {
	int64_t at_s; /* when the handshake was, seconds since 1970: certificates are to be judged for then */
	struct accord_leg1 leg1;
	struct bytes proof;
};

/* Writes all of it. Sets `full` in the writer when something does not fit its field. */
void accord_saved_write(struct writer *w, const struct accord_saved *saved);
/* Reads what accord_saved_write wrote, and nothing else: what is accepted is written back octet for octet. */
must_check bool accord_saved_read(struct bytes in, struct accord_saved *out, struct error *err);

#endif
