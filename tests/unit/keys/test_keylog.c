#include "keys/keylog.h"
#include "keys/keylog_split.h"
#include "keys/keyset.h"

#include <openssl/crypto.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#define RANDOM "00112233445566778899aabbccddeeff00112233445566778899AABBCCDDEEFF"
#define S32    "0101010101010101010101010101010101010101010101010101010101010101"
#define S48    S32 "02020202020202020202020202020202"
#define S64    S32 S32

static enum keylog_result parse(const char *text, struct keylog_line *line)
{
	*line = (struct keylog_line){0};
	return keylog_parse(bytes_str(text), line);
}

static void assert_parses(
	const char *text, enum keylog_label label, uint32_t epoch, enum keylog_id_kind kind, size_t secret_len)
{
	struct keylog_line line;
	uint8_t secret[KEYLOG_MAX_SECRET];
	enum keylog_result result = parse(text, &line);
	if (result != KEYLOG_OK)
		fail_msg("%s: %s", text, keylog_result_text(result));
	assert_int_equal(line.label, label);
	assert_int_equal(line.epoch, epoch);
	assert_int_equal(line.id.kind, kind);
	assert_int_equal(keylog_secret(&line, secret, sizeof(secret)), secret_len);
	assert_int_equal(keylog_secret(&line, secret, secret_len - 1), 0);
}

static void every_label_is_read(void **state)
{
	(void)state;
	static const struct {
		const char *name;
		enum keylog_label label;
		uint32_t epoch;
	} labels[] = {
		{"CLIENT_EARLY_TRAFFIC_SECRET", KEYLOG_EARLY_TRAFFIC, 0},
		{"CLIENT_HANDSHAKE_TRAFFIC_SECRET", KEYLOG_CLIENT_HANDSHAKE, 0},
		{"SERVER_HANDSHAKE_TRAFFIC_SECRET", KEYLOG_SERVER_HANDSHAKE, 0},
		{"CLIENT_TRAFFIC_SECRET_0", KEYLOG_CLIENT_TRAFFIC, 0},
		{"SERVER_TRAFFIC_SECRET_0", KEYLOG_SERVER_TRAFFIC, 0},
		{"CLIENT_TRAFFIC_SECRET_17", KEYLOG_CLIENT_TRAFFIC, 17},
		{"SERVER_TRAFFIC_SECRET_4294967294", KEYLOG_SERVER_TRAFFIC, 4294967294},
		{"CLIENT_TRAFFIC_SECRET_N", KEYLOG_CLIENT_TRAFFIC, KEYLOG_EPOCH_UNNAMED},
		{"SERVER_TRAFFIC_SECRET_N", KEYLOG_SERVER_TRAFFIC, KEYLOG_EPOCH_UNNAMED},
		{"EXPORTER_SECRET", KEYLOG_EXPORTER, 0},
		{"EARLY_EXPORTER_SECRET", KEYLOG_EARLY_EXPORTER, 0},
		{"EARLY_EXPORTER_MASTER_SECRET", KEYLOG_EARLY_EXPORTER, 0},
		{"ECH_SECRET", KEYLOG_ECH_SECRET, 0},
		{"ECH_CONFIG", KEYLOG_ECH_CONFIG, 0},
		{"PMS_CLIENT_RANDOM", KEYLOG_PREMASTER, 0},
		{"QUIC_CLIENT_HANDSHAKE_TRAFFIC_SECRET", KEYLOG_CLIENT_HANDSHAKE, 0},
		{"QUIC_SERVER_TRAFFIC_SECRET_0", KEYLOG_SERVER_TRAFFIC, 0},
	};
	char text[512];
	for (size_t i = 0; i < sizeof(labels) / sizeof(labels[0]); i++) {
		(void)snprintf(text, sizeof(text), "%s " RANDOM " " S32, labels[i].name);
		assert_parses(text, labels[i].label, labels[i].epoch, KEYLOG_ID_RANDOM, 32);
	}
	assert_parses("CLIENT_RANDOM " RANDOM " " S48, KEYLOG_MASTER, 0, KEYLOG_ID_RANDOM, 48);
	assert_parses("RSA 0011223344556677 " S48, KEYLOG_PREMASTER, 0, KEYLOG_ID_ENCRYPTED, 48);
	assert_parses("RSA Session-ID:0a Master-Key:" S48, KEYLOG_MASTER, 0, KEYLOG_ID_SESSION, 48);
	assert_parses("RSA Session-ID:" RANDOM " Master-Key:" S48, KEYLOG_MASTER, 0, KEYLOG_ID_SESSION, 48);
	assert_parses("PMS_CLIENT_RANDOM " RANDOM " " S64 S64 S64 S64, KEYLOG_PREMASTER, 0, KEYLOG_ID_RANDOM, 256);
	assert_parses("PMS_CLIENT_RANDOM " RANDOM " 00", KEYLOG_PREMASTER, 0, KEYLOG_ID_RANDOM, 1);
	assert_parses("EXPORTER_SECRET " RANDOM " " S48, KEYLOG_EXPORTER, 0, KEYLOG_ID_RANDOM, 48);
}

