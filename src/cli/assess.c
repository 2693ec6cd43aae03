/* overt assess — what is true of an endpoint or a path: who is exposed, and to what. */
#include "assess/client.h"
#include "assess/proxy.h"
#include "assess/server.h"
#include "base/clock.h"
#include "base/text.h"
#include "cli/arguments.h"
#include "cli/options.h"
#include "cli/verbs.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

struct request {
	const char *word, *html, *name, *trust, *ca, *origin;
	uint16_t origin_port;
	uint64_t timeout_ns, total_ns, pause_ns;
	bool json, no_colour, direct;
	enum grade least; /* GRADE_NONE: any */
};

ARGUMENT_TEXT(read_html, request, html)
ARGUMENT_TEXT(read_name, request, name)
ARGUMENT_TEXT(read_trust, request, trust)
ARGUMENT_TEXT(read_ca, request, ca)
ARGUMENT_TEXT(read_origin, request, origin)
ARGUMENT_FLAG(read_direct, request, direct)
ARGUMENT_FLAG(read_json, request, json)
ARGUMENT_FLAG(read_no_colour, request, no_colour)

static bool read_span(const char *value, uint64_t least, uint64_t most, uint64_t *out)
{
	return text_duration(bytes_str(value), out) && *out >= least && *out <= most;
}

static bool read_timeout(void *ctx, const char *value, struct error *err)
{
	(void)err;
	return read_span(value, 100 * NS_PER_MS, 60 * NS_PER_S, &((struct request *)ctx)->timeout_ns);
}

static bool read_total(void *ctx, const char *value, struct error *err)
{
	(void)err;
	return read_span(value, NS_PER_S, 3600 * NS_PER_S, &((struct request *)ctx)->total_ns);
}

static bool read_pause(void *ctx, const char *value, struct error *err)
{
	(void)err;
	return read_span(value, 0, 60 * NS_PER_S, &((struct request *)ctx)->pause_ns);
}

static bool read_least(void *ctx, const char *value, struct error *err)
{
	(void)err;
	return grade_parse(value, &((struct request *)ctx)->least);
}

static bool read_port(void *ctx, const char *value, struct error *err)
{
	uint64_t port;
	(void)err;
	if (!text_number(bytes_str(value), UINT16_MAX, &port) || port == 0)
		return false;
	((struct request *)ctx)->origin_port = (uint16_t)port;
	return true;
}

static bool read_word(void *ctx, const char *word, struct error *err)
{
	struct request *request = ctx;
	if (request->word)
		return error_set(err, "%s: %s is assessed already; one at a time", word, request->word);
	request->word = word;
	return true;
}

static const struct argument table[] = {
	{"json", 'j', NULL, read_json, "print the report as JSON"},
	{"html", 0, "FILE", read_html, "write it as a page that needs nothing else"},
	{"no-color", 0, NULL, read_no_colour, "no colours on a terminal"},
	{"at-least", 0, "GRADE", read_least, "A, B or C: end with 1 where the grade is worse"},
	{"timeout", 0, "DURATION", read_timeout, "how long to wait for one connection [5s]"},
	{"total", 0, "DURATION", read_total, "how long the whole may take [90s]"},
	{"pause", 0, "DURATION", read_pause, "server: between two connections [50ms]"},
	{"name", 0, "NAME", read_name,
		"server: the name to ask for, where it is not HOST; proxy: the test server's, that leads to 127.0.0.1 "
		"[localhost]"},
	{"trust", 0, "FILE", read_trust, "server: anchors of the chain, in PEM [the system's]"},
	{"ca", 0, "FILE", read_ca, "proxy: the CA it issues with, in PEM"},
	{"origin", 0, "DIR", read_origin, "proxy: folder of the root that it trusts for this; made if it is not there"},
	{"origin-port", 0, "PORT", read_port, "proxy: where the test server listens on 127.0.0.1 [any free port]"},
	{"direct", 0, NULL, read_direct, "proxy: no CONNECT; the proxy knows where the test server is"},
};

static struct report *run_server(const struct request *request, char **command, struct error *err)
{
	const struct server_options options = {.host = request->word,
		.name = request->name,
		.trust = request->trust,
		.patience_ns = request->timeout_ns,
		.whole_ns = request->total_ns,
		.pause_ns = request->pause_ns};
	(void)command;
	return server_assess(&options, err);
}

static struct report *run_client(const struct request *request, char **command, struct error *err)
{
	const struct client_options options = {
		.command = command, .patience_ns = request->timeout_ns, .whole_ns = request->total_ns};
	return client_assess(&options, err);
}

static struct report *run_proxy(const struct request *request, char **command, struct error *err)
{
	const struct proxy_options options = {.proxy = request->word,
		.ca = request->ca,
		.origin = request->origin,
		.name = request->name,
		.origin_port = request->origin_port,
		.direct = request->direct,
		.patience_ns = request->timeout_ns,
		.whole_ns = request->total_ns};
	(void)command;
	if (request->ca)
		return proxy_assess(&options, err);
	error_set(err, "--ca is missing: the file of the CA that the proxy issues with");
	return NULL;
}

