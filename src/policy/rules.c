#include "policy/rules.h"

#include "base/text.h"
#include "policy/snapshot.h"
#include "policy/suggest.h"

#include <sodium.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

void parse_fault(struct parse *p, const struct yaml_node *at, const char *format, ...)
{
	if (p->faults++ > 0)
		return;
	char text[400];
	va_list args;
	va_start(args, format);
	vsnprintf(text, sizeof(text), format, args);
	va_end(args);
	yaml_error(p->err, p->policy->tree, at, "%s", text);
}

void parse_no_memory(struct parse *p)
{
	if (p->faults++ == 0)
		error_set(p->err, "%s: no memory", p->policy->tree->name);
}

void parse_mapping(struct parse *p, struct rule *rule, const struct yaml_node *mapping, const struct parse_key *keys,
	size_t count, const char *what)
{
	if (mapping->kind != YAML_KIND_MAPPING) {
		parse_fault(p, mapping, "%s must be a mapping (key: value)", what);
		return;
	}
	for (const struct yaml_node *value = mapping->first; value; value = value->next) {
		size_t i = 0;
		while (i < count && strcmp(keys[i].key, value->key->text) != 0)
			i++;
		if (i < count) {
			keys[i].read(p, rule, value);
			continue;
		}
		const char *near = suggest(value->key->text, keys, count, sizeof(*keys));
		parse_fault(p, value->key, "unknown key \"%s\" in %s%s%s%s", value->key->text, what,
			near ? "; did you mean \"" : "", near ? near : "", near ? "\"?" : "");
	}
}

void parse_each(struct parse *p, struct rule *rule, const struct yaml_node *value,
	void (*read)(struct parse *p, struct rule *rule, const struct yaml_node *item))
{
	if (value->kind == YAML_KIND_SCALAR) {
		if (value->plain && value->len == 0)
			parse_fault(p, value, "\"%s\" has no value", value->key ? value->key->text : "");
		else
			read(p, rule, value);
		return;
	}
	if (value->kind == YAML_KIND_MAPPING || value->count == 0) {
		parse_fault(p, value, "\"%s\" must be one value or a list of them that is not empty",
			value->key ? value->key->text : "");
		return;
	}
	for (const struct yaml_node *item = value->first; item; item = item->next) {
		if (item->kind == YAML_KIND_SCALAR)
			read(p, rule, item);
		else
			parse_fault(p, item, "a plain value is expected here, no list or mapping");
	}
}

int parse_word(struct parse *p, const struct yaml_node *node, const char *const *words, size_t count)
{
	for (size_t i = 0; i < count; i++) {
		if (yaml_is(node, words[i]))
			return (int)i;
	}
	const char *near = suggest(node->text, words, count, sizeof(*words));
	if (near) {
		parse_fault(p, node, "unknown value \"%s\"; did you mean \"%s\"?", node->text, near);
		return -1;
	}
	char all[256] = "";
	struct writer w = writer_over(all, sizeof(all) - 1);
	for (size_t i = 0; i < count && !w.full; i++) {
		writer_bytes(&w, bytes_str(i ? ", " : ""));
		writer_bytes(&w, bytes_str(words[i]));
	}
	parse_fault(p, node, "unknown value \"%s\"; known: %s%s", node->text, all, w.full ? "..." : "");
	return -1;
}

char *parse_path(struct parse *p, const struct yaml_node *node)
{
	if (node->kind != YAML_KIND_SCALAR || node->len == 0) {
		parse_fault(p, node, "the path of a file is expected here");
		return NULL;
	}
	char *path;
	if (asprintf(&path, "%s%s", node->text[0] == '/' ? "" : p->folder, node->text) < 0) {
		parse_no_memory(p);
		return NULL;
	}
	return path;
}

static void read_rule_name(struct parse *p, struct rule *rule, const struct yaml_node *value)
{
	(void)rule;
	if (value->kind != YAML_KIND_SCALAR || value->len == 0 || value->len > 64)
		parse_fault(p, value, "the name of a rule is a text of 1 to 64 characters");
}

