/* The checks over proofs of real handshakes: every fault by itself, every bit, every cut. */
#include "accord/check.h"

#include "stage.h"
#include "tls/extension.h"
#include "tls/handshake.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>

#include <cmocka.h>

#define MAX_MESSAGES 12

static struct cast cast;

/* A proof that passed, with what it was judged against. Everything lives in the stage. */
struct exhibit {
	const char *name;
	struct stage stage;
	struct accord_leg1 leg1;
	struct bytes proof;
	struct forged server;
};

enum { PLAIN, RETRY, ALPN, SEALED, VERDICT, DEMAND, RSA2048, RSA4096, ED25519, CHAIN, EXHIBITS };
static struct exhibit exhibits[EXHIBITS];
static EVP_PKEY *approval_key;

static void exhibit_make(struct exhibit *exhibit, const char *name, struct script script, EVP_PKEY *server_key)
{
	*exhibit = (struct exhibit){.name = name};
	if (server_key) {
		struct forge_spec spec = forge_leaf_spec(STAGE_HOST, "DNS:" STAGE_HOST, &cast.web_root);
		spec.own_key = server_key;
		exhibit->server = forge(&spec);
		script.server = &exhibit->server;
		EVP_PKEY_free(server_key);
	}
	script.rule = ACCORD_REQUIRE;
	stage_play(&exhibit->stage, &cast, &script);
	const struct accord_outcome *outcome = stage_outcome(&exhibit->stage);
	if (outcome->path != ACCORD_PATH_PROVEN)
		fail_msg("%s: %s", name, outcome->judgement.error.text);
	exhibit->leg1 = outcome->leg1;
	exhibit->proof = outcome->proof;
}

static int set_up(void **state)
{
	(void)state;
	cast_make(&cast);
	approval_key = forge_key(FORGE_P256);
	exhibit_make(&exhibits[PLAIN], "plain", (struct script){0}, NULL);
	exhibit_make(&exhibits[RETRY], "retry", (struct script){.retry = true}, NULL);
	exhibit_make(&exhibits[ALPN], "alpn", (struct script){.alpn = true, .retry = true}, NULL);
	exhibit_make(&exhibits[SEALED], "sealed", (struct script){.sealed = true, .retry = true}, NULL);
	exhibit_make(&exhibits[VERDICT], "verdict",
		(struct script){.aware = true, .ruling = {.kind = ACCORD_RULING_ACCEPT, .statement = "fine"}}, NULL);
	exhibit_make(&exhibits[DEMAND], "demand",
		(struct script){.aware = true,
			.ruling = {.kind = ACCORD_RULING_DEMAND},
			.approval_key = approval_key,
			.enrolled = approval_key},
		NULL);
	exhibit_make(&exhibits[RSA2048], "rsa2048", (struct script){0}, EVP_RSA_gen(2048));
	exhibit_make(&exhibits[RSA4096], "rsa4096", (struct script){0}, EVP_RSA_gen(4096));
	exhibit_make(&exhibits[ED25519], "ed25519", (struct script){0}, forge_key(FORGE_ED25519));
	exhibit_make(&exhibits[CHAIN], "chain", (struct script){.proxies = 3, .alpn = true}, NULL);
	return 0;
}

static int tear_down(void **state)
{
	(void)state;
	for (size_t i = 0; i < EXHIBITS; i++) {
		stage_free(&exhibits[i].stage);
		forged_free(&exhibits[i].server);
	}
	EVP_PKEY_free(approval_key);
	cast_free(&cast);
	forge_cleanup();
	return 0;
}

static struct accord_judgement judge(struct exhibit *exhibit, const struct accord_leg1 *leg1, struct bytes proof)
{
	struct accord_trust trust = stage_trust(&exhibit->stage);
	struct accord_proven proven;
	struct accord_judgement judgement;
	bool ok = accord_check(leg1, proof, &trust, &proven, &judgement);
	assert_int_equal(ok, judgement.fault == ACCORD_OK);
	assert_int_equal(ok, judgement.error.text[0] == '\0');
	assert_int_equal(judgement.check, accord_fault_check(judgement.fault));
	return judgement;
}

