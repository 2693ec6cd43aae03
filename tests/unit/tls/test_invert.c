#include "support.h"
#include "tls/invert.h"

#include <openssl/err.h>
#include <openssl/rand.h>

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

#define TLS12 0x0303
#define TLS13 0x0304

static struct crypto *crypto;

static uint64_t random_number(void)
{
	uint64_t n;
	RAND_bytes((unsigned char *)&n, sizeof(n));
	return n;
}

static struct record seal(const struct protect_setup *setup, size_t len, uint8_t *room, size_t cap)
{
	static uint8_t plain[16384];
	struct writer w = writer_over(room, cap);
	struct bytes sealed;
	struct record record;
	struct protect *p = protect_new(crypto, setup);
	assert_non_null(p);
	RAND_bytes(plain, (int)len);
	assert_int_equal(protect_seal(p, 21 + (uint8_t)(len % 3), bytes_of(plain, len), len % 5, &w), PROTECT_OK);
	assert_true(writer_done(&w, &sealed));
	assert_int_equal(record_read(&sealed, &record), RECORD_OK);
	protect_free(p);
	return record;
}

/* One random key, number and length: found with the key, and with no other. */
static void one_case(uint16_t suite, uint16_t version, unsigned i)
{
	static uint8_t room[17000], altered[17000];
	struct traffic_keys keys, other;
	RAND_bytes((unsigned char *)&keys, sizeof(keys));
	RAND_bytes((unsigned char *)&other, sizeof(other));
	/* Numbers of every size, lengths mostly small. */
	uint64_t number = random_number() >> (1 + i % 63), found = 0;
	size_t len = random_number() % (i % 50 == 0 ? 16000 : 200);
	struct protect_setup setup = {suite_find(suite), version, false, &keys, number};
	struct record record = seal(&setup, len, room, sizeof(room));
	assert_int_equal(invert_gcm(crypto, &setup, &record, &found), INVERT_FOUND);
	assert_int_equal(found, number);
	struct protect_setup wrong = setup;
	wrong.keys = &other;
	assert_int_equal(invert_gcm(crypto, &wrong, &record, &found), INVERT_NOT_THIS_KEY);
	other = keys;
	other.iv[i % 4] ^= 1;
	assert_int_equal(invert_gcm(crypto, &wrong, &record, &found), INVERT_NOT_THIS_KEY);
	/* An altered record belongs to no key. */
	memcpy(altered, record.fragment.data, record.fragment.len);
	size_t bit = random_number() % (record.fragment.len * 8);
	altered[bit / 8] ^= (uint8_t)(1 << bit % 8);
	struct record bad = record;
	bad.fragment.data = altered;
	assert_int_equal(invert_gcm(crypto, &setup, &bad, &found), INVERT_NOT_THIS_KEY);
	bad = record;
	bad.type ^= 2;
	assert_int_equal(invert_gcm(crypto, &setup, &bad, &found), INVERT_NOT_THIS_KEY);
	assert_int_equal(found, number);
}

static void a_tls13_record_tells_its_number(void **state)
{
	(void)state;
	for (unsigned i = 0; i < 2000; i++)
		one_case(i % 2 ? 0x1301 : 0x1302, TLS13, i);
}

static void a_tls12_record_tells_its_number(void **state)
{
	(void)state;
	for (unsigned i = 0; i < 300; i++)
		one_case(i % 2 ? 0xc02f : 0xc030, TLS12, i);
	for (unsigned i = 0; i < 20; i++)
		one_case(0xc050, TLS12, i);
	assert_int_equal(ERR_peek_error(), 0);
}

static void other_ciphers_and_bad_records_are_told(void **state)
{
	(void)state;
	static const uint8_t zeros[20000];
	struct traffic_keys keys = {0};
	struct record record = {23, TLS12, bytes_of(zeros, 16)};
	uint64_t number;
	struct protect_setup setup = {suite_find(0x1303), TLS13, false, &keys, 0};
	assert_int_equal(invert_gcm(crypto, &setup, &record, &number), INVERT_NO_WAY);
	setup.suite = suite_find(0x1304);
	assert_int_equal(invert_gcm(crypto, &setup, &record, &number), INVERT_NO_WAY);
	setup.suite = suite_find(0xc02f);
	assert_int_equal(invert_gcm(crypto, &setup, &record, &number), INVERT_NO_WAY);
	setup.suite = suite_find(0x1301);
	assert_int_equal(invert_gcm(crypto, &setup, &record, &number), INVERT_BAD_RECORD);
	record.fragment.len = 17;
	assert_int_equal(invert_gcm(crypto, &setup, &record, &number), INVERT_NOT_THIS_KEY);
	record.fragment.len = sizeof(zeros);
	assert_int_equal(invert_gcm(crypto, &setup, &record, &number), INVERT_BAD_RECORD);
}

static void other_ciphers_are_searched(void **state)
{
	(void)state;
	static const struct {
		uint16_t suite, version;
		bool encrypt_then_mac;
	} cases[] = {{0x1303, TLS13, false}, {0x1304, TLS13, false}, {0x1305, TLS13, false}, {0xcca8, TLS12, false},
		{0xc013, TLS12, false}, {0xc013, TLS12, true}, {0x003b, TLS12, false}, {0x1301, TLS13, false}};
	uint8_t room[400], scratch[400];
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct traffic_keys keys;
		RAND_bytes((unsigned char *)&keys, sizeof(keys));
		struct protect_setup setup = {
			suite_find(cases[i].suite), cases[i].version, cases[i].encrypt_then_mac, &keys, 5000};
		struct record record = seal(&setup, 50, room, sizeof(room));
		setup.sequence = 7;
		struct protect *p = protect_new(crypto, &setup);
		struct opened opened;
		assert_int_equal(
			invert_search(p, &record, 4900, 100, scratch, sizeof(scratch), &opened), INVERT_NOT_THIS_KEY);
		assert_int_equal(protect_sequence(p), 7);
		assert_int_equal(invert_search(p, &record, 4900, 101, scratch, sizeof(scratch), &opened), INVERT_FOUND);
		assert_int_equal(opened.sequence, 5000);
		assert_int_equal(opened.plaintext.len, 50);
		assert_int_equal(protect_sequence(p), 5001);
		assert_int_equal(invert_search(p, &record, 0, 1, scratch, 10, &opened), INVERT_NO_ROOM);
		assert_int_equal(invert_search(p, &record, UINT64_MAX - 1, 50, scratch, sizeof(scratch), &opened),
			INVERT_NOT_THIS_KEY);
		record.fragment.len = 3;
		assert_int_equal(
			invert_search(p, &record, 0, 50, scratch, sizeof(scratch), &opened), INVERT_BAD_RECORD);
		protect_free(p);
	}
}

static int begin(void **state)
{
	(void)state;
	crypto = crypto_new();
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
		cmocka_unit_test(a_tls13_record_tells_its_number),
		cmocka_unit_test(a_tls12_record_tells_its_number),
		cmocka_unit_test(other_ciphers_and_bad_records_are_told),
		cmocka_unit_test(other_ciphers_are_searched),
	};
	return cmocka_run_group_tests(tests, begin, end);
}
