/* The upstream half of what an inspecting proxy must get right: one row per way in which a chain can be bad. */
#include "base/clock.h"
#include "forge.h"
#include "pki/verify.h"

#include <openssl/ocsp.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#define DAY FORGE_DAY

struct change {
	const char *name[3], *value[3]; /* of extensions */
	int from_days, until_days;      /* from now; both 0: as usual */
	enum forge_key key;
	const char *digest;
	long version;
};

enum {
	KEEP_BACK = 1, /* the intermediate is not sent */
	SEND_ROOT = 2,
	DISTRUST = 4, /* the root is not in the store */
	ALONE = 8,    /* the leaf signs itself */
	CHANGED = 16, /* a bit of the leaf's name is turned */
	BAD_SIGNATURE = 32,
	BACKWARDS = 64,   /* intermediate sent before the leaf */
	BAD_ISSUER = 128, /* a bit of the intermediate's signature is turned */
	OTHER_KEY = 256,  /* the intermediate sent has the right name and another key */
	PIN_ISSUER = 512, /* the intermediate is an anchor, the root is not */
	PIN_LEAF = 1024,  /* the leaf itself is the anchor */
};

struct row {
	const char *what;
	enum verify_fault expect;
	const char *host, *san; /* "example.com" and "DNS:example.com" when NULL */
	struct change leaf, intermediate, root;
	unsigned flags;
	enum verify_fault also; /* must be among the faults as well */
	enum verify_use use;
};

/* "nothing" for no extension at all */
#define SAN_NONE "-"