static void expect(struct exhibit *exhibit, const struct accord_leg1 *leg1, struct bytes proof, enum accord_fault fault)
{
	struct accord_judgement judgement = judge(exhibit, leg1, proof);
	if (judgement.fault != fault)
		fail_msg("%s: %s and not %s: %s", exhibit->name, accord_fault_name(judgement.fault),
			accord_fault_name(fault), judgement.error.text);
}

static void real_proofs_pass_and_say_what_they_prove(void **state)
{
	(void)state;
	for (size_t i = 0; i < EXHIBITS; i++)
		expect(&exhibits[i], &exhibits[i].leg1, exhibits[i].proof, ACCORD_OK);
	const struct accord_proven *proven = &stage_outcome(&exhibits[CHAIN].stage)->proven;
	assert_int_equal(proven->proxies, 3);
	assert_string_equal(proven->proxy[2].who.name, "three.proxy.test");
	assert_true(bytes_equal(proven->proxy[1].purpose, bytes_str("looks for malware")));
	assert_true(bytes_equal(proven->host, bytes_str(STAGE_HOST)));
	assert_int_equal(proven->proxy[0].leg.scheme, 0x0403);
	assert_int_equal(proven->proxy[0].leg.suite, 0x1302);
	assert_int_equal(proven->proxy[0].leg.transcript_hash_len, 48);
	proven = &stage_outcome(&exhibits[RETRY].stage)->proven;
	assert_true(proven->proxy[0].leg.retried);
	assert_int_equal(proven->proxy[0].leg.group, 0x18);
	assert_true(stage_outcome(&exhibits[DEMAND].stage)->proven.demanded);
	assert_true(stage_outcome(&exhibits[VERDICT].stage)->proven.has_verdict);
}

/* Where the first proxy's own words for people stand: leg 1's CertificateVerify covers them, not the server's. */
static bool is_purpose(struct bytes proof, size_t at)
{
	struct accord_proof read;
	assert_int_equal(accord_proof_read(proof, &read), ACCORD_BODY_OK);
	return at >= 3 && at < 3 + read.purpose.len;
}

static void no_bit_can_be_turned(void **state)
{
	(void)state;
	size_t turned = 0;
	for (size_t i = 0; i < EXHIBITS; i++) {
		struct bytes proof = exhibits[i].proof;
		uint8_t *copy = malloc(proof.len);
		memcpy(copy, proof.data, proof.len);
		/* Every octet of one handshake with all that can be in it, and a sample of the others. */
		for (size_t at = i == SEALED ? 0 : i % 13; at < proof.len; at += i == SEALED ? 1 : 13) {
			if (is_purpose(proof, at))
				continue;
			uint8_t bit = (uint8_t)(1U << ((at + i) % 8));
			copy[at] ^= bit;
			if (judge(&exhibits[i], &exhibits[i].leg1, bytes_of(copy, proof.len)).fault == ACCORD_OK)
				fail_msg("%s: bit 0x%02x of octet %zu", exhibits[i].name, bit, at);
			copy[at] ^= bit;
			turned++;
		}
		free(copy);
	}
	assert_true(turned > 2500);
}

static void no_cut_is_a_proof(void **state)
{
	(void)state;
	for (size_t i = 0; i < EXHIBITS; i++) {
		for (size_t len = 0; len < exhibits[i].proof.len; len++) {
			/* A copy of that length, so that a sanitizer sees what is read behind it. */
			uint8_t *copy = malloc(len + 1);
			memcpy(copy, exhibits[i].proof.data, len);
			struct accord_judgement judgement = judge(&exhibits[i], &exhibits[i].leg1, bytes_of(copy, len));
			assert_int_equal(judgement.check, 2);
			free(copy);
		}
	}
}

