/* overt tour — five minutes on loopback: what Overt shows and does, each step with the command that repeats it. */
#include "cli/arguments.h"
#include "cli/options.h"
#include "cli/tour_parts.h"
#include "cli/verbs.h"
#include "explain/stories.h"
#include "explain/tell.h"

#include <errno.h>
#include <locale.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/stat.h>
#include <unistd.h>

struct request {
	const char *keep, *serve, *html;
	bool json, no_pause, no_colour;
};

static const struct step {
	const char *name, *title;
	bool (*run)(struct tour *tour, struct error *err);
} steps[] = {
	{"drop-out", "1 of 6: why a proxy must decide before it answers", tour_dropout},
	{"split", "2 of 6: a program's request, read in split", tour_split_step},
	{"share", "3 of 6: the same, read in share", tour_share_step},
	{"accord", "4 of 6: a proxy that proves itself", tour_accord},
	{"lossy", "5 of 6: a capture with holes", tour_lossy},
	{"audit-log", "6 of 6: the log that cannot be altered unseen", tour_log},
};

#define STEPS (sizeof(steps) / sizeof(steps[0]))

ARGUMENT_TEXT(read_keep, request, keep)
ARGUMENT_TEXT(read_serve, request, serve)
ARGUMENT_TEXT(read_html, request, html)
ARGUMENT_FLAG(read_json, request, json)
ARGUMENT_FLAG(read_no_pause, request, no_pause)
ARGUMENT_FLAG(read_no_colour, request, no_colour)

static const struct argument table[] = {
	{"keep", 0, "DIR", read_keep, "keep what the steps leave in this folder, which must be new or empty"},
	{"serve", 0, "DIR", read_serve, "no tour: the server of one that was kept there, until Ctrl-C"},
	{"no-pause", 0, NULL, read_no_pause, "do not wait for Enter between steps"},
	{"json", 0, NULL, read_json, "print a list of what was shown, as JSON"},
	{"html", 0, "FILE", read_html, "write the tour as a page that needs nothing else"},
	{"no-color", 0, NULL, read_no_colour, "no colours on a terminal"},
};

static const struct arguments arguments = {.verb = "tour", .table = table, .count = sizeof(table) / sizeof(table[0])};

static int help(void)
{
	puts("usage: overt tour [OPTIONS]\n\n"
	     "Five minutes on loopback: a relay that leaves a connection, a program's request\n"
	     "read in split and in share, an Accord proof, a capture with holes, an altered\n"
	     "log. Each step runs here and now, with servers and certificates of its own, and\n"
	     "says the command that repeats it. Nothing is installed and nothing stays. Ends\n"
	     "with 0 only if each step happened as it is told.\n");
	arguments_help(&arguments);
	return 0;
}

/* Stopping. */

static int stop_fd = -1;

static void stop(int number)
{
	(void)number;
	uint64_t one = 1;
	(void)!write(stop_fd, &one, sizeof(one));
}

static bool catch_signals(struct error *err)
{
	struct sigaction action = {.sa_handler = stop};
	stop_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (stop_fd < 0)
		return error_set_errno(err, "no descriptor for signals");
	sigaction(SIGINT, &action, NULL);
	sigaction(SIGTERM, &action, NULL);
	sigaction(SIGHUP, &action, NULL);
	return true;
}

/* The story of dropping out, in short: a line per case. */

