/*
 * Sealed keys on disk, so that they survive a restart: a file of
 *
 *     struct { uint64 wall_ns; opaque sender_key[32]; opaque sender<0..255>; opaque sealed<1..2^16-1>; }
 *
 * appended to and synced before batches are answered, and read once at the start. The collector cannot read what stands
 * there. A batch that the disk does not take is refused, and what was written of it is cut off again: what stands behind
 * it would be lost with it. What has outlived its lifetime, or whose grant has ended, is left out when the file is written
 * anew, which happens at each start and when it has grown to several times what is held.
 */
#include "collect/parts.h"

#include "base/log.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#define SPOOL_ROOM   ((size_t)256 * 1024)
#define SPOOL_FACTOR 4
#define SPOOL_LEAST  ((off_t)16 * 1024 * 1024) /* below this it is not written anew */

static bool record_write(const struct collector *collector, const struct store_item *item, struct writer *to)
{
	if (item->tag >= collector->source_count)
		return false;
	const struct source *source = collector->sources[item->tag];
	writer_u64(to, item->wall_ns);
	writer_bytes(to, bytes_of(source->key_hash, sizeof(source->key_hash)));
	writer_vec8(to, bytes_str(source->name));
	writer_vec16(to, item->sealed);
	return !to->full;
}

static bool write_all(int fd, struct bytes octets)
{
	while (octets.len > 0) {
		ssize_t written = write(fd, octets.data, octets.len);
		if (written < 0 && errno == EINTR)
			continue;
		if (written <= 0 || !bytes_skip(&octets, (size_t)written))
			return false;
	}
	return true;
}

/* Items from..to, in pieces. False when the disk does not take them. */
static bool append(const struct collector *collector, int fd, uint64_t from, uint64_t to)
{
	struct store_item item;
	uint8_t *room = malloc(SPOOL_ROOM);
	struct writer piece = writer_over(room, room ? SPOOL_ROOM : 0);
	bool ok = room != NULL;
	for (uint64_t n = from; ok && n < to; n++) {
		if (!store_at(collector->store, n, &item))
			continue;
		if (piece.len + item.sealed.len + 512 > piece.cap) {
			ok = write_all(fd, bytes_of(piece.data, piece.len));
			piece.len = 0;
		}
		if (!record_write(collector, &item, &piece))
			piece = writer_over(room, SPOOL_ROOM);
	}
	ok = ok && write_all(fd, bytes_of(piece.data, piece.len));
	free(room);
	return ok;
}

/* The folder's entry for a file, too, must be on the disk before what stands in the file counts. */
static bool sync_folder(const char *name)
{
	char path[4096];
	const char *slash = strrchr(name, '/');
	int len = slash ? (int)(slash - name) + 1 : 0;
	snprintf(path, sizeof(path), "%.*s.", len, name);
	int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	bool ok = fd >= 0 && fsync(fd) == 0;
	if (fd >= 0)
		close(fd);
	return ok;
}

/* What is held up to `to`, in a new file that takes the old one's place. */
static bool rewrite(struct collector *collector, uint64_t to, struct error *err)
{
	char path[4096];
	struct stat st;
	const char *name = collector->options->spool;
	if (snprintf(path, sizeof(path), "%s.new", name) >= (int)sizeof(path))
		return error_set(err, "--spool: the path is too long");
	int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_APPEND | O_CLOEXEC | O_NOFOLLOW, 0600);
	if (fd < 0)
		return error_set_errno(err, "%s", path);
	if (!append(collector, fd, store_first(collector->store), to) || fdatasync(fd) != 0 || fstat(fd, &st) != 0 ||
		rename(path, name) != 0 || !sync_folder(name)) {
		(void)error_set_errno(err, "%s", path);
		close(fd);
		unlink(path);
		return false;
	}
	if (collector->spool_fd >= 0)
		close(collector->spool_fd);
	collector->spool_fd = fd;
	collector->spool_size = st.st_size;
	collector->spool_owes = false;
	return true;
}

