/* Client, proxy and server over real TLS, in a proxy's order: hello held, leg 2, then the answer on leg 1. */
#include "stage.h"

#include <openssl/rsa.h>

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>

#include <cmocka.h>

static struct cast cast;

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

static void play_proven(const struct script *script, size_t proxies)
{
	struct stage stage;
	stage_play(&stage, &cast, script);
	const struct accord_outcome *outcome = stage_outcome(&stage);
	if (outcome->path != ACCORD_PATH_PROVEN)
		fail_msg("%s: %s (%s)", accord_fault_name(outcome->judgement.fault), outcome->judgement.error.text,
			stage.error.text);
	assert_true(stage.leg1_up && stage.leg2_up);
	assert_true(accord_client_passed(stage.client));
	assert_int_equal(stage.reports, 1);
	assert_int_equal(outcome->proven.proxies, proxies);
	assert_int_equal(outcome->proven.sealed, script->sealed);
	assert_string_equal(outcome->proven.proxy[0].who.name, "one.proxy.test");
	stage_free(&stage);
}

/* Plays what must be refused with this fault. */
static void play_refused(const struct script *script, enum accord_fault fault)
{
	struct stage stage;
	stage_play(&stage, &cast, script);
	const struct accord_outcome *outcome = stage_outcome(&stage);
	if (outcome->judgement.fault != fault)
		fail_msg("%s and not %s: %s (%s)", accord_fault_name(outcome->judgement.fault),
			accord_fault_name(fault), outcome->judgement.error.text, stage.error.text);
	assert_int_equal(outcome->path, ACCORD_PATH_REFUSED);
	assert_false(stage.leg1_up);
	assert_false(accord_client_passed(stage.client));
	assert_int_equal(stage.reports, 1);
	stage_free(&stage);
}

static void an_unaware_server_proves(void **state)
{
	(void)state;
	play_proven(&(struct script){.rule = ACCORD_REQUIRE}, 1);
	play_proven(&(struct script){.rule = ACCORD_PREFER}, 1);
}

static void every_kind_of_server_proves(void **state)
{
	(void)state;
	const enum forge_key keys[] = {FORGE_P256, FORGE_P384, FORGE_RSA2048, FORGE_ED25519};
	for (size_t i = 0; i < sizeof(keys) / sizeof(keys[0]); i++) {
		struct forge_spec spec = forge_leaf_spec(STAGE_HOST, "DNS:" STAGE_HOST, &cast.web_root);
		spec.key = keys[i];
		struct forged server = forge(&spec);
		for (unsigned bits = 0; bits < 4; bits++)
			play_proven(&(struct script){.rule = ACCORD_REQUIRE,
					    .server = &server,
					    .retry = bits & 1,
					    .alpn = bits & 2,
					    .retry_leg1 = bits == 3,
					    .sealed = bits == 2},
				1);
		forged_free(&server);
	}
}

static void an_rsa_key_of_4096_bits_is_the_largest(void **state)
{
	(void)state;
	struct forge_spec spec = forge_leaf_spec(STAGE_HOST, "DNS:" STAGE_HOST, &cast.web_root);
	spec.own_key = EVP_RSA_gen(4096);
	struct forged server = forge(&spec);
	play_proven(&(struct script){.rule = ACCORD_REQUIRE, .server = &server}, 1);
	forged_free(&server);
	EVP_PKEY_free(spec.own_key);
	spec.own_key = EVP_RSA_gen(4104);
	server = forge(&spec);
	play_refused(&(struct script){.rule = ACCORD_REQUIRE, .server = &server}, ACCORD_SCHEME_KEY);
	forged_free(&server);
	EVP_PKEY_free(spec.own_key);
}

/* Signature schemes that later versions of OpenSSL offer by themselves; 3.0 has none of these keys. */
static void keys_of_later_libraries_prove_where_there_are_any(void **state)
{
	(void)state;
	const char *const names[] = {"ML-DSA-44", "ML-DSA-65", "ML-DSA-87"};
	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
		struct forge_spec spec = forge_leaf_spec(STAGE_HOST, "DNS:" STAGE_HOST, &cast.web_root);
		spec.own_key = EVP_PKEY_Q_keygen(NULL, NULL, names[i]);
		if (!spec.own_key)
			continue;
		struct forged server = forge(&spec);
		play_proven(&(struct script){.rule = ACCORD_REQUIRE, .server = &server, .retry = i == 1}, 1);
		forged_free(&server);
		EVP_PKEY_free(spec.own_key);
	}
}

