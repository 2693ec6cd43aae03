/*
 * Writes docs/accord-vectors.md anew: plays one handshake of each kind, and one-octet changes of each. Not part of the
 * tests, which read the document (test_handshakes.c). From the root of the sources:
 *
 *	ninja -C BUILD tests/unit/accord/make_accord_vectors
 *	BUILD/tests/unit/accord/make_accord_vectors docs/accord-vectors.md
 */
#include "stage.h"
#include "tls/handshake.h"
#include "vectors.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>

#include <cmocka.h>

static struct cast cast;
static FILE *out;
static struct vector anchors;

static void set_cert(struct vector *vector, enum vector_input input, X509 *cert)
{
	uint8_t der[4096];
	vector_set(vector, input, forge_der(cert, der, sizeof(der)));
}

static void set_number(struct vector *vector, enum vector_input input, uint64_t value, size_t octets)
{
	uint8_t all[8];
	struct writer w = writer_over(all, sizeof(all));
	writer_u64(&w, value);
	vector_set(vector, input, bytes_of(all + sizeof(all) - octets, octets));
}

static void take_inputs(const struct stage *stage, struct vector *vector)
{
	const struct accord_outcome *outcome = stage_outcome(stage);
	const struct accord_leg1 *leg1 = &outcome->leg1;
	uint8_t offer[128];
	struct bytes body;
	struct writer w = writer_over(offer, sizeof(offer));
	accord_offer_write(&w, &leg1->offer);
	assert_true(writer_done(&w, &body));
	*vector = (struct vector){0};
	set_number(vector, VECTOR_AT, FORGE_NOW, 8);
	set_number(vector, VECTOR_LEG1_VERSION, leg1->version, 2);
	set_number(vector, VECTOR_LEG1_RESUMED, leg1->resumed, 1);
	vector_set(vector, VECTOR_SNI, leg1->host);
	vector_set(vector, VECTOR_ALPN, leg1->alpn);
	vector_set(vector, VECTOR_SUITES, leg1->suites);
	vector_set(vector, VECTOR_GROUPS, leg1->groups);
	vector_set(vector, VECTOR_SIGALGS, leg1->sigalgs);
	vector_set(vector, VECTOR_OFFER, body);
	assert_int_equal(leg1->proxy.count, 1);
	vector_set(vector, VECTOR_PROXY_CERTIFICATE, leg1->proxy.cert[0]);
	vector_set(vector, VECTOR_PROOF, outcome->proof);
	if (stage->script.approval_key)
		vector_set(vector, VECTOR_APPROVAL, accord_leg1_approval(stage->leg1[0]));
}

/* Where `part` begins in `whole`; the last time when `last`. */
static size_t find(struct bytes whole, struct bytes part, bool last)
{
	size_t found = whole.len;
	for (size_t i = 0; i + part.len <= whole.len && (last || found == whole.len); i++) {
		if (bytes_equal(bytes_of(whole.data + i, part.len), part))
			found = i;
	}
	return found;
}

/* One line: what becomes of the vector with the lowest bit of one octet turned. */
static void change(struct vector *vector, enum vector_input input, size_t offset)
{
	struct vector_result result;
	assert_true(offset < vector->input[input].len);
	vector->input[input].data[offset] ^= 1;
	vector_judge(vector, &anchors, &result);
	vector->input[input].data[offset] ^= 1;
	fprintf(out, "    change = %s %zu: %d %s leg %d\n", vector_input_name(input), offset, result.judgement.check,
		accord_fault_name(result.judgement.fault), result.judgement.leg);
}

static void change_found(struct vector *vector, struct bytes part, size_t offset, bool last)
{
	struct bytes proof = vector_get(vector, VECTOR_PROOF);
	size_t at = find(proof, part, last);
	if (at < proof.len)
		change(vector, VECTOR_PROOF, at + offset);
}

/* A value of the client's lists that the server chose: without it, it was not offered. */
static void change_chosen(struct vector *vector, enum vector_input input, uint16_t value)
{
	struct bytes list = vector_get(vector, input);
	uint16_t entry;
	for (size_t at = 1; bytes_u16(&list, &entry); at += 2) {
		if (entry == value)
			change(vector, input, at);
	}
}

