/* watch/link_result.h — what became of a frame: one value per cause, for counting. */
#ifndef WATCH_LINK_RESULT_H
#define WATCH_LINK_RESULT_H

#include "base/attr.h"

enum link_result {
	LINK_PACKET,           /* a TCP or UDP packet */
	LINK_HELD,             /* a fragment, kept until its datagram is whole */
	LINK_UNKNOWN,          /* a link type that is not read */
	LINK_NOT_IP,           /* ARP and whatever else a link carries */
	LINK_NOT_TRANSPORT,    /* IP with neither TCP nor UDP inside */
	LINK_SHORT,            /* a header lies beyond what was captured */
	LINK_BAD_LINK,         /* a link header that cannot be */
	LINK_BAD_IP,           /* an IP header that cannot be */
	LINK_BAD_TRANSPORT,    /* a TCP or UDP header that cannot be */
	LINK_TOO_DEEP,         /* more layers of tunnels than LINK_DEPTH_MAX */
	LINK_FRAGMENT_BAD,     /* a fragment beyond 65,535 octets, of an odd length, or behind its datagram's end */
	LINK_FRAGMENT_OVERLAP, /* it contradicts one that came before: the datagram is dropped */
	LINK_FRAGMENT_SHORT,   /* not captured whole: its datagram cannot be put together */
	LINK_FRAGMENT_FULL,    /* no memory for it */
	LINK_RESULTS,
	LINK_LAYER = LINK_RESULTS, /* between the parts of the decoder only: the layer carries another one */
};

/* A stable name: "packet", "not-ip". */
must_check const char *link_result_name(enum link_result result);
/* For people: "TCP and UDP packets", "frames of a link type that is not read". */
must_check const char *link_result_text(enum link_result result);

#endif
