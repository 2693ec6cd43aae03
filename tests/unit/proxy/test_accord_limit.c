/* A client's rate of Accord handshakes. */
#include "proxy/accord_limit.h"

#include "base/clock.h"

#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

#define START (1000 * NS_PER_S)

static struct hostport client(const char *address)
{
	struct hostport at;
	assert_true(hostport_parse_ip(&at, address));
	return at;
}

static struct accord_limit *limit_of(uint64_t rate, uint64_t burst)
{
	const struct config config = {.accord_rate = rate, .accord_burst = burst};
	struct accord_limit *limit = accord_limit_new(&config);
	assert_non_null(limit);
	return limit;
}

static void a_burst_passes_and_then_the_rate(void **state)
{
	(void)state;
	struct accord_limit *limit = limit_of(10, 3);
	const struct hostport one = client("192.0.2.1");
	for (int i = 0; i < 3; i++)
		assert_true(accord_limit_take(limit, &one, START));
	assert_false(accord_limit_take(limit, &one, START));
	assert_false(accord_limit_take(limit, &one, START + NS_PER_S / 10 - 1));
	assert_true(accord_limit_take(limit, &one, START + NS_PER_S / 10));
	assert_false(accord_limit_take(limit, &one, START + NS_PER_S / 10));
	/* After a while of nothing the whole burst is there again, and no more. */
	for (int i = 0; i < 3; i++)
		assert_true(accord_limit_take(limit, &one, START + 60 * NS_PER_S));
	assert_false(accord_limit_take(limit, &one, START + 60 * NS_PER_S));
	accord_limit_free(limit);
}

static void clients_do_not_pay_for_each_other(void **state)
{
	(void)state;
	struct accord_limit *limit = limit_of(1, 1);
	const struct hostport one = client("192.0.2.1"), two = client("192.0.2.2");
	assert_true(accord_limit_take(limit, &one, START));
	assert_false(accord_limit_take(limit, &one, START));
	assert_true(accord_limit_take(limit, &two, START));
	accord_limit_free(limit);
}

static void a_network_of_ipv6_is_one_client(void **state)
{
	(void)state;
	struct accord_limit *limit = limit_of(1, 1);
	const struct hostport one = client("2001:db8::1"), same = client("2001:db8::ffff:2"),
			      other = client("2001:db8:0:1::1");
	assert_true(accord_limit_take(limit, &one, START));
	assert_false(accord_limit_take(limit, &same, START));
	assert_true(accord_limit_take(limit, &other, START));
	accord_limit_free(limit);
}

static void without_a_rate_there_is_no_limit(void **state)
{
	(void)state;
	struct accord_limit *limit = limit_of(0, 1);
	const struct hostport one = client("192.0.2.1");
	for (int i = 0; i < 10000; i++)
		assert_true(accord_limit_take(limit, &one, START));
	accord_limit_free(limit);
}

static void it_is_told_once_a_second(void **state)
{
	(void)state;
	struct accord_limit *limit = limit_of(1, 1);
	assert_true(accord_limit_worth_telling(limit, START));
	assert_false(accord_limit_worth_telling(limit, START + NS_PER_S - 1));
	assert_true(accord_limit_worth_telling(limit, START + NS_PER_S));
	accord_limit_free(limit);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_burst_passes_and_then_the_rate),
		cmocka_unit_test(clients_do_not_pay_for_each_other),
		cmocka_unit_test(a_network_of_ipv6_is_one_client),
		cmocka_unit_test(without_a_rate_there_is_no_limit),
		cmocka_unit_test(it_is_told_once_a_second),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
