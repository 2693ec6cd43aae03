#include "capture_build.h"
#include "watch/pcapng.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

#define TLSK 0x544c534b

static uint8_t room[700000];

static struct writer file(bool little)
{
	struct writer w = writer_over(room, sizeof(room));
	put_section(&w, little);
	return w;
}

static struct frame must_frame(struct pcapng_reader *reader, struct bytes *in)
{
	struct capture_item item;
	struct error err = {""};
	enum capture_result result = pcapng_reader_next(reader, in, &item, &err);
	assert_string_equal(err.text, "");
	assert_int_equal(result, CAPTURE_FRAME);
	return item.frame;
}

static void must_more(struct pcapng_reader *reader, struct bytes *in)
{
	struct capture_item item;
	struct error err = {""};
	assert_int_equal(pcapng_reader_next(reader, in, &item, &err), CAPTURE_MORE);
	assert_int_equal(in->len, 0);
	assert_true(pcapng_reader_between(reader, *in));
}

static void must_break(struct writer *w, const char *says)
{
	struct bytes in = written(w);
	struct pcapng_reader reader = {0};
	struct capture_item item;
	struct error err = {""};
	enum capture_result result;
	do
		result = pcapng_reader_next(&reader, &in, &item, &err);
	while (result == CAPTURE_FRAME);
	assert_int_equal(result, CAPTURE_BROKEN);
	if (!strstr(err.text, says))
		fail_msg("'%s' does not say '%s'", err.text, says);
	pcapng_reader_free(&reader);
}

static void sections_of_both_octet_orders_follow_each_other(void **state)
{
	(void)state;
	struct writer w = file(true);
	put_interface(&w, true, 1, 0, BYTES_NONE);
	put_interface(&w, true, 101, 0, BYTES_NONE);
	put_packet(&w, true, 1, 1700000000000000, bytes_str("abc"), 9, BYTES_NONE);
	put_section(&w, false);
	put_interface(&w, false, 113, 0, BYTES_NONE);
	put_packet(&w, false, 0, 7, bytes_str("defg"), 4, BYTES_NONE);
	struct bytes in = written(&w);
	assert_true(pcapng_reader_knows(in));
	struct pcapng_reader reader = {0};
	struct frame frame = must_frame(&reader, &in);
	assert_true(bytes_equal(frame.bytes, bytes_str("abc")));
	assert_int_equal(frame.time_ns, UINT64_C(1700000000000000000));
	assert_int_equal(frame.link, 101);
	assert_int_equal(frame.original, 9);
	assert_int_equal(frame.interface, 1);
	frame = must_frame(&reader, &in);
	assert_true(bytes_equal(frame.bytes, bytes_str("defg")));
	assert_int_equal(frame.link, 113);
	assert_int_equal(frame.time_ns, 7000);
	assert_int_equal(frame.interface, 2);
	assert_int_equal(frame.number, 2);
	must_more(&reader, &in);
	assert_int_equal(reader.sections, 2);
	pcapng_reader_free(&reader);
}

static uint64_t time_with(struct bytes resolution, struct bytes offset, uint64_t ticks)
{
	uint8_t space[64];
	struct writer options = writer_over(space, sizeof(space));
	put_option(&options, true, 9, resolution);
	if (offset.len > 0)
		put_option(&options, true, 14, offset);
	put_option(&options, true, 0, BYTES_NONE);
	struct writer w = file(true);
	put_interface(&w, true, 1, 0, written(&options));
	put_packet(&w, true, 0, ticks, BYTES_NONE, 0, BYTES_NONE);
	struct bytes in = written(&w);
	struct pcapng_reader reader = {0};
	uint64_t ns = must_frame(&reader, &in).time_ns;
	pcapng_reader_free(&reader);
	return ns;
}

static void every_resolution_of_time_comes_out_in_nanoseconds(void **state)
{
	(void)state;
	assert_int_equal(time_with(RAW(9), BYTES_NONE, 1700000000123456789), 1700000000123456789);
	assert_int_equal(time_with(RAW(0), BYTES_NONE, 1700000000), 1700000000000000000);
	assert_int_equal(time_with(RAW(3), BYTES_NONE, 1700000000001), 1700000000001000000);
	assert_int_equal(time_with(RAW(12), BYTES_NONE, 5999), 5);
	assert_int_equal(time_with(RAW(19), BYTES_NONE, UINT64_MAX), 1844674407);
	assert_int_equal(time_with(RAW(0x80 | 10), BYTES_NONE, 1536), 1500000000);
	assert_int_equal(time_with(RAW(0x80 | 32), BYTES_NONE, UINT64_C(3) << 31), 1500000000);
	assert_int_equal(time_with(RAW(6), RAW(10, 0, 0, 0, 0, 0, 0, 0), 1), 10000001000);
	/* Before 1970, and after what 64 bits hold. */
	assert_int_equal(time_with(RAW(6), RAW(0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff), 1), 0);
	assert_int_equal(time_with(RAW(0), BYTES_NONE, UINT64_MAX), 0);
}

