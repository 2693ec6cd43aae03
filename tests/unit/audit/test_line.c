#include "audit/line.h"
#include "base/clock.h"
#include "base/text.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>

#include <cmocka.h>

#define TIME_NS (1763719200ULL * NS_PER_S + 123 * NS_PER_MS) /* 2025-11-21T10:00:00.123Z */

static size_t write_line(char *out, size_t cap, struct audit_entry *entry, uint64_t seq)
{
	uint8_t commitments[2][AUDIT_COMMIT_LEN] = {{0xaa}, {0xbb}};
	struct writer w = writer_over(out, cap);
	assert_true(audit_line_write(&w, entry, (const uint8_t(*)[AUDIT_COMMIT_LEN])commitments, TIME_NS, seq));
	return w.len;
}

static struct audit_entry inspected(void)
{
	struct audit_entry entry = {.kind = AUDIT_INSPECTED};
	audit_entry_add(&entry, AUDIT_N("flow", 7));
	audit_entry_add(&entry, AUDIT_C("client", bytes_str("192.0.2.1")));
	audit_entry_add(&entry, AUDIT_T("rule", bytes_str("say \"no\"\n\\")));
	return entry;
}

static void a_line_reads_as_documented(void **state)
{
	(void)state;
	char line[2048];
	char expected[2048];
	struct audit_entry entry = inspected();
	size_t len = write_line(line, sizeof(line) - 1, &entry, 1);
	line[len] = '\0';
	snprintf(expected, sizeof(expected),
		"{\"seq\":1,\"time\":\"2025-11-21T10:00:00.123Z\",\"kind\":\"inspected\",\"flow\":7,\"client\":\"aa%"
		"062d\",\"rule\":\"say \\\"no\\\"\\\\x0a\\\\\"}\n",
		0);
	assert_string_equal(line, expected);
}

static void a_line_is_read_member_by_member_as_it_was_written(void **state)
{
	(void)state;
	char line[2048];
	char plain[64];
	static const char *const keys[] = {"seq", "time", "kind", "flow", "client", "rule"};
	struct audit_member member;
	struct audit_entry entry = inspected();
	struct bytes rest = bytes_of(line, write_line(line, sizeof(line), &entry, 12) - 1);
	assert_true(audit_line_open(&rest));
	for (size_t i = 0; i < 6; i++) {
		assert_true(audit_line_next(&rest, &member));
		assert_true(bytes_equal(member.key, bytes_str(keys[i])));
		assert_int_equal(member.number, i == 0 || i == 3);
	}
	/* The last is the rule: what was cleaned, without JSON's escapes. */
	size_t len = audit_json_plain(member.value, plain, sizeof(plain));
	assert_true(bytes_equal(bytes_of(plain, len), bytes_str("say \"no\"\\x0a\\")));
	assert_false(audit_line_next(&rest, &member));
}

static void what_is_no_line_has_no_number(void **state)
{
	(void)state;
	static const char *const bad[] = {"", "{", "{}", "{\"seq\":}", "{\"seq\":\"1\"}", "{\"seq\":01}",
		"{\"seq\":-1}", "{\"seq\":1", "{\"seq\":1}x", "{\"seq\":99999999999999999999}", "{\"sec\":1}",
		" {\"seq\":1}", "{\"seq\":1,", "{\"seq\\", "{\"seq\":1}}"};
	uint64_t seq;
	assert_true(audit_line_seq(bytes_str("{\"seq\":1}"), &seq));
	assert_int_equal(seq, 1);
	assert_true(audit_line_seq(bytes_str("{\"seq\":18446744073709551615,\"a\":2}"), &seq));
	assert_true(seq == UINT64_MAX);
	for (size_t i = 0; i < sizeof(bad) / sizeof(*bad); i++) {
		if (audit_line_seq(bytes_str(bad[i]), &seq))
			fail_msg("%s was read as %llu", bad[i], (unsigned long long)seq);
	}
}

static void a_line_that_does_not_fit_is_not_written(void **state)
{
	(void)state;
	uint8_t room[50];
	struct audit_entry entry = {.kind = AUDIT_STOP};
	struct writer w = writer_over(room, sizeof(room));
	assert_false(audit_line_write(&w, &entry, NULL, TIME_NS, 1));
}

static void a_commitment_is_the_one_anybody_can_compute(void **state)
{
	(void)state;
	/* printf 'overt audit 1\0' + 32 times 0x11 + 'example.com' | sha256sum */
	uint8_t salt[AUDIT_SALT];
	uint8_t out[AUDIT_COMMIT_LEN];
	char hex[65];
	memset(salt, 0x11, sizeof(salt));
	assert_true(audit_commit(salt, bytes_str("example.com"), out));
	text_hex(hex, sizeof(hex), bytes_of(out, sizeof(out)));
	assert_string_equal(hex, "d3c7daf47d23b1d4e12f9e961f2c45c40a429b03f908cdca4840281ef469803c");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_line_reads_as_documented),
		cmocka_unit_test(a_line_is_read_member_by_member_as_it_was_written),
		cmocka_unit_test(what_is_no_line_has_no_number),
		cmocka_unit_test(a_line_that_does_not_fit_is_not_written),
		cmocka_unit_test(a_commitment_is_the_one_anybody_can_compute),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
