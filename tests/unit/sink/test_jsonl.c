#include "sink/jsonl.h"

#include "flows.h"
#include "sink/jsonout.h"

#include <jansson.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

/* Every kind of event and message once, with every field filled. */
static void play_everything(struct sink *sink)
{
	struct flow *flow = flow_opened(sink, 42);
	struct event hello = {.kind = EVENT_HELLO,
		.flow = 42,
		.time_ns = T0,
		.hello = {.sni = bytes_str("www.example.org"),
			.alpn = {bytes_str("h2")},
			.alpn_count = 1,
			.versions = {0x0304, 0x3a3a},
			.version_count = 2,
			.ja3 = bytes_str("3"),
			.ja4 = bytes_str("4"),
			.ech = FLOW_ECH_OUTER}};
	give(sink, flow, &hello);
	struct event upstream = {.kind = EVENT_UPSTREAM, .flow = 42, .time_ns = T0, .upstream = {flow->server}};
	give(sink, flow, &upstream);
	struct event tls = {.kind = EVENT_TLS,
		.flow = 42,
		.time_ns = T0,
		.tls = {.leg = 2,
			.version = 0x0304,
			.suite = 0x1301,
			.suite_name = bytes_str("TLS_AES_128_GCM_SHA256"),
			.group = bytes_str("x25519"),
			.alpn = bytes_str("h2"),
			.certificate = {.present = true,
				.subject = bytes_str("CN=a"),
				.issuer = bytes_str("CN=b"),
				.verification = bytes_str("ok"),
				.verification_text = bytes_str("fine")}}};
	give(sink, flow, &tls);
	flow_verdict(sink, flow, ACTION_INSPECT, "default", "nothing says otherwise");
	const struct message_header headers[] = {
		{bytes_str("cookie"), bytes_str("sid=secret")}, {bytes_str("x"), bytes_str("q\"\\\n\xff\xc3\xa9")}};
	struct message_request request = {.flow = 42,
		.stream = 1,
		.time_ns = T0,
		.version = MESSAGE_HTTP_2,
		.method = bytes_str("GET"),
		.scheme = bytes_str("https"),
		.authority = bytes_str("www.example.org"),
		.path = bytes_str("/a?token=secret"),
		.headers = headers,
		.header_count = 2,
		.headers_cut = true};
	sink->ops->request(sink, flow, &request);
	struct message_response response = {.flow = 42,
		.stream = 1,
		.time_ns = T0,
		.status = 103,
		.interim = true,
		.reason = bytes_str("Early Hints"),
		.headers = headers,
		.header_count = 1,
		.headers_cut = true};
	sink->ops->response(sink, flow, &response);
	struct message_end end = {.flow = 42,
		.stream = 1,
		.time_ns = T0,
		.request_octets = 1,
		.response_octets = 2,
		.duration_ns = 22000000,
		.ending = MESSAGE_DONE,
		.request_trailers = {headers, 1, false},
		.response_trailers = {headers, 1, true}};
	sink->ops->end(sink, flow, &end);
	struct event gap = {.kind = EVENT_GAP, .flow = 42, .time_ns = T0, .gap = {FLOW_DOWN, 10, 20, GAP_RING_FULL}};
	give(sink, flow, &gap);
	struct event skipped = {.kind = EVENT_GAP, .flow = 42, .gap = {FLOW_DOWN, 30, 20, GAP_SKIPPED}};
	give(sink, flow, &skipped);
	struct event notice = {.kind = EVENT_NOTICE,
		.flow = 42,
		.time_ns = T0,
		.notice = {SEVERITY_WARN, bytes_str("n"), bytes_str("t")}};
	give(sink, flow, &notice);
	struct event secret = {.kind = EVENT_KEYLOG, .flow = 42, .keylog = {bytes_str("CLIENT_RANDOM 00 11")}};
	give(sink, flow, &secret);
	flow_data(sink, flow, FLOW_UP, 0, "plaintext");
	flow_closed(sink, flow, ENDING_DONE, "all is well");
}

/* Two flows with the same request; the first is shown as it is because its rule says so. */
static void one_flow_shows_its_credentials_by_rule_and_the_next_does_not(void **state)
{
	(void)state;
	struct error err;
	size_t len;
	const char *path = file_in("rule.jsonl");
	struct sink *sink = jsonl_new(path, false, &err);
	assert_non_null(sink);
	const struct message_header headers[] = {{bytes_str("cookie"), bytes_str("sid=secret")}};
	struct message_request request = {.method = bytes_str("GET"),
		.path = bytes_str("/a?token=secret"),
		.headers = headers,
		.header_count = 1};
	for (uint64_t id = 1; id <= 2; id++) {
		struct flow *flow = flow_opened(sink, id);
		if (id == 1)
			flow_verdict_unmasked(sink, flow, "test environment");
		else
			flow_verdict(sink, flow, ACTION_INSPECT, "default", "");
		request.flow = id;
		sink->ops->request(sink, flow, &request);
		flow_closed(sink, flow, ENDING_DONE, "");
	}
	sink->ops->close(sink);
	char *all = slurp(path, &len);
	char *second = strstr(all, "\"flow\":\"1.2\"");
	assert_non_null(second);
	*second++ = '\0';
	assert_non_null(strstr(all, "\"rule\":\"test environment\",\"unmasked\":true}"));
	assert_non_null(strstr(all, "\"path\":\"/a?token=secret\""));
	assert_non_null(strstr(all, "[\"cookie\",\"sid=secret\"]"));
	assert_null(strstr(second, "secret"));
	assert_null(strstr(second, "unmasked"));
	free(all);
}

