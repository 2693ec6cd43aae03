#include "cli/exec_accord.h"

#include "agent/place.h"
#include "agent/settings.h"
#include "base/text.h"
#include "cli/arguments.h"
#include "cli/exec_child.h"
#include "cli/exec_env.h"
#include "cli/exec_report.h"
#include "cli/options.h"
#include "cli/verbs.h"
#include "pact/pact.h"
#include "pact/rulebook.h"
#include "proxy/signals.h"

#include <errno.h>
#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#define PATH_OCTETS 4096

struct run {
	struct agent_settings settings;
	char anchors[PATH_OCTETS], trust[PATH_OCTETS], approval[PATH_OCTETS], agent[PATH_OCTETS], rules[PATH_OCTETS];
	char proxy[512]; /* URL; "": whatever the environment says */
	const char *jsonl;
	bool quiet;
	const char *client_option; /* the first of those that have no meaning for a server; NULL: none was given */
	struct loop *loop;
	struct exec_report report;
	pid_t child;
	int code;
};

/* The program may change its folder. */
static bool absolute(char out[PATH_OCTETS], const char *path, struct error *err)
{
	char *full = realpath(path, NULL);
	int n = full ? snprintf(out, PATH_OCTETS, "%s", full) : -1;
	bool ok = n >= 0 && n < PATH_OCTETS;
	free(full);
	return ok || error_set_errno(err, "%s", path);
}

static bool read_anchors(void *ctx, const char *value, struct error *err)
{
	struct run *run = ctx;
	run->settings.anchors = run->anchors;
	return absolute(run->anchors, value, err);
}

static bool read_server(void *ctx, const char *value, struct error *err)
{
	struct run *run = ctx;
	run->settings.server = run->rules;
	return absolute(run->rules, value, err);
}

static bool read_trust(void *ctx, const char *value, struct error *err)
{
	struct run *run = ctx;
	run->client_option = "trust";
	run->settings.trust = run->trust;
	return absolute(run->trust, value, err);
}

static bool read_approval(void *ctx, const char *value, struct error *err)
{
	struct run *run = ctx;
	run->client_option = "approval-key";
	run->settings.approval = run->approval;
	return absolute(run->approval, value, err);
}

static bool read_rule(void *ctx, const char *value, struct error *err)
{
	struct run *run = ctx;
	(void)err;
	run->client_option = "accord-rule";
	run->settings.require = strcmp(value, "require") == 0;
	return run->settings.require || strcmp(value, "prefer") == 0;
}

static bool read_role(void *ctx, const char *value, struct error *err)
{
	uint8_t *roles = &((struct run *)ctx)->settings.roles;
	(void)err;
	((struct run *)ctx)->client_option = "role";
	*roles = strcmp(value, "reader") == 0   ? ACCORD_READER
	         : strcmp(value, "writer") == 0 ? ACCORD_WRITER
	         : strcmp(value, "both") == 0   ? ACCORD_ANY_ROLE
	                                        : 0;
	return *roles != 0;
}

static bool read_proxy_name(void *ctx, const char *value, struct error *err)
{
	struct agent_settings *settings = &((struct run *)ctx)->settings;
	((struct run *)ctx)->client_option = "proxy-name";
	if (settings->proxies == AGENT_MAX_PROXIES)
		return error_set(err, "at most %d of these", AGENT_MAX_PROXIES);
	settings->proxy[settings->proxies++] = value;
	return pact_proxy_valid(value, err);
}

/* "host:port", with or without http:// before it and a slash behind it. */
static bool read_proxy(void *ctx, const char *value, struct error *err)
{
	struct run *run = ctx;
	uint64_t port;
	char host[300];
	run->client_option = "proxy";
	if (strncmp(value, "http://", 7) == 0)
		value += 7;
	const char *colon = strrchr(value, ':');
	size_t digits = colon ? strcspn(colon + 1, "/") : 0;
	if (!colon || colon == value || (size_t)(colon - value) >= sizeof(host) ||
		!text_number(bytes_of(colon + 1, digits), UINT16_MAX, &port) || port == 0 ||
		(colon[1 + digits] && strcmp(colon + 1 + digits, "/") != 0))
		return error_set(err, "expected HOST:PORT");
	snprintf(host, sizeof(host), "%.*s", (int)(colon - value), value);
	if (strpbrk(host, " \t\"'/"))
		return error_set(err, "expected HOST:PORT");
	snprintf(run->proxy, sizeof(run->proxy), "http://%s:%u", host, (unsigned)port);
	return true;
}

static bool read_jsonl(void *ctx, const char *value, struct error *err)
{
	(void)err;
	((struct run *)ctx)->jsonl = value;
	return *value != '\0';
}

static bool read_quiet(void *ctx, const char *value, struct error *err)
{
	(void)value, (void)err;
	((struct run *)ctx)->quiet = true;
	return true;
}

static const struct argument table[] = {
	{"accord", 0, "ANCHORS", read_anchors, "file of Accord anchors, as accord-anchor.pem of the proxy"},
	{"accord-server", 0, "RULES", read_server,
		"the program is a server, and aware of proxies: a file of rules on who is accepted"},
	{"accord-rule", 0, "RULE", read_rule, "require, or prefer: accept a CA that was added here too [require]"},
	{"proxy", 0, "HOST:PORT", read_proxy, "the HTTP proxy that the program is told; else as the environment says"},
	{"trust", 0, "FILE", read_trust, "web roots; by default the distribution's, without any that were added here"},
	{"role", 0, "ROLE", read_role, "what a proxy may be: reader, writer or both [reader]"},
	{"proxy-name", 0, "NAME", read_proxy_name,
		"only proxies of this name or pin; may be given several times, default: all that ANCHORS stand for"},
	{"approval-key", 0, "FILE", read_approval,
		"key that a server may have enrolled, P-256 or Ed25519: approves the proxy where one is demanded"},
	{"jsonl", 0, "FILE", read_jsonl, "write what was proven as JSON lines; - is standard output"},
	{"quiet", 'q', NULL, read_quiet, "no line per connection"},
};

