#include "support.h"
#include "tls/key_exchange.h"

#include <stdlib.h>

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

#define ECDHE_RSA   0xc02f
#define DHE_RSA     0x009e
#define DH_ANON     0x00a6
#define RSA         0x009c
#define PSK         0x00a8
#define DHE_PSK     0x00aa
#define RSA_PSK     0x00ac
#define SRP         0xc01d
#define STATIC_ECDH 0xc02d
#define STATIC_DH   0x00a0
#define SERVER(suite_, version_, out_, ...)                                                                            \
	server_key_exchange_parse(RAW(__VA_ARGS__), suite_find(suite_), version_, out_)
#define CLIENT(suite_, out_, ...) client_key_exchange_parse(RAW(__VA_ARGS__), suite_find(suite_), 0x0303, out_)

static void servers_of_each_kind_are_read(void **state)
{
	(void)state;
	struct server_key_exchange sent;
	assert_int_equal(SERVER(ECDHE_RSA, 0x0303, &sent, 3, 0, 29, 2, 7, 8, 4, 1, 0, 3, 1, 2, 3), KEY_EXCHANGE_OK);
	assert_int_equal(sent.group, 29);
	assert_true(bytes_equal(sent.key, RAW(7, 8)));
	assert_true(bytes_equal(sent.params, RAW(3, 0, 29, 2, 7, 8)));
	assert_true(sent.is_signed && sent.scheme == 0x0401 && bytes_equal(sent.signature, RAW(1, 2, 3)));
	assert_false(sent.has_hint);
	/* Below TLS 1.2 there is no scheme. */
	assert_int_equal(SERVER(0xc013, 0x0302, &sent, 3, 0, 29, 1, 7, 0, 1, 9), KEY_EXCHANGE_OK);
	assert_int_equal(sent.scheme, 0);
	assert_int_equal(
		SERVER(DHE_RSA, 0x0303, &sent, 0, 2, 1, 2, 0, 1, 5, 0, 2, 3, 4, 4, 1, 0, 1, 9), KEY_EXCHANGE_OK);
	assert_true(bytes_equal(sent.dh_p, RAW(1, 2)) && bytes_equal(sent.dh_g, RAW(5)));
	assert_true(bytes_equal(sent.key, RAW(3, 4)));
	assert_int_equal(sent.params.len, 11);
	assert_int_equal(SERVER(DH_ANON, 0x0303, &sent, 0, 1, 1, 0, 1, 5, 0, 1, 3), KEY_EXCHANGE_OK);
	assert_false(sent.is_signed);
	assert_int_equal(sent.params.len, 0);
	assert_int_equal(SERVER(PSK, 0x0303, &sent, 0, 2, 'h', 'i'), KEY_EXCHANGE_OK);
	assert_true(sent.has_hint && bytes_equal(sent.psk_hint, bytes_str("hi")));
	assert_int_equal(SERVER(DHE_PSK, 0x0303, &sent, 0, 0, 0, 1, 1, 0, 1, 5, 0, 1, 3), KEY_EXCHANGE_OK);
	assert_true(sent.has_hint && sent.psk_hint.len == 0 && sent.dh_p.len == 1);
}

static void servers_messages_that_may_not_be_are_told(void **state)
{
	(void)state;
	struct server_key_exchange sent;
	assert_int_equal(SERVER(RSA, 0x0303, &sent, 0), KEY_EXCHANGE_UNEXPECTED);
	assert_int_equal(SERVER(STATIC_ECDH, 0x0303, &sent, 0), KEY_EXCHANGE_UNEXPECTED);
	assert_int_equal(SERVER(STATIC_DH, 0x0303, &sent, 0), KEY_EXCHANGE_UNEXPECTED);
	assert_int_equal(SERVER(SRP, 0x0303, &sent, 0), KEY_EXCHANGE_UNKNOWN);
	/* Explicit curve. */
	assert_int_equal(SERVER(ECDHE_RSA, 0x0303, &sent, 1, 0, 29), KEY_EXCHANGE_UNKNOWN);
	/* No point, no signature, something behind it. */
	assert_int_equal(SERVER(ECDHE_RSA, 0x0303, &sent, 3, 0, 29, 0, 4, 1, 0, 1, 1), KEY_EXCHANGE_MALFORMED);
	assert_int_equal(SERVER(ECDHE_RSA, 0x0303, &sent, 3, 0, 29, 1, 7, 4, 1, 0, 0), KEY_EXCHANGE_MALFORMED);
	assert_int_equal(SERVER(ECDHE_RSA, 0x0303, &sent, 3, 0, 29, 1, 7, 4, 1, 0, 1, 1, 0), KEY_EXCHANGE_MALFORMED);
	assert_int_equal(SERVER(DHE_RSA, 0x0303, &sent, 0, 0, 0, 1, 5, 0, 1, 3, 4, 1, 0, 1, 9), KEY_EXCHANGE_MALFORMED);
	assert_int_equal(SERVER(PSK, 0x0303, &sent, 0, 2, 'h'), KEY_EXCHANGE_MALFORMED);
}

