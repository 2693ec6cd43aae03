#include "keys/share_offer.h"

#include <openssl/sha.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>

#include <cmocka.h>

static bool compute(const void *ctx, struct bytes data, uint8_t out[static 32])
{
	(void)ctx;
	return SHA256(data.data, data.len, out) != NULL;
}

static bool cannot(const void *ctx, struct bytes data, uint8_t out[static 32])
{
	(void)ctx, (void)data, (void)out;
	return false;
}

static const struct share_sha256 sha256 = {.compute = compute};
static const uint8_t nonce[SHARE_NONCE] = {1, 2, 3};

static void add(struct share_readers *readers, uint8_t key, uint8_t mode)
{
	struct share_reader *reader = &readers->at[readers->count++];
	*reader = (struct share_reader){
		.mode = mode, .name = bytes_str("ops"), .purpose = bytes_str("why"), .patterns = bytes_str("*")};
	memset(reader->key_id, key, SHARE_KEY_ID);
}

static struct bytes offer_of(const struct share_readers *readers, uint64_t set, uint8_t room[static SHARE_OFFER_MAX])
{
	struct writer to = writer_over(room, SHARE_OFFER_MAX);
	assert_true(share_offer_write(&sha256, readers, set, nonce, &to));
	return bytes_of(room, to.len);
}

static struct bytes notice_of(
	const struct share_readers *readers, uint8_t mode, uint64_t set, uint8_t room[static SHARE_NOTICE_MAX])
{
	struct writer to = writer_over(room, SHARE_NOTICE_MAX);
	struct share_agreement agreement = {.mode = mode, .readers = set};
	assert_true(share_notice_write(readers, &agreement, &to));
	return bytes_of(room, to.len);
}

/* The offer of a client to a server, and what both make of it. */
static void meet(const struct share_readers *client, const struct share_readers *server,
	struct share_agreement *client_says, struct share_agreement *server_says)
{
	uint8_t offer[SHARE_OFFER_MAX], notice[SHARE_NOTICE_MAX];
	*server_says = share_offer_decide(&sha256, server, UINT64_MAX, offer_of(client, UINT64_MAX, offer));
	*client_says = (struct share_agreement){.refusal = SHARE_NO_NOTICE};
	if (server_says->refusal == SHARE_AGREED)
		*client_says = share_notice_check(
			client, UINT64_MAX, notice_of(server, server_says->mode, server_says->readers, notice));
}

static void both_sides_agree_on_the_readers_that_both_have(void **state)
{
	struct share_readers client = {.count = 0}, server = {.count = 0};
	struct share_agreement c, s;
	(void)state;
	add(&client, 1, SHARE_LIVE);
	add(&client, 2, SHARE_LIVE);
	add(&client, 3, SHARE_LIVE);
	add(&server, 9, SHARE_LIVE);
	add(&server, 3, SHARE_LIVE);
	add(&server, 1, SHARE_LIVE);
	meet(&client, &server, &c, &s);
	assert_int_equal(c.refusal, SHARE_AGREED);
	assert_int_equal(s.refusal, SHARE_AGREED);
	assert_int_equal(c.mode, SHARE_LIVE);
	assert_int_equal(s.mode, SHARE_LIVE);
	assert_true(c.readers == (share_place(0) | share_place(2)));
	assert_true(s.readers == (share_place(1) | share_place(2)));
}

static void without_a_reader_in_common_nobody_is_disclosed(void **state)
{
	struct share_readers client = {.count = 0}, server = {.count = 0};
	struct share_agreement c, s;
	(void)state;
	add(&client, 1, SHARE_LIVE);
	add(&server, 2, SHARE_LIVE);
	meet(&client, &server, &c, &s);
	assert_int_equal(s.refusal, SHARE_OFFER_OTHERS);
	assert_int_equal(c.refusal, SHARE_NO_NOTICE);
	client.count = 0;
	meet(&client, &server, &c, &s);
	assert_int_equal(s.refusal, SHARE_OFFER_EMPTY);
}

static void a_reader_of_another_mode_is_no_reader_in_common(void **state)
{
	struct share_readers client = {.count = 0}, server = {.count = 0};
	struct share_agreement c, s;
	(void)state;
	add(&client, 1, SHARE_LIVE);
	add(&client, 2, SHARE_AFTER_ROTATION);
	add(&server, 1, SHARE_AFTER_ROTATION);
	meet(&client, &server, &c, &s);
	assert_int_equal(s.refusal, SHARE_OFFER_MODE);
	/* Though the offer has both modes. */
	add(&server, 2, SHARE_AFTER_ROTATION);
	meet(&client, &server, &c, &s);
	assert_int_equal(c.refusal, SHARE_AGREED);
	assert_true(c.readers == share_place(1));
	assert_true(s.readers == share_place(1));
}

