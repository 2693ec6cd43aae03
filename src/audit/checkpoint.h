/*
 * audit/checkpoint.h — the text of a checkpoint (C2SP tlog-checkpoint): three lines, the log's origin, the number of its
 * entries, and the base64 of its root hash; then lines of extensions, which the audit log does not write. No I/O.
 */
#ifndef AUDIT_CHECKPOINT_H
#define AUDIT_CHECKPOINT_H

#include "audit/merkle.h"
#include "base/note.h"

#define CHECKPOINT_TEXT_MAX (NOTE_NAME_MAX + 80) /* octets of what checkpoint_write writes, at most */

struct checkpoint {
	struct bytes origin; /* a view */
	struct merkle_head head;
};

/* `text` is that of a note. False: not in the form of a checkpoint. */
must_check bool checkpoint_read(struct bytes text, struct checkpoint *checkpoint);
void checkpoint_write(struct writer *w, const struct checkpoint *checkpoint);
/* The whole signed note. False when OpenSSL fails or `w` is full. */
must_check bool checkpoint_sign(
	struct writer *w, const struct checkpoint *checkpoint, const struct note_signer *signer);

#endif
