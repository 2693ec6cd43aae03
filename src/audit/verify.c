#include "audit/scan.h"

#include <fcntl.h>
#include <inttypes.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

const char *audit_verdict_name(enum audit_verdict verdict)
{
	static const char *const names[] = {
		"intact", "altered", "missing", "torn", "rolled back", "rewritten", "forged", "unread"};
	return names[verdict];
}

static void done(const char *path, struct audit_report *report)
{
	if (report->verdict == AUDIT_INTACT)
		error_set(&report->text, "%s: %" PRIu64 " lines, none altered or missing", path, report->last.seq);
}

/* PATH.head, signed by the key. False: the report says why not. */
static bool head_load(
	const char *path, const struct note_key *key, struct merkle_head *out, struct audit_report *report)
{
	char name[AUDIT_PATH_MAX];
	struct note_key own;
	struct audit_head *head = malloc(sizeof(*head));
	*out = (struct merkle_head){0};
	report->verdict = AUDIT_UNREAD;
	bool good = head && audit_path(name, path, ".head") && audit_head_read(name, head, &report->text);
	if (good && head->present) {
		if (!key && audit_key_public(path, &own, &report->text))
			key = &own;
		good = key != NULL;
	}
	if (good && head->present) {
		good = note_verify(&head->note, key, NULL) == NOTE_SIGNED &&
		       bytes_equal(head->checkpoint.origin, bytes_str(key->name));
		if (!good) {
			report->verdict = AUDIT_FORGED;
			error_set(&report->text, "%s is not signed by the log's key %s", name, key->name);
		}
		*out = head->checkpoint.head;
	}
	free(head);
	if (!good)
		return false;
	report->verdict = AUDIT_INTACT;
	report->signed_lines = out->size;
	return true;
}

static void judge_pins(struct scan *scan)
{
	struct audit_report *report = scan->report;
	for (size_t i = 0; i < scan->pin_count; i++) {
		const struct audit_pin *pin = &scan->pins[i];
		if (pin->head.size <= report->last.seq ||
			(report->verdict != AUDIT_INTACT && report->verdict != AUDIT_TORN))
			continue;
		report->verdict = AUDIT_ROLLED_BACK;
		report->line = report->last.seq + 1;
		error_set(&report->text,
			"%s has %" PRIu64 " lines, but had %" PRIu64 " already, as %s shows: it was rolled back",
			scan->path, report->last.seq, pin->head.size, pin->name);
	}
}

void audit_verify_against(const char *path, const struct note_key *key, const struct audit_pin *pins, size_t pin_count,
	struct audit_report *report)
{
	char name[AUDIT_PATH_MAX];
	struct audit_tree tree;
	*report = (struct audit_report){.verdict = AUDIT_INTACT};
	struct scan scan = {.path = path,
		.merkle = merkle_new(),
		.tree = &tree,
		.believe = true,
		.pins = pins,
		.pin_count = pin_count,
		.report = report};
	audit_tree_init(&tree, audit_path(name, path, ".tree") ? open(name, O_RDONLY | O_CLOEXEC) : -1);
	if (!scan.merkle) {
		report->verdict = AUDIT_UNREAD;
		error_set_openssl(&report->text, "cannot hash");
	} else if (head_load(path, key, &scan.head, report)) {
		scan_run(&scan);
		judge_pins(&scan);
		done(path, report);
	}
	merkle_free(scan.merkle);
	if (tree.fd >= 0)
		close(tree.fd);
}

void audit_verify(const char *path, struct audit_report *report)
{
	audit_verify_against(path, NULL, NULL, 0, report);
}

/* Whether the line that ends at the place carries its hash; true for the beginning. */
static bool place_holds(const char *path, struct merkle *merkle, const struct audit_place *place)
{
	if (place->seq == 0)
		return place->offset == 0;
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	uint8_t *room = malloc(AUDIT_LINE_MAX);
	uint64_t offset;
	struct bytes line;
	struct merkle_hash hash;
	bool good = fd >= 0 && room && audit_find(fd, place->seq, room, &line, &offset) &&
	            offset + line.len + 1 == place->offset && merkle_leaf(merkle, line, &hash) &&
	            merkle_same(&hash, &place->leaf);
	free(room);
	if (fd >= 0)
		close(fd);
	return good;
}

static void altered_place(const char *path, uint64_t seq, struct audit_report *report)
{
	report->verdict = AUDIT_ALTERED;
	report->line = seq;
	report->last = (struct audit_place){.seq = seq - 1};
	error_set(&report->text, "%s: line %" PRIu64 " is not what was written", path, seq);
}

void audit_verify_from(
	const char *path, struct merkle *merkle, const struct audit_place *from, struct audit_report *report)
{
	struct scan scan = {.path = path, .merkle = merkle, .head = {.size = from->seq}, .report = report};
	*report = (struct audit_report){.verdict = AUDIT_INTACT, .last = *from};
	if (place_holds(path, merkle, from))
		scan_run(&scan);
	else
		altered_place(path, from->seq, report);
	done(path, report);
}

/* The place after the lines that the checkpoint covers, from the tree. False: the tree does not lead to its root. */
static bool place_load(const char *path, struct merkle *merkle, struct audit_tree *tree, const struct merkle_head *head,
	struct audit_place *place)
{
	struct merkle_store store = {.merkle = merkle, .read = audit_tree_read, .ctx = tree};
	struct merkle_hash root;
	struct merkle_proof proof;
	*place = (struct audit_place){.seq = head->size};
	if (head->size == 0)
		return true;
	if (!merkle_edge_load(&store, head->size, &place->tree) || !merkle_edge_root(merkle, &place->tree, &root) ||
		!merkle_same(&root, &head->root) ||
		!audit_tree_read(tree, merkle_stored_at(0, head->size - 1), &place->leaf) ||
		!merkle_prove_leaf(&store, head->size - 1, head->size, &proof) ||
		!merkle_check_leaf(merkle, &proof, head->size - 1, head->size, &place->leaf, &head->root))
		return false;
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	uint8_t *room = malloc(AUDIT_LINE_MAX);
	uint64_t offset;
	struct bytes line;
	bool good = fd >= 0 && room && audit_find(fd, head->size, room, &line, &offset);
	if (good)
		place->offset = offset + line.len + 1;
	free(room);
	if (fd >= 0)
		close(fd);
	return good;
}

void audit_resume(const char *path, struct merkle *merkle, struct audit_tree *tree, const struct note_key *key,
	struct audit_report *report)
{
	struct scan scan = {.path = path, .merkle = merkle, .tree = tree, .fill = tree->fd >= 0, .report = report};
	*report = (struct audit_report){.verdict = AUDIT_INTACT};
	if (!head_load(path, key, &scan.head, report))
		return;
	if (!place_load(path, merkle, tree, &scan.head, &report->last) || !place_holds(path, merkle, &report->last)) {
		/* Read whole, with the tree only where it can be believed: to name the line, or to make the tree anew. */
		struct audit_report whole;
		audit_verify_against(path, key, NULL, 0, &whole);
		if (whole.verdict != AUDIT_INTACT && whole.verdict != AUDIT_TORN) {
			*report = whole;
			return;
		}
		report->last = (struct audit_place){0};
		report->no_tree = true;
	}
	scan_run(&scan);
	done(path, report);
}