static void up_to_four_proxies_are_proven(void **state)
{
	(void)state;
	for (size_t i = 2; i <= ACCORD_MAX_HOPS; i++) {
		play_proven(&(struct script){.rule = ACCORD_REQUIRE, .proxies = i}, i);
		play_proven(&(struct script){.rule = ACCORD_REQUIRE, .proxies = i, .alpn = true, .retry = true}, i);
	}
	play_proven(&(struct script){.rule = ACCORD_REQUIRE, .proxies = 2, .sealed = true}, 2);
	struct stage stage;
	stage_play(&stage, &cast, &(struct script){.rule = ACCORD_REQUIRE, .proxies = 2});
	assert_true(accord_leg2_meets_proxy(stage.leg2[0]));
	assert_false(accord_leg2_meets_proxy(stage.leg2[1]));
	stage_free(&stage);
}

static void an_aware_server_accepts(void **state)
{
	(void)state;
	struct stage stage;
	stage_play(&stage, &cast,
		&(struct script){.rule = ACCORD_REQUIRE,
			.aware = true,
			.ruling = {.kind = ACCORD_RULING_ACCEPT, .statement = "welcome"}});
	const struct accord_outcome *outcome = stage_outcome(&stage);
	assert_int_equal(outcome->path, ACCORD_PATH_PROVEN);
	assert_true(outcome->proven.has_verdict);
	assert_true(bytes_equal(outcome->proven.verdict.statement, bytes_str("welcome")));
	assert_true(accord_server_passed(stage.server));
	const struct accord_claim *claim = accord_server_claim(stage.server);
	assert_non_null(claim);
	assert_memory_equal(claim->server_nonce, outcome->proven.verdict.server_nonce, ACCORD_NONCE);
	assert_memory_equal(claim->introduction.hop[0].leaf_hash, outcome->proven.proxy[0].hop.leaf_hash, ACCORD_HASH);
	assert_int_equal(claim->introduction.hop[0].role, ACCORD_READER);
	stage_free(&stage);
	play_proven(&(struct script){.aware = true, .ruling = {.kind = ACCORD_RULING_SILENT}}, 1);
	play_proven(&(struct script){.aware = true, .sealed = true, .retry = true}, 1);
}

static void a_refusal_ends_at_the_proxy(void **state)
{
	(void)state;
	struct stage stage;
	stage_play(&stage, &cast,
		&(struct script){
			.aware = true, .ruling = {.kind = ACCORD_RULING_REFUSE, .statement = "no readers here"}});
	assert_int_equal(stage.leg2_result, ACCORD_LEG2_REFUSED);
	assert_non_null(accord_leg2_verdict(stage.leg2[0]));
	assert_true(bytes_equal(accord_leg2_verdict(stage.leg2[0])->statement, bytes_str("no readers here")));
	assert_false(stage.leg2_up);
	assert_false(accord_server_passed(stage.server));
	stage_free(&stage);
}

static void check_6_a_refusal_shown_as_a_proof_is_refused(void **state)
{
	(void)state;
	play_refused(&(struct script){.aware = true, .ruling = {.kind = ACCORD_RULING_REFUSE}, .push_on = true},
		ACCORD_VERDICT_REFUSED);
}

static void an_approval_joins_all_three(void **state)
{
	(void)state;
	EVP_PKEY *const keys[] = {forge_key(FORGE_P256), forge_key(FORGE_ED25519)};
	for (size_t i = 0; i < 8; i++) {
		struct stage stage;
		stage_play(&stage, &cast,
			&(struct script){.rule = ACCORD_REQUIRE,
				.aware = true,
				.retry = i & 2,
				.proxies = i & 4 ? 3 : 1,
				.ruling = {.kind = ACCORD_RULING_DEMAND},
				.approval_key = keys[i & 1],
				.enrolled = keys[i & 1]});
		const struct accord_claim *claim = accord_server_claim(stage.server);
		if (!stage.leg1_up || !stage.leg2_up || !claim || !claim->confirmed)
			fail_msg("%s; %s; %s", stage.error.text, claim ? claim->fault.text : "no claim",
				stage_outcome(&stage)->judgement.error.text);
		assert_true(accord_client_passed(stage.client));
		assert_true(stage_outcome(&stage)->proven.demanded);
		assert_true(accord_server_passed(stage.server));
		assert_string_equal(claim->proxy.name, i & 4 ? "three.proxy.test" : "one.proxy.test");
		stage_free(&stage);
	}
	EVP_PKEY_free(keys[0]);
	EVP_PKEY_free(keys[1]);
}

