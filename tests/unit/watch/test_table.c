#include "watch/table.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#define SECOND ((uint64_t)1000000000)

enum { FIN = PACKET_FIN, SYN = PACKET_SYN, RST = PACKET_RST, ACK = PACKET_ACK };

/* What happened, as text: "open 40000>443 up:abc down:[3 lost] up. close fin" */
struct bed {
	struct table *table;
	uint64_t now;
	char out[8192];
	size_t len;
	int users;   /* connections that have a user pointer */
	bool ignore; /* every connection, at its first data */
	bool swap;   /* the same */
};

static void say(struct bed *b, const char *format, ...) printf_like(2, 3);

static void say(struct bed *b, const char *format, ...)
{
	va_list args;
	va_start(args, format);
	b->len += (size_t)vsnprintf(b->out + b->len, sizeof(b->out) - b->len, format, args);
	va_end(args);
}

static void on_opened(void *arg, struct connection *c, uint64_t time_ns)
{
	struct bed *b = arg;
	assert_null(c->user);
	assert_int_equal(time_ns, c->opened_ns);
	c->user = b;
	b->users++;
	say(b, "open %u>%u ", connection_client(c)->port, connection_server(c)->port);
}

static void on_data(void *arg, struct connection *c, enum flow_direction direction, uint64_t offset, struct bytes data,
	uint64_t time_ns)
{
	struct bed *b = arg;
	(void)time_ns;
	assert_ptr_equal(c->user, b);
	assert_int_equal(offset + data.len, connection_octets(c, direction));
	say(b, "%s:%.*s ", flow_direction_name(direction), (int)data.len, (const char *)data.data);
	if (b->ignore)
		table_ignore(b->table, c);
	if (b->swap)
		connection_swap(c);
}

static void on_gap(void *arg, struct connection *c, enum flow_direction direction, uint64_t offset, uint64_t octets,
	enum stream_cause cause, uint64_t time_ns)
{
	struct bed *b = arg;
	(void)time_ns;
	assert_int_equal(offset + octets, connection_octets(c, direction));
	say(b, "%s:[%u %s] ", flow_direction_name(direction), (unsigned)octets, stream_cause_name(cause));
}

static void on_half(void *arg, struct connection *c, enum flow_direction direction, uint64_t time_ns)
{
	(void)c;
	(void)time_ns;
	say(arg, "%s. ", flow_direction_name(direction));
}

static void on_closed(void *arg, struct connection *c, enum table_reason reason, uint64_t time_ns)
{
	struct bed *b = arg;
	(void)time_ns;
	assert_ptr_equal(c->user, b);
	b->users--;
	say(b, "close %s ", table_reason_name(reason));
}

static void on_datagram(void *arg, struct connection *c, enum flow_direction direction, const struct packet *p)
{
	(void)c;
	say(arg, "%s(%.*s) ", flow_direction_name(direction), (int)p->payload.len, (const char *)p->payload.data);
}

static struct bed *bed_of(struct table_limits limits)
{
	struct bed *b = calloc(1, sizeof(*b));
	assert_non_null(b);
	struct table_events events = {.opened = on_opened,
		.data = on_data,
		.gap = on_gap,
		.half_closed = on_half,
		.closed = on_closed,
		.datagram = on_datagram};
	b->table = table_new(&limits, &events, b);
	assert_non_null(b->table);
	b->now = 1000 * SECOND;
	return b;
}

static struct bed *bed(void)
{
	return bed_of(table_limits_default());
}

static void bed_free(struct bed *b)
{
	table_finish(b->table);
	struct table_counts counts = table_count(b->table);
	assert_int_equal(b->users, 0);
	assert_int_equal(counts.open, 0);
	assert_int_equal(counts.stream.held, 0);
	uint64_t closed = 0;
	for (size_t i = 0; i < TABLE_REASON_COUNT; i++)
		closed += counts.closed[i];
	assert_int_equal(closed, counts.opened);
	table_free(b->table);
	free(b);
}

