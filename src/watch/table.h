/*
 * watch/table.h — the connections of a capture: which packet belongs to which, who is the client, when one is over. TCP
 * is put in order (watch/stream.h) and given out as events; of UDP there is an entry per pair of addresses and ports,
 * and its datagrams are passed on. No I/O; time is that of the packets.
 *
 * Client is who sent the SYN, else who got the SYN-ACK. Where the capture begins later: who sent a ClientHello, or got a
 * ServerHello; else the side with the higher port. The layer above may know better: connection_swap.
 *
 * One table belongs to one thread. Packets are shared out among several by `table_hash(packet) % workers`: both
 * directions of a connection have the same hash.
 *
 * The table's clock is the highest time of any packet so far. One that is more than ten minutes ahead counts only when
 * the next confirms it, so that one broken time stamp does not end every connection. Without time stamps, limits in
 * packets and numbers hold.
 */
#ifndef WATCH_TABLE_H
#define WATCH_TABLE_H

#include "watch/packet.h"
#include "watch/stream.h"

struct table_limits {
	size_t connections; /* entries at a time, those of UDP and those that linger included; the longest unused goes */
	uint64_t idle_ns;   /* without a packet for so long: over */
	uint64_t opening_ns; /* the same before any payload, and while one side alone was heard a little */
	/* After FIN both ways or RST an entry stays for retransmissions: for this long or this many packets of the table. */
	uint64_t linger_ns;
	uint32_t linger_packets;
	struct stream_limits stream;
};

/* 262,144; 10 min; 30 s; 2 s or 65,536 packets; stream_limits_default. */
must_check struct table_limits table_limits_default(void);

enum table_reason {
	TABLE_FIN, /* both sides closed */
	TABLE_RESET,
	TABLE_IDLE,
	TABLE_EVICTED,  /* to stay within table_limits.connections */
	TABLE_REPLACED, /* a new connection with the same addresses and ports */
	TABLE_FINISHED, /* the input ended */
	TABLE_REASON_COUNT,
};

/* One connection. Fields are for reading, but for `user`. */
struct connection {
	void *user;         /* the layer's above; NULL at first */
	uint8_t user_kind;  /* the same; 0 at first */
	uint64_t opened_ns; /* time of its first packet */
	uint64_t number;    /* from 1, in order of opening; unique in its table */
	uint64_t packets;
	struct flow_address address[2]; /* by side; see connection_client */
	struct stream stream[2];        /* by side; of TCP */
	uint8_t protocol;               /* PACKET_TCP or PACKET_UDP */
	uint8_t client;                 /* side of the client */
	bool from_start;                /* a SYN was seen */
	bool contested; /* its SYN came while there was another of these addresses and ports, of which data was wanted */
	/* The table's own. */
	bool reported, ignored, reset, payload;
	bool syn[2], heard[2]; /* by side */
	uint8_t place;         /* which list it is in */
	uint32_t hash;
	uint32_t closing_packet;
	uint64_t seen_ns;
	struct connection *chain, *older, *newer;
};

static inline const struct flow_address *connection_client(const struct connection *c)
{
	return &c->address[c->client];
}

static inline const struct flow_address *connection_server(const struct connection *c)
{
	return &c->address[!c->client];
}

/* TCP payload of this direction so far, that in gaps included: the offset of what comes next. 0 for UDP. */
must_check uint64_t connection_octets(const struct connection *c, enum flow_direction direction);

/* Client and server change places from now on; offsets stay with their sides. Allowed within an event. */
void connection_swap(struct connection *c);

/*
 * What happens. Any may be NULL. No call on the table from within, but for table_ignore and connection_swap.
 * `time_ns` is that of the packet that brought the data; else the table's clock. Per connection: `opened`, right before the
 * first of the others and with the client known as well as can be; then data, gaps and half_closed; `closed` last.
 */
struct table_events {
	void (*opened)(void *arg, struct connection *c, uint64_t time_ns);
	/* `offset` is that of the first octet; `data` is never empty and is valid during the call. */
	void (*data)(void *arg, struct connection *c, enum flow_direction direction, uint64_t offset, struct bytes data,
		uint64_t time_ns);
	/* Octets that are missing; the stream goes on behind them. */
	void (*gap)(void *arg, struct connection *c, enum flow_direction direction, uint64_t offset, uint64_t octets,
		enum stream_cause cause, uint64_t time_ns);
	/* A FIN; nothing follows in this direction. */
	void (*half_closed)(void *arg, struct connection *c, enum flow_direction direction, uint64_t time_ns);
	/* `c` is gone when this returns. */
	void (*closed)(void *arg, struct connection *c, enum table_reason reason, uint64_t time_ns);
	/* UDP. NULL: datagrams are counted and have no entries. */
	void (*datagram)(void *arg, struct connection *c, enum flow_direction direction, const struct packet *packet);
	/* Whether a datagram that belongs to no entry is worth one. NULL: each is. */
	bool (*datagram_opens)(void *arg, const struct packet *packet);
	/* Octets that were given out already, as they came again: whether they are the same is not looked at. */
	void (*again)(
		void *arg, struct connection *c, enum flow_direction direction, uint64_t offset, struct bytes octets);
	/* Octets that wait for others before them came again, and were not the same. Neither was given out yet. */
	void (*disputed)(void *arg, struct connection *c);
};

struct table_counts {
	uint64_t packets, tcp, udp;
	uint64_t opened; /* connections and UDP flows */
	uint64_t closed[TABLE_REASON_COUNT];
	uint64_t stray;         /* TCP packets without payload that belong to no connection */
	uint64_t astray_resets; /* RST that cannot be the peer's: outside of the stream */
	uint64_t no_memory;     /* packets that could have no entry for want of memory */
	size_t open, open_peak; /* entries now, and the most there ever were */
	size_t memory;          /* octets allocated for entries and their index */
	struct stream_counts stream;
};

struct table;

/* NULL without memory. `events` is copied. */
must_check struct table *table_new(const struct table_limits *limits, const struct table_events *events, void *arg);
/* Ends nothing and reports nothing: call table_finish first. NULL is allowed. */
void table_free(struct table *table);

/* The same for both directions; keyed anew in each process. All 64 bits are good. */
must_check uint64_t table_hash(const struct packet *packet);

/* Takes a packet in. `hash` is table_hash(packet). */
void table_packet(struct table *table, const struct packet *packet, uint64_t hash);

/* The input ended: whatever is open is given out and closed. The table is empty then, and may be used again. */
void table_finish(struct table *table);

/* Live capture without packets: lets the clock go on, so that holes and idle connections end. */
void table_tick(struct table *table, uint64_t time_ns);

/* No data and no gaps of this connection are wanted any more; half_closed and closed still come. Frees what is held. */
void table_ignore(struct table *table, struct connection *c);

must_check struct table_counts table_count(const struct table *table);

/* Stable lower-case words: "fin", "reset", "idle", "evicted", "replaced", "end-of-input". Never NULL. */
must_check const char *table_reason_name(enum table_reason reason);

#endif
