#include "support.h"
#include "tls/protect.h"
#include "tls/schedule13.h"

#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/rand.h>
#include <stdlib.h>

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

#define TLS12 0x0303
#define TLS13 0x0304

static struct crypto *crypto;
static struct traffic_keys keys;

static struct protect *make(uint16_t suite, uint16_t version, bool encrypt_then_mac, uint64_t sequence)
{
	struct protect_setup setup = {suite_find(suite), version, encrypt_then_mac, &keys, sequence};
	return protect_new(crypto, &setup);
}

static struct record read_one(struct bytes in)
{
	struct record record;
	assert_int_equal(record_read(&in, &record), RECORD_OK);
	assert_int_equal(in.len, 0);
	return record;
}

/* A record sealed by a TLS 1.3 suite around an inner plaintext of the test's own making. */
static struct bytes seal_inner(struct bytes inner, uint8_t *room, size_t cap)
{
	struct writer w = writer_over(room, cap);
	EVP_CIPHER_CTX *ctx = EVP_CIPHER_CTX_new();
	int n;
	writer_u8(&w, 23);
	writer_u16(&w, TLS12);
	writer_u16(&w, (uint16_t)(inner.len + 16));
	assert_true(cap >= 5 + inner.len + 16);
	assert_int_equal(EVP_EncryptInit_ex(ctx, EVP_aes_128_gcm(), NULL, keys.key, keys.iv), 1);
	assert_int_equal(EVP_EncryptUpdate(ctx, NULL, &n, room, 5), 1);
	assert_int_equal(EVP_EncryptUpdate(ctx, room + 5, &n, inner.data, (int)inner.len), 1);
	assert_int_equal(EVP_EncryptFinal_ex(ctx, room + 5 + inner.len, &n), 1);
	assert_int_equal(EVP_CIPHER_CTX_ctrl(ctx, EVP_CTRL_AEAD_GET_TAG, 16, room + 5 + inner.len), 1);
	EVP_CIPHER_CTX_free(ctx);
	return bytes_of(room, 5 + inner.len + 16);
}

/* Records of many lengths, sealed and opened, in place and apart; a flipped bit in between changes nothing. */
static void round_trip(uint16_t suite, uint16_t version, bool encrypt_then_mac)
{
	static const size_t lens[] = {0, 1, 7, 15, 16, 17, 31, 32, 33, 255, 256, 1000, 16383, 16384};
	static uint8_t plain[16384], room[17000], out[17000];
	struct protect *from = make(suite, version, encrypt_then_mac, 77);
	struct protect *to = make(suite, version, encrypt_then_mac, 77);
	assert_non_null(from);
	assert_non_null(to);
	RAND_bytes(plain, sizeof(plain));
	for (size_t i = 0; i < sizeof(lens) / sizeof(lens[0]); i++) {
		struct writer w = writer_over(room, sizeof(room));
		struct bytes text = bytes_of(plain, lens[i]), sealed;
		struct opened opened;
		size_t padding = version == TLS13 && lens[i] < 1000 ? i : 0;
		assert_int_equal(protect_seal(from, 23, text, padding, &w), PROTECT_OK);
		assert_true(writer_done(&w, &sealed));
		struct record record = read_one(sealed);
		assert_true(record.fragment.len <= text.len + padding + protect_overhead(from));
		size_t bit = (lens[i] * 37) % (record.fragment.len * 8);
		memcpy(out, record.fragment.data, record.fragment.len);
		out[bit / 8] ^= (uint8_t)(1 << bit % 8);
		struct record bad = record;
		bad.fragment.data = out;
		assert_int_equal(protect_open(to, &bad, out, sizeof(out), &opened), PROTECT_BAD_TAG);
		assert_int_equal(protect_sequence(to), 77 + i);
		/* In place every second time. */
		uint8_t *dest = i % 2 ? room + RECORD_HEADER : out;
		assert_int_equal(protect_open(to, &record, dest, record.fragment.len, &opened), PROTECT_OK);
		assert_true(bytes_equal(opened.plaintext, text));
		assert_int_equal(opened.type, 23);
		assert_int_equal(opened.padding, padding);
		assert_int_equal(opened.sequence, 77 + i);
	}
	protect_free(from);
	protect_free(to);
}

