/*
 * The fleet's bus (bus/publish.h): what was taken is published there, once its entries are in the log and before it is
 * answered. A batch that the bus did not take in time was never taken: its sender is sent away, to come again here or to
 * another collector. Published twice, it is known again by bus and reader. Keys for which their reader's stream has no room
 * are refused, and the rest of their batch is taken.
 */
#include "collect/parts.h"

#include "base/log.h"
#include "base/text.h"

#define GROUPS_MAX 16 /* grants in one batch that are counted together; more make several entries of one grant */

/* Refused keys of one grant: what one entry of the log speaks of. */
struct group {
	struct seal_head head;
	uint64_t count;
};

bool bus_open(struct collector *collector, struct error *err)
{
	const struct collect_options *options = collector->options;
	if (!options->bus.servers)
		return true;
	collector->bus = bus_publisher_new(collector->loop, &options->bus, options->site, options->bus_wait_ns, err);
	return collector->bus != NULL;
}

/* The entry before them said that they were to leave. */
static void log_refused(struct collector *collector, const struct source *source, const struct group *group)
{
	char id[2 * RELEASE_GRANT + 1], key[2 * SEAL_KEY_ID + 1];
	struct audit_entry entry = {.kind = AUDIT_REFUSAL};
	text_hex(id, sizeof(id), bytes_of(group->head.grant, RELEASE_GRANT));
	text_hex(key, sizeof(key), bytes_of(group->head.key_id, SEAL_KEY_ID));
	entry_add(&entry, AUDIT_T("why", bytes_str("the reader's stream on the bus has no room")));
	entry_add(&entry, AUDIT_T("side", bytes_str("collector")));
	entry_add(&entry, AUDIT_T("grant", bytes_str(id)));
	entry_add(&entry, AUDIT_T("reader_key", bytes_str(key)));
	entry_add(&entry, AUDIT_N("count", group->count));
	entry_add(&entry, AUDIT_T("sender", bytes_str(source->name)));
	entry_add(&entry, AUDIT_T("sender_key", bytes_str(source->key_hex)));
	(void)!audit_append(collector->log, &entry, clock_wall_ns(), NULL);
}

/* What the log is to say; keys that have left since are in no entry. */
static void log_all_refused(const struct batch *batch, const struct bus_load *load)
{
	struct collector *collector = batch->collector;
	struct group groups[GROUPS_MAX];
	const struct source *source = NULL;
	struct store_item item;
	struct seal_head head;
	size_t count = 0, at;
	for (uint64_t n = batch->from; n < batch->to; n++) {
		if (!bus_load_refuses(load, (size_t)(n - batch->from)) || !store_at(collector->store, n, &item) ||
			item.tag >= collector->source_count || !seal_head_read(item.sealed, &head))
			continue;
		source = collector->sources[item.tag]; /* a batch has one */
		for (at = 0; at < count && memcmp(groups[at].head.grant, head.grant, RELEASE_GRANT) != 0; at++)
			continue;
		if (at == GROUPS_MAX)
			log_refused(collector, source, &groups[at = --count]);
		if (at == count)
			groups[count++] = (struct group){.head = head};
		groups[at].count++;
	}
	for (at = 0; at < count; at++)
		log_refused(collector, source, &groups[at]);
}

/* A load has the keys of its batch in their order. */
static void published(bool ok, const struct bus_load *load, void *ctx)
{
	struct batch *batch = ctx;
	size_t refused = ok ? bus_load_refused(load) : 0;
	if (refused > 0)
		log_all_refused(batch, load);
	for (uint64_t n = batch->from; refused > 0 && n < batch->to; n++) {
		if (bus_load_refuses(load, (size_t)(n - batch->from)))
			put_take_out(batch, n, COURIER_WHY_FULL);
	}
	put_settled(batch, ok, COURIER_WHY_BUS);
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
		LOG_N("again", counts.again), LOG_N("refused", counts.refused), LOG_N("failed-batches", counts.failed),
		LOG_N("late-batches", counts.late), LOG_N("full", counts.full), LOG_N("servers-lost", counts.lost),
		LOG_N("servers-found", counts.found));
}
