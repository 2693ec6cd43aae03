#include "proxy/proxy_header.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#define SIGNATURE "\r\n\r\n\0\r\nQUIT\n"
#define BLOCK4    "\xc0\x00\x02\x01\xc6\x33\x64\x02\x11\x51\x01\xbb" /* 192.0.2.1:4433 to 198.51.100.2:443 */

/*
 * Reads `in` octet by octet, each time from an exact copy, so that a read past the end is seen. Every prefix must give
 * NEED_MORE up to the octet at which the result stands, and the result must be that of the whole.
 */
static enum proxy_header_result read_all(struct bytes in, struct proxy_header *out)
{
	struct error why;
	*out = (struct proxy_header){0};
	enum proxy_header_result whole = proxy_header_read(in, out, &why);
	for (size_t n = 0; n <= in.len; n++) {
		struct proxy_header part = {0};
		uint8_t *copy = malloc(n ? n : 1);
		assert_non_null(copy);
		if (n > 0)
			memcpy(copy, in.data, n);
		enum proxy_header_result result = proxy_header_read(bytes_of(copy, n), &part, &why);
		free(copy);
		if (result == PROXY_HEADER_NEED_MORE)
			continue;
		assert_int_equal(result, whole);
		assert_int_equal(part.len, out->len);
		assert_true(hostport_same_ip(&part.source, &out->source) && part.source.port == out->source.port);
		break;
	}
	return whole;
}

static void lines_of_version_1_are_read(void **state)
{
	(void)state;
	static const struct {
		const char *text;
		enum proxy_header_result result;
		const char *source; /* NULL: no addresses */
	} cases[] = {
		{"PROXY TCP4 192.0.2.1 198.51.100.2 4433 443\r\nGET", PROXY_HEADER_OK, "192.0.2.1"},
		{"PROXY TCP6 2001:db8::1 ::1 4433 443\r\n", PROXY_HEADER_OK, "2001:db8::1"},
		{"PROXY UNKNOWN\r\n", PROXY_HEADER_OK, NULL},
		{"PROXY UNKNOWN ffff:f...f:ffff any thing 65535\r\n", PROXY_HEADER_OK, NULL},
		{"PROXY TCP4 192.0.2.1 198.51.100.2 4433 443", PROXY_HEADER_NEED_MORE, NULL},
		{"PROXY TCP4 192.0.2.1 198.51.100.2 4433 443\n", PROXY_HEADER_BAD, NULL},
		{"PROXY TCP4 192.0.2.1 198.51.100.2 4433\r\n", PROXY_HEADER_BAD, NULL},
		{"PROXY TCP4 192.0.2.1 198.51.100.2 4433 443 \r\n", PROXY_HEADER_BAD, NULL},
		{"PROXY TCP4  192.0.2.1 198.51.100.2 4433 443\r\n", PROXY_HEADER_BAD, NULL},
		{"PROXY TCP4 192.0.2.1 198.51.100.2 4433 65536\r\n", PROXY_HEADER_BAD, NULL},
		{"PROXY TCP4 192.0.2.1 198.51.100.2 4433 443 1\r\n", PROXY_HEADER_BAD, NULL},
		{"PROXY TCP4 192.0.2.01 198.51.100.2 4433 443\r\n", PROXY_HEADER_BAD, NULL},
		{"PROXY TCP4 ::1 ::1 4433 443\r\n", PROXY_HEADER_BAD, NULL},
		{"PROXY TCP6 192.0.2.1 198.51.100.2 4433 443\r\n", PROXY_HEADER_BAD, NULL},
		{"PROXY UDP4 192.0.2.1 198.51.100.2 4433 443\r\n", PROXY_HEADER_BAD, NULL},
		{"PROXY \r\n", PROXY_HEADER_BAD, NULL},
		{"PROXY \n", PROXY_HEADER_BAD, NULL},
		{"GET / HTTP/1.1\r\n", PROXY_HEADER_BAD, NULL},
		{"POST", PROXY_HEADER_BAD, NULL},
		{"PRO", PROXY_HEADER_NEED_MORE, NULL},
		{"", PROXY_HEADER_NEED_MORE, NULL},
	};
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct proxy_header header;
		char text[HOSTPORT_TEXT];
		enum proxy_header_result result = read_all(bytes_str(cases[i].text), &header);
		if (result != cases[i].result)
			print_error("%s: %d\n", cases[i].text, result);
		assert_int_equal(result, cases[i].result);
		assert_int_equal(header.addresses, cases[i].source != NULL);
		if (!cases[i].source)
			continue;
		assert_string_equal(hostport_ip_text(&header.source, text), cases[i].source);
		assert_int_equal(header.source.port, 4433);
		assert_int_equal(header.destination.port, 443);
		assert_int_equal(header.len, strchr(cases[i].text, '\n') - cases[i].text + 1);
	}
}