static void what_surrounds_a_line_does_not_matter(void **state)
{
	(void)state;
	assert_parses("CLIENT_RANDOM " RANDOM " " S48 "\r", KEYLOG_MASTER, 0, KEYLOG_ID_RANDOM, 48);
	assert_parses(" \tCLIENT_RANDOM \t" RANDOM "  " S48 " \t\r", KEYLOG_MASTER, 0, KEYLOG_ID_RANDOM, 48);
	assert_parses("\xef\xbb\xbf"
		      "CLIENT_RANDOM " RANDOM " " S48,
		KEYLOG_MASTER, 0, KEYLOG_ID_RANDOM, 48);
	struct keylog_line line;
	assert_int_equal(parse("", &line), KEYLOG_NOTHING);
	assert_int_equal(parse(" \t\r", &line), KEYLOG_NOTHING);
	assert_int_equal(parse("# CLIENT_RANDOM " RANDOM " " S48, &line), KEYLOG_NOTHING);
}

static void the_octets_are_those_of_the_digits_in_any_case(void **state)
{
	(void)state;
	struct keylog_line line;
	uint8_t secret[48];
	assert_int_equal(parse("CLIENT_TRAFFIC_SECRET_1 " RANDOM " aAbBcC0123"
			       "0101010101010101010101010101010101010101010101010101"
			       "fe",
				 &line),
		KEYLOG_OK);
	assert_int_equal(keylog_secret(&line, secret, sizeof(secret)), 32);
	assert_memory_equal(secret, "\xaa\xbb\xcc\x01\x23\x01", 6);
	assert_int_equal(secret[31], 0xfe);
	assert_memory_equal(line.id.octets, "\x00\x11\x22\x33", 4);
	assert_int_equal(line.id.octets[31], 0xff);
}

static void each_fault_has_its_own_result(void **state)
{
	(void)state;
	struct keylog_line line;
	assert_int_equal(parse("hello world", &line), KEYLOG_UNKNOWN_LABEL);
	assert_int_equal(parse("client_random " RANDOM " " S48, &line), KEYLOG_UNKNOWN_LABEL);
	assert_int_equal(parse("CLIENT_RANDOMS " RANDOM " " S48, &line), KEYLOG_UNKNOWN_LABEL);
	assert_int_equal(parse("QUIC_CLIENT_RANDOM " RANDOM " " S48, &line), KEYLOG_UNKNOWN_LABEL);
	assert_int_equal(parse("CLIENT_TRAFFIC_SECRET_ " RANDOM " " S32, &line), KEYLOG_BAD_EPOCH);
	assert_int_equal(parse("CLIENT_TRAFFIC_SECRET_x " RANDOM " " S32, &line), KEYLOG_BAD_EPOCH);
	assert_int_equal(parse("CLIENT_TRAFFIC_SECRET_4294967295 " RANDOM " " S32, &line), KEYLOG_BAD_EPOCH);
	assert_int_equal(parse("CLIENT_RANDOM", &line), KEYLOG_NO_ID);
	assert_int_equal(parse("RSA", &line), KEYLOG_NO_ID);
	assert_int_equal(parse("CLIENT_RANDOM xy " S48, &line), KEYLOG_BAD_ID);
	assert_int_equal(parse("CLIENT_RANDOM 001 " S48, &line), KEYLOG_BAD_ID);
	assert_int_equal(parse("CLIENT_RANDOM 0011 " S48, &line), KEYLOG_BAD_ID_LENGTH);
	assert_int_equal(parse("CLIENT_RANDOM " RANDOM "00 " S48, &line), KEYLOG_BAD_ID_LENGTH);
	assert_int_equal(parse("RSA 00112233445566 " S48, &line), KEYLOG_BAD_ID_LENGTH);
	assert_int_equal(parse("CLIENT_RANDOM " RANDOM, &line), KEYLOG_NO_SECRET);
	assert_int_equal(parse("RSA Session-ID:00 " S48, &line), KEYLOG_NO_SECRET);
	assert_int_equal(parse("CLIENT_RANDOM " RANDOM " zz", &line), KEYLOG_BAD_SECRET);
	assert_int_equal(parse("CLIENT_RANDOM " RANDOM " " S48 "0", &line), KEYLOG_BAD_SECRET);
	assert_int_equal(parse("CLIENT_RANDOM " RANDOM " " S32, &line), KEYLOG_BAD_SECRET_LENGTH);
	assert_int_equal(parse("EXPORTER_SECRET " RANDOM " 0011", &line), KEYLOG_BAD_SECRET_LENGTH);
	assert_int_equal(parse("CLIENT_RANDOM " RANDOM " " S48 " more", &line), KEYLOG_TRAILING);
	char *wide = malloc(KEYLOG_MAX_LINE + 2);
	assert_non_null(wide);
	memset(wide, '#', KEYLOG_MAX_LINE + 1);
	wide[KEYLOG_MAX_LINE + 1] = '\0';
	assert_int_equal(parse(wide, &line), KEYLOG_TOO_LONG);
	wide[KEYLOG_MAX_LINE] = '\0';
	assert_int_equal(parse(wide, &line), KEYLOG_NOTHING);
	free(wide);
}

