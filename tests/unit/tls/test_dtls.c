#include "support.h"
#include "tls/dtls.h"
#include "tls/handshake.h"
#include "tls/hello.h"
#include "tls/prf12.h"
#include "tls/protect.h"
#include "tls/transcript.h"
#include "wire.h"

#include <stdlib.h>

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

#define HELLO_VERIFY_REQUEST 3

static void records_are_taken_one_after_the_other(void **state)
{
	(void)state;
	struct bytes in =
		RAW(22, 254, 253, 0, 1, 0, 0, 0, 0, 0, 7, 0, 2, 8, 9, 23, 254, 255, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0);
	struct dtls_record record;
	assert_int_equal(dtls_record_read(&in, &record), DTLS_OK);
	assert_true(record.type == 22 && record.version == DTLS_VERSION_12 && record.epoch == 1);
	assert_int_equal(record.sequence, 7);
	assert_true(bytes_equal(record.fragment, RAW(8, 9)));
	assert_int_equal(dtls_record_read(&in, &record), DTLS_OK);
	assert_int_equal(record.sequence, 1ULL << 40);
	assert_int_equal(record.fragment.len, 0);
	assert_int_equal(dtls_record_read(&in, &record), DTLS_END);
}

static void what_is_no_record_is_told(void **state)
{
	(void)state;
	struct dtls_record record;
	struct bytes in = RAW(22, 254, 253, 0, 1, 0, 0, 0, 0, 0, 7, 0, 2, 8);
	assert_int_equal(dtls_record_read(&in, &record), DTLS_TRUNCATED);
	assert_int_equal(in.len, 14);
	in = RAW(22, 254);
	assert_int_equal(dtls_record_read(&in, &record), DTLS_TRUNCATED);
	in = RAW(22, 3, 3, 0, 0);
	assert_int_equal(dtls_record_read(&in, &record), DTLS_NOT_DTLS);
	/* DTLS 1.3's short header. */
	in = RAW(0x2c, 0, 0, 0, 5);
	assert_int_equal(dtls_record_read(&in, &record), DTLS_NOT_DTLS);
	in = RAW(22, 254, 253, 0, 1, 0, 0, 0, 0, 0, 7, 0x48, 1);
	assert_int_equal(dtls_record_read(&in, &record), DTLS_TOO_LONG);
}

static void fragments_stay_within_their_message(void **state)
{
	(void)state;
	struct bytes in = RAW(11, 0, 0, 5, 0, 2, 0, 0, 3, 0, 0, 2, 8, 9);
	struct dtls_handshake part;
	assert_true(dtls_handshake_read(&in, &part));
	assert_true(part.type == 11 && part.length == 5 && part.sequence == 2 && part.offset == 3 && !part.whole);
	assert_true(bytes_equal(part.body, RAW(8, 9)));
	assert_int_equal(part.octets.len, 14);
	in = RAW(11, 0, 0, 4, 0, 2, 0, 0, 3, 0, 0, 2, 8, 9);
	assert_false(dtls_handshake_read(&in, &part));
	assert_int_equal(in.len, 14);
	in = RAW(11, 0, 0, 5, 0, 2, 0, 0, 3, 0, 0, 2, 8);
	assert_false(dtls_handshake_read(&in, &part));
	in = RAW(14, 0, 0, 0, 0, 2, 0, 0, 0, 0, 0, 0);
	assert_true(dtls_handshake_read(&in, &part));
	assert_true(part.whole && part.body.len == 0);
	uint8_t room[20];
	struct writer w = writer_over(room, sizeof(room));
	dtls_handshake_header(&w, 14, 0, 2);
	assert_true(bytes_equal(bytes_of(room, w.len), part.octets));
}

