#include "capture_build.h"
#include "watch/link.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

static uint8_t room[70000];

static struct writer begin(void)
{
	return writer_over(room, sizeof(room));
}

static enum link_result decode(uint16_t link, struct bytes bytes, struct fragments *fragments, struct packet *packet)
{
	struct frame frame = {.number = 9, .link = link, .bytes = bytes, .original = (uint32_t)bytes.len};
	return link_decode(&frame, fragments, packet);
}

/* An IPv4 or IPv6 packet with the payload "abc". */
static void put_ip(struct writer *w, unsigned version)
{
	if (version == 4)
		put_ipv4(w, 6, 43);
	else
		put_ipv6(w, 6, 23);
	put_tcp(w, bytes_str("abc"));
}

static void must_decode(uint16_t link, struct writer *w, unsigned version)
{
	struct packet packet;
	assert_int_equal(decode(link, written(w), NULL, &packet), LINK_PACKET);
	assert_int_equal(packet.source.family, version);
	assert_int_equal(packet.number, 9);
	assert_true(bytes_equal(packet.payload, bytes_str("abc")));
	/* However little is captured of it, it is a packet or a header is missing. */
	for (size_t len = 0; len < w->len; len++) {
		struct frame frame = {.link = link, .bytes = bytes_of(room, len), .original = (uint32_t)w->len};
		enum link_result result = link_decode(&frame, NULL, &packet);
		if (result == LINK_PACKET)
			assert_int_equal(packet.payload.len + packet.cut, 3);
		else if (len >= 24)
			assert_int_equal(result, LINK_SHORT);
	}
}

static void ethernet_is_read_with_any_tags(void **state)
{
	(void)state;
	for (unsigned version = 4; version <= 6; version += 2) {
		uint16_t type = version == 4 ? 0x0800 : 0x86dd;
		struct writer w = begin();
		put_ethernet(&w, type);
		put_ip(&w, version);
		must_decode(LINKTYPE_ETHERNET, &w, version);
		w = begin();
		put_ethernet(&w, 0x88a8);
		writer_u16(&w, 5);
		writer_u16(&w, 0x8100);
		writer_u16(&w, 6);
		writer_u16(&w, 0x9100);
		writer_u16(&w, 7);
		writer_u16(&w, type);
		put_ip(&w, version);
		must_decode(LINKTYPE_ETHERNET, &w, version);
	}
}

static void mpls_pppoe_and_snap_are_read(void **state)
{
	(void)state;
	struct writer w = begin();
	put_ethernet(&w, 0x8847);
	writer_u32(&w, 0x00010040);
	writer_u32(&w, 0x00011140);
	put_ip(&w, 6);
	must_decode(LINKTYPE_ETHERNET, &w, 6);
	w = begin();
	put_ethernet(&w, 0x8847);
	writer_u32(&w, 0x00011140);
	writer_u32(&w, 0);
	put_ethernet(&w, 0x0800);
	put_ip(&w, 4);
	must_decode(LINKTYPE_ETHERNET, &w, 4);
	w = begin();
	put_ethernet(&w, 0x8864);
	writer_u32(&w, 0x11000001);
	writer_u16(&w, 2 + 43);
	writer_u16(&w, 0x0021);
	put_ip(&w, 4);
	must_decode(LINKTYPE_ETHERNET, &w, 4);
	w = begin();
	put_ethernet(&w, 8 + 43);
	writer_bytes(&w, RAW(0xaa, 0xaa, 3, 0, 0, 0, 8, 0));
	put_ip(&w, 4);
	must_decode(LINKTYPE_ETHERNET, &w, 4);
}

static void cooked_loopback_raw_and_ppp_are_read(void **state)
{
	(void)state;
	struct writer w = begin();
	writer_bytes(&w, RAW(0, 0, 0, 1, 0, 6, 1, 2, 3, 4, 5, 6, 0, 0, 0x86, 0xdd));
	put_ip(&w, 6);
	must_decode(LINKTYPE_SLL, &w, 6);
	w = begin();
	writer_bytes(&w, RAW(8, 0, 0, 0, 0, 0, 0, 1, 0, 1, 0, 6, 1, 2, 3, 4, 5, 6, 0, 0));
	put_ip(&w, 4);
	must_decode(LINKTYPE_SLL2, &w, 4);
	static const uint8_t families[] = {10, 24, 28, 30};
	for (size_t i = 0; i < 2 * sizeof(families); i++) {
		w = begin();
		put32(&w, i & 1, families[i / 2]);
		put_ip(&w, 6);
		must_decode(LINKTYPE_NULL, &w, 6);
	}
	w = begin();
	writer_u32(&w, 2);
	put_ip(&w, 4);
	must_decode(LINKTYPE_LOOP, &w, 4);
	static const uint16_t raw[] = {LINKTYPE_RAW, LINKTYPE_RAW_OLD, LINKTYPE_RAW_BSD, LINKTYPE_IPV4};
	for (size_t i = 0; i < sizeof(raw) / sizeof(raw[0]); i++) {
		w = begin();
		put_ip(&w, 4);
		must_decode(raw[i], &w, 4);
	}
	w = begin();
	put_ip(&w, 6);
	must_decode(LINKTYPE_IPV6, &w, 6);
	w = begin();
	writer_u32(&w, 0xff030057);
	put_ip(&w, 6);
	must_decode(LINKTYPE_PPP, &w, 6);
}

