/* bus/load.h — releases that are published together, as the files of the bus share them. Not for other rooms. */
#ifndef BUS_LOAD_H
#define BUS_LOAD_H

#include "bus/name.h"
#include "bus/publish.h"

/* One release on its way. */
struct load_item {
	struct load_item *next; /* of the list it waits in, or the chain in which its message is found */
	struct bus_load *load;
	natsMsg *msg;      /* in flight: the library's */
	uint64_t again_ns; /* not before */
	bool tried, refused;
	char subject[BUS_SUBJECT], id[BUS_ID];
	struct bytes body; /* in the load's octets */
};

struct bus_load {
	struct bus_load *next, *prev; /* of those that are not settled */
	struct bus_load *ended;       /* next of those whose end is to be told */
	uint64_t deadline_ns;
	size_t left;    /* items whose end is not known */
	size_t refused; /* items that are */
	bool failed, told;
	void (*done)(bool ok, const struct bus_load *load, void *ctx);
	void *ctx;
	struct writer octets;
	size_t count, cap;
	struct load_item *items;
};

#endif