static void no_proof_fits_another_connection(void **state)
{
	(void)state;
	for (size_t i = 0; i < EXHIBITS; i++) {
		for (size_t j = 0; j < EXHIBITS; j++) {
			if (i != j)
				assert_int_not_equal(
					judge(&exhibits[i], &exhibits[i].leg1, exhibits[j].proof).fault, ACCORD_OK);
		}
	}
}

static void check_1_leg1(void **state)
{
	(void)state;
	struct exhibit *plain = &exhibits[PLAIN];
	struct accord_leg1 leg1 = plain->leg1;
	leg1.version = TLS_VERSION_12;
	expect(plain, &leg1, plain->proof, ACCORD_LEG1_VERSION);
	leg1 = plain->leg1;
	leg1.resumed = true;
	expect(plain, &leg1, plain->proof, ACCORD_LEG1_RESUMED);
	leg1 = plain->leg1;
	leg1.proxy.count = 0;
	expect(plain, &leg1, plain->proof, ACCORD_PROXY_CERTIFICATE);
	leg1.proxy.count = ACCORD_MAX_CERTS + 1;
	expect(plain, &leg1, plain->proof, ACCORD_PROXY_CERTIFICATE);
}

/* What the client did not offer, its proxy may not use. */
static void check_2_what_the_client_did_not_offer(void **state)
{
	(void)state;
	struct exhibit *plain = &exhibits[PLAIN];
	static const uint8_t other[] = {0x13, 0x03};
	struct accord_leg1 leg1 = plain->leg1;
	leg1.suites = bytes_of(other, 2);
	expect(plain, &leg1, plain->proof, ACCORD_SUITE);
	leg1 = plain->leg1;
	leg1.groups = BYTES_NONE;
	expect(plain, &leg1, plain->proof, ACCORD_GROUP);
	leg1 = plain->leg1;
	leg1.sigalgs = bytes_of("\x08\x04", 2);
	expect(plain, &leg1, plain->proof, ACCORD_SCHEME);
}

static void check_3_another_client(void **state)
{
	(void)state;
	struct exhibit *plain = &exhibits[PLAIN];
	struct accord_leg1 leg1 = plain->leg1;
	leg1.offer.client_nonce[31] ^= 1;
	expect(plain, &leg1, plain->proof, ACCORD_CLIENT_NONCE);
	leg1 = plain->leg1;
	leg1.offer.accepted_roles = ACCORD_WRITER;
	expect(plain, &leg1, plain->proof, ACCORD_ROLE);
	leg1 = plain->leg1;
	leg1.offer.has_approval = true;
	expect(plain, &leg1, plain->proof, ACCORD_APPROVAL_HASH);
	leg1 = plain->leg1;
	leg1.host = bytes_str("www.example.org");
	expect(plain, &leg1, plain->proof, ACCORD_NAME);
	leg1.host = BYTES_NONE;
	leg1.address = bytes_of("\x7f\0\0\1", 4);
	expect(plain, &leg1, plain->proof, ACCORD_NAME);
	leg1 = plain->leg1;
	leg1.alpn = bytes_str("h2");
	expect(plain, &leg1, plain->proof, ACCORD_PROTOCOL);
	leg1 = exhibits[DEMAND].leg1;
	leg1.offer.approval_hash[0] ^= 1;
	expect(&exhibits[DEMAND], &leg1, exhibits[DEMAND].proof, ACCORD_APPROVAL_HASH);
	leg1 = exhibits[CHAIN].leg1;
	leg1.offer.accepted_roles = 0;
	expect(&exhibits[CHAIN], &leg1, exhibits[CHAIN].proof, ACCORD_CLIENT_NONCE); /* the offer went along */
}

