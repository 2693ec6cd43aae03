/* overt check — is this rules file right, and which of its rules would decide a connection? Opens nothing but files. */
#include "accord/purpose.h"
#include "base/fold.h"
#include "base/text.h"
#include "cli/options.h"
#include "cli/verbs.h"
#include "pact/pact.h"
#include "pact/rulebook.h"
#include "pki/accord_ca.h"
#include "pki/file.h"
#include "pki/verify.h"
#include "policy/files.h"
#include "policy/suggest.h"

#include <stdio.h>

/* What is asked about, from the command line. */
struct question {
	const char *file;
	const char *state; /* where the Accord anchor should stand; NULL: not asked */
	bool aware;        /* the file holds the rules of an aware server */
	bool asked;        /* any option at all: then a verdict is printed */
	struct policy_facts facts;
	uint8_t alpn[512];
};

struct option {
	const char *name;
	unsigned fact;     /* enum policy_fact that it makes known */
	const char *value; /* NULL: takes none */
	bool (*read)(struct question *q, const char *value);
	const char *doc;
};

static bool read_address(struct hostport *out, const char *value)
{
	return hostport_parse_ip(out, value);
}

static bool read_client(struct question *q, const char *value)
{
	return read_address(&q->facts.client, value);
}

static bool read_server(struct question *q, const char *value)
{
	return read_address(&q->facts.server, value);
}

static bool read_port(struct question *q, const char *value)
{
	uint64_t port;
	if (!text_number(bytes_str(value), UINT16_MAX, &port) || port == 0)
		return false;
	q->facts.port = (uint16_t)port;
	return true;
}

static bool read_name(struct question *q, const char *value)
{
	q->facts.sni = bytes_str(value);
	return true;
}

static bool read_connect(struct question *q, const char *value)
{
	q->facts.connect_name = bytes_str(value);
	return true;
}

/* Between commas, as in h2,http/1.1. */
static bool read_alpn(struct question *q, const char *value)
{
	struct writer w = writer_over(q->alpn, sizeof(q->alpn));
	struct bytes rest = bytes_str(value), protocol;
	while (rest.len > 0) {
		size_t comma = bytes_find(rest, ',', 0);
		if (comma == 0 || comma > UINT8_MAX || !bytes_take(&rest, comma, &protocol))
			return false;
		writer_vec8(&w, protocol);
		(void)!bytes_skip(&rest, rest.len > 0);
	}
	return writer_done(&w, &q->facts.alpn);
}

static bool read_ja4(struct question *q, const char *value)
{
	q->facts.ja4 = bytes_str(value);
	return true;
}

static bool read_protocol(struct question *q, const char *value)
{
	static const char *const words[] = {
		[POLICY_PROTOCOL_TLS] = "tls", [POLICY_PROTOCOL_HTTP] = "http", [POLICY_PROTOCOL_PLAIN] = "plain"};
	for (unsigned i = 0; i < 3; i++) {
		if (strcmp(value, words[i]) == 0) {
			q->facts.protocol = (enum policy_protocol)i;
			return true;
		}
	}
	return false;
}

static bool read_refused(struct question *q, const char *value)
{
	uint64_t n;
	if (!text_number(bytes_str(value), UINT32_MAX, &n))
		return false;
	q->facts.refusals = (uint32_t)n;
	return true;
}

static bool read_verification(struct question *q, const char *value)
{
	struct bytes rest = bytes_str(value), word;
	q->facts.faults = 0;
	while (rest.len > 0) {
		enum verify_fault fault;
		if (!bytes_take(&rest, bytes_find(rest, ',', 0), &word) || !verify_fault_find(word, &fault))
			return false;
		q->facts.faults |= VERIFY_FAULT_BIT(fault);
		(void)!bytes_skip(&rest, rest.len > 0);
	}
	return true;
}

static bool read_issuer(struct question *q, const char *value)
{
	q->facts.issuer_cn = q->facts.issuer_o = bytes_str(value);
	return true;
}

static bool read_certificate(struct question *q, const char *value)
{
	(void)value;
	q->facts.client_certificate_requested = true;
	return true;
}

