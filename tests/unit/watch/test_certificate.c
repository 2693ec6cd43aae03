/*
 * Compressed certificates (RFC 8879). Not every OpenSSL makes them: the server's flight is opened, its Certificate
 * message packed, and the flight sealed again with the same keys.
 */
#include "tls/schedule13.h"
#include "watcher.h"

#include "tls/handshake.h"
#include "tls/hello.h"
#include "tls/protect.h"

#include <brotli/encode.h>
#include <setjmp.h>
#include <stdarg.h>
#include <zlib.h>
#include <zstd.h>

#include <cmocka.h>

#define ROOM 32768

enum { PACK_ZLIB = 1, PACK_BROTLI, PACK_ZSTD };

struct repack {
	uint16_t algorithm;
	int longer;   /* than the length that is said */
	bool garbled; /* not packed at all */
};

static struct talk_keys keys;

static int make_keys(void **state)
{
	(void)state;
	talk_keys_make(&keys);
	return 0;
}

static int free_keys(void **state)
{
	(void)state;
	talk_keys_free(&keys);
	return 0;
}

/* The server's handshake key. */
static struct protect *handshake_protect(const struct talk *talk, struct crypto *crypto)
{
	struct keyring *ring = keyring_new(NULL);
	const struct suite *suite = suite_find(0x1301);
	struct keyset set = {0};
	struct traffic_keys traffic;
	struct tls_secret secret = {0};
	struct bytes view;
	assert_true(ring && suite);
	(void)keyring_add_text(ring, bytes_str(talk->log));
	assert_true(keyring_find_random(ring, bytes_of(talk->client_random, 32), &set) > 0);
	assert_true(keyset_get(&set, KEYLOG_SERVER_HANDSHAKE, 0, 0, &view));
	assert_true(tls_secret_set(&secret, view) && schedule13_keys(crypto, suite, &secret, &traffic));
	struct protect *protect = protect_new(
		crypto, &(struct protect_setup){.suite = suite, .version = TLS_VERSION_13, .keys = &traffic});
	assert_non_null(protect);
	keyset_free(&set);
	keyring_free(ring);
	return protect;
}

static size_t pack(uint16_t algorithm, struct bytes in, uint8_t *out)
{
	size_t len = ROOM;
	uLongf zlib_len = ROOM;
	switch (algorithm) {
	case PACK_ZLIB:
		assert_int_equal(compress2(out, &zlib_len, in.data, in.len, 9), Z_OK);
		return zlib_len;
	case PACK_BROTLI:
		assert_true(BrotliEncoderCompress(5, 22, BROTLI_MODE_GENERIC, in.len, in.data, &len, out));
		return len;
	default:
		len = ZSTD_compress(out, ROOM, in.data, in.len, 3);
		assert_false(ZSTD_isError(len));
		return len;
	}
}

/* All messages of the flight, the certificate's in its packed form. */
static void repack(struct bytes flight, const struct repack *how, struct writer *out)
{
	struct handshake message;
	static uint8_t packed[ROOM];
	while (handshake_read(&flight, ROOM, &message) == HANDSHAKE_OK) {
		if (message.type != HANDSHAKE_CERTIFICATE) {
			writer_bytes(out, message.whole);
			continue;
		}
		size_t len = how->garbled ? 100 : pack(how->algorithm, message.body, packed);
		writer_u8(out, HANDSHAKE_COMPRESSED_CERTIFICATE);
		writer_u24(out, (uint32_t)len + 8);
		writer_u16(out, how->algorithm);
		writer_u24(out, (uint32_t)((int)message.body.len - how->longer));
		writer_u24(out, (uint32_t)len);
		writer_bytes(out, bytes_of(packed, len));
	}
}

/* Opens the records of the server's flight and gives their messages; `in` moves behind them. */
static struct bytes open_flight(struct protect *protect, struct bytes *in, uint8_t *flight)
{
	size_t len = 0;
	struct bytes before = *in;
	struct record record;
	struct opened opened;
	static uint8_t plain[ROOM];
	while (record_read(in, &record) == RECORD_OK) {
		if (protect_open(protect, &record, plain, sizeof(plain), &opened) != PROTECT_OK)
			break;
		assert_true(opened.type == RECORD_HANDSHAKE && len + opened.plaintext.len <= ROOM);
		memcpy(flight + len, opened.plaintext.data, opened.plaintext.len);
		len += opened.plaintext.len;
		before = *in;
	}
	*in = before;
	return bytes_of(flight, len);
}

