/* The table of options for people: --help, and docs/configuration.md. */
#include "policy/config.h"

#include "base/fold.h"

void config_help(FILE *out, enum config_verb verb)
{
	enum { INDENT = 30 };
	const char *heading = NULL;
	size_t count;
	const struct config_option *options = config_options(&count);
	for (size_t i = 0; i < count; i++) {
		const struct config_option *o = &options[i];
		if (o->group)
			heading = o->group;
		if (!(o->verbs & verb))
			continue;
		if (heading)
			fprintf(out, "\n%s:\n", heading);
		heading = NULL;
		char letter[8] = "    ";
		if (o->letter)
			snprintf(letter, sizeof(letter), "-%c, ", o->letter);
		int n = fprintf(out, "  %s--%s%s%s", letter, o->key, o->value ? " " : "", o->value ? o->value : "");
		if (n + 1 >= INDENT)
			fprintf(out, "\n%*s", INDENT, "");
		else
			fprintf(out, "%*s", INDENT - n, "");
		char doc[1024];
		bool has_default = o->type != CONFIG_FLAG && o->initial[0];
		snprintf(doc, sizeof(doc), "%s%s%s%s", o->doc, has_default ? " [" : "", has_default ? o->initial : "",
			has_default ? "]" : "");
		fold(out, doc, INDENT, INDENT, FOLD_COLUMNS);
		fputc('\n', out);
	}
}

void config_table(FILE *out)
{
	size_t count;
	const struct config_option *options = config_options(&count);
	fputs("| option | command line | default | meaning |\n|---|---|---|---|\n", out);
	for (size_t i = 0; i < count; i++) {
		const struct config_option *o = &options[i];
		const char *mark = o->initial[0] ? "`" : "";
		fprintf(out, "| `%s` | ", o->key);
		if (!o->verbs)
			fputs("in the file only", out);
		else if (o->letter)
			fprintf(out, "`-%c`, `--%s`", o->letter, o->key);
		else
			fprintf(out, "`--%s%s%s`", o->key, o->value ? " " : "", o->value ? o->value : "");
		fprintf(out, "%s | %s%s%s | %s |\n", o->args_only ? " only" : "", mark, o->initial, mark, o->doc);
	}
}