static const struct row rows[] = {
	{"a good chain", VERIFY_OK, .flags = 0},
	{"a good chain with its root", VERIFY_OK, .flags = SEND_ROOT},
	{"a good chain in the wrong order", VERIFY_OK, .flags = BACKWARDS},
	{"a good chain of RSA keys", VERIFY_OK, .leaf.key = FORGE_RSA2048, .intermediate.key = FORGE_RSA2048},
	{"a good chain of Ed25519 and P-384", VERIFY_OK, .leaf.key = FORGE_ED25519, .intermediate.key = FORGE_P384},
	{"an intermediate as anchor", VERIFY_OK, .flags = PIN_ISSUER},
	{"a self-signed leaf as anchor", VERIFY_OK, .flags = ALONE | PIN_LEAF},
	{"a root that breaks the strict rules", VERIFY_OK,
		.root = {.name = {"subjectKeyIdentifier", "basicConstraints"}, .value = {NULL, "CA:TRUE"}},
		.intermediate = {.name = {"authorityKeyIdentifier"}, .value = {"issuer:always"}}},
	{"a root of version 1", VERIFY_OK, .root.version = -1,
		.intermediate = {.name = {"authorityKeyIdentifier"}, .value = {"issuer:always"}}},
	{"a root signed with SHA-1", VERIFY_OK, .root.digest = "SHA1"},

	/* 1 */
	{"self-signed", VERIFY_SELF_SIGNED, .flags = ALONE},
	{"unknown root", VERIFY_UNKNOWN_ROOT, .flags = DISTRUST},
	{"unknown root, sent along", VERIFY_UNKNOWN_ROOT, .flags = DISTRUST | SEND_ROOT},
	{"missing intermediate", VERIFY_MISSING_INTERMEDIATE, .flags = KEEP_BACK},

	/* 2 */
	{"leaf expired", VERIFY_EXPIRED, .leaf = {.from_days = -30, .until_days = -3}},
	{"intermediate expired", VERIFY_EXPIRED, .intermediate = {.from_days = -30, .until_days = -1}},
	{"root expired", VERIFY_EXPIRED, .root = {.from_days = -30, .until_days = -1}},
	{"leaf not yet valid", VERIFY_NOT_YET_VALID, .leaf = {.from_days = 2, .until_days = 30}},
	{"intermediate not yet valid", VERIFY_NOT_YET_VALID, .intermediate = {.from_days = 2, .until_days = 30}},
	{"leaf with reversed dates", VERIFY_DATES_REVERSED, .leaf = {.from_days = 10, .until_days = -10}},
	{"intermediate with reversed dates", VERIFY_DATES_REVERSED,
		.intermediate = {.from_days = 10, .until_days = -10}},

	/* 3 */
	{"signed part changed", VERIFY_BAD_SIGNATURE, .flags = CHANGED},
	{"signature changed", VERIFY_BAD_SIGNATURE, .flags = BAD_SIGNATURE},
	{"signature of the intermediate changed", VERIFY_BAD_SIGNATURE, .flags = BAD_ISSUER},
	{"issuer of the same name with another key", VERIFY_ISSUER_MISMATCH, .flags = OTHER_KEY,
		.also = VERIFY_MISSING_INTERMEDIATE},

	/* 4 */
	{"intermediate is no CA", VERIFY_NOT_A_CA,
		.intermediate = {.name = {"basicConstraints"}, .value = {"critical,CA:FALSE"}}},
	{"intermediate without basicConstraints", VERIFY_NOT_A_CA,
		.intermediate = {.name = {"basicConstraints"}, .value = {NULL}}},
	{"intermediate of version 1", VERIFY_V1_ISSUER, .intermediate.version = -1,
		.leaf = {.name = {"authorityKeyIdentifier"}, .value = {"issuer:always"}}},
	{"another site's leaf as issuer", VERIFY_NOT_A_CA,
		.intermediate = {.name = {"basicConstraints", "keyUsage", "extendedKeyUsage"},
			.value = {"critical,CA:FALSE", "critical,digitalSignature", "serverAuth"}},
		.also = VERIFY_KEY_USAGE},

	/* 5 */
	{"path length exceeded", VERIFY_PATH_LENGTH,
		.root = {.name = {"basicConstraints"}, .value = {"critical,CA:TRUE,pathlen:0"}}},
	{"DNS name outside the permitted", VERIFY_NAME_CONSTRAINTS,
		.intermediate = {.name = {"nameConstraints"}, .value = {"critical,permitted;DNS:example.org"}}},
	{"DNS name among the excluded", VERIFY_NAME_CONSTRAINTS,
		.intermediate = {.name = {"nameConstraints"}, .value = {"critical,excluded;DNS:example.com"}}},
	{"DNS name within the permitted", VERIFY_OK,
		.intermediate = {.name = {"nameConstraints"}, .value = {"critical,permitted;DNS:example.com"}}},
	{"address outside the permitted", VERIFY_NAME_CONSTRAINTS, .host = "192.0.2.1", .san = "IP:192.0.2.1",
		.intermediate = {.name = {"nameConstraints"}, .value = {"critical,permitted;IP:10.0.0.0/255.0.0.0"}}},
	{"CN outside the permitted", VERIFY_NAME_CONSTRAINTS, .host = "www.example.org", .san = "DNS:www.example.org",
		.intermediate = {.name = {"nameConstraints"}, .value = {"critical,permitted;DNS:example.org"}}},

	/* 6 */
	{"intermediate without keyCertSign", VERIFY_KEY_USAGE,
		.intermediate = {.name = {"keyUsage"}, .value = {"critical,cRLSign"}}},
	{"leaf that may not sign", VERIFY_KEY_USAGE,
		.leaf = {.name = {"keyUsage"}, .value = {"critical,keyAgreement"}}},
	{"leaf that may only encipher, used so", VERIFY_OK,
		.leaf = {.name = {"keyUsage"}, .value = {"critical,keyEncipherment"}, .key = FORGE_RSA2048},
		.use = VERIFY_USE_ENCIPHER},

	/* 7 */
	{"leaf for clients only", VERIFY_PURPOSE, .leaf = {.name = {"extendedKeyUsage"}, .value = {"clientAuth"}}},
	{"leaf for any purpose but no server", VERIFY_PURPOSE,
		.leaf = {.name = {"extendedKeyUsage"}, .value = {"anyExtendedKeyUsage"}}},
	{"leaf server-gated as of old", VERIFY_PURPOSE, .leaf = {.name = {"extendedKeyUsage"}, .value = {"nsSGC"}}},
	{"intermediate for clients only", VERIFY_PURPOSE,
		.intermediate = {.name = {"extendedKeyUsage"}, .value = {"clientAuth"}}},
	{"leaf without extended key usage", VERIFY_OK, .leaf = {.name = {"extendedKeyUsage"}, .value = {NULL}}},

	/* 8 */
	{"unknown critical extension in the leaf", VERIFY_CRITICAL_EXTENSION,
		.leaf = {.name = {"1.2.3.4.5"}, .value = {"critical,DER:0500"}}},
	{"unknown critical extension in the intermediate", VERIFY_CRITICAL_EXTENSION,
		.intermediate = {.name = {"1.2.3.4.5"}, .value = {"critical,DER:0500"}}},
	{"unknown extension that is not critical", VERIFY_OK, .leaf = {.name = {"1.2.3.4.5"}, .value = {"DER:0500"}}},
	{"malformed keyUsage", VERIFY_MALFORMED, .leaf = {.name = {"keyUsage"}, .value = {"critical,DER:0102"}}},
	{"malformed subjectAltName", VERIFY_MALFORMED, .san = "DER:3003820a61"},
	{"malformed basicConstraints in the intermediate", VERIFY_MALFORMED,
		.intermediate = {.name = {"basicConstraints"}, .value = {"critical,DER:0102"}}},

	/* 9 */
	{"leaf signed with MD5", VERIFY_WEAK_SIGNATURE, .leaf.digest = "MD5", .intermediate.key = FORGE_RSA2048},
	{"leaf signed with SHA-1", VERIFY_WEAK_SIGNATURE, .leaf.digest = "SHA1"},
	{"intermediate signed with SHA-1", VERIFY_WEAK_SIGNATURE, .intermediate.digest = "SHA1"},
	{"leaf with RSA 1024", VERIFY_WEAK_KEY, .leaf.key = FORGE_RSA1024},
	{"intermediate with RSA 1024", VERIFY_WEAK_KEY, .intermediate.key = FORGE_RSA1024},
	{"leaf on a curve of 160 bits", VERIFY_WEAK_KEY, .leaf.key = FORGE_SECP160},
	{"leaf on a curve of 224 bits", VERIFY_WEAK_KEY, .leaf.key = FORGE_P224},
	{"intermediate on a curve of 224 bits", VERIFY_WEAK_KEY, .intermediate.key = FORGE_P224},
	{"curve spelt out in the leaf's key", VERIFY_WEAK_KEY, .leaf.key = FORGE_EXPLICIT},
	{"curve spelt out in the intermediate's key", VERIFY_WEAK_KEY, .intermediate.key = FORGE_EXPLICIT},

	/* 10 */
	{"another name", VERIFY_WRONG_NAME, .host = "example.net"},
	{"CN without subjectAltName", VERIFY_NO_SAN, .san = SAN_NONE},
	{"CN against subjectAltName", VERIFY_WRONG_NAME, .san = "DNS:other.example.com"},
	{"only a mail address in the subjectAltName", VERIFY_NO_SAN, .san = "email:a@example.com"},
	{"wildcard for one label", VERIFY_OK, .host = "www.example.com", .san = "DNS:*.example.com"},
	{"name in other case", VERIFY_OK, .host = "Example.COM"},
	{"name with closing dot", VERIFY_OK, .host = "example.com."},
	{"bare wildcard", VERIFY_WRONG_NAME, .san = "DNS:*"},
	{"wildcard below a top-level domain", VERIFY_WRONG_NAME, .san = "DNS:*.com"},
	{"wildcard in the middle", VERIFY_WRONG_NAME, .host = "a.b.example.com", .san = "DNS:a.*.example.com"},
	{"wildcard for two labels", VERIFY_WRONG_NAME, .host = "a.b.example.com", .san = "DNS:*.example.com"},
	{"wildcard for no label", VERIFY_WRONG_NAME, .san = "DNS:*.example.com"},
	{"partial wildcard in front", VERIFY_WRONG_NAME, .host = "www.example.com", .san = "DNS:w*.example.com"},
	{"partial wildcard behind", VERIFY_WRONG_NAME, .host = "www.example.com", .san = "DNS:*w.example.com"},
	{"double wildcard", VERIFY_WRONG_NAME, .host = "a.b.example.com", .san = "DNS:*.*.example.com"},
	{"NUL byte in the name", VERIFY_NAME_MALFORMED,
		/* SEQUENCE { [2] "example.com\0.evil.org" } */
		.san = "DER:301782156578616d706c652e636f6d002e6576696c2e6f7267", .also = VERIFY_WRONG_NAME},
	{"NUL byte beside the right name", VERIFY_NAME_MALFORMED,
		/* SEQUENCE { [2] "example.com", [2] "a\0b" } */
		.san = "DER:3012820b6578616d706c652e636f6d8203610062"},
	{"address as a DNS name", VERIFY_WRONG_NAME, .host = "192.0.2.1", .san = "DNS:192.0.2.1"},
	{"address as an address", VERIFY_OK, .host = "192.0.2.1", .san = "IP:192.0.2.1"},
	{"IPv6 address", VERIFY_OK, .host = "[2001:db8::1]", .san = "IP:2001:db8:0:0:0:0:0:1"},
	{"another address", VERIFY_WRONG_NAME, .host = "192.0.2.2", .san = "IP:192.0.2.1"},
	{"name against an address", VERIFY_WRONG_NAME, .san = "IP:192.0.2.1"},
	{"address of three octets", VERIFY_NAME_MALFORMED, .host = "192.0.2.1", .san = "DER:30058703c00002",
		.also = VERIFY_WRONG_NAME},
};

