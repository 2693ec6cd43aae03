#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
/* clang-format off */
#include <cmocka.h>
/* clang-format on */
#include "assess/offer.h"

#include "tls/collect.h"

static struct client_hello read(const struct offer *offer, uint8_t *room)
{
	struct writer w = writer_over(room, OFFER_RECORD_MAX);
	struct bytes record;
	struct collect collect;
	struct client_hello hello;
	assert_true(offer_write(offer, &w));
	assert_true(writer_done(&w, &record));
	collect_init(&collect, NULL, 0);
	assert_int_equal(collect_more(&collect, record), COLLECT_DONE);
	assert_int_equal(client_hello_parse(collect.body, &hello), HELLO_OK);
	assert_int_equal(hello.faults, 0);
	return hello;
}

static void each_version_is_offered_alone_and_parses(void **state)
{
	(void)state;
	static const uint16_t suites[] = {0x1301, 0xc02f}, groups[] = {0x11ec};
	uint8_t room[OFFER_RECORD_MAX];
	for (uint16_t version = TLS_VERSION_SSL30; version <= TLS_VERSION_13; version++) {
		const struct offer offer = {.version = version,
			.suites = suites,
			.suite_count = 2,
			.groups = groups,
			.group_count = 1,
			.name = "host.test",
			.extended_master_secret = true};
		struct client_hello hello = read(&offer, room);
		assert_int_equal(client_hello_max_version(&hello), version);
		assert_true(client_hello_offers_suite(&hello, 0xc02f));
		assert_int_equal(hello.sni, version == TLS_VERSION_SSL30 ? SNI_ABSENT : SNI_OK);
		assert_int_equal(client_hello_offers_group(&hello, 0x11ec), version > TLS_VERSION_SSL30);
		assert_int_equal(
			hello.has_extended_master_secret, version > TLS_VERSION_SSL30 && version < TLS_VERSION_13);
		assert_true(version == TLS_VERSION_13 || client_hello_secure_renegotiation(&hello));
		assert_int_equal(hello.has_key_share, version == TLS_VERSION_13);
	}
}

static void extended_master_secret_is_left_out_where_it_is_not_wanted(void **state)
{
	(void)state;
	static const uint16_t suites[] = {0x002f};
	uint8_t room[OFFER_RECORD_MAX];
	const struct offer offer = {.version = TLS_VERSION_12, .suites = suites, .suite_count = 1};
	struct client_hello hello = read(&offer, room);
	assert_false(hello.has_extended_master_secret);
}

static void what_does_not_fit_is_not_sent(void **state)
{
	(void)state;
	static const uint16_t suites[3000];
	uint8_t room[OFFER_RECORD_MAX];
	struct writer w = writer_over(room, sizeof(room));
	const struct offer offer = {.version = TLS_VERSION_12, .suites = suites, .suite_count = 3000};
	assert_false(offer_write(&offer, &w));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(each_version_is_offered_alone_and_parses),
		cmocka_unit_test(extended_master_secret_is_left_out_where_it_is_not_wanted),
		cmocka_unit_test(what_does_not_fit_is_not_sent),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
