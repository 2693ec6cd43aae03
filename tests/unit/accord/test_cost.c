/* What a hostile proof can cost: at most 10 ms of CPU and 1 MB of memory, whatever is in its 48 KiB. */
#include "accord/check.h"

#include "stage.h"
#include "tls/extension.h"
#include "tls/handshake.h"

#include <malloc.h>
#include <openssl/crypto.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <time.h>

#include <cmocka.h>

#if defined(__SANITIZE_ADDRESS__)
#define LIMIT_NS 100000000 /* sanitizers make everything several times dearer */
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define LIMIT_NS 100000000
#endif
#endif
#ifndef LIMIT_NS
#define LIMIT_NS 10000000
#endif
#define LIMIT_MEMORY ((size_t)1024 * 1024)

static struct cast cast;
static size_t held, peak;

/* Memory of libcrypto, which is all that the checks take. The size stands before each piece. */
static void *count_malloc(size_t size, const char *file, int line)
{
	(void)file, (void)line;
	size_t *piece = malloc(size + 16);
	if (!piece)
		return NULL;
	piece[0] = size;
	held += size;
	peak = held > peak ? held : peak;
	return piece + 2;
}

static void count_free(void *memory, const char *file, int line)
{
	(void)file, (void)line;
	if (!memory)
		return;
	size_t *piece = (size_t *)memory - 2;
	held -= piece[0];
	free(piece);
}

static void *count_realloc(void *memory, size_t size, const char *file, int line)
{
	void *fresh = size > 0 ? count_malloc(size, file, line) : NULL;
	if (memory && fresh) {
		size_t old = ((size_t *)memory - 2)[0];
		memcpy(fresh, memory, old < size ? old : size);
	}
	if (fresh || size == 0)
		count_free(memory, file, line);
	return fresh;
}

static int set_up(void **state)
{
	(void)state;
	cast_make(&cast);
	return 0;
}

static int tear_down(void **state)
{
	(void)state;
	cast_free(&cast);
	forge_cleanup();
	return 0;
}

static bool yes_proxy(void *ctx, const struct accord_chain *chain, struct accord_identity *who, struct error *err)
{
	(void)ctx, (void)chain, (void)who, (void)err;
	return true;
}

static bool yes_server(
	void *ctx, const struct accord_chain *chain, struct bytes host, struct bytes address, struct error *err)
{
	(void)ctx, (void)chain, (void)host, (void)address, (void)err;
	return true;
}

static uint64_t cpu_ns(void)
{
	struct timespec t;
	clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
	return (uint64_t)t.tv_sec * 1000000000 + (uint64_t)t.tv_nsec;
}

/* Checks it a few times: the quickest counts, since others use the machine too. */
static void measure(const char *name, const struct accord_leg1 *leg1, struct bytes proof, enum accord_fault fault)
{
	const struct accord_trust trust = {.verify_proxy = yes_proxy, .verify_server = yes_server};
	struct accord_proven proven;
	struct accord_judgement judgement;
	uint64_t best = UINT64_MAX;
	peak = held;
	size_t before = held;
	for (int i = 0; i < 5; i++) {
		uint64_t start = cpu_ns();
		bool ok = accord_check(leg1, proof, &trust, &proven, &judgement);
		uint64_t took = cpu_ns() - start;
		best = took < best ? took : best;
		assert_int_equal(ok, judgement.fault == ACCORD_OK);
	}
	print_message("# %s: %zu octets, %s, %.2f ms, %zu KiB\n", name, proof.len, accord_fault_name(judgement.fault),
		(double)best / 1e6, (peak - before) / 1024);
	if (fault != ACCORD_INTERNAL)
		assert_string_equal(accord_fault_name(judgement.fault), accord_fault_name(fault));
	assert_true(best < LIMIT_NS);
	assert_true(peak - before < LIMIT_MEMORY);
}

