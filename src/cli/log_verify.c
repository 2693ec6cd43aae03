#include "cli/log_parts.h"

#include "audit/proof.h"
#include "base/text.h"
#include "cli/options.h"
#include "cli/verbs.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

/* overt log verify: the whole log, or a proof without it. */

/* Faults found in what was given are the answer no; 1. */
static int answer_no(const struct error *err)
{
	return complain("log", err, 1);
}

static void tell_witnesses(const struct audit_head *head, const struct log_wish *wish)
{
	for (size_t i = 0; i < wish->witness_count; i++) {
		struct note_key witness;
		struct error err;
		uint64_t time_s;
		char when[32];
		if (!log_key(wish->witnesses[i], &witness, &err) ||
			note_verify(&head->note, &witness, &time_s) != NOTE_SIGNED)
			continue;
		time_t at = (time_t)time_s;
		struct tm utc = {0};
		gmtime_r(&at, &utc);
		strftime(when, sizeof(when), "%Y-%m-%dT%H:%M:%SZ", &utc);
		printf("  cosigned by %s at %s\n", witness.name, when);
	}
}

/* The checkpoint, which must be signed, and in a proof is what all rests on. */
static struct audit_head *trusted(
	struct bytes octets, const struct note_key *key, const struct log_wish *wish, struct error *err)
{
	struct audit_head *head = log_checkpoint_from(octets, wish->proof, err);
	if (head && log_checkpoint_signed(head, key, wish, wish->proof, err))
		return head;
	free(head);
	return NULL;
}

static bool check_leaf(const struct audit_proof *proof, const struct audit_head *head, struct merkle *merkle,
	const struct log_wish *wish, struct error *err)
{
	struct merkle_hash leaf;
	const struct merkle_head *tree = &head->checkpoint.head;
	if (!merkle_leaf(merkle, proof->extra, &leaf) ||
		!merkle_check_leaf(merkle, &proof->path, proof->index, tree->size, &leaf, &tree->root))
		return error_set(
			err, "%s does not prove its line: it does not lead to the root of the checkpoint", wish->proof);
	/* Signed means that the log said so, not that it is in the form of a line. */
	if (bytes_find(proof->extra, '\n', 0) < proof->extra.len)
		return error_set(err, "%s: what it proves is no line of an audit log", wish->proof);
	size_t cap = proof->extra.len * 4 + 1;
	char *clean = malloc(cap);
	if (!clean)
		return error_set(err, "no memory");
	text_clean(clean, cap, proof->extra);
	printf("%s\n", clean);
	free(clean);
	printf("is line %" PRIu64 " of %" PRIu64 " of the log %.*s\n", proof->index + 1, tree->size,
		(int)head->checkpoint.origin.len, (const char *)head->checkpoint.origin.data);
	return true;
}

static bool check_growth(const struct audit_proof *proof, const struct audit_head *head, struct merkle *merkle,
	const struct note_key *key, const struct log_wish *wish, struct error *err)
{
	/* Witnesses are asked about the newer one; for the older the log's own word is what it is held to. */
	struct log_wish alone = {.proof = wish->proof};
	struct audit_head *old = trusted(proof->extra, key, &alone, err);
	if (!old)
		return false;
	bool good = merkle_check_growth(merkle, &proof->path, &old->checkpoint.head, &head->checkpoint.head);
	if (good)
		printf("the log %.*s of %" PRIu64 " lines grew from that of %" PRIu64 "\n",
			(int)head->checkpoint.origin.len, (const char *)head->checkpoint.origin.data,
			head->checkpoint.head.size, old->checkpoint.head.size);
	else
		error_set(err, "%s does not prove that the log grew: its two checkpoints are of different pasts",
			wish->proof);
	free(old);
	return good;
}

static bool check_proof(
	const struct log_wish *wish, struct bytes octets, uint8_t *room, struct merkle *merkle, struct error *err)
{
	struct audit_proof proof;
	struct note_key key;
	if (!wish->key && !(wish->given & 1))
		return error_set(err, "--proof needs --key, the log's verifier key");
	if (!log_key_wished(wish, &key, err))
		return false;
	if (!audit_proof_read(octets, room, &proof) || proof.kind == AUDIT_PROOF_NONE)
		return error_set(err, "%s is no proof, or damaged", wish->proof);
	struct audit_head *head = trusted(proof.note, &key, wish, err);
	if (!head)
		return false;
	bool good = proof.kind == AUDIT_PROOF_LEAF ? check_leaf(&proof, head, merkle, wish, err)
	                                           : check_growth(&proof, head, merkle, &key, wish, err);
	if (good)
		tell_witnesses(head, wish);
	free(head);
	return good;
}