/* Plays a demand that is not met; the server must say why. */
static void play_unmet(const struct script *script, const char *why)
{
	struct stage stage;
	stage_play(&stage, &cast, script);
	assert_false(stage.leg2_up);
	assert_false(accord_server_passed(stage.server));
	const struct accord_claim *claim = accord_server_claim(stage.server);
	assert_non_null(claim);
	assert_false(claim->confirmed);
	if (why && !strstr(claim->fault.text, why))
		fail_msg("\"%s\" is not about: %s", claim->fault.text, why);
	stage_free(&stage);
}

static void a_demand_that_is_not_met_ends_the_connection(void **state)
{
	(void)state;
	EVP_PKEY *mine = forge_key(FORGE_P256);
	EVP_PKEY *other = forge_key(FORGE_P256);
	struct script script = {.aware = true, .ruling = {.kind = ACCORD_RULING_DEMAND}, .approval_key = mine};
	play_unmet(&script, "not enrolled");
	script.enrolled = other;
	play_unmet(&script, "not enrolled");
	script.enrolled = mine;
	script.approved = &cast.proxy[1];
	play_unmet(&script, "not the one introduced");
	script.approved = NULL;
	script.no_demand = true;
	play_unmet(&script, NULL);
	script.no_demand = false;
	script.approval_key = NULL;
	play_unmet(&script, NULL);
	EVP_PKEY_free(mine);
	EVP_PKEY_free(other);
}

static void nothing_is_approved_that_the_server_did_not_demand(void **state)
{
	(void)state;
	EVP_PKEY *key = forge_key(FORGE_P256);
	struct stage stage;
	stage_play(&stage, &cast, &(struct script){.rule = ACCORD_REQUIRE, .approval_key = key, .own_demand = true});
	assert_int_equal(stage_outcome(&stage)->path, ACCORD_PATH_PROVEN);
	assert_false(stage.leg1_up);
	assert_int_equal(accord_leg1_approval(stage.leg1[0]).len, 0);
	stage_free(&stage);
	EVP_PKEY_free(key);
}

static void the_server_itself_is_accepted(void **state)
{
	(void)state;
	struct stage stage;
	stage_play(
		&stage, &cast, &(struct script){.rule = ACCORD_REQUIRE, .direct = true, .aware = true, .retry = true});
	assert_int_equal(stage_outcome(&stage)->path, ACCORD_PATH_DIRECT);
	assert_true(stage.leg1_up);
	assert_true(accord_client_passed(stage.client));
	assert_int_equal(stage.reports, 1);
	assert_null(accord_server_claim(stage.server));
	stage_free(&stage);
}

static void a_minted_leaf_passes_only_where_preferred(void **state)
{
	(void)state;
	struct stage stage;
	stage_play(&stage, &cast, &(struct script){.rule = ACCORD_PREFER, .minted = true, .no_proof = true});
	assert_int_equal(stage_outcome(&stage)->path, ACCORD_PATH_LOCAL);
	assert_true(accord_client_passed(stage.client));
	stage_free(&stage);
	play_refused(&(struct script){.rule = ACCORD_REQUIRE, .minted = true, .no_proof = true}, ACCORD_OK);
	stage_play(&stage, &cast, &(struct script){.rule = ACCORD_PREFER, .minted = true, .leg1_tls12 = true});
	assert_int_equal(stage_outcome(&stage)->path, ACCORD_PATH_LOCAL);
	stage_free(&stage);
}

static void a_proxy_without_a_proof_is_refused(void **state)
{
	(void)state;
	play_refused(&(struct script){.rule = ACCORD_REQUIRE, .no_proof = true}, ACCORD_OK);
	play_refused(&(struct script){.rule = ACCORD_PREFER, .no_proof = true}, ACCORD_OK);
}

