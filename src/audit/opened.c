#include "audit/opened.h"

#include "audit/line.h"
#include "base/text.h"

#include <dirent.h>
#include <errno.h>
#include <openssl/crypto.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct opening {
	uint8_t commitment[AUDIT_COMMIT_LEN];
	char *value;
	size_t len;
};

struct audit_opened {
	struct opening *openings; /* sorted by commitment */
	size_t count, cap;
	size_t passed_over;
};

static int order(const void *a, const void *b)
{
	return memcmp(
		((const struct opening *)a)->commitment, ((const struct opening *)b)->commitment, AUDIT_COMMIT_LEN);
}

/* The salt and the value of a line; false when it is not in the form of one. */
static bool line_parts(struct bytes line, uint8_t salt[AUDIT_SALT], struct bytes *value)
{
	struct audit_member member;
	bool salted = false;
	*value = BYTES_NONE;
	if (!audit_line_open(&line))
		return false;
	while (audit_line_next(&line, &member)) {
		size_t len;
		if (bytes_equal(member.key, bytes_str("salt")))
			salted = text_unhex(salt, AUDIT_SALT, &len, member.value) && len == AUDIT_SALT;
		if (bytes_equal(member.key, bytes_str("value")))
			*value = member.value;
	}
	return salted && value->data && line.len == 0;
}

static bool add(struct audit_opened *opened, struct bytes line)
{
	uint8_t salt[AUDIT_SALT];
	struct bytes escaped;
	struct opening opening = {0};
	if (!line_parts(line, salt, &escaped)) {
		opened->passed_over++;
		return true;
	}
	if (opened->count == opened->cap) {
		size_t cap = opened->cap ? 2 * opened->cap : 256;
		struct opening *more = realloc(opened->openings, cap * sizeof(*more));
		if (!more)
			return false;
		opened->openings = more;
		opened->cap = cap;
	}
	opening.value = malloc(escaped.len + 1);
	if (!opening.value)
		return false;
	opening.len = audit_json_plain(escaped, opening.value, escaped.len);
	bool good = audit_commit(salt, bytes_of(opening.value, opening.len), opening.commitment);
	OPENSSL_cleanse(salt, sizeof(salt));
	if (good)
		opened->openings[opened->count++] = opening;
	else
		free(opening.value);
	return good;
}

static bool add_file(struct audit_opened *opened, const char *name)
{
	FILE *file = fopen(name, "re");
	char *line = NULL;
	size_t cap = 0;
	ssize_t len;
	bool good = true;
	/* One that expired this moment is as good as none. */
	if (!file)
		return errno == ENOENT;
	while (good && (len = getline(&line, &cap, file)) > 0)
		good = add(opened, bytes_of(line, (size_t)len - (line[len - 1] == '\n')));
	good = good && !ferror(file);
	if (line)
		OPENSSL_cleanse(line, cap);
	free(line);
	fclose(file);
	return good;
}

struct audit_opened *audit_opened_load(const char *folder, struct error *err)
{
	struct audit_opened *opened = calloc(1, sizeof(*opened));
	DIR *dir = opendir(folder);
	bool good = opened && (dir || errno == ENOENT);
	for (const struct dirent *entry; good && dir && (entry = readdir(dir));) {
		char name[4600];
		snprintf(name, sizeof(name), "%s/%s", folder, entry->d_name);
		if (entry->d_name[0] != '.')
			good = add_file(opened, name);
	}
	if (!good)
		error_set_errno(err, "cannot read %s", folder);
	if (dir)
		closedir(dir);
	if (!good) {
		audit_opened_free(opened);
		return NULL;
	}
	if (opened->count > 0)
		qsort(opened->openings, opened->count, sizeof(*opened->openings), order);
	return opened;
}

void audit_opened_free(struct audit_opened *opened)
{
	if (!opened)
		return;
	for (size_t i = 0; i < opened->count; i++) {
		OPENSSL_cleanse(opened->openings[i].value, opened->openings[i].len);
		free(opened->openings[i].value);
	}
	free(opened->openings);
	free(opened);
}

bool audit_opened_find(const struct audit_opened *opened, struct bytes hex, struct bytes *value)
{
	struct opening wanted;
	size_t len;
	if (opened->count == 0 || !text_unhex(wanted.commitment, AUDIT_COMMIT_LEN, &len, hex) ||
		len != AUDIT_COMMIT_LEN)
		return false;
	const struct opening *found =
		bsearch(&wanted, opened->openings, opened->count, sizeof(*opened->openings), order);
	if (!found)
		return false;
	*value = bytes_of(found->value, found->len);
	return true;
}

size_t audit_opened_passed_over(const struct audit_opened *opened)
{
	return opened->passed_over;
}
