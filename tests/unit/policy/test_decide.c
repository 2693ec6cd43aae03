#include "pki/verify.h"
#include "policy/rules.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include <cmocka.h>

/* Of this thread: a busy machine does not count. */
static uint64_t cpu_ns(void)
{
	struct timespec now;
	assert_int_equal(clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now), 0);
	return (uint64_t)now.tv_sec * 1000000000ULL + (uint64_t)now.tv_nsec;
}

static struct policy *rules(const char *text)
{
	struct error err;
	struct policy *policy = policy_parse(bytes_str(text), "rules.yaml", NULL, &err);
	if (!policy)
		fail_msg("%s", err.text);
	return policy;
}

static struct hostport ip(const char *text)
{
	struct hostport out;
	if (!hostport_parse_ip(&out, text))
		fail_msg("%s is no address", text);
	return out;
}

/* Everything known: a TLS client at 192.0.2.1 asking a good server on 443 for `name` after CONNECT to it. */
static struct policy_facts visit(const char *name)
{
	return (struct policy_facts){
		.known = POLICY_PASS_SECOND,
		.client = ip("192.0.2.1"),
		.server = ip("198.51.100.1"),
		.port = 443,
		.connect_name = bytes_str(name),
		.sni = bytes_str(name),
		.alpn = bytes_str("\x02h2\x08http/1.1"),
		.ja4 = bytes_str("t13d1516h2_8daaf6152771_e5627efa2ab1"),
		.issuer_cn = bytes_str("R11"),
		.issuer_o = bytes_str("Let's Encrypt"),
	};
}

static void decides(const struct policy *policy, const struct policy_facts *facts, enum policy_action action, int rule)
{
	struct policy_verdict v;
	if (!policy_decide(policy, facts, &v))
		fail_msg("undecided, waits for %#x", v.waits_for);
	if (v.action != action || v.rule != rule)
		fail_msg("%s by %s", policy_action_name(v.action), v.label);
}

static void without_rules_everything_but_the_sensitive_is_inspected(void **state)
{
	(void)state;
	struct policy *policy = rules("");
	struct policy_facts facts = visit("www.example.com");
	decides(policy, &facts, POLICY_INSPECT, POLICY_RULE_DEFAULT);
	facts = visit("www.paypal.com");
	decides(policy, &facts, POLICY_BYPASS, POLICY_RULE_SENSITIVE);
	facts = visit("any.bank");
	decides(policy, &facts, POLICY_BYPASS, POLICY_RULE_SENSITIVE);
	policy_drop(policy);
	policy = rules("sensitive: false\ndefault: block\n");
	decides(policy, &facts, POLICY_BLOCK, POLICY_RULE_DEFAULT);
	policy_drop(policy);
}

static void only_an_explicit_rule_overrides_the_sensitive_list(void **state)
{
	(void)state;
	struct policy *policy =
		rules("default: block\nrules:\n  - match: {name: www.paypal.com}\n    action: inspect\n");
	struct policy_facts facts = visit("www.paypal.com");
	decides(policy, &facts, POLICY_INSPECT, 0);
	facts = visit("api.paypal.com");
	decides(policy, &facts, POLICY_BYPASS, POLICY_RULE_SENSITIVE);
	policy_drop(policy);
}

static void the_first_rule_that_fits_decides(void **state)
{
	(void)state;
	struct policy *policy = rules("rules:\n"
				      "  - match: {name: .a.test, port: 8443}\n"
				      "    action: block\n"
				      "  - match: {name: .a.test}\n"
				      "    action: inspect\n"
				      "    until: 1k\n"
				      "  - match: {name: www.a.test}\n"
				      "    action: bypass\n");
	struct policy_facts facts = visit("www.a.test");
	struct policy_verdict v;
	assert_true(policy_decide(policy, &facts, &v));
	assert_int_equal(v.rule, 1);
	assert_int_equal(v.line, 4);
	assert_string_equal(v.label, "rules.yaml:4");
	assert_int_equal(v.options.until, 1024);
	facts.port = 8443;
	decides(policy, &facts, POLICY_BLOCK, 0);
	policy_drop(policy);
}

