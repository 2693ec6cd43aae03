#include "support.h"
#include "tls/alert.h"
#include "tls/collect.h"
#include "tls/hello.h"

#include <stdlib.h>

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

static uint8_t stream_room[COLLECT_MAX_STREAM + 1024];
static uint8_t message_room[COLLECT_MAX_MESSAGE + 1024];
static uint8_t scratch[COLLECT_MAX_MESSAGE];

/* A ClientHello message of that many octets, padded by an unknown extension; 0: as small as it comes. */
static struct bytes message_of(size_t size)
{
	static uint8_t body_room[COLLECT_MAX_MESSAGE + 1024], block_room[COLLECT_MAX_MESSAGE];
	static const uint8_t zeros[COLLECT_MAX_MESSAGE];
	struct writer w = writer_over(body_room, sizeof(body_room)),
		      m = writer_over(message_room, sizeof(message_room));
	struct writer b = writer_over(block_room, sizeof(block_room));
	struct bytes body, block, message;
	size_t plain = 4 + 2 + 32 + 1 + 4 + 2 + 2;
	if (size > 0)
		put_extension(&b, 0xfff0, bytes_of(zeros, size - plain - 4));
	assert_true(writer_done(&b, &block));
	put_hello(&w, &(struct hello_parts){.extensions = block});
	assert_true(writer_done(&w, &body));
	put_message(&m, 1, body);
	assert_true(writer_done(&m, &message));
	assert_true(size == 0 || message.len == size);
	return message;
}

static struct bytes records_of(struct bytes message, size_t most)
{
	struct writer w = writer_over(stream_room, sizeof(stream_room));
	struct bytes stream;
	put_records(&w, 22, message, most);
	assert_true(writer_done(&w, &stream));
	return stream;
}

static enum collect_result collect_once(struct collect *c, struct bytes stream)
{
	collect_init(c, scratch, sizeof(scratch));
	return collect_more(c, stream);
}

/* One octet more with each call; the result and where it came. */
static enum collect_result collect_slowly(struct collect *c, struct bytes stream, size_t *calls)
{
	collect_init(c, scratch, sizeof(scratch));
	for (*calls = 0; *calls <= stream.len; (*calls)++) {
		enum collect_result result = collect_more(c, bytes_of(stream.data, *calls));
		if (result != COLLECT_NEED_MORE)
			return result;
		assert_true(c->wanted > *calls);
	}
	return COLLECT_NEED_MORE;
}

static void assert_refused(struct bytes stream, enum collect_result expected)
{
	struct collect c;
	size_t calls;
	assert_int_equal(collect_once(&c, stream), expected);
	assert_int_equal(collect_slowly(&c, stream, &calls), expected);
	/* It stays so. */
	assert_int_equal(collect_more(&c, stream), expected);
}

static void a_hello_in_one_record_is_not_copied(void **state)
{
	(void)state;
	struct bytes message = message_of(0);
	struct bytes stream = records_of(message, 16384);
	struct collect c;
	collect_init(&c, NULL, 0);
	assert_int_equal(collect_more(&c, stream), COLLECT_DONE);
	assert_ptr_equal(c.message.data, stream.data + 5);
	assert_ptr_equal(c.body.data, stream.data + 9);
	assert_true(bytes_equal(c.message, message));
	assert_int_equal(c.consumed, stream.len);
	assert_int_equal(c.records, 1);
	assert_int_equal(c.version, 0x0301);
}

static void what_follows_the_hello_is_left(void **state)
{
	(void)state;
	struct bytes stream = records_of(message_of(0), 16384);
	static const uint8_t next[] = {20, 3, 3, 0, 1, 1, 23, 3, 3, 0, 1, 'x'};
	memcpy(stream_room + stream.len, next, sizeof(next));
	struct collect c;
	assert_int_equal(collect_once(&c, bytes_of(stream.data, stream.len + sizeof(next))), COLLECT_DONE);
	assert_int_equal(c.consumed, stream.len);
	/* Even when it is no TLS. */
	stream_room[stream.len] = 'G';
	assert_int_equal(collect_once(&c, bytes_of(stream.data, stream.len + 1)), COLLECT_DONE);
}

static void a_hello_over_records_is_put_together_whatever_their_size(void **state)
{
	(void)state;
	struct bytes message = message_of(0);
	for (size_t most = 1; most < message.len; most++) {
		struct bytes stream = records_of(message, most);
		struct collect c;
		struct client_hello hello;
		assert_int_equal(collect_once(&c, stream), COLLECT_DONE);
		assert_true(bytes_equal(c.message, message));
		assert_ptr_equal(c.message.data, scratch);
		assert_int_equal(c.consumed, stream.len);
		assert_int_equal(c.records, (message.len + most - 1) / most);
		assert_int_equal(client_hello_parse(c.body, &hello), HELLO_OK);
	}
}

