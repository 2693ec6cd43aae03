#include "share/ends.h"

#include "tls/hello.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>

#include <cmocka.h>

#define S UINT64_C(1000000000)

static struct grant ending(uint64_t octets, uint64_t seconds)
{
	struct grant grant = {.until_octets = octets, .until_conn_ns = seconds * S};
	grant.id[0] = 7;
	return grant;
}

static struct release of(uint32_t connection, uint32_t epoch)
{
	struct release release = {.key = {.epoch = epoch, .version = TLS_VERSION_13, .from_client = true}};
	memcpy(release.key.client_random, &connection, sizeof(connection));
	return release;
}

/* What every connection has carried; UINT64_MAX: that is not known. */
static uint64_t carried;

static bool count(void *arg, const struct hostport *client, const struct hostport *server, uint64_t *octets)
{
	(void)arg, (void)client, (void)server;
	*octets = carried;
	return carried != UINT64_MAX;
}

static enum ends_verdict ask(
	struct ends *ends, const struct grant *grant, uint32_t connection, uint32_t epoch, uint64_t now_ns)
{
	const struct release release = of(connection, epoch);
	uint8_t tag[ENDS_TAG] = {0};
	tag[0] = (uint8_t)connection;
	return ends_ask(ends, grant, &release, now_ns, tag);
}

struct told {
	unsigned count;
	uint8_t last;
};

static void tell(void *arg, const uint8_t grant[static RELEASE_GRANT],
	const uint8_t client_random[static KEYLOG_RANDOM], const uint8_t *tag)
{
	struct told *told = arg;
	assert_int_equal(grant[0], 7);
	assert_int_equal(client_random[0], tag[0]);
	told->count++;
	told->last = tag[0];
}

static void a_grant_ends_in_a_connection_when_its_seconds_are_over_there(void **state)
{
	(void)state;
	struct ends *ends = ends_new(count, NULL);
	const struct grant grant = ending(0, 10);
	struct told told = {0};
	assert_int_equal(ends_next(ends), UINT64_MAX);
	assert_int_equal(ask(ends, &grant, 1, 0, 100 * S), ENDS_OPEN);
	assert_int_equal(ask(ends, &grant, 2, 0, 105 * S), ENDS_OPEN);
	assert_int_equal(ends_next(ends), 110 * S);
	assert_int_equal(ask(ends, &grant, 1, 1, 109 * S), ENDS_OPEN);
	ends_due(ends, 109 * S, tell, &told);
	assert_int_equal(told.count, 0);
	assert_int_equal(ask(ends, &grant, 1, 2, 110 * S), ENDS_OVER);
	ends_due(ends, 110 * S, tell, &told);
	assert_int_equal(told.count, 1);
	assert_int_equal(told.last, 1);
	assert_int_equal(ends_next(ends), 115 * S);
	/* Once over, always over: not even a clock that could run back would begin it again. */
	assert_int_equal(ask(ends, &grant, 1, 3, 1 * S), ENDS_OVER);
	assert_int_equal(ask(ends, &grant, 2, 1, 114 * S), ENDS_OPEN);
	ends_due(ends, 115 * S, tell, &told);
	assert_int_equal(told.count, 2);
	assert_int_equal(ends_count(ends).over, 2);
	ends_free(ends);
}

static void octets_that_are_used_up_end_it(void **state)
{
	(void)state;
	struct ends *ends = ends_new(count, NULL);
	const struct grant grant = ending(1000, 0);
	struct told told = {0};
	carried = 999;
	assert_int_equal(ask(ends, &grant, 1, 0, 0), ENDS_OPEN);
	assert_int_equal(ask(ends, &grant, 1, 1, 0), ENDS_OPEN);
	ends_due(ends, 0, tell, &told);
	assert_int_equal(told.count, 0);
	carried = 1000;
	assert_int_equal(ask(ends, &grant, 1, 2, 0), ENDS_OVER);
	ends_due(ends, 0, tell, &told);
	ends_due(ends, 0, tell, &told);
	assert_int_equal(told.count, 1);
	carried = 0;
	assert_int_equal(ask(ends, &grant, 1, 3, 0), ENDS_OVER);
	assert_int_equal(ends_count(ends).over, 1);
	ends_free(ends);
}

