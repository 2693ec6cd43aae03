/* What consent of both sides a grant wants, and what a release must have for it. */
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

#define ISSUED 1795323600 /* 2026-11-22T05:00:00Z */
#define KEY    "MCowBQYDK2VuAyEAz2hpjd86+FdzMRBTuk7DwJoVhg8wS8Fpw+FTN6tYE3I="

struct place {
	char folder[64], path[96];
	struct note_key signer;
	struct granting *granting;
	uint8_t key_id[SHARE_KEY_ID]; /* of the grant's reader */
	unsigned given;
	uint8_t consent; /* of what was given last */
};

static bool append(void *arg, const struct audit_entry *entry)
{
	(void)arg, (void)entry;
	return true;
}

static void give(void *arg, const struct grant *grant, const struct release *release, struct bytes sealed)
{
	struct place *place = arg;
	(void)grant, (void)sealed;
	place->given++;
	place->consent = release->consent;
}

static void write_grant(struct place *place, const char *consent)
{
	uint8_t room[4096];
	struct writer to = writer_over(room, sizeof(room));
	struct grant grant;
	struct error err;
	char text[2048];
	snprintf(text, sizeof(text),
		"grant: 1\nid: \"10000000000000000000000000000001\"\nissued: 2026-11-22T05:00:00Z\n"
		"reader: {name: ops, key: \"" KEY "\"}\nnames: [\"*\"]\ndirections: [client, server]\n"
		"mode: live\nconsent: %s\nreason: a test\npurpose: to test\ngrade: record\n"
		"until: {time: 2026-11-23T05:00:00Z}\n",
		consent);
	assert_true(grant_parse(bytes_str(text), "a grant", &grant, &err));
	memcpy(place->key_id, grant.key_id, SHARE_KEY_ID);
	assert_true(grant_boss_signs(text, &to));
	snprintf(place->path, sizeof(place->path), "%s/1.grant", place->folder);
	int fd = open(place->path, O_WRONLY | O_CREAT | O_TRUNC, 0600);
	assert_int_equal(write(fd, room, to.len), to.len);
	close(fd);
	const struct granting_options options = {
		.folder = place->folder, .signers = &place->signer, .signer_count = 1, .log = append, .arg = place};
	place->granting = granting_new(&options, &err);
	assert_non_null(place->granting);
}

static int setup(void **state)
{
	struct place *place = calloc(1, sizeof(*place));
	snprintf(place->folder, sizeof(place->folder), "/tmp/test-consent-XXXXXX");
	*state = place;
	return !mkdtemp(place->folder) || !grant_boss_key(&place->signer);
}

static int teardown(void **state)
{
	struct place *place = *state;
	granting_free(place->granting);
	unlink(place->path);
	rmdir(place->folder);
	free(place);
	return 0;
}

/* How many readers get a key on which was agreed like this. */
static unsigned seal(struct place *place, uint8_t consent, const struct share_readers *readers, uint64_t agreed)
{
	struct release release = {.grade = RELEASE_GRADE_RECORD,
		.mode = RELEASE_LIVE,
		.consent = consent,
		.readers = readers,
		.agreed = agreed,
		.key = {.stage = RECORD_STAGE_APPLICATION,
			.version = TLS_VERSION_13,
			.suite = 0x1301,
			.key_len = 16,
			.iv_len = 12}};
	const struct granting_ask ask = {.wall_s = ISSUED + 60, .now_ns = 1};
	return (unsigned)granting_seal(place->granting, &release, &ask, give, place);
}

/* Another, the grant's reader, and the same in another mode. */
static struct share_readers list_of(const struct place *place)
{
	struct share_readers readers = {.count = 3};
	for (size_t i = 0; i < 3; i++) {
		readers.at[i].mode = i == 2 ? SHARE_AFTER_ROTATION : SHARE_LIVE;
		memcpy(readers.at[i].key_id, place->key_id, SHARE_KEY_ID);
	}
	readers.at[0].key_id[0] ^= 1;
	return readers;
}

static void a_grant_of_both_covers_what_was_agreed_for_exactly_this_reader_and_mode(void **state)
{
	struct place *place = *state;
	write_grant(place, "both");
	struct share_readers readers = list_of(place);
	assert_int_equal(seal(place, RELEASE_BOTH, &readers, share_place(1)), 1);
	assert_int_equal(place->consent, RELEASE_BOTH);
	assert_int_equal(seal(place, RELEASE_BOTH, &readers, 7), 1);
	assert_int_equal(seal(place, RELEASE_BOTH, &readers, share_place(0)), 0);
	assert_int_equal(seal(place, RELEASE_BOTH, &readers, share_place(2)), 0);
	assert_int_equal(seal(place, RELEASE_BOTH, &readers, share_place(0) | share_place(2)), 0);
	assert_int_equal(seal(place, RELEASE_BOTH, &readers, 0), 0);
	assert_int_equal(seal(place, RELEASE_BOTH, NULL, share_place(1)), 0);
	assert_int_equal(seal(place, RELEASE_UNILATERAL, &readers, share_place(1)), 0);
}

static void a_grant_of_one_side_covers_all_and_is_said_to_be_that(void **state)
{
	struct place *place = *state;
	write_grant(place, "unilateral");
	struct share_readers readers = list_of(place);
	assert_int_equal(seal(place, RELEASE_UNILATERAL, NULL, 0), 1);
	assert_int_equal(place->consent, RELEASE_UNILATERAL);
	assert_int_equal(seal(place, RELEASE_BOTH, &readers, share_place(1)), 1);
	assert_int_equal(place->consent, RELEASE_UNILATERAL);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(
			a_grant_of_both_covers_what_was_agreed_for_exactly_this_reader_and_mode, setup, teardown),
		cmocka_unit_test_setup_teardown(a_grant_of_one_side_covers_all_and_is_said_to_be_that, setup, teardown),
	};
	return cmocka_run_group_tests_name("share/consent", tests, NULL, NULL);
}