static void one_octet_a_call_gives_the_same(void **state)
{
	(void)state;
	struct bytes message = message_of(600);
	for (size_t most = 1; most <= 700; most += 7) {
		struct bytes stream = records_of(message, most);
		struct collect c;
		size_t calls;
		assert_int_equal(collect_slowly(&c, stream, &calls), COLLECT_DONE);
		assert_int_equal(calls, stream.len);
		assert_true(bytes_equal(c.message, message));
		assert_int_equal(c.consumed, stream.len);
	}
}

static void the_longest_hello_is_taken_one_octet_a_call(void **state)
{
	(void)state;
	struct bytes message = message_of(COLLECT_MAX_MESSAGE);
	const size_t sizes[] = {16384, 1};
	for (size_t i = 0; i < 2; i++) {
		struct bytes stream = records_of(message, sizes[i]);
		struct collect c;
		size_t calls;
		assert_true(stream.len <= COLLECT_MAX_STREAM);
		assert_int_equal(collect_slowly(&c, stream, &calls), COLLECT_DONE);
		assert_true(bytes_equal(c.message, message));
	}
}

static void the_stream_may_move_between_calls(void **state)
{
	(void)state;
	struct bytes message = message_of(300), stream = records_of(message, 100);
	struct collect c;
	collect_init(&c, scratch, sizeof(scratch));
	for (size_t n = 0; n <= stream.len; n++) {
		uint8_t *copy = malloc(n ? n : 1);
		assert_non_null(copy);
		memcpy(copy, stream.data, n);
		enum collect_result result = collect_more(&c, bytes_of(copy, n));
		free(copy);
		assert_int_equal(result, n < stream.len ? COLLECT_NEED_MORE : COLLECT_DONE);
	}
	assert_true(bytes_equal(c.message, message));
}

static void wanted_octets_lead_to_the_end_in_few_calls(void **state)
{
	(void)state;
	struct bytes stream = records_of(message_of(5000), 1000);
	struct collect c;
	size_t calls = 0;
	collect_init(&c, scratch, sizeof(scratch));
	while (collect_more(&c, bytes_of(stream.data, c.wanted)) == COLLECT_NEED_MORE)
		calls++;
	assert_int_equal(calls, 9);
	assert_int_equal(c.consumed, stream.len);
}

static void other_protocols_are_told_at_once(void **state)
{
	(void)state;
	assert_refused(bytes_str("GET / HTTP/1.1\r\n"), COLLECT_NOT_TLS);
	assert_refused(bytes_str("SSH-2.0-x"), COLLECT_NOT_TLS);
	assert_refused(RAW(22, 'x'), COLLECT_NOT_TLS);
	assert_refused(RAW(21, 2), COLLECT_NOT_TLS);
	assert_refused(RAW(0x80, 0x2e, 2), COLLECT_NOT_TLS);
	assert_refused(RAW(0x80, 0x2e, 1, 4), COLLECT_NOT_TLS);
	assert_refused(RAW(0x80, 0x2e, 1, 0, 3), COLLECT_NOT_TLS);
	assert_refused(RAW(5, 1, 0), COLLECT_NOT_TLS);
	struct collect c;
	assert_int_equal(collect_once(&c, BYTES_NONE), COLLECT_NEED_MORE);
	assert_int_equal(collect_once(&c, RAW(22)), COLLECT_NEED_MORE);
}

static void sslv2_hellos_are_named(void **state)
{
	(void)state;
	assert_refused(RAW(0x80, 0x2e, 1, 0, 2, 0, 21), COLLECT_SSLV2);
	assert_refused(RAW(0x80, 0x2e, 1, 3, 1, 0, 21), COLLECT_SSLV2);
	struct collect c;
	assert_int_equal(collect_once(&c, RAW(0x80, 0x2e, 1)), COLLECT_NEED_MORE);
}

static void other_records_are_no_hello(void **state)
{
	(void)state;
	assert_refused(RAW(21, 3, 3, 0, 2, 1, 0), COLLECT_NOT_HELLO);
	assert_refused(RAW(23, 3, 3, 0, 1, 0), COLLECT_NOT_HELLO);
	assert_refused(RAW(20, 3, 3, 0, 1, 1), COLLECT_NOT_HELLO);
	assert_refused(RAW(22, 3, 1, 0, 5, 2), COLLECT_NOT_HELLO);
	assert_refused(RAW(22, 3, 1, 0, 1, 0), COLLECT_NOT_HELLO);
}

