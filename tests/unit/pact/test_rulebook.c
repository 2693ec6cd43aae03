/* The rules of an aware server: what a file may say, and what becomes of a claim. */
#include "pact/rulebook.h"

#include "../pki/forge.h"

#include <openssl/evp.h>
#include <openssl/pem.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#define HEAD "anchors: anchors.pem\nclients: {alice: alice.pem, bob: bob.pem}\n"

static char alice[512], bob[512];
static uint8_t spki[2][128];
static size_t spki_len[2];

/* Files that the rules name; an RSA key under rsa.pem. */
static bool read_named(void *ctx, const char *path, size_t max, struct file_bytes *out, struct error *err)
{
	const char *text = strcmp(path, "/etc/overt/alice.pem") == 0  ? alice
	                   : strcmp(path, "/etc/overt/bob.pem") == 0  ? bob
	                   : strcmp(path, "/etc/overt/junk.pem") == 0 ? "junk"
	                                                              : NULL;
	(void)ctx;
	if (!text || strlen(text) > max)
		return error_set(err, "%s: no such file", path);
	out->len = strlen(text);
	out->data = (uint8_t *)strdup(text);
	return out->data != NULL;
}

static struct rulebook *rules(const char *text)
{
	const struct rulebook_source source = {.read = read_named};
	struct rulebook *book = NULL;
	struct error err = {""};
	if (!rulebook_read(&book, bytes_str(text), "/etc/overt/aware.yaml", &source, &err))
		fail_msg("%s", err.text);
	return book;
}

static void bad(const char *text, const char *says)
{
	const struct rulebook_source source = {.read = read_named};
	struct rulebook *book = NULL;
	struct error err = {""};
	assert_false(rulebook_read(&book, bytes_str(text), "/etc/overt/aware.yaml", &source, &err));
	if (!strstr(err.text, says))
		fail_msg("\"%s\" is not in \"%s\"", says, err.text);
}

static void make_key(char *pem, size_t cap, size_t number)
{
	EVP_PKEY *key = EVP_PKEY_Q_keygen(NULL, NULL, number ? "ED25519" : "EC", "P-256");
	BIO *bio = BIO_new(BIO_s_mem());
	unsigned char *der = spki[number];
	assert_int_equal(PEM_write_bio_PUBKEY(bio, key), 1);
	int len = BIO_read(bio, pem, (int)cap - 1);
	assert_true(len > 0);
	pem[len] = '\0';
	spki_len[number] = (size_t)i2d_PUBKEY(key, &der);
	BIO_free(bio);
	EVP_PKEY_free(key);
}

static int set_up(void **state)
{
	(void)state;
	make_key(alice, sizeof(alice), 0);
	make_key(bob, sizeof(bob), 1);
	return 0;
}

static struct accord_claim claim_of(uint8_t role, uint8_t purpose)
{
	struct accord_claim claim = {.introduced = true, .introduction = {.hops = 1, .purpose_code = purpose}};
	claim.introduction.hop[0].role = role;
	return claim;
}

static enum rulebook_action decided(const struct rulebook *book, const struct accord_claim *claim)
{
	struct rulebook_verdict verdict;
	rulebook_decide(book, claim, &verdict);
	assert_false(verdict.unknown);
	return verdict.action;
}

static void the_first_rule_that_fits_decides_and_else_the_default(void **state)
{
	(void)state;
	struct rulebook *book = rules("rules:\n"
				      "  - {match: {role: writer}, action: refuse, statement: no writers}\n"
				      "  - {name: scan, match: {purpose: [malware, 230]}, action: accept}\n"
				      "  - {match: {role: reader, purpose: caching}, action: ignore}\n");
	struct accord_claim claim = claim_of(ACCORD_WRITER, 1);
	struct rulebook_verdict verdict;
	rulebook_decide(book, &claim, &verdict);
	assert_int_equal(verdict.action, RULEBOOK_REFUSE);
	assert_string_equal(verdict.statement, "no writers");
	assert_string_equal(verdict.label, "aware.yaml:2");
	claim = claim_of(ACCORD_READER, 230);
	rulebook_decide(book, &claim, &verdict);
	assert_int_equal(verdict.action, RULEBOOK_ACCEPT);
	assert_string_equal(verdict.label, "aware.yaml:3 scan");
	claim = claim_of(ACCORD_READER, 5);
	assert_int_equal(decided(book, &claim), RULEBOOK_IGNORE);
	claim = claim_of(ACCORD_READER, 0);
	rulebook_decide(book, &claim, &verdict);
	assert_int_equal(verdict.action, RULEBOOK_REFUSE);
	assert_string_equal(verdict.label, "default");
	assert_int_equal(rulebook_rules(book), 3);
	rulebook_free(book);
}