static struct flow_address host(uint8_t last, uint16_t port)
{
	return (struct flow_address){.family = 4, .ip = {192, 0, 2, last}, .port = port};
}

static struct packet packet_between(struct flow_address from, struct flow_address to)
{
	return (struct packet){.source = from, .destination = to, .protocol = PACKET_TCP};
}

static void put(struct bed *b, struct packet p)
{
	p.time_ns = b->now;
	table_packet(b->table, &p, table_hash(&p));
}

/* From 192.0.2.1 to 192.0.2.2, or back. */
static void tcp(struct bed *b, uint16_t from, uint16_t to, int flags, uint32_t seq, uint32_t ack, const char *text)
{
	bool up = from > to;
	struct packet p = packet_between(host(up ? 1 : 2, from), host(up ? 2 : 1, to));
	p.flags = (uint8_t)flags;
	p.seq = seq;
	p.ack = ack;
	p.payload = bytes_str(text);
	put(b, p);
}

static void up(struct bed *b, int flags, uint32_t seq, uint32_t ack, const char *text)
{
	tcp(b, 40000, 443, flags, seq, ack, text);
}

static void down(struct bed *b, int flags, uint32_t seq, uint32_t ack, const char *text)
{
	tcp(b, 443, 40000, flags, seq, ack, text);
}

static void shake(struct bed *b, uint32_t client, uint32_t server)
{
	up(b, SYN, client - 1, 0, "");
	down(b, SYN | ACK, server - 1, client, "");
	up(b, ACK, client, server, "");
}

static void a_conversation_comes_out_in_order(void **state)
{
	(void)state;
	struct bed *b = bed();
	shake(b, 100, 500);
	up(b, ACK, 100, 500, "hello");
	down(b, ACK, 500, 105, "wel");
	down(b, ACK, 503, 105, "come");
	up(b, ACK | FIN, 105, 507, "");
	down(b, ACK | FIN, 507, 106, "");
	up(b, ACK, 106, 508, "");
	assert_string_equal(b->out, "open 40000>443 up:hello down:wel down:come up. down. ");
	b->now += 2 * SECOND;
	table_tick(b->table, b->now);
	assert_string_equal(b->out, "open 40000>443 up:hello down:wel down:come up. down. close fin ");
	bed_free(b);
}

static void both_directions_hash_alike_and_different_flows_do_not(void **state)
{
	(void)state;
	struct packet p = packet_between(host(1, 40000), host(2, 443)),
		      back = packet_between(host(2, 443), host(1, 40000));
	assert_true(table_hash(&p) == table_hash(&back));
	struct packet other = packet_between(host(1, 443), host(2, 40000));
	assert_true(table_hash(&p) != table_hash(&other));
	other = p;
	other.protocol = PACKET_UDP;
	assert_true(table_hash(&p) != table_hash(&other));
	/* The same address at both ends. */
	p = packet_between(host(1, 40000), host(1, 443));
	back = packet_between(host(1, 443), host(1, 40000));
	assert_true(table_hash(&p) == table_hash(&back));
	size_t even = 0;
	for (uint16_t i = 0; i < 1000; i++) {
		p.source.port = i;
		even += table_hash(&p) % 2;
	}
	assert_in_range(even, 350, 650);
}

static void sixteen_octets_of_address_count(void **state)
{
	(void)state;
	struct bed *b = bed();
	for (uint8_t i = 0; i < 3; i++) {
		struct packet p = packet_between(host(1, 50000), host(2, 443));
		p.source.family = p.destination.family = 6;
		p.source.ip[15] = i;
		p.flags = SYN;
		put(b, p);
		struct packet back = packet_between(p.destination, p.source);
		back.flags = SYN | ACK;
		back.ack = 1;
		put(b, back);
	}
	assert_int_equal(table_count(b->table).opened, 3);
	bed_free(b);
}

