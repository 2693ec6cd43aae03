/* The streams of connections made by stock OpenSSL, read with its key log: whole, cut short, and with wrong keys. */
#include "explain/schedule_streams.h"

#include "base/text.h"
#include "explain/lab.h"
#include "tls/handshake.h"
#include "tls/record.h"

#include <openssl/rsa.h>

#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

struct taped {
	struct lab *lab;
	struct crypto *crypto;
	struct buffer octets[2];
	struct buffer keys; /* the key log */
	uint8_t random[32];
};

static void tape(struct taped *taped, uint16_t version, const char *suites)
{
	const struct lab_setup setup = {.version = version, .suites = suites, .groups = "X25519", .tickets = true};
	struct error err = {0};
	*taped = (struct taped){.octets = {{.cap = LAB_STREAM}, {.cap = LAB_STREAM}}, .keys = {.cap = LAB_STREAM}};
	taped->lab = lab_new(&err);
	taped->crypto = crypto_new();
	assert_non_null(taped->lab);
	assert_non_null(taped->crypto);
	struct lab_end *client = lab_client(taped->lab, &setup, &err), *server = lab_server(taped->lab, &setup, &err);
	assert_non_null(client);
	assert_non_null(server);
	assert_true(lab_join(client, server, &taped->octets[0], &taped->octets[1], &err));
	assert_true(lab_says(client, server, "a question", &taped->octets[0]));
	assert_true(lab_says(server, client, "an answer", &taped->octets[1]));
	if (version == TLS_VERSION_13) {
		assert_int_equal(SSL_key_update(lab_ssl(client), SSL_KEY_UPDATE_REQUESTED), 1);
		assert_true(lab_says(client, server, "another", &taped->octets[0]));
		assert_true(lab_says(server, client, "one more", &taped->octets[1]));
	}
	assert_true(buffer_add(&taped->keys, lab_keylog(client)));
	assert_int_equal(SSL_get_client_random(lab_ssl(client), taped->random, sizeof(taped->random)), 32);
	lab_end_free(client);
	lab_end_free(server);
}

static void untape(struct taped *taped)
{
	buffer_clear(&taped->octets[0]);
	buffer_clear(&taped->octets[1]);
	buffer_clear(&taped->keys);
	crypto_free(taped->crypto);
	lab_free(taped->lab);
}

/* Reads with these octets and keys; the source is the caller's to wipe. */
static bool read_with(const struct taped *taped, struct bytes up, struct bytes down, struct bytes keys,
	struct buffer *room, struct schedule_source *out, struct error *err)
{
	const struct schedule_streams streams = {.octets = {up, down}};
	struct keyring *ring = keyring_new(NULL);
	assert_non_null(ring);
	(void)keyring_add_text(ring, keys);
	bool ok = schedule_streams_read(taped->crypto, &streams, ring, room, out, err);
	keyring_free(ring);
	return ok;
}

static bool read_whole(const struct taped *taped, struct bytes keys, struct buffer *room, struct schedule_source *out,
	struct error *err)
{
	return read_with(taped, buffer_bytes(&taped->octets[0]), buffer_bytes(&taped->octets[1]), keys, room, out, err);
}

static void tls13_is_read_to_its_last_record(void **state)
{
	(void)state;
	struct taped taped;
	struct schedule_source source;
	struct buffer room = {.cap = LAB_STREAM};
	struct error err = {0};
	tape(&taped, TLS_VERSION_13, "TLS_AES_128_GCM_SHA256");
	assert_true(read_whole(&taped, buffer_bytes(&taped.keys), &room, &source, &err));
	/* Finished; data of epoch 0 and a KeyUpdate, or two tickets, data and a KeyUpdate; data of epoch 1. */
	assert_int_equal(source.opened[SCHEDULE_CLIENT_HANDSHAKE].count, 1);
	assert_int_equal(source.opened[SCHEDULE_CLIENT_TRAFFIC].count, 2);
	assert_true(source.opened[SCHEDULE_SERVER_TRAFFIC].count >= 3);
	for (unsigned side = 0; side < 2; side++) {
		assert_int_equal(source.updates[side], 1);
		assert_true(source.update[side][0].len > 0);
		assert_int_equal(source.opened_update[side][0].count, 1);
		assert_null(source.ended[side]);
	}
	schedule_source_wipe(&source);
	buffer_clear(&room);
	untape(&taped);
}