static void one_writer_makes_the_list_a_writers(void **state)
{
	(void)state;
	struct rulebook *book = rules("rules:\n  - {match: {role: reader, max-hops: 2}, action: accept}\n");
	struct accord_claim claim = claim_of(ACCORD_READER, 0);
	claim.introduction.hops = 2;
	claim.introduction.hop[1].role = ACCORD_READER;
	assert_int_equal(decided(book, &claim), RULEBOOK_ACCEPT);
	claim.introduction.hop[0].role = ACCORD_WRITER;
	assert_int_equal(decided(book, &claim), RULEBOOK_REFUSE);
	claim.introduction.hop[0].role = ACCORD_READER;
	claim.introduction.hops = 3;
	claim.introduction.hop[2].role = ACCORD_READER;
	assert_int_equal(decided(book, &claim), RULEBOOK_REFUSE);
	rulebook_free(book);
}

static void a_rule_by_name_waits_for_the_certificate(void **state)
{
	(void)state;
	struct rulebook *book = rules(HEAD "default: accept\nrules:\n"
					   "  - {match: {proxy: One.Example, role: writer}, action: accept}\n"
					   "  - {match: {proxy: [two.example, one.example]}, action: refuse, "
					   "statement: not you}\n");
	struct accord_claim claim = claim_of(ACCORD_READER, 0);
	struct rulebook_verdict verdict;
	struct accord_ruling ruling;
	rulebook_decide(book, &claim, &verdict);
	assert_true(verdict.unknown);
	rulebook_ruling(&verdict, &ruling);
	assert_int_equal(ruling.kind, ACCORD_RULING_IDENTIFY);
	assert_string_equal(ruling.statement, ""); /* it may be another one */
	claim.identified = true;
	snprintf(claim.proxy.name, sizeof(claim.proxy.name), "one.example");
	assert_int_equal(decided(book, &claim), RULEBOOK_REFUSE);
	snprintf(claim.proxy.name, sizeof(claim.proxy.name), "three.example");
	assert_int_equal(decided(book, &claim), RULEBOOK_ACCEPT);
	rulebook_free(book);
}

static void a_proxy_is_named_by_pin_too(void **state)
{
	(void)state;
	struct rulebook *book = rules(HEAD "rules:\n  - match: {proxy: "
					   "0101010101010101010101010101010101010101010101010101010101010101}\n"
					   "    action: accept\n");
	struct accord_claim claim = claim_of(ACCORD_READER, 0);
	claim.identified = true;
	memset(claim.proxy.pin, 1, sizeof(claim.proxy.pin));
	assert_int_equal(decided(book, &claim), RULEBOOK_ACCEPT);
	claim.proxy.pin[31] = 2;
	assert_int_equal(decided(book, &claim), RULEBOOK_REFUSE);
	rulebook_free(book);
}

static void who_is_sealed_fits_only_what_speaks_of_that(void **state)
{
	(void)state;
	struct rulebook *book = rules("rules:\n  - {match: {role: [reader, writer]}, action: accept}\n");
	const struct accord_claim sealed = {.sealed = true};
	assert_int_equal(decided(book, &sealed), RULEBOOK_REFUSE);
	rulebook_free(book);
	book = rules("rules:\n  - {match: {sealed: true}, action: accept}\n");
	assert_int_equal(decided(book, &sealed), RULEBOOK_ACCEPT);
	struct accord_claim open = claim_of(ACCORD_READER, 0);
	assert_int_equal(decided(book, &open), RULEBOOK_REFUSE);
	rulebook_free(book);
}

