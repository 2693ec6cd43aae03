#include "bus/name.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

static struct seal_head head_of(const char *name)
{
	struct seal_head head = {.check = {0xaa}, .grant = {0xbb}};
	for (uint8_t i = 0; i < SEAL_KEY_ID; i++)
		head.key_id[i] = i;
	snprintf(head.name, sizeof(head.name), "%s", name);
	return head;
}

static void a_subject_has_site_reader_and_the_hash_of_the_name(void **state)
{
	(void)state;
	char subject[BUS_SUBJECT], other[BUS_SUBJECT];
	struct seal_head head = head_of("example.com");
	assert_true(bus_subject(subject, "paris", &head));
	/* printf example.com | sha256sum | cut -c1-16 */
	assert_string_equal(subject, "overt.keys.paris.000102030405060708090a0b0c0d0e0f.a379a6f6eeafb9a5");
	head = head_of("Example.COM");
	assert_true(bus_subject(other, "paris", &head));
	assert_string_equal(subject, other);
}

static void no_name_can_bring_a_wildcard_or_a_dot_into_a_subject(void **state)
{
	(void)state;
	static const char *const names[] = {"", ">", "*", "a.>", "overt.keys.*", "a b\tc\r\nPUB x", "\x01\xff"};
	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
		char subject[BUS_SUBJECT];
		struct seal_head head = head_of(names[i]);
		unsigned dots = 0;
		assert_true(bus_subject(subject, "a-b_C9", &head));
		for (const char *at = subject; *at; at++) {
			dots += *at == '.';
			assert_non_null(strchr("abcdefghijklmnopqrstuvwxyzC0123456789.-_", *at));
		}
		assert_int_equal(dots, 4);
		assert_int_equal(strlen(subject), strlen("overt.keys.a-b_C9.") + 32 + 1 + 16);
	}
	char longest[RELEASE_NAME_MAX + 1], subject[BUS_SUBJECT];
	memset(longest, '*', RELEASE_NAME_MAX);
	longest[RELEASE_NAME_MAX] = '\0';
	struct seal_head head = head_of(longest);
	assert_true(bus_subject(subject, "0123456789abcdef0123456789abcdef", &head));
}

static void sites_and_consumers_are_one_token(void **state)
{
	(void)state;
	char subject[BUS_SUBJECT];
	struct seal_head head = head_of("x");
	static const char *const bad[] = {
		"", ">", "*", "a.b", "a b", "a\n", "0123456789abcdef0123456789abcdef0", "\xc3\xa4"};
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		assert_false(bus_site_valid(bad[i]));
		assert_false(bus_consumer_valid(bad[i]));
		assert_false(bus_subject(subject, bad[i], &head));
	}
	assert_true(bus_site_valid("paris-2_b"));
	assert_true(bus_login_valid("c1.example"));
	assert_false(bus_login_valid(".c1"));
	assert_false(bus_login_valid("c1\" } {"));
}

static void a_stream_takes_what_is_sealed_to_its_reader_from_every_site(void **state)
{
	(void)state;
	char stream[BUS_STREAM], subjects[BUS_SUBJECT], inbox[BUS_INBOX];
	struct seal_head head = head_of("x");
	bus_stream(stream, head.key_id);
	bus_subjects(subjects, head.key_id);
	bus_reader_inbox(inbox, head.key_id);
	assert_string_equal(stream, "OVERT_000102030405060708090a0b0c0d0e0f");
	assert_string_equal(subjects, "overt.keys.*.000102030405060708090a0b0c0d0e0f.*");
	assert_string_equal(inbox, "_INBOX.reader.000102030405060708090a0b0c0d0e0f");
}

static void what_is_the_same_has_the_same_id_and_what_is_of_another_grant_has_not(void **state)
{
	(void)state;
	char one[BUS_ID], two[BUS_ID];
	struct seal_head head = head_of("x"), again = head_of("y");
	again.number = 9;
	again.made_ns = 9;
	bus_id(one, &head);
	bus_id(two, &again);
	assert_string_equal(one, two);
	again.grant[15] = 1;
	bus_id(two, &again);
	assert_string_not_equal(one, two);
	again = head;
	again.check[15] = 1;
	bus_id(two, &again);
	assert_string_not_equal(one, two);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_subject_has_site_reader_and_the_hash_of_the_name),
		cmocka_unit_test(no_name_can_bring_a_wildcard_or_a_dot_into_a_subject),
		cmocka_unit_test(sites_and_consumers_are_one_token),
		cmocka_unit_test(a_stream_takes_what_is_sealed_to_its_reader_from_every_site),
		cmocka_unit_test(what_is_the_same_has_the_same_id_and_what_is_of_another_grant_has_not),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
