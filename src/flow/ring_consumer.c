#include "flow/ring.h"
#include "flow/ring_layout.h"

#include <openssl/crypto.h>
#include <stdlib.h>
#include <sys/mman.h>

struct ring_consumer {
	struct ring_map map;
	int space_fd;
	uint64_t head;     /* as last seen, checked */
	uint64_t tail;     /* read up to here */
	uint64_t released; /* told to the producer */
	uint64_t skips_written;
	size_t peeked; /* size of the record at `tail`; 0: not looked at yet */
	uint32_t sleep;
	uint32_t answered; /* the wait that was ended already */
	bool broken;
};

struct ring_consumer *ring_consumer_new(const struct ring_fds *fds, struct error *err)
{
	struct ring_consumer *ring = calloc(1, sizeof(*ring));
	if (!ring) {
		error_set(err, "no memory for a ring");
		return NULL;
	}
	if (!ring_map(&ring->map, fds->data, fds->control, PROT_READ | PROT_WRITE, err)) {
		free(ring);
		return NULL;
	}
	ring->space_fd = fds->space;
	ring->tail = atomic_load_explicit(&ring->map.control->tail, memory_order_relaxed);
	ring->head = ring->released = ring->tail;
	ring->sleep = atomic_load_explicit(&ring->map.control->sleep, memory_order_relaxed);
	ring->skips_written = atomic_load_explicit(&ring->map.control->skips_written, memory_order_relaxed);
	ring_awake(ring);
	return ring;
}

void ring_consumer_free(struct ring_consumer *ring)
{
	if (!ring)
		return;
	ring_unmap(&ring->map);
	free(ring);
}

static bool look_at_head(struct ring_consumer *ring)
{
	uint64_t head = atomic_load_explicit(&ring->map.data->head, memory_order_acquire);
	uint64_t held = head - ring->tail;
	/* A head behind our tail becomes a huge difference here. */
	if (held > ring->map.size || held % 8 != 0) {
		ring->broken = true;
		return false;
	}
	ring->head = head;
	return true;
}

static enum ring_result look_at_record(struct ring_consumer *ring)
{
	if (ring->broken)
		return RING_BROKEN;
	if (ring->peeked > 0)
		return RING_RECORD;
	if (ring->tail == ring->head && !look_at_head(ring))
		return RING_BROKEN;
	if (ring->tail == ring->head)
		return RING_EMPTY;
	uint32_t size; /* read once: the producer may change it at any time */
	memcpy(&size, ring_at(&ring->map, ring->tail), sizeof(size));
	if (size == 0 || size > RING_RECORD_MAX || ring_record_len(size) > ring->head - ring->tail) {
		ring->broken = true;
		return RING_BROKEN;
	}
	ring->peeked = size;
	return RING_RECORD;
}

enum ring_result ring_peek(struct ring_consumer *ring, void *head, size_t cap, size_t *len, size_t *size)
{
	enum ring_result result = look_at_record(ring);
	if (result != RING_RECORD)
		return result;
	*size = ring->peeked;
	*len = ring->peeked < cap ? ring->peeked : cap;
	memcpy(head, ring_at(&ring->map, ring->tail) + RING_RECORD_HEAD, *len);
	return RING_RECORD;
}

bool ring_copy(struct ring_consumer *ring, size_t from, void *out, size_t n)
{
	if (from > ring->peeked || n > ring->peeked - from)
		return false;
	memcpy(out, ring_at(&ring->map, ring->tail) + RING_RECORD_HEAD + from, n);
	return true;
}

void ring_drop(struct ring_consumer *ring, bool wipe)
{
	if (ring->peeked == 0)
		return;
	if (wipe)
		OPENSSL_cleanse(ring_at(&ring->map, ring->tail) + RING_RECORD_HEAD, ring->peeked);
	ring->tail += ring_record_len(ring->peeked);
	ring->peeked = 0;
	if (ring->tail - ring->released >= ring->map.size / 16)
		ring_release(ring);
}

static void answer_waiter(struct ring_consumer *ring)
{
	uint32_t waiting = atomic_load_explicit(&ring->map.data->waiting, memory_order_relaxed);
	if (waiting % 2 == 0 || waiting == ring->answered)
		return;
	uint64_t head = atomic_load_explicit(&ring->map.data->head, memory_order_relaxed);
	if (head - ring->tail > ring->map.size / 2)
		return;
	ring->answered = waiting;
	ring_ring(ring->space_fd);
}

void ring_release(struct ring_consumer *ring)
{
	if (ring->tail == ring->released)
		return;
	ring->released = ring->tail;
	atomic_store_explicit(&ring->map.control->tail, ring->tail, memory_order_release);
	/* Between our store of `tail` and our load of `waiting`: see ring_wait. */
	atomic_thread_fence(memory_order_seq_cst);
	answer_waiter(ring);
}

static void set_sleep(struct ring_consumer *ring, uint32_t value)
{
	ring->sleep = value;
	atomic_store_explicit(&ring->map.control->sleep, value, memory_order_relaxed);
}

bool ring_sleep(struct ring_consumer *ring)
{
	ring_release(ring);
	if (ring->sleep % 2 == 0)
		set_sleep(ring, ring->sleep + 1);
	/* Between our store of `sleep` and our load of `head`: see wake_sleeper. */
	atomic_thread_fence(memory_order_seq_cst);
	enum ring_result result = look_at_record(ring);
	if (result == RING_EMPTY)
		return true;
	ring_awake(ring);
	/* A broken ring has nothing to wait for, and says so at the next peek. */
	return false;
}

void ring_awake(struct ring_consumer *ring)
{
	if (ring->sleep % 2 == 1)
		set_sleep(ring, ring->sleep + 1);
}

void ring_set_wants(struct ring_consumer *ring, unsigned wants)
{
	atomic_store_explicit(&ring->map.control->wants, wants, memory_order_relaxed);
}

bool ring_ask_skip(struct ring_consumer *ring, const struct ring_skip *skip)
{
	uint64_t read = atomic_load_explicit(&ring->map.data->skips_read, memory_order_acquire);
	/* A count that makes no sense reads as a full table: the producer harms only itself. */
	if (ring->skips_written - read >= RING_SKIPS)
		return false;
	struct ring_skip_cell *cell = &ring->map.control->skips[ring->skips_written % RING_SKIPS];
	*cell = (struct ring_skip_cell){.flow = skip->flow, .until = skip->until, .direction = skip->direction};
	ring->skips_written++;
	atomic_store_explicit(&ring->map.control->skips_written, ring->skips_written, memory_order_release);
	return true;
}
