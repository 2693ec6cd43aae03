/* The rulebook's file, read: docs/accord-server.md. */
#include "accord/purpose.h"
#include "base/text.h"
#include "pact/rulebook_parts.h"

#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/x509.h>
#include <stdio.h>
#include <stdlib.h>

const char *const rulebook_actions[4] = {[RULEBOOK_ACCEPT] = "accept",
	[RULEBOOK_REFUSE] = "refuse",
	[RULEBOOK_APPROVE] = "approve",
	[RULEBOOK_IGNORE] = "ignore"};

/* The state of one reading. */
struct reading {
	struct rulebook *book;
	const struct rulebook_source *source;
	struct error *err;
};

/* A key of a mapping, and what reads its value. */
struct key {
	const char *name;
	bool (*read)(struct reading *r, struct rulebook_rule *rule, const struct yaml_node *value);
};

#define FAULT(r, at, ...) yaml_error((r)->err, (r)->book->tree, at, __VA_ARGS__)

static bool no_memory(const struct reading *r)
{
	return error_set(r->err, "no memory for the rules");
}

static bool read_mapping(struct reading *r, struct rulebook_rule *rule, const struct yaml_node *mapping,
	const struct key *keys, size_t count, const char *what)
{
	if (mapping->kind != YAML_KIND_MAPPING)
		return FAULT(r, mapping, "%s must be a mapping (key: value)", what);
	for (const struct yaml_node *value = mapping->first; value; value = value->next) {
		size_t at = 0;
		while (at < count && !yaml_is(value->key, keys[at].name))
			at++;
		if (at == count) {
			char known[200] = "";
			for (size_t i = 0, len = 0; i < count && len < sizeof(known); i++)
				len += (size_t)snprintf(
					known + len, sizeof(known) - len, "%s%s", i ? ", " : "", keys[i].name);
			return FAULT(
				r, value->key, "unknown key \"%s\" in %s; known: %s", value->key->text, what, known);
		}
		if (!keys[at].read(r, rule, value))
			return false;
	}
	return true;
}

/* Calls `read` for a scalar, or for each of a list that is not empty. */
static bool read_each(struct reading *r, struct rulebook_rule *rule, const struct yaml_node *value,
	bool (*read)(struct reading *r, struct rulebook_rule *rule, const struct yaml_node *item))
{
	if (value->kind == YAML_KIND_SCALAR)
		return read(r, rule, value);
	if (value->kind != YAML_KIND_SEQUENCE || value->count == 0)
		return FAULT(
			r, value, "\"%s\" must be one value or a list of them that is not empty", value->key->text);
	for (const struct yaml_node *item = value->first; item; item = item->next) {
		if (item->kind != YAML_KIND_SCALAR)
			return FAULT(r, item, "a plain value is expected here, no list or mapping");
		if (!read(r, rule, item))
			return false;
	}
	return true;
}

/* Against the folder of the rules' file. */
static char *path_of(const struct reading *r, const struct yaml_node *value)
{
	const char *name = r->book->tree->name;
	const char *slash = strrchr(name, '/');
	int folder = slash && value->text[0] != '/' ? (int)(slash - name) + 1 : 0;
	char *path;
	return asprintf(&path, "%.*s%s", folder, name, value->text) < 0 ? NULL : path;
}

/* Conditions. */

static bool read_proxy(struct reading *r, struct rulebook_rule *rule, const struct yaml_node *item)
{
	size_t len;
	struct bytes text = bytes_of(item->text, item->len);
	struct rulebook_proxy *grown = reallocarray(rule->proxy, rule->proxies + 1, sizeof(*grown));
	if (!grown)
		return no_memory(r);
	rule->proxy = grown;
	struct rulebook_proxy *one = &grown[rule->proxies];
	/* No host name: a label has 63 octets at most. */
	one->by_pin = text.len == (size_t)2 * ACCORD_PIN && text_unhex(one->pin, ACCORD_PIN, &len, text);
	if (!one->by_pin) {
		enum name_result result = subject_name_parse(text, &one->name);
		if (result != NAME_OK)
			return FAULT(r, item, "\"%s\" %s; a proxy is a host name or a pin of 64 hex digits", item->text,
				name_result_text(result));
		if (one->name.is_ip)
			return FAULT(r, item, "a proxy is named by host name or pin, not by address");
	}
	rule->proxies++;
	return true;
}

