#include "cli/log_parts.h"

#include "base/text.h"

#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* The logs that were put aside before this one: each names the one before it, and is named by it. */

struct pair {
	char path[AUDIT_PATH_MAX];   /* of the later log */
	char before[AUDIT_PATH_MAX]; /* of the earlier */
	uint8_t *room;               /* AUDIT_LINE_MAX */
	struct audit_report *report;
};

/* What the first line of a log that follows another says. Views of the line. */
struct follows {
	struct bytes file, origin, root;
	uint64_t size;
};

/* Line `seq` of a file. False when it has none. */
static bool line_of(const char *path, uint64_t seq, uint8_t *room, struct bytes *line)
{
	uint64_t offset;
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	bool good = fd >= 0 && audit_find(fd, seq, room, line, &offset);
	if (fd >= 0)
		close(fd);
	return good;
}

static struct bytes member_of(struct bytes line, const char *key)
{
	struct audit_member member;
	if (!audit_line_open(&line))
		return BYTES_NONE;
	while (audit_line_next(&line, &member)) {
		if (bytes_equal(member.key, bytes_str(key)))
			return member.value;
	}
	return BYTES_NONE;
}

static bool kind_is(struct bytes line, enum audit_kind kind)
{
	return bytes_equal(member_of(line, "kind"), bytes_str(audit_kind_name(kind)));
}

static bool follows_read(struct bytes line, struct follows *follows)
{
	*follows = (struct follows){
		.file = member_of(line, "file"), .origin = member_of(line, "origin"), .root = member_of(line, "root")};
	/* A name in the same folder and nothing else. */
	return kind_is(line, AUDIT_CONTINUES) && follows->file.len > 0 && follows->file.len < 256 &&
	       bytes_find(follows->file, '/', 0) == follows->file.len &&
	       text_number(member_of(line, "size"), MERKLE_SIZE_MAX, &follows->size);
}

static bool same_checkpoint(const struct follows *follows, const char *before, struct error *err)
{
	char name[AUDIT_PATH_MAX];
	struct merkle_hash root;
	size_t len;
	if (!audit_path(name, before, ".head"))
		return error_set(err, "%s: the path is too long", before);
	struct audit_head *head = log_checkpoint(name, err);
	if (!head)
		return false;
	bool good = bytes_equal(follows->origin, head->checkpoint.origin) &&
	            follows->size == head->checkpoint.head.size &&
	            text_unhex(root.octets, MERKLE_HASH, &len, follows->root) && len == MERKLE_HASH &&
	            merkle_same(&root, &head->checkpoint.head.root);
	free(head);
	return good || error_set(err, "%s is not the log that the one after it names in its first line", before);
}

/* The earlier log vouches for the key of the later. */
static bool same_key(const struct pair *pair, uint64_t last, struct error *err)
{
	char text[NOTE_KEY_TEXT];
	struct note_key key;
	struct bytes line;
	struct writer w = writer_over(text, sizeof(text));
	if (!audit_key_public(pair->path, &key, err))
		return false;
	note_key_write(&w, &key);
	return (line_of(pair->before, last, pair->room, &line) && kind_is(line, AUDIT_CONTINUED) &&
		       bytes_equal(member_of(line, "verifier"), bytes_of(text, w.len))) ||
	       error_set(err, "%s does not name the key of the log after it in its last line", pair->before);
}

/* One step back. *more: there is an earlier log, which is `pair->path` then. */
static bool step(struct pair *pair, bool *more, struct error *err)
{
	struct bytes line;
	struct follows follows;
	const char *slash = strrchr(pair->path, '/');
	int folder = slash ? (int)(slash - pair->path) + 1 : 0;
	*more = false;
	if (!line_of(pair->path, 1, pair->room, &line) || !follows_read(line, &follows))
		return true;
	int n = snprintf(pair->before, sizeof(pair->before), "%.*s%.*s", folder, pair->path, (int)follows.file.len,
		(const char *)follows.file.data);
	if (n < 0 || (size_t)n >= sizeof(pair->before))
		return error_set(err, "%s: the path is too long", pair->path);
	if (access(pair->before, F_OK) != 0) {
		printf("  it continues %s, which is not here any more\n", pair->before);
		return true;
	}
	if (!same_checkpoint(&follows, pair->before, err) || !same_key(pair, follows.size, err))
		return false;
	audit_verify(pair->before, pair->report);
	if (pair->report->verdict != AUDIT_INTACT)
		return error_set(err, "%s: %s", audit_verdict_name(pair->report->verdict), pair->report->text.text);
	printf("  it continues %s: %" PRIu64 " lines, none altered or missing\n", pair->before, pair->report->last.seq);
	memcpy(pair->path, pair->before, sizeof(pair->path));
	*more = true;
	return true;
}

static bool walk(const struct log_wish *wish, struct pair *pair, struct error *err)
{
	bool more = true;
	memcpy(pair->path, wish->path, sizeof(pair->path));
	while (more) {
		if (!step(pair, &more, err))
			return false;
	}
	return true;
}

bool log_verify_before(const struct log_wish *wish, struct error *err)
{
	struct pair *pair = calloc(1, sizeof(*pair));
	uint8_t *room = malloc(AUDIT_LINE_MAX);
	struct audit_report *report = malloc(sizeof(*report));
	bool good = false;
	if (pair && room && report) {
		pair->room = room;
		pair->report = report;
		good = walk(wish, pair, err);
	} else {
		error_set(err, "no memory");
	}
	free(room);
	free(report);
	free(pair);
	return good;
}
