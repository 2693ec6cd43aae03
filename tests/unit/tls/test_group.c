#include "support.h"
#include "tls/group.h"
#include "tls/sigalg.h"

#include <openssl/err.h>
#include <stdio.h>

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

static void the_tables_are_sorted_without_duplicates(void **state)
{
	(void)state;
	const struct group *group;
	const struct sigalg *sigalg;
	for (size_t i = 0; (group = group_at(i)); i++) {
		assert_ptr_equal(group_find(group->value), group);
		assert_ptr_equal(group_by_name(bytes_str(group->name)), group);
		assert_true(i == 0 || group_at(i - 1)->value < group->value);
		assert_true(group->tls12 || group->tls13);
	}
	for (size_t i = 0; (sigalg = sigalg_at(i)); i++) {
		assert_ptr_equal(sigalg_find(sigalg->value), sigalg);
		assert_ptr_equal(sigalg_by_name(bytes_str(sigalg->name)), sigalg);
		assert_true(i == 0 || sigalg_at(i - 1)->value < sigalg->value);
		/* The curve TLS 1.3 ties a scheme to is one of ours. */
		assert_true(sigalg->group == 0 || group_find(sigalg->group));
	}
}

/* The macros of OpenSSL cast const away, which clang sees: they are given copies. */
static bool takes_group(SSL_CTX *ctx, const char *name)
{
	char copy[64];
	snprintf(copy, sizeof(copy), "%s", name);
	return SSL_CTX_set1_groups_list(ctx, copy) == 1;
}

static bool takes_sigalg(SSL_CTX *ctx, const char *name)
{
	char copy[64];
	snprintf(copy, sizeof(copy), "%s", name);
	return SSL_CTX_set1_sigalgs_list(ctx, copy) == 1;
}

static void openssl_takes_the_names_of_its_version(void **state)
{
	(void)state;
	SSL_CTX *ctx = SSL_CTX_new(TLS_method());
	const struct group *group;
	const struct sigalg *sigalg;
	for (size_t i = 0; (group = group_at(i)); i++) {
		if (group->openssl && OpenSSL_version_num() >= group->since && !takes_group(ctx, group->openssl))
			fail_msg("OpenSSL does not know the group %s", group->openssl);
	}
	for (size_t i = 0; (sigalg = sigalg_at(i)); i++) {
		if (sigalg->openssl && OpenSSL_version_num() >= sigalg->since && !takes_sigalg(ctx, sigalg->openssl))
			fail_msg("OpenSSL does not know the signature scheme %s", sigalg->openssl);
	}
	ERR_clear_error();
	SSL_CTX_free(ctx);
}

/* What OpenSSL puts on the wire for a name is the value that stands beside it. */
static char one_group[64];

static void offer_one_group(SSL *client)
{
	SSL_set_min_proto_version(client, TLS1_2_VERSION);
	SSL_set1_groups_list(client, one_group);
}

static bool sends_value(struct bytes hello, uint16_t type, uint16_t value)
{
	uint8_t room[8];
	struct writer w = writer_over(room, sizeof(room));
	struct bytes pattern;
	writer_u16(&w, type);
	writer_u16(&w, 4);
	writer_u16(&w, 2);
	writer_u16(&w, value);
	if (!writer_done(&w, &pattern))
		return false;
	while (hello.len >= pattern.len) {
		if (bytes_starts(hello, pattern))
			return true;
		if (!bytes_skip(&hello, 1))
			break;
	}
	return false;
}

static void openssl_sends_the_values_beside_its_names(void **state)
{
	(void)state;
	const struct group *group;
	uint8_t room[16384];
	unsigned checked = 0;
	for (size_t i = 0; (group = group_at(i)); i++) {
		if (!group->openssl || !group->tls13 || OpenSSL_version_num() < group->since)
			continue;
		snprintf(one_group, sizeof(one_group), "%s", group->openssl);
		size_t n = openssl_hello(offer_one_group, room, sizeof(room));
		if (!sends_value(bytes_of(room, n), 10, group->value))
			fail_msg("%s is not sent as 0x%04x", group->openssl, (unsigned)group->value);
		checked++;
	}
	assert_true(checked >= 10);
	ERR_clear_error();
}

static char one_scheme[64];

static void offer_one_scheme(SSL *client)
{
	SSL_set_security_level(client, 0);
	SSL_set1_sigalgs_list(client, one_scheme);
}

static void openssl_sends_the_schemes_beside_its_names(void **state)
{
	(void)state;
	const struct sigalg *sigalg;
	uint8_t room[16384];
	unsigned checked = 0;
	for (size_t i = 0; (sigalg = sigalg_at(i)); i++) {
		/* DSA alone is not offered by a client that would speak TLS 1.3. */
		if (!sigalg->openssl || sigalg->key == SIGALG_DSA || OpenSSL_version_num() < sigalg->since)
			continue;
		snprintf(one_scheme, sizeof(one_scheme), "%s", sigalg->openssl);
		size_t n = openssl_hello(offer_one_scheme, room, sizeof(room));
		if (n > 7 && !sends_value(bytes_of(room, n), 13, sigalg->value))
			fail_msg("%s is not sent as 0x%04x", sigalg->openssl, (unsigned)sigalg->value);
		checked += n > 7;
	}
	assert_true(checked >= 10);
	ERR_clear_error();
}

static void known_values_have_their_names(void **state)
{
	(void)state;
	assert_string_equal(group_name(GROUP_X25519MLKEM768), "X25519MLKEM768");
	assert_string_equal(group_name(GROUP_SECP256R1MLKEM768), "SecP256r1MLKEM768");
	assert_string_equal(group_name(GROUP_X25519KYBER768), "X25519Kyber768Draft00");
	assert_null(group_find(GROUP_X25519KYBER768)->openssl);
	assert_string_equal(group_name(GROUP_SECP256R1), "secp256r1");
	assert_string_equal(group_name(0x2a2a), "GREASE");
	assert_null(group_name(0x4444));
	assert_int_equal(group_by_name(bytes_str("p-256"))->value, GROUP_SECP256R1);
	assert_int_equal(group_by_name(bytes_str("ffdhe2048"))->kind, GROUP_FF);
	assert_null(group_by_name(bytes_str("P-257")));
	assert_string_equal(sigalg_name(0x0403), "ecdsa_secp256r1_sha256");
	assert_string_equal(sigalg_name(0x0807), "ed25519");
	assert_string_equal(sigalg_name(0x1a1a), "GREASE");
	assert_null(sigalg_name(0x4444));
	assert_int_equal(sigalg_by_name(bytes_str("ECDSA+SHA1"))->value, 0x0203);
	assert_true(sigalg_find(0x0201)->weak);
	assert_false(sigalg_find(0x0804)->weak);
	assert_null(sigalg_by_name(bytes_str("")));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_tables_are_sorted_without_duplicates),
		cmocka_unit_test(openssl_takes_the_names_of_its_version),
		cmocka_unit_test(openssl_sends_the_values_beside_its_names),
		cmocka_unit_test(openssl_sends_the_schemes_beside_its_names),
		cmocka_unit_test(known_values_have_their_names),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
