/*
 * bus/publish.h — a collector's side of the bus: sealed releases are published to the streams of their readers, and count
 * as published once a quorum of the servers has stored them. A thread of its own does all that may block; what became of a
 * load is told from the owner's loop, at the latest when its time is over, whatever the bus does.
 *
 * A stream that is full (it refuses rather than drop what was acknowledged) concerns its reader alone: its keys are refused,
 * and the rest of the load is published.
 *
 * A load that failed may have been published in part: it may be published again by anyone, the bus knows again what it has.
 */
#ifndef BUS_PUBLISH_H
#define BUS_PUBLISH_H

#include "base/bytes.h"
#include "base/loop.h"
#include "bus/connect.h"

#define BUS_IN_FLIGHT 1024                       /* sent, and not answered */
#define BUS_ROOM      ((size_t)32 * 1024 * 1024) /* octets of loads that are not settled; more are refused */
#define BUS_WAIT_NS   UINT64_C(8000000000)

struct bus_publisher;
struct bus_load;

struct bus_publish_counts {
	uint64_t published;    /* stored by a quorum */
	uint64_t known;        /* of these, what the bus had already */
	uint64_t again;        /* attempts after the first */
	uint64_t refused;      /* keys that their stream has no room for */
	uint64_t failed, late; /* loads that failed; of these, because their time was over */
	uint64_t full;         /* loads refused because of BUS_ROOM */
	uint64_t lost, found;  /* servers, as in struct bus_events */
	uint64_t octets;       /* now */
	bool there;            /* a server is connected now */
};

/*
 * `site` stands in the subjects. `wait_ns` is how long a load may take; 0: BUS_WAIT_NS. The bus need not be there yet.
 * NULL with a sentence when options or files are wrong. `options` and `site` must stay.
 */
must_check struct bus_publisher *bus_publisher_new(
	struct loop *loop, const struct bus_options *options, const char *site, uint64_t wait_ns, struct error *err);
/* Loads that are not settled fail now. NULL is allowed; `counts` too. */
void bus_publisher_free(struct bus_publisher *publisher, struct bus_publish_counts *counts);
must_check struct bus_publish_counts bus_publisher_count(struct bus_publisher *publisher);

/* Releases that are published together. NULL without memory. `keys` and `octets` (of sealed releases) at most. */
must_check struct bus_load *bus_load_new(size_t keys, size_t octets);
/* Copies. `sender` is the name in the certificate of who sent it. False when it is no sealed release, or over the sizes. */
must_check bool bus_load_add(
	struct bus_load *load, const char *site, struct bytes sender, uint64_t received_ns, struct bytes sealed);
/* One that is not published. NULL is allowed. */
void bus_load_free(struct bus_load *load);
/*
 * Takes over the load, also on false: no room, nothing will be told. `done` is called from the loop, never from within. With
 * `ok` each key of the load was stored or refused, and `load` is there to be asked which until `done` is over; else all of
 * it may come again, and `load` is NULL.
 */
must_check bool bus_publish(struct bus_publisher *publisher, struct bus_load *load,
	void (*done)(bool ok, const struct bus_load *load, void *ctx), void *ctx);
/* Keys of it that their streams have no room for, and whether the one that was added as number `at`, from 0, is one. */
must_check size_t bus_load_refused(const struct bus_load *load);
must_check bool bus_load_refuses(const struct bus_load *load, size_t at);

#endif
