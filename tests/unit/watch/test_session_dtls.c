#include "tls/dtls.h"
#include "tls/handshake.h"
#include "tls/hello.h"
#include "tls/prf12.h"
#include "tls/protect.h"
#include "watch/session.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#define SUITE  0xc02f
#define SECOND UINT64_C(1000000000)

static const uint8_t client_random[32] = {1, 1}, server_random[32] = {2, 2}, master[48] = {3, 3};

/* A session, and the keys of both sides. What it says stands in `out`: "hello tls up:abc down:[5] half-up ". */
static struct bed {
	struct keyring *ring;
	struct session_room *room;
	struct session *session;
	struct crypto *crypto;
	struct protect *seal[2];
	uint64_t now;
	char out[8192];
	size_t len;
} b;

static void say(const char *format, ...) printf_like(1, 2);

static void say(const char *format, ...)
{
	va_list args;
	va_start(args, format);
	b.len += (size_t)vsnprintf(b.out + b.len, sizeof(b.out) - b.len, format, args);
	va_end(args);
}

static void heard(void *arg, void *user, const struct event *event)
{
	(void)arg;
	(void)user;
	switch (event->kind) {
	case EVENT_HELLO:
		say("hello ");
		break;
	case EVENT_TLS:
		say("tls-%04x ", event->tls.version);
		break;
	case EVENT_DATA:
		say("%s:%.*s ", flow_direction_name(event->data.direction), (int)event->data.bytes.len,
			(const char *)event->data.bytes.data);
		break;
	case EVENT_GAP:
		say("%s:[%llu] ", flow_direction_name(event->gap.direction), (unsigned long long)event->gap.octets);
		break;
	case EVENT_HALF:
		say("half-%s ", flow_direction_name(event->half.direction));
		break;
	case EVENT_NOTICE:
		say("(%.*s) ", (int)event->notice.name.len, (const char *)event->notice.name.data);
		break;
	default:
		break;
	}
}

static void give_keys(void)
{
	char line[256];
	struct writer w = writer_over(line, sizeof(line));
	writer_bytes(&w, bytes_str("CLIENT_RANDOM 0101"));
	for (int i = 0; i < 60; i++)
		writer_u8(&w, '0');
	writer_bytes(&w, bytes_str(" 0303"));
	for (int i = 0; i < 92; i++)
		writer_u8(&w, '0');
	assert_int_equal(keyring_add_text(b.ring, bytes_of(line, w.len)), 1);
	session_room_keys(b.room, b.now);
}

static void start(bool keys_final, const struct session_limits *limits)
{
	b = (struct bed){.ring = keyring_new(NULL), .crypto = crypto_new(), .now = SECOND};
	b.room = session_room_new(&(struct session_setup){
		.limits = *limits, .ring = b.ring, .keys_final = keys_final, .wake_fd = -1, .emit = heard});
	b.session = session_new(b.room, &(struct session_start){.flow = 1, .datagrams = true});
	struct traffic_keys keys[2];
	const struct suite *suite = suite_find(SUITE);
	assert_true(prf12_keys(b.crypto, suite, bytes_of(master, 48), bytes_of(client_random, 32),
		bytes_of(server_random, 32), &keys[0], &keys[1]));
	for (int i = 0; i < 2; i++) {
		b.seal[i] = protect_new(
			b.crypto, &(struct protect_setup){.suite = suite, .version = 0x0303, .keys = &keys[i]});
		assert_non_null(b.seal[i]);
	}
}

static int begin(void **state)
{
	(void)state;
	start(true, &session_limits_default);
	return 0;
}

static int end(void **state)
{
	(void)state;
	session_close(b.session, b.now);
	session_free(b.session);
	struct session_counts counts = session_room_count(b.room);
	assert_true(counts.held == 0 && counts.parked == 0 && counts.waiting == 0);
	session_room_free(b.room);
	keyring_free(b.ring);
	protect_free(b.seal[0]);
	protect_free(b.seal[1]);
	crypto_free(b.crypto);
	return 0;
}

static bool give(enum flow_direction direction, struct bytes datagram)
{
	return session_datagram(b.session, direction, datagram, 0, b.now += 1000);
}

/* A handshake message of epoch 0 in one fragment. */
static bool message(enum flow_direction direction, uint8_t type, uint16_t sequence, struct bytes body)
{
	uint8_t room[1024];
	struct writer w = writer_over(room, sizeof(room));
	struct bytes made;
	writer_u8(&w, 22);
	writer_u16(&w, DTLS_VERSION_12);
	writer_u64(&w, sequence);
	size_t mark = writer_open(&w, 2);
	dtls_handshake_header(&w, type, (uint32_t)body.len, sequence);
	writer_bytes(&w, body);
	writer_close(&w, mark, 2);
	assert_true(writer_done(&w, &made));
	return give(direction, made);
}

