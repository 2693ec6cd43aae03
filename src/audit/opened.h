/* audit/opened.h — the openings that are still kept, found by the commitment they open (audit/openings.h writes them). */
#ifndef AUDIT_OPENED_H
#define AUDIT_OPENED_H

#include "audit/commit.h"
#include "base/error.h"

struct audit_opened;

/* Reads all files of the folder; one that does not exist has none. Lines of another form are passed over and counted. */
must_check struct audit_opened *audit_opened_load(const char *folder, struct error *err);
/* NULL is allowed. Wipes. */
void audit_opened_free(struct audit_opened *opened);
/* What the commitment (64 hex digits) is to, clean text in the object's memory. False: nobody can tell any more. */
must_check bool audit_opened_find(const struct audit_opened *opened, struct bytes hex, struct bytes *value);
must_check size_t audit_opened_passed_over(const struct audit_opened *opened);

#endif
