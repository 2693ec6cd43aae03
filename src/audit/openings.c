#include "audit/openings.h"

#include "audit/line.h"
#include "base/clock.h"
#include "base/text.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <openssl/crypto.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#define DAY_S 86400U

struct audit_openings {
	char folder[4000];
	uint64_t retention_s, span_s, tick_s;
	int fd;            /* of the present file; -1: none */
	uint64_t start_s;  /* of the present file */
	uint64_t file_end; /* octets known to be whole in it */
	struct writer queue;
};

struct audit_openings *audit_openings_new(const char *folder, uint64_t retention_ns)
{
	struct audit_openings *openings = calloc(1, sizeof(*openings));
	uint8_t *room = malloc(AUDIT_OPENINGS_QUEUE);
	if (!openings || !room || strlen(folder) >= sizeof(openings->folder)) {
		free(room);
		free(openings);
		return NULL;
	}
	memcpy(openings->folder, folder, strlen(folder) + 1);
	openings->retention_s = retention_ns / NS_PER_S;
	uint64_t span = openings->retention_s / 64;
	openings->span_s = span < 1 ? 1 : span > DAY_S ? DAY_S : span;
	openings->tick_s = openings->span_s < 60 ? openings->span_s : 60;
	openings->fd = -1;
	openings->queue = writer_over(room, AUDIT_OPENINGS_QUEUE);
	return openings;
}

static void file_close(struct audit_openings *openings)
{
	if (openings->fd >= 0)
		close(openings->fd);
	openings->fd = -1;
}

void audit_openings_free(struct audit_openings *openings)
{
	if (!openings)
		return;
	file_close(openings);
	OPENSSL_cleanse(openings->queue.data, openings->queue.len);
	free(openings->queue.data);
	free(openings);
}

uint64_t audit_openings_tick_ns(const struct audit_openings *openings)
{
	return openings->tick_s * NS_PER_S;
}

bool audit_openings_room(const struct audit_openings *openings, size_t values, size_t octets)
{
	/* Escaping may double a value; 200 covers the rest of a line. */
	return openings->queue.cap - openings->queue.len >= values * (octets * 2 + 200);
}

bool audit_openings_add(struct audit_openings *openings, uint64_t seq, const char *field,
	const uint8_t salt[AUDIT_SALT], struct bytes value)
{
	struct writer *w = &openings->queue;
	size_t start = w->len;
	char head[160];
	char hex[2 * AUDIT_SALT + 1];
	text_hex(hex, sizeof(hex), bytes_of(salt, AUDIT_SALT));
	snprintf(head, sizeof(head), "{\"seq\":%" PRIu64 ",\"field\":\"%.32s\",\"salt\":\"", seq, field);
	writer_bytes(w, bytes_str(head));
	writer_bytes(w, bytes_str(hex));
	writer_bytes(w, bytes_str("\",\"value\":\""));
	audit_json_text(w, value);
	writer_bytes(w, bytes_str("\"}\n"));
	OPENSSL_cleanse(hex, sizeof(hex));
	if (!w->full)
		return true;
	w->len = start;
	w->full = false;
	return false;
}

static bool file_open(struct audit_openings *openings, uint64_t now_s, struct error *err)
{
	uint64_t start_s = now_s - now_s % openings->span_s;
	if (openings->fd >= 0 && openings->start_s == start_s)
		return true;
	file_close(openings);
	char name[4096];
	snprintf(name, sizeof(name), "%s/%" PRIu64 ".jsonl", openings->folder, start_s);
	if (mkdir(openings->folder, 0700) < 0 && errno != EEXIST)
		return error_set_errno(err, "cannot make %s", openings->folder);
	openings->fd = open(name, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC | O_NOFOLLOW, 0600);
	if (openings->fd < 0)
		return error_set_errno(err, "cannot open %s", name);
	off_t end = lseek(openings->fd, 0, SEEK_END);
	openings->file_end = end < 0 ? 0 : (uint64_t)end;
	openings->start_s = start_s;
	return true;
}

bool audit_openings_write(struct audit_openings *openings, uint64_t wall_ns, struct error *err)
{
	struct writer *w = &openings->queue;
	if (w->len == 0)
		return true;
	if (!file_open(openings, wall_ns / NS_PER_S, err))
		return false;
	ssize_t n = write(openings->fd, w->data, w->len);
	if (n != (ssize_t)w->len) {
		int code = n < 0 ? errno : ENOSPC;
		/* Half a line would spoil the next one. */
		if (n > 0 && ftruncate(openings->fd, (off_t)openings->file_end) < 0)
			file_close(openings);
		errno = code;
		return error_set_errno(err, "cannot write %s", openings->folder);
	}
	openings->file_end += w->len;
	OPENSSL_cleanse(w->data, w->len);
	w->len = 0;
	return true;
}

/* Zeros over all of it, then away. */
static bool file_destroy(int folder_fd, const char *name)
{
	static const uint8_t zeros[64 * 1024];
	int fd = openat(folder_fd, name, O_WRONLY | O_CLOEXEC | O_NOFOLLOW);
	if (fd < 0)
		return false;
	struct stat st;
	bool good = fstat(fd, &st) == 0 && S_ISREG(st.st_mode);
	for (off_t at = 0; good && at < st.st_size;) {
		size_t part = st.st_size - at < (off_t)sizeof(zeros) ? (size_t)(st.st_size - at) : sizeof(zeros);
		ssize_t n = pwrite(fd, zeros, part, at);
		good = n > 0;
		at += n;
	}
	/* Also when overwriting failed: removing it is better than leaving it. */
	good = fdatasync(fd) == 0 && good;
	close(fd);
	return unlinkat(folder_fd, name, 0) == 0 && good;
}

static bool over(const struct audit_openings *openings, const char *name, uint64_t now_s)
{
	uint64_t start_s;
	size_t len = strlen(name);
	if (len < 7 || strcmp(name + len - 6, ".jsonl") != 0 ||
		!text_number(bytes_of(name, len - 6), INT64_MAX, &start_s))
		return false;
	/* One tick early, since the next look comes a tick later. */
	return now_s + openings->tick_s >= start_s + openings->retention_s;
}

size_t audit_openings_expire(struct audit_openings *openings, uint64_t wall_ns)
{
	uint64_t now_s = wall_ns / NS_PER_S;
	size_t destroyed = 0;
	DIR *dir = opendir(openings->folder);
	if (!dir)
		return 0;
	for (struct dirent *entry; (entry = readdir(dir)) != NULL;) {
		if (!over(openings, entry->d_name, now_s))
			continue;
		if (file_destroy(dirfd(dir), entry->d_name))
			destroyed++;
	}
	closedir(dir);
	if (openings->fd >= 0 && now_s + openings->tick_s >= openings->start_s + openings->retention_s)
		file_close(openings);
	return destroyed;
}
