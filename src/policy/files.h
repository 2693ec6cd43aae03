/* policy/files.h — reads rules, their lists and configuration from the file system, for processes that may open files. */
#ifndef POLICY_FILES_H
#define POLICY_FILES_H

#include "policy/rules.h"

#define POLICY_FILE_MAX (64U << 20)

/*
 * Reads a whole regular file (or pipe) of at most POLICY_FILE_MAX octets. The bytes are the caller's, for
 * policy_file_free. False with "PATH: reason" in `err`.
 */
must_check bool policy_file_read(const char *path, struct bytes *out, struct error *err);
void policy_file_free(struct bytes text);

/* policy_source.load and .release over the two above; ctx is not used. */
bool policy_file_load(void *ctx, const char *path, struct bytes *out, struct error *err);
void policy_file_release(void *ctx, struct bytes text);

#endif
