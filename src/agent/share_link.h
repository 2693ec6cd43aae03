/*
 * agent/share_link.h — the way of this process's keys to the shipper: a ring (keys/share_ring.h), made before the program
 * gives up its rights, and a new one after each fork. Any thread. libc only; errno stays the program's.
 *
 * What is met at the door, one message each way on a local socket, with a descriptor attached: from here "OVS1" with the
 * ring's memory; from the shipper "OVS1" and the ring's number (uint32, network order) with the bell's.
 */
#ifndef AGENT_SHARE_LINK_H
#define AGENT_SHARE_LINK_H

#include "agent/share_settings.h"
#include "keys/share_item.h"

/* Once, before anything else; the settings must stay. */
void share_link_open(const struct share_settings *settings);
/* Sharing was asked for. */
must_check bool share_link_on(void);
/* The program is about to use TLS: makes the ring, where there is none yet. Waits at most as long as a handshake may. */
void share_link_prepare(void);
/*
 * Hands items to the shipper, and with `wait` does not come back before it has them. False when they did not get there
 * in time and the connection must not go on; where it may, that is counted.
 */
must_check bool share_link_give(const struct share_item *items, size_t count, bool wait);
/* A word about the program; lost where there is no shipper. */
void share_link_say(enum share_kind kind, const char *text);

#endif
