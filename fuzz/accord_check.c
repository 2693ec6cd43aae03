/*
 * The checks over a proof: whatever is refused is refused with a number and a sentence, and what is taken holds the
 * nonce. A proof of chance that passes is a finding, since nobody signed it for this client.
 */
#include "accord/check.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static bool any_proxy(void *ctx, const struct accord_chain *chain, struct accord_identity *who, struct error *err)
{
	(void)ctx, (void)who, (void)err;
	return chain->count > 0;
}

static bool any_server(
	void *ctx, const struct accord_chain *chain, struct bytes host, struct bytes address, struct error *err)
{
	(void)ctx, (void)host, (void)address, (void)err;
	return chain->count > 0;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const uint8_t suites[] = {0x13, 0x01, 0x13, 0x02, 0x13, 0x03};
	static const uint8_t groups[] = {0x00, 0x1d, 0x00, 0x17, 0x00, 0x18};
	static const uint8_t sigalgs[] = {0x04, 0x03, 0x08, 0x04, 0x08, 0x07, 0x05, 0x03};
	const struct accord_leg1 leg1 = {
		.version = 0x0304,
		.proxy = {.cert = {bytes_str("a proxy")}, .count = 1},
		.host = bytes_str("www.example.com"),
		.suites = bytes_of(suites, sizeof(suites)),
		.groups = bytes_of(groups, sizeof(groups)),
		.sigalgs = bytes_of(sigalgs, sizeof(sigalgs)),
		.offer = {.accepted_roles = ACCORD_ANY_ROLE},
	};
	const struct accord_trust trust = {.verify_proxy = any_proxy, .verify_server = any_server};
	struct accord_proven proven;
	struct accord_judgement judgement;
	if (accord_check(&leg1, bytes_of(data, size), &trust, &proven, &judgement))
		abort();
	if (judgement.fault == ACCORD_OK || !judgement.error.text[0] ||
		(judgement.check == 0 && judgement.fault != ACCORD_INTERNAL))
		abort();
	return 0;
}
