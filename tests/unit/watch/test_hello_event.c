#include "../tls/support.h"
#include "watch/hello_event.h"

#include <stdlib.h>

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

#define TYPES 6

/* What a hello says, one value of each part. */
struct said {
	uint16_t version;
	uint16_t parts[TYPES]; /* the first suite, group, format, scheme, version, letter of the protocol */
	uint16_t extra;        /* an extension's type */
	bool named;
};

static uint8_t room[4096], block_room[2048];

static void put_list16(struct writer *w, uint16_t type, uint16_t value)
{
	uint8_t octets[] = {0, 2, (uint8_t)(value >> 8), (uint8_t)value};
	put_extension(w, type, bytes_of(octets, sizeof(octets)));
}

static struct client_hello hello_of(const struct said *said)
{
	struct writer w = writer_over(room, sizeof(room)), b = writer_over(block_room, sizeof(block_room));
	uint8_t suites[] = {(uint8_t)(said->parts[0] >> 8), (uint8_t)said->parts[0], 0x13, 1};
	uint8_t formats[] = {1, (uint8_t)said->parts[2]};
	uint8_t versions[] = {2, (uint8_t)(said->parts[4] >> 8), (uint8_t)said->parts[4]};
	uint8_t protocols[] = {0, 3, 2, (uint8_t)said->parts[5], '2'};
	struct bytes body, block;
	struct client_hello hello;
	if (said->named)
		put_extension(&b, 0, bytes_of("\0\7\0\0\4name", 9));
	put_list16(&b, 10, said->parts[1]);
	put_extension(&b, 11, bytes_of(formats, sizeof(formats)));
	put_list16(&b, 13, said->parts[3]);
	put_extension(&b, 16, bytes_of(protocols, sizeof(protocols)));
	put_extension(&b, 43, bytes_of(versions, sizeof(versions)));
	put_extension(&b, said->extra, BYTES_NONE);
	assert_true(writer_done(&b, &block));
	put_hello(
		&w, &(struct hello_parts){
			    .version = said->version, .suites = bytes_of(suites, sizeof(suites)), .extensions = block});
	assert_true(writer_done(&w, &body));
	assert_int_equal(client_hello_parse(body, &hello), HELLO_OK);
	return hello;
}

static struct said usual(void)
{
	return (struct said){0x0303, {0x1302, 29, 0, 0x0403, 0x0304, 'h'}, 0x1234, true};
}

/* With what is remembered, and without. */
static void assert_same(struct hello_prints *prints, const struct said *said, enum ja4_transport transport)
{
	struct client_hello hello = hello_of(said);
	struct hello_event one, other;
	hello_event_of(prints, &hello, transport, &one);
	hello_event_of(NULL, &hello, transport, &other);
	assert_string_equal(one.ja3, other.ja3);
	assert_string_equal(one.ja4, other.ja4);
	assert_int_equal(strlen(one.ja4), JA4_LEN);
	assert_true(bytes_equal(one.event.hello.ja3, bytes_str(other.ja3)));
	assert_true(bytes_equal(one.event.hello.sni, other.event.hello.sni));
}

static void whatever_a_print_depends_on_is_told_apart(void **state)
{
	(void)state;
	struct hello_prints *prints = hello_prints_new();
	struct said said = usual();
	assert_non_null(prints);
	assert_same(prints, &said, JA4_TCP);
	assert_same(prints, &said, JA4_QUIC);
	for (size_t i = 0; i < TYPES; i++) {
		said = usual();
		said.parts[i]++;
		assert_same(prints, &said, JA4_TCP);
	}
	said = usual();
	said.version = 0x0302;
	assert_same(prints, &said, JA4_TCP);
	said = usual();
	said.extra = 0x1235;
	assert_same(prints, &said, JA4_TCP);
	said = usual();
	said.named = false;
	assert_same(prints, &said, JA4_TCP);
	assert_int_equal(hello_prints_count(prints).hits, 0);
	said = usual();
	assert_same(prints, &said, JA4_TCP);
	assert_int_equal(hello_prints_count(prints).hits, 1);
	hello_prints_free(prints);
}

static void no_more_are_remembered_than_may_be_and_those_that_leave_are_counted(void **state)
{
	(void)state;
	struct hello_prints *prints = hello_prints_new();
	struct said said = usual();
	for (unsigned i = 0; i < 1000; i++) {
		said.extra = (uint16_t)(0x4000 + i);
		assert_same(prints, &said, JA4_TCP);
	}
	struct cache_counts counts = hello_prints_count(prints);
	assert_true(counts.held <= 512);
	assert_int_equal(counts.evicted, 1000 - counts.held);
	hello_prints_free(prints);
}

static void a_hello_too_long_to_be_remembered_is_told_like_any_other(void **state)
{
	(void)state;
	static uint8_t suites[2000], body_room[8192];
	struct hello_prints *prints = hello_prints_new();
	struct writer w = writer_over(body_room, sizeof(body_room));
	struct bytes body;
	struct client_hello hello;
	struct hello_event one, other;
	for (size_t i = 0; i < sizeof(suites); i++)
		suites[i] = (uint8_t)(i * 3);
	put_hello(&w, &(struct hello_parts){.version = 0x0303, .suites = bytes_of(suites, sizeof(suites))});
	assert_true(writer_done(&w, &body));
	assert_int_equal(client_hello_parse(body, &hello), HELLO_OK);
	hello_event_of(prints, &hello, JA4_TCP, &one);
	hello_event_of(NULL, &hello, JA4_TCP, &other);
	assert_string_equal(one.ja4, other.ja4);
	assert_string_equal(one.ja3, other.ja3);
	assert_int_equal(hello_prints_count(prints).held, 0);
	hello_prints_free(prints);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(whatever_a_print_depends_on_is_told_apart),
		cmocka_unit_test(no_more_are_remembered_than_may_be_and_those_that_leave_are_counted),
		cmocka_unit_test(a_hello_too_long_to_be_remembered_is_told_like_any_other),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