/* One rule with one condition: it blocks if the condition fits. */
static void one(const char *match, const struct policy_facts *facts, bool fits)
{
	char text[400];
	snprintf(text, sizeof(text), "rules:\n  - match: {%s}\n    action: block\n", match);
	struct policy *policy = rules(text);
	struct policy_verdict v;
	assert_true(policy_decide(policy, facts, &v));
	if ((v.action == POLICY_BLOCK) != fits)
		fail_msg("%s %s", match, fits ? "does not fit" : "fits");
	policy_drop(policy);
}

static void every_condition_looks_at_its_fact(void **state)
{
	(void)state;
	struct policy_facts f = visit("www.a.test");
	one("client: 192.0.2.0/24", &f, true);
	one("client: 192.0.3.0/24", &f, false);
	one("client: [10.0.0.0/8, public]", &f, true);
	one("server: private", &f, false);
	one("server: 198.51.100.1", &f, true);
	one("port: [80, 400-500]", &f, true);
	one("port: [80, 444]", &f, false);
	one("name: '*.a.test'", &f, true);
	one("name: a.test", &f, false);
	one("alpn: http/1.1", &f, true);
	one("alpn: [h3, http/1.0]", &f, false);
	one("ja4: t13d1516h2_8daaf6152771_e5627efa2ab1", &f, true);
	one("ja4: t13d*", &f, true);
	one("ja4: t12*", &f, false);
	one("protocol: tls", &f, true);
	one("protocol: [http, plain]", &f, false);
	one("verification: ok", &f, true);
	one("verification: fault", &f, false);
	one("issuer: R11", &f, true);
	one("issuer: Let's Encrypt", &f, true);
	one("issuer: Encrypt", &f, false);
	one("client-certificate: requested", &f, false);
	one("refused: 1", &f, false);
	f.client_certificate_requested = true;
	one("client-certificate: requested", &f, true);
	f.refusals = 2;
	one("refused: 2", &f, true);
	one("refused: 3", &f, false);
	f.faults = VERIFY_FAULT_BIT(VERIFY_EXPIRED);
	one("verification: fault", &f, true);
	one("verification: [wrong-name, expired]", &f, true);
	one("verification: ok", &f, false);
	f.server = (struct hostport){0};
	one("server: ['::/0', loopback]", &f, false);
	f.alpn = bytes_str("\x09h2");
	one("alpn: h2", &f, false);
}

static void a_condition_on_what_is_not_known_stops_everything_below_it(void **state)
{
	(void)state;
	struct policy *policy = rules("rules:\n"
				      "  - match: {port: 8443, alpn: h2}\n"
				      "    action: block\n"
				      "  - match: {client: 192.0.2.1}\n"
				      "    action: inspect\n");
	struct policy_facts facts = visit("www.a.test");
	facts.known = POLICY_PASS_ZERO;
	/* What does not fit on known facts alone is not in the way. */
	decides(policy, &facts, POLICY_INSPECT, 1);
	facts.port = 8443;
	struct policy_verdict v;
	assert_false(policy_decide(policy, &facts, &v));
	assert_false(v.decided);
	assert_int_equal(v.waits_for, POLICY_FACT_ALPN);
	facts.known |= POLICY_FACT_ALPN;
	decides(policy, &facts, POLICY_BLOCK, 0);
	facts.alpn = BYTES_NONE;
	decides(policy, &facts, POLICY_INSPECT, 1);
	policy_drop(policy);
}

