#include "tls/quic_initial.h"

#include "base/text.h"
#include "quic_seal.h"
#include "quic_vectors.h"
#include "support.h"
#include "tls/hello.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

static struct crypto *crypto;

static int begin(void **state)
{
	(void)state;
	crypto = crypto_new();
	return crypto ? 0 : -1;
}

static int end(void **state)
{
	(void)state;
	crypto_free(crypto);
	return 0;
}

static struct bytes unhex(const char *hex)
{
	static uint8_t room[8][2048];
	static unsigned at;
	size_t len;
	uint8_t *out = room[at++ % 8];
	assert_true(text_unhex(out, sizeof(room[0]), &len, bytes_str(hex)));
	return bytes_of(out, len);
}

#define ID RAW(0x83, 0x94, 0xc8, 0xf0, 0x3e, 0x51, 0x57, 0x08)

static void keys_are(uint32_t version, enum quic_side side, const char *key, const char *iv, const char *header)
{
	struct quic_keys keys;
	assert_true(quic_initial_keys(crypto, version, ID, side, &keys));
	assert_memory_equal(keys.key, unhex(key).data, sizeof(keys.key));
	assert_memory_equal(keys.iv, unhex(iv).data, sizeof(keys.iv));
	assert_memory_equal(keys.header, unhex(header).data, sizeof(keys.header));
}

static void keys_are_those_of_the_rfcs(void **state)
{
	(void)state;
	/* RFC 9001, A.1. */
	keys_are(QUIC_VERSION_1, QUIC_CLIENT, "1f369613dd76d5467730efcbe3b1a22d", "fa044b2f42a3fd3b46fb255c",
		"9f50449e04a0e810283a1e9933adedd2");
	keys_are(QUIC_VERSION_1, QUIC_SERVER, "cf3a5331653c364c88f0f379b6067e37", "0ac1493ca1905853b0bba03e",
		"c206b8d9b9f0f37644430b490eeaa314");
	/* RFC 9369, A.1. */
	keys_are(QUIC_VERSION_2, QUIC_CLIENT, "8b1a0bc121284290a29e0971b5cd045d", "91f73e2351d8fa91660e909f",
		"45b95e15235d6f45a6b19cbcb0294ba9");
	keys_are(QUIC_VERSION_2, QUIC_SERVER, "82db637861d55e1d011f19ea71d5d2a7", "dd13c276499c0249d3310652",
		"edf6d05c83121201b436e16877593c3a");
	struct quic_keys keys;
	assert_false(quic_initial_keys(crypto, 0xff00001d, ID, QUIC_CLIENT, &keys));
}

static enum quic_open open_first(struct bytes in, struct bytes id, enum quic_side side, struct quic_opened *opened)
{
	static uint8_t room[2048];
	struct quic_packet packet;
	struct quic_keys keys;
	assert_int_equal(quic_packet_read(&in, &packet), QUIC_OK);
	assert_true(quic_initial_keys(crypto, packet.version, id, side, &keys));
	return quic_initial_open(crypto, &keys, &packet, room, sizeof(room), opened);
}

static void the_clients_initials_of_the_rfcs_open(void **state)
{
	(void)state;
	const char *const vectors[] = {quic_vector_client_v1, quic_vector_client_v2};
	for (unsigned i = 0; i < 2; i++) {
		struct quic_opened opened;
		struct bytes frame = unhex(quic_vector_frame);
		assert_int_equal(open_first(unhex(vectors[i]), ID, QUIC_CLIENT, &opened), QUIC_OPEN_OK);
		assert_int_equal(opened.number, 2);
		assert_int_equal(opened.frames.len, 1162);
		assert_memory_equal(opened.frames.data, frame.data, frame.len);
		static struct quic_hello hello;
		struct quic_crypto part;
		quic_hello_begin(&hello);
		assert_int_equal(quic_crypto_next(&opened.frames, &part), QUIC_FRAME_CRYPTO);
		quic_hello_add(&hello, &part);
		assert_int_equal(quic_crypto_next(&opened.frames, &part), QUIC_FRAME_END);
		struct bytes body;
		struct client_hello parsed;
		assert_int_equal(quic_hello_get(&hello, &body), QUIC_HELLO_DONE);
		assert_int_equal(client_hello_parse(body, &parsed), HELLO_OK);
		assert_true(bytes_equal(parsed.server_name, bytes_str("example.com")));
	}
}