static void read_match(struct parse *p, struct rule *rule, const struct yaml_node *value)
{
	parse_mapping(p, rule, value, parse_conditions, PARSE_CONDITIONS, "match");
}

static void read_action(struct parse *p, struct rule *rule, const struct yaml_node *value)
{
	static const char *const words[] = {"inspect", "bypass", "block"};
	int at = parse_word(p, value, words, 3);
	if (at >= 0)
		rule->action = (enum policy_action)at;
}

/* "rules.yaml:12 banking": the file without its folder, the line, and the name where there is one. */
static void label_rule(struct parse *p, struct rule *rule, const struct yaml_node *node)
{
	const char *file = strrchr(p->policy->tree->name, '/');
	const struct yaml_node *name = yaml_get(node, "name");
	char clean[96] = "";
	if (name && name->len > 0)
		text_clean(clean, sizeof(clean), bytes_of(name->text, name->len));
	rule->line = node->line;
	if (asprintf(&rule->label, "%s:%u%s%s", file ? file + 1 : p->policy->tree->name, node->line,
		    clean[0] ? " " : "", clean) < 0) {
		rule->label = NULL;
		parse_no_memory(p);
	}
}

#define ALLOW_WEAK (POLICY_ALLOW_TLS12_RSA | POLICY_ALLOW_DHE_CUSTOM | POLICY_ALLOW_NO_EMS)

/* What every key alone may say, but not together. */
static void check_rule(struct parse *p, struct rule *rule, const struct yaml_node *node)
{
	static const char *const inspect_only[] = {
		"until", "invalid", "client-cert", "mask", "refused", "accord", "introduce", "accord-purpose"};
	const struct yaml_node *at;
	for (size_t i = 0; i < sizeof(inspect_only) / sizeof(inspect_only[0]); i++) {
		if ((at = yaml_get(node, inspect_only[i])) && rule->action != POLICY_INSPECT)
			parse_fault(p, at->key, "\"%s\" has a meaning only with action: inspect", inspect_only[i]);
	}
	static const char *const never_block[] = {"allow", "require", "aia"};
	for (size_t i = 0; i < sizeof(never_block) / sizeof(never_block[0]); i++) {
		if ((at = yaml_get(node, never_block[i])) && rule->action == POLICY_BLOCK)
			parse_fault(p, at->key, "\"%s\" has no meaning with action: block", never_block[i]);
	}
	if ((at = yaml_get(node, "unverified")) && rule->action != POLICY_BYPASS && !rule->refused_bypass)
		parse_fault(p, at->key, "\"unverified\" has a meaning only with action: bypass or refused: bypass");
	if ((at = yaml_get(node, "allow")) && (rule->options.allow & ALLOW_WEAK) &&
		!(rule->has & (RULE_HAS_NAME | POLICY_FACT_SERVER)))
		parse_fault(p, at->key,
			"weak key exchange is allowed for named hosts only: this rule needs `name`, `list` or "
			"`server`");
}

static bool rule_loosens(const struct rule *rule, const struct yaml_node *node)
{
	static const char *const grants[] = {"allow", "until", "client-cert"};
	bool granted = rule->action == POLICY_BYPASS;
	for (size_t i = 0; i < sizeof(grants) / sizeof(grants[0]); i++)
		granted = granted || yaml_get(node, grants[i]) != NULL;
	return granted || (yaml_get(node, "invalid") && rule->options.invalid == POLICY_INVALID_MIRROR) ||
	       (yaml_get(node, "mask") && !rule->options.mask) || (yaml_get(node, "refused") && rule->refused_bypass);
}

