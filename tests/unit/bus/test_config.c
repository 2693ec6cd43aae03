#include "bus/config.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

static void nodes_are_read_with_their_ports_and_without(void **state)
{
	(void)state;
	struct bus_plan plan = {0};
	struct error err;
	assert_true(bus_plan_node(&plan, "n1=n1.example.org", &err));
	assert_true(bus_plan_node(&plan, "n2=localhost:1:65535", &err));
	assert_int_equal(plan.nodes[0].port, 4222);
	assert_int_equal(plan.nodes[0].routes, 6222);
	assert_int_equal(plan.nodes[1].port, 1);
	assert_int_equal(plan.nodes[1].routes, 65535);
	assert_string_equal(plan.nodes[0].host, "n1.example.org");
}

static void what_is_no_node_is_refused(void **state)
{
	(void)state;
	static const char *const bad[] = {"", "n", "n=", "=h", "n=h:", "n=h:0", "n=h:65536", "n=h:1:2:3",
		"n=h:1:", "n=127.0.0.1", "n=1.2", "n=::1", "n=[::1]", "n=h\"x", "n=h x", "a.b=h", "*=h", "n=.h",
		"n=h."};
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		struct bus_plan plan = {0};
		struct error err = {""};
		assert_false(bus_plan_node(&plan, bad[i], &err));
		assert_true(err.text[0] != '\0');
		assert_int_equal(plan.node_count, 0);
	}
	struct bus_plan plan = {0};
	assert_true(bus_plan_node(&plan, "n=h", NULL));
	assert_false(bus_plan_node(&plan, "n=other", NULL));
}

static void a_certificate_has_one_role(void **state)
{
	(void)state;
	static struct bus_plan plan;
	const uint8_t id[SEAL_KEY_ID] = {1};
	assert_true(bus_plan_collector(&plan, "c1=paris", NULL));
	assert_false(bus_plan_collector(&plan, "c1=oslo", NULL));
	assert_false(bus_plan_reader(&plan, "c1", id, NULL));
	assert_false(bus_plan_reader(&plan, BUS_ADMIN, id, NULL));
	assert_true(bus_plan_reader(&plan, "ops", id, NULL));
	assert_false(bus_plan_collector(&plan, "ops=paris", NULL));
	assert_false(bus_plan_collector(&plan, "c2=*", NULL));
	assert_false(bus_plan_collector(&plan, "c2=a.b", NULL));
	assert_false(bus_plan_collector(&plan, "c\"2=a", NULL));
	assert_false(bus_plan_collector(&plan, "c2", NULL));
	assert_int_equal(plan.collector_count, 1);
	assert_int_equal(plan.reader_count, 1);
}

static char *text_of(bool (*write)(const struct bus_plan *plan, struct writer *to), const struct bus_plan *plan)
{
	static char room[65536];
	struct writer to = writer_over(room, sizeof(room) - 1);
	assert_true(write(plan, &to));
	room[to.len] = '\0';
	return room;
}

static void a_reader_may_do_nothing_but_read_its_own_stream(void **state)
{
	(void)state;
	static struct bus_plan plan;
	const uint8_t id[SEAL_KEY_ID] = {0xab};
	assert_true(bus_plan_collector(&plan, "c1=paris", NULL));
	assert_true(bus_plan_reader(&plan, "ops", id, NULL));
	const char *text = text_of(bus_config_users, &plan);
	const char *reader = strstr(text, "  READER_ab000000000000000000000000000000 {");
	assert_non_null(reader);
	assert_non_null(
		strstr(reader, "subscribe: { allow: [ \"_INBOX.reader.ab000000000000000000000000000000.>\" ] }"));
	for (const char *at = strstr(reader, "$JS."); at; at = strstr(at + 1, "$JS."))
		assert_int_equal(strncmp(strstr(at, "OVERT_"), "OVERT_ab000000000000000000000000000000", 38), 0);
	assert_null(strstr(reader, "CREATE"));
	assert_null(strstr(reader, "overt.keys"));
	const char *collector = strstr(text, "\"CN=c1\"");
	assert_non_null(strstr(collector, "publish: { allow: [ \"overt.keys.paris.>\" ] }"));
}

