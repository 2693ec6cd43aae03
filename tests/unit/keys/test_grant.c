#include "grant_maker.h"
#include "keys/grant.h"
#include "release_maker.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "base/text.h"

#define KEY "MCowBQYDK2VuAyEAz2hpjd86+FdzMRBTuk7DwJoVhg8wS8Fpw+FTN6tYE3I="
#define DAY INT64_C(86400)

static const char good[] = "grant: 1\n"
			   "id: \"000102030405060708090a0b0c0d0e0f\"\n"
			   "issued: 2026-11-22T05:00:00Z\n"
			   "reader:\n"
			   "  name: ops\n"
			   "  key: \"" KEY "\"\n"
			   "names: [\"*.example.org\", .example.net, host.example.com]\n"
			   "directions: [client, server]\n"
			   "mode: live\n"
			   "consent: both\n"
			   "purpose: to find a fault\n"
			   "grade: record\n"
			   "until: {time: 2026-12-01, bytes: 10MiB, seconds: 600, reader: true}\n";

static void read_good(struct grant *grant)
{
	struct error err;
	if (!grant_parse(bytes_str(good), "g", grant, &err))
		fail_msg("%s", err.text);
}

static void a_grant_is_read_as_it_is_written(void **state)
{
	(void)state;
	struct grant grant;
	read_good(&grant);
	assert_int_equal(grant.id[15], 15);
	assert_int_equal(grant.issued_s, 1795323600);
	assert_string_equal(grant.reader, "ops");
	assert_int_equal(grant.name_count, 3);
	assert_true(grant.from_client && grant.from_server && grant.until_reader);
	assert_int_equal(grant.until_octets, 10 << 20);
	assert_int_equal(grant.until_conn_ns, UINT64_C(600000000000));
	assert_int_equal(grant.until_s, 1796083200);
}

static void what_is_written_reads_back_the_same(void **state)
{
	(void)state;
	struct grant grant, again;
	uint8_t room[4096], second[4096];
	struct writer to = writer_over(room, sizeof(room)), more = writer_over(second, sizeof(second));
	struct error err;
	read_good(&grant);
	snprintf(grant.purpose, sizeof(grant.purpose), "a \"quoted\" back\\slash: # no comment");
	assert_true(grant_write(&grant, &to));
	if (!grant_parse(bytes_of(room, to.len), "g", &again, &err))
		fail_msg("%s", err.text);
	assert_string_equal(again.purpose, grant.purpose);
	assert_true(grant_write(&again, &more));
	assert_true(bytes_equal(bytes_of(room, to.len), bytes_of(second, more.len)));
}

/* Replaces one piece of the good text; what the error then says. */
static const char *error_of(const char *from, const char *to, struct error *err)
{
	static char text[4096];
	struct grant grant;
	const char *at = strstr(good, from);
	assert_non_null(at);
	snprintf(text, sizeof(text), "%.*s%s%s", (int)(at - good), good, to, at + strlen(from));
	if (grant_parse(bytes_str(text), "g", &grant, err))
		return "";
	return err->text;
}

static void errors_name_the_place_and_what_is_wrong(void **state)
{
	(void)state;
	struct error err;
	static const struct {
		const char *from, *to, *says;
	} cases[] = {
		{"mode: live", "mode: alive", "g:9:7: this is live or after-rotation"},
		{"mode: live\n", "", "g:1:1: a grant lacks `mode`"},
		{"mode: live", "mood: live", "g:9:1: a grant has no mood"},
		{"0e0f", "0e", "g:2:5: this must be 32 hex digits"},
		{"2026-11-22T05:00:00Z", "yesterday", "g:3:9: no time: write 2026-12-01T00:00:00Z, or 2026-12-01"},
		{"2026-12-01,", "2026-02-30,", "g:13:15: no time: write 2026-12-01T00:00:00Z, or 2026-12-01"},
		{"MCow", "MCox", "g:6:8: no X25519 public key: the base64 of its SubjectPublicKeyInfo is wanted"},
		{"host.example.com", "host*.example.com",
			"g:7:40: no name: example.com, *.example.com, .example.com or \"*\""},
		{"[client, server]", "[client, proxy]", "g:8:22: a direction is client or server: who writes"},
		{"purpose: to find a fault", "purpose: \"\"", "g:11:10: a text is missing here"},
		{"purpose: to find a fault", "purpose: \"a\\eb\"",
			"g:11:10: control characters and invisible marks are not allowed here"},
		{"seconds: 600", "seconds: -1", "g:13:50: no number of seconds"},
		{"grant: 1", "grant: 2", "g:1:8: this program knows form 1 only"},
		{"2026-12-01,", "2026-11-01,", "g:1:8: the grant ends before it is issued"},
		{"consent: both", "consent: unilateral", "g:1:8: consent unilateral needs a `reason`"},
		{"grade: record", "grade: [record]", "g:12:8: this is record or raw"},
	};
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
		assert_string_equal(error_of(cases[i].from, cases[i].to, &err), cases[i].says);
	struct grant grant;
	assert_false(grant_parse(BYTES_NONE, "g", &grant, &err));
	assert_string_equal(err.text, "g: it is empty, and a grant is wanted");
}

