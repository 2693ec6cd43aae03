/* The conditions of a rule: docs/configuration.md, "What a rule can look at". */
#include "base/text.h"
#include "pki/verify.h"
#include "policy/snapshot.h"

#include <stdlib.h>

static void read_block(struct parse *p, struct rule_blocks *blocks, const struct yaml_node *item)
{
	enum address_kind kind;
	if (address_kind_find(item->text, &kind)) {
		blocks->kinds |= 1U << kind;
		return;
	}
	struct address_block block;
	enum block_result result = address_block_parse(item->text, &block);
	if (result != BLOCK_OK) {
		parse_fault(p, item, "\"%s\" %s; words: public, private, link-local, metadata, loopback", item->text,
			block_result_text(result));
		return;
	}
	struct address_block *items = room_for_one(blocks->items, blocks->count, sizeof(*items));
	if (!items) {
		parse_no_memory(p);
		return;
	}
	blocks->items = items;
	items[blocks->count++] = block;
}

static void read_client_item(struct parse *p, struct rule *rule, const struct yaml_node *item)
{
	read_block(p, &rule->client, item);
}

static void read_client(struct parse *p, struct rule *rule, const struct yaml_node *value)
{
	rule->has |= POLICY_FACT_CLIENT;
	parse_each(p, rule, value, read_client_item);
}

static void read_server_item(struct parse *p, struct rule *rule, const struct yaml_node *item)
{
	read_block(p, &rule->server, item);
}

static void read_server(struct parse *p, struct rule *rule, const struct yaml_node *value)
{
	rule->has |= POLICY_FACT_SERVER;
	parse_each(p, rule, value, read_server_item);
}

static void read_port_item(struct parse *p, struct rule *rule, const struct yaml_node *item)
{
	struct bytes last = bytes_str(item->text), first;
	size_t dash = bytes_find(last, '-', 0);
	bool range = dash < last.len;
	uint64_t from, to;
	bool good = bytes_take(&last, dash, &first) && (!range || bytes_skip(&last, 1)) &&
	            text_number(first, UINT16_MAX, &from) && text_number(range ? last : first, UINT16_MAX, &to);
	if (!good || from == 0 || to < from) {
		parse_fault(p, item, "\"%s\" is no port (443) or range of ports (8000-8999)", item->text);
		return;
	}
	struct port_range *ports = room_for_one(rule->ports, rule->port_count, sizeof(*ports));
	if (!ports) {
		parse_no_memory(p);
		return;
	}
	rule->ports = ports;
	ports[rule->port_count++] = (struct port_range){(uint16_t)from, (uint16_t)to};
}

static void read_port(struct parse *p, struct rule *rule, const struct yaml_node *value)
{
	rule->has |= POLICY_FACT_PORT;
	parse_each(p, rule, value, read_port_item);
}

static void read_protocol_item(struct parse *p, struct rule *rule, const struct yaml_node *item)
{
	static const char *const words[] = {
		[POLICY_PROTOCOL_TLS] = "tls", [POLICY_PROTOCOL_HTTP] = "http", [POLICY_PROTOCOL_PLAIN] = "plain"};
	int at = parse_word(p, item, words, 3);
	if (at >= 0)
		rule->protocols |= 1U << at;
}

static void read_protocol(struct parse *p, struct rule *rule, const struct yaml_node *value)
{
	rule->has |= POLICY_FACT_PROTOCOL;
	parse_each(p, rule, value, read_protocol_item);
}

static void use_names(struct parse *p, struct rule *rule, struct names *names)
{
	struct names **sets = room_for_one(rule->names, rule->name_sets, sizeof(struct names *));
	if (!sets) {
		parse_no_memory(p);
		return;
	}
	rule->names = sets;
	sets[rule->name_sets++] = names;
}

