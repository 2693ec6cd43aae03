#include "keys/keylog_file.h"

#include "keys/keylog_split.h"

#include <errno.h>
#include <fcntl.h>
#include <openssl/crypto.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/inotify.h>
#include <sys/stat.h>
#include <unistd.h>

/* One file that has, or had, the name. */
struct opened {
	int fd;
	dev_t device;
	ino_t inode;
	uint64_t serial; /* the first file of the name is 1 */
	struct keylog_index *index;
	int watch; /* of inotify; -1: none */
};

struct keylog_file {
	char *path;
	char *folder;
	bool follow;
	bool stream; /* a FIFO or another thing that cannot be sought in */
	size_t sessions;
	struct keystore *store;
	struct keylog_split split;                /* of the stream */
	int stream_fd;                            /* -1: it ended */
	int notify_fd;                            /* -1: not followed, or there is no inotify */
	struct opened files[KEYLOG_FILE_OLD + 1]; /* oldest first; the last one has the name now */
	size_t file_count;
	uint64_t serial;
	struct keylog_file_counts counts;
};

/* An offset in a file of the name, and which: for keylog_file_each. Offsets of an index end far below. */
#define EACH_SHIFT 48

static void opened_close(struct opened *file)
{
	keylog_index_free(file->index);
	close(file->fd);
}

void keylog_file_free(struct keylog_file *file)
{
	if (!file)
		return;
	for (size_t i = 0; i < file->file_count; i++)
		opened_close(&file->files[i]);
	if (file->stream_fd >= 0)
		close(file->stream_fd);
	if (file->notify_fd >= 0)
		close(file->notify_fd);
	keylog_split_wipe(&file->split);
	free(file->path);
	free(file->folder);
	free(file);
}

/* Changes of the file, and whatever gets its name. Without inotify the file is followed by whoever asks. */
static void watch_begin(struct keylog_file *file)
{
	file->notify_fd = inotify_init1(IN_NONBLOCK | IN_CLOEXEC);
	if (file->notify_fd >= 0)
		(void)!inotify_add_watch(file->notify_fd, file->folder, IN_CREATE | IN_MOVED_TO | IN_ONLYDIR);
}

/* By its descriptor, for the name may already be another's; it is watched on under its next name. */
static void watch_opened(const struct keylog_file *file, struct opened *opened)
{
	char link[64];
	opened->watch = -1;
	if (file->notify_fd < 0)
		return;
	(void)!snprintf(link, sizeof(link), "/proc/self/fd/%d", opened->fd);
	opened->watch = inotify_add_watch(file->notify_fd, link, IN_MODIFY | IN_ATTRIB | IN_MOVE_SELF);
}

static void watch_drain(const struct keylog_file *file)
{
	_Alignas(struct inotify_event) uint8_t events[4096];
	while (file->notify_fd >= 0 && read(file->notify_fd, events, sizeof(events)) > 0)
		;
}

static void forget_oldest(struct keylog_file *file)
{
	if (file->files[0].watch >= 0)
		(void)!inotify_rm_watch(file->notify_fd, file->files[0].watch);
	opened_close(&file->files[0]);
	file->file_count--;
	memmove(file->files, file->files + 1, file->file_count * sizeof(file->files[0]));
	file->counts.forgotten++;
}

static bool take_stream(struct keylog_file *file, int fd)
{
	file->stream = true;
	if (file->stream_fd >= 0)
		close(file->stream_fd);
	file->stream_fd = fd;
	return true;
}

/* Takes what has the name now. The descriptor is the file's, or closed. */
static bool take(struct keylog_file *file, int fd, struct error *err)
{
	struct stat st;
	if (fstat(fd, &st) != 0 || S_ISDIR(st.st_mode)) {
		close(fd);
		return error_set(err, "%s: a folder is no key log; name the file in it", file->path);
	}
	if (!S_ISREG(st.st_mode)) {
		/* A file that was replaced by a FIFO stays what it was. */
		if (file->file_count == 0)
			return take_stream(file, fd);
		close(fd);
		return error_set(err, "%s: the key log was replaced by something that is no file", file->path);
	}
	struct keylog_index *index = keylog_index_new(fd, file->sessions);
	if (!index) {
		close(fd);
		return error_set(err, "%s: no memory to index this key log", file->path);
	}
	if (file->file_count > KEYLOG_FILE_OLD)
		forget_oldest(file);
	struct opened *opened = &file->files[file->file_count++];
	*opened = (struct opened){fd, st.st_dev, st.st_ino, ++file->serial, index, -1};
	watch_opened(file, opened);
	return true;
}

