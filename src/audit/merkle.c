#include "audit/merkle.h"

#include <openssl/evp.h>
#include <stdlib.h>

struct merkle {
	EVP_MD *sha256;
	EVP_MD_CTX *ctx;
};

struct merkle *merkle_new(void)
{
	struct merkle *merkle = calloc(1, sizeof(*merkle));
	if (!merkle)
		return NULL;
	merkle->sha256 = EVP_MD_fetch(NULL, "SHA2-256", NULL);
	merkle->ctx = EVP_MD_CTX_new();
	if (merkle->sha256 && merkle->ctx && EVP_DigestInit_ex(merkle->ctx, merkle->sha256, NULL) == 1)
		return merkle;
	merkle_free(merkle);
	return NULL;
}

void merkle_free(struct merkle *merkle)
{
	if (!merkle)
		return;
	EVP_MD_CTX_free(merkle->ctx);
	EVP_MD_free(merkle->sha256);
	free(merkle);
}

bool merkle_same(const struct merkle_hash *a, const struct merkle_hash *b)
{
	return memcmp(a->octets, b->octets, MERKLE_HASH) == 0;
}

/* The first octet keeps a leaf from ever being taken for a node. */
static bool hash(struct merkle *merkle, uint8_t first, struct bytes a, struct bytes b, struct merkle_hash *out)
{
	return EVP_DigestInit_ex(merkle->ctx, NULL, NULL) == 1 && EVP_DigestUpdate(merkle->ctx, &first, 1) == 1 &&
	       EVP_DigestUpdate(merkle->ctx, a.data, a.len) == 1 && EVP_DigestUpdate(merkle->ctx, b.data, b.len) == 1 &&
	       EVP_DigestFinal_ex(merkle->ctx, out->octets, NULL) == 1;
}

bool merkle_leaf(struct merkle *merkle, struct bytes leaf, struct merkle_hash *out)
{
	return hash(merkle, 0, leaf, BYTES_NONE, out);
}

bool merkle_node(
	struct merkle *merkle, const struct merkle_hash *left, const struct merkle_hash *right, struct merkle_hash *out)
{
	return hash(merkle, 1, bytes_of(left->octets, MERKLE_HASH), bytes_of(right->octets, MERKLE_HASH), out);
}

unsigned merkle_edge_count(uint64_t size)
{
	return (unsigned)__builtin_popcountll(size);
}

bool merkle_edge_add(
	struct merkle *merkle, struct merkle_edge *edge, const struct merkle_hash *leaf, struct merkle_made *made)
{
	if (edge->size >= MERKLE_SIZE_MAX)
		return false;
	unsigned at = merkle_edge_count(edge->size);
	*made = (struct merkle_made){.count = 1};
	made->nodes[0] = *leaf;
	/* Each one bit at the low end is a subtree that finds its sibling, as in adding one. */
	for (uint64_t rest = edge->size; rest & 1; rest >>= 1) {
		const struct merkle_hash *right = &made->nodes[made->count - 1];
		if (!merkle_node(merkle, &edge->roots[--at], right, &made->nodes[made->count]))
			return false;
		made->count++;
	}
	edge->roots[at] = made->nodes[made->count - 1];
	edge->size++;
	return true;
}

/* The hash over subtrees side by side, the largest first. */
static bool fold(struct merkle *merkle, const struct merkle_hash *roots, unsigned count, struct merkle_hash *out)
{
	struct merkle_hash sum = roots[count - 1];
	for (unsigned i = count - 1; i > 0; i--) {
		if (!merkle_node(merkle, &roots[i - 1], &sum, &sum))
			return false;
	}
	*out = sum;
	return true;
}

bool merkle_edge_root(struct merkle *merkle, const struct merkle_edge *edge, struct merkle_hash *out)
{
	if (edge->size == 0)
		return EVP_DigestInit_ex(merkle->ctx, NULL, NULL) == 1 &&
		       EVP_DigestFinal_ex(merkle->ctx, out->octets, NULL) == 1;
	return fold(merkle, edge->roots, merkle_edge_count(edge->size), out);
}

uint64_t merkle_stored_count(uint64_t size)
{
	/* Each leaf, and one node less than leaves for every full subtree. */
	return 2 * size - merkle_edge_count(size);
}

uint64_t merkle_stored_at(unsigned level, uint64_t index)
{
	return merkle_stored_count(((index + 1) << level) - 1) + level;
}

/* The full subtrees that the leaves from `from` (a multiple of what follows) up to `to` consist of. */
static bool edge_read(const struct merkle_store *store, uint64_t from, uint64_t to, struct merkle_hash *roots)
{
	unsigned count = 0;
	for (unsigned level = 62; from < to; level--) {
		if (to - from < 1ULL << level)
			continue;
		if (!store->read(store->ctx, merkle_stored_at(level, from >> level), &roots[count++]))
			return false;
		from += 1ULL << level;
		if (level == 0)
			break;
	}
	return true;
}

bool merkle_edge_load(const struct merkle_store *store, uint64_t size, struct merkle_edge *edge)
{
	*edge = (struct merkle_edge){.size = size};
	return size <= MERKLE_SIZE_MAX && edge_read(store, 0, size, edge->roots);
}