/* Moves past it when it is one. */
static bool take(struct collector *collector, struct bytes *text, uint64_t now_ns, uint64_t wall_ns)
{
	struct bytes rest = *text, *in = &rest;
	struct bytes key, name, sealed;
	struct collect_identity who = {0};
	struct seal_head head;
	uint64_t came_ns;
	bool form = bytes_u64(in, &came_ns) && bytes_take(in, sizeof(who.key_hash), &key) && bytes_vec8(in, &name) &&
	            name.len <= COLLECT_NAME_MAX && bytes_vec16(in, &sealed) && seal_head_read(sealed, &head);
	if (!form)
		return false;
	*text = rest;
	/* What is of a time to come is of another clock: it has its whole lifetime, as if it came now. */
	uint64_t age_ns = came_ns < wall_ns ? wall_ns - came_ns : 0;
	if (age_ns >= collector->options->store.lifetime_ns)
		return true;
	memcpy(who.key_hash, key.data, key.len);
	memcpy(who.name, name.data, name.len);
	struct source *source = source_of(collector, &who);
	if (source)
		(void)store_put(collector->store, &source->owner, &head, sealed, source_number(collector, source),
			now_ns - age_ns, came_ns);
	return true;
}

static bool read_old(struct collector *collector, struct error *err)
{
	const char *name = collector->options->spool;
	struct stat st;
	int fd = open(name, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
	if (fd < 0 && errno == ENOENT)
		return true;
	if (fd < 0 || fstat(fd, &st) != 0 || !S_ISREG(st.st_mode)) {
		(void)error_set_errno(err, "%s: no spool can be read there", name);
		if (fd >= 0)
			close(fd);
		return false;
	}
	size_t size = (size_t)st.st_size;
	void *map = size > 0 ? mmap(NULL, size, PROT_READ, MAP_PRIVATE, fd, 0) : NULL;
	close(fd);
	if (map == MAP_FAILED)
		return error_set_errno(err, "%s", name);
	struct bytes in = bytes_of(map, size);
	while (in.len > 0 && take(collector, &in, collect_age_ns(collector, clock_monotonic_ns()), clock_wall_ns()))
		continue;
	if (in.len > 0) /* a crash cut the last one */
		log_warn("spool cut", LOG_S("file", name), LOG_N("octets", in.len));
	if (map)
		munmap(map, size);
	return true;
}

bool spool_open(struct collector *collector, struct error *err)
{
	collector->spool_fd = -1;
	if (!collector->options->spool)
		return true;
	if (!read_old(collector, err) || !rewrite(collector, store_end(collector->store), err))
		return false;
	collector->visible = store_end(collector->store); /* their entries are in the log from before */
	log_info("spool", LOG_S("file", collector->options->spool), LOG_N("keys", store_count(collector->store).held));
	return true;
}

static bool write_batches(const struct collector *collector)
{
	bool ok = true, any = false;
	for (const struct batch *batch = collector->batches; ok && batch && batch->done; batch = batch->next) {
		if (!batch->ok || batch->spooled || batch->from == batch->to)
			continue;
		any = true;
		ok = append(collector, collector->spool_fd, batch->from, batch->to);
	}
	return ok && (!any || fdatasync(collector->spool_fd) == 0);
}

static void say_full(struct collector *collector, bool full)
{
	if (full == collector->spool_full)
		return;
	collector->spool_full = full;
	if (full)
		log_error("spool not written", LOG_S("file", collector->options->spool), LOG_S("why", strerror(errno)),
			LOG_S("in-force", "keys are refused"));
	else
		log_info("spool written again", LOG_S("file", collector->options->spool));
}

void spool_batches(struct collector *collector)
{
	struct stat st;
	if (collector->spool_fd < 0)
		return;
	bool ok = write_batches(collector) && fstat(collector->spool_fd, &st) == 0;
	say_full(collector, !ok);
	if (ok)
		collector->spool_size = st.st_size;
	else
		(void)!ftruncate(collector->spool_fd, collector->spool_size);
	for (struct batch *batch = collector->batches; batch && batch->done; batch = batch->next) {
		if (!batch->ok || batch->spooled)
			continue;
		batch->spooled = true;
		if (ok || batch->from == batch->to)
			continue;
		batch->ok = false;
		batch->why = COURIER_WHY_FULL;
		collector->spool_lost += batch->to - batch->from;
	}
}

void spool_tidy(struct collector *collector)
{
	struct error err;
	bool grown = collector->spool_size > SPOOL_LEAST &&
	             (uint64_t)collector->spool_size > SPOOL_FACTOR * store_count(collector->store).octets;
	if (collector->spool_fd < 0 || (!grown && !collector->spool_owes && !collector->spool_full))
		return;
	/* What is not visible yet is appended when its turn comes. */
	if (rewrite(collector, collector->visible, &err))
		return;
	collector->spool_owes = false;
	if (!collector->spool_full)
		log_error("spool not written anew", LOG_S("why", err.text));
}

void spool_close(struct collector *collector)
{
	if (collector->spool_fd >= 0)
		close(collector->spool_fd);
	collector->spool_fd = -1;
}