static void read_rule(struct parse *p, const struct rule *base, const struct yaml_node *node)
{
	static const struct parse_key own[] = {
		{"name", read_rule_name},
		{"match", read_match},
		{"action", read_action},
	};
	enum { OWN = sizeof(own) / sizeof(own[0]) };
	struct parse_key keys[OWN + PARSE_OPTIONS];
	memcpy(keys, own, sizeof(own));
	memcpy(keys + OWN, parse_options, sizeof(parse_options));
	struct rule *rule = &p->policy->rules[p->policy->rule_count++];
	*rule = (struct rule){.options = base->options, .refused_bypass = base->refused_bypass};
	if (node->kind != YAML_KIND_MAPPING) {
		parse_fault(p, node, "a rule must be a mapping (match: ..., action: ...)");
		return;
	}
	label_rule(p, rule, node);
	parse_mapping(p, rule, node, keys, OWN + PARSE_OPTIONS, "a rule");
	if (!yaml_get(node, "action"))
		parse_fault(p, node, "this rule has no \"action\" (inspect, bypass or block)");
	if (!yaml_get(node, "match") || !yaml_get(node, "match")->first)
		parse_fault(p, node,
			"this rule has no condition under \"match\"; what holds for everything else is said by "
			"\"default\"");
	if (rule->action != POLICY_INSPECT && !yaml_get(node, "refused"))
		rule->refused_bypass = false;
	rule->loosens = rule_loosens(rule, node);
	check_rule(p, rule, node);
}

static void read_default(struct parse *p, struct rule *rule, const struct yaml_node *value)
{
	read_action(p, rule, value);
}

static void read_sensitive(struct parse *p, struct rule *rule, const struct yaml_node *value)
{
	(void)rule;
	if (!yaml_bool(value, &p->policy->sensitive))
		parse_fault(p, value, "sensitive: true or false");
}

/* Read after everything else at the top, since each rule begins with the options that stand there. */
static void skip_rules(struct parse *p, struct rule *rule, const struct yaml_node *value)
{
	(void)p, (void)rule, (void)value;
}

static void check_top(struct parse *p, const struct rule *base, const struct yaml_node *root)
{
	const struct yaml_node *at = yaml_get(root, "allow");
	if (at && (base->options.allow & ALLOW_WEAK))
		parse_fault(p, at->key,
			"weak key exchange is allowed by a rule that names the host, not for all; here: loopback, "
			"link-local, metadata");
	static const char *const in_rules[] = {"client-cert", "unverified"};
	for (size_t i = 0; i < sizeof(in_rules) / sizeof(in_rules[0]); i++) {
		if ((at = yaml_get(root, in_rules[i])))
			parse_fault(p, at->key, "\"%s\" belongs into a rule", in_rules[i]);
	}
}

static void read_top(struct parse *p, struct rule *base)
{
	static const struct parse_key own[] = {
		{"default", read_default},
		{"sensitive", read_sensitive},
		{"rules", skip_rules},
	};
	enum { OWN = sizeof(own) / sizeof(own[0]) };
	struct parse_key keys[OWN + PARSE_OPTIONS];
	memcpy(keys, own, sizeof(own));
	memcpy(keys + OWN, parse_options, sizeof(parse_options));
	const struct yaml_node *root = p->policy->tree->root;
	if (!root)
		return;
	parse_mapping(p, base, root, keys, OWN + PARSE_OPTIONS, "the rules");
	if (root->kind == YAML_KIND_MAPPING)
		check_top(p, base, root);
}

/* Room for the rules of the file, the sensitive list and the default. */
static bool read_rules(struct parse *p, const struct rule *base)
{
	const struct yaml_node *list = yaml_get(p->policy->tree->root, "rules");
	bool empty = !list || (list->kind == YAML_KIND_SCALAR && list->plain && list->len == 0);
	if (!empty && list->kind != YAML_KIND_SEQUENCE) {
		parse_fault(p, list, "\"rules\" must be a list (- match: ...)");
		empty = true;
	}
	if (!empty && list->count > POLICY_MAX_RULES) {
		parse_fault(p, list, "%zu rules, more than %u", list->count, POLICY_MAX_RULES);
		empty = true;
	}
	p->policy->rules = calloc((empty ? 0 : list->count) + 2, sizeof(struct rule));
	if (!p->policy->rules) {
		parse_no_memory(p);
		return false;
	}
	for (const struct yaml_node *node = empty ? NULL : list->first; node; node = node->next)
		read_rule(p, base, node);
	p->policy->written = p->policy->rule_count;
	return true;
}

