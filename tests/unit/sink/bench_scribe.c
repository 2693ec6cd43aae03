/*
 * What an event costs, on the way from a worker into a sink: prints nanoseconds of CPU, asserts nothing about them.
 * bench_scribe [EVENTS]
 */
#include "base/clock.h"
#include "flow/publish.h"
#include "flows.h"
#include "proxy/scribe.h"
#include "sink/jsonl.h"
#include "sink/pcapng.h"
#include "sink/terminal.h"

#include <fcntl.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

static uint64_t cpu_ns(void)
{
	struct timespec t;
	clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
	return (uint64_t)t.tv_sec * NS_PER_S + (uint64_t)t.tv_nsec;
}

static void say(const char *what, uint64_t since, unsigned n)
{
	printf("%-58s %8.0f ns\n", what, (double)(cpu_ns() - since) / n);
}

static struct ring_consumer *consumer;
static struct publisher pub;
static uint8_t octets[EVENT_SIZE_MAX];

static void read_all(void)
{
	size_t len;
	size_t size;
	struct event event;
	while (ring_peek(consumer, octets, sizeof(octets), &len, &size) == RING_RECORD) {
		if (event_decode(bytes_of(octets, len), &event) != EVENT_OK)
			abort();
		ring_drop(consumer, false);
	}
	ring_release(consumer);
}

static void bench_ring(unsigned n)
{
	static uint8_t chunk[16384];
	struct ring_fds fds;
	struct error err;
	if (!ring_create(&fds, RING_SIZE_DEFAULT, &err))
		abort();
	pub.ring = ring_producer_new(&fds, &err);
	consumer = ring_consumer_new(&fds, &err);
	ring_set_wants(consumer, RING_WANTS_EVENTS | RING_WANTS_DATA);
	struct publish_flow flow = {.id = 1};
	uint64_t since = cpu_ns();
	for (unsigned i = 0; i < n; i++) {
		publish_data(&pub, &flow, FLOW_UP, bytes_of(chunk, 100), T0);
		if (i % 1024 == 0)
			read_all();
	}
	read_all();
	say("100 octets through the ring, both ends", since, n);
	since = cpu_ns();
	uint64_t read = 0;
	for (unsigned i = 0; i < n; i++) {
		publish_data(&pub, &flow, FLOW_UP, bytes_of(chunk, sizeof(chunk)), T0);
		if (i % 512 == 511) {
			uint64_t from = cpu_ns();
			read_all();
			read += cpu_ns() - from;
		}
	}
	say("16 KiB published", since + read, n);
	printf("%-58s %8.0f ns\n", "16 KiB copied out", (double)read / n);
	uint64_t sum = 0;
	since = cpu_ns();
	static uint8_t copies[512][16384];
	for (unsigned i = 0; i < n; i++) {
		memcpy(copies[i % 512], chunk, sizeof(chunk));
		sum += copies[i % 512][i % 16384];
	}
	say(sum ? "" : "16 KiB by memcpy over 8 MiB, for comparison", since, n);
	read_all();
	ring_producer_free(pub.ring);
	ring_consumer_free(consumer);
	ring_fds_close(&fds);
}

static const struct message_header headers[] = {
	{{(const uint8_t *)"user-agent", 10}, {(const uint8_t *)"curl/7.88.1", 11}},
	{{(const uint8_t *)"accept", 6}, {(const uint8_t *)"*/*", 3}},
	{{(const uint8_t *)"cookie", 6}, {(const uint8_t *)"sid=0123456789abcdef; theme=dark", 32}},
	{{(const uint8_t *)"content-type", 12}, {(const uint8_t *)"text/html; charset=utf-8", 24}},
};

static void bench_sink(struct sink *sink, const char *what, unsigned n)
{
	struct flow *flow = flow_opened(sink, 1);
	flow_verdict(sink, flow, ACTION_INSPECT, "default", "");
	sink->ops->flush(sink);
	uint64_t since = cpu_ns();
	for (unsigned i = 1; i <= n; i++) {
		struct message_request request = {.flow = 1,
			.stream = i,
			.time_ns = T0 + i,
			.version = MESSAGE_HTTP_1_1,
			.method = bytes_str("GET"),
			.authority = bytes_str("www.example.org"),
			.path = bytes_str("/assets/app/main.3f2a91.js?v=17&token=abcdef"),
			.headers = headers,
			.header_count = 3};
		struct message_response response = {
			.flow = 1, .stream = i, .status = 200, .headers = headers, .header_count = 4};
		struct message_end end = {.flow = 1, .stream = i, .response_octets = 1256, .duration_ns = 1234567};
		if (sink->ops->request) {
			sink->ops->request(sink, flow, &request);
			sink->ops->response(sink, flow, &response);
			sink->ops->end(sink, flow, &end);
		} else {
			flow_data(sink, flow, FLOW_UP, (uint64_t)i * 44,
				"GET /assets/app/main.js HTTP/1.1\r\nHost: h\r\n\r\n");
		}
		if (i % 512 == 0)
			sink->ops->flush(sink);
	}
	say(what, since, n);
	flow_closed(sink, flow, ENDING_DONE, "");
	sink->ops->close(sink);
}

