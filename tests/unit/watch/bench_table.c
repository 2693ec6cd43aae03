/*
 * What following connections costs: nanoseconds per segment of one stream, in order and not, nanoseconds per packet of
 * many streams side by side, short connections per second of processor time, and octets per connection. Run by hand in
 * a release build.
 */
#include "watch/table.h"

#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>

#define SEGMENT     1448
#define PACKETS     5000000u
#define CONNECTIONS 500000u
#define IDLE        100000u

static uint8_t payload[SEGMENT];
static uint64_t octets;

static void on_data(void *arg, struct connection *c, enum flow_direction direction, uint64_t offset, struct bytes data,
	uint64_t time_ns)
{
	(void)arg;
	(void)c;
	(void)direction;
	(void)offset;
	(void)time_ns;
	octets += data.len;
}

static struct packet packet_of(uint32_t connection, bool up, uint8_t flags, uint32_t seq, size_t len)
{
	struct flow_address client = {.family = 4, .ip = {10}, .port = (uint16_t)(1024 + connection % 60000)};
	struct flow_address server = {.family = 4, .ip = {192, 0, 2, 1}, .port = 443};
	uint32_t host = connection / 60000;
	memcpy(client.ip + 1, &host, 3);
	struct packet p = {.source = up ? client : server, .destination = up ? server : client, .protocol = PACKET_TCP};
	p.flags = flags;
	p.seq = seq;
	p.payload = bytes_of(payload, len);
	return p;
}

static void put(struct table *t, struct packet p, uint64_t time_ns)
{
	p.time_ns = time_ns;
	table_packet(t, &p, table_hash(&p));
}

static struct table *fresh(void)
{
	struct table_limits limits = table_limits_default();
	struct table_events events = {.data = on_data};
	struct table *t = table_new(&limits, &events, NULL);
	if (!t)
		abort();
	octets = 0;
	return t;
}

/* Of this process: other work on the machine does not count. */
static uint64_t cpu_ns(void)
{
	struct rusage used = {0};
	(void)!getrusage(RUSAGE_SELF, &used);
	uint64_t us = (uint64_t)(used.ru_utime.tv_sec + used.ru_stime.tv_sec) * 1000000;
	return (us + (uint64_t)(used.ru_utime.tv_usec + used.ru_stime.tv_usec)) * 1000;
}

static void say(const char *what, uint64_t since_ns, double packets)
{
	double ns = (double)(cpu_ns() - since_ns);
	printf("%-34s %6.1f ns per packet, %6.2f GB/s\n", what, ns / packets, (double)octets / ns);
}

/* `swap`: every so many segments two change places; 0: never. `flows` take turns. */
static void stream(const char *what, uint32_t flows, uint32_t swap)
{
	struct table *t = fresh();
	for (uint32_t i = 0; i < flows; i++)
		put(t, packet_of(i, true, PACKET_SYN, UINT32_MAX, 0), 1);
	uint64_t since = cpu_ns();
	for (uint32_t i = 0; i < PACKETS; i++) {
		uint32_t n = i / flows, at = n;
		if (swap && n % swap < 2)
			at = n % swap ? n - 1 : n + 1;
		put(t, packet_of(i % flows, true, PACKET_ACK, at * SEGMENT, SEGMENT), 1 + (uint64_t)i * 1000);
	}
	say(what, since, PACKETS);
	if (octets != (uint64_t)PACKETS * SEGMENT)
		printf("octets are missing\n");
	table_finish(t);
	table_free(t);
}

/* Ten packets: three to open, two each way with data, three to close. */
static void churn(void)
{
	struct table *t = fresh();
	uint64_t since = cpu_ns(), time = 1;
	for (uint32_t i = 0; i < CONNECTIONS; i++, time += 20000) {
		put(t, packet_of(i, true, PACKET_SYN, 99, 0), time);
		put(t, packet_of(i, false, PACKET_SYN | PACKET_ACK, 199, 0), time);
		put(t, packet_of(i, true, PACKET_ACK, 100, 0), time);
		put(t, packet_of(i, true, PACKET_ACK, 100, 500), time);
		put(t, packet_of(i, false, PACKET_ACK, 200, 1400), time);
		put(t, packet_of(i, true, PACKET_ACK, 600, 200), time);
		put(t, packet_of(i, false, PACKET_ACK, 1600, 1000), time);
		put(t, packet_of(i, true, PACKET_ACK | PACKET_FIN, 800, 0), time);
		put(t, packet_of(i, false, PACKET_ACK | PACKET_FIN, 2600, 0), time);
		put(t, packet_of(i, true, PACKET_ACK, 801, 0), time);
	}
	double ns = (double)(cpu_ns() - since);
	struct table_counts counts = table_count(t);
	printf("%-34s %6.1f ns per packet, %.0f connections/s, at most %zu open, %zu KiB\n", "short connections",
		ns / (CONNECTIONS * 10.0), CONNECTIONS * 1e9 / ns, counts.open_peak, counts.memory / 1024);
	table_finish(t);
	table_free(t);
}

static void idle(void)
{
	struct table *t = fresh();
	for (uint32_t i = 0; i < IDLE; i++)
		put(t, packet_of(i, true, PACKET_SYN, 99, 10), 1);
	struct table_counts counts = table_count(t);
	printf("%-34s %6zu octets each\n", "idle connections", counts.memory / counts.open);
	table_finish(t);
	table_free(t);
}

int main(void)
{
	stream("one stream in order", 1, 0);
	stream("one stream, 1 of 50 out of order", 1, 50);
	stream("one stream, all out of order", 1, 2);
	stream("1000 streams in order", 1000, 0);
	stream("50000 streams in order", 50000, 0);
	churn();
	idle();
	struct rusage usage;
	if (getrusage(RUSAGE_SELF, &usage) == 0)
		printf("%-34s %6ld KiB\n", "most resident memory", usage.ru_maxrss);
	return 0;
}
