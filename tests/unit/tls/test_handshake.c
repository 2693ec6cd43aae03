#include "support.h"
#include "tls/handshake.h"

#include <stdlib.h>

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

static void messages_are_taken_one_after_the_other(void **state)
{
	(void)state;
	struct bytes in = RAW(8, 0, 0, 2, 0, 0, 20, 0, 0, 1, 9, 11, 0, 0);
	struct handshake message;
	assert_int_equal(handshake_read(&in, 100, &message), HANDSHAKE_OK);
	assert_int_equal(message.type, HANDSHAKE_ENCRYPTED_EXTENSIONS);
	assert_true(bytes_equal(message.body, RAW(0, 0)));
	assert_true(bytes_equal(message.whole, RAW(8, 0, 0, 2, 0, 0)));
	assert_int_equal(handshake_read(&in, 100, &message), HANDSHAKE_OK);
	assert_int_equal(message.type, HANDSHAKE_FINISHED);
	assert_int_equal(handshake_read(&in, 100, &message), HANDSHAKE_NEED_MORE);
	assert_int_equal(in.len, 3);
	assert_int_equal(message.type, HANDSHAKE_FINISHED);
}

static void an_empty_body_is_a_message(void **state)
{
	(void)state;
	struct bytes in = RAW(14, 0, 0, 0);
	struct handshake message;
	assert_int_equal(handshake_read(&in, 0, &message), HANDSHAKE_OK);
	assert_int_equal(message.body.len, 0);
	assert_int_equal(message.whole.len, 4);
}

static void a_body_over_the_limit_is_refused_by_its_header(void **state)
{
	(void)state;
	struct bytes in = RAW(11, 0, 0, 5);
	struct handshake message;
	assert_int_equal(handshake_read(&in, 4, &message), HANDSHAKE_TOO_LONG);
	assert_int_equal(handshake_read(&in, 5, &message), HANDSHAKE_NEED_MORE);
	assert_int_equal(in.len, 4);
}

static void types_have_names(void **state)
{
	(void)state;
	assert_string_equal(handshake_type_name(HANDSHAKE_CLIENT_HELLO), "client_hello");
	assert_string_equal(handshake_type_name(HANDSHAKE_KEY_UPDATE), "key_update");
	assert_string_equal(handshake_type_name(HANDSHAKE_MESSAGE_HASH), "message_hash");
	assert_null(handshake_type_name(200));
}

static bool parse(struct bytes block, struct encrypted_extensions *out)
{
	static uint8_t room[1024];
	struct writer w = writer_over(room, sizeof(room));
	struct bytes body;
	writer_vec16(&w, block);
	return writer_done(&w, &body) && encrypted_extensions_parse(body, out);
}

static void encrypted_extensions_are_read(void **state)
{
	(void)state;
	struct encrypted_extensions ee;
	assert_true(parse(
		RAW(0, 16, 0, 5, 0, 3, 2, 'h', '2', 0, 42, 0, 0, 0, 0, 0, 0, 0, 28, 0, 2, 0x40, 1, 0, 10, 0, 2, 0, 0),
		&ee));
	assert_int_equal(ee.extension_count, 5);
	assert_true(ee.has_alpn && bytes_equal(ee.alpn, bytes_str("h2")));
	assert_true(ee.early_data && ee.server_name);
	assert_int_equal(ee.record_size_limit, 0x4001);
	assert_true(parse(BYTES_NONE, &ee));
	assert_false(ee.has_alpn || ee.early_data || ee.server_name);
	assert_int_equal(ee.record_size_limit, 0);
}

static void malformed_encrypted_extensions_are_refused(void **state)
{
	(void)state;
	struct encrypted_extensions ee;
	assert_false(encrypted_extensions_parse(BYTES_NONE, &ee));
	assert_false(encrypted_extensions_parse(RAW(0, 0, 0), &ee));
	assert_false(parse(RAW(0, 16, 0, 0), &ee));
	assert_false(parse(RAW(0, 16, 0, 6, 0, 4, 1, 'a', 1, 'b'), &ee));
	assert_false(parse(RAW(0, 16, 0, 3, 0, 1, 0), &ee));
	assert_false(parse(RAW(0, 42, 0, 1, 0), &ee));
	assert_false(parse(RAW(0, 28, 0, 2, 0, 63), &ee));
	assert_false(parse(RAW(0, 42, 0, 0, 0, 42, 0, 0), &ee));
	assert_false(parse(RAW(0, 42, 0), &ee));
}

static int choose(SSL *ssl, const unsigned char **out, unsigned char *outlen, const unsigned char *in,
	unsigned int inlen, void *arg)
{
	(void)ssl;
	(void)arg;
	(void)inlen;
	*out = in + 1;
	*outlen = in[0];
	return SSL_TLSEXT_ERR_OK;
}

static void ask_for_h2(SSL *client, SSL *server)
{
	SSL_set_alpn_protos(client, (const unsigned char *)"\2h2", 3);
	SSL_CTX_set_alpn_select_cb(SSL_get_SSL_CTX(server), choose, NULL);
}

static void an_openssl_server_says_its_choice(void **state)
{
	(void)state;
	static struct handshake_log log;
	struct encrypted_extensions ee;
	assert_true(openssl_handshake(0x0304, ask_for_h2, &log));
	struct bytes body = log_message(&log, true, HANDSHAKE_ENCRYPTED_EXTENSIONS);
	assert_true(bytes_skip(&body, HANDSHAKE_HEADER));
	assert_true(encrypted_extensions_parse(body, &ee));
	assert_true(ee.has_alpn && bytes_equal(ee.alpn, bytes_str("h2")));
	for (size_t n = 0; n < body.len; n++) {
		uint8_t *copy = malloc(n ? n : 1);
		assert_non_null(copy);
		memcpy(copy, body.data, n);
		assert_false(encrypted_extensions_parse(bytes_of(copy, n), &ee));
		free(copy);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(messages_are_taken_one_after_the_other),
		cmocka_unit_test(an_empty_body_is_a_message),
		cmocka_unit_test(a_body_over_the_limit_is_refused_by_its_header),
		cmocka_unit_test(types_have_names),
		cmocka_unit_test(encrypted_extensions_are_read),
		cmocka_unit_test(malformed_encrypted_extensions_are_refused),
		cmocka_unit_test(an_openssl_server_says_its_choice),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
