/* overt log — shows the audit log, verifies it, proves what stands in it, and witnesses it (docs/audit.md). */
#include "cli/log_parts.h"

#include "base/text.h"
#include "cli/arguments.h"
#include "cli/options.h"
#include "cli/verbs.h"
#include "policy/config.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum given {
	GIVEN_LOG = 1,
	GIVEN_FILTER = 2,
	GIVEN_KEY = 4,
	GIVEN_CHECKPOINT = 8,
	GIVEN_WITNESS = 16,
	GIVEN_PROOF = 32,
	GIVEN_LINE = 64,
	GIVEN_FROM = 128,
	GIVEN_OUT = 256,
	GIVEN_AS = 512,
	GIVEN_FILE = 1024,
};

#define READ_TEXT(function, field, bit)                                                                                \
	static bool function(void *ctx, const char *value, struct error *err)                                          \
	{                                                                                                              \
		(void)err;                                                                                             \
		((struct log_wish *)ctx)->field = value;                                                               \
		((struct log_wish *)ctx)->given |= (bit);                                                              \
		return *value != '\0';                                                                                 \
	}
#define READ_FLAG(function, field, bit)                                                                                \
	static bool function(void *ctx, const char *value, struct error *err)                                          \
	{                                                                                                              \
		(void)err;                                                                                             \
		(void)value;                                                                                           \
		((struct log_wish *)ctx)->field = true;                                                                \
		((struct log_wish *)ctx)->given |= (bit);                                                              \
		return true;                                                                                           \
	}
#define READ_MANY(function, field, count, bit)                                                                         \
	static bool function(void *ctx, const char *value, struct error *err)                                          \
	{                                                                                                              \
		struct log_wish *wish = ctx;                                                                           \
		if (wish->count == LOG_MANY)                                                                           \
			return error_set(err, "at most %d of these", LOG_MANY);                                        \
		wish->field[wish->count++] = value;                                                                    \
		wish->given |= (bit);                                                                                  \
		return *value != '\0';                                                                                 \
	}

READ_TEXT(read_state, state, GIVEN_LOG)
READ_TEXT(read_log, log, GIVEN_LOG)
READ_TEXT(read_kind, kind, GIVEN_FILTER)
READ_TEXT(read_since, since, GIVEN_FILTER)
READ_TEXT(read_before, before, GIVEN_FILTER)
READ_FLAG(read_unilateral, unilateral, GIVEN_FILTER)
READ_FLAG(read_closed, closed, GIVEN_FILTER)
READ_FLAG(read_json, json, GIVEN_FILTER)
READ_TEXT(read_key, key, GIVEN_KEY)
READ_MANY(read_checkpoint, checkpoints, checkpoint_count, GIVEN_CHECKPOINT)
READ_MANY(read_witness, witnesses, witness_count, GIVEN_WITNESS)
READ_TEXT(read_proof, proof, GIVEN_PROOF)
READ_TEXT(read_from, from, GIVEN_FROM)
READ_TEXT(read_out, out, GIVEN_OUT)
READ_TEXT(read_as, as, GIVEN_AS)
READ_TEXT(read_name, name, GIVEN_AS)

static bool read_line(void *ctx, const char *value, struct error *err)
{
	struct log_wish *wish = ctx;
	(void)err;
	wish->given |= GIVEN_LINE;
	return text_number(bytes_str(value), INT64_MAX, &wish->line) && wish->line > 0;
}

static bool read_file(void *ctx, const char *word, struct error *err)
{
	struct log_wish *wish = ctx;
	if (wish->file)
		return error_set(err, "%s: one file at a time", word);
	wish->file = word;
	wish->given |= GIVEN_FILE;
	return true;
}

static const struct argument table[] = {
	{"state", 0, "DIR", read_state, "where the proxy keeps its state, and audit.log in it [$XDG_DATA_HOME/overt]"},
	{"log", 0, "FILE", read_log, "the log itself, where it is not STATE/audit.log"},
	{"kind", 'k', "KINDS", read_kind, "show: entries of these kinds only, with commas between"},
	{"since", 0, "TIME", read_since, "show: from this time on, UTC, as 2026-11-21 or 2026-11-21T10:00"},
	{"before", 0, "TIME", read_before, "show: up to this time"},
	{"unilateral", 0, NULL, read_unilateral, "show: only what one side alone consented to"},
	{"closed", 0, NULL, read_closed, "show: commitments as they are, also where an opening is kept"},
	{"json", 'j', NULL, read_json, "show: lines of JSON"},
	{"key", 0, "KEY", read_key, "the log's verifier key, or a file with it [FILE.pub beside the log]"},
	{"checkpoint", 'c', "FILE", read_checkpoint,
		"verify: a checkpoint kept elsewhere; prove: the one to lead to [the newest]"},
	{"witness", 0, "KEY", read_witness, "verify: what counts must be cosigned by this witness too"},
	{"proof", 0, "FILE", read_proof, "verify: this proof, without the log"},
	{"line", 'n', "N", read_line, "prove: that this line is in the log"},
	{"from", 0, "FILE", read_from, "prove: that the log grew from this checkpoint"},
	{"out", 'o', "FILE", read_out, "prove, witness: where to write [standard output]"},
	{"as", 0, "DIR", read_as, "witness: where its key stands, and what it saw"},
	{"name", 0, "NAME", read_name, "witness: what its name begins with, when its key is made"},
};