/* A place for one more list; NULL after a fault. */
static struct rule_list *list_new(struct parse *p)
{
	struct policy *policy = p->policy;
	struct rule_list *lists = room_for_one(policy->lists, policy->list_count, sizeof(*lists));
	if (!lists) {
		parse_no_memory(p);
		return NULL;
	}
	policy->lists = lists;
	struct rule_list *list = &lists[policy->list_count++];
	*list = (struct rule_list){0};
	return list;
}

static void check_name(struct parse *p, struct rule *rule, const struct yaml_node *item)
{
	(void)rule;
	enum pattern_kind kind;
	struct bytes name;
	enum pattern_result result = pattern_read(bytes_of(item->text, item->len), &kind, &name);
	if (strchr(item->text, '\n') || strchr(item->text, '#'))
		result = PATTERN_BAD_CHARS;
	if (result != PATTERN_OK)
		parse_fault(p, item, "\"%s\" %s", item->text, pattern_result_text(result));
}

/* Joins the names into a text like that of a list file, so that one kind of set serves both. */
static uint8_t *join_names(const struct yaml_node *value, struct bytes *out)
{
	bool single = value->kind == YAML_KIND_SCALAR;
	const struct yaml_node *first = single ? value : value->first;
	size_t cap = 1;
	for (const struct yaml_node *item = first; item; item = single ? NULL : item->next)
		cap += item->len + 1;
	uint8_t *text = malloc(cap);
	if (!text)
		return NULL;
	struct writer w = writer_over(text, cap);
	for (const struct yaml_node *item = first; item; item = single ? NULL : item->next) {
		writer_bytes(&w, bytes_of(item->text, item->len));
		writer_u8(&w, '\n');
	}
	*out = bytes_of(text, w.len);
	return text;
}

static void read_name(struct parse *p, struct rule *rule, const struct yaml_node *value)
{
	rule->has |= RULE_HAS_NAME;
	unsigned before = p->faults;
	parse_each(p, rule, value, check_name);
	if (p->faults > before)
		return;
	struct rule_list *list = list_new(p);
	if (!list)
		return;
	list->held = join_names(value, &list->text) != NULL;
	if (!list->held) {
		parse_no_memory(p);
		return;
	}
	struct error err;
	list->names = names_new(list->text, "names", &err);
	if (list->names)
		use_names(p, rule, list->names);
	else
		parse_fault(p, value, "%s", err.text);
}

static void read_list_item(struct parse *p, struct rule *rule, const struct yaml_node *item)
{
	char *path = parse_path(p, item);
	if (!path)
		return;
	for (size_t i = 0; i < p->policy->list_count; i++) {
		struct rule_list *known = &p->policy->lists[i];
		if (known->path && strcmp(known->path, path) == 0) {
			free(path);
			/* NULL: its fault has been told. */
			if (known->names)
				use_names(p, rule, known->names);
			return;
		}
	}
	struct rule_list *list = list_new(p);
	if (!list) {
		free(path);
		return;
	}
	list->path = path;
	struct error err = {{0}};
	const struct policy_source *source = &p->policy->source;
	if (!source->load) {
		parse_fault(p, item, "\"%s\": lists in files cannot be used here", item->text);
		return;
	}
	list->held = source->load(source->ctx, path, &list->text, &err);
	if (list->held)
		list->names = names_new(list->text, path, &err);
	if (list->names)
		use_names(p, rule, list->names);
	else
		parse_fault(p, item, "list %s", err.text);
}

static void read_list(struct parse *p, struct rule *rule, const struct yaml_node *value)
{
	rule->has |= RULE_HAS_NAME;
	parse_each(p, rule, value, read_list_item);
}

static void text_add(struct parse *p, struct rule_texts *texts, const struct yaml_node *item)
{
	if (item->len == 0) {
		parse_fault(p, item, "an empty text fits nothing");
		return;
	}
	const char **items = room_for_one((void *)(uintptr_t)texts->items, texts->count, sizeof(const char *));
	if (!items) {
		parse_no_memory(p);
		return;
	}
	texts->items = items;
	items[texts->count++] = item->text;
}

