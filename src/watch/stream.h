/*
 * watch/stream.h — one direction of a TCP connection, put back in order (RFC 9293, 3.4 and 3.10). No I/O, no clock.
 *
 * Octets in order pass straight through as views of the packet, nothing is copied; what comes too early is held. The
 * same octet sent twice: the first to arrive counts, and a differing second is counted (counts.conflicts). A hole is
 * waited for; when patience, room or the connection ends, it is given out as a gap of exactly known size, and the stream
 * goes on behind it. So data and gaps together are the stream without a break: each begins where the last ended.
 *
 * Offsets count octets of the direction from 0: what follows the SYN, or, where the capture begins in the middle, the
 * first octet seen. They have 64 bits; sequence numbers may wrap as often as they like.
 *
 * A call on a stream is a turn:
 *
 *	struct stream_turn turn;
 *	struct stream_item item;
 *	stream_take(pool, stream, &segment, now, &turn);
 *	while (stream_next(pool, stream, &turn, &item))
 *		use(&item);
 *
 * The loop must run to its end. A turn may be begun by stream_take, stream_resume and stream_finish. A stream must stay
 * at its address while it holds octets.
 */
#ifndef WATCH_STREAM_H
#define WATCH_STREAM_H

#include "watch/segment.h"

/* Give up a hole after so many packets of the connection, or so much time: whichever comes first. */
struct stream_patience {
	uint32_t packets;
	uint64_t ns;
};

struct stream_limits {
	size_t direction; /* octets that one stream may hold, overhead of each segment included */
	size_t total;     /* octets that all streams of the pool may hold */
	/* A hole of which nobody knows whether the receiver has it: it may be sent again. Counted from the last progress. */
	struct stream_patience lost;
	/* A hole that the receiver has acknowledged: the packets may be out of order in the capture, no more. */
	struct stream_patience acknowledged;
	/* A capture that begins in the middle: how long to hold the first octets for such as belong before them. */
	struct stream_patience settle;
	uint32_t settle_window; /* octets before the first segment that may still come; at most 2^30 */
};

/* 4 MiB, 16 MiB; 8192 packets or 10 s; 128 packets or 100 ms; 16 packets or 50 ms; 64 KiB. */
extern const struct stream_limits stream_limits_default;

enum stream_cause {
	STREAM_LOST,       /* patience ended, and nobody acknowledged it */
	STREAM_UNCAPTURED, /* patience ended, and the receiver has it: the capture lost it */
	STREAM_CUT,        /* captured without its end (snap length) */
	STREAM_FULL,       /* given up to stay within stream_limits */
	STREAM_UNFINISHED, /* the connection, or the capture, ended first */
	STREAM_CAUSE_COUNT,
};

struct stream_counts {
	uint64_t octets; /* given out as data */
	uint64_t gaps[STREAM_CAUSE_COUNT], gap_octets[STREAM_CAUSE_COUNT];
	uint64_t early;         /* pieces of segments held because they came too early */
	uint64_t repeated;      /* octets that came again, or after they were given up */
	uint64_t conflicts;     /* pieces that came again with other octets than those held */
	uint64_t before;        /* octets from before the beginning of a stream without SYN */
	uint64_t astray;        /* octets beyond the end that a FIN had set, and FINs that cannot be (one each) */
	uint64_t keepalives;    /* single octets that carry no data (RFC 9293, 3.8.4) */
	uint64_t assumed_fins;  /* the last octet acknowledged was never seen and is taken for a FIN */
	uint64_t no_memory;     /* segments that could not be held for want of memory: holes were given up instead */
	size_t held, held_peak; /* octets held now, overhead included, and the most there ever were */
	size_t waiting, waiting_peak; /* streams that hold something */
};

struct backlog;

enum stream_wait { STREAM_WAIT_SETTLE, STREAM_WAIT_ACKNOWLEDGED, STREAM_WAIT_LOST, STREAM_WAIT_COUNT };

/* What the streams of one thread share. Zero it but for `limits`. */
struct stream_pool {
	struct stream_limits limits;
	struct stream_counts counts;
	struct {
		struct backlog *first, *last; /* by when their patience began */
	} queue[STREAM_WAIT_COUNT];
};

