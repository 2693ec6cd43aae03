#include "support.h"
#include "tls/extension.h"
#include "tls/handshake.h"
#include "tls/hello.h"

#include <stdlib.h>

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

static uint8_t room[4096];

static struct bytes build(struct bytes random, struct bytes extensions, bool bare)
{
	struct writer w = writer_over(room, sizeof(room));
	struct bytes body;
	writer_u16(&w, 0x0303);
	for (int i = 0; random.len == 0 && i < 32; i++)
		writer_u8(&w, 0x44);
	writer_bytes(&w, random);
	writer_vec8(&w, RAW(1, 2, 3));
	writer_u16(&w, 0x1301);
	writer_u8(&w, 0);
	if (!bare)
		writer_vec16(&w, extensions);
	assert_true(writer_done(&w, &body));
	return body;
}

static struct server_hello good(struct bytes extensions)
{
	struct server_hello hello;
	assert_int_equal(server_hello_parse(build(BYTES_NONE, extensions, false), &hello), HELLO_OK);
	assert_int_equal(hello.faults, 0);
	return hello;
}

static void assert_faulty(uint16_t type, struct bytes extensions)
{
	struct server_hello hello;
	assert_int_equal(server_hello_parse(build(BYTES_NONE, extensions, false), &hello), HELLO_OK);
	assert_int_equal(hello.faults, 1);
	assert_int_equal(hello.faulty, type);
	assert_true(server_hello_has(&hello, type));
}

/* RFC 8446, 4.1.3, written out by the sentence there: SHA-256 of "HelloRetryRequest". */
static struct bytes retry_random(uint8_t out[32])
{
	unsigned n = 0;
	assert_int_equal(EVP_Digest("HelloRetryRequest", 17, out, &n, EVP_sha256(), NULL), 1);
	return bytes_of(out, n);
}

static void the_plain_fields_are_read(void **state)
{
	(void)state;
	struct server_hello h;
	assert_int_equal(server_hello_parse(build(BYTES_NONE, BYTES_NONE, true), &h), HELLO_OK);
	assert_int_equal(h.version, TLS_VERSION_12);
	assert_int_equal(h.suite, 0x1301);
	assert_int_equal(h.compression, 0);
	assert_true(bytes_equal(h.session_id, RAW(1, 2, 3)));
	assert_int_equal(h.random.len, HELLO_RANDOM);
	assert_false(h.has_extensions);
	assert_false(h.retry);
	assert_int_equal(h.downgrade, DOWNGRADE_NONE);
	assert_int_equal(h.group, 0);
}

static void a_tls13_hello_names_version_and_share(void **state)
{
	(void)state;
	struct server_hello h = good(RAW(0, 43, 0, 2, 3, 4, 0, 51, 0, 6, 0, 29, 0, 2, 7, 8, 0, 41, 0, 2, 0, 1));
	assert_int_equal(h.version, TLS_VERSION_13);
	assert_int_equal(h.group, 29);
	assert_true(bytes_equal(h.key_share, RAW(7, 8)));
	assert_true(h.has_psk);
	assert_int_equal(h.psk_index, 1);
	assert_int_equal(h.extension_count, 3);
	assert_faulty(EXT_KEY_SHARE, RAW(0, 51, 0, 2, 0, 29));
	assert_faulty(EXT_SUPPORTED_VERSIONS, RAW(0, 43, 0, 3, 2, 3, 4));
	assert_faulty(EXT_PRE_SHARED_KEY, RAW(0, 41, 0, 0));
}

static void a_tls12_hello_names_its_extensions(void **state)
{
	(void)state;
	struct server_hello h = good(RAW(0, 23, 0, 0, 0, 22, 0, 0, 0, 35, 0, 0, 0, 5, 0, 0, 0, 0, 0, 0, 0xff, 1, 0, 1,
		0, 0, 16, 0, 5, 0, 3, 2, 'h', '2'));
	assert_true(h.has_extended_master_secret && h.has_encrypt_then_mac && h.has_ticket && h.has_status_request);
	assert_true(h.has_renegotiation_info);
	assert_int_equal(h.renegotiated.len, 0);
	assert_true(bytes_equal(h.alpn, bytes_str("h2")));
	assert_faulty(EXT_ALPN, RAW(0, 16, 0, 6, 0, 4, 1, 'a', 1, 'b'));
	assert_faulty(EXT_EXTENDED_MASTER_SECRET, RAW(0, 23, 0, 1, 0));
	assert_faulty(EXT_SERVER_NAME, RAW(0, 0, 0, 1, 0));
	assert_faulty(EXT_RENEGOTIATION_INFO, RAW(0xff, 1, 0, 0));
}

