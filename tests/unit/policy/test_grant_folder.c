#include "policy/grant_folder.h"

#include "../keys/grant_maker.h"

#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include <cmocka.h>

#define KEY "MCowBQYDK2VuAyEAz2hpjd86+FdzMRBTuk7DwJoVhg8wS8Fpw+FTN6tYE3I="
#define S   UINT64_C(1000000000)

struct place {
	char path[64], bad[512];
	struct note_key signer;
	struct grant_folder folder;
	char kinds[16]; /* of the entries: g, r */
	size_t count, room;
};

static void bad(void *arg, const char *text)
{
	struct place *place = arg;
	snprintf(place->bad, sizeof(place->bad), "%s", text);
}

static bool append(void *arg, const struct audit_entry *entry)
{
	struct place *place = arg;
	if (place->count == place->room)
		return false;
	place->kinds[place->count++] = entry->kind == AUDIT_GRANT ? 'g' : entry->kind == AUDIT_REVOKE ? 'r' : '?';
	return true;
}

static void write_file(const struct place *place, const char *name, struct bytes octets)
{
	char path[128];
	snprintf(path, sizeof(path), "%s/%s", place->path, name);
	int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC, 0600);
	assert_int_equal(write(fd, octets.data, octets.len), octets.len);
	close(fd);
}

static void write_note(const struct place *place, const char *name, const char *text)
{
	uint8_t room[4096];
	struct writer to = writer_over(room, sizeof(room));
	assert_true(grant_boss_signs(text, &to));
	write_file(place, name, bytes_of(room, to.len));
}

static void write_grant(const struct place *place, char digit)
{
	char text[1024], name[16];
	snprintf(text, sizeof(text),
		"grant: 1\nid: \"%c0000000000000000000000000000000\"\nissued: 2026-11-22T05:00:00Z\n"
		"reader: {name: ops, key: \"" KEY "\"}\nnames: [\"*\"]\ndirections: [client]\n"
		"mode: live\nconsent: both\npurpose: to test\ngrade: record\n",
		digit);
	snprintf(name, sizeof(name), "%c.grant", digit);
	write_note(place, name, text);
}

static void take_away(const struct place *place, const char *name)
{
	char path[128];
	snprintf(path, sizeof(path), "%s/%s", place->path, name);
	unlink(path);
}

static int setup(void **state)
{
	struct place *place = calloc(1, sizeof(*place));
	snprintf(place->path, sizeof(place->path), "/tmp/test-grants-XXXXXX");
	place->room = sizeof(place->kinds);
	place->folder = (struct grant_folder){
		.path = place->path, .signers = &place->signer, .signer_count = 1, .bad = bad, .arg = place};
	*state = place;
	return !mkdtemp(place->path) || !grant_boss_key(&place->signer);
}

static int teardown(void **state)
{
	static const char *const names[] = {"1.grant", "2.grant", "3.grant", "1.revoked", "other", ".4.grant"};
	struct place *place = *state;
	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
		take_away(place, names[i]);
	rmdir(place->path);
	free(place);
	return 0;
}

static void a_file_that_does_not_count_is_said_and_the_others_count(void **state)
{
	struct place *place = *state;
	struct error err;
	write_grant(place, '1');
	write_file(place, "2.grant", bytes_str("nothing\n"));
	write_file(place, "other", bytes_str("nothing\n"));
	write_file(place, ".4.grant", bytes_str("nothing\n"));
	struct grant_set *set = grant_folder_read(&place->folder, 0, &err);
	assert_non_null(set);
	assert_int_equal(grant_set_count(set), 1);
	assert_int_equal(place->folder.errors, 1);
	assert_string_equal(place->bad, "2.grant: no signed note: a text, an empty line and a signature are wanted");
	grant_set_free(set);
}

static void a_folder_that_is_not_there_is_an_error_that_names_it(void **state)
{
	(void)state;
	struct grant_folder folder = {.path = "/nowhere/grants"};
	struct error err;
	assert_null(grant_folder_read(&folder, 0, &err));
	assert_non_null(strstr(err.text, "/nowhere/grants"));
	assert_false(grant_folder_stale(&folder, 0, 0));
}

static void it_is_stale_when_it_has_changed_and_while_it_is_young(void **state)
{
	struct place *place = *state;
	struct error err;
	write_grant(place, '1');
	grant_set_free(grant_folder_read(&place->folder, 10 * S, &err));
	int64_t made_s = (int64_t)place->folder.changed.tv_sec;
	assert_false(grant_folder_stale(&place->folder, made_s + 5, 11 * S));
	/* A change within the same tick of the file system's clock would not show. */
	assert_false(grant_folder_stale(&place->folder, made_s, 10 * S + 1));
	assert_true(grant_folder_stale(&place->folder, made_s, 11 * S));
	/* A clock set back makes nothing young. */
	assert_false(grant_folder_stale(&place->folder, made_s - 3600, 11 * S));
	place->folder.changed.tv_nsec ^= 1;
	assert_true(grant_folder_stale(&place->folder, made_s + 5, 11 * S));
}

static void what_came_was_revoked_or_went_is_an_entry_each(void **state)
{
	struct place *place = *state;
	struct error err;
	write_grant(place, '1');
	write_grant(place, '2');
	struct grant_set *first = grant_folder_read(&place->folder, 0, &err);
	assert_true(grant_folder_changes(NULL, first, append, place));
	assert_string_equal(place->kinds, "gg");
	assert_true(grant_folder_changes(first, first, append, place));
	assert_int_equal(place->count, 2);
	write_note(place, "1.revoked",
		"revocation: 1\ngrant: \"10000000000000000000000000000000\"\ntime: 2026-11-22T06:00:00Z\nreason: "
		"over\n");
	write_grant(place, '3');
	take_away(place, "2.grant");
	struct grant_set *second = grant_folder_read(&place->folder, 0, &err);
	memset(place->kinds, 0, sizeof(place->kinds));
	place->count = 0;
	assert_true(grant_folder_changes(first, second, append, place));
	assert_int_equal(strspn(place->kinds, "gr"), 3);
	assert_int_equal(place->kinds[2], 'r');
	/* And what the log does not take is no change. */
	place->count = 0;
	place->room = 1;
	assert_false(grant_folder_changes(first, second, append, place));
	grant_set_free(first);
	grant_set_free(second);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(
			a_file_that_does_not_count_is_said_and_the_others_count, setup, teardown),
		cmocka_unit_test(a_folder_that_is_not_there_is_an_error_that_names_it),
		cmocka_unit_test_setup_teardown(it_is_stale_when_it_has_changed_and_while_it_is_young, setup, teardown),
		cmocka_unit_test_setup_teardown(what_came_was_revoked_or_went_is_an_entry_each, setup, teardown),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
