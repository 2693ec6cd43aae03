#include "cli/collect_reader.h"

#include "base/log.h"
#include "cli/collect_place.h"

bool collect_reader_complete(struct collect_reader *reader, struct error *err)
{
	const char *option = reader->bus ? "--bus" : "--collector";
	if (reader->bus && reader->collector)
		return error_set(err, "keys come from --collector or from --bus: one of them");
	if (!reader->reader_key || !reader->certificate)
		return error_set(err,
			"%s needs --reader-key, which opens what is sealed, and --certificate, which says who asks",
			option);
	if (reader->bus && !reader->audit)
		return error_set(err, "--bus needs --log: nothing is read there without an entry in a log");
	if (!reader->bus && (reader->audit || reader->consumer))
		return error_set(err, "--log and --consumer go with --bus only: a collector has a log of its own");
	return collect_find_beside(
		reader->certificate, &reader->key, reader->key_room, &reader->ca, reader->ca_room, err);
}

bool collect_source_begin(struct collect_source *source, const struct collect_reader *reader, bool follow,
	const uint8_t *enough, void (*took)(const struct release *release, const char *sender, void *ctx), void *ctx,
	struct error *err)
{
	const struct fetch_options fetch = {
		.files = {.certificate = reader->certificate, .key = reader->key, .ca = reader->ca},
		.address = reader->collector,
		.follow = follow,
		.enough = enough,
		.took = took,
		.ctx = ctx,
	};
	const struct bus_read_options read = {
		.bus = {.servers = reader->bus,
			.certificate = reader->certificate,
			.key = reader->key,
			.ca = reader->ca},
		.consumer = reader->consumer ? reader->consumer : CONSUMER_DEFAULT,
		.audit = reader->audit,
		.follow = follow,
		.took = took,
		.ctx = ctx,
	};
	struct secret key = {0};
	*source = (struct collect_source){0};
	if (!collect_read_key(READER_X25519, reader->reader_key, &key, err))
		return false;
	if (reader->bus)
		source->read = bus_read_begin(&read, &key, err);
	else
		source->fetch = fetch_begin(&fetch, &key, err);
	secret_wipe(&key);
	return source->read || source->fetch;
}

bool collect_source_over(const struct collect_source *source)
{
	return source->read ? bus_read_over(source->read) : fetch_over(source->fetch);
}

struct fetch_counts collect_source_end(struct collect_source *source)
{
	struct fetch_counts counts = {0};
	struct bus_read_counts read = {0};
	fetch_end(source->fetch, &counts);
	if (source->read) {
		bus_read_end(source->read, &read);
		counts = (struct fetch_counts){.keys = read.keys, .unopened = read.unopened + read.malformed};
		log_info("bus", LOG_N("keys", read.keys), LOG_N("unopened", read.unopened),
			LOG_N("malformed", read.malformed), LOG_N("again", read.again), LOG_N("missed", read.missed),
			LOG_N("unlogged", read.unlogged), LOG_N("failures", read.failures),
			LOG_N("servers-lost", read.lost), LOG_N("servers-found", read.found));
	}
	*source = (struct collect_source){0};
	return counts;
}