static void tls12_is_read_to_its_last_record(void **state)
{
	(void)state;
	static const char *const suites[] = {"ECDHE-RSA-AES128-GCM-SHA256", "AES128-GCM-SHA256",
		"ECDHE-RSA-AES128-SHA256", "DHE-RSA-CHACHA20-POLY1305"};
	for (size_t i = 0; i < sizeof(suites) / sizeof(suites[0]); i++) {
		struct taped taped;
		struct schedule_source source;
		struct buffer room = {.cap = LAB_STREAM};
		struct error err = {0};
		tape(&taped, TLS_VERSION_12, suites[i]);
		assert_true(read_whole(&taped, buffer_bytes(&taped.keys), &room, &source, &err));
		for (unsigned side = 0; side < 2; side++) {
			/* Finished and data. */
			assert_int_equal(source.opened_master[side].count, 2);
			assert_null(source.ended[side]);
		}
		schedule_source_wipe(&source);
		buffer_clear(&room);
		untape(&taped);
	}
}

/* Of octets that are there at once, with `cap` octets of scratch. */
static enum schedule_opening random_of(struct bytes octets, size_t cap, uint8_t random[32])
{
	static uint8_t scratch[65536];
	struct collect collect;
	assert_true(cap <= sizeof(scratch));
	collect_init(&collect, scratch, cap);
	return schedule_streams_random(&collect, octets, random);
}

static void the_random_of_a_hello_is_found_once_it_is_whole(void **state)
{
	(void)state;
	struct taped taped;
	struct collect collect;
	struct record record;
	uint8_t random[32] = {0};
	tape(&taped, TLS_VERSION_13, NULL);
	struct bytes up = buffer_bytes(&taped.octets[0]), rest = up;
	assert_int_equal(record_read(&rest, &record), RECORD_OK);
	size_t whole = up.len - rest.len;
	/* Octet by octet, with one collect. */
	collect_init(&collect, NULL, 0);
	for (size_t len = 0; len < whole; len++)
		assert_int_equal(schedule_streams_random(&collect, bytes_of(up.data, len), random), SCHEDULE_MORE);
	assert_int_equal(schedule_streams_random(&collect, up, random), SCHEDULE_HELLO);
	assert_memory_equal(random, taped.random, sizeof(random));
	assert_int_equal(random_of(bytes_str("GET / HTTP/1.1\r\n"), 0, random), SCHEDULE_NO_HELLO);
	assert_int_equal(random_of(buffer_bytes(&taped.octets[1]), 0, random), SCHEDULE_NO_HELLO);
	untape(&taped);
}

static void a_hello_over_several_records_takes_a_scratch(void **state)
{
	(void)state;
	struct taped taped;
	struct record record;
	struct buffer split = {.cap = LAB_STREAM};
	uint8_t random[32] = {0};
	tape(&taped, TLS_VERSION_13, NULL);
	struct bytes up = buffer_bytes(&taped.octets[0]);
	assert_int_equal(record_read(&up, &record), RECORD_OK);
	for (size_t i = 0; i < record.fragment.len; i++) {
		const uint8_t one[] = {RECORD_HANDSHAKE, 3, 3, 0, 1, record.fragment.data[i]};
		assert_true(buffer_add(&split, bytes_of(one, sizeof(one))));
	}
	assert_int_equal(random_of(buffer_bytes(&split), 0, random), SCHEDULE_NO_ROOM);
	assert_int_equal(random_of(buffer_bytes(&split), 65536, random), SCHEDULE_HELLO);
	assert_memory_equal(random, taped.random, sizeof(random));
	buffer_clear(&split);
	untape(&taped);
}

/* A ClientHello that says that it has 16 MiB, read where a good one was read a moment ago. */
static void a_message_that_is_too_long_is_no_hello_whatever_was_read_before(void **state)
{
	(void)state;
	static const uint8_t endless[] = {RECORD_HANDSHAKE, 3, 1, 0, 8, HANDSHAKE_CLIENT_HELLO, 0xff, 0xff, 0xff};
	uint8_t whole[sizeof(endless) + 4] = {0}, random[32], untouched[32];
	struct taped taped;
	tape(&taped, TLS_VERSION_13, NULL);
	memcpy(whole, endless, sizeof(endless));
	for (unsigned i = 0; i < 3; i++) {
		assert_int_equal(random_of(buffer_bytes(&taped.octets[0]), 65536, random), SCHEDULE_HELLO);
		memset(random, 0x5a, sizeof(random));
		memset(untouched, 0x5a, sizeof(untouched));
		assert_int_equal(random_of(bytes_of(whole, sizeof(whole)), 65536, random), SCHEDULE_NO_HELLO);
		assert_memory_equal(random, untouched, sizeof(random));
	}
	untape(&taped);
}