static void the_client_is_known_by_syn_hello_or_port(void **state)
{
	(void)state;
	struct bed *b = bed();
	tcp(b, 443, 50000, SYN, 1, 0, ""); /* odd, but a SYN is a SYN */
	table_finish(b->table);
	assert_string_equal(b->out, "open 443>50000 close end-of-input ");
	b->len = 0;
	tcp(b, 443, 50000, SYN | ACK, 1, 5, "");
	table_finish(b->table);
	assert_string_equal(b->out, "open 50000>443 close end-of-input ");
	struct packet p = packet_between(host(1, 443), host(2, 50000));
	b->len = 0;
	p.payload = bytes_of("\x16\x03\x01\x02\x00\x01", 6);
	put(b, p);
	table_finish(b->table);
	assert_memory_equal(b->out, "open 443>50000 ", 15);
	b->len = 0;
	p = packet_between(host(1, 50000), host(2, 443));
	p.payload = bytes_of("\x16\x03\x03\x02\x00\x02", 6);
	put(b, p);
	table_finish(b->table);
	assert_memory_equal(b->out, "open 443>50000 ", 15);
	b->len = 0;
	tcp(b, 443, 50000, ACK, 1, 5, "data");
	table_finish(b->table);
	assert_string_equal(b->out, "open 50000>443 down:data close end-of-input ");
	bed_free(b);
}

static void a_syn_captured_late_still_says_who_is_the_client(void **state)
{
	(void)state;
	struct bed *b = bed();
	tcp(b, 443, 50000, ACK, 101, 5, "data");
	tcp(b, 443, 50000, SYN, 100, 0, "");
	assert_string_equal(b->out, "open 443>50000 up:data ");
	bed_free(b);
}

static void the_layer_above_may_swap_the_sides(void **state)
{
	(void)state;
	struct bed *b = bed();
	shake(b, 100, 500);
	b->swap = true;
	up(b, ACK, 100, 500, "a");
	up(b, ACK, 101, 500, "b");
	assert_string_equal(b->out, "open 40000>443 up:a down:b ");
	bed_free(b);
}

static void a_new_syn_on_used_ports_is_a_new_connection(void **state)
{
	(void)state;
	struct bed *b = bed();
	shake(b, 100, 500);
	up(b, ACK, 100, 500, "old");
	up(b, SYN, 99, 0, ""); /* the same, sent again */
	shake(b, 70000, 90000);
	up(b, ACK, 70000, 90000, "new");
	assert_string_equal(b->out, "open 40000>443 up:old close replaced open 40000>443 up:new ");
	up(b, ACK | FIN, 70003, 90000, "");
	down(b, ACK | FIN, 90000, 70004, "");
	shake(b, 170000, 190000);
	up(b, ACK, 170000, 190000, "third");
	assert_non_null(strstr(b->out, "up:new up. down. close fin open 40000>443 up:third "));
	bed_free(b);
}

static void a_syn_ack_alone_can_show_a_new_connection(void **state)
{
	(void)state;
	struct bed *b = bed();
	shake(b, 100, 500);
	up(b, ACK, 100, 500, "old");
	down(b, SYN | ACK, 89999, 70000, "");
	up(b, ACK, 70000, 90000, "new");
	assert_string_equal(b->out, "open 40000>443 up:old close replaced open 40000>443 up:new ");
	bed_free(b);
}

static void a_second_answer_to_the_same_syn_moves_the_server(void **state)
{
	(void)state;
	struct bed *b = bed();
	up(b, SYN, 99, 0, "");
	down(b, SYN | ACK, 499, 100, "");
	down(b, SYN | ACK, 70499, 100, "");
	up(b, ACK, 100, 70500, "a");
	down(b, ACK, 70500, 101, "b");
	assert_string_equal(b->out, "open 40000>443 up:a down:b ");
	bed_free(b);
}