struct scene {
	struct forged root, intermediate, leaf;
	STACK_OF(X509) * sent;
	X509 *shown_leaf;
	struct trust *trust;
	struct verifier *verifier;
	struct subject_name host;
};

static void change_apply(struct forge_spec *spec, const struct change *change)
{
	for (int i = 0; i < 3 && change->name[i]; i++)
		forge_extension(spec, change->name[i], change->value[i]);
	if (change->from_days != 0 || change->until_days != 0) {
		spec->from_s = FORGE_NOW + change->from_days * DAY;
		spec->until_s = FORGE_NOW + change->until_days * DAY;
	}
	spec->key = change->key;
	spec->digest = change->digest;
	spec->version = change->version;
}

static void trust_cert(struct scene *scene, X509 *cert)
{
	uint8_t buffer[8192];
	struct error err = {{0}};
	if (!trust_add_bytes(scene->trust, forge_pem(cert, buffer, sizeof(buffer)), "anchor", &err))
		fail_msg("%s", err.text);
}

static void scene_trust(struct scene *scene, unsigned flags)
{
	scene->trust = trust_new(NULL);
	assert_non_null(scene->trust);
	struct forged other = forge_root("Another root");
	trust_cert(scene, other.cert);
	forged_free(&other);
	if ((flags & PIN_LEAF) != 0)
		trust_cert(scene, scene->leaf.cert);
	else if ((flags & PIN_ISSUER) != 0)
		trust_cert(scene, scene->intermediate.cert);
	else if ((flags & DISTRUST) == 0)
		trust_cert(scene, scene->root.cert);
	scene->verifier = verifier_new(scene->trust, 64);
	assert_non_null(scene->verifier);
}

static void scene_send(struct scene *scene, unsigned flags)
{
	X509 *leaf = scene->leaf.cert;
	X509 *issuer = scene->intermediate.cert;
	scene->shown_leaf = (flags & CHANGED) != 0         ? forge_tampered(leaf, "example.com")
	                    : (flags & BAD_SIGNATURE) != 0 ? forge_tampered(leaf, NULL)
	                                                   : X509_dup(leaf);
	struct forged stranger = {0};
	if ((flags & OTHER_KEY) != 0) {
		stranger = forge_intermediate("Intermediate", &scene->root);
		issuer = stranger.cert;
	}
	X509 *shown = (flags & BAD_ISSUER) != 0 ? forge_tampered(issuer, NULL) : X509_dup(issuer);
	scene->sent = sk_X509_new_null();
	if ((flags & BACKWARDS) != 0) {
		sk_X509_push(scene->sent, shown);
		shown = NULL;
	}
	X509_up_ref(scene->shown_leaf);
	sk_X509_push(scene->sent, scene->shown_leaf);
	if (shown && (flags & (KEEP_BACK | ALONE)) == 0)
		sk_X509_push(scene->sent, shown);
	else
		X509_free(shown);
	if ((flags & SEND_ROOT) != 0)
		sk_X509_push(scene->sent, X509_dup(scene->root.cert));
	forged_free(&stranger);
}