static void a_line_over_107_octets_is_refused(void **state)
{
	(void)state;
	char line[200];
	struct proxy_header header;
	snprintf(line, sizeof(line), "PROXY UNKNOWN %091d\r\n", 0);
	assert_int_equal(strlen(line), 107);
	assert_int_equal(read_all(bytes_str(line), &header), PROXY_HEADER_OK);
	snprintf(line, sizeof(line), "PROXY UNKNOWN %092d\r\n", 0);
	assert_int_equal(read_all(bytes_str(line), &header), PROXY_HEADER_TOO_LONG);
	snprintf(line, sizeof(line), "PROXY UNKNOWN %0150d", 0);
	assert_int_equal(read_all(bytes_str(line), &header), PROXY_HEADER_TOO_LONG);
}

static void headers_of_version_2_are_read(void **state)
{
	(void)state;
#define CASE(text, expected, has)                                                                                      \
	{                                                                                                              \
		text, sizeof(text) - 1, expected, has                                                                  \
	}
	static const struct {
		const char *raw;
		size_t len;
		enum proxy_header_result result;
		bool addresses;
	} cases[] = {
		CASE(SIGNATURE "\x21\x11\x00\x0c" BLOCK4, PROXY_HEADER_OK, true),
		/* a NOOP TLV and an ALPN */
		CASE(SIGNATURE "\x21\x11\x00\x15" BLOCK4 "\x04\x00\x01\x00\x01\x00\x02h2", PROXY_HEADER_OK, true),
		/* LOCAL, whatever follows */
		CASE(SIGNATURE "\x20\x00\x00\x00", PROXY_HEADER_OK, false),
		CASE(SIGNATURE "\x20\x11\x00\x02zz", PROXY_HEADER_OK, false),
		CASE(SIGNATURE "\x21\x00\x00\x03zzz", PROXY_HEADER_OK, false),
		/* UDP and AF_UNIX tell nothing of a TCP connection */
		CASE(SIGNATURE "\x21\x12\x00\x0c" BLOCK4, PROXY_HEADER_OK, false),
		CASE(SIGNATURE "\x21\x31\x00\x0c" BLOCK4, PROXY_HEADER_BAD, false),
		CASE(SIGNATURE "\x21\x11\x00\x0b" BLOCK4, PROXY_HEADER_BAD, false),
		CASE(SIGNATURE "\x21\x21\x00\x0c" BLOCK4, PROXY_HEADER_BAD, false),
		CASE(SIGNATURE "\x21\x41\x00\x0c" BLOCK4, PROXY_HEADER_BAD, false),
		CASE(SIGNATURE "\x21\x13\x00\x0c" BLOCK4, PROXY_HEADER_BAD, false),
		CASE(SIGNATURE "\x22\x11\x00\x0c" BLOCK4, PROXY_HEADER_BAD, false),
		CASE(SIGNATURE "\x11\x11\x00\x0c" BLOCK4, PROXY_HEADER_BAD, false),
		/* TLVs that are cut short */
		CASE(SIGNATURE "\x21\x11\x00\x0e" BLOCK4 "\x04\x00", PROXY_HEADER_BAD, false),
		CASE(SIGNATURE "\x21\x11\x00\x0f" BLOCK4 "\x04\x00\x01", PROXY_HEADER_BAD, false),
		/* a checksum that does not fit, is too short, or comes twice */
		CASE(SIGNATURE "\x21\x11\x00\x13" BLOCK4 "\x03\x00\x04zzzz", PROXY_HEADER_BAD_CRC, false),
		CASE(SIGNATURE "\x21\x11\x00\x12" BLOCK4 "\x03\x00\x03zzz", PROXY_HEADER_BAD, false),
		CASE(SIGNATURE "\x21\x11\x00\x1a" BLOCK4 "\x03\x00\x04zzzz\x03\x00\x04zzzz", PROXY_HEADER_BAD, false),
		CASE(SIGNATURE "\x21\x11\x0f\xf1", PROXY_HEADER_TOO_LONG, false),
		CASE(SIGNATURE "\x21\x11\x0f\xf0", PROXY_HEADER_NEED_MORE, false),
		CASE("\r\n\r\n\0\r\nQUIX\n", PROXY_HEADER_BAD, false),
	};
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct proxy_header header;
		enum proxy_header_result result = read_all(bytes_of(cases[i].raw, cases[i].len), &header);
		if (result != cases[i].result)
			print_error("case %zu: %d\n", i, result);
		assert_int_equal(result, cases[i].result);
		if (result != PROXY_HEADER_OK)
			continue;
		assert_int_equal(header.addresses, cases[i].addresses);
		assert_int_equal(header.len, cases[i].len);
		assert_int_equal(header.local, cases[i].raw[12] == 0x20);
	}
}

