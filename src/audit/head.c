#include "audit/head.h"

#include <errno.h>
#include <fcntl.h>
#include <openssl/crypto.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

bool audit_path(char out[AUDIT_PATH_MAX], const char *path, const char *ending)
{
	int n = snprintf(out, AUDIT_PATH_MAX, "%s%s", path, ending);
	return n > 0 && n < AUDIT_PATH_MAX;
}

long audit_file_read(const char *name, uint8_t *out, size_t cap)
{
	int fd = open(name, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return -1;
	size_t len = 0;
	ssize_t n = 1;
	while (n > 0 && len < cap) {
		n = read(fd, out + len, cap - len);
		len += n > 0 ? (size_t)n : 0;
	}
	uint8_t more;
	bool large = n > 0 && read(fd, &more, 1) > 0;
	close(fd);
	if (large)
		errno = EFBIG;
	return n < 0 || large ? -1 : (long)len;
}

static bool fd_write(int fd, struct bytes content)
{
	while (content.len > 0) {
		ssize_t n = write(fd, content.data, content.len);
		if (n < 0 || !bytes_skip(&content, (size_t)n))
			return false;
	}
	return fsync(fd) == 0;
}

bool audit_file_write(const char *name, struct bytes content, unsigned mode, struct error *err)
{
	char spare[AUDIT_PATH_MAX];
	if (!audit_path(spare, name, ".new"))
		return error_set(err, "%s: the path is too long", name);
	unlink(spare);
	int fd = open(spare, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, mode);
	if (fd < 0)
		return error_set_errno(err, "cannot write %s", name);
	bool good = fd_write(fd, content);
	int code = errno;
	close(fd);
	if (good && rename(spare, name) == 0)
		return true;
	errno = good ? errno : code;
	error_set_errno(err, "cannot write %s", name);
	unlink(spare);
	return false;
}

bool audit_head_read(const char *name, struct audit_head *head, struct error *err)
{
	head->present = false;
	long n = audit_file_read(name, head->octets, sizeof(head->octets));
	if (n < 0)
		return errno == ENOENT || error_set_errno(err, "cannot read %s", name);
	/* Empty: made, but nothing was ever synced. */
	if (n == 0)
		return true;
	head->present = note_read(bytes_of(head->octets, (size_t)n), &head->note) &&
	                checkpoint_read(head->note.text, &head->checkpoint);
	return head->present || error_set(err, "%s is no checkpoint: damaged, or of an older form of the log", name);
}

bool audit_head_write(int fd, const struct merkle_head *head, const struct note_signer *signer)
{
	uint8_t text[CHECKPOINT_TEXT_MAX + 1 + NOTE_LINE_MAX];
	struct bytes note;
	struct writer w = writer_over(text, sizeof(text));
	struct checkpoint checkpoint = {.origin = bytes_str(note_signer_key(signer)->name), .head = *head};
	if (!checkpoint_sign(&w, &checkpoint, signer) || !writer_done(&w, &note)) {
		errno = EIO;
		return false;
	}
	/* In one call, and never shorter than what stands there: the number of digits only grows. */
	ssize_t n = pwrite(fd, note.data, note.len, 0);
	if (n >= 0 && (size_t)n != note.len)
		errno = ENOSPC;
	return n >= 0 && (size_t)n == note.len;
}

static bool key_write(const char *path, const char *secret_name, const struct note_signer *signer, struct error *err)
{
	char public_name[AUDIT_PATH_MAX];
	uint8_t text[NOTE_KEY_TEXT];
	struct bytes content;
	struct writer w = writer_over(text, sizeof(text));
	note_key_write(&w, note_signer_key(signer));
	writer_u8(&w, '\n');
	if (!audit_path(public_name, path, ".pub") || !writer_done(&w, &content) ||
		!audit_file_write(public_name, content, 0644, err))
		return false;
	w = writer_over(text, sizeof(text));
	bool good = note_signer_write(&w, signer) && writer_done(&w, &content) &&
	            audit_file_write(secret_name, content, 0600, err);
	OPENSSL_cleanse(text, sizeof(text));
	return good;
}

struct note_signer *audit_key_open(
	const char *path, const char *prefix, enum note_type type, bool *missing, struct error *err)
{
	char name[AUDIT_PATH_MAX];
	uint8_t text[NOTE_KEY_TEXT];
	struct note_signer *signer;
	*missing = false;
	error_set(err, "%s: the path is too long", path);
	if (!audit_path(name, path, ".key"))
		return NULL;
	long n = audit_file_read(name, text, sizeof(text));
	if (n >= 0) {
		signer = note_signer_read(bytes_of(text, (size_t)n), err);
		OPENSSL_cleanse(text, sizeof(text));
		if (!signer)
			error_prefix(err, "%s", name);
		return signer;
	}
	*missing = errno == ENOENT;
	error_set_errno(err, "cannot read the key %s", name);
	if (!*missing || !prefix)
		return NULL;
	signer = note_signer_new(bytes_str(prefix), type, err);
	if (signer && key_write(path, name, signer, err))
		return signer;
	note_signer_free(signer);
	return NULL;
}

bool audit_key_public(const char *path, struct note_key *key, struct error *err)
{
	char name[AUDIT_PATH_MAX];
	uint8_t text[NOTE_KEY_TEXT];
	if (!audit_path(name, path, ".pub"))
		return error_set(err, "%s: the path is too long", path);
	long n = audit_file_read(name, text, sizeof(text));
	if (n < 0)
		return error_set_errno(err, "cannot read %s", name);
	return note_key_read(bytes_of(text, (size_t)n), key, err) || error_prefix(err, "%s", name);
}