static void scene_make(struct scene *scene, const struct row *row)
{
	struct forge_spec spec = forge_root_spec("Root");
	change_apply(&spec, &row->root);
	scene->root = forge(&spec);
	spec = forge_intermediate_spec("Intermediate", &scene->root);
	change_apply(&spec, &row->intermediate);
	scene->intermediate = forge(&spec);
	const char *san = !row->san ? "DNS:example.com" : strcmp(row->san, SAN_NONE) == 0 ? NULL : row->san;
	bool alone = (row->flags & ALONE) != 0;
	spec = forge_leaf_spec("example.com", san, alone ? NULL : &scene->intermediate);
	change_apply(&spec, &row->leaf);
	scene->leaf = forge(&spec);
	scene_trust(scene, row->flags);
	scene_send(scene, row->flags);
	assert_int_equal(subject_name_parse(bytes_str(row->host ? row->host : "example.com"), &scene->host), NAME_OK);
}

static void scene_free(struct scene *scene)
{
	verifier_free(scene->verifier);
	trust_free(scene->trust);
	sk_X509_pop_free(scene->sent, X509_free);
	X509_free(scene->shown_leaf);
	forged_free(&scene->leaf);
	forged_free(&scene->intermediate);
	forged_free(&scene->root);
}

static struct verify_request request_for(const struct scene *scene)
{
	return (struct verify_request){.host = &scene->host, .now_s = FORGE_NOW};
}

static void each_bad_chain_is_refused_for_its_own_cause(void **state)
{
	(void)state;
	int wrong = 0;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct scene scene = {0};
		scene_make(&scene, &rows[i]);
		struct verify_request request = request_for(&scene);
		request.use = rows[i].use;
		struct verify_verdict verdict;
		verify_chain(scene.verifier, scene.shown_leaf, scene.sent, &request, &verdict);
		bool ok = verdict.fault == rows[i].expect &&
		          (rows[i].also == VERIFY_OK || (verdict.faults & VERIFY_FAULT_BIT(rows[i].also)) != 0);
		ok = ok && (verdict.fault == VERIFY_OK) == (verdict.x509_error == X509_V_OK);
		if (!ok)
			print_message("%s: %s instead of %s (%s, all %llx)\n", rows[i].what,
				verify_fault_name(verdict.fault), verify_fault_name(rows[i].expect), verdict.text,
				(unsigned long long)verdict.faults);
		else if (getenv("VERBOSE"))
			print_message("%-50s %-22s %s\n", rows[i].what, verify_fault_name(verdict.fault), verdict.text);
		wrong += !ok;
		scene_free(&scene);
	}
	assert_int_equal(wrong, 0);
}

static void a_refused_chain_gives_the_library_an_error_and_a_good_one_gives_none(void **state)
{
	(void)state;
	static const struct row expired = {.leaf = {.from_days = -30, .until_days = -3}};
	static const struct row good = {0};
	const struct row *both[] = {&expired, &good};
	for (int i = 0; i < 2; i++) {
		struct scene scene = {0};
		scene_make(&scene, both[i]);
		X509_STORE *none = X509_STORE_new();
		X509_STORE_CTX *ctx = X509_STORE_CTX_new();
		assert_int_equal(X509_STORE_CTX_init(ctx, none, scene.shown_leaf, scene.sent), 1);
		struct verify_request request = request_for(&scene);
		struct verify_verdict verdict;
		assert_int_equal(verify_store_ctx(scene.verifier, ctx, &request, &verdict), i == 1);
		assert_int_equal(X509_STORE_CTX_get_error(ctx), i == 1 ? X509_V_OK : X509_V_ERR_CERT_HAS_EXPIRED);
		X509_STORE_CTX_free(ctx);
		X509_STORE_free(none);
		scene_free(&scene);
	}
}

static void the_text_says_what_and_where(void **state)
{
	(void)state;
	static const struct row expired = {.leaf = {.from_days = -30, .until_days = -3}};
	struct scene scene = {0};
	scene_make(&scene, &expired);
	struct verify_request request = request_for(&scene);
	struct verify_verdict verdict;
	verify_chain(scene.verifier, scene.shown_leaf, scene.sent, &request, &verdict);
	assert_string_equal(verdict.text, "expired 3 days ago (2027-01-12), leaf CN=example.com");
	assert_int_equal(verdict.depth, 0);
	scene_free(&scene);

	static const struct row old_intermediate = {.intermediate = {.from_days = -30, .until_days = -1}};
	struct scene above = {0};
	scene_make(&above, &old_intermediate);
	request = request_for(&above);
	verify_chain(above.verifier, above.shown_leaf, above.sent, &request, &verdict);
	assert_string_equal(verdict.text, "expired 1 day ago (2027-01-14), intermediate CN=Intermediate");
	assert_int_equal(verdict.depth, 1);
	scene_free(&above);
}

