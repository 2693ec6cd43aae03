#include "keys/share_ring.h"

#include <errno.h>
#include <linux/futex.h>
#include <stdatomic.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#define RING_MAGIC 0x4f56534bU /* "OVSK" */
#define BELL_MAGIC 0x4f565342U

#define NS_PER_S  1000000000ULL
#define SPINS     64 /* looks before sleeping: the shipper may be at it already */
#define LOCK_FREE (ATOMIC_INT_LOCK_FREE == 2 && ATOMIC_LLONG_LOCK_FREE == 2)

_Static_assert(LOCK_FREE, "a lock would be of one process");

static struct timespec timespec_of(uint64_t ns)
{
	return (struct timespec){.tv_sec = (time_t)(ns / NS_PER_S), .tv_nsec = (long)(ns % NS_PER_S)};
}

static uint64_t now_ns(void)
{
	struct timespec now;
	clock_gettime(CLOCK_MONOTONIC, &now);
	return (uint64_t)now.tv_sec * NS_PER_S + (uint64_t)now.tv_nsec;
}

static void futex_wake(_Atomic uint32_t *word, int most)
{
	(void)syscall(SYS_futex, word, FUTEX_WAKE, most, NULL, NULL, 0);
}

/* Until the absolute time. False when it is over. */
static bool futex_wait(_Atomic uint32_t *word, uint32_t while_it_is, uint64_t until_ns)
{
	struct timespec until = timespec_of(until_ns);
	long result = syscall(SYS_futex, word, FUTEX_WAIT_BITSET, while_it_is, &until, NULL, FUTEX_BITSET_MATCH_ANY);
	return result == 0 || errno != ETIMEDOUT;
}

static struct share_slot *slot_of(struct share_ring *ring, uint64_t ticket)
{
	return &ring->slot[ticket % SHARE_RING_SLOTS];
}

static uint32_t free_turn(uint64_t ticket)
{
	return (uint32_t)(ticket / SHARE_RING_SLOTS * 2);
}

void *share_ring_map(int fd, size_t size)
{
	void *memory = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	if (memory == MAP_FAILED)
		return NULL;
	(void)madvise(memory, size, MADV_DONTDUMP);
	(void)mlock(memory, size);
	return memory;
}

void share_ring_init(struct share_ring *ring)
{
	ring->magic = RING_MAGIC;
	ring->slots = SHARE_RING_SLOTS;
}

bool share_ring_put(struct share_ring *ring, struct bytes octets, uint64_t *ticket)
{
	uint64_t at = atomic_load(&ring->head);
	struct share_slot *slot;
	do {
		slot = slot_of(ring, at);
		if (octets.len == 0 || octets.len > SHARE_SLOT_MAX || atomic_load(&slot->turn) != free_turn(at)) {
			/* Another thread may have been quicker: then the head is another. */
			if (octets.len > 0 && octets.len <= SHARE_SLOT_MAX && atomic_load(&ring->head) != at) {
				at = atomic_load(&ring->head);
				continue;
			}
			atomic_fetch_add(&ring->full, 1);
			return false;
		}
		if (atomic_compare_exchange_weak(&ring->head, &at, at + 1))
			break;
	} while (true);
	slot->len = (uint16_t)octets.len;
	memcpy(slot->octets, octets.data, octets.len);
	atomic_store(&slot->turn, free_turn(at) + 1);
	*ticket = at;
	return true;
}

bool share_ring_taken(const struct share_ring *ring, uint64_t ticket)
{
	uint32_t turn = atomic_load(&ring->slot[ticket % SHARE_RING_SLOTS].turn);
	return (int32_t)(turn - (free_turn(ticket) + 2)) >= 0;
}

bool share_ring_wait(struct share_ring *ring, uint64_t ticket, uint64_t deadline_ns)
{
	struct share_slot *slot = slot_of(ring, ticket);
	for (unsigned i = 0; i < SPINS; i++) {
		if (share_ring_taken(ring, ticket))
			return true;
	}
	while (!share_ring_taken(ring, ticket)) {
		uint32_t written = free_turn(ticket) + 1;
		if (!futex_wait(&slot->turn, written, deadline_ns) || now_ns() >= deadline_ns)
			return share_ring_taken(ring, ticket);
	}
	return true;
}

void share_bell_ring(struct share_bell *bell, uint32_t number)
{
	if (number >= SHARE_RINGS_MAX)
		return;
	atomic_fetch_or(&bell->dirty[number / 32], UINT32_C(1) << number % 32);
	atomic_fetch_add(&bell->rung, 1);
	if (atomic_load(&bell->asleep) != SHARE_AWAKE)
		futex_wake(&bell->rung, 1);
}

void share_bell_mark(struct share_bell *bell, uint32_t number)
{
	if (number >= SHARE_RINGS_MAX)
		return;
	atomic_fetch_or(&bell->dirty[number / 32], UINT32_C(1) << number % 32);
	atomic_fetch_add(&bell->rung, 1);
	if (atomic_load(&bell->asleep) == SHARE_ASLEEP)
		futex_wake(&bell->rung, 1);
}

