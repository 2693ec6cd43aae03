#include "audit/entry.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

static struct audit_entry inspected(void)
{
	struct audit_entry entry = {.kind = AUDIT_INSPECTED};
	assert_true(audit_entry_add(&entry, AUDIT_N("flow", 7)));
	assert_true(audit_entry_add(&entry, AUDIT_C("client", bytes_str("192.0.2.1"))));
	assert_true(audit_entry_add(&entry, AUDIT_T("rule", bytes_str("default"))));
	return entry;
}

static void an_entry_crosses_between_processes_unchanged(void **state)
{
	(void)state;
	struct audit_entry entry = inspected();
	struct audit_entry read;
	struct error err;
	uint8_t room[256];
	struct bytes body;
	struct writer w = writer_over(room, sizeof(room));
	audit_entry_write(&w, &entry);
	assert_true(writer_done(&w, &body));
	assert_true(audit_entry_read(body, &read, &err));
	assert_int_equal(read.kind, AUDIT_INSPECTED);
	assert_int_equal(read.count, 3);
	assert_int_equal(read.fields[0].number, 7);
	assert_string_equal(read.fields[1].key, "client");
	assert_int_equal(read.fields[1].type, AUDIT_COMMIT);
	assert_true(bytes_equal(read.fields[2].text, bytes_str("default")));
	/* Neither shorter nor longer. */
	for (size_t cut = 0; cut < body.len; cut++)
		assert_false(audit_entry_read(bytes_of(body.data, cut), &read, &err));
	room[body.len] = 0;
	assert_false(audit_entry_read(bytes_of(room, body.len + 1), &read, &err));
}

static void a_field_the_kind_does_not_know_is_refused_by_name(void **state)
{
	(void)state;
	struct error err;
	struct audit_entry entry = inspected();
	assert_true(audit_entry_check(&entry, &err));
	assert_true(audit_entry_add(&entry, AUDIT_T("password", bytes_str("x"))));
	assert_false(audit_entry_check(&entry, &err));
	assert_non_null(strstr(err.text, "password"));
}

static void a_client_in_plain_text_is_refused(void **state)
{
	(void)state;
	struct error err;
	struct audit_entry entry = {.kind = AUDIT_INSPECTED};
	assert_true(audit_entry_add(&entry, AUDIT_T("client", bytes_str("192.0.2.1"))));
	assert_false(audit_entry_check(&entry, &err));
	assert_non_null(strstr(err.text, "client"));
}

static void a_field_stands_once_and_a_kind_is_known(void **state)
{
	(void)state;
	struct error err;
	struct audit_entry entry = inspected();
	assert_true(audit_entry_add(&entry, AUDIT_N("flow", 8)));
	assert_false(audit_entry_check(&entry, &err));
	entry = (struct audit_entry){.kind = AUDIT_KINDS};
	assert_false(audit_entry_check(&entry, &err));
	assert_string_equal(audit_kind_name(AUDIT_KINDS), "unknown");
	for (int kind = 0; kind < AUDIT_KINDS; kind++)
		assert_non_null(audit_kind_name(kind));
}

static void an_entry_takes_no_more_fields_than_it_has_room_for(void **state)
{
	(void)state;
	struct audit_entry entry = {0};
	for (int i = 0; i < AUDIT_FIELDS_MAX; i++)
		assert_true(audit_entry_add(&entry, AUDIT_N("flow", 1)));
	assert_false(audit_entry_add(&entry, AUDIT_N("flow", 1)));
	assert_int_equal(entry.count, AUDIT_FIELDS_MAX);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(an_entry_crosses_between_processes_unchanged),
		cmocka_unit_test(a_field_the_kind_does_not_know_is_refused_by_name),
		cmocka_unit_test(a_client_in_plain_text_is_refused),
		cmocka_unit_test(a_field_stands_once_and_a_kind_is_known),
		cmocka_unit_test(an_entry_takes_no_more_fields_than_it_has_room_for),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
