#include "accord/body.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>

#include <cmocka.h>

/* Cuts a body at every length and puts an octet behind it: all must be refused. */
#define REFUSES_ALL_CUTS(read, body, out)                                                                              \
	do {                                                                                                           \
		for (size_t cut = 0; cut < (body).len; cut++)                                                          \
			assert_int_not_equal(read(bytes_of((body).data, cut), out), ACCORD_BODY_OK);                   \
		uint8_t *longer = malloc((body).len + 1);                                                              \
		memcpy(longer, (body).data, (body).len);                                                               \
		longer[(body).len] = 0;                                                                                \
		assert_int_equal(read(bytes_of(longer, (body).len + 1), out), ACCORD_BODY_TRAILING);                   \
		free(longer);                                                                                          \
	} while (0)

static const struct accord_offer an_offer = {
	.client_nonce = {1, 2, 3}, .accepted_roles = ACCORD_ANY_ROLE, .has_approval = true, .approval_hash = {9}};

static struct accord_introduction an_introduction(size_t hops)
{
	struct accord_introduction in = {.client_nonce = {4}, .hops = hops, .purpose_code = 3};
	for (size_t i = 0; i < hops && i < ACCORD_MAX_HOPS; i++)
		in.hop[i] = (struct accord_hop){.leaf_hash = {(uint8_t)i}, .proxy_nonce = {7}, .role = ACCORD_WRITER};
	return in;
}

static void an_offer_comes_back(void **state)
{
	(void)state;
	uint8_t buffer[128];
	struct writer w = writer_over(buffer, sizeof(buffer));
	struct bytes body;
	struct accord_offer out;
	accord_offer_write(&w, &an_offer);
	assert_true(writer_done(&w, &body));
	assert_int_equal(body.len, 2 + 32 + 1 + 33);
	assert_int_equal(accord_offer_read(body, &out), ACCORD_BODY_OK);
	assert_memory_equal(&out, &an_offer, sizeof(out));
	REFUSES_ALL_CUTS(accord_offer_read, body, &out);
	buffer[34] = 4;
	assert_int_equal(accord_offer_read(body, &out), ACCORD_BODY_ROLE);
	buffer[34] = 0;
	assert_int_equal(accord_offer_read(body, &out), ACCORD_BODY_OK);
	buffer[35] = 31;
	assert_int_equal(accord_offer_read(bytes_of(buffer, body.len - 1), &out), ACCORD_BODY_HASH_LENGTH);
	buffer[1] = 2;
	assert_int_equal(accord_offer_read(body, &out), ACCORD_BODY_UNKNOWN);
	buffer[1] = 1;
	buffer[0] = 9;
	assert_int_equal(accord_offer_read(body, &out), ACCORD_BODY_UNKNOWN);
}

static void an_introduction_has_one_to_four_hops(void **state)
{
	(void)state;
	for (size_t hops = 1; hops <= ACCORD_MAX_HOPS; hops++) {
		uint8_t buffer[ACCORD_MAX_INTRODUCTION];
		struct writer w = writer_over(buffer, sizeof(buffer));
		struct bytes body;
		struct accord_introduction in = an_introduction(hops);
		struct accord_introduction out;
		accord_introduction_write(&w, &in);
		assert_true(writer_done(&w, &body));
		assert_int_equal(accord_introduction_read(body, &out), ACCORD_BODY_OK);
		assert_int_equal(out.hops, hops);
		assert_memory_equal(&out, &in, sizeof(out));
		REFUSES_ALL_CUTS(accord_introduction_read, body, &out);
	}
	uint8_t buffer[512];
	struct bytes body;
	for (size_t hops = 0; hops <= 5; hops += 5) {
		struct writer w = writer_over(buffer, sizeof(buffer));
		struct accord_introduction in = an_introduction(hops);
		accord_introduction_write(&w, &in);
		assert_false(writer_done(&w, &body));
	}
}