static bool read_role(struct reading *r, struct rulebook_rule *rule, const struct yaml_node *item)
{
	if (!yaml_is(item, "reader") && !yaml_is(item, "writer"))
		return FAULT(r, item, "unknown role \"%s\"; it is reader or writer", item->text);
	rule->roles |= yaml_is(item, "writer") ? ACCORD_WRITER : ACCORD_READER;
	return true;
}

static bool read_purpose(struct reading *r, struct rulebook_rule *rule, const struct yaml_node *item)
{
	uint8_t code;
	if (!accord_purpose_read(item->text, &code))
		return FAULT(r, item, ACCORD_PURPOSE_EXPECTED, item->text);
	rule->purposes[code / 8] |= (uint8_t)(1U << (code % 8));
	rule->any_purpose = false;
	return true;
}

static bool read_proxies(struct reading *r, struct rulebook_rule *rule, const struct yaml_node *value)
{
	return read_each(r, rule, value, read_proxy);
}

static bool read_roles(struct reading *r, struct rulebook_rule *rule, const struct yaml_node *value)
{
	rule->roles = 0;
	return read_each(r, rule, value, read_role);
}

static bool read_purposes(struct reading *r, struct rulebook_rule *rule, const struct yaml_node *value)
{
	return read_each(r, rule, value, read_purpose);
}

static bool read_hops(struct reading *r, struct rulebook_rule *rule, const struct yaml_node *value)
{
	uint64_t hops;
	if (!text_number(bytes_str(value->text), ACCORD_MAX_HOPS, &hops) || hops == 0)
		return FAULT(r, value, "max-hops: a number of proxies from 1 to %d", ACCORD_MAX_HOPS);
	rule->max_hops = (size_t)hops;
	return true;
}

static bool read_sealed(struct reading *r, struct rulebook_rule *rule, const struct yaml_node *value)
{
	return yaml_bool(value, &rule->sealed) || FAULT(r, value, "sealed: true or false");
}

static bool read_match(struct reading *r, struct rulebook_rule *rule, const struct yaml_node *value)
{
	static const struct key keys[] = {{"proxy", read_proxies}, {"role", read_roles}, {"purpose", read_purposes},
		{"max-hops", read_hops}, {"sealed", read_sealed}};
	if (!read_mapping(r, rule, value, keys, sizeof(keys) / sizeof(keys[0]), "match"))
		return false;
	if (!value->first)
		return FAULT(r, value, "a rule without a condition; what holds for all others is said by \"default\"");
	return !rule->sealed || value->count == 1 ||
	       FAULT(r, value, "of a sealed introduction nothing else is known: sealed stands alone");
}

/* The rest of a rule. */

static bool read_name(struct reading *r, struct rulebook_rule *rule, const struct yaml_node *value)
{
	char clean[RULEBOOK_LABEL / 2];
	size_t len = strlen(rule->label);
	if (value->kind != YAML_KIND_SCALAR || value->len == 0 || value->len > 40)
		return FAULT(r, value, "the name of a rule is a text of 1 to 40 octets");
	text_clean(clean, sizeof(clean), bytes_str(value->text));
	snprintf(rule->label + len, sizeof(rule->label) - len, " %s", clean);
	return true;
}

static bool read_action(struct reading *r, struct rulebook_rule *rule, const struct yaml_node *value)
{
	for (size_t i = 0; i < sizeof(rulebook_actions) / sizeof(rulebook_actions[0]); i++) {
		if (yaml_is(value, rulebook_actions[i])) {
			rule->action = (enum rulebook_action)i;
			return true;
		}
	}
	return FAULT(r, value, "unknown action \"%s\"; it is accept, refuse, approve or ignore", value->text);
}

static bool read_statement(struct reading *r, struct rulebook_rule *rule, const struct yaml_node *value)
{
	if (value->kind != YAML_KIND_SCALAR || value->len > ACCORD_MAX_TEXT)
		return FAULT(r, value, "a statement is a text of at most %d octets", ACCORD_MAX_TEXT);
	rule->statement = value->text;
	return true;
}

static bool read_approver(struct reading *r, struct rulebook_rule *rule, const struct yaml_node *item)
{
	const char **grown = reallocarray((void *)rule->client, rule->clients + 1, sizeof(char *));
	if (!grown)
		return no_memory(r);
	rule->client = grown;
	for (size_t i = 0; i < r->book->clients; i++) {
		if (yaml_is(item, r->book->client[i].name)) {
			grown[rule->clients++] = item->text;
			return true;
		}
	}
	return FAULT(r, item, "no client \"%s\" is enrolled under \"clients\" at the top of the file", item->text);
}

