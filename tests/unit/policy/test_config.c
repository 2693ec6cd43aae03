#include "base/clock.h"
#include "policy/config.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <unistd.h>

#include <cmocka.h>

/* A command line of `proxy`; the words after it up to NULL. */
static struct config *load(enum config_verb verb, struct error *err, int *rest, ...)
{
	static char name[] = "verb";
	char *argv[32] = {name};
	int argc = 1;
	va_list words;
	va_start(words, rest);
	for (char *word; argc < 32 && (word = va_arg(words, char *)); argc++)
		argv[argc] = word;
	va_end(words);
	return config_load(verb, argc, argv, rest, err);
}

static int ignored;
#define PROXY(...) load(CONFIG_PROXY, &err, &ignored, __VA_ARGS__ __VA_OPT__(, ) NULL)

static struct config *must(struct config *config, const struct error *err)
{
	if (!config)
		fail_msg("%s", err->text);
	return config;
}

static void says(const struct config *config, const struct error *err, const char *text)
{
	assert_null(config);
	if (strncmp(err->text, text, strlen(text)) != 0)
		fail_msg("expected \"%s...\", got \"%s\"", text, err->text);
}

/* Writes a file for --config; the name is valid until the next call. */
static char *file(const char *text)
{
	static char path[] = "/tmp/overt-config-XXXXXX";
	memcpy(path + sizeof(path) - 7, "XXXXXX", 6);
	int fd = mkstemp(path);
	assert_true(fd >= 0);
	assert_int_equal(write(fd, text, strlen(text)), strlen(text));
	close(fd);
	return path;
}

static void defaults_hold_without_any_word(void **state)
{
	(void)state;
	struct error err;
	struct config *c = must(PROXY(), &err);
	assert_int_equal(c->listen.count, 1);
	assert_true(listen_is_loopback(&c->listen.items[0]));
	assert_int_equal(c->listen.items[0].at.port, 8080);
	assert_int_equal(c->hello_octets, 65536);
	assert_true(c->hello_timeout_ns == 10 * NS_PER_S);
	assert_int_equal(c->audit_failure, CONFIG_AUDIT_BLOCK);
	assert_int_equal(c->log_target, CONFIG_LOG_STDERR);
	assert_int_equal(c->upstream_proxy.kind, UPSTREAM_DIRECT);
	assert_non_null(strstr(c->state, "/overt"));
	assert_null(c->rules);
	config_free(c);
}

static void the_command_line_wins_over_the_file_and_the_file_over_defaults(void **state)
{
	(void)state;
	struct error err;
	char *path = file("listen: [127.0.0.1:1, 127.0.0.1:2]\nworkers: 3\nidle-timeout: 5m\nrules: "
			  "my/rules.yaml\nquiet: true\n");
	struct config *c = must(PROXY("--workers", "7", "--config", path), &err);
	assert_int_equal(c->workers, 7);
	assert_true(c->idle_timeout_ns == 300 * NS_PER_S);
	assert_int_equal(c->listen.count, 2);
	assert_true(c->quiet);
	/* Paths in a file stand beside that file. */
	assert_string_equal(c->rules, "/tmp/my/rules.yaml");
	config_free(c);
	/* A list on the command line replaces the file's, and grows by each further word. */
	c = must(PROXY("--config", path, "--listen", "127.0.0.1:3", "--listen=[::1]:4", "--no-quiet"), &err);
	assert_int_equal(c->listen.count, 2);
	assert_int_equal(c->listen.items[0].at.port, 3);
	assert_int_equal(c->listen.items[1].at.port, 4);
	assert_false(c->quiet);
	config_free(c);
	unlink(path);
}