static void hops_are_read_strictly(void **state)
{
	(void)state;
	uint8_t buffer[512] = {ACCORD_INTRODUCTION, ACCORD_VERSION};
	struct accord_introduction out;
	/* Five hops, none, and half a one. */
	const size_t lengths[] = {(size_t)5 * 65, 0, 64, 66};
	const enum accord_body_result expected[] = {
		ACCORD_BODY_HOPS, ACCORD_BODY_HOPS, ACCORD_BODY_TRUNCATED, ACCORD_BODY_TRUNCATED};
	for (size_t i = 0; i < 4; i++) {
		buffer[34] = (uint8_t)(lengths[i] >> 8);
		buffer[35] = (uint8_t)lengths[i];
		for (size_t at = 36 + 64; at < sizeof(buffer); at += 65)
			buffer[at] = ACCORD_READER;
		assert_int_equal(accord_introduction_read(bytes_of(buffer, 36 + lengths[i] + 2), &out), expected[i]);
	}
	buffer[34] = 0;
	buffer[35] = 65;
	buffer[36 + 64] = ACCORD_ANY_ROLE; /* two roles in one hop */
	assert_int_equal(accord_introduction_read(bytes_of(buffer, 36 + 65 + 2), &out), ACCORD_BODY_ROLE);
	buffer[36 + 64] = 0;
	assert_int_equal(accord_introduction_read(bytes_of(buffer, 36 + 65 + 2), &out), ACCORD_BODY_ROLE);
}

static void a_verdict_comes_back(void **state)
{
	(void)state;
	uint8_t buffer[300];
	struct writer w = writer_over(buffer, sizeof(buffer));
	const struct accord_verdict in = {
		.decision = ACCORD_REFUSE, .server_nonce = {5}, .statement = bytes_str("not here")};
	struct accord_verdict out;
	struct bytes body;
	accord_verdict_write(&w, &in);
	assert_true(writer_done(&w, &body));
	assert_int_equal(accord_verdict_read(body, &out), ACCORD_BODY_OK);
	assert_int_equal(out.decision, ACCORD_REFUSE);
	assert_true(bytes_equal(out.statement, in.statement));
	REFUSES_ALL_CUTS(accord_verdict_read, body, &out);
	buffer[2] = 2;
	assert_int_equal(accord_verdict_read(body, &out), ACCORD_BODY_VALUE);
}

static void a_proof_comes_back(void **state)
{
	(void)state;
	uint8_t buffer[600];
	const uint8_t blind[32] = {1};
	const struct accord_proof proofs[] = {
		{.purpose = bytes_str("why"), .transcript = bytes_str("messages")},
		{.blind = bytes_of(blind, 32), .introduction = bytes_str("body"), .transcript = bytes_str("m")},
	};
	for (size_t i = 0; i < 2; i++) {
		struct writer w = writer_over(buffer, sizeof(buffer));
		struct accord_proof out;
		struct bytes body;
		accord_proof_write(&w, &proofs[i]);
		assert_true(writer_done(&w, &body));
		assert_int_equal(accord_proof_read(body, &out), ACCORD_BODY_OK);
		assert_true(bytes_equal(out.purpose, proofs[i].purpose) && bytes_equal(out.blind, proofs[i].blind));
		assert_true(bytes_equal(out.introduction, proofs[i].introduction));
		assert_true(bytes_equal(out.transcript, proofs[i].transcript));
		REFUSES_ALL_CUTS(accord_proof_read, body, &out);
	}
}

static void half_an_opening_is_no_proof(void **state)
{
	(void)state;
	const uint8_t blind[32] = {1};
	const struct accord_proof bad[] = {
		{.blind = bytes_of(blind, 32), .transcript = bytes_str("m")},
		{.introduction = bytes_str("body"), .transcript = bytes_str("m")},
		{.blind = bytes_of(blind, 31), .introduction = bytes_str("body"), .transcript = bytes_str("m")},
		{.purpose = bytes_str("no transcript")},
	};
	for (size_t i = 0; i < 4; i++) {
		uint8_t buffer[600];
		struct writer w = writer_over(buffer, sizeof(buffer));
		struct bytes body;
		struct accord_proof out;
		accord_proof_write(&w, &bad[i]);
		assert_false(writer_done(&w, &body));
		assert_int_not_equal(accord_proof_read(bytes_of(buffer, w.len), &out), ACCORD_BODY_OK);
	}
}