static void every_suite_in_the_table_is_done_or_said_why_not(void **state)
{
	(void)state;
	unsigned done = 0, unknown = 0, missing = 0;
	const struct suite *suite;
	for (size_t i = 0; (suite = suite_at(i)); i++) {
		uint16_t version = suite->min_version == TLS13 ? TLS13 : TLS12;
		struct protect *p = make(suite->value, version, false, 0);
		switch (protect_supports(crypto, suite, version)) {
		case PROTECT_SUPPORTED:
			assert_non_null(p);
			round_trip(suite->value, version, false);
			if (!suite_is_aead(suite))
				round_trip(suite->value, version, true);
			done++;
			break;
		case PROTECT_WRONG_VERSION:
			assert_true(suite->max_version < TLS12);
			assert_null(p);
			break;
		case PROTECT_UNKNOWN_FORM:
			assert_null(p);
			unknown++;
			break;
		default:
			assert_null(p);
			missing++;
			break;
		}
		protect_free(p);
	}
	print_message("# %u suites done, %u of unknown form, %u not in libcrypto\n", done, unknown, missing);
	assert_true(done > 250);
	assert_int_equal(ERR_peek_error(), 0);
}

static void what_is_missing_is_named(void **state)
{
	(void)state;
	assert_int_equal(protect_supports(crypto, suite_find(0x1301), TLS12), PROTECT_WRONG_VERSION);
	assert_int_equal(protect_supports(crypto, suite_find(0xc02f), TLS13), PROTECT_WRONG_VERSION);
	assert_int_equal(protect_supports(crypto, suite_find(0xc02f), 0x0302), PROTECT_WRONG_VERSION);
	assert_int_equal(protect_supports(crypto, suite_find(0x0000), TLS12), PROTECT_UNKNOWN_FORM);
	/* Camellia-GCM is in no libcrypto. */
	assert_int_equal(protect_supports(crypto, suite_find(0xc07a), TLS12), PROTECT_NO_CIPHER);
	assert_string_equal(protect_support_text(PROTECT_NO_CIPHER), "libcrypto has no such cipher");
	assert_int_equal(ERR_peek_error(), 0);
}

static void limits_of_tls13_are_kept(void **state)
{
	(void)state;
	static uint8_t inner[16400], room[17000], out[17000];
	struct opened opened;
	struct protect *p = make(0x1301, TLS13, false, 0);
	/* Nothing but zeros. */
	struct record record = read_one(seal_inner(bytes_of(inner, 100), room, sizeof(room)));
	assert_int_equal(protect_open(p, &record, out, sizeof(out), &opened), PROTECT_NO_TYPE);
	assert_int_equal(protect_sequence(p), 1);
	/* 2^14 octets and a type are the most, 2^14 + 1 and one too many, whatever part of it is padding. */
	protect_seek(p, 0);
	inner[16384] = 23;
	record = read_one(seal_inner(bytes_of(inner, 16385), room, sizeof(room)));
	assert_int_equal(protect_open(p, &record, out, sizeof(out), &opened), PROTECT_OK);
	assert_int_equal(opened.plaintext.len, 16384);
	protect_seek(p, 0);
	record = read_one(seal_inner(bytes_of(inner, 16386), room, sizeof(room)));
	assert_int_equal(protect_open(p, &record, out, sizeof(out), &opened), PROTECT_TOO_LONG);
	/* A record with a type and no content. */
	protect_seek(p, 0);
	inner[0] = 22;
	record = read_one(seal_inner(bytes_of(inner, 1), room, sizeof(room)));
	assert_int_equal(protect_open(p, &record, out, sizeof(out), &opened), PROTECT_OK);
	assert_int_equal(opened.plaintext.len, 0);
	assert_int_equal(opened.type, 22);
	protect_free(p);
}