static const struct option options[] = {
	{"name", POLICY_FACT_SNI, "NAME", read_name, "the SNI, and the CONNECT name unless --connect says another"},
	{"connect", POLICY_FACT_CONNECT_NAME, "NAME", read_connect, "the CONNECT name"},
	{"client", POLICY_FACT_CLIENT, "ADDRESS", read_client, "the client's address"},
	{"server", POLICY_FACT_SERVER, "ADDRESS", read_server, "the server's address"},
	{"port", POLICY_FACT_PORT, "N", read_port, "the server's port [443]"},
	{"protocol", POLICY_FACT_PROTOCOL, "WORD", read_protocol, "tls, http or plain [tls]"},
	{"alpn", POLICY_FACT_ALPN, "A,B", read_alpn, "the protocols that the client offers"},
	{"ja4", POLICY_FACT_JA4, "TEXT", read_ja4, "the client's fingerprint"},
	{"refused", POLICY_FACT_REFUSALS, "N", read_refused, "how often the client refused the leaf [0]"},
	{"verification", POLICY_FACT_VERIFICATION, "A,B", read_verification,
		"faults of the upstream chain, or ok [ok]"},
	{"issuer", POLICY_FACT_ISSUER, "TEXT", read_issuer, "CN or O of the issuer of the server's leaf"},
	{"client-certificate", POLICY_FACT_CLIENT_CERTIFICATE, NULL, read_certificate, "the server asks for one [no]"},
};
enum { OPTIONS = sizeof(options) / sizeof(options[0]) };

static void say_option(const char *option, const char *doc)
{
	printf("  %-24s", option);
	fold(stdout, doc, 26, 26, FOLD_COLUMNS);
	puts("");
}

static int help(void)
{
	puts("usage: overt check RULES [OPTIONS]\n\n"
	     "Reads a rules file and the lists it names, and says what is wrong with it. With\n"
	     "options, it says which rule would decide a connection, and why the rules above\n"
	     "it would not. Exit code: 0 right, 2 wrong.\n");
	say_option("--state DIR", "look for the Accord anchor there, too");
	say_option("--accord-server", "the file holds the rules of an aware server");
	for (size_t i = 0; i < OPTIONS; i++) {
		char left[48];
		snprintf(left, sizeof(left), "--%s %s", options[i].name, options[i].value ? options[i].value : "");
		say_option(left, options[i].doc);
	}
	return 0;
}

static bool unknown_option(const char *word, struct error *err)
{
	const char *near = suggest(word + 2, options, OPTIONS, sizeof(options[0]));
	if (near)
		return error_set(err, "unknown option %s; did you mean --%s?", word, near);
	return error_set(err, "unknown option %s; `overt check --help` lists them", word);
}

/* Those that describe no connection. False: the word is none of them. */
static bool read_own_option(struct question *q, int argc, char **argv, int *at)
{
	if (strcmp(argv[*at], "--accord-server") == 0) {
		q->aware = true;
		return true;
	}
	if (strcmp(argv[*at], "--state") != 0 || *at + 1 >= argc)
		return false;
	q->state = argv[++*at];
	return true;
}

/* Reads the option at argv[*at] and leaves *at at its last word. */
static bool read_option(struct question *q, int argc, char **argv, int *at, struct error *err)
{
	const char *word = argv[*at];
	size_t i = 0;
	while (i < OPTIONS && (strncmp(word, "--", 2) != 0 || strcmp(word + 2, options[i].name) != 0))
		i++;
	if (i == OPTIONS)
		return unknown_option(word, err);
	const char *value = "";
	if (options[i].value) {
		if (*at + 1 >= argc)
			return error_set(err, "%s needs a value: %s", word, options[i].value);
		value = argv[++*at];
	}
	if (!options[i].read(q, value))
		return error_set(
			err, "%s: \"%s\" is not right; expected %s: %s", word, value, options[i].value, options[i].doc);
	q->facts.known |= options[i].fact;
	q->asked = true;
	return true;
}

