#include "audit/openings.h"
#include "base/clock.h"

#include <dirent.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#define DAY (86400ULL * NS_PER_S)
#define T0  (20000ULL * DAY) /* a midnight */

static char root[64], folder[96];

static int set_up(void **state)
{
	(void)state;
	snprintf(root, sizeof(root), "/tmp/overt-openings-XXXXXX");
	assert_non_null(mkdtemp(root));
	snprintf(folder, sizeof(folder), "%s/openings", root);
	return 0;
}

static int files(bool remove)
{
	int count = 0;
	char name[512];
	DIR *dir = opendir(folder);
	if (!dir)
		return 0;
	for (struct dirent *entry; (entry = readdir(dir)) != NULL;) {
		if (entry->d_name[0] == '.')
			continue;
		count++;
		snprintf(name, sizeof(name), "%s/%s", folder, entry->d_name);
		if (remove)
			unlink(name);
	}
	closedir(dir);
	return count;
}

static int tear_down(void **state)
{
	(void)state;
	chmod(folder, 0700);
	(void)files(true);
	rmdir(folder);
	rmdir(root);
	return 0;
}

static void add(struct audit_openings *openings, uint64_t seq, const char *value, uint64_t at_ns)
{
	struct error err;
	uint8_t salt[AUDIT_SALT] = {1, 2, 3};
	assert_true(audit_openings_add(openings, seq, "client", salt, bytes_str(value)));
	assert_true(audit_openings_write(openings, at_ns, &err));
}

static void openings_stand_in_files_only_their_owner_reads(void **state)
{
	(void)state;
	struct stat st;
	char name[256];
	char text[512] = "";
	struct audit_openings *openings = audit_openings_new(folder, 90 * DAY);
	add(openings, 7, "a \"quoted\" name", T0);
	assert_int_equal(stat(folder, &st), 0);
	assert_int_equal(st.st_mode & 0777, 0700);
	snprintf(name, sizeof(name), "%s/%llu.jsonl", folder, (unsigned long long)(T0 / NS_PER_S));
	assert_int_equal(stat(name, &st), 0);
	assert_int_equal(st.st_mode & 0777, 0600);
	int fd = open(name, O_RDONLY | O_CLOEXEC);
	assert_true(read(fd, text, sizeof(text) - 1) > 0);
	close(fd);
	assert_string_equal(text,
		"{\"seq\":7,\"field\":\"client\",\"salt\":\"0102030000000000000000000000000000000000000000"
		"000000000000000000\",\"value\":\"a \\\"quoted\\\" name\"}\n");
	audit_openings_free(openings);
}

static void no_opening_outlives_the_retention_and_none_goes_before_a_span_of_it(void **state)
{
	(void)state;
	struct audit_openings *openings = audit_openings_new(folder, 90 * DAY);
	for (uint64_t day = 0; day < 10; day++)
		add(openings, day + 1, "client", T0 + day * DAY + 5 * NS_PER_S);
	assert_int_equal(files(false), 10);
	assert_int_equal(audit_openings_expire(openings, T0 + 89 * DAY), 0);
	assert_int_equal(audit_openings_expire(openings, T0 + 90 * DAY), 1);
	assert_int_equal(files(false), 9);
	/* The clock went back: nothing more is lost, and nothing comes again. */
	assert_int_equal(audit_openings_expire(openings, T0), 0);
	assert_int_equal(audit_openings_expire(openings, T0 + 98 * DAY + 23ULL * 3600 * NS_PER_S), 8);
	assert_int_equal(audit_openings_expire(openings, T0 + 200 * DAY), 1);
	assert_int_equal(files(false), 0);
	audit_openings_free(openings);
}

static void a_destroyed_file_was_overwritten_before_it_was_removed(void **state)
{
	(void)state;
	char name[256];
	char linked[256];
	char text[4096] = "";
	struct audit_openings *openings = audit_openings_new(folder, DAY);
	add(openings, 1, "client", T0);
	snprintf(name, sizeof(name), "%s/%llu.jsonl", folder, (unsigned long long)(T0 / NS_PER_S));
	snprintf(linked, sizeof(linked), "%s/kept", folder);
	assert_int_equal(link(name, linked), 0);
	assert_int_equal(audit_openings_expire(openings, T0 + 2 * DAY), 1);
	int fd = open(linked, O_RDONLY | O_CLOEXEC);
	ssize_t n = read(fd, text, sizeof(text));
	close(fd);
	assert_true(n > 0);
	for (ssize_t i = 0; i < n; i++)
		assert_int_equal(text[i], 0);
	audit_openings_free(openings);
}

static void what_cannot_be_written_stays_queued_up_to_the_cap(void **state)
{
	(void)state;
	struct error err;
	char file[128];
	uint8_t salt[AUDIT_SALT] = {0};
	struct audit_openings *openings = audit_openings_new(folder, DAY);
	/* A file stands where the folder should be: not even root can write into it. */
	snprintf(file, sizeof(file), "%s", folder);
	close(open(file, O_CREAT | O_WRONLY | O_CLOEXEC, 0600));
	assert_true(audit_openings_add(openings, 1, "client", salt, bytes_str("first")));
	assert_false(audit_openings_write(openings, T0, &err));
	assert_non_null(strstr(err.text, folder));
	uint64_t taken = 1;
	while (audit_openings_add(openings, taken + 1, "client", salt, bytes_str("more")))
		taken++;
	assert_in_range(taken, 5000, 10000);
	assert_false(audit_openings_room(openings, 1, 100));
	unlink(file);
	assert_true(audit_openings_write(openings, T0, &err));
	assert_true(audit_openings_room(openings, 100, 1000));
	audit_openings_free(openings);
}

int main(void)
{
#define CASE(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
	const struct CMUnitTest tests[] = {
		CASE(openings_stand_in_files_only_their_owner_reads),
		CASE(no_opening_outlives_the_retention_and_none_goes_before_a_span_of_it),
		CASE(a_destroyed_file_was_overwritten_before_it_was_removed),
		CASE(what_cannot_be_written_stays_queued_up_to_the_cap),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
