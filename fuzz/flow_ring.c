/* A hostile producer writes what it likes into the shared memory; the consumer stays inside it and comes to an end. */
#include "flow/ring.h"
#include "flow/ring_layout.h"

#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static struct ring_fds fds;
static struct ring_map map;

static void make(void)
{
	struct error err;
	if (!ring_create(&fds, RING_SIZE_MIN, &err) ||
		!ring_map(&map, fds.data, fds.control, PROT_READ | PROT_WRITE, &err))
		abort();
}

static void read_all(struct ring_consumer *ring)
{
	static uint8_t head[64];
	static uint8_t whole[RING_RECORD_MAX];
	size_t len;
	size_t record;
	size_t records = 0;
	while (ring_peek(ring, head, sizeof(head), &len, &record) == RING_RECORD) {
		if (len > record || len > sizeof(head) || record > RING_RECORD_MAX || ++records > RING_SIZE_MIN / 8)
			abort();
		if (!ring_copy(ring, 0, whole, record) || ring_copy(ring, 1, whole, record))
			abort();
		ring_drop(ring, record % 2 == 0);
	}
	/* It may sleep only where there is nothing to read. */
	if (ring_sleep(ring) && ring_peek(ring, head, sizeof(head), &len, &record) == RING_RECORD)
		abort();
	ring_awake(ring);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	if (!map.records)
		make();
	struct error err;
	struct bytes in = bytes_of(data, size);
	atomic_store(&map.control->tail, 0);
	struct ring_consumer *ring = ring_consumer_new(&fds, &err);
	if (!ring)
		abort();
	uint64_t head;
	uint32_t waiting;
	struct bytes part;
	/* Rounds of: where the head is said to be, whether somebody waits, and what stands at the front of the ring. */
	while (bytes_u64(&in, &head) && bytes_u32(&in, &waiting)) {
		size_t n = in.len < 256 ? in.len : 256;
		if (!bytes_take(&in, n, &part))
			break;
		if (n > 0)
			memcpy(map.records, part.data, n);
		atomic_store(&map.data->head, head % 3 ? head % (2 * RING_SIZE_MIN) & ~UINT64_C(7) : head);
		atomic_store(&map.data->waiting, waiting);
		atomic_store(&map.data->skips_read, head);
		read_all(ring);
		(void)ring_ask_skip(ring, &(struct ring_skip){.flow = head, .until = waiting});
	}
	ring_consumer_free(ring);
	return 0;
}
