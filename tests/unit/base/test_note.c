#include "base/note.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>

#include <cmocka.h>

static struct error err;
static uint8_t room[NOTE_MAX + 64];

/* A new signer's note over `text`. */
static struct bytes signed_note(const struct note_signer *signer, const char *text, uint64_t time_s)
{
	struct bytes out;
	struct writer w = writer_over(room, sizeof(room));
	writer_bytes(&w, bytes_str(text));
	writer_u8(&w, '\n');
	assert_true(note_sign(&w, signer, bytes_str(text), time_s));
	assert_true(writer_done(&w, &out));
	return out;
}

static struct note_signer *new_signer(enum note_type type)
{
	struct note_signer *signer = note_signer_new(bytes_str("test.example/"), type, &err);
	assert_non_null(signer);
	return signer;
}

static void a_note_of_others_is_read_and_verified(void **state)
{
	(void)state;
	/* Computed with Go's golang.org/x/mod/sumdb/note test key: the example of its documentation. */
	static const char key_text[] = "PeterNeumann+c74f20a3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW";
	static const char text[] =
		"If you think cryptography is the answer to your problem,\nthen you don't know what your problem is.\n"
		"\n\xe2\x80\x94 PeterNeumann "
		"x08go/ZJkuBS9UG/SffcvIAQxVBtiFupLLr8pAcElZInNIuGUgYN1FFYC2pZSNXgKvqfqdngotpRZb6KE6RyyBwJnAM=\n";
	struct note_key key;
	struct note note;
	assert_true(note_key_read(bytes_str(key_text), &key, &err));
	assert_string_equal(key.name, "PeterNeumann");
	assert_true(note_read(bytes_str(text), &note));
	assert_int_equal(note_verify(&note, &key, NULL), NOTE_SIGNED);
	char again[NOTE_KEY_TEXT];
	struct writer w = writer_over(again, sizeof(again));
	note_key_write(&w, &key);
	assert_true(bytes_equal(bytes_of(again, w.len), bytes_str(key_text)));
}

static void a_signature_covers_every_octet_of_the_text(void **state)
{
	(void)state;
	struct note_signer *signer = new_signer(NOTE_ED25519);
	struct note note;
	struct bytes octets = signed_note(signer, "one\n\ntwo\n", 0);
	assert_true(note_read(octets, &note));
	assert_true(bytes_equal(note.text, bytes_str("one\n\ntwo\n")));
	assert_int_equal(note_verify(&note, note_signer_key(signer), NULL), NOTE_SIGNED);
	for (size_t i = 0; i < octets.len; i++) {
		room[i] ^= 1;
		assert_true(
			!note_read(octets, &note) || note_verify(&note, note_signer_key(signer), NULL) != NOTE_SIGNED);
		room[i] ^= 1;
	}
	note_signer_free(signer);
}

static void a_forged_signature_is_told_from_none(void **state)
{
	(void)state;
	struct note_signer *signer = new_signer(NOTE_ED25519);
	struct note_signer *other = new_signer(NOTE_ED25519);
	struct note note;
	struct bytes octets = signed_note(signer, "text\n", 0);
	assert_true(note_read(octets, &note));
	assert_int_equal(note_verify(&note, note_signer_key(other), NULL), NOTE_UNSIGNED);
	room[0] = 'T';
	assert_true(note_read(octets, &note));
	assert_int_equal(note_verify(&note, note_signer_key(signer), NULL), NOTE_FORGED);
	note_signer_free(signer);
	note_signer_free(other);
}

static void a_cosignature_says_when_and_is_no_plain_signature(void **state)
{
	(void)state;
	struct note_signer *witness = new_signer(NOTE_COSIGNED);
	struct note_key plain;
	struct note note;
	uint64_t time_s;
	const struct note_key *key = note_signer_key(witness);
	struct bytes octets = signed_note(witness, "text\n", 1763719200);
	assert_true(note_read(octets, &note));
	assert_int_equal(note_verify(&note, key, &time_s), NOTE_SIGNED);
	assert_int_equal(time_s, 1763719200);
	/* The same key under the other type has another id. */
	assert_true(note_key_make(&plain, bytes_str(key->name), NOTE_ED25519, key->public_key));
	assert_int_equal(note_verify(&note, &plain, NULL), NOTE_UNSIGNED);
	note_signer_free(witness);
}

