/*
 * watch/datagram.h — QUIC in a capture: its flows are told apart from other UDP, named by their ClientHello, and counted.
 * Their content is not decrypted, which a notice says. (DTLS: watch/session.h.) No I/O but that of the sinks.
 *
 * A flow's events: OPEN, HELLO where it could be read, NOTICE, CLOSE. They begin with the hello, or with the end where
 * none was read, because only the hello says for sure who the client is.
 */
#ifndef WATCH_DATAGRAM_H
#define WATCH_DATAGRAM_H

#include "sink/feed.h"
#include "watch/quic.h"
#include "watch/table.h"

struct datagrams;

struct datagram_setup {
	struct feed_source *source; /* outlives it */
	uint64_t *flows;            /* numbers of flows given out: goes on from there */
	uint16_t worker;            /* for the OPEN */
};

struct datagram_counts {
	uint64_t quic;       /* flows that are over */
	uint64_t quic_named; /* with a hello that was read */
	uint64_t octets;     /* payload */
	uint64_t no_memory;  /* flows passed over for want of memory */
	struct quic_counts hellos;
};

/* NULL without memory. */
must_check struct datagrams *datagrams_new(const struct datagram_setup *setup);
/* All flows are closed. NULL is allowed. */
void datagrams_free(struct datagrams *datagrams);

/* Whether the packet begins a flow that is of interest: else the table need not keep one (table_events.datagram_opens). */
must_check bool datagrams_opens(const struct packet *packet);
/* A datagram of such a flow; `c->user` is this file's. May swap client and server. */
void datagrams_packet(
	struct datagrams *datagrams, struct connection *c, enum flow_direction direction, const struct packet *packet);
void datagrams_closed(struct datagrams *datagrams, struct connection *c, enum flow_ending ending, uint64_t time_ns);

must_check struct datagram_counts datagrams_count(const struct datagrams *datagrams);

#endif