static void verify_nothing(SSL *ssl)
{
	SSL_set_verify(ssl, SSL_VERIFY_NONE, NULL);
}

static void a_program_that_verifies_nothing_is_still_protected(void **state)
{
	(void)state;
	play_refused(
		&(struct script){.rule = ACCORD_REQUIRE, .no_proof = true, .tune_client = verify_nothing}, ACCORD_OK);
	play_refused(
		&(struct script){.rule = ACCORD_REQUIRE, .server_name = "other.test", .tune_client = verify_nothing},
		ACCORD_NAME);
}

/* Plays with a proxy whose certificate is so. */
static void play_proxy_refused(const struct forge_spec *spec, enum accord_fault fault)
{
	struct forged leaf = forge(spec);
	play_refused(&(struct script){.rule = ACCORD_REQUIRE, .proxy = &leaf}, fault);
	forged_free(&leaf);
}

static void a_program_that_verifies_nothing_and_only_prefers_goes_on_as_before(void **state)
{
	(void)state;
	struct stage stage;
	stage_play(&stage, &cast,
		&(struct script){.rule = ACCORD_PREFER, .no_proof = true, .tune_client = verify_nothing});
	assert_int_equal(stage_outcome(&stage)->path, ACCORD_PATH_LOCAL);
	stage_free(&stage);
}

static void expect_another_name(SSL *ssl)
{
	SSL_set1_host(ssl, "mail.example.com");
}

static void a_name_that_the_program_expects_must_be_there_too(void **state)
{
	(void)state;
	struct forge_spec spec = forge_leaf_spec(STAGE_HOST, "DNS:" STAGE_HOST ",DNS:mail.example.com", &cast.web_root);
	struct forged server = forge(&spec);
	play_proven(&(struct script){.rule = ACCORD_REQUIRE, .server = &server, .tune_client = expect_another_name}, 1);
	play_refused(&(struct script){.rule = ACCORD_REQUIRE, .tune_client = expect_another_name}, ACCORD_SERVER_CHAIN);
	play_refused(
		&(struct script){
			.rule = ACCORD_REQUIRE, .tune_client = expect_another_name, .minted = true, .no_proof = true},
		ACCORD_OK);
	forged_free(&server);
}

/* As a program that connects to https://127.0.0.1/ does. */
static void expect_an_address(SSL *ssl)
{
	SSL_set_tlsext_host_name(ssl, NULL);
	SSL_set1_host(ssl, NULL);
	X509_VERIFY_PARAM_set1_ip_asc(SSL_get0_param(ssl), "127.0.0.1");
}

static void expect_nothing(SSL *ssl)
{
	SSL_set_tlsext_host_name(ssl, NULL);
	SSL_set1_host(ssl, NULL);
}

static void a_server_may_be_known_by_its_address(void **state)
{
	(void)state;
	struct forge_spec spec = forge_leaf_spec("address", "IP:127.0.0.1", &cast.web_root);
	struct forged server = forge(&spec);
	struct script script = {.rule = ACCORD_REQUIRE, .server = &server, .tune_client = expect_an_address};
	play_proven(&script, 1);
	script.server_name = STAGE_HOST;
	play_refused(&script, ACCORD_NAME);
	script.server_name = NULL;
	script.server = NULL;
	play_refused(&script, ACCORD_SERVER_CHAIN);
	script.tune_client = expect_nothing;
	play_refused(&script, ACCORD_NAME);
	forged_free(&server);
}

static void a_long_rsa_exponent_is_refused(void **state)
{
	(void)state;
	BIGNUM *exponent = BN_new();
	EVP_PKEY_CTX *ctx = EVP_PKEY_CTX_new_from_name(NULL, "RSA", NULL);
	struct forge_spec spec = forge_leaf_spec(STAGE_HOST, "DNS:" STAGE_HOST, &cast.web_root);
	assert_true(BN_set_bit(exponent, 64) && BN_set_bit(exponent, 0));
	assert_true(EVP_PKEY_keygen_init(ctx) == 1 && EVP_PKEY_CTX_set_rsa_keygen_bits(ctx, 2048) == 1);
	assert_true(EVP_PKEY_CTX_set1_rsa_keygen_pubexp(ctx, exponent) == 1);
	assert_int_equal(EVP_PKEY_generate(ctx, &spec.own_key), 1);
	struct forged server = forge(&spec);
	play_refused(&(struct script){.rule = ACCORD_REQUIRE, .server = &server}, ACCORD_SCHEME_KEY);
	forged_free(&server);
	EVP_PKEY_free(spec.own_key);
	EVP_PKEY_CTX_free(ctx);
	BN_free(exponent);
}

