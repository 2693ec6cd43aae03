#include "keys/seal.h"
#include "release_maker.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "base/text.h"
#include "keys/hpke.h"
#include "keys/reader.h"

static void unhex(uint8_t *out, size_t len, const char *hex)
{
	size_t got;
	assert_true(text_unhex(out, len, &got, bytes_str(hex)));
	assert_int_equal(got, len);
}

static void assert_hex(const uint8_t *octets, size_t len, const char *hex)
{
	char text[512];
	text_hex(text, sizeof(text), bytes_of(octets, len));
	assert_string_equal(text, hex);
}

/* RFC 9180, A.2.1: base mode with DHKEM(X25519, HKDF-SHA256), HKDF-SHA256, ChaCha20Poly1305. */
static void the_vector_of_the_rfc_holds(void **state)
{
	(void)state;
	uint8_t ephemeral[32], reader[32], own[32], enc[32], info[20], sealed[29 + HPKE_TAG], plain[29];
	struct hpke send, receive;
	unhex(ephemeral, 32, "f4ec9b33b792c372c1d2c2063507b684ef925b8c75a42dbcbf57d63ccd381600");
	unhex(reader, 32, "4310ee97d88cc1f088a5576c77ab0cf5c3ac797f3d95139c6c84b5429c59662a");
	unhex(own, 32, "8057991eef8f1f1af18f4a9491d16a1ce333f695d4db8e38da75975c4478e0fb");
	unhex(info, 20, "4f6465206f6e2061204772656369616e2055726e");
	assert_true(hpke_send_with(&send, enc, ephemeral, reader, bytes_of(info, sizeof(info))));
	assert_hex(enc, 32, "1afa08d3dec047a643885163f1180476fa7ddb54c6a8029ea33f95796bf2ac4a");
	assert_hex(send.key, 32, "ad2744de8e17f4ebba575b3f5f5a8fa1f69c2a07f6e7500bc60ca6e3e3ec1c91");
	assert_hex(send.base_nonce, 12, "5c4d98150661b848853b547f");
	hpke_seal(&send, 0, bytes_str("Count-0"), bytes_str("Beauty is truth, truth beauty"), sealed);
	assert_hex(sealed, sizeof(sealed),
		"1c5250d8034ec2b784ba2cfd69dbdb8af406cfe3ff938e131f0def8c8b60b4db21993c62ce81883d2dd1b51a28");
	assert_true(hpke_receive(&receive, enc, own, bytes_of(info, sizeof(info))));
	assert_true(hpke_open(&receive, 0, bytes_str("Count-0"), bytes_of(sealed, sizeof(sealed)), plain));
	assert_memory_equal(plain, "Beauty is truth, truth beauty", 29);
	assert_false(hpke_open(&receive, 1, bytes_str("Count-0"), bytes_of(sealed, sizeof(sealed)), plain));
	assert_false(hpke_open(&receive, 0, bytes_str("Count-1"), bytes_of(sealed, sizeof(sealed)), plain));
	assert_false(hpke_open(&receive, 0, bytes_str("Count-0"), bytes_of(sealed, HPKE_TAG - 1), plain));
}

/* With the info of this house and a number over 32 bits; computed with Python's cryptography (X25519, HMAC, AEAD). */
static void the_vector_of_an_independent_computation_holds(void **state)
{
	(void)state;
	uint8_t ephemeral[32], own[32], reader[32], enc[32], id[SEAL_KEY_ID], sealed[16 + HPKE_TAG];
	struct hpke send;
	for (uint8_t i = 0; i < 32; i++) {
		ephemeral[i] = (uint8_t)(i + 1);
		own[i] = (uint8_t)(i + 101);
	}
	struct secret secret = {0};
	assert_true(secret_set(&secret, bytes_of(own, 32)));
	assert_true(reader_public(READER_X25519, &secret, reader));
	assert_hex(reader, 32, "5714769d116bf76436ae74bc793d2c30ad1903c59ac5273805c7e2698b410c36");
	assert_true(seal_key_id(reader, id));
	assert_hex(id, 32, "fbc3889ebf4b8305d75312690ea7c24943000ff6eb5a3ef371c29c571b18ba12");
	assert_true(hpke_send_with(&send, enc, ephemeral, reader, bytes_str("overt seal 1")));
	assert_hex(enc, 32, "07a37cbc142093c8b755dc1b10e86cb426374ad16aa853ed0bdfc0b2b86d1c7c");
	assert_hex(send.key, 32, "90ee6c48314bb7bd9c652a0565c5e7d922ce7bb6caf9832b0989576756d02099");
	assert_hex(send.base_nonce, 12, "9c4994c9cfb00e2a3907ee62");
	hpke_seal(&send, 0x0102030405060708, bytes_str("head"), bytes_str("sixteen octets!!"), sealed);
	assert_hex(sealed, sizeof(sealed), "207e70249c0e21b570d616039f511b6056097ef797b82dbbf30da98bf098d446");
}

