#include "rfc8448.h"
#include "support.h"
#include "tls/certificate_verify.h"
#include "tls/control.h"
#include "tls/handshake.h"
#include "tls/protect.h"
#include "tls/psk.h"
#include "tls/schedule13.h"
#include "tls/ticket.h"
#include "tls/transcript.h"

#include <stdlib.h>

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

#define SHA256 SUITE_HASH_SHA256

static struct bytes unhex(const char *text, uint8_t *room, size_t cap)
{
	size_t n = strlen(text) / 2;
	assert_true(n <= cap && strlen(text) % 2 == 0);
	for (size_t i = 0; i < n; i++) {
		const char pair[3] = {text[2 * i], text[2 * i + 1], 0};
		char *end;
		room[i] = (uint8_t)strtoul(pair, &end, 16);
		assert_int_equal(*end, 0);
	}
	return bytes_of(room, n);
}

static void assert_hex(struct bytes got, const char *hex)
{
	uint8_t room[64];
	struct bytes want = unhex(hex, room, sizeof(room));
	assert_int_equal(got.len, want.len);
	assert_memory_equal(got.data, want.data, want.len);
}

static void assert_secret(const struct tls_secret *got, const char *hex)
{
	assert_hex(tls_secret_bytes(got), hex);
}

static struct tls_secret secret_of(const char *hex)
{
	struct tls_secret secret = {0};
	uint8_t room[64];
	assert_true(tls_secret_set(&secret, unhex(hex, room, sizeof(room))));
	return secret;
}

/* One side's view of a trace, going through it message by message. */
struct trace {
	struct crypto *crypto;
	const struct suite *suite;
	struct transcript transcript;
	struct tls_secret early, handshake, master, c_hs, s_hs, c_ap, s_ap;
	uint8_t room[2048], plain[2048];
};

static void start(struct trace *t)
{
	t->crypto = crypto_new();
	t->suite = suite_find(0x1301);
	assert_non_null(t->crypto);
	transcript_init(&t->transcript, TRANSCRIPT_CAP);
}

static void finish(struct trace *t)
{
	transcript_free(&t->transcript);
	crypto_free(t->crypto);
}

static struct tls_secret hash_now(struct trace *t)
{
	struct tls_secret hash;
	assert_int_equal(transcript_value(&t->transcript, &hash), TRANSCRIPT_OK);
	return hash;
}

/* The message in a record in the clear, added to the transcript. */
static struct bytes add_record(struct trace *t, const char *hex)
{
	struct bytes in = unhex(hex, t->room, sizeof(t->room));
	struct record record;
	assert_int_equal(record_read(&in, &record), RECORD_OK);
	assert_int_equal(in.len, 0);
	assert_int_equal(transcript_add(&t->transcript, record.fragment), TRANSCRIPT_OK);
	return record.fragment;
}

static struct protect *protect_by(struct trace *t, const struct tls_secret *traffic, const char *key, const char *iv)
{
	struct traffic_keys keys;
	assert_true(schedule13_keys(t->crypto, t->suite, traffic, &keys));
	if (key) {
		assert_hex(bytes_of(keys.key, 16), key);
		assert_hex(bytes_of(keys.iv, 12), iv);
	}
	struct protect_setup setup = {.suite = t->suite, .version = 0x0304, .keys = &keys};
	struct protect *p = protect_new(t->crypto, &setup);
	assert_non_null(p);
	return p;
}

static struct bytes open_record(struct trace *t, struct protect *p, const char *hex, uint8_t type)
{
	struct bytes in = unhex(hex, t->room, sizeof(t->room));
	struct record record;
	struct opened opened;
	assert_int_equal(record_read(&in, &record), RECORD_OK);
	assert_int_equal(protect_open(p, &record, t->plain, sizeof(t->plain), &opened), PROTECT_OK);
	assert_int_equal(opened.type, type);
	return opened.plaintext;
}

static void derive(struct trace *t, const struct tls_secret *from, enum schedule13_label label, const char *want,
	struct tls_secret *out)
{
	struct tls_secret hash = hash_now(t), made;
	assert_true(schedule13_derive(t->crypto, SHA256, from, label, tls_secret_bytes(&hash), &made));
	if (want)
		assert_secret(&made, want);
	if (out)
		*out = made;
}

