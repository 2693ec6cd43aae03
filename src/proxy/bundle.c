#include "proxy/bundle.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

/* Entry: length of the name (16 bits), name, length of the content (64 bits), content. */
#define NAME_MAX_OCTETS 4096

bool bundle_begin(struct bundle_writer *w, struct error *err)
{
	*w = (struct bundle_writer){.fd = memfd_create("overt bundle", MFD_CLOEXEC | MFD_ALLOW_SEALING)};
	return w->fd >= 0 || error_set_errno(err, "no memory file for the configuration");
}

static void put(struct bundle_writer *w, struct bytes octets)
{
	while (octets.len > 0 && !w->failed) {
		ssize_t n = write(w->fd, octets.data, octets.len);
		if (n < 0 && errno == EINTR)
			continue;
		w->failed = n <= 0 || !bytes_skip(&octets, (size_t)n);
	}
}

void bundle_add(struct bundle_writer *w, const char *name, struct bytes content)
{
	uint8_t head[2 + NAME_MAX_OCTETS + 8];
	struct writer head_w = writer_over(head, sizeof(head));
	struct bytes out = BYTES_NONE;
	writer_vec16(&head_w, bytes_str(name));
	writer_u64(&head_w, content.len);
	w->failed = w->failed || !writer_done(&head_w, &out);
	put(w, out);
	put(w, content);
}

void bundle_abandon(struct bundle_writer *w)
{
	if (w->fd >= 0)
		close(w->fd);
	w->fd = -1;
}

int bundle_seal(struct bundle_writer *w, struct error *err)
{
	int seals = F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE | F_SEAL_SEAL;
	if (w->failed || fcntl(w->fd, F_ADD_SEALS, seals) != 0) {
		error_set_errno(err, "the configuration does not fit into memory");
		bundle_abandon(w);
		return -1;
	}
	int fd = w->fd;
	w->fd = -1;
	return fd;
}

struct bundle {
	unsigned owners;
	void *map;
	size_t len;
};

static bool next(struct bytes *in, struct bytes *name, struct bytes *content)
{
	uint64_t len;
	return bytes_vec16(in, name) && bytes_u64(in, &len) && len <= in->len && bytes_take(in, (size_t)len, content);
}

static bool whole(struct bytes in)
{
	struct bytes name, content;
	while (in.len > 0) {
		if (!next(&in, &name, &content))
			return false;
	}
	return true;
}

struct bundle *bundle_open(int fd, struct error *err)
{
	struct stat st;
	struct bundle *bundle = calloc(1, sizeof(*bundle));
	if (!bundle || fstat(fd, &st) != 0 || st.st_size <= 0) {
		error_set(err, "the configuration handed over cannot be read");
		free(bundle);
		return NULL;
	}
	bundle->owners = 1;
	bundle->len = (size_t)st.st_size;
	bundle->map = mmap(NULL, bundle->len, PROT_READ, MAP_PRIVATE, fd, 0);
	if (bundle->map == MAP_FAILED) {
		error_set_errno(err, "the configuration handed over cannot be mapped");
		free(bundle);
		return NULL;
	}
	if (whole(bytes_of(bundle->map, bundle->len)))
		return bundle;
	error_set(err, "the configuration handed over is damaged");
	bundle_close(bundle);
	return NULL;
}

void bundle_keep(struct bundle *bundle)
{
	bundle->owners++;
}

void bundle_close(struct bundle *bundle)
{
	if (!bundle || --bundle->owners > 0)
		return;
	munmap(bundle->map, bundle->len);
	free(bundle);
}

bool bundle_find(const struct bundle *bundle, const char *name, struct bytes *content)
{
	struct bytes in = bytes_of(bundle->map, bundle->len);
	struct bytes entry;
	while (in.len > 0 && next(&in, &entry, content)) {
		if (bytes_equal(entry, bytes_str(name)))
			return true;
	}
	return false;
}
