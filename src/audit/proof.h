/*
 * audit/proof.h — proofs as files that are checked without the log: of one line (C2SP tlog-proof, whose extra data is the
 * line), and that a log grew from one checkpoint to another. No I/O.
 *
 * c2sp.org/tlog-proof@v1          overt.internal/tlog-growth@v1
 * extra BASE64(line)              old BASE64(the older checkpoint)
 * index N                         HASHES, one a line
 * HASHES, one a line              (empty line)
 * (empty line)                    the newer checkpoint
 * the checkpoint
 */
#ifndef AUDIT_PROOF_H
#define AUDIT_PROOF_H

#include "audit/checkpoint.h"

#define AUDIT_PROOF_MAX ((size_t)512 * 1024) /* octets of a proof as a file */

enum audit_proof_kind {
	AUDIT_PROOF_NONE, /* begins as neither; it may be a checkpoint */
	AUDIT_PROOF_LEAF,
	AUDIT_PROOF_GROWTH,
};

/* A proof that was read. Views point into the octets it was read from, or into `room`. */
struct audit_proof {
	enum audit_proof_kind kind;
	struct bytes extra; /* LEAF: the line without its LF; GROWTH: the older note. In the reader's `room` */
	uint64_t index;     /* LEAF: of the line, counted from 0 */
	struct merkle_proof path;
	struct bytes note; /* the checkpoint, newer if there are two */
};

/* `room` has AUDIT_PROOF_MAX octets, for `extra`. False: it begins as a proof and is none. */
must_check bool audit_proof_read(struct bytes octets, uint8_t *room, struct audit_proof *proof);
/* `proof->kind` says which. False when `w` is full. */
must_check bool audit_proof_write(struct writer *w, const struct audit_proof *proof);

#endif
