/* Any octets as rules, with themselves as the list they name: a snapshot that decides, or an error. */
#include "policy/rules.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static bool load(void *ctx, const char *path, struct bytes *out, struct error *err)
{
	(void)path, (void)err;
	*out = *(const struct bytes *)ctx;
	return true;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct bytes text = bytes_of(data, size);
	struct error err = {{0}};
	struct policy_source source = {.load = load, .ctx = &text};
	struct policy *policy = policy_parse(text, "dir/fuzz.yaml", &source, &err);
	if ((policy != NULL) != (err.text[0] == '\0'))
		abort();
	if (!policy)
		return 0;
	/* The input also serves as what a client sends. */
	struct policy_facts facts = {
		.port = 443, .connect_name = text, .sni = text, .alpn = text, .ja4 = text, .issuer_cn = text};
	struct policy_verdict early, late;
	for (facts.known = 0; facts.known <= POLICY_PASS_SECOND; facts.known = facts.known * 2 + 1) {
		bool decided = policy_decide(policy, &facts, &early);
		struct policy_facts all = facts;
		all.known = POLICY_PASS_SECOND;
		if (!policy_decide(policy, &all, &late) || (decided && early.rule != late.rule))
			abort();
	}
	(void)policy_permits_target(policy, &facts);
	policy_drop(policy);
	return 0;
}