static void keys_are_those_of_enrolled_clients_that_the_rule_lets_approve(void **state)
{
	(void)state;
	struct rulebook *book = rules(HEAD "default: approve\nrules:\n"
					   "  - {match: {role: writer}, action: approve, clients: [alice]}\n");
	struct accord_claim claim = claim_of(ACCORD_WRITER, 0);
	struct bytes one = bytes_of(spki[0], spki_len[0]), two = bytes_of(spki[1], spki_len[1]);
	assert_string_equal(rulebook_approver(book, &claim, one), "alice");
	assert_null(rulebook_approver(book, &claim, two));
	claim = claim_of(ACCORD_READER, 0);
	assert_string_equal(rulebook_approver(book, &claim, two), "bob");
	assert_null(rulebook_approver(book, &claim, bytes_str("another key")));
	assert_int_equal(rulebook_clients(book), 2);
	assert_string_equal(rulebook_anchors(book), "/etc/overt/anchors.pem");
	rulebook_keep(book);
	rulebook_free(book);
	rulebook_free(book);
}

static void what_makes_no_sense_is_refused_with_its_place(void **state)
{
	(void)state;
	bad("", "no rules in it");
	bad("[]", "aware.yaml:1:1: the rules must be a mapping");
	bad("rules: {}", "aware.yaml:1:8: \"rules\" must be a list");
	bad("role: reader",
		"aware.yaml:1:1: unknown key \"role\" in the rules; known: anchors, clients, default, rules");
	bad("default: maybe", "aware.yaml:1:10: unknown action \"maybe\"");
	bad("default: approve", "aware.yaml:1:10: approvals need \"anchors\" and \"clients\"");
	bad("rules:\n  - {action: accept}", "aware.yaml:2:5: a rule needs \"match\" and \"action\"");
	bad("rules:\n  - {match: {}, action: accept}", "a rule without a condition");
	bad("rules:\n  - {match: {role: root}, action: accept}", "aware.yaml:2:20: unknown role \"root\"");
	bad("rules:\n  - {match: {purpose: fun}, action: accept}", "unknown purpose \"fun\"");
	bad("rules:\n  - {match: {purpose: 256}, action: accept}", "unknown purpose \"256\"");
	bad("rules:\n  - {match: {max-hops: 5}, action: accept}", "a number of proxies from 1 to 4");
	bad("rules:\n  - {match: {sealed: true, role: reader}, action: accept}", "sealed stands alone");
	bad(HEAD "rules:\n  - {match: {sealed: true}, action: approve}", "nobody can approve");
	bad("rules:\n  - {match: {proxy: one.example}, action: accept}", "needs \"anchors\"");
	bad(HEAD "rules:\n  - {match: {proxy: one.example}, action: ignore}", "cannot be ignored any more");
	bad(HEAD "rules:\n  - {match: {proxy: 192.0.2.1}, action: accept}", "not by address");
	bad(HEAD "rules:\n  - {match: {role: reader}, action: approve, clients: carol}",
		"no client \"carol\" is enrolled");
	bad(HEAD "rules:\n  - {match: {role: reader}, action: accept, clients: alice}", "only with action: approve");
	bad("clients: {eve: none.pem}", "aware.yaml:1:16: /etc/overt/none.pem: no such file");
	bad("clients: {eve: junk.pem}", "aware.yaml:1:16: junk.pem: no public key of P-256 or Ed25519");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_first_rule_that_fits_decides_and_else_the_default),
		cmocka_unit_test(one_writer_makes_the_list_a_writers),
		cmocka_unit_test(a_rule_by_name_waits_for_the_certificate),
		cmocka_unit_test(a_proxy_is_named_by_pin_too),
		cmocka_unit_test(who_is_sealed_fits_only_what_speaks_of_that),
		cmocka_unit_test(keys_are_those_of_enrolled_clients_that_the_rule_lets_approve),
		cmocka_unit_test(what_makes_no_sense_is_refused_with_its_place),
	};
	return cmocka_run_group_tests(tests, set_up, NULL);
}