/* CertificateVerify is the last message: its type, and the end of its signature. */
static void change_verify(struct vector *vector)
{
	struct bytes body = vector_get(vector, VECTOR_PROOF);
	struct accord_proof proof;
	struct handshake message = {0};
	assert_int_equal(accord_proof_read(body, &proof), ACCORD_BODY_OK);
	while (proof.transcript.len > 0)
		assert_int_equal(handshake_read(&proof.transcript, ACCORD_MAX_PROOF, &message), HANDSHAKE_OK);
	change(vector, VECTOR_PROOF, body.len - message.whole.len);
	change(vector, VECTOR_PROOF, body.len - 1);
}

/* What breaks each check, as far as one octet can. */
static void changes(struct vector *vector, const struct stage *stage)
{
	const struct accord_outcome *outcome = stage_outcome(stage);
	const struct script *script = &stage->script;
	const struct accord_hop *hop = &outcome->proven.proxy[0].hop;
	const struct forged *server = script->server ? script->server : &cast.server;
	uint8_t der[4096];
	struct bytes leaf = forge_der(server->cert, der, sizeof(der));
	change(vector, VECTOR_LEG1_VERSION, 1);
	change(vector, VECTOR_LEG1_RESUMED, 0);
	change(vector, VECTOR_AT, 4);
	change(vector, VECTOR_PROOF, 1);
	change_chosen(vector, VECTOR_SUITES, outcome->proven.proxy[0].leg.suite);
	change_chosen(vector, VECTOR_GROUPS, outcome->proven.proxy[0].leg.group);
	change_chosen(vector, VECTOR_SIGALGS, outcome->proven.proxy[0].leg.scheme);
	change(vector, VECTOR_OFFER, 2);
	change(vector, VECTOR_OFFER, 34);
	if (script->approval_key)
		change(vector, VECTOR_OFFER, 36);
	change_found(vector, bytes_of(hop->leaf_hash, ACCORD_HASH), 0, false);
	change_found(vector, bytes_of(hop->proxy_nonce, ACCORD_NONCE), 0, true);
	change_found(vector, bytes_str(STAGE_HOST), 0, false);
	if (script->alpn)
		change(vector, VECTOR_ALPN, 1);
	change(vector, VECTOR_PROXY_CERTIFICATE, vector->input[VECTOR_PROXY_CERTIFICATE].len - 1);
	change_found(vector, leaf, leaf.len - 1, true);
	change_verify(vector);
}

/* The verdict's decision, which stands before its nonce, the length of its statement and that. */
static void change_decision(struct vector *vector, const char *statement)
{
	struct bytes proof = vector_get(vector, VECTOR_PROOF);
	size_t at = find(proof, bytes_str(statement), false);
	assert_true(at > 34 && at < proof.len);
	change(vector, VECTOR_PROOF, at - 34);
}

static void tell_kind(const char *name, const char *text, const struct script *script)
{
	struct stage stage;
	struct vector vector;
	struct vector_result result;
	stage_play(&stage, &cast, script);
	take_inputs(&stage, &vector);
	vector_judge(&vector, &anchors, &result);
	assert_int_equal(result.passed, !script->push_on);
	assert_int_equal(result.judgement.fault, stage_outcome(&stage)->judgement.fault);
	fprintf(out, "\n## %s\n\n%s\n\n", name, text);
	vector_write(out, &vector);
	fprintf(out, "\nResult:\n\n");
	vector_tell(out, &result);
	fprintf(out, "\nChanges:\n\n");
	if (script->aware)
		change_decision(&vector, script->ruling.statement);
	if (result.passed)
		changes(&vector, &stage);
	vector_free(&vector);
	stage_free(&stage);
}

static void suite_sha256(SSL *ssl)
{
	assert_int_equal(SSL_set_ciphersuites(ssl, "TLS_AES_128_GCM_SHA256"), 1);
}

static void suite_chacha(SSL *ssl)
{
	assert_int_equal(SSL_set_ciphersuites(ssl, "TLS_CHACHA20_POLY1305_SHA256"), 1);
}

static void level_1(void)
{
	tell_kind("open", "Level 1: an unaware server with a P-256 key; suite with SHA-384.",
		&(struct script){.rule = ACCORD_REQUIRE});
	tell_kind("retry", "The server asks for another group by HelloRetryRequest; ALPN; suite with SHA-256.",
		&(struct script){.rule = ACCORD_REQUIRE, .retry = true, .alpn = true, .tune_leg2 = suite_sha256});
	tell_kind("sealed", "The introduction is sealed: the server gets a commitment.",
		&(struct script){.rule = ACCORD_REQUIRE, .sealed = true, .tune_leg2 = suite_chacha});
	struct forge_spec spec = forge_leaf_spec(STAGE_HOST, "DNS:" STAGE_HOST, &cast.web_root);
	spec.key = FORGE_RSA2048;
	struct forged server = forge(&spec);
	tell_kind("rsa", "A server with an RSA key of 2048 bits, signing with RSASSA-PSS.",
		&(struct script){.rule = ACCORD_REQUIRE, .server = &server});
	forged_free(&server);
	tell_kind("two-proxies", "The first proxy's proof holds the second's.",
		&(struct script){.rule = ACCORD_REQUIRE, .proxies = 2, .alpn = true});
}

