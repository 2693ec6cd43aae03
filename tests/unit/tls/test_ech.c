#include "tls/ech.h"

#include "base/text.h"
#include "ech_vectors.h"
#include "support.h"

#include <openssl/evp.h>
#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

static struct bed {
	struct crypto *crypto;
	uint8_t outer[1024], inner[1024], server[1024], config[256], secret[64], random[32];
	struct bytes at_outer, at_inner, at_server, at_config, at_secret, at_random;
	uint8_t out[2048];
} b;

static struct bytes unhex(uint8_t *room, size_t cap, const char *hex)
{
	size_t len;
	assert_true(text_unhex(room, cap, &len, bytes_str(hex)));
	return bytes_of(room, len);
}

static int begin(void **state)
{
	(void)state;
	b.crypto = crypto_new();
	b.at_outer = unhex(b.outer, sizeof(b.outer), ech_outer);
	b.at_inner = unhex(b.inner, sizeof(b.inner), ech_inner);
	b.at_server = unhex(b.server, sizeof(b.server), ech_server_hello);
	b.at_config = unhex(b.config, sizeof(b.config), ech_config);
	b.at_secret = unhex(b.secret, sizeof(b.secret), ech_secret);
	b.at_random = unhex(b.random, sizeof(b.random), ech_inner_random);
	return 0;
}

static int end(void **state)
{
	(void)state;
	crypto_free(b.crypto);
	return 0;
}

static struct client_hello parsed(void)
{
	struct client_hello hello;
	assert_int_equal(client_hello_parse(b.at_outer, &hello), HELLO_OK);
	return hello;
}

static struct ech_context context(struct bytes config)
{
	struct client_hello hello = parsed();
	struct ech_offer offer;
	struct ech_context hpke;
	assert_true(ech_offer_of(&hello, &offer));
	assert_true(ech_begin(b.crypto, &offer, config, b.at_secret, &hpke));
	return hpke;
}

static enum ech_result opened(const struct ech_context *hpke, uint64_t sequence, size_t room, struct bytes *whole)
{
	struct client_hello hello = parsed();
	struct writer w = writer_over(b.out, room);
	enum ech_result result = ech_open(b.crypto, hpke, sequence, &hello, &w);
	*whole = bytes_of(b.out, w.len);
	return result;
}

static void the_inner_hello_comes_out_as_it_was_meant(void **state)
{
	(void)state;
	struct ech_context hpke = context(b.at_config);
	struct bytes whole;
	assert_int_equal(opened(&hpke, 0, sizeof(b.out), &whole), ECH_OK);
	assert_true(bytes_equal(whole, b.at_inner));
	assert_int_equal(opened(&hpke, 1, sizeof(b.out), &whole), ECH_SEALED);
	assert_int_equal(opened(&hpke, 0, b.at_inner.len - 1, &whole), ECH_NO_ROOM);
	assert_int_equal(whole.len, 0);
}

static void each_octet_of_the_outer_hello_is_authenticated(void **state)
{
	(void)state;
	struct ech_context hpke = context(b.at_config);
	struct bytes whole;
	struct client_hello hello;
	for (size_t i = 0; i < b.at_outer.len; i++) {
		b.outer[i] ^= 1;
		struct writer w = writer_over(b.out, sizeof(b.out));
		if (client_hello_parse(b.at_outer, &hello) == HELLO_OK)
			assert_int_equal(ech_open(b.crypto, &hpke, 0, &hello, &w), ECH_SEALED);
		b.outer[i] ^= 1;
	}
	assert_int_equal(opened(&hpke, 0, sizeof(b.out), &whole), ECH_OK);
}

static void the_configuration_is_found_in_a_list(void **state)
{
	(void)state;
	uint8_t room[1024];
	struct writer w = writer_over(room, sizeof(room));
	struct bytes list, whole;
	size_t mark = writer_open(&w, 2);
	/* Of another version, and with another id. */
	writer_bytes(&w, RAW(0xfe, 0x0c, 0, 3, 7, 0, 0x20));
	writer_bytes(&w, RAW(0xfe, 0x0d, 0, 3, 8, 0, 0x20));
	writer_bytes(&w, b.at_config);
	writer_close(&w, mark, 2);
	assert_true(writer_done(&w, &list));
	struct ech_context hpke = context(list);
	assert_int_equal(opened(&hpke, 0, sizeof(b.out), &whole), ECH_OK);
}

