/*
 * audit/tree.h — PATH.tree: the nodes of the log's Merkle tree as merkle_stored_at places them, 32 octets each. It follows
 * from the log and can be made anew from it; with it proofs and reopening take a few reads, and a line that was changed
 * can be named. What is read from it is believed only where it leads to a signed root.
 */
#ifndef AUDIT_TREE_H
#define AUDIT_TREE_H

#include "audit/merkle.h"

#define AUDIT_TREE_PAGE 4096 /* octets */

/* `fd` is the owner's; -1: nothing can be read. */
struct audit_tree {
	int fd;
	uint64_t page; /* which page stands in `cached`, counted from 1; 0: none */
	size_t cached_len;
	uint64_t pending_at; /* place of the first hash in `pending` */
	size_t pending_len;  /* octets */
	uint8_t cached[AUDIT_TREE_PAGE];
	uint8_t pending[AUDIT_TREE_PAGE];
};

void audit_tree_init(struct audit_tree *tree, int fd);
/* A merkle_read_fn; `ctx` is a struct audit_tree. */
bool audit_tree_read(void *ctx, uint64_t place, struct merkle_hash *out);
/* Queues what the leaf that made the tree `size` leaves large has completed. False with errno set. */
must_check bool audit_tree_add(struct audit_tree *tree, uint64_t size, const struct merkle_made *made);
/* Writes what is queued. False with errno set. */
must_check bool audit_tree_flush(struct audit_tree *tree);

#endif
