#include "policy/files.h"

#include <errno.h>
#include <fcntl.h>
#include <openssl/crypto.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

/* Reads to the end of the file whatever its size was said to be: pipes have none, and files grow. */
static bool read_all(int fd, const char *path, struct bytes *out, struct error *err)
{
	size_t cap = 65536, len = 0;
	uint8_t *data = malloc(cap);
	while (data) {
		ssize_t n = read(fd, data + len, cap - len);
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0) {
			error_set_errno(err, "%s", path);
			free(data);
			return false;
		}
		if (n == 0) {
			*out = bytes_of(data, len);
			return true;
		}
		len += (size_t)n;
		if (len > POLICY_FILE_MAX) {
			free(data);
			return error_set(err, "%s: larger than %u MiB", path, POLICY_FILE_MAX >> 20);
		}
		if (len == cap) {
			uint8_t *wider = realloc(data, cap * 2);
			if (!wider)
				free(data);
			data = wider;
			cap *= 2;
		}
	}
	return error_set(err, "%s: no memory", path);
}

bool policy_file_read(const char *path, struct bytes *out, struct error *err)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY);
	if (fd < 0)
		return error_set_errno(err, "%s", path);
	struct stat info;
	bool ok;
	if (fstat(fd, &info) == 0 && S_ISDIR(info.st_mode))
		ok = error_set(err, "%s: is a directory", path);
	else
		ok = read_all(fd, path, out, err);
	close(fd);
	return ok;
}

void policy_file_free(struct bytes text)
{
	/* Configuration may hold passwords. */
	OPENSSL_cleanse((void *)(uintptr_t)text.data, text.len);
	free((void *)(uintptr_t)text.data);
}

bool policy_file_load(void *ctx, const char *path, struct bytes *out, struct error *err)
{
	(void)ctx;
	return policy_file_read(path, out, err);
}

void policy_file_release(void *ctx, struct bytes text)
{
	(void)ctx;
	policy_file_free(text);
}