/* The story's cases in as many words as fit a line. One that is not here keeps its own title. */
static const char *short_of(const struct story_item *row)
{
	static const char *const words[][2] = {
		{"tls12-rsa-ems-stripped", "TLS 1.2 RSA, extended master secret stripped"},
		{"tls12-rsa-ems", "TLS 1.2 RSA, with extended master secret"},
		{"tls12-rsa-client-insists-ems", "the first again, but the client insists on it"},
		{"tls12-dhe-ems-stripped", "TLS 1.2 DHE in the relay's own group, stripped"},
		{"tls12-dhe-ems", "the same, with extended master secret"},
		{"tls12-dhe-client-insists-rfc7919", "stripped, the client insists on a named group"},
		{"tls12-dhe-client-insists-ems", "stripped, the client insists on the extension"},
		{"tls12-ecdhe-ems-stripped", "TLS 1.2 ECDHE, stripped"},
		{"tls12-ecdhe-low-order", "TLS 1.2 ECDHE, with a point of small order"},
		{"tls12-late-deciding", "TLS 1.2, a relay that copies and looks on"},
		{"tls13-late-deciding", "TLS 1.3, a relay that copies and looks on"},
		{"tls12-ems-certificate-in-clear", "TLS 1.2, the certificate in the clear"},
		{"tls13-two-handshakes", "TLS 1.3, terminated on both sides"},
		{"tls13-certificate-handed", "TLS 1.3, the relay has the server's own key"},
		{"tls13-key-schedule", "TLS 1.3, both key schedules side by side"},
		{"tls13-only-the-certificate", "TLS 1.3, if only the certificate differed"},
		{"tls12-step-aside", "TLS 1.2, deciding before the answer"},
		{"tls13-step-aside", "TLS 1.3, deciding before the answer"},
		{"tls13-share", "TLS 1.3, an endpoint shares record keys"},
		{"tls13-honest-drop-out", "the same, and the grant ends: keys rotate"},
	};
	for (size_t i = 0; row->name && i < sizeof(words) / sizeof(words[0]); i++) {
		if (strcmp(words[i][0], row->name) == 0)
			return words[i][1];
	}
	return row->title;
}

static bool flag_of(const struct story_item *row, const char *name)
{
	for (size_t i = 0; i < row->count; i++) {
		if (strcmp(row->fact[i].name, name) == 0)
			return row->fact[i].flag;
	}
	return false;
}

static void tell_cases(struct tour *tour, const struct story *whole)
{
	size_t cases = 0, left = 0, ways = 0;
	story_table(tour->story, "What was tried just now",
		(const char *const[]){"case", "secrets equal", "data flows", NULL});
	for (size_t i = 0; i < story_count(whole); i++) {
		const struct story_item *row = story_item(whole, i);
		if (row->kind != STORY_ROW)
			continue;
		bool flows = flag_of(row, "data_flows");
		cases++;
		left += flows && flag_of(row, "relay_read");
		ways += flows && !flag_of(row, "relay_read");
		story_line(tour->story, !row->held,
			(const char *const[]){short_of(row), flag_of(row, "secrets_equal") ? "yes" : "no",
				flows ? "yes" : "no", NULL});
	}
	story_row(tour->story, "drop-out", "Only TLS 1.2 without extended master secret lets a relay leave");
	story_number(tour->story, "cases", "cases", cases);
	story_number(tour->story, "left", "in which a relay that had read was gone, unseen", left);
	story_number(tour->story, "ways", "in which nobody had stood in between", ways);
	story_flag(tour->story, "as_told", "each went as the story tells", story_holds(whole));
	story_held(tour->story, story_holds(whole) && left == 2 && ways == 6,
		"In TLS 1.3 every key hangs on all that was said, so a proxy cannot look first and leave later. Overt "
		"holds the client's hello, looks at the server itself, and decides before it answers.");
}

bool tour_dropout(struct tour *tour, struct error *err)
{
	const struct explain_options options = {0};
	struct story *whole = story_new("dropout", "", "");
	story_say(tour->story,
		"A relay terminates TLS between a client and a server, both the OpenSSL of this machine, and then "
		"tries to leave so that the two go on alone. That takes the same secrets on both sides.");
	bool ok = whole && explain_dropout(&options, whole, err);
	if (!whole)
		error_set(err, "no memory");
	if (ok)
		tell_cases(tour, whole);
	story_command(tour->story, "overt explain dropout");
	story_free(whole);
	return ok;
}

/* The tour. */

struct guide {
	const struct request *request;
	struct tell_style style;
	bool text, pauses;
	size_t told; /* items of the story */
};

static void tell_more(struct guide *guide, const struct tour *tour)
{
	if (!guide->text)
		return;
	guide->told = tell_text_more(tour->story, guide->told, &guide->style, stdout);
	fflush(stdout);
}

/* False when the reader has had enough. */
static bool pause_here(const struct guide *guide, const struct tour *tour)
{
	char line[64] = "";
	if (!guide->pauses)
		return !tour_stopped(tour);
	fputs("\nEnter goes on, q quits: ", stdout);
	fflush(stdout);
	ssize_t n = read(STDIN_FILENO, line, sizeof(line) - 1);
	return n > 0 && line[0] != 'q' && line[0] != 'Q' && !tour_stopped(tour);
}