static void a_signer_is_the_same_after_it_was_written(void **state)
{
	(void)state;
	struct note_signer *signer = new_signer(NOTE_COSIGNED);
	char text[NOTE_KEY_TEXT];
	struct bytes written;
	struct writer w = writer_over(text, sizeof(text));
	assert_true(note_signer_write(&w, signer));
	assert_true(writer_done(&w, &written));
	struct note_signer *again = note_signer_read(written, &err);
	assert_non_null(again);
	assert_true(note_key_same(note_signer_key(signer), note_signer_key(again)));
	/* The id does not fit another name. */
	text[sizeof("PRIVATE+KEY+") - 1] ^= 1;
	assert_null(note_signer_read(written, &err));
	assert_null(note_signer_read(bytes_str("PRIVATE+KEY+"), &err));
	note_signer_free(signer);
	note_signer_free(again);
}

static void what_is_no_note_is_refused(void **state)
{
	(void)state;
	static const char *const bad[] = {"", "\n", "\n\n", "text\n", "text\n\n", "text\n\nsignature\n",
		"text\n\n\xe2\x80\x94 name\n", "text\n\n\xe2\x80\x94 name AAAA", "text\n\n\xe2\x80\x94  AAAA\n",
		"te\x01xt\n\n\xe2\x80\x94 name AAAA\n", "te\xffxt\n\n\xe2\x80\x94 name AAAA\n",
		"te\xc3xt\n\n\xe2\x80\x94 name AAAA\n", "text\n\n\xe2\x80\x94 name AAAA \n",
		"text\r\n\n\xe2\x80\x94 name AAAA\n"};
	struct note note;
	assert_true(note_read(bytes_str("text\n\n\xe2\x80\x94 name AAAA\n"), &note));
	for (size_t i = 0; i < sizeof(bad) / sizeof(*bad); i++) {
		if (note_read(bytes_str(bad[i]), &note))
			fail_msg("case %zu was taken for a note", i);
	}
}

static void a_note_has_no_more_signatures_than_its_cap(void **state)
{
	(void)state;
	struct note note;
	struct bytes out;
	struct writer w = writer_over(room, sizeof(room));
	writer_bytes(&w, bytes_str("text\n\n"));
	for (int i = 0; i < NOTE_SIGNATURES_MAX; i++)
		writer_bytes(&w, bytes_str("\xe2\x80\x94 name AAAA\n"));
	assert_true(writer_done(&w, &out) && note_read(out, &note));
	writer_bytes(&w, bytes_str("\xe2\x80\x94 name AAAA\n"));
	assert_true(writer_done(&w, &out) && !note_read(out, &note));
}

static void what_is_no_key_is_refused(void **state)
{
	(void)state;
	static const char *const bad[] = {"", "+", "name", "name+c74f20a3", "name+c74f20a3+", "name+c74f20a3+AAAA",
		"PeterNeuman+c74f20a3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW",
		"PeterNeumann+c74f20a4+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW",
		"PeterNeumann+c74f20a3+Ahpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW",
		"Peter Neumann+c74f20a3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW"};
	struct note_key key;
	for (size_t i = 0; i < sizeof(bad) / sizeof(*bad); i++)
		assert_false(note_key_read(bytes_str(bad[i]), &key, &err));
	assert_null(note_signer_new(bytes_str("a name with blanks "), NOTE_ED25519, &err));
}

/* Seed 00 01 .. 1f; verifier key and signature made with Python's cryptography. */
static void a_note_of_a_seed_is_that_of_an_independent_computation(void **state)
{
	(void)state;
	static const char key_text[] = "boss.example+c78ff057+AQOhB7/zzhC+HXDdGOdLwJln5NYwm6UNXx3chmQSVTG4";
	static const char text[] =
		"grant: none\n\n\xe2\x80\x94 boss.example "
		"x4/wV+N22UI2ii+/QVZ4BEiS5Ecjv5+r/QwHUB7EFXVvYx8SBKeMgRVhKLM78tKIxmpCvBX/+SzuI7KIaC+k8FRe7Ak=\n";
	uint8_t seed[NOTE_SEED];
	struct note_key key;
	struct bytes out;
	struct writer w = writer_over(room, sizeof(room));
	for (uint8_t i = 0; i < NOTE_SEED; i++)
		seed[i] = i;
	struct note_signer *signer = note_signer_of_seed(bytes_str("boss.example"), NOTE_ED25519, seed, &err);
	assert_non_null(signer);
	assert_true(note_key_read(bytes_str(key_text), &key, &err));
	assert_true(note_key_same(&key, note_signer_key(signer)));
	assert_true(note_write(&w, signer, bytes_str("grant: none\n"), 0));
	assert_true(writer_done(&w, &out) && bytes_equal(out, bytes_str(text)));
	note_signer_free(signer);
}