static void bench_jansson(unsigned n)
{
	uint64_t since = cpu_ns();
	for (unsigned i = 0; i < n; i++) {
		json_t *line = json_pack("{s:i,s:s,s:s,s:s,s:i,s:s,s:s,s:s,s:s}", "v", 1, "type", "request", "time",
			"2026-11-21T23:04:42.123456789Z", "flow", "1.42", "stream", (int)i, "version", "HTTP/1.1",
			"method", "GET", "authority", "www.example.org", "path",
			"/assets/app/main.3f2a91.js?v=17&token=***");
		json_t *list = json_array();
		for (int h = 0; h < 3; h++)
			json_array_append_new(list, json_pack("[s%,s%]", headers[h].name.data, headers[h].name.len,
							    headers[h].value.data, headers[h].value.len));
		json_object_set_new(line, "headers", list);
		char out[2048];
		if (json_dumpb(line, out, sizeof(out), JSON_COMPACT) == 0)
			abort();
		json_decref(line);
	}
	say("one request line by jansson, for comparison", since, n);
}

static void bench_request_line(unsigned n)
{
	struct error err;
	struct sink *sink = jsonl_new("/dev/null", false, &err);
	struct flow *flow = flow_opened(sink, 1);
	uint64_t since = cpu_ns();
	for (unsigned i = 1; i <= n; i++) {
		struct message_request request = {.flow = 1,
			.stream = i,
			.time_ns = T0 + i,
			.version = MESSAGE_HTTP_1_1,
			.method = bytes_str("GET"),
			.authority = bytes_str("www.example.org"),
			.path = bytes_str("/assets/app/main.3f2a91.js?v=17&token=abcdef"),
			.headers = headers,
			.header_count = 3};
		sink->ops->request(sink, flow, &request);
	}
	say("one request line of jsonl, masked", since, n);
	flow_closed(sink, flow, ENDING_DONE, "");
	sink->ops->close(sink);
}

/* A connection with one request of 100 octets and its answer, from the worker's calls to the line in the table. */
static void bench_whole(unsigned n)
{
	static const char ask[] =
		"GET /assets/app.js?v=17 HTTP/1.1\r\nHost: www.example.org\r\nUser-Agent: curl/7.88.1\r\n"
		"Accept: */*\r\n\r\n";
	static const char tell[] = "HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: 32\r\n\r\n"
				   "01234567890123456789012345678901";
	struct error err;
	struct ring_fds fds;
	struct ring_fds theirs;
	int null = open("/dev/null", O_WRONLY | O_CLOEXEC);
	struct loop *loop = loop_new();
	struct scribe_options options = {.outputs.terminal_fd = null};
	struct scribe *scribe = scribe_new(loop, &options, &err);
	if (!scribe || !ring_create(&theirs, RING_SIZE_DEFAULT, &err))
		abort();
	fds = (struct ring_fds){dup(theirs.data), dup(theirs.control), dup(theirs.wake), dup(theirs.space)};
	pub = (struct publisher){.ring = ring_producer_new(&fds, &err)};
	if (!scribe_attach(scribe, 1, &theirs, &err))
		abort();
	uint64_t since = cpu_ns();
	for (unsigned i = 1; i <= n; i++) {
		struct publish_flow flow = {.id = i};
		struct event open = {
			.kind = EVENT_OPEN, .flow = i, .time_ns = T0, .open = {.host = bytes_str("www.example.org")}};
		struct event verdict = {
			.kind = EVENT_VERDICT, .flow = i, .time_ns = T0, .verdict = {.rule = bytes_str("default")}};
		struct event tls = {
			.kind = EVENT_TLS, .flow = i, .time_ns = T0, .tls = {.leg = 2, .alpn = bytes_str("http/1.1")}};
		struct event close = {.kind = EVENT_CLOSE, .flow = i, .time_ns = T0};
		publish_event(&pub, &open);
		publish_event(&pub, &tls);
		publish_event(&pub, &verdict);
		publish_data(&pub, &flow, FLOW_UP, bytes_str(ask), T0);
		publish_data(&pub, &flow, FLOW_DOWN, bytes_str(tell), T0);
		publish_event(&pub, &close);
		if (i % 64 == 0)
			scribe_drain(scribe);
	}
	scribe_drain(scribe);
	say("a whole flow of one request, decoding included", since, n);
	since = cpu_ns();
	struct publish_flow flow = {.id = 1};
	struct event open = {
		.kind = EVENT_OPEN, .flow = 1, .time_ns = T0, .open = {.host = bytes_str("www.example.org")}};
	struct event tls = {
		.kind = EVENT_TLS, .flow = 1, .time_ns = T0, .tls = {.leg = 2, .alpn = bytes_str("http/1.1")}};
	publish_event(&pub, &open);
	publish_event(&pub, &tls);
	for (unsigned i = 1; i <= n; i++) {
		publish_data(&pub, &flow, FLOW_UP, bytes_str(ask), T0);
		publish_data(&pub, &flow, FLOW_DOWN, bytes_str(tell), T0);
		if (i % 64 == 0)
			scribe_drain(scribe);
	}
	say("a request of a kept connection, decoding included", since, n);
	scribe_close(scribe);
	loop_free(loop);
	ring_producer_free(pub.ring);
	ring_fds_close(&fds);
}

int main(int argc, char **argv)
{
	unsigned n = argc > 1 ? (unsigned)strtoul(argv[1], NULL, 10) : 200000;
	struct error err;
	int null = open("/dev/null", O_WRONLY | O_CLOEXEC);
	bench_ring(n);
	struct terminal_options plain = {.fd = null};
	struct terminal_options wide = {.fd = null, .columns = 120, .colour = true};
	bench_sink(terminal_new(&plain, &err), "a request into the table, plain line", n);
	bench_sink(terminal_new(&wide, &err), "a request into the table, 120 columns in colour", n);
	bench_sink(jsonl_new("/dev/null", false, &err), "a request into jsonl (three lines)", n);
	bench_sink(pcapng_new("/dev/null", &err), "a small segment into pcapng", n);
	bench_request_line(n);
	bench_jansson(n);
	bench_whole(n);
	return 0;
}
