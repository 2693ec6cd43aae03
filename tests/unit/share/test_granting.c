#include "share/granting.h"

#include "../keys/grant_maker.h"

#include "tls/hello.h"

#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include <cmocka.h>

#define S      UINT64_C(1000000000)
#define ISSUED 1795323600 /* 2026-11-22T05:00:00Z */
#define KEY    "MCowBQYDK2VuAyEAz2hpjd86+FdzMRBTuk7DwJoVhg8wS8Fpw+FTN6tYE3I="

/* A folder with grants, a log that can be closed, and what was given. */
struct place {
	char folder[64];
	struct note_key signer;
	struct granting *granting;
	bool closed;
	unsigned grants, ends, refusals;
	unsigned given, over;
};

static bool append(void *arg, const struct audit_entry *entry)
{
	struct place *place = arg;
	struct error err;
	if (place->closed)
		return false;
	if (!audit_entry_check(entry, &err))
		fail_msg("%s", err.text);
	place->grants += entry->kind == AUDIT_GRANT;
	place->ends += entry->kind == AUDIT_REVOKE;
	place->refusals += entry->kind == AUDIT_REFUSAL;
	return true;
}

static void over(void *arg, const uint8_t grant[static RELEASE_GRANT],
	const uint8_t client_random[static KEYLOG_RANDOM], const uint8_t *tag)
{
	(void)grant, (void)client_random, (void)tag;
	((struct place *)arg)->over++;
}

static void give(void *arg, const struct grant *grant, const struct release *release, struct bytes sealed)
{
	(void)grant, (void)sealed;
	assert_memory_equal(release->grant, grant->id, RELEASE_GRANT);
	((struct place *)arg)->given++;
}

static void write_note(const struct place *place, const char *name, const char *text)
{
	uint8_t room[4096];
	struct writer to = writer_over(room, sizeof(room));
	char path[128];
	assert_true(grant_boss_signs(text, &to));
	snprintf(path, sizeof(path), "%s/%s", place->folder, name);
	int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC, 0600);
	assert_int_equal(write(fd, room, to.len), to.len);
	close(fd);
}

static void write_grant(const struct place *place, char digit, const char *more)
{
	char text[2048], name[64];
	snprintf(text, sizeof(text),
		"grant: 1\nid: \"%c000000000000000000000000000000%c\"\nissued: 2026-11-22T05:00:00Z\n"
		"reader: {name: ops, key: \"" KEY "\"}\nnames: [\"*\"]\ndirections: [client, server]\n"
		"mode: live\nconsent: unilateral\nreason: a test\npurpose: to test\ngrade: record\n%s",
		digit, digit, more);
	snprintf(name, sizeof(name), "%c.grant", digit);
	write_note(place, name, text);
}

static bool begin(struct place *place, struct error *err)
{
	struct granting_options options = {.folder = place->folder,
		.signers = &place->signer,
		.signer_count = 1,
		.sender = "web1",
		.log = append,
		.over = over,
		.arg = place};
	place->granting = granting_new(&options, err);
	return place->granting != NULL;
}

static int setup(void **state)
{
	struct place *place = calloc(1, sizeof(*place));
	snprintf(place->folder, sizeof(place->folder), "/tmp/test-granting-XXXXXX");
	*state = place;
	return !mkdtemp(place->folder) || !grant_boss_key(&place->signer);
}

static int teardown(void **state)
{
	struct place *place = *state;
	char path[128];
	granting_free(place->granting);
	for (const char *name = "1\0002\0003\0"; *name; name += 2) {
		snprintf(path, sizeof(path), "%s/%s.grant", place->folder, name);
		unlink(path);
		snprintf(path, sizeof(path), "%s/%s.revoked", place->folder, name);
		unlink(path);
	}
	rmdir(place->folder);
	free(place);
	return 0;
}

/* How many readers get the key of this epoch at this time. */
static unsigned seal(struct place *place, uint32_t epoch, int64_t wall_s, uint64_t now_ns)
{
	struct release release = {.grade = RELEASE_GRADE_RECORD,
		.mode = RELEASE_LIVE,
		.consent = RELEASE_UNILATERAL,
		.key = {.stage = RECORD_STAGE_APPLICATION,
			.epoch = epoch,
			.version = TLS_VERSION_13,
			.suite = 0x1301,
			.key_len = 16,
			.iv_len = 12}};
	const struct granting_ask ask = {.wall_s = wall_s, .now_ns = now_ns};
	granting_refresh(place->granting, wall_s, now_ns);
	return (unsigned)granting_seal(place->granting, &release, &ask, give, place);
}

