/* The verdict: how facts and rules meet. policy/rules.h says by which order. */
#include "pki/verify.h"
#include "policy/snapshot.h"

/* What the rules look at, made ready once per decision. */
struct view {
	const struct policy_facts *facts;
	struct name_key sni, connect;
	bool sni_known, connect_known;
	bool sni_there, connect_there; /* known, and a name was sent */
	bool same;                     /* both there and equal */
};

/* How a rule stands: the facts it waits for, or what speaks against it. */
struct outcome {
	enum policy_fit fit;
	unsigned waits;        /* enum policy_fact */
	const char *condition; /* that settled it */
	bool claim_waits;      /* fits but for the proof that the upstream is who it says */
	bool claim_failed;     /* would have fitted: the upstream did not verify */
	enum policy_action action;
	bool by_refusal;
};

static bool knows(const struct view *view, unsigned fact)
{
	return (view->facts->known & fact) != 0;
}

static void view_set(struct view *view, const struct policy_facts *facts)
{
	view->facts = facts;
	view->sni_known = knows(view, POLICY_FACT_SNI);
	view->connect_known = knows(view, POLICY_FACT_CONNECT_NAME);
	name_key_set(&view->sni, view->sni_known ? facts->sni : BYTES_NONE);
	name_key_set(&view->connect, view->connect_known ? facts->connect_name : BYTES_NONE);
	view->sni_there = view->sni_known && facts->sni.len > 0;
	/* An address after CONNECT is no claim to any name. */
	view->connect_there = view->connect_known && facts->connect_name.len > 0 && !view->connect.address;
	view->same =
		view->sni_there && view->connect_there && view->sni.len > 0 &&
		bytes_equal(bytes_of(view->sni.text, view->sni.len), bytes_of(view->connect.text, view->connect.len));
}

static bool in_blocks(const struct rule_blocks *blocks, const struct hostport *address)
{
	if (blocks->kinds && (blocks->kinds >> address_kind(address) & 1))
		return true;
	for (size_t i = 0; i < blocks->count; i++) {
		if (address_block_has(&blocks->items[i], address))
			return true;
	}
	return false;
}

static bool in_ports(const struct rule *rule, uint16_t port)
{
	for (size_t i = 0; i < rule->port_count; i++) {
		if (port >= rule->ports[i].first && port <= rule->ports[i].last)
			return true;
	}
	return false;
}

static bool in_names(const struct rule *rule, const struct name_key *key)
{
	for (size_t i = 0; i < rule->name_sets; i++) {
		if (names_has(rule->names[i], key))
			return true;
	}
	return false;
}

static bool offers_alpn(const struct rule *rule, struct bytes offered)
{
	struct bytes protocol;
	while (bytes_vec8(&offered, &protocol)) {
		for (size_t i = 0; i < rule->alpn.count; i++) {
			if (bytes_equal(protocol, bytes_str(rule->alpn.items[i])))
				return true;
		}
	}
	return false;
}

static bool is_ja4(const struct rule *rule, struct bytes ja4)
{
	for (size_t i = 0; i < rule->ja4.count; i++) {
		struct bytes wanted = bytes_str(rule->ja4.items[i]);
		bool prefix = wanted.data[wanted.len - 1] == '*';
		wanted.len -= prefix;
		if (prefix ? bytes_starts(ja4, wanted) : bytes_equal(ja4, wanted))
			return true;
	}
	return false;
}

static bool is_issuer(const struct rule *rule, const struct policy_facts *facts)
{
	for (size_t i = 0; i < rule->issuers.count; i++) {
		struct bytes wanted = bytes_str(rule->issuers.items[i]);
		if (bytes_equal(wanted, facts->issuer_cn) || bytes_equal(wanted, facts->issuer_o))
			return true;
	}
	return false;
}

/* Every fault must be forgiven by name for a rule that loosens; one is enough for one that does not. */
static bool is_result(const struct rule *rule, uint64_t faults)
{
	uint64_t found = faults & ~VERIFY_FAULT_BIT(VERIFY_OK);
	if (found == 0)
		found = VERIFY_FAULT_BIT(VERIFY_OK);
	return rule->loosens ? (found & ~rule->faults) == 0 : (found & rule->faults) != 0;
}

