#include "share/refusals.h"

#include "keys/share_offer.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>

#include <cmocka.h>

/* A log that can be closed, and what it has. */
struct log {
	bool closed;
	unsigned entries;
	uint64_t count; /* of all entries */
	char why[256], side[16];
	bool has_key;
};

static void keep(char *to, size_t cap, struct bytes text)
{
	size_t len = text.len < cap ? text.len : cap - 1;
	memcpy(to, text.data, len);
	to[len] = '\0';
}

static bool append(void *arg, const struct audit_entry *entry)
{
	struct log *log = arg;
	struct error err;
	if (log->closed)
		return false;
	if (!audit_entry_check(entry, &err))
		fail_msg("%s", err.text);
	log->entries++;
	log->has_key = false;
	for (size_t i = 0; i < entry->count; i++) {
		const struct audit_field *field = &entry->fields[i];
		log->count += strcmp(field->key, "count") == 0 ? field->number : 0;
		log->has_key |= strcmp(field->key, "reader_key") == 0;
		if (strcmp(field->key, "why") == 0)
			keep(log->why, sizeof(log->why), field->text);
		if (strcmp(field->key, "side") == 0)
			keep(log->side, sizeof(log->side), field->text);
	}
	return true;
}

static struct share_item a_refusal(uint8_t cause, bool server)
{
	return (struct share_item){.kind = SHARE_REFUSED, .cause = cause, .server = server, .name = "site.test"};
}

static void each_is_an_entry_that_says_why_and_on_which_side(void **state)
{
	struct refusals *refusals = refusals_new();
	struct log log = {.closed = false};
	struct share_item item = a_refusal(SHARE_OFFER_OTHERS, true);
	(void)state;
	refusals_put(refusals, &item);
	assert_true(refusals_log(refusals, append, &log));
	assert_string_equal(log.why, share_refusal_text(SHARE_OFFER_OTHERS));
	assert_string_equal(log.side, "server");
	assert_false(log.has_key);
	item = a_refusal(SHARE_NOTICE_READER, false);
	refusals_put(refusals, &item);
	assert_true(refusals_log(refusals, append, &log));
	assert_string_equal(log.side, "client");
	assert_true(log.has_key);
	assert_int_equal(log.entries, 2);
	assert_true(refusals_log(refusals, append, &log));
	assert_int_equal(log.entries, 2);
	refusals_free(refusals);
}

static void what_cannot_be_logged_waits(void **state)
{
	struct refusals *refusals = refusals_new();
	struct log log = {.closed = true};
	struct share_item item = a_refusal(SHARE_NO_NOTICE, false);
	(void)state;
	refusals_put(refusals, &item);
	assert_false(refusals_log(refusals, append, &log));
	log.closed = false;
	assert_true(refusals_log(refusals, append, &log));
	assert_int_equal(log.entries, 1);
	refusals_free(refusals);
}

static void what_there_is_no_room_for_is_counted(void **state)
{
	struct refusals *refusals = refusals_new();
	struct log log = {.closed = false};
	struct share_item item = a_refusal(SHARE_NO_OFFER, true);
	(void)state;
	for (unsigned i = 0; i < REFUSALS_MAX + 7; i++)
		refusals_put(refusals, &item);
	assert_true(refusals_log(refusals, append, &log));
	assert_int_equal(log.entries, REFUSALS_MAX + 1);
	assert_int_equal(log.count, REFUSALS_MAX + 7);
	refusals_free(refusals);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(each_is_an_entry_that_says_why_and_on_which_side),
		cmocka_unit_test(what_cannot_be_logged_waits),
		cmocka_unit_test(what_there_is_no_room_for_is_counted),
	};
	return cmocka_run_group_tests_name("share/refusals", tests, NULL, NULL);
}