static void the_servers_initial_of_rfc_9001_opens(void **state)
{
	(void)state;
	struct quic_opened opened;
	struct quic_crypto part;
	assert_int_equal(open_first(unhex(quic_vector_server_v1), ID, QUIC_SERVER, &opened), QUIC_OPEN_OK);
	assert_int_equal(opened.number, 1);
	/* An ACK stands before it. */
	assert_int_equal(opened.frames.data[0], 2);
	assert_int_equal(quic_crypto_next(&opened.frames, &part), QUIC_FRAME_CRYPTO);
	assert_int_equal(part.offset, 0);
	assert_int_equal(part.octets.len, 90);
	assert_int_equal(part.octets.data[0], 2);
	assert_int_equal(quic_crypto_next(&opened.frames, &part), QUIC_FRAME_END);
}

static void an_altered_octet_or_another_key_is_found_out(void **state)
{
	(void)state;
	struct quic_opened opened;
	uint8_t copy[1200];
	struct bytes whole = unhex(quic_vector_client_v1);
	for (size_t at = 26; at < whole.len; at += 97) {
		memcpy(copy, whole.data, whole.len);
		copy[at] ^= 1;
		assert_int_equal(open_first(bytes_of(copy, whole.len), ID, QUIC_CLIENT, &opened), QUIC_OPEN_TAG);
	}
	assert_int_equal(open_first(whole, RAW(1, 2, 3), QUIC_CLIENT, &opened), QUIC_OPEN_TAG);
	assert_int_equal(open_first(whole, ID, QUIC_SERVER, &opened), QUIC_OPEN_TAG);
}

static void packets_too_short_or_too_long_are_told(void **state)
{
	(void)state;
	struct quic_opened opened;
	struct bytes brief =
		RAW(0xc0, 0, 0, 0, 1, 0, 0, 0, 19, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 17, 18, 19);
	assert_int_equal(open_first(brief, ID, QUIC_CLIENT, &opened), QUIC_OPEN_SHORT);
	struct bytes in = unhex(quic_vector_client_v1);
	struct quic_packet packet;
	struct quic_keys keys;
	uint8_t room[1161];
	assert_int_equal(quic_packet_read(&in, &packet), QUIC_OK);
	assert_true(quic_initial_keys(crypto, QUIC_VERSION_1, ID, QUIC_CLIENT, &keys));
	assert_int_equal(quic_initial_open(crypto, &keys, &packet, room, sizeof(room), &opened), QUIC_OPEN_ROOM);
}

static void every_frame_that_an_initial_may_hold_is_passed_over(void **state)
{
	(void)state;
	uint8_t room[128];
	struct writer w = writer_over(room, sizeof(room));
	struct bytes in;
	struct quic_crypto part;
	writer_bytes(&w, RAW(0, 0, 1));
	writer_bytes(&w, RAW(2, 0x40, 9, 0, 1, 3, 1, 2));    /* ACK with a range */
	writer_bytes(&w, RAW(3, 9, 0, 0, 3, 1, 2, 0x40, 3)); /* ACK with ECN */
	put_crypto_frame(&w, 5, RAW(7, 7));
	writer_bytes(&w, RAW(0x1c, 1, 6, 3, 'b', 'y', 'e'));
	assert_true(writer_done(&w, &in));
	assert_int_equal(quic_crypto_next(&in, &part), QUIC_FRAME_CRYPTO);
	assert_int_equal(part.offset, 5);
	assert_true(bytes_equal(part.octets, RAW(7, 7)));
	assert_int_equal(quic_crypto_next(&in, &part), QUIC_FRAME_CLOSE);
	struct bytes bad[] = {
		RAW(8, 0), RAW(6, 0, 5, 1), RAW(2, 1, 0, 0xbf, 0xff, 0xff, 0xff, 0), RAW(0x40), RAW(3, 1, 1, 0, 1)};
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		assert_int_equal(quic_crypto_next(&bad[i], &part), QUIC_FRAME_BAD);
}

static uint32_t draw(uint32_t *seed)
{
	*seed = *seed * 1664525 + 1013904223;
	return *seed >> 8;
}