static void put_tunnel(struct writer *w, uint16_t port, struct bytes header, uint16_t inner)
{
	put_ethernet(w, 0x0800);
	put_ipv4(w, 17, (uint16_t)(28 + header.len + inner));
	writer_u16(w, 33333);
	writer_u16(w, port);
	writer_u16(w, (uint16_t)(8 + header.len + inner));
	writer_u16(w, 0);
	writer_bytes(w, header);
}

static void vxlan_geneve_and_erspan_are_gone_through(void **state)
{
	(void)state;
	struct writer w = begin();
	put_tunnel(&w, 4789, RAW(8, 0, 0, 0, 0, 0, 42, 0), 14 + 63);
	put_ethernet(&w, 0x86dd);
	put_ip(&w, 6);
	must_decode(LINKTYPE_ETHERNET, &w, 6);
	w = begin();
	put_tunnel(&w, 6081, RAW(1, 0, 0x65, 0x58, 0, 0, 42, 0, 0, 0, 0, 0), 14 + 43);
	put_ethernet(&w, 0x0800);
	put_ip(&w, 4);
	must_decode(LINKTYPE_ETHERNET, &w, 4);
	w = begin();
	put_ethernet(&w, 0x0800);
	put_ipv4(&w, 47, 0);
	writer_bytes(&w, RAW(0x10, 0, 0x88, 0xbe, 0, 0, 0, 1, 0x10, 1, 0, 1, 0, 0, 0, 0));
	put_ethernet(&w, 0x0800);
	put_ip(&w, 4);
	must_decode(LINKTYPE_ETHERNET, &w, 4);
	/* UDP to that port that is no VXLAN stays UDP. */
	w = begin();
	put_ethernet(&w, 0x0800);
	put_ipv4(&w, 17, 36);
	put_udp(&w, 4789, bytes_str("\1\2\3\4\5\6\7\1"));
	struct packet packet;
	assert_int_equal(decode(LINKTYPE_ETHERNET, written(&w), NULL, &packet), LINK_PACKET);
	assert_int_equal(packet.protocol, PACKET_UDP);
	assert_int_equal(packet.payload.len, 8);
}

static void tunnels_in_tunnels_end(void **state)
{
	(void)state;
	struct packet packet;
	for (unsigned depth = 1; depth <= LINK_DEPTH_MAX + 1; depth++) {
		struct writer w = begin();
		for (unsigned i = 1; i < depth; i++)
			put_ipv4(&w, 4, 0);
		put_ip(&w, 4);
		assert_int_equal(decode(LINKTYPE_RAW, written(&w), NULL, &packet),
			depth <= LINK_DEPTH_MAX ? LINK_PACKET : LINK_TOO_DEEP);
	}
}

static void fragments_are_put_together_with_any_link_below(void **state)
{
	(void)state;
	struct fragments *fragments = fragments_new(FRAGMENT_LIMITS);
	uint8_t inner[64];
	struct writer tcp = writer_over(inner, sizeof(inner));
	put_tcp(&tcp, bytes_str("abcdefghijkl"));
	struct bytes whole = written(&tcp);
	struct packet packet;
	for (unsigned first = 0; first < 2; first++) {
		for (unsigned i = 0; i < 2; i++) {
			struct writer w = begin();
			bool tail = i == first;
			put_ethernet(&w, 0x0800);
			put_ipv4_fragment(&w, 6, (uint16_t)first, tail ? 24 : 0, !tail,
				tail ? bytes_of(inner + 24, whole.len - 24) : bytes_of(inner, 24));
			writer_bytes(&w, bytes_str("pad"));
			assert_int_equal(decode(LINKTYPE_ETHERNET, written(&w), fragments, &packet),
				i == 0 ? LINK_HELD : LINK_PACKET);
		}
		assert_true(bytes_equal(packet.payload, bytes_str("abcdefghijkl")));
		assert_int_equal(packet.source.port, 1000);
	}
	for (unsigned i = 0; i < 2; i++) {
		struct writer w = begin();
		put_ipv6(&w, 44, (uint16_t)(8 + (i ? whole.len - 24 : 24)));
		writer_u16(&w, 6 << 8);
		writer_u16(&w, i ? 24 : 1);
		writer_u32(&w, 77);
		writer_bytes(&w, i ? bytes_of(inner + 24, whole.len - 24) : bytes_of(inner, 24));
		assert_int_equal(
			decode(LINKTYPE_RAW, written(&w), fragments, &packet), i == 0 ? LINK_HELD : LINK_PACKET);
	}
	assert_true(bytes_equal(packet.payload, bytes_str("abcdefghijkl")));
	assert_int_equal(packet.source.family, 6);
	fragments_free(fragments);
}