#define UNTIL "until: {time: 2026-11-23T05:00:00Z"

static void grants_are_logged_before_they_count_and_do_not_count_when_the_log_is_closed(void **state)
{
	struct place *place = *state;
	struct error err;
	write_grant(place, '1', UNTIL "}\n");
	place->closed = true;
	assert_false(begin(place, &err));
	assert_string_equal(err.text, "the audit log cannot be written");
	place->closed = false;
	assert_true(begin(place, &err));
	assert_int_equal(place->grants, 1);
	assert_int_equal(seal(place, 0, ISSUED + 60, 1 * S), 1);
	place->closed = true;
	write_grant(place, '2', UNTIL "}\n");
	assert_int_equal(seal(place, 0, ISSUED + 60, 2 * S), 1);
	place->closed = false;
	assert_int_equal(seal(place, 0, ISSUED + 60, 3 * S), 2);
	assert_int_equal(place->grants, 2);
}

static void a_revocation_ends_it_and_is_logged_once(void **state)
{
	struct place *place = *state;
	struct error err;
	write_grant(place, '1', UNTIL "}\n");
	assert_true(begin(place, &err));
	assert_int_equal(seal(place, 0, ISSUED + 60, 1 * S), 1);
	write_note(place, "1.revoked",
		"revocation: 1\ngrant: \"10000000000000000000000000000001\"\ntime: 2026-11-22T06:00:00Z\nreason: "
		"over\n");
	assert_int_equal(seal(place, 1, ISSUED + 61, 2 * S), 0);
	assert_int_equal(seal(place, 2, ISSUED + 62, 3 * S), 0);
	assert_int_equal(place->ends, 1);
	/* Its connection is told: the keys change. */
	assert_int_equal(place->over, 1);
}

static void a_clock_set_back_brings_no_grant_back(void **state)
{
	struct place *place = *state;
	struct error err;
	write_grant(place, '1', UNTIL "}\n");
	assert_true(begin(place, &err));
	assert_int_equal(seal(place, 0, ISSUED + 60, 1 * S), 1);
	assert_int_equal(seal(place, 1, ISSUED + 86400, 2 * S), 0);
	assert_int_equal(place->ends, 1);
	assert_int_equal(seal(place, 2, ISSUED + 60, 3 * S), 0);
	assert_int_equal(place->ends, 1);
}

static void seconds_within_a_connection_are_not_those_of_the_clock_on_the_wall(void **state)
{
	struct place *place = *state;
	struct error err;
	write_grant(place, '1', UNTIL ", seconds: 10}\n");
	assert_true(begin(place, &err));
	assert_int_equal(seal(place, 0, ISSUED + 60, 100 * S), 1);
	assert_int_equal(granting_next(place->granting), 110 * S);
	/* An hour forward and two back on the wall, nine seconds in truth. */
	assert_int_equal(seal(place, 1, ISSUED + 3660, 105 * S), 1);
	assert_int_equal(seal(place, 2, ISSUED - 200, 109 * S), 1);
	assert_int_equal(seal(place, 3, ISSUED + 61, 110 * S), 0);
	assert_int_equal(place->over, 1);
	assert_int_equal(place->refusals, 1);
	assert_int_equal(seal(place, 4, ISSUED + 62, 111 * S), 0);
	assert_int_equal(granting_count(place->granting).kept_back, 2);
	assert_int_equal(granting_count(place->granting).over, 1);
}