/* A proof taken apart, to be changed and put together again. */
struct workbench {
	struct accord_proof proof;
	struct bytes message[MAX_MESSAGES];
	size_t count;
	uint8_t memory[4][ACCORD_MAX_PROOF + 1024];
	unsigned next;
};

static struct workbench *open_proof(struct bytes body)
{
	struct workbench *bench = calloc(1, sizeof(*bench));
	struct handshake message;
	assert_int_equal(accord_proof_read(body, &bench->proof), ACCORD_BODY_OK);
	struct bytes rest = bench->proof.transcript;
	while (handshake_read(&rest, rest.len, &message) == HANDSHAKE_OK)
		bench->message[bench->count++] = message.whole;
	return bench;
}

static struct bytes close_proof(struct workbench *bench)
{
	static uint8_t transcript[ACCORD_MAX_PROOF + 1024];
	static uint8_t body[ACCORD_MAX_PROOF + 2048];
	struct writer w = writer_over(transcript, sizeof(transcript));
	for (size_t i = 0; i < bench->count; i++)
		writer_bytes(&w, bench->message[i]);
	assert_true(writer_done(&w, &bench->proof.transcript));
	w = writer_over(body, sizeof(body));
	accord_proof_write(&w, &bench->proof);
	return bytes_of(body, w.len);
}

static uint8_t type_of(const struct workbench *bench, size_t i)
{
	return bench->message[i].data[0];
}

/* The n-th message of this type. */
static size_t find(const struct workbench *bench, uint8_t type, size_t n)
{
	for (size_t i = 0; i < bench->count; i++) {
		if (type_of(bench, i) == type && n-- == 0)
			return i;
	}
	fail_msg("no message of type %u", type);
	return 0;
}

/* A copy of a message that may be changed. */
static uint8_t *own(struct workbench *bench, size_t i)
{
	uint8_t *copy = bench->memory[bench->next++ % 4];
	memcpy(copy, bench->message[i].data, bench->message[i].len);
	bench->message[i].data = copy;
	return copy;
}

/* Replaces a message by a new one. */
static void put(struct workbench *bench, size_t i, uint8_t type, struct bytes body)
{
	struct writer w = writer_over(bench->memory[bench->next++ % 4], sizeof(bench->memory[0]));
	writer_u8(&w, type);
	writer_u24(&w, (uint32_t)body.len);
	writer_bytes(&w, body);
	assert_true(writer_done(&w, &bench->message[i]));
}

/* Where the content of an extension of a ClientHello begins; its type stands four octets before. */
static size_t extension_at(struct bytes hello, uint16_t type)
{
	struct client_hello parsed;
	struct extension ext;
	assert_int_equal(client_hello_parse(bytes_of(hello.data + 4, hello.len - 4), &parsed), HELLO_OK);
	assert_true(extension_find(parsed.extensions, type, &ext));
	return (size_t)(ext.data.data - hello.data);
}

static void expect_changed(struct exhibit *exhibit, struct workbench *bench, enum accord_fault fault)
{
	expect(exhibit, &exhibit->leg1, close_proof(bench), fault);
	free(bench);
}