static void a_note_ends_its_text_with_a_line_end(void **state)
{
	(void)state;
	struct note_signer *signer = new_signer(NOTE_ED25519);
	struct writer w = writer_over(room, sizeof(room));
	assert_false(note_write(&w, signer, bytes_str("text"), 0));
	assert_false(note_write(&w, signer, BYTES_NONE, 0));
	assert_int_equal(w.len, 0);
	w = writer_over(room, 16);
	assert_false(note_write(&w, signer, bytes_str("text\n"), 0));
	note_signer_free(signer);
}

/* "text", signed by two. */
static void two_sign(struct writer *w, const struct note_signer *first, const struct note_signer *second)
{
	assert_true(note_write(w, first, bytes_str("text\n"), 0));
	assert_true(note_sign(w, second, bytes_str("text\n"), 0));
}

static void of_several_keys_the_first_that_signed_is_told(void **state)
{
	(void)state;
	struct note_signer *signers[3] = {new_signer(NOTE_ED25519), new_signer(NOTE_ED25519), new_signer(NOTE_ED25519)};
	struct note_key keys[3];
	struct note note;
	struct bytes out;
	size_t which = 9;
	struct writer w = writer_over(room, sizeof(room));
	for (size_t i = 0; i < 3; i++)
		keys[i] = *note_signer_key(signers[i]);
	two_sign(&w, signers[2], signers[1]);
	assert_true(writer_done(&w, &out) && note_read(out, &note));
	assert_int_equal(note_verify_any(&note, keys, 1, &which), NOTE_UNSIGNED);
	assert_int_equal(note_verify_any(&note, keys, 0, &which), NOTE_UNSIGNED);
	assert_int_equal(which, 9);
	assert_int_equal(note_verify_any(&note, keys, 3, &which), NOTE_SIGNED);
	assert_int_equal(which, 1);
	for (size_t i = 0; i < 3; i++)
		note_signer_free(signers[i]);
}

static void one_forged_signature_of_several_spoils_the_note(void **state)
{
	(void)state;
	struct note_signer *signers[2] = {new_signer(NOTE_ED25519), new_signer(NOTE_ED25519)};
	struct note_key keys[2] = {*note_signer_key(signers[0]), *note_signer_key(signers[1])};
	struct note note;
	struct bytes out;
	size_t which = 9;
	struct writer w = writer_over(room, sizeof(room));
	assert_true(note_write(&w, signers[0], bytes_str("text\n"), 0));
	assert_true(note_sign(&w, signers[1], bytes_str("another\n"), 0));
	assert_true(writer_done(&w, &out) && note_read(out, &note));
	assert_int_equal(note_verify_any(&note, keys, 2, &which), NOTE_FORGED);
	assert_int_equal(which, 1);
	/* Who does not know the second key takes it for none of their business. */
	assert_int_equal(note_verify_any(&note, keys, 1, &which), NOTE_SIGNED);
	assert_int_equal(which, 0);
	note_signer_free(signers[0]);
	note_signer_free(signers[1]);
}

static void what_stands_around_a_key_does_not_matter(void **state)
{
	(void)state;
	struct note_key key;
	assert_true(note_key_read(
		bytes_str("\t PeterNeumann+c74f20a3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW \r\n"), &key, &err));
	assert_string_equal(key.name, "PeterNeumann");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_note_of_others_is_read_and_verified),
		cmocka_unit_test(a_signature_covers_every_octet_of_the_text),
		cmocka_unit_test(a_forged_signature_is_told_from_none),
		cmocka_unit_test(a_cosignature_says_when_and_is_no_plain_signature),
		cmocka_unit_test(a_signer_is_the_same_after_it_was_written),
		cmocka_unit_test(what_is_no_note_is_refused),
		cmocka_unit_test(a_note_has_no_more_signatures_than_its_cap),
		cmocka_unit_test(what_is_no_key_is_refused),
		cmocka_unit_test(a_note_of_a_seed_is_that_of_an_independent_computation),
		cmocka_unit_test(a_note_ends_its_text_with_a_line_end),
		cmocka_unit_test(of_several_keys_the_first_that_signed_is_told),
		cmocka_unit_test(one_forged_signature_of_several_spoils_the_note),
		cmocka_unit_test(what_stands_around_a_key_does_not_matter),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