static void fragments_too_short_are_told_by_their_length(void **state)
{
	(void)state;
	static const struct {
		uint16_t suite, version;
		bool encrypt_then_mac;
		size_t least;
	} cases[] = {{0x1301, TLS13, false, 17}, {0x1305, TLS13, false, 9}, {0xc02f, TLS12, false, 24},
		{0xc0a0, TLS12, false, 16}, {0xcca8, TLS12, false, 16}, {0xc013, TLS12, false, 48},
		{0xc013, TLS12, true, 52}, {0x000a, TLS12, false, 32}, {0x0005, TLS12, false, 20},
		{0x003b, TLS12, false, 32}};
	static const uint8_t zeros[600];
	uint8_t out[600];
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct protect *p = make(cases[i].suite, cases[i].version, cases[i].encrypt_then_mac, 0);
		assert_non_null(p);
		for (size_t len = 0; len < 100; len++) {
			struct record record = {23, TLS12, bytes_of(zeros, len)};
			struct opened opened;
			enum protect_result result = protect_open(p, &record, out, sizeof(out), &opened);
			assert_int_not_equal(result, PROTECT_OK);
			if (len < cases[i].least)
				assert_int_equal(result, PROTECT_BAD_LENGTH);
			if (len == cases[i].least)
				assert_int_equal(result, PROTECT_BAD_TAG);
		}
		protect_free(p);
	}
	assert_int_equal(ERR_peek_error(), 0);
}

static void small_buffers_and_used_up_numbers_are_refused(void **state)
{
	(void)state;
	uint8_t room[200], out[200];
	struct opened opened;
	struct bytes sealed;
	struct protect *p = make(0x1301, TLS13, false, UINT64_MAX - 1), *q = make(0x1301, TLS13, false, UINT64_MAX - 1);
	struct writer w = writer_over(room, 30);
	assert_int_equal(protect_seal(p, 23, bytes_str("more than that"), 0, &w), PROTECT_NO_ROOM);
	assert_int_equal(w.len, 0);
	w = writer_over(room, sizeof(room));
	assert_int_equal(protect_seal(p, 23, bytes_of(room, 16384), 1, &w), PROTECT_TOO_LONG);
	assert_int_equal(protect_seal(p, 23, bytes_str("the last"), 0, &w), PROTECT_OK);
	assert_int_equal(protect_seal(p, 23, bytes_str("one too many"), 0, &w), PROTECT_EXHAUSTED);
	assert_true(writer_done(&w, &sealed));
	struct record record = read_one(sealed);
	assert_int_equal(protect_open(q, &record, out, record.fragment.len - 1, &opened), PROTECT_NO_ROOM);
	assert_int_equal(protect_open(q, &record, out, record.fragment.len, &opened), PROTECT_OK);
	assert_int_equal(protect_open(q, &record, out, sizeof(out), &opened), PROTECT_EXHAUSTED);
	protect_free(p);
	protect_free(q);
}

static void rc4_goes_on_after_a_loss_whose_length_is_known(void **state)
{
	(void)state;
	uint8_t room[9000], out[9000], data[3000] = {1};
	struct opened opened;
	struct protect *p = make(0x0005, TLS12, false, 0), *q = make(0x0005, TLS12, false, 0);
	assert_non_null(p);
	size_t lost = 0;
	for (int i = 0; i < 3; i++) {
		struct writer w = writer_over(room, sizeof(room));
		struct bytes sealed;
		assert_int_equal(protect_seal(p, 23, bytes_of(data, sizeof(data)), 0, &w), PROTECT_OK);
		assert_true(writer_done(&w, &sealed));
		struct record record = read_one(sealed);
		if (i < 2) {
			lost += record.fragment.len;
			continue;
		}
		assert_int_equal(protect_open(q, &record, out, sizeof(out), &opened), PROTECT_BAD_TAG);
		protect_seek(q, 2);
		assert_int_equal(protect_open(q, &record, out, sizeof(out), &opened), PROTECT_BAD_TAG);
		assert_true(protect_skip(q, lost));
		assert_int_equal(protect_open(q, &record, out, sizeof(out), &opened), PROTECT_OK);
		assert_true(bytes_equal(opened.plaintext, bytes_of(data, sizeof(data))));
	}
	protect_free(p);
	protect_free(q);
}

