/*
 * cli/arguments.h — the options of a verb that needs no configuration file, as a table: `--name VALUE`, `--name=VALUE`,
 * `-n VALUE`, `-nVALUE`. What is no option is given to the table's last word.
 */
#ifndef CLI_ARGUMENTS_H
#define CLI_ARGUMENTS_H

#include "base/error.h"

#include <stddef.h>

struct argument {
	const char *name;  /* without its hyphens */
	char letter;       /* 0: none */
	const char *value; /* what stands behind it, in capitals; NULL: a flag */
	/* False when the value is not right; `err` may say why, else the doc does. `value` is "" for a flag. */
	bool (*read)(void *ctx, const char *value, struct error *err);
	const char *doc; /* a phrase without a full stop */
};

struct arguments {
	const char *verb;
	const struct argument *table;
	size_t count;
	/* A word that is no option. NULL: there may be none. */
	bool (*word)(void *ctx, const char *word, struct error *err);
	bool command; /* what follows "--", or the first word, is a command of its own: reading ends there */
};

/* Defines a reader for an argument that is kept as it stands, and not empty, in a field of struct `holder`. */
#define ARGUMENT_TEXT(reader, holder, field)                                                                           \
	static bool reader(void *ctx, const char *value, struct error *err)                                            \
	{                                                                                                              \
		(void)err;                                                                                             \
		((struct holder *)ctx)->field = value;                                                                 \
		return *value != '\0';                                                                                 \
	}
/* And one for a flag, whose field is then true. */
#define ARGUMENT_FLAG(reader, holder, field)                                                                           \
	static bool reader(void *ctx, const char *value, struct error *err)                                            \
	{                                                                                                              \
		(void)err;                                                                                             \
		(void)value;                                                                                           \
		((struct holder *)ctx)->field = true;                                                                  \
		return true;                                                                                           \
	}

/* Reads argv[1] … In *rest stands the index of what was not read (argc, or where a command begins). */
must_check bool arguments_read(
	const struct arguments *arguments, int argc, char **argv, void *ctx, int *rest, struct error *err);
/* Prints the options, one line each. */
void arguments_help(const struct arguments *arguments);

#endif
