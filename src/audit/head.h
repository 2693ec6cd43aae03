/*
 * audit/head.h — what stands beside the log: PATH.head, the newest checkpoint, signed; PATH.key, the private key that signs
 * (mode 0600); PATH.pub, its verifier key. A log has a key of its own, whose name is the log's origin.
 */
#ifndef AUDIT_HEAD_H
#define AUDIT_HEAD_H

#include "audit/checkpoint.h"

#define AUDIT_PATH_MAX 4096 /* octets of a path with its ending and NUL */

/* Enough for what a checkpoint and NOTE_SIGNATURES_MAX signatures take. */
#define AUDIT_HEAD_MAX ((size_t)16 * 1024)

/* PATH and an ending, as ".head". False when that is too long. */
must_check bool audit_path(char out[AUDIT_PATH_MAX], const char *path, const char *ending);

/* A checkpoint that was read, with its signatures. */
struct audit_head {
	bool present;
	uint8_t octets[AUDIT_HEAD_MAX];
	struct note note;
	struct checkpoint checkpoint;
};

/* `name` is the file's own. Not `present` when there is none, or it is empty. False with `err`: unreadable, damaged. */
must_check bool audit_head_read(const char *name, struct audit_head *head, struct error *err);
/* Signs and writes in place; `fd` is of PATH.head. False with errno set. */
must_check bool audit_head_write(int fd, const struct merkle_head *head, const struct note_signer *signer);

#define AUDIT_ORIGIN "overt.internal/audit/" /* what a log's name begins with */

/*
 * The key in PATH.key. Where there is none: with `prefix` a new one is made, whose name begins with it, and PATH.pub; with
 * NULL nothing is, and *missing says so. NULL with `err` also when it cannot be read or made.
 */
must_check struct note_signer *audit_key_open(
	const char *path, const char *prefix, enum note_type type, bool *missing, struct error *err);
/* PATH.pub. False with `err`. */
must_check bool audit_key_public(const char *path, struct note_key *key, struct error *err);

/* A new file, synced, which nobody sees half written; what stood there goes. False with `err`. */
must_check bool audit_file_write(const char *name, struct bytes content, unsigned mode, struct error *err);
/* At most `cap` octets of a file; -1 with errno set when it cannot be read, EFBIG when it is larger. */
must_check long audit_file_read(const char *name, uint8_t *out, size_t cap);

#endif