static void fragments_within_fragments_are_put_together(void **state)
{
	(void)state;
	struct fragments *fragments = fragments_new(FRAGMENT_LIMITS);
	struct packet packet;
	uint8_t inner[64], outer[2][64];
	struct writer tcp = writer_over(inner, sizeof(inner));
	put_tcp(&tcp, bytes_str("abcdefghijkl"));
	enum link_result result = LINK_HELD;
	for (unsigned i = 0; i < 2; i++) {
		struct writer part = writer_over(outer[i], sizeof(outer[i]));
		put_ipv4_fragment(
			&part, 6, 500, i ? 16 : 0, i == 0, i ? bytes_of(inner + 16, 16) : bytes_of(inner, 16));
		for (unsigned j = 0; j < 2; j++) {
			struct writer w = begin();
			put_ipv4_fragment(&w, 4, (uint16_t)i, j ? 8 : 0, j == 0,
				j ? bytes_of(outer[i] + 8, 28) : bytes_of(outer[i], 8));
			assert_int_equal(result, LINK_HELD);
			result = decode(LINKTYPE_RAW, written(&w), fragments, &packet);
		}
	}
	assert_int_equal(result, LINK_PACKET);
	assert_true(bytes_equal(packet.payload, bytes_str("abcdefghijkl")));
	fragments_free(fragments);
}

static void everything_else_is_named_and_counted(void **state)
{
	(void)state;
	struct packet packet;
	struct link_counts counts = {{0}, {0}};
	struct frame frame = {.link = 105, .bytes = bytes_str("abc"), .original = 3};
	link_count(&counts, link_decode(&frame, NULL, &packet), &frame);
	assert_int_equal(counts.frames[LINK_UNKNOWN], 1);
	assert_int_equal(counts.octets[LINK_UNKNOWN], 3);
	struct writer w = begin();
	put_ethernet(&w, 0x0806);
	assert_int_equal(decode(LINKTYPE_ETHERNET, written(&w), NULL, &packet), LINK_NOT_IP);
	assert_int_equal(decode(LINKTYPE_ETHERNET, bytes_str("abc"), NULL, &packet), LINK_BAD_LINK);
	assert_int_equal(decode(LINKTYPE_RAW, BYTES_NONE, NULL, &packet), LINK_BAD_IP);
	w = begin();
	put_ethernet(&w, 0x8100);
	for (unsigned i = 0; i < 40; i++)
		writer_u32(&w, 0x00018100);
	assert_int_equal(decode(LINKTYPE_ETHERNET, written(&w), NULL, &packet), LINK_BAD_LINK);
	assert_true(link_known(LINKTYPE_SLL2));
	assert_false(link_known(105));
	assert_string_equal(link_name(105), "IEEE 802.11");
	assert_null(link_name(9999));
	for (unsigned i = 0; i < LINK_RESULTS; i++) {
		assert_non_null(link_result_name((enum link_result)i));
		assert_non_null(link_result_text((enum link_result)i));
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(ethernet_is_read_with_any_tags),
		cmocka_unit_test(mpls_pppoe_and_snap_are_read),
		cmocka_unit_test(cooked_loopback_raw_and_ppp_are_read),
		cmocka_unit_test(vxlan_geneve_and_erspan_are_gone_through),
		cmocka_unit_test(tunnels_in_tunnels_end),
		cmocka_unit_test(fragments_are_put_together_with_any_link_below),
		cmocka_unit_test(fragments_within_fragments_are_put_together),
		cmocka_unit_test(everything_else_is_named_and_counted),
	};
	return cmocka_run_group_tests_name("watch/link", tests, NULL, NULL);
}
