#include "capture_build.h"
#include "watch/pcap.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

static void both_octet_orders_and_both_units_of_time_are_read(void **state)
{
	(void)state;
	for (unsigned i = 0; i < 4; i++) {
		bool little = i & 1, nano = i & 2;
		uint8_t room[256];
		struct writer w = writer_over(room, sizeof(room));
		put_pcap(&w, little, nano ? PCAP_NANO : PCAP_MICRO, 1);
		put_record(&w, little, 1700000000, 5, bytes_str("abc"), 60);
		put_record(&w, little, 1700000001, 6, bytes_str(""), 0);
		struct bytes in = written(&w);
		assert_true(pcap_reader_knows(in));
		struct pcap_reader reader = {0};
		struct frame frame;
		struct error err;
		assert_int_equal(pcap_reader_next(&reader, &in, &frame, &err), CAPTURE_FRAME);
		assert_true(bytes_equal(frame.bytes, bytes_str("abc")));
		assert_int_equal(frame.original, 60);
		assert_int_equal(frame.number, 1);
		assert_int_equal(frame.at, 24);
		assert_int_equal(frame.link, 1);
		assert_int_equal(frame.time_ns, UINT64_C(1700000000000000000) + (nano ? 5 : 5000));
		assert_int_equal(pcap_reader_next(&reader, &in, &frame, &err), CAPTURE_FRAME);
		assert_int_equal(frame.number, 2);
		assert_int_equal(frame.bytes.len, 0);
		assert_int_equal(frame.at, 24 + 16 + 3);
		assert_int_equal(pcap_reader_next(&reader, &in, &frame, &err), CAPTURE_MORE);
		assert_int_equal(in.len, 0);
		assert_int_equal(reader.counts.frames, 2);
		assert_int_equal(reader.counts.octets, 3);
	}
}

static void the_longer_headers_of_old_linux_are_read(void **state)
{
	(void)state;
	uint8_t room[256];
	struct writer w = writer_over(room, sizeof(room));
	put_pcap(&w, true, 0xa1b2cd34, 1);
	for (unsigned i = 0; i < 2; i++) {
		put64(&w, true, 0);
		put32(&w, true, 2);
		put32(&w, true, 2);
		put64(&w, true, 0);
		writer_bytes(&w, bytes_str("hi"));
	}
	struct bytes in = written(&w);
	struct pcap_reader reader = {0};
	struct frame frame;
	struct error err;
	for (unsigned i = 0; i < 2; i++) {
		assert_int_equal(pcap_reader_next(&reader, &in, &frame, &err), CAPTURE_FRAME);
		assert_true(bytes_equal(frame.bytes, bytes_str("hi")));
	}
	assert_int_equal(in.len, 0);
}

static void octet_by_octet_gives_the_same_frames(void **state)
{
	(void)state;
	uint8_t room[512];
	struct writer w = writer_over(room, sizeof(room));
	put_pcap(&w, true, PCAP_MICRO, 1);
	for (size_t i = 0; i < 5; i++)
		put_record(&w, true, (uint32_t)i, 0, bytes_of("0123456789", i * 2), 10);
	struct bytes all = written(&w);
	struct pcap_reader reader = {0};
	struct frame frame;
	struct error err;
	size_t taken = 0, frames = 0;
	for (size_t end = 0; end <= all.len; end++) {
		struct bytes in = bytes_of(room + taken, end - taken);
		enum capture_result result = pcap_reader_next(&reader, &in, &frame, &err);
		if (result == CAPTURE_MORE) {
			/* The reader never asks for less than it has. */
			assert_true(reader.need > in.len);
		} else {
			assert_int_equal(result, CAPTURE_FRAME);
			assert_int_equal(frame.bytes.len, frames * 2);
			frames++;
		}
		taken = end - in.len;
		assert_int_equal(reader.at, taken);
	}
	assert_int_equal(frames, 5);
	assert_int_equal(taken, all.len);
}

