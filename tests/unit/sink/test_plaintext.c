#include "sink/plaintext.h"

#include "flows.h"
#include "sink/filepool.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

static struct sink *open_in(const char *name)
{
	struct error err;
	struct sink *sink = plaintext_new(file_in(name), &err);
	assert_non_null(sink);
	return sink;
}

static void holds(const char *path, const char *text)
{
	size_t len;
	char *all = slurp(path, &len);
	assert_int_equal(len, strlen(text));
	assert_memory_equal(all, text, len);
	free(all);
}

static void each_direction_has_a_file_with_its_plaintext_alone(void **state)
{
	(void)state;
	struct sink *sink = open_in("two");
	struct flow *flow = flow_opened(sink, 7);
	flow_data(sink, flow, FLOW_UP, 0, "GET / ");
	flow_data(sink, flow, FLOW_DOWN, 0, "answer");
	flow_data(sink, flow, FLOW_UP, 6, "HTTP/1.1");
	flow_closed(sink, flow, ENDING_DONE, "");
	sink->ops->close(sink);
	holds(file_in("two/1.7_192.0.2.1-40000_198.51.100.7-443.up"), "GET / HTTP/1.1");
	holds(file_in("two/1.7_192.0.2.1-40000_198.51.100.7-443.down"), "answer");
	struct stat st;
	assert_int_equal(stat(file_in("two/1.7_192.0.2.1-40000_198.51.100.7-443.down"), &st), 0);
	assert_int_equal(st.st_mode & 0777, 0600);
	assert_int_equal(stat(file_in("two"), &st), 0);
	assert_int_equal(st.st_mode & 0777, 0700);
}

static void a_direction_without_plaintext_has_no_file(void **state)
{
	(void)state;
	struct sink *sink = open_in("one");
	struct flow *flow = flow_opened(sink, 1);
	flow_data(sink, flow, FLOW_DOWN, 0, "banner");
	flow_closed(sink, flow, ENDING_DONE, "");
	sink->ops->close(sink);
	assert_int_equal(access(file_in("one/1.1_192.0.2.1-40000_198.51.100.7-443.up"), F_OK), -1);
}

static void what_an_earlier_run_left_is_replaced(void **state)
{
	(void)state;
	for (unsigned run = 0; run < 2; run++) {
		struct sink *sink = open_in("again");
		struct flow *flow = flow_opened(sink, 1);
		flow_data(sink, flow, FLOW_UP, 0, run == 0 ? "the first and longer" : "second");
		flow_closed(sink, flow, ENDING_DONE, "");
		sink->ops->close(sink);
	}
	holds(file_in("again/1.1_192.0.2.1-40000_198.51.100.7-443.up"), "second");
}

static void more_flows_than_files_may_be_open_lose_nothing(void **state)
{
	(void)state;
	enum { FLOWS = FILEPOOL_MAX + 40 };
	static struct flow *flows[FLOWS];
	struct sink *sink = open_in("many");
	for (unsigned i = 0; i < FLOWS; i++)
		flows[i] = flow_opened(sink, i + 1);
	for (unsigned part = 0; part < 3; part++) {
		for (unsigned i = 0; i < FLOWS; i++)
			flow_data(sink, flows[i], FLOW_UP, (uint64_t)part * 2,
				part == 0   ? "a\n"
				: part == 1 ? "b\n"
					    : "c\n");
	}
	for (unsigned i = 0; i < FLOWS; i++)
		flow_closed(sink, flows[i], ENDING_DONE, "");
	assert_int_equal(sink->counts.lost_records, 0);
	sink->ops->close(sink);
	for (unsigned i = 0; i < FLOWS; i++) {
		char name[96];
		snprintf(name, sizeof(name), "many/1.%u_192.0.2.1-40000_198.51.100.7-443.up", i + 1);
		holds(file_in(name), "a\nb\nc\n");
	}
}

static void a_directory_that_cannot_be_made_is_said(void **state)
{
	(void)state;
	struct error err;
	assert_null(plaintext_new("/nowhere/at/all", &err));
	assert_non_null(strstr(err.text, "/nowhere/at/all"));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(each_direction_has_a_file_with_its_plaintext_alone),
		cmocka_unit_test(a_direction_without_plaintext_has_no_file),
		cmocka_unit_test(what_an_earlier_run_left_is_replaced),
		cmocka_unit_test(more_flows_than_files_may_be_open_lose_nothing),
		cmocka_unit_test(a_directory_that_cannot_be_made_is_said),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
