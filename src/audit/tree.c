#include "audit/tree.h"

#include <errno.h>
#include <unistd.h>

void audit_tree_init(struct audit_tree *tree, int fd)
{
	tree->fd = fd;
	tree->page = 0;
	tree->pending_len = 0;
}

bool audit_tree_read(void *ctx, uint64_t place, struct merkle_hash *out)
{
	struct audit_tree *tree = ctx;
	if (tree->fd < 0 || place > INT64_MAX / MERKLE_HASH)
		return false;
	uint64_t at = place * MERKLE_HASH;
	uint64_t page = at / AUDIT_TREE_PAGE;
	if (tree->page != page + 1) {
		ssize_t n = pread(tree->fd, tree->cached, sizeof(tree->cached), (off_t)(page * AUDIT_TREE_PAGE));
		tree->page = n < 0 ? 0 : page + 1;
		tree->cached_len = n < 0 ? 0 : (size_t)n;
	}
	struct bytes rest = bytes_of(tree->cached, tree->cached_len);
	struct bytes hash;
	if (!bytes_skip(&rest, (size_t)(at % AUDIT_TREE_PAGE)) || !bytes_take(&rest, MERKLE_HASH, &hash))
		return false;
	memcpy(out->octets, hash.data, MERKLE_HASH);
	return true;
}

bool audit_tree_flush(struct audit_tree *tree)
{
	if (tree->pending_len == 0)
		return true;
	ssize_t n = pwrite(tree->fd, tree->pending, tree->pending_len, (off_t)(tree->pending_at * MERKLE_HASH));
	if (n >= 0 && (size_t)n != tree->pending_len)
		errno = ENOSPC;
	if (n < 0 || (size_t)n != tree->pending_len)
		return false;
	tree->pending_len = 0;
	tree->page = 0;
	return true;
}

bool audit_tree_add(struct audit_tree *tree, uint64_t size, const struct merkle_made *made)
{
	size_t len = (size_t)made->count * MERKLE_HASH;
	uint64_t at = merkle_stored_count(size - 1);
	bool follows = at == tree->pending_at + tree->pending_len / MERKLE_HASH;
	if ((!follows || tree->pending_len + len > sizeof(tree->pending)) && !audit_tree_flush(tree))
		return false;
	if (tree->pending_len == 0)
		tree->pending_at = at;
	memcpy(tree->pending + tree->pending_len, made->nodes, len);
	tree->pending_len += len;
	return true;
}
