/* cli/log_parts.h — what the actions of `overt log` share: the options, keys and checkpoints in files. */
#ifndef CLI_LOG_PARTS_H
#define CLI_LOG_PARTS_H

#include "audit/verify.h"

#define LOG_MANY 16 /* options that may be given several times */

struct log_wish {
	unsigned given; /* which options, for those that an action does not take */
	const char *state, *log, *kind, *since, *before, *key, *proof, *out, *from, *as, *name, *file;
	uint64_t line;
	const char *checkpoints[LOG_MANY], *witnesses[LOG_MANY];
	size_t checkpoint_count, witness_count;
	bool unilateral, closed, json;
	char path[AUDIT_PATH_MAX]; /* of the log */
};

int log_show(struct log_wish *wish);
int log_verify(struct log_wish *wish);
int log_prove(struct log_wish *wish);
int log_witness(struct log_wish *wish);

/* The logs put aside before this one, which is intact: whole, and one chain. Prints a line for each; false with `err`. */
must_check bool log_verify_before(const struct log_wish *wish, struct error *err);

/* A verifier key itself, or the name of a file with one. */
must_check bool log_key(const char *value, struct note_key *key, struct error *err);
/* The key that is said to be the log's: --key, else PATH.pub. */
must_check bool log_key_wished(const struct log_wish *wish, struct note_key *key, struct error *err);
/* A checkpoint from a file, which must be there. The caller frees. NULL with `err`. */
must_check struct audit_head *log_checkpoint(const char *name, struct error *err);
/* Whether the log's key signed it, and all --witness keys cosigned it. `name` is for people. */
must_check bool log_checkpoint_signed(const struct audit_head *head, const struct note_key *key,
	const struct log_wish *wish, const char *name, struct error *err);
/* From octets that are not a file's own, as in a proof. */
must_check struct audit_head *log_checkpoint_from(struct bytes octets, const char *name, struct error *err);
/* To --out, or standard output. */
must_check bool log_put(const struct log_wish *wish, struct bytes octets, struct error *err);
/* That the log grew from `old` to `now`, out of its tree. `merkle` checks it before it is believed. */
must_check bool log_grew(const struct log_wish *wish, struct merkle *merkle, const struct merkle_head *old,
	const struct merkle_head *now, struct merkle_proof *proof, struct error *err);
/* That line `index` (from 0) is in the tree of `head`, as above. */
must_check bool log_contains(const struct log_wish *wish, struct merkle *merkle, uint64_t index,
	const struct merkle_hash *leaf, const struct merkle_head *head, struct merkle_proof *proof, struct error *err);

#endif