static void simple_and_old_packets_are_read(void **state)
{
	(void)state;
	uint8_t space[64];
	struct writer w = file(true);
	put_interface(&w, true, 1, 5, BYTES_NONE);
	struct writer body = writer_over(space, sizeof(space));
	put32(&body, true, 20);
	writer_bytes(&body, bytes_str("abcde"));
	put_block(&w, true, 3, written(&body));
	body = writer_over(space, sizeof(space));
	put16(&body, true, 0);
	put16(&body, true, 3);
	put32(&body, true, 0);
	put32(&body, true, 2);
	put32(&body, true, 2);
	put32(&body, true, 2);
	writer_bytes(&body, bytes_str("hi"));
	put_block(&w, true, 2, written(&body));
	struct bytes in = written(&w);
	struct pcapng_reader reader = {0};
	struct frame frame = must_frame(&reader, &in);
	assert_true(bytes_equal(frame.bytes, bytes_str("abcde")));
	assert_int_equal(frame.original, 20);
	assert_int_equal(frame.time_ns, 0);
	frame = must_frame(&reader, &in);
	assert_true(bytes_equal(frame.bytes, bytes_str("hi")));
	assert_int_equal(frame.time_ns, 2000);
	assert_int_equal(reader.counts.dropped_before, 3);
	must_more(&reader, &in);
	pcapng_reader_free(&reader);
}

static void secrets_come_out_wherever_they_stand_and_others_are_passed_over(void **state)
{
	(void)state;
	struct writer w = file(true);
	put_secrets(&w, true, TLSK, bytes_str("A 1 2\nB 3 4\n"));
	put_interface(&w, true, 1, 0, BYTES_NONE);
	put_packet(&w, true, 0, 0, bytes_str("x"), 1, BYTES_NONE);
	put_secrets(&w, true, 0x57474b4c, bytes_str("not for us"));
	put_secrets(&w, true, TLSK, bytes_str("C 5 6"));
	put_secrets(&w, true, TLSK, BYTES_NONE);
	struct bytes all = written(&w), in = all;
	struct pcapng_reader reader = {0};
	struct capture_item item;
	struct error err;
	assert_int_equal(pcapng_reader_next(&reader, &in, &item, &err), CAPTURE_SECRETS);
	assert_true(bytes_equal(item.secrets.text, bytes_str("A 1 2\nB 3 4\n")));
	assert_true(item.secrets.last);
	assert_int_equal(item.secrets.at, 28 + 16);
	must_frame(&reader, &in);
	assert_int_equal(pcapng_reader_next(&reader, &in, &item, &err), CAPTURE_SECRETS);
	assert_true(bytes_equal(item.secrets.text, bytes_str("C 5 6")));
	/* The offset leads to the text. */
	struct bytes there = all;
	assert_true(bytes_skip(&there, item.secrets.at) && bytes_starts(there, item.secrets.text));
	must_more(&reader, &in);
	assert_int_equal(reader.counts.secrets, 3);
	assert_int_equal(reader.counts.secrets_other, 1);
	pcapng_reader_free(&reader);
}

