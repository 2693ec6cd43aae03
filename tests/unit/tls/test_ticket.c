#include "support.h"
#include "tls/ticket.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

static void a_ticket_of_tls13_is_read(void **state)
{
	(void)state;
	struct session_ticket t;
	assert_true(session_ticket_parse(
		RAW(0, 0, 0, 30, 1, 2, 3, 4, 2, 0, 1, 0, 3, 'a', 'b', 'c', 0, 8, 0, 42, 0, 4, 0, 0, 4, 0), 0x0304, &t));
	assert_true(t.tls13 && t.lifetime_s == 30 && t.age_add == 0x01020304);
	assert_true(bytes_equal(t.nonce, RAW(0, 1)) && bytes_equal(t.ticket, bytes_str("abc")));
	assert_true(t.has_early_data && t.max_early_data == 1024);
	assert_true(session_ticket_parse(RAW(0, 0, 0, 30, 1, 2, 3, 4, 0, 0, 1, 'a', 0, 0), 0x0304, &t));
	assert_true(!t.has_early_data && t.nonce.len == 0 && t.max_early_data == 0);
}

static void a_ticket_of_tls12_is_read(void **state)
{
	(void)state;
	struct session_ticket t;
	assert_true(session_ticket_parse(RAW(0, 0, 1, 0, 0, 2, 'x', 'y'), 0x0303, &t));
	assert_true(!t.tls13 && t.lifetime_s == 256 && bytes_equal(t.ticket, bytes_str("xy")));
	assert_true(session_ticket_parse(RAW(0, 0, 0, 0, 0, 0), 0x0303, &t));
	assert_int_equal(t.ticket.len, 0);
}

static void malformed_tickets_are_refused(void **state)
{
	(void)state;
	struct session_ticket t;
	/* No ticket; early data of the wrong length; an extension twice; octets behind. */
	assert_false(session_ticket_parse(RAW(0, 0, 0, 30, 1, 2, 3, 4, 0, 0, 0, 0, 0), 0x0304, &t));
	assert_false(session_ticket_parse(
		RAW(0, 0, 0, 30, 1, 2, 3, 4, 0, 0, 1, 'a', 0, 7, 0, 42, 0, 3, 0, 0, 4), 0x0304, &t));
	assert_false(session_ticket_parse(
		RAW(0, 0, 0, 30, 1, 2, 3, 4, 0, 0, 1, 'a', 0, 8, 0, 9, 0, 0, 0, 9, 0, 0), 0x0304, &t));
	assert_false(session_ticket_parse(RAW(0, 0, 0, 30, 1, 2, 3, 4, 0, 0, 1, 'a', 0, 0, 0), 0x0304, &t));
	assert_false(session_ticket_parse(RAW(0, 0, 1, 0, 0, 2, 'x'), 0x0303, &t));
	assert_false(session_ticket_parse(RAW(0, 0, 1, 0, 0, 1, 'x', 'y'), 0x0303, &t));
	struct bytes whole = RAW(0, 0, 0, 30, 1, 2, 3, 4, 2, 0, 1, 0, 3, 'a', 'b', 'c', 0, 8, 0, 42, 0, 4, 0, 0, 4, 0);
	for (size_t n = 0; n < whole.len; n++)
		assert_false(session_ticket_parse(bytes_of(whole.data, n), 0x0304, &t));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_ticket_of_tls13_is_read),
		cmocka_unit_test(a_ticket_of_tls12_is_read),
		cmocka_unit_test(malformed_tickets_are_refused),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
