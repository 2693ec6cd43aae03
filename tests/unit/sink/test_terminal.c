#include "sink/terminal.h"

#include "flows.h"
#include "sink/utf8.h"

#include <fcntl.h>
#include <pty.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include <cmocka.h>

static int fd;

static struct sink *table(unsigned columns, bool unmasked)
{
	struct error err;
	fd = open(file_in("table"), O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
	struct terminal_options options = {.fd = fd, .columns = columns, .unmasked = unmasked};
	struct sink *sink = terminal_new(&options, &err);
	assert_non_null(sink);
	return sink;
}

/* Closes the table and compares what it wrote. */
static void shows(struct sink *sink, const char *expected)
{
	sink->ops->close(sink);
	close(fd);
	size_t len;
	char *all = slurp(file_in("table"), &len);
	assert_string_equal(all, expected);
	free(all);
}

static void ask(struct sink *sink, struct flow *flow, uint64_t stream, const char *path)
{
	struct message_request request = {.flow = flow->id,
		.stream = stream,
		.time_ns = T0,
		.method = bytes_str("GET"),
		.authority = bytes_str("www.example.org"),
		.path = bytes_str(path)};
	sink->ops->request(sink, flow, &request);
}

static void answer(struct sink *sink, struct flow *flow, uint64_t stream, unsigned status, bool interim)
{
	const struct message_header headers[] = {{bytes_str("Content-Type"), bytes_str("text/html ; charset=utf-8")}};
	struct message_response response = {.flow = flow->id,
		.stream = stream,
		.status = status,
		.interim = interim,
		.headers = headers,
		.header_count = 1};
	sink->ops->response(sink, flow, &response);
}

static void end(struct sink *sink, struct flow *flow, uint64_t stream)
{
	struct message_end over = {.flow = flow->id,
		.stream = stream,
		.request_octets = 1,
		.response_octets = 1255,
		.duration_ns = 34567000};
	flow->exchanges++;
	sink->ops->end(sink, flow, &over);
}

static void requests_show_when_they_end_whatever_their_order(void **state)
{
	(void)state;
	struct sink *sink = table(0, false);
	struct flow *flow = flow_opened(sink, 1);
	flow_verdict(sink, flow, ACTION_INSPECT, "default", "");
	ask(sink, flow, 1, "/one?token=abc");
	ask(sink, flow, 3, "/two");
	answer(sink, flow, 3, 103, true);
	answer(sink, flow, 3, 404, false);
	end(sink, flow, 3);
	answer(sink, flow, 1, 200, false);
	end(sink, flow, 1);
	end(sink, flow, 7); /* never asked for */
	flow_closed(sink, flow, ENDING_DONE, "");
	shows(sink, "2026-11-21T23:04:42.123Z 192.0.2.1:40000 inspect www.example.org GET /two 404 text/html 1256 "
		    "0.034567 done -\n"
		    "2026-11-21T23:04:42.123Z 192.0.2.1:40000 inspect www.example.org GET /one?token=*** 200 text/html "
		    "1256 0.034567 done -\n");
}

static void what_was_not_read_because_of_until_is_said(void **state)
{
	(void)state;
	struct sink *sink = table(0, false);
	struct flow *flow = flow_opened(sink, 1);
	struct event gap = {.kind = EVENT_GAP, .flow = 1, .time_ns = T0, .gap = {FLOW_DOWN, 10, 20, GAP_UNTIL}};
	flow_verdict(sink, flow, ACTION_INSPECT, "default", "");
	ask(sink, flow, 1, "/one");
	answer(sink, flow, 1, 200, false);
	give(sink, flow, &gap);
	end(sink, flow, 1);
	flow_closed(sink, flow, ENDING_DONE, "");
	shows(sink,
		"2026-11-21T23:04:42.123Z 192.0.2.1:40000 inspect www.example.org GET /one 200 text/html 1256 0.034567 "
		"done read as far as the rule's `until`\n");
}

static void a_flow_whose_rule_says_so_shows_its_credentials(void **state)
{
	(void)state;
	struct sink *sink = table(0, false);
	struct flow *flow = flow_opened(sink, 1);
	flow_verdict_unmasked(sink, flow, "test environment");
	ask(sink, flow, 1, "/one?token=abc");
	answer(sink, flow, 1, 200, false);
	end(sink, flow, 1);
	flow_closed(sink, flow, ENDING_DONE, "");
	shows(sink, "2026-11-21T23:04:42.123Z 192.0.2.1:40000 inspect www.example.org GET /one?token=abc 200 text/html "
		    "1256 0.034567 done -\n");
}

static void a_request_says_how_its_tls_came_to_be_inspected(void **state)
{
	(void)state;
	struct sink *sink = table(0, false);
	struct flow *flow = flow_opened(sink, 1);
	flow_verdict(sink, flow, ACTION_INSPECT, "default", "by Accord");
	ask(sink, flow, 1, "/plain");
	answer(sink, flow, 1, 200, false);
	end(sink, flow, 1);
	flow->tls[0] = true;
	ask(sink, flow, 1, "/tls");
	answer(sink, flow, 1, 200, false);
	end(sink, flow, 1);
	flow_closed(sink, flow, ENDING_DONE, "");
	shows(sink, "2026-11-21T23:04:42.123Z 192.0.2.1:40000 inspect www.example.org GET /plain 200 text/html "
		    "1256 0.034567 done -\n"
		    "2026-11-21T23:04:42.123Z 192.0.2.1:40000 inspect www.example.org GET /tls 200 text/html "
		    "1256 0.034567 done by Accord\n");
}

static void flows_without_requests_say_why_in_words(void **state)
{
	(void)state;
	struct sink *sink = table(0, false);
	struct flow *flow = flow_opened(sink, 1);
	flow_verdict(sink, flow, ACTION_BYPASS, "sensitive", "on the list of sensitive sites");
	flow_closed(sink, flow, ENDING_DONE, "");
	flow = flow_opened(sink, 2);
	flow_verdict(sink, flow, ACTION_BLOCK, "rule 3", "certificate expired");
	flow_closed(sink, flow, ENDING_BLOCKED, "");
	flow = flow_opened(sink, 3);
	flow_verdict(sink, flow, ACTION_INSPECT, "default", "nothing says otherwise");
	flow_closed(sink, flow, ENDING_REFUSED, "the client does not trust the leaf");
	flow = flow_opened(sink, 4);
	flow_closed(sink, flow, ENDING_FAILED, "no route to the server");
	shows(sink, "2026-11-21T23:04:42.123Z 192.0.2.1:40000 bypass www.example.org tcp - - - 25000 0.005000 done on "
		    "the list of sensitive sites [sensitive]\n"
		    "2026-11-21T23:04:42.123Z 192.0.2.1:40000 block www.example.org tcp - - - 25000 0.005000 blocked "
		    "certificate expired [rule 3]\n"
		    "2026-11-21T23:04:42.123Z 192.0.2.1:40000 refused www.example.org tcp - - - 25000 0.005000 refused "
		    "the client does not trust the leaf\n"
		    "2026-11-21T23:04:42.123Z 192.0.2.1:40000 failed www.example.org tcp - - - 25000 0.005000 failed "
		    "no route to the server\n");
}

static void a_flow_that_failed_after_its_requests_shows_once_more(void **state)
{
	(void)state;
	struct sink *sink = table(80, true);
	struct flow *flow = flow_opened(sink, 1);
	ask(sink, flow, 1, "/one?token=abc");
	answer(sink, flow, 1, 200, false);
	end(sink, flow, 1);
	ask(sink, flow, 3, "/never-answered");
	flow_closed(sink, flow, ENDING_TIMEOUT, "the server was silent for 60 s");
	sink->ops->close(sink);
	close(fd);
	size_t len;
	char *all = slurp(file_in("table"), &len);
	assert_int_equal(strncmp(all, "TIME ", 5), 0);
	assert_null(strstr(strstr(all, "\n"), "TIME ")); /* headings once */
	assert_non_null(strstr(all, "GET      200 www.example.org/one?token=abc"));
	assert_non_null(strstr(all, "failed  tcp        - www.example.org  the server was"));
	free(all);
}

static void on_a_terminal_columns_fit_its_width_and_follow_it(void **state)
{
	(void)state;
	int ends[2];
	struct winsize size = {.ws_row = 24, .ws_col = 90};
	struct error err;
	assert_int_equal(openpty(&ends[0], &ends[1], NULL, NULL, &size), 0);
	setenv("LC_ALL", "C.UTF-8", 1);
	setenv("TERM", "xterm", 1);
	setenv("NO_COLOR", "1", 1);
	struct terminal_options options = {.fd = ends[1]};
	struct sink *sink = terminal_new(&options, &err);
	assert_non_null(sink);
	char shown[8192] = "";
	size_t len = 0;
	for (int round = 0; round < 2; round++) {
		struct flow *flow = flow_opened(sink, 1);
		flow_verdict(sink, flow, ACTION_BYPASS, "sensitive",
			"so that the line is longer than any terminal is wide, it goes on "
			"and on and on and on and on and on and on and on and on and on and on and on and on and on "
			"and on and on");
		flow_closed(sink, flow, ENDING_DONE, "");
		sink->ops->flush(sink);
		ssize_t n = read(ends[0], shown + len, sizeof(shown) - 1 - len);
		assert_true(n > 0);
		len += (size_t)n;
		size.ws_col = 70;
		assert_int_equal(ioctl(ends[0], TIOCSWINSZ, &size), 0);
	}
	sink->ops->close(sink);
	close(ends[0]);
	close(ends[1]);
	const size_t widths[] = {90, 90, 70, 70}; /* headings and a row, twice */
	char *rest = shown;
	for (int i = 0; i < 4; i++) {
		char *line = strsep(&rest, "\r");
		assert_non_null(line);
		line += line[0] == '\n';
		assert_null(strchr(line, '\x1b'));
		assert_int_equal(utf8_columns(bytes_str(line)), widths[i]);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(requests_show_when_they_end_whatever_their_order),
		cmocka_unit_test(what_was_not_read_because_of_until_is_said),
		cmocka_unit_test(a_flow_whose_rule_says_so_shows_its_credentials),
		cmocka_unit_test(a_request_says_how_its_tls_came_to_be_inspected),
		cmocka_unit_test(flows_without_requests_say_why_in_words),
		cmocka_unit_test(on_a_terminal_columns_fit_its_width_and_follow_it),
		cmocka_unit_test(a_flow_that_failed_after_its_requests_shows_once_more),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