/* Both sides update their keys more often than is told; the client says something under the last of them. */
static void that_more_key_updates_follow_is_said_though_their_records_do_not_open(void **state)
{
	(void)state;
	const struct lab_setup setup = {.version = TLS_VERSION_13, .groups = "X25519"};
	struct error err = {0};
	struct taped taped = {.octets = {{.cap = LAB_STREAM}, {.cap = LAB_STREAM}}, .keys = {.cap = LAB_STREAM}};
	struct buffer room = {.cap = LAB_STREAM};
	struct schedule_source source;
	taped.lab = lab_new(&err);
	taped.crypto = crypto_new();
	struct lab_end *client = lab_client(taped.lab, &setup, &err), *server = lab_server(taped.lab, &setup, &err);
	assert_true(lab_join(client, server, &taped.octets[0], &taped.octets[1], &err));
	for (unsigned i = 0; i < SCHEDULE_UPDATES + 2; i++) {
		assert_int_equal(SSL_key_update(lab_ssl(client), SSL_KEY_UPDATE_NOT_REQUESTED), 1);
		assert_true(lab_says(client, server, "a question", &taped.octets[0]));
	}
	assert_true(buffer_add(&taped.keys, lab_keylog(client)));
	lab_end_free(client);
	lab_end_free(server);
	assert_true(read_whole(&taped, buffer_bytes(&taped.keys), &room, &source, &err));
	assert_int_equal(source.updates[0], SCHEDULE_UPDATES);
	assert_non_null(source.ended[0]);
	assert_string_equal(source.ended[0], "more than 16 key updates follow, and no more are told");
	assert_null(source.ended[1]);
	schedule_source_wipe(&source);
	buffer_clear(&room);
	untape(&taped);
}

static void streams_cut_anywhere_give_a_sentence_or_what_was_there(void **state)
{
	(void)state;
	static const uint16_t versions[] = {TLS_VERSION_12, TLS_VERSION_13};
	for (size_t v = 0; v < 2; v++) {
		struct taped taped;
		unsigned whole = 0;
		tape(&taped, versions[v], versions[v] == TLS_VERSION_12 ? "ECDHE-RSA-AES128-GCM-SHA256" : NULL);
		for (unsigned side = 0; side < 2; side++) {
			for (size_t len = 0; len < taped.octets[side].len; len += 7) {
				struct schedule_source source;
				struct buffer room = {.cap = LAB_STREAM};
				struct error err = {0};
				struct bytes up = buffer_bytes(&taped.octets[0]), down = buffer_bytes(&taped.octets[1]);
				*(side == 0 ? &up : &down) = bytes_of(taped.octets[side].data, len);
				bool ok = read_with(&taped, up, down, buffer_bytes(&taped.keys), &room, &source, &err);
				assert_true(ok || err.text[0]);
				whole += ok;
				schedule_source_wipe(&source);
				buffer_clear(&room);
			}
		}
		/* Behind the handshake there is room for a cut. */
		assert_true(whole > 0);
		untape(&taped);
	}
}

static void keys_of_another_connection_open_nothing(void **state)
{
	(void)state;
	struct taped one, other;
	struct schedule_source source;
	struct buffer room = {.cap = LAB_STREAM}, keys = {.cap = LAB_STREAM};
	struct error err = {0};
	tape(&one, TLS_VERSION_13, NULL);
	tape(&other, TLS_VERSION_13, NULL);
	assert_false(read_whole(&one, buffer_bytes(&other.keys), &room, &source, &err));
	assert_non_null(strstr(err.text, "SERVER_HANDSHAKE_TRAFFIC_SECRET"));
	buffer_clear(&room);
	/* The right random before a secret that is another's. */
	char text[512];
	int n = snprintf(text, sizeof(text), "SERVER_HANDSHAKE_TRAFFIC_SECRET ");
	for (size_t i = 0; i < 32; i++)
		n += snprintf(text + n, sizeof(text) - (size_t)n, "%02x", one.random[i]);
	n += snprintf(text + n, sizeof(text) - (size_t)n, " %096d\n", 7);
	assert_true(buffer_add(&keys, bytes_of(text, (size_t)n)));
	assert_false(read_whole(&one, buffer_bytes(&keys), &room, &source, &err));
	assert_non_null(strstr(err.text, "does not open"));
	schedule_source_wipe(&source);
	buffer_clear(&keys);
	buffer_clear(&room);
	untape(&one);
	untape(&other);
}