static void check_2_the_messages_and_their_order(void **state)
{
	(void)state;
	struct exhibit *plain = &exhibits[PLAIN];
	size_t count = 0;
	struct workbench *bench = open_proof(plain->proof);
	count = bench->count;
	free(bench);
	/* One left out, one twice, two swapped: of each. */
	for (size_t i = 0; i < count; i++) {
		bench = open_proof(plain->proof);
		for (size_t j = i; j + 1 < count; j++)
			bench->message[j] = bench->message[j + 1];
		bench->count--;
		expect_changed(plain, bench, ACCORD_MESSAGES);
		bench = open_proof(plain->proof);
		for (size_t j = count; j > i; j--)
			bench->message[j] = bench->message[j - 1];
		bench->count++;
		expect_changed(plain, bench, ACCORD_MESSAGES);
		for (size_t j = i + 1; j < count; j++) {
			bench = open_proof(plain->proof);
			struct bytes kept = bench->message[i];
			bench->message[i] = bench->message[j];
			bench->message[j] = kept;
			expect_changed(plain, bench, ACCORD_MESSAGES);
		}
	}
	bench = open_proof(plain->proof);
	put(bench, bench->count++, HANDSHAKE_FINISHED, bytes_str("0123456789abcdef0123456789abcdef"));
	expect_changed(plain, bench, ACCORD_MESSAGES);
	bench = open_proof(plain->proof);
	put(bench, find(bench, HANDSHAKE_CERTIFICATE, 0), HANDSHAKE_COMPRESSED_CERTIFICATE, bytes_str("0123456789"));
	expect_changed(plain, bench, ACCORD_CERTIFICATE_FORM);
	/* A retry without its second hellos, and a second retry. */
	struct exhibit *retry = &exhibits[RETRY];
	bench = open_proof(retry->proof);
	bench->message[2] = bench->message[4];
	expect_changed(retry, bench, ACCORD_MESSAGES);
	bench = open_proof(retry->proof);
	bench->message[3] = bench->message[1];
	expect_changed(retry, bench, ACCORD_MESSAGES);
}

static void check_2_hellos(void **state)
{
	(void)state;
	struct exhibit *plain = &exhibits[PLAIN];
	struct workbench *bench = open_proof(plain->proof);
	uint8_t *hello = own(bench, 0);
	size_t at = extension_at(bench->message[0], EXT_SUPPORTED_VERSIONS);
	hello[at + 1] = 0x03; /* TLS 1.2 and nothing else */
	hello[at + 2] = 0x03;
	expect_changed(plain, bench, ACCORD_LEG2_VERSION);
	bench = open_proof(plain->proof);
	hello = own(bench, 0);
	at = extension_at(bench->message[0], EXT_ENCRYPT_THEN_MAC);
	hello[at - 4] = 0;
	hello[at - 3] = EXT_EARLY_DATA;
	expect_changed(plain, bench, ACCORD_LEG2_PSK);
	bench = open_proof(plain->proof);
	hello = own(bench, 0);
	at = extension_at(bench->message[0], EXT_KEY_SHARE);
	hello[at - 3] = EXT_PRE_SHARED_KEY; /* the last extension */
	expect_changed(plain, bench, ACCORD_HELLO);
	/* ServerHello: suite, version, session id. */
	for (int i = 0; i < 3; i++) {
		bench = open_proof(plain->proof);
		hello = own(bench, 1);
		size_t suite = 4 + 2 + 32 + 1 + (size_t)hello[4 + 34];
		if (i == 0)
			hello[suite + 1] = 0x05;
		else if (i == 1)
			hello[4 + 2 + 32 + 1] ^= 1;
		else
			hello[suite] = 0xc0;
		expect_changed(plain, bench, i == 1 ? ACCORD_HELLO : ACCORD_SUITE);
	}
}

static void check_2_the_retry_and_the_hello_name_one_suite(void **state)
{
	(void)state;
	struct exhibit *retry = &exhibits[RETRY];
	struct workbench *bench = open_proof(retry->proof);
	uint8_t *hello = own(bench, 1);
	hello[4 + 2 + 32 + 1 + 32 + 1] = 0x01;
	expect_changed(retry, bench, ACCORD_SUITE);
	bench = open_proof(retry->proof);
	hello = own(bench, 1);
	hello[bench->message[1].len - 1] = 0x17; /* its last extension is key_share */
	struct accord_judgement judgement = judge(retry, &retry->leg1, close_proof(bench));
	assert_int_equal(judgement.check, 2);
	free(bench);
}

