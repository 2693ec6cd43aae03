#include "tls/quic.h"

#include "base/text.h"
#include "quic_vectors.h"
#include "support.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

static struct bytes unhex(const char *hex)
{
	static uint8_t room[4][2048];
	static unsigned at;
	size_t len;
	uint8_t *out = room[at++ % 4];
	assert_true(text_unhex(out, sizeof(room[0]), &len, bytes_str(hex)));
	return bytes_of(out, len);
}

static void a_number_has_one_two_four_or_eight_octets(void **state)
{
	(void)state;
	/* RFC 9000, A.1. */
	static const struct {
		const char *hex;
		uint64_t value;
	} known[] = {{"c2197c5eff14e88c", 151288809941952652ULL}, {"9d7f3e7d", 494878333}, {"7bbd", 15293}, {"25", 37},
		{"4025", 37}};
	for (size_t i = 0; i < sizeof(known) / sizeof(known[0]); i++) {
		struct bytes in = unhex(known[i].hex), cut = bytes_of(in.data, in.len - 1);
		uint64_t value = 7;
		assert_false(quic_number(&cut, &value));
		assert_int_equal(cut.len, in.len - 1);
		assert_int_equal(value, 7);
		assert_true(quic_number(&in, &value));
		assert_int_equal(value, known[i].value);
		assert_int_equal(in.len, 0);
	}
}

static void the_header_of_an_initial_is_read(void **state)
{
	(void)state;
	struct bytes in = unhex(quic_vector_client_v1);
	struct quic_packet packet;
	assert_true(quic_opens(in));
	assert_int_equal(quic_packet_read(&in, &packet), QUIC_OK);
	assert_int_equal(packet.type, QUIC_INITIAL);
	assert_int_equal(packet.version, QUIC_VERSION_1);
	assert_true(bytes_equal(packet.receiver, RAW(0x83, 0x94, 0xc8, 0xf0, 0x3e, 0x51, 0x57, 0x08)));
	assert_int_equal(packet.sender.len, 0);
	assert_int_equal(packet.token.len, 0);
	assert_int_equal(packet.whole.len, 1200);
	assert_int_equal(packet.before_number.len, 18);
	assert_int_equal(packet.protected_part.len, 1182);
	assert_int_equal(quic_packet_read(&in, &packet), QUIC_END);
}

static void version_two_names_its_types_with_other_bits(void **state)
{
	(void)state;
	struct bytes in = unhex(quic_vector_client_v2);
	struct quic_packet packet;
	assert_true(quic_opens(in));
	assert_int_equal(quic_packet_read(&in, &packet), QUIC_OK);
	assert_int_equal(packet.type, QUIC_INITIAL);
	assert_int_equal(packet.version, QUIC_VERSION_2);
	static const enum quic_type types[2][4] = {
		{QUIC_INITIAL, QUIC_ZERO_RTT, QUIC_HANDSHAKE, QUIC_RETRY},
		{QUIC_RETRY, QUIC_INITIAL, QUIC_ZERO_RTT, QUIC_HANDSHAKE},
	};
	for (uint8_t bits = 0; bits < 4; bits++) {
		uint8_t room[64] = {(uint8_t)(0xc0 | bits << 4), 0, 0, 0, 1};
		in = bytes_of(room, sizeof(room));
		assert_int_equal(quic_packet_read(&in, &packet), QUIC_OK);
		assert_int_equal(packet.type, types[0][bits]);
		struct writer w = writer_over(room + 1, 4);
		writer_u32(&w, QUIC_VERSION_2);
		in = bytes_of(room, sizeof(room));
		assert_int_equal(quic_packet_read(&in, &packet), QUIC_OK);
		assert_int_equal(packet.type, types[1][bits]);
	}
}

