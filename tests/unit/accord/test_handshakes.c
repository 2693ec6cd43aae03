/* The handshakes of docs/accord-vectors.md: each is judged as the document says, and so is each change of it. */
#include "accord/seal.h"
#include "vectors.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>

#include <cmocka.h>

#define MAX_DOCUMENT ((size_t)256 * 1024)

static char document[MAX_DOCUMENT];
static struct vector anchors;

/* The section of this heading, which the caller frees. */
static char *section_of(const char *name)
{
	char heading[64];
	snprintf(heading, sizeof(heading), "\n## %s\n", name);
	const char *begin = strstr(document, heading);
	if (!begin) {
		fail_msg("%s has no section \"%s\"", VECTORS, name);
		exit(1);
	}
	const char *end = strstr(begin + 1, "\n## ");
	char *section = end ? strndup(begin, (size_t)(end - begin) + 1) : strdup(begin);
	assert_non_null(section);
	return section;
}

static int set_up(void **state)
{
	(void)state;
	FILE *file = fopen(VECTORS, "r");
	if (!file)
		return -1;
	size_t len = fread(document, 1, sizeof(document) - 1, file);
	fclose(file);
	if (len == 0 || len == sizeof(document) - 1)
		return -1;
	char *section = section_of("Anchors");
	vector_read(&anchors, section);
	free(section);
	return 0;
}

static int tear_down(void **state)
{
	(void)state;
	vector_free(&anchors);
	return 0;
}

/* What came of the vector must stand in its section, line by line and as a whole. */
static void expect_result(const struct vector *vector, const char *section)
{
	struct vector_result result;
	char *told = NULL;
	size_t len = 0;
	vector_judge(vector, &anchors, &result);
	FILE *out = open_memstream(&told, &len);
	assert_non_null(out);
	vector_tell(out, &result);
	assert_int_equal(fclose(out), 0);
	if (!strstr(section, told))
		fail_msg("the document does not say what came of it:\n%s%s", told, result.judgement.error.text);
	free(told);
}

static enum vector_input input_named(const char *name)
{
	for (size_t i = 0; i < VECTOR_INPUTS; i++) {
		if (strcmp(vector_input_name((enum vector_input)i), name) == 0)
			return (enum vector_input)i;
	}
	fail_msg("there is no input \"%s\"", name);
	return VECTOR_INPUTS;
}

/* Takes "INPUT OFFSET: RESULT" apart, makes that change, and compares what comes of it. */
static void expect_change(struct vector *vector, const char *line)
{
	char name[32];
	char wanted[64];
	char got[64];
	size_t offset;
	struct vector_result result;
	assert_int_equal(sscanf(line, "%31s %zu: %63[^\n]", name, &offset, wanted), 3);
	enum vector_input input = input_named(name);
	assert_true(offset < vector->input[input].len);
	vector->input[input].data[offset] ^= 1;
	vector_judge(vector, &anchors, &result);
	vector->input[input].data[offset] ^= 1;
	assert_false(result.passed);
	assert_true(result.judgement.check >= 1 && result.judgement.check <= 6);
	snprintf(got, sizeof(got), "%d %s leg %d", result.judgement.check, accord_fault_name(result.judgement.fault),
		result.judgement.leg);
	if (strcmp(got, wanted) != 0)
		fail_msg("change %s ends with %s", line, got);
}

static unsigned expect_changes(struct vector *vector, const char *section)
{
	static const char label[] = "\n    change = ";
	unsigned seen = 0;
	while ((section = strstr(section, label))) {
		section += sizeof(label) - 1;
		expect_change(vector, section);
		seen++;
	}
	return seen;
}

static void holds(const char *name, unsigned changes)
{
	struct vector vector;
	char *section = section_of(name);
	vector_read(&vector, section);
	expect_result(&vector, section);
	unsigned seen = expect_changes(&vector, section);
	if (seen < changes)
		fail_msg("%s has %u changes, where there were %u", name, seen, changes);
	vector_free(&vector);
	free(section);
}

static void an_open_handshake_is_as_the_document_says(void **state)
{
	(void)state;
	holds("open", 16);
}

static void a_handshake_with_a_retry_is_as_the_document_says(void **state)
{
	(void)state;
	holds("retry", 17);
}

static void a_sealed_handshake_is_as_the_document_says(void **state)
{
	(void)state;
	holds("sealed", 16);
}

static void a_handshake_with_an_rsa_key_is_as_the_document_says(void **state)
{
	(void)state;
	holds("rsa", 16);
}

static void nested_handshakes_are_as_the_document_says(void **state)
{
	(void)state;
	holds("two-proxies", 17);
}

static void an_accepted_handshake_is_as_the_document_says(void **state)
{
	(void)state;
	holds("accepted", 17);
}

static void a_refused_handshake_fails_check_6(void **state)
{
	(void)state;
	holds("refused", 1);
}

static void a_demanding_handshake_is_as_the_document_says(void **state)
{
	(void)state;
	holds("demanded", 18);
}

static enum accord_approval_result judge_approval(const struct vector *vector, const struct vector_result *result)
{
	struct accord_approval approval;
	struct accord_introduction in = {.hops = 1, .has_approval = result->leg1.offer.has_approval};
	memcpy(in.client_nonce, result->leg1.offer.client_nonce, ACCORD_NONCE);
	memcpy(in.approval_hash, result->leg1.offer.approval_hash, ACCORD_HASH);
	if (accord_approval_read(vector_get(vector, VECTOR_APPROVAL), &approval) != ACCORD_BODY_OK)
		return ACCORD_APPROVAL_OTHER;
	return accord_approval_verify(&approval, &in, result->proven.approval_digest);
}

static void an_approval_holds_and_no_octet_of_it_may_change(void **state)
{
	(void)state;
	struct vector vector;
	struct vector_result result;
	char *section = section_of("demanded");
	vector_read(&vector, section);
	vector_judge(&vector, &anchors, &result);
	assert_true(result.passed);
	assert_int_equal(judge_approval(&vector, &result), ACCORD_APPROVAL_OK);
	for (size_t i = 0; i < vector.input[VECTOR_APPROVAL].len; i++) {
		vector.input[VECTOR_APPROVAL].data[i] ^= 1;
		assert_int_not_equal(judge_approval(&vector, &result), ACCORD_APPROVAL_OK);
		vector.input[VECTOR_APPROVAL].data[i] ^= 1;
	}
	vector_free(&vector);
	free(section);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(an_open_handshake_is_as_the_document_says),
		cmocka_unit_test(a_handshake_with_a_retry_is_as_the_document_says),
		cmocka_unit_test(a_sealed_handshake_is_as_the_document_says),
		cmocka_unit_test(a_handshake_with_an_rsa_key_is_as_the_document_says),
		cmocka_unit_test(nested_handshakes_are_as_the_document_says),
		cmocka_unit_test(an_accepted_handshake_is_as_the_document_says),
		cmocka_unit_test(a_refused_handshake_fails_check_6),
		cmocka_unit_test(a_demanding_handshake_is_as_the_document_says),
		cmocka_unit_test(an_approval_holds_and_no_octet_of_it_may_change),
	};
	return cmocka_run_group_tests(tests, set_up, tear_down);
}