static void every_type_is_read_from_a_file(void **state)
{
	(void)state;
	struct error err;
	char *path = file("crl: [a.pem, /b.pem]\n"
			  "accept-proxy-protocol: [10.0.0.0/8, '::1']\n"
			  "upstream-proxy: http://me:p%40ss@proxy.test:3128/\n"
			  "send-proxy-protocol: v2\n"
			  "client-certs:\n"
			  "  - {name: .corp.test, cert: c.pem, key: k.pem}\n"
			  "ring: 1MiB\n"
			  "log: file:/var/log/overt.log\n"
			  "metrics: '[::1]:9100'\n"
			  "ca-cert: ca.pem\n"
			  "ca-key: 'pkcs11:token=overt'\n"
			  "jsonl: '-'\n");
	struct config *c = must(PROXY("--config", path), &err);
	assert_int_equal(c->crl.count, 2);
	assert_string_equal(c->crl.items[0], "/tmp/a.pem");
	assert_string_equal(c->crl.items[1], "/b.pem");
	assert_int_equal(c->accept_proxy_protocol.count, 2);
	assert_int_equal(c->upstream_proxy.kind, UPSTREAM_HTTP);
	assert_string_equal(c->upstream_proxy.host, "proxy.test");
	assert_int_equal(c->upstream_proxy.port, 3128);
	assert_string_equal(c->upstream_proxy.user, "me");
	assert_string_equal(c->upstream_proxy.password, "p@ss");
	assert_int_equal(c->send_proxy_protocol, CONFIG_SEND_PROXY_V2);
	assert_int_equal(c->client_certs.count, 1);
	assert_string_equal(c->client_certs.items[0].name, ".corp.test");
	assert_string_equal(c->client_certs.items[0].key, "/tmp/k.pem");
	assert_int_equal(c->ring_octets, 1 << 20);
	assert_int_equal(c->log_target, CONFIG_LOG_FILE);
	assert_string_equal(c->log_path, "/var/log/overt.log");
	assert_int_equal(c->metrics_at.at.port, 9100);
	assert_string_equal(c->ca_key, "pkcs11:token=overt");
	assert_string_equal(c->jsonl, "-");
	config_free(c);
	unlink(path);
}

static void file_says(const char *text, const char *message)
{
	struct error err = {{0}};
	struct config *c = must(config_new(&err), &err);
	if (config_read_file(c, bytes_str(text), "overt.yaml", &err))
		fail_msg("%s is taken", text);
	if (strncmp(err.text, message, strlen(message)) != 0)
		fail_msg("expected \"%s...\", got \"%s\"", message, err.text);
	config_free(c);
}

static void faults_of_a_file_have_a_place(void **state)
{
	(void)state;
	file_says("quiet: true\nlisen: 1\n", "overt.yaml:2:1: unknown option \"lisen\"; did you mean \"listen\"?");
	file_says("workers: many\n", "overt.yaml:1:10: workers: \"many\" is no whole number");
	file_says("workers: 257\n", "overt.yaml:1:10: workers: 257 is out of bounds: 0 to 256");
	file_says("hello-size: 1k\n", "overt.yaml:1:13: hello-size: 1k is out of bounds: 8KiB to 64KiB");
	file_says("idle-timeout: 10\n", "overt.yaml:1:15: idle-timeout: \"10\" is no time like");
	file_says("dns-timeout: 2d\n", "overt.yaml:1:14: dns-timeout: 2d is out of bounds: 1ms to 1d");
	file_says("listen: [127.0.0.1:1, nowhere]\n",
		"overt.yaml:1:23: listen: \"nowhere\": expected [MODE@]ADDRESS:PORT");
	file_says("quiet: perhaps\n", "overt.yaml:1:8: quiet: \"perhaps\" is neither true nor false");
	file_says("audit-failure: inspect\n",
		"overt.yaml:1:16: audit-failure: \"inspect\" is not known; it is block or bypass");
	file_says("rules: [a, b]\n", "overt.yaml:1:8: rules: expected one plain value");
	file_says("rules:\n", "overt.yaml:1:7: rules: a path is expected");
	file_says("client-certs: [{name: a.test}]\n", "overt.yaml:1:16: client-certs: expected {name: PATTERN");
	file_says("client-certs: [{name: a b, cert: c, key: k}]\n",
		"overt.yaml:1:16: client-certs: \"a b\" is no DNS name");
	file_says("print-nft: true\n", "overt.yaml:1:1: print-nft belongs on the command line, as --print-nft");
	file_says("quiet: 1\nworkers: x\n", "overt.yaml:1:8: quiet: \"1\" is neither true nor false (and 1 more)");
	file_says("[a]\n", "overt.yaml:1:1: the configuration must be a mapping");
	file_says("accept-proxy-protocol: 10.0.0.1/8\n",
		"overt.yaml:1:24: accept-proxy-protocol: \"10.0.0.1/8\" has bits set");
}

