#include "audit/opened.h"
#include "audit/openings.h"
#include "base/clock.h"
#include "base/text.h"

#include <dirent.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include <cmocka.h>

static char folder[64];
static struct error err;

static int set_up(void **state)
{
	(void)state;
	snprintf(folder, sizeof(folder), "/tmp/overt-opened-XXXXXX");
	return mkdtemp(folder) ? 0 : -1;
}

static int tear_down(void **state)
{
	char file[512];
	DIR *dir = opendir(folder);
	(void)state;
	for (struct dirent *entry; dir && (entry = readdir(dir));) {
		snprintf(file, sizeof(file), "%s/%s", folder, entry->d_name);
		unlink(file);
	}
	if (dir)
		closedir(dir);
	rmdir(folder);
	return 0;
}

/* Openings as the log writes them, of `count` values; the commitments in hex. */
static void write_openings(unsigned count, char hex[][2 * AUDIT_COMMIT_LEN + 1])
{
	struct audit_openings *openings = audit_openings_new(folder, 3600 * NS_PER_S);
	assert_non_null(openings);
	for (unsigned i = 0; i < count; i++) {
		uint8_t salt[AUDIT_SALT] = {(uint8_t)(i + 1), (uint8_t)(i >> 8)};
		uint8_t commitment[AUDIT_COMMIT_LEN];
		char value[64];
		snprintf(value, sizeof(value), "site-%u.\"quoted\\example", i);
		assert_true(audit_openings_add(openings, i + 1, "name", salt, bytes_str(value)));
		assert_true(audit_commit(salt, bytes_str(value), commitment));
		text_hex(hex[i], sizeof(hex[i]), bytes_of(commitment, sizeof(commitment)));
	}
	assert_true(audit_openings_write(openings, clock_wall_ns(), &err));
	audit_openings_free(openings);
}

static void every_opening_is_found_by_its_commitment_and_no_other(void **state)
{
	(void)state;
	static char hex[600][2 * AUDIT_COMMIT_LEN + 1];
	struct bytes value;
	write_openings(600, hex);
	struct audit_opened *opened = audit_opened_load(folder, &err);
	assert_non_null(opened);
	for (unsigned i = 0; i < 600; i++) {
		char expected[64];
		snprintf(expected, sizeof(expected), "site-%u.\"quoted\\example", i);
		assert_true(audit_opened_find(opened, bytes_str(hex[i]), &value));
		assert_true(bytes_equal(value, bytes_str(expected)));
		hex[i][5] ^= 1;
		assert_false(audit_opened_find(opened, bytes_str(hex[i]), &value));
	}
	assert_false(audit_opened_find(opened, bytes_str("00"), &value));
	assert_int_equal(audit_opened_passed_over(opened), 0);
	audit_opened_free(opened);
}

static void lines_of_another_form_are_passed_over_and_counted(void **state)
{
	(void)state;
	static char hex[2][2 * AUDIT_COMMIT_LEN + 1];
	static const char bad[] =
		"nonsense\n{\"seq\":1,\"salt\":\"00\",\"value\":\"short\"}\n{\"seq\":2}\n{\"seq\":3,\"sa";
	char name[128];
	struct bytes value;
	write_openings(2, hex);
	snprintf(name, sizeof(name), "%s/1.jsonl", folder);
	int fd = open(name, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
	assert_int_equal(write(fd, bad, sizeof(bad) - 1), sizeof(bad) - 1);
	close(fd);
	struct audit_opened *opened = audit_opened_load(folder, &err);
	assert_non_null(opened);
	assert_int_equal(audit_opened_passed_over(opened), 4);
	assert_true(audit_opened_find(opened, bytes_str(hex[1]), &value));
	audit_opened_free(opened);
}

static void a_folder_that_is_not_there_opens_nothing(void **state)
{
	(void)state;
	static char zeros[2 * AUDIT_COMMIT_LEN + 1];
	struct bytes value;
	memset(zeros, '0', sizeof(zeros) - 1);
	struct audit_opened *opened = audit_opened_load("/nonexistent/openings", &err);
	assert_non_null(opened);
	assert_false(audit_opened_find(opened, bytes_str(zeros), &value));
	audit_opened_free(opened);
}

int main(void)
{
#define CASE(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
	const struct CMUnitTest tests[] = {
		CASE(every_opening_is_found_by_its_commitment_and_no_other),
		CASE(lines_of_another_form_are_passed_over_and_counted),
		CASE(a_folder_that_is_not_there_opens_nothing),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
