/* Proofs as files: read, written again, and checked against trees whose sizes they name. */
#include "audit/proof.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void again(const struct audit_proof *proof, size_t size)
{
	size_t cap = size + 16;
	uint8_t *room = malloc(cap);
	uint8_t *extra = malloc(AUDIT_PROOF_MAX);
	struct audit_proof read;
	struct writer w = writer_over(room, cap);
	if (!audit_proof_write(&w, proof) || w.len != size || !audit_proof_read(bytes_of(room, w.len), extra, &read) ||
		read.index != proof->index || read.path.count != proof->path.count ||
		!bytes_equal(read.extra, proof->extra))
		__builtin_trap();
	free(room);
	free(extra);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	uint8_t *room = malloc(AUDIT_PROOF_MAX);
	struct merkle *merkle = merkle_new();
	struct audit_proof proof;
	struct checkpoint now;
	struct merkle_hash leaf;
	if (room && merkle && audit_proof_read(bytes_of(data, size), room, &proof) && proof.kind != AUDIT_PROOF_NONE) {
		again(&proof, size);
		struct merkle_head old = {.size = proof.index};
		if (checkpoint_read(proof.note, &now) && merkle_leaf(merkle, proof.extra, &leaf)) {
			(void)!merkle_check_leaf(
				merkle, &proof.path, proof.index, now.head.size, &leaf, &now.head.root);
			(void)!merkle_check_growth(merkle, &proof.path, &old, &now.head);
		}
	}
	merkle_free(merkle);
	free(room);
	return 0;
}
