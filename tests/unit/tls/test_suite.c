#include "support.h"
#include "tls/suite.h"

#include <stdio.h>
#include <stdlib.h>

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

static void the_table_is_sorted_without_duplicates(void **state)
{
	(void)state;
	const struct suite *before = suite_at(0), *suite;
	size_t n = 1;
	for (; (suite = suite_at(n)); n++) {
		assert_true(before->value < suite->value);
		assert_string_not_equal(before->name, suite->name);
		before = suite;
	}
	assert_int_equal(n, 361);
	for (size_t i = 0; i < n; i++) {
		assert_ptr_equal(suite_find(suite_at(i)->value), suite_at(i));
		assert_ptr_equal(suite_by_name(bytes_str(suite_at(i)->name)), suite_at(i));
	}
}

/* "0x13,0x01 - TLS_AES_128_GCM_SHA256 TLSv1.3 Kx=any Au=any Enc=AESGCM(128) Mac=AEAD" */
struct listed {
	unsigned high, low;
	char name[64], version[16], kx[32], auth[32], enc[40], mac[16];
};

static bool is_mac(const struct suite *suite, const char *mac)
{
	static const char *const names[] = {[SUITE_HASH_NONE] = "AEAD",
		[SUITE_HASH_MD5] = "MD5",
		[SUITE_HASH_SHA1] = "SHA1",
		[SUITE_HASH_SHA256] = "SHA256",
		[SUITE_HASH_SHA384] = "SHA384"};
	return suite->mac <= SUITE_HASH_SHA384 && strcmp(names[suite->mac], mac) == 0;
}

static bool is_kx(const struct suite *suite, const char *kx)
{
	static const char *const names[] = {[SUITE_KX_ANY] = "any",
		[SUITE_KX_RSA] = "RSA",
		[SUITE_KX_DH] = "DH/static",
		[SUITE_KX_DHE] = "DH",
		[SUITE_KX_ECDH] = "ECDH/static",
		[SUITE_KX_ECDHE] = "ECDH",
		[SUITE_KX_PSK] = "PSK",
		[SUITE_KX_RSA_PSK] = "RSAPSK",
		[SUITE_KX_DHE_PSK] = "DHEPSK",
		[SUITE_KX_ECDHE_PSK] = "ECDHEPSK",
		[SUITE_KX_SRP] = "SRP"};
	return suite->kx <= SUITE_KX_SRP && strcmp(names[suite->kx], kx) == 0;
}

static bool is_auth(const struct suite *suite, const char *auth)
{
	static const char *const names[] = {[SUITE_AUTH_ANY] = "any",
		[SUITE_AUTH_RSA] = "RSA",
		[SUITE_AUTH_DSS] = "DSS",
		[SUITE_AUTH_ECDSA] = "ECDSA",
		[SUITE_AUTH_PSK] = "PSK",
		[SUITE_AUTH_SRP] = "SRP",
		[SUITE_AUTH_KRB5] = "KRB5",
		[SUITE_AUTH_ECCPWD] = "ECCPWD",
		[SUITE_AUTH_GOST] = "GOST",
		[SUITE_AUTH_NONE] = "None"};
	return strcmp(names[suite->auth], auth) == 0;
}

static bool is_cipher(const struct suite *suite, const char *enc)
{
	static const char *const names[] = {[SUITE_CIPHER_NONE] = "None",
		[SUITE_CIPHER_AES_CBC] = "AES(%u)",
		[SUITE_CIPHER_CAMELLIA_CBC] = "Camellia(%u)",
		[SUITE_CIPHER_AES_GCM] = "AESGCM(%u)",
		[SUITE_CIPHER_AES_CCM] = "AESCCM(%u)",
		[SUITE_CIPHER_AES_CCM_8] = "AESCCM8(%u)",
		[SUITE_CIPHER_ARIA_GCM] = "ARIAGCM(%u)",
		[SUITE_CIPHER_CHACHA20_POLY1305] = "CHACHA20/POLY1305(%u)",
		[SUITE_CIPHER_SEED_CBC] = "SEED(%u)",
		[SUITE_CIPHER_3DES_CBC] = "3DES(%u)",
		[SUITE_CIPHER_RC4] = "RC4(%u)",
		[SUITE_CIPHER_GOST_MGM] = NULL};
	const char *format = names[suite->cipher];
	char name[40];
	if (!format)
		return false;
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wformat-nonliteral"
	snprintf(name, sizeof(name), format, (unsigned)suite->key_bits);
#pragma GCC diagnostic pop
	return strcmp(name, enc) == 0;
}

static bool is_version(const struct suite *suite, const char *version)
{
	/* OpenSSL lets some suites that need extensions run with SSL 3.0; RFC 4279 and others begin at TLS 1.0. */
	if (strcmp(version, "SSLv3") == 0)
		return suite->min_version <= 0x0301;
	uint16_t expected = strcmp(version, "TLSv1.3") == 0   ? 0x0304
	                    : strcmp(version, "TLSv1.2") == 0 ? 0x0303
	                                                      : 0x0301;
	return suite->min_version == expected;
}