/* A Certificate message around these entries. */
static void put_certificates(struct workbench *bench, struct bytes der, size_t count, struct bytes extensions)
{
	static uint8_t body[ACCORD_MAX_PROOF];
	struct writer w = writer_over(body, sizeof(body));
	struct bytes done;
	writer_u8(&w, 0);
	size_t mark = writer_open(&w, 3);
	for (size_t i = 0; i < count; i++) {
		writer_u24(&w, (uint32_t)der.len);
		writer_bytes(&w, der);
		writer_vec16(&w, i + 1 == count ? extensions : BYTES_NONE);
	}
	writer_close(&w, mark, 3);
	assert_true(writer_done(&w, &done));
	put(bench, find(bench, HANDSHAKE_CERTIFICATE, 0), HANDSHAKE_CERTIFICATE, done);
}

static void check_2_certificates(void **state)
{
	(void)state;
	struct exhibit *plain = &exhibits[PLAIN];
	uint8_t memory[4096];
	struct bytes der = forge_der(cast.server.cert, memory, sizeof(memory));
	const struct {
		struct bytes der;
		size_t count;
		struct bytes extensions;
		enum accord_fault fault;
	} cases[] = {
		{der, 1, BYTES_NONE, ACCORD_SIGNATURE}, /* the very one: refused for the signature changed below */
		{der, ACCORD_MAX_CERTS, BYTES_NONE, ACCORD_SIGNATURE},
		{der, ACCORD_MAX_CERTS + 1, BYTES_NONE, ACCORD_CERTIFICATE_FORM},
		{der, 0, BYTES_NONE, ACCORD_CERTIFICATE_FORM},
		{bytes_str("no certificate"), 1, BYTES_NONE, ACCORD_CERTIFICATE_FORM},
		{der, 1, bytes_of("\0\x22\0\1\0", 5), ACCORD_CERTIFICATE_FORM},     /* delegated credential */
		{der, 2, bytes_of("\xff\xac\0\2\4\1", 6), ACCORD_CERTIFICATE_FORM}, /* a proof beside an issuer */
		{der, 1, bytes_of("\xff\xac\0\2\4\1", 6), ACCORD_PROOF_FORM},       /* a nested one that is none */
		{der, 1, bytes_of("\xff\xac\0\0", 4), ACCORD_PROOF_FORM},
		{der, 1, bytes_of("\xff\xac\0\2\4\2", 6), ACCORD_PROOF_FORM}, /* of another version */
	};
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct workbench *bench = open_proof(plain->proof);
		put_certificates(bench, cases[i].der, cases[i].count, cases[i].extensions);
		if (i == 0) {
			uint8_t *verify = own(bench, find(bench, HANDSHAKE_CERTIFICATE_VERIFY, 0));
			verify[bench->message[find(bench, HANDSHAKE_CERTIFICATE_VERIFY, 0)].len - 1] ^= 1;
		}
		expect_changed(plain, bench, cases[i].fault);
	}
}

static void check_2_encrypted_extensions(void **state)
{
	(void)state;
	struct exhibit *plain = &exhibits[PLAIN];
	const struct {
		struct bytes body;
		enum accord_fault fault;
	} cases[] = {
		{bytes_of("\0\4\0\0\0\0", 6), ACCORD_SIGNATURE}, /* well formed: only the hash differs */
		{bytes_of("\0\1\0", 3), ACCORD_HELLO}, {bytes_of("\0\5\0\x14\0\1\2", 7), ACCORD_CERTIFICATE_FORM},
		{bytes_of("\0\4\0\x2a\0\0", 6), ACCORD_LEG2_PSK},
		{bytes_of("\0\6\xff\xac\0\2\3\1", 8), ACCORD_VERDICT_FORM},
		{bytes_of("\0\6\xff\xac\0\2\3\2", 8), ACCORD_SIGNATURE}, /* another version is ignored */
	};
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct workbench *bench = open_proof(plain->proof);
		put(bench, find(bench, HANDSHAKE_ENCRYPTED_EXTENSIONS, 0), HANDSHAKE_ENCRYPTED_EXTENSIONS,
			cases[i].body);
		expect_changed(plain, bench, cases[i].fault);
	}
}