static void handshake_secrets(struct trace *t, const char *shared, const char *handshake)
{
	struct tls_secret ecdhe = secret_of(shared);
	assert_true(schedule13_handshake(t->crypto, SHA256, &t->early, tls_secret_bytes(&ecdhe), &t->handshake));
	assert_secret(&t->handshake, handshake);
	assert_true(schedule13_master(t->crypto, SHA256, &t->handshake, &t->master));
}

/* Takes the messages of a flight into the transcript; its Finished has to be right. */
static void take_flight(struct trace *t, struct bytes flight, const struct tls_secret *base, const char *verify,
	const char *signed_hash)
{
	struct handshake message;
	while (handshake_read(&flight, 4096, &message) == HANDSHAKE_OK) {
		struct tls_secret hash = hash_now(t), expected;
		struct bytes verify_data;
		if (message.type == HANDSHAKE_CERTIFICATE_VERIFY && signed_hash)
			assert_secret(&hash, signed_hash);
		if (message.type == HANDSHAKE_FINISHED) {
			assert_true(schedule13_finished(t->crypto, SHA256, base, tls_secret_bytes(&hash), &expected));
			assert_true(finished_parse(message.body, 0x0304, SHA256, &verify_data));
			assert_true(bytes_equal(verify_data, tls_secret_bytes(&expected)));
			if (verify)
				assert_hex(verify_data, verify);
		}
		assert_int_equal(transcript_add(&t->transcript, message.whole), TRANSCRIPT_OK);
	}
	assert_int_equal(flight.len, 0);
}

static void a_full_handshake_has_the_secrets_of_section_3(void **state)
{
	(void)state;
	struct trace t = {0};
	start(&t);
	(void)!add_record(&t, S3_CLIENT_HELLO).len;
	assert_int_equal(transcript_choose(&t.transcript, t.suite->prf), TRANSCRIPT_OK);
	(void)!add_record(&t, S3_SERVER_HELLO).len;
	struct tls_secret hash = hash_now(&t);
	assert_secret(&hash, S3_HELLO_HASH);
	assert_true(schedule13_early(t.crypto, SHA256, BYTES_NONE, &t.early));
	assert_secret(&t.early, S3_EARLY);
	handshake_secrets(&t, S3_SHARED, S3_HANDSHAKE);
	assert_secret(&t.master, S3_MASTER);
	derive(&t, &t.handshake, SCHEDULE13_C_HS_TRAFFIC, S3_C_HS, &t.c_hs);
	derive(&t, &t.handshake, SCHEDULE13_S_HS_TRAFFIC, S3_S_HS, &t.s_hs);
	struct protect *server = protect_by(&t, &t.s_hs, S3_S_HS_KEY, S3_S_HS_IV);
	struct protect *client = protect_by(&t, &t.c_hs, S3_C_HS_KEY, S3_C_HS_IV);
	take_flight(&t, open_record(&t, server, S3_SERVER_FLIGHT, RECORD_HANDSHAKE), &t.s_hs, S3_SERVER_VERIFY,
		S3_SIGNED_HASH);
	hash = hash_now(&t);
	assert_secret(&hash, S3_SERVER_HASH);
	derive(&t, &t.master, SCHEDULE13_C_AP_TRAFFIC, S3_C_AP, &t.c_ap);
	derive(&t, &t.master, SCHEDULE13_S_AP_TRAFFIC, S3_S_AP, &t.s_ap);
	derive(&t, &t.master, SCHEDULE13_EXP_MASTER, S3_EXP, NULL);
	take_flight(&t, open_record(&t, client, S3_CLIENT_FINISHED, RECORD_HANDSHAKE), &t.c_hs, S3_CLIENT_VERIFY, NULL);
	hash = hash_now(&t);
	assert_secret(&hash, S3_CLIENT_HASH);
	protect_free(server);
	protect_free(client);
	finish(&t);
}