static int verify_proof(const struct log_wish *wish)
{
	struct error err;
	uint8_t *octets = malloc(2 * AUDIT_PROOF_MAX);
	struct merkle *merkle = merkle_new();
	long n = octets ? audit_file_read(wish->proof, octets, AUDIT_PROOF_MAX) : -1;
	bool good = n >= 0 && merkle;
	if (!good)
		error_set_errno(&err, "cannot read %s", wish->proof);
	good = good && check_proof(wish, bytes_of(octets, (size_t)n), octets + AUDIT_PROOF_MAX, merkle, &err);
	merkle_free(merkle);
	free(octets);
	return good ? 0 : answer_no(&err);
}

/* The saved checkpoints; false when one is not the log's own. */
static bool load_pins(
	const struct log_wish *wish, const struct note_key *key, struct audit_pin *pins, struct error *err)
{
	for (size_t i = 0; i < wish->checkpoint_count; i++) {
		struct audit_head *head = log_checkpoint(wish->checkpoints[i], err);
		bool good = head && log_checkpoint_signed(head, key, wish, wish->checkpoints[i], err);
		if (good)
			pins[i] = (struct audit_pin){.name = wish->checkpoints[i], .head = head->checkpoint.head};
		free(head);
		if (!good)
			return false;
	}
	return true;
}

/* A log in use may be read in the middle of a write: then its end is whole a moment later. */
static void verify_patiently(const struct log_wish *wish, const struct note_key *key, const struct audit_pin *pins,
	struct audit_report *report)
{
	for (int tries = 0; tries < 5; tries++) {
		static const struct timespec moment = {.tv_nsec = 50L * 1000 * 1000};
		audit_verify_against(wish->path, key, pins, wish->checkpoint_count, report);
		if (report->verdict != AUDIT_TORN)
			return;
		nanosleep(&moment, NULL);
	}
}

static void tell(const struct audit_report *report, const struct log_wish *wish, const struct note_key *key)
{
	printf("%s\n", report->text.text);
	if (report->signed_lines == 0)
		puts("  no checkpoint: only the numbers of the lines were checked");
	else
		printf("  the newest checkpoint covers %" PRIu64 " of them, signed by %s\n", report->signed_lines,
			key->name);
	if (report->no_tree)
		printf("  %s.tree is missing or damaged; it is made anew when the log is next opened\n", wish->path);
	for (size_t i = 0; i < wish->checkpoint_count; i++)
		printf("  %s: it is of this log's past\n", wish->checkpoints[i]);
	if (!wish->key && wish->checkpoint_count == 0)
		puts("  key and checkpoint are the log's own: --key and --checkpoint tell whether all of it was "
		     "replaced");
}

int log_verify(struct log_wish *wish)
{
	struct error err;
	struct note_key key;
	struct audit_pin pins[LOG_MANY];
	struct audit_report *report = calloc(1, sizeof(*report));
	int code = 1;
	if (wish->proof && wish->checkpoint_count > 0) {
		error_set(&err, "--proof has a checkpoint of its own: --checkpoint says nothing beside it");
		code = EXIT_MISUSE;
	} else if (!report) {
		error_set(&err, "no memory");
	} else if (wish->proof) {
		free(report);
		return verify_proof(wish);
	} else if (wish->witness_count > 0 && wish->checkpoint_count == 0) {
		error_set(&err, "--witness is about a checkpoint that was cosigned: --checkpoint says which");
		code = EXIT_MISUSE;
	} else if (log_key_wished(wish, &key, &err) && load_pins(wish, &key, pins, &err)) {
		verify_patiently(wish, &key, pins, report);
		if (report->verdict == AUDIT_INTACT) {
			tell(report, wish, &key);
			free(report);
			return log_verify_before(wish, &err) ? 0 : answer_no(&err);
		}
		fprintf(stderr, "overt log: %s: ", audit_verdict_name(report->verdict));
		fprintf(stderr, "%s\n", report->text.text);
		free(report);
		return 1;
	}
	free(report);
	return complain("log", &err, code);
}
