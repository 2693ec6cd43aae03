#include "base/clock.h"
#include "forge.h"
#include "pki/leaf_key.h"
#include "pki/mint.h"
#include "pki/summary.h"
#include "pki/verify.h"

#include <openssl/x509v3.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include <cmocka.h>

#define DAY FORGE_DAY

/* An upstream certificate, and the CA and key that answer for it. */
struct bench {
	struct forged root, upstream;
	struct authority *authority;
	struct leaf_keys *keys;
	uint8_t der[300000];
	uint8_t out[MINT_MAX_DER];
	struct subject_name host;
	struct mint_request request;
	struct minted minted;
	X509 *leaf; /* what was minted */
};

static struct bench *bench_with(struct forge_spec *spec, const char *host, const char *permit)
{
	struct bench *bench = calloc(1, sizeof(*bench));
	struct error err = {{0}};
	bench->root = forge_root("Upstream root");
	spec->issuer = &bench->root;
	bench->upstream = forge(spec);
	struct name_ranges ranges = {.count = 0};
	if (permit)
		assert_true(name_ranges_parse(bytes_str(permit), &ranges, &err));
	/* Long since valid, so that its own dates do not show in the leaf. */
	struct authority_make make = {.permit = permit ? &ranges : NULL, .not_before_s = FORGE_NOW - 300 * DAY};
	char state[128];
	static int number;
	snprintf(state, sizeof(state), "%s/mint-%d", forge_directory(), ++number);
	assert_true(authority_open(&bench->authority, state, &make, FORGE_NOW, &err));
	assert_true(leaf_keys_open(&bench->keys, NULL, FORGE_NOW, &err));
	const struct leaf_key *key = leaf_keys_get(bench->keys, LEAF_ECDSA, FORGE_NOW, &err);
	assert_non_null(key);
	assert_int_equal(subject_name_parse(bytes_str(host), &bench->host), NAME_OK);
	bench->request = (struct mint_request){
		.upstream = forge_der(bench->upstream.cert, bench->der, sizeof(bench->der)),
		.host = &bench->host,
		.spki = bytes_of(key->spki, key->spki_len),
		.now_s = FORGE_NOW,
	};
	return bench;
}

static struct bench *bench_for(const char *host, const char *san, const char *permit)
{
	struct forge_spec spec = forge_leaf_spec("upstream", san, NULL);
	forge_extension(&spec, "authorityKeyIdentifier", "keyid");
	return bench_with(&spec, host, permit);
}

static void bench_free(struct bench *bench)
{
	X509_free(bench->leaf);
	authority_free(bench->authority);
	leaf_keys_free(bench->keys);
	forged_free(&bench->upstream);
	forged_free(&bench->root);
	free(bench);
}

static enum mint_result decoded(struct bench *bench, enum mint_result result)
{
	X509_free(bench->leaf);
	bench->leaf = NULL;
	if (result != MINT_OK)
		return result;
	const unsigned char *at = bench->minted.der.data;
	bench->leaf = d2i_X509(NULL, &at, (long)bench->minted.der.len);
	assert_non_null(bench->leaf);
	assert_ptr_equal(at, bench->minted.der.data + bench->minted.der.len);
	/* Encoded anew it is the same: what we wrote is DER. */
	uint8_t *again = NULL;
	int len = i2d_re_X509_tbs(bench->leaf, &again);
	assert_true(len > 0);
	assert_non_null(memmem(bench->minted.der.data, bench->minted.der.len, again, (size_t)len));
	OPENSSL_free(again);
	return result;
}

static enum mint_result minted(struct bench *bench)
{
	return decoded(
		bench, mint_leaf(bench->authority, &bench->request, bench->out, sizeof(bench->out), &bench->minted));
}

static enum mint_result minted_invalid(struct bench *bench, uint64_t faults)
{
	bench->request.faults = faults;
	return decoded(
		bench, mint_invalid(bench->authority, &bench->request, bench->out, sizeof(bench->out), &bench->minted));
}