static void four_proxies_with_the_dearest_keys(void **state)
{
	(void)state;
	struct cast dear = cast;
	struct forge_spec spec = forge_leaf_spec(STAGE_HOST, "DNS:" STAGE_HOST, &cast.web_root);
	static const char *const names[] = {"one.proxy.test", "two.proxy.test", "three.proxy.test", "four.proxy.test"};
	spec.own_key = EVP_EC_gen("P-521");
	dear.server = forge(&spec);
	for (size_t i = 0; i < ACCORD_MAX_HOPS; i++) {
		struct forge_spec proxy = cast_proxy_spec(&cast, names[i]);
		proxy.own_key = spec.own_key;
		dear.proxy[i] = forge(&proxy);
	}
	struct stage stage;
	stage_play(&stage, &dear, &(struct script){.rule = ACCORD_REQUIRE, .proxies = 4, .retry = true});
	const struct accord_outcome *outcome = stage_outcome(&stage);
	assert_int_equal(outcome->path, ACCORD_PATH_PROVEN);
	measure("four P-521", &outcome->leg1, outcome->proof, ACCORD_OK);
	stage_free(&stage);
	for (size_t i = 0; i < ACCORD_MAX_HOPS; i++)
		forged_free(&dear.proxy[i]);
	forged_free(&dear.server);
	EVP_PKEY_free(spec.own_key);
}

static uint8_t memory[3][ACCORD_MAX_PROOF + 4096];

static struct bytes message_of(uint8_t *out, uint8_t type, struct bytes body)
{
	struct writer w = writer_over(out, ACCORD_MAX_PROOF + 4096);
	struct bytes done;
	writer_u8(&w, type);
	writer_u24(&w, (uint32_t)body.len);
	writer_bytes(&w, body);
	assert_true(writer_done(&w, &done));
	return done;
}

/* A real proof with the message of this type replaced, or (type 0) with this one before all. */
static struct bytes replaced(struct bytes proof, uint8_t type, struct bytes message)
{
	struct accord_proof read;
	struct handshake each;
	assert_int_equal(accord_proof_read(proof, &read), ACCORD_BODY_OK);
	static uint8_t transcript[2 * ACCORD_MAX_PROOF];
	static uint8_t out[2 * ACCORD_MAX_PROOF];
	struct writer w = writer_over(transcript, sizeof(transcript));
	struct bytes rest = read.transcript;
	while (handshake_read(&rest, rest.len, &each) == HANDSHAKE_OK)
		writer_bytes(&w, each.type == type ? message : each.whole);
	assert_true(writer_done(&w, &read.transcript));
	w = writer_over(out, sizeof(out));
	accord_proof_write(&w, &read);
	return bytes_of(out, w.len);
}

#define ROOM ((size_t)46000)

/* A ClientHello with thousands of extensions of no octets. */
static struct bytes many_extensions(void)
{
	struct writer w = writer_over(memory[0], sizeof(memory[0]));
	struct bytes body;
	uint8_t random[32] = {0};
	writer_u16(&w, 0x0303);
	writer_bytes(&w, bytes_of(random, 32));
	writer_u8(&w, 0);
	writer_vec16(&w, bytes_of("\x13\x01", 2));
	writer_vec8(&w, bytes_of("\0", 1));
	size_t mark = writer_open(&w, 2);
	for (uint16_t type = 0x6000; w.len < ROOM; type++) {
		writer_u16(&w, type);
		writer_u16(&w, 0);
	}
	writer_close(&w, mark, 2);
	assert_true(writer_done(&w, &body));
	return message_of(memory[1], HANDSHAKE_CLIENT_HELLO, body);
}

/* A Certificate message of as many entries as `der` fits in, the last of them with `extensions`. */
static struct bytes many_certificates(struct bytes der, size_t most)
{
	struct writer w = writer_over(memory[0], sizeof(memory[0]));
	struct bytes body;
	writer_u8(&w, 0);
	size_t mark = writer_open(&w, 3);
	for (size_t i = 0; i < most && w.len + der.len + 5 < ROOM; i++) {
		writer_u24(&w, (uint32_t)der.len);
		writer_bytes(&w, der);
		writer_u16(&w, 0);
	}
	writer_close(&w, mark, 3);
	assert_true(writer_done(&w, &body));
	return message_of(memory[1], HANDSHAKE_CERTIFICATE, body);
}