static const struct arguments arguments = {
	.verb = "exec", .table = table, .count = sizeof(table) / sizeof(table[0]), .command = true};

bool exec_accord_wanted(int argc, char **argv)
{
	return exec_child_given(argc, argv, "accord") || exec_child_given(argc, argv, "accord-server");
}

void exec_accord_help(void)
{
	puts("\nWith --accord there is no private proxy and no CA: programs that use OpenSSL 3\n"
	     "speak Accord to the proxy of the network, and what was proven about each\n"
	     "connection is told. With --accord-server a server that uses OpenSSL 3 becomes an\n"
	     "aware one, and its verdicts are told. Then only these options are known:\n");
	arguments_help(&arguments);
}

static void caught(int number, void *ctx)
{
	struct run *run = ctx;
	int status;
	if (number == SIGCHLD) {
		if (run->child > 0 && waitpid(run->child, &status, WNOHANG) == run->child) {
			run->child = 0;
			run->code = WIFSIGNALED(status) ? 128 + WTERMSIG(status) : WEXITSTATUS(status);
			loop_stop(run->loop);
		}
	} else if (run->child > 0 && number != SIGINT) {
		/* Ctrl-C reaches the program by itself: it stands in the same foreground group. */
		kill(run->child, number);
	}
}

static bool run_child(struct run *run, char *const *argv, struct error *err)
{
	struct signals signals = {.io.fd = -1};
	if (!signals_watch(&signals, run->loop, caught, run, err))
		return false;
	run->child = fork();
	if (run->child == 0)
		exec_child_become(argv, agent_settings_export(&run->settings) && exec_child_preload(run->agent) &&
						(!run->proxy[0] || exec_env_proxy(run->proxy)));
	bool ok = run->child > 0 ? loop_run(run->loop) || error_set_errno(err, "the event loop failed")
	                         : error_set_errno(err, "%s cannot be started", argv[0]);
	signals_close(&signals);
	return ok;
}

/* A run in which nobody spoke Accord is not to look like one in which all was proven. */
static void sum_up(const struct run *run, const char *command)
{
	const struct exec_report *report = &run->report;
	if (report->malformed > 0)
		fprintf(stderr, "overt exec: %u reports could not be read\n", report->malformed);
	if (report->attached == 0 && report->unreached == 0 && run->code != 127 && run->code != 126)
		fprintf(stderr, "overt exec: nothing in %s made a TLS context with OpenSSL 3: %s\n", command,
			run->settings.server ? "no proxy was ruled on" : "nothing was checked, and nothing proven");
}

/* What the agents would find wrong is said before anything is started. */
static bool prepare_client(const struct run *run, struct error *err)
{
	struct pact *pact = NULL;
	const struct pact_terms terms = {.anchors = run->settings.anchors,
		.trust = run->settings.trust,
		.proxy = run->settings.proxy,
		.proxies = run->settings.proxies};
	bool ok = pact_make(&pact, &terms, err);
	pact_free(pact);
	return ok;
}

static bool prepare_server(const struct run *run, struct error *err)
{
	struct rulebook *book = NULL;
	struct pact *pact = NULL;
	if (run->settings.anchors)
		return error_set(err, "--accord and --accord-server: a program is the client or the server of a run");
	if (run->client_option)
		return error_set(err, "--%s is of no use to a server: it goes with --accord", run->client_option);
	bool ok = rulebook_open(&book, run->settings.server, err);
	const struct pact_terms terms = {.anchors = ok ? rulebook_anchors(book) : NULL, .proxies_only = true};
	ok = ok && (!terms.anchors || pact_make(&pact, &terms, err));
	pact_free(pact);
	rulebook_free(book);
	return ok;
}

static bool prepare(struct run *run, const char *command, struct error *err)
{
	if (!(run->settings.server ? prepare_server(run, err) : prepare_client(run, err)))
		return false;
	const char *barrier = place_barrier(command);
	if (barrier)
		fprintf(stderr, "overt exec: the agent does not reach %s: %s\n", command, barrier);
	return place_find(run->agent, sizeof(run->agent), err);
}

static bool run_all(struct run *run, char *const *argv, struct error *err)
{
	bool ok = prepare(run, argv[0], err);
	run->loop = ok ? loop_new() : NULL;
	if (ok && !run->loop)
		ok = error_set_errno(err, "no event loop");
	run->report.quiet = run->quiet;
	run->report.require = run->settings.require;
	run->report.server = run->settings.server != NULL;
	ok = ok && exec_report_open(&run->report, run->loop, run->jsonl, err);
	if (ok) {
		run->settings.report = run->report.path;
		memcpy(run->settings.token, run->report.token, sizeof(run->settings.token));
		ok = run_child(run, argv, err);
		exec_report_drain(&run->report);
		sum_up(run, argv[0]);
		exec_report_close(&run->report);
	}
	loop_free(run->loop);
	return ok;
}

int exec_accord(int argc, char **argv)
{
	static struct run run; /* large */
	struct error err;
	int rest;
	run = (struct run){.code = 1, .settings = {.on = true, .require = true, .roles = ACCORD_READER}};
	bool ok = arguments_read(&arguments, argc, argv, &run, &rest, &err);
	if (ok && rest >= argc)
		ok = error_set(&err, "no command: overt exec --accord ANCHORS [OPTIONS] -- COMMAND");
	if (!ok || !run_all(&run, argv + rest, &err))
		return complain("exec", &err, EXIT_MISUSE);
	return run.code;
}
