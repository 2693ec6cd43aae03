/*
 * audit/rotate.h — a log that has grown long is put aside as PATH.1, PATH.2 … with what stands beside it, and another
 * goes on in its place, with a key of its own. The old log's last line names the new one's key (CONTINUED), the new
 * one's first line the old one's checkpoint (CONTINUES), and the old private key is destroyed: from then on nobody can
 * sign that past anew.
 *
 * PATH.next.key stands as long as this is under way, so that a crash at any moment can be made good at the next start.
 */
#ifndef AUDIT_ROTATE_H
#define AUDIT_ROTATE_H

#include "audit/head.h"

/* Makes the next log's key, or takes one that was made before. False with `err`. */
must_check bool audit_rotate_begin(const char *path, struct note_key *next, struct error *err);
/* Moves all of the log away, whose last line CONTINUED is covered by its checkpoint. False with `err`. */
must_check bool audit_rotate_move(const char *path, struct error *err);
/*
 * At the start, with the log locked: ends what a crash interrupted, or takes it back where nothing was moved yet. PATH is
 * another file afterwards, or none, where it was moved. False with `err`.
 */
must_check bool audit_rotate_recover(const char *path, struct error *err);

struct audit_before {
	char name[AUDIT_PATH_MAX]; /* of the log put aside last; empty: there is none */
	struct audit_head head;
};

/* False with `err` when there is one whose checkpoint cannot be read. */
must_check bool audit_rotate_before(const char *path, struct audit_before *before, struct error *err);

#endif
