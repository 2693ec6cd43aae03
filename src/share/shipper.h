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
};

struct shipper_counts {
	uint64_t rings, refused; /* that came to the door */
	uint64_t broken;         /* rings let go because their program broke the rules */
	uint64_t items, malformed;
	uint64_t missed; /* by programs: keys that were not taken in time */
	uint64_t full;   /* by programs: keys that found no room */
	unsigned open;   /* rings now */
};

struct shipper;

/* Opens the door and begins. NULL with `err` set. */
must_check struct shipper *shipper_new(const struct shipper_options *options, struct error *err);
/* An item for which `take` returned false is where it shall be. Any thread, but not from within `take`. */
void shipper_done(struct shipper *shipper, struct shipper_ticket ticket);
/* Takes all that was written until now. */
void shipper_drain(struct shipper *shipper);
must_check struct shipper_counts shipper_count(struct shipper *shipper);
/* Drains, tells the programs that nobody is there any more, and ends. NULL is allowed. */
void shipper_free(struct shipper *shipper);

#endif