static bool read_approvers(struct reading *r, struct rulebook_rule *rule, const struct yaml_node *value)
{
	return read_each(r, rule, value, read_approver);
}

static bool check_rule(struct reading *r, const struct rulebook_rule *rule, const struct yaml_node *node)
{
	const struct yaml_node *match = yaml_get(node, "match"), *action = yaml_get(node, "action");
	if (!match || !action)
		return FAULT(r, node, "a rule needs \"match\" and \"action\" (accept, refuse, approve or ignore)");
	if (rule->clients > 0 && rule->action != RULEBOOK_APPROVE)
		return FAULT(r, yaml_get(node, "clients")->key, "\"clients\" has a meaning only with action: approve");
	if (rule->action == RULEBOOK_IGNORE && rule->statement[0])
		return FAULT(r, yaml_get(node, "statement")->key, "who ignores says nothing");
	if (rule->proxies > 0 && rule->action == RULEBOOK_IGNORE)
		return FAULT(r, action, "a proxy that has been asked who it is cannot be ignored any more");
	if (rule->proxies > 0 && !r->book->anchors)
		return FAULT(r, yaml_get(match, "proxy")->key,
			"who a proxy is is known by its certificate, which needs \"anchors\" at the top of the file");
	if (rule->sealed && rule->action == RULEBOOK_APPROVE)
		return FAULT(r, action, "nobody can approve a proxy whose introduction is sealed");
	if (rule->action == RULEBOOK_APPROVE && (!r->book->anchors || r->book->clients == 0))
		return FAULT(r, action, "approvals need \"anchors\" and \"clients\" at the top of the file");
	return true;
}

static struct rulebook_rule rule_new(const struct reading *r, const struct yaml_node *node)
{
	const char *slash = strrchr(r->book->tree->name, '/');
	struct rulebook_rule rule = {.roles = ACCORD_ANY_ROLE,
		.max_hops = ACCORD_MAX_HOPS,
		.any_purpose = true,
		.statement = "",
		.action = RULEBOOK_REFUSE};
	snprintf(rule.label, sizeof(rule.label), "%.40s:%u", slash ? slash + 1 : r->book->tree->name,
		node ? node->line : 0);
	return rule;
}

static bool read_rule(struct reading *r, const struct yaml_node *node)
{
	static const struct key keys[] = {{"name", read_name}, {"match", read_match}, {"action", read_action},
		{"statement", read_statement}, {"clients", read_approvers}};
	struct rulebook_rule *rule = &r->book->rule[r->book->count++];
	*rule = rule_new(r, node);
	return read_mapping(r, rule, node, keys, sizeof(keys) / sizeof(keys[0]), "a rule") && check_rule(r, rule, node);
}

/* The top of the file. */

static bool read_key(struct reading *r, const struct yaml_node *node, struct rulebook_client *client)
{
	struct file_bytes file = {0};
	struct error why = {""};
	char *path = path_of(r, node);
	bool ok = path && r->source->read(r->source->ctx, path, RULEBOOK_MAX_KEY, &file, &why);
	BIO *bio = ok ? BIO_new_mem_buf(file.data, (int)file.len) : NULL;
	EVP_PKEY *key = bio ? PEM_read_bio_PUBKEY(bio, NULL, NULL, NULL) : NULL;
	bool good =
		key && (EVP_PKEY_is_a(key, "ED25519") || (EVP_PKEY_is_a(key, "EC") && EVP_PKEY_get_bits(key) == 256));
	int len = good ? i2d_PUBKEY(key, &client->key) : -1;
	client->key_len = len > 0 ? (size_t)len : 0;
	EVP_PKEY_free(key);
	BIO_free(bio);
	file_bytes_free(&file);
	free(path);
	if (client->key_len > 0 && client->key_len <= ACCORD_MAX_APPROVAL_KEY)
		return true;
	if (!ok)
		return FAULT(r, node, "%s", path ? why.text : "no memory for the path");
	return FAULT(r, node,
		"%s: no public key of P-256 or Ed25519 in PEM; one is made by openssl pkey -in KEY -pubout",
		node->text);
}

static bool read_client(struct reading *r, const struct yaml_node *value)
{
	struct rulebook_client *client = &r->book->client[r->book->clients];
	if (value->kind != YAML_KIND_SCALAR || value->len == 0)
		return FAULT(r, value, "a client is NAME: FILE, its public key");
	*client = (struct rulebook_client){.name = value->key->text};
	r->book->clients++;
	return read_key(r, value, client);
}

