#include "capture_build.h"
#include "watch/ip.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

static uint8_t room[200000];

static enum link_result decode_cut(struct writer *w, uint64_t cut, struct packet *out)
{
	struct layer layer = {.type = LAYER_ANY_IP, .bytes = written(w), .cut = cut};
	enum link_result result;
	do
		result = ip_decode(&layer, 5, NULL, out);
	while (result == LINK_LAYER && layer.type != LAYER_ETHERNET);
	return result;
}

static enum link_result decode(struct writer *w, struct packet *out)
{
	return decode_cut(w, 0, out);
}

static struct writer begin(void)
{
	return writer_over(room, sizeof(room));
}

static void a_tcp_header_is_read_and_padding_is_no_payload(void **state)
{
	(void)state;
	struct writer w = begin();
	put_ipv4(&w, 6, 43);
	put_tcp(&w, bytes_str("abc"));
	writer_bytes(&w, bytes_str("\0\0\0\0\0padding"));
	struct packet packet;
	assert_int_equal(decode(&w, &packet), LINK_PACKET);
	assert_int_equal(packet.protocol, PACKET_TCP);
	assert_int_equal(packet.time_ns, 5);
	assert_int_equal(packet.source.family, 4);
	assert_memory_equal(packet.source.ip, ((uint8_t[16]){192, 0, 2, 1}), 16);
	assert_memory_equal(packet.destination.ip, ((uint8_t[16]){192, 0, 2, 2}), 16);
	assert_int_equal(packet.source.port, 1000);
	assert_int_equal(packet.destination.port, 443);
	assert_int_equal(packet.seq, 1000);
	assert_int_equal(packet.ack, 2000);
	assert_int_equal(packet.flags, PACKET_ACK | PACKET_PSH);
	assert_true(bytes_equal(packet.payload, bytes_str("abc")));
	assert_int_equal(packet.cut, 0);
}

static void options_of_ip_and_tcp_are_passed_over(void **state)
{
	(void)state;
	struct writer w = begin();
	put_ipv4(&w, 6, 51);
	writer_u32(&w, 0x01010101);
	put_tcp(&w, bytes_str("\1\1\1\1abc"));
	room[0] = 0x46;
	room[24 + 12] = 0x60;
	struct packet packet;
	assert_int_equal(decode(&w, &packet), LINK_PACKET);
	assert_true(bytes_equal(packet.payload, bytes_str("abc")));
}

static void superframes_have_the_frame_s_length(void **state)
{
	(void)state;
	static uint8_t much[100000];
	struct packet packet;
	struct writer w = begin();
	put_ipv4(&w, 6, 0);
	put_tcp(&w, bytes_of(much, sizeof(much)));
	assert_int_equal(decode(&w, &packet), LINK_PACKET);
	assert_int_equal(packet.payload.len, sizeof(much));
	w = begin();
	put_ipv6(&w, 6, 0);
	put_tcp(&w, bytes_of(much, sizeof(much)));
	assert_int_equal(decode(&w, &packet), LINK_PACKET);
	assert_int_equal(packet.payload.len, sizeof(much));
	/* With a jumbo option, that says the length. */
	w = begin();
	put_ipv6(&w, 0, 0);
	writer_bytes(&w, RAW(6, 0, 0xc2, 4));
	writer_u32(&w, 8 + 20 + 90000);
	put_tcp(&w, bytes_of(much, sizeof(much)));
	assert_int_equal(decode(&w, &packet), LINK_PACKET);
	assert_int_equal(packet.payload.len, 90000);
}

static void what_the_snap_length_cut_is_told(void **state)
{
	(void)state;
	struct packet packet;
	struct writer w = begin();
	put_ipv4(&w, 6, 40 + 1000);
	put_tcp(&w, bytes_str("abc"));
	assert_int_equal(decode_cut(&w, 997, &packet), LINK_PACKET);
	assert_int_equal(packet.payload.len, 3);
	assert_int_equal(packet.cut, 997);
	/* The frame was longer than the packet: what was cut of it was padding, in part. */
	assert_int_equal(decode_cut(&w, 2000, &packet), LINK_PACKET);
	assert_int_equal(packet.cut, 997);
	/* Options are not needed. */
	room[32] = 0x80;
	w.len = 42;
	assert_int_equal(decode_cut(&w, 998, &packet), LINK_PACKET);
	assert_int_equal(packet.seq, 1000);
	assert_int_equal(packet.payload.len, 0);
	assert_int_equal(packet.cut, 988);
	w.len = 30;
	assert_int_equal(decode_cut(&w, 1010, &packet), LINK_SHORT);
	w.len = 10;
	assert_int_equal(decode_cut(&w, 1030, &packet), LINK_SHORT);
}

static void headers_that_cannot_be_are_told_apart(void **state)
{
	(void)state;
	struct packet packet;
	struct writer w = begin();
	put_ipv4(&w, 6, 43);
	put_tcp(&w, bytes_str("abc"));
	room[0] = 0x44;
	assert_int_equal(decode(&w, &packet), LINK_BAD_IP);
	room[0] = 0x55;
	assert_int_equal(decode(&w, &packet), LINK_BAD_IP);
	room[0] = 0x45;
	room[3] = 19;
	assert_int_equal(decode(&w, &packet), LINK_BAD_IP);
	room[3] = 39;
	assert_int_equal(decode(&w, &packet), LINK_BAD_TRANSPORT);
	room[3] = 43;
	room[32] = 0x40;
	assert_int_equal(decode(&w, &packet), LINK_BAD_TRANSPORT);
	room[32] = 0x60;
	assert_int_equal(decode(&w, &packet), LINK_BAD_TRANSPORT);
	room[9] = 1;
	assert_int_equal(decode(&w, &packet), LINK_NOT_TRANSPORT);
	w.len = 0;
	assert_int_equal(decode(&w, &packet), LINK_BAD_IP);
}

