/*
 * flow/ring_layout.h — the shared memory of a ring. For ring*.c only.
 *
 * A record stands as u32 size (host order), four octets unused, the octets, and room up to a multiple of 8. The ring is
 * mapped twice in a row, so that no record is ever in two pieces.
 */
#ifndef FLOW_RING_LAYOUT_H
#define FLOW_RING_LAYOUT_H

#include "base/bytes.h"
#include "base/error.h"

#include <stdatomic.h>

#define RING_HEAD_AREA   ((size_t)65536) /* in front of the records; a multiple of every page size there is */
#define RING_CONTROL_LEN ((size_t)65536)
#define RING_RECORD_HEAD ((size_t)8)
#define RING_SKIPS       1024 /* a power of two */
#define RING_LINE        64   /* words of the two sides do not share a cache line */

/* Written by the producer. */
struct ring_data {
	_Alignas(RING_LINE) _Atomic uint64_t head;    /* octets ever written */
	_Alignas(RING_LINE) _Atomic uint32_t waiting; /* odd: the producer waits for space */
	_Alignas(RING_LINE) _Atomic uint64_t skips_read;
};

struct ring_skip_cell {
	uint64_t flow, until;
	uint64_t direction;
};

/* Written by the consumer. */
struct ring_control {
	_Alignas(RING_LINE) _Atomic uint64_t tail;  /* octets ever read */
	_Alignas(RING_LINE) _Atomic uint32_t sleep; /* odd: the consumer sleeps */
	_Atomic uint32_t wants;
	_Alignas(RING_LINE) _Atomic uint64_t skips_written;
	_Alignas(RING_LINE) struct ring_skip_cell skips[RING_SKIPS];
};

_Static_assert(sizeof(struct ring_data) <= RING_HEAD_AREA, "the head area holds the producer's words");
_Static_assert(sizeof(struct ring_control) <= RING_CONTROL_LEN, "the control file holds the consumer's words");

struct ring_map {
	struct ring_data *data;
	struct ring_control *control;
	uint8_t *records;
	size_t size; /* a power of two */
};

/* `control_prot` as for mmap: the producer only reads there. */
must_check bool ring_map(struct ring_map *map, int data_fd, int control_fd, int control_prot, struct error *err);
void ring_unmap(struct ring_map *map);

static inline size_t ring_record_len(size_t size)
{
	return RING_RECORD_HEAD + ((size + 7) & ~(size_t)7);
}

static inline uint8_t *ring_at(const struct ring_map *map, uint64_t index)
{
	return map->records + (index & (map->size - 1));
}

/* Makes the other side's loop turn. The counter is never read: each write is an edge. */
void ring_ring(int eventfd);

#endif