static void clients_of_each_kind_are_read(void **state)
{
	(void)state;
	struct client_key_exchange sent;
	assert_int_equal(CLIENT(RSA, &sent, 0, 2, 1, 2), KEY_EXCHANGE_OK);
	assert_true(bytes_equal(sent.encrypted, RAW(1, 2)) && !sent.has_identity);
	assert_int_equal(CLIENT(ECDHE_RSA, &sent, 1, 9), KEY_EXCHANGE_OK);
	assert_true(bytes_equal(sent.key, RAW(9)));
	assert_int_equal(CLIENT(DHE_RSA, &sent, 0, 1, 9), KEY_EXCHANGE_OK);
	assert_true(bytes_equal(sent.key, RAW(9)));
	assert_int_equal(CLIENT(PSK, &sent, 0, 2, 'm', 'e'), KEY_EXCHANGE_OK);
	assert_true(sent.has_identity && bytes_equal(sent.psk_identity, bytes_str("me")));
	assert_int_equal(CLIENT(RSA_PSK, &sent, 0, 1, 'm', 0, 1, 7), KEY_EXCHANGE_OK);
	assert_true(bytes_equal(sent.psk_identity, RAW('m')) && bytes_equal(sent.encrypted, RAW(7)));
	assert_int_equal(CLIENT(DHE_PSK, &sent, 0, 1, 'm', 0, 1, 7), KEY_EXCHANGE_OK);
	assert_true(bytes_equal(sent.key, RAW(7)));
	/* The key is in the client's certificate. */
	assert_int_equal(client_key_exchange_parse(BYTES_NONE, suite_find(ECDHE_RSA), 0x0303, &sent), KEY_EXCHANGE_OK);
	assert_int_equal(sent.key.len, 0);
	/* SSL 3.0 has no length before the RSA secret. */
	assert_int_equal(client_key_exchange_parse(RAW(1, 2, 3), suite_find(0x000a), 0x0300, &sent), KEY_EXCHANGE_OK);
	assert_int_equal(sent.encrypted.len, 3);
}

static void malformed_clients_are_refused(void **state)
{
	(void)state;
	struct client_key_exchange sent;
	assert_int_equal(CLIENT(RSA, &sent, 0, 0), KEY_EXCHANGE_MALFORMED);
	assert_int_equal(CLIENT(RSA, &sent, 0, 3, 1, 2), KEY_EXCHANGE_MALFORMED);
	assert_int_equal(CLIENT(RSA, &sent, 0, 1, 1, 2), KEY_EXCHANGE_MALFORMED);
	assert_int_equal(CLIENT(ECDHE_RSA, &sent, 0), KEY_EXCHANGE_MALFORMED);
	assert_int_equal(CLIENT(PSK, &sent, 0, 1), KEY_EXCHANGE_MALFORMED);
	assert_int_equal(CLIENT(PSK, &sent, 0, 0, 1), KEY_EXCHANGE_MALFORMED);
	assert_int_equal(CLIENT(DHE_PSK, &sent, 0, 1, 'm'), KEY_EXCHANGE_MALFORMED);
	assert_int_equal(CLIENT(SRP, &sent, 0, 1, 1), KEY_EXCHANGE_UNKNOWN);
	assert_int_equal(client_key_exchange_parse(BYTES_NONE, suite_find(RSA), 0x0303, &sent), KEY_EXCHANGE_MALFORMED);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(servers_of_each_kind_are_read),
		cmocka_unit_test(servers_messages_that_may_not_be_are_told),
		cmocka_unit_test(clients_of_each_kind_are_read),
		cmocka_unit_test(malformed_clients_are_refused),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
