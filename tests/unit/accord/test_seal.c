#include "accord/seal.h"

#include <openssl/evp.h>
#include <openssl/x509.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>

#include <cmocka.h>

static void a_commitment_is_the_hash_of_label_blind_and_introduction(void **state)
{
	(void)state;
	uint8_t all[20 + 32 + 4];
	uint8_t blind[32];
	uint8_t expected[32];
	uint8_t got[32];
	memset(blind, 7, sizeof(blind));
	struct writer w = writer_over(all, sizeof(all));
	writer_bytes(&w, bytes_of("overt accord seal 1", 20));
	writer_bytes(&w, bytes_of(blind, sizeof(blind)));
	writer_bytes(&w, bytes_str("body"));
	assert_true(accord_hash(bytes_of(all, sizeof(all)), expected));
	assert_true(accord_seal(bytes_of(blind, 32), bytes_str("body"), got));
	assert_memory_equal(expected, got, 32);
	assert_true(accord_seal(bytes_of(blind, 32), bytes_str("bodz"), got));
	assert_memory_not_equal(expected, got, 32);
	/* Another length would let octets wander between blind and introduction. */
	assert_false(accord_seal(bytes_of(blind, 31), bytes_str("body"), got));
}

static void an_approval_signs_blanks_label_and_digest(void **state)
{
	(void)state;
	uint8_t digest[32];
	uint8_t input[ACCORD_APPROVAL_INPUT];
	memset(digest, 0xaa, sizeof(digest));
	accord_approval_input(digest, input);
	for (size_t i = 0; i < 64; i++)
		assert_int_equal(input[i], 0x20);
	assert_memory_equal(input + 64, "overt accord approval 1", 24);
	assert_memory_equal(input + 88, digest, 32);
}

struct signed_approval {
	uint8_t octets[ACCORD_MAX_APPROVAL];
	struct accord_approval approval;
	struct accord_introduction introduction;
	uint8_t digest[ACCORD_HASH];
};

static void make(EVP_PKEY *key, struct signed_approval *out)
{
	struct writer w = writer_over(out->octets, sizeof(out->octets));
	struct bytes body = BYTES_NONE;
	struct error err;
	*out = (struct signed_approval){.introduction = {.client_nonce = {3}, .hops = 1, .has_approval = true}};
	memset(out->digest, 0x5c, sizeof(out->digest));
	w = writer_over(out->octets, sizeof(out->octets));
	assert_true(accord_approval_sign(key, out->digest, &w, &err) && writer_done(&w, &body));
	assert_int_equal(accord_approval_read(body, &out->approval), ACCORD_BODY_OK);
	assert_true(accord_approval_hash(
		out->introduction.client_nonce, out->approval.key, out->introduction.approval_hash));
}

static void approvals_of_both_kinds_verify(void **state)
{
	(void)state;
	EVP_PKEY *const keys[] = {EVP_EC_gen("P-256"), EVP_PKEY_Q_keygen(NULL, NULL, "ED25519")};
	for (size_t i = 0; i < 2; i++) {
		struct signed_approval s;
		make(keys[i], &s);
		assert_int_equal(accord_approval_verify(&s.approval, &s.introduction, s.digest), ACCORD_APPROVAL_OK);
		s.digest[31] ^= 1;
		assert_int_equal(
			accord_approval_verify(&s.approval, &s.introduction, s.digest), ACCORD_APPROVAL_SIGNATURE);
		s.digest[31] ^= 1;
		s.approval.scheme ^= 0x0100;
		assert_int_equal(
			accord_approval_verify(&s.approval, &s.introduction, s.digest), ACCORD_APPROVAL_SCHEME);
		s.approval.scheme ^= 0x0100;
		s.introduction.client_nonce[0] ^= 1;
		assert_int_equal(accord_approval_verify(&s.approval, &s.introduction, s.digest), ACCORD_APPROVAL_OTHER);
		s.introduction.client_nonce[0] ^= 1;
		s.introduction.has_approval = false;
		assert_int_equal(accord_approval_verify(&s.approval, &s.introduction, s.digest), ACCORD_APPROVAL_OTHER);
		EVP_PKEY_free(keys[i]);
	}
}

static void other_keys_cannot_approve(void **state)
{
	(void)state;
	EVP_PKEY *const keys[] = {EVP_EC_gen("P-384"), EVP_RSA_gen(2048)};
	for (size_t i = 0; i < 2; i++) {
		uint8_t octets[1024];
		uint8_t digest[32] = {0};
		struct error err;
		struct writer w = writer_over(octets, sizeof(octets));
		assert_false(accord_approval_sign(keys[i], digest, &w, &err));
		unsigned char *spki = NULL;
		int len = i2d_PUBKEY(keys[i], &spki);
		struct accord_approval approval = {
			.key = bytes_of(spki, (size_t)len), .scheme = 0x0403, .signature = bytes_str("x")};
		struct accord_introduction in = {.hops = 1, .has_approval = true};
		assert_true(accord_approval_hash(in.client_nonce, approval.key, in.approval_hash));
		assert_int_equal(accord_approval_verify(&approval, &in, digest), ACCORD_APPROVAL_KEY);
		OPENSSL_free(spki);
		EVP_PKEY_free(keys[i]);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_commitment_is_the_hash_of_label_blind_and_introduction),
		cmocka_unit_test(an_approval_signs_blanks_label_and_digest),
		cmocka_unit_test(approvals_of_both_kinds_verify),
		cmocka_unit_test(other_keys_cannot_approve),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