static void a_retry_is_known_by_its_random(void **state)
{
	(void)state;
	uint8_t random[32];
	struct server_hello h;
	struct bytes extensions = RAW(0, 43, 0, 2, 3, 4, 0, 51, 0, 2, 0, 23, 0, 44, 0, 3, 0, 1, 'c', 0xfe, 0x0d, 0, 8,
		1, 2, 3, 4, 5, 6, 7, 8);
	assert_int_equal(server_hello_parse(build(retry_random(random), extensions, false), &h), HELLO_OK);
	assert_int_equal(h.faults, 0);
	assert_true(h.retry);
	assert_int_equal(h.version, TLS_VERSION_13);
	assert_int_equal(h.group, 23);
	assert_int_equal(h.key_share.len, 0);
	assert_true(bytes_equal(h.cookie, bytes_str("c")));
	assert_int_equal(h.ech, ECH_OUTER);
	random[31] ^= 1;
	assert_int_equal(server_hello_parse(build(bytes_of(random, 32), extensions, false), &h), HELLO_OK);
	assert_false(h.retry);
	assert_int_equal(h.faults, 1);
	assert_int_equal(h.faulty, EXT_KEY_SHARE);
}

static void the_downgrade_sentinels_are_seen(void **state)
{
	(void)state;
	uint8_t random[32] = {0};
	struct server_hello h;
	memcpy(random + 24, "DOWNGRD\1", 8);
	assert_int_equal(server_hello_parse(build(bytes_of(random, 32), BYTES_NONE, true), &h), HELLO_OK);
	assert_int_equal(h.downgrade, DOWNGRADE_TO_12);
	memcpy(random + 24, "DOWNGRD\0", 8);
	assert_int_equal(server_hello_parse(build(bytes_of(random, 32), BYTES_NONE, true), &h), HELLO_OK);
	assert_int_equal(h.downgrade, DOWNGRADE_TO_11);
	memcpy(random + 24, "DOWNGRD\2", 8);
	assert_int_equal(server_hello_parse(build(bytes_of(random, 32), BYTES_NONE, true), &h), HELLO_OK);
	assert_int_equal(h.downgrade, DOWNGRADE_NONE);
}

static void broken_structure_is_refused(void **state)
{
	(void)state;
	struct server_hello h;
	assert_int_equal(server_hello_parse(BYTES_NONE, &h), HELLO_TRUNCATED);
	struct bytes body = build(BYTES_NONE, RAW(0, 23, 0, 0, 0, 23, 0, 0), false);
	assert_int_equal(server_hello_parse(body, &h), HELLO_DUPLICATE_EXTENSION);
	body = build(BYTES_NONE, RAW(0, 23, 0), false);
	assert_int_equal(server_hello_parse(body, &h), HELLO_BAD_EXTENSIONS);
	body = build(BYTES_NONE, BYTES_NONE, false);
	room[body.len] = 9;
	assert_int_equal(server_hello_parse(bytes_of(room, body.len + 1), &h), HELLO_TRAILING);
	room[34] = 33;
	assert_int_equal(server_hello_parse(bytes_of(room, 200), &h), HELLO_BAD_SESSION_ID);
}

static void openssl_servers_are_understood_and_never_when_cut_short(void **state)
{
	(void)state;
	static struct handshake_log log;
	const uint16_t versions[] = {0x0303, 0x0304};
	for (size_t i = 0; i < 2; i++) {
		assert_true(openssl_handshake(versions[i], NULL, &log));
		struct bytes body = log_message(&log, true, HANDSHAKE_SERVER_HELLO);
		struct server_hello h;
		assert_true(bytes_skip(&body, 4));
		assert_int_equal(server_hello_parse(body, &h), HELLO_OK);
		assert_int_equal(h.faults, 0);
		assert_int_equal(h.version, versions[i]);
		assert_int_equal(h.group != 0, versions[i] == 0x0304);
		assert_true(versions[i] == 0x0304 || h.has_extended_master_secret);
		size_t before_extensions = body.len - h.extensions.len - 2;
		for (size_t n = 0; n < body.len; n++) {
			uint8_t *copy = malloc(n ? n : 1);
			assert_non_null(copy);
			memcpy(copy, body.data, n);
			bool ok = server_hello_parse(bytes_of(copy, n), &h) == HELLO_OK;
			free(copy);
			assert_int_equal(ok, n == before_extensions);
		}
	}
}

static void offer_wrong_share(SSL *client, SSL *server)
{
	/* The macro casts const away, which clang sees. */
	char both[] = "X25519:P-256", one[] = "P-256";
	SSL_set1_groups_list(client, both);
	SSL_set1_groups_list(server, one);
}

static void an_openssl_retry_names_the_group_it_wants(void **state)
{
	(void)state;
	static struct handshake_log log;
	struct server_hello h;
	assert_true(openssl_handshake(0x0304, offer_wrong_share, &log));
	struct bytes body = log_message(&log, true, HANDSHAKE_SERVER_HELLO);
	assert_true(bytes_skip(&body, 4));
	assert_int_equal(server_hello_parse(body, &h), HELLO_OK);
	assert_true(h.retry);
	assert_int_equal(h.group, 23);
	assert_int_equal(h.faults, 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_plain_fields_are_read),
		cmocka_unit_test(a_tls13_hello_names_version_and_share),
		cmocka_unit_test(a_tls12_hello_names_its_extensions),
		cmocka_unit_test(a_retry_is_known_by_its_random),
		cmocka_unit_test(the_downgrade_sentinels_are_seen),
		cmocka_unit_test(broken_structure_is_refused),
		cmocka_unit_test(openssl_servers_are_understood_and_never_when_cut_short),
		cmocka_unit_test(an_openssl_retry_names_the_group_it_wants),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