static void unilateral_consent_needs_a_reason_and_an_end_within_thirty_days(void **state)
{
	(void)state;
	struct grant grant;
	struct error err;
	read_good(&grant);
	grant.consent = RELEASE_UNILATERAL;
	assert_false(grant_check(&grant, &err));
	snprintf(grant.reason, sizeof(grant.reason), "an incident");
	assert_true(grant_check(&grant, &err));
	grant.until_s = grant.issued_s + 30 * DAY;
	assert_true(grant_check(&grant, &err));
	grant.until_s++;
	assert_false(grant_check(&grant, &err));
	grant.until_s = 0;
	assert_false(grant_check(&grant, &err));
}

static void names_fit_as_their_patterns_say(void **state)
{
	(void)state;
	struct grant grant;
	read_good(&grant);
	static const struct {
		const char *name;
		bool fits;
	} cases[] = {{"a.example.org", true}, {"A.B.Example.ORG", true}, {"example.org", false},
		{"xexample.org", false}, {"example.net", true}, {"a.example.net", true}, {"xexample.net", false},
		{"host.example.com", true}, {"host.example.com.", true}, {"a.host.example.com", false}, {"", false}};
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
		assert_int_equal(grant_has_name(&grant, bytes_str(cases[i].name)), cases[i].fits);
	snprintf(grant.names[0], sizeof(grant.names[0]), "*");
	assert_true(grant_has_name(&grant, BYTES_NONE));
}

static void only_the_senders_that_it_names_may_send_under_a_grant(void **state)
{
	(void)state;
	struct grant grant, again;
	struct error err;
	uint8_t hash[32] = {0xab}, other[32] = {0}, room[4096];
	struct writer to = writer_over(room, sizeof(room));
	read_good(&grant);
	assert_true(grant_has_sender(&grant, "web1", hash));
	snprintf(grant.senders[grant.sender_count++], sizeof(grant.senders[0]), "web1");
	text_hex(grant.senders[grant.sender_count++], sizeof(grant.senders[0]), bytes_of(hash, sizeof(hash)));
	assert_true(grant_write(&grant, &to));
	if (!grant_parse(bytes_of(room, to.len), "g", &again, &err))
		fail_msg("%s", err.text);
	assert_true(grant_has_sender(&again, "web1", other));
	assert_true(grant_has_sender(&again, "web9", hash));
	assert_false(grant_has_sender(&again, "web9", other));
	assert_false(grant_has_sender(&again, "", other));
}

static void raw_lines_cannot_end_within_a_connection(void **state)
{
	(void)state;
	struct grant grant;
	struct error err;
	read_good(&grant);
	grant.grade = RELEASE_GRADE_RAW;
	assert_false(grant_check(&grant, &err));
	assert_string_equal(err.text, "grade raw gives all epochs at once: it cannot end after bytes or seconds");
	grant.until_octets = grant.until_conn_ns = 0;
	assert_true(grant_check(&grant, &err));
}