static void public_keys_of_small_order_are_refused(void **state)
{
	(void)state;
	uint8_t zero[32] = {0}, one[32] = {1}, enc[32];
	struct hpke out;
	assert_false(hpke_send(&out, enc, zero, BYTES_NONE));
	assert_false(hpke_send(&out, enc, one, BYTES_NONE));
	assert_null(sealer_new(zero, 0));
}

struct pair {
	struct secret key;
	uint8_t reader[READER_KEY];
	struct sealer *sealer;
	struct opener *opener;
};

static void pair_make(struct pair *pair)
{
	*pair = (struct pair){0};
	assert_true(reader_make(&pair->key));
	assert_true(reader_public(READER_X25519, &pair->key, pair->reader));
	pair->sealer = sealer_new(pair->reader, 1000);
	pair->opener = opener_new(pair->key.octets);
	assert_non_null(pair->sealer);
	assert_non_null(pair->opener);
	assert_memory_equal(sealer_key_id(pair->sealer), opener_key_id(pair->opener), SEAL_KEY_ID);
}

static void pair_free(struct pair *pair)
{
	sealer_free(pair->sealer);
	opener_free(pair->opener);
	secret_wipe(&pair->key);
}

static struct bytes seal(struct pair *pair, uint64_t now_ns, const struct release *release, uint8_t room[SEAL_MAX])
{
	struct writer to = writer_over(room, SEAL_MAX);
	struct bytes out;
	assert_int_equal(sealer_seal(pair->sealer, now_ns, release, &to), SEAL_OK);
	assert_true(writer_done(&to, &out));
	return out;
}

static void the_reader_opens_what_was_sealed_to_it_in_any_order(void **state)
{
	(void)state;
	static uint8_t rooms[8][SEAL_MAX];
	struct bytes sealed[8];
	struct release release, opened;
	struct pair pair;
	pair_make(&pair);
	for (size_t i = 0; i < 8; i++) {
		if (i % 2)
			release_make_raw(&release);
		else
			release_make(&release);
		release.made_ns = i;
		/* A new context every second release. */
		sealed[i] = seal(&pair, i * 600, &release, rooms[i]);
	}
	assert_int_equal(sealer_contexts(pair.sealer), 4);
	for (size_t i = 8; i-- > 0;) {
		assert_int_equal(opener_open(pair.opener, sealed[i], &opened), SEAL_OK);
		assert_int_equal(opened.made_ns, i);
		assert_int_equal(opened.grade, i % 2 ? RELEASE_GRADE_RAW : RELEASE_GRADE_RECORD);
		release_wipe(&opened);
	}
	pair_free(&pair);
}

static void the_head_says_what_a_collector_needs_and_no_key(void **state)
{
	(void)state;
	static uint8_t room[SEAL_MAX];
	struct release release;
	struct seal_head head;
	struct pair pair;
	pair_make(&pair);
	release_make(&release);
	struct bytes sealed = seal(&pair, 0, &release, room);
	assert_true(seal_head_read(sealed, &head));
	assert_memory_equal(head.key_id, sealer_key_id(pair.sealer), SEAL_KEY_ID);
	assert_memory_equal(head.client_random, release.key.client_random, KEYLOG_RANDOM);
	assert_string_equal(head.name, "www.example.org");
	assert_int_equal(head.epoch, 3);
	assert_true(head.from_client);
	/* The key is sixteen times 0x11, the IV twelve times 0x22: neither stands there. */
	static const uint8_t key[8] = {0x11, 0x11, 0x11, 0x11, 0x11, 0x11, 0x11, 0x11};
	for (size_t i = 0; i + sizeof(key) <= sealed.len; i++)
		assert_memory_not_equal(sealed.data + i, key, sizeof(key));
	pair_free(&pair);
}