static enum policy_fit fit_if(bool fits)
{
	return fits ? POLICY_FITS : POLICY_FITS_NOT;
}

/* "Two names" of policy/rules.h, with either of them possibly not known yet. */
static enum policy_fit names_fit(const struct rule *rule, const struct view *view)
{
	bool by_connect = view->connect_there && in_names(rule, &view->connect);
	if (!view->sni_known) {
		if (!view->connect_there)
			return POLICY_OPEN;
		/* One name is enough to tighten, and one that is missing enough not to loosen. */
		return by_connect == rule->loosens ? POLICY_OPEN : fit_if(by_connect);
	}
	if (!view->sni_there)
		return view->connect_known ? fit_if(by_connect) : POLICY_OPEN;
	bool by_sni = view->same ? by_connect : in_names(rule, &view->sni);
	if (!view->connect_known)
		return by_sni == rule->loosens ? POLICY_OPEN : fit_if(by_sni);
	if (!view->connect_there || view->same)
		return fit_if(by_sni);
	return fit_if(rule->loosens ? by_sni && by_connect : by_sni || by_connect);
}

static unsigned names_wait(const struct view *view)
{
	return (view->sni_known ? 0 : POLICY_FACT_SNI) | (view->connect_known ? 0 : POLICY_FACT_CONNECT_NAME);
}

/* The conditions in the order of what they cost. */
static const struct {
	unsigned fact;
	const char *key;
} conditions[] = {
	{POLICY_FACT_PORT, "port"},
	{POLICY_FACT_PROTOCOL, "protocol"},
	{POLICY_FACT_REFUSALS, "refused"},
	{POLICY_FACT_CLIENT_CERTIFICATE, "client-certificate"},
	{POLICY_FACT_VERIFICATION, "verification"},
	{POLICY_FACT_CLIENT, "client"},
	{POLICY_FACT_SERVER, "server"},
	{POLICY_FACT_JA4, "ja4"},
	{POLICY_FACT_ALPN, "alpn"},
	{POLICY_FACT_ISSUER, "issuer"},
};

static bool condition_fits(const struct rule *rule, unsigned fact, const struct policy_facts *facts)
{
	switch (fact) {
	case POLICY_FACT_PORT:
		return in_ports(rule, facts->port);
	case POLICY_FACT_PROTOCOL:
		return rule->protocols >> facts->protocol & 1;
	case POLICY_FACT_REFUSALS:
		return facts->refusals >= rule->refusals;
	case POLICY_FACT_CLIENT_CERTIFICATE:
		return facts->client_certificate_requested;
	case POLICY_FACT_VERIFICATION:
		return is_result(rule, facts->faults);
	case POLICY_FACT_CLIENT:
		return in_blocks(&rule->client, &facts->client);
	case POLICY_FACT_SERVER:
		return !hostport_is_none(&facts->server) && in_blocks(&rule->server, &facts->server);
	case POLICY_FACT_JA4:
		return is_ja4(rule, facts->ja4);
	case POLICY_FACT_ALPN:
		return offers_alpn(rule, facts->alpn);
	case POLICY_FACT_ISSUER:
		return is_issuer(rule, facts);
	default:
		return false;
	}
}

/* The written conditions, without the unwritten one on claims. */
static struct outcome conditions_fit(const struct rule *rule, const struct view *view)
{
	struct outcome out = {.fit = POLICY_FITS, .action = rule->action};
	for (size_t i = 0; i < sizeof(conditions) / sizeof(conditions[0]); i++) {
		unsigned fact = conditions[i].fact;
		if (!(rule->has & fact))
			continue;
		if (!knows(view, fact)) {
			out.fit = POLICY_OPEN;
			out.waits |= fact;
			out.condition = conditions[i].key;
		} else if (!condition_fits(rule, fact, view->facts)) {
			return (struct outcome){.fit = POLICY_FITS_NOT, .condition = conditions[i].key};
		}
	}
	if (rule->has & RULE_HAS_NAME) {
		enum policy_fit fit = names_fit(rule, view);
		if (fit == POLICY_FITS_NOT)
			return (struct outcome){.fit = POLICY_FITS_NOT, .condition = "name"};
		if (fit == POLICY_OPEN) {
			out.fit = POLICY_OPEN;
			out.waits |= names_wait(view);
			out.condition = "name";
		}
	}
	return out;
}