static void check_1_the_proxys_certificate(void **state)
{
	(void)state;
	struct forge_spec spec = cast_proxy_spec(&cast, "one.proxy.test");
	forge_extension(&spec, "extendedKeyUsage", "serverAuth,clientAuth,anyExtendedKeyUsage");
	play_proxy_refused(&spec, ACCORD_PROXY_PURPOSE);
	forge_extension(&spec, "extendedKeyUsage", NULL);
	play_proxy_refused(&spec, ACCORD_PROXY_PURPOSE);

	spec = cast_proxy_spec(&cast, "one.proxy.test");
	spec.until_s = spec.from_s + 7 * FORGE_DAY + 1;
	play_proxy_refused(&spec, ACCORD_PROXY_LIFETIME);

	spec = cast_proxy_spec(&cast, "one.proxy.test");
	spec.until_s = FORGE_NOW - 1;
	play_proxy_refused(&spec, ACCORD_PROXY_CHAIN);
	spec.until_s = FORGE_NOW + FORGE_DAY;
	spec.issuer = &cast.web_root;
	play_proxy_refused(&spec, ACCORD_PROXY_CHAIN);
	spec.issuer = &cast.minted_root;
	play_proxy_refused(&spec, ACCORD_PROXY_CHAIN);
}

static void leg2_with_tls12_proves_nothing(void **state)
{
	(void)state;
	struct stage stage;
	stage_play(&stage, &cast, &(struct script){.leg2_tls12 = true});
	assert_int_equal(stage.leg2_result, ACCORD_LEG2_NOT_TLS13);
	stage_free(&stage);
}

static void leg1_with_tls12_is_no_accord(void **state)
{
	(void)state;
	struct stage stage;
	stage_play(&stage, &cast, &(struct script){.rule = ACCORD_REQUIRE, .leg1_tls12 = true});
	assert_false(stage.leg1_up);
	assert_false(accord_client_passed(stage.client));
	stage_free(&stage);
}

static void check_3_another_host_on_the_same_certificate(void **state)
{
	(void)state;
	struct forge_spec spec = forge_leaf_spec(STAGE_HOST, "DNS:" STAGE_HOST ",DNS:mail.example.com", &cast.web_root);
	struct forged server = forge(&spec);
	play_refused(&(struct script){.server = &server, .server_name = "mail.example.com"}, ACCORD_NAME);
	play_refused(&(struct script){.server = &server, .server_name = ""}, ACCORD_NAME);
	forged_free(&server);
}

static void check_3_another_protocol_on_leg_1(void **state)
{
	(void)state;
	play_refused(&(struct script){.alpn = true, .leg1_alpn = "http/1.1"}, ACCORD_PROTOCOL);
	play_refused(&(struct script){.alpn = true, .leg1_alpn = "h2", .no_alpn = "yes"}, ACCORD_PROTOCOL);
}

static void check_3_a_replayed_proof(void **state)
{
	(void)state;
	struct stage old;
	stage_play(&old, &cast, &(struct script){.rule = ACCORD_REQUIRE});
	play_refused(&(struct script){.other_proof = stage_outcome(&old)->proof}, ACCORD_CLIENT_NONCE);
	stage_free(&old);
}

static void check_3_a_lent_proof(void **state)
{
	(void)state;
	play_refused(&(struct script){.shown = &cast.proxy[1]}, ACCORD_LAST_HOP);
}

static void lie_about_nonce(struct accord_hello *told, size_t index)
{
	(void)index;
	told->offer.client_nonce[0] ^= 1;
}

static void lie_about_roles(struct accord_hello *told, size_t index)
{
	(void)index;
	told->offer.accepted_roles = ACCORD_ANY_ROLE;
}

static void lie_about_approval(struct accord_hello *told, size_t index)
{
	(void)index;
	told->offer.has_approval = true;
}

