/* overt explain — stories that run what they tell: why things are as they are with TLS, shown on this machine. */
#include "base/clock.h"
#include "base/fold.h"
#include "base/text.h"
#include "cli/arguments.h"
#include "cli/explain_capture.h"
#include "cli/options.h"
#include "cli/verbs.h"
#include "explain/stories.h"
#include "explain/tell.h"

#include <errno.h>
#include <locale.h>
#include <stdio.h>
#include <string.h>

#define MESSAGES_MAX ((size_t)4 * 1024 * 1024) /* octets of the handshake messages of a connection */

struct request {
	struct explain_options options;
	struct explain_capture capture;
	const char *html;
	bool json, no_colour;
	const char *story;
};

static const struct chapter {
	const char *name, *title, *question, *line;
	bool (*run)(const struct explain_options *options, struct story *story, struct error *err);
} chapters[] = {
	{"schedule", "The key schedule, secret by secret",
		"Where do the keys of a connection come from, and what does each of them depend on?",
		"the whole key schedule of one connection, compared with OpenSSL and RFC 8448", explain_schedule},
	{"visibility", "Keys for a reader: in the handshake, beside it, or one at a time",
		"What does a reader get when a server hands out its secrets, and what can it do with them beyond "
		"reading?",
		"proposals to hand session secrets to a reader, as running code, and what is wrong with them",
		explain_visibility},
	{"accord", "Accord: who signed what",
		"What do client, proxy and server know of each other, and how far is that from three parties that all "
		"agree?",
		"handshakes of Accord, who signed what in them, and what the ideal would be", explain_accord},
	{"dropout", "Why a proxy can leave a TLS 1.2 connection, and no TLS 1.3 one",
		"Can somebody who has read a TLS connection leave it later, so that the two ends go on alone?",
		"a relay tries to leave connections that it terminated, in every way there is", explain_dropout},
	{"readonly", "Reading without writing",
		"Can somebody who was given keys to read a connection be kept from writing in it?",
		"what a reader with record keys can forge, and when it cannot", explain_readonly},
};

#define CHAPTERS (sizeof(chapters) / sizeof(chapters[0]))

ARGUMENT_TEXT(read_html, request, html)
ARGUMENT_TEXT(read_host, request, options.host)
ARGUMENT_TEXT(read_capture, request, capture.path)
ARGUMENT_TEXT(read_connection, request, capture.connection)
ARGUMENT_FLAG(read_json, request, json)
ARGUMENT_FLAG(read_no_colour, request, no_colour)

static bool read_timeout(void *ctx, const char *value, struct error *err)
{
	uint64_t *span = &((struct request *)ctx)->options.timeout_ns;
	return (text_duration(bytes_str(value), span) && *span >= 100 * NS_PER_MS && *span <= 60 * NS_PER_S) ||
	       error_set(err, "expected a duration from 100ms to 60s");
}

static bool add(const char **files, size_t *count, const char *value, struct error *err)
{
	if (*count == EXPLAIN_FILES)
		return error_set(err, "at most %d of these", EXPLAIN_FILES);
	files[(*count)++] = value;
	return *value != '\0';
}

static bool read_keys(void *ctx, const char *value, struct error *err)
{
	struct explain_capture *capture = &((struct request *)ctx)->capture;
	return add(capture->keys, &capture->key_count, value, err);
}

static bool read_psk(void *ctx, const char *value, struct error *err)
{
	struct explain_capture *capture = &((struct request *)ctx)->capture;
	return add(capture->psks, &capture->psk_count, value, err);
}

static bool read_story(void *ctx, const char *word, struct error *err)
{
	struct request *request = ctx;
	if (!request->story) {
		request->story = word;
		return true;
	}
	error_set(err, "%s: one story at a time; %s is asked for already", word, request->story);
	return false;
}

static const struct argument table[] = {
	{"html", 0, "FILE", read_html, "write the story as a page that needs nothing else"},
	{"json", 0, NULL, read_json, "print a list of what was tried, as JSON"},
	{"host", 0, "HOST[:PORT]", read_host, "schedule: of a connection made to this server"},
	{"timeout", 0, "DURATION", read_timeout, "with --host: for all of it [10s]"},
	{"capture", 0, "FILE", read_capture, "schedule: of a connection in this capture, pcap or pcapng"},
	{"keys", 0, "FILE", read_keys, "with --capture: its key log; may be given several times"},
	{"psk", 0, "FILE", read_psk, "with --capture: pre-shared keys, a line IDENTITY:HEX each"},
	{"connection", 0, "N", read_connection,
		"with --capture: its number, or its client random [the first with keys]"},
	{"no-color", 0, NULL, read_no_colour, "no colours on a terminal"},
};