static void every_changed_bit_and_every_truncation_is_refused(void **state)
{
	(void)state;
	static uint8_t room[SEAL_MAX];
	struct release release, opened, none = {0};
	struct pair pair;
	pair_make(&pair);
	release_make(&release);
	struct bytes sealed = seal(&pair, 0, &release, room);
	for (size_t i = 0; i < sealed.len; i++) {
		room[i] ^= (uint8_t)(1U << (i % 8));
		assert_int_not_equal(opener_open(pair.opener, sealed, &opened), SEAL_OK);
		assert_memory_equal(&opened, &none, sizeof(none));
		room[i] ^= (uint8_t)(1U << (i % 8));
	}
	for (size_t cut = 0; cut < sealed.len; cut++)
		assert_int_not_equal(opener_open(pair.opener, bytes_of(room, cut), &opened), SEAL_OK);
	assert_int_equal(opener_open(pair.opener, sealed, &opened), SEAL_OK);
	pair_free(&pair);
}

static void another_reader_opens_nothing(void **state)
{
	(void)state;
	static uint8_t room[SEAL_MAX];
	struct release release, opened;
	struct pair pair, other;
	pair_make(&pair);
	pair_make(&other);
	release_make(&release);
	struct bytes sealed = seal(&pair, 0, &release, room);
	assert_int_equal(opener_open(other.opener, sealed, &opened), SEAL_OTHER_READER);
	/* Nor when it is made to look like its own. */
	memcpy(room + 1, opener_key_id(other.opener), SEAL_KEY_ID);
	assert_int_equal(opener_open(other.opener, sealed, &opened), SEAL_BAD_TAG);
	pair_free(&pair);
	pair_free(&other);
}

static void what_may_not_be_released_is_not_sealed(void **state)
{
	(void)state;
	static uint8_t room[SEAL_MAX];
	struct writer to = writer_over(room, sizeof(room));
	struct release release;
	struct pair pair;
	pair_make(&pair);
	release_make(&release);
	release.key.stage = RECORD_STAGE_EARLY;
	assert_int_equal(sealer_seal(pair.sealer, 0, &release, &to), SEAL_BAD_RELEASE);
	assert_int_equal(to.len, 0);
	release_make(&release);
	to = writer_over(room, 100);
	assert_int_equal(sealer_seal(pair.sealer, 0, &release, &to), SEAL_NO_ROOM);
	pair_free(&pair);
}

static void key_pairs_go_through_pem(void **state)
{
	(void)state;
	struct pair pair;
	struct secret again = {0};
	struct error err;
	uint8_t reader[READER_KEY];
	char pem[READER_PEM_MAX];
	pair_make(&pair);
	size_t len = reader_private_pem(READER_X25519, &pair.key, pem);
	assert_true(len > 0);
	assert_true(reader_private_read(READER_X25519, bytes_of(pem, len), "k", &again, &err));
	assert_true(secret_equal(&again, &pair.key));
	assert_false(reader_private_read(READER_ED25519, bytes_of(pem, len), "k", &again, &err));
	assert_string_equal(err.text, "k: no Ed25519 private key in PEM, without a passphrase");
	len = reader_public_pem(READER_X25519, pair.reader, pem);
	assert_true(reader_public_read(READER_X25519, bytes_of(pem, len), "k", reader, &err));
	assert_memory_equal(reader, pair.reader, READER_KEY);
	assert_false(reader_public_read(READER_X25519, bytes_str("nothing"), "k", reader, &err));
	pair_free(&pair);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_vector_of_the_rfc_holds),
		cmocka_unit_test(the_vector_of_an_independent_computation_holds),
		cmocka_unit_test(public_keys_of_small_order_are_refused),
		cmocka_unit_test(the_reader_opens_what_was_sealed_to_it_in_any_order),
		cmocka_unit_test(the_head_says_what_a_collector_needs_and_no_key),
		cmocka_unit_test(every_changed_bit_and_every_truncation_is_refused),
		cmocka_unit_test(another_reader_opens_nothing),
		cmocka_unit_test(what_may_not_be_released_is_not_sealed),
		cmocka_unit_test(key_pairs_go_through_pem),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