static void dtls_records_carry_their_number(void **state)
{
	(void)state;
	static const uint16_t suites[] = {0xc02f, 0xc0a0, 0xcca8, 0xc013, 0x003b};
	uint8_t room[300], out[300];
	for (size_t i = 0; i < sizeof(suites) / sizeof(suites[0]); i++) {
		struct protect *p = make(suites[i], TLS12, i == 3, 0);
		struct writer w = writer_over(room, sizeof(room));
		struct bytes sealed, text = bytes_str("a datagram's content");
		struct dtls_record record;
		struct opened opened;
		assert_int_equal(protect_seal_dtls(p, 23, 1, 0x123456789abc, text, &w), PROTECT_OK);
		assert_true(writer_done(&w, &sealed));
		assert_int_equal(dtls_record_read(&sealed, &record), DTLS_OK);
		assert_int_equal(record.epoch, 1);
		assert_int_equal(record.sequence, 0x123456789abc);
		assert_int_equal(protect_open_dtls(p, &record, out, sizeof(out), &opened), PROTECT_OK);
		assert_true(bytes_equal(opened.plaintext, text));
		record.sequence++;
		assert_int_equal(protect_open_dtls(p, &record, out, sizeof(out), &opened), PROTECT_BAD_TAG);
		record.sequence--;
		record.epoch++;
		assert_int_equal(protect_open_dtls(p, &record, out, sizeof(out), &opened), PROTECT_BAD_TAG);
		protect_free(p);
	}
}

static void encrypt_blocks(const uint8_t *iv, const uint8_t *in, size_t len, uint8_t *out)
{
	EVP_CIPHER_CTX *ctx = EVP_CIPHER_CTX_new();
	int n;
	assert_int_equal(EVP_EncryptInit_ex(ctx, EVP_aes_128_cbc(), NULL, keys.key, iv), 1);
	assert_int_equal(EVP_CIPHER_CTX_set_padding(ctx, 0), 1);
	assert_int_equal(EVP_EncryptUpdate(ctx, out, &n, in, (int)len), 1);
	assert_int_equal(n, len);
	EVP_CIPHER_CTX_free(ctx);
}

static struct tls_secret mac_of(struct bytes content)
{
	uint8_t head[13] = {0, 0, 0, 0, 0, 0, 0, 0, 23, 3, 3, 0, (uint8_t)content.len};
	struct bytes parts[2] = {bytes_of(head, sizeof(head)), content};
	struct tls_secret mac;
	head[11] = (uint8_t)(content.len >> 8);
	assert_true(crypto_hmac(crypto, SUITE_HASH_SHA1, bytes_of(keys.mac, 20), parts, 2, &mac));
	return mac;
}

/* ECDHE_RSA_WITH_AES_128_CBC_SHA around "text" with `pad` octets of padding, one of which, if any, is wrong. */
static struct record craft(bool encrypt_then_mac, size_t pad, size_t wrong, uint8_t room[400])
{
	uint8_t inner[400];
	struct writer w = writer_over(inner, sizeof(inner)), to = writer_over(room, 400);
	writer_bytes(&w, bytes_str("text"));
	if (!encrypt_then_mac) {
		struct tls_secret mac = mac_of(bytes_str("text"));
		writer_bytes(&w, tls_secret_bytes(&mac));
	}
	for (size_t i = 0; i < pad; i++)
		writer_u8(&w, (uint8_t)(pad - 1 + (i + 1 == wrong ? 1 : 0)));
	assert_int_equal(w.len % 16, 0);
	writer_bytes(&to, bytes_of((const uint8_t[16]){9}, 16));
	encrypt_blocks(room, inner, w.len, room + 16);
	to.len += w.len;
	if (encrypt_then_mac) {
		struct tls_secret mac = mac_of(bytes_of(room, to.len));
		writer_bytes(&to, tls_secret_bytes(&mac));
	}
	return (struct record){23, TLS12, bytes_of(room, to.len)};
}

