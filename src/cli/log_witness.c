#include "cli/log_parts.h"

#include "audit/proof.h"
#include "base/clock.h"
#include "base/text.h"
#include "cli/options.h"
#include "cli/verbs.h"

#include <errno.h>
#include <fcntl.h>
#include <openssl/evp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <unistd.h>

/*
 * overt log witness: cosigns a checkpoint once it is seen to have grown from the last one this witness cosigned. In DIR
 * stand witness.key and witness.pub, and for each log HASH.seen, the checkpoint, and HASH.pub, its key, where HASH is
 * that of the log's name.
 */

#define WITNESS_NAME "overt.internal/witness/"

struct work {
	const struct log_wish *wish;
	struct merkle *merkle;
	struct note_signer *witness;
	struct note_key key; /* of the log */
	struct audit_proof proof;
	struct audit_head *now, *seen; /* seen: NULL the first time */
	char seen_name[AUDIT_PATH_MAX], key_name[AUDIT_PATH_MAX];
	uint8_t *octets; /* 2 * AUDIT_PROOF_MAX: the file, and what is decoded of it */
	int lock;
};

static bool set_up(struct work *work, struct error *err)
{
	char base[AUDIT_PATH_MAX];
	bool missing;
	const struct log_wish *wish = work->wish;
	work->merkle = merkle_new();
	work->octets = malloc(2 * AUDIT_PROOF_MAX);
	if (!work->merkle || !work->octets)
		return error_set(err, "no memory");
	if (!make_state(wish->as, err))
		return false;
	/* Two at a time could cosign two futures of one past. */
	work->lock = open(wish->as, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (work->lock < 0 || flock(work->lock, LOCK_EX) < 0)
		return error_set_errno(err, "cannot use %s", wish->as);
	if (!audit_path(base, wish->as, "/witness"))
		return error_set(err, "--as %s: the path is too long", wish->as);
	work->witness = audit_key_open(base, wish->name ? wish->name : WITNESS_NAME, NOTE_COSIGNED, &missing, err);
	return work->witness != NULL;
}

/* From the file, or from the log itself. */
static bool load_now(struct work *work, struct error *err)
{
	char head_name[AUDIT_PATH_MAX];
	const struct log_wish *wish = work->wish;
	if (!wish->file) {
		if (!audit_path(head_name, wish->path, ".head"))
			return error_set(err, "%s: the path is too long", wish->path);
		work->now = log_checkpoint(head_name, err);
		return work->now != NULL;
	}
	long n = audit_file_read(wish->file, work->octets, AUDIT_PROOF_MAX);
	if (n < 0)
		return error_set_errno(err, "cannot read %s", wish->file);
	if (!audit_proof_read(bytes_of(work->octets, (size_t)n), work->octets + AUDIT_PROOF_MAX, &work->proof) ||
		work->proof.kind == AUDIT_PROOF_LEAF)
		return error_set(err, "%s is no checkpoint, and no proof that a log grew", wish->file);
	work->now = log_checkpoint_from(work->proof.note, wish->file, err);
	return work->now != NULL;
}

/* Names of files in DIR, out of a name that a stranger chose. */
static bool name_files(struct work *work, struct error *err)
{
	uint8_t hash[32];
	char hex[33];
	char ending[64];
	struct bytes origin = work->now->checkpoint.origin;
	if (EVP_Digest(origin.data, origin.len, hash, NULL, EVP_sha256(), NULL) != 1)
		return error_set_openssl(err, "cannot hash");
	text_hex(hex, sizeof(hex), bytes_of(hash, 16));
	snprintf(ending, sizeof(ending), "/%s.seen", hex);
	bool good = audit_path(work->seen_name, work->wish->as, ending);
	snprintf(ending, sizeof(ending), "/%s.pub", hex);
	good = good && audit_path(work->key_name, work->wish->as, ending);
	return good || error_set(err, "--as %s: the path is too long", work->wish->as);
}

/* The log's key: the one first given with --key, and for ever. */
static bool load_key(struct work *work, struct error *err)
{
	struct note_key given;
	const struct log_wish *wish = work->wish;
	if (wish->key && !log_key(wish->key, &given, err))
		return false;
	if (access(work->key_name, F_OK) == 0) {
		if (!log_key(work->key_name, &work->key, err))
			return false;
		return !wish->key || note_key_same(&given, &work->key) ||
		       error_set(err, "--key is not the key of %s that this witness knows, in %s", work->key.name,
			       work->key_name);
	}
	if (!wish->key)
		return error_set(err, "this witness does not know the log %.*s yet: --key says which key is its own",
			(int)work->now->checkpoint.origin.len, (const char *)work->now->checkpoint.origin.data);
	work->key = given;
	return true;
}

static bool load_seen(struct work *work, struct error *err)
{
	/* A witness's own memory is what its word is worth: signed all the same, or it would vouch for a changed file. */
	struct log_wish alone = {0};
	if (access(work->seen_name, F_OK) != 0 && errno == ENOENT)
		return access(work->key_name, F_OK) != 0 ||
		       error_set(err, "%s is missing: what this witness last saw of the log is not known",
			       work->seen_name);
	work->seen = log_checkpoint(work->seen_name, err);
	if (!work->seen || !log_checkpoint_signed(work->seen, &work->key, &alone, work->seen_name, err))
		return false;
	return note_verify(&work->seen->note, note_signer_key(work->witness), NULL) == NOTE_SIGNED ||
	       error_set(err, "%s is not cosigned by this witness: it is not what it saw", work->seen_name);
}

static bool consistent(struct work *work, struct error *err)
{
	if (!work->seen)
		return true;
	const struct merkle_head *old = &work->seen->checkpoint.head;
	const struct merkle_head *now = &work->now->checkpoint.head;
	if (now->size < old->size)
		return error_set(err, "rolled back: the log has %llu lines, and this witness saw %llu",
			(unsigned long long)now->size, (unsigned long long)old->size);
	if (now->size == old->size)
		return merkle_same(&now->root, &old->root) ||
		       error_set(err, "rewritten: the log of %llu lines is another than this witness saw",
			       (unsigned long long)now->size);
	if (!work->wish->file)
		return log_grew(work->wish, work->merkle, old, now, &work->proof.path, err) ||
		       error_prefix(err, "rewritten: ");
	if (work->proof.kind != AUDIT_PROOF_GROWTH)
		return error_set(err,
			"a checkpoint alone does not show that the log grew: overt log prove --from %s makes the proof",
			work->seen_name);
	return merkle_check_growth(work->merkle, &work->proof.path, old, now) ||
	       error_set(err,
		       "rewritten, or the proof is not from what this witness saw (%s, %llu lines): the log cannot be "
		       "shown to have grown from it",
		       work->seen_name, (unsigned long long)old->size);
}

static bool remember_key(const struct work *work, struct error *err)
{
	uint8_t text[NOTE_KEY_TEXT];
	struct bytes content;
	struct writer w = writer_over(text, sizeof(text));
	note_key_write(&w, &work->key);
	writer_u8(&w, '\n');
	return writer_done(&w, &content) && audit_file_write(work->key_name, content, 0644, err);
}

/* What was seen is on the disk before anybody has the cosignature. */
static bool cosign(const struct work *work, struct error *err)
{
	uint8_t text[AUDIT_HEAD_MAX];
	struct bytes content;
	struct writer w = writer_over(text, sizeof(text));
	writer_bytes(&w, work->now->note.text);
	writer_u8(&w, '\n');
	writer_bytes(&w, work->now->note.signatures);
	if (!note_sign(&w, work->witness, work->now->note.text, clock_wall_ns() / NS_PER_S) ||
		!writer_done(&w, &content))
		return error_set(err, "cannot cosign: the checkpoint has too many signatures");
	return audit_file_write(work->seen_name, content, 0644, err) && remember_key(work, err) &&
	       fsync(work->lock) == 0 && log_put(work->wish, content, err);
}

int log_witness(struct log_wish *wish)
{
	struct error err;
	struct log_wish alone = {0};
	struct work work = {.wish = wish, .lock = -1};
	if (!wish->as) {
		error_set(&err, "witness needs --as, a folder of its own for its key and what it saw");
		return complain("log", &err, EXIT_MISUSE);
	}
	const char *name = wish->file ? wish->file : wish->path;
	bool good = set_up(&work, &err) && load_now(&work, &err) && work.now && name_files(&work, &err) &&
	            load_key(&work, &err) && log_checkpoint_signed(work.now, &work.key, &alone, name, &err) &&
	            load_seen(&work, &err) && consistent(&work, &err) && cosign(&work, &err);
	note_signer_free(work.witness);
	merkle_free(work.merkle);
	free(work.now);
	free(work.seen);
	free(work.octets);
	if (work.lock >= 0)
		close(work.lock);
	return good ? 0 : complain("log", &err, 1);
}
