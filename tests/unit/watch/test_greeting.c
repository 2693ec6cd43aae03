#include "watch/greeting.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>

#include <cmocka.h>

#include "../tls/rfc8448.h"
#include "base/text.h"
#include "watch/link.h"
#include "watch/packet.h"

#define MOST 70000

/* One connection between 192.0.2.1:40000 and 192.0.2.2:443, and what was told of it last. */
struct bed {
	struct greetings *greetings;
	uint64_t number;
	uint32_t next[2]; /* sequence numbers, by direction */
	unsigned told;
	struct greeting said;
	uint8_t client_random[32], server_random[32];
	char name[256];
	uint8_t room[MOST];
};

static void tell(void *arg, const struct greeting *greeting)
{
	struct bed *b = arg;
	b->told++;
	b->said = *greeting;
	memcpy(b->client_random, greeting->client_random.data, 32);
	memcpy(b->server_random, greeting->server_random.data, 32);
	memset(b->name, 0, sizeof(b->name));
	if (greeting->name.len > 0)
		memcpy(b->name, greeting->name.data, greeting->name.len);
}

/* A frame of raw IPv4 with TCP. */
static void packet(struct bed *b, bool up, uint8_t flags, uint32_t seq, struct bytes payload)
{
	uint8_t room[2048];
	struct writer w = writer_over(room, sizeof(room));
	struct bytes whole;
	writer_u16(&w, 0x4500);
	writer_u16(&w, (uint16_t)(40 + payload.len));
	writer_u32(&w, 0);
	writer_u8(&w, 64);
	writer_u8(&w, PACKET_TCP);
	writer_u16(&w, 0);
	writer_u32(&w, up ? 0xc0000201 : 0xc0000202);
	writer_u32(&w, up ? 0xc0000202 : 0xc0000201);
	writer_u16(&w, up ? 40000 : 443);
	writer_u16(&w, up ? 443 : 40000);
	writer_u32(&w, seq);
	writer_u32(&w, b->next[!up]);
	writer_u8(&w, 0x50);
	writer_u8(&w, flags);
	writer_u16(&w, 65535);
	writer_u32(&w, 0);
	writer_bytes(&w, payload);
	assert_true(writer_done(&w, &whole));
	b->number++;
	const struct frame frame = {.time_ns = b->number * 1000,
		.number = b->number,
		.bytes = whole,
		.original = (uint32_t)whole.len,
		.link = LINKTYPE_RAW};
	greetings_frame(b->greetings, &frame);
}

static void open_connection(struct bed *b)
{
	b->next[true] = 1001;
	b->next[false] = 5001;
	packet(b, true, PACKET_SYN, 1000, BYTES_NONE);
	packet(b, false, PACKET_SYN | PACKET_ACK, 5000, BYTES_NONE);
}

/* In segments of at most so many octets. */
static void say(struct bed *b, bool up, struct bytes text, size_t most)
{
	struct bytes part;
	while (bytes_take(&text, text.len < most ? text.len : most, &part) && part.len > 0) {
		packet(b, up, PACKET_ACK, b->next[up], part);
		b->next[up] += (uint32_t)part.len;
	}
}

static void say_hex(struct bed *b, bool up, const char *hex, size_t most)
{
	size_t len;
	assert_true(text_unhex(b->room, sizeof(b->room), &len, bytes_str(hex)));
	say(b, up, bytes_of(b->room, len), most);
}

static int begin(void **state)
{
	struct bed *b = calloc(1, sizeof(*b));
	assert_non_null(b);
	b->greetings = greetings_new(tell, b);
	assert_non_null(b->greetings);
	open_connection(b);
	*state = b;
	return 0;
}

static int end(void **state)
{
	struct bed *b = *state;
	greetings_free(b->greetings);
	free(b);
	return 0;
}

static void assert_random(const uint8_t *random, const char *hex)
{
	char text[65];
	text_hex(text, sizeof(text), bytes_of(random, 32));
	assert_string_equal(text, hex);
}

static void assert_section_3(const struct bed *b)
{
	assert_int_equal(b->told, 1);
	assert_random(b->client_random, "cb34ecb1e78163ba1c38c6dacb196a6dffa21a8d9912ec18a2ef6283024dece7");
	assert_random(b->server_random, "a6af06a4121860dc5e6e60249cd34c95930c8ac5cb1434dac155772ed3e26928");
	assert_int_equal(b->said.version, 0x0304);
	assert_int_equal(b->said.suite, 0x1301);
	assert_string_equal(b->name, "server");
	static const uint8_t mapped[16] = {[10] = 0xff, [11] = 0xff, [12] = 192, [14] = 2, [15] = 1};
	assert_memory_equal(b->said.client.ip, mapped, sizeof(mapped));
	assert_int_equal(b->said.client.port, 40000);
	assert_int_equal(b->said.server.ip[15], 2);
	assert_int_equal(b->said.server.port, 443);
	/* Nothing is kept of it. */
	assert_int_equal(greetings_count(b->greetings).octets, 0);
}