/* What a client that trusts our CA would say. */
static struct verify_verdict verdict_of(struct bench *bench, const char *host)
{
	struct trust *trust = trust_new(NULL);
	struct error err = {{0}};
	assert_true(trust_add_bytes(trust, authority_pem(bench->authority), "own CA", &err));
	struct verifier *verifier = verifier_new(trust, 0);
	struct subject_name name;
	assert_int_equal(subject_name_parse(bytes_str(host), &name), NAME_OK);
	struct verify_request request = {.host = &name, .now_s = FORGE_NOW};
	struct verify_verdict verdict;
	verify_chain(verifier, bench->leaf, NULL, &request, &verdict);
	verifier_free(verifier);
	trust_free(trust);
	return verdict;
}

static bool extension_has(X509 *cert, int nid, bool *critical)
{
	int at = X509_get_ext_by_NID(cert, nid, -1);
	if (at < 0)
		return false;
	*critical = X509_EXTENSION_get_critical(X509_get_ext(cert, at)) != 0;
	return true;
}

static void a_leaf_verifies_strictly_and_says_only_what_it_should(void **state)
{
	(void)state;
	struct forge_spec spec = forge_leaf_spec("Example Inc", "DNS:example.com,DNS:*.example.com,IP:192.0.2.1", NULL);
	forge_extension(&spec, "authorityKeyIdentifier", "keyid");
	/* The policy of extended validation. */
	forge_extension(&spec, "certificatePolicies", "DER:30093007060567810c0101");
	forge_extension(&spec, "tlsfeature", "status_request");
	forge_extension(&spec, "extendedKeyUsage", "serverAuth,clientAuth");
	struct bench *bench = bench_with(&spec, "www.example.com", NULL);
	assert_int_equal(minted(bench), MINT_OK);
	struct verify_verdict verdict = verdict_of(bench, "www.example.com");
	if (verdict.fault != VERIFY_OK)
		fail_msg("%s", verdict.text);
	assert_int_equal(verdict_of(bench, "192.0.2.1").fault, VERIFY_OK);
	X509 *leaf = bench->leaf;
	bool critical;
	assert_false(extension_has(leaf, NID_tlsfeature, &critical));
	assert_true(extension_has(leaf, NID_subject_alt_name, &critical));
	assert_false(critical);
	assert_int_equal(X509_get_extended_key_usage(leaf), XKU_SSL_SERVER);
	assert_int_equal(X509_get_key_usage(leaf), KU_DIGITAL_SIGNATURE);
	assert_int_equal(X509_check_ca(leaf), 0);
	assert_int_equal(X509_get_ext_count(leaf), 7);
	struct cert_summary summary;
	cert_summary_of(leaf, &summary);
	assert_string_equal(summary.common_name, "www.example.com");
	assert_int_equal(summary.name_total, 3);
	struct authority_issuer issuer;
	assert_true(authority_issuer(bench->authority, FORGE_NOW, &issuer));
	assert_int_equal(X509_check_issued(issuer.cert, leaf), X509_V_OK);
	bench_free(bench);
}

static void the_policy_is_our_own_and_says_where_to_read_more(void **state)
{
	(void)state;
	struct bench *bench = bench_for("example.com", "DNS:example.com", NULL);
	const char *urls[] = {MINT_POLICY_URL, "https://privacy.example.net/tls"};
	for (int i = 0; i < 2; i++) {
		bench->request.policy_url = i == 0 ? NULL : urls[i];
		assert_int_equal(minted(bench), MINT_OK);
		CERTIFICATEPOLICIES *policies = X509_get_ext_d2i(bench->leaf, NID_certificate_policies, NULL, NULL);
		assert_int_equal(sk_POLICYINFO_num(policies), 1);
		POLICYINFO *policy = sk_POLICYINFO_value(policies, 0);
		char oid[80];
		OBJ_obj2txt(oid, sizeof(oid), policy->policyid, 1);
		assert_string_equal(oid, MINT_POLICY_OID);
		POLICYQUALINFO *qualifier = sk_POLICYQUALINFO_value(policy->qualifiers, 0);
		assert_int_equal(OBJ_obj2nid(qualifier->pqualid), NID_id_qt_cps);
		assert_string_equal((const char *)ASN1_STRING_get0_data(qualifier->d.cpsuri), urls[i]);
		CERTIFICATEPOLICIES_free(policies);
	}
	char long_url[MINT_URL_MAX + 2];
	memset(long_url, 'u', sizeof(long_url));
	long_url[sizeof(long_url) - 1] = '\0';
	bench->request.policy_url = long_url;
	assert_int_equal(minted(bench), MINT_NO_ROOM);
	bench_free(bench);
}

