#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include "tls/prf12.h"
#include "tls/schedule13.h"
#include "uprobe/gather.h"

#include <cmocka.h>
#include <stdio.h>
#include <string.h>

#define KEYS 16

static struct gathered got[KEYS];
static size_t count, masters;
static struct gather *gather;
static struct crypto *crypto;

static void take(void *arg, const struct gathered *gathered)
{
	(void)arg;
	assert_true(count < KEYS);
	got[count++] = *gathered;
}

static void take_master(void *arg, const uint8_t random[PROBE_RANDOM], struct bytes master)
{
	(void)arg, (void)random;
	assert_int_equal(master.len, 48);
	masters++;
}

static int begin(void **state)
{
	static const struct gather_options options = {.key = take, .master = take_master};
	(void)state;
	count = masters = 0;
	gather = gather_new(&options);
	crypto = crypto_new();
	return gather && crypto ? 0 : -1;
}

static int end(void **state)
{
	(void)state;
	gather_free(gather);
	crypto_free(crypto);
	return 0;
}

static struct probe_event event_of(uint32_t kind, uint64_t owner)
{
	struct probe_event event = {.kind = kind, .pid = 7, .owner = owner, .program = "lab"};
	memset(event.random, 0x5a, PROBE_RANDOM);
	return event;
}

static void text(struct probe_event *event, const char *words)
{
	event->text_len = (uint16_t)strlen(words);
	memcpy(event->text, words, event->text_len);
}

static void secret(struct probe_event *event, struct bytes octets)
{
	event->secret_len = (uint16_t)octets.len;
	memcpy(event->secret, octets.data, octets.len);
}

static struct tls_secret secret_of(uint8_t octet, size_t len)
{
	struct tls_secret made = {.len = len};
	memset(made.octets, octet, len);
	return made;
}

static void give_line(const char *label, const struct tls_secret *value, uint64_t owner)
{
	struct probe_event event = event_of(PROBE_LINE, owner);
	text(&event, label);
	secret(&event, tls_secret_bytes(value));
	gather_event(gather, &event);
}

static void give_suite(uint16_t suite, const struct tls_secret *value)
{
	struct probe_event event = event_of(PROBE_SUITE, 99);
	event.suite = suite;
	secret(&event, tls_secret_bytes(value));
	gather_event(gather, &event);
}

static void give_name(const char *name, uint64_t owner)
{
	struct probe_event event = event_of(PROBE_NAME, owner);
	text(&event, name);
	gather_event(gather, &event);
}

static void is_key_of(const struct gathered *one, uint16_t suite, const struct tls_secret *value)
{
	struct traffic_keys keys;
	assert_true(schedule13_keys(crypto, suite_find(suite), value, &keys));
	assert_int_equal(one->key.suite, suite);
	assert_memory_equal(one->key.key, keys.key, one->key.key_len);
	assert_memory_equal(one->key.iv, keys.iv, one->key.iv_len);
}

static void a_line_whose_suite_was_seen_is_one_key(void **state)
{
	struct tls_secret hidden = secret_of(1, 32);
	(void)state;
	give_name("site.test", 3);
	give_suite(0x1303, &hidden);
	give_line("SERVER_TRAFFIC_SECRET_0", &hidden, 3);
	assert_int_equal(count, 1);
	assert_true(got[0].sure && !got[0].server && !got[0].key.from_client);
	assert_string_equal(got[0].name, "site.test");
	assert_int_equal(got[0].pid, 7);
	assert_int_equal(got[0].key.stage, RECORD_STAGE_APPLICATION);
	assert_int_equal(got[0].key.epoch, 0);
	is_key_of(&got[0], 0x1303, &hidden);
}

/* A client of Go logs its own traffic secret before it uses it. */
static void the_suite_of_one_secret_is_that_of_its_handshake(void **state)
{
	struct tls_secret first = secret_of(1, 32), second = secret_of(2, 32);
	(void)state;
	give_suite(0x1301, &first);
	give_line("SERVER_HANDSHAKE_TRAFFIC_SECRET", &first, 3);
	give_line("CLIENT_TRAFFIC_SECRET_0", &second, 3);
	assert_int_equal(count, 2);
	assert_int_equal(got[0].key.stage, RECORD_STAGE_HANDSHAKE);
	assert_true(got[1].sure && got[1].key.from_client);
	is_key_of(&got[1], 0x1301, &second);
}

static void without_its_suite_a_line_is_every_key_that_it_may_be(void **state)
{
	struct tls_secret shorter = secret_of(1, 32), longer = secret_of(2, 48);
	(void)state;
	give_line("CLIENT_TRAFFIC_SECRET_0", &shorter, 3);
	assert_int_equal(count, 4);
	for (size_t i = 0; i < count; i++)
		assert_false(got[i].sure);
	count = 0;
	give_line("CLIENT_TRAFFIC_SECRET_0", &longer, 3);
	assert_int_equal(count, 1);
	assert_true(got[0].sure);
	is_key_of(&got[0], 0x1302, &longer);
}