static void check_2_the_scheme_fits_the_key(void **state)
{
	(void)state;
	struct exhibit *plain = &exhibits[PLAIN];
	const struct {
		uint16_t scheme;
		enum accord_fault fault;
	} cases[] = {{0x0804, ACCORD_SCHEME_KEY}, {0x0503, ACCORD_SCHEME_KEY}, {0x0807, ACCORD_SCHEME_KEY},
		{0x0401, ACCORD_SCHEME}, {0x0203, ACCORD_SCHEME}, {0x1234, ACCORD_SCHEME}};
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct workbench *bench = open_proof(plain->proof);
		uint8_t *verify = own(bench, find(bench, HANDSHAKE_CERTIFICATE_VERIFY, 0));
		verify[4] = (uint8_t)(cases[i].scheme >> 8);
		verify[5] = (uint8_t)cases[i].scheme;
		expect_changed(plain, bench, cases[i].fault);
	}
}

static void check_3_the_introduction(void **state)
{
	(void)state;
	struct exhibit *plain = &exhibits[PLAIN];
	struct workbench *bench = open_proof(plain->proof);
	uint8_t *hello = own(bench, 0);
	size_t at = extension_at(bench->message[0], ACCORD_EXTENSION);
	hello[at - 4] = 0x5a;
	hello[at - 3] = 0x5b;
	expect_changed(plain, bench, ACCORD_INTRODUCTION_MISSING);
	bench = open_proof(plain->proof);
	hello = own(bench, 0);
	hello[at + 3] = 2; /* a version that does not exist: ignored, and so missing */
	expect_changed(plain, bench, ACCORD_INTRODUCTION_MISSING);
	bench = open_proof(plain->proof);
	hello = own(bench, 0);
	hello[at + 2] = ACCORD_VERDICT;
	expect_changed(plain, bench, ACCORD_INTRODUCTION_FORM);

	struct exhibit *retry = &exhibits[RETRY];
	bench = open_proof(retry->proof);
	hello = own(bench, 2);
	at = extension_at(bench->message[2], ACCORD_EXTENSION);
	hello[at + 4 + 32 + 2 + 40] ^= 1; /* the proxy's nonce */
	expect_changed(retry, bench, ACCORD_INTRODUCTION_DIFFERS);
	bench = open_proof(retry->proof);
	hello = own(bench, 2);
	at = extension_at(bench->message[2], EXT_SERVER_NAME);
	hello[at + 5] ^= 1;
	expect_changed(retry, bench, ACCORD_NAME);
}

static void check_3_the_seal(void **state)
{
	(void)state;
	struct exhibit *sealed = &exhibits[SEALED];
	struct workbench *bench = open_proof(sealed->proof);
	bench->proof.blind = BYTES_NONE;
	bench->proof.introduction = BYTES_NONE;
	expect_changed(sealed, bench, ACCORD_SEAL);
	bench = open_proof(sealed->proof);
	uint8_t blind[32];
	memcpy(blind, bench->proof.blind.data, sizeof(blind));
	blind[0] ^= 1;
	bench->proof.blind = bytes_of(blind, sizeof(blind));
	expect_changed(sealed, bench, ACCORD_SEAL);
	/* An opening for what was never sealed. */
	struct exhibit *plain = &exhibits[PLAIN];
	bench = open_proof(plain->proof);
	struct accord_proof other;
	assert_int_equal(accord_proof_read(sealed->proof, &other), ACCORD_BODY_OK);
	bench->proof.blind = other.blind;
	bench->proof.introduction = other.introduction;
	expect_changed(plain, bench, ACCORD_SEAL);
}

static bool no_proxy(void *ctx, const struct accord_chain *chain, struct accord_identity *who, struct error *err)
{
	(void)ctx, (void)chain;
	return error_set(err, "no rule names %s", who->name);
}