/* True also when the file is not there and may be missing. */
static bool open_named(struct keylog_file *file, struct error *err)
{
	/* Without O_NONBLOCK a FIFO would wait for its writer here. */
	int fd = open(file->path, O_RDONLY | O_NONBLOCK | O_CLOEXEC | O_NOCTTY);
	if (fd >= 0)
		return take(file, fd, err);
	if (errno == ENOENT && file->follow && (file->file_count > 0 || access(file->folder, X_OK) == 0))
		return true;
	return error_set_errno(err, "%s: cannot open this key log", file->path);
}

static char *folder_of(const char *path)
{
	const char *slash = strrchr(path, '/');
	if (!slash)
		return strdup(".");
	return slash == path ? strdup("/") : strndup(path, (size_t)(slash - path));
}

struct keylog_file *keylog_file_open(
	const char *path, bool follow, size_t sessions, struct keystore *store, struct error *err)
{
	struct keylog_file *file = calloc(1, sizeof(*file));
	if (file) {
		*file = (struct keylog_file){.follow = follow, .sessions = sessions, .store = store};
		file->stream_fd = file->notify_fd = -1;
		file->path = strdup(path);
		file->folder = folder_of(path);
	}
	if (!file || !file->path || !file->folder) {
		keylog_file_free(file);
		(void)error_set(err, "%s: no memory to open this key log", path);
		return NULL;
	}
	if (follow)
		watch_begin(file);
	if (!open_named(file, err)) {
		keylog_file_free(file);
		return NULL;
	}
	if (file->stream && file->notify_fd >= 0) {
		close(file->notify_fd);
		file->notify_fd = -1;
	}
	return file;
}

static void stream_line(struct keylog_file *file, struct bytes line, keylog_told_fn *told, void *ctx)
{
	struct keylog_id id;
	if (keystore_add_line(file->store, line, &id) && told)
		told(&id, ctx);
}

/*
 * No writer has it open. A new descriptor forgets that one ever had, and so waits in peace; it is opened before the old
 * one goes, so that what was not read stays.
 */
static void stream_end(struct keylog_file *file, keylog_told_fn *told, void *ctx)
{
	struct bytes line;
	struct pollfd poller = {.fd = file->stream_fd, .events = POLLIN};
	if (poll(&poller, 1, 0) < 0 || !(poller.revents & POLLHUP))
		return;
	if (keylog_split_rest(&file->split, &line))
		stream_line(file, line, told, ctx);
	keylog_split_restart(&file->split, file->split.next_at);
	int fd = file->follow ? open(file->path, O_RDONLY | O_NONBLOCK | O_CLOEXEC | O_NOCTTY) : -1;
	close(file->stream_fd);
	file->stream_fd = fd;
}

static enum keylog_file_result stream_update(
	struct keylog_file *file, size_t budget, keylog_told_fn *told, void *ctx, struct error *err)
{
	uint8_t octets[16384];
	enum keylog_file_result result = KEYLOG_FILE_QUIET;
	for (size_t taken = 0; file->stream_fd >= 0;) {
		ssize_t got = read(file->stream_fd, octets, sizeof(octets));
		if (got < 0 && errno == EINTR)
			continue;
		if (got < 0 && errno != EAGAIN) {
			(void)error_set_errno(err, "%s: cannot read this key log", file->path);
			result = KEYLOG_FILE_FAILED;
		}
		if (got == 0)
			stream_end(file, told, ctx);
		if (got <= 0)
			break;
		struct bytes more = bytes_of(octets, (size_t)got);
		struct bytes line;
		while (keylog_split_next(&file->split, &more, &line))
			stream_line(file, line, told, ctx);
		result = KEYLOG_FILE_NEW;
		taken += (size_t)got;
		if (budget && taken >= budget) {
			result = KEYLOG_FILE_MORE;
			break;
		}
	}
	OPENSSL_cleanse(octets, sizeof(octets));
	return result;
}