static void a_leaf_outlives_neither_upstream_nor_ca_nor_45_days(void **state)
{
	(void)state;
	static const struct {
		int from, until, expect_from, expect_until;
	} cases[] = {
		{-40, 40, -40, 40},   /* upstream's own */
		{-40, 300, -40, 45},  /* 45 days from now */
		{-400, 20, -179, 20}, /* 199 days in all, one second less: see below */
		{-290, 300, -154, 45},
	};
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct forge_spec spec = forge_leaf_spec("upstream", "DNS:example.com", NULL);
		forge_extension(&spec, "authorityKeyIdentifier", "keyid");
		spec.from_s = FORGE_NOW + cases[i].from * DAY;
		spec.until_s = FORGE_NOW + cases[i].until * DAY;
		struct bench *bench = bench_with(&spec, "example.com", NULL);
		assert_int_equal(minted(bench), MINT_OK);
		int64_t from;
		int64_t until;
		assert_true(cert_dates(bench->leaf, &from, &until));
		bool clipped = cases[i].expect_from != cases[i].from;
		assert_int_equal(from, FORGE_NOW + cases[i].expect_from * DAY + clipped);
		assert_int_equal(until, FORGE_NOW + cases[i].expect_until * DAY);
		assert_true(until - from + 1 <= MINT_WHOLE_DAYS * DAY);
		assert_int_equal(from, bench->minted.not_before_s);
		assert_int_equal(until, bench->minted.not_after_s);
		bench_free(bench);
	}
	/* The CA, made an hour ago, was not there before. */
	struct bench *bench = bench_for("example.com", "DNS:example.com", NULL);
	authority_free(bench->authority);
	struct error err;
	assert_true(authority_in_memory(&bench->authority, NULL, FORGE_NOW, &err));
	assert_int_equal(minted(bench), MINT_OK);
	assert_int_equal(bench->minted.not_before_s, FORGE_NOW - 3600);
	assert_int_equal(bench->minted.not_after_s, FORGE_NOW - 3600 + 2 * DAY);
	bench_free(bench);
}

static void every_leaf_has_a_serial_of_its_own(void **state)
{
	(void)state;
	struct bench *bench = bench_for("example.com", "DNS:example.com", NULL);
	BIGNUM *seen[50];
	for (int i = 0; i < 50; i++) {
		assert_int_equal(minted(bench), MINT_OK);
		seen[i] = ASN1_INTEGER_to_BN(X509_get0_serialNumber(bench->leaf), NULL);
		assert_false(BN_is_negative(seen[i]));
		assert_true(BN_num_bits(seen[i]) <= 127 && BN_num_bits(seen[i]) > 64);
		for (int j = 0; j < i; j++)
			assert_int_not_equal(BN_cmp(seen[i], seen[j]), 0);
	}
	for (int i = 0; i < 50; i++)
		BN_free(seen[i]);
	bench_free(bench);
}

static void long_names_and_addresses_go_without_a_cn(void **state)
{
	(void)state;
	static const char longest[] = "a23456789.b23456789.c23456789.d23456789.e23456789.f23456789.example.com";
	char san[100];
	snprintf(san, sizeof(san), "DNS:%s", longest);
	const struct {
		const char *host, *san;
	} cases[] = {{longest, san}, {"192.0.2.1", "IP:192.0.2.1"}, {"2001:db8::1", "IP:2001:db8::1"}};
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct bench *bench = bench_for(cases[i].host, cases[i].san, NULL);
		assert_int_equal(minted(bench), MINT_OK);
		assert_int_equal(X509_NAME_entry_count(X509_get_subject_name(bench->leaf)), 0);
		bool critical = false;
		assert_true(extension_has(bench->leaf, NID_subject_alt_name, &critical));
		assert_true(critical);
		assert_int_equal(verdict_of(bench, cases[i].host).fault, VERIFY_OK);
		bench_free(bench);
	}
}