static void begin(const struct request *request, const struct tour *tour)
{
	story_say(tour->story,
		"Everything below happens now, on this machine, on loopback, in a folder of its own; an HTTPS server "
		"of stock OpenSSL stands at https://localhost:%u/.",
		tour->port);
	if (request->keep)
		story_say(tour->story,
			"The commands are those that are run, in the folder %s. They work there again as long as "
			"\"overt "
			"tour --serve %s\" runs in another terminal.",
			tour->dir, tour->dir);
	else
		story_say(tour->story, "The commands are those that are run. To run them yourself, take the tour with "
				       "--keep DIR: it leaves the files there.");
	story_say(tour->story, "\"overt\" in them is %s.", tour->self);
}

static void run_steps(struct guide *guide, struct tour *tour)
{
	for (size_t i = 0; i < STEPS; i++) {
		struct error err = {0};
		if (!pause_here(guide, tour))
			break;
		story_chapter(tour->story, steps[i].title);
		tell_more(guide, tour);
		if (!steps[i].run(tour, &err)) {
			story_row(tour->story, steps[i].name, "This step could not be shown");
			story_words(tour->story, "fault", "why", err.text);
			story_held(tour->story, false, "The other steps do not depend on it%s.",
				steps[i].run == tour_accord ? ", but for the last, which needs this one's log" : "");
		}
		tell_more(guide, tour);
	}
}

/* Every step happened: one that was left out has no row. */
static bool all_there(const struct story *story)
{
	size_t rows = 0;
	for (size_t i = 0; i < story_count(story); i++)
		rows += story_item(story, i)->kind == STORY_ROW;
	return rows == STEPS && story_holds(story);
}

static bool write_page(const struct story *story, const char *path, struct error *err)
{
	FILE *file = fopen(path, "we");
	bool ok = file && tell_html(story, file);
	int code = errno;
	if (file && fclose(file) != 0 && ok) {
		code = errno;
		ok = false;
	}
	return ok || error_set(err, "%s: %s", path, strerror(code));
}

static bool tell_end(const struct guide *guide, const struct tour *tour, struct error *err)
{
	const struct request *request = guide->request;
	if (request->html && !write_page(tour->story, request->html, err))
		return false;
	if (request->json)
		return tell_json(tour->story, stdout) || error_set_errno(err, "standard output");
	if (!all_there(tour->story) && story_holds(tour->story))
		fputs("\nThe rest of the tour was left out.\n", stdout);
	else if (!tell_text_end(tour->story, &guide->style, stdout))
		return error_set_errno(err, "standard output");
	printf(request->keep ? "What the steps left is in %s.\n" : "Nothing of it stays on this machine.\n", tour->dir);
	return fflush(stdout) == 0;
}

static bool run_tour(const struct request *request, struct tour *tour, bool *held, struct error *err)
{
	struct guide guide = {.request = request, .style = tell_style_of(stdout), .text = !request->json};
	guide.style.colour &= !request->no_colour;
	guide.pauses = guide.text && !request->no_pause && isatty(STDIN_FILENO) && isatty(STDOUT_FILENO);
	if (!tour_server_begin(tour, err))
		return false;
	begin(request, tour);
	if (guide.text)
		tell_text_begin(tour->story, &guide.style, stdout);
	tell_more(&guide, tour);
	run_steps(&guide, tour);
	*held = all_there(tour->story);
	return tell_end(&guide, tour, err);
}

int verb_tour(int argc, char **argv)
{
	struct request request = {0};
	struct tour tour = {.stop_fd = -1};
	struct error err = {0};
	int rest = 0;
	bool held = false;
	if (wants_help(argc, argv))
		return help();
	setlocale(LC_CTYPE, "");
	if (!arguments_read(&arguments, argc, argv, &request, &rest, &err))
		return complain("tour", &err, EXIT_MISUSE);
	if (request.serve)
		return tour_serve(request.serve);
	tour.story =
		story_new("tour", "Five minutes with Overt", "What does Overt show, and what may one believe of it?");
	if (!tour.story)
		error_set(&err, "no memory");
	bool ok = tour.story && catch_signals(&err);
	tour.stop_fd = stop_fd;
	/* What is kept may be the key to everything that was said: for its owner alone. */
	umask(077);
	ok = ok && tour_room_make(&tour, request.keep, &err) && run_tour(&request, &tour, &held, &err);
	tour_server_end(&tour);
	if (!request.keep)
		tour_room_remove(&tour);
	story_free(tour.story);
	return !ok ? complain("tour", &err, 1) : held ? 0 : 1;
}