static void a_bypass_by_name_waits_for_proof(void **state)
{
	(void)state;
	struct policy *policy = rules("rules:\n"
				      "  - match: {name: app.test}\n"
				      "    action: bypass\n"
				      "  - match: {name: fast.test}\n"
				      "    action: bypass\n"
				      "    unverified: true\n"
				      "  - match: {name: old.test, verification: expired}\n"
				      "    action: bypass\n"
				      "  - match: {client: 192.0.2.1, port: 993}\n"
				      "    action: bypass\n");
	struct policy_facts facts = visit("app.test");
	struct policy_verdict v;
	facts.known = POLICY_PASS_FIRST;
	assert_false(policy_decide(policy, &facts, &v));
	assert_true(v.needs_verification);
	assert_int_equal(v.waits_for, POLICY_FACT_VERIFICATION);
	facts.known = POLICY_PASS_SECOND;
	assert_true(policy_decide(policy, &facts, &v));
	assert_int_equal(v.action, POLICY_BYPASS);
	assert_true(v.needs_verification);
	assert_null(v.distrusted);
	/* A server that cannot prove the name earns no bypass by it. */
	facts.faults = VERIFY_FAULT_BIT(VERIFY_WRONG_NAME);
	assert_true(policy_decide(policy, &facts, &v));
	assert_int_equal(v.rule, POLICY_RULE_DEFAULT);
	assert_int_equal(v.action, POLICY_INSPECT);
	assert_string_equal(v.distrusted, "rules.yaml:2");

	facts = visit("fast.test");
	facts.known = POLICY_PASS_FIRST;
	assert_true(policy_decide(policy, &facts, &v));
	assert_int_equal(v.action, POLICY_BYPASS);
	assert_false(v.needs_verification);

	facts = visit("old.test");
	facts.faults = VERIFY_FAULT_BIT(VERIFY_EXPIRED);
	decides(policy, &facts, POLICY_BYPASS, 2);
	/* Forgiving one fault forgives no other. */
	facts.faults |= VERIFY_FAULT_BIT(VERIFY_WRONG_NAME);
	decides(policy, &facts, POLICY_INSPECT, POLICY_RULE_DEFAULT);

	/* Addresses and ports are no claims. */
	facts = visit("mail.test");
	facts.port = 993;
	facts.known = POLICY_PASS_FIRST;
	decides(policy, &facts, POLICY_BYPASS, 3);
	policy_drop(policy);
}

static struct policy_facts fronted(const char *connect, const char *sni)
{
	struct policy_facts facts = visit(sni);
	facts.connect_name = bytes_str(connect);
	return facts;
}

static void fronting_never_escapes_a_block_nor_earns_a_bypass(void **state)
{
	(void)state;
	struct policy *policy = rules("rules:\n"
				      "  - match: {name: evil.test}\n"
				      "    action: block\n"
				      "  - match: {name: .bank.test}\n"
				      "    action: bypass\n");
	struct policy_facts f = fronted("evil.test", "good.test");
	decides(policy, &f, POLICY_BLOCK, 0);
	f = fronted("good.test", "evil.test");
	decides(policy, &f, POLICY_BLOCK, 0);
	f = fronted("bank.test", "good.test");
	decides(policy, &f, POLICY_INSPECT, POLICY_RULE_DEFAULT);
	f = fronted("good.test", "bank.test");
	decides(policy, &f, POLICY_INSPECT, POLICY_RULE_DEFAULT);
	f = fronted("a.bank.test", "b.bank.test");
	decides(policy, &f, POLICY_BYPASS, 1);
	f = fronted("BANK.test.", "bank.TEST");
	decides(policy, &f, POLICY_BYPASS, 1);
	/* Without an SNI the CONNECT name stands for it; an address after CONNECT is no name. */
	f = fronted("bank.test", "");
	decides(policy, &f, POLICY_BYPASS, 1);
	f = fronted("198.51.100.1", "bank.test");
	decides(policy, &f, POLICY_BYPASS, 1);
	f = fronted("2001:db8::1", "bank.test");
	decides(policy, &f, POLICY_BYPASS, 1);
	/* An SNI that is no name is one more name, and fits nothing. */
	f = fronted("bank.test", "198.51.100.1");
	decides(policy, &f, POLICY_INSPECT, POLICY_RULE_DEFAULT);
	f = fronted("bank.test", "b nk.test");
	decides(policy, &f, POLICY_INSPECT, POLICY_RULE_DEFAULT);
	policy_drop(policy);
}