/* The shipped list is the last rule but one. */
static void add_sensitive(struct parse *p, const struct rule *base)
{
	struct policy *policy = p->policy;
	struct rule *rule = &policy->rules[policy->rule_count++];
	*rule = (struct rule){
		.action = POLICY_BYPASS,
		.has = RULE_HAS_NAME,
		.loosens = true,
		.options = base->options,
		.label = strdup("sensitive list"),
		.names = malloc(sizeof(struct names *)),
	};
	struct rule_list *lists = room_for_one(policy->lists, policy->list_count, sizeof(*lists));
	if (lists)
		policy->lists = lists;
	struct names *names = names_new(
		bytes_of(policy_sensitive_text, policy_sensitive_len), "the shipped list of sensitive names", p->err);
	if (!lists || !names || !rule->names || !rule->label) {
		names_free(names);
		parse_no_memory(p);
		return;
	}
	/* Not `held`: its text is part of the program. */
	lists[policy->list_count++] = (struct rule_list){.names = names};
	rule->names[rule->name_sets++] = names;
}

static void add_default(struct parse *p, const struct rule *base)
{
	struct rule *rule = &p->policy->rules[p->policy->rule_count++];
	*rule = *base;
	if (rule->action != POLICY_INSPECT)
		rule->refused_bypass = false;
	rule->label = strdup("default");
	if (!rule->label)
		parse_no_memory(p);
}

static void digest_part(crypto_hash_sha256_state *state, struct bytes part)
{
	uint8_t length[8];
	struct writer w = writer_over(length, sizeof(length));
	writer_u64(&w, part.len);
	crypto_hash_sha256_update(state, length, sizeof(length));
	crypto_hash_sha256_update(state, part.data, part.len);
}

static void make_digest(struct policy *policy, struct bytes text)
{
	crypto_hash_sha256_state state;
	crypto_hash_sha256_init(&state);
	digest_part(&state, text);
	digest_part(&state, bytes_of(policy_sensitive_text, policy_sensitive_len));
	for (size_t i = 0; i < policy->list_count; i++) {
		if (policy->lists[i].path)
			digest_part(&state, policy->lists[i].text);
	}
	crypto_hash_sha256_final(&state, policy->digest);
}

static void parse_all(struct parse *p, struct bytes text)
{
	struct rule base = {.options = {.until = POLICY_UNTIL_END, .mask = true, .accord = POLICY_ACCORD_CONFIGURED}};
	read_top(p, &base);
	if (!read_rules(p, &base))
		return;
	if (p->policy->sensitive)
		add_sensitive(p, &base);
	add_default(p, &base);
	make_digest(p->policy, text);
}

struct policy *policy_parse(struct bytes text, const char *name, const struct policy_source *source, struct error *err)
{
	struct policy *policy = calloc(1, sizeof(*policy));
	const char *slash = strrchr(name, '/');
	struct parse p = {
		.policy = policy, .err = err, .folder = strndup(name, slash ? (size_t)(slash - name) + 1 : 0)};
	if (!policy || !p.folder) {
		error_set(err, "%s: no memory", name);
		free(policy);
		free(p.folder);
		return NULL;
	}
	atomic_init(&policy->owners, 1);
	policy->sensitive = true;
	if (source)
		policy->source = *source;
	if (yaml_tree_read(&policy->tree, text, name, err) == YAML_OK)
		parse_all(&p, text);
	else
		p.faults = 1;
	free(p.folder);
	if (p.faults == 0)
		return policy;
	if (p.faults > 1 && err) {
		struct error first = *err;
		error_set(err, "%s (and %u more)", first.text, p.faults - 1);
	}
	policy_drop(policy);
	return NULL;
}

bool policy_wants_accord(const struct policy *policy)
{
	for (size_t i = 0; i < policy->rule_count; i++) {
		const struct rule *rule = &policy->rules[i];
		if (rule->action == POLICY_INSPECT &&
			(rule->options.accord & (POLICY_ACCORD_PREFER | POLICY_ACCORD_REQUIRE)))
			return true;
	}
	return false;
}