/* The ClientKeyExchange's octets behind its length: the premaster secret, encrypted to the server's key. */
static struct bytes encrypted_premaster(const struct taped *taped)
{
	struct bytes rest = buffer_bytes(&taped->octets[0]), in, out = BYTES_NONE;
	struct record record;
	struct handshake message;
	while (record_read(&rest, &record) == RECORD_OK) {
		in = record.fragment;
		if (record.type == RECORD_HANDSHAKE && handshake_read(&in, LAB_STREAM, &message) == HANDSHAKE_OK &&
			message.type == HANDSHAKE_CLIENT_KEY_EXCHANGE)
			assert_true(bytes_vec16(&message.body, &out));
	}
	assert_int_equal(out.len, 256);
	return out;
}

static void decrypt(const struct taped *taped, struct bytes sealed, struct tls_secret *out)
{
	EVP_PKEY_CTX *ctx = EVP_PKEY_CTX_new(lab_key(taped->lab, LAB_SERVER), NULL);
	uint8_t room[256];
	size_t len = sizeof(room);
	assert_non_null(ctx);
	assert_int_equal(EVP_PKEY_decrypt_init(ctx), 1);
	assert_int_equal(EVP_PKEY_CTX_set_rsa_padding(ctx, RSA_PKCS1_PADDING), 1);
	assert_int_equal(EVP_PKEY_decrypt(ctx, room, &len, sealed.data, sealed.len), 1);
	assert_true(tls_secret_set(out, bytes_of(room, len)));
	EVP_PKEY_CTX_free(ctx);
}

static void a_premaster_secret_is_as_good_as_the_master_secret(void **state)
{
	(void)state;
	struct taped taped;
	struct tls_secret premaster = {0};
	tape(&taped, TLS_VERSION_12, "AES128-GCM-SHA256");
	struct bytes sealed = encrypted_premaster(&taped);
	decrypt(&taped, sealed, &premaster);
	for (unsigned by_random = 0; by_random < 2; by_random++) {
		char line[512], id[65], secret[97];
		struct schedule_source source;
		struct buffer room = {.cap = LAB_STREAM};
		struct error err = {0};
		text_hex(id, sizeof(id), by_random ? bytes_of(taped.random, 32) : bytes_of(sealed.data, 8));
		text_hex(secret, sizeof(secret), tls_secret_bytes(&premaster));
		snprintf(line, sizeof(line), "%s %s %s\n", by_random ? "PMS_CLIENT_RANDOM" : "RSA", id, secret);
		assert_true(read_whole(&taped, bytes_str(line), &room, &source, &err));
		assert_int_equal(source.shared.len, 48);
		assert_int_equal(source.known[SCHEDULE_MASTER].len, 0);
		for (unsigned side = 0; side < 2; side++)
			assert_int_equal(source.opened_master[side].count, 2);
		schedule_source_wipe(&source);
		buffer_clear(&room);
	}
	tls_secret_wipe(&premaster);
	untape(&taped);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(tls13_is_read_to_its_last_record),
		cmocka_unit_test(tls12_is_read_to_its_last_record),
		cmocka_unit_test(the_random_of_a_hello_is_found_once_it_is_whole),
		cmocka_unit_test(a_hello_over_several_records_takes_a_scratch),
		cmocka_unit_test(a_message_that_is_too_long_is_no_hello_whatever_was_read_before),
		cmocka_unit_test(that_more_key_updates_follow_is_said_though_their_records_do_not_open),
		cmocka_unit_test(streams_cut_anywhere_give_a_sentence_or_what_was_there),
		cmocka_unit_test(keys_of_another_connection_open_nothing),
		cmocka_unit_test(a_premaster_secret_is_as_good_as_the_master_secret),
	};
	cmocka_set_message_output(CM_OUTPUT_TAP);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
