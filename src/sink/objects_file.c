#include "sink/objects_file.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#define SMALL_NUMBERS 9
#define TRIES_MAX     1000

bool objects_files_open(struct objects_files *files, const char *directory, struct error *err)
{
	*files = (struct objects_files){.directory = -1};
	if (mkdir(directory, 0700) != 0 && errno != EEXIST)
		return error_set_errno(err, "%s: the directory cannot be made", directory);
	files->directory = open(directory, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	return files->directory >= 0 || error_set_errno(err, "%s: no directory to write to", directory);
}

void objects_files_close(struct objects_files *files)
{
	if (files->directory >= 0)
		close(files->directory);
	files->directory = -1;
}

static void leave(struct objects_files *files, struct objects_file *file)
{
	*(file->older ? &file->older->newer : &files->oldest) = file->newer;
	*(file->newer ? &file->newer->older : &files->newest) = file->older;
	files->open--;
}

static void enter(struct objects_files *files, struct objects_file *file)
{
	file->newer = NULL;
	file->older = files->newest;
	*(files->newest ? &files->newest->newer : &files->oldest) = file;
	files->newest = file;
	files->open++;
}

static void shut(struct objects_files *files, struct objects_file *file)
{
	if (file->fd < 0)
		return;
	leave(files, file);
	close(file->fd);
	file->fd = -1;
}

static bool open_file(struct objects_files *files, struct objects_file *file, int flags)
{
	if (files->open >= OBJECTS_OPEN_MAX)
		shut(files, files->oldest);
	file->fd = openat(files->directory, file->name, O_WRONLY | O_CLOEXEC | O_NOFOLLOW | flags, 0600);
	if (file->fd < 0)
		return false;
	enter(files, file);
	return true;
}

bool objects_file_make(struct objects_files *files, struct objects_file *file, const struct objects_named *named)
{
	struct objects_named tried = *named;
	file->fd = -1;
	files->made++;
	for (unsigned i = 1; i <= TRIES_MAX; i++) {
		/* Small numbers first, for people; then such as nobody had yet in this run. */
		tried.number = i <= SMALL_NUMBERS ? i : SMALL_NUMBERS + files->made++;
		objects_name(&tried, file->name);
		if (open_file(files, file, O_CREAT | O_EXCL))
			return true;
		if (errno != EEXIST)
			break;
	}
	file->name[0] = '\0';
	return false;
}

bool objects_file_write(struct objects_files *files, struct objects_file *file, struct bytes octets)
{
	if (file->fd >= 0) {
		leave(files, file);
		enter(files, file);
	} else if (!open_file(files, file, O_APPEND)) {
		return false;
	}
	while (octets.len > 0) {
		ssize_t n = write(file->fd, octets.data, octets.len);
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0 || !bytes_skip(&octets, (size_t)n))
			return false;
	}
	return true;
}

void objects_file_end(struct objects_files *files, struct objects_file *file, bool whole)
{
	char marked[sizeof(file->name)];
	if (file->name[0] == '\0')
		return;
	shut(files, file);
	if (whole)
		return;
	int n = snprintf(marked, sizeof(marked), "%s%s", file->name, OBJECTS_SUFFIX);
	if (n > 0 && (size_t)n < sizeof(marked) &&
		renameat2(files->directory, file->name, files->directory, marked, RENAME_NOREPLACE) == 0)
		memcpy(file->name, marked, (size_t)n + 1);
}
