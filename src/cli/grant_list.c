/* overt grant list, overt grant show. */
#include "base/clock.h"
#include "base/text.h"
#include "cli/arguments.h"
#include "cli/collect_place.h"
#include "cli/grant_parts.h"
#include "cli/options.h"
#include "cli/verbs.h"
#include "policy/grant_folder.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define SIGNERS_MAX 16

struct wish {
	const char *folder, *signers, *file;
	char room[FILE_PATH_MAX], signers_room[FILE_PATH_MAX];
	struct note_key known[SIGNERS_MAX];
	size_t known_count;
};

ARGUMENT_TEXT(read_folder, wish, folder)
ARGUMENT_TEXT(read_signers, wish, signers)

static bool read_file(void *ctx, const char *word, struct error *err)
{
	struct wish *wish = ctx;
	if (wish->file)
		return error_set(err, "%s: one file at a time", word);
	wish->file = word;
	return true;
}

static const struct argument table[] = {
	{"dir", 'd', "DIR", read_folder, "the folder of the grants [$XDG_DATA_HOME/overt-collect/grants]"},
	{"signers", 's', "FILE", read_signers, "verifier keys of those whose grants count [signers beside the folder]"},
};

void grant_list_help(void)
{
	arguments_help(&(struct arguments){.verb = "grant list", .table = table, .count = 2});
}

static bool find_places(struct wish *wish, struct error *err)
{
	char place[FILE_PATH_MAX];
	if (!wish->folder) {
		wish->folder = wish->room;
		if (!collect_place(place, err) || !file_join(wish->room, place, "grants", err))
			return false;
	}
	if (!wish->signers) {
		snprintf(place, sizeof(place), "%s", wish->folder);
		size_t len = strlen(place);
		while (len > 1 && place[len - 1] == '/')
			place[--len] = '\0';
		char *slash = strrchr(place, '/');
		if (slash)
			*slash = '\0';
		wish->signers = wish->signers_room;
		if (!file_join(wish->signers_room, slash ? place : ".", "signers", err))
			return false;
	}
	return collect_read_signers(wish->signers, wish->known, SIGNERS_MAX, &wish->known_count, err);
}

static void bad_file(void *arg, const char *text)
{
	(void)arg;
	fprintf(stderr, "overt grant list: %s\n", text);
}

static void print_row(const struct grant_set *set, const struct grant *grant, int64_t now_s)
{
	char id[2 * RELEASE_GRANT + 1], until[GRANT_TIME_TEXT] = "-";
	const char *state = grant_set_revoked(set, grant->id)           ? "revoked"
	                    : grant->until_s && now_s >= grant->until_s ? "ended"
	                                                                : "in force";
	text_hex(id, sizeof(id), bytes_of(grant->id, RELEASE_GRANT));
	if (grant->until_s)
		(void)grant_time_text(grant->until_s, until);
	printf("%s  %-8s  %-10s  %-6s  %-20s  %-16s  %s%s\n", id, state,
		grant->consent == RELEASE_BOTH ? "both" : "unilateral",
		grant->grade == RELEASE_GRADE_RAW ? "raw" : "record", until, grant->reader, grant->names[0],
		grant->name_count > 1 ? " ..." : "");
}

int grant_list(int argc, char **argv)
{
	const struct arguments arguments = {.verb = "grant list", .table = table, .count = 2};
	static struct wish wish;
	const struct grant *grant;
	struct error err;
	int rest;
	if (wants_help(argc, argv)) {
		arguments_help(&arguments);
		return EXIT_SUCCESS;
	}
	if (!arguments_read(&arguments, argc, argv, &wish, &rest, &err) || !find_places(&wish, &err))
		return complain("grant list", &err, EXIT_MISUSE);
	struct grant_folder folder = {
		.path = wish.folder, .signers = wish.known, .signer_count = wish.known_count, .bad = bad_file};
	struct grant_set *set = grant_folder_read(&folder, clock_monotonic_ns(), &err);
	if (!set)
		return complain("grant list", &err, EXIT_FAILURE);
	for (size_t i = 0; (grant = grant_set_at(set, i)); i++)
		print_row(set, grant, (int64_t)(clock_wall_ns() / NS_PER_S));
	grant_set_free(set);
	return folder.errors == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}

static void print_senders(const struct grant *grant)
{
	printf("senders   ");
	for (size_t i = 0; i < grant->sender_count; i++)
		printf(" %s", grant->senders[i]);
	puts("");
}

/* Of each connection. */
static void print_ends(const struct grant *grant)
{
	if (grant->until_octets)
		printf("           in each connection after %llu octets\n", (unsigned long long)grant->until_octets);
	if (grant->until_conn_ns)
		printf("           in each connection after %llu s\n",
			(unsigned long long)(grant->until_conn_ns / NS_PER_S));
	if (grant->until_reader)
		puts("           when the reader says that it is enough");
}

static bool show(const char *path, struct error *err)
{
	struct file_bytes file = {0};
	struct grant grant;
	struct note note = {0};
	char id[2 * SEAL_KEY_ID + 1], time[GRANT_TIME_TEXT];
	bool ok = file_read(path, GRANT_FILE_MAX, &file, NULL, err);
	if (ok && !note_read(bytes_of(file.data, file.len), &note))
		ok = error_set(err, "%s: no signed grant", path);
	ok = ok && grant_parse(note.text, path, &grant, err);
	if (ok) {
		text_hex(id, sizeof(id), bytes_of(grant.id, RELEASE_GRANT));
		printf("grant      %s, issued %s\n", id, grant_time_text(grant.issued_s, time));
		text_hex(id, sizeof(id), bytes_of(grant.key_id, SEAL_KEY_ID));
		printf("reader     %s\nkey id     %s\nnames     ", grant.reader, id);
		for (size_t i = 0; i < grant.name_count; i++)
			printf(" %s", grant.names[i]);
		printf("\ndirections %s%s\n", grant.from_client ? "client " : "", grant.from_server ? "server" : "");
		printf("mode       %s, %s keys\n", grant.mode == RELEASE_LIVE ? "live" : "after-rotation",
			grant.grade == RELEASE_GRADE_RAW ? "raw (secrets)" : "record");
		printf("consent    %s%s%s\n", grant.consent == RELEASE_BOTH ? "both" : "unilateral",
			grant.reason[0] ? ": " : "", grant.reason);
		if (grant.sender_count > 0)
			print_senders(&grant);
		printf("purpose    %s\nends       %s\n", grant.purpose,
			grant.until_s ? grant_time_text(grant.until_s, time) : "when revoked");
		print_ends(&grant);
		puts("The signature was not checked here: overt grant list does that.");
	}
	file_bytes_free(&file);
	return ok;
}

int grant_show(int argc, char **argv)
{
	const struct arguments arguments = {.verb = "grant show", .table = table, .count = 0, .word = read_file};
	static struct wish wish;
	struct error err;
	int rest;
	if (wants_help(argc, argv)) {
		arguments_help(&arguments);
		return EXIT_SUCCESS;
	}
	if (!arguments_read(&arguments, argc, argv, &wish, &rest, &err))
		return complain("grant show", &err, EXIT_MISUSE);
	if (!wish.file)
		return complain("grant show", &(struct error){"name the grant's file"}, EXIT_MISUSE);
	return show(wish.file, &err) ? EXIT_SUCCESS : complain("grant show", &err, EXIT_FAILURE);
}