static enum keylog_file_result index_update(struct keylog_file *file, struct opened *opened, size_t budget,
	keylog_told_fn *told, void *ctx, struct error *err)
{
	enum keylog_index_result result = keylog_index_update(opened->index, budget, told, ctx);
	if (result == KEYLOG_INDEX_TRUNCATED) {
		file->counts.truncated++;
		result = keylog_index_update(opened->index, budget, told, ctx);
	}
	switch (result) {
	case KEYLOG_INDEX_QUIET:
	case KEYLOG_INDEX_TRUNCATED: /* again, meanwhile: the next update reads it */
		return KEYLOG_FILE_QUIET;
	case KEYLOG_INDEX_NEW:
		return KEYLOG_FILE_NEW;
	case KEYLOG_INDEX_MORE:
		return KEYLOG_FILE_MORE;
	case KEYLOG_INDEX_UNREADABLE:
		(void)error_set_errno(err, "%s: cannot read this key log", file->path);
		return KEYLOG_FILE_FAILED;
	case KEYLOG_INDEX_NO_MEMORY:
		break;
	}
	(void)error_set(err, "%s: no memory to index this key log further", file->path);
	return KEYLOG_FILE_FAILED;
}

/* Another file has the name now than the one that is read. */
static bool was_replaced(const struct keylog_file *file)
{
	struct stat st;
	if (!file->follow || stat(file->path, &st) != 0)
		return false;
	if (file->file_count == 0)
		return true;
	const struct opened *last = &file->files[file->file_count - 1];
	return st.st_dev != last->device || st.st_ino != last->inode;
}

/* Failure before more to read before something new. */
static enum keylog_file_result both(enum keylog_file_result a, enum keylog_file_result b)
{
	return a > b ? a : b;
}

/* Every file, for a program may go on writing to the one that was renamed. */
static enum keylog_file_result indices_update(
	struct keylog_file *file, size_t first, size_t budget, keylog_told_fn *told, void *ctx, struct error *err)
{
	enum keylog_file_result result = KEYLOG_FILE_QUIET;
	for (size_t i = first; i < file->file_count; i++)
		result = both(result, index_update(file, &file->files[i], budget, told, ctx, err));
	return result;
}

enum keylog_file_result keylog_file_update(
	struct keylog_file *file, size_t budget, keylog_told_fn *told, void *ctx, struct error *err)
{
	if (file->stream)
		return stream_update(file, budget, told, ctx, err);
	watch_drain(file);
	bool replaced = was_replaced(file);
	enum keylog_file_result result = indices_update(file, 0, budget, told, ctx, err);
	uint64_t serial = file->serial;
	if (!replaced || result >= KEYLOG_FILE_MORE)
		return result;
	if (!open_named(file, err))
		return KEYLOG_FILE_FAILED;
	if (file->stream)
		return stream_update(file, budget, told, ctx, err);
	if (file->serial == serial)
		return result;
	file->counts.replaced += serial > 0;
	return both(result, indices_update(file, file->file_count - 1, budget, told, ctx, err));
}

int keylog_file_fd(const struct keylog_file *file)
{
	return file->stream ? file->stream_fd : file->notify_fd;
}

size_t keylog_file_find(const struct keylog_file *file, const struct keylog_id *id, struct keyset *out)
{
	size_t added = 0;
	for (size_t i = 0; i < file->file_count; i++)
		added += keylog_index_find(file->files[i].index, id, out);
	return added;
}

bool keylog_file_each(const struct keylog_file *file, uint64_t *at, keylog_visit_fn *visit, void *ctx)
{
	for (size_t i = 0; i < file->file_count; i++) {
		const struct opened *opened = &file->files[i];
		uint64_t begin = opened->serial << EACH_SHIFT;
		if (*at >> EACH_SHIFT > opened->serial)
			continue;
		uint64_t offset = *at > begin ? *at - begin : 0;
		bool stopped = keylog_index_each(opened->index, &offset, visit, ctx);
		*at = begin + offset;
		if (stopped)
			return true;
	}
	return false;
}

struct keylog_file_counts keylog_file_count(const struct keylog_file *file)
{
	struct keylog_file_counts counts = file->counts;
	for (size_t i = 0; i < file->file_count; i++) {
		struct keylog_index_counts one = keylog_index_count(file->files[i].index);
		counts.index.octets += one.octets;
		counts.index.lines += one.lines;
		counts.index.secrets += one.secrets;
		counts.index.unknown += one.unknown;
		counts.index.bad += one.bad;
		counts.index.too_long += one.too_long;
		counts.index.records += one.records;
		counts.index.refused += one.refused;
		counts.index.memory += one.memory;
	}
	return counts;
}