static void no_text_about_a_result_holds_a_part_of_the_line(void **state)
{
	(void)state;
	for (int i = 0; i < KEYLOG_RESULTS; i++)
		assert_non_null(keylog_result_text(i));
	for (int i = 0; i < KEYLOG_LABELS; i++)
		assert_non_null(keylog_label_text(i));
}

static void ids_have_the_length_of_their_kind(void **state)
{
	(void)state;
	struct keylog_id id;
	struct keylog_id other;
	uint8_t octets[40] = {1, 2, 3};
	assert_true(keylog_id_set(&id, KEYLOG_ID_RANDOM, bytes_of(octets, 32)));
	assert_false(keylog_id_set(&id, KEYLOG_ID_RANDOM, bytes_of(octets, 31)));
	assert_true(keylog_id_set(&id, KEYLOG_ID_ENCRYPTED, bytes_of(octets, 8)));
	assert_false(keylog_id_set(&id, KEYLOG_ID_ENCRYPTED, bytes_of(octets, 32)));
	assert_false(keylog_id_set(&id, KEYLOG_ID_SESSION, BYTES_NONE));
	assert_false(keylog_id_set(&id, KEYLOG_ID_SESSION, bytes_of(octets, 33)));
	assert_true(keylog_id_set(&id, KEYLOG_ID_SESSION, bytes_of(octets, 32)));
	assert_true(keylog_id_set(&other, KEYLOG_ID_RANDOM, bytes_of(octets, 32)));
	assert_false(keylog_id_equal(&id, &other));
	assert_true(keylog_id_of_ticket(&id, bytes_str("a ticket")));
	assert_true(keylog_id_of_ticket(&other, bytes_str("a ticket")));
	assert_true(keylog_id_equal(&id, &other));
	assert_true(keylog_id_of_ticket(&other, BYTES_NONE));
	assert_false(keylog_id_equal(&id, &other));
}

static void a_written_line_says_what_was_read(void **state)
{
	(void)state;
	static const char *const lines[] = {
		"CLIENT_RANDOM " RANDOM " " S48,
		"RSA 0011223344556677 " S48,
		"RSA Session-ID:0a0b Master-Key:" S48,
		"PMS_CLIENT_RANDOM " RANDOM " 010203",
		"CLIENT_EARLY_TRAFFIC_SECRET " RANDOM " " S32,
		"CLIENT_HANDSHAKE_TRAFFIC_SECRET " RANDOM " " S48,
		"SERVER_HANDSHAKE_TRAFFIC_SECRET " RANDOM " " S48,
		"CLIENT_TRAFFIC_SECRET_0 " RANDOM " " S32,
		"SERVER_TRAFFIC_SECRET_4294967294 " RANDOM " " S32,
		"SERVER_TRAFFIC_SECRET_N " RANDOM " " S32,
		"EXPORTER_SECRET " RANDOM " " S32,
		"EARLY_EXPORTER_SECRET " RANDOM " " S32,
		"ECH_SECRET " RANDOM " " S32,
		"ECH_CONFIG " RANDOM " " S64 S64,
	};
	for (size_t i = 0; i < sizeof(lines) / sizeof(lines[0]); i++) {
		struct keylog_line line;
		uint8_t secret[KEYLOG_MAX_SECRET];
		uint8_t out[KEYLOG_WRITTEN];
		struct writer to = writer_over(out, sizeof(out));
		struct bytes written;
		assert_int_equal(parse(lines[i], &line), KEYLOG_OK);
		size_t len = keylog_secret(&line, secret, sizeof(secret));
		assert_true(keylog_write(&to, line.label, line.epoch, &line.id, bytes_of(secret, len)));
		assert_true(writer_done(&to, &written));
		assert_int_equal(written.len, strlen(lines[i]) + 1);
		assert_int_equal(written.data[written.len - 1], '\n');
		written.len--;
		assert_true(bytes_equal_nocase(written, bytes_str(lines[i])));
	}
	struct keylog_id ticket;
	uint8_t small[8];
	struct writer to = writer_over(small, sizeof(small));
	assert_true(keylog_id_of_ticket(&ticket, bytes_str("ticket")));
	assert_false(keylog_write(&to, KEYLOG_MASTER, 0, &ticket, bytes_of(small, 48)));
	assert_int_equal(to.len, 0);
	struct keylog_line line;
	uint8_t secret[48] = {0};
	assert_int_equal(parse(lines[0], &line), KEYLOG_OK);
	assert_false(keylog_write(&to, KEYLOG_MASTER, 0, &line.id, bytes_of(secret, 47)));
	assert_false(keylog_write(&to, KEYLOG_MASTER, 0, &line.id, bytes_of(secret, 48)));
}