static void a_configuration_that_does_not_fit_is_refused(void **state)
{
	(void)state;
	struct client_hello hello = parsed();
	struct ech_offer offer;
	struct ech_context hpke;
	assert_true(ech_offer_of(&hello, &offer));
	assert_false(ech_begin(b.crypto, &offer, BYTES_NONE, b.at_secret, &hpke));
	for (size_t len = 0; len < b.at_config.len; len++)
		assert_false(ech_begin(b.crypto, &offer, bytes_of(b.config, len), b.at_secret, &hpke));
	offer.config ^= 1;
	assert_false(ech_begin(b.crypto, &offer, b.at_config, b.at_secret, &hpke));
}

static bool accepted(struct bytes server_hello, struct bytes random)
{
	struct transcript t;
	transcript_init(&t, TRANSCRIPT_CAP);
	assert_int_equal(transcript_add(&t, b.at_inner), TRANSCRIPT_OK);
	assert_int_equal(transcript_choose(&t, SUITE_HASH_SHA256), TRANSCRIPT_OK);
	bool yes = ech_accepted(b.crypto, SUITE_HASH_SHA256, random, &t, server_hello);
	transcript_free(&t);
	return yes;
}

static void the_server_hello_says_that_it_was_taken(void **state)
{
	(void)state;
	assert_true(accepted(b.at_server, b.at_random));
	for (size_t i = 0; i < b.at_server.len; i++) {
		b.server[i] ^= 0x80;
		assert_false(accepted(b.at_server, b.at_random));
		b.server[i] ^= 0x80;
	}
	for (size_t len = 0; len < b.at_server.len; len++)
		assert_false(accepted(bytes_of(b.server, len), b.at_random));
	assert_false(accepted(b.at_server, bytes_of(b.outer + 2, 32)));
}

/* Inner hellos of the test's own. */

static struct bytes seal(const struct ech_context *hpke, struct bytes aad, struct bytes plain, uint8_t *out)
{
	EVP_CIPHER_CTX *ctx = EVP_CIPHER_CTX_new();
	int n = 0, last = 0;
	assert_true(EVP_EncryptInit_ex(ctx, EVP_aes_128_gcm(), NULL, hpke->key, hpke->nonce) &&
		    EVP_EncryptUpdate(ctx, NULL, &n, aad.data, (int)aad.len) &&
		    EVP_EncryptUpdate(ctx, out, &n, plain.data, (int)plain.len) &&
		    EVP_EncryptFinal_ex(ctx, out + n, &last) &&
		    EVP_CIPHER_CTX_ctrl(ctx, EVP_CTRL_AEAD_GET_TAG, ECH_TAG, out + n) > 0);
	EVP_CIPHER_CTX_free(ctx);
	return bytes_of(out, plain.len + ECH_TAG);
}

static struct bytes make_outer(uint8_t *room, size_t cap, struct bytes payload)
{
	static const uint8_t random[32];
	struct writer w = writer_over(room, cap);
	struct bytes made;
	writer_u16(&w, 0x0303);
	writer_bytes(&w, bytes_of(random, sizeof(random)));
	writer_vec8(&w, RAW(1, 2, 3));
	writer_vec16(&w, RAW(0x13, 0x01));
	writer_vec8(&w, RAW(0));
	size_t block = writer_open(&w, 2);
	writer_bytes(&w, RAW(0, 43, 0, 3, 2, 3, 4));
	writer_bytes(&w, RAW(0, 10, 0, 4, 0, 2, 0, 29));
	writer_u16(&w, 0xfe0d);
	size_t ech = writer_open(&w, 2);
	writer_bytes(&w, RAW(0, 0, 1, 0, 1, 7));
	writer_vec16(&w, RAW(9));
	writer_vec16(&w, payload);
	writer_close(&w, ech, 2);
	writer_close(&w, block, 2);
	assert_true(writer_done(&w, &made));
	return made;
}