static void several_faults_are_all_told(void **state)
{
	(void)state;
	static const struct row row = {
		.leaf = {.from_days = -30, .until_days = -3}, .host = "example.net", .flags = DISTRUST};
	struct scene scene = {0};
	scene_make(&scene, &row);
	struct verify_request request = request_for(&scene);
	struct verify_verdict verdict;
	verify_chain(scene.verifier, scene.shown_leaf, scene.sent, &request, &verdict);
	assert_int_equal(verdict.fault, VERIFY_UNKNOWN_ROOT);
	assert_int_equal(verdict.faults, VERIFY_FAULT_BIT(VERIFY_UNKNOWN_ROOT) | VERIFY_FAULT_BIT(VERIFY_EXPIRED) |
						 VERIFY_FAULT_BIT(VERIFY_WRONG_NAME));
	scene_free(&scene);
}

static void what_the_own_ca_issued_is_refused_even_where_it_is_trusted(void **state)
{
	(void)state;
	static const struct row good = {0};
	for (int anchored = 0; anchored < 2; anchored++) {
		struct row row = good;
		row.flags = anchored ? 0 : DISTRUST;
		struct scene scene = {0};
		scene_make(&scene, &row);
		uint8_t pem[8192];
		struct error err;
		assert_true(verifier_add_own(scene.verifier, forge_pem(scene.root.cert, pem, sizeof(pem)), &err));
		struct verify_request request = request_for(&scene);
		struct verify_verdict verdict;
		verify_chain(scene.verifier, scene.shown_leaf, scene.sent, &request, &verdict);
		assert_int_equal(verdict.fault, VERIFY_OWN_CA);
		scene_free(&scene);
	}
}

static void a_chain_too_long_or_too_big_is_not_looked_at(void **state)
{
	(void)state;
	static const struct row good = {0};
	struct scene scene = {0};
	scene_make(&scene, &good);
	for (int i = 0; i < VERIFY_MAX_CERTS; i++)
		sk_X509_push(scene.sent, X509_dup(scene.root.cert));
	struct verify_request request = request_for(&scene);
	struct verify_verdict verdict;
	verify_chain(scene.verifier, scene.shown_leaf, scene.sent, &request, &verdict);
	assert_int_equal(verdict.fault, VERIFY_CHAIN_TOO_BIG);
	assert_int_equal(verifier_count(scene.verifier).chain_too_big, 1);
	assert_int_equal(verifier_count(scene.verifier).verified, 0);
	scene_free(&scene);
}

static void a_leaf_with_ten_thousand_names_verifies(void **state)
{
	(void)state;
	size_t cap = 10000 * 24;
	char *san = malloc(cap);
	size_t len = 0;
	for (int i = 0; i < 10000; i++)
		len += (size_t)snprintf(san + len, cap - len, "%sDNS:n%d.example.com", i ? "," : "", i);
	struct row row = {.host = "n9999.example.com", .san = san};
	struct scene scene = {0};
	scene_make(&scene, &row);
	struct verify_request request = request_for(&scene);
	struct verify_verdict verdict;
	verify_chain(scene.verifier, scene.shown_leaf, scene.sent, &request, &verdict);
	assert_int_equal(verdict.fault, VERIFY_OK);
	scene_free(&scene);
	free(san);
}

static void a_verdict_is_remembered_for_a_minute_and_for_the_same_question_only(void **state)
{
	(void)state;
	static const struct row good = {0};
	struct scene scene = {0};
	scene_make(&scene, &good);
	struct verify_request request = request_for(&scene);
	struct verify_verdict verdict;
	verify_chain(scene.verifier, scene.shown_leaf, scene.sent, &request, &verdict);
	assert_false(verdict.from_memo);
	assert_int_equal(verdict.good_until_s, FORGE_NOW + VERIFY_MEMO_MAX_S);
	request.now_s += 60;
	verify_chain(scene.verifier, scene.shown_leaf, scene.sent, &request, &verdict);
	assert_true(verdict.from_memo);
	request.now_s += 1;
	verify_chain(scene.verifier, scene.shown_leaf, scene.sent, &request, &verdict);
	assert_false(verdict.from_memo);
	request.policy.generation = 7;
	verify_chain(scene.verifier, scene.shown_leaf, scene.sent, &request, &verdict);
	assert_false(verdict.from_memo);
	struct subject_name other;
	assert_int_equal(subject_name_parse(bytes_str("example.net"), &other), NAME_OK);
	request.host = &other;
	verify_chain(scene.verifier, scene.shown_leaf, scene.sent, &request, &verdict);
	assert_false(verdict.from_memo);
	assert_int_equal(verdict.fault, VERIFY_WRONG_NAME);
	static const uint8_t garbage[] = {0x30, 0x03, 0x0a, 0x01, 0x09};
	request.host = &scene.host;
	request.staple = bytes_of(garbage, sizeof(garbage));
	verify_chain(scene.verifier, scene.shown_leaf, scene.sent, &request, &verdict);
	assert_false(verdict.from_memo);
	struct verifier_counts counts = verifier_count(scene.verifier);
	assert_int_equal(counts.remembered, 1);
	assert_int_equal(counts.verified, 5);
	scene_free(&scene);
}

static void a_memo_never_outlives_the_certificate(void **state)
{
	(void)state;
	static const struct row good = {0};
	struct scene scene = {0};
	scene_make(&scene, &good);
	struct verify_request request = request_for(&scene);
	request.now_s = FORGE_NOW + 40 * DAY - 10;
	struct verify_verdict verdict;
	verify_chain(scene.verifier, scene.shown_leaf, scene.sent, &request, &verdict);
	assert_int_equal(verdict.fault, VERIFY_OK);
	assert_int_equal(verdict.good_until_s, FORGE_NOW + 40 * DAY);
	request.now_s = FORGE_NOW + 40 * DAY + 1;
	verify_chain(scene.verifier, scene.shown_leaf, scene.sent, &request, &verdict);
	assert_int_equal(verdict.fault, VERIFY_EXPIRED);
	scene_free(&scene);
}