static void check_3_a_proxy_that_says_something_else(void **state)
{
	(void)state;
	play_refused(&(struct script){.lie = lie_about_nonce}, ACCORD_CLIENT_NONCE);
	play_refused(
		&(struct script){.lie = lie_about_roles, .roles = ACCORD_READER, .role = ACCORD_WRITER}, ACCORD_ROLE);
	play_refused(&(struct script){.lie = lie_about_approval}, ACCORD_APPROVAL_HASH);
}

static void a_role_that_the_client_does_not_accept_is_not_taken(void **state)
{
	(void)state;
	struct stage stage;
	stage_play(&stage, &cast, &(struct script){.roles = ACCORD_READER, .role = ACCORD_WRITER});
	assert_string_equal(stage.error.text, "the client does not accept this role");
	stage_free(&stage);
}

static void lie_about_first_hop(struct accord_hello *told, size_t index)
{
	if (index == 1)
		told->introduction.hop[0].proxy_nonce[0] ^= 1;
}

static void hide_first_hop(struct accord_hello *told, size_t index)
{
	if (index == 1)
		told->introduced = false;
}

static void hide_middle_hop(struct accord_hello *told, size_t index)
{
	if (index == 2)
		told->introduction.hops = 1;
}

static void check_3_lists_that_do_not_extend_each_other(void **state)
{
	(void)state;
	play_refused(&(struct script){.proxies = 2, .lie = lie_about_first_hop}, ACCORD_HOPS);
	play_refused(&(struct script){.proxies = 2, .lie = hide_first_hop}, ACCORD_HOPS);
	play_refused(&(struct script){.proxies = 3, .lie = hide_middle_hop}, ACCORD_HOPS);
}

static void check_4_a_server_that_no_web_root_knows(void **state)
{
	(void)state;
	play_refused(&(struct script){.server = &cast.minted}, ACCORD_SERVER_CHAIN);
	struct forged other = forge_leaf("other.test", &cast.web_root);
	play_refused(&(struct script){.server = &other}, ACCORD_SERVER_CHAIN);
	forged_free(&other);
}

static void turn_last_bit(uint8_t *proof, size_t *len)
{
	proof[*len - 1] ^= 1;
}

static void cut_last_octet(uint8_t *proof, size_t *len)
{
	(void)proof;
	--*len;
}

static void check_2_and_5_a_changed_proof(void **state)
{
	(void)state;
	play_refused(&(struct script){.tamper = turn_last_bit}, ACCORD_SIGNATURE);
	play_refused(&(struct script){.tamper = cut_last_octet}, ACCORD_PROOF_FORM);
}

/* Changes one octet of the client's nonce, wherever it stands. */
static void alter_offer(uint8_t *hello, size_t len)
{
	for (size_t i = 0; i + 10 < len; i++) {
		if (hello[i] == (ACCORD_EXTENSION >> 8) && hello[i + 1] == (ACCORD_EXTENSION & 0xff) &&
			hello[i + 6] == ACCORD_OFFER && hello[i + 7] == ACCORD_VERSION) {
			hello[i + 8] ^= 1;
			return;
		}
	}
	fail_msg("no offer in the hello");
}

/* Gives the extension another type, which nobody looks at. */
static void strip_offer(uint8_t *hello, size_t len)
{
	for (size_t i = 0; i + 10 < len; i++) {
		if (hello[i] == (ACCORD_EXTENSION >> 8) && hello[i + 1] == (ACCORD_EXTENSION & 0xff)) {
			hello[i] = 0x5a;
			hello[i + 1] = 0x5b;
			return;
		}
	}
	fail_msg("no extension in the hello");
}

static void an_offer_changed_on_the_path_ends_the_connection(void **state)
{
	(void)state;
	struct stage stage;
	stage_play(&stage, &cast, &(struct script){.rule = ACCORD_PREFER, .on_path = alter_offer});
	assert_false(stage.leg1_up);
	assert_false(accord_client_passed(stage.client));
	stage_free(&stage);
	stage_play(&stage, &cast, &(struct script){.rule = ACCORD_PREFER, .on_path = strip_offer, .minted = true});
	assert_false(stage.leg1_up);
	assert_false(accord_client_passed(stage.client));
	stage_free(&stage);
}

