#include "pki/file.h"

#include <errno.h>
#include <fcntl.h>
#include <openssl/crypto.h>
#include <stdlib.h>
#include <sys/file.h>
#include <unistd.h>

static bool fill(int fd, size_t max, struct file_bytes *out)
{
	for (;;) {
		if (out->len == out->cap) {
			size_t cap = out->cap ? out->cap * 2 : 16384;
			/* Not realloc: it would leave a copy of a secret behind. */
			uint8_t *wider = malloc(cap);
			if (!wider)
				return false;
			if (out->len > 0)
				memcpy(wider, out->data, out->len);
			size_t len = out->len;
			file_bytes_free(out);
			*out = (struct file_bytes){.data = wider, .len = len, .cap = cap};
		}
		ssize_t n = read(fd, out->data + out->len, out->cap - out->len);
		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return n == 0;
		out->len += (size_t)n;
		if (out->len > max) {
			errno = EFBIG;
			return false;
		}
	}
}

static bool secret_modes(const char *path, const struct stat *info, struct error *err)
{
	if ((info->st_mode & 077) != 0)
		return error_set(err, "%s: others may read this key (mode %04o); run: chmod 600 %s", path,
			(unsigned)(info->st_mode & 07777), path);
	if (info->st_uid != geteuid() && geteuid() != 0)
		return error_set(err, "%s: belongs to another user", path);
	return true;
}

static bool read_whole(
	const char *path, size_t max, bool secret, struct file_bytes *out, struct stat *info, struct error *err)
{
	*out = (struct file_bytes){0};
	/* Not blocking, or a FIFO put in the file's place would hold us at open. */
	int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
	if (fd < 0)
		return error_set_errno(err, "%s", path);
	struct stat found;
	bool ok = false;
	if (fstat(fd, &found) < 0)
		error_set_errno(err, "%s", path);
	else if (!S_ISREG(found.st_mode))
		error_set(err, "%s: is no regular file", path);
	else if (secret && !secret_modes(path, &found, err))
		ok = false;
	else if (!fill(fd, max, out))
		error_set_errno(err, "%s", path);
	else
		ok = true;
	close(fd);
	if (!ok)
		file_bytes_free(out);
	else if (info)
		*info = found;
	return ok;
}

bool file_read(const char *path, size_t max, struct file_bytes *out, struct stat *info, struct error *err)
{
	return read_whole(path, max, false, out, info, err);
}

bool file_read_secret(const char *path, size_t max, struct file_bytes *out, struct stat *info, struct error *err)
{
	return read_whole(path, max, true, out, info, err);
}

void file_bytes_free(struct file_bytes *file)
{
	if (file->data)
		OPENSSL_cleanse(file->data, file->len);
	free(file->data);
	*file = (struct file_bytes){0};
}

bool file_exists(const char *path)
{
	return access(path, R_OK) == 0;
}

static bool write_all(int fd, struct bytes content)
{
	while (content.len > 0) {
		ssize_t n = write(fd, content.data, content.len);
		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0 || !bytes_skip(&content, (size_t)n))
			return false;
	}
	return true;
}

static bool directory_of(const char *path, char out[FILE_PATH_MAX])
{
	const char *slash = strrchr(path, '/');
	size_t len = !slash ? 0 : slash == path ? 1 : (size_t)(slash - path);
	if (len >= FILE_PATH_MAX)
		return false;
	memcpy(out, slash ? path : ".", slash ? len : 1);
	out[slash ? len : 1] = '\0';
	return true;
}

/* Under sudo a file belongs to whom its directory belongs to, else the user could not read it afterwards. */
static bool owner_follow(int fd, const char *path)
{
	char directory[FILE_PATH_MAX];
	struct stat info;
	if (geteuid() != 0 || !directory_of(path, directory) || stat(directory, &info) < 0 || info.st_uid == 0)
		return true;
	return fchown(fd, info.st_uid, info.st_gid) == 0;
}

/* A rename lasts only once the directory itself is on disk. */
static void sync_directory_of(const char *path)
{
	char directory[FILE_PATH_MAX];
	int fd = directory_of(path, directory) ? open(directory, O_RDONLY | O_DIRECTORY | O_CLOEXEC) : -1;
	if (fd >= 0) {
		/* Where a file system cannot sync a directory, nothing better is to be had. */
		(void)!fsync(fd);
		close(fd);
	}
}

bool file_replace(const char *path, struct bytes content, mode_t mode, struct error *err)
{
	char fresh[FILE_PATH_MAX];
	int len = snprintf(fresh, sizeof(fresh), "%s.new", path);
	if (len < 0 || (size_t)len >= sizeof(fresh))
		return error_set(err, "%s: the path is too long", path);
	(void)unlink(fresh);
	int fd = open(fresh, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600);
	if (fd < 0)
		return error_set_errno(err, "%s", path);
	bool ok = write_all(fd, content) && owner_follow(fd, path) && fchmod(fd, mode) == 0 && fsync(fd) == 0;
	if (!ok)
		error_set_errno(err, "%s", path);
	close(fd);
	if (ok && rename(fresh, path) < 0)
		ok = error_set_errno(err, "%s", path);
	if (ok)
		sync_directory_of(path);
	else
		(void)unlink(fresh);
	return ok;
}

bool file_join(char out[FILE_PATH_MAX], const char *directory, const char *name, struct error *err)
{
	int len = snprintf(out, FILE_PATH_MAX, "%s/%s", directory, name);
	return (len > 0 && len < FILE_PATH_MAX) || error_set(err, "%.200s: the path is too long", directory);
}

bool file_make_directory(const char *path, struct error *err)
{
	char part[FILE_PATH_MAX];
	size_t len = strlen(path);
	if (len == 0 || len >= sizeof(part))
		return error_set(err, "state directory: the path is empty or too long");
	for (size_t i = 1; i <= len; i++) {
		if (path[i] != '/' && path[i] != '\0')
			continue;
		memcpy(part, path, i);
		part[i] = '\0';
		if (mkdir(part, 0700) < 0 && errno != EEXIST)
			return error_set_errno(err, "%s", part);
	}
	struct stat info;
	if (stat(path, &info) < 0)
		return error_set_errno(err, "%s", path);
	return S_ISDIR(info.st_mode) || error_set(err, "%s: is no directory", path);
}

int file_lock_directory(const char *path, struct error *err)
{
	char lock[FILE_PATH_MAX];
	if (!file_join(lock, path, ".lock", err))
		return -1;
	int fd = open(lock, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
	if (fd < 0) {
		error_set_errno(err, "%s", lock);
		return -1;
	}
	(void)owner_follow(fd, lock);
	int result;
	do {
		result = flock(fd, LOCK_EX);
	} while (result < 0 && errno == EINTR);
	if (result < 0) {
		error_set_errno(err, "%s", lock);
		close(fd);
		return -1;
	}
	return fd;
}