static void long_secrets_come_in_pieces_of_whole_lines(void **state)
{
	(void)state;
	static char text[200000];
	for (size_t i = 0; i < sizeof(text); i++)
		text[i] = i % 100 == 99 ? '\n' : 'k';
	struct writer w = file(false);
	put_secrets(&w, false, TLSK, bytes_of(text, sizeof(text)));
	put_interface(&w, false, 1, 0, BYTES_NONE);
	put_packet(&w, false, 0, 0, bytes_str("x"), 1, BYTES_NONE);
	struct bytes all = written(&w);
	struct pcapng_reader reader = {0};
	size_t taken = 0, given = 0;
	bool framed = false;
	for (size_t end = 0; taken < all.len;) {
		struct bytes in = bytes_of(room + taken, end - taken);
		struct capture_item item;
		struct error err;
		enum capture_result result = pcapng_reader_next(&reader, &in, &item, &err);
		taken = end - in.len;
		assert_int_not_equal(result, CAPTURE_BROKEN);
		if (result == CAPTURE_MORE)
			end = end + 1000 < all.len ? end + 1000 : all.len;
		if (result == CAPTURE_SECRETS) {
			assert_int_equal(item.secrets.text.len % 100, 0);
			assert_memory_equal(item.secrets.text.data, text + given, item.secrets.text.len);
			given += item.secrets.text.len;
			assert_true(item.secrets.last == (given == sizeof(text)));
		}
		framed = framed || result == CAPTURE_FRAME;
	}
	assert_int_equal(given, sizeof(text));
	assert_true(framed);
	pcapng_reader_free(&reader);
}

static void unknown_blocks_of_any_length_pass_by_without_being_held(void **state)
{
	(void)state;
	static uint8_t much[250000];
	struct writer w = file(true);
	put_block(&w, true, 0x40000bad, bytes_of(much, sizeof(much)));
	put_block(&w, true, 4, bytes_str("names   "));
	put_interface(&w, true, 1, 0, BYTES_NONE);
	put_packet(&w, true, 0, 0, bytes_str("x"), 1, BYTES_NONE);
	struct bytes all = written(&w);
	struct pcapng_reader reader = {0};
	size_t held = 0, frames = 0;
	for (size_t end = 0, taken = 0; end <= all.len; end++) {
		struct bytes in = bytes_of(room + taken, end - taken);
		struct capture_item item;
		struct error err;
		if (pcapng_reader_next(&reader, &in, &item, &err) == CAPTURE_FRAME)
			frames++;
		held = in.len > held ? in.len : held;
		taken = end - in.len;
	}
	assert_int_equal(frames, 1);
	assert_true(held < 64);
	assert_int_equal(reader.counts.blocks_skipped, 2);
	pcapng_reader_free(&reader);
}

static void losses_told_by_the_file_are_counted(void **state)
{
	(void)state;
	uint8_t space[64];
	struct writer w = file(true);
	put_interface(&w, true, 1, 0, BYTES_NONE);
	struct writer options = writer_over(space, sizeof(space));
	put_option(&options, true, 4, RAW(7, 0, 0, 0, 0, 0, 0, 0));
	put_packet(&w, true, 0, 0, bytes_str("x"), 1, written(&options));
	for (uint8_t dropped = 10; dropped <= 15; dropped += 5) {
		struct writer body = writer_over(space, sizeof(space));
		put32(&body, true, 0);
		put64(&body, true, 0);
		put_option(&body, true, 5, RAW(dropped, 0, 0, 0, 0, 0, 0, 0));
		put_option(&body, true, 0, BYTES_NONE);
		put_block(&w, true, 5, written(&body));
	}
	struct bytes in = written(&w);
	struct pcapng_reader reader = {0};
	must_frame(&reader, &in);
	must_more(&reader, &in);
	assert_int_equal(reader.counts.dropped_before, 7);
	assert_int_equal(reader.counts.dropped_interface, 15);
	pcapng_reader_free(&reader);
}

static void a_check_sequence_is_taken_off(void **state)
{
	(void)state;
	uint8_t space[64];
	struct writer options = writer_over(space, sizeof(space));
	put_option(&options, true, 13, RAW(4));
	struct writer w = file(true);
	put_interface(&w, true, 1, 0, written(&options));
	put_packet(&w, true, 0, 0, bytes_str("abcdFCS4"), 8, BYTES_NONE);
	struct bytes in = written(&w);
	struct pcapng_reader reader = {0};
	assert_true(bytes_equal(must_frame(&reader, &in).bytes, bytes_str("abcd")));
	pcapng_reader_free(&reader);
}

static void broken_options_are_counted_and_their_block_stands(void **state)
{
	(void)state;
	struct writer w = file(true);
	put_interface(&w, true, 1, 0, RAW(9, 0, 200, 0));
	put_packet(&w, true, 0, 3, bytes_str("x"), 1, RAW(4, 0, 8, 0, 1, 1, 1, 1));
	struct bytes in = written(&w);
	struct pcapng_reader reader = {0};
	assert_int_equal(must_frame(&reader, &in).time_ns, 3000);
	assert_int_equal(reader.counts.options_broken, 2);
	pcapng_reader_free(&reader);
}

