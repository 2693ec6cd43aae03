/*
 * The collector's counters as Prometheus text (exposition format 0.0.4) at /metrics, and /health, over HTTP/1 on a loopback
 * port. A request is a line and headers that nobody looks at; each connection has one.
 */
#include "collect/parts.h"

#include "base/log.h"
#include "collect/address.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#define CLIENTS   8
#define REQUEST   4096
#define TEXT      16384
#define CLIENT_NS (10 * NS_PER_S) /* to ask and to read */

struct asker {
	struct metrics *metrics; /* NULL: this place is free */
	struct loop_io io;
	uint64_t since_ns;
	size_t in_len, out_len, sent;
	char in[REQUEST], out[TEXT + 512];
};

struct metrics {
	struct collector *collector;
	struct loop_io io;
	struct asker askers[CLIENTS];
	uint64_t refused;
};

struct row {
	const char *name, *help;
	bool gauge;
	uint64_t value;
};

static void put_row(struct writer *to, const struct row *row)
{
	char text[512];
	int len = snprintf(text, sizeof(text),
		"# HELP overt_collect_%s %s\n# TYPE overt_collect_%s %s\novert_collect_%s %llu\n", row->name, row->help,
		row->name, row->gauge ? "gauge" : "counter", row->name, (unsigned long long)row->value);
	writer_bytes(to, bytes_of(text, (size_t)len));
}

static uint64_t slowed(const struct collector *collector)
{
	uint64_t sum = 0;
	for (size_t i = 0; i < collector->source_count; i++)
		sum += collector->sources[i]->slowed;
	return sum;
}

static void put_rows(const struct metrics *metrics, struct writer *to)
{
	const struct collector *collector = metrics->collector;
	const struct collect_counts *counts = &collector->counts;
	const struct store_counts store = store_count(collector->store);
	const struct row rows[] = {
		{"audit_open", "1 while the audit log can be written.", true, audit_log_closed(collector->log) == NULL},
		{"spool_open", "1 while the spool can be written, or none is wanted.", true, !collector->spool_full},
		{"clients", "Connections now.", true, collector->peer_count},
		{"grants", "Grants read from the folder.", true, grant_set_count(collector->grants)},
		{"held_keys", "Sealed keys in memory.", true, store.held},
		{"held_octets", "Octets of sealed keys in memory.", true, store.octets},
		{"clients_total", "Connections that came.", false, counts->accepted},
		{"clients_refused_total", "Connections turned away.", false, counts->refused_clients},
		{"clients_late_total", "Connections ended because they left something unfinished for too long.", false,
			counts->late},
		{"handshakes_failed_total", "Handshakes that failed.", false, counts->failed_handshakes},
		{"slowed_total", "Times a sender was read later for its rate.", false, slowed(collector)},
		{"keys_total", "Keys taken.", false, store.fresh},
		{"keys_known_total", "Keys that were held already.", false, store.known},
		{"keys_contradictory_total", "Keys taken beside others of the same place.", false, store.contradictory},
		{"keys_refused_total", "Keys refused.", false, counts->refused},
		{"keys_malformed_total", "Keys and frames that have no form.", false, counts->malformed},
		{"keys_given_total", "Keys given to readers.", false, counts->given},
		{"keys_expired_total", "Keys that left at the end of their lifetime.", false, store.expired},
		{"keys_evicted_total", "Keys that left for newer ones.", false, store.evicted},
		{"keys_unspooled_total", "Keys refused because the disk did not take them.", false,
			collector->spool_lost},
		{"batches_total", "Batches that came.", false, counts->batches},
		{"batches_unlogged_total", "Batches refused because the audit log was closed.", false,
			counts->refused_log},
		{"lines_total", "Lines of key logs.", false, counts->lines},
		{"lines_bad_total", "Lines that are none.", false, counts->lines_bad},
		{"lines_refused_total", "Lines that no grant covers.", false, counts->lines_refused},
		{"lines_unwanted_total", "Lines with exporter secrets, which go to nobody.", false,
			counts->lines_unwanted},
		{"grant_errors_total", "Files of grants that were left out.", false, collector->folder.errors},
		{"metrics_refused_total", "Requests for these turned away.", false, metrics->refused},
	};
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
		put_row(to, &rows[i]);
}

