#include "keys/share_item.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>

#include <cmocka.h>

static struct share_item a_key(void)
{
	struct share_item item = {.kind = SHARE_KEY,
		.key = {.from_client = true,
			.stage = RECORD_STAGE_APPLICATION,
			.epoch = 3,
			.version = 0x0303,
			.suite = 0xc028,
			.first_seq = 9,
			.key_len = RECORD_KEY_MAX,
			.iv_len = RECORD_IV_MAX,
			.mac_len = RECORD_MAC_MAX},
		.local.port = 1000,
		.peer.port = 443,
		.server = true,
		.name = "site.test",
		.terms = {.mode = SHARE_AFTER_ROTATION,
			.consent = SHARE_BOTH,
			.resumed = true,
			.list = 0x0123456789abcdef,
			.readers = UINT64_C(1) << 63 | 1}};
	memset(item.key.client_random, 0xab, KEYLOG_RANDOM);
	memset(item.key.key, 1, RECORD_KEY_MAX);
	memset(item.key.iv, 2, RECORD_IV_MAX);
	memset(item.key.mac, 3, RECORD_MAC_MAX);
	memset(item.local.ip, 4, sizeof(item.local.ip));
	memset(item.peer.ip, 5, sizeof(item.peer.ip));
	return item;
}

static struct bytes written(const struct share_item *item, uint8_t room[static SHARE_SLOT_MAX])
{
	struct writer to = writer_over(room, SHARE_SLOT_MAX);
	assert_true(share_item_write(item, &to));
	return bytes_of(room, to.len);
}

static void a_key_comes_back_as_it_was_with_the_longest_of_everything(void **state)
{
	uint8_t room[SHARE_SLOT_MAX];
	struct share_item item = a_key(), back;
	(void)state;
	memset(item.name, 'n', SHARE_NAME_MAX);
	assert_true(share_item_read(written(&item, room), &back));
	assert_memory_equal(&back, &item, sizeof(item));
	item.local = item.peer = (struct hostport){0};
	item.name[0] = '\0';
	assert_true(share_item_read(written(&item, room), &back));
	assert_true(hostport_is_none(&back.local) && hostport_is_none(&back.peer));
	assert_string_equal(back.name, "");
}

static struct share_item a_refusal(void)
{
	struct share_item item = {.kind = SHARE_REFUSED, .server = true, .cause = 7};
	memset(item.key.client_random, 0xab, KEYLOG_RANDOM);
	memset(item.name, 'n', SHARE_NAME_MAX);
	memset(item.key_id, 0xcd, sizeof(item.key_id));
	memset(item.reader, 'r', SHARE_READER_MAX);
	return item;
}

static void a_refusal_comes_back_as_it_was(void **state)
{
	uint8_t room[SHARE_SLOT_MAX];
	struct share_item item = a_refusal(), back;
	(void)state;
	assert_true(share_item_read(written(&item, room), &back));
	assert_memory_equal(&back, &item, sizeof(item));
}

static void what_nothing_was_said_of_is_live_and_of_one_side(void **state)
{
	uint8_t room[SHARE_SLOT_MAX];
	struct share_item item = a_key(), back;
	(void)state;
	item.terms = (struct share_terms){0};
	assert_true(share_item_read(written(&item, room), &back));
	assert_int_equal(back.terms.mode, SHARE_LIVE);
	assert_int_equal(back.terms.consent, SHARE_UNILATERAL);
	assert_true(back.terms.readers == 0);
}

static void terms_that_contradict_themselves_are_neither_written_nor_read(void **state)
{
	static const struct share_terms wrong[] = {
		{.mode = 3, .consent = SHARE_BOTH, .readers = 1},
		{.mode = SHARE_LIVE, .consent = 3, .readers = 1},
		{.mode = SHARE_LIVE, .consent = SHARE_BOTH},
		{.mode = SHARE_LIVE, .consent = SHARE_UNILATERAL, .readers = 1},
		{.mode = SHARE_LIVE, .consent = SHARE_UNILATERAL, .list = 1},
		{.mode = SHARE_LIVE, .consent = SHARE_UNILATERAL, .resumed = true},
	};
	uint8_t room[SHARE_SLOT_MAX];
	struct share_item item = a_key(), back;
	struct bytes whole = written(&item, room);
	(void)state;
	/* Both agree, but on nobody. */
	for (size_t i = 1; i <= 8; i++)
		room[whole.len - i] = 0;
	assert_false(share_item_read(whole, &back));
	for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
		struct writer to = writer_over(room, sizeof(room));
		item.terms = wrong[i];
		assert_false(share_item_write(&item, &to));
	}
}

static void a_word_comes_back_as_it_was(void **state)
{
	uint8_t room[SHARE_SLOT_MAX];
	(void)state;
	for (unsigned kind = SHARE_LIBRARY; kind <= SHARE_BARRED; kind++) {
		struct share_item item = {.kind = (uint8_t)kind}, back;
		memset(item.text, 'x', SHARE_TEXT_MAX);
		assert_true(share_item_read(written(&item, room), &back));
		assert_memory_equal(&back, &item, sizeof(item));
	}
}

static void what_is_cut_altered_or_longer_is_refused_and_wiped(void **state)
{
	uint8_t room[SHARE_SLOT_MAX];
	struct share_item item = a_refusal(), back, zero;
	struct bytes whole = written(&item, room);
	(void)state;
	memset(&zero, 0, sizeof(zero));
	for (size_t len = 0; len < whole.len; len++) {
		assert_false(share_item_read(bytes_of(whole.data, len), &back));
		assert_memory_equal(&back, &zero, sizeof(zero));
	}
	item = a_key();
	whole = written(&item, room);
	for (size_t len = 0; len < whole.len; len++) {
		assert_false(share_item_read(bytes_of(whole.data, len), &back));
		assert_memory_equal(&back, &zero, sizeof(zero));
	}
	assert_false(share_item_read(bytes_of(whole.data, whole.len + 1), &back));
	room[0] = 1;
	assert_false(share_item_read(whole, &back));
	room[0] = 2;
	room[1] = SHARE_SAYS + 1;
	assert_false(share_item_read(whole, &back));
	room[1] = 0;
	assert_false(share_item_read(whole, &back));
}

static void a_key_that_is_none_is_not_written(void **state)
{
	uint8_t room[SHARE_SLOT_MAX];
	struct share_item item = a_key();
	struct writer to = writer_over(room, sizeof(room));
	(void)state;
	item.key.key_len = RECORD_KEY_MAX + 1;
	assert_false(share_item_write(&item, &to));
	item = a_key();
	to = writer_over(room, 20);
	assert_false(share_item_write(&item, &to));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_key_comes_back_as_it_was_with_the_longest_of_everything),
		cmocka_unit_test(a_refusal_comes_back_as_it_was),
		cmocka_unit_test(what_nothing_was_said_of_is_live_and_of_one_side),
		cmocka_unit_test(terms_that_contradict_themselves_are_neither_written_nor_read),
		cmocka_unit_test(a_word_comes_back_as_it_was),
		cmocka_unit_test(what_is_cut_altered_or_longer_is_refused_and_wiped),
		cmocka_unit_test(a_key_that_is_none_is_not_written),
	};
	return cmocka_run_group_tests_name("keys/share_item", tests, NULL, NULL);
}