static void a_connect_name_alone_is_enough_to_block_but_not_to_bypass(void **state)
{
	(void)state;
	struct policy *policy = rules("rules:\n"
				      "  - match: {name: evil.test}\n"
				      "    action: block\n"
				      "  - match: {name: .bank.test}\n"
				      "    action: bypass\n"
				      "    unverified: true\n"
				      "  - match: {port: 443}\n"
				      "    action: inspect\n");
	struct policy_facts f = visit("evil.test");
	f.known = POLICY_PASS_ZERO;
	decides(policy, &f, POLICY_BLOCK, 0);
	f = visit("bank.test");
	f.known = POLICY_PASS_ZERO;
	struct policy_verdict v;
	assert_false(policy_decide(policy, &f, &v));
	assert_int_equal(v.waits_for, POLICY_FACT_SNI);
	policy_drop(policy);
}

static void refusals_bypass_only_where_a_rule_says_so(void **state)
{
	(void)state;
	struct policy *policy = rules("rules:\n"
				      "  - match: {name: .app.test}\n"
				      "    action: inspect\n"
				      "    refused: bypass\n"
				      "  - match: {refused: 3}\n"
				      "    action: bypass\n");
	struct policy_facts f = visit("x.app.test");
	struct policy_verdict v;
	decides(policy, &f, POLICY_INSPECT, 0);
	f.refusals = 1;
	assert_true(policy_decide(policy, &f, &v));
	assert_int_equal(v.action, POLICY_BYPASS);
	assert_true(v.by_refusal);
	/* A server that does not prove the name gains nothing by refusals. */
	f.faults = VERIFY_FAULT_BIT(VERIFY_SELF_SIGNED);
	assert_true(policy_decide(policy, &f, &v));
	assert_int_equal(v.action, POLICY_INSPECT);
	assert_int_equal(v.rule, 0);
	assert_non_null(v.distrusted);
	f = visit("other.test");
	f.refusals = 2;
	decides(policy, &f, POLICY_INSPECT, POLICY_RULE_DEFAULT);
	f.refusals = 3;
	decides(policy, &f, POLICY_BYPASS, 1);
	policy_drop(policy);
}

static void options_in_force_are_those_of_the_rule_that_decided(void **state)
{
	(void)state;
	struct policy *policy = rules("until: 64KiB\n"
				      "aia: true\n"
				      "rules:\n"
				      "  - match: {verification: fault, name: .lab.test}\n"
				      "    action: inspect\n"
				      "    invalid: mirror\n"
				      "    allow: [no-ems]\n"
				      "  - match: {name: .lab.test}\n"
				      "    action: inspect\n"
				      "    allow: [tls12-rsa]\n"
				      "    mask: false\n"
				      "    require: status\n"
				      "    until: end\n"
				      "    client-cert: {cert: c, key: k}\n");
	struct policy_facts f = visit("a.lab.test");
	struct policy_verdict v;
	f.known = POLICY_PASS_FIRST;
	/* Meanwhile: the most that may still be granted and required. */
	assert_false(policy_decide(policy, &f, &v));
	assert_int_equal(v.options.allow, POLICY_ALLOW_TLS12_RSA | POLICY_ALLOW_NO_EMS);
	assert_int_equal(v.options.require, POLICY_REQUIRE_STATUS);
	assert_int_equal(v.options.invalid, POLICY_INVALID_MIRROR);
	assert_string_equal(v.options.client_cert->cert, "c");
	assert_true(v.options.mask);
	f.known = POLICY_PASS_SECOND;
	assert_true(policy_decide(policy, &f, &v));
	assert_int_equal(v.rule, 1);
	assert_int_equal(v.options.allow, POLICY_ALLOW_TLS12_RSA);
	assert_int_equal(v.options.invalid, POLICY_INVALID_REFUSE);
	assert_false(v.options.mask);
	assert_true(v.options.aia);
	assert_true(v.options.until == POLICY_UNTIL_END);
	f.faults = VERIFY_FAULT_BIT(VERIFY_EXPIRED);
	assert_true(policy_decide(policy, &f, &v));
	assert_int_equal(v.rule, 0);
	assert_int_equal(v.options.allow, POLICY_ALLOW_NO_EMS);
	assert_int_equal(v.options.until, 65536);
	f = visit("www.test");
	assert_true(policy_decide(policy, &f, &v));
	assert_int_equal(v.options.until, 65536);
	assert_int_equal(v.options.allow, 0);
	assert_null(v.options.client_cert);
	policy_drop(policy);
}

