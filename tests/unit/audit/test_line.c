#include "audit/line.h"
#include "base/clock.h"
#include "base/text.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>

#include <cmocka.h>

#define TIME_NS (1763719200ULL * NS_PER_S + 123 * NS_PER_MS) /* 2025-11-21T10:00:00.123Z */

static size_t write_line(uint8_t *out, size_t cap, struct audit_entry *entry, struct audit_place *at)
{
	uint8_t commitments[2][AUDIT_COMMIT_LEN] = {{0xaa}, {0xbb}};
	struct writer w = writer_over(out, cap);
	assert_true(audit_line_write(&w, entry, (const uint8_t(*)[AUDIT_COMMIT_LEN])commitments, TIME_NS, at));
	return w.len;
}

static void a_line_reads_as_documented(void **state)
{
	(void)state;
	char line[2048];
	char hash[65];
	char expected[2048];
	struct audit_place at = {0};
	struct audit_entry entry = {.kind = AUDIT_INSPECTED};
	audit_entry_add(&entry, AUDIT_N("flow", 7));
	audit_entry_add(&entry, AUDIT_C("client", bytes_str("192.0.2.1")));
	audit_entry_add(&entry, AUDIT_T("rule", bytes_str("say \"no\"\n\\")));
	size_t len = write_line((uint8_t *)line, sizeof(line) - 1, &entry, &at);
	line[len] = '\0';
	text_hex(hash, sizeof(hash), bytes_of(at.hash, sizeof(at.hash)));
	snprintf(expected, sizeof(expected),
		"{\"seq\":1,\"time\":\"2025-11-21T10:00:00.123Z\",\"kind\":\"inspected\",\"flow\":7,\"client\":\"aa%"
		"062d\","
		"\"rule\":\"say \\\"no\\\"\\\\x0a\\\\\",\"prev\":\"%064d\",\"hash\":\"%s\"}\n",
		0, 0, hash);
	assert_string_equal(line, expected);
	assert_int_equal(at.seq, 1);
	assert_int_equal(at.offset, len);
}

static void the_hash_of_a_line_is_the_one_anybody_can_compute(void **state)
{
	(void)state;
	/* printf 'overt audit line 1\0{"seq":1,…,"prev":"000…"' | sha256sum */
	char line[1024];
	char hash[65];
	struct audit_place at = {0};
	struct audit_entry entry = {.kind = AUDIT_STOP};
	(void)write_line((uint8_t *)line, sizeof(line), &entry, &at);
	text_hex(hash, sizeof(hash), bytes_of(at.hash, sizeof(at.hash)));
	assert_string_equal(hash, "9437b91b786d9bef06fec43c6b484b5dc369559041187bc3b166e2250315b50a");
}

static void a_chain_of_lines_checks_and_every_flipped_byte_is_seen(void **state)
{
	(void)state;
	uint8_t lines[4096];
	struct audit_place at = {0};
	struct audit_entry entry = {.kind = AUDIT_STOP};
	audit_entry_add(&entry, AUDIT_T("reason", bytes_str("asked to")));
	size_t first = write_line(lines, sizeof(lines), &entry, &at);
	size_t second = write_line(lines + first, sizeof(lines) - first, &entry, &at);
	struct audit_place checked = {0};
	assert_int_equal(audit_line_check(bytes_of(lines, first - 1), &checked), AUDIT_INTACT);
	struct audit_place between = checked;
	assert_int_equal(audit_line_check(bytes_of(lines + first, second - 1), &checked), AUDIT_INTACT);
	assert_memory_equal(&checked, &at, sizeof(at));
	for (size_t i = 0; i < second - 1; i++) {
		for (int bit = 0; bit < 8; bit++) {
			lines[first + i] ^= (uint8_t)(1 << bit);
			checked = between;
			assert_int_not_equal(
				audit_line_check(bytes_of(lines + first, second - 1), &checked), AUDIT_INTACT);
			assert_memory_equal(&checked, &between, sizeof(between));
			lines[first + i] ^= (uint8_t)(1 << bit);
		}
	}
	for (size_t cut = 0; cut < second - 1; cut++)
		assert_int_equal(audit_line_check(bytes_of(lines + first, cut), &checked), AUDIT_ALTERED);
}

static void a_hole_is_told_from_a_change(void **state)
{
	(void)state;
	uint8_t lines[3][1024];
	size_t len[3];
	struct audit_place at = {0};
	struct audit_entry entry = {.kind = AUDIT_STOP};
	for (int i = 0; i < 3; i++)
		len[i] = write_line(lines[i], sizeof(lines[i]), &entry, &at);
	struct audit_place checked = {0};
	assert_int_equal(audit_line_check(bytes_of(lines[0], len[0] - 1), &checked), AUDIT_INTACT);
	assert_int_equal(audit_line_check(bytes_of(lines[2], len[2] - 1), &checked), AUDIT_MISSING);
	assert_int_equal(audit_line_check(bytes_of(lines[0], len[0] - 1), &checked), AUDIT_ALTERED);
	assert_int_equal(checked.seq, 1);
}

static void a_line_that_does_not_fit_changes_nothing(void **state)
{
	(void)state;
	uint8_t room[100];
	struct audit_place at = {0};
	struct audit_place zero = {0};
	struct audit_entry entry = {.kind = AUDIT_STOP};
	struct writer w = writer_over(room, sizeof(room));
	assert_false(audit_line_write(&w, &entry, NULL, TIME_NS, &at));
	assert_memory_equal(&at, &zero, sizeof(at));
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
		cmocka_unit_test(the_hash_of_a_line_is_the_one_anybody_can_compute),
		cmocka_unit_test(a_chain_of_lines_checks_and_every_flipped_byte_is_seen),
		cmocka_unit_test(a_hole_is_told_from_a_change),
		cmocka_unit_test(a_line_that_does_not_fit_changes_nothing),
		cmocka_unit_test(a_commitment_is_the_one_anybody_can_compute),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