enum signer { BY_ISSUER, BY_DELEGATE, BY_UNDELEGATED, BY_STRANGER, BY_OTHERS_DELEGATE };

struct staple_row {
	const char *what;
	enum verify_fault expect;
	enum signer signer;
	int status;
	int from_days, until_days;
	bool must_staple, none, other_leaf, garbage, try_later, wrong_key;
	const char *digest;
	struct verify_policy policy;
	enum verify_status told;
};

#define GOOD V_OCSP_CERTSTATUS_GOOD

static const struct staple_row staple_rows[] = {
	{"good, signed by the issuer", VERIFY_OK, BY_ISSUER, GOOD, -1, 5, .told = VERIFY_STATUS_STAPLE},
	{"good, signed by a delegate", VERIFY_OK, BY_DELEGATE, GOOD, -1, 5, .told = VERIFY_STATUS_STAPLE},
	{"good without nextUpdate", VERIFY_OK, BY_ISSUER, GOOD, -9, 0, .told = VERIFY_STATUS_STAPLE},
	{"must-staple, good", VERIFY_OK, BY_ISSUER, GOOD, -1, 5, .must_staple = true, .told = VERIFY_STATUS_STAPLE},
	{"none, not asked for", VERIFY_OK, .none = true},
	{"try later, not asked for", VERIFY_OK, .try_later = true},
	{"must-staple without one", VERIFY_STAPLE_MISSING, .none = true, .must_staple = true},
	{"must-staple and try later", VERIFY_STAPLE_MISSING, .try_later = true, .must_staple = true},
	{"demanded by rule, none", VERIFY_STAPLE_MISSING, .none = true, .policy.require_staple = true},
	{"status demanded by rule, none", VERIFY_STATUS_UNKNOWN, .none = true, .policy.require_status = true},
	{"status demanded by rule, good", VERIFY_OK, BY_ISSUER, GOOD, -1, 5, .policy.require_status = true,
		.told = VERIFY_STATUS_STAPLE},
	{"revoked", VERIFY_REVOKED, BY_ISSUER, V_OCSP_CERTSTATUS_REVOKED, -1, 5, .none = false},
	{"revoked, out of date", VERIFY_REVOKED, BY_ISSUER, V_OCSP_CERTSTATUS_REVOKED, -9, -5, .none = false},
	{"unknown", VERIFY_STAPLE_UNKNOWN, BY_ISSUER, V_OCSP_CERTSTATUS_UNKNOWN, -1, 5, .none = false},
	{"out of date", VERIFY_STAPLE_EXPIRED, BY_ISSUER, GOOD, -9, -1, .none = false},
	{"from the future", VERIFY_STAPLE_EXPIRED, BY_ISSUER, GOOD, 1, 5, .none = false},
	{"old without nextUpdate", VERIFY_STAPLE_EXPIRED, BY_ISSUER, GOOD, -11, 0, .none = false},
	{"about another certificate", VERIFY_STAPLE_MALFORMED, BY_ISSUER, GOOD, -1, 5, .other_leaf = true},
	{"garbage", VERIFY_STAPLE_MALFORMED, .garbage = true},
	{"signed by one without OCSPSigning", VERIFY_STAPLE_SIGNER, BY_UNDELEGATED, GOOD, -1, 5, .none = false},
	{"signed by a stranger", VERIFY_STAPLE_SIGNER, BY_STRANGER, GOOD, -1, 5, .none = false},
	{"signed by another CA's delegate", VERIFY_STAPLE_SIGNER, BY_OTHERS_DELEGATE, GOOD, -1, 5, .none = false},
	{"signature does not fit", VERIFY_STAPLE_BAD_SIGNATURE, BY_ISSUER, GOOD, -1, 5, .wrong_key = true},
	{"signed with SHA-1", VERIFY_STAPLE_BAD_SIGNATURE, BY_ISSUER, GOOD, -1, 5, .digest = "SHA1"},
};

static struct forged staple_signer(const struct scene *scene, enum signer who)
{
	struct forged stranger = forge_root("Stranger");
	const struct forged *issuer = who == BY_OTHERS_DELEGATE ? &stranger : &scene->intermediate;
	if (who == BY_STRANGER)
		return stranger;
	struct forge_spec spec = forge_leaf_spec("Responder", NULL, issuer);
	forge_extension(&spec, "extendedKeyUsage", who == BY_UNDELEGATED ? "serverAuth" : "OCSPSigning");
	struct forged out = forge(&spec);
	forged_free(&stranger);
	return out;
}

