#include "policy/config.h"

#include "base/text.h"
#include "policy/config_parts.h"
#include "policy/files.h"
#include "policy/suggest.h"

#include <sodium.h>
#include <stdlib.h>

struct config *config_new(struct error *err)
{
	struct config *config = calloc(1, sizeof(*config));
	if (!config) {
		error_set(err, "no memory");
		return NULL;
	}
	size_t count;
	const struct config_option *options = config_options(&count);
	for (size_t i = 0; i < count; i++) {
		const struct config_option *o = &options[i];
		if (o->initial[0] && !config_value_set(config, o, o->initial, "", err)) {
			error_prefix(err, "default of %s", o->key);
			config_free(config);
			return NULL;
		}
	}
	return config;
}

void config_free(struct config *config)
{
	if (!config)
		return;
	size_t count;
	const struct config_option *options = config_options(&count);
	for (size_t i = 0; i < count; i++)
		config_value_clear(config, &options[i]);
	free(config);
}

/* The file being read. */
struct reading {
	struct config *config;
	const struct yaml_tree *tree;
	char *folder; /* of the file, with the closing slash; "" for the present one */
	struct error *err;
	unsigned faults;
};

static void fault(struct reading *r, const struct yaml_node *at, const char *text)
{
	if (r->faults++ == 0)
		yaml_error(r->err, r->tree, at, "%s", text);
}

static void unknown_key(struct reading *r, const struct yaml_node *key)
{
	size_t count;
	const struct config_option *options = config_options(&count);
	const char *near = suggest(key->text, options, count, sizeof(*options));
	struct error text;
	error_set(&text, "unknown option \"%s\"%s%s%s", key->text, near ? "; did you mean \"" : "", near ? near : "",
		near ? "\"?" : "");
	fault(r, key, text.text);
}

static void read_item(struct reading *r, const struct config_option *option, const struct yaml_node *item)
{
	struct error why;
	const struct yaml_node *name = yaml_get(item, "name");
	const struct yaml_node *cert = yaml_get(item, "cert");
	const struct yaml_node *key = yaml_get(item, "key");
	bool good;
	if (option->type == CONFIG_CERTS && name && cert && key && item->count == 3)
		good = config_cert_add(r->config, option, name->text, cert->text, key->text, r->folder, &why);
	else if (item->kind == YAML_KIND_SCALAR)
		good = config_value_set(r->config, option, item->text, r->folder, &why);
	else if (option->type == CONFIG_CERTS)
		good = error_set(&why, "expected {name: PATTERN, cert: FILE, key: FILE}");
	else
		good = error_set(&why, "expected %s",
			config_type_is_list(option->type) ? "a plain value" : "one plain value, no list");
	if (!good) {
		error_prefix(&why, "%s", option->key);
		fault(r, item, why.text);
	}
}

static void read_option(struct reading *r, const struct yaml_node *value)
{
	const struct config_option *option = config_option_find(bytes_of(value->key->text, value->key->len));
	if (!option) {
		unknown_key(r, value->key);
		return;
	}
	if (option->args_only) {
		struct error text;
		error_set(&text, "%s belongs on the command line, as --%s", option->key, option->key);
		fault(r, value->key, text.text);
		return;
	}
	config_value_clear(r->config, option);
	r->config->origins[config_option_index(option)] =
		(struct config_origin){.from = ORIGIN_FILE, .line = value->line, .column = value->column};
	if (value->kind != YAML_KIND_SEQUENCE || !config_type_is_list(option->type)) {
		read_item(r, option, value);
		return;
	}
	for (const struct yaml_node *item = value->first; item; item = item->next)
		read_item(r, option, item);
}

/* For the audit log, which says by which file a proxy ran. */
static void keep_digest(struct config *config, struct bytes text)
{
	uint8_t digest[crypto_hash_sha256_BYTES];
	crypto_hash_sha256(digest, text.data, text.len);
	text_hex(config->file_sha256, sizeof(config->file_sha256), bytes_of(digest, sizeof(digest)));
}

bool config_read_file(struct config *config, struct bytes text, const char *name, struct error *err)
{
	struct yaml_tree *tree;
	if (yaml_tree_read(&tree, text, name, err) != YAML_OK)
		return false;
	keep_digest(config, text);
	const char *slash = strrchr(name, '/');
	struct reading r = {.config = config, .tree = tree, .err = err};
	r.folder = strndup(name, slash ? (size_t)(slash - name) + 1 : 0);
	if (!r.folder) {
		yaml_tree_free(tree);
		return error_set(err, "%s: no memory", name);
	}
	if (tree->root && tree->root->kind != YAML_KIND_MAPPING)
		fault(&r, tree->root, "the configuration must be a mapping (option: value)");
	else if (tree->root) {
		for (const struct yaml_node *value = tree->root->first; value; value = value->next)
			read_option(&r, value);
	}
	if (r.faults > 1 && err) {
		struct error first = *err;
		error_set(err, "%s (and %u more)", first.text, r.faults - 1);
	}
	free(r.folder);
	yaml_tree_free(tree);
	return r.faults == 0;
}

static bool read_named_file(struct config *config, const char *path, struct error *err)
{
	struct bytes text;
	if (!policy_file_read(path, &text, err))
		return error_prefix(err, "--config");
	bool good = config_read_file(config, text, path, err);
	policy_file_free(text);
	return good;
}

struct config *config_load(enum config_verb verb, int argc, char *const *argv, int *rest, struct error *err)
{
	/* Once for the sake of --config alone, so that what the command line says comes after the file. */
	struct config *first = config_new(err);
	if (!first)
		return NULL;
	bool good = config_read_args(first, verb, argc, argv, rest, err);
	struct config *config = good ? config_new(err) : NULL;
	if (config && first->file && !read_named_file(config, first->file, err))
		good = false;
	config_free(first);
	if (!config)
		return NULL;
	if (good && config_read_args(config, verb, argc, argv, rest, err) && config_check(config, verb, err))
		return config;
	config_free(config);
	return NULL;
}