static void level_2(void)
{
	EVP_PKEY *key = forge_key(FORGE_P256);
	tell_kind("accepted", "Level 2: an aware server accepts.",
		&(struct script){.rule = ACCORD_REQUIRE,
			.aware = true,
			.ruling = {.kind = ACCORD_RULING_ACCEPT, .statement = "readers are welcome"}});
	tell_kind("refused", "An aware server refuses, and the proxy shows its handshake all the same.",
		&(struct script){.rule = ACCORD_REQUIRE,
			.aware = true,
			.ruling = {.kind = ACCORD_RULING_REFUSE, .statement = "no readers here"},
			.push_on = true});
	tell_kind("demanded",
		"Level 2 with approval: the server demands one. `approval` is what the client then signs: it\n"
		"verifies with the key it holds over `approval_digest` (docs/accord.md, 7), the key is the one whose\n"
		"hash the introduction carries, and with any octet of it changed the server refuses it.",
		&(struct script){.rule = ACCORD_REQUIRE,
			.aware = true,
			.ruling = {.kind = ACCORD_RULING_DEMAND, .statement = "if the client approves"},
			.approval_key = key,
			.enrolled = key});
	EVP_PKEY_free(key);
}

static const char head[] =
	"# Accord: handshakes to verify\n"
	"\n"
	"One fixed handshake of each kind, for whoever writes a verifier of docs/accord.md. A section holds what the "
	"client\n"
	"knows, the proof it is shown, what must come of judging it (Section 5 there), and changes that must be "
	"refused.\n"
	"\n"
	"- Values that begin on the line after their name are base64; `at` (seconds since 1970, the time to assume) "
	"is\n"
	"  decimal; `sni`, `alpn`, names and texts stand as they are; other values are hex. What is not there is "
	"empty.\n"
	"- `suites`, `groups` and `sigalgs` are the lists of the client's ClientHello on leg 1, without their "
	"lengths.\n"
	"  `offer` is the body that it sent, nonce and accepted roles in it. `proxy_certificate` is all that the "
	"proxy\n"
	"  shows on leg 1, `proof` the body in its entry. Every server and proxy shows one certificate.\n"
	"- Only the two anchors below are trusted, whatever name a proxy has, and the server's certificate must name "
	"`sni`.\n"
	"- `result` is number, name and leg of the check that failed, or `0 ok`. `legN_introduction` is the body that "
	"the\n"
	"  party at the end of leg N was given, open or sealed; `legN_transcript_hash` is what its CertificateVerify "
	"signs\n"
	"  (RFC 8446, 4.4.3); `approval_digest` is SHA-256 of the last leg's messages.\n"
	"- `change = INPUT OFFSET: RESULT`: with the lowest bit of that octet (from 0) turned, judging ends with this "
	"result.\n"
	"\n"
	"The keys were thrown away. Made by `tests/unit/accord/make_vectors.c`, verified by\n"
	"`tests/unit/accord/test_handshakes.c`.\n"
	"\n"
	"## Anchors\n"
	"\n";

static char **arguments;

static void the_document_is_written(void **state)
{
	(void)state;
	cast_make(&cast);
	out = fopen(arguments[1], "w");
	assert_non_null(out);
	set_cert(&anchors, VECTOR_ACCORD_ANCHOR, cast.accord_root.cert);
	set_cert(&anchors, VECTOR_WEB_ROOT, cast.web_root.cert);
	fputs(head, out);
	vector_write(out, &anchors);
	level_1();
	level_2();
	vector_free(&anchors);
	assert_int_equal(fclose(out), 0);
	cast_free(&cast);
	forge_cleanup();
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {cmocka_unit_test(the_document_is_written)};
	arguments = argv;
	if (argc != 2) {
		fprintf(stderr, "usage: make_accord_vectors FILE\n");
		return 2;
	}
	return cmocka_run_group_tests(tests, NULL, NULL);
}
