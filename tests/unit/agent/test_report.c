#include "agent/report.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

static struct report full(void)
{
	return (struct report){.kind = REPORT_CONNECTION,
		.pid = 4711,
		.program = bytes_str("curl"),
		.text = bytes_str("leg 2: why"),
		.lost = 3,
		.path = REPORT_REFUSED,
		.check = 3,
		.leg = 2,
		.fault = bytes_str("client-nonce"),
		.host = bytes_str("www.example.com"),
		.told = REPORT_TOLD_VERDICT,
		.statement = bytes_str("agreed"),
		.hop = {{bytes_str("a.example"), 1, bytes_str("scan")}, {bytes_str(""), 2, bytes_str("")}},
		.hops = 2};
}

static struct bytes written(const struct report *report, uint8_t *room)
{
	struct writer w = writer_over(room, REPORT_MAX);
	struct bytes out;
	report_write(&w, report);
	assert_true(writer_done(&w, &out));
	return out;
}

static void what_is_written_is_read(void **state)
{
	(void)state;
	uint8_t room[REPORT_MAX];
	const struct report in = full();
	struct report out;
	assert_int_equal(report_read(written(&in, room), &out), REPORT_OK);
	assert_int_equal(out.pid, 4711);
	assert_int_equal(out.lost, 3);
	assert_int_equal(out.check, 3);
	assert_int_equal(out.leg, 2);
	assert_true(bytes_equal(out.fault, in.fault) && bytes_equal(out.host, in.host));
	assert_true(bytes_equal(out.statement, in.statement) && bytes_equal(out.text, in.text));
	assert_int_equal(out.hops, 2);
	assert_true(bytes_equal(out.hop[0].name, in.hop[0].name) && bytes_equal(out.hop[0].purpose, in.hop[0].purpose));
	assert_int_equal(out.hop[1].role, 2);
}

static struct report served(void)
{
	return (struct report){.kind = REPORT_SERVED,
		.token = {1, 2, 3},
		.pid = 4712,
		.program = bytes_str("nginx"),
		.text = bytes_str("why not"),
		.served = REPORT_UNMET,
		.told = REPORT_TOLD_SEALED,
		.purpose = 230,
		.host = bytes_str("www.example.com"),
		.peer = bytes_str("192.0.2.1"),
		.rule = bytes_str("aware.yaml:3"),
		.client = bytes_str("alice"),
		.statement = bytes_str("agreed"),
		.hop = {{bytes_str("a.example"), 1, bytes_str("")}},
		.hops = 1};
}

static void what_a_server_says_is_read(void **state)
{
	(void)state;
	uint8_t room[REPORT_MAX];
	const struct report in = served();
	struct report out;
	struct bytes whole = written(&in, room);
	assert_int_equal(report_read(whole, &out), REPORT_OK);
	assert_memory_equal(out.token, in.token, REPORT_TOKEN);
	assert_int_equal(out.served, REPORT_UNMET);
	assert_int_equal(out.purpose, 230);
	assert_true(bytes_equal(out.host, in.host) && bytes_equal(out.peer, in.peer) && bytes_equal(out.rule, in.rule));
	assert_true(bytes_equal(out.client, in.client) && bytes_equal(out.statement, in.statement));
	assert_true(out.hops == 1 && bytes_equal(out.hop[0].name, in.hop[0].name));
	for (size_t len = 0; len < whole.len; len++)
		assert_int_equal(report_read(bytes_of(whole.data, len), &out), REPORT_TRUNCATED);
	struct report wrong = served();
	wrong.served = REPORT_IGNORED + 1;
	assert_int_equal(report_read(written(&wrong, room), &out), REPORT_VALUE);
	wrong = served();
	wrong.told = REPORT_TOLD_VERDICT;
	assert_int_equal(report_read(written(&wrong, room), &out), REPORT_VALUE);
}

static void no_part_of_a_report_is_one(void **state)
{
	(void)state;
	uint8_t room[REPORT_MAX];
	const struct report in = full();
	struct bytes whole = written(&in, room);
	struct report out;
	for (size_t len = 0; len < whole.len; len++)
		assert_int_equal(report_read(bytes_of(whole.data, len), &out), REPORT_TRUNCATED);
	room[whole.len] = 0;
	assert_int_equal(report_read(bytes_of(room, whole.len + 1), &out), REPORT_TRAILING);
}

static void values_without_a_meaning_are_refused(void **state)
{
	(void)state;
	uint8_t room[REPORT_MAX];
	struct report out;
	struct report in = full();
	in.path = 5;
	assert_int_equal(report_read(written(&in, room), &out), REPORT_VALUE);
	in = full();
	in.check = 7;
	assert_int_equal(report_read(written(&in, room), &out), REPORT_VALUE);
	in = full();
	in.told = 4;
	assert_int_equal(report_read(written(&in, room), &out), REPORT_VALUE);
	in = full();
	in.kind = 9;
	assert_int_equal(report_read(written(&in, room), &out), REPORT_VALUE);
	struct bytes whole = written(&in, room);
	room[0] = REPORT_VERSION + 1;
	assert_int_equal(report_read(whole, &out), REPORT_VERSION_UNKNOWN);
}

static void long_texts_are_cut_and_too_many_hops_do_not_fit(void **state)
{
	(void)state;
	static char text[2000];
	uint8_t room[REPORT_MAX];
	struct report in = full();
	struct report out;
	memset(text, 'x', sizeof(text));
	in.text = in.host = in.program = bytes_of(text, sizeof(text));
	assert_int_equal(report_read(written(&in, room), &out), REPORT_OK);
	assert_int_equal(out.text.len, REPORT_TEXT);
	assert_int_equal(out.host.len, 255);
	in.hops = REPORT_HOPS + 1;
	struct writer w = writer_over(room, sizeof(room));
	struct bytes none;
	report_write(&w, &in);
	assert_false(writer_done(&w, &none));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(what_is_written_is_read),
		cmocka_unit_test(what_a_server_says_is_read),
		cmocka_unit_test(no_part_of_a_report_is_one),
		cmocka_unit_test(values_without_a_meaning_are_refused),
		cmocka_unit_test(long_texts_are_cut_and_too_many_hops_do_not_fit),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
