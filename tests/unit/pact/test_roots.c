/* Web roots of the distribution, told apart from those that were added. */
#include "pact/roots.h"

#include "../pki/forge.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

static char folder[64] = "/tmp/overt-roots-XXXXXX";
static struct roots_places places;
static char list[128], directory[128];

static void put(const char *name, const char *content, size_t len)
{
	char path[256];
	snprintf(path, sizeof(path), "%s/%s", folder, name);
	FILE *file = fopen(path, "w");
	assert_non_null(file);
	assert_int_equal(fwrite(content, 1, len, file), len);
	assert_int_equal(fclose(file), 0);
}

static void put_root(const char *name)
{
	uint8_t pem[4096];
	struct forged root = forge_root(name);
	struct bytes text = forge_pem(root.cert, pem, sizeof(pem));
	put(name, (const char *)text.data, text.len);
	forged_free(&root);
}

static int set_up(void **state)
{
	char path[160];
	(void)state;
	assert_non_null(mkdtemp(folder));
	snprintf(list, sizeof(list), "%s/list", folder);
	snprintf(directory, sizeof(directory), "%s", folder);
	for (int i = 0; i < 2; i++) {
		snprintf(path, sizeof(path), "%s/%s", folder, i ? "corporate" : "mozilla");
		assert_int_equal(mkdir(path, 0700), 0);
	}
	put_root("mozilla/one.crt");
	put_root("mozilla/two.crt");
	put_root("mozilla/unused.crt");
	put_root("corporate/reader.crt");
	put_root("outside.crt");
	put("mozilla/broken.crt", "broken", 6);
	places = (struct roots_places){.list = list, .directory = directory, .own = "mozilla/"};
	return 0;
}

static int tear_down(void **state)
{
	(void)state;
	static const char *const names[] = {"mozilla/one.crt", "mozilla/two.crt", "mozilla/unused.crt",
		"mozilla/broken.crt", "corporate/reader.crt", "outside.crt", "list"};
	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
		char path[256];
		snprintf(path, sizeof(path), "%s/%s", folder, names[i]);
		unlink(path);
	}
	for (int i = 0; i < 3; i++) {
		char path[256];
		snprintf(path, sizeof(path), "%s/%s", folder, i == 0 ? "mozilla" : i == 1 ? "corporate" : "");
		rmdir(path);
	}
	forge_cleanup();
	return 0;
}

/* How many roots such a list gives; SIZE_MAX: an error. */
static size_t roots_of(const char *content)
{
	struct error err = {""};
	struct trust *trust = trust_new(NULL);
	put("list", content, strlen(content));
	bool ok = roots_add(trust, &places, &err);
	size_t count = ok ? trust_count(trust).anchors : SIZE_MAX;
	trust_free(trust);
	if (!ok)
		assert_string_not_equal(err.text, "");
	return count;
}

static void only_the_distributions_own_that_are_in_use_count(void **state)
{
	(void)state;
	assert_int_equal(roots_of("# a comment\n\nmozilla/one.crt\r\nmozilla/two.crt \n!mozilla/unused.crt\n"
				  "corporate/reader.crt\n"),
		2);
	assert_int_equal(roots_of("mozilla/one.crt"), 1);
	assert_int_equal(roots_of("mozilla/one.crt\nmozilla/gone.crt\n"), 1);
}

static void a_list_cannot_lead_out_of_its_folder(void **state)
{
	(void)state;
	assert_int_equal(roots_of("mozilla/../corporate/reader.crt\nmozilla/../outside.crt\nmozilla/one.crt\n"), 1);
}

static void none_and_damaged_ones_are_errors(void **state)
{
	(void)state;
	assert_int_equal(roots_of(""), SIZE_MAX);
	assert_int_equal(roots_of("corporate/reader.crt\n"), SIZE_MAX);
	assert_int_equal(roots_of("mozilla/one.crt\nmozilla/broken.crt\n"), SIZE_MAX);
	struct error err;
	struct trust *trust = trust_new(NULL);
	struct roots_places nowhere = places;
	nowhere.list = "/nonexistent/list";
	assert_false(roots_add(trust, &nowhere, &err));
	assert_non_null(strstr(err.text, "name a file"));
	trust_free(trust);
}

static void this_machines_own_roots_are_found_where_it_has_some(void **state)
{
	(void)state;
	struct error err;
	struct trust *trust = trust_new(NULL);
	if (access(roots_debian.list, R_OK) != 0 || access("/usr/share/ca-certificates/mozilla", R_OK) != 0) {
		trust_free(trust);
		skip();
	}
	if (!roots_add(trust, &roots_debian, &err))
		fail_msg("%s", err.text);
	assert_true(trust_count(trust).anchors > 20);
	trust_free(trust);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(only_the_distributions_own_that_are_in_use_count),
		cmocka_unit_test(a_list_cannot_lead_out_of_its_folder),
		cmocka_unit_test(none_and_damaged_ones_are_errors),
		cmocka_unit_test(this_machines_own_roots_are_found_where_it_has_some),
	};
	return cmocka_run_group_tests(tests, set_up, tear_down);
}