static void one_mode_is_chosen_that_of_most_readers_or_else_the_careful_one(void **state)
{
	struct share_readers both = {.count = 0};
	struct share_agreement c, s;
	(void)state;
	add(&both, 1, SHARE_LIVE);
	add(&both, 2, SHARE_AFTER_ROTATION);
	meet(&both, &both, &c, &s);
	assert_int_equal(c.mode, SHARE_AFTER_ROTATION);
	assert_true(c.readers == share_place(1));
	add(&both, 3, SHARE_LIVE);
	meet(&both, &both, &c, &s);
	assert_int_equal(c.mode, SHARE_LIVE);
	assert_true(c.readers == (share_place(0) | share_place(2)) && c.readers == s.readers);
}

static void a_notice_beyond_the_offer_is_refused_by_its_cause(void **state)
{
	struct share_readers client = {.count = 0}, server = {.count = 0};
	uint8_t room[SHARE_NOTICE_MAX];
	struct share_agreement c;
	(void)state;
	add(&client, 1, SHARE_LIVE);
	add(&client, 2, SHARE_AFTER_ROTATION);
	add(&server, 1, SHARE_LIVE);
	add(&server, 7, SHARE_LIVE);
	server.at[1].name = bytes_str("eve");
	/* One who was offered, and another's key beside it. */
	c = share_notice_check(&client, 3, notice_of(&server, SHARE_LIVE, 3, room));
	assert_int_equal(c.refusal, SHARE_NOTICE_READER);
	assert_true(c.readers == 0);
	assert_memory_equal(c.key_id, server.at[1].key_id, SHARE_KEY_ID);
	assert_string_equal(c.reader, "eve");
	c = share_notice_check(&client, 3, notice_of(&server, SHARE_AFTER_ROTATION, 1, room));
	assert_int_equal(c.refusal, SHARE_NOTICE_READER_MODE);
	assert_memory_equal(c.key_id, server.at[0].key_id, SHARE_KEY_ID);
	/* What the list has but this offer had not. */
	c = share_notice_check(&client, 1, notice_of(&server, SHARE_AFTER_ROTATION, 1, room));
	assert_int_equal(c.refusal, SHARE_NOTICE_MODE);
	c = share_notice_check(&client, 0, notice_of(&server, SHARE_LIVE, 1, room));
	assert_int_equal(c.refusal, SHARE_NOTICE_MODE);
	c = share_notice_check(&client, 1, notice_of(&server, SHARE_LIVE, 1, room));
	assert_int_equal(c.refusal, SHARE_AGREED);
}

static void a_notice_of_another_form_is_refused(void **state)
{
	struct share_readers client = {.count = 0};
	uint8_t room[SHARE_NOTICE_MAX];
	(void)state;
	add(&client, 1, SHARE_LIVE);
	struct bytes whole = notice_of(&client, SHARE_LIVE, 1, room);
	for (size_t len = 0; len < whole.len; len++)
		assert_int_equal(share_notice_check(&client, 1, bytes_of(room, len)).refusal, SHARE_NOTICE_FORM);
	assert_int_equal(share_notice_check(&client, 1, bytes_of(room, whole.len + 1)).refusal, SHARE_NOTICE_FORM);
	room[0] = 2;
	assert_int_equal(share_notice_check(&client, 1, whole).refusal, SHARE_NOTICE_FORM);
	room[0] = 1;
	room[1] = 3;
	assert_int_equal(share_notice_check(&client, 1, whole).refusal, SHARE_NOTICE_FORM);
	/* Twice the same. */
	add(&client, 1, SHARE_LIVE);
	assert_int_equal(
		share_notice_check(&client, 1, notice_of(&client, SHARE_LIVE, 3, room)).refusal, SHARE_NOTICE_FORM);
}

static void an_offer_of_another_form_is_refused(void **state)
{
	struct share_readers client = {.count = 0};
	uint8_t room[SHARE_OFFER_MAX + SHARE_TAG];
	(void)state;
	add(&client, 1, SHARE_LIVE);
	struct bytes whole = offer_of(&client, 1, room);
	for (size_t len = 0; len < whole.len; len++)
		assert_int_equal(
			share_offer_decide(&sha256, &client, 1, bytes_of(room, len)).refusal, SHARE_OFFER_FORM);
	room[0] = 2;
	assert_int_equal(share_offer_decide(&sha256, &client, 1, whole).refusal, SHARE_OFFER_FORM);
	room[0] = 1;
	room[1 + SHARE_NONCE] = 4;
	assert_int_equal(share_offer_decide(&sha256, &client, 1, whole).refusal, SHARE_OFFER_FORM);
	/* Tags of no mode, and modes of no tag. */
	room[1 + SHARE_NONCE] = 0;
	assert_int_equal(share_offer_decide(&sha256, &client, 1, whole).refusal, SHARE_OFFER_FORM);
	whole = offer_of(&client, 0, room);
	assert_int_equal(share_offer_decide(&sha256, &client, 1, whole).refusal, SHARE_OFFER_EMPTY);
	room[1 + SHARE_NONCE] = SHARE_LIVE;
	assert_int_equal(share_offer_decide(&sha256, &client, 1, whole).refusal, SHARE_OFFER_FORM);
	/* One tag too many. */
	for (uint8_t i = 2; client.count < SHARE_READERS_MAX; i++)
		add(&client, i, SHARE_LIVE);
	whole = offer_of(&client, UINT64_MAX, room);
	assert_int_equal(share_offer_decide(&sha256, &client, 1, whole).refusal, SHARE_AGREED);
	room[1 + SHARE_NONCE + 1] = (uint8_t)((SHARE_READERS_MAX + 1) * SHARE_TAG >> 8);
	room[1 + SHARE_NONCE + 2] = (uint8_t)((SHARE_READERS_MAX + 1) * SHARE_TAG);
	memset(room + whole.len, 0, SHARE_TAG);
	assert_int_equal(share_offer_decide(&sha256, &client, 1, bytes_of(room, whole.len + SHARE_TAG)).refusal,
		SHARE_OFFER_FORM);
}