static void meanwhile_every_accord_that_may_come_of_it_is_known(void **state)
{
	(void)state;
	struct policy *policy = rules("introduce: sealed\n"
				      "rules:\n"
				      "  - match: {verification: fault}\n"
				      "    action: inspect\n"
				      "    accord: require\n"
				      "  - match: {name: a.test, issuer: \"R11\"}\n"
				      "    action: inspect\n"
				      "    accord: off\n"
				      "    introduce: open\n"
				      "    refused: bypass\n"
				      "  - match: {issuer: \"Nobody\"}\n"
				      "    action: bypass\n");
	struct policy_facts f = visit("a.test");
	struct policy_verdict v;
	f.known = POLICY_PASS_FIRST;
	assert_true(policy_wants_accord(policy));
	assert_false(policy_decide(policy, &f, &v));
	assert_int_equal(v.options.accord, POLICY_ACCORD_REQUIRE | POLICY_ACCORD_OFF | POLICY_ACCORD_CONFIGURED);
	assert_true(v.options.sealed);
	f.known = POLICY_PASS_SECOND;
	assert_true(policy_decide(policy, &f, &v));
	assert_int_equal(v.rule, 1);
	assert_int_equal(v.options.accord, POLICY_ACCORD_OFF);
	assert_false(v.options.sealed);
	assert_true(v.options.aside_when_refused);
	f = visit("b.test");
	assert_true(policy_decide(policy, &f, &v));
	assert_int_equal(v.options.accord, POLICY_ACCORD_CONFIGURED);
	assert_true(v.options.sealed);
	assert_false(v.options.aside_when_refused);
	policy_drop(policy);
	policy = rules("accord-purpose: malware\nrules:\n  - match: {verification: fault}\n    action: inspect\n"
		       "    accord-purpose: 230\n");
	f.known = POLICY_PASS_FIRST;
	assert_false(policy_decide(policy, &f, &v));
	assert_true(v.options.has_purpose && v.options.purpose == 0);
	f.known = POLICY_PASS_SECOND;
	assert_true(policy_decide(policy, &f, &v));
	assert_true(v.options.has_purpose && v.options.purpose == 1);
	policy_drop(policy);
	policy = rules("accord: off\nrules:\n  - match: {port: 1}\n    action: bypass\n");
	assert_false(policy_wants_accord(policy));
	policy_drop(policy);
}

static void what_a_blocking_rule_inherits_is_not_granted_meanwhile(void **state)
{
	(void)state;
	struct policy *policy = rules("allow: loopback\n"
				      "rules:\n"
				      "  - match: {verification: fault}\n"
				      "    action: block\n"
				      "  - match: {port: 443}\n"
				      "    action: inspect\n"
				      "    allow: metadata\n");
	struct policy_facts f = visit("a.test");
	struct policy_verdict v;
	f.known = POLICY_PASS_FIRST;
	assert_false(policy_decide(policy, &f, &v));
	assert_int_equal(v.options.allow, POLICY_ALLOW_METADATA);
	policy_drop(policy);
}

static bool permits(const struct policy *policy, const char *server, const char *connect)
{
	struct policy_facts f = visit(connect);
	f.known = POLICY_PASS_ZERO;
	f.server = ip(server);
	return policy_permits_target(policy, &f);
}