/* The text from one sign up to another. */
static const char *between(const char *text, const char *from, const char *to)
{
	static char room[65536];
	const char *at = strstr(text, from), *end = at ? strstr(at, to) : NULL;
	assert_non_null(end);
	snprintf(room, sizeof(room), "%.*s", (int)(end - at), at);
	return room;
}

static void each_site_and_each_key_has_an_account_without_jetstream(void **state)
{
	(void)state;
	static struct bus_plan plan;
	const uint8_t one[SEAL_KEY_ID] = {1}, two[SEAL_KEY_ID] = {2};
	assert_true(bus_plan_collector(&plan, "c1=paris", NULL));
	assert_true(bus_plan_collector(&plan, "c2=oslo", NULL));
	assert_true(bus_plan_collector(&plan, "c3=paris", NULL));
	assert_true(bus_plan_reader(&plan, "ops", one, NULL));
	assert_true(bus_plan_reader(&plan, "eve", two, NULL));
	assert_true(bus_plan_reader(&plan, "ops-too", one, NULL));
	char *text = text_of(bus_config_users, &plan);
	/* Once each, with all who belong there. */
	const char *paris = strstr(text, "  SITE_paris {");
	assert_null(strstr(paris + 1, "  SITE_paris {"));
	paris = between(text, "  SITE_paris {", "\n  }\n");
	assert_true(strstr(paris, "CN=c1") && strstr(paris, "CN=c3"));
	assert_true(!strstr(paris, "CN=c2") && !strstr(paris, "oslo") && !strstr(paris, "jetstream"));
	const char *ops = between(text, "  READER_01000000000000000000000000000000 {", "\n  }\n");
	assert_true(strstr(ops, "CN=ops\"") && strstr(ops, "CN=ops-too\""));
	assert_true(!strstr(ops, "OVERT_02") && !strstr(ops, "CN=eve") && !strstr(ops, "jetstream"));
	/* Where JetStream is, there is the administrator alone. */
	const char *overt = between(text, "  OVERT {", "\n  }\n");
	assert_non_null(strstr(overt, "users: [ { user: \"CN=" BUS_ADMIN "\" } ]"));
	assert_null(strstr(strstr(overt, "user: ") + 1, "user: "));
	for (const char *at = strstr(overt, "service:"); at; at = strstr(at + 1, "service:"))
		assert_true(strstr(at, "accounts: [ ") < strchr(at, '\n'));
}

static bool write_first(const struct bus_plan *plan, struct writer *to)
{
	return bus_config_node(plan, 0, "/etc/overt bus", to);
}

static bool write_quoted(const struct bus_plan *plan, struct writer *to)
{
	return bus_config_node(plan, 0, "/etc/\" } x {", to);
}

static void a_node_asks_for_certificates_everywhere_and_knows_the_others(void **state)
{
	(void)state;
	static struct bus_plan plan;
	uint8_t room[8192];
	struct writer to = writer_over(room, sizeof(room)), small = writer_over(room, 64);
	plan.store = (uint64_t)5 << 20;
	assert_true(bus_plan_node(&plan, "n1=a.test:1:2", NULL));
	assert_null(strstr(text_of(write_first, &plan), "cluster"));
	assert_true(bus_plan_node(&plan, "n2=b.test:3:4", NULL));
	const char *text = text_of(write_first, &plan);
	assert_non_null(strstr(text, "verify_and_map: true"));
	assert_non_null(strstr(text, "verify_cert_and_check_known_urls: true"));
	assert_non_null(strstr(text, "cert_file: \"/etc/overt bus/node.pem\""));
	assert_non_null(strstr(text, "nats-route://b.test:4"));
	assert_null(strstr(text, "nats-route://a.test"));
	assert_non_null(strstr(text, "max_file_store: 5MB"));
	assert_false(write_quoted(&plan, &to));
	assert_false(write_first(&plan, &small));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(nodes_are_read_with_their_ports_and_without),
		cmocka_unit_test(what_is_no_node_is_refused),
		cmocka_unit_test(a_certificate_has_one_role),
		cmocka_unit_test(a_reader_may_do_nothing_but_read_its_own_stream),
		cmocka_unit_test(each_site_and_each_key_has_an_account_without_jetstream),
		cmocka_unit_test(a_node_asks_for_certificates_everywhere_and_knows_the_others),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
