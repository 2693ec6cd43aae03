/* overt assess — what is true of an endpoint or a path: who is exposed, and to what. */
#include "assess/client.h"
#include "assess/listen.h"
#include "assess/path.h"
#include "assess/proxy.h"
#include "assess/server.h"
#include "base/clock.h"
#include "base/fold.h"
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
	const char *word, *html, *name, *trust, *ca, *origin, *proxy, *web_roots, *listen;
	uint16_t origin_port;
	unsigned clients;
	uint64_t timeout_ns, total_ns, pause_ns;
	bool json, no_colour, direct, listener, has_total;
	enum grade least; /* GRADE_NONE: any */
	struct expect expect;
	enum path_verdict verdict; /* of a path */
};

ARGUMENT_TEXT(read_html, request, html)
ARGUMENT_TEXT(read_name, request, name)
ARGUMENT_TEXT(read_trust, request, trust)
ARGUMENT_TEXT(read_ca, request, ca)
ARGUMENT_TEXT(read_origin, request, origin)
ARGUMENT_TEXT(read_proxy, request, proxy)
ARGUMENT_TEXT(read_listen, request, listen)
ARGUMENT_TEXT(read_web_roots, request, web_roots)
ARGUMENT_FLAG(read_listener, request, listener)
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
	((struct request *)ctx)->has_total = true;
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

static bool read_clients(void *ctx, const char *value, struct error *err)
{
	uint64_t clients;
	(void)err;
	if (!text_number(bytes_str(value), 1000000, &clients) || clients == 0)
		return false;
	((struct request *)ctx)->clients = (unsigned)clients;
	return true;
}

static bool read_expect(void *ctx, const char *value, struct error *err)
{
	return expect_add(&((struct request *)ctx)->expect, value, err);
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
	{"pause", 0, "DURATION", read_pause, "server, path: between two connections [50ms]"},
	{"name", 0, "NAME", read_name,
		"server, path: the name to ask for, where it is not HOST; proxy: the test server's, that leads to "
		"127.0.0.1 "
		"[localhost]"},
	{"trust", 0, "FILE", read_trust, "server, path: anchors of the chain, in PEM [the system's]"},
	{"expect", 0, "WHAT", read_expect,
		"path: sha256:DIGEST of a key, certificates in PEM, or the report of another place; may be repeated"},
	{"proxy", 0, "HOST:PORT", read_proxy, "path: go through this proxy, by CONNECT"},
	{"listener", 0, NULL, read_listener, "path: the host runs overt assess --listen; ask it what it saw"},
	{"listen", 0, "IP:PORT", read_listen,
		"client: serve those who cannot be started as a command, and paths; port 0: any free ports"},
	{"clients", 0, "N", read_clients, "client --listen: end after so many reports"},
	{"web-roots", 0, "PATH", read_web_roots,
		"path: file or folder of the roots that browsers bring along [/usr/share/ca-certificates/mozilla]"},
	{"ca", 0, "FILE", read_ca, "proxy: the CA it issues with, in PEM"},
	{"origin", 0, "DIR", read_origin,
		"proxy, client --listen: folder of the root that is trusted for this; made if it is not there"},
	{"origin-port", 0, "PORT", read_port, "proxy: where the test server listens on 127.0.0.1 [any free port]"},
	{"direct", 0, NULL, read_direct, "proxy: no CONNECT; the proxy knows where the test server is"},
};

static struct report *run_server(struct request *request, char **command, struct error *err)
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

static struct report *run_client(struct request *request, char **command, struct error *err)
{
	const struct client_options options = {
		.command = command, .patience_ns = request->timeout_ns, .whole_ns = request->total_ns};
	return client_assess(&options, err);
}

static struct report *run_proxy(struct request *request, char **command, struct error *err)
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

static struct report *run_path(struct request *request, char **command, struct error *err)
{
	const struct path_options options = {.host = request->word,
		.name = request->name,
		.proxy = request->proxy,
		.trust = request->trust,
		.web_roots = request->web_roots,
		.expect = &request->expect,
		.listener = request->listener,
		.patience_ns = request->timeout_ns,
		.whole_ns = request->total_ns,
		.pause_ns = request->pause_ns};
	(void)command;
	return path_assess(&options, &request->verdict, err);
}