static void udp_has_its_own_length(void **state)
{
	(void)state;
	struct packet packet;
	struct writer w = begin();
	put_ipv4(&w, 17, 20 + 8 + 6);
	put_udp(&w, 443, bytes_str("abcdef"));
	room[25] = 11;
	assert_int_equal(decode(&w, &packet), LINK_PACKET);
	assert_int_equal(packet.protocol, PACKET_UDP);
	assert_true(bytes_equal(packet.payload, bytes_str("abc")));
	room[25] = 0;
	assert_int_equal(decode(&w, &packet), LINK_PACKET);
	assert_int_equal(packet.payload.len, 6);
	room[25] = 7;
	assert_int_equal(decode(&w, &packet), LINK_BAD_TRANSPORT);
}

static void extension_headers_of_ipv6_are_passed_over(void **state)
{
	(void)state;
	struct packet packet;
	struct writer w = begin();
	put_ipv6(&w, 0, 8 + 16 + 8 + 24 + 8 + 20 + 3);
	writer_bytes(&w, RAW(43, 0, 1, 4, 0, 0, 0, 0));
	writer_bytes(&w, RAW(60, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0));
	writer_bytes(&w, RAW(51, 0, 1, 4, 0, 0, 0, 0));
	writer_bytes(&w, RAW(44, 4, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0));
	/* A fragment that is the whole datagram needs no other. */
	writer_bytes(&w, RAW(6, 0, 0, 0, 0, 0, 0, 9));
	put_tcp(&w, bytes_str("abc"));
	writer_bytes(&w, bytes_str("padding"));
	assert_int_equal(decode(&w, &packet), LINK_PACKET);
	assert_int_equal(packet.source.family, 6);
	assert_int_equal(packet.source.ip[15], 1);
	assert_int_equal(packet.destination.ip[15], 2);
	assert_true(bytes_equal(packet.payload, bytes_str("abc")));
	w = begin();
	put_ipv6(&w, 60, 8 * 20);
	for (unsigned i = 0; i < 20; i++)
		writer_bytes(&w, RAW(60, 0, 1, 4, 0, 0, 0, 0));
	assert_int_equal(decode(&w, &packet), LINK_BAD_IP);
	w = begin();
	put_ipv6(&w, 59, 0);
	put_tcp(&w, bytes_str("abc"));
	assert_int_equal(decode(&w, &packet), LINK_NOT_TRANSPORT);
}

static void ip_in_ip_and_gre_are_gone_through(void **state)
{
	(void)state;
	struct packet packet;
	struct writer w = begin();
	put_ipv4(&w, 41, 20 + 40 + 20 + 40 + 3);
	put_ipv6(&w, 4, 20 + 40 + 3);
	put_ipv4(&w, 6, 43);
	put_tcp(&w, bytes_str("abc"));
	assert_int_equal(decode(&w, &packet), LINK_PACKET);
	assert_int_equal(packet.source.family, 4);
	assert_true(bytes_equal(packet.payload, bytes_str("abc")));
	w = begin();
	put_ipv4(&w, 47, 0);
	writer_u16(&w, 0xb000);
	writer_u16(&w, 0x0800);
	writer_bytes(&w, bytes_str("sum_key_seq_"));
	put_ipv4(&w, 6, 43);
	put_tcp(&w, bytes_str("abc"));
	assert_int_equal(decode(&w, &packet), LINK_PACKET);
	assert_true(bytes_equal(packet.payload, bytes_str("abc")));
	room[21] = 1;
	assert_int_equal(decode(&w, &packet), LINK_NOT_TRANSPORT);
}

static void fragments_without_a_table_are_not_put_together(void **state)
{
	(void)state;
	struct packet packet;
	struct writer w = begin();
	put_ipv4_fragment(&w, 6, 1, 0, true, bytes_str("12345678"));
	assert_int_equal(decode(&w, &packet), LINK_FRAGMENT_FULL);
	assert_int_equal(decode_cut(&w, 5, &packet), LINK_FRAGMENT_FULL);
	w.len -= 4;
	assert_int_equal(decode_cut(&w, 4, &packet), LINK_FRAGMENT_SHORT);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_tcp_header_is_read_and_padding_is_no_payload),
		cmocka_unit_test(options_of_ip_and_tcp_are_passed_over),
		cmocka_unit_test(superframes_have_the_frame_s_length),
		cmocka_unit_test(what_the_snap_length_cut_is_told),
		cmocka_unit_test(headers_that_cannot_be_are_told_apart),
		cmocka_unit_test(udp_has_its_own_length),
		cmocka_unit_test(extension_headers_of_ipv6_are_passed_over),
		cmocka_unit_test(ip_in_ip_and_gre_are_gone_through),
		cmocka_unit_test(fragments_without_a_table_are_not_put_together),
	};
	return cmocka_run_group_tests_name("watch/ip", tests, NULL, NULL);
}
