/*
 * pki/file.h — small files read whole and replaced whole: keys and certificates on disk. A replaced file is either the
 * old one or the new one, also after a crash.
 */
#ifndef PKI_FILE_H
#define PKI_FILE_H

#include "base/bytes.h"
#include "base/error.h"

#include <stdio.h>
#include <sys/stat.h>
#include <sys/types.h>

#define FILE_PATH_MAX 4096

struct file_bytes {
	uint8_t *data;
	size_t len;
	size_t cap;
};

/* The regular file (or link to one), at most `max` octets. `info` may be NULL. Free with file_bytes_free. */
must_check bool file_read(const char *path, size_t max, struct file_bytes *out, struct stat *info, struct error *err);
/* As file_read for secrets: also refuses a file that group or others may read or write, or that another user owns. */
must_check bool file_read_secret(
	const char *path, size_t max, struct file_bytes *out, struct stat *info, struct error *err);
void file_bytes_free(struct file_bytes *file); /* wipes */
/* Whether something that can be opened for reading stands there. */
must_check bool file_exists(const char *path);
/*
 * Writes PATH.new (made exclusively, mode as given whatever the umask), syncs, renames it to `path` and syncs the
 * directory. A PATH.new left by a crash is replaced.
 */
must_check bool file_replace(const char *path, struct bytes content, mode_t mode, struct error *err);
/* "directory/name" into out; false when too long. */
must_check bool file_join(char out[FILE_PATH_MAX], const char *directory, const char *name, struct error *err);
/* Makes the directory and what is missing above it, 0700. One that stands is left as it is. */
must_check bool file_make_directory(const char *path, struct error *err);
/* Takes the exclusive lock of the directory (file ".lock" in it), waiting for it. -1 with an error; close() lets go. */
must_check int file_lock_directory(const char *path, struct error *err);

#endif