static bool proof_add(const struct merkle_store *store, struct merkle_proof *proof, uint64_t from, uint64_t to)
{
	struct merkle_hash roots[MERKLE_EDGE_MAX];
	if (proof->count >= MERKLE_PROOF_MAX || !edge_read(store, from, to, roots) ||
		!fold(store->merkle, roots, merkle_edge_count(to - from), &proof->hashes[proof->count]))
		return false;
	proof->count++;
	return true;
}

/* Proofs are found from the root downwards, and written from the leaf upwards. */
static void proof_turn(struct merkle_proof *proof)
{
	for (unsigned i = 0; i < proof->count / 2; i++) {
		struct merkle_hash other = proof->hashes[i];
		proof->hashes[i] = proof->hashes[proof->count - 1 - i];
		proof->hashes[proof->count - 1 - i] = other;
	}
}

/* The largest power of two smaller than n; n > 1. */
static uint64_t split(uint64_t n)
{
	return 1ULL << (63 - (unsigned)__builtin_clzll(n - 1));
}

bool merkle_prove_leaf(const struct merkle_store *store, uint64_t index, uint64_t size, struct merkle_proof *proof)
{
	uint64_t from = 0;
	uint64_t to = size;
	proof->count = 0;
	if (index >= size || size > MERKLE_SIZE_MAX)
		return false;
	while (to - from > 1) {
		uint64_t middle = from + split(to - from);
		bool left = index < middle;
		if (!proof_add(store, proof, left ? middle : from, left ? to : middle))
			return false;
		from = left ? from : middle;
		to = left ? middle : to;
	}
	proof_turn(proof);
	return true;
}

bool merkle_prove_growth(const struct merkle_store *store, uint64_t old, uint64_t size, struct merkle_proof *proof)
{
	uint64_t from = 0;
	uint64_t to = size;
	proof->count = 0;
	if (old > size || size > MERKLE_SIZE_MAX)
		return false;
	if (old == 0)
		return true;
	while (to != old) {
		uint64_t middle = from + split(to - from);
		bool left = old <= middle;
		if (!proof_add(store, proof, left ? middle : from, left ? to : middle))
			return false;
		from = left ? from : middle;
		to = left ? middle : to;
	}
	/* The old tree's own root is known to who checks. */
	if (from > 0 && !proof_add(store, proof, from, to))
		return false;
	proof_turn(proof);
	return true;
}

bool merkle_check_leaf(struct merkle *merkle, const struct merkle_proof *proof, uint64_t index, uint64_t size,
	const struct merkle_hash *leaf, const struct merkle_hash *root)
{
	if (index >= size)
		return false;
	uint64_t node = index;
	uint64_t last = size - 1;
	struct merkle_hash sum = *leaf;
	for (unsigned i = 0; i < proof->count; i++) {
		const struct merkle_hash *other = &proof->hashes[i];
		if (last == 0)
			return false;
		if (!(node & 1 || node == last)) {
			if (!merkle_node(merkle, &sum, other, &sum))
				return false;
		} else {
			if (!merkle_node(merkle, other, &sum, &sum))
				return false;
			/* At the right edge levels without a sibling are passed over. */
			while (!(node & 1) && node) {
				node >>= 1;
				last >>= 1;
			}
		}
		node >>= 1;
		last >>= 1;
	}
	return last == 0 && merkle_same(&sum, root);
}

/* Both roots from the hashes after the first. */
static bool climb(struct merkle *merkle, const struct merkle_proof *proof, unsigned from, uint64_t node, uint64_t last,
	struct merkle_hash *old, struct merkle_hash *now)
{
	for (unsigned i = from; i < proof->count; i++) {
		const struct merkle_hash *other = &proof->hashes[i];
		if (last == 0)
			return false;
		if (node & 1 || node == last) {
			if (!merkle_node(merkle, other, old, old) || !merkle_node(merkle, other, now, now))
				return false;
			while (!(node & 1) && node) {
				node >>= 1;
				last >>= 1;
			}
		} else if (!merkle_node(merkle, now, other, now)) {
			return false;
		}
		node >>= 1;
		last >>= 1;
	}
	return last == 0;
}

bool merkle_check_growth(struct merkle *merkle, const struct merkle_proof *proof, const struct merkle_head *old,
	const struct merkle_head *now)
{
	struct merkle_hash root;
	static const struct merkle_edge empty;
	if (old->size == 0)
		return proof->count == 0 && merkle_edge_root(merkle, &empty, &root) && merkle_same(&root, &old->root);
	if (old->size == now->size)
		return proof->count == 0 && merkle_same(&old->root, &now->root);
	if (old->size > now->size || proof->count == 0)
		return false;
	uint64_t node = old->size - 1;
	uint64_t last = now->size - 1;
	while (node & 1) {
		node >>= 1;
		last >>= 1;
	}
	/* A whole subtree's root is not repeated in the proof: it is the old root itself. */
	bool whole = (old->size & (old->size - 1)) == 0;
	struct merkle_hash first = whole ? old->root : proof->hashes[0];
	struct merkle_hash grown = first;
	return climb(merkle, proof, whole ? 0 : 1, node, last, &first, &grown) && merkle_same(&first, &old->root) &&
	       merkle_same(&grown, &now->root);
}