static void a_lost_syn_ack_is_made_good_by_the_acknowledgment(void **state)
{
	(void)state;
	struct bed *b = bed();
	up(b, SYN, 99, 0, "");
	up(b, ACK, 100, 500, "");
	down(b, ACK, 503, 100, "def");
	down(b, ACK, 500, 100, "abc");
	assert_string_equal(b->out, "open 40000>443 down:abc down:def ");
	bed_free(b);
}

static void a_reset_ends_a_connection_after_a_while(void **state)
{
	(void)state;
	struct bed *b = bed();
	shake(b, 100, 500);
	up(b, ACK, 102, 500, "late");
	down(b, RST, 500, 0, "");
	up(b, ACK, 100, 500, "in"); /* was on its way */
	assert_string_equal(b->out, "open 40000>443 up:in up:late ");
	b->now += 2 * SECOND;
	table_tick(b->table, b->now);
	assert_string_equal(b->out, "open 40000>443 up:in up:late close reset ");
	bed_free(b);
}

static void a_reset_from_nowhere_is_counted_and_ignored(void **state)
{
	(void)state;
	struct bed *b = bed();
	shake(b, 100, 500);
	down(b, ACK, 500, 100, "abc");
	down(b, RST, 400, 0, "");
	assert_int_equal(table_count(b->table).astray_resets, 1);
	b->now += 3 * SECOND;
	down(b, ACK, 503, 100, "def");
	assert_string_equal(b->out, "open 40000>443 down:abc down:def ");
	bed_free(b);
}

static void packets_end_the_linger_too(void **state)
{
	(void)state;
	struct table_limits limits = table_limits_default();
	limits.linger_packets = 3;
	struct bed *b = bed_of(limits);
	up(b, SYN, 99, 0, "");
	down(b, RST | ACK, 0, 100, "");
	for (int i = 0; i < 3; i++) {
		assert_int_equal(table_count(b->table).open, 1);
		tcp(b, 60000, 80, ACK, 1, 1, ""); /* another's, stray */
	}
	assert_string_equal(b->out, "open 40000>443 close reset ");
	assert_int_equal(table_count(b->table).stray, 3);
	bed_free(b);
}

static void what_is_quiet_for_long_ends(void **state)
{
	(void)state;
	struct bed *b = bed();
	tcp(b, 50001, 443, SYN, 1, 0, "");
	shake(b, 100, 500);
	up(b, ACK, 100, 500, "a");
	b->now += 30 * SECOND;
	table_tick(b->table, b->now);
	assert_string_equal(b->out, "open 40000>443 up:a open 50001>443 close idle ");
	b->now += 570 * SECOND;
	table_tick(b->table, b->now);
	assert_string_equal(b->out, "open 40000>443 up:a open 50001>443 close idle close idle ");
	bed_free(b);
}

static void a_packet_renews_the_time_of_its_own_connection_only(void **state)
{
	(void)state;
	struct bed *b = bed();
	shake(b, 100, 500);
	up(b, ACK, 100, 500, "a");
	tcp(b, 50000, 443, SYN, 99, 0, "");
	tcp(b, 50000, 443, ACK, 100, 0, "z");
	b->now += 500 * SECOND;
	up(b, ACK, 101, 500, "b");
	b->now += 100 * SECOND;
	table_tick(b->table, b->now);
	assert_string_equal(b->out, "open 40000>443 up:a open 50000>443 up:z up:b close idle ");
	up(b, ACK, 102, 500, "c");
	assert_string_equal(b->out + b->len - 5, "up:c ");
	bed_free(b);
}

static void one_broken_time_stamp_ends_nothing(void **state)
{
	(void)state;
	struct bed *b = bed();
	shake(b, 100, 500);
	up(b, ACK, 100, 500, "a");
	uint64_t now = b->now;
	b->now = UINT64_MAX;
	up(b, ACK, 101, 500, "b");
	b->now = now + 1;
	up(b, ACK, 102, 500, "c");
	assert_string_equal(b->out, "open 40000>443 up:a up:b up:c ");
	b->now = now + 700 * SECOND;
	up(b, ACK, 103, 500, "d");
	b->now++;
	up(b, ACK, 104, 500, "e");
	assert_int_equal(table_count(b->table).closed[TABLE_IDLE], 1);
	bed_free(b);
}