/* By the text of the header, with another program: sha256("overt share id 1" 00 nonce 01 key). */
static void a_tag_is_what_the_text_says_and_depends_on_everything(void **state)
{
	uint8_t text[16 + 1 + 32 + 1 + 32], want[32], tag[SHARE_TAG], key[SHARE_KEY_ID], other[SHARE_NONCE] = {0};
	(void)state;
	memset(key, 0x55, sizeof(key));
	memcpy(text, "overt share id 1", 17);
	memcpy(text + 17, nonce, 32);
	text[49] = 1;
	memcpy(text + 50, key, 32);
	SHA256(text, sizeof(text), want);
	assert_true(share_tag(&sha256, nonce, SHARE_LIVE, key, tag));
	assert_memory_equal(tag, want, sizeof(tag));
	assert_true(share_tag(&sha256, nonce, SHARE_AFTER_ROTATION, key, tag));
	assert_memory_not_equal(tag, want, sizeof(tag));
	assert_true(share_tag(&sha256, other, SHARE_LIVE, key, tag));
	assert_memory_not_equal(tag, want, sizeof(tag));
}

static void without_a_hash_nothing_is_offered_or_agreed(void **state)
{
	static const struct share_sha256 none = {.compute = cannot};
	struct share_readers readers = {.count = 0};
	uint8_t room[SHARE_OFFER_MAX];
	struct writer to = writer_over(room, sizeof(room));
	(void)state;
	add(&readers, 1, SHARE_LIVE);
	assert_false(share_offer_write(&none, &readers, 1, nonce, &to));
	assert_int_equal(
		share_offer_decide(&none, &readers, 1, offer_of(&readers, 1, room)).refusal, SHARE_OFFER_OTHERS);
}

static void what_is_not_agreed_has_no_notice(void **state)
{
	struct share_readers readers = {.count = 0};
	uint8_t room[SHARE_NOTICE_MAX];
	struct writer to = writer_over(room, sizeof(room));
	struct share_agreement nobody = {.mode = SHARE_LIVE};
	struct share_agreement refused = {.mode = SHARE_LIVE, .readers = 1, .refusal = SHARE_OFFER_OTHERS};
	(void)state;
	add(&readers, 1, SHARE_LIVE);
	assert_false(share_notice_write(&readers, &nobody, &to));
	assert_false(share_notice_write(&readers, &refused, &to));
	assert_int_equal(to.len, 0);
}

static void every_cause_has_a_text_of_its_own(void **state)
{
	(void)state;
	for (unsigned i = 0; i < SHARE_REFUSALS; i++) {
		for (unsigned j = 0; j < i; j++)
			assert_string_not_equal(share_refusal_text(i), share_refusal_text(j));
	}
	assert_non_null(share_refusal_text(255));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(both_sides_agree_on_the_readers_that_both_have),
		cmocka_unit_test(without_a_reader_in_common_nobody_is_disclosed),
		cmocka_unit_test(a_reader_of_another_mode_is_no_reader_in_common),
		cmocka_unit_test(one_mode_is_chosen_that_of_most_readers_or_else_the_careful_one),
		cmocka_unit_test(a_notice_beyond_the_offer_is_refused_by_its_cause),
		cmocka_unit_test(a_notice_of_another_form_is_refused),
		cmocka_unit_test(an_offer_of_another_form_is_refused),
		cmocka_unit_test(a_tag_is_what_the_text_says_and_depends_on_everything),
		cmocka_unit_test(without_a_hash_nothing_is_offered_or_agreed),
		cmocka_unit_test(what_is_not_agreed_has_no_notice),
		cmocka_unit_test(every_cause_has_a_text_of_its_own),
	};
	return cmocka_run_group_tests_name("keys/share_offer", tests, NULL, NULL);
}
