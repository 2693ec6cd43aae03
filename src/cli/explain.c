/* overt explain — stories that run what they tell: why things are as they are with TLS, shown on this machine. */
#include "cli/arguments.h"
#include "cli/options.h"
#include "cli/verbs.h"
#include "explain/stories.h"
#include "explain/tell.h"

#include <errno.h>
#include <locale.h>
#include <stdio.h>
#include <string.h>

struct request {
	struct explain_options options;
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
ARGUMENT_FLAG(read_json, request, json)
ARGUMENT_FLAG(read_no_colour, request, no_colour)

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
	{"no-color", 0, NULL, read_no_colour, "no colours on a terminal"},
};

static const struct arguments arguments = {
	.verb = "explain", .table = table, .count = sizeof(table) / sizeof(table[0]), .word = read_story};

static void help(void)
{
	puts("usage: overt explain STORY [OPTIONS]\n\nRuns what it tells, here and now, with the OpenSSL of this "
	     "machine, "
	     "and says what happened.\nEnds with 0 only if all of it happened as it is told.\n");
	for (size_t i = 0; i < CHAPTERS; i++)
		printf("  %-11s %s\n", chapters[i].name, chapters[i].line);
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

int verb_explain(int argc, char **argv)
{
	struct request request = {0};
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
	if (!chapter)
		return complain("explain", &err, EXIT_MISUSE);
	struct story *story = story_new(chapter->name, chapter->title, chapter->question);
	if (!story) {
		error_set(&err, "no memory");
		return complain("explain", &err, 1);
	}
	bool ok = chapter->run(&request.options, story, &err) && tell(&request, story, &err);
	int code = !ok ? complain("explain", &err, 1) : story_holds(story) ? 0 : 1;
	story_free(story);
	return code;
}
