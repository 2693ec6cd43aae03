/*
 * audit/openings.h — what opens the commitments of the audit log, for as long as people may be told: files
 * FOLDER/<unix seconds>.jsonl (0600), each for entries of a short span from that time on, with lines
 * {"seq":N,"field":"…","salt":"64 hex","value":"…"}. A file goes before the time of its first entry is over, so that no
 * opening outlives the retention: overwritten, synced, removed. (What a journal, a copy-on-write file system or a flash
 * controller keeps of it is beyond a program: see the documentation on where to put the state.)
 */
#ifndef AUDIT_OPENINGS_H
#define AUDIT_OPENINGS_H

#include "audit/commit.h"
#include "base/error.h"

#define AUDIT_OPENINGS_QUEUE ((size_t)1024 * 1024) /* octets */

struct audit_openings;

/* `retention_ns` > 0. The folder (0700) is made at the first write. NULL without memory, or for a path too long. */
must_check struct audit_openings *audit_openings_new(const char *folder, uint64_t retention_ns);
/* What was not written is lost, and wiped. NULL is allowed. */
void audit_openings_free(struct audit_openings *openings);

/* Queues a line. `value` is clean text. False, and nothing queued, when there is no room. */
must_check bool audit_openings_add(struct audit_openings *openings, uint64_t seq, const char *field,
	const uint8_t salt[AUDIT_SALT], struct bytes value);
/* Room for `values` values of up to `octets` each? Asked before an entry is numbered. */
must_check bool audit_openings_room(const struct audit_openings *openings, size_t values, size_t octets);
/* Writes what is queued to the file of this time. False with `err` set: it stays queued. */
must_check bool audit_openings_write(struct audit_openings *openings, uint64_t wall_ns, struct error *err);
/* Destroys the files whose time is over at `wall_ns`. Returns how many. Call at least every audit_openings_tick_ns. */
size_t audit_openings_expire(struct audit_openings *openings, uint64_t wall_ns);
must_check uint64_t audit_openings_tick_ns(const struct audit_openings *openings);

#endif
