/* The command line of a verb. */
#include "policy/config_parts.h"
#include "policy/suggest.h"

/* One option as it stands on the command line. */
struct argument {
	const struct config_option *option;
	const char *value; /* NULL: none was written */
	bool negated;      /* --no-... */
	const char *word;
};

static const struct config_option *find_letter(char letter, enum config_verb verb)
{
	size_t count;
	const struct config_option *options = config_options(&count);
	for (size_t i = 0; i < count; i++) {
		if (options[i].letter == letter && (options[i].verbs & verb))
			return &options[i];
	}
	return NULL;
}

static const char *verb_name(enum config_verb verb)
{
	return verb == CONFIG_EXEC ? "exec" : "proxy";
}

static void unknown(const char *word, struct bytes key, enum config_verb verb, struct error *err)
{
	size_t count, known = 0;
	const struct config_option *options = config_options(&count);
	const char *words[CONFIG_MAX_OPTIONS];
	for (size_t i = 0; i < count; i++) {
		if (options[i].verbs & verb)
			words[known++] = options[i].key;
	}
	char text[64];
	size_t n = key.len < sizeof(text) ? key.len : sizeof(text) - 1;
	if (n > 0)
		memcpy(text, key.data, n);
	text[n] = '\0';
	const char *near = suggest(text, words, known, sizeof(words[0]));
	if (near)
		error_set(err, "unknown option %s; did you mean --%s?", word, near);
	else
		error_set(err, "unknown option %s; `overt %s --help` lists them", word, verb_name(verb));
}

/* Takes "--key", "--key=value", "--no-key" or "-k" apart. */
static bool take_apart(const char *word, enum config_verb verb, struct argument *out, struct error *err)
{
	*out = (struct argument){.word = word};
	struct bytes key = bytes_str(word);
	if (!bytes_starts(key, bytes_str("--"))) {
		out->option = key.len == 2 ? find_letter(word[1], verb) : NULL;
		if (!out->option)
			unknown(word, BYTES_NONE, verb, err);
		return out->option != NULL;
	}
	(void)!bytes_skip(&key, 2);
	size_t sign = bytes_find(key, '=', 0);
	if (sign < key.len)
		out->value = word + 2 + sign + 1;
	key.len = sign;
	out->option = config_option_find(key);
	struct bytes positive = key;
	if (!out->option && bytes_starts(key, bytes_str("no-")) && bytes_skip(&positive, 3)) {
		out->option = config_option_find(positive);
		out->negated = out->option != NULL;
	}
	bool known = out->option && (out->option->verbs & verb) && (!out->negated || out->option->type == CONFIG_FLAG);
	if (!known)
		unknown(word, key, verb, err);
	return known;
}

static bool apply(struct config *config, const struct argument *arg, struct error *err)
{
	const struct config_option *o = arg->option;
	struct config_origin *origin = &config->origins[config_option_index(o)];
	/* The first on the command line replaces what the file said; the next ones add to it. */
	if (!config_type_is_list(o->type) || origin->from != ORIGIN_ARGS)
		config_value_clear(config, o);
	*origin = (struct config_origin){.from = ORIGIN_ARGS};
	const char *value = arg->value;
	if (o->type == CONFIG_FLAG && !value)
		value = arg->negated ? "false" : "true";
	if (!config_value_set(config, o, value, "", err))
		return error_prefix(err, "--%s", o->key);
	return true;
}

bool config_read_args(
	struct config *config, enum config_verb verb, int argc, char *const *argv, int *rest, struct error *err)
{
	int i = 1;
	while (i < argc && argv[i][0] == '-' && strcmp(argv[i], "-") != 0) {
		if (strcmp(argv[i], "--") == 0) {
			i++;
			break;
		}
		struct argument arg;
		if (!take_apart(argv[i], verb, &arg, err))
			return false;
		if (arg.option->type != CONFIG_FLAG && !arg.value) {
			if (i + 1 >= argc)
				return error_set(err, "--%s needs a value: %s", arg.option->key, arg.option->value);
			arg.value = argv[++i];
		}
		if (arg.negated && arg.value)
			return error_set(err, "%s takes no value", arg.word);
		if (!apply(config, &arg, err))
			return false;
		i++;
	}
	*rest = i;
	return true;
}
