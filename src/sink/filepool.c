#include "sink/filepool.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

bool filepool_open(struct filepool *pool, const char *directory, struct error *err)
{
	*pool = (struct filepool){.directory = -1};
	if (mkdir(directory, 0700) != 0 && errno != EEXIST)
		return error_set_errno(err, "%s: the directory cannot be made", directory);
	pool->directory = open(directory, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	return pool->directory >= 0 || error_set_errno(err, "%s: no directory to write to", directory);
}

void filepool_close(struct filepool *pool)
{
	if (pool->directory >= 0)
		close(pool->directory);
	pool->directory = -1;
}

static void leave(struct filepool *pool, struct pooled *file)
{
	*(file->older ? &file->older->newer : &pool->oldest) = file->newer;
	*(file->newer ? &file->newer->older : &pool->newest) = file->older;
	pool->open--;
}

static void enter(struct filepool *pool, struct pooled *file)
{
	file->newer = NULL;
	file->older = pool->newest;
	*(pool->newest ? &pool->newest->newer : &pool->oldest) = file;
	pool->newest = file;
	pool->open++;
}

void pooled_shut(struct filepool *pool, struct pooled *file)
{
	if (!file->open)
		return;
	leave(pool, file);
	close(file->fd);
	file->open = false;
}

static bool open_file(struct filepool *pool, struct pooled *file, int flags)
{
	if (pool->open >= FILEPOOL_MAX)
		pooled_shut(pool, pool->oldest);
	file->fd = openat(pool->directory, file->name, O_WRONLY | O_CLOEXEC | O_NOFOLLOW | flags, 0600);
	file->open = file->fd >= 0;
	if (file->open)
		enter(pool, file);
	return file->open;
}

bool pooled_make(struct filepool *pool, struct pooled *file, enum pooled_mode mode)
{
	return open_file(pool, file, O_CREAT | (mode == POOLED_NEW ? O_EXCL : O_TRUNC));
}

bool pooled_write(struct filepool *pool, struct pooled *file, struct bytes octets)
{
	if (file->open) {
		leave(pool, file);
		enter(pool, file);
	} else if (!open_file(pool, file, O_APPEND)) {
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