static void the_hellos_of_the_rfc_are_told_however_they_are_cut(void **state)
{
	static const size_t cuts[] = {1000, 100, 1};
	(void)state;
	for (size_t i = 0; i < sizeof(cuts) / sizeof(cuts[0]); i++) {
		void *own;
		begin(&own);
		struct bed *b = own;
		say_hex(b, true, S3_CLIENT_HELLO, cuts[i]);
		assert_int_equal(b->told, 0);
		say_hex(b, false, S3_SERVER_HELLO, cuts[i]);
		assert_section_3(b);
		say_hex(b, false, S3_SERVER_FLIGHT, cuts[i]);
		say_hex(b, true, S3_CLIENT_FINISHED, cuts[i]);
		assert_int_equal(b->told, 1);
		end(&own);
	}
}

static void a_message_over_several_records_is_put_together(void **state)
{
	struct bed *b = *state;
	uint8_t whole[1024], cut[2048];
	size_t len;
	assert_true(text_unhex(whole, sizeof(whole), &len, bytes_str(S3_CLIENT_HELLO)));
	struct bytes message = bytes_of(whole, len), part;
	struct writer w = writer_over(cut, sizeof(cut));
	assert_true(bytes_skip(&message, 5));
	while (bytes_take(&message, message.len < 3 ? message.len : 3, &part) && part.len > 0) {
		writer_u8(&w, 22);
		writer_u16(&w, 0x0301);
		writer_vec16(&w, part);
	}
	say(b, true, bytes_of(cut, w.len), 500);
	say_hex(b, false, S3_SERVER_HELLO, 1000);
	assert_section_3(b);
}

static void a_retry_is_no_answer(void **state)
{
	struct bed *b = *state;
	say_hex(b, true, S5_CLIENT_HELLO_1, 1000);
	say_hex(b, false, S5_RETRY, 1000);
	assert_int_equal(b->told, 0);
	say_hex(b, true, S5_CLIENT_HELLO_2, 1000);
	say_hex(b, false, S5_SERVER_HELLO, 1000);
	assert_int_equal(b->told, 1);
	assert_int_equal(b->said.suite, 0x1301);
	assert_random(b->client_random, "b0b1c5a5aa37c5919f2ed1d5c6fff7fcb7849716945a2b8cee9258a346677b6f");
	assert_random(b->server_random, "bb341d847fd789c47c387172dc0c9bf147fccacb5043d86ca4c598d3ff571b98");
}

static void something_may_stand_before_the_hellos(void **state)
{
	struct bed *b = *state;
	/* The octet that begins a record, too. */
	static const char asked[] = "CONNECT server:443 HTTP/1.1\r\nX: \x16\x16\x03\x01\r\n\r\n";
	static const char done[] = "HTTP/1.1 200 OK\r\n\r\n";
	say(b, true, bytes_str(asked), 1000);
	say(b, false, bytes_str(done), 1000);
	say_hex(b, true, S3_CLIENT_HELLO, 1000);
	say_hex(b, false, S3_SERVER_HELLO, 1000);
	assert_section_3(b);
}

static void whatever_came_first_into_the_capture(void **state)
{
	struct bed *b = *state;
	say_hex(b, false, S3_SERVER_HELLO, 1000);
	assert_int_equal(b->told, 0);
	say_hex(b, true, S3_CLIENT_HELLO, 1000);
	assert_section_3(b);
}

static void a_connection_whose_beginning_was_not_captured_is_told_too(void **state)
{
	struct bed *b = *state;
	/* Other ports: no SYN was seen. */
	greetings_free(b->greetings);
	b->greetings = greetings_new(tell, b);
	say_hex(b, true, S3_CLIENT_HELLO, 1000);
	say_hex(b, false, S3_SERVER_HELLO, 1000);
	/* There is patience for what belongs before. */
	greetings_tick(b->greetings, b->number * 1000 + UINT64_C(60000000000));
	assert_section_3(b);
}

static void data_that_came_before_the_answer_is_passed_over(void **state)
{
	struct bed *b = *state;
	memset(b->room, 0x17, MOST);
	uint8_t early[1024];
	memset(early, 0x17, sizeof(early));
	say_hex(b, true, S3_CLIENT_HELLO, 1000);
	for (int i = 0; i < 64; i++)
		say(b, true, bytes_of(early, sizeof(early)), 1024);
	say_hex(b, false, S3_SERVER_HELLO, 1000);
	assert_section_3(b);
}

static void what_is_no_tls_is_let_go_of(void **state)
{
	struct bed *b = *state;
	uint8_t text[GREETING_PREAMBLE + 1];
	memset(text, 'a', sizeof(text));
	say(b, true, bytes_of(text, sizeof(text)), 1000);
	assert_int_equal(greetings_count(b->greetings).octets, 0);
	say_hex(b, true, S3_CLIENT_HELLO, 1000);
	say_hex(b, false, S3_SERVER_HELLO, 1000);
	assert_int_equal(b->told, 0);
}