static bool client_hello(const uint8_t random[32], uint16_t sequence)
{
	uint8_t room[256];
	struct writer w = writer_over(room, sizeof(room));
	writer_u16(&w, DTLS_VERSION_12);
	writer_bytes(&w, bytes_of(random, 32));
	writer_u8(&w, 0);
	writer_u8(&w, 0);
	writer_u16(&w, 2);
	writer_u16(&w, SUITE);
	writer_u16(&w, 0x0100);
	return message(FLOW_UP, HANDSHAKE_CLIENT_HELLO, sequence, bytes_of(room, w.len));
}

static void server_hello(uint16_t version)
{
	uint8_t room[256];
	struct writer w = writer_over(room, sizeof(room));
	writer_u16(&w, version);
	writer_bytes(&w, bytes_of(server_random, 32));
	writer_u8(&w, 0);
	writer_u16(&w, SUITE);
	writer_u8(&w, 0);
	assert_true(message(FLOW_DOWN, HANDSHAKE_SERVER_HELLO, 0, bytes_of(room, w.len)));
}

static void hellos(void)
{
	assert_true(client_hello(client_random, 0));
	server_hello(DTLS_VERSION_12);
	assert_true(message(FLOW_DOWN, HANDSHAKE_SERVER_HELLO_DONE, 1, BYTES_NONE));
}

static void data(enum flow_direction direction, uint16_t epoch, uint64_t number, const char *text)
{
	uint8_t room[1024];
	struct writer w = writer_over(room, sizeof(room));
	assert_int_equal(protect_seal_dtls(b.seal[direction], 23, epoch, number, bytes_str(text), &w), PROTECT_OK);
	assert_true(give(direction, bytes_of(room, w.len)));
}

static void heard_is(const char *text)
{
	assert_string_equal(b.out, text);
}

static void each_record_is_given_out_once_in_the_order_of_coming(void **state)
{
	(void)state;
	give_keys();
	hellos();
	data(FLOW_UP, 1, 1, "b");
	data(FLOW_UP, 1, 0, "a");
	data(FLOW_UP, 1, 1, "b");
	data(FLOW_DOWN, 1, 3, "d");
	session_close(b.session, b.now);
	heard_is("hello tls-fefd up:b up:a down:d (records-missing) ");
	struct session_counts counts = session_room_count(b.room);
	assert_true(counts.repeated == 1 && counts.missing == 3);
	assert_int_equal(session_outcome(b.session).verdict, SESSION_DECRYPTED);
}

static void what_is_too_late_for_the_window_is_left_out(void **state)
{
	(void)state;
	give_keys();
	hellos();
	data(FLOW_UP, 1, 0, "first");
	data(FLOW_UP, 1, 2000, "ahead");
	data(FLOW_UP, 1, 2001 - SESSION_WINDOW, "just");
	data(FLOW_UP, 1, 2000 - SESSION_WINDOW, "late");
	heard_is("hello tls-fefd up:first up:ahead up:just ");
	assert_int_equal(session_room_count(b.room).repeated, 1);
}

static void a_forged_number_does_not_move_the_window(void **state)
{
	(void)state;
	uint8_t room[256];
	struct writer w = writer_over(room, sizeof(room));
	give_keys();
	hellos();
	data(FLOW_UP, 1, 0, "a");
	assert_int_equal(protect_seal_dtls(b.seal[0], 23, 1, 5, bytes_str("x"), &w), PROTECT_OK);
	room[5] = 0xff; /* of the number */
	assert_true(give(FLOW_UP, bytes_of(room, w.len)));
	data(FLOW_UP, 1, 1, "b");
	heard_is("hello tls-fefd up:a up:[1] up:b ");
	assert_true(session_outcome(b.session).octets[SESSION_WRONG_KEY] == w.len);
}

static void records_before_their_hellos_wait_for_them(void **state)
{
	(void)state;
	give_keys();
	assert_true(client_hello(client_random, 0));
	data(FLOW_DOWN, 1, 0, "early");
	data(FLOW_DOWN, 1, 1, "next");
	heard_is("hello ");
	server_hello(DTLS_VERSION_12);
	heard_is("hello tls-fefd down:early down:next ");
}

static void a_server_hello_may_come_before_the_clients(void **state)
{
	(void)state;
	give_keys();
	server_hello(DTLS_VERSION_12);
	assert_true(client_hello(client_random, 0));
	data(FLOW_UP, 1, 0, "a");
	heard_is("hello tls-fefd up:a ");
}