static void the_data_and_the_ticket_of_section_3_are_read(void **state)
{
	(void)state;
	struct trace t = {0};
	start(&t);
	t.c_ap = secret_of(S3_C_AP);
	t.s_ap = secret_of(S3_S_AP);
	struct tls_secret master = secret_of(S3_MASTER), res, psk, hash = secret_of(S3_CLIENT_HASH);
	struct protect *server = protect_by(&t, &t.s_ap, S3_S_AP_KEY, S3_S_AP_IV);
	struct protect *client = protect_by(&t, &t.c_ap, S3_C_AP_KEY, S3_C_AP_IV);
	struct bytes stream = open_record(&t, server, S3_TICKET, RECORD_HANDSHAKE);
	struct handshake message;
	struct session_ticket ticket;
	assert_int_equal(handshake_read(&stream, 4096, &message), HANDSHAKE_OK);
	assert_int_equal(message.type, HANDSHAKE_NEW_SESSION_TICKET);
	assert_true(session_ticket_parse(message.body, 0x0304, &ticket));
	assert_int_equal(ticket.lifetime_s, 30);
	assert_int_equal(ticket.age_add, 0xfad6aac5);
	assert_true(ticket.has_early_data);
	assert_int_equal(ticket.max_early_data, 1024);
	assert_true(schedule13_derive(t.crypto, SHA256, &master, SCHEDULE13_RES_MASTER, tls_secret_bytes(&hash), &res));
	assert_secret(&res, S3_RES);
	assert_true(schedule13_ticket_psk(t.crypto, SHA256, &res, ticket.nonce, &psk));
	assert_secret(&psk, S3_PSK);
	assert_hex(open_record(&t, client, S3_CLIENT_DATA, RECORD_APPLICATION_DATA), S3_DATA);
	assert_hex(open_record(&t, server, S3_SERVER_DATA, RECORD_APPLICATION_DATA), S3_DATA);
	assert_hex(open_record(&t, client, S3_CLIENT_CLOSE, RECORD_ALERT), "0100");
	assert_hex(open_record(&t, server, S3_SERVER_CLOSE, RECORD_ALERT), "0100");
	assert_int_equal(protect_sequence(server), 3);
	protect_free(server);
	protect_free(client);
	finish(&t);
}

/* The hello of section 4 and its binder, up to the early secrets. */
static void take_early(struct trace *t)
{
	struct tls_secret psk = secret_of(S3_PSK), key, binder, hash;
	struct client_hello hello;
	struct bytes identity, sent, truncated;
	assert_true(schedule13_early(t->crypto, SHA256, tls_secret_bytes(&psk), &t->early));
	assert_secret(&t->early, S4_EARLY);
	assert_true(schedule13_derive(t->crypto, SHA256, &t->early, SCHEDULE13_RES_BINDER, BYTES_NONE, &key));
	assert_secret(&key, S4_BINDER_KEY);
	uint8_t room[1024];
	struct bytes in = unhex(S4_CLIENT_HELLO, room, sizeof(room)), body;
	struct record record;
	assert_int_equal(record_read(&in, &record), RECORD_OK);
	body = record.fragment;
	assert_true(bytes_skip(&body, HANDSHAKE_HEADER));
	assert_int_equal(client_hello_parse(body, &hello), HELLO_OK);
	assert_true(psk_truncated(record.fragment, &hello, &truncated));
	assert_int_equal(transcript_choose(&t->transcript, SHA256), TRANSCRIPT_OK);
	assert_int_equal(transcript_value_with(&t->transcript, truncated, &hash), TRANSCRIPT_OK);
	assert_secret(&hash, S4_BINDER_HASH);
	assert_true(schedule13_finished(t->crypto, SHA256, &key, tls_secret_bytes(&hash), &binder));
	assert_secret(&binder, S4_BINDER);
	assert_true(psk_at(&hello, 0, &identity, &sent));
	assert_int_equal(identity.len, 178);
	assert_hex(sent, S4_BINDER);
	assert_false(psk_at(&hello, 1, &identity, &sent));
}