static void a_frame_that_cannot_be_is_named_with_its_place(void **state)
{
	(void)state;
	uint8_t room[256];
	struct writer w = writer_over(room, sizeof(room));
	put_pcap(&w, true, PCAP_MICRO, 1);
	put_record(&w, true, 0, 0, bytes_str("ok"), 2);
	put64(&w, true, 0);
	put32(&w, true, 0x7fffffff);
	put32(&w, true, 0x7fffffff);
	struct bytes in = written(&w);
	struct pcap_reader reader = {0};
	struct frame frame;
	struct error err;
	assert_int_equal(pcap_reader_next(&reader, &in, &frame, &err), CAPTURE_FRAME);
	assert_int_equal(pcap_reader_next(&reader, &in, &frame, &err), CAPTURE_BROKEN);
	assert_non_null(strstr(err.text, "frame 2, octet 42"));
	assert_non_null(strstr(err.text, "2147483647"));
}

static void a_superframe_of_the_longest_snap_length_is_read(void **state)
{
	(void)state;
	static uint8_t room[300000], payload[262144];
	struct writer w = writer_over(room, sizeof(room));
	put_pcap(&w, true, PCAP_MICRO, 1);
	put_record(&w, true, 0, 0, bytes_of(payload, sizeof(payload)), sizeof(payload));
	struct bytes in = written(&w);
	struct pcap_reader reader = {0};
	struct frame frame;
	struct error err;
	assert_int_equal(pcap_reader_next(&reader, &in, &frame, &err), CAPTURE_FRAME);
	assert_int_equal(frame.bytes.len, sizeof(payload));
}

static void a_check_sequence_is_taken_off_whole_frames_only(void **state)
{
	(void)state;
	uint8_t room[256];
	struct writer w = writer_over(room, sizeof(room));
	put_pcap(&w, true, PCAP_MICRO, 0x24000001);
	put_record(&w, true, 0, 0, bytes_str("abcdFCS4"), 8);
	put_record(&w, true, 0, 0, bytes_str("abcdefgh"), 20);
	struct bytes in = written(&w);
	struct pcap_reader reader = {0};
	struct frame frame;
	struct error err;
	assert_int_equal(pcap_reader_next(&reader, &in, &frame, &err), CAPTURE_FRAME);
	assert_int_equal(frame.link, 1);
	assert_true(bytes_equal(frame.bytes, bytes_str("abcd")));
	assert_int_equal(frame.original, 4);
	assert_int_equal(pcap_reader_next(&reader, &in, &frame, &err), CAPTURE_FRAME);
	assert_int_equal(frame.bytes.len, 8);
}

static void another_version_is_refused(void **state)
{
	(void)state;
	uint8_t room[64];
	struct writer w = writer_over(room, sizeof(room));
	put_pcap(&w, false, PCAP_MICRO, 1);
	room[5] = 3;
	struct bytes in = written(&w);
	struct pcap_reader reader = {0};
	struct frame frame;
	struct error err;
	assert_int_equal(pcap_reader_next(&reader, &in, &frame, &err), CAPTURE_BROKEN);
	assert_false(pcap_reader_knows(bytes_str("abcd")));
	assert_false(pcap_reader_knows(RAW(0xa1, 0xb2, 0xc3)));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(both_octet_orders_and_both_units_of_time_are_read),
		cmocka_unit_test(the_longer_headers_of_old_linux_are_read),
		cmocka_unit_test(octet_by_octet_gives_the_same_frames),
		cmocka_unit_test(a_frame_that_cannot_be_is_named_with_its_place),
		cmocka_unit_test(a_superframe_of_the_longest_snap_length_is_read),
		cmocka_unit_test(a_check_sequence_is_taken_off_whole_frames_only),
		cmocka_unit_test(another_version_is_refused),
	};
	return cmocka_run_group_tests_name("watch/pcap", tests, NULL, NULL);
}
