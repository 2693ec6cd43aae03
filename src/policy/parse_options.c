/* What a rule grants or demands beside its action: docs/configuration.md, "Options". */
#include "accord/purpose.h"
#include "base/text.h"
#include "policy/snapshot.h"

#include <stdlib.h>

static void read_allow_item(struct parse *p, struct rule *rule, const struct yaml_node *item)
{
	/* In the order of the bits of enum policy_allow. */
	static const char *const words[] = {"tls12-rsa", "dhe-custom", "no-ems", "loopback", "link-local", "metadata"};
	int at = parse_word(p, item, words, sizeof(words) / sizeof(words[0]));
	if (at >= 0)
		rule->options.allow |= 1U << at;
}

static void read_allow(struct parse *p, struct rule *rule, const struct yaml_node *value)
{
	rule->options.allow = 0;
	parse_each(p, rule, value, read_allow_item);
}

static void read_require_item(struct parse *p, struct rule *rule, const struct yaml_node *item)
{
	/* In the order of the bits of enum policy_require. */
	static const char *const words[] = {"staple", "crl", "status"};
	int at = parse_word(p, item, words, sizeof(words) / sizeof(words[0]));
	if (at >= 0)
		rule->options.require |= 1U << at;
}

static void read_require(struct parse *p, struct rule *rule, const struct yaml_node *value)
{
	rule->options.require = 0;
	parse_each(p, rule, value, read_require_item);
}

static void read_until(struct parse *p, struct rule *rule, const struct yaml_node *value)
{
	if (yaml_is(value, "end"))
		rule->options.until = POLICY_UNTIL_END;
	else if (value->kind != YAML_KIND_SCALAR || !text_size(bytes_str(value->text), &rule->options.until))
		parse_fault(p, value, "until: a size like 65536, 64KiB or 1MiB, or \"end\"");
}

static void read_invalid(struct parse *p, struct rule *rule, const struct yaml_node *value)
{
	static const char *const words[] = {[POLICY_INVALID_REFUSE] = "refuse", [POLICY_INVALID_MIRROR] = "mirror"};
	int at = parse_word(p, value, words, 2);
	if (at >= 0)
		rule->options.invalid = (enum policy_invalid)at;
}

static void read_bool(struct parse *p, const struct yaml_node *value, bool *out)
{
	if (!yaml_bool(value, out))
		parse_fault(p, value, "%s: true or false", value->key->text);
}

static void read_mask(struct parse *p, struct rule *rule, const struct yaml_node *value)
{
	read_bool(p, value, &rule->options.mask);
}

static void read_aia(struct parse *p, struct rule *rule, const struct yaml_node *value)
{
	read_bool(p, value, &rule->options.aia);
}

static void read_unverified(struct parse *p, struct rule *rule, const struct yaml_node *value)
{
	read_bool(p, value, &rule->unverified);
}

static void read_refused(struct parse *p, struct rule *rule, const struct yaml_node *value)
{
	static const char *const words[] = {"inspect", "bypass"};
	int at = parse_word(p, value, words, 2);
	if (at >= 0)
		rule->refused_bypass = at == 1;
}

static void read_accord(struct parse *p, struct rule *rule, const struct yaml_node *value)
{
	/* In the order of the bits of enum policy_accord, from POLICY_ACCORD_OFF on. */
	static const char *const words[] = {"off", "prefer", "require"};
	int at = parse_word(p, value, words, 3);
	if (at >= 0)
		rule->options.accord = (unsigned)POLICY_ACCORD_OFF << at;
}

static void read_introduce(struct parse *p, struct rule *rule, const struct yaml_node *value)
{
	static const char *const words[] = {"open", "sealed"};
	int at = parse_word(p, value, words, 2);
	if (at >= 0)
		rule->options.sealed = at == 1;
}

static void read_accord_purpose(struct parse *p, struct rule *rule, const struct yaml_node *value)
{
	rule->options.has_purpose = true;
	if (value->kind != YAML_KIND_SCALAR || !accord_purpose_read(value->text, &rule->options.purpose))
		parse_fault(p, value, ACCORD_PURPOSE_EXPECTED, value->text);
}

static struct policy_client_cert *cert_new(struct parse *p)
{
	struct policy *policy = p->policy;
	struct policy_client_cert **certs =
		room_for_one(policy->certs, policy->cert_count, sizeof(struct policy_client_cert *));
	if (certs)
		policy->certs = certs;
	struct policy_client_cert *cert = certs ? calloc(1, sizeof(*cert)) : NULL;
	if (!cert) {
		parse_no_memory(p);
		return NULL;
	}
	certs[policy->cert_count++] = cert;
	return cert;
}

static void read_client_cert(struct parse *p, struct rule *rule, const struct yaml_node *value)
{
	const struct yaml_node *cert = yaml_get(value, "cert");
	const struct yaml_node *key = yaml_get(value, "key");
	if (!cert || !key || value->count != 2) {
		parse_fault(p, value, "client-cert: {cert: FILE, key: FILE}");
		return;
	}
	struct policy_client_cert *out = cert_new(p);
	if (!out)
		return;
	out->cert = parse_path(p, cert);
	out->key = parse_path(p, key);
	rule->options.client_cert = out;
}

const struct parse_key parse_options[PARSE_OPTIONS] = {
	{"allow", read_allow},
	{"require", read_require},
	{"until", read_until},
	{"invalid", read_invalid},
	{"mask", read_mask},
	{"aia", read_aia},
	{"unverified", read_unverified},
	{"refused", read_refused},
	{"client-cert", read_client_cert},
	{"accord", read_accord},
	{"introduce", read_introduce},
	{"accord-purpose", read_accord_purpose},
};
