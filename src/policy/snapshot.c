#include "policy/snapshot.h"

#include <sodium.h>
#include <stdlib.h>

void *room_for_one(void *items, size_t count, size_t size)
{
	if (count & (count - 1))
		return items;
	return reallocarray(items, count ? count * 2 : 1, size);
}

void rule_clear(struct rule *rule)
{
	free(rule->label);
	free(rule->client.items);
	free(rule->server.items);
	free(rule->ports);
	free(rule->names);
	free(rule->alpn.items);
	free(rule->ja4.items);
	free(rule->issuers.items);
}

static void list_free(const struct policy *policy, struct rule_list *list)
{
	names_free(list->names);
	if (list->held && !list->path)
		free((void *)(uintptr_t)list->text.data);
	else if (list->held && policy->source.release)
		policy->source.release(policy->source.ctx, list->text);
	free(list->path);
}

static void policy_free(struct policy *policy)
{
	for (size_t i = 0; i < policy->rule_count; i++)
		rule_clear(&policy->rules[i]);
	free(policy->rules);
	for (size_t i = 0; i < policy->list_count; i++)
		list_free(policy, &policy->lists[i]);
	free(policy->lists);
	for (size_t i = 0; i < policy->cert_count; i++) {
		free((void *)(uintptr_t)policy->certs[i]->cert);
		free((void *)(uintptr_t)policy->certs[i]->key);
		free(policy->certs[i]);
	}
	free(policy->certs);
	yaml_tree_free(policy->tree);
	free(policy);
}

struct policy *policy_keep(struct policy *policy)
{
	atomic_fetch_add_explicit(&policy->owners, 1, memory_order_relaxed);
	return policy;
}

void policy_drop(struct policy *policy)
{
	if (policy && atomic_fetch_sub_explicit(&policy->owners, 1, memory_order_acq_rel) == 1)
		policy_free(policy);
}

const uint8_t *policy_digest(const struct policy *policy)
{
	return policy->digest;
}

size_t policy_rule_count(const struct policy *policy)
{
	return policy->written;
}

/* The rule a number of the interface means; NULL when there is none. */
static const struct rule *rule_at(const struct policy *policy, int rule)
{
	if (rule >= 0)
		return (size_t)rule < policy->written ? &policy->rules[rule] : NULL;
	if (rule == POLICY_RULE_DEFAULT)
		return &policy->rules[policy->rule_count - 1];
	return rule == POLICY_RULE_SENSITIVE && policy->sensitive ? &policy->rules[policy->written] : NULL;
}

const char *policy_rule_label(const struct policy *policy, int rule)
{
	const struct rule *r = rule_at(policy, rule);
	return r ? r->label : "none";
}

enum policy_action policy_rule_action(const struct policy *policy, int rule)
{
	const struct rule *r = rule_at(policy, rule);
	return r ? r->action : POLICY_BLOCK;
}

const struct policy_options *policy_rule_options(const struct policy *policy, int rule)
{
	const struct rule *r = rule_at(policy, rule);
	return r ? &r->options : NULL;
}

size_t policy_name_count(const struct policy *policy)
{
	size_t count = 0;
	for (size_t i = 0; i < policy->list_count; i++) {
		if (policy->lists[i].held)
			count += names_count(policy->lists[i].names).names;
	}
	return count;
}

const struct policy_client_cert *policy_client_cert_at(const struct policy *policy, size_t index)
{
	return index < policy->cert_count ? policy->certs[index] : NULL;
}

const char *policy_action_name(enum policy_action action)
{
	static const char *const names[] = {"inspect", "bypass", "block"};
	return names[action];
}