/* One direction. All zero is one of which nothing was seen yet. Fields are for reading only. */
struct stream {
	uint64_t origin; /* position of offset 0. Positions are sequence numbers, plus 2^32, unwrapped; 0 is none */
	uint64_t next;   /* position of the first octet not given out yet */
	uint64_t acked;  /* the highest position that the receiver acknowledged */
	uint64_t end;    /* position of the FIN */
	struct backlog *backlog; /* what is held; NULL: nothing */
	bool anchored : 1;       /* a SYN, or its acknowledgment, said where it begins */
	bool settling : 1;       /* the origin is not decided yet */
	bool ended : 1;          /* STREAM_END was given out */
	bool skip : 1;           /* stream_skip was called */
	uint8_t tag;             /* the owner's, for stream_due */
	uint32_t acked_ms;       /* when `acked` last moved: the turn's time, in milliseconds, modulo 2^32 */
};

/* What a packet says to the direction it belongs to. */
struct stream_segment {
	uint32_t seq;
	bool syn, fin;
	struct bytes payload; /* valid until the turn is over */
	uint32_t cut;         /* octets that followed the payload on the wire and were not captured */
	uint64_t time_ns;     /* of the packet; comes back with the data */
};

enum stream_item_kind {
	STREAM_DATA,
	STREAM_GAP,
	STREAM_END, /* a FIN; nothing follows */
};

struct stream_item {
	enum stream_item_kind kind;
	uint64_t offset;
	struct bytes bytes;      /* STREAM_DATA: never empty; valid until the next call on this turn */
	uint64_t octets;         /* STREAM_GAP: how many are missing */
	enum stream_cause cause; /* STREAM_GAP */
	uint64_t time_ns;        /* STREAM_DATA: of the packet that brought it; else that of the turn */
};

/* The state of one turn. Not for the caller. */
struct stream_turn {
	uint64_t start;          /* position of `rest` */
	struct bytes rest;       /* of the segment: not given out nor held yet */
	uint64_t cut;            /* and what was cut off behind it */
	uint64_t time_ns;        /* of the segment */
	uint64_t now;            /* of the turn */
	uint64_t began;          /* stream->next at its beginning */
	uint64_t give_up;        /* holes that end at or before this position are not waited for */
	enum stream_cause cause; /* why */
	struct segment *lent;    /* freed by the next call */
	bool finish;
};

/*
 * Begins a turn with a segment. `now` is a time in nanoseconds that never runs backwards: it need not be that of the
 * packet. Segments of up to 2^31 octets from what is expected are told apart.
 */
void stream_take(struct stream_pool *pool, struct stream *stream, const struct stream_segment *segment, uint64_t now,
	struct stream_turn *turn);

/*
 * The receiver acknowledged everything before `ack`. True: a hole need not be waited for any longer; call
 * stream_resume. With `opens`, the sender had sent nothing but its SYN before: a stream of which nothing was seen begins here.
 */
must_check bool stream_ack(struct stream_pool *pool, struct stream *stream, uint32_t ack, bool opens, uint64_t now);

/* Begins a turn in which the holes whose time has come are given up. */
void stream_resume(struct stream_pool *pool, struct stream *stream, uint64_t now, struct stream_turn *turn);

/* A stream that has waited long enough, or that must give way to others: call stream_resume on it. NULL: none. */
must_check struct stream *stream_due(struct stream_pool *pool, uint64_t now);

/*
 * Begins the last turn: everything held is given out, all holes as gaps, and what the receiver acknowledged and the
 * capture never had. After it the stream holds no memory. A single acknowledged octet that never came may be the FIN:
 * it is taken for that and counted.
 */
void stream_finish(struct stream_pool *pool, struct stream *stream, uint64_t now, struct stream_turn *turn);

/* The next item of this turn; false: there is no more. */
must_check bool stream_next(
	struct stream_pool *pool, struct stream *stream, struct stream_turn *turn, struct stream_item *item);

/* Nothing but STREAM_END is wanted from now on. Frees what is held. Allowed within a turn. */
void stream_skip(struct stream_pool *pool, struct stream *stream);

/*
 * Whether a SYN with this number can be that of this stream: sent again, or captured behind the first data. It cannot
 * be when addresses and ports are used for another connection.
 */
must_check bool stream_may_begin_at(const struct stream_pool *pool, const struct stream *stream, uint32_t syn_seq);

/* Position of a sequence number: the one nearest to what is expected. 0: nothing was seen of this stream. */
must_check uint64_t stream_position(const struct stream *stream, uint32_t seq);

/* Stable lower-case words: "lost", "uncaptured", "cut", "full", "unfinished". Never NULL. */
must_check const char *stream_cause_name(enum stream_cause cause);

#endif