static void a_broken_first_time_stamp_does_not_stop_the_clock(void **state)
{
	(void)state;
	struct bed *b = bed();
	uint64_t now = b->now;
	b->now = UINT64_MAX - SECOND;
	up(b, SYN, 99, 0, "");
	b->now = now;
	down(b, SYN | ACK, 499, 100, "");
	b->now += 30 * SECOND;
	table_tick(b->table, b->now);
	assert_string_equal(b->out, "open 40000>443 close idle ");
	bed_free(b);
}

static void a_late_retransmission_is_no_connection_for_long(void **state)
{
	(void)state;
	struct bed *b = bed();
	down(b, ACK | FIN, 500, 100, "again");
	b->now += 30 * SECOND;
	table_tick(b->table, b->now);
	assert_string_equal(b->out, "open 40000>443 down:again down. close idle ");
	bed_free(b);
}

static void sides_swapped_at_the_end_lose_nothing(void **state)
{
	(void)state;
	struct bed *b = bed();
	b->swap = true;
	shake(b, 100, 500);
	up(b, ACK, 101, 500, "b");
	down(b, ACK, 501, 100, "d");
	table_finish(b->table);
	assert_string_equal(b->out, "open 40000>443 up:[1 unfinished] up:b up:[1 unfinished] up:d close end-of-input ");
	bed_free(b);
}

static void the_cap_turns_out_what_matters_least(void **state)
{
	(void)state;
	struct table_limits limits = table_limits_default();
	limits.connections = 2;
	struct bed *b = bed_of(limits);
	shake(b, 100, 500);
	up(b, ACK, 100, 500, "a");
	for (uint16_t port = 50000; port < 50100; port++)
		tcp(b, port, 443, SYN, 1, 0, "");
	up(b, ACK, 101, 500, "b");
	assert_int_equal(table_count(b->table).closed[TABLE_EVICTED], 99);
	assert_int_equal(table_count(b->table).open_peak, 2);
	assert_non_null(strstr(b->out, "up:b"));
	assert_null(strstr(b->out, "up:a close"));
	bed_free(b);
}

static void what_waits_is_given_out_by_the_clock(void **state)
{
	(void)state;
	struct bed *b = bed();
	shake(b, 100, 500);
	up(b, ACK, 103, 500, "def");
	down(b, ACK, 500, 106, "x");
	assert_string_equal(b->out, "open 40000>443 down:x ");
	b->now += SECOND / 10;
	table_tick(b->table, b->now);
	assert_string_equal(b->out, "open 40000>443 down:x up:[3 uncaptured] up:def ");
	bed_free(b);
}

static void the_end_of_input_gives_out_everything(void **state)
{
	(void)state;
	struct bed *b = bed();
	shake(b, 100, 500);
	up(b, ACK, 103, 500, "def");
	down(b, ACK | FIN, 502, 106, "");
	table_finish(b->table);
	assert_string_equal(
		b->out, "open 40000>443 up:[3 uncaptured] up:def down:[2 unfinished] down. close end-of-input ");
	bed_free(b);
}

static void fin_both_ways_waits_for_holes_no_longer_than_the_linger(void **state)
{
	(void)state;
	struct bed *b = bed();
	shake(b, 100, 500);
	up(b, ACK | FIN, 103, 500, "def");
	down(b, ACK | FIN, 500, 100, "");
	b->now += 2 * SECOND;
	table_tick(b->table, b->now);
	assert_string_equal(b->out, "open 40000>443 down. up:[3 unfinished] up:def up. close fin ");
	bed_free(b);
}