/* The lines of `text`, given in pieces of `step` octets, joined by "|". */
static void split_in(const char *text, size_t step, char *out, size_t cap)
{
	struct keylog_split split = {0};
	struct bytes all = bytes_str(text);
	struct bytes piece;
	struct bytes line;
	size_t len = 0;
	out[0] = '\0';
	while (all.len) {
		(void)!bytes_take(&all, step < all.len ? step : all.len, &piece);
		while (keylog_split_next(&split, &piece, &line)) {
			assert_memory_equal(text + split.line_at, line.data, line.len);
			len += (size_t)snprintf(out + len, cap - len, "%.*s|", (int)line.len, (const char *)line.data);
		}
		assert_int_equal(piece.len, 0);
	}
	assert_int_equal(split.next_at, strlen(text));
	if (keylog_split_rest(&split, &line))
		(void)snprintf(out + len, cap - len, "%.*s", (int)line.len, (const char *)line.data);
	keylog_split_wipe(&split);
}

static void lines_are_the_same_however_the_text_is_cut(void **state)
{
	(void)state;
	char out[256];
	for (size_t step = 1; step < 20; step++) {
		split_in("one\n\ntwo\r\nthree\n\n\nfour", step, out, sizeof(out));
		assert_string_equal(out, "one||two\r|three|||four");
	}
}

static void a_line_over_the_limit_is_passed_over_and_counted(void **state)
{
	(void)state;
	char *text = malloc((size_t)3 * KEYLOG_MAX_LINE);
	assert_non_null(text);
	for (size_t step = 1; step < (size_t)2 * KEYLOG_MAX_LINE; step = step * 3 + 1) {
		struct keylog_split split = {0};
		struct bytes line;
		memset(text, 'x', (size_t)2 * KEYLOG_MAX_LINE);
		memset(text + KEYLOG_MAX_LINE + 1, '\n', 7);
		memset(text + KEYLOG_MAX_LINE + 2, 's', 5);
		text[KEYLOG_MAX_LINE + 8 + KEYLOG_MAX_LINE] = '\n';
		memset(text + KEYLOG_MAX_LINE + 8, 'y', KEYLOG_MAX_LINE);
		struct bytes all = bytes_of(text, (size_t)2 * KEYLOG_MAX_LINE + 9);
		struct bytes piece;
		size_t lines = 0;
		while (all.len) {
			(void)!bytes_take(&all, step < all.len ? step : all.len, &piece);
			while (keylog_split_next(&split, &piece, &line))
				assert_int_equal(line.len, lines++ ? KEYLOG_MAX_LINE : 5);
		}
		assert_int_equal(lines, 2);
		assert_int_equal(split.too_long, 1);
		assert_false(keylog_split_rest(&split, &line));
	}
	free(text);
}