/* Our extension with thousands of bodies of kinds that nobody knows, which repeat soon. */
static struct bytes many_bodies(void)
{
	struct writer w = writer_over(memory[2], sizeof(memory[2]));
	struct bytes list;
	for (unsigned kind = 0; w.len < ROOM / 2; kind++) {
		writer_u16(&w, 2);
		writer_u8(&w, (uint8_t)(8 + kind % 240));
		writer_u8(&w, 1);
	}
	assert_true(writer_done(&w, &list));
	return list;
}

/* A leaf with thousands of names: it must be decoded to see its key. */
static struct bytes leaf_with_many_names(uint8_t *out, size_t cap)
{
	char *names = calloc(64, 1024);
	size_t len = 0;
	for (unsigned i = 0; len < 24000; i++)
		len += (size_t)sprintf(names + len, "%sDNS:n%u.test", i ? "," : "", i);
	struct forge_spec spec = forge_leaf_spec("many", names, &cast.web_root);
	struct forged leaf = forge(&spec);
	struct bytes der = forge_der(leaf.cert, out, cap);
	forged_free(&leaf);
	free(names);
	return der;
}

static void large_proofs_of_every_kind(void **state)
{
	(void)state;
	struct stage stage;
	stage_play(&stage, &cast, &(struct script){.rule = ACCORD_REQUIRE});
	const struct accord_outcome *outcome = stage_outcome(&stage);
	const struct accord_leg1 *leg1 = &outcome->leg1;
	struct bytes proof = outcome->proof;
	measure("as it is", leg1, proof, ACCORD_OK);
	measure("extensions", leg1, replaced(proof, HANDSHAKE_CLIENT_HELLO, many_extensions()), ACCORD_LEG2_VERSION);
	measure("certificates of one octet", leg1,
		replaced(proof, HANDSHAKE_CERTIFICATE, many_certificates(bytes_of("0", 1), SIZE_MAX)),
		ACCORD_CERTIFICATE_FORM);
	static uint8_t der[ACCORD_MAX_PROOF];
	struct bytes leaf = leaf_with_many_names(der, sizeof(der));
	measure("one large leaf", leg1, replaced(proof, HANDSHAKE_CERTIFICATE, many_certificates(leaf, 1)),
		ACCORD_SIGNATURE);
	memset(der, 0x30, sizeof(der));
	measure("a leaf of nothing but sequences", leg1,
		replaced(proof, HANDSHAKE_CERTIFICATE, many_certificates(bytes_of(der, 40000), 1)),
		ACCORD_CERTIFICATE_FORM);
	memset(der, 0, sizeof(der));
	measure("empty messages", leg1, replaced(proof, HANDSHAKE_CERTIFICATE_VERIFY, bytes_of(der, 40000)),
		ACCORD_MESSAGES);
	(void)many_bodies;
	stage_free(&stage);
}

static void thousands_of_bodies_in_one_extension(void **state)
{
	(void)state;
	struct accord_list list;
	uint64_t start = cpu_ns();
	assert_int_equal(accord_list_read(many_bodies(), &list), ACCORD_BODY_DUPLICATE);
	assert_true(cpu_ns() - start < LIMIT_NS);
}

static void a_proof_over_48_kib_is_not_looked_at(void **state)
{
	(void)state;
	struct accord_leg1 leg1 = {.version = 0x0304, .proxy = {.count = 1}};
	uint8_t *large = calloc(1, ACCORD_MAX_PROOF + 1);
	large[0] = ACCORD_PROOF;
	large[1] = ACCORD_VERSION;
	measure("49153 octets", &leg1, bytes_of(large, ACCORD_MAX_PROOF + 1), ACCORD_PROOF_SIZE);
	free(large);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(four_proxies_with_the_dearest_keys),
		cmocka_unit_test(large_proofs_of_every_kind),
		cmocka_unit_test(thousands_of_bodies_in_one_extension),
		cmocka_unit_test(a_proof_over_48_kib_is_not_looked_at),
	};
	if (CRYPTO_set_mem_functions(count_malloc, count_realloc, count_free) != 1)
		return 1;
	return cmocka_run_group_tests(tests, set_up, tear_down);
}
