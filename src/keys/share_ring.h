/*
 * keys/share_ring.h — from a program that shares its keys to the shipper, through memory that both have mapped: slots of
 * octets in the order of writing, each of which the program can see taken. Neither side needs a descriptor once it is
 * mapped, so a program may close all it has, change its user and its root. libc only.
 *
 * The program's threads write; they need no lock. One thread of the shipper reads; to it the program is a stranger, who
 * may write anything at any time. What was read is wiped where it stood before it counts as taken.
 *
 * The other way goes one word only: that a connection, or every one, is to end for its readers, who have had keys of it.
 *
 * The bell is one more mapping, of all programs and the shipper: by it the shipper is woken, and told which ring to look
 * at. A program that misuses it wakes the shipper in vain, no more.
 */
#ifndef KEYS_SHARE_RING_H
#define KEYS_SHARE_RING_H

#include "base/bytes.h"
#include "keys/share_waits.h"

#define SHARE_RING_SLOTS 128
#define SHARE_SLOT_MAX   504 /* octets in a slot */
#define SHARE_ENDS       512 /* words of the shipper that are kept */
#define SHARE_RING_SIZE  ((size_t)512 * (SHARE_RING_SLOTS + 1) + sizeof(uint64_t) * SHARE_ENDS) /* of the mapping */
#define SHARE_RINGS_MAX  4096                                                                   /* rings of one bell */
#define SHARE_BELL_SIZE  ((size_t)1024)

/* The mapping of a ring or a bell, kept out of core dumps, and of swap as far as RLIMIT_MEMLOCK allows. NULL: none. */
must_check void *share_ring_map(int fd, size_t size);

struct share_slot {
	_Atomic uint32_t turn; /* ticket / SLOTS * 2: free; + 1: written; + 2: taken, hence free for the next round */
	uint16_t len;
	uint8_t octets[SHARE_SLOT_MAX];
};

/* What a program counts, from its beginning. */
enum share_count {
	SHARE_COUNT_MISSED, /* waits that ended without an answer */
	SHARE_COUNT_HELD,   /* keys whose epoch is not over: what this is when the program ends is lost */
	SHARE_COUNT_LOST, /* keys that were held, and could not be told to be of the past when their connection went */
	SHARE_COUNT_UNHELD,    /* connections for whose keys there was no room */
	SHARE_COUNT_ROTATIONS, /* received directions that have changed their key */
	SHARE_COUNT_OVERRUNS,  /* rotations that were due, and had not happened when they were due again */
	SHARE_COUNTS,
};

struct share_ring {
	uint32_t magic;
	uint32_t slots;
	_Atomic uint64_t head;  /* the next ticket; the program's */
	_Atomic uint64_t taken; /* tickets taken; the shipper's */
	_Atomic uint64_t full;  /* what found no room; the program's */
	_Atomic uint64_t ends;  /* words of the shipper; the shipper's */
	_Atomic uint64_t counts[SHARE_COUNTS];
	struct share_waits waits; /* the program's */
	uint8_t rest[512 - 40 - sizeof(uint64_t) * SHARE_COUNTS - sizeof(struct share_waits)];
	_Atomic uint64_t end[SHARE_ENDS];
	struct share_slot slot[SHARE_RING_SLOTS];
};

struct share_bell {
	uint32_t magic;
	_Atomic uint32_t rung;                        /* grows with every ring of it */
	_Atomic uint32_t asleep;                      /* the shipper waits: enum share_sleep */
	_Atomic uint32_t closed;                      /* the shipper is gone, and comes back by its door only */
	_Atomic uint32_t dirty[SHARE_RINGS_MAX / 32]; /* rings in which something was written */
	_Atomic uint64_t looked_ns; /* monotonic: when the shipper last looked; 0: it wants to be waited for */
	_Atomic uint32_t data_only; /* keys of handshakes are of no use to the shipper */
};

enum share_sleep { SHARE_AWAKE, SHARE_ASLEEP, SHARE_NAPPING /* it comes back soon by itself */ };

/*
 * How long the shipper's last look vouches for the next. Less than what a person, or a test, can tell apart; more than a
 * nap and what the scheduler adds to it.
 */
#define SHARE_LOOK_NS UINT64_C(2000000)

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
/* Tells the shipper to look at ring `number`, at once. */
void share_bell_ring(struct share_bell *bell, uint32_t number);
/* The same, but where it only naps it may come when it wakes. Costs no system call then. */
void share_bell_mark(struct share_bell *bell, uint32_t number);
/*
 * The shipper looks at its rings, a moment ago: what stands in a ring, which it has mapped too, is in its memory and will
 * be taken, whatever becomes of the program. False when it is not known to, and where it wants to be waited for.
 */
must_check bool share_bell_looks(const struct share_bell *bell, uint64_t now_ns);

/* What a connection is told. */
enum share_end {
	SHARE_END_NONE = 0,
	SHARE_END_ROTATE = 1, /* its keys change */
	SHARE_END_STOP = 2,   /* and nothing of it is handed over any more */
};

/* How much the shipper has said. A connection that begins has no part in it. */
must_check uint64_t share_ring_ends(const struct share_ring *ring);
/*
 * What was said to the connection since `*seen`, which moves on. Where more was said than is kept it is SHARE_END_ROTATE,
 * which does no harm.
 */
must_check enum share_end share_ring_ended(
	const struct share_ring *ring, uint64_t *seen, const uint8_t client_random[static 32]);

/* The shipper. */

/* Tells a connection, or (NULL) every one that there is. One thread at a time. */
void share_ring_end(struct share_ring *ring, const uint8_t *client_random, enum share_end how);
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
/* Says that it looks now; what it then does is to look at all that was marked. */
void share_bell_look(struct share_bell *bell, uint64_t now_ns);
/* Waits as share_bell_wait, but so short that only share_bell_ring wakes it earlier. */
void share_bell_nap(struct share_bell *bell, uint32_t rung, uint64_t most_ns);
/* Waits until the bell was rung since `rung`, at most so long. */
void share_bell_wait(struct share_bell *bell, uint32_t rung, uint64_t most_ns);
/* The rings of this word (0..SHARE_RINGS_MAX / 32 - 1) in which something was written, as bits; none after that. */
must_check uint32_t share_bell_dirty(struct share_bell *bell, size_t word);

#endif
