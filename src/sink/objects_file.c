#include "sink/objects_file.h"

#include <errno.h>
#include <stdio.h>

#define SMALL_NUMBERS 9
#define TRIES_MAX     1000

_Static_assert(OBJECTS_NAME_MAX + sizeof(OBJECTS_SUFFIX) <= NAME_MAX, "a marked name fits a directory");

bool objects_file_make(struct objects_files *files, struct pooled *file, const struct objects_named *named)
{
	struct objects_named tried = *named;
	files->made++;
	for (unsigned i = 1; i <= TRIES_MAX; i++) {
		/* Small numbers first, for people; then such as nobody had yet in this run. */
		tried.number = i <= SMALL_NUMBERS ? i : SMALL_NUMBERS + files->made++;
		objects_name(&tried, file->name);
		if (pooled_make(&files->pool, file, POOLED_NEW))
			return true;
		if (errno != EEXIST)
			break;
	}
	file->name[0] = '\0';
	return false;
}

void objects_file_end(struct objects_files *files, struct pooled *file, bool whole)
{
	char marked[sizeof(file->name)];
	if (file->name[0] == '\0')
		return;
	pooled_shut(&files->pool, file);
	if (whole)
		return;
	int directory = files->pool.directory;
	int n = snprintf(marked, sizeof(marked), "%s%s", file->name, OBJECTS_SUFFIX);
	if (n > 0 && (size_t)n < sizeof(marked) &&
		renameat2(directory, file->name, directory, marked, RENAME_NOREPLACE) == 0)
		memcpy(file->name, marked, (size_t)n + 1);
}