static const struct arguments arguments = {
	.verb = "explain", .table = table, .count = sizeof(table) / sizeof(table[0]), .word = read_story};

#define LEFT 14 /* columns before what a story is about */

static void help(void)
{
	puts("usage: overt explain STORY [OPTIONS]\n\n"
	     "Runs what it tells, here and now, with the OpenSSL of this machine, and says\n"
	     "what happened. Ends with 0 only if all of it happened as it is told.\n");
	for (size_t i = 0; i < CHAPTERS; i++) {
		printf("  %-11s ", chapters[i].name);
		fold(stdout, chapters[i].line, LEFT, LEFT, FOLD_COLUMNS);
		puts("");
	}
	puts("");
	arguments_help(&arguments);
}

static const struct chapter *find(const char *name, struct error *err)
{
	for (size_t i = 0; name && i < CHAPTERS; i++) {
		if (strcmp(chapters[i].name, name) == 0)
			return &chapters[i];
	}
	if (name)
		error_set(err, "there is no story %s; overt explain --help lists them", name);
	else
		error_set(err, "which story? overt explain --help lists them");
	return NULL;
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
	if (!ok)
		error_set(err, "%s: %s; nothing else was lost", path, strerror(code));
	return ok;
}

static bool tell(const struct request *request, const struct story *story, struct error *err)
{
	struct tell_style style = tell_style_of(stdout);
	style.colour &= !request->no_colour;
	if (request->html && !write_page(story, request->html, err))
		return false;
	if (request->html && !request->json) {
		printf("%s: %s\n", request->html,
			story_holds(story) ? "all of it happened as it is told"
					   : "something did not happen as it is told");
		return true;
	}
	if (request->json ? tell_json(story, stdout) : tell_text(story, &style, stdout))
		return true;
	error_set(err, "standard output: %s", strerror(errno));
	return false;
}

static bool consistent(const struct request *request, struct error *err)
{
	const struct explain_capture *capture = &request->capture;
	if ((request->options.host || capture->path) && strcmp(request->story, "schedule") != 0)
		return error_set(err, "--host and --capture go with the story schedule");
	if (request->options.host && capture->path)
		return error_set(err, "one connection at a time: --host or --capture");
	if (!capture->path && (capture->key_count > 0 || capture->psk_count > 0 || capture->connection))
		return error_set(err, "--keys, --psk and --connection go with --capture");
	return true;
}

/* The story, of a connection out of a capture where there is one to be read. */
static bool run(const struct request *request, const struct chapter *chapter, struct story *story, struct error *err)
{
	struct schedule_source source;
	struct explain_options options = request->options;
	struct buffer room = {.cap = MESSAGES_MAX};
	char said[EXPLAIN_SAID];
	if (!request->capture.path)
		return chapter->run(&options, story, err);
	story_of_recording(story);
	options.source = &source;
	options.source_said = said;
	bool ok = explain_capture_read(&request->capture, &room, &source, said, err) &&
	          chapter->run(&options, story, err);
	schedule_source_wipe(&source);
	buffer_clear(&room);
	return ok;
}

int verb_explain(int argc, char **argv)
{
	struct request request = {.options = {.timeout_ns = 10 * NS_PER_S}};
	struct error err = {0};
	int rest = 0;
	if (wants_help(argc, argv)) {
		help();
		return 0;
	}
	setlocale(LC_CTYPE, "");
	if (!arguments_read(&arguments, argc, argv, &request, &rest, &err))
		return complain("explain", &err, EXIT_MISUSE);
	const struct chapter *chapter = find(request.story, &err);
	if (!chapter || !consistent(&request, &err))
		return complain("explain", &err, EXIT_MISUSE);
	struct story *story = story_new(chapter->name, chapter->title, chapter->question);
	if (!story) {
		error_set(&err, "no memory");
		return complain("explain", &err, 1);
	}
	bool ok = run(&request, chapter, story, &err) && tell(&request, story, &err);
	int code = !ok ? complain("explain", &err, 1) : story_holds(story) ? 0 : 1;
	story_free(story);
	return code;
}
