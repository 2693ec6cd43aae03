#include "audit/base64.h"
#include "audit/checkpoint.h"
#include "base/text.h"

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

static void base64_has_one_form_only(void **state)
{
	(void)state;
	static const char *const good[][2] = {{"", ""}, {"f", "Zg=="}, {"fo", "Zm8="}, {"foo", "Zm9v"},
		{"foob", "Zm9vYg=="}, {"\xff\xfb\xf0", "//vw"}};
	static const char *const bad[] = {"Zg", "Zg=", "Zg===", "Zh==", "Zm9=", "Zm8", " Zg==", "Zg==\n",
		"Zg==Zg==", "Z===", "====", "Zm9-", "Zm9_", "Z=9v", "Zm=v"};
	uint8_t out[16];
	size_t len;
	for (size_t i = 0; i < sizeof(good) / sizeof(*good); i++) {
		char text[32];
		struct writer w = writer_over(text, sizeof(text));
		base64_write(&w, bytes_str(good[i][0]));
		assert_true(bytes_equal(bytes_of(text, w.len), bytes_str(good[i][1])));
		assert_true(base64_read(bytes_str(good[i][1]), out, sizeof(out), &len));
		assert_true(bytes_equal(bytes_of(out, len), bytes_str(good[i][0])));
	}
	for (size_t i = 0; i < sizeof(bad) / sizeof(*bad); i++)
		assert_false(base64_read(bytes_str(bad[i]), out, sizeof(out), &len));
	assert_false(base64_read(bytes_str("Zm9v"), out, 2, &len));
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

static void a_checkpoint_is_three_lines(void **state)
{
	(void)state;
	struct checkpoint made = {.origin = bytes_str("test.example/log"), .head = {.size = 20852163}};
	struct checkpoint read;
	char text[CHECKPOINT_TEXT_MAX];
	struct writer w = writer_over(text, sizeof(text));
	memset(made.head.root.octets, 0x5a, MERKLE_HASH);
	checkpoint_write(&w, &made);
	assert_true(bytes_equal(bytes_of(text, w.len),
		bytes_str("test.example/log\n20852163\nWlpaWlpaWlpaWlpaWlpaWlpaWlpaWlpaWlpaWlpaWlo=\n")));
	assert_true(checkpoint_read(bytes_of(text, w.len), &read));
	assert_true(bytes_equal(read.origin, made.origin) && read.head.size == made.head.size);
	assert_true(merkle_same(&read.head.root, &made.head.root));
#define ROOT "WlpaWlpaWlpaWlpaWlpaWlpaWlpaWlpaWlpaWlpaWlo="
	assert_true(checkpoint_read(bytes_str("a\n0\n" ROOT "\nextension\n"), &read));
	static const char *const bad[] = {"", "a\n", "a\n1\n", "\n1\n" ROOT "\n", "a\n01\n" ROOT "\n",
		"a\n-1\n" ROOT "\n", "a\n1\n" ROOT, "a\n1\n" ROOT "=\n", "a\n1\nWlpa\n", "a\n1\n" ROOT "\n\n",
		"a\n1\n" ROOT "\nextension", "a\n99999999999999999999\n" ROOT "\n", "a\n+1\n" ROOT "\n"};
	for (size_t i = 0; i < sizeof(bad) / sizeof(*bad); i++) {
		if (checkpoint_read(bytes_str(bad[i]), &read))
			fail_msg("case %zu was taken for a checkpoint", i);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(base64_has_one_form_only),
		cmocka_unit_test(a_note_of_others_is_read_and_verified),
		cmocka_unit_test(a_signature_covers_every_octet_of_the_text),
		cmocka_unit_test(a_forged_signature_is_told_from_none),
		cmocka_unit_test(a_cosignature_says_when_and_is_no_plain_signature),
		cmocka_unit_test(a_signer_is_the_same_after_it_was_written),
		cmocka_unit_test(what_is_no_note_is_refused),
		cmocka_unit_test(a_note_has_no_more_signatures_than_its_cap),
		cmocka_unit_test(what_is_no_key_is_refused),
		cmocka_unit_test(a_checkpoint_is_three_lines),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
