#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
/* clang-format off */
#include <cmocka.h>
/* clang-format on */
#include "assess/flight.h"

#include "tls/hello.h"

#include <string.h>

static void take(struct flight *flight, const char *octets, size_t len, bool one_by_one)
{
	for (size_t i = 0; one_by_one && i < len; i++)
		(void)flight_take(flight, bytes_of(octets + i, 1));
	if (!one_by_one)
		(void)flight_take(flight, bytes_of(octets, len));
}

/* A record of one ServerHello of TLS 1.2 with suite 0x009e, and a ServerKeyExchange with p = 23, g = 5. */
static size_t make_dhe(uint8_t *room, size_t cap)
{
	struct writer w = writer_over(room, cap);
	struct bytes whole;
	writer_bytes(&w, bytes_of("\x16\x03\x03", 3));
	size_t record = writer_open(&w, 2);
	writer_u8(&w, 2);
	size_t hello = writer_open(&w, 3);
	writer_u16(&w, 0x0303);
	for (int i = 0; i < 32; i++)
		writer_u8(&w, (uint8_t)i);
	writer_u8(&w, 0);
	writer_u16(&w, 0x009e);
	writer_u8(&w, 0);
	writer_u16(&w, 4);
	writer_u16(&w, 23);
	writer_u16(&w, 0);
	writer_close(&w, hello, 3);
	writer_u8(&w, 12);
	size_t exchange = writer_open(&w, 3);
	writer_vec16(&w, bytes_of("\x17", 1));
	writer_vec16(&w, bytes_of("\x05", 1));
	writer_vec16(&w, bytes_of("\x08", 1));
	writer_u16(&w, 0x0804);
	writer_vec16(&w, bytes_of("sign", 4));
	writer_close(&w, exchange, 3);
	writer_bytes(&w, bytes_of("\x0e\x00\x00\x00", 4));
	writer_close(&w, record, 2);
	assert_true(writer_done(&w, &whole));
	return whole.len;
}

static void a_flight_is_read_however_it_is_cut(void **state)
{
	(void)state;
	for (int cut = 0; cut < 2; cut++) {
		uint8_t room[300];
		struct flight flight;
		size_t len = make_dhe(room, sizeof(room));
		flight_begin(&flight);
		take(&flight, (const char *)room, len, cut == 1);
		assert_int_equal(flight.kind, FLIGHT_HELLO);
		assert_int_equal(flight.version, TLS_VERSION_12);
		assert_int_equal(flight.suite, 0x009e);
		assert_true(flight.extended_master_secret);
		assert_int_equal(flight.p_len, 1);
		assert_int_equal(flight.p[0], 23);
		flight_free(&flight);
	}
}

static void refusals_and_strangers_are_told_apart(void **state)
{
	(void)state;
	static const struct {
		const char *octets;
		size_t len;
		enum flight_kind kind;
	} cases[] = {
		{"\x15\x03\x01\x00\x02\x02\x28", 7, FLIGHT_ALERT},
		{"\x15\x03\x01\x00\x02\x01\x70", 7, FLIGHT_MORE},
		{"SSH-2.0-x\r\n", 11, FLIGHT_NOT_TLS},
		{"HTTP/1.1 400 Bad Request\r\n", 26, FLIGHT_NOT_TLS},
		{"\x16\x03\x01\x00\x00", 5, FLIGHT_BROKEN},
		{"\x16\x03\x01\x00\x04\x0e\x00\x00\x00", 9, FLIGHT_BROKEN},
		{"\x17\x03\x03\x00\x01x", 6, FLIGHT_BROKEN},
	};
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct flight flight;
		flight_begin(&flight);
		take(&flight, cases[i].octets, cases[i].len, false);
		assert_int_equal(flight.kind, cases[i].kind);
		flight_free(&flight);
	}
}

static void a_flood_is_cut_off(void **state)
{
	(void)state;
	static char record[5 + 16384] = "\x16\x03\x03\x40\x00\x02\xff\xff\xff";
	struct flight flight;
	flight_begin(&flight);
	for (int i = 0; i < 100 && flight.kind == FLIGHT_MORE; i++)
		take(&flight, record, sizeof(record), false);
	assert_int_equal(flight.kind, FLIGHT_FLOOD);
	flight_free(&flight);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_flight_is_read_however_it_is_cut),
		cmocka_unit_test(refusals_and_strangers_are_told_apart),
		cmocka_unit_test(a_flood_is_cut_off),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