static void read_alpn_item(struct parse *p, struct rule *rule, const struct yaml_node *item)
{
	if (item->len > 255)
		parse_fault(p, item, "an ALPN protocol has at most 255 octets");
	else
		text_add(p, &rule->alpn, item);
}

static void read_alpn(struct parse *p, struct rule *rule, const struct yaml_node *value)
{
	rule->has |= POLICY_FACT_ALPN;
	parse_each(p, rule, value, read_alpn_item);
}

static void read_ja4_item(struct parse *p, struct rule *rule, const struct yaml_node *item)
{
	/* Ten characters, twelve and twelve, between underscores; a star may stand for the end. */
	static const char form[] = "xxxxxxxxxx_xxxxxxxxxxxx_xxxxxxxxxxxx";
	size_t at = 0;
	while (form[at] && item->text[at]) {
		char c = item->text[at];
		bool letter = (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z');
		if (form[at] == '_' ? c != '_' : !letter)
			break;
		at++;
	}
	bool whole = !form[at] && !item->text[at];
	bool prefix = at > 0 && strcmp(item->text + at, "*") == 0;
	if (whole || prefix)
		text_add(p, &rule->ja4, item);
	else
		parse_fault(p, item,
			"\"%s\" is no JA4 (t13d1516h2_8daaf6152771_e5627efa2ab1) or beginning of one (t13d*)",
			item->text);
}

static void read_ja4(struct parse *p, struct rule *rule, const struct yaml_node *value)
{
	rule->has |= POLICY_FACT_JA4;
	parse_each(p, rule, value, read_ja4_item);
}

static void read_verification_item(struct parse *p, struct rule *rule, const struct yaml_node *item)
{
	if (strcmp(item->text, "fault") == 0) {
		rule->faults |= VERIFY_FAULT_BIT(VERIFY_FAULTS) - 1 - VERIFY_FAULT_BIT(VERIFY_OK);
		return;
	}
	const char *words[VERIFY_FAULTS];
	for (unsigned i = 0; i < VERIFY_FAULTS; i++)
		words[i] = verify_fault_name((enum verify_fault)i);
	int at = parse_word(p, item, words, VERIFY_FAULTS);
	if (at >= 0)
		rule->faults |= VERIFY_FAULT_BIT(at);
}

static void read_verification(struct parse *p, struct rule *rule, const struct yaml_node *value)
{
	_Static_assert(VERIFY_FAULTS < 64, "results fit into one word");
	rule->has |= POLICY_FACT_VERIFICATION;
	parse_each(p, rule, value, read_verification_item);
}

static void read_issuer_item(struct parse *p, struct rule *rule, const struct yaml_node *item)
{
	text_add(p, &rule->issuers, item);
}

static void read_issuer(struct parse *p, struct rule *rule, const struct yaml_node *value)
{
	rule->has |= POLICY_FACT_ISSUER;
	parse_each(p, rule, value, read_issuer_item);
}

static void read_client_certificate(struct parse *p, struct rule *rule, const struct yaml_node *value)
{
	static const char *const words[] = {"requested"};
	rule->has |= POLICY_FACT_CLIENT_CERTIFICATE;
	(void)!parse_word(p, value, words, 1);
}

static void read_refused(struct parse *p, struct rule *rule, const struct yaml_node *value)
{
	rule->has |= POLICY_FACT_REFUSALS;
	uint64_t n = 0;
	bool number = value->kind == YAML_KIND_SCALAR && text_number(bytes_str(value->text), UINT32_MAX, &n);
	if (!number || n == 0)
		parse_fault(p, value, "refused: how often, a number from 1");
	rule->refusals = (uint32_t)n;
}

const struct parse_key parse_conditions[PARSE_CONDITIONS] = {
	{"client", read_client},
	{"server", read_server},
	{"port", read_port},
	{"protocol", read_protocol},
	{"name", read_name},
	{"list", read_list},
	{"alpn", read_alpn},
	{"ja4", read_ja4},
	{"refused", read_refused},
	{"verification", read_verification},
	{"issuer", read_issuer},
	{"client-certificate", read_client_certificate},
};