static void what_is_ignored_costs_nothing_and_still_ends(void **state)
{
	(void)state;
	struct bed *b = bed();
	b->ignore = true;
	shake(b, 100, 500);
	up(b, ACK, 103, 500, "def");
	up(b, ACK, 100, 500, "abc");
	up(b, ACK, 120, 500, "more");
	assert_int_equal(table_count(b->table).stream.held, 0);
	up(b, ACK | FIN, 124, 500, "");
	down(b, ACK | FIN, 500, 125, "");
	b->now += 2 * SECOND;
	table_tick(b->table, b->now);
	assert_string_equal(b->out, "open 40000>443 up:abc up. down. close fin ");
	bed_free(b);
}

static void datagrams_have_an_entry_by_addresses_and_ports(void **state)
{
	(void)state;
	struct bed *b = bed();
	struct packet p = packet_between(host(1, 50000), host(2, 443)),
		      back = packet_between(host(2, 443), host(1, 50000));
	p.protocol = back.protocol = PACKET_UDP;
	p.payload = bytes_str("ping");
	back.payload = bytes_str("pong");
	put(b, p);
	put(b, back);
	assert_string_equal(b->out, "open 50000>443 up(ping) down(pong) ");
	assert_int_equal(table_count(b->table).open, 1);
	bed_free(b);
}

static void thousands_of_connections_are_kept_apart(void **state)
{
	(void)state;
	struct bed *b = bed();
	for (int round = 0; round < 4; round++) {
		for (uint16_t port = 20000; port < 25000; port++) {
			tcp(b, port, 443, round ? ACK : SYN, round ? 1000 + (uint32_t)round - 1 : 999, 0,
				round ? "x" : "");
			b->len = 0;
		}
	}
	struct table_counts counts = table_count(b->table);
	assert_int_equal(counts.open, 5000);
	assert_int_equal(counts.stream.octets, 15000);
	assert_string_equal(b->out, "up:x ");
	print_message("# %zu octets per connection\n", counts.memory / counts.open);
	assert_in_range(counts.memory / counts.open, 1, 320);
	table_free(b->table);
	free(b);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_conversation_comes_out_in_order),
		cmocka_unit_test(both_directions_hash_alike_and_different_flows_do_not),
		cmocka_unit_test(sixteen_octets_of_address_count),
		cmocka_unit_test(the_client_is_known_by_syn_hello_or_port),
		cmocka_unit_test(a_syn_captured_late_still_says_who_is_the_client),
		cmocka_unit_test(the_layer_above_may_swap_the_sides),
		cmocka_unit_test(a_new_syn_on_used_ports_is_a_new_connection),
		cmocka_unit_test(a_syn_ack_alone_can_show_a_new_connection),
		cmocka_unit_test(a_second_answer_to_the_same_syn_moves_the_server),
		cmocka_unit_test(a_lost_syn_ack_is_made_good_by_the_acknowledgment),
		cmocka_unit_test(a_reset_ends_a_connection_after_a_while),
		cmocka_unit_test(a_reset_from_nowhere_is_counted_and_ignored),
		cmocka_unit_test(packets_end_the_linger_too),
		cmocka_unit_test(what_is_quiet_for_long_ends),
		cmocka_unit_test(a_packet_renews_the_time_of_its_own_connection_only),
		cmocka_unit_test(one_broken_time_stamp_ends_nothing),
		cmocka_unit_test(a_broken_first_time_stamp_does_not_stop_the_clock),
		cmocka_unit_test(a_late_retransmission_is_no_connection_for_long),
		cmocka_unit_test(sides_swapped_at_the_end_lose_nothing),
		cmocka_unit_test(the_cap_turns_out_what_matters_least),
		cmocka_unit_test(what_waits_is_given_out_by_the_clock),
		cmocka_unit_test(the_end_of_input_gives_out_everything),
		cmocka_unit_test(fin_both_ways_waits_for_holes_no_longer_than_the_linger),
		cmocka_unit_test(what_is_ignored_costs_nothing_and_still_ends),
		cmocka_unit_test(datagrams_have_an_entry_by_addresses_and_ports),
		cmocka_unit_test(thousands_of_connections_are_kept_apart),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