static struct bytes staple_make(const struct scene *scene, const struct staple_row *row, uint8_t *buffer, size_t cap)
{
	static const uint8_t try_later[] = {0x30, 0x03, 0x0a, 0x01, 0x03};
	if (row->none)
		return BYTES_NONE;
	if (row->try_later)
		return bytes_of(try_later, sizeof(try_later));
	if (row->garbage)
		return bytes_str("no response at all");
	struct forged signer = row->signer == BY_ISSUER ? (struct forged){0} : staple_signer(scene, row->signer);
	struct forged other = forge_leaf("other.example.com", &scene->intermediate);
	struct forged wrong = {.cert = scene->intermediate.cert, .key = other.key};
	struct bytes out = BYTES_NONE;
	if (row->wrong_key) {
		/* OpenSSL will not sign with a key that does not go with the certificate: the signature is spoilt after. */
		wrong.key = scene->intermediate.key;
	}
	out = forge_staple(
		&(struct forge_staple){.leaf = row->other_leaf ? other.cert : scene->leaf.cert,
			.issuer = scene->intermediate.cert,
			.signer = row->signer == BY_ISSUER ? (row->wrong_key ? &wrong : &scene->intermediate) : &signer,
			.send_signer = row->signer != BY_ISSUER,
			.status = row->status,
			.from_s = FORGE_NOW + row->from_days * DAY,
			.until_s = row->until_days ? FORGE_NOW + row->until_days * DAY : 0,
			.digest = row->digest},
		buffer, cap);
	if (row->wrong_key)
		buffer[out.len - 1] ^= 1;
	forged_free(&signer);
	forged_free(&other);
	return out;
}

static void a_staple_counts_only_when_current_and_signed_by_who_may(void **state)
{
	(void)state;
	int wrong = 0;
	for (size_t i = 0; i < sizeof(staple_rows) / sizeof(staple_rows[0]); i++) {
		const struct staple_row *row = &staple_rows[i];
		struct row chain = {0};
		if (row->must_staple) {
			chain.leaf.name[0] = "tlsfeature";
			chain.leaf.value[0] = "status_request";
		}
		struct scene scene = {0};
		scene_make(&scene, &chain);
		uint8_t buffer[8192];
		struct verify_request request = request_for(&scene);
		request.staple = staple_make(&scene, row, buffer, sizeof(buffer));
		request.policy = row->policy;
		struct verify_verdict verdict;
		verify_chain(scene.verifier, scene.shown_leaf, scene.sent, &request, &verdict);
		if (verdict.fault != row->expect || verdict.status != row->told ||
			verdict.must_staple != row->must_staple) {
			print_message("%s: %s instead of %s, status %d\n", row->what, verify_fault_name(verdict.fault),
				verify_fault_name(row->expect), verdict.status);
			wrong++;
		}
		scene_free(&scene);
	}
	assert_int_equal(wrong, 0);
}

static void a_staple_bounds_the_memo(void **state)
{
	(void)state;
	static const struct row good = {0};
	struct scene scene = {0};
	scene_make(&scene, &good);
	uint8_t buffer[8192];
	struct verify_request request = request_for(&scene);
	request.staple = forge_staple(&(struct forge_staple){.leaf = scene.leaf.cert,
					      .issuer = scene.intermediate.cert,
					      .signer = &scene.intermediate,
					      .status = GOOD,
					      .from_s = FORGE_NOW - 100,
					      .until_s = FORGE_NOW + 20},
		buffer, sizeof(buffer));
	struct verify_verdict verdict;
	verify_chain(scene.verifier, scene.shown_leaf, scene.sent, &request, &verdict);
	assert_int_equal(verdict.fault, VERIFY_OK);
	assert_int_equal(verdict.good_until_s, FORGE_NOW + 20);
	request.now_s += 21;
	verify_chain(scene.verifier, scene.shown_leaf, scene.sent, &request, &verdict);
	assert_int_equal(verdict.fault, VERIFY_STAPLE_EXPIRED);
	scene_free(&scene);
}

struct crl_row {
	const char *what;
	enum verify_fault expect;
	bool leaf_crl, root_crl, revoke_leaf, revoke_intermediate, no_crl_sign, wrong_key, require;
	int from_days, until_days;
	enum verify_status told;
};

static const struct crl_row crl_rows[] = {
	{"covers the leaf, good", VERIFY_OK, .leaf_crl = true, .from_days = -1, .until_days = 5,
		.told = VERIFY_STATUS_CRL},
	{"leaf revoked", VERIFY_REVOKED, .leaf_crl = true, .revoke_leaf = true, .from_days = -1, .until_days = 5},
	{"intermediate revoked", VERIFY_REVOKED, .root_crl = true, .revoke_intermediate = true, .from_days = -1,
		.until_days = 5},
	{"out of date", VERIFY_CRL_EXPIRED, .leaf_crl = true, .from_days = -5, .until_days = -1},
	{"not yet valid", VERIFY_CRL_EXPIRED, .leaf_crl = true, .from_days = 1, .until_days = 5},
	{"signer without cRLSign", VERIFY_CRL_SIGNER, .leaf_crl = true, .no_crl_sign = true, .from_days = -1,
		.until_days = 5},
	{"signature does not fit", VERIFY_CRL_BAD_SIGNATURE, .leaf_crl = true, .wrong_key = true, .from_days = -1,
		.until_days = 5},
	{"demanded for all, one is missing", VERIFY_CRL_MISSING, .leaf_crl = true, .require = true, .from_days = -1,
		.until_days = 5},
	{"demanded for all, none is there", VERIFY_CRL_MISSING, .require = true},
	{"demanded for all, all there", VERIFY_OK, .leaf_crl = true, .root_crl = true, .require = true, .from_days = -1,
		.until_days = 5, .told = VERIFY_STATUS_CRL},
	{"none for the leaf, not demanded", VERIFY_OK, .root_crl = true, .from_days = -1, .until_days = 5},
};

