#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
/* clang-format off */
#include <cmocka.h>
/* clang-format on */
#include "assess/visit_edit.h"

#include "tls/extension.h"
#include "tls/handshake.h"
#include "tls/record.h"

static void extension(struct writer *out, uint16_t type, struct bytes data)
{
	writer_u16(out, type);
	writer_vec16(out, data);
}

/* A ServerHello of TLS 1.2 with three extensions in one record, and ServerHelloDone in the next. */
static size_t make_flight(uint8_t *out, size_t cap, bool with_info)
{
	static const uint8_t random[HELLO_RANDOM] = {1, 2, 3};
	struct writer writer = writer_over(out, cap);
	writer_u8(&writer, RECORD_HANDSHAKE);
	writer_u16(&writer, TLS_VERSION_12);
	size_t record = writer_open(&writer, 2);
	writer_u8(&writer, HANDSHAKE_SERVER_HELLO);
	size_t message = writer_open(&writer, 3);
	writer_u16(&writer, TLS_VERSION_12);
	writer_bytes(&writer, bytes_of(random, sizeof(random)));
	writer_vec8(&writer, BYTES_NONE);
	writer_u16(&writer, 0xc02f);
	writer_u8(&writer, 0);
	size_t block = writer_open(&writer, 2);
	extension(&writer, EXT_EXTENDED_MASTER_SECRET, BYTES_NONE);
	if (with_info)
		extension(&writer, EXT_RENEGOTIATION_INFO, bytes_of("\x00", 1));
	extension(&writer, EXT_SESSION_TICKET, BYTES_NONE);
	writer_close(&writer, block, 2);
	writer_close(&writer, message, 3);
	writer_close(&writer, record, 2);
	writer_bytes(&writer, bytes_of("\x16\x03\x03\x00\x04\x0e\x00\x00\x00", 9));
	assert_false(writer.full);
	return writer.len;
}

static void renegotiation_info_is_taken_out_and_all_lengths_fit(void **state)
{
	(void)state;
	uint8_t octets[200], wanted[200];
	size_t len = edit_hide_renegotiation(octets, make_flight(octets, sizeof(octets), true));
	assert_int_equal(len, make_flight(wanted, sizeof(wanted), false));
	assert_memory_equal(octets, wanted, len);
	assert_int_equal(edit_hide_renegotiation(octets, len), len);
	assert_memory_equal(octets, wanted, len);
}

static void what_is_no_server_hello_stays(void **state)
{
	(void)state;
	uint8_t octets[200], before[200];
	size_t len = make_flight(octets, sizeof(octets), true);
	octets[5] = HANDSHAKE_CLIENT_HELLO;
	memcpy(before, octets, len);
	for (size_t cut = 0; cut <= len; cut++)
		assert_int_equal(edit_hide_renegotiation(octets, cut), cut);
	assert_memory_equal(octets, before, len);
	octets[5] = HANDSHAKE_SERVER_HELLO;
	for (size_t cut = 0; cut < len - 9; cut++)
		assert_int_equal(edit_hide_renegotiation(octets, cut), cut);
}

static void only_supported_versions_of_a_client_are_hidden(void **state)
{
	(void)state;
	uint8_t room[200], before[200];
	struct writer writer = writer_over(room, sizeof(room));
	struct client_hello hello;
	static const uint8_t random[HELLO_RANDOM] = {9};
	writer_u16(&writer, TLS_VERSION_12);
	writer_bytes(&writer, bytes_of(random, sizeof(random)));
	writer_vec8(&writer, BYTES_NONE);
	writer_vec16(&writer, bytes_of("\x13\x01", 2));
	writer_vec8(&writer, bytes_of("\x00", 1));
	size_t block = writer_open(&writer, 2);
	extension(&writer, EXT_EXTENDED_MASTER_SECRET, BYTES_NONE);
	extension(&writer, EXT_SUPPORTED_VERSIONS, bytes_of("\x02\x03\x04", 3));
	writer_close(&writer, block, 2);
	memcpy(before, room, writer.len);
	assert_int_equal(client_hello_parse(bytes_of(room, writer.len), &hello), HELLO_OK);
	assert_true(hello.has_versions);
	edit_hide_versions(room, writer.len, &hello);
	assert_int_equal(client_hello_parse(bytes_of(room, writer.len), &hello), HELLO_OK);
	assert_false(hello.has_versions);
	assert_true(hello.has_extended_master_secret);
	assert_memory_equal(room, before, writer.len - 7);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(renegotiation_info_is_taken_out_and_all_lengths_fit),
		cmocka_unit_test(what_is_no_server_hello_stays),
		cmocka_unit_test(only_supported_versions_of_a_client_are_hidden),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