static void packets_put_together_are_taken_one_by_one(void **state)
{
	(void)state;
	uint8_t room[512];
	struct writer w = writer_over(room, sizeof(room));
	struct bytes server = unhex(quic_vector_server_v1), in;
	struct quic_packet packet;
	writer_bytes(&w, server);
	writer_bytes(&w, RAW(0xe0, 0, 0, 0, 1, 0, 0, 3, 7, 8, 9)); /* Handshake of 3 octets */
	writer_bytes(&w, RAW(0x41, 1, 2, 3));                      /* 1-RTT */
	assert_true(writer_done(&w, &in));
	assert_int_equal(quic_packet_read(&in, &packet), QUIC_OK);
	assert_int_equal(packet.type, QUIC_INITIAL);
	assert_int_equal(packet.whole.len, server.len);
	assert_int_equal(packet.sender.len, 8);
	assert_int_equal(quic_packet_read(&in, &packet), QUIC_OK);
	assert_int_equal(packet.type, QUIC_HANDSHAKE);
	assert_true(bytes_equal(packet.protected_part, RAW(7, 8, 9)));
	assert_int_equal(quic_packet_read(&in, &packet), QUIC_OK);
	assert_int_equal(packet.type, QUIC_SHORT);
	assert_int_equal(packet.whole.len, 4);
	assert_int_equal(quic_packet_read(&in, &packet), QUIC_END);
}

static void a_retry_and_a_negotiation_take_the_rest(void **state)
{
	(void)state;
	struct bytes in = unhex(quic_vector_retry_v1);
	struct quic_packet packet;
	assert_int_equal(quic_packet_read(&in, &packet), QUIC_OK);
	assert_int_equal(packet.type, QUIC_RETRY);
	assert_true(bytes_equal(packet.token, bytes_str("token")));
	assert_int_equal(in.len, 0);
	in = RAW(0x80, 0, 0, 0, 0, 1, 9, 1, 8, 0x6b, 0x33, 0x43, 0xcf);
	assert_true(quic_opens(in));
	assert_int_equal(quic_packet_read(&in, &packet), QUIC_OK);
	assert_int_equal(packet.type, QUIC_NEGOTIATION);
	assert_int_equal(in.len, 0);
}

static void every_cut_of_an_initial_is_told(void **state)
{
	(void)state;
	struct bytes whole = unhex(quic_vector_client_v1);
	struct quic_packet packet;
	for (size_t n = 1; n < whole.len; n++) {
		struct bytes in = bytes_of(whole.data, n);
		assert_int_equal(quic_packet_read(&in, &packet), QUIC_TRUNCATED);
		assert_int_equal(in.len, n);
	}
}

static void other_udp_is_not_taken_for_quic(void **state)
{
	(void)state;
	/* A query of DNS, a hello of DTLS, STUN, RTP, WireGuard, and a v1 header with a connection ID of 21 octets. */
	struct bytes others[] = {
		RAW(0x12, 0x34, 1, 0, 0, 1, 0, 0, 0, 0, 0, 0, 1, 'a', 0, 0, 1, 0, 1),
		RAW(22, 254, 253, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 1),
		RAW(0, 1, 0, 0, 0x21, 0x12, 0xa4, 0x42, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12),
		RAW(0x80, 0x60, 0x12, 0x34, 0, 0, 0, 1, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12),
		RAW(1, 0, 0, 0, 1, 2, 3, 4),
		RAW(0xc0, 0, 0, 0, 1, 21, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 17, 18, 19, 20, 21, 0,
			0),
		BYTES_NONE,
	};
	for (size_t i = 0; i < sizeof(others) / sizeof(others[0]); i++)
		assert_false(quic_opens(others[i]));
	/* A draft and a reserved version, as a client sends them and shorter. */
	uint8_t full[1200] = {0xc0, 0xff, 0, 0, 29, 1, 1, 0, 0};
	assert_true(quic_opens(bytes_of(full, sizeof(full))));
	assert_false(quic_opens(bytes_of(full, sizeof(full) - 1)));
	memcpy(full + 1, (uint8_t[]){0x1a, 0x2a, 0x3a, 0x4a}, 4);
	assert_true(quic_opens(bytes_of(full, sizeof(full))));
	struct bytes in = RAW(0x12, 1);
	struct quic_packet packet;
	assert_int_equal(quic_packet_read(&in, &packet), QUIC_NOT_QUIC);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_number_has_one_two_four_or_eight_octets),
		cmocka_unit_test(the_header_of_an_initial_is_read),
		cmocka_unit_test(version_two_names_its_types_with_other_bits),
		cmocka_unit_test(packets_put_together_are_taken_one_by_one),
		cmocka_unit_test(a_retry_and_a_negotiation_take_the_rest),
		cmocka_unit_test(every_cut_of_an_initial_is_told),
		cmocka_unit_test(other_udp_is_not_taken_for_quic),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
