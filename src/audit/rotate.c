#include "audit/rotate.h"

#include "audit/verify.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#define ASIDE_MAX 100000 /* logs put aside, at most */

static bool exists(const char *name)
{
	return access(name, F_OK) == 0;
}

/* PATH.N, the first that is free; *newest is the one before, 0 when there is none. */
static bool aside_name(const char *path, char out[AUDIT_PATH_MAX], unsigned *newest)
{
	for (unsigned n = 1; n <= ASIDE_MAX; n++) {
		char ending[16];
		snprintf(ending, sizeof(ending), ".%u", n);
		if (!audit_path(out, path, ending))
			return false;
		*newest = n - 1;
		if (!exists(out))
			return true;
	}
	return false;
}

bool audit_rotate_begin(const char *path, struct note_key *next, struct error *err)
{
	char name[AUDIT_PATH_MAX];
	bool missing;
	if (!audit_path(name, path, ".next"))
		return error_set(err, "%s: the path is too long", path);
	struct note_signer *signer = audit_key_open(name, AUDIT_ORIGIN, NOTE_ED25519, &missing, err);
	if (!signer)
		return false;
	*next = *note_signer_key(signer);
	note_signer_free(signer);
	return true;
}

/* What stands beside a log, from one name to the other; nothing where it was moved already. */
static bool move_beside(const char *from, const char *to, const char *ending, struct error *err)
{
	char old[AUDIT_PATH_MAX];
	char new[AUDIT_PATH_MAX];
	if (!audit_path(old, from, ending) || !audit_path(new, to, ending))
		return error_set(err, "%s: the path is too long", from);
	return rename(old, new) == 0 || errno == ENOENT || error_set_errno(err, "cannot move %s", old);
}

/* Zeros over the key; a journal or a flash controller may keep it all the same. */
static bool key_destroy(const char *path, struct error *err)
{
	static const uint8_t zeros[NOTE_KEY_TEXT];
	char name[AUDIT_PATH_MAX];
	struct stat st;
	if (!audit_path(name, path, ".key"))
		return error_set(err, "%s: the path is too long", path);
	int fd = open(name, O_WRONLY | O_CLOEXEC | O_NOFOLLOW);
	if (fd < 0)
		return errno == ENOENT || error_set_errno(err, "cannot destroy %s", name);
	size_t len = fstat(fd, &st) == 0 && (size_t)st.st_size < sizeof(zeros) ? (size_t)st.st_size : sizeof(zeros);
	bool good = pwrite(fd, zeros, len, 0) == (ssize_t)len && fdatasync(fd) == 0;
	close(fd);
	return good || error_set_errno(err, "cannot destroy %s", name);
}

/* The old log is away; what is left is to give the next one its key, whose name goes last: then all is done. */
static bool move_key(const char *path, struct error *err)
{
	char next[AUDIT_PATH_MAX];
	if (!audit_path(next, path, ".next"))
		return error_set(err, "%s: the path is too long", path);
	return key_destroy(path, err) && move_beside(next, path, ".pub", err) && move_beside(next, path, ".key", err);
}

bool audit_rotate_move(const char *path, struct error *err)
{
	char aside[AUDIT_PATH_MAX];
	unsigned newest;
	if (!aside_name(path, aside, &newest))
		return error_set(err, "%s: there are too many logs put aside", path);
	/* The log itself last: until then a crash finds it, and the rest of the way from there. */
	return move_beside(path, aside, ".tree", err) && move_beside(path, aside, ".head", err) &&
	       move_beside(path, aside, ".pub", err) && move_beside(path, aside, "", err) && move_key(path, err);
}

/* The log's last line, if it is whole. */
static bool last_line(const char *path, uint8_t *room, struct bytes *line)
{
	struct stat st;
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	bool good = fd >= 0 && fstat(fd, &st) == 0;
	off_t from = good && (size_t)st.st_size > AUDIT_LINE_MAX ? st.st_size - (off_t)AUDIT_LINE_MAX : 0;
	ssize_t n = good ? pread(fd, room, AUDIT_LINE_MAX, from) : -1;
	if (fd >= 0)
		close(fd);
	if (n < 2 || room[n - 1] != '\n')
		return false;
	size_t start = (size_t)n - 1;
	while (start > 0 && room[start - 1] != '\n')
		start--;
	*line = bytes_of(room + start, (size_t)n - 1 - start);
	return true;
}

/* Whether the line is CONTINUED and names the key. */
static bool names_key(struct bytes line, const struct note_key *key)
{
	char text[NOTE_KEY_TEXT];
	struct writer w = writer_over(text, sizeof(text));
	struct audit_member member;
	bool kind = false;
	bool named = false;
	note_key_write(&w, key);
	if (!audit_line_open(&line))
		return false;
	while (audit_line_next(&line, &member)) {
		if (bytes_equal(member.key, bytes_str("kind")))
			kind = bytes_equal(member.value, bytes_str(audit_kind_name(AUDIT_CONTINUED)));
		if (bytes_equal(member.key, bytes_str("verifier")))
			named = bytes_equal(member.value, bytes_of(text, w.len));
	}
	return kind && named;
}

/* Whether PATH was left for the next log: its last line says so, and a checkpoint, moved or not, covers it. */
static bool left(const char *path, const struct note_key *next)
{
	char aside[AUDIT_PATH_MAX];
	char name[AUDIT_PATH_MAX];
	unsigned newest;
	struct error err;
	struct bytes line;
	uint64_t seq;
	uint8_t *room = malloc(AUDIT_LINE_MAX);
	struct audit_head *head = malloc(sizeof(*head));
	bool good = room && head && last_line(path, room, &line) && audit_line_seq(line, &seq) && names_key(line, next);
	good = good && audit_path(name, path, ".head") &&
	       (exists(name) || (aside_name(path, aside, &newest) && audit_path(name, aside, ".head")));
	good = good && audit_head_read(name, head, &err) && head->present && head->checkpoint.head.size == seq;
	free(room);
	free(head);
	return good;
}

bool audit_rotate_recover(const char *path, struct error *err)
{
	char next[AUDIT_PATH_MAX];
	char name[AUDIT_PATH_MAX];
	struct note_key key;
	struct stat st;
	if (!audit_path(next, path, ".next") || !audit_path(name, next, ".key"))
		return error_set(err, "%s: the path is too long", path);
	if (!exists(name))
		return true;
	/* Who opens the log has made it anew by now, where it was moved away. */
	if (stat(path, &st) < 0 || st.st_size == 0)
		return move_key(path, err);
	if (!audit_rotate_begin(path, &key, err))
		return false;
	if (left(path, &key))
		return audit_rotate_move(path, err);
	/* Nobody was told of that key. */
	if (!key_destroy(next, err) || unlink(name) < 0)
		return error_set_errno(err, "cannot remove %s", name);
	return (audit_path(name, next, ".pub") && (unlink(name) == 0 || errno == ENOENT)) ||
	       error_set_errno(err, "cannot remove %s", name);
}

bool audit_rotate_before(const char *path, struct audit_before *before, struct error *err)
{
	char name[AUDIT_PATH_MAX];
	char ending[16];
	unsigned newest;
	before->name[0] = '\0';
	if (!aside_name(path, name, &newest) || newest == 0)
		return true;
	snprintf(ending, sizeof(ending), ".%u", newest);
	if (!audit_path(before->name, path, ending) || !audit_path(name, before->name, ".head"))
		return error_set(err, "%s: the path is too long", path);
	return (audit_head_read(name, &before->head, err) && before->head.present) ||
	       error_set(err, "%s is missing or damaged: the log that follows must name it", name);
}