static const struct subject {
	const char *name, *usage;
	bool word, command;
	struct report *(*run)(const struct request *request, char **command, struct error *err);
} subjects[] = {
	{"server", "overt assess server HOST[:PORT] [--name NAME] [--trust FILE] [--pause DURATION]", true, false,
		run_server},
	{"client", "overt assess client -- COMMAND [WORDS], with {} for the URL", false, true, run_client},
	{"proxy", "overt assess proxy HOST:PORT --ca FILE --origin DIR [--origin-port PORT] [--name NAME] [--direct]",
		true, false, run_proxy},
	{"root", "overt assess root --origin DIR", false, false, NULL},
};

#define SUBJECTS (sizeof(subjects) / sizeof(subjects[0]))

static void help(void)
{
	for (size_t i = 0; i < SUBJECTS; i++)
		printf("%s %s\n", i == 0 ? "usage:" : "      ", subjects[i].usage);
	puts("\nTries what it tells, and grades it line by line: A, B, C or F, of which the worst counts. Nothing but "
	     "what\n"
	     "was named is asked, one connection after the other, within bounds.\n");
	const struct arguments arguments = {
		.verb = "assess", .table = table, .count = sizeof(table) / sizeof(table[0])};
	arguments_help(&arguments);
}

static const struct subject *find(const char *name, struct error *err)
{
	for (size_t i = 0; name && i < SUBJECTS; i++) {
		if (strcmp(subjects[i].name, name) == 0)
			return &subjects[i];
	}
	error_set(err, "%s%s; overt assess --help says what can be", name ? name : "what is to be assessed is missing",
		name ? ": not among what can be assessed" : "");
	return NULL;
}

static bool write_page(const struct report *report, const char *path, struct error *err)
{
	FILE *file = fopen(path, "we");
	bool ok = file && report_tell_html(report, file);
	int code = errno;
	if (file && fclose(file) != 0 && ok) {
		code = errno;
		ok = false;
	}
	return ok || error_set(err, "%s: %s", path, strerror(code));
}

static bool tell(const struct request *request, const struct report *report, struct error *err)
{
	struct winsize size = {0};
	bool terminal = isatty(STDOUT_FILENO) == 1, colour = terminal && !request->no_colour && !getenv("NO_COLOR");
	if (request->html && !write_page(report, request->html, err))
		return false;
	if (terminal)
		(void)ioctl(STDOUT_FILENO, TIOCGWINSZ, &size);
	bool ok = request->json ? report_tell_json(report, stdout)
	                        : report_tell_text(report, colour, size.ws_col, stdout);
	return ok || error_set_errno(err, "standard output");
}

static bool read_all(int argc, char **argv, const struct subject *subject, struct request *request, char ***command,
	struct error *err)
{
	const struct arguments arguments = {.verb = "assess",
		.table = table,
		.count = sizeof(table) / sizeof(table[0]),
		.word = subject->command ? NULL : read_word,
		.command = subject->command};
	int rest = argc;
	if (!arguments_read(&arguments, argc, argv, request, &rest, err))
		return false;
	*command = argv + rest;
	if (subject->command && !**command)
		return error_set(err, "a command is missing: %s", subject->usage);
	if (subject->word && !request->word)
		return error_set(err, "what to assess is missing: %s", subject->usage);
	return true;
}

/* The root alone, so that a proxy can be started with it. */
static int make_root(const struct request *request, struct error *err)
{
	char path[4096];
	if (!request->origin) {
		error_set(err, "--origin is missing: the folder of the root");
		return complain("assess", err, EXIT_MISUSE);
	}
	if (!proxy_make_root(request->origin, path, sizeof(path), err))
		return complain("assess", err, 1);
	return puts(path) < 0;
}

int verb_assess(int argc, char **argv)
{
	struct request request = {.timeout_ns = 5 * NS_PER_S, .total_ns = 90 * NS_PER_S, .pause_ns = 50 * NS_PER_MS};
	struct error err = {0};
	char **command = NULL;
	if (wants_help(argc, argv)) {
		help();
		return 0;
	}
	const struct subject *subject = find(argc > 1 ? argv[1] : NULL, &err);
	if (!subject || !read_all(argc - 1, argv + 1, subject, &request, &command, &err))
		return complain("assess", &err, EXIT_MISUSE);
	if (!subject->run)
		return make_root(&request, &err);
	struct report *report = subject->run(&request, command, &err);
	if (!report)
		return complain("assess", &err, 1);
	bool ok = tell(&request, report, &err);
	enum grade grade = report_grade(report);
	report_free(report);
	if (!ok)
		return complain("assess", &err, 1);
	return request.least != GRADE_NONE && grade > request.least ? 1 : 0;
}