static void octets_that_are_used_up_before_the_first_key_end_it_at_once(void **state)
{
	(void)state;
	struct ends *ends = ends_new(count, NULL);
	const struct grant grant = ending(1000, 0);
	struct told told = {0};
	carried = 1000;
	assert_int_equal(ask(ends, &grant, 1, 0, 0), ENDS_OVER);
	carried = 0;
	assert_int_equal(ask(ends, &grant, 1, 1, 0), ENDS_OVER);
	assert_int_equal(ask(ends, &grant, 2, 0, 0), ENDS_OPEN);
	assert_int_equal(ends_count(ends).over, 1);
	/* No key of it left: there is nobody to tell. */
	ends_due(ends, 0, tell, &told);
	assert_int_equal(told.count, 0);
	ends_free(ends);
}

static void a_connection_that_nobody_can_count_is_not_given_and_one_that_has_closed_stays_as_it_was(void **state)
{
	(void)state;
	struct ends *ends = ends_new(count, NULL);
	const struct grant grant = ending(1000, 0);
	carried = 10;
	assert_int_equal(ask(ends, &grant, 1, 0, 0), ENDS_OPEN);
	carried = UINT64_MAX;
	assert_int_equal(ask(ends, &grant, 2, 0, 0), ENDS_FIXED);
	assert_int_equal(ask(ends, &grant, 1, 1, 0), ENDS_OPEN);
	ends_free(ends);
}

static void what_cannot_end_is_not_given_and_neither_is_what_may_have_ended(void **state)
{
	(void)state;
	struct ends *ends = ends_new(count, NULL);
	const struct grant grant = ending(1000, 0), whole = ending(0, 0);
	struct release old = of(1, 0);
	old.key.version = TLS_VERSION_12;
	assert_int_equal(ends_ask(ends, &grant, &old, 0, NULL), ENDS_FIXED);
	assert_int_equal(ends_ask(ends, &whole, &old, 0, NULL), ENDS_OPEN);
	carried = 0;
	assert_int_equal(ask(ends, &grant, 2, 1, 0), ENDS_UNKNOWN);
	assert_int_equal(ask(ends, &whole, 2, 1, 0), ENDS_OPEN);
	ends_free(ends);
}

static void a_grant_that_ends_for_good_ends_in_each_of_its_connections_once(void **state)
{
	(void)state;
	struct ends *ends = ends_new(count, NULL);
	const struct grant grant = ending(0, 0);
	struct grant other = grant;
	struct told told = {0};
	other.id[0] = 9;
	for (uint32_t i = 0; i < 3; i++)
		assert_int_equal(ask(ends, &grant, i, 0, 0), ENDS_OPEN);
	assert_int_equal(ask(ends, &other, 1, 0, 0), ENDS_OPEN);
	ends_all(ends, grant.id, tell, &told);
	assert_int_equal(told.count, 3);
	ends_all(ends, grant.id, tell, &told);
	assert_int_equal(told.count, 3);
	assert_int_equal(ask(ends, &grant, 1, 1, 0), ENDS_OVER);
	assert_int_equal(ask(ends, &other, 1, 1, 0), ENDS_OPEN);
	ends_free(ends);
}

static void the_oldest_leave_and_are_counted_and_then_get_nothing_more(void **state)
{
	(void)state;
	struct ends *ends = ends_new(count, NULL);
	const struct grant grant = ending(1000, 0);
	for (uint32_t i = 0; i < ENDS_MAX + 5; i++)
		assert_int_equal(ask(ends, &grant, i, 0, 0), ENDS_OPEN);
	assert_int_equal(ends_count(ends).evicted, 5);
	assert_int_equal(ends_count(ends).held, ENDS_MAX);
	assert_int_equal(ask(ends, &grant, 4, 1, 0), ENDS_UNKNOWN);
	assert_int_equal(ask(ends, &grant, 5, 1, 0), ENDS_OPEN);
	ends_free(ends);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_grant_ends_in_a_connection_when_its_seconds_are_over_there),
		cmocka_unit_test(octets_that_are_used_up_end_it),
		cmocka_unit_test(octets_that_are_used_up_before_the_first_key_end_it_at_once),
		cmocka_unit_test(
			a_connection_that_nobody_can_count_is_not_given_and_one_that_has_closed_stays_as_it_was),
		cmocka_unit_test(what_cannot_end_is_not_given_and_neither_is_what_may_have_ended),
		cmocka_unit_test(a_grant_that_ends_for_good_ends_in_each_of_its_connections_once),
		cmocka_unit_test(the_oldest_leave_and_are_counted_and_then_get_nothing_more),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
