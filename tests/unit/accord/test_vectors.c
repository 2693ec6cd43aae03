/* Appendix B of docs/accord.md: what stands there is what the code makes. */
#include "accord/seal.h"

#include "base/text.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

static char document[128 * 1024];

static int set_up(void **state)
{
	(void)state;
	FILE *file = fopen(DOCUMENT, "r");
	if (!file)
		return -1;
	size_t len = fread(document, 1, sizeof(document) - 1, file);
	fclose(file);
	return len > 0 ? 0 : -1;
}

/* The document must hold "name = hex", its lines joined. */
static void expect(const char *name, struct bytes value)
{
	char hex[1024];
	char line[1200];
	text_hex(hex, sizeof(hex), value);
	snprintf(line, sizeof(line), "    %s = %s\n", name, hex);
	if (!strstr(document, line))
		fail_msg("docs/accord.md lacks:\n%s", line);
}

static struct bytes done(const struct writer *w)
{
	struct bytes out;
	assert_true(writer_done(w, &out));
	return out;
}

static const uint8_t ed25519_head[] = {0x30, 0x2a, 0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x70, 0x03, 0x21, 0x00};

static void the_vectors_of_the_document_hold(void **state)
{
	(void)state;
	uint8_t key[44];
	uint8_t hash[32];
	uint8_t input[ACCORD_APPROVAL_INPUT];
	uint8_t blind[32];
	uint8_t buffer[1024];
	memcpy(key, ed25519_head, sizeof(ed25519_head));
	memset(key + 12, 0x77, 32);
	memset(blind, 0x44, 32);

	struct accord_offer offer = {.accepted_roles = ACCORD_ANY_ROLE, .has_approval = true};
	memset(offer.client_nonce, 0x11, 32);
	assert_true(accord_approval_hash(offer.client_nonce, bytes_of(key, sizeof(key)), offer.approval_hash));
	expect("approval_hash", bytes_of(offer.approval_hash, 32));
	struct writer w = writer_over(buffer, sizeof(buffer));
	accord_offer_write(&w, &offer);
	expect("offer", done(&w));

	struct accord_introduction in = {.hops = 1, .purpose_code = 1};
	memset(in.client_nonce, 0x11, 32);
	memset(in.hop[0].proxy_nonce, 0x22, 32);
	memset(in.hop[0].leaf_hash, 0x33, 32);
	in.hop[0].role = ACCORD_READER;
	w = writer_over(buffer, sizeof(buffer));
	accord_introduction_write(&w, &in);
	expect("introduction", done(&w));
	struct accord_sealed sealed;
	assert_true(accord_seal(bytes_of(blind, 32), done(&w), sealed.commitment));
	w = writer_over(buffer, sizeof(buffer));
	accord_sealed_write(&w, &sealed);
	expect("sealed", done(&w));

	struct accord_verdict verdict = {.decision = ACCORD_REFUSE, .statement = bytes_str("no")};
	memset(verdict.server_nonce, 0x55, 32);
	w = writer_over(buffer, sizeof(buffer));
	accord_verdict_write(&w, &verdict);
	expect("verdict", done(&w));

	memset(hash, 0x66, 32);
	accord_approval_input(hash, input);
	expect("approval_input", bytes_of(input, sizeof(input)));
	w = writer_over(buffer, sizeof(buffer));
	accord_demand_write(&w);
	expect("demand", done(&w));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_vectors_of_the_document_hold),
	};
	return cmocka_run_group_tests(tests, set_up, NULL);
}
