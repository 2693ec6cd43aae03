/*
 * share/door.h — the socket at which programs leave their rings, as agent/share_link.h says: a message each way, with a
 * descriptor attached. Who comes is a stranger.
 */
#ifndef SHARE_DOOR_H
#define SHARE_DOOR_H

#include "base/error.h"
#include "keys/share_ring.h"

#include <sys/types.h>

struct door_guest {
	int fd;
	pid_t pid;
	uint32_t uid;
	struct share_ring *ring; /* mapped, for whoever takes the guest in; NULL: what was left is no ring */
};

/* A listening socket that does not block, or -1 with `err` set. A path that nobody listens at is taken over. */
must_check int door_open(const char *address, unsigned mode, struct error *err);
/* Removes the path. */
void door_close(int door, const char *address);

/* The next who waits. False when there is none. door_leave afterwards. Waits a second at most for what it leaves. */
must_check bool door_next(int door, struct door_guest *guest);
/* Tells it its number, and gives it the bell. */
void door_answer(const struct door_guest *guest, uint32_t number, int bell_fd);
void door_leave(struct door_guest *guest);

/* The bell and the descriptor that others map it by. NULL where there is no memory. */
must_check struct share_bell *door_make_bell(int *fd);

#endif