static bool read_arguments(struct question *q, int argc, char **argv, struct error *err)
{
	/* What goes without saying for a web server that is what it says. */
	q->facts = (struct policy_facts){
		.known = POLICY_FACT_PORT | POLICY_FACT_PROTOCOL | POLICY_FACT_REFUSALS | POLICY_FACT_VERIFICATION |
	                 POLICY_FACT_CLIENT_CERTIFICATE,
		.port = 443,
	};
	for (int i = 1; i < argc; i++) {
		if (argv[i][0] == '-' && argv[i][1]) {
			if (!read_own_option(q, argc, argv, &i) && !read_option(q, argc, argv, &i, err))
				return false;
		} else if (q->file) {
			return error_set(err, "one file at a time: %s or %s?", q->file, argv[i]);
		} else {
			q->file = argv[i];
		}
	}
	if (!q->file)
		return error_set(err, "which rules? overt check RULES");
	bool named = (q->facts.known & POLICY_FACT_SNI) != 0;
	if (named && !(q->facts.known & POLICY_FACT_CONNECT_NAME)) {
		q->facts.connect_name = q->facts.sni;
		q->facts.known |= POLICY_FACT_CONNECT_NAME;
	}
	return true;
}

static void print_rule(const struct policy *policy, int rule, const struct policy_facts *facts)
{
	const char *condition = NULL;
	enum policy_fit fit = policy_rule_fit(policy, rule, facts, &condition);
	const char *label = policy_rule_label(policy, rule);
	if (fit == POLICY_FITS)
		printf("%-32s fits\n", label);
	else if (fit == POLICY_OPEN)
		printf("%-32s would depend on: %s (not given)\n", label, condition);
	else
		printf("%-32s does not fit: %s\n", label, condition ? condition : "nothing to fit");
}

/* Every rule down to the one that decides. */
static void print_reasons(const struct policy *policy, const struct question *q, const struct policy_verdict *verdict)
{
	for (size_t i = 0; i < policy_rule_count(policy); i++) {
		print_rule(policy, (int)i, &q->facts);
		if (verdict->decided && verdict->rule == (int)i)
			return;
	}
	if (strcmp(policy_rule_label(policy, POLICY_RULE_SENSITIVE), "none") != 0)
		print_rule(policy, POLICY_RULE_SENSITIVE, &q->facts);
	if (!verdict->decided || verdict->rule == POLICY_RULE_DEFAULT)
		print_rule(policy, POLICY_RULE_DEFAULT, &q->facts);
}

/* What a rule that inspects makes of Accord; nothing where it says nothing. */
static void print_accord(const char *label, const struct policy_options *o)
{
	char code[ACCORD_PURPOSE_TEXT];
	const char *means = o->accord & POLICY_ACCORD_REQUIRE ? "require: clients that do not speak it are blocked"
	                    : o->accord & POLICY_ACCORD_PREFER
	                            ? "prefer: clients that do not speak it get a leaf of the local CA"
	                    : o->accord & POLICY_ACCORD_OFF ? "off: offers are ignored"
	                                                    : NULL;
	if (!means && !o->has_purpose && !o->sealed)
		return;
	printf("accord, %s: %s", label, means ? means : "as the configuration says");
	if (o->accord & POLICY_ACCORD_OFF) {
		putchar('\n');
		return;
	}
	printf("; servers are %s", o->sealed ? "not told (sealed)" : "told");
	if (!o->sealed)
		printf(", for %s", o->has_purpose ? accord_purpose_text(o->purpose, code) : "accord-purpose");
	printf("; where one refuses, %s\n", o->aside_when_refused ? "the proxy steps aside" : "the connection ends");
}

/* Whether there is what the rules ask for. False: there is not. */
static bool print_anchor(const struct policy *policy, const struct question *q)
{
	struct error err;
	char path[FILE_PATH_MAX];
	if (!q->state)
		return true;
	if (!file_join(path, q->state, ACCORD_CA_FILE, &err)) {
		puts(err.text);
		return false;
	}
	bool there = file_exists(path);
	if (there)
		printf("accord: the anchor is %s\n", path);
	else if (policy_wants_accord(policy))
		printf("accord: there is no %s, and no proxy starts with these rules; make it: overt accord init "
		       "--state %s --name NAME\n",
			path, q->state);
	else
		puts("accord: there is no anchor, and no rule asks for one");
	return there || !policy_wants_accord(policy);
}