static void a_password_is_never_quoted(void **state)
{
	(void)state;
	static const char *const urls[] = {"http://me:hunter2@", "http://me:hunter2@host", "https://me:hunter2@host:1",
		"http://me:hunter2%zz@host:1", "http://:hunter2@host:1", "socks5://me:hunter2@host:99999"};
	for (size_t i = 0; i < sizeof(urls) / sizeof(urls[0]); i++) {
		struct error err = {{0}};
		struct config *c = load(CONFIG_PROXY, &err, &ignored, "--upstream-proxy", urls[i], NULL);
		assert_null(c);
		assert_int_equal(strncmp(err.text, "--upstream-proxy: ", 18), 0);
		assert_null(strstr(err.text, "hunter2"));
	}
}

static void faults_of_the_command_line_name_the_option(void **state)
{
	(void)state;
	struct error err;
	says(PROXY("--lisen", "x"), &err, "unknown option --lisen; did you mean --listen?");
	says(PROXY("--xyzzy"), &err, "unknown option --xyzzy; `overt proxy --help` lists them");
	says(PROXY("-z"), &err, "unknown option -z;");
	says(PROXY("-qv"), &err, "unknown option -qv;");
	says(PROXY("--listen"), &err, "--listen needs a value: [MODE@]ADDRESS:PORT");
	says(PROXY("--workers", "-1"), &err, "--workers: \"-1\" is no whole number");
	says(PROXY("--no-listen"), &err, "unknown option --no-listen");
	says(PROXY("--quiet=maybe"), &err, "--quiet: \"maybe\" is neither true nor false");
	says(PROXY("--config", "/nonexistent/overt.yaml"), &err, "--config: /nonexistent/overt.yaml: No such file");
	/* exec has its own listener and CA, and everything of its own. */
	says(load(CONFIG_EXEC, &err, &ignored, "--listen", "127.0.0.1:1", NULL), &err, "unknown option --listen");
	/* In files only. */
	says(PROXY("--client-certs", "x"), &err, "unknown option --client-certs");
}

static void words_after_the_options_are_left_to_the_verb(void **state)
{
	(void)state;
	struct error err;
	int rest = 0;
	config_free(must(load(CONFIG_EXEC, &err, &rest, "-q", "--", "curl", "-v", NULL), &err));
	assert_int_equal(rest, 3);
	config_free(must(load(CONFIG_EXEC, &err, &rest, "-v", "curl", "--nonsense", NULL), &err));
	assert_int_equal(rest, 2);
	config_free(must(load(CONFIG_EXEC, &err, &rest, NULL), &err));
	assert_int_equal(rest, 1);
}

static void options_that_do_not_go_together_are_refused(void **state)
{
	(void)state;
	struct error err;
	says(PROXY("--ca-cert", "a"), &err, "--ca-cert: needs ca-key beside it");
	says(PROXY("--ca-key", "a"), &err, "--ca-key: needs ca-cert beside it");
	says(PROXY("--metrics", "0.0.0.0:9100"), &err, "--metrics: \"0.0.0.0:9100\" is no loopback address");
	says(PROXY("--log", "syslog"), &err, "--log: \"syslog\" is neither stderr, journal nor file:PATH");
	says(PROXY("--jsonl", "-", "--pcapng", "-"), &err, "--pcapng: - is written by jsonl already");
	says(PROXY("--listen", "127.0.0.1:1", "--listen", "sni@127.0.0.1:1"), &err,
		"--listen: 127.0.0.1:1 stands here twice");
	says(PROXY("--disclosure-url", "ftp://x"), &err, "--disclosure-url: \"ftp://x\" begins with neither");
	says(PROXY("--disclosure-url", "https://a.example/two words"), &err,
		"--disclosure-url: \"https://a.example/two words\" holds what no URL may");
	says(PROXY("--disclosure-url", "https://a.example/\xc3\xa4"), &err,
		"--disclosure-url: \"https://a.example/\xc3\xa4\" holds what no URL may");
	char long_url[400] = "https://a.example/";
	memset(long_url + 18, 'a', sizeof(long_url) - 19);
	long_url[18 + 239] = '\0';
	says(PROXY("--disclosure-url", long_url), &err, "--disclosure-url: 257 octets are too many");
	char *path = file("quiet: true\nmetrics: 192.0.2.1:1\n");
	struct config *c = PROXY("--config", path);
	assert_null(c);
	assert_non_null(strstr(err.text, ":2:10: metrics: \"192.0.2.1:1\" is no loopback address"));
	unlink(path);
}

