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

static struct audit_entry grant(const char *consent)
{
	struct audit_entry entry = {.kind = AUDIT_GRANT};
	assert_true(audit_entry_add(&entry, AUDIT_T("grant", bytes_str("g1"))));
	assert_true(audit_entry_add(&entry, AUDIT_T("reader_key", bytes_str("k1"))));
	assert_true(audit_entry_add(&entry, AUDIT_C("names_commit", bytes_str("*.example.com"))));
	assert_true(audit_entry_add(&entry, AUDIT_T("consent", bytes_str(consent))));
	return entry;
}

static void a_unilateral_grant_needs_a_reason_and_an_end(void **state)
{
	(void)state;
	struct error err;
	struct audit_entry entry = grant("both");
	assert_true(audit_entry_check(&entry, &err));
	entry = grant("unilateral");
	assert_false(audit_entry_check(&entry, &err));
	assert_non_null(strstr(err.text, "reason and ends"));
	assert_true(audit_entry_add(&entry, AUDIT_T("reason", bytes_str("an incident"))));
	assert_false(audit_entry_check(&entry, &err));
	assert_true(audit_entry_add(&entry, AUDIT_T("ends", bytes_str("2026-12-01T00:00:00Z"))));
	assert_true(audit_entry_check(&entry, &err));
	entry = grant("none");
	assert_false(audit_entry_check(&entry, &err));
	entry = (struct audit_entry){.kind = AUDIT_GRANT};
	assert_false(audit_entry_check(&entry, &err));
}

static void no_entry_has_a_place_for_key_material(void **state)
{
	(void)state;
	static const char *const secrets[] = {"key", "iv", "secret", "traffic_secret", "master_secret", "private_key",
		"key_hex", "write_key", "record_key", "password", "psk", "seed", "salt"};
	for (int kind = 0; kind < AUDIT_KINDS; kind++) {
		for (size_t i = 0; i < sizeof(secrets) / sizeof(*secrets); i++) {
			struct error err;
			struct audit_entry entry = {.kind = kind};
			assert_true(audit_entry_add(&entry, AUDIT_T(secrets[i], bytes_str("00"))));
			assert_false(audit_entry_check(&entry, &err));
			assert_non_null(strstr(err.text, "is not known"));
		}
	}
}

static void kinds_and_fields_are_found_by_their_names(void **state)
{
	(void)state;
	enum audit_type type;
	for (unsigned kind = 0; kind < AUDIT_KINDS; kind++)
		assert_int_equal(audit_kind_named(bytes_str(audit_kind_name((enum audit_kind)kind))), kind);
	assert_int_equal(audit_kind_named(bytes_str("rumour")), AUDIT_KINDS);
	assert_true(audit_field_type(AUDIT_RELEASE, bytes_str("connection"), &type));
	assert_int_equal(type, AUDIT_COMMIT);
	assert_false(audit_field_type(AUDIT_RELEASE, bytes_str("file"), &type));
	assert_false(audit_field_type(AUDIT_KINDS, bytes_str("file"), &type));
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
		cmocka_unit_test(a_unilateral_grant_needs_a_reason_and_an_end),
		cmocka_unit_test(no_entry_has_a_place_for_key_material),
		cmocka_unit_test(kinds_and_fields_are_found_by_their_names),
		cmocka_unit_test(an_entry_takes_no_more_fields_than_it_has_room_for),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