/* The server's first piece: ServerHello and ChangeCipherSpec as they are, then the flight, and what stands behind it. */
static void feed_server(struct watcher *w, struct bytes piece, struct crypto *crypto, const struct repack *how)
{
	static uint8_t flight[ROOM], again[ROOM], sealed[ROOM];
	struct bytes in = piece, done;
	struct record record;
	struct writer messages = writer_over(again, sizeof(again)), out = writer_over(sealed, sizeof(sealed));
	struct protect *opener = handshake_protect(w->talk, crypto), *sealer = handshake_protect(w->talk, crypto);
	assert_true(record_read(&in, &record) == RECORD_OK && record.type == RECORD_HANDSHAKE);
	assert_true(record_read(&in, &record) == RECORD_OK && record.type == RECORD_CHANGE_CIPHER_SPEC);
	watcher_data(w, FLOW_DOWN, bytes_of(piece.data, piece.len - in.len));
	repack(open_flight(opener, &in, flight), how, &messages);
	assert_true(writer_done(&messages, &done) && done.len > 0);
	assert_int_equal(protect_seal(sealer, RECORD_HANDSHAKE, done, 0, &out), PROTECT_OK);
	assert_true(writer_done(&out, &done));
	watcher_data(w, FLOW_DOWN, done);
	if (in.len > 0)
		watcher_data(w, FLOW_DOWN, in);
	protect_free(opener);
	protect_free(sealer);
}

static void feed_packed(struct watcher *w, const struct repack *how)
{
	struct crypto *crypto = crypto_new();
	bool first = true;
	assert_non_null(crypto);
	for (size_t i = 0; i < w->talk->count; i++) {
		const struct talk_piece *piece = &w->talk->pieces[i];
		struct bytes octets = bytes_of(w->talk->wire + piece->at, piece->len);
		if (piece->direction == FLOW_DOWN && first)
			feed_server(w, octets, crypto, how);
		else
			watcher_data(w, piece->direction, octets);
		first = first && piece->direction != FLOW_DOWN;
	}
	watcher_close(w);
	crypto_free(crypto);
}

static struct talk *some_talk(void)
{
	static const struct talk_setup setup = {
		.keys = &keys, .version = TLS1_3_VERSION, .suite = "TLS_AES_128_GCM_SHA256"};
	struct talk *talk = talk_new(&setup);
	assert_non_null(talk);
	talk_send(talk, FLOW_UP, 1000);
	talk_send(talk, FLOW_DOWN, 50000);
	return talk;
}

static void compressed_certificates_are_told(void **state)
{
	(void)state;
	struct talk *talk = some_talk();
	for (unsigned algorithm = PACK_ZLIB; algorithm <= PACK_ZSTD; algorithm++) {
		struct watcher w;
		watcher_begin(&w, talk, &(struct watcher_setup){.keys_final = true});
		watcher_keys(&w, talk->log);
		/* The second time it is known. */
		for (int i = 0; i < 2; i++) {
			watcher_again(&w, talk, true);
			feed_packed(&w, &(struct repack){.algorithm = (uint16_t)algorithm});
			assert_true(watcher_complete(&w));
			assert_true(w.tls.certificate.present);
			assert_string_equal(w.tls_subject, "CN=talk.test");
		}
		watcher_end(&w);
	}
	talk_free(talk);
}

static void what_does_not_unpack_is_counted_and_harms_nothing(void **state)
{
	static const struct repack cases[] = {
		{.algorithm = PACK_ZLIB, .longer = 1},
		{.algorithm = PACK_BROTLI, .longer = -1},
		{.algorithm = PACK_ZSTD, .longer = 200},
		{.algorithm = PACK_ZLIB, .garbled = true},
		{.algorithm = PACK_BROTLI, .garbled = true},
		{.algorithm = PACK_ZSTD, .garbled = true},
		{.algorithm = 4, .garbled = true},
		{.algorithm = 0, .garbled = true},
	};
	(void)state;
	struct talk *talk = some_talk();
	for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
		struct watcher w;
		watcher_begin(&w, talk, &(struct watcher_setup){.keys_final = true});
		watcher_keys(&w, talk->log);
		feed_packed(&w, &cases[i]);
		assert_true(watcher_complete(&w));
		assert_int_equal(w.tlses, 1);
		assert_false(w.tls.certificate.present);
		assert_int_equal(session_room_count(w.room).certificates_packed, 1);
		watcher_end(&w);
	}
	talk_free(talk);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(compressed_certificates_are_told),
		cmocka_unit_test(what_does_not_unpack_is_counted_and_harms_nothing),
	};
	return cmocka_run_group_tests(tests, make_keys, free_keys);
}