static void a_late_key_opens_what_waited(void **state)
{
	(void)state;
	session_room_keys_final(b.room, b.now);
	assert_int_equal(end(state), 0);
	start(false, &session_limits_default);
	hellos();
	data(FLOW_UP, 1, 0, "a");
	data(FLOW_DOWN, 1, 0, "b");
	heard_is("hello ");
	assert_int_equal(session_room_count(b.room).waiting, 1);
	give_keys();
	heard_is("hello tls-fefd up:a down:b ");
}

static void what_waits_too_long_becomes_a_gap(void **state)
{
	(void)state;
	assert_int_equal(end(state), 0);
	start(false, &session_limits_default);
	hellos();
	data(FLOW_UP, 1, 0, "lost");
	b.now += 61 * SECOND;
	session_room_tick(b.room, b.now);
	assert_int_equal(session_room_count(b.room).gave_up_time, 1);
	give_keys();
	data(FLOW_UP, 1, 1, "kept");
	heard_is("hello tls-fefd up:[4] up:kept ");
}

static void what_waits_stays_within_its_bound(void **state)
{
	(void)state;
	struct session_limits limits = session_limits_default;
	assert_int_equal(end(state), 0);
	limits.park_session = 2000;
	start(false, &limits);
	hellos();
	for (uint64_t n = 0; n < 100; n++)
		data(FLOW_UP, 1, n, "many");
	struct session_counts counts = session_room_count(b.room);
	assert_true(counts.gave_up_full > 0 && counts.parked <= 2000);
	assert_true(session_outcome(b.session).octets[SESSION_PARK_FULL] == 0);
	session_close(b.session, b.now);
	assert_true(session_outcome(b.session).octets[SESSION_PARK_FULL] > 0);
}

static void another_client_is_another_connection(void **state)
{
	(void)state;
	static const uint8_t other[32] = {9};
	hellos();
	/* The same hello again, and one with a cookie, are not. */
	assert_true(client_hello(client_random, 0));
	assert_true(client_hello(client_random, 1));
	assert_false(client_hello(other, 0));
}

static void other_versions_are_named(void **state)
{
	(void)state;
	give_keys();
	assert_true(client_hello(client_random, 0));
	server_hello(DTLS_VERSION_10);
	data(FLOW_UP, 1, 0, "a");
	session_close(b.session, b.now);
	heard_is("hello (version-unsupported) tls-feff up:[1] ");
	assert_int_equal(session_outcome(b.session).cause, SESSION_VERSION);
}

static void fragments_beyond_all_bounds_are_counted(void **state)
{
	(void)state;
	assert_true(message(FLOW_UP, HANDSHAKE_CERTIFICATE, 200, bytes_str("far")));
	assert_int_equal(session_room_count(b.room).fragments_refused, 1);
}

static void datagrams_are_told_from_others(void **state)
{
	(void)state;
	static const uint8_t sealed[] = {23, 254, 253, 0, 1, 0, 0, 0, 0, 0, 0, 0, 1, 5};
	assert_true(session_datagram_opens(bytes_of(sealed, sizeof(sealed))));
	assert_false(session_datagram_opens(bytes_of(sealed, sizeof(sealed) - 1)));
	static const uint8_t tail[] = {23, 254, 253, 0, 1, 0, 0, 0, 0, 0, 0, 0, 1, 5, 5};
	assert_false(session_datagram_opens(bytes_of(tail, sizeof(tail))));
	static const uint8_t far[] = {23, 254, 253, 1, 1, 0, 0, 0, 0, 0, 0, 0, 1, 5};
	assert_false(session_datagram_opens(bytes_of(far, sizeof(far))));
	assert_false(session_datagram_opens(bytes_str("a question")));
	assert_false(session_datagram_opens(BYTES_NONE));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(each_record_is_given_out_once_in_the_order_of_coming, begin, end),
		cmocka_unit_test_setup_teardown(what_is_too_late_for_the_window_is_left_out, begin, end),
		cmocka_unit_test_setup_teardown(a_forged_number_does_not_move_the_window, begin, end),
		cmocka_unit_test_setup_teardown(records_before_their_hellos_wait_for_them, begin, end),
		cmocka_unit_test_setup_teardown(a_server_hello_may_come_before_the_clients, begin, end),
		cmocka_unit_test_setup_teardown(a_late_key_opens_what_waited, begin, end),
		cmocka_unit_test_setup_teardown(what_waits_too_long_becomes_a_gap, begin, end),
		cmocka_unit_test_setup_teardown(what_waits_stays_within_its_bound, begin, end),
		cmocka_unit_test_setup_teardown(another_client_is_another_connection, begin, end),
		cmocka_unit_test_setup_teardown(other_versions_are_named, begin, end),
		cmocka_unit_test_setup_teardown(fragments_beyond_all_bounds_are_counted, begin, end),
		cmocka_unit_test_setup_teardown(datagrams_are_told_from_others, begin, end),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
