#include "pact/rulebook.h"

#include "accord/purpose.h"
#include "base/text.h"
#include "pact/rulebook_parts.h"

#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>

const char *rulebook_action_name(enum rulebook_action action)
{
	return rulebook_actions[action];
}

void rulebook_keep(struct rulebook *book)
{
	atomic_fetch_add(&book->references, 1);
}

void rulebook_free(struct rulebook *book)
{
	if (!book || atomic_fetch_sub(&book->references, 1) != 1)
		return;
	for (size_t i = 0; i < book->count; i++) {
		free(book->rule[i].proxy);
		free((void *)book->rule[i].client);
	}
	for (size_t i = 0; i < book->clients; i++)
		free(book->client[i].key);
	free(book->client);
	free(book->rule);
	free(book->anchors);
	yaml_tree_free(book->tree);
	free(book);
}

const char *rulebook_anchors(const struct rulebook *book)
{
	return book->anchors;
}

size_t rulebook_rules(const struct rulebook *book)
{
	return book->count - 1; /* the last is the default */
}

enum rulebook_action rulebook_default(const struct rulebook *book)
{
	return book->rule[book->count - 1].action;
}

size_t rulebook_clients(const struct rulebook *book)
{
	return book->clients;
}

/* The most that any proxy on the way is: a list with a writer in it is a writer's. */
static uint8_t role_of(const struct accord_introduction *in)
{
	for (size_t i = 0; i < in->hops; i++) {
		if (in->hop[i].role == ACCORD_WRITER)
			return ACCORD_WRITER;
	}
	return ACCORD_READER;
}

static bool names_proxy(const struct rulebook_rule *rule, const struct accord_identity *who)
{
	for (size_t i = 0; i < rule->proxies; i++) {
		const struct rulebook_proxy *one = &rule->proxy[i];
		if (one->by_pin ? memcmp(one->pin, who->pin, ACCORD_PIN) == 0 : strcmp(one->name.text, who->name) == 0)
			return true;
	}
	return false;
}

/* But for the proxies that the rule names. */
static bool fits(const struct rulebook_rule *rule, const struct accord_claim *claim)
{
	const struct accord_introduction *in = &claim->introduction;
	if (rule->is_default)
		return true;
	if (!claim->introduced)
		return rule->sealed;
	if (rule->sealed || in->hops > rule->max_hops || !(rule->roles & role_of(in)))
		return false;
	return rule->any_purpose || (rule->purposes[in->purpose_code / 8] & (1U << (in->purpose_code % 8)));
}

void rulebook_decide(const struct rulebook *book, const struct accord_claim *claim, struct rulebook_verdict *out)
{
	const struct rulebook_rule *rule = book->rule;
	bool unknown = false;
	/* The default is the last and fits all. */
	for (;; rule++) {
		if (!fits(rule, claim))
			continue;
		unknown = rule->proxies > 0 && !claim->identified;
		if (rule->proxies == 0 || unknown || names_proxy(rule, &claim->proxy))
			break;
	}
	*out = (struct rulebook_verdict){.action = rule->action,
		.unknown = unknown,
		.label = rule->label,
		.statement = rule->statement,
		.rule = rule};
}

void rulebook_ruling(const struct rulebook_verdict *verdict, struct accord_ruling *out)
{
	static const enum accord_ruling_kind kinds[] = {[RULEBOOK_ACCEPT] = ACCORD_RULING_ACCEPT,
		[RULEBOOK_REFUSE] = ACCORD_RULING_REFUSE,
		[RULEBOOK_APPROVE] = ACCORD_RULING_DEMAND,
		[RULEBOOK_IGNORE] = ACCORD_RULING_SILENT};
	out->kind = verdict->unknown ? ACCORD_RULING_IDENTIFY : kinds[verdict->action];
	snprintf(out->label, sizeof(out->label), "%s", verdict->label);
	/* What a rule says of one proxy is not for another, which this may turn out to be. */
	snprintf(out->statement, sizeof(out->statement), "%s", verdict->unknown ? "" : verdict->statement);
}

static bool is_among(const struct rulebook_rule *rule, const struct rulebook_client *client)
{
	for (size_t i = 0; i < rule->clients; i++) {
		if (strcmp(rule->client[i], client->name) == 0)
			return true;
	}
	return rule->clients == 0;
}

const char *rulebook_client(const struct rulebook *book, const struct rulebook_verdict *verdict, struct bytes key)
{
	for (size_t i = 0; i < book->clients; i++) {
		const struct rulebook_client *client = &book->client[i];
		if (bytes_equal(key, bytes_of(client->key, client->key_len)) && is_among(verdict->rule, client))
			return client->name;
	}
	return NULL;
}

void rulebook_rule(const struct rulebook *book, const struct accord_claim *claim, struct accord_ruling *out)
{
	struct rulebook_verdict verdict;
	rulebook_decide(book, claim, &verdict);
	rulebook_ruling(&verdict, out);
}

const char *rulebook_approver(const struct rulebook *book, const struct accord_claim *claim, struct bytes key)
{
	struct rulebook_verdict verdict;
	rulebook_decide(book, claim, &verdict);
	return rulebook_client(book, &verdict, key);
}