static const struct arguments arguments = {
	.verb = "log",
	.table = table,
	.count = sizeof(table) / sizeof(table[0]),
	.word = read_file,
};

static int help(void)
{
	puts("usage: overt log show [--kind KINDS] [--since TIME] [--before TIME]\n"
	     "                      [--unilateral] [--json]\n"
	     "       overt log verify [--key KEY] [--checkpoint FILE] [--witness KEY]\n"
	     "       overt log verify --proof FILE --key KEY [--witness KEY]\n"
	     "       overt log prove --line N | --from FILE [--checkpoint FILE] [--out FILE]\n"
	     "       overt log witness --as DIR [--key KEY] [FILE]\n\n"
	     "Shows the audit log of a proxy, verifies that none of it was altered or taken\n"
	     "out, proves that a line stands in it, or that it only grew, and cosigns its\n"
	     "checkpoints for others. With --state or --log it is that log which all but a\n"
	     "verification of a proof is about.\n");
	arguments_help(&arguments);
	return 0;
}

/* What an action does not take must not be given: it would seem to have counted. */
static bool fits(const struct log_wish *wish, unsigned allowed, const char *action, struct error *err)
{
	static const char *const names[] = {"--state or --log",
		"--kind, --since, --before, --unilateral, --closed or --json", "--key", "--checkpoint", "--witness",
		"--proof", "--line", "--from", "--out", "--as or --name", "a file"};
	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
		if (wish->given & ~allowed & 1U << i)
			return error_set(err, "%s does not take %s", action, names[i]);
	}
	return true;
}

static bool find_log(struct log_wish *wish, struct error *err)
{
	if (wish->log && wish->state)
		return error_set(err, "--log and --state: one of them says where the log is");
	if (wish->log)
		return audit_path(wish->path, wish->log, "") || error_set(err, "--log: the path is too long");
	struct config *config = config_new(err);
	if (!config)
		return false;
	/* The reader of options wants words that it may change. */
	char verb[] = "log";
	char option[] = "--state";
	char state[AUDIT_PATH_MAX];
	char *args[] = {verb, option, state, NULL};
	int rest;
	snprintf(state, sizeof(state), "%s", wish->state ? wish->state : "");
	bool good = config_read_args(config, CONFIG_PROXY, wish->state ? 3 : 1, args, &rest, err) &&
	            config_check(config, CONFIG_PROXY, err);
	if (good && !audit_path(wish->path, config->state, "/audit.log"))
		good = error_set(err, "--state: the path is too long");
	config_free(config);
	return good;
}

int verb_log(int argc, char **argv)
{
	static const struct action {
		const char *name;
		int (*run)(struct log_wish *wish);
		unsigned allowed;
	} actions[] = {
		{"show", log_show, GIVEN_LOG | GIVEN_FILTER},
		{"verify", log_verify, GIVEN_LOG | GIVEN_KEY | GIVEN_CHECKPOINT | GIVEN_WITNESS | GIVEN_PROOF},
		{"prove", log_prove, GIVEN_LOG | GIVEN_KEY | GIVEN_CHECKPOINT | GIVEN_LINE | GIVEN_FROM | GIVEN_OUT},
		{"witness", log_witness, GIVEN_LOG | GIVEN_KEY | GIVEN_AS | GIVEN_OUT | GIVEN_FILE},
	};
	static struct log_wish wish;
	struct error err = {"an action is missing: show, verify, prove or witness"};
	int rest;
	if (wants_help(argc, argv))
		return help();
	for (size_t i = 0; argc >= 2 && i < sizeof(actions) / sizeof(actions[0]); i++) {
		if (strcmp(argv[1], actions[i].name) != 0)
			continue;
		if (!arguments_read(&arguments, argc - 1, argv + 1, &wish, &rest, &err) ||
			!fits(&wish, actions[i].allowed, argv[1], &err) || !find_log(&wish, &err))
			return complain("log", &err, EXIT_MISUSE);
		return actions[i].run(&wish);
	}
	if (argc >= 2)
		(void)error_set(&err, "there is no action %s; there are show, verify, prove and witness", argv[1]);
	return complain("log", &err, EXIT_MISUSE);
}
