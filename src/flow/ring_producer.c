#include "flow/ring.h"
#include "flow/ring_layout.h"

#include <stdlib.h>
#include <sys/mman.h>

struct ring_producer {
	struct ring_map map;
	int wake_fd;
	uint64_t head;       /* what map.data->head says, in memory nobody else writes */
	uint64_t tail;       /* as last seen */
	uint64_t trimmed_at; /* head at the last trim */
	uint64_t skips_read;
	uint32_t woken;   /* the sleep that was ended already */
	uint32_t waiting; /* what map.data->waiting says */
	bool nudged;      /* the consumer was told that the ring is half full */
};

struct ring_producer *ring_producer_new(const struct ring_fds *fds, struct error *err)
{
	struct ring_producer *ring = calloc(1, sizeof(*ring));
	if (!ring) {
		error_set(err, "no memory for a ring");
		return NULL;
	}
	if (!ring_map(&ring->map, fds->data, fds->control, PROT_READ, err)) {
		free(ring);
		return NULL;
	}
	ring->wake_fd = fds->wake;
	ring->head = atomic_load_explicit(&ring->map.data->head, memory_order_relaxed);
	ring->tail = ring->trimmed_at = ring->head;
	ring->skips_read = atomic_load_explicit(&ring->map.data->skips_read, memory_order_relaxed);
	return ring;
}

void ring_producer_free(struct ring_producer *ring)
{
	if (!ring)
		return;
	ring_unmap(&ring->map);
	free(ring);
}

static void look_at_tail(struct ring_producer *ring)
{
	uint64_t tail = atomic_load_explicit(&ring->map.control->tail, memory_order_acquire);
	/* It can only have moved on, and not past the head; anything else is ignored. */
	if (tail - ring->tail <= ring->head - ring->tail)
		ring->tail = tail;
}

static size_t used(const struct ring_producer *ring)
{
	return (size_t)(ring->head - ring->tail);
}

bool ring_has_room(struct ring_producer *ring, size_t octets)
{
	/* The consumer's word lies in a cache line of the other core: read only where the old value does not do. */
	if (ring->map.size - used(ring) < octets)
		look_at_tail(ring);
	return ring->map.size - used(ring) >= octets;
}

uint8_t *ring_begin(struct ring_producer *ring, size_t max)
{
	if (max == 0 || max > RING_RECORD_MAX || !ring_has_room(ring, ring_record_len(max)))
		return NULL;
	return ring_at(&ring->map, ring->head) + RING_RECORD_HEAD;
}

/* Once per sleep. The fence stands between our store of `head` and our load of `sleep`; the consumer mirrors it. */
static void wake_sleeper(struct ring_producer *ring)
{
	atomic_thread_fence(memory_order_seq_cst);
	uint32_t sleep = atomic_load_explicit(&ring->map.control->sleep, memory_order_relaxed);
	if (sleep % 2 == 1 && sleep != ring->woken) {
		ring->woken = sleep;
		ring_ring(ring->wake_fd);
	}
}

/* A consumer that naps between looks is called early where the ring fills fast. */
static void nudge(struct ring_producer *ring)
{
	if (used(ring) <= ring->map.size / 2) {
		ring->nudged = false;
		return;
	}
	if (ring->nudged)
		return;
	look_at_tail(ring);
	if (used(ring) > ring->map.size / 2) {
		ring->nudged = true;
		ring_ring(ring->wake_fd);
	}
}

void ring_commit(struct ring_producer *ring, size_t len)
{
	uint32_t size = (uint32_t)len;
	memcpy(ring_at(&ring->map, ring->head), &size, sizeof(size));
	ring->head += ring_record_len(len);
	atomic_store_explicit(&ring->map.data->head, ring->head, memory_order_release);
	wake_sleeper(ring);
	nudge(ring);
}

size_t ring_size(const struct ring_producer *ring)
{
	return ring->map.size;
}

bool ring_wait(struct ring_producer *ring)
{
	/* Always odd and always new: a wait that was answered is never taken for this one. */
	ring->waiting = (ring->waiting + 2) | 1;
	atomic_store_explicit(&ring->map.data->waiting, ring->waiting, memory_order_relaxed);
	/* Between this store and the load of `tail`; the consumer has it mirrored in ring_release. */
	atomic_thread_fence(memory_order_seq_cst);
	look_at_tail(ring);
	return used(ring) > ring->map.size / 2;
}

unsigned ring_wants(const struct ring_producer *ring)
{
	return atomic_load_explicit(&ring->map.control->wants, memory_order_relaxed);
}

bool ring_skip_next(struct ring_producer *ring, struct ring_skip *out)
{
	uint64_t written = atomic_load_explicit(&ring->map.control->skips_written, memory_order_acquire);
	if (written == ring->skips_read)
		return false;
	const struct ring_skip_cell *cell = &ring->map.control->skips[ring->skips_read % RING_SKIPS];
	*out = (struct ring_skip){.flow = cell->flow, .until = cell->until, .direction = cell->direction & 1};
	ring->skips_read++;
	atomic_store_explicit(&ring->map.data->skips_read, ring->skips_read, memory_order_release);
	return true;
}

void ring_trim(struct ring_producer *ring)
{
	look_at_tail(ring);
	if (used(ring) > 0 || ring->trimmed_at == ring->head)
		return;
	/* All of it is ours now. Removing pages of a memory file empties them for both sides. */
	if (madvise(ring->map.records, ring->map.size, MADV_REMOVE) == 0)
		ring->trimmed_at = ring->head;
}