static void a_release_is_judged_in_every_respect(void **state)
{
	(void)state;
	struct grant grant;
	struct release release;
	read_good(&grant);
	int64_t now_s = grant.issued_s + 60;
	release_make(&release);
	assert_int_equal(grant_judge(&grant, &release, now_s), GRANT_ALLOWS);
	assert_int_equal(grant_judge(&grant, &release, grant.issued_s - 200), GRANT_ALLOWS);
	assert_int_equal(grant_judge(&grant, &release, grant.issued_s - 301), GRANT_NOT_YET);
	assert_int_equal(grant_judge(&grant, &release, grant.until_s), GRANT_ENDED);
	release.consent = RELEASE_UNILATERAL;
	assert_int_equal(grant_judge(&grant, &release, now_s), GRANT_OTHER_CONSENT);
	release_make(&release);
	release.mode = RELEASE_AFTER_ROTATION;
	assert_int_equal(grant_judge(&grant, &release, now_s), GRANT_OTHER_MODE);
	release_make(&release);
	release.name[0] = '\0';
	assert_int_equal(grant_judge(&grant, &release, now_s), GRANT_OTHER_NAME);
	release_make(&release);
	grant.from_client = false;
	assert_int_equal(grant_judge(&grant, &release, now_s), GRANT_OTHER_DIRECTION);
	read_good(&grant);
	release_make_raw(&release);
	assert_int_equal(grant_judge(&grant, &release, now_s), GRANT_OTHER_GRADE);
}

static void a_signed_grant_is_taken_from_its_signer_only(void **state)
{
	(void)state;
	uint8_t room[4096];
	struct writer to = writer_over(room, sizeof(room));
	struct note_key signers[2];
	struct grant grant;
	struct error err;
	assert_true(grant_boss_key(&signers[1]));
	assert_true(note_key_make(&signers[0], bytes_str("other"), NOTE_ED25519, signers[1].public_key));
	assert_true(grant_boss_signs(good, &to));
	struct bytes note = bytes_of(room, to.len);
	assert_true(grant_open(note, "g", signers, 2, &grant, &err));
	assert_string_equal(grant.signer, "boss");
	assert_false(grant_open(note, "g", signers, 1, &grant, &err));
	assert_string_equal(err.text, "g: not signed by anyone whose grants count here");
	room[sizeof("grant: 1\nid: \"")] ^= 1;
	assert_false(grant_open(note, "g", signers, 2, &grant, &err));
	assert_string_equal(err.text, "g: the signature of boss does not fit: the text was altered");
	assert_false(grant_open(bytes_str(good), "g", signers, 2, &grant, &err));
}

static void a_revocation_is_found_and_a_second_grant_of_one_id_refused(void **state)
{
	(void)state;
	struct grant_set *set = grant_set_new();
	struct grant_revocation revocation = {.time_s = 1795323600, .reason = "over"}, again;
	struct grant grant;
	struct error err;
	uint8_t room[512];
	struct writer to = writer_over(room, sizeof(room));
	read_good(&grant);
	assert_true(grant_set_add(set, &grant, &err));
	assert_true(grant_set_add(set, &grant, &err));
	assert_int_equal(grant_set_count(set), 1);
	grant.sha256[0] = 1;
	assert_false(grant_set_add(set, &grant, &err));
	memcpy(revocation.grant, grant.id, RELEASE_GRANT);
	assert_true(grant_revocation_write(&revocation, &to));
	assert_true(grant_revocation_parse(bytes_of(room, to.len), "r", &again, &err));
	assert_memory_equal(again.grant, grant.id, RELEASE_GRANT);
	assert_null(grant_set_revoked(set, grant.id));
	assert_true(grant_set_revoke(set, &again, &err));
	assert_string_equal(grant_set_revoked(set, grant.id)->reason, "over");
	assert_null(grant_set_at(set, 1));
	grant_set_free(set);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_grant_is_read_as_it_is_written),
		cmocka_unit_test(what_is_written_reads_back_the_same),
		cmocka_unit_test(errors_name_the_place_and_what_is_wrong),
		cmocka_unit_test(unilateral_consent_needs_a_reason_and_an_end_within_thirty_days),
		cmocka_unit_test(names_fit_as_their_patterns_say),
		cmocka_unit_test(only_the_senders_that_it_names_may_send_under_a_grant),
		cmocka_unit_test(raw_lines_cannot_end_within_a_connection),
		cmocka_unit_test(a_release_is_judged_in_every_respect),
		cmocka_unit_test(a_signed_grant_is_taken_from_its_signer_only),
		cmocka_unit_test(a_revocation_is_found_and_a_second_grant_of_one_id_refused),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
