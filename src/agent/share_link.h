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
/* Whether the shipper has a use for keys from a line of this label. */
must_check bool share_link_wants(enum keylog_label label);
/* The program is about to use TLS: makes the ring, where there is none yet. Waits at most as long as a handshake may. */
void share_link_prepare(void);
/*
 * Hands items to the shipper, and with `wait` does not come back before it has them. False when they did not get there
 * in time and the connection must not go on; where it may, that is counted.
 */
must_check bool share_link_give(const struct share_item *items, size_t count, bool wait);
/* The same of one item, without waiting and without waking the shipper, who finds it when it looks, or when the program ends. */
must_check bool share_link_leave(const struct share_item *item);
/* There is a shipper. */
must_check bool share_link_there(void);
/* Of what the program counts. */
void share_link_count(enum share_count which, int64_t more);
/* What the shipper has said to this connection since `*seen` (keys/share_ring.h). */
must_check enum share_end share_link_ended(uint64_t *seen, const uint8_t client_random[static KEYLOG_RANDOM]);
/* The shipper has said something, of whatever connection; costs next to nothing. */
must_check uint64_t share_link_ends(void);
/*
 * A word about the program; lost where there is no shipper. With SHARE_FILE it comes back when the word was taken, or after
 * two seconds.
 */
void share_link_say(enum share_kind kind, const char *text);

#endif