static void put_bus_rows(const struct collector *collector, struct writer *to)
{
	if (!collector->bus)
		return;
	const struct bus_publish_counts counts = bus_publisher_count(collector->bus);
	const struct row rows[] = {
		{"bus_open", "1 while a server of the bus is connected.", true, counts.there},
		{"bus_waiting_octets", "Octets of batches that wait for the bus.", true, counts.octets},
		{"bus_published_total", "Keys that a quorum of the bus has stored.", false, counts.published},
		{"bus_known_total", "Of these, keys that the bus had already.", false, counts.known},
		{"bus_again_total", "Attempts to publish after the first of a key.", false, counts.again},
		{"bus_refused_total", "Keys refused because their reader's stream is full.", false, counts.refused},
		{"bus_failed_batches_total", "Batches that the bus did not take.", false, counts.failed},
		{"bus_late_batches_total", "Of these, batches whose time was over.", false, counts.late},
		{"bus_full_total", "Batches sent away because too many wait for the bus.", false, counts.full},
		{"bus_servers_lost_total", "Times the server of the bus was lost.", false, counts.lost},
		{"bus_servers_found_total", "Times another was found.", false, counts.found},
	};
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
		put_row(to, &rows[i]);
}

static void asker_close(struct asker *asker)
{
	loop_remove(asker->metrics->collector->loop, &asker->io);
	close(asker->io.fd);
	asker->metrics = NULL;
}

/* False when it is not over yet. */
static bool send_rest(struct asker *asker)
{
	while (asker->sent < asker->out_len) {
		ssize_t n = send(asker->io.fd, asker->out + asker->sent, asker->out_len - asker->sent, MSG_NOSIGNAL);
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0 && (errno == EAGAIN || errno == EWOULDBLOCK)) {
			asker->io.writable = false;
			return false;
		}
		if (n < 0)
			return true;
		asker->sent += (size_t)n;
	}
	return true;
}

static bool asks(const struct asker *asker, const char *path)
{
	char line[64];
	int len = snprintf(line, sizeof(line), "GET %s HTTP/1.", path);
	return strncmp(asker->in, line, (size_t)len) == 0;
}

static void answer(struct asker *asker)
{
	uint8_t room[TEXT];
	struct writer to = writer_over(room, sizeof(room));
	const struct collector *collector = asker->metrics->collector;
	const char *status = "200 OK";
	const char *closed = audit_log_closed(collector->log);
	if (asks(asker, "/metrics")) {
		put_rows(asker->metrics, &to);
		put_bus_rows(collector, &to);
	} else if (asks(asker, "/health")) {
		bool well = !closed && !collector->spool_full;
		status = well ? status : "503 Service Unavailable";
		writer_bytes(&to, bytes_str(well     ? "ok\n"
					    : closed ? "the audit log cannot be written\n"
						     : "the spool cannot be written\n"));
	} else {
		status = "404 Not Found";
		writer_bytes(&to, bytes_str("/metrics and /health are here\n"));
	}
	asker->out_len = (size_t)snprintf(asker->out, sizeof(asker->out),
		"HTTP/1.1 %s\r\nContent-Type: text/plain; version=0.0.4; charset=utf-8\r\nContent-Length: %zu\r\n"
		"Connection: close\r\n\r\n%.*s",
		status, to.len, (int)to.len, (const char *)room);
}