static void names_that_no_certificate_may_carry_are_left_out(void **state)
{
	(void)state;
	struct bench *bench = bench_for("example.com",
		"DNS:example.com,DNS:*,DNS:*.com,DNS:w*.example.com,DNS:a "
		"b,email:a@example.com,URI:http://example.com/",
		NULL);
	assert_int_equal(minted(bench), MINT_OK);
	assert_int_equal(bench->minted.names_seen, 7);
	assert_int_equal(bench->minted.names_kept, 1);
	assert_int_equal(verdict_of(bench, "example.com").fault, VERIFY_OK);
	bench_free(bench);
}

static void of_ten_thousand_names_the_host_is_kept_and_the_rest_counted(void **state)
{
	(void)state;
	size_t cap = 10000 * 24;
	char *san = malloc(cap);
	size_t len = 0;
	for (int i = 0; i < 10000; i++)
		len += (size_t)snprintf(san + len, cap - len, "%sDNS:n%d.example.com", i ? "," : "", i);
	struct bench *bench = bench_for("n9999.example.com", san, NULL);
	assert_int_equal(minted(bench), MINT_OK);
	assert_int_equal(bench->minted.names_seen, 10000);
	assert_int_equal(bench->minted.names_kept, MINT_MAX_NAMES);
	assert_int_equal(bench->minted.names_over_cap, 10000 - MINT_MAX_NAMES);
	assert_int_equal(verdict_of(bench, "n9999.example.com").fault, VERIFY_OK);
	bench_free(bench);
	free(san);
}

static void what_the_ca_may_not_name_is_left_out_or_refused(void **state)
{
	(void)state;
	struct bench *bench = bench_for("www.example.com",
		"DNS:www.example.com,DNS:www.example.org,IP:192.0.2.1,DNS:*.example.com", "example.com");
	assert_int_equal(minted(bench), MINT_OK);
	assert_int_equal(bench->minted.names_kept, 2);
	assert_int_equal(verdict_of(bench, "www.example.com").fault, VERIFY_OK);
	assert_int_equal(subject_name_parse(bytes_str("www.example.org"), &bench->host), NAME_OK);
	assert_int_equal(minted(bench), MINT_NOT_PERMITTED);
	assert_int_equal(minted_invalid(bench, VERIFY_FAULT_BIT(VERIFY_UNKNOWN_ROOT)), MINT_NOT_PERMITTED);
	bench_free(bench);
	bench = bench_for("192.0.2.1", "IP:192.0.2.1", "192.0.2.0/24");
	assert_int_equal(minted(bench), MINT_OK);
	assert_int_equal(verdict_of(bench, "192.0.2.1").fault, VERIFY_OK);
	bench_free(bench);
}

static void an_invalid_upstream_gets_no_good_leaf(void **state)
{
	(void)state;
	struct bench *bench = bench_for("example.net", "DNS:example.com", NULL);
	assert_int_equal(minted(bench), MINT_WRONG_NAME);
	bench->request.now_s = FORGE_NOW + 41 * DAY;
	assert_int_equal(minted(bench), MINT_NOT_VALID_NOW);
	bench->request.now_s = FORGE_NOW - 41 * DAY;
	assert_int_equal(minted(bench), MINT_NOT_VALID_NOW);
	bench->request.now_s = FORGE_NOW + 4000 * DAY;
	assert_int_equal(minted(bench), MINT_CA_EXPIRED);
	bench->request.now_s = FORGE_NOW;
	bench->request.upstream.len -= 1;
	assert_int_equal(minted(bench), MINT_MALFORMED);
	bench->request.upstream = bytes_str("0garbage");
	assert_int_equal(minted(bench), MINT_MALFORMED);
	bench_free(bench);
	bench = bench_for("example.com", NULL, NULL);
	assert_int_equal(minted(bench), MINT_NO_NAMES);
	bench_free(bench);
}

