#include "support.h"
#include "tls/alert.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

static void two_octets_are_an_alert_and_nothing_else_is(void **state)
{
	(void)state;
	struct alert alert = {9, 9};
	assert_true(alert_read(RAW(2, 48), &alert));
	assert_int_equal(alert.level, ALERT_FATAL);
	assert_int_equal(alert.description, ALERT_UNKNOWN_CA);
	assert_false(alert_read(RAW(2), &alert));
	assert_false(alert_read(RAW(1, 0, 0), &alert));
	assert_int_equal(alert.description, ALERT_UNKNOWN_CA);
}

static void what_is_written_is_read_back(void **state)
{
	(void)state;
	uint8_t room[ALERT_LEN];
	struct writer w = writer_over(room, sizeof(room));
	struct bytes out;
	struct alert alert;
	alert_write(&w, (struct alert){ALERT_WARNING, ALERT_CLOSE_NOTIFY});
	assert_true(writer_done(&w, &out));
	assert_true(alert_read(out, &alert));
	assert_int_equal(alert.level, ALERT_WARNING);
	assert_int_equal(alert.description, ALERT_CLOSE_NOTIFY);
}

static void registered_alerts_have_names(void **state)
{
	(void)state;
	unsigned named = 0;
	for (unsigned i = 0; i < 256; i++)
		named += alert_name((uint8_t)i) != NULL;
	assert_int_equal(named, 37);
	assert_string_equal(alert_name(0), "close_notify");
	assert_string_equal(alert_name(ALERT_CERTIFICATE_UNKNOWN), "certificate_unknown");
	assert_string_equal(alert_name(ALERT_NO_APPLICATION_PROTOCOL), "no_application_protocol");
	assert_string_equal(alert_name(ALERT_ECH_REQUIRED), "ech_required");
	assert_null(alert_name(255));
	assert_string_equal(alert_level_name(1), "warning");
	assert_string_equal(alert_level_name(2), "fatal");
	assert_null(alert_level_name(0));
}

static void six_alerts_mean_distrust(void **state)
{
	(void)state;
	unsigned count = 0;
	for (unsigned i = 0; i < 256; i++)
		count += alert_means_distrust((uint8_t)i);
	assert_int_equal(count, 6);
	assert_true(alert_means_distrust(ALERT_UNKNOWN_CA));
	assert_true(alert_means_distrust(ALERT_BAD_CERTIFICATE));
	assert_true(alert_means_distrust(ALERT_CERTIFICATE_UNKNOWN));
	assert_true(alert_means_distrust(ALERT_UNSUPPORTED_CERTIFICATE));
	assert_true(alert_means_distrust(ALERT_CERTIFICATE_EXPIRED));
	assert_true(alert_means_distrust(ALERT_CERTIFICATE_REVOKED));
	assert_false(alert_means_distrust(ALERT_HANDSHAKE_FAILURE));
	assert_false(alert_means_distrust(ALERT_CLOSE_NOTIFY));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(two_octets_are_an_alert_and_nothing_else_is),
		cmocka_unit_test(what_is_written_is_read_back),
		cmocka_unit_test(registered_alerts_have_names),
		cmocka_unit_test(six_alerts_mean_distrust),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