static enum ech_result judge(struct bytes session, struct bytes extensions, struct bytes padding)
{
	static const uint8_t zeros[512], random[32];
	uint8_t plain_room[512], sealed[512], blank_room[1024], outer_room[1024];
	struct ech_context hpke = context(b.at_config);
	struct writer w = writer_over(plain_room, sizeof(plain_room)), out = writer_over(b.out, sizeof(b.out));
	struct bytes plain;
	struct client_hello hello;
	writer_u16(&w, 0x0303);
	writer_bytes(&w, bytes_of(random, sizeof(random)));
	writer_vec8(&w, session);
	writer_vec16(&w, RAW(0x13, 0x01));
	writer_vec8(&w, RAW(0));
	writer_vec16(&w, extensions);
	writer_bytes(&w, padding);
	assert_true(writer_done(&w, &plain));
	struct bytes aad = make_outer(blank_room, sizeof(blank_room), bytes_of(zeros, plain.len + ECH_TAG));
	struct bytes outer = make_outer(outer_room, sizeof(outer_room), seal(&hpke, aad, plain, sealed));
	assert_int_equal(client_hello_parse(outer, &hello), HELLO_OK);
	return ech_open(b.crypto, &hpke, 0, &hello, &out);
}

#define MARK 0xfe, 0x0d, 0, 1, 1

static void what_breaks_the_rules_of_an_inner_hello_is_refused(void **state)
{
	(void)state;
	struct bytes none = BYTES_NONE;
	assert_int_equal(judge(none, RAW(MARK), none), ECH_OK);
	assert_int_equal(judge(none, RAW(MARK, 0xfd, 0, 0, 5, 4, 0, 43, 0, 10), RAW(0, 0)), ECH_OK);
	/* A session id; padding that is not zero; no mark. */
	assert_int_equal(judge(RAW(1), RAW(MARK), none), ECH_BAD_INNER);
	assert_int_equal(judge(none, RAW(MARK), RAW(0, 1)), ECH_BAD_INNER);
	assert_int_equal(judge(none, RAW(0, 43, 0, 3, 2, 3, 4), none), ECH_BAD_INNER);
	/* Outer extensions: not there; in another order; twice; of the extension itself; an odd list; an empty one; two lists. */
	assert_int_equal(judge(none, RAW(MARK, 0xfd, 0, 0, 3, 2, 0, 44), none), ECH_BAD_INNER);
	assert_int_equal(judge(none, RAW(MARK, 0xfd, 0, 0, 5, 4, 0, 10, 0, 43), none), ECH_BAD_INNER);
	assert_int_equal(judge(none, RAW(MARK, 0xfd, 0, 0, 5, 4, 0, 43, 0, 43), none), ECH_BAD_INNER);
	assert_int_equal(judge(none, RAW(0xfd, 0, 0, 3, 2, 0xfe, 0x0d), none), ECH_BAD_INNER);
	assert_int_equal(judge(none, RAW(MARK, 0xfd, 0, 0, 4, 3, 0, 43, 0), none), ECH_BAD_INNER);
	assert_int_equal(judge(none, RAW(MARK, 0xfd, 0, 0, 1, 0), none), ECH_BAD_INNER);
	assert_int_equal(judge(none, RAW(MARK, 0xfd, 0, 0, 3, 2, 0, 43, 0xfd, 0, 0, 3, 2, 0, 10), none), ECH_BAD_INNER);
	/* One that stands beside its own. */
	assert_int_equal(judge(none, RAW(MARK, 0, 43, 0, 3, 2, 3, 4, 0xfd, 0, 0, 3, 2, 0, 43), none), ECH_BAD_INNER);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_inner_hello_comes_out_as_it_was_meant),
		cmocka_unit_test(each_octet_of_the_outer_hello_is_authenticated),
		cmocka_unit_test(the_configuration_is_found_in_a_list),
		cmocka_unit_test(a_configuration_that_does_not_fit_is_refused),
		cmocka_unit_test(the_server_hello_says_that_it_was_taken),
		cmocka_unit_test(what_breaks_the_rules_of_an_inner_hello_is_refused),
	};
	return cmocka_run_group_tests(tests, begin, end);
}
