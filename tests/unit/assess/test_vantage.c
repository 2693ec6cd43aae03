#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
/* clang-format off */
#include <cmocka.h>
/* clang-format on */
#include "assess/identity.h"
#include "assess/report.h"
#include "assess/vantage.h"
#include "base/text.h"

#include <openssl/pem.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

struct lab {
	struct identity_maker *maker;
	struct identity one, two;
};

static void begin(struct lab *lab)
{
	struct error err = {""};
	lab->maker = identity_maker_new("a.test", NULL, &err);
	assert_non_null(lab->maker);
	assert_true(identity_make(lab->maker, IDENTITY_GOOD, false, &lab->one));
	assert_true(identity_make(lab->maker, IDENTITY_GOOD, false, &lab->two));
}

static void end(struct lab *lab)
{
	identity_free(&lab->one);
	identity_free(&lab->two);
	identity_maker_free(lab->maker);
}

static void pin(struct expect *expect, X509 *cert)
{
	struct error err = {""};
	uint8_t digest[VANTAGE_DIGEST];
	char hex[VANTAGE_DIGEST * 2 + 1], word[100];
	assert_true(key_digest(cert, digest));
	text_hex(hex, sizeof(hex), bytes_of(digest, sizeof(digest)));
	snprintf(word, sizeof(word), "sha256:%s", hex);
	assert_true(expect_add(expect, word, &err));
}

static void a_key_is_expected_of_the_leaf_or_of_who_really_signed_it(void **state)
{
	(void)state;
	struct lab lab = {0};
	struct expect none = {0}, leaf = {0}, above = {0};
	begin(&lab);
	pin(&leaf, lab.one.leaf);
	pin(&above, sk_X509_value(lab.one.above, 0));
	assert_int_equal(expect_judge(&none, lab.one.leaf, lab.one.above, NULL), EXPECT_NOTHING);
	assert_int_equal(expect_judge(&leaf, lab.one.leaf, lab.one.above, NULL), EXPECT_LEAF);
	assert_int_equal(expect_judge(&leaf, lab.two.leaf, lab.two.above, NULL), EXPECT_OTHER);
	assert_int_equal(expect_judge(&above, lab.one.leaf, lab.one.above, NULL), EXPECT_ABOVE);
	/* Anybody can send along a certificate that is expected: of the same name, but it signed another leaf. */
	assert_int_equal(expect_judge(&above, lab.two.leaf, lab.one.above, NULL), EXPECT_OTHER);
	assert_int_equal(expect_judge(&above, lab.one.leaf, NULL, NULL), EXPECT_OTHER);
	/* A root is seldom sent: it is known by what is trusted here. */
	assert_int_equal(expect_judge(&above, lab.one.leaf, NULL, sk_X509_value(lab.one.above, 0)), EXPECT_ABOVE);
	assert_int_equal(expect_judge(&above, lab.two.leaf, NULL, sk_X509_value(lab.one.above, 0)), EXPECT_OTHER);
	end(&lab);
}

static void a_report_is_read_back_as_what_was_seen(void **state)
{
	(void)state;
	struct lab lab = {0};
	struct vantage vantage = {0}, again;
	char *text = NULL;
	size_t len = 0;
	begin(&lab);
	vantage_of(lab.one.leaf, &vantage);
	for (size_t i = 0; i < ANSWERS; i++)
		snprintf(vantage.answers.text[i], ANSWER_TEXT, "answer \"%zu\"", i);
	struct report *report = report_new("path", "a.test");
	report_show_vantage(report, &vantage);
	FILE *file = open_memstream(&text, &len);
	assert_true(report_tell_json(report, file));
	assert_int_equal(fclose(file), 0);
	assert_true(vantage_read(bytes_of(text, len), &again));
	assert_memory_equal(vantage.leaf, again.leaf, VANTAGE_DIGEST);
	assert_memory_equal(vantage.key, again.key, VANTAGE_DIGEST);
	assert_memory_equal(vantage.names, again.names, VANTAGE_DIGEST);
	assert_string_equal(vantage.issuer, again.issuer);
	for (size_t i = 0; i < ANSWERS; i++)
		assert_string_equal(vantage.answers.text[i], again.answers.text[i]);
	assert_false(vantage_read(bytes_str("{\"assess\":\"server\"}"), &again));
	free(text);
	report_free(report);
	end(&lab);
}

static void what_is_expected_is_read_from_words_and_files(void **state)
{
	(void)state;
	struct lab lab = {0};
	struct expect expect = {0};
	struct error err = {""};
	char path[] = "/tmp/overt-expect-XXXXXX";
	begin(&lab);
	int fd = mkstemp(path);
	FILE *file = fdopen(fd, "w");
	assert_non_null(file);
	assert_int_equal(PEM_write_X509(file, lab.one.leaf), 1);
	assert_int_equal(PEM_write_X509(file, sk_X509_value(lab.one.above, 0)), 1);
	assert_int_equal(fclose(file), 0);
	assert_true(expect_add(&expect, path, &err));
	assert_int_equal(expect.keys, 2);
	assert_true(expect.has_names);
	assert_int_equal(expect_judge(&expect, lab.one.leaf, NULL, NULL), EXPECT_LEAF);
	assert_int_equal(expect_judge(&expect, lab.two.leaf, NULL, NULL), EXPECT_OTHER);
	assert_int_equal(unlink(path), 0);
	assert_true(expect_add(&expect, "sha256:AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=", &err));
	assert_int_equal(expect.key[2][0] | expect.key[2][31], 0);
	assert_false(expect_add(&expect, "sha256:AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA==", &err));
	assert_false(expect_add(&expect, "sha256:00", &err));
	assert_false(expect_add(&expect, "/nothing/here", &err));
	assert_non_null(strstr(err.text, "/nothing/here"));
	while (expect.keys < EXPECT_KEYS)
		pin(&expect, lab.two.leaf);
	assert_false(expect_add(&expect, "sha256:AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=", &err));
	expect_free(&expect);
	end(&lab);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_key_is_expected_of_the_leaf_or_of_who_really_signed_it),
		cmocka_unit_test(a_report_is_read_back_as_what_was_seen),
		cmocka_unit_test(what_is_expected_is_read_from_words_and_files),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
