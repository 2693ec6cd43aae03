#include "proxy/refusal.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#define NOW 1800000000ULL

static char folder[64], path[96];
static struct error err;

static int set_up(void **state)
{
	(void)state;
	snprintf(folder, sizeof(folder), "/tmp/overt-refusal-XXXXXX");
	assert_non_null(mkdtemp(folder));
	snprintf(path, sizeof(path), "%s/refusals.db", folder);
	return 0;
}

static int tear_down(void **state)
{
	char journal[128];
	(void)state;
	snprintf(journal, sizeof(journal), "%s-journal", path);
	unlink(journal);
	unlink(path);
	rmdir(folder);
	return 0;
}

static struct refusal add(struct refusal_store *store, const char *client, const char *name, int alert, uint64_t at_s)
{
	struct refusal refusal = {.alert = alert};
	snprintf(refusal.client, sizeof(refusal.client), "%s", client);
	snprintf(refusal.name, sizeof(refusal.name), "%s", name);
	assert_true(refusal_add(store, &refusal, at_s, &err));
	return refusal;
}

static char names[256];

static void note_name(const struct refusal *refusal, void *ctx)
{
	(void)ctx;
	strncat(names, refusal->name, sizeof(names) - strlen(names) - 1);
	strncat(names, " ", sizeof(names) - strlen(names) - 1);
}

static const char *listed(struct refusal_store *store, uint64_t now_s)
{
	names[0] = '\0';
	assert_true(refusal_each(store, now_s, note_name, NULL, &err));
	return names;
}

static void refusals_of_a_pair_are_counted_with_first_and_last_time(void **state)
{
	(void)state;
	struct refusal_store *store = refusal_store_open(NULL, NULL, &err);
	assert_non_null(store);
	(void)add(store, "192.0.2.1", "a.example", 48, NOW);
	struct refusal refusal = add(store, "192.0.2.1", "a.example", REFUSAL_CLOSED, NOW + 60);
	assert_int_equal(refusal.count, 2);
	assert_int_equal(refusal.first_s, NOW);
	assert_int_equal(refusal.last_s, NOW + 60);
	assert_int_equal(refusal.alert, REFUSAL_CLOSED);
	refusal = add(store, "192.0.2.2", "a.example", 48, NOW);
	assert_int_equal(refusal.count, 1);
	assert_int_equal(refusal_count(store).held, 2);
	assert_int_equal(refusal_count(store).added, 3);
	refusal_store_close(store);
}

static void they_outlive_the_process_and_only_their_owner_reads_them(void **state)
{
	(void)state;
	struct stat st;
	struct refusal_store *store = refusal_store_open(path, NULL, &err);
	(void)add(store, "192.0.2.1", "a.example", 48, NOW);
	(void)add(store, "192.0.2.1", "b.example", 48, NOW + 1);
	/* Another process sees them after the flush, while this one goes on. */
	assert_true(refusal_flush(store, NOW + 2, &err));
	struct refusal_store *reader = refusal_store_open(path, NULL, &err);
	assert_non_null(reader);
	assert_string_equal(listed(reader, NOW + 2), "b.example a.example ");
	refusal_store_close(reader);
	assert_int_equal(stat(path, &st), 0);
	assert_int_equal(st.st_mode & 0777, 0600);
	(void)add(store, "192.0.2.1", "c.example", 48, NOW + 3);
	refusal_store_close(store); /* commits */
	store = refusal_store_open(path, NULL, &err);
	assert_string_equal(listed(store, NOW + 4), "c.example b.example a.example ");
	refusal_store_close(store);
}

static bool file_holds(const char *text)
{
	static char content[1 << 20];
	FILE *file = fopen(path, "re");
	assert_non_null(file);
	size_t len = fread(content, 1, sizeof(content), file);
	fclose(file);
	return memmem(content, len, text, strlen(text)) != NULL;
}

static void what_is_over_is_not_listed_and_then_overwritten(void **state)
{
	(void)state;
	struct refusal_store *store = refusal_store_open(path, &(struct refusal_limits){.lifetime_s = 1000}, &err);
	(void)add(store, "192.0.2.1", "old.example", 48, NOW);
	(void)add(store, "192.0.2.1", "new.example", 48, NOW + 500);
	assert_true(refusal_flush(store, NOW + 500, &err));
	assert_true(file_holds("old.example"));
	assert_string_equal(listed(store, NOW + 1000), "new.example ");
	assert_true(refusal_flush(store, NOW + 1000, &err));
	assert_false(file_holds("old.example"));
	assert_true(file_holds("new.example"));
	assert_int_equal(refusal_count(store).expired, 1);
	assert_int_equal(refusal_count(store).held, 1);
	refusal_store_close(store);
}

static void above_the_cap_those_longest_quiet_leave_and_are_counted(void **state)
{
	(void)state;
	struct refusal_store *store = refusal_store_open(NULL, &(struct refusal_limits){.cap = 2}, &err);
	(void)add(store, "192.0.2.1", "a.example", 48, NOW);
	(void)add(store, "192.0.2.1", "b.example", 48, NOW + 1);
	(void)add(store, "192.0.2.1", "a.example", 48, NOW + 2);
	(void)add(store, "192.0.2.1", "c.example", 48, NOW + 3);
	assert_string_equal(listed(store, NOW + 4), "c.example a.example ");
	assert_int_equal(refusal_count(store).evicted, 1);
	assert_int_equal(refusal_count(store).held, 2);
	refusal_store_close(store);
}

static void one_client_or_all_can_be_forgotten(void **state)
{
	(void)state;
	struct refusal_store *store = refusal_store_open(path, NULL, &err);
	(void)add(store, "192.0.2.1", "a.example", 48, NOW);
	(void)add(store, "192.0.2.2", "b.example", 48, NOW);
	(void)add(store, "192.0.2.3", "c.example", 48, NOW);
	assert_true(refusal_forget(store, "192.0.2.2", &err));
	assert_int_equal(refusal_count(store).held, 2);
	assert_true(refusal_forget(store, NULL, &err));
	assert_true(refusal_flush(store, NOW, &err));
	assert_string_equal(listed(store, NOW), "");
	refusal_store_close(store);
}

static void a_file_that_is_no_database_is_refused_by_name(void **state)
{
	(void)state;
	FILE *file = fopen(path, "we");
	assert_non_null(file);
	for (int i = 0; i < 100; i++)
		fprintf(file, "this is not a database\n");
	fclose(file);
	assert_null(refusal_store_open(path, NULL, &err));
	assert_non_null(strstr(err.text, path));
	assert_null(refusal_store_open("/nonexistent/refusals.db", NULL, &err));
	assert_non_null(strstr(err.text, "/nonexistent/refusals.db"));
}

int main(void)
{
#define CASE(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
	const struct CMUnitTest tests[] = {
		CASE(refusals_of_a_pair_are_counted_with_first_and_last_time),
		CASE(they_outlive_the_process_and_only_their_owner_reads_them),
		CASE(what_is_over_is_not_listed_and_then_overwritten),
		CASE(above_the_cap_those_longest_quiet_leave_and_are_counted),
		CASE(one_client_or_all_can_be_forgotten),
		CASE(a_file_that_is_no_database_is_refused_by_name),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
