#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
/* clang-format off */
#include <cmocka.h>
/* clang-format on */
#include "assess/testimony.h"

#include <openssl/evp.h>
#include <openssl/x509.h>
#include <stdlib.h>
#include <string.h>

static struct testimony *make(void)
{
	struct testimony *one = calloc(1, sizeof(*one));
	assert_non_null(one);
	*one = (struct testimony){.hello_len = 300,
		.source = "192.0.2.1:443",
		.version = 0x0304,
		.suite = 0x1301,
		.extended_master_secret = true};
	memset(one->nonce, 1, sizeof(one->nonce));
	memset(one->hello, 2, one->hello_len);
	memset(one->binding, 3, sizeof(one->binding));
	return one;
}

static void what_is_written_is_read_with_the_digest_of_the_key_that_signed(void **state)
{
	(void)state;
	struct testimony *one = make(), *two = calloc(1, sizeof(*two));
	char *text = malloc(TESTIMONY_MAX);
	uint8_t key[32], wanted[32];
	unsigned char *spki = NULL;
	EVP_PKEY *pkey = EVP_EC_gen("P-256");
	size_t len = testimony_write(one, pkey, text, TESTIMONY_MAX);
	assert_true(len > 0 && testimony_read(bytes_of(text, len), two, key));
	assert_memory_equal(one, two, sizeof(*one));
	int spki_len = i2d_PUBKEY(pkey, &spki);
	assert_int_equal(EVP_Digest(spki, (size_t)spki_len, wanted, NULL, EVP_sha256(), NULL), 1);
	assert_memory_equal(key, wanted, sizeof(key));
	assert_int_equal(testimony_write(one, pkey, text, 100), 0);
	OPENSSL_free(spki);
	EVP_PKEY_free(pkey);
	free(text);
	free(one);
	free(two);
}

/* As one in between would: put its own view in, and keep the signature. */
static void a_changed_field_breaks_the_signature(void **state)
{
	(void)state;
	static const char *const fields[] = {"\"nonce\":\"", "\"hello\":\"", "\"source\":\"",
		"\"version\":", "\"suite\":", "\"extended_master_secret\":", "\"binding\":\"", "\"key\":\"",
		"\"signature\":\""};
	struct testimony *one = make(), *two = calloc(1, sizeof(*two));
	char *text = malloc(TESTIMONY_MAX + 1);
	uint8_t key[32];
	EVP_PKEY *pkey = EVP_EC_gen("P-256");
	size_t len = testimony_write(one, pkey, text, TESTIMONY_MAX);
	text[len] = '\0';
	for (size_t i = 0; i < sizeof(fields) / sizeof(fields[0]); i++) {
		char *at = strstr(text, fields[i]);
		assert_non_null(at);
		at += strlen(fields[i]);
		char before = *at;
		*at = before == '0' ? '1' : '0';
		assert_false(testimony_read(bytes_of(text, len), two, key));
		*at = before;
	}
	assert_true(testimony_read(bytes_of(text, len), two, key));
	for (size_t cut = 0; cut + 2 < len; cut += 7)
		assert_false(testimony_read(bytes_of(text, cut), two, key));
	EVP_PKEY_free(pkey);
	free(text);
	free(one);
	free(two);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(what_is_written_is_read_with_the_digest_of_the_key_that_signed),
		cmocka_unit_test(a_changed_field_breaks_the_signature),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
