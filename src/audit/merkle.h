/*
 * audit/merkle.h — the Merkle tree of RFC 9162, section 2.1, over SHA-256: leaves, the right edge of a growing tree, proofs
 * made and checked. No I/O. A tree has at most 2^62 leaves; leaves are counted from 0.
 */
#ifndef AUDIT_MERKLE_H
#define AUDIT_MERKLE_H

#include "base/bytes.h"

#define MERKLE_HASH      32
#define MERKLE_EDGE_MAX  63           /* subtrees at the right edge */
#define MERKLE_PROOF_MAX 64           /* hashes of one proof */
#define MERKLE_MADE_MAX  64           /* nodes that one leaf completes, itself included */
#define MERKLE_SIZE_MAX  (1ULL << 62) /* leaves */

struct merkle_hash {
	uint8_t octets[MERKLE_HASH];
};

/* What hashes: an OpenSSL context kept, since making one costs more than hashing a node. One thread at a time. */
struct merkle;

/* NULL without memory, or when OpenSSL has no SHA-256. */
must_check struct merkle *merkle_new(void);
/* NULL is allowed. */
void merkle_free(struct merkle *merkle);

must_check bool merkle_same(const struct merkle_hash *a, const struct merkle_hash *b);

/* SHA-256(0x00, leaf) and SHA-256(0x01, left, right). False only when OpenSSL fails. */
must_check bool merkle_leaf(struct merkle *merkle, struct bytes leaf, struct merkle_hash *out);
must_check bool merkle_node(struct merkle *merkle, const struct merkle_hash *left, const struct merkle_hash *right,
	struct merkle_hash *out);

/*
 * The right edge: the roots of the full subtrees that the tree consists of, the largest first; one for each bit of
 * `size`. It is all that growing needs. All zero: the empty tree.
 */
struct merkle_edge {
	uint64_t size;
	struct merkle_hash roots[MERKLE_EDGE_MAX];
};

must_check unsigned merkle_edge_count(uint64_t size);

/* The nodes that a leaf completed, in the order they are stored: the leaf, then its ancestors upwards. */
struct merkle_made {
	unsigned count;
	struct merkle_hash nodes[MERKLE_MADE_MAX];
};

/* Adds the hash of a leaf. False, and nothing changed, when the tree is full or OpenSSL fails. */
must_check bool merkle_edge_add(
	struct merkle *merkle, struct merkle_edge *edge, const struct merkle_hash *leaf, struct merkle_made *made);
/* The root of the whole tree; that of the empty one is SHA-256 of nothing. */
must_check bool merkle_edge_root(struct merkle *merkle, const struct merkle_edge *edge, struct merkle_hash *out);

/*
 * Where nodes of full subtrees are stored, when each leaf is followed by the ancestors it completes: the place of the
 * node over the leaves from index << level to (index + 1) << level, counted in hashes; and how many there are in all.
 */
must_check uint64_t merkle_stored_at(unsigned level, uint64_t index);
must_check uint64_t merkle_stored_count(uint64_t size);

/* The hash stored at a place. False: it cannot be had. */
typedef bool merkle_read_fn(void *ctx, uint64_t place, struct merkle_hash *out);

struct merkle_store {
	struct merkle *merkle;
	merkle_read_fn *read;
	void *ctx;
};

/* The right edge of the tree that the first `size` leaves make. */
must_check bool merkle_edge_load(const struct merkle_store *store, uint64_t size, struct merkle_edge *edge);

struct merkle_proof {
	unsigned count;
	struct merkle_hash hashes[MERKLE_PROOF_MAX];
};

/* RFC 9162, 2.1.3.1: for the leaf `index` in the tree of `size`. False when index >= size, or a hash cannot be had. */
must_check bool merkle_prove_leaf(
	const struct merkle_store *store, uint64_t index, uint64_t size, struct merkle_proof *proof);
/* RFC 9162, 2.1.4.1: that the tree of `size` begins with that of `old`. Empty when old is 0 or `size`. */
must_check bool merkle_prove_growth(
	const struct merkle_store *store, uint64_t old, uint64_t size, struct merkle_proof *proof);

/* RFC 9162, 2.1.3.2. */
must_check bool merkle_check_leaf(struct merkle *merkle, const struct merkle_proof *proof, uint64_t index,
	uint64_t size, const struct merkle_hash *leaf, const struct merkle_hash *root);

struct merkle_head {
	uint64_t size;
	struct merkle_hash root;
};

/* RFC 9162, 2.1.4.2. Every tree grows from the empty one, whose root is checked all the same. */
must_check bool merkle_check_growth(struct merkle *merkle, const struct merkle_proof *proof,
	const struct merkle_head *old, const struct merkle_head *now);

#endif