static bool print_all_accord(const struct policy *policy, const struct question *q)
{
	for (size_t i = 0; i < policy_rule_count(policy); i++) {
		if (policy_rule_action(policy, (int)i) == POLICY_INSPECT)
			print_accord(policy_rule_label(policy, (int)i), policy_rule_options(policy, (int)i));
	}
	if (policy_rule_action(policy, POLICY_RULE_DEFAULT) == POLICY_INSPECT)
		print_accord("default", policy_rule_options(policy, POLICY_RULE_DEFAULT));
	return print_anchor(policy, q);
}

/* Rules of an aware server, with the anchors and keys that they name. */
static int check_aware(const struct question *q)
{
	struct error err;
	struct rulebook *book = NULL;
	struct pact *pact = NULL;
	bool ok = rulebook_open(&book, q->file, &err);
	const char *anchors = ok ? rulebook_anchors(book) : NULL;
	const struct pact_terms terms = {.anchors = anchors, .proxies_only = true};
	ok = ok && (!anchors || pact_make(&pact, &terms, &err));
	if (ok)
		printf("%s: right; rules of an aware server: %zu, enrolled clients: %zu, anchors: %s, default: %s\n",
			q->file, rulebook_rules(book), rulebook_clients(book), anchors ? anchors : "none",
			rulebook_action_name(rulebook_default(book)));
	pact_free(pact);
	rulebook_free(book);
	return ok ? 0 : complain("check", &err, EXIT_MISUSE);
}

static void print_verdict(const struct policy *policy, const struct question *q)
{
	struct policy_verdict verdict;
	bool decided = policy_decide(policy, &q->facts, &verdict);
	print_reasons(policy, q, &verdict);
	if (decided) {
		printf("verdict: %s, by %s%s%s\n", policy_action_name(verdict.action), verdict.label,
			verdict.by_refusal ? " (refused: bypass)" : "",
			verdict.needs_verification ? ", if the server proves its name" : "");
		if (verdict.action == POLICY_INSPECT)
			print_accord(verdict.label, &verdict.options);
	} else {
		fputs("verdict: open; it takes one of", stdout);
		for (size_t i = 0; i < OPTIONS; i++) {
			if (verdict.waits_for & options[i].fact)
				printf(" --%s", options[i].name);
		}
		putchar('\n');
	}
	if (verdict.distrusted)
		printf("not by %s: the server does not prove its name\n", verdict.distrusted);
	if ((q->facts.known & POLICY_FACT_SERVER) && !policy_permits_target(policy, &q->facts))
		printf("the address is %s: no connection to it is opened without `allow`\n",
			address_kind_name(address_kind(&q->facts.server)));
}

int verb_check(int argc, char **argv)
{
	if (wants_help(argc, argv))
		return help();
	struct question q = {0};
	struct error err;
	struct bytes text;
	if (!read_arguments(&q, argc, argv, &err))
		return complain("check", &err, EXIT_MISUSE);
	if (q.aware)
		return check_aware(&q);
	if (!policy_file_read(q.file, &text, &err))
		return complain("check", &err, EXIT_MISUSE);
	struct policy_source source = {.load = policy_file_load, .release = policy_file_release};
	struct policy *policy = policy_parse(text, q.file, &source, &err);
	policy_file_free(text);
	if (!policy)
		return complain("check", &err, EXIT_MISUSE);
	if (q.asked)
		print_verdict(policy, &q);
	else
		printf("%s: right; rules: %zu, names: %zu, default: %s, sensitive list: %s\n", q.file,
			policy_rule_count(policy), policy_name_count(policy),
			policy_action_name(policy_rule_action(policy, POLICY_RULE_DEFAULT)),
			strcmp(policy_rule_label(policy, POLICY_RULE_SENSITIVE), "none") == 0 ? "off" : "on");
	bool ok = q.asked ? print_anchor(policy, &q) : print_all_accord(policy, &q);
	policy_drop(policy);
	return ok ? 0 : EXIT_MISUSE;
}
