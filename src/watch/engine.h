/*
 * watch/engine.h — from the packets of a capture to a feed of sinks: connections are put in order, TLS among them is
 * read, and what comes out is told as flows. One thread; several engines may share the connections of one capture.
 * No I/O but that of the sinks; time is that of the packets.
 */
#ifndef WATCH_ENGINE_H
#define WATCH_ENGINE_H

#include "keys/keyring.h"
#include "sink/feed.h"
#include "watch/datagram.h"
#include "watch/link.h"
#include "watch/session.h"
#include "watch/table.h"

struct engine;

struct engine_options {
	struct keyring *ring; /* outlives the engine */
	struct feed *feed;    /* outlives the engine; its events carry `number` as their source */
	unsigned number;      /* of this engine, from 0 */
	bool keys_final;      /* the keyring gets no more secrets */
	struct table_limits table;
	struct session_limits session;
	/* Called before the first event of a connection whose client_random is known; and again before its first plaintext
	 * where it was not, or might have had no secrets yet. NULL: not asked. */
	void (*random)(void *arg, const uint8_t client_random[32]);
	void *random_arg;
};

/* NULL with `err` set. */
must_check struct engine *engine_new(const struct engine_options *options, struct error *err);
void engine_free(struct engine *engine); /* after engine_finish; NULL is allowed */

/* One frame. Frames that hold no packet are counted by cause. */
void engine_frame(struct engine *engine, const struct frame *frame);
/* One packet, for those who have decoded it; `hash` is table_hash of it. */
void engine_packet(struct engine *engine, const struct packet *packet, uint64_t hash);
/* The keyring has got secrets: what waited for them is read. */
void engine_keys(struct engine *engine);
/* Nothing came for a while: patience with holes and with keys goes on. `now_ns` is the wall clock. */
void engine_tick(struct engine *engine, uint64_t now_ns);
/* The capture is over: everything open is given out and closed. */
void engine_finish(struct engine *engine);

/* What became of the TLS connections, for the summary. */
struct engine_counts {
	struct link_counts link;
	struct table_counts table;
	struct session_counts session;
	uint64_t verdicts[SESSION_NOT + 1];    /* connections that are TLS, by enum session_verdict */
	uint64_t causes[SESSION_CAUSES];       /* of PARTLY and NOT: connections by their main cause */
	uint64_t cause_octets[SESSION_CAUSES]; /* octets on the wire that were not opened */
	uint64_t ech[SESSION_ECHES];           /* those connections by enum session_ech */
	uint64_t plain, missing;               /* plaintext octets given out; those in gaps */
	uint64_t dtls;                         /* of the connections in `verdicts`: those of DTLS */
	uint64_t not_tls;                      /* TCP connections with data that is no TLS */
	struct datagram_counts datagrams;      /* QUIC */
	uint64_t no_memory;                    /* connections passed over for want of memory */
	uint64_t fragments_lost;               /* IP datagrams given up: parts of them never came, or had no room */
};

/* Adds counts of frames. */
void engine_add_link(struct link_counts *total, const struct link_counts *part);
/* Adds this engine's counts to `total`. */
void engine_count(const struct engine *engine, struct engine_counts *total);

#endif
