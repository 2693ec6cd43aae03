/* Both sides of a connection in one process: what they agree on, and what is said where they do not. */
#include "agent/share_consent.h"

#include "agent/share_link.h"
#include "tls/hello.h"

#include <openssl/sha.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include <cmocka.h>

#define KEY_1 "1111111111111111111111111111111111111111111111111111111111111111"

static struct share_item given;
static unsigned given_count, said_count;

/* In place of the way to the shipper. */
bool share_link_give(const struct share_item *items, size_t count, bool wait)
{
	(void)wait;
	given = items[0];
	given_count += (unsigned)count;
	return true;
}

void share_link_say(enum share_kind kind, const char *text)
{
	(void)kind, (void)text;
	said_count++;
}

static bool compute(const void *ctx, struct bytes data, uint8_t out[static 32])
{
	(void)ctx;
	return SHA256(data.data, data.len, out) != NULL;
}

static const struct share_sha256 sha256 = {.compute = compute};

static void load(const char *text, bool after_rotation)
{
	struct share_settings settings = {.on = true, .after_rotation = after_rotation};
	snprintf(settings.readers, sizeof(settings.readers), "/tmp/test-consent-XXXXXX");
	int fd = mkstemp(settings.readers);
	assert_int_equal(write(fd, text, strlen(text)), strlen(text));
	close(fd);
	share_consent_begin(&settings);
	unlink(settings.readers);
}

static int setup(void **state)
{
	(void)state;
	given_count = said_count = 0;
	load("overt-share-readers 1 00000000000000aa\n" KEY_1 "\tlive\tops\twhy\tsite.test\n", false);
	return 0;
}

static struct share_item a_key(bool server, uint16_t version)
{
	return (struct share_item){.kind = SHARE_KEY,
		.server = server,
		.key.version = version,
		.key.from_client = true,
		.name = "site.test"};
}

static struct bytes offer(struct share_consent_state *client, const char *name, uint8_t room[static SHARE_OFFER_MAX])
{
	struct writer to = writer_over(room, SHARE_OFFER_MAX);
	assert_true(share_consent_offer(client, &sha256, name, &to));
	return bytes_of(room, to.len);
}

static void both_sides_come_to_the_same(void **state)
{
	struct share_consent_state client = {.asked = false}, server = {.asked = false};
	uint8_t room[SHARE_OFFER_MAX], again[SHARE_OFFER_MAX];
	static uint8_t notice[SHARE_NOTICE_MAX];
	struct writer to = writer_over(notice, sizeof(notice));
	struct share_item key = a_key(false, TLS_VERSION_13);
	(void)state;
	struct bytes first = offer(&client, "site.test", room);
	assert_true(bytes_equal(first, offer(&client, "site.test", again)));
	share_consent_offered(&server, &sha256, "site.test", first);
	assert_true(share_consent_agreed(&server));
	assert_false(share_consent_agreed(&client));
	assert_true(share_consent_disclose(&server, &to));
	share_consent_disclosed(&client, bytes_of(notice, to.len));
	assert_true(share_consent_agreed(&client));
	struct share_terms terms = share_consent_terms(&client, true);
	assert_int_equal(terms.consent, SHARE_BOTH);
	assert_int_equal(terms.mode, SHARE_LIVE);
	assert_true(terms.resumed && terms.list == 0xaa && terms.readers == 1);
	share_consent_say(&client, &key, true);
	assert_int_equal(given_count, 0);
}

static void two_connections_have_nothing_in_common_to_see(void **state)
{
	struct share_consent_state one = {.asked = false}, other = {.asked = false};
	uint8_t room[SHARE_OFFER_MAX], again[SHARE_OFFER_MAX];
	(void)state;
	struct bytes a = offer(&one, "site.test", room), b = offer(&other, "site.test", again);
	assert_int_equal(a.len, b.len);
	assert_memory_not_equal(a.data + 1, b.data + 1, SHARE_NONCE);
	assert_memory_not_equal(a.data + a.len - SHARE_TAG, b.data + b.len - SHARE_TAG, SHARE_TAG);
}

static void a_refusal_is_said_once(void **state)
{
	struct share_consent_state client = {.asked = false};
	uint8_t room[SHARE_OFFER_MAX];
	struct share_item key = a_key(false, TLS_VERSION_13);
	(void)state;
	(void)offer(&client, "site.test", room);
	share_consent_say(&client, &key, true);
	share_consent_say(&client, &key, true);
	assert_int_equal(given_count, 1);
	assert_int_equal(given.kind, SHARE_REFUSED);
	assert_int_equal(given.cause, SHARE_NO_NOTICE);
	assert_string_equal(given.name, "site.test");
	assert_int_equal(share_consent_terms(&client, false).consent, SHARE_UNILATERAL);
}

static void who_asked_nothing_says_why_by_what_it_is(void **state)
{
	static const struct {
		bool server, able;
		uint16_t version;
		uint8_t cause;
	} cases[] = {
		{true, true, TLS_VERSION_13, SHARE_NO_OFFER},
		{true, false, TLS_VERSION_13, SHARE_LIBRARY_WITHOUT},
		{false, true, TLS_VERSION_13, SHARE_LIBRARY_WITHOUT},
		{true, true, TLS_VERSION_12, SHARE_OLD_TLS},
		{false, true, TLS_VERSION_12, SHARE_OLD_TLS},
	};
	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct share_item key = a_key(cases[i].server, cases[i].version);
		share_consent_say(NULL, &key, cases[i].able);
		assert_int_equal(given.cause, cases[i].cause);
		assert_int_equal(given.server, cases[i].server);
	}
	struct share_item key = a_key(true, TLS_VERSION_13);
	snprintf(key.name, sizeof(key.name), "other.test");
	share_consent_say(NULL, &key, true);
	assert_int_equal(given.cause, SHARE_OFFERS_NONE);
}

static void what_was_agreed_in_another_mode_than_this_process_has_is_nothing(void **state)
{
	struct share_consent_state server = {
		.asked = true, .agreement = {.refusal = SHARE_AGREED, .mode = SHARE_LIVE, .readers = 1}};
	(void)state;
	assert_true(share_consent_agreed(&server));
	load("overt-share-readers 1 00000000000000aa\n" KEY_1 "\tlive\tops\twhy\tsite.test\n", true);
	assert_false(share_consent_agreed(&server));
	assert_int_equal(share_consent_terms(&server, false).mode, SHARE_AFTER_ROTATION);
}

static void a_list_that_is_none_is_said_and_nobody_is_asked(void **state)
{
	(void)state;
	load("nothing of the kind\n", false);
	assert_int_equal(said_count, 1);
	assert_false(share_consent_on());
	struct share_item key = a_key(true, TLS_VERSION_13);
	share_consent_say(NULL, &key, true);
	assert_int_equal(given_count, 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(both_sides_come_to_the_same, setup),
		cmocka_unit_test_setup(two_connections_have_nothing_in_common_to_see, setup),
		cmocka_unit_test_setup(a_refusal_is_said_once, setup),
		cmocka_unit_test_setup(who_asked_nothing_says_why_by_what_it_is, setup),
		cmocka_unit_test_setup(what_was_agreed_in_another_mode_than_this_process_has_is_nothing, setup),
		cmocka_unit_test_setup(a_list_that_is_none_is_said_and_nobody_is_asked, setup),
	};
	return cmocka_run_group_tests_name("agent/share_consent", tests, NULL, NULL);
}
