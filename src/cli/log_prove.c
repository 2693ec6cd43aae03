#include "cli/log_parts.h"

#include "audit/proof.h"
#include "cli/options.h"
#include "cli/verbs.h"

#include <fcntl.h>
#include <inttypes.h>
#include <stdlib.h>
#include <unistd.h>

/* overt log prove: one line, or that the log only grew. */

struct work {
	const struct log_wish *wish;
	struct merkle *merkle;
	struct audit_head *to, *from; /* from: NULL for a line */
	uint8_t *line;                /* AUDIT_LINE_MAX */
	uint8_t *out;                 /* AUDIT_PROOF_MAX */
	struct audit_proof proof;
};

static bool put(const struct work *work, struct error *err)
{
	struct bytes octets;
	struct writer w = writer_over(work->out, AUDIT_PROOF_MAX);
	if (!audit_proof_write(&w, &work->proof) || !writer_done(&w, &octets))
		return error_set(err, "the proof is too long");
	return log_put(work->wish, octets, err);
}

/* All that was read of a checkpoint: its text, the empty line, its signatures. */
static struct bytes whole(const struct audit_head *head)
{
	return bytes_of(head->octets, head->note.text.len + 1 + head->note.signatures.len);
}

static bool prove_line(struct work *work, struct error *err)
{
	const struct log_wish *wish = work->wish;
	const struct merkle_head *head = &work->to->checkpoint.head;
	struct merkle_hash leaf;
	uint64_t offset;
	work->proof = (struct audit_proof){.kind = AUDIT_PROOF_LEAF, .index = wish->line - 1, .note = whole(work->to)};
	if (wish->line > head->size)
		return error_set(err,
			"line %" PRIu64 " is not covered by the checkpoint yet, which is of %" PRIu64 " lines",
			wish->line, head->size);
	int fd = open(wish->path, O_RDONLY | O_CLOEXEC);
	bool good = fd >= 0;
	if (!good)
		error_set_errno(err, "cannot read %s", wish->path);
	else if (!audit_find(fd, wish->line, work->line, &work->proof.extra, &offset))
		good = error_set(
			err, "%s has no line %" PRIu64 ": overt log verify tells more", wish->path, wish->line);
	if (fd >= 0)
		close(fd);
	return good && merkle_leaf(work->merkle, work->proof.extra, &leaf) &&
	       log_contains(wish, work->merkle, work->proof.index, &leaf, head, &work->proof.path, err) &&
	       put(work, err);
}

static bool prove_growth(struct work *work, struct error *err)
{
	const struct merkle_head *old = &work->from->checkpoint.head;
	work->proof =
		(struct audit_proof){.kind = AUDIT_PROOF_GROWTH, .extra = whole(work->from), .note = whole(work->to)};
	return log_grew(work->wish, work->merkle, old, &work->to->checkpoint.head, &work->proof.path, err) &&
	       put(work, err);
}

static bool prove(struct work *work, struct error *err)
{
	const struct log_wish *wish = work->wish;
	char head_name[AUDIT_PATH_MAX];
	struct note_key key;
	const char *name = wish->checkpoint_count ? wish->checkpoints[0] : head_name;
	work->merkle = merkle_new();
	work->line = malloc(AUDIT_LINE_MAX);
	work->out = malloc(AUDIT_PROOF_MAX);
	if (!work->merkle || !work->line || !work->out)
		return error_set(err, "no memory");
	if (!audit_path(head_name, wish->path, ".head"))
		return error_set(err, "%s: the path is too long", wish->path);
	work->to = log_checkpoint(name, err);
	if (!work->to || !log_key_wished(wish, &key, err) || !log_checkpoint_signed(work->to, &key, wish, name, err))
		return false;
	if (!wish->from)
		return prove_line(work, err);
	work->from = log_checkpoint(wish->from, err);
	return work->from && log_checkpoint_signed(work->from, &key, wish, wish->from, err) && prove_growth(work, err);
}

int log_prove(struct log_wish *wish)
{
	struct error err;
	struct work work = {.wish = wish};
	if ((wish->line > 0) == (wish->from != NULL) || wish->checkpoint_count > 1) {
		error_set(&err, "prove takes --line or --from, and at most one --checkpoint");
		return complain("log", &err, EXIT_MISUSE);
	}
	bool good = prove(&work, &err);
	merkle_free(work.merkle);
	free(work.to);
	free(work.from);
	free(work.line);
	free(work.out);
	return good ? 0 : complain("log", &err, 1);
}