static void a_resumed_handshake_has_the_secrets_of_section_4(void **state)
{
	(void)state;
	struct trace t = {0};
	struct tls_secret early;
	start(&t);
	take_early(&t);
	(void)!add_record(&t, S4_CLIENT_HELLO).len;
	derive(&t, &t.early, SCHEDULE13_C_E_TRAFFIC, S4_C_E, &early);
	derive(&t, &t.early, SCHEDULE13_E_EXP_MASTER, S4_E_EXP, NULL);
	struct protect *zero = protect_by(&t, &early, S4_C_E_KEY, S4_C_E_IV);
	struct bytes data = open_record(&t, zero, S4_EARLY_DATA, RECORD_APPLICATION_DATA);
	assert_true(bytes_equal(data, bytes_str("ABCDEF")));
	(void)!add_record(&t, S4_SERVER_HELLO).len;
	handshake_secrets(&t, S4_SHARED, S4_HANDSHAKE);
	assert_secret(&t.master, S4_MASTER);
	derive(&t, &t.handshake, SCHEDULE13_C_HS_TRAFFIC, S4_C_HS, &t.c_hs);
	derive(&t, &t.handshake, SCHEDULE13_S_HS_TRAFFIC, S4_S_HS, &t.s_hs);
	struct protect *server = protect_by(&t, &t.s_hs, NULL, NULL), *client = protect_by(&t, &t.c_hs, NULL, NULL);
	take_flight(&t, open_record(&t, server, S4_SERVER_FLIGHT, RECORD_HANDSHAKE), &t.s_hs, NULL, NULL);
	derive(&t, &t.master, SCHEDULE13_C_AP_TRAFFIC, S4_C_AP, &t.c_ap);
	derive(&t, &t.master, SCHEDULE13_S_AP_TRAFFIC, S4_S_AP, &t.s_ap);
	derive(&t, &t.master, SCHEDULE13_EXP_MASTER, S4_EXP, NULL);
	take_flight(&t, open_record(&t, zero, S4_END_OF_EARLY_DATA, RECORD_HANDSHAKE), NULL, NULL, NULL);
	take_flight(&t, open_record(&t, client, S4_CLIENT_FINISHED, RECORD_HANDSHAKE), &t.c_hs, NULL, NULL);
	derive(&t, &t.master, SCHEDULE13_RES_MASTER, S4_RES, NULL);
	protect_free(zero);
	protect_free(server);
	protect_free(client);
	client = protect_by(&t, &t.c_ap, NULL, NULL);
	server = protect_by(&t, &t.s_ap, NULL, NULL);
	assert_hex(open_record(&t, client, S4_CLIENT_DATA, RECORD_APPLICATION_DATA), S3_DATA);
	assert_hex(open_record(&t, server, S4_SERVER_DATA, RECORD_APPLICATION_DATA), S3_DATA);
	protect_free(server);
	protect_free(client);
	finish(&t);
}

static void a_retried_handshake_is_that_of_section_5(void **state)
{
	(void)state;
	struct trace t = {0};
	start(&t);
	(void)!add_record(&t, S5_CLIENT_HELLO_1).len;
	assert_int_equal(transcript_choose(&t.transcript, SHA256), TRANSCRIPT_OK);
	assert_int_equal(transcript_retry(&t.transcript), TRANSCRIPT_OK);
	(void)!add_record(&t, S5_RETRY).len;
	(void)!add_record(&t, S5_CLIENT_HELLO_2).len;
	(void)!add_record(&t, S5_SERVER_HELLO).len;
	assert_true(schedule13_early(t.crypto, SHA256, BYTES_NONE, &t.early));
	handshake_secrets(&t, S5_SHARED, S5_HANDSHAKE);
	derive(&t, &t.handshake, SCHEDULE13_C_HS_TRAFFIC, NULL, &t.c_hs);
	derive(&t, &t.handshake, SCHEDULE13_S_HS_TRAFFIC, NULL, &t.s_hs);
	struct protect *server = protect_by(&t, &t.s_hs, NULL, NULL), *client = protect_by(&t, &t.c_hs, NULL, NULL);
	take_flight(&t, open_record(&t, server, S5_SERVER_FLIGHT, RECORD_HANDSHAKE), &t.s_hs, S5_SERVER_VERIFY,
		S5_SIGNED_HASH);
	derive(&t, &t.master, SCHEDULE13_C_AP_TRAFFIC, NULL, &t.c_ap);
	derive(&t, &t.master, SCHEDULE13_S_AP_TRAFFIC, NULL, &t.s_ap);
	take_flight(&t, open_record(&t, client, S5_CLIENT_FINISHED, RECORD_HANDSHAKE), &t.c_hs, NULL, NULL);
	protect_free(server);
	protect_free(client);
	client = protect_by(&t, &t.c_ap, NULL, NULL);
	server = protect_by(&t, &t.s_ap, NULL, NULL);
	assert_hex(open_record(&t, client, S5_CLIENT_CLOSE, RECORD_ALERT), "0100");
	assert_hex(open_record(&t, server, S5_SERVER_CLOSE, RECORD_ALERT), "0100");
	protect_free(server);
	protect_free(client);
	finish(&t);
}