#define CLAIMS (RULE_HAS_NAME | POLICY_FACT_ISSUER | POLICY_FACT_REFUSALS)

/* An inspection that becomes a bypass once the client has refused. The claim is the name the refusals are kept under. */
static void apply_refusals(const struct rule *rule, const struct view *view, struct outcome *out)
{
	if (!rule->refused_bypass || rule->action != POLICY_INSPECT || out->fit != POLICY_FITS)
		return;
	if (!knows(view, POLICY_FACT_REFUSALS)) {
		out->fit = POLICY_OPEN;
		out->waits |= POLICY_FACT_REFUSALS;
		out->condition = "refused";
	} else if (view->facts->refusals > 0) {
		out->action = POLICY_BYPASS;
		out->by_refusal = true;
	}
}

/* The unwritten condition: a bypass on a claim holds only if the upstream proved it. */
static void apply_claims(const struct rule *rule, const struct view *view, struct outcome *out)
{
	bool claim = out->by_refusal || (rule->has & CLAIMS) != 0;
	bool lifted = rule->unverified || (rule->has & POLICY_FACT_VERIFICATION) != 0;
	if (out->action != POLICY_BYPASS || out->fit == POLICY_FITS_NOT || !claim || lifted)
		return;
	if (!knows(view, POLICY_FACT_VERIFICATION)) {
		out->fit = POLICY_OPEN;
		out->waits |= POLICY_FACT_VERIFICATION;
		out->claim_waits = true;
		if (!out->condition)
			out->condition = "verification";
		return;
	}
	if ((view->facts->faults & ~VERIFY_FAULT_BIT(VERIFY_OK)) == 0)
		return;
	if (out->fit == POLICY_FITS)
		out->claim_failed = true;
	if (out->by_refusal) {
		/* The rule itself still holds: it inspects. */
		out->by_refusal = false;
		out->action = POLICY_INSPECT;
		return;
	}
	out->fit = POLICY_FITS_NOT;
	out->condition = "verification";
}

static struct outcome rule_outcome(const struct rule *rule, const struct view *view)
{
	struct outcome out = conditions_fit(rule, view);
	apply_refusals(rule, view, &out);
	apply_claims(rule, view, &out);
	return out;
}

/* Of several purposes none may be told: 0 says nothing, and so nothing wrong. */
static void purpose_join(struct policy_options *all, const struct policy_options *o)
{
	bool first = all->accord == 0;
	bool same = all->has_purpose == o->has_purpose && all->purpose == o->purpose;
	all->has_purpose = first ? o->has_purpose : all->has_purpose || !same;
	all->purpose = first ? o->purpose : same ? all->purpose : 0;
}

/* For a handshake made while the verdict is open: the most that any rule grants and the most that one requires. */
static void options_join(struct policy_options *all, const struct rule *rule)
{
	if (rule->action == POLICY_BLOCK)
		return;
	const struct policy_options *o = &rule->options;
	all->allow |= o->allow;
	all->require |= o->require;
	all->aia = all->aia || o->aia;
	if (o->invalid == POLICY_INVALID_MIRROR)
		all->invalid = POLICY_INVALID_MIRROR;
	if (!all->client_cert)
		all->client_cert = o->client_cert;
	if (rule->action == POLICY_INSPECT) {
		purpose_join(all, o);
		all->accord |= o->accord;
		all->sealed = all->sealed || o->sealed;
	}
}

static int rule_number(const struct policy *policy, size_t index)
{
	if (index < policy->written)
		return (int)index;
	return index + 1 == policy->rule_count ? POLICY_RULE_DEFAULT : POLICY_RULE_SENSITIVE;
}