static void a_cookie_is_taken_out_of_a_hello(void **state)
{
	(void)state;
	uint8_t body[100] = {254, 253}, room[100];
	struct bytes cookie, plain;
	struct client_hello hello;
	/* Version, random, no session id, cookie, one suite, null compression. */
	static const uint8_t rest[] = {0, 2, 'a', 'b', 0, 2, 0xc0, 0x2f, 1, 0};
	memcpy(body + 34, rest, sizeof(rest));
	struct writer w = writer_over(room, sizeof(room));
	assert_true(dtls_client_hello_strip(bytes_of(body, 44), &w, &cookie));
	assert_true(bytes_equal(cookie, bytes_str("ab")));
	assert_true(writer_done(&w, &plain));
	assert_int_equal(client_hello_parse(plain, &hello), HELLO_OK);
	assert_true(client_hello_offers_suite(&hello, 0xc02f));
	for (size_t n = 0; n < 38; n++) {
		w = writer_over(room, sizeof(room));
		assert_false(dtls_client_hello_strip(bytes_of(body, n), &w, &cookie));
	}
	struct hello_verify_request request;
	assert_true(hello_verify_request_parse(RAW(254, 255, 2, 'a', 'b'), &request));
	assert_true(request.version == DTLS_VERSION_10 && bytes_equal(request.cookie, bytes_str("ab")));
	assert_false(hello_verify_request_parse(RAW(254, 255, 2, 'a'), &request));
	assert_false(hello_verify_request_parse(RAW(254, 255, 1, 'a', 'b'), &request));
}

/* A session of OpenSSL over datagrams, read from the outside. */
struct session {
	struct wire_keys keys;
	struct tls_secret master;
	uint8_t sent[2][20000];
	size_t len[2];
	uint8_t text[2][1000];
};

static struct session session;

static void keep_master(const SSL *ssl, const char *line)
{
	(void)ssl;
	if (strncmp(line, "CLIENT_RANDOM ", 14) != 0)
		return;
	for (session.master.len = 0; session.master.len < 48; session.master.len++) {
		const char *at = line + 14 + 65 + 2 * session.master.len;
		const char pair[3] = {at[0], at[1], 0};
		session.master.octets[session.master.len] = (uint8_t)strtoul(pair, NULL, 16);
	}
}

static int make_cookie(SSL *ssl, unsigned char *cookie, unsigned *len)
{
	(void)ssl;
	static const uint8_t value[] = {'c', 'o', 'o', 'k', 'i', 'e'};
	memcpy(cookie, value, sizeof(value));
	*len = sizeof(value);
	return 1;
}

static int check_cookie(SSL *ssl, const unsigned char *cookie, unsigned len)
{
	(void)ssl;
	return len == 6 && memcmp(cookie, "cookie", 6) == 0;
}

static void carry(SSL *from, SSL *to, int side)
{
	uint8_t octets[4096];
	int n;
	while ((n = BIO_read(SSL_get_wbio(from), octets, sizeof(octets))) > 0) {
		assert_true(session.len[side] + (size_t)n <= sizeof(session.sent[0]));
		memcpy(session.sent[side] + session.len[side], octets, (size_t)n);
		session.len[side] += (size_t)n;
		BIO_write(SSL_get_rbio(to), octets, n);
	}
}

static SSL *make_end(SSL_CTX *ctx)
{
	SSL *ssl = SSL_new(ctx);
	SSL_set_bio(ssl, BIO_new(BIO_s_mem()), BIO_new(BIO_s_mem()));
	SSL_set_options(ssl, SSL_OP_NO_QUERY_MTU | SSL_OP_COOKIE_EXCHANGE);
	DTLS_set_link_mtu(ssl, 500);
	return ssl;
}