static void a_hello_is_put_together_whatever_the_order_of_its_parts(void **state)
{
	(void)state;
	static struct quic_hello hello;
	uint8_t message[1700];
	struct bytes body;
	for (size_t i = 0; i < sizeof(message); i++)
		message[i] = (uint8_t)(i * 7);
	memcpy(message, (uint8_t[]){1, 0, 1696 >> 8, 1696 & 255}, 4);
	uint32_t seed = 1;
	for (unsigned run = 0; run < 200; run++) {
		quic_hello_begin(&hello);
		enum quic_hello_result result = QUIC_HELLO_MORE;
		for (unsigned parts = 0; result == QUIC_HELLO_MORE; parts++) {
			assert_true(parts < 200000);
			size_t from = draw(&seed) % sizeof(message), len = 1 + draw(&seed) % 200;
			len = len < sizeof(message) - from ? len : sizeof(message) - from;
			struct quic_crypto part = {from, bytes_of(message + from, len)};
			quic_hello_add(&hello, &part);
			result = quic_hello_get(&hello, &body);
		}
		assert_int_equal(result, QUIC_HELLO_DONE);
		assert_int_equal(body.len, 1696);
		assert_memory_equal(body.data, message + 4, 1696);
	}
}

static void the_first_octet_at_a_place_stands(void **state)
{
	(void)state;
	static struct quic_hello hello;
	struct bytes body;
	quic_hello_begin(&hello);
	quic_hello_add(&hello, &(struct quic_crypto){2, RAW(0, 2, 9)});
	quic_hello_add(&hello, &(struct quic_crypto){0, RAW(1, 0, 5, 5, 5, 8)});
	assert_int_equal(quic_hello_get(&hello, &body), QUIC_HELLO_DONE);
	assert_true(bytes_equal(body, RAW(9, 8)));
}

static void other_messages_and_far_offsets_cost_nothing(void **state)
{
	(void)state;
	static struct quic_hello hello;
	struct bytes body;
	quic_hello_begin(&hello);
	assert_int_equal(quic_hello_get(&hello, &body), QUIC_HELLO_MORE);
	quic_hello_add(&hello, &(struct quic_crypto){(1ULL << 62) - 1, RAW(1)});
	quic_hello_add(&hello, &(struct quic_crypto){QUIC_HELLO_MAX - 1, RAW(1, 2, 3)});
	assert_int_equal(quic_hello_get(&hello, &body), QUIC_HELLO_MORE);
	quic_hello_add(&hello, &(struct quic_crypto){0, RAW(2)});
	assert_int_equal(quic_hello_get(&hello, &body), QUIC_HELLO_NONE);
	quic_hello_begin(&hello);
	quic_hello_add(&hello, &(struct quic_crypto){0, RAW(1, 0, 0x40, 0)});
	assert_int_equal(quic_hello_get(&hello, &body), QUIC_HELLO_TOO_LONG);
}

static void what_is_sealed_here_opens_with_a_token_and_long_ids(void **state)
{
	(void)state;
	uint8_t room[2048];
	struct writer w = writer_over(room, sizeof(room));
	struct bytes in, id = RAW(1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 17, 18, 19, 20);
	uint8_t token[300] = {5};
	quic_seal(&w, &(struct quic_seal){QUIC_VERSION_2, id, id, id, bytes_of(token, sizeof(token)), QUIC_CLIENT,
			      0x12345678, RAW(1), 1000});
	assert_true(writer_done(&w, &in));
	struct quic_opened opened;
	assert_int_equal(open_first(in, id, QUIC_CLIENT, &opened), QUIC_OPEN_OK);
	assert_int_equal(opened.number, 0x12345678);
	assert_int_equal(opened.frames.len, 1000);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(keys_are_those_of_the_rfcs),
		cmocka_unit_test(the_clients_initials_of_the_rfcs_open),
		cmocka_unit_test(the_servers_initial_of_rfc_9001_opens),
		cmocka_unit_test(an_altered_octet_or_another_key_is_found_out),
		cmocka_unit_test(packets_too_short_or_too_long_are_told),
		cmocka_unit_test(every_frame_that_an_initial_may_hold_is_passed_over),
		cmocka_unit_test(a_hello_is_put_together_whatever_the_order_of_its_parts),
		cmocka_unit_test(the_first_octet_at_a_place_stands),
		cmocka_unit_test(other_messages_and_far_offsets_cost_nothing),
		cmocka_unit_test(what_is_sealed_here_opens_with_a_token_and_long_ids),
	};
	return cmocka_run_group_tests(tests, begin, end);
}
