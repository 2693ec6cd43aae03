#include "flow/flow.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

static void same(struct bytes got, const char *expected)
{
	assert_int_equal(got.len, strlen(expected));
	assert_memory_equal(got.data, expected, got.len);
}

static struct flow *opened(const char *host)
{
	struct event open = {.kind = EVENT_OPEN,
		.flow = 42,
		.time_ns = 7,
		.open = {.host = bytes_str(host),
			.port = 443,
			.server = {.family = 4, .ip = {192, 0, 2, 9}, .port = 443}}};
	struct flow *flow = flow_new(3, &open);
	assert_non_null(flow);
	flow_apply(flow, &open);
	return flow;
}

static void a_flow_keeps_its_own_copies(void **state)
{
	(void)state;
	char text[] = "first.example";
	struct flow *flow = opened(text);
	memset(text, 'x', strlen(text));
	same(flow->host, "first.example");
	assert_int_equal(flow->opened_ns, 7);
	char name[FLOW_NAME_TEXT];
	flow_name(flow, name, sizeof(name));
	assert_string_equal(name, "3.42");
	flow_free(flow);
}

static void the_last_verdict_stands(void **state)
{
	(void)state;
	struct flow *flow = opened("h");
	assert_false(flow->decided);
	struct event verdict = {.kind = EVENT_VERDICT,
		.verdict = {.action = ACTION_INSPECT, .pass = 1, .rule = bytes_str("a"), .reason = bytes_str("b")}};
	flow_apply(flow, &verdict);
	verdict.verdict = (struct event_verdict){.action = ACTION_BLOCK, .pass = 2, .rule = bytes_str("c")};
	flow_apply(flow, &verdict);
	assert_int_equal(flow->action, ACTION_BLOCK);
	same(flow->rule, "c");
	same(flow->reason, "");
	flow_free(flow);
}

static void the_protocol_is_that_of_leg_2_in_whatever_order(void **state)
{
	(void)state;
	struct event leg1 = {.kind = EVENT_TLS, .tls = {.leg = 1, .alpn = bytes_str("http/1.1")}};
	struct event leg2 = {.kind = EVENT_TLS, .tls = {.leg = 2, .alpn = bytes_str("h2")}};
	struct flow *flow = opened("h");
	flow_apply(flow, &leg1);
	same(flow->alpn, "http/1.1");
	flow_apply(flow, &leg2);
	flow_apply(flow, &leg1);
	same(flow->alpn, "h2");
	flow_free(flow);
}

static void what_was_skipped_is_not_missing(void **state)
{
	(void)state;
	struct flow *flow = opened("h");
	struct event gap = {.kind = EVENT_GAP, .gap = {FLOW_DOWN, 0, 10, GAP_SKIPPED}};
	flow_apply(flow, &gap);
	gap.gap.why = GAP_RING_FULL;
	flow_apply(flow, &gap);
	gap.gap.why = GAP_UNTIL;
	flow_apply(flow, &gap);
	assert_int_equal(flow->missing[FLOW_DOWN], 20);
	assert_int_equal(flow->missing[FLOW_UP], 0);
	flow_free(flow);
}

static void a_label_is_the_best_name_there_is(void **state)
{
	(void)state;
	char buffer[FLOW_ADDRESS_TEXT];
	struct flow *flow = opened("");
	same(flow_label(flow, buffer), "192.0.2.9:443");
	struct event hello = {.kind = EVENT_HELLO, .hello = {.sni = bytes_str("sni.example")}};
	flow_apply(flow, &hello);
	same(flow_label(flow, buffer), "sni.example");
	flow_free(flow);
	flow = opened("asked.example");
	flow_apply(flow, &hello);
	same(flow_label(flow, buffer), "asked.example");
	flow_free(flow);
	flow_free(NULL);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_flow_keeps_its_own_copies),
		cmocka_unit_test(the_last_verdict_stands),
		cmocka_unit_test(the_protocol_is_that_of_leg_2_in_whatever_order),
		cmocka_unit_test(what_was_skipped_is_not_missing),
		cmocka_unit_test(a_label_is_the_best_name_there_is),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