struct spoilt {
	enum verify_fault fault;
	const char *host;
	int from, until;
	enum verify_fault shows;
};

static void an_invalid_leaf_shows_the_fault_of_its_upstream(void **state)
{
	(void)state;
	static const struct spoilt cases[] = {
		{VERIFY_EXPIRED, "example.com", -30, -3, VERIFY_EXPIRED},
		{VERIFY_NOT_YET_VALID, "example.com", 3, 30, VERIFY_NOT_YET_VALID},
		{VERIFY_DATES_REVERSED, "example.com", 3, -3, VERIFY_DATES_REVERSED},
		{VERIFY_WRONG_NAME, "example.net", -30, 30, VERIFY_WRONG_NAME},
		{VERIFY_SELF_SIGNED, "example.com", -30, 30, VERIFY_MISSING_INTERMEDIATE},
		{VERIFY_UNKNOWN_ROOT, "example.com", -30, 30, VERIFY_MISSING_INTERMEDIATE},
		{VERIFY_REVOKED, "example.com", -30, 30, VERIFY_MISSING_INTERMEDIATE},
		/* An intermediate expired: the leaf's own dates would look good. */
		{VERIFY_EXPIRED, "example.com", -30, 30, VERIFY_MISSING_INTERMEDIATE},
		{VERIFY_OK, "example.com", -30, 30, VERIFY_MISSING_INTERMEDIATE},
	};
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct forge_spec spec = forge_leaf_spec("upstream", "DNS:example.com", NULL);
		forge_extension(&spec, "authorityKeyIdentifier", "keyid");
		spec.from_s = FORGE_NOW + cases[i].from * DAY;
		spec.until_s = FORGE_NOW + cases[i].until * DAY;
		struct bench *bench = bench_with(&spec, cases[i].host, NULL);
		uint64_t faults = cases[i].fault == VERIFY_OK ? 0 : VERIFY_FAULT_BIT(cases[i].fault);
		assert_int_equal(minted_invalid(bench, faults), MINT_OK);
		struct verify_verdict verdict = verdict_of(bench, cases[i].host);
		if (verdict.fault != cases[i].shows)
			fail_msg("%s shows as %s (%s)", verify_fault_name(cases[i].fault),
				verify_fault_name(verdict.fault), verdict.text);
		bench_free(bench);
	}
}

static void no_fault_of_upstream_ever_yields_a_leaf_that_verifies(void **state)
{
	(void)state;
	struct bench *bench = bench_for("example.com", "DNS:example.com,DNS:www.example.com", NULL);
	for (unsigned fault = 0; fault < VERIFY_FAULTS; fault++) {
		uint64_t faults = fault == VERIFY_OK ? 0 : VERIFY_FAULT_BIT(fault);
		assert_int_equal(minted_invalid(bench, faults), MINT_OK);
		assert_int_not_equal(verdict_of(bench, "example.com").fault, VERIFY_OK);
	}
	bench_free(bench);
}

static void a_leaf_with_an_rsa_key_or_under_an_rsa_ca_verifies(void **state)
{
	(void)state;
	struct bench *bench = bench_for("example.com", "DNS:example.com", NULL);
	struct error err;
	const struct leaf_key *rsa = leaf_keys_get(bench->keys, LEAF_RSA, FORGE_NOW, &err);
	assert_non_null(rsa);
	bench->request.spki = bytes_of(rsa->spki, rsa->spki_len);
	assert_int_equal(minted(bench), MINT_OK);
	assert_int_equal(verdict_of(bench, "example.com").fault, VERIFY_OK);
	bench_free(bench);
}

