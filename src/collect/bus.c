/*
 * The fleet's bus (bus/publish.h): what was taken is published there, once its entries are in the log and before it is
 * answered. A batch that the bus did not take in time was never taken: its sender is sent away, to come again here or to
 * another collector. Published twice, it is known again by bus and reader.
 */
#include "collect/parts.h"

#include "base/log.h"

bool bus_open(struct collector *collector, struct error *err)
{
	const struct collect_options *options = collector->options;
	if (!options->bus.servers)
		return true;
	collector->bus = bus_publisher_new(collector->loop, &options->bus, options->site, options->bus_wait_ns, err);
	return collector->bus != NULL;
}

static void published(bool ok, void *ctx)
{
	put_settled(ctx, ok, COURIER_WHY_BUS);
}

/* NULL when one of them has left again: for newer ones, or with its grant. */
static struct bus_load *load_of(const struct batch *batch)
{
	const struct collector *collector = batch->collector;
	struct store_item item;
	size_t octets = 0;
	for (uint64_t n = batch->from; n < batch->to; n++) {
		if (!store_at(collector->store, n, &item))
			return NULL;
		octets += item.sealed.len;
	}
	struct bus_load *load = bus_load_new((size_t)(batch->to - batch->from), octets);
	for (uint64_t n = batch->from; load && n < batch->to; n++) {
		bool added = store_at(collector->store, n, &item) && item.tag < collector->source_count &&
		             bus_load_add(load, collector->options->site, bytes_str(collector->sources[item.tag]->name),
				     item.wall_ns, item.sealed);
		if (!added) {
			bus_load_free(load);
			load = NULL;
		}
	}
	return load;
}

bool bus_take(struct batch *batch)
{
	struct collector *collector = batch->collector;
	if (!collector->options->bus.servers || batch->from == batch->to)
		return false;
	struct bus_load *load = collector->bus ? load_of(batch) : NULL;
	if (!load || !bus_publish(collector->bus, load, published, batch))
		put_settled(batch, false, COURIER_WHY_BUS);
	return true;
}

void bus_close(struct collector *collector)
{
	struct bus_publish_counts counts = {0};
	struct bus_publisher *bus = collector->bus;
	if (!bus)
		return;
	collector->bus = NULL;
	bus_publisher_free(bus, &counts);
	log_info("bus", LOG_N("published", counts.published), LOG_N("known", counts.known),
		LOG_N("again", counts.again), LOG_N("failed-batches", counts.failed),
		LOG_N("late-batches", counts.late), LOG_N("full", counts.full), LOG_N("servers-lost", counts.lost),
		LOG_N("servers-found", counts.found));
}
