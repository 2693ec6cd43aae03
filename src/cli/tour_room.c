/* cli/tour_room.c — the folder in which a tour keeps its files while it lasts. */
#include "cli/tour_parts.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define DEPTH 16 /* descriptors that nftw may hold */

static bool is_empty(const char *path)
{
	DIR *dir = opendir(path);
	bool empty = dir != NULL;
	for (const struct dirent *entry; dir && empty && (entry = readdir(dir));)
		empty = strcmp(entry->d_name, ".") == 0 || strcmp(entry->d_name, "..") == 0;
	if (dir)
		closedir(dir);
	return empty;
}

static bool take(struct tour *tour, const char *keep, struct error *err)
{
	if (!file_make_directory(keep, err))
		return false;
	if (!realpath(keep, tour->dir))
		return error_set_errno(err, "%s", keep);
	return is_empty(keep) || error_set(err, "%s: a folder that is new or empty is needed", keep);
}

bool tour_room_make(struct tour *tour, const char *keep, struct error *err)
{
	const char *place = getenv("TMPDIR");
	ssize_t len = readlink("/proc/self/exe", tour->self, sizeof(tour->self) - 1);
	if (len <= 0)
		return error_set_errno(err, "/proc/self/exe");
	tour->self[len] = '\0';
	if (keep)
		return take(tour, keep, err);
	int n = snprintf(
		tour->dir, sizeof(tour->dir), "%s/overt-tour-XXXXXX", place && place[0] == '/' ? place : "/tmp");
	if (n > 0 && (size_t)n < sizeof(tour->dir) && mkdtemp(tour->dir))
		return true;
	tour->dir[0] = '\0';
	return error_set_errno(err, "no folder for the tour can be made in %s", place ? place : "/tmp");
}

static int drop(const char *path, const struct stat *info, int kind, struct FTW *at)
{
	(void)info;
	(void)kind;
	(void)at;
	(void)remove(path);
	return 0;
}

void tour_room_remove(struct tour *tour)
{
	if (tour->dir[0])
		(void)nftw(tour->dir, drop, DEPTH, FTW_DEPTH | FTW_PHYS);
	tour->dir[0] = '\0';
}

bool tour_path(const struct tour *tour, const char *name, char out[FILE_PATH_MAX], struct error *err)
{
	return file_join(out, tour->dir, name, err);
}

bool tour_write(const struct tour *tour, const char *name, struct bytes content, struct error *err)
{
	char path[FILE_PATH_MAX];
	return tour_path(tour, name, path, err) && file_replace(path, content, 0600, err);
}