static char *recorded(bool unmasked, size_t *len)
{
	struct error err;
	const char *path = file_in(unmasked ? "u.jsonl" : "m.jsonl");
	struct sink *sink = jsonl_new(path, unmasked, &err);
	assert_non_null(sink);
	play_everything(sink);
	sink->ops->close(sink);
	return slurp(path, len);
}

static void every_line_is_json_that_another_parser_reads(void **state)
{
	(void)state;
	size_t len;
	char *all = recorded(false, &len);
	unsigned lines = 0;
	char *rest = all;
	for (char *line; (line = strsep(&rest, "\n")) && *line; lines++) {
		json_error_t error;
		json_t *value = json_loads(line, JSON_REJECT_DUPLICATES, &error);
		assert_non_null(value);
		assert_int_equal(json_integer_value(json_object_get(value, "v")), JSONL_VERSION);
		assert_string_equal(json_string_value(json_object_get(value, "flow")), "1.42");
		assert_string_equal(
			json_string_value(json_object_get(value, "time")) + 10, lines == 10  ? "T23:04:42.128456789Z"
										: lines == 4 ? "T23:04:42.123457789Z"
											     : "T23:04:42.123456789Z");
		json_decref(value);
	}
	assert_int_equal(lines, 11);
	free(all);
}

static void credentials_show_only_where_asked_for_and_secrets_never(void **state)
{
	(void)state;
	size_t len;
	char *masked = recorded(false, &len);
	assert_null(strstr(masked, "secret"));
	assert_non_null(strstr(masked, "\"path\":\"/a?token=***\""));
	assert_non_null(strstr(masked, "[\"cookie\",\"sid=***\"]"));
	char *open = recorded(true, &len);
	assert_non_null(strstr(open, "\"path\":\"/a?token=secret\""));
	assert_non_null(strstr(open, "[\"cookie\",\"sid=secret\"]"));
	assert_null(strstr(open, "CLIENT_RANDOM"));
	assert_null(strstr(open, "plaintext"));
	free(masked);
	free(open);
}

static void what_is_no_utf8_is_replaced_and_the_rest_escaped(void **state)
{
	(void)state;
	size_t len;
	char *all = recorded(false, &len);
	assert_non_null(strstr(all, "[\"x\",\"q\\\"\\\\\\n\xef\xbf\xbd\xc3\xa9\"]"));
	free(all);
}

/* The part of the document about one type of line, or about the fields of all. */
static char *section(const char *doc, const char *heading)
{
	const char *at = strstr(doc, heading);
	assert_non_null(at);
	const char *end = strstr(at + strlen(heading), "\n## ");
	return end ? strndup(at, (size_t)(end - at)) : strdup(at);
}

static void check_keys(const json_t *value, const char *own, const char *common)
{
	const char *key;
	json_t *inner;
	json_object_foreach((json_t *)(uintptr_t)value, key, inner)
	{
		char marked[64];
		snprintf(marked, sizeof(marked), "`%s`", key);
		if (!strstr(own, marked) && !strstr(common, marked) && strcmp(key, "up") != 0 &&
			strcmp(key, "down") != 0)
			fail_msg("docs/jsonl.md does not say what %s is", marked);
		check_keys(inner, own, common);
	}
}

static void check_examples(const char *own)
{
	for (const char *at = own; (at = strstr(at, "```json\n"));) {
		at += strlen("```json\n");
		json_error_t error;
		json_t *value = json_loadb(at, strcspn(at, "\n"), 0, &error);
		assert_non_null(value);
		json_decref(value);
	}
}

static void every_field_is_documented_and_every_example_is_json(void **state)
{
	(void)state;
	size_t len;
	char *doc = slurp(JSONL_DOC, &len);
	char *all = recorded(false, &len);
	char *common = section(doc, "\n## Fields of every line");
	char *rest = all;
	for (char *line; (line = strsep(&rest, "\n")) && *line;) {
		json_error_t error;
		json_t *value = json_loads(line, 0, &error);
		char heading[64];
		snprintf(heading, sizeof(heading), "\n## %s\n", json_string_value(json_object_get(value, "type")));
		char *own = section(doc, heading);
		assert_non_null(strstr(own, "```json\n"));
		check_keys(value, own, common);
		check_examples(own);
		free(own);
		json_decref(value);
	}
	free(common);
	free(all);
	free(doc);
}

static void a_line_too_long_for_its_buffer_is_said_to_be(void **state)
{
	(void)state;
	char line[40];
	for (size_t cap = 0; cap < 29; cap++) {
		struct jsonout json = jsonout_over(line, cap);
		jsonout_object(&json, NULL);
		jsonout_word(&json, "key", "value");
		jsonout_number(&json, "n", 12345);
		jsonout_object_end(&json);
		size_t len;
		assert_int_equal(jsonout_done(&json, &len), cap >= 26);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_line_is_json_that_another_parser_reads),
		cmocka_unit_test(credentials_show_only_where_asked_for_and_secrets_never),
		cmocka_unit_test(one_flow_shows_its_credentials_by_rule_and_the_next_does_not),
		cmocka_unit_test(what_is_no_utf8_is_replaced_and_the_rest_escaped),
		cmocka_unit_test(every_field_is_documented_and_every_example_is_json),
		cmocka_unit_test(a_line_too_long_for_its_buffer_is_said_to_be),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