static const struct subject {
	const char *name, *usage;
	bool word, command;
	struct report *(*run)(struct request *request, char **command, struct error *err);
} subjects[] = {
	{"server", "overt assess server HOST[:PORT] [--name NAME] [--trust FILE] [--pause DURATION]", true, false,
		run_server},
	{"client", "overt assess client -- COMMAND [WORDS], with {} for the URL", false, true, run_client},
	{"--listen", "overt assess [client] --listen IP:PORT --origin DIR [--name NAME] [--clients N]", false, false,
		NULL},
	{"path", "overt assess path HOST[:PORT] [--expect WHAT] [--listener] [--proxy HOST:PORT] [--web-roots PATH]",
		true, false, run_path},
	{"proxy", "overt assess proxy HOST:PORT --ca FILE --origin DIR [--origin-port PORT] [--name NAME] [--direct]",
		true, false, run_proxy},
	{"root", "overt assess root --origin DIR", false, false, NULL},
};

#define SUBJECTS (sizeof(subjects) / sizeof(subjects[0]))

static void help(void)
{
	for (size_t i = 0; i < SUBJECTS; i++) {
		fputs(i == 0 ? "usage: " : "       ", stdout);
		/* So narrow that no option of these parts from its value. */
		fold(stdout, subjects[i].usage, 20, 7, 72);
		puts("");
	}
	puts("\nTries what it tells, and grades it line by line: A, B, C or F, of which the\n"
	     "worst counts. Nothing but what was named is asked, one connection after the\n"
	     "other, within bounds.\n");
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

/* Before a command, if any. */
static bool listens(int argc, char **argv)
{
	for (int i = 1; i < argc && strcmp(argv[i], "--") != 0; i++) {
		if (strncmp(argv[i], "--listen", 8) == 0 && (argv[i][8] == '\0' || argv[i][8] == '='))
			return true;
	}
	return false;
}

static bool read_all(int argc, char **argv, const struct subject *subject, struct request *request, char ***command,
	struct error *err)
{
	const struct arguments arguments = {.verb = "assess",
		.table = table,
		.count = sizeof(table) / sizeof(table[0]),
		.word = subject->command ? NULL : read_word,
		.command = subject->command && !listens(argc, argv)};
	int rest = argc;
	if (!arguments_read(&arguments, argc, argv, request, &rest, err))
		return false;
	*command = argv + rest;
	if (request->listen && !subject->command)
		return error_set(err, "--listen is for clients: overt assess client --listen");
	if (subject->command && !request->listen && !**command)
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

static void say_begun(void *arg, const char *line)
{
	(void)arg;
	fprintf(stderr, "%s\n", line);
}

static bool say_report(void *arg, const struct report *report)
{
	const struct request *request = arg;
	struct error err = {""};
	return tell(request, report, &err) || complain("assess", &err, 0) != 0;
}

static int serve(struct request *request, struct error *err)
{
	const struct listen_options options = {.where = request->listen,
		.name = request->name,
		.origin = request->origin,
		.clients = request->clients,
		.whole_ns = request->has_total ? request->total_ns : 0,
		.quiet_ns = 2 * request->timeout_ns,
		.begun = say_begun,
		.told = say_report,
		.arg = request};
	if (!request->origin) {
		error_set(err, "--origin is missing: the folder of the root that clients are to trust");
		return complain("assess", err, EXIT_MISUSE);
	}
	return listen_run(&options, err) ? 0 : complain("assess", err, 1);
}

/* Of a path, the verdict; all else ends with 0 where there is a report. */
static int code_of(const struct request *request)
{
	static const int codes[] = {[PATH_NOBODY] = 0, [PATH_SOMEBODY] = 3, [PATH_CANNOT_TELL] = 4};
	return codes[request->verdict];
}

static int assess(int argc, char **argv, struct request *request)
{
	struct error err = {0};
	char **command = NULL;
	if (wants_help(argc, argv)) {
		help();
		return 0;
	}
	/* `overt assess --listen` says the same as `overt assess client --listen`. */
	bool bare = argc > 1 && listens(2, argv);
	int skip = bare ? 0 : 1;
	const struct subject *subject = find(bare ? "client" : argc > 1 ? argv[1] : NULL, &err);
	if (!subject || !read_all(argc - skip, argv + skip, subject, request, &command, &err))
		return complain("assess", &err, EXIT_MISUSE);
	if (request->listen)
		return serve(request, &err);
	if (!subject->run)
		return make_root(request, &err);
	struct report *report = subject->run(request, command, &err);
	if (!report)
		return complain("assess", &err, 1);
	bool ok = tell(request, report, &err);
	enum grade grade = report_grade(report);
	report_free(report);
	if (!ok)
		return complain("assess", &err, 1);
	return request->least != GRADE_NONE && grade > request->least ? 1 : code_of(request);
}

int verb_assess(int argc, char **argv)
{
	struct request request = {.timeout_ns = 5 * NS_PER_S, .total_ns = 90 * NS_PER_S, .pause_ns = 50 * NS_PER_MS};
	int code = assess(argc, argv, &request);
	expect_free(&request.expect);
	return code;
}
