#include "assess/server.h"

#include "assess/server_parts.h"
#include "base/clock.h"

#include <openssl/rand.h>
#include <stdlib.h>

struct offer server_offer(const struct server *server, uint16_t version, const uint16_t *suites, size_t count)
{
	static const uint16_t groups[] = {
		0x001d, 0x0017, 0x0018, 0x0019, 0x001e, 0x0100, 0x0101, 0x0102, 0x11ec, 0x11eb};
	struct offer offer = {.version = version,
		.suites = suites,
		.suite_count = count,
		.groups = groups,
		.group_count = version == TLS_VERSION_13 ? sizeof(groups) / sizeof(groups[0]) : 5,
		.name = server->name.is_ip ? NULL : server->name.text,
		.extended_master_secret = true};
	/* Nothing is kept secret with it; a failure leaves zeros, which servers take as well. */
	(void)!RAND_bytes(offer.random, sizeof(offer.random));
	return offer;
}

static bool begin(struct server *server, struct error *err)
{
	const struct server_options *options = server->options;
	struct target *target = &server->target;
	if (!target_of_word(options->host, "443", target, err))
		return false;
	server->name = target->name;
	if (options->name) {
		enum name_result result = subject_name_parse(bytes_str(options->name), &server->name);
		if (result != NAME_OK)
			return error_set(err, "%s: %s", options->name, name_result_text(result));
	}
	target->deadline_ns = clock_monotonic_ns() + options->whole_ns;
	target->step_ns = options->patience_ns;
	target->pause_ns = options->pause_ns;
	target->left = TARGET_CONNECTIONS;
	if (!target_find(target, err))
		return false;
	server->report = report_new("server", target->text);
	return server->report || error_set(err, "no memory");
}

struct report *server_assess(const struct server_options *options, struct error *err)
{
	struct server *server = calloc(1, sizeof(*server));
	uint64_t began_ns = clock_monotonic_ns();
	if (!server) {
		error_set(err, "no memory");
		return NULL;
	}
	server->options = options;
	bool ok = begin(server, err) && server_versions(server, err);
	if (ok) {
		server_session(server);
		server_key_exchange(server);
		server_dropout(server);
		server_groups(server);
		server_suites(server);
		server->report->pause_ns = options->pause_ns;
		server->report->connections = server->target.made;
		server->report->took_ns = clock_monotonic_ns() - began_ns;
	} else {
		report_free(server->report);
	}
	struct report *report = ok ? server->report : NULL;
	free(server);
	return report;
}