static void this_machine_and_its_credentials_are_reached_only_where_allowed(void **state)
{
	(void)state;
	struct policy *policy = rules("");
	assert_true(permits(policy, "198.51.100.1", "a.test"));
	assert_true(permits(policy, "10.0.0.1", "a.test"));
	assert_false(permits(policy, "127.0.0.1", "localhost"));
	assert_false(permits(policy, "::ffff:127.0.0.1", "a.test"));
	assert_false(permits(policy, "169.254.169.254", "a.test"));
	assert_false(permits(policy, "fe80::1", "a.test"));
	policy_drop(policy);

	policy = rules("allow: loopback\nrules:\n  - match: {name: gone.test}\n    action: block\n");
	assert_true(permits(policy, "127.0.0.1", "localhost"));
	assert_false(permits(policy, "127.0.0.1", "gone.test"));
	assert_false(permits(policy, "169.254.169.254", "a.test"));
	policy_drop(policy);

	policy = rules("rules:\n"
		       "  - match: {alpn: h2}\n"
		       "    action: inspect\n"
		       "    allow: [metadata]\n"
		       "  - match: {name: dev.test, server: loopback}\n"
		       "    action: inspect\n"
		       "    allow: [loopback]\n"
		       "  - match: {name: gone.test}\n"
		       "    action: block\n");
	assert_true(permits(policy, "127.0.0.1", "dev.test"));
	/* A name that resolves to this machine does not become one that may. */
	assert_false(permits(policy, "127.0.0.1", "evil.test"));
	assert_false(permits(policy, "127.0.0.1", "gone.test"));
	/* What the hello says grants nothing, neither before it is there nor after. */
	assert_false(permits(policy, "169.254.169.254", "a.test"));
	struct policy_facts f = visit("a.test");
	f.server = ip("169.254.169.254");
	assert_false(policy_permits_target(policy, &f));
	policy_drop(policy);
}

static void a_rule_tells_why_it_does_not_fit(void **state)
{
	(void)state;
	struct policy *policy = rules("rules:\n"
				      "  - match: {port: 8443, name: a.test}\n"
				      "    action: block\n"
				      "  - match: {name: a.test}\n"
				      "    action: bypass\n");
	struct policy_facts f = visit("a.test");
	const char *why = NULL;
	assert_int_equal(policy_rule_fit(policy, 0, &f, &why), POLICY_FITS_NOT);
	assert_string_equal(why, "port");
	assert_int_equal(policy_rule_fit(policy, 1, &f, &why), POLICY_FITS);
	assert_null(why);
	f.known = POLICY_PASS_FIRST;
	assert_int_equal(policy_rule_fit(policy, 1, &f, &why), POLICY_OPEN);
	assert_string_equal(why, "verification");
	assert_int_equal(policy_rule_fit(policy, POLICY_RULE_DEFAULT, &f, &why), POLICY_FITS);
	assert_int_equal(policy_rule_fit(policy, 7, &f, &why), POLICY_FITS_NOT);
	policy_drop(policy);
}

/* A generator that repeats: xorshift64. */
static uint64_t seed = 88172645463325252ULL;

static unsigned dice(unsigned sides)
{
	seed ^= seed << 13;
	seed ^= seed >> 7;
	seed ^= seed << 17;
	return (unsigned)(seed >> 33) % sides;
}

static struct policy *random_rules(void)
{
	static const char *const conditions[] = {"client: 192.0.2.0/24", "server: private", "port: 443",
		"protocol: tls", "name: .a.test", "name: [b.test, a.test]", "alpn: h2", "ja4: t13*", "refused: 2",
		"verification: [expired, wrong-name]", "verification: ok", "issuer: R11",
		"client-certificate: requested"};
	static const char *const ends[] = {"action: inspect", "action: bypass", "action: block",
		"action: bypass, unverified: true", "action: inspect, refused: bypass", "action: inspect, until: 1k"};
	char text[2000];
	size_t at = (size_t)sprintf(text, "default: %s\nrules:\n", dice(2) ? "inspect" : "block");
	for (unsigned rule = dice(6); rule > 0; rule--) {
		unsigned first = dice(13);
		at += (size_t)sprintf(text + at, "  - {match: {%s", conditions[first]);
		unsigned second = dice(13);
		/* Keys must differ, and some stand twice in the table. */
		if (second != first && strncmp(conditions[first], conditions[second], 4) != 0)
			at += (size_t)sprintf(text + at, ", %s", conditions[second]);
		at += (size_t)sprintf(text + at, "}, %s}\n", ends[dice(6)]);
	}
	return rules(text);
}

static struct policy_facts random_facts(void)
{
	static const char *const names[] = {"a.test", "b.test", "x.a.test", "", "192.0.2.9", "any.bank"};
	struct policy_facts f = visit(names[dice(6)]);
	f.connect_name = dice(2) ? f.sni : bytes_str(names[dice(6)]);
	f.server = ip(dice(2) ? "10.0.0.1" : "198.51.100.1");
	f.port = dice(2) ? 443 : 80;
	f.protocol = (enum policy_protocol)dice(3);
	f.refusals = dice(3);
	f.client_certificate_requested = dice(2);
	f.faults = dice(2) ? 0 : VERIFY_FAULT_BIT(VERIFY_EXPIRED) | (dice(2) ? VERIFY_FAULT_BIT(VERIFY_REVOKED) : 0);
	if (dice(2))
		f.alpn = BYTES_NONE;
	return f;
}