static void a_proof_has_at_most_48_kib(void **state)
{
	(void)state;
	const size_t overhead = 2 + 1 + 1 + 2 + 2;
	uint8_t *messages = calloc(1, ACCORD_MAX_PROOF);
	uint8_t *buffer = malloc(ACCORD_MAX_PROOF + 64);
	for (size_t more = 0; more < 2; more++) {
		struct writer w = writer_over(buffer, ACCORD_MAX_PROOF + 64);
		struct accord_proof in = {.transcript = bytes_of(messages, ACCORD_MAX_PROOF - overhead + more)};
		struct accord_proof out;
		struct bytes body;
		accord_proof_write(&w, &in);
		assert_int_equal(writer_done(&w, &body), more == 0);
		assert_int_equal(accord_proof_read(bytes_of(buffer, w.len), &out),
			more == 0 ? ACCORD_BODY_OK : ACCORD_BODY_TOO_LONG);
	}
	free(messages);
	free(buffer);
}

static enum accord_body_result read_demand(struct bytes body, void *out)
{
	(void)out;
	return accord_demand_read(body);
}

static void demand_approval_and_sealed_come_back(void **state)
{
	(void)state;
	uint8_t buffer[200];
	struct bytes body;
	struct accord_approval approval;
	struct accord_sealed sealed;
	struct writer w = writer_over(buffer, sizeof(buffer));
	accord_demand_write(&w);
	assert_true(writer_done(&w, &body));
	assert_int_equal(accord_demand_read(body), ACCORD_BODY_OK);
	REFUSES_ALL_CUTS(read_demand, body, NULL);

	w = writer_over(buffer, sizeof(buffer));
	accord_approval_write(&w,
		&(struct accord_approval){.key = bytes_str("key"), .scheme = 0x0807, .signature = bytes_str("sig")});
	assert_true(writer_done(&w, &body));
	assert_int_equal(accord_approval_read(body, &approval), ACCORD_BODY_OK);
	assert_true(bytes_equal(approval.key, bytes_str("key")) && bytes_equal(approval.signature, bytes_str("sig")));
	assert_int_equal(approval.scheme, 0x0807);
	REFUSES_ALL_CUTS(accord_approval_read, body, &approval);
	w = writer_over(buffer, sizeof(buffer));
	accord_approval_write(&w, &(struct accord_approval){.key = bytes_str("key"), .scheme = 0x0807});
	assert_false(writer_done(&w, &body));
	assert_int_equal(accord_approval_read(bytes_of(buffer, w.len), &approval), ACCORD_BODY_EMPTY);

	w = writer_over(buffer, sizeof(buffer));
	accord_sealed_write(&w, &(struct accord_sealed){.commitment = {8, 8}});
	assert_true(writer_done(&w, &body));
	assert_int_equal(accord_sealed_read(body, &sealed), ACCORD_BODY_OK);
	assert_int_equal(sealed.commitment[1], 8);
	REFUSES_ALL_CUTS(accord_sealed_read, body, &sealed);
}

/* A list made of raw bodies. */
static struct bytes list_of(uint8_t *buffer, size_t cap, const struct bytes *bodies, size_t count)
{
	struct writer w = writer_over(buffer, cap);
	struct bytes out;
	for (size_t i = 0; i < count; i++)
		writer_vec16(&w, bodies[i]);
	assert_true(writer_done(&w, &out));
	return out;
}