static void run_session(const char *suite)
{
	SSL_CTX *ctx = SSL_CTX_new(DTLS_method());
	SSL_CTX_set_min_proto_version(ctx, DTLS1_2_VERSION);
	SSL_CTX_use_certificate(ctx, session.keys.rsa_cert);
	SSL_CTX_use_PrivateKey(ctx, session.keys.rsa);
	SSL_CTX_set_security_level(ctx, 0);
	SSL_CTX_set_dh_auto(ctx, 1);
	SSL_CTX_set_keylog_callback(ctx, keep_master);
	SSL_CTX_set_cookie_generate_cb(ctx, make_cookie);
	SSL_CTX_set_cookie_verify_cb(ctx, check_cookie);
	assert_int_equal(SSL_CTX_set_cipher_list(ctx, suite), 1);
	SSL *ends[2] = {make_end(ctx), make_end(ctx)};
	SSL_set_connect_state(ends[0]);
	SSL_set_accept_state(ends[1]);
	session.len[0] = session.len[1] = 0;
	bool done = false;
	for (int i = 0; i < 20 && !done; i++) {
		int results[2];
		for (int side = 0; side < 2; side++) {
			results[side] = SSL_do_handshake(ends[side]);
			carry(ends[side], ends[!side], side);
		}
		done = results[0] == 1 && results[1] == 1;
	}
	assert_true(done);
	for (int side = 0; side < 2; side++) {
		memset(session.text[side], 'a' + side, 300);
		assert_int_equal(SSL_write(ends[side], session.text[side], 300), 300);
		carry(ends[side], ends[!side], side);
	}
	SSL_free(ends[0]);
	SSL_free(ends[1]);
	SSL_CTX_free(ctx);
}

/* What is known while the session is read. */
struct reader {
	struct crypto *crypto;
	struct transcript transcript;
	const struct suite *suite;
	struct protect *open[2];
	struct bytes left[2];
	struct server_hello hello;
	uint8_t randoms[2][32], body[8192], server_hello[1024];
	size_t have;
	struct dtls_handshake message; /* its body is `body` */
	uint8_t out[2000];
};

/* The next whole message; application data, compared, and the end give false. */
static bool next_message(struct reader *r, int side)
{
	struct dtls_record record;
	struct opened opened;
	while (dtls_record_read(&r->left[side], &record) == DTLS_OK) {
		opened.plaintext = record.fragment;
		if (record.epoch > 0)
			assert_int_equal(
				protect_open_dtls(r->open[side], &record, r->out, sizeof(r->out), &opened), PROTECT_OK);
		if (record.type == RECORD_APPLICATION_DATA) {
			assert_true(bytes_equal(opened.plaintext, bytes_of(session.text[side], 300)));
			return false;
		}
		if (record.type != RECORD_HANDSHAKE)
			continue;
		/* OpenSSL puts one fragment into a record. */
		assert_true(dtls_handshake_read(&opened.plaintext, &r->message));
		assert_int_equal(r->message.offset, r->have);
		memcpy(r->body + r->have, r->message.body.data, r->message.body.len);
		r->have += r->message.body.len;
		if (r->have < r->message.length)
			continue;
		r->message.body = bytes_of(r->body, r->have);
		r->have = 0;
		return true;
	}
	return false;
}

static void add_message(struct reader *r)
{
	uint8_t header[DTLS_HANDSHAKE_HEADER];
	struct writer w = writer_over(header, sizeof(header));
	dtls_handshake_header(&w, r->message.type, r->message.length, r->message.sequence);
	assert_int_equal(transcript_add(&r->transcript, bytes_of(header, w.len)), TRANSCRIPT_OK);
	assert_int_equal(transcript_add(&r->transcript, r->message.body), TRANSCRIPT_OK);
}

static void read_hellos(struct reader *r)
{
	struct hello_verify_request request;
	struct bytes cookie;
	uint8_t room[1024];
	struct writer w = writer_over(room, sizeof(room));
	assert_true(next_message(r, 0));
	assert_true(next_message(r, 1));
	assert_int_equal(r->message.type, HELLO_VERIFY_REQUEST);
	assert_true(hello_verify_request_parse(r->message.body, &request));
	assert_true(bytes_equal(request.cookie, bytes_str("cookie")));
	/* Neither of the two is part of the transcript (RFC 6347, 4.2.1). */
	assert_true(next_message(r, 0));
	assert_true(dtls_client_hello_strip(r->message.body, &w, &cookie));
	assert_true(bytes_equal(cookie, bytes_str("cookie")));
	memcpy(r->randoms[0], r->message.body.data + 2, 32);
	add_message(r);
	assert_true(next_message(r, 1));
	memcpy(r->server_hello, r->message.body.data, r->message.body.len);
	memcpy(r->randoms[1], r->message.body.data + 2, 32);
	assert_int_equal(server_hello_parse(bytes_of(r->server_hello, r->message.body.len), &r->hello), HELLO_OK);
	r->suite = suite_find(r->hello.suite);
	assert_non_null(r->suite);
	assert_int_equal(transcript_choose(&r->transcript, r->suite->prf), TRANSCRIPT_OK);
	add_message(r);
}

