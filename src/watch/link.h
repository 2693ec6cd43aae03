/*
 * watch/link.h — from a frame as captured to a TCP or UDP packet: Ethernet with any VLAN tags, MPLS and PPPoE, the two
 * forms of Linux cooked capture, loopback, raw IP; then watch/ip.h, through tunnels. No I/O.
 */
#ifndef WATCH_LINK_H
#define WATCH_LINK_H

#include "watch/capture_frame.h"
#include "watch/fragment.h"
#include "watch/link_result.h"
#include "watch/packet.h"

/* Link types that are read, by the numbers of capture files. */
#define LINKTYPE_NULL     0
#define LINKTYPE_ETHERNET 1
#define LINKTYPE_PPP      9
#define LINKTYPE_RAW_OLD  12 /* DLT_RAW of most systems, and 14 of OpenBSD, which some writers put into files */
#define LINKTYPE_RAW_BSD  14
#define LINKTYPE_RAW      101
#define LINKTYPE_LOOP     108
#define LINKTYPE_SLL      113
#define LINKTYPE_IPV4     228
#define LINKTYPE_IPV6     229
#define LINKTYPE_SLL2     276

#define LINK_DEPTH_MAX 8 /* headers of tunnels, each with what it carries */

/*
 * The packet in a frame, or why there is none. Views in `out` lie in the frame, or in `fragments` until its next use.
 * `fragments` may be NULL: then fragments are not put together.
 */
must_check enum link_result link_decode(const struct frame *frame, struct fragments *fragments, struct packet *out);

/*
 * Whether frames of this type are read; its name for people ("Ethernet", "IEEE 802.11"), NULL for those not known
 * here.
 */
must_check bool link_known(uint16_t link);
must_check const char *link_name(uint16_t link);

/* Counts by cause. Begins as zeros. */
struct link_counts {
	uint64_t frames[LINK_RESULTS];
	uint64_t octets[LINK_RESULTS]; /* captured */
};

void link_count(struct link_counts *counts, enum link_result result, const struct frame *frame);

#endif