static void nonsense_is_told_with_its_place(void **state)
{
	(void)state;
	struct writer w = file(true);
	put_packet(&w, true, 0, 0, bytes_str("x"), 1, BYTES_NONE);
	must_break(&w, "after frame 0, octet 28: a frame of an interface that was not described (0)");

	w = file(true);
	put_interface(&w, true, 1, 0, BYTES_NONE);
	put_packet(&w, true, 0, 0, bytes_str("x"), 1, BYTES_NONE);
	put_packet(&w, true, 0, 0, bytes_str("y"), 1, BYTES_NONE);
	room[w.len - 4] ^= 1;
	must_break(&w, "after frame 1, octet 84: a block whose second length is not its first");

	w = file(true);
	put_block(&w, true, 77, bytes_str("skip"));
	room[w.len - 4] ^= 1;
	must_break(&w, "octet 28: a block whose second length is not its first");

	w = file(true);
	put32(&w, true, 6);
	put32(&w, true, 13);
	put64(&w, true, 0);
	must_break(&w, "octet 32: a length that no block has");

	w = file(true);
	put32(&w, true, 6);
	put32(&w, true, 0x7ffffff0);
	put64(&w, true, 0);
	must_break(&w, "octet 28: a block of a length that cannot be");

	w = file(true);
	put_interface(&w, true, 1, 0, RAW(9, 0, 1, 0, 20, 0, 0, 0));
	must_break(&w, "a resolution of time that cannot be (20)");

	w = file(true);
	put_interface(&w, true, 1, 0, BYTES_NONE);
	put_packet(&w, true, 0, 0, bytes_str("x"), 1, BYTES_NONE);
	room[28 + 20 + 20] = 9;
	must_break(&w, "a frame that is longer than its block (9)");

	w = file(true);
	put_secrets(&w, true, TLSK, bytes_str("abc"));
	room[28 + 12] = 5;
	must_break(&w, "secrets that are longer than their block (5)");

	w = writer_over(room, sizeof(room));
	put_interface(&w, true, 1, 0, BYTES_NONE);
	must_break(&w, "does not begin with a section");

	w = file(true);
	room[8] = 0;
	must_break(&w, "octet 8: not the octet-order mark");
}

static void where_a_file_is_cut_is_known(void **state)
{
	(void)state;
	struct writer w = file(true);
	put_interface(&w, true, 1, 0, BYTES_NONE);
	put_secrets(&w, true, TLSK, bytes_str("A 1 2\n"));
	put_block(&w, true, 77, bytes_str("skip"));
	put_packet(&w, true, 0, 0, bytes_str("x"), 1, BYTES_NONE);
	struct bytes all = written(&w);
	for (size_t end = 0; end <= all.len; end++) {
		struct pcapng_reader reader = {0};
		struct bytes in = bytes_of(room, end);
		struct capture_item item;
		struct error err;
		enum capture_result result;
		do
			result = pcapng_reader_next(&reader, &in, &item, &err);
		while (result == CAPTURE_FRAME || result == CAPTURE_SECRETS);
		assert_int_equal(result, CAPTURE_MORE);
		bool border =
			end == 0 || end == 28 || end == 48 || end == 48 + 28 || end == 48 + 28 + 16 || end == all.len;
		assert_true(pcapng_reader_between(&reader, in) == border);
		pcapng_reader_free(&reader);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(sections_of_both_octet_orders_follow_each_other),
		cmocka_unit_test(every_resolution_of_time_comes_out_in_nanoseconds),
		cmocka_unit_test(simple_and_old_packets_are_read),
		cmocka_unit_test(secrets_come_out_wherever_they_stand_and_others_are_passed_over),
		cmocka_unit_test(long_secrets_come_in_pieces_of_whole_lines),
		cmocka_unit_test(unknown_blocks_of_any_length_pass_by_without_being_held),
		cmocka_unit_test(losses_told_by_the_file_are_counted),
		cmocka_unit_test(a_check_sequence_is_taken_off),
		cmocka_unit_test(broken_options_are_counted_and_their_block_stands),
		cmocka_unit_test(nonsense_is_told_with_its_place),
		cmocka_unit_test(where_a_file_is_cut_is_known),
	};
	return cmocka_run_group_tests_name("watch/pcapng", tests, NULL, NULL);
}
