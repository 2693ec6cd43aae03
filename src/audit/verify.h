/* audit/verify.h — reading an audit log back (the form stands in audit/line.h). Needs no key and changes nothing. */
#ifndef AUDIT_VERIFY_H
#define AUDIT_VERIFY_H

#include "audit/line.h"
#include "base/error.h"

struct audit_report {
	enum audit_verdict verdict;
	uint64_t line;           /* the first bad line, counted from 1; 0 when intact or unread */
	struct audit_place last; /* the last good place */
	struct error text;       /* one sentence for people, also when intact */
};

/* The whole file, held against PATH.head when that is there. */
void audit_verify(const char *path, struct audit_report *report);
/* From a place on, which is trusted once the line before it is seen to have its hash; what comes later was not synced. */
void audit_verify_from(const char *path, const struct audit_place *from, struct audit_report *report);

/*
 * PATH.head: up to where the log was last synced, written in place after each sync. True with *place all zero when there
 * is no such file; false with `err` set when it cannot be read or is damaged.
 */
must_check bool audit_head_read(const char *path, struct audit_place *place, struct error *err);
/* `fd` is of PATH.head, open for writing. False with errno set. */
must_check bool audit_head_write(int fd, const struct audit_place *place);
/* PATH.head into `out`; false when that is too long. */
must_check bool audit_head_path(char *out, size_t cap, const char *path);

#endif
