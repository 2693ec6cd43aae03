/*
 * keys/share_ring.h — from a program that shares its keys to the shipper, through memory that both have mapped: slots of
 * octets in the order of writing, each of which the program can see taken. Neither side needs a descriptor once it is
 * mapped, so a program may close all it has, change its user and its root. libc only.
 *
 * The program's threads write; they need no lock. One thread of the shipper reads; to it the program is a stranger, who
 * may write anything at any time. What was read is wiped where it stood before it counts as taken.
 *
 * The bell is one more mapping, of all programs and the shipper: by it the shipper is woken, and told which ring to look
 * at. A program that misuses it wakes the shipper in vain, no more.
 */
#ifndef KEYS_SHARE_RING_H
#define KEYS_SHARE_RING_H

#include "base/bytes.h"

#define SHARE_RING_SLOTS 128
#define SHARE_SLOT_MAX   504                                    /* octets in a slot */
#define SHARE_RING_SIZE  ((size_t)512 * (SHARE_RING_SLOTS + 1)) /* of the mapping */
#define SHARE_RINGS_MAX  4096                                   /* rings of one bell */
#define SHARE_BELL_SIZE  ((size_t)1024)

struct share_slot {
	_Atomic uint32_t turn; /* ticket / SLOTS * 2: free; + 1: written; + 2: taken, hence free for the next round */
	uint16_t len;
	uint8_t octets[SHARE_SLOT_MAX];
};

struct share_ring {
	uint32_t magic;
	uint32_t slots;
	_Atomic uint64_t head;   /* the next ticket; the program's */
	_Atomic uint64_t taken;  /* tickets taken; the shipper's */
	_Atomic uint64_t missed; /* waits that ended without an answer, since the program began; the program's */
	_Atomic uint64_t full;   /* what found no room */
	uint8_t rest[512 - 40];
	struct share_slot slot[SHARE_RING_SLOTS];
};

struct share_bell {
	uint32_t magic;
	_Atomic uint32_t rung;                        /* grows with every ring of it */
	_Atomic uint32_t asleep;                      /* the shipper waits */
	_Atomic uint32_t closed;                      /* the shipper is gone, and comes back by its door only */
	_Atomic uint32_t dirty[SHARE_RINGS_MAX / 32]; /* rings in which something was written */
};

_Static_assert(sizeof(struct share_ring) == SHARE_RING_SIZE, "slots have their place");
_Static_assert(sizeof(struct share_bell) <= SHARE_BELL_SIZE, "the bell has its room");

/* The program. */

/* Over zeroed memory of SHARE_RING_SIZE. */
void share_ring_init(struct share_ring *ring);
/*
 * Writes the octets (1..SHARE_SLOT_MAX) into the next slot. False, counted, when the ring is full, which it is when the
 * shipper takes nothing. *ticket is for share_ring_wait.
 */
must_check bool share_ring_put(struct share_ring *ring, struct bytes octets, uint64_t *ticket);
/* True once the shipper has taken what this ticket stands for; now, without waiting. */
must_check bool share_ring_taken(const struct share_ring *ring, uint64_t ticket);
/* Waits for that until the monotonic time. False, and nothing counted, when it did not come. */
must_check bool share_ring_wait(struct share_ring *ring, uint64_t ticket, uint64_t deadline_ns);
/* Tells the shipper to look at ring `number`. */
void share_bell_ring(struct share_bell *bell, uint32_t number);

/* The shipper. */

void share_bell_init(struct share_bell *bell);
/* False when it was not made for this. */
must_check bool share_ring_valid(const struct share_ring *ring);

enum share_take {
	SHARE_TAKE_NONE,   /* nothing is there */
	SHARE_TAKE_OCTETS, /* `out` has `*len` octets; share_ring_done when they are in safety */
	SHARE_TAKE_BROKEN, /* the program broke the rules: let go of the ring */
};

/* The next slot after `taken`, which the shipper keeps in memory of its own. The slot is wiped. */
must_check enum share_take share_ring_take(
	struct share_ring *ring, uint64_t taken, uint8_t out[static SHARE_SLOT_MAX], size_t *len);
/* What was taken last counts: wakes who waits for it. `taken` grows by one. */
void share_ring_done(struct share_ring *ring, uint64_t *taken);
/* The value to give to share_bell_wait; before looking whether something is there. */
must_check uint32_t share_bell_rung(const struct share_bell *bell);
/* Waits until the bell was rung since `rung`, at most so long. */
void share_bell_wait(struct share_bell *bell, uint32_t rung, uint64_t most_ns);
/* The rings of this word (0..SHARE_RINGS_MAX / 32 - 1) in which something was written, as bits; none after that. */
must_check uint32_t share_bell_dirty(struct share_bell *bell, size_t word);

#endif