static void a_list_holds_one_of_a_kind(void **state)
{
	(void)state;
	uint8_t buffer[2048];
	uint8_t parts[4][512];
	struct bytes offer = BYTES_NONE;
	struct bytes introduction = BYTES_NONE;
	struct bytes sealed = BYTES_NONE;
	struct bytes verdict = BYTES_NONE;
	struct accord_list out;
	struct accord_introduction in = an_introduction(2);
	struct writer w[4];
	for (size_t i = 0; i < 4; i++)
		w[i] = writer_over(parts[i], sizeof(parts[i]));
	accord_offer_write(&w[0], &an_offer);
	accord_introduction_write(&w[1], &in);
	accord_sealed_write(&w[2], &(struct accord_sealed){{0}});
	accord_verdict_write(&w[3], &(struct accord_verdict){.decision = ACCORD_ACCEPT});
	assert_true(writer_done(&w[0], &offer) && writer_done(&w[1], &introduction));
	assert_true(writer_done(&w[2], &sealed) && writer_done(&w[3], &verdict));
	const struct bytes unknown = bytes_str("\x63\x01whatever");
	const struct bytes future = bytes_str("\x01\x02whatever");
	const struct {
		struct bytes bodies[3];
		size_t count;
		enum accord_body_result expected;
	} cases[] = {
		{{offer}, 1, ACCORD_BODY_OK},
		{{offer, introduction}, 2, ACCORD_BODY_OK},
		{{sealed}, 1, ACCORD_BODY_OK},
		{{unknown, offer, introduction}, 3, ACCORD_BODY_OK},
		{{future, introduction}, 2, ACCORD_BODY_OK},
		{{offer, offer}, 2, ACCORD_BODY_DUPLICATE},
		{{offer, future}, 2, ACCORD_BODY_DUPLICATE},
		{{unknown, unknown}, 2, ACCORD_BODY_DUPLICATE},
		{{introduction, sealed}, 2, ACCORD_BODY_MISPLACED},
		{{verdict}, 1, ACCORD_BODY_MISPLACED},
		{{offer, BYTES_NONE}, 2, ACCORD_BODY_EMPTY},
		{{bytes_str("\x01")}, 1, ACCORD_BODY_TRUNCATED},
		{{offer}, 0, ACCORD_BODY_EMPTY},
	};
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
		assert_int_equal(
			accord_list_read(list_of(buffer, sizeof(buffer), cases[i].bodies, cases[i].count), &out),
			cases[i].expected);
	struct bytes list = list_of(buffer, sizeof(buffer), (struct bytes[]){offer, introduction}, 2);
	for (size_t cut = 1; cut < list.len; cut++) {
		if (cut != 2 + offer.len)
			assert_int_not_equal(accord_list_read(bytes_of(list.data, cut), &out), ACCORD_BODY_OK);
	}
	assert_int_equal(accord_list_read(list, &out), ACCORD_BODY_OK);
	uint8_t again[1024];
	struct writer back = writer_over(again, sizeof(again));
	struct bytes written;
	accord_list_write(&back, &out);
	assert_true(writer_done(&back, &written) && bytes_equal(written, list));
}

static void every_result_and_kind_has_words(void **state)
{
	(void)state;
	for (int i = ACCORD_BODY_OK; i <= ACCORD_BODY_MISPLACED; i++)
		assert_true(strlen(accord_body_text((enum accord_body_result)i)) > 5);
	for (int kind = ACCORD_OFFER; kind <= ACCORD_SEALED; kind++)
		assert_non_null(accord_kind_name((uint8_t)kind));
	assert_null(accord_kind_name(0));
	assert_null(accord_kind_name(8));
	assert_null(accord_role_name(ACCORD_ANY_ROLE));
	assert_string_equal(accord_role_name(ACCORD_READER), "reader");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(an_offer_comes_back),
		cmocka_unit_test(an_introduction_has_one_to_four_hops),
		cmocka_unit_test(hops_are_read_strictly),
		cmocka_unit_test(a_verdict_comes_back),
		cmocka_unit_test(a_proof_comes_back),
		cmocka_unit_test(half_an_opening_is_no_proof),
		cmocka_unit_test(a_proof_has_at_most_48_kib),
		cmocka_unit_test(demand_approval_and_sealed_come_back),
		cmocka_unit_test(a_list_holds_one_of_a_kind),
		cmocka_unit_test(every_result_and_kind_has_words),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
