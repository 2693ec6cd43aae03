#include "sink/output.h"

#include "base/clock.h"
#include "base/log.h"

#include <errno.h>
#include <fcntl.h>
#include <openssl/crypto.h>
#include <poll.h>
#include <stdlib.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

/* A pipe or terminal that takes nothing for so long has lost this batch. */
#define WAIT_MS 200

#define SAY_AGAIN_NS (60 * NS_PER_S)

/* -1 with `err` set. */
static int open_file(const char *path, enum output_mode mode, struct stat *st, struct error *err)
{
	int fd = open(path, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC | O_NOCTTY, 0600);
	if (fd < 0) {
		error_set_errno(err, "cannot open %s for writing", path);
		return -1;
	}
	bool good = fstat(fd, st) == 0;
	if (!good)
		error_set_errno(err, "cannot look at %s", path);
	if (good && mode == OUTPUT_SECRET && S_ISREG(st->st_mode) && (st->st_mode & 077) && fchmod(fd, 0600) != 0) {
		error_set_errno(err, "%s can be read by others and that cannot be changed", path);
		good = false;
	}
	if (good)
		return fd;
	close(fd);
	return -1;
}

/*
 * Empties the file, unless another process writes it: an upgrade has two programs with the same outputs for a while. Who
 * writes a file holds a shared lock on it, and only who gets it alone may empty it.
 */
static bool empty(int fd)
{
	bool alone = flock(fd, LOCK_EX | LOCK_NB) == 0;
	bool ok = !alone || ftruncate(fd, 0) == 0;
	(void)flock(fd, LOCK_SH | LOCK_NB);
	return ok;
}

static bool begin(struct output *out, struct sink *sink)
{
	out->sink = sink;
	out->buffer = malloc(OUTPUT_CAP);
	return out->buffer != NULL;
}

bool output_to(struct output *out, struct sink *sink, int fd)
{
	*out = (struct output){.fd = fd};
	return begin(out, sink);
}

bool output_open(struct output *out, struct sink *sink, const char *path, enum output_mode mode, struct error *err)
{
	if (strcmp(path, "-") == 0)
		return output_to(out, sink, STDOUT_FILENO) || error_set(err, "no memory for %s", sink->name);
	*out = (struct output){.fd = -1};
	struct stat st;
	int fd = open_file(path, mode, &st, err);
	if (fd < 0)
		return false;
	out->fd = fd;
	out->regular = S_ISREG(st.st_mode);
	out->secret = mode == OUTPUT_SECRET;
	out->path = strdup(path);
	if (!out->path || !begin(out, sink)) {
		output_close(out);
		close(fd);
		return error_set(err, "no memory for %s", sink->name);
	}
	if (mode == OUTPUT_REPLACE && out->regular && !empty(fd)) {
		error_set_errno(err, "cannot empty %s", path);
		output_close(out);
		return false;
	}
	return true;
}

void output_close(struct output *out)
{
	if (!out->buffer) {
		free(out->path);
		*out = (struct output){.fd = -1};
		return;
	}
	output_flush(out);
	if (out->path)
		close(out->fd);
	OPENSSL_cleanse(out->buffer, OUTPUT_CAP);
	free(out->buffer);
	free(out->path);
	*out = (struct output){.fd = -1};
}

uint8_t *output_room(struct output *out, size_t max)
{
	if (max > OUTPUT_CAP) {
		output_lost(out);
		return NULL;
	}
	if (OUTPUT_CAP - out->len < max)
		output_flush(out);
	return out->buffer + out->len;
}

void output_commit(struct output *out, size_t len)
{
	out->len += len;
	out->pending++;
	if (out->len >= OUTPUT_BATCH)
		output_flush(out);
}

void output_lost(struct output *out)
{
	out->sink->counts.lost_records++;
}

/* Octets written; less than `len` when the rest cannot be, with errno set. */
static size_t write_all(const struct output *out)
{
	size_t done = 0;
	while (done < out->len) {
		ssize_t n = write(out->fd, out->buffer + done, out->len - done);
		if (n > 0) {
			done += (size_t)n;
			continue;
		}
		if (n < 0 && errno == EINTR)
			continue;
		struct pollfd p = {.fd = out->fd, .events = POLLOUT};
		if (n < 0 && errno == EAGAIN && poll(&p, 1, WAIT_MS) > 0 && (p.revents & POLLOUT))
			continue;
		if (n == 0)
			errno = EIO;
		break;
	}
	return done;
}

/* What was half written would spoil what comes after it: back to the end of the last whole batch. */
static void take_back(const struct output *out, size_t done)
{
	off_t end = lseek(out->fd, 0, SEEK_CUR);
	if (!out->regular || done == 0 || end < (off_t)done)
		return;
	if (ftruncate(out->fd, end - (off_t)done) != 0)
		log_error("half a record stays", LOG_S("sink", out->sink->name), LOG_S("file", out->path));
}

static void failed(struct output *out)
{
	const char *why = strerror(errno); /* NOLINT(concurrency-mt-unsafe): sinks live in one thread */
	out->sink->counts.lost_records += out->pending;
	if (out->failing)
		return;
	uint64_t now_ns = clock_monotonic_ns();
	if (out->said_ns != 0 && now_ns - out->said_ns < SAY_AGAIN_NS) {
		out->unsaid++;
		return;
	}
	log_error("cannot write", LOG_S("sink", out->sink->name), LOG_S("file", out->path ? out->path : "-"),
		LOG_S("why", why), LOG_N("unsaid_failures", out->unsaid),
		LOG_S("consequence", "records are lost and counted until it works again"));
	out->failing = true;
	out->said_ns = now_ns;
	out->unsaid = 0;
}

void output_flush(struct output *out)
{
	if (out->len == 0)
		return;
	size_t done = write_all(out);
	if (done == out->len) {
		out->sink->counts.records += out->pending;
		if (out->failing)
			log_info("writing works again", LOG_S("sink", out->sink->name),
				LOG_N("lost_records", out->sink->counts.lost_records));
		out->failing = false;
	} else {
		int cause = errno;
		take_back(out, done);
		errno = cause;
		failed(out);
	}
	if (out->secret)
		OPENSSL_cleanse(out->buffer, out->len);
	out->len = 0;
	out->pending = 0;
}

bool output_reopen(struct output *out, enum output_mode mode, bool *fresh, struct error *err)
{
	*fresh = false;
	if (!out->path)
		return true;
	struct stat now;
	struct stat held;
	int fd = open_file(out->path, mode, &now, err);
	if (fd < 0)
		return false;
	output_flush(out);
	if (fstat(out->fd, &held) == 0 && held.st_dev == now.st_dev && held.st_ino == now.st_ino) {
		close(fd);
		return true;
	}
	if (mode == OUTPUT_REPLACE && S_ISREG(now.st_mode) && !empty(fd)) {
		close(fd);
		return error_set_errno(err, "cannot empty %s", out->path);
	}
	close(out->fd);
	out->fd = fd;
	out->regular = S_ISREG(now.st_mode);
	*fresh = mode == OUTPUT_REPLACE || now.st_size == 0;
	return true;
}