static void keys_after_a_key_update_are_known_by_the_secret_before(void **state)
{
	struct tls_secret hidden = secret_of(1, 48), other = secret_of(3, 48);
	(void)state;
	give_name("site.test", 3);
	give_suite(0x1302, &hidden);
	give_line("CLIENT_TRAFFIC_SECRET_0", &hidden, 3);
	for (uint32_t epoch = 1; epoch < 4; epoch++) {
		count = 0;
		assert_true(schedule13_next(crypto, SUITE_HASH_SHA384, &hidden, &hidden));
		give_suite(0x1302, &other);
		assert_int_equal(count, 0);
		give_suite(0x1302, &hidden);
		assert_int_equal(count, 1);
		assert_int_equal(got[0].key.epoch, epoch);
		assert_true(got[0].key.from_client && got[0].sure);
		assert_string_equal(got[0].name, "site.test");
		is_key_of(&got[0], 0x1302, &hidden);
	}
}

/* OpenSSL logs them, but not which they are. */
static void an_unnumbered_line_is_numbered(void **state)
{
	struct tls_secret hidden = secret_of(1, 32);
	struct probe_event cipher = event_of(PROBE_CIPHER, 3);
	(void)state;
	cipher.ciphers[0] = 672; /* a hash, not a cipher */
	cipher.ciphers[1] = 895;
	gather_event(gather, &cipher);
	give_line("SERVER_TRAFFIC_SECRET_0", &hidden, 3);
	assert_int_equal(count, 1);
	assert_true(got[0].sure);
	assert_true(schedule13_next(crypto, SUITE_HASH_SHA256, &hidden, &hidden));
	give_line("SERVER_TRAFFIC_SECRET_N", &hidden, 3);
	assert_int_equal(count, 2);
	assert_int_equal(got[1].key.epoch, 1);
	is_key_of(&got[1], 0x1301, &hidden);
}

static void one_number_of_two_suites_is_both_and_neither_for_certain(void **state)
{
	struct tls_secret hidden = secret_of(1, 32);
	struct probe_event cipher = event_of(PROBE_CIPHER, 3);
	(void)state;
	cipher.ciphers[1] = 896;
	gather_event(gather, &cipher);
	give_line("SERVER_TRAFFIC_SECRET_0", &hidden, 3);
	assert_int_equal(count, 2);
	assert_false(got[0].sure || got[1].sure);
	assert_int_equal(got[0].key.suite, 0x1304);
	assert_int_equal(got[1].key.suite, 0x1305);
}

static void a_master_secret_with_both_randoms_is_two_keys(void **state)
{
	struct traffic_keys client, server;
	struct tls_secret master = secret_of(4, 48);
	struct probe_event event = event_of(PROBE_MASTER, 3);
	(void)state;
	give_name("site.test", 3);
	event.version = 0x0303;
	event.suite = 0xc02f;
	memset(event.server_random, 0xa5, PROBE_RANDOM);
	secret(&event, tls_secret_bytes(&master));
	gather_event(gather, &event);
	assert_int_equal(count, 2);
	assert_true(prf12_keys(crypto, suite_find(0xc02f), tls_secret_bytes(&master),
		bytes_of(event.random, PROBE_RANDOM), bytes_of(event.server_random, PROBE_RANDOM), &client, &server));
	assert_true(got[0].key.from_client && !got[1].key.from_client);
	assert_memory_equal(got[0].key.key, client.key, 16);
	assert_memory_equal(got[1].key.key, server.key, 16);
	assert_string_equal(got[1].name, "site.test");
	assert_true(got[0].sure && got[1].sure);
}

static void a_master_secret_alone_is_handed_on_as_it_is(void **state)
{
	struct tls_secret master = secret_of(4, 48);
	(void)state;
	give_line("CLIENT_RANDOM", &master, 3);
	assert_int_equal(count, 0);
	assert_int_equal(masters, 1);
}