static void records_in_between_and_empty_ones_are_refused(void **state)
{
	(void)state;
	assert_refused(RAW(22, 3, 1, 0, 1, 1, 21, 3, 1, 0, 2, 1, 0), COLLECT_INTERLEAVED);
	assert_refused(RAW(22, 3, 1, 0, 1, 1, 20, 3, 1, 0, 1, 1), COLLECT_INTERLEAVED);
	assert_refused(RAW(22, 3, 1, 0, 0), COLLECT_EMPTY_FRAGMENT);
	assert_refused(RAW(22, 3, 1, 0, 1, 1, 22, 3, 1, 0, 0), COLLECT_EMPTY_FRAGMENT);
	assert_refused(RAW(22, 3, 1, 0, 1, 1, 99), COLLECT_BROKEN_RECORD);
	assert_refused(RAW(22, 3, 1, 0, 1, 1, 22, 4), COLLECT_BROKEN_RECORD);
}

static void records_over_16_kib_are_refused(void **state)
{
	(void)state;
	assert_refused(RAW(22, 3, 1, 0x40, 1), COLLECT_RECORD_OVERFLOW);
	assert_refused(RAW(22, 3, 1, 0xff, 0xff), COLLECT_RECORD_OVERFLOW);
	struct collect c;
	assert_int_equal(collect_once(&c, RAW(22, 3, 1, 0x40, 0)), COLLECT_NEED_MORE);
}

static void a_message_over_64_kib_is_refused_by_its_header(void **state)
{
	(void)state;
	assert_refused(RAW(22, 3, 1, 0x40, 0, 1, 0, 0xff, 0xfd), COLLECT_TOO_LONG);
	assert_refused(RAW(22, 3, 1, 0, 2, 1, 0xff, 22, 3, 1, 0, 2, 0xff, 0xff), COLLECT_TOO_LONG);
	struct collect c;
	assert_int_equal(collect_once(&c, RAW(22, 3, 1, 0x40, 0, 1, 0, 0xff, 0xfc)), COLLECT_NEED_MORE);
}

static void octets_after_the_hello_in_its_record_are_refused(void **state)
{
	(void)state;
	struct bytes message = message_of(0);
	message_room[message.len] = 20;
	struct bytes longer = bytes_of(message.data, message.len + 1);
	assert_refused(records_of(longer, 16384), COLLECT_TRAILING);
	assert_refused(records_of(longer, longer.len / 2), COLLECT_TRAILING);
	/* In a record of its own it is no concern of ours. */
	struct collect c;
	assert_int_equal(collect_once(&c, records_of(longer, message.len)), COLLECT_DONE);
	assert_int_equal(c.consumed, message.len + 5);
}

static void too_little_room_is_said_as_soon_as_the_length_is_known(void **state)
{
	(void)state;
	struct bytes message = message_of(600), stream = records_of(message, 300);
	struct collect c;
	collect_init(&c, scratch, 599);
	assert_int_equal(collect_more(&c, bytes_of(stream.data, 9)), COLLECT_NO_ROOM);
	collect_init(&c, scratch, 600);
	assert_int_equal(collect_more(&c, stream), COLLECT_DONE);
	collect_init(&c, NULL, 0);
	assert_int_equal(collect_more(&c, RAW(22, 3, 1, 0, 1, 1)), COLLECT_NO_ROOM);
}

static void every_result_has_words_and_an_alert(void **state)
{
	(void)state;
	for (enum collect_result r = COLLECT_DONE; r <= COLLECT_NO_ROOM; r++) {
		assert_string_not_equal(collect_result_text(r), "unknown result");
		assert_non_null(alert_name(collect_alert(r)));
	}
	assert_int_equal(collect_alert(COLLECT_NOT_TLS), ALERT_CLOSE_NOTIFY);
	assert_int_equal(collect_alert(COLLECT_SSLV2), ALERT_PROTOCOL_VERSION);
	assert_int_equal(collect_alert(COLLECT_RECORD_OVERFLOW), ALERT_RECORD_OVERFLOW);
	assert_int_equal(collect_alert(COLLECT_INTERLEAVED), ALERT_UNEXPECTED_MESSAGE);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_hello_in_one_record_is_not_copied),
		cmocka_unit_test(what_follows_the_hello_is_left),
		cmocka_unit_test(a_hello_over_records_is_put_together_whatever_their_size),
		cmocka_unit_test(one_octet_a_call_gives_the_same),
		cmocka_unit_test(the_longest_hello_is_taken_one_octet_a_call),
		cmocka_unit_test(the_stream_may_move_between_calls),
		cmocka_unit_test(wanted_octets_lead_to_the_end_in_few_calls),
		cmocka_unit_test(other_protocols_are_told_at_once),
		cmocka_unit_test(sslv2_hellos_are_named),
		cmocka_unit_test(other_records_are_no_hello),
		cmocka_unit_test(records_in_between_and_empty_ones_are_refused),
		cmocka_unit_test(records_over_16_kib_are_refused),
		cmocka_unit_test(a_message_over_64_kib_is_refused_by_its_header),
		cmocka_unit_test(octets_after_the_hello_in_its_record_are_refused),
		cmocka_unit_test(too_little_room_is_said_as_soon_as_the_length_is_known),
		cmocka_unit_test(every_result_has_words_and_an_alert),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