static void padding_of_every_length_is_taken_off_and_checked(void **state)
{
	(void)state;
	uint8_t room[400], out[400];
	struct opened opened;
	for (int etm = 0; etm < 2; etm++) {
		struct protect *p = make(0xc013, TLS12, etm, 0);
		/* What fills whole blocks behind 4 octets of text, and behind those and 20 of MAC. */
		for (size_t pad = etm ? 12 : 8; pad <= 256; pad += 16) {
			struct record record = craft(etm, pad, 0, room);
			protect_seek(p, 0);
			assert_int_equal(protect_open(p, &record, out, sizeof(out), &opened), PROTECT_OK);
			assert_true(bytes_equal(opened.plaintext, bytes_str("text")));
			assert_true(record.fragment.len <= 4 + protect_overhead(p));
			for (size_t wrong = 1; wrong < pad; wrong++) {
				record = craft(etm, pad, wrong, room);
				protect_seek(p, 0);
				assert_int_equal(protect_open(p, &record, out, sizeof(out), &opened), PROTECT_BAD_TAG);
			}
		}
		protect_free(p);
	}
}

static void without_the_legacy_provider_its_suites_are_refused_by_name(void **state)
{
	(void)state;
	const char *before = getenv("OPENSSL_MODULES");
	char *kept = before ? strdup(before) : NULL;
	assert_int_equal(setenv("OPENSSL_MODULES", "/nonexistent", 1), 0);
	struct crypto *bare = crypto_new();
	assert_int_equal(protect_supports(bare, suite_find(0x0005), TLS12), PROTECT_NO_LEGACY);
	assert_int_equal(protect_supports(bare, suite_find(0x0096), TLS12), PROTECT_NO_LEGACY);
	assert_int_equal(protect_supports(bare, suite_find(0xc02f), TLS12), PROTECT_SUPPORTED);
	crypto_free(bare);
	assert_int_equal(kept ? setenv("OPENSSL_MODULES", kept, 1) : unsetenv("OPENSSL_MODULES"), 0);
	free(kept);
	assert_int_equal(ERR_peek_error(), 0);
}

static void another_key_never_opens(void **state)
{
	(void)state;
	static const uint16_t suites[] = {0xc02f, 0xc0a0, 0xcca8, 0xc013, 0x003b, 0x000a, 0x0096};
	uint8_t room[300], out[300];
	for (size_t i = 0; i < sizeof(suites) / sizeof(suites[0]); i++) {
		struct protect *p = make(suites[i], TLS12, false, 0);
		struct writer w = writer_over(room, sizeof(room));
		struct bytes sealed;
		assert_int_equal(protect_seal(p, 23, bytes_str("text"), 0, &w), PROTECT_OK);
		assert_true(writer_done(&w, &sealed));
		struct record record = read_one(sealed);
		protect_free(p);
		for (int trial = 0; trial < 300; trial++) {
			struct opened opened;
			struct traffic_keys good = keys;
			RAND_bytes((unsigned char *)&keys, sizeof(keys));
			p = make(suites[i], TLS12, false, 0);
			keys = good;
			assert_int_equal(protect_open(p, &record, out, sizeof(out), &opened), PROTECT_BAD_TAG);
			protect_free(p);
		}
	}
}

static int begin(void **state)
{
	(void)state;
	crypto = crypto_new();
	RAND_bytes((unsigned char *)&keys, sizeof(keys));
	return crypto ? 0 : -1;
}

static int end(void **state)
{
	(void)state;
	crypto_free(crypto);
	return 0;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_suite_in_the_table_is_done_or_said_why_not),
		cmocka_unit_test(what_is_missing_is_named),
		cmocka_unit_test(limits_of_tls13_are_kept),
		cmocka_unit_test(fragments_too_short_are_told_by_their_length),
		cmocka_unit_test(small_buffers_and_used_up_numbers_are_refused),
		cmocka_unit_test(rc4_goes_on_after_a_loss_whose_length_is_known),
		cmocka_unit_test(dtls_records_carry_their_number),
		cmocka_unit_test(padding_of_every_length_is_taken_off_and_checked),
		cmocka_unit_test(without_the_legacy_provider_its_suites_are_refused_by_name),
		cmocka_unit_test(another_key_never_opens),
	};
	return cmocka_run_group_tests(tests, begin, end);
}