/* False when more has to come. */
static bool read_request(struct asker *asker)
{
	for (;;) {
		size_t room = sizeof(asker->in) - 1 - asker->in_len;
		ssize_t n = room > 0 ? recv(asker->io.fd, asker->in + asker->in_len, room, 0) : 0;
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0 && (errno == EAGAIN || errno == EWOULDBLOCK)) {
			asker->io.readable = false;
			return false;
		}
		if (n <= 0)
			return true;
		asker->in_len += (size_t)n;
		asker->in[asker->in_len] = '\0';
		if (strstr(asker->in, "\r\n\r\n")) {
			answer(asker);
			return true;
		}
	}
}

static void asker_ready(struct loop_io *io)
{
	struct asker *asker = (struct asker *)((char *)io - offsetof(struct asker, io));
	bool over = asker->out_len > 0 || read_request(asker);
	if (over && send_rest(asker))
		asker_close(asker);
}

static void take_in(struct metrics *metrics, int fd)
{
	struct asker *free_one = NULL;
	for (size_t i = 0; i < CLIENTS && !free_one; i++)
		free_one = metrics->askers[i].metrics ? NULL : &metrics->askers[i];
	if (!free_one) {
		metrics->refused++;
		close(fd);
		return;
	}
	*free_one = (struct asker){.metrics = metrics, .since_ns = loop_now_ns(metrics->collector->loop)};
	if (loop_add(metrics->collector->loop, &free_one->io, fd, asker_ready))
		return;
	free_one->metrics = NULL;
	close(fd);
}

static void ready(struct loop_io *io)
{
	struct metrics *metrics = (struct metrics *)((char *)io - offsetof(struct metrics, io));
	for (;;) {
		int fd = accept4(io->fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
		if (fd >= 0)
			take_in(metrics, fd);
		else if (errno != EINTR && errno != ECONNABORTED)
			break;
	}
	io->readable = false;
}

static bool is_loopback(int fd, struct hostport *at)
{
	static const uint8_t one[16] = {[15] = 1};
	struct sockaddr_storage sa;
	socklen_t len = sizeof(sa);
	if (getsockname(fd, (struct sockaddr *)&sa, &len) != 0 ||
		!hostport_from_sockaddr(at, (struct sockaddr *)&sa, len))
		return false;
	return hostport_is_v4(at) ? at->ip[12] == 127 : memcmp(at->ip, one, sizeof(one)) == 0;
}

bool metrics_open(struct collector *collector, struct error *err)
{
	const char *where = collector->options->metrics;
	char text[HOSTPORT_TEXT] = "";
	struct hostport at;
	if (!where)
		return true;
	int fd = address_listen(where, err);
	if (fd < 0)
		return error_prefix(err, "--metrics");
	struct metrics *metrics = calloc(1, sizeof(*metrics));
	bool loopback = is_loopback(fd, &at);
	if (!metrics || !loopback || !loop_add(collector->loop, &metrics->io, fd, ready)) {
		free(metrics);
		close(fd);
		return error_set(err, "--metrics %s: %s", where,
			loopback ? "no memory" : "an address of this machine alone is wanted, as 127.0.0.1:9464");
	}
	metrics->collector = collector;
	collector->metrics = metrics;
	(void)hostport_text(&at, text);
	log_info("metrics", LOG_S("address", text));
	return true;
}

void metrics_tidy(struct collector *collector)
{
	struct metrics *metrics = collector->metrics;
	for (size_t i = 0; metrics && i < CLIENTS; i++) {
		struct asker *asker = &metrics->askers[i];
		if (asker->metrics && loop_now_ns(collector->loop) - asker->since_ns > CLIENT_NS)
			asker_close(asker);
	}
}

void metrics_close(struct collector *collector)
{
	struct metrics *metrics = collector->metrics;
	if (!metrics)
		return;
	for (size_t i = 0; i < CLIENTS; i++) {
		if (metrics->askers[i].metrics)
			asker_close(&metrics->askers[i]);
	}
	loop_remove(collector->loop, &metrics->io);
	close(metrics->io.fd);
	free(metrics);
	collector->metrics = NULL;
}