static void secrets_of_no_named_epoch_count_from_one(void **state)
{
	(void)state;
	struct keyset set = {0};
	struct bytes secret;
	struct keyset_key key;
	const uint32_t unnamed = KEYLOG_EPOCH_UNNAMED;
	assert_int_equal(keyset_add(&set, KEYLOG_CLIENT_TRAFFIC, 0, false, bytes_str("zero")), KEYSET_ADDED);
	assert_int_equal(keyset_add(&set, KEYLOG_CLIENT_TRAFFIC, unnamed, false, bytes_str("one")), KEYSET_ADDED);
	assert_int_equal(keyset_add(&set, KEYLOG_SERVER_TRAFFIC, unnamed, false, bytes_str("one")), KEYSET_ADDED);
	assert_int_equal(keyset_add(&set, KEYLOG_CLIENT_TRAFFIC, unnamed, false, bytes_str("two")), KEYSET_ADDED);
	/* The other endpoint writes the same, and one that names epochs too. */
	assert_int_equal(keyset_add(&set, KEYLOG_CLIENT_TRAFFIC, unnamed, false, bytes_str("one")), KEYSET_DUPLICATE);
	assert_int_equal(keyset_add(&set, KEYLOG_CLIENT_TRAFFIC, 2, false, bytes_str("two")), KEYSET_DUPLICATE);
	assert_true(keyset_get(&set, KEYLOG_CLIENT_TRAFFIC, 2, 0, &secret));
	assert_true(bytes_equal(secret, bytes_str("two")));
	assert_false(keyset_get(&set, KEYLOG_CLIENT_TRAFFIC, 3, 0, &secret));
	assert_true(keyset_at(&set, 2, &key));
	assert_true(key.counted && key.epoch == 1 && key.label == KEYLOG_SERVER_TRAFFIC);
	assert_false(keyset_at(&set, 4, &key));
	assert_int_equal(set.duplicates, 2);
	keyset_free(&set);
}

static void contradictory_secrets_are_kept_apart_and_counted(void **state)
{
	(void)state;
	struct keyset set = {0};
	struct bytes secret;
	assert_int_equal(keyset_add(&set, KEYLOG_MASTER, 0, true, bytes_str("one")), KEYSET_ADDED);
	assert_int_equal(keyset_add(&set, KEYLOG_MASTER, 0, false, bytes_str("other")), KEYSET_CONTRADICTS);
	assert_int_equal(keyset_add(&set, KEYLOG_MASTER, 0, false, bytes_str("one")), KEYSET_DUPLICATE);
	assert_true(keyset_get(&set, KEYLOG_MASTER, 0, 1, &secret));
	assert_true(bytes_equal(secret, bytes_str("other")));
	assert_false(keyset_get(&set, KEYLOG_MASTER, 0, 2, &secret));
	struct keyset_key key;
	assert_true(keyset_at(&set, 0, &key));
	assert_false(key.cut);
	assert_int_equal(set.contradictory, 1);
	keyset_free(&set);
	assert_int_equal(set.count, 0);
}

static void a_set_is_bounded_and_holds_long_secrets(void **state)
{
	(void)state;
	struct keyset set = {0};
	uint8_t octets[KEYLOG_MAX_SECRET + 1] = {0};
	struct bytes secret;
	for (uint32_t i = 0; i < KEYSET_MAX; i++) {
		memcpy(octets, &i, sizeof(i));
		assert_int_equal(keyset_add(&set, KEYLOG_CLIENT_TRAFFIC, i, false,
					 bytes_of(octets, i % 2 ? 32 : KEYLOG_MAX_SECRET)),
			KEYSET_ADDED);
	}
	assert_int_equal(keyset_add(&set, KEYLOG_MASTER, 0, false, bytes_str("x")), KEYSET_REFUSED);
	assert_true(keyset_get(&set, KEYLOG_CLIENT_TRAFFIC, 1022, 0, &secret));
	assert_int_equal(secret.len, KEYLOG_MAX_SECRET);
	assert_int_equal(secret.data[0] | secret.data[1] << 8, 1022);
	keyset_free(&set);
	assert_int_equal(keyset_add(&set, KEYLOG_MASTER, 0, false, bytes_of(octets, sizeof(octets))), KEYSET_REFUSED);
	assert_int_equal(set.refused, 1);
	keyset_free(&set);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_label_is_read),
		cmocka_unit_test(what_surrounds_a_line_does_not_matter),
		cmocka_unit_test(the_octets_are_those_of_the_digits_in_any_case),
		cmocka_unit_test(each_fault_has_its_own_result),
		cmocka_unit_test(no_text_about_a_result_holds_a_part_of_the_line),
		cmocka_unit_test(ids_have_the_length_of_their_kind),
		cmocka_unit_test(a_written_line_says_what_was_read),
		cmocka_unit_test(lines_are_the_same_however_the_text_is_cut),
		cmocka_unit_test(a_line_over_the_limit_is_passed_over_and_counted),
		cmocka_unit_test(secrets_of_no_named_epoch_count_from_one),
		cmocka_unit_test(contradictory_secrets_are_kept_apart_and_counted),
		cmocka_unit_test(a_set_is_bounded_and_holds_long_secrets),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