static void open_epoch(struct reader *r)
{
	struct traffic_keys keys[2];
	assert_true(prf12_keys(r->crypto, r->suite, tls_secret_bytes(&session.master), bytes_of(r->randoms[0], 32),
		bytes_of(r->randoms[1], 32), &keys[0], &keys[1]));
	for (int side = 0; side < 2; side++) {
		struct protect_setup setup = {r->suite, TLS_VERSION_12, r->hello.has_encrypt_then_mac, &keys[side], 0};
		r->open[side] = protect_new(r->crypto, &setup);
		assert_non_null(r->open[side]);
	}
}

static void read_finished(struct reader *r, int side)
{
	struct tls_secret hash, expected;
	assert_int_equal(transcript_value(&r->transcript, &hash), TRANSCRIPT_OK);
	assert_true(next_message(r, side));
	while (r->message.type == HANDSHAKE_NEW_SESSION_TICKET) {
		add_message(r);
		assert_int_equal(transcript_value(&r->transcript, &hash), TRANSCRIPT_OK);
		assert_true(next_message(r, side));
	}
	assert_int_equal(r->message.type, HANDSHAKE_FINISHED);
	assert_true(prf12_finished(r->crypto, r->suite->prf, tls_secret_bytes(&session.master), side == 0,
		tls_secret_bytes(&hash), &expected));
	assert_true(bytes_equal(r->message.body, tls_secret_bytes(&expected)));
	add_message(r);
	assert_false(side == 1 && next_message(r, 0));
}

static void sessions_over_datagrams_are_read(void **state)
{
	(void)state;
	static const char *const suites[] = {"ECDHE-RSA-AES128-GCM-SHA256", "ECDHE-RSA-AES256-SHA384",
		"ECDHE-RSA-CHACHA20-POLY1305", "DHE-RSA-AES128-CCM8", "ECDHE-RSA-AES128-SHA"};
	static struct reader reader;
	wire_keys_make(&session.keys);
	for (size_t i = 0; i < sizeof(suites) / sizeof(suites[0]); i++) {
		struct reader *r = &reader;
		memset(r, 0, sizeof(*r));
		run_session(suites[i]);
		r->crypto = crypto_new();
		transcript_init(&r->transcript, TRANSCRIPT_CAP);
		for (int side = 0; side < 2; side++)
			r->left[side] = bytes_of(session.sent[side], session.len[side]);
		read_hellos(r);
		do {
			assert_true(next_message(r, 1));
			add_message(r);
		} while (r->message.type != HANDSHAKE_SERVER_HELLO_DONE);
		assert_true(next_message(r, 0));
		add_message(r);
		open_epoch(r);
		read_finished(r, 0);
		read_finished(r, 1);
		assert_false(next_message(r, 1));
		assert_int_equal(r->left[0].len, 0);
		assert_int_equal(r->left[1].len, 0);
		protect_free(r->open[0]);
		protect_free(r->open[1]);
		transcript_free(&r->transcript);
		crypto_free(r->crypto);
	}
	wire_keys_free(&session.keys);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(records_are_taken_one_after_the_other),
		cmocka_unit_test(what_is_no_record_is_told),
		cmocka_unit_test(fragments_stay_within_their_message),
		cmocka_unit_test(a_cookie_is_taken_out_of_a_hello),
		cmocka_unit_test(sessions_over_datagrams_are_read),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