static void what_openssl_lists_is_listed_alike(void **state)
{
	(void)state;
	FILE *list = popen("openssl ciphers -V 'ALL:COMPLEMENTOFALL:@SECLEVEL=0'", "r"); /* NOLINT(cert-env33-c) */
	assert_non_null(list);
	char line[256];
	unsigned count = 0;
	while (fgets(line, sizeof(line), list)) {
		struct listed l;
		if (sscanf(line, " 0x%2x,0x%2x - %63s %15s Kx=%31s Au=%31s Enc=%39s Mac=%15s", &l.high, &l.low, l.name,
			    l.version, l.kx, l.auth, l.enc, l.mac) != 8)
			fail_msg("not understood: %s", line);
		const struct suite *suite = suite_find((uint16_t)(l.high << 8 | l.low));
		if (!suite || !suite->openssl || strcmp(suite->openssl, l.name) != 0)
			fail_msg("not known by that name: %s", line);
		if (!is_kx(suite, l.kx) || !is_auth(suite, l.auth) || !is_cipher(suite, l.enc) ||
			!is_mac(suite, l.mac) || !is_version(suite, l.version))
			fail_msg("described otherwise: %s", line);
		assert_ptr_equal(suite_by_name(bytes_str(l.name)), suite);
		count++;
	}
	assert_int_equal(pclose(list), 0);
	assert_true(count >= 30);
}

static void standard_names_agree_with_openssl(void **state)
{
	(void)state;
	SSL_CTX *ctx = SSL_CTX_new(TLS_method());
	assert_int_equal(SSL_CTX_set_cipher_list(ctx, "ALL:COMPLEMENTOFALL:@SECLEVEL=0"), 1);
	STACK_OF(SSL_CIPHER) *ciphers = SSL_CTX_get_ciphers(ctx);
	for (int i = 0; i < sk_SSL_CIPHER_num(ciphers); i++) {
		const SSL_CIPHER *cipher = sk_SSL_CIPHER_value(ciphers, i);
		const char *name = suite_name(SSL_CIPHER_get_protocol_id(cipher));
		assert_non_null(name);
		/* The registry turned the words around in two names (RFC 6655); OpenSSL did not. */
		if (strncmp(name, "TLS_PSK_DHE_WITH_", 17) != 0)
			assert_string_equal(name, SSL_CIPHER_standard_name(cipher));
	}
	SSL_CTX_free(ctx);
}

static void strength_follows_from_the_parts(void **state)
{
	(void)state;
	const struct suite *suite;
	for (size_t i = 0; (suite = suite_at(i)); i++) {
		bool broken = suite->exported || suite->auth == SUITE_AUTH_NONE || suite->mac == SUITE_HASH_MD5 ||
		              suite->cipher <= SUITE_CIPHER_IDEA_CBC || suite->cipher == SUITE_CIPHER_GOST_28147 ||
		              strstr(suite->name, "MAGMA");
		if (broken)
			assert_int_equal(suite->strength, SUITE_BROKEN);
		else if (suite_is_aead(suite) && suite_is_forward_secret(suite) &&
			 suite->cipher != SUITE_CIPHER_AES_CCM_8)
			assert_int_equal(suite->strength, SUITE_STRONG);
		else
			assert_int_equal(suite->strength, SUITE_LEGACY);
		assert_true(suite->min_version <= suite->max_version);
		assert_int_equal(suite->kx == SUITE_KX_ANY, suite->min_version == 0x0304);
		assert_int_equal(suite->exported, strstr(suite->name, "EXPORT") != NULL);
		if (suite_is_aead(suite))
			assert_true(suite->min_version >= 0x0303 && suite->mac == SUITE_HASH_NONE);
	}
}

static void known_suites_are_classed_as_known(void **state)
{
	(void)state;
	assert_int_equal(suite_find(0x1301)->strength, SUITE_STRONG);
	assert_int_equal(suite_find(0x1301)->prf, SUITE_HASH_SHA256);
	assert_int_equal(suite_find(0x1302)->prf, SUITE_HASH_SHA384);
	assert_int_equal(suite_find(0x1305)->strength, SUITE_LEGACY);
	assert_int_equal(suite_find(0xc02b)->strength, SUITE_STRONG);
	assert_int_equal(suite_find(0xc013)->strength, SUITE_LEGACY);
	assert_int_equal(suite_find(0x009c)->strength, SUITE_LEGACY);
	assert_int_equal(suite_find(0x000a)->strength, SUITE_BROKEN);
	assert_int_equal(suite_find(0x0005)->strength, SUITE_BROKEN);
	assert_int_equal(suite_find(0x0003)->strength, SUITE_BROKEN);
	assert_int_equal(suite_find(0x00a6)->strength, SUITE_BROKEN);
	assert_true(suite_fits_version(suite_find(0xc02f), 0x0303));
	assert_false(suite_fits_version(suite_find(0xc02f), 0x0304));
	assert_false(suite_fits_version(suite_find(0x1301), 0x0303));
	assert_string_equal(suite_strength_name(SUITE_STRONG), "strong");
	assert_string_equal(suite_strength_name(SUITE_LEGACY), "legacy");
	assert_string_equal(suite_strength_name(SUITE_BROKEN), "broken");
}

static void signals_and_grease_have_names_but_are_no_suites(void **state)
{
	(void)state;
	assert_null(suite_find(0x00ff));
	assert_string_equal(suite_name(0x00ff), "TLS_EMPTY_RENEGOTIATION_INFO_SCSV");
	assert_string_equal(suite_name(0x5600), "TLS_FALLBACK_SCSV");
	assert_string_equal(suite_name(0xdada), "GREASE");
	assert_null(suite_find(0xdada));
	assert_null(suite_name(0xfffe));
	assert_null(suite_by_name(bytes_str("TLS_NO_SUCH")));
	assert_null(suite_at(SIZE_MAX));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_table_is_sorted_without_duplicates),
		cmocka_unit_test(what_openssl_lists_is_listed_alike),
		cmocka_unit_test(standard_names_agree_with_openssl),
		cmocka_unit_test(strength_follows_from_the_parts),
		cmocka_unit_test(known_suites_are_classed_as_known),
		cmocka_unit_test(signals_and_grease_have_names_but_are_no_suites),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
