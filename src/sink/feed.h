/*
 * sink/feed.h — from events to sinks: keeps the flows of one or more sources, decodes their plaintext, and tells every
 * sink. One thread. Events may come from a hostile source: order and offsets are checked, texts are as they came.
 */
#ifndef SINK_FEED_H
#define SINK_FEED_H

#include "decode/decoder.h"
#include "sink/sink.h"

struct feed;
struct feed_flow;

/* Where events come from: embedded by whoever reads them. Set up by feed_source_begin; flows belong to the feed. */
struct feed_source {
	struct feed *feed;
	uint32_t number; /* in flow names ("3.42"): unique in the feed's life */
	struct feed_flow *flows;
};

/* Zeroed: the defaults. */
struct feed_options {
	size_t flow_max;              /* flows kept at a time; 0: 262,144 */
	struct decoder_limits limits; /* all 0: the default */
};

struct feed_counts {
	uint64_t flows, exchanges;
	uint64_t evicted_flows; /* let go because flow_max were open */
	uint64_t orphan_events; /* of flows already over */
	uint64_t lost_octets;   /* plaintext that its source says it could not hand on */
	uint64_t undecoded;     /* flows without a decoder for want of memory */
	uint64_t sink_lost;     /* records that sinks could not write */
	size_t open;
};

/* NULL with `err` set without memory. */
must_check struct feed *feed_new(const struct feed_options *options, struct error *err);
/* Ends what is open, closes the sinks, frees. Every source has ended before. NULL is allowed. */
void feed_close(struct feed *feed);

/* One more sink, before the first event: the feed's from then on. False where FLOW_SLOTS are taken. */
must_check bool feed_add_sink(struct feed *feed, struct sink *sink);
/* What the sinks want, all together: bits of enum sink_wants. `count` is how many there are; NULL: not asked. */
must_check unsigned feed_wants(const struct feed *feed, unsigned *count);

void feed_source_begin(struct feed_source *source, struct feed *feed, uint32_t number);
/* Its open flows end as lost. */
void feed_source_end(struct feed_source *source);

/* Any event but a DATA. */
void feed_event(struct feed_source *source, const struct event *event);

/* The flow, for plaintext; NULL (counted) when it is not known. Valid until its next event. */
must_check struct feed_flow *feed_find(struct feed_source *source, uint64_t id);
/* How many of the next octets of that direction nobody has a use for: they may be left out of feed_data's `bytes`. */
must_check uint64_t feed_useless(const struct feed_flow *flow, enum flow_direction direction);

struct feed_piece {
	enum flow_direction direction;
	uint64_t offset;    /* in the direction's plaintext, of the piece's beginning */
	size_t left_out;    /* octets at its beginning that are not in `bytes` */
	struct bytes bytes; /* what follows them */
	uint64_t time_ns;
};

/* Plaintext in the order of its direction. False when the offset lies before what was fed already: nothing is taken. */
must_check bool feed_data(struct feed_flow *flow, const struct feed_piece *piece);

/*
 * Up to which absolute offset of the direction nobody needs anything, when that is worth telling the source and was
 * not told yet; else 0. feed_skip_told keeps in mind that it was.
 */
must_check uint64_t feed_skip(const struct feed_flow *flow, enum flow_direction direction);
void feed_skip_told(struct feed_flow *flow, enum flow_direction direction, uint64_t until);

/* The end of a batch. */
void feed_flush(struct feed *feed);
/* Opens the files of all sinks by name again. False with the first failure; the others were still done. */
bool feed_reopen(struct feed *feed, struct error *err);

must_check struct feed_counts feed_count(const struct feed *feed);

#endif