static void the_hello_that_a_server_got_tells_the_name(void **state)
{
	struct tls_secret hidden = secret_of(1, 32);
	struct probe_event event = event_of(PROBE_HELLO, 3);
	uint8_t room[256];
	struct writer to = writer_over(room, sizeof(room));
	(void)state;
	writer_u8(&to, 1);
	size_t whole = writer_open(&to, 3);
	writer_u16(&to, 0x0303);
	writer_bytes(&to, bytes_of(event.random, PROBE_RANDOM));
	writer_u8(&to, 0);
	writer_u16(&to, 2);
	writer_u16(&to, 0x1301);
	writer_u16(&to, 0x0100);
	size_t extensions = writer_open(&to, 2);
	writer_u16(&to, 0);
	size_t data = writer_open(&to, 2), list = writer_open(&to, 2);
	writer_u8(&to, 0);
	writer_vec16(&to, bytes_str("site.test"));
	writer_close(&to, list, 2);
	writer_close(&to, data, 2);
	writer_close(&to, extensions, 2);
	writer_close(&to, whole, 3);
	memcpy(event.text, room, to.len);
	event.text_len = (uint16_t)to.len;
	gather_event(gather, &event);
	give_suite(0x1301, &hidden);
	give_line("CLIENT_TRAFFIC_SECRET_0", &hidden, 3);
	assert_int_equal(count, 1);
	assert_true(got[0].server);
	assert_string_equal(got[0].name, "site.test");
}

static void names_are_those_of_their_own_handshake(void **state)
{
	struct tls_secret hidden = secret_of(1, 48);
	struct probe_event event = event_of(PROBE_NAME, 3);
	(void)state;
	give_name("site.test", 3);
	give_line("CLIENT_TRAFFIC_SECRET_0", &hidden, 4);
	assert_string_equal(got[0].name, "");
	/* The same goroutine of another process. */
	event.pid = 8;
	text(&event, "other.test");
	gather_event(gather, &event);
	give_line("CLIENT_TRAFFIC_SECRET_0", &hidden, 3);
	assert_string_equal(got[1].name, "site.test");
	/* An address is no name, and what would be none of DNS is not one either. */
	give_name("192.0.2.1", 3);
	give_line("CLIENT_TRAFFIC_SECRET_0", &hidden, 3);
	assert_string_equal(got[2].name, "");
	give_name("a b", 3);
	give_line("CLIENT_TRAFFIC_SECRET_0", &hidden, 3);
	assert_string_equal(got[3].name, "");
}

static void what_no_key_comes_from_is_counted(void **state)
{
	struct tls_secret hidden = secret_of(1, 32), odd = secret_of(2, 20);
	(void)state;
	give_line("EXPORTER_SECRET", &hidden, 3);
	give_line("CLIENT_EARLY_TRAFFIC_SECRET", &hidden, 3);
	give_line("CLIENT_TRAFFIC_SECRET_N", &hidden, 3);
	give_line("CLIENT_TRAFFIC_SECRET_0", &odd, 3);
	give_line("CLIENT_RANDOM", &hidden, 3);
	struct probe_event event = event_of(PROBE_EXEC, 3);
	gather_event(gather, &event);
	event.kind = 77;
	gather_event(gather, &event);
	assert_int_equal(count, 0);
	assert_int_equal(masters, 0);
	assert_int_equal(gather_count(gather).unknown, 5);
}

static void thousands_of_handshakes_are_forgotten_in_turn(void **state)
{
	(void)state;
	for (uint64_t i = 1; i < 3000; i++) {
		struct tls_secret hidden = secret_of((uint8_t)i, 48);
		char name[32];
		count = 0;
		snprintf(name, sizeof(name), "n%u.test", (unsigned)i);
		give_name(name, i << 6);
		give_line("CLIENT_TRAFFIC_SECRET_0", &hidden, i << 6);
		assert_int_equal(count, 1);
		assert_string_equal(got[0].name, name);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(a_line_whose_suite_was_seen_is_one_key, begin, end),
		cmocka_unit_test_setup_teardown(the_suite_of_one_secret_is_that_of_its_handshake, begin, end),
		cmocka_unit_test_setup_teardown(without_its_suite_a_line_is_every_key_that_it_may_be, begin, end),
		cmocka_unit_test_setup_teardown(keys_after_a_key_update_are_known_by_the_secret_before, begin, end),
		cmocka_unit_test_setup_teardown(an_unnumbered_line_is_numbered, begin, end),
		cmocka_unit_test_setup_teardown(one_number_of_two_suites_is_both_and_neither_for_certain, begin, end),
		cmocka_unit_test_setup_teardown(a_master_secret_with_both_randoms_is_two_keys, begin, end),
		cmocka_unit_test_setup_teardown(a_master_secret_alone_is_handed_on_as_it_is, begin, end),
		cmocka_unit_test_setup_teardown(the_hello_that_a_server_got_tells_the_name, begin, end),
		cmocka_unit_test_setup_teardown(names_are_those_of_their_own_handshake, begin, end),
		cmocka_unit_test_setup_teardown(what_no_key_comes_from_is_counted, begin, end),
		cmocka_unit_test_setup_teardown(thousands_of_handshakes_are_forgotten_in_turn, begin, end),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