/* CRC32C by its definition: long division of the reflected message, written apart from the code under test. */
static uint32_t crc_of(const uint8_t *data, size_t len)
{
	uint32_t table[256], crc = 0xffffffff;
	for (uint32_t n = 0; n < 256; n++) {
		table[n] = n;
		for (int k = 0; k < 8; k++)
			table[n] = (table[n] >> 1) ^ ((table[n] & 1) * 0x82f63b78U);
	}
	for (size_t i = 0; i < len; i++)
		crc = table[(crc ^ data[i]) & 0xff] ^ (crc >> 8);
	return ~crc;
}

static void a_checksum_that_fits_is_accepted(void **state)
{
	(void)state;
	assert_int_equal(crc_of((const uint8_t *)"123456789", 9), 0xe3069283); /* the catalogued check value */
	uint8_t raw[64];
	struct writer w = writer_over(raw, sizeof(raw));
	writer_bytes(&w, bytes_of(SIGNATURE "\x21\x11\x00\x17" BLOCK4 "\x03\x00\x04", 31));
	size_t at = w.len;
	writer_u32(&w, 0);
	writer_bytes(&w, bytes_of("\x04\x00\x01z", 4));
	struct writer patch = writer_over(raw + at, 4);
	writer_u32(&patch, crc_of(raw, w.len));
	struct proxy_header header;
	assert_int_equal(read_all(bytes_of(raw, w.len), &header), PROXY_HEADER_OK);
	assert_true(header.addresses);
	raw[20] ^= 1;
	assert_int_equal(read_all(bytes_of(raw, w.len), &header), PROXY_HEADER_BAD_CRC);
}

static struct hostport at(const char *text, uint16_t port)
{
	struct hostport out = {0};
	if (!text)
		return out;
	assert_true(hostport_parse_ip(&out, text));
	out.port = port;
	return out;
}

static void what_is_written_is_read_back(void **state)
{
	(void)state;
	static const struct {
		const char *source, *destination, *read_source, *read_destination;
	} cases[] = {
		{"192.0.2.1", "198.51.100.2", "192.0.2.1", "198.51.100.2"},
		{"2001:db8::1", "2001:db8::2", "2001:db8::1", "2001:db8::2"},
		{"192.0.2.1", "2001:db8::2", "::ffff:192.0.2.1", "2001:db8::2"},
		{"2001:db8::2", "192.0.2.1", "2001:db8::2", "::ffff:192.0.2.1"},
		{NULL, "192.0.2.1", NULL, NULL},
		{NULL, NULL, NULL, NULL},
	};
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		uint8_t raw[PROXY_HEADER_WRITE_MAX];
		struct writer w = writer_over(raw, sizeof(raw));
		struct hostport source = at(cases[i].source, 1234), destination = at(cases[i].destination, 443);
		struct bytes written;
		struct proxy_header header;
		proxy_header_write(&source, &destination, &w);
		assert_true(writer_done(&w, &written));
		assert_int_equal(read_all(written, &header), PROXY_HEADER_OK);
		assert_int_equal(header.len, written.len);
		assert_int_equal(header.addresses, cases[i].read_source != NULL);
		assert_int_equal(header.local, cases[i].read_source == NULL);
		if (!header.addresses)
			continue;
		struct hostport expected = at(cases[i].read_source, 1234);
		assert_true(hostport_same_ip(&header.source, &expected) && header.source.port == 1234);
		expected = at(cases[i].read_destination, 443);
		assert_true(hostport_same_ip(&header.destination, &expected) && header.destination.port == 443);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(lines_of_version_1_are_read),
		cmocka_unit_test(a_line_over_107_octets_is_refused),
		cmocka_unit_test(headers_of_version_2_are_read),
		cmocka_unit_test(a_checksum_that_fits_is_accepted),
		cmocka_unit_test(what_is_written_is_read_back),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
