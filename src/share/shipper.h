/*
 * share/shipper.h — takes what programs of this machine share: a door at which they leave their rings
 * (keys/share_ring.h), and a thread that empties them. Two threads of its own.
 */
#ifndef SHARE_SHIPPER_H
#define SHARE_SHIPPER_H

#include "base/error.h"
#include "keys/share_item.h"

#include <sys/types.h>

/* Who sent an item. `program` is the kernel's name for the process when it came to the door: clean it to show it. */
struct shipper_from {
	uint32_t pid, uid;
	char program[17];
};

/* Which item it was. A value of the shipper's. */
struct shipper_ticket {
	uint64_t at;
	uint32_t number, birth;
};

struct shipper_options {
	const char *address; /* of the door: a path, or "@NAME" in the abstract namespace. Must stay */
	unsigned mode;       /* of a path: rights of the socket */
	/* Whether this process may share; NULL: every one that can reach the door. */
	bool (*admit)(void *arg, const struct shipper_from *from);
	/*
	 * One item. When this returns true it counts as taken, and the program goes on; when false, the program waits until
	 * shipper_done. Never twice at a time; the item is wiped afterwards.
	 */
	bool (*take)(void *arg, const struct shipper_from *from, const struct share_item *item,
		struct shipper_ticket ticket);
	void *arg;
	/*
	 * What stands in a ring is as good as taken: while this shipper looks at its rings, programs whose rule is open do
	 * not wait until it has come to theirs (share_bell_looks). Not where `take` may say that it is not taken yet.
	 */
	bool vouches;
	bool data_only; /* keys of handshakes are of no use: agents need not derive them */
};

struct shipper_counts {
	uint64_t rings, refused; /* that came to the door */
	uint64_t broken;         /* rings let go because their program broke the rules */
	uint64_t items, malformed;
	uint64_t missed; /* by programs: keys that were not taken in time */
	uint64_t full;   /* by programs: keys that found no room */
	/* After rotation (keys/share_ring.h). */
	uint64_t rotations, overruns;
	uint64_t lost;   /* keys of epochs that were not known to be over when their program or connection ended */
	uint64_t unheld; /* connections that were not held, for want of room */
	struct share_wait_sum waits; /* by programs, for the host's acknowledgement or the collector's */
	unsigned open;               /* rings now */
};

struct shipper;

/* Opens the door and begins. NULL with `err` set. */
must_check struct shipper *shipper_new(const struct shipper_options *options, struct error *err);
/* An item for which `take` returned false is where it shall be. Any thread, but not from within `take`. */
void shipper_done(struct shipper *shipper, struct shipper_ticket ticket);
/*
 * Tells the agents of these programs that a connection (NULL: every one that they have) ends for its readers: its keys
 * change when the program next reads or writes, and with SHARE_END_STOP nothing of it comes any more. `pid` 0: all
 * programs. Returns how many were told: 0 when none of them is there any more. Any thread, but not from within `take`.
 */
unsigned shipper_end(struct shipper *shipper, uint32_t pid, const uint8_t *client_random, enum share_end how);
/* Takes all that was written until now, and counts what was lost with programs that have ended. */
void shipper_drain(struct shipper *shipper);
must_check struct shipper_counts shipper_count(struct shipper *shipper);
/* Drains, tells the programs that nobody is there any more, and ends. NULL is allowed. */
void shipper_free(struct shipper *shipper);

#endif
