#include "cli/log_parts.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

/* Keys, checkpoints and proofs of `overt log`, from and to files. */

bool log_key(const char *value, struct note_key *key, struct error *err)
{
	uint8_t text[NOTE_KEY_TEXT];
	if (note_key_read(bytes_str(value), key, err))
		return true;
	long n = audit_file_read(value, text, sizeof(text));
	if (n >= 0)
		return note_key_read(bytes_of(text, (size_t)n), key, err) || error_prefix(err, "%s", value);
	return error_set(err, "%s is neither a verifier key (NAME+8 HEX DIGITS+BASE64) nor a file with one", value);
}

bool log_key_wished(const struct log_wish *wish, struct note_key *key, struct error *err)
{
	return wish->key ? log_key(wish->key, key, err) : audit_key_public(wish->path, key, err);
}

struct audit_head *log_checkpoint(const char *name, struct error *err)
{
	struct audit_head *head = malloc(sizeof(*head));
	if (!head) {
		error_set(err, "no memory");
		return NULL;
	}
	if (audit_head_read(name, head, err)) {
		if (head->present)
			return head;
		error_set(err, "%s: there is no checkpoint", name);
	}
	free(head);
	return NULL;
}

struct audit_head *log_checkpoint_from(struct bytes octets, const char *name, struct error *err)
{
	struct audit_head *head = malloc(sizeof(*head));
	if (head && octets.len <= sizeof(head->octets)) {
		memcpy(head->octets, octets.data, octets.len);
		head->present = note_read(bytes_of(head->octets, octets.len), &head->note) &&
		                checkpoint_read(head->note.text, &head->checkpoint);
		if (head->present)
			return head;
	}
	error_set(err, "%s is no checkpoint and no proof, or damaged", name);
	free(head);
	return NULL;
}

bool log_checkpoint_signed(const struct audit_head *head, const struct note_key *key, const struct log_wish *wish,
	const char *name, struct error *err)
{
	if (!bytes_equal(head->checkpoint.origin, bytes_str(key->name)))
		return error_set(err, "%s is of another log, %.*s: this key is that of %s", name,
			(int)head->checkpoint.origin.len, (const char *)head->checkpoint.origin.data, key->name);
	if (note_verify(&head->note, key, NULL) != NOTE_SIGNED)
		return error_set(err, "%s is not signed by the log's key %s", name, key->name);
	for (size_t i = 0; i < wish->witness_count; i++) {
		struct note_key witness;
		if (!log_key(wish->witnesses[i], &witness, err))
			return false;
		if (witness.type != NOTE_COSIGNED)
			return error_set(err, "%s is no key of a witness", wish->witnesses[i]);
		if (note_verify(&head->note, &witness, NULL) != NOTE_SIGNED)
			return error_set(err, "%s is not cosigned by the witness %s", name, witness.name);
	}
	return true;
}

bool log_put(const struct log_wish *wish, struct bytes octets, struct error *err)
{
	if (wish->out)
		return audit_file_write(wish->out, octets, 0644, err);
	return (fwrite(octets.data, 1, octets.len, stdout) == octets.len && fflush(stdout) == 0) ||
	       error_set_errno(err, "cannot write to standard output");
}

/* What is to be proven, with hashes of one tree file. */
struct question {
	struct merkle *merkle;
	const struct merkle_head *old; /* NULL: a leaf */
	const struct merkle_head *now;
	uint64_t index;
	const struct merkle_hash *leaf;
};

static bool answer(const struct question *q, struct audit_tree *tree, struct merkle_proof *proof)
{
	struct merkle_store store = {.merkle = q->merkle, .read = audit_tree_read, .ctx = tree};
	if (q->old)
		return merkle_prove_growth(&store, q->old->size, q->now->size, proof) &&
		       merkle_check_growth(q->merkle, proof, q->old, q->now);
	return merkle_prove_leaf(&store, q->index, q->now->size, proof) &&
	       merkle_check_leaf(q->merkle, proof, q->index, q->now->size, q->leaf, &q->now->root);
}

/* From PATH.tree; where that does not do, from a tree made anew of all lines. */
static bool prove(const struct log_wish *wish, const struct question *q, struct merkle_proof *proof, struct error *err)
{
	char name[AUDIT_PATH_MAX];
	struct audit_tree tree;
	struct audit_report report;
	struct note_key key;
	audit_tree_init(&tree, audit_path(name, wish->path, ".tree") ? open(name, O_RDONLY | O_CLOEXEC) : -1);
	bool good = answer(q, &tree, proof);
	if (tree.fd >= 0)
		close(tree.fd);
	if (good)
		return true;
	if (!log_key_wished(wish, &key, err))
		return false;
	audit_tree_init(&tree, memfd_create("overt tree", MFD_CLOEXEC));
	if (tree.fd < 0)
		return error_set_errno(err, "cannot make room for the tree of %s", wish->path);
	audit_resume(wish->path, q->merkle, &tree, &key, &report);
	good = answer(q, &tree, proof);
	close(tree.fd);
	if (!good && (report.verdict == AUDIT_INTACT || report.verdict == AUDIT_TORN))
		error_set(err, "%s does not lead to the checkpoint given: it is of another past", wish->path);
	else if (!good)
		*err = report.text;
	return good;
}

bool log_grew(const struct log_wish *wish, struct merkle *merkle, const struct merkle_head *old,
	const struct merkle_head *now, struct merkle_proof *proof, struct error *err)
{
	struct question q = {.merkle = merkle, .old = old, .now = now};
	if (old->size > now->size)
		return error_set(err, "%s has %llu lines, but had %llu already: it was rolled back", wish->path,
			(unsigned long long)now->size, (unsigned long long)old->size);
	return prove(wish, &q, proof, err);
}

bool log_contains(const struct log_wish *wish, struct merkle *merkle, uint64_t index, const struct merkle_hash *leaf,
	const struct merkle_head *head, struct merkle_proof *proof, struct error *err)
{
	struct question q = {.merkle = merkle, .now = head, .index = index, .leaf = leaf};
	return prove(wish, &q, proof, err);
}