static void a_proxy_that_others_reach_says_who_inspects_them(void **state)
{
	(void)state;
	struct error err;
	says(PROXY("--listen", "0.0.0.0:8080"), &err,
		"--listen: 0.0.0.0:8080 can be reached by others, who must be able to learn who inspects them: "
		"set operator, contact, purpose, retention");
	says(PROXY("--listen", "[::]:8080", "--operator", "X", "--retention", "30d"), &err,
		"--listen: [::]:8080 can be reached");
	assert_non_null(strstr(err.text, "set contact, purpose"));
	/* The kernel brings what others send, wherever it listens. */
	says(PROXY("--listen", "tproxy@127.0.0.1:1"), &err, "--listen: tproxy@127.0.0.1:1 can be reached");
	config_free(must(PROXY("--listen", "0.0.0.0:8080", "--operator", "X", "--contact", "x@x.test", "--purpose",
				 "tests", "--retention", "30d"),
		&err));
	config_free(must(PROXY("--listen", "tproxy@127.0.0.1:1", "--print-nft"), &err));
	config_free(must(PROXY("--listen", "[::1]:1"), &err));
}

static void help_shows_every_option_of_the_verb_and_no_other(void **state)
{
	(void)state;
	for (unsigned verb = CONFIG_PROXY; verb <= CONFIG_EXEC; verb <<= 1) {
		char *text;
		size_t len, count;
		FILE *out = open_memstream(&text, &len);
		assert_non_null(out);
		config_help(out, (enum config_verb)verb);
		fclose(out);
		const struct config_option *options = config_options(&count);
		for (size_t i = 0; i < count; i++) {
			char key[64];
			snprintf(key, sizeof(key), "--%s ", options[i].key);
			if ((strstr(text, key) != NULL) != ((options[i].verbs & verb) != 0))
				fail_msg("%s", options[i].key);
		}
		for (char *line = text, *end; (end = strchr(line, '\n')); line = end + 1)
			assert_true(end - line <= 110);
		free(text);
	}
}

static void every_default_lies_within_its_bounds(void **state)
{
	(void)state;
	size_t count;
	const struct config_option *options = config_options(&count);
	struct error err;
	/* config_new reads each default as if it had been written, bounds included. */
	config_free(must(config_new(&err), &err));
	for (size_t i = 0; i < count; i++) {
		assert_true(options[i].doc[0] && options[i].doc[strlen(options[i].doc) - 1] == '.');
		assert_true(options[i].type == CONFIG_FLAG || options[i].value || !options[i].verbs);
		for (size_t j = i + 1; j < count; j++) {
			assert_string_not_equal(options[i].key, options[j].key);
			assert_true(options[i].at != options[j].at);
		}
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(defaults_hold_without_any_word),
		cmocka_unit_test(the_command_line_wins_over_the_file_and_the_file_over_defaults),
		cmocka_unit_test(every_type_is_read_from_a_file),
		cmocka_unit_test(faults_of_a_file_have_a_place),
		cmocka_unit_test(a_password_is_never_quoted),
		cmocka_unit_test(faults_of_the_command_line_name_the_option),
		cmocka_unit_test(words_after_the_options_are_left_to_the_verb),
		cmocka_unit_test(options_that_do_not_go_together_are_refused),
		cmocka_unit_test(a_proxy_that_others_reach_says_who_inspects_them),
		cmocka_unit_test(help_shows_every_option_of_the_verb_and_no_other),
		cmocka_unit_test(every_default_lies_within_its_bounds),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
