#include "cli/arguments.h"

#include "base/fold.h"
#include "policy/suggest.h"

#include <stdio.h>
#include <string.h>

#define LEFT 28 /* columns of an option before its doc */

static bool unknown(const struct arguments *arguments, const char *word, struct error *err)
{
	const char *near = strncmp(word, "--", 2) == 0
	                           ? suggest(word + 2, arguments->table, arguments->count, sizeof(arguments->table[0]))
	                           : NULL;
	if (near)
		return error_set(err, "unknown option %s; did you mean --%s?", word, near);
	return error_set(err, "unknown option %s; overt %s --help lists them", word, arguments->verb);
}

/* The option that a word names, and in *value what stands behind its "=". */
static const struct argument *find(const struct arguments *arguments, const char *word, const char **value)
{
	bool brief = word[1] != '-';
	*value = NULL;
	for (size_t i = 0; i < arguments->count; i++) {
		const struct argument *a = &arguments->table[i];
		size_t len = strlen(a->name);
		if (brief && a->letter && word[1] == a->letter && (!word[2] || a->value)) {
			*value = word[2] ? word + 2 : NULL;
			return a;
		}
		if (brief || strncmp(word + 2, a->name, len) != 0 || (word[2 + len] && word[2 + len] != '='))
			continue;
		*value = word[2 + len] ? word + 3 + len : NULL;
		return a;
	}
	return NULL;
}

static bool take_value(const struct argument *a, const char *word, const char *value, void *ctx, struct error *err)
{
	struct error why = {0};
	if (a->read(ctx, value, &why))
		return true;
	if (why.text[0])
		return error_set(err, "%s %s: %s", word, value, why.text);
	return error_set(
		err, "%s: \"%s\" is not right; expected %s: %s", word, value, a->value ? a->value : "", a->doc);
}

/* The option at argv[*at], whose last word is left there. */
static bool take_option(const struct arguments *arguments, int argc, char **argv, int *at, void *ctx, struct error *err)
{
	const char *word = argv[*at];
	const char *value;
	const struct argument *a = find(arguments, word, &value);
	if (!a)
		return unknown(arguments, word, err);
	if (!a->value && value)
		return error_set(err, "--%s takes no value", a->name);
	if (!a->value)
		return take_value(a, word, "", ctx, err);
	if (!value) {
		if (*at + 1 >= argc)
			return error_set(err, "%s needs a value: %s, %s", word, a->value, a->doc);
		value = argv[++*at];
	}
	return take_value(a, word, value, ctx, err);
}

bool arguments_read(const struct arguments *arguments, int argc, char **argv, void *ctx, int *rest, struct error *err)
{
	int at = 1;
	for (; at < argc; at++) {
		const char *word = argv[at];
		if (strcmp(word, "--") == 0) {
			at++;
			break;
		}
		if (word[0] == '-' && word[1]) {
			if (!take_option(arguments, argc, argv, &at, ctx, err))
				return false;
			continue;
		}
		if (arguments->command)
			break;
		if (!arguments->word)
			return error_set(err, "%s: overt %s takes no such word", word, arguments->verb);
		if (!arguments->word(ctx, word, err))
			return false;
	}
	for (; !arguments->command && arguments->word && at < argc; at++) {
		if (!arguments->word(ctx, argv[at], err))
			return false;
	}
	*rest = at;
	return true;
}

void arguments_help(const struct arguments *arguments)
{
	for (size_t i = 0; i < arguments->count; i++) {
		const struct argument *a = &arguments->table[i];
		char left[96];
		char letter[8] = "";
		if (a->letter)
			snprintf(letter, sizeof(letter), "-%c, ", a->letter);
		snprintf(left, sizeof(left), "%s--%s%s%s", letter, a->name, a->value ? " " : "",
			a->value ? a->value : "");
		if (strlen(left) < LEFT)
			printf("  %-*s", LEFT, left);
		else
			printf("  %s\n%*s", left, 2 + LEFT, "");
		fold(stdout, a->doc, 2 + LEFT, 2 + LEFT, FOLD_COLUMNS);
		puts("");
	}
}