static bool no_server(
	void *ctx, const struct accord_chain *chain, struct bytes host, struct bytes address, struct error *err)
{
	(void)ctx, (void)chain, (void)host, (void)address, (void)err;
	return false;
}

static void checks_1_and_4_ask_the_client(void **state)
{
	(void)state;
	struct exhibit *plain = &exhibits[PLAIN];
	struct accord_trust trust = stage_trust(&plain->stage);
	struct accord_judgement judgement;
	struct accord_proven proven;
	trust.verify_proxy = no_proxy;
	assert_false(accord_check(&plain->leg1, plain->proof, &trust, &proven, &judgement));
	assert_int_equal(judgement.fault, ACCORD_PROXY_CHAIN);
	assert_string_equal(judgement.error.text, "leg 1: no rule names one.proxy.test");
	trust = stage_trust(&plain->stage);
	trust.verify_server = no_server;
	assert_false(accord_check(&plain->leg1, plain->proof, &trust, &proven, &judgement));
	assert_int_equal(judgement.fault, ACCORD_SERVER_CHAIN);
	assert_int_equal(judgement.leg, 2);
}

static bool unasked_proxy(void *ctx, const struct accord_chain *chain, struct accord_identity *who, struct error *err)
{
	(void)ctx, (void)chain, (void)who, (void)err;
	fail_msg("a signature was looked at before the structure");
	return false;
}

static void structure_comes_before_signatures(void **state)
{
	(void)state;
	struct exhibit *chain = &exhibits[CHAIN];
	struct accord_trust trust = stage_trust(&chain->stage);
	struct accord_judgement judgement;
	struct accord_proven proven;
	trust.verify_proxy = unasked_proxy;
	trust.verify_server = no_server;
	struct accord_leg1 leg1 = chain->leg1;
	leg1.alpn = bytes_str("http/1.1");
	assert_false(accord_check(&leg1, chain->proof, &trust, &proven, &judgement));
	assert_int_equal(judgement.fault, ACCORD_PROTOCOL);
}

static void every_fault_has_a_name_and_a_number(void **state)
{
	(void)state;
	for (int i = 1; i < ACCORD_INTERNAL; i++) {
		assert_in_range(accord_fault_check((enum accord_fault)i), 1, 6);
		assert_true(accord_fault_check((enum accord_fault)i) >= accord_fault_check((enum accord_fault)(i - 1)));
		for (int j = 0; j < i; j++)
			assert_string_not_equal(
				accord_fault_name((enum accord_fault)i), accord_fault_name((enum accord_fault)j));
	}
	assert_string_equal(accord_fault_name(ACCORD_FAULTS), "?");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(real_proofs_pass_and_say_what_they_prove),
		cmocka_unit_test(no_bit_can_be_turned),
		cmocka_unit_test(no_cut_is_a_proof),
		cmocka_unit_test(no_proof_fits_another_connection),
		cmocka_unit_test(check_1_leg1),
		cmocka_unit_test(check_2_what_the_client_did_not_offer),
		cmocka_unit_test(check_2_the_messages_and_their_order),
		cmocka_unit_test(check_2_hellos),
		cmocka_unit_test(check_2_the_retry_and_the_hello_name_one_suite),
		cmocka_unit_test(check_2_certificates),
		cmocka_unit_test(check_2_encrypted_extensions),
		cmocka_unit_test(check_2_the_scheme_fits_the_key),
		cmocka_unit_test(check_3_another_client),
		cmocka_unit_test(check_3_the_introduction),
		cmocka_unit_test(check_3_the_seal),
		cmocka_unit_test(checks_1_and_4_ask_the_client),
		cmocka_unit_test(structure_comes_before_signatures),
		cmocka_unit_test(every_fault_has_a_name_and_a_number),
	};
	return cmocka_run_group_tests(tests, set_up, tear_down);
}