static void crl_trust(struct scene *scene, const struct forged *issuer, EVP_PKEY *signer, const X509 *revoked,
	const struct crl_row *row)
{
	X509_CRL *crl =
		forge_crl(issuer, signer, revoked, FORGE_NOW + row->from_days * DAY, FORGE_NOW + row->until_days * DAY);
	uint8_t *der = NULL;
	int len = i2d_X509_CRL(crl, &der);
	struct error err = {{0}};
	if (!trust_add_bytes(scene->trust, bytes_of(der, (size_t)len), "crl", &err))
		fail_msg("%s", err.text);
	OPENSSL_free(der);
	X509_CRL_free(crl);
}

static void a_crl_counts_for_what_it_says(void **state)
{
	(void)state;
	int wrong = 0;
	for (size_t i = 0; i < sizeof(crl_rows) / sizeof(crl_rows[0]); i++) {
		const struct crl_row *row = &crl_rows[i];
		struct row chain = {0};
		if (row->no_crl_sign) {
			chain.intermediate.name[0] = "keyUsage";
			chain.intermediate.value[0] = "critical,keyCertSign";
		}
		struct scene scene = {0};
		scene_make(&scene, &chain);
		if (row->leaf_crl)
			crl_trust(&scene, &scene.intermediate, row->wrong_key ? scene.root.key : scene.intermediate.key,
				row->revoke_leaf ? scene.leaf.cert : NULL, row);
		if (row->root_crl)
			crl_trust(&scene, &scene.root, scene.root.key,
				row->revoke_intermediate ? scene.intermediate.cert : NULL, row);
		struct verify_request request = request_for(&scene);
		request.policy.require_crl = row->require;
		struct verify_verdict verdict;
		verify_chain(scene.verifier, scene.shown_leaf, scene.sent, &request, &verdict);
		if (verdict.fault != row->expect || (row->expect == VERIFY_OK && verdict.status != row->told)) {
			print_message("%s: %s instead of %s, status %d\n", row->what, verify_fault_name(verdict.fault),
				verify_fault_name(row->expect), verdict.status);
			wrong++;
		}
		scene_free(&scene);
	}
	assert_int_equal(wrong, 0);
}

static void a_fetched_issuer_completes_the_chain(void **state)
{
	(void)state;
	static const struct row row = {.flags = KEEP_BACK};
	struct scene scene = {0};
	scene_make(&scene, &row);
	struct verify_request request = request_for(&scene);
	request.extra = sk_X509_new_null();
	sk_X509_push(request.extra, scene.intermediate.cert);
	struct verify_verdict verdict;
	verify_chain(scene.verifier, scene.shown_leaf, scene.sent, &request, &verdict);
	assert_int_equal(verdict.fault, VERIFY_OK);
	sk_X509_free(request.extra);
	scene_free(&scene);
}

static double verify_us(struct scene *scene)
{
	enum { ROUNDS = 300 };
	struct verify_request request = request_for(scene);
	struct verify_verdict verdict;
	uint64_t start = clock_monotonic_ns();
	for (int i = 0; i < ROUNDS; i++)
		verify_chain(scene->verifier, scene->shown_leaf, scene->sent, &request, &verdict);
	assert_int_equal(verdict.fault, VERIFY_OK);
	return (double)(clock_monotonic_ns() - start) / ROUNDS / 1000;
}

static void remembering_costs_less_than_verifying(void **state)
{
	(void)state;
	static const struct row good = {0};
	struct scene scene = {0};
	scene_make(&scene, &good);
	double remembered = verify_us(&scene);
	verifier_free(scene.verifier);
	scene.verifier = verifier_new(scene.trust, 0);
	double worked_out = verify_us(&scene);
	print_message("# a chain verifies in %.1f us, from memory in %.1f us: %.2f of it\n", worked_out, remembered,
		remembered / worked_out);
	assert_true(remembered < worked_out);
	scene_free(&scene);
}

static void every_fault_has_a_name_of_its_own(void **state)
{
	(void)state;
	for (unsigned i = 0; i < VERIFY_FAULTS; i++) {
		enum verify_fault found;
		const char *name = verify_fault_name((enum verify_fault)i);
		assert_non_null(name);
		assert_true(verify_fault_find(bytes_str(name), &found));
		assert_int_equal(found, i);
	}
	enum verify_fault found;
	assert_false(verify_fault_find(bytes_str("nonsense"), &found));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(each_bad_chain_is_refused_for_its_own_cause),
		cmocka_unit_test(a_refused_chain_gives_the_library_an_error_and_a_good_one_gives_none),
		cmocka_unit_test(the_text_says_what_and_where),
		cmocka_unit_test(several_faults_are_all_told),
		cmocka_unit_test(what_the_own_ca_issued_is_refused_even_where_it_is_trusted),
		cmocka_unit_test(a_chain_too_long_or_too_big_is_not_looked_at),
		cmocka_unit_test(a_leaf_with_ten_thousand_names_verifies),
		cmocka_unit_test(a_verdict_is_remembered_for_a_minute_and_for_the_same_question_only),
		cmocka_unit_test(a_memo_never_outlives_the_certificate),
		cmocka_unit_test(a_staple_counts_only_when_current_and_signed_by_who_may),
		cmocka_unit_test(a_staple_bounds_the_memo),
		cmocka_unit_test(a_crl_counts_for_what_it_says),
		cmocka_unit_test(a_fetched_issuer_completes_the_chain),
		cmocka_unit_test(remembering_costs_less_than_verifying),
		cmocka_unit_test(every_fault_has_a_name_of_its_own),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