static void a_set_session_is_dropped(void **state)
{
	(void)state;
	/* The server would resume gladly; the client must not let it. */
	struct stage stage;
	stage_play(&stage, &cast, &(struct script){.rule = ACCORD_REQUIRE, .direct = true});
	char octet;
	(void)SSL_read(stage.client, &octet, 1); /* takes the tickets */
	SSL_SESSION *session = SSL_get1_session(stage.client);
	SSL *again = SSL_new(stage.client_ctx);
	assert_true(SSL_SESSION_is_resumable(session));
	assert_int_equal(SSL_set_session(again, session), 1);
	char name[] = STAGE_HOST;
	SSL_set_tlsext_host_name(again, name);
	SSL *server = SSL_new(stage.server_ctx);
	BIO *one;
	BIO *two;
	assert_int_equal(BIO_new_bio_pair(&one, 65536, &two, 65536), 1);
	SSL_set_bio(again, one, one);
	SSL_set_bio(server, two, two);
	SSL_set_connect_state(again);
	SSL_set_accept_state(server);
	for (int i = 0; i < 4; i++) {
		(void)SSL_do_handshake(again);
		(void)SSL_do_handshake(server);
	}
	assert_int_equal(SSL_session_reused(server), 0);
	assert_true(accord_client_passed(again));
	SSL_free(again);
	SSL_free(server);
	SSL_SESSION_free(session);
	stage_free(&stage);
}

static void nothing_passes_before_the_handshake_is_complete(void **state)
{
	(void)state;
	struct stage stage;
	stage_play(&stage, &cast, &(struct script){.rule = ACCORD_REQUIRE, .server_name = "other.test"});
	assert_false(accord_client_passed(stage.client));
	assert_false(SSL_is_init_finished(stage.client));
	stage_free(&stage);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(an_unaware_server_proves),
		cmocka_unit_test(every_kind_of_server_proves),
		cmocka_unit_test(an_rsa_key_of_4096_bits_is_the_largest),
		cmocka_unit_test(keys_of_later_libraries_prove_where_there_are_any),
		cmocka_unit_test(up_to_four_proxies_are_proven),
		cmocka_unit_test(an_aware_server_accepts),
		cmocka_unit_test(a_refusal_ends_at_the_proxy),
		cmocka_unit_test(check_6_a_refusal_shown_as_a_proof_is_refused),
		cmocka_unit_test(an_approval_joins_all_three),
		cmocka_unit_test(a_demand_that_is_not_met_ends_the_connection),
		cmocka_unit_test(nothing_is_approved_that_the_server_did_not_demand),
		cmocka_unit_test(the_server_itself_is_accepted),
		cmocka_unit_test(a_minted_leaf_passes_only_where_preferred),
		cmocka_unit_test(a_proxy_without_a_proof_is_refused),
		cmocka_unit_test(a_program_that_verifies_nothing_is_still_protected),
		cmocka_unit_test(a_program_that_verifies_nothing_and_only_prefers_goes_on_as_before),
		cmocka_unit_test(a_name_that_the_program_expects_must_be_there_too),
		cmocka_unit_test(a_server_may_be_known_by_its_address),
		cmocka_unit_test(a_long_rsa_exponent_is_refused),
		cmocka_unit_test(check_1_the_proxys_certificate),
		cmocka_unit_test(leg2_with_tls12_proves_nothing),
		cmocka_unit_test(leg1_with_tls12_is_no_accord),
		cmocka_unit_test(check_3_another_host_on_the_same_certificate),
		cmocka_unit_test(check_3_another_protocol_on_leg_1),
		cmocka_unit_test(check_3_a_replayed_proof),
		cmocka_unit_test(check_3_a_lent_proof),
		cmocka_unit_test(check_3_a_proxy_that_says_something_else),
		cmocka_unit_test(a_role_that_the_client_does_not_accept_is_not_taken),
		cmocka_unit_test(check_3_lists_that_do_not_extend_each_other),
		cmocka_unit_test(check_4_a_server_that_no_web_root_knows),
		cmocka_unit_test(check_2_and_5_a_changed_proof),
		cmocka_unit_test(an_offer_changed_on_the_path_ends_the_connection),
		cmocka_unit_test(a_set_session_is_dropped),
		cmocka_unit_test(nothing_passes_before_the_handshake_is_complete),
	};
	return cmocka_run_group_tests(tests, set_up, tear_down);
}