static void what_is_signed_is_that_of_section_3(void **state)
{
	(void)state;
	uint8_t room[CERTIFICATE_VERIFY_CONTENT];
	struct tls_secret hash = secret_of(S3_SIGNED_HASH);
	struct writer w = writer_over(room, sizeof(room));
	struct bytes content;
	certificate_verify_content(&w, true, tls_secret_bytes(&hash));
	assert_true(writer_done(&w, &content));
	assert_int_equal(content.len, 64 + 33 + 1 + 32);
	struct bytes front = bytes_of(content.data + 64, 33);
	assert_true(bytes_equal(front, bytes_str("TLS 1.3, server CertificateVerify")));
	for (size_t i = 0; i < 64; i++)
		assert_int_equal(content.data[i], 0x20);
	assert_int_equal(content.data[97], 0);
	assert_hex(bytes_of(content.data + 98, 32), S3_SIGNED_HASH);
	w = writer_over(room, sizeof(room));
	certificate_verify_content(&w, false, tls_secret_bytes(&hash));
	assert_true(writer_done(&w, &content));
	assert_memory_equal(content.data + 64, "TLS 1.3, client CertificateVerify", 34);
}

static void lengths_that_hkdf_cannot_say_are_refused(void **state)
{
	(void)state;
	struct crypto *crypto = crypto_new();
	struct tls_secret secret = secret_of(S3_MASTER), out;
	static uint8_t room[255 * 32 + 1], label[250];
	struct bytes from = tls_secret_bytes(&secret);
	memset(label, 'a', sizeof(label));
	assert_true(hkdf_expand_label(crypto, SHA256, from, bytes_str("x"), BYTES_NONE, room, sizeof(room) - 1));
	memset(room, 1, sizeof(room));
	assert_false(hkdf_expand_label(crypto, SHA256, from, bytes_str("x"), BYTES_NONE, room, sizeof(room)));
	assert_int_equal(room[0], 0);
	assert_true(hkdf_expand_label(crypto, SHA256, from, bytes_of(label, 249), BYTES_NONE, room, 32));
	assert_false(hkdf_expand_label(crypto, SHA256, from, bytes_of(label, 250), BYTES_NONE, room, 32));
	assert_true(hkdf_expand_label(crypto, SHA256, from, bytes_str("x"), bytes_of(room, 255), room + 300, 32));
	assert_false(hkdf_expand_label(crypto, SHA256, from, bytes_str("x"), bytes_of(room, 256), room + 300, 32));
	assert_false(schedule13_early(crypto, SUITE_HASH_GOST, BYTES_NONE, &out));
	assert_false(schedule13_next(crypto, SUITE_HASH_NONE, &secret, &out));
	struct traffic_keys keys;
	assert_false(schedule13_keys(crypto, suite_find(0xc02f), &secret, &keys));
	crypto_free(crypto);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_full_handshake_has_the_secrets_of_section_3),
		cmocka_unit_test(the_data_and_the_ticket_of_section_3_are_read),
		cmocka_unit_test(a_resumed_handshake_has_the_secrets_of_section_4),
		cmocka_unit_test(a_retried_handshake_is_that_of_section_5),
		cmocka_unit_test(what_is_signed_is_that_of_section_3),
		cmocka_unit_test(lengths_that_hkdf_cannot_say_are_refused),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