static void what_waits_leaves_no_more_once_the_grant_is_over_but_for_an_end_within_a_connection(void **state)
{
	struct place *place = *state;
	struct error err;
	const uint8_t one[RELEASE_GRANT] = {0x10, [15] = 0x01}, two[RELEASE_GRANT] = {0x20, [15] = 0x02};
	const uint8_t unknown[RELEASE_GRANT] = {0x30, [15] = 0x03};
	write_grant(place, '1', UNTIL "}\n");
	write_grant(place, '2', UNTIL ", seconds: 10}\n");
	assert_true(begin(place, &err));
	assert_int_equal(seal(place, 0, ISSUED + 60, 1 * S), 2);
	assert_int_equal(seal(place, 1, ISSUED + 80, 21 * S), 1);
	assert_true(granting_lasts(place->granting, one, ISSUED + 80));
	assert_true(granting_lasts(place->granting, two, ISSUED + 80));
	assert_false(granting_lasts(place->granting, unknown, ISSUED + 80));
	assert_false(granting_lasts(place->granting, one, ISSUED + 86400));
	write_note(place, "1.revoked",
		"revocation: 1\ngrant: \"10000000000000000000000000000001\"\ntime: 2026-11-22T06:00:00Z\nreason: "
		"over\n");
	assert_int_equal(seal(place, 2, ISSUED + 81, 22 * S), 0);
	assert_false(granting_lasts(place->granting, one, ISSUED + 81));
	granting_end(place->granting, two, COURIER_WHY_ENOUGH);
	assert_false(granting_lasts(place->granting, two, ISSUED + 81));
}

static void the_collectors_word_ends_a_grant_unless_it_only_lacks_it(void **state)
{
	struct place *place = *state;
	struct error err;
	uint8_t id[RELEASE_GRANT] = {0x10, [15] = 0x01};
	write_grant(place, '1', UNTIL ", reader: true}\n");
	assert_true(begin(place, &err));
	assert_int_equal(seal(place, 0, ISSUED + 60, 1 * S), 1);
	granting_end(place->granting, id, COURIER_WHY_NO_GRANT);
	assert_int_equal(seal(place, 1, ISSUED + 60, 1 * S), 1);
	granting_end(place->granting, id, COURIER_WHY_ENOUGH);
	assert_int_equal(place->over, 1);
	assert_int_equal(place->ends, 1);
	assert_int_equal(seal(place, 2, ISSUED + 60, 1 * S), 0);
}

/* A host runs for long, and grants come and go. */
static void there_is_room_for_a_grant_however_many_there_were(void **state)
{
	struct place *place = *state;
	struct error err;
	write_grant(place, '1', UNTIL "}\n");
	assert_true(begin(place, &err));
	granting_end(place->granting, (const uint8_t[RELEASE_GRANT]){0x10, [15] = 1}, COURIER_WHY_ENOUGH);
	for (unsigned i = 0; i < 2 * GRANT_MAX; i++) {
		const uint8_t gone[RELEASE_GRANT] = {0xff, (uint8_t)i, (uint8_t)(i >> 8)};
		granting_end(place->granting, gone, COURIER_WHY_REVOKED);
	}
	write_grant(place, '2', UNTIL "}\n");
	assert_int_equal(seal(place, 0, ISSUED + 60, 5 * S), 1);
}

static void a_grant_that_names_its_senders_is_for_no_other(void **state)
{
	struct place *place = *state;
	struct error err;
	write_grant(place, '1', "senders: [web2]\n" UNTIL "}\n");
	write_grant(place, '2', "senders: [web2, web1]\n" UNTIL "}\n");
	write_grant(place, '3',
		"senders: [\"0000000000000000000000000000000000000000000000000000000000000000\"]\n" UNTIL "}\n");
	assert_true(begin(place, &err));
	assert_int_equal(seal(place, 0, ISSUED + 60, 1 * S), 2);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(
			grants_are_logged_before_they_count_and_do_not_count_when_the_log_is_closed, setup, teardown),
		cmocka_unit_test_setup_teardown(a_revocation_ends_it_and_is_logged_once, setup, teardown),
		cmocka_unit_test_setup_teardown(a_clock_set_back_brings_no_grant_back, setup, teardown),
		cmocka_unit_test_setup_teardown(
			seconds_within_a_connection_are_not_those_of_the_clock_on_the_wall, setup, teardown),
		cmocka_unit_test_setup_teardown(
			what_waits_leaves_no_more_once_the_grant_is_over_but_for_an_end_within_a_connection, setup,
			teardown),
		cmocka_unit_test_setup_teardown(
			the_collectors_word_ends_a_grant_unless_it_only_lacks_it, setup, teardown),
		cmocka_unit_test_setup_teardown(there_is_room_for_a_grant_however_many_there_were, setup, teardown),
		cmocka_unit_test_setup_teardown(a_grant_that_names_its_senders_is_for_no_other, setup, teardown),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
