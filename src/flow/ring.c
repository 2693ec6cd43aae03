#include "flow/ring.h"

#include "flow/ring_layout.h"

#include <fcntl.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

/* A peer that shrank the file would kill the other with SIGBUS. */
#define SEALS (F_SEAL_SHRINK | F_SEAL_GROW)

static bool size_valid(size_t size)
{
	return size >= RING_SIZE_MIN && size <= RING_SIZE_MAX && (size & (size - 1)) == 0;
}

static int memory_file(const char *name, size_t size)
{
	int fd = memfd_create(name, MFD_CLOEXEC | MFD_ALLOW_SEALING);
	if (fd < 0)
		return -1;
	if (ftruncate(fd, (off_t)size) == 0 && fcntl(fd, F_ADD_SEALS, SEALS | F_SEAL_SEAL) == 0)
		return fd;
	close(fd);
	return -1;
}

bool ring_create(struct ring_fds *fds, size_t size, struct error *err)
{
	*fds = (struct ring_fds){-1, -1, -1, -1};
	if (!size_valid(size))
		return error_set(err, "ring of %zu octets: must be a power of two from %zu to %zu", size, RING_SIZE_MIN,
			RING_SIZE_MAX);
	fds->data = memory_file("overt-ring", RING_HEAD_AREA + size);
	fds->control = memory_file("overt-ring-control", RING_CONTROL_LEN);
	fds->wake = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	fds->space = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	/* Until its consumer is there and says otherwise, a ring wants all but secrets: a flow's beginning is not lost. */
	const uint32_t wants = RING_WANTS_EVENTS | RING_WANTS_DATA;
	bool made = fds->data >= 0 && fds->control >= 0 && fds->wake >= 0 && fds->space >= 0;
	if (made && pwrite(fds->control, &wants, sizeof(wants), offsetof(struct ring_control, wants)) == sizeof(wants))
		return true;
	error_set_errno(err, "cannot make a ring of %zu octets", size);
	ring_fds_close(fds);
	return false;
}

void ring_fds_close(struct ring_fds *fds)
{
	int *const all[] = {&fds->data, &fds->control, &fds->wake, &fds->space};
	for (size_t i = 0; i < sizeof(all) / sizeof(all[0]); i++) {
		if (*all[i] >= 0)
			close(*all[i]);
		*all[i] = -1;
	}
}

static bool sealed_size(int fd, size_t *size)
{
	struct stat st;
	int seals = fcntl(fd, F_GET_SEALS);
	if (seals < 0 || (seals & SEALS) != SEALS || fstat(fd, &st) != 0 || st.st_size < 0)
		return false;
	*size = (size_t)st.st_size;
	return true;
}

static void *map_shared(void *at, int fd, size_t from, size_t len, int prot)
{
	void *map = mmap(at, len, prot, MAP_SHARED | (at ? MAP_FIXED : 0), fd, (off_t)from);
	return map == MAP_FAILED ? NULL : map;
}

static uint8_t *map_twice(int fd, size_t size)
{
	uint8_t *place = mmap(NULL, 2 * size, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	if (place == MAP_FAILED)
		return NULL;
	if (map_shared(place, fd, RING_HEAD_AREA, size, PROT_READ | PROT_WRITE) &&
		map_shared(place + size, fd, RING_HEAD_AREA, size, PROT_READ | PROT_WRITE)) {
		/* Plaintext does not belong into a core file. */
		madvise(place, 2 * size, MADV_DONTDUMP);
		return place;
	}
	munmap(place, 2 * size);
	return NULL;
}

bool ring_map(struct ring_map *map, int data_fd, int control_fd, int control_prot, struct error *err)
{
	*map = (struct ring_map){0};
	size_t data_len;
	size_t control_len;
	if (!sealed_size(data_fd, &data_len) || !sealed_size(control_fd, &control_len) || data_len <= RING_HEAD_AREA ||
		!size_valid(data_len - RING_HEAD_AREA) || control_len != RING_CONTROL_LEN)
		return error_set(err, "descriptors %d and %d are no ring of this build", data_fd, control_fd);
	map->size = data_len - RING_HEAD_AREA;
	map->data = map_shared(NULL, data_fd, 0, RING_HEAD_AREA, PROT_READ | PROT_WRITE);
	map->control = map_shared(NULL, control_fd, 0, RING_CONTROL_LEN, control_prot);
	map->records = map_twice(data_fd, map->size);
	if (map->data && map->control && map->records)
		return true;
	error_set_errno(err, "cannot map a ring of %zu octets", map->size);
	ring_unmap(map);
	return false;
}

void ring_unmap(struct ring_map *map)
{
	if (map->data)
		munmap(map->data, RING_HEAD_AREA);
	if (map->control)
		munmap(map->control, RING_CONTROL_LEN);
	if (map->records)
		munmap(map->records, 2 * map->size);
	*map = (struct ring_map){0};
}

void ring_ring(int eventfd)
{
	uint64_t one = 1;
	/* It can fail only where the counter is full, and then the edge was given long ago. */
	ssize_t n = write(eventfd, &one, sizeof(one));
	(void)n;
}