static void a_hello_without_an_end_is_let_go_of(void **state)
{
	struct bed *b = *state;
	/* One record after another, of a message that says it is longer than all that is kept. */
	static const uint8_t head[] = {22, 3, 1, 0, 6, 1, 0xff, 0xff, 0xff, 3, 3};
	say(b, true, bytes_of(head, sizeof(head)), 1000);
	memset(b->room, 22, MOST);
	for (size_t i = 0; i < GREETING_SIDE_MAX / 1024 + 1; i++)
		say(b, true, bytes_of(b->room, 1024), 1024);
	assert_int_equal(greetings_count(b->greetings).octets, 0);
	assert_int_equal(b->told, 0);
}

static void a_hole_before_the_hellos_were_seen_is_counted(void **state)
{
	struct bed *b = *state;
	say_hex(b, true, S3_CLIENT_HELLO, 1000);
	b->next[false] += 20;
	say_hex(b, false, S3_SERVER_HELLO, 1000);
	greetings_tick(b->greetings, b->number * 1000 + UINT64_C(60000000000));
	assert_int_equal(b->told, 0);
	assert_int_equal(greetings_count(b->greetings).lost, 1);
	assert_int_equal(greetings_count(b->greetings).octets, 0);
}

/* The RFC's hello with another name, in the same octets' place. */
static struct bytes false_hello(struct bed *b)
{
	size_t len;
	assert_true(text_unhex(b->room, sizeof(b->room), &len, bytes_str(S3_CLIENT_HELLO)));
	size_t at = bytes_find(bytes_of(b->room, len), 's', 0);
	while (at + 6 <= len && memcmp(b->room + at, "server", 6) != 0)
		at = bytes_find(bytes_of(b->room, len), 's', at + 1);
	assert_true(at + 6 <= len);
	memcpy(b->room + at, "secret", 6);
	return bytes_of(b->room, len);
}

static void assert_disputed(const struct bed *b)
{
	assert_int_equal(b->told, 0);
	assert_int_equal(greetings_count(b->greetings).disputed, 1);
	assert_int_equal(greetings_count(b->greetings).octets, 0);
}

static void a_hello_that_was_sent_twice_with_different_octets_is_not_told(void **state)
{
	static const size_t cuts[] = {1000, 100, 7};
	(void)state;
	for (size_t i = 0; i < sizeof(cuts) / sizeof(cuts[0]); i++) {
		void *own;
		begin(&own);
		struct bed *b = own;
		packet(b, true, PACKET_ACK, b->next[true], false_hello(b));
		say_hex(b, true, S3_CLIENT_HELLO, cuts[i]);
		say_hex(b, false, S3_SERVER_HELLO, 1000);
		assert_disputed(b);
		end(&own);
	}
}

static void nor_is_one_that_came_too_early_to_be_looked_at(void **state)
{
	struct bed *b = *state;
	struct bytes rest = false_hello(b);
	assert_true(bytes_skip(&rest, 1));
	packet(b, true, PACKET_ACK, b->next[true] + 1, rest);
	say_hex(b, true, S3_CLIENT_HELLO, 1000);
	say_hex(b, false, S3_SERVER_HELLO, 1000);
	assert_disputed(b);
}

static void nor_is_one_behind_another_syn(void **state)
{
	struct bed *b = *state;
	struct bytes hello = false_hello(b);
	uint32_t before = b->next[true] - (uint32_t)hello.len;
	packet(b, true, PACKET_SYN, before - 1, BYTES_NONE);
	packet(b, true, PACKET_ACK, before, hello);
	say_hex(b, true, S3_CLIENT_HELLO, 1000);
	say_hex(b, false, S3_SERVER_HELLO, 1000);
	greetings_tick(b->greetings, b->number * 1000 + UINT64_C(60000000000));
	assert_disputed(b);
}

static void what_is_sent_again_as_it_was_disputes_nothing(void **state)
{
	struct bed *b = *state;
	static const uint8_t any[] = {0};
	uint32_t first = b->next[true];
	say_hex(b, true, S3_CLIENT_HELLO, 50);
	b->next[true] = first;
	say_hex(b, true, S3_CLIENT_HELLO, 70);
	/* A keep-alive, whose octet may be any. */
	packet(b, true, PACKET_ACK, b->next[true] - 1, bytes_of(any, sizeof(any)));
	say_hex(b, false, S3_SERVER_HELLO, 1000);
	assert_section_3(b);
	assert_int_equal(greetings_count(b->greetings).disputed, 0);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, begin, end)
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_hellos_of_the_rfc_are_told_however_they_are_cut),
		TEST(a_message_over_several_records_is_put_together),
		TEST(a_retry_is_no_answer),
		TEST(something_may_stand_before_the_hellos),
		TEST(whatever_came_first_into_the_capture),
		TEST(a_connection_whose_beginning_was_not_captured_is_told_too),
		TEST(data_that_came_before_the_answer_is_passed_over),
		TEST(what_is_no_tls_is_let_go_of),
		TEST(a_hello_without_an_end_is_let_go_of),
		TEST(a_hole_before_the_hellos_were_seen_is_counted),
		cmocka_unit_test(a_hello_that_was_sent_twice_with_different_octets_is_not_told),
		TEST(nor_is_one_that_came_too_early_to_be_looked_at),
		TEST(nor_is_one_behind_another_syn),
		TEST(what_is_sent_again_as_it_was_disputes_nothing),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