/* GnuTLS reads certificates with other code: what it takes is not only OpenSSL's opinion. */
static void gnutls_takes_the_leaf_too(void **state)
{
	(void)state;
	if (access("/usr/bin/certtool", X_OK) != 0)
		skip();
	/* certtool knows no time but the present one. */
	int64_t now = (int64_t)(clock_wall_ns() / NS_PER_S);
	struct forge_spec spec = forge_leaf_spec("upstream", "DNS:example.com,IP:192.0.2.1", NULL);
	forge_extension(&spec, "authorityKeyIdentifier", "keyid");
	spec.from_s = now - DAY;
	spec.until_s = now + DAY;
	struct bench *bench = bench_with(&spec, "example.com", NULL);
	struct name_ranges permit = {.count = 0};
	struct error err;
	assert_true(name_ranges_parse(bytes_str("example.com,192.0.2.0/24"), &permit, &err));
	authority_free(bench->authority);
	assert_true(authority_in_memory(&bench->authority, &(struct authority_make){.permit = &permit}, now, &err));
	bench->request.now_s = now;
	assert_int_equal(minted(bench), MINT_OK);
	uint8_t pem[16384];
	char ca[256];
	char leaf[256];
	char command[1024];
	snprintf(ca, sizeof(ca), "%s", forge_file("gnutls-ca.pem", authority_pem(bench->authority), 0600));
	snprintf(leaf, sizeof(leaf), "%s",
		forge_file("gnutls-leaf.pem", forge_pem(bench->leaf, pem, sizeof(pem)), 0600));
	snprintf(command, sizeof(command),
		"certtool --verify --load-ca-certificate '%s' --infile '%s' "
		"--verify-hostname example.com --verify-purpose 1.3.6.1.5.5.7.3.1 >'%s.out' 2>&1",
		ca, leaf, leaf);
	if (system(command) != 0) {
		snprintf(command, sizeof(command), "cat '%s.out'", leaf);
		(void)!system(command);
		fail_msg("certtool refused the leaf");
	}
	bench_free(bench);
}

static void minting_is_quick(void **state)
{
	(void)state;
	struct bench *bench = bench_for("example.com", "DNS:example.com,DNS:www.example.com", NULL);
	struct authority_issuer issuer;
	assert_true(authority_issuer(bench->authority, FORGE_NOW, &issuer));
	enum { ROUNDS = 500 };
	uint64_t start = clock_monotonic_ns();
	for (int i = 0; i < ROUNDS; i++)
		assert_int_equal(
			mint_leaf(bench->authority, &bench->request, bench->out, sizeof(bench->out), &bench->minted),
			MINT_OK);
	uint64_t whole = clock_monotonic_ns() - start;
	uint8_t signature[AUTHORITY_SIGNATURE_MAX];
	size_t len;
	start = clock_monotonic_ns();
	for (int i = 0; i < ROUNDS; i++)
		assert_true(authority_sign(&issuer, bench->minted.der, signature, &len));
	uint64_t signing = clock_monotonic_ns() - start;
	print_message("# a leaf takes %.1f us, of which the signature %.1f us\n", (double)whole / ROUNDS / 1000,
		(double)signing / ROUNDS / 1000);
	bench_free(bench);
}

static int cleanup(void **state)
{
	(void)state;
	forge_cleanup();
	return 0;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_leaf_verifies_strictly_and_says_only_what_it_should),
		cmocka_unit_test(the_policy_is_our_own_and_says_where_to_read_more),
		cmocka_unit_test(a_leaf_outlives_neither_upstream_nor_ca_nor_45_days),
		cmocka_unit_test(every_leaf_has_a_serial_of_its_own),
		cmocka_unit_test(long_names_and_addresses_go_without_a_cn),
		cmocka_unit_test(names_that_no_certificate_may_carry_are_left_out),
		cmocka_unit_test(of_ten_thousand_names_the_host_is_kept_and_the_rest_counted),
		cmocka_unit_test(what_the_ca_may_not_name_is_left_out_or_refused),
		cmocka_unit_test(an_invalid_upstream_gets_no_good_leaf),
		cmocka_unit_test(an_invalid_leaf_shows_the_fault_of_its_upstream),
		cmocka_unit_test(no_fault_of_upstream_ever_yields_a_leaf_that_verifies),
		cmocka_unit_test(a_leaf_with_an_rsa_key_or_under_an_rsa_ca_verifies),
		cmocka_unit_test(gnutls_takes_the_leaf_too),
		cmocka_unit_test(minting_is_quick),
	};
	return cmocka_run_group_tests(tests, NULL, cleanup);
}