static void verdict_set(const struct policy *policy, size_t index, const struct outcome *out, struct policy_verdict *v)
{
	const struct rule *rule = &policy->rules[index];
	v->decided = true;
	v->action = out->action;
	v->rule = rule_number(policy, index);
	v->line = rule->line;
	v->label = rule->label;
	v->by_refusal = out->by_refusal;
	v->needs_verification = out->action == POLICY_BYPASS && !rule->unverified &&
	                        (out->by_refusal || (rule->has & CLAIMS)) && !(rule->has & POLICY_FACT_VERIFICATION);
	v->options = rule->options;
	v->options.aside_when_refused = rule->refused_bypass;
}

bool policy_decide(const struct policy *policy, const struct policy_facts *facts, struct policy_verdict *verdict)
{
	struct view view;
	view_set(&view, facts);
	*verdict = (struct policy_verdict){
		.action = POLICY_BLOCK,
		.rule = POLICY_RULE_NONE,
		.label = "undecided",
		.options = {.until = POLICY_UNTIL_END, .mask = true},
	};
	bool open = false;
	for (size_t i = 0; i < policy->rule_count; i++) {
		const struct rule *rule = &policy->rules[i];
		struct outcome out = rule_outcome(rule, &view);
		if (out.claim_failed && !verdict->distrusted)
			verdict->distrusted = rule->label;
		if (out.fit == POLICY_FITS && !open) {
			verdict_set(policy, i, &out, verdict);
			return true;
		}
		if (out.fit == POLICY_FITS_NOT)
			continue;
		if (!open)
			verdict->waits_for = out.waits;
		open = true;
		verdict->needs_verification = verdict->needs_verification || out.claim_waits;
		options_join(&verdict->options, rule);
		if (out.fit == POLICY_FITS)
			break;
	}
	return false;
}

static unsigned allow_for(enum address_kind kind)
{
	switch (kind) {
	case ADDRESS_LOOPBACK:
		return POLICY_ALLOW_LOOPBACK;
	case ADDRESS_LINK_LOCAL:
		return POLICY_ALLOW_LINK_LOCAL;
	case ADDRESS_METADATA:
		return POLICY_ALLOW_METADATA;
	default:
		return 0;
	}
}

bool policy_permits_target(const struct policy *policy, const struct policy_facts *facts)
{
	unsigned needed = allow_for(address_kind(&facts->server));
	if (needed == 0)
		return true;
	/* The question comes before the hello: what is not known now is taken as not said. */
	struct policy_facts now = *facts;
	if (!(now.known & POLICY_FACT_SNI))
		now.sni = BYTES_NONE;
	if (!(now.known & POLICY_FACT_CONNECT_NAME))
		now.connect_name = BYTES_NONE;
	now.known |= POLICY_FACT_SERVER | POLICY_FACT_SNI | POLICY_FACT_CONNECT_NAME;
	struct view view;
	view_set(&view, &now);
	const unsigned usable =
		POLICY_FACT_CLIENT | POLICY_FACT_SERVER | POLICY_FACT_PORT | POLICY_FACT_CONNECT_NAME | RULE_HAS_NAME;
	for (size_t i = 0; i < policy->written; i++) {
		const struct rule *rule = &policy->rules[i];
		if ((rule->has & ~usable) == 0 && conditions_fit(rule, &view).fit == POLICY_FITS)
			return rule->action != POLICY_BLOCK && (rule->options.allow & needed) != 0;
	}
	const struct rule *fallback = &policy->rules[policy->rule_count - 1];
	return fallback->action != POLICY_BLOCK && (fallback->options.allow & needed) != 0;
}

enum policy_fit policy_rule_fit(
	const struct policy *policy, int rule, const struct policy_facts *facts, const char **condition)
{
	struct view view;
	view_set(&view, facts);
	for (size_t i = 0; i < policy->rule_count; i++) {
		if (rule_number(policy, i) != rule)
			continue;
		struct outcome out = rule_outcome(&policy->rules[i], &view);
		*condition = out.fit == POLICY_FITS ? NULL : out.condition;
		return out.fit;
	}
	*condition = NULL;
	return POLICY_FITS_NOT;
}