static bool read_clients(struct reading *r, struct rulebook_rule *rule, const struct yaml_node *value)
{
	(void)rule;
	if (value->kind != YAML_KIND_MAPPING || value->count == 0)
		return FAULT(r, value, "\"clients\" must be a mapping (NAME: FILE)");
	if (value->count > RULEBOOK_MAX_CLIENTS)
		return FAULT(r, value, "%zu clients, more than %d", value->count, RULEBOOK_MAX_CLIENTS);
	r->book->client = calloc(value->count, sizeof(*r->book->client));
	if (!r->book->client)
		return no_memory(r);
	for (const struct yaml_node *node = value->first; node; node = node->next) {
		if (!read_client(r, node))
			return false;
	}
	return true;
}

static bool read_anchors(struct reading *r, struct rulebook_rule *rule, const struct yaml_node *value)
{
	(void)rule;
	if (value->kind != YAML_KIND_SCALAR || value->len == 0)
		return FAULT(r, value, "\"anchors\" is the path of a file of Accord anchors");
	r->book->anchors = path_of(r, value);
	return r->book->anchors || no_memory(r);
}

/* The default and the rules come last, since they look at what stands beside them. */
static bool skip(struct reading *r, struct rulebook_rule *rule, const struct yaml_node *value)
{
	(void)r, (void)rule, (void)value;
	return true;
}

static bool read_default(struct reading *r, const struct yaml_node *root)
{
	struct rulebook_rule *rule = &r->book->rule[r->book->count++];
	const struct yaml_node *value = yaml_get(root, "default");
	*rule = rule_new(r, NULL);
	rule->is_default = true;
	snprintf(rule->label, sizeof(rule->label), "default");
	if (value && !read_action(r, rule, value))
		return false;
	return rule->action != RULEBOOK_APPROVE || (r->book->anchors && r->book->clients > 0) ||
	       FAULT(r, value, "approvals need \"anchors\" and \"clients\" at the top of the file");
}

static bool read_rules(struct reading *r, const struct yaml_node *root)
{
	const struct yaml_node *list = yaml_get(root, "rules");
	size_t count = list ? list->count : 0;
	if (list && list->kind != YAML_KIND_SEQUENCE)
		return FAULT(r, list, "\"rules\" must be a list (- match: ...)");
	if (count > RULEBOOK_MAX_RULES)
		return FAULT(r, list, "%zu rules, more than %d", count, RULEBOOK_MAX_RULES);
	r->book->rule = calloc(count + 1, sizeof(*r->book->rule));
	if (!r->book->rule)
		return no_memory(r);
	for (const struct yaml_node *node = list ? list->first : NULL; node; node = node->next) {
		if (!read_rule(r, node))
			return false;
	}
	return read_default(r, root);
}

static bool read_top(struct reading *r)
{
	static const struct key keys[] = {
		{"anchors", read_anchors}, {"clients", read_clients}, {"default", skip}, {"rules", skip}};
	const struct yaml_node *root = r->book->tree->root;
	if (!root)
		return error_set(r->err, "%s: no rules in it", r->book->tree->name);
	return read_mapping(r, NULL, root, keys, sizeof(keys) / sizeof(keys[0]), "the rules") && read_rules(r, root);
}

static bool read_file(void *ctx, const char *path, size_t max, struct file_bytes *out, struct error *err)
{
	(void)ctx;
	return file_read(path, max, out, NULL, err);
}

bool rulebook_read(struct rulebook **out, struct bytes text, const char *name, const struct rulebook_source *source,
	struct error *err)
{
	static const struct rulebook_source disk = {.read = read_file};
	struct rulebook *book = calloc(1, sizeof(*book));
	if (!book)
		return error_set(err, "no memory for the rules");
	struct reading reading = {.book = book, .source = source ? source : &disk, .err = err};
	atomic_init(&book->references, 1);
	if (yaml_tree_read(&book->tree, text, name, err) == YAML_OK && read_top(&reading)) {
		*out = book;
		return true;
	}
	rulebook_free(book);
	return false;
}

bool rulebook_open(struct rulebook **out, const char *path, struct error *err)
{
	struct file_bytes file = {0};
	bool ok = file_read(path, RULEBOOK_MAX_OCTETS, &file, NULL, err) &&
	          rulebook_read(out, bytes_of(file.data, file.len), path, NULL, err);
	file_bytes_free(&file);
	return ok;
}
