#include "watch/quic.h"

#include "../tls/quic_seal.h"
#include "../tls/support.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>

#include <cmocka.h>

#define ID     RAW(1, 2, 3, 4, 5, 6, 7, 8)
#define OTHER  RAW(9, 9, 9, 9)
#define SERVER RAW(8, 7, 6, 5)

static struct quic_room *room;

static int begin(void **state)
{
	(void)state;
	room = quic_room_new();
	return room ? 0 : -1;
}

static int end(void **state)
{
	(void)state;
	quic_room_free(room);
	return 0;
}

/* A ClientHello for "name.example", 1,500 octets of it an extension nobody knows: the body, and the message. */
static struct bytes make_hello(bool whole)
{
	static uint8_t extensions_room[2048], body_room[4096], message_room[4096];
	static const uint8_t name[] = {0, 15, 0, 0, 12, 'n', 'a', 'm', 'e', '.', 'e', 'x', 'a', 'm', 'p', 'l', 'e'};
	static uint8_t filler[1500];
	struct writer extensions = writer_over(extensions_room, sizeof(extensions_room));
	struct writer body = writer_over(body_room, sizeof(body_room));
	struct writer message = writer_over(message_room, sizeof(message_room));
	struct bytes block, out;
	put_extension(&extensions, 0, bytes_of(name, sizeof(name)));
	put_extension(&extensions, 0xfafa, bytes_of(filler, sizeof(filler)));
	assert_true(writer_done(&extensions, &block));
	put_hello(&body, &(struct hello_parts){.extensions = block});
	assert_true(writer_done(&body, &out));
	put_message(&message, 1, out);
	if (whole)
		assert_true(writer_done(&message, &out));
	return out;
}

/* A client's Initial with octets `from` to `to` of the hello. */
static void put_initial(
	struct writer *w, struct bytes keys, struct bytes receiver, uint32_t number, size_t from, size_t to)
{
	static uint8_t frames_room[2048];
	struct writer frames = writer_over(frames_room, sizeof(frames_room));
	struct bytes hello = make_hello(true), all;
	to = to < hello.len ? to : hello.len;
	put_crypto_frame(&frames, from, bytes_of(hello.data + from, to - from));
	assert_true(writer_done(&frames, &all));
	quic_seal(w,
		&(struct quic_seal){QUIC_VERSION_1, keys, receiver, OTHER, BYTES_NONE, QUIC_CLIENT, number, all, 1000});
}

static struct bytes initial(struct bytes keys, struct bytes receiver, uint32_t number, size_t from, size_t to)
{
	static uint8_t rooms[4][4096];
	static unsigned at;
	struct writer w = writer_over(rooms[at++ % 4], sizeof(rooms[0]));
	struct bytes out;
	put_initial(&w, keys, receiver, number, from, to);
	assert_true(writer_done(&w, &out));
	return out;
}

static bool named(const struct client_hello *hello)
{
	return hello->sni == SNI_OK && bytes_equal(hello->server_name, bytes_str("name.example"));
}

static void a_hello_over_two_datagrams_is_read_in_either_order(void **state)
{
	(void)state;
	for (unsigned first = 0; first < 2; first++) {
		struct quic_flow flow = {0};
		struct client_hello hello;
		struct bytes parts[2] = {initial(ID, ID, 0, 0, 900), initial(ID, ID, 1, 900, SIZE_MAX)};
		assert_false(quic_flow_datagram(room, &flow, 1, parts[first], &hello));
		assert_false(flow.over);
		/* The same again changes nothing. */
		assert_false(quic_flow_datagram(room, &flow, 1, parts[first], &hello));
		assert_true(quic_flow_datagram(room, &flow, 1, parts[!first], &hello));
		assert_true(named(&hello));
		assert_true(flow.over && !flow.pending);
		assert_int_equal(flow.version, QUIC_VERSION_1);
		assert_false(quic_flow_datagram(room, &flow, 1, parts[first], &hello));
	}
}

static void initials_in_one_datagram_are_all_read(void **state)
{
	(void)state;
	uint8_t space[4096];
	struct writer w = writer_over(space, sizeof(space));
	struct quic_flow flow = {0};
	struct client_hello hello;
	struct bytes all;
	put_initial(&w, ID, ID, 0, 900, SIZE_MAX);
	put_initial(&w, ID, ID, 1, 0, 900);
	assert_true(writer_done(&w, &all));
	assert_true(quic_flow_datagram(room, &flow, 0, all, &hello));
	assert_true(named(&hello));
}