static void knowing_more_never_takes_a_verdict_back(void **state)
{
	(void)state;
	unsigned early = 0;
	for (unsigned round = 0; round < 3000; round++) {
		struct policy *policy = random_rules();
		struct policy_facts all = random_facts();
		struct policy_verdict last, v;
		assert_true(policy_decide(policy, &all, &last));
		struct policy_facts some = all;
		some.known = 0;
		while (some.known != POLICY_PASS_SECOND) {
			bool decided = policy_decide(policy, &some, &v);
			if (decided && (v.rule != last.rule || v.action != last.action ||
					       v.options.until != last.options.until))
				fail_msg("with %#x: %s by %s; in the end %s by %s", some.known,
					policy_action_name(v.action), v.label, policy_action_name(last.action),
					last.label);
			early += decided;
			assert_true(decided || (v.waits_for & ~some.known) == v.waits_for);
			assert_true(decided || v.waits_for != 0);
			some.known |= 1U << dice(12);
		}
		policy_drop(policy);
	}
	/* The property would hold of a function that never decides early, too. */
	assert_true(early > 3000);
}

static void a_verdict_is_quick(void **state)
{
	(void)state;
	char text[6000];
	size_t at = (size_t)sprintf(text, "rules:\n");
	for (unsigned i = 0; i < 20; i++)
		at += (size_t)sprintf(text + at,
			"  - {match: {name: [.zone%u.test, host%u.test], port: 443}, action: bypass}\n", i, i);
	struct policy *policy = rules(text);
	struct policy_facts f = visit("www.cdn.example.com");
	enum { ROUNDS = 20000 };
	struct policy_verdict v;
	uint64_t start = cpu_ns();
	for (unsigned i = 0; i < ROUNDS; i++)
		assert_true(policy_decide(policy, &f, &v));
	double many = (double)(cpu_ns() - start) / ROUNDS;
	policy_drop(policy);
	policy = rules("");
	start = cpu_ns();
	for (unsigned i = 0; i < ROUNDS; i++)
		assert_true(policy_decide(policy, &f, &v));
	double none = (double)(cpu_ns() - start) / ROUNDS;
	policy_drop(policy);
	print_message(
		"# a verdict: %.0f ns with the sensitive list alone, %.0f ns behind 20 rules of names\n", none, many);
	/* Release builds stay under 1 us for the first; sanitizers and a busy machine get far more. */
	assert_true(none < 20000);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(without_rules_everything_but_the_sensitive_is_inspected),
		cmocka_unit_test(only_an_explicit_rule_overrides_the_sensitive_list),
		cmocka_unit_test(the_first_rule_that_fits_decides),
		cmocka_unit_test(every_condition_looks_at_its_fact),
		cmocka_unit_test(a_condition_on_what_is_not_known_stops_everything_below_it),
		cmocka_unit_test(a_bypass_by_name_waits_for_proof),
		cmocka_unit_test(fronting_never_escapes_a_block_nor_earns_a_bypass),
		cmocka_unit_test(a_connect_name_alone_is_enough_to_block_but_not_to_bypass),
		cmocka_unit_test(refusals_bypass_only_where_a_rule_says_so),
		cmocka_unit_test(options_in_force_are_those_of_the_rule_that_decided),
		cmocka_unit_test(meanwhile_every_accord_that_may_come_of_it_is_known),
		cmocka_unit_test(what_a_blocking_rule_inherits_is_not_granted_meanwhile),
		cmocka_unit_test(this_machine_and_its_credentials_are_reached_only_where_allowed),
		cmocka_unit_test(a_rule_tells_why_it_does_not_fit),
		cmocka_unit_test(knowing_more_never_takes_a_verdict_back),
		cmocka_unit_test(a_verdict_is_quick),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