bool share_bell_looks(const struct share_bell *bell, uint64_t now_ns)
{
	uint64_t looked_ns = atomic_load(&bell->looked_ns);
	/* A program with a clock of its own (a time namespace) sees another time: then it waits. */
	return looked_ns != 0 && looked_ns <= now_ns && now_ns - looked_ns < SHARE_LOOK_NS &&
	       atomic_load(&bell->closed) == 0;
}

void share_bell_look(struct share_bell *bell, uint64_t now_ns)
{
	atomic_store(&bell->looked_ns, now_ns);
}

/*
 * A connection goes by the first octets of its random, which nobody is served by making alike; one bit of them says what
 * it is told. Nothing else: every one.
 */
#define STOPS UINT64_C(1)

static uint64_t tag_of(const uint8_t *client_random)
{
	uint64_t tag = 0;
	if (client_random)
		memcpy(&tag, client_random, sizeof(tag));
	return tag & ~STOPS;
}

void share_ring_end(struct share_ring *ring, const uint8_t *client_random, enum share_end how)
{
	uint64_t at = atomic_load(&ring->ends);
	atomic_store(&ring->end[at % SHARE_ENDS], tag_of(client_random) | (how == SHARE_END_STOP ? STOPS : 0));
	atomic_store(&ring->ends, at + 1);
}

uint64_t share_ring_ends(const struct share_ring *ring)
{
	return atomic_load(&ring->ends);
}

enum share_end share_ring_ended(const struct share_ring *ring, uint64_t *seen, const uint8_t client_random[static 32])
{
	uint64_t said = atomic_load(&ring->ends), tag = tag_of(client_random);
	/* One place less than there are: that may be written over now. */
	enum share_end found = said - *seen >= SHARE_ENDS ? SHARE_END_ROTATE : SHARE_END_NONE;
	for (uint64_t at = found ? said - SHARE_ENDS + 1 : *seen; at < said; at++) {
		uint64_t word = atomic_load(&ring->end[at % SHARE_ENDS]);
		enum share_end how = (word & STOPS) ? SHARE_END_STOP : SHARE_END_ROTATE;
		if (((word & ~STOPS) == tag || (word & ~STOPS) == 0) && how > found)
			found = how;
	}
	*seen = said;
	return found;
}

void share_bell_init(struct share_bell *bell)
{
	bell->magic = BELL_MAGIC;
}

bool share_ring_valid(const struct share_ring *ring)
{
	return ring->magic == RING_MAGIC && ring->slots == SHARE_RING_SLOTS;
}

enum share_take share_ring_take(
	struct share_ring *ring, uint64_t taken, uint8_t out[static SHARE_SLOT_MAX], size_t *len)
{
	struct share_slot *slot = slot_of(ring, taken);
	uint32_t turn = atomic_load(&slot->turn);
	if (turn == free_turn(taken))
		return SHARE_TAKE_NONE;
	/* Read once: it may change. */
	uint16_t octets = *(volatile uint16_t *)&slot->len;
	if (turn != free_turn(taken) + 1 || octets == 0 || octets > SHARE_SLOT_MAX)
		return SHARE_TAKE_BROKEN;
	memcpy(out, slot->octets, octets);
	explicit_bzero(slot->octets, SHARE_SLOT_MAX);
	*len = octets;
	return SHARE_TAKE_OCTETS;
}

void share_ring_done(struct share_ring *ring, uint64_t *taken)
{
	struct share_slot *slot = slot_of(ring, *taken);
	atomic_store(&slot->turn, free_turn(*taken) + 2);
	atomic_store(&ring->taken, ++*taken);
	futex_wake(&slot->turn, INT32_MAX);
}

uint32_t share_bell_rung(const struct share_bell *bell)
{
	return atomic_load(&bell->rung);
}

static void bell_sleep(struct share_bell *bell, enum share_sleep how, uint32_t rung, uint64_t most_ns)
{
	atomic_store(&bell->asleep, how);
	if (atomic_load(&bell->rung) == rung)
		(void)!futex_wait(&bell->rung, rung, now_ns() + most_ns);
	atomic_store(&bell->asleep, SHARE_AWAKE);
}

void share_bell_nap(struct share_bell *bell, uint32_t rung, uint64_t most_ns)
{
	bell_sleep(bell, SHARE_NAPPING, rung, most_ns);
}

void share_bell_wait(struct share_bell *bell, uint32_t rung, uint64_t most_ns)
{
	bell_sleep(bell, SHARE_ASLEEP, rung, most_ns);
}

uint32_t share_bell_dirty(struct share_bell *bell, size_t word)
{
	/* Most words have none, and a look costs less than an exchange. */
	return atomic_load(&bell->dirty[word]) != 0 ? atomic_exchange(&bell->dirty[word], 0) : 0;
}