/* The client takes the server's connection ID up, and the keys stay. */
static void keys_outlast_a_change_of_the_connection_id(void **state)
{
	(void)state;
	struct quic_flow flow = {0};
	struct client_hello hello;
	assert_false(quic_flow_datagram(room, &flow, 0, initial(ID, ID, 0, 0, 900), &hello));
	assert_true(quic_flow_datagram(room, &flow, 0, initial(ID, SERVER, 1, 900, SIZE_MAX), &hello));
	assert_true(named(&hello));
}

static void after_a_retry_the_hello_comes_with_other_keys(void **state)
{
	(void)state;
	struct quic_flow flow = {0};
	struct client_hello hello;
	struct bytes retry = RAW(0xf0, 0, 0, 0, 1, 4, 9, 9, 9, 9, 4, 8, 7, 6, 5, 't', 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10,
		11, 12, 13, 14, 15);
	assert_false(quic_flow_datagram(room, &flow, 0, initial(ID, ID, 0, 0, 900), &hello));
	assert_false(quic_flow_datagram(room, &flow, 1, retry, &hello));
	assert_false(quic_flow_datagram(room, &flow, 0, initial(SERVER, SERVER, 1, 900, SIZE_MAX), &hello));
	assert_true(quic_flow_datagram(room, &flow, 0, initial(SERVER, SERVER, 2, 0, 900), &hello));
	assert_true(named(&hello));
}

static void a_servers_initial_is_not_taken_for_a_clients(void **state)
{
	(void)state;
	uint8_t space[2048];
	struct writer w = writer_over(space, sizeof(space));
	struct quic_flow flow = {0};
	struct client_hello hello;
	struct bytes all;
	quic_seal(&w, &(struct quic_seal){QUIC_VERSION_1, ID, OTHER, SERVER, BYTES_NONE, QUIC_SERVER, 0, RAW(1), 1000});
	assert_true(writer_done(&w, &all));
	assert_false(quic_flow_datagram(room, &flow, 0, all, &hello));
	assert_null(flow.pending);
	assert_true(quic_flow_datagram(room, &flow, 1, initial(ID, ID, 0, 0, SIZE_MAX), &hello));
}

static void what_never_becomes_a_hello_is_given_up(void **state)
{
	(void)state;
	struct quic_flow flow = {0};
	struct client_hello hello;
	for (unsigned i = 0; i < QUIC_TRIES_MAX; i++) {
		assert_false(flow.over);
		assert_false(quic_flow_datagram(room, &flow, 0, initial(ID, ID, i, 0, 900), &hello));
	}
	assert_true(flow.over && !flow.pending);
}

static void the_oldest_leaves_when_too_many_are_pending(void **state)
{
	(void)state;
	enum { FLOWS = QUIC_PENDING_MAX + 3 };
	static struct quic_flow flows[FLOWS];
	struct client_hello hello;
	uint64_t before = quic_room_count(room).evicted;
	struct bytes first = initial(ID, ID, 0, 0, 900), second = initial(ID, ID, 1, 900, SIZE_MAX);
	for (unsigned i = 0; i < FLOWS; i++)
		assert_false(quic_flow_datagram(room, &flows[i], 0, first, &hello));
	assert_int_equal(quic_room_count(room).evicted - before, 3);
	for (unsigned i = 0; i < FLOWS; i++)
		assert_int_equal(quic_flow_datagram(room, &flows[i], 0, second, &hello), i >= 3);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_hello_over_two_datagrams_is_read_in_either_order),
		cmocka_unit_test(initials_in_one_datagram_are_all_read),
		cmocka_unit_test(keys_outlast_a_change_of_the_connection_id),
		cmocka_unit_test(after_a_retry_the_hello_comes_with_other_keys),
		cmocka_unit_test(a_servers_initial_is_not_taken_for_a_clients),
		cmocka_unit_test(what_never_becomes_a_hello_is_given_up),
		cmocka_unit_test(the_oldest_leaves_when_too_many_are_pending),
	};
	return cmocka_run_group_tests(tests, begin, end);
}
