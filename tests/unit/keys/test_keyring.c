#include "keys/keyring.h"

#include "log_maker.h"

#include <openssl/pem.h>
#include <openssl/rsa.h>
#include <openssl/x509.h>
#include <poll.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <cmocka.h>

struct place {
	char folder[64], path[128], second[128];
	struct keyring *ring;
	struct error err;
};

static int place_make(void **state)
{
	static const struct keyring_limits limits = {.text = (size_t)256 * 1024, .files = 3, .keys = 8};
	struct place *place = calloc(1, sizeof(*place));
	if (!place)
		return -1;
	(void)snprintf(place->folder, sizeof(place->folder), "/tmp/overt-keyring-XXXXXX");
	if (!mkdtemp(place->folder))
		return -1;
	(void)snprintf(place->path, sizeof(place->path), "%s/one", place->folder);
	(void)snprintf(place->second, sizeof(place->second), "%s/two", place->folder);
	place->ring = keyring_new(&limits);
	*state = place;
	return place->ring ? 0 : -1;
}

static int place_clear(void **state)
{
	struct place *place = *state;
	keyring_free(place->ring);
	(void)unlink(place->path);
	(void)unlink(place->second);
	(void)rmdir(place->folder);
	free(place);
	return 0;
}

static void write_text(const char *path, const char *mode, const char *text)
{
	FILE *file = fopen(path, mode);
	assert_non_null(file);
	assert_int_equal(fwrite(text, 1, strlen(text), file), strlen(text));
	assert_int_equal(fclose(file), 0);
}

/* A line with its LF; valid until the next call. */
static const char *line_of(const char *label, uint32_t n, uint32_t seed, size_t secret_len)
{
	static char line[512];
	size_t len = made_line(line, sizeof(line) - 1, label, n, seed, secret_len);
	line[len] = '\n';
	line[len + 1] = '\0';
	return line;
}

static struct bytes random_of(const struct keylog_id *id)
{
	return bytes_of(id->octets, id->len);
}

static void secrets_of_a_session_come_together_from_all_sources(void **state)
{
	struct place *place = *state;
	struct keylog_id id = made_id(1);
	struct keylog_id other = made_id(2);
	struct keyset set = {0};
	struct bytes secret;
	write_text(place->path, "w", line_of("CLIENT_HANDSHAKE_TRAFFIC_SECRET", 1, 1, 32));
	write_text(place->second, "w", line_of("SERVER_HANDSHAKE_TRAFFIC_SECRET", 1, 2, 32));
	write_text(place->second, "a", line_of("CLIENT_TRAFFIC_SECRET_0", 1, 3, 32));
	assert_true(keyring_add_file(place->ring, place->path, true, &place->err));
	assert_true(keyring_add_file(place->ring, place->second, false, &place->err));
	assert_int_equal(keyring_update(place->ring, 0, &place->err), KEYRING_NEWS);
	/* The first again, and another that contradicts the third. */
	assert_int_equal(
		keyring_add_text(place->ring, bytes_str(line_of("CLIENT_HANDSHAKE_TRAFFIC_SECRET", 1, 1, 32))), 1);
	assert_int_equal(keyring_add_text(place->ring, bytes_str(line_of("CLIENT_TRAFFIC_SECRET_0", 1, 4, 32))), 1);
	assert_int_equal(keyring_find_random(place->ring, random_of(&id), &set), 4);
	assert_true(keyset_get(&set, KEYLOG_SERVER_HANDSHAKE, 0, 0, &secret));
	assert_true(keyset_get(&set, KEYLOG_CLIENT_TRAFFIC, 0, 1, &secret));
	keyset_free(&set);
	assert_int_equal(keyring_find_random(place->ring, random_of(&other), &set), 0);
	assert_int_equal(keyring_find_random(place->ring, bytes_str("short"), &set), 0);
	struct keyring_counts counts = keyring_count(place->ring);
	assert_int_equal(counts.duplicates, 1);
	assert_int_equal(counts.contradictory, 1);
	assert_int_equal(counts.found, 1);
	assert_int_equal(counts.found_none, 1);
	assert_int_equal(counts.generation, 5);
}

static void several_ids_are_looked_up_at_once(void **state)
{
	struct place *place = *state;
	struct keylog_id ids[3] = {made_id(1), made_id(2)};
	struct keyset set = {0};
	struct bytes secret;
	uint8_t session[] = {1, 2, 3};
	assert_true(keylog_id_set(&ids[2], KEYLOG_ID_SESSION, bytes_of(session, sizeof(session))));
	assert_int_equal(keyring_add_text(place->ring, bytes_str(line_of("ECH_SECRET", 1, 1, 32))), 1);
	assert_int_equal(keyring_add_text(place->ring, bytes_str(line_of("CLIENT_TRAFFIC_SECRET_0", 2, 1, 32))), 1);
	assert_true(keyring_add_secret(place->ring, &ids[2], KEYLOG_MASTER, 0, bytes_str("learned")));
	assert_int_equal(keyring_find(place->ring, ids, 3, &set), 3);
	assert_true(keyset_get(&set, KEYLOG_MASTER, 0, 0, &secret) && bytes_equal(secret, bytes_str("learned")));
	keyset_free(&set);
}

static void a_ring_says_what_it_cannot_use(void **state)
{
	struct place *place = *state;
	char missing[192];
	(void)snprintf(missing, sizeof(missing), "%s/missing", place->folder);
	assert_false(keyring_add_file(place->ring, missing, false, &place->err));
	assert_non_null(strstr(place->err.text, missing));
	assert_false(keyring_add_private_keys(place->ring, missing, &place->err));
	assert_non_null(strstr(place->err.text, missing));
	assert_false(keyring_add_psks(place->ring, missing, &place->err));
	write_text(place->path, "w", "# none\n");
	assert_false(keyring_add_private_keys(place->ring, place->path, &place->err));
	assert_non_null(strstr(place->err.text, "no private key"));
	for (int i = 0; i < 3; i++)
		assert_true(keyring_add_file(place->ring, place->path, false, &place->err));
	assert_false(keyring_add_file(place->ring, place->path, false, &place->err));
	assert_non_null(strstr(place->err.text, "more than 3"));
}

static void a_wait_is_told_once_and_only_of_its_own(void **state)
{
	struct place *place = *state;
	int wake = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	uint64_t value;
	struct keyring_inbox *inbox = keyring_inbox_new(place->ring, wake);
	enum { WAITS = 1000 };
	struct keyring_wait *waits = calloc(WAITS, sizeof(*waits));
	assert_true(wake >= 0 && inbox && waits);
	for (uint32_t n = 0; n < WAITS; n++) {
		struct keylog_id id = made_id(n);
		keyring_wait_begin(inbox, &waits[n], &id);
	}
	assert_int_equal(keyring_count(place->ring).waiting, WAITS);
	assert_null(keyring_inbox_next(inbox));
	assert_int_equal(keyring_add_text(place->ring, bytes_str(line_of("CLIENT_RANDOM", 5000, 1, 48))), 1);
	assert_null(keyring_inbox_next(inbox));
	assert_true(read(wake, &value, sizeof(value)) < 0);
	/* From text, from a file, and as a record key. */
	assert_int_equal(keyring_add_text(place->ring, bytes_str(line_of("CLIENT_RANDOM", 700, 1, 48))), 1);
	assert_int_equal(keyring_add_text(place->ring, bytes_str(line_of("CLIENT_RANDOM", 700, 2, 48))), 1);
	write_text(place->path, "w", line_of("CLIENT_RANDOM", 3, 1, 48));
	assert_true(keyring_add_file(place->ring, place->path, true, &place->err));
	assert_int_equal(keyring_update(place->ring, 0, &place->err), KEYRING_NEWS);
	struct record_key key = {.key_len = 16};
	struct keylog_id id = made_id(9);
	memcpy(key.client_random, id.octets, sizeof(key.client_random));
	assert_true(keyring_add_record_key(place->ring, &key));
	assert_int_equal(read(wake, &value, sizeof(value)), sizeof(value));
	assert_ptr_equal(keyring_inbox_next(inbox), &waits[700]);
	assert_ptr_equal(keyring_inbox_next(inbox), &waits[3]);
	/* Leaving while told is quiet; so is leaving twice. */
	keyring_wait_end(&waits[9]);
	keyring_wait_end(&waits[9]);
	assert_null(keyring_inbox_next(inbox));
	/* Told once: quiet until it waits again. */
	write_text(place->path, "a", line_of("CLIENT_RANDOM", 3, 2, 48));
	assert_int_equal(keyring_update(place->ring, 0, &place->err), KEYRING_NEWS);
	assert_null(keyring_inbox_next(inbox));
	id = made_id(3);
	keyring_wait_begin(inbox, &waits[3], &id);
	keyring_wait_begin(inbox, &waits[3], &id);
	write_text(place->path, "a", line_of("CLIENT_RANDOM", 3, 3, 48));
	assert_int_equal(keyring_update(place->ring, 0, &place->err), KEYRING_NEWS);
	assert_ptr_equal(keyring_inbox_next(inbox), &waits[3]);
	assert_null(keyring_inbox_next(inbox));
	assert_int_equal(keyring_count(place->ring).waiting, WAITS - 3);
	assert_int_equal(keyring_count(place->ring).told, 4);
	keyring_inbox_free(inbox);
	assert_int_equal(keyring_count(place->ring).waiting, 0);
	free(waits);
	close(wake);
}

static void the_rings_descriptor_tells_of_files_that_grow(void **state)
{
	struct place *place = *state;
	write_text(place->path, "w", line_of("CLIENT_RANDOM", 1, 1, 48));
	assert_int_equal(keyring_fd(place->ring), -1);
	assert_true(keyring_add_file(place->ring, place->path, true, &place->err));
	assert_int_equal(keyring_update(place->ring, 0, &place->err), KEYRING_NEWS);
	struct pollfd poller = {.fd = keyring_fd(place->ring), .events = POLLIN};
	assert_int_equal(poll(&poller, 1, 0), 0);
	write_text(place->path, "a", line_of("CLIENT_RANDOM", 2, 1, 48));
	assert_int_equal(poll(&poller, 1, 0), 1);
	assert_int_equal(keyring_update(place->ring, 0, &place->err), KEYRING_NEWS);
	assert_int_equal(poll(&poller, 1, 0), 0);
	assert_int_equal(keyring_update(place->ring, 0, &place->err), KEYRING_NO_NEWS);
}

/* Writes the private key and makes a certificate of it; its DER is to be freed. */
static EVP_PKEY *rsa_make(const char *path, const char *mode, uint8_t **der, size_t *der_len)
{
	EVP_PKEY *pkey = EVP_RSA_gen(1024);
	X509 *x509 = X509_new();
	FILE *file = fopen(path, mode);
	assert_true(pkey && x509 && file);
	assert_int_equal(PEM_write_PrivateKey(file, pkey, NULL, NULL, 0, NULL, NULL), 1);
	assert_int_equal(fclose(file), 0);
	assert_true(X509_gmtime_adj(X509_getm_notBefore(x509), 0) && X509_gmtime_adj(X509_getm_notAfter(x509), 3600));
	assert_int_equal(X509_set_pubkey(x509, pkey), 1);
	assert_true(X509_sign(x509, pkey, EVP_sha256()) > 0);
	*der = NULL;
	int len = i2d_X509(x509, der);
	assert_true(len > 0);
	*der_len = (size_t)len;
	X509_free(x509);
	return pkey;
}

static size_t rsa_seal(EVP_PKEY *pkey, struct bytes plain, uint8_t *out, size_t cap)
{
	EVP_PKEY_CTX *ctx = EVP_PKEY_CTX_new(pkey, NULL);
	assert_non_null(ctx);
	assert_int_equal(EVP_PKEY_encrypt_init(ctx), 1);
	assert_int_equal(EVP_PKEY_CTX_set_rsa_padding(ctx, RSA_PKCS1_PADDING), 1);
	assert_int_equal(EVP_PKEY_encrypt(ctx, out, &cap, plain.data, plain.len), 1);
	EVP_PKEY_CTX_free(ctx);
	return cap;
}

static void a_private_key_opens_the_premaster_secret_of_its_server(void **state)
{
	struct place *place = *state;
	uint8_t *der[2];
	size_t der_len[2];
	uint8_t sealed[256];
	uint8_t premaster[48] = {3, 3, 7};
	struct secret opened = {0};
	EVP_PKEY *first = rsa_make(place->path, "w", &der[0], &der_len[0]);
	EVP_PKEY *second = rsa_make(place->path, "a", &der[1], &der_len[1]);
	size_t len = rsa_seal(second, bytes_of(premaster, sizeof(premaster)), sealed, sizeof(sealed));
	struct bytes encrypted = bytes_of(sealed, len);
	assert_int_equal(keyring_open_premaster(place->ring, encrypted, BYTES_NONE, &opened), KEYRING_NO_KEYS);
	assert_true(keyring_add_private_keys(place->ring, place->path, &place->err));
	assert_int_equal(keyring_count(place->ring).private_keys, 2);
	assert_int_equal(keyring_open_premaster(place->ring, encrypted, BYTES_NONE, &opened), KEYRING_OPENED);
	assert_true(bytes_equal(secret_bytes(&opened), bytes_of(premaster, sizeof(premaster))));
	secret_wipe(&opened);
	struct bytes certificate = bytes_of(der[1], der_len[1]);
	assert_int_equal(keyring_open_premaster(place->ring, encrypted, certificate, &opened), KEYRING_OPENED);
	certificate = bytes_of(der[0], der_len[0]);
	assert_int_equal(keyring_open_premaster(place->ring, encrypted, certificate, &opened), KEYRING_NO_KEY);
	assert_int_equal(
		keyring_open_premaster(place->ring, encrypted, bytes_str("no certificate"), &opened), KEYRING_OPENED);
	/* A byte wrong; another length; no premaster secret inside. */
	sealed[20] ^= 1;
	assert_int_equal(keyring_open_premaster(place->ring, encrypted, BYTES_NONE, &opened), KEYRING_NO_KEY);
	assert_int_equal(
		keyring_open_premaster(place->ring, bytes_of(sealed, len - 1), BYTES_NONE, &opened), KEYRING_NO_KEY);
	len = rsa_seal(first, bytes_of(premaster, 47), sealed, sizeof(sealed));
	assert_int_equal(
		keyring_open_premaster(place->ring, bytes_of(sealed, len), BYTES_NONE, &opened), KEYRING_NO_KEY);
	premaster[0] = 9;
	len = rsa_seal(first, bytes_of(premaster, 48), sealed, sizeof(sealed));
	assert_int_equal(
		keyring_open_premaster(place->ring, bytes_of(sealed, len), BYTES_NONE, &opened), KEYRING_NO_KEY);
	assert_int_equal(keyring_count(place->ring).premasters_opened, 3);
	assert_int_equal(keyring_count(place->ring).premasters_closed, 5);
	for (int i = 0; i < 2; i++)
		OPENSSL_free(der[i]);
	EVP_PKEY_free(first);
	EVP_PKEY_free(second);
	secret_wipe(&opened);
}

static void keys_that_cannot_be_used_are_named(void **state)
{
	struct place *place = *state;
	char pass[] = "pass";
	EVP_PKEY *ec = EVP_EC_gen("P-256");
	FILE *file = fopen(place->path, "w");
	assert_true(ec && file);
	assert_int_equal(PEM_write_PrivateKey(file, ec, NULL, NULL, 0, NULL, NULL), 1);
	assert_int_equal(fclose(file), 0);
	assert_false(keyring_add_private_keys(place->ring, place->path, &place->err));
	assert_non_null(strstr(place->err.text, "no RSA key"));
	EVP_PKEY *rsa = EVP_RSA_gen(1024);
	file = fopen(place->path, "w");
	assert_true(rsa && file);
	assert_int_equal(PEM_write_PrivateKey(file, rsa, EVP_aes_128_cbc(), NULL, 0, NULL, pass), 1);
	assert_int_equal(fclose(file), 0);
	assert_false(keyring_add_private_keys(place->ring, place->path, &place->err));
	assert_non_null(strstr(place->err.text, "passphrase"));
	assert_int_equal(keyring_count(place->ring).private_keys, 0);
	EVP_PKEY_free(ec);
	EVP_PKEY_free(rsa);
}

static void a_psk_is_found_by_identity_and_then_by_none(void **state)
{
	struct place *place = *state;
	struct secret key = {0};
	write_text(place->path, "w", "# keys\nalice:0102\r\n\na:b:03\nalice:04\nalice:0102\n:05\n");
	assert_true(keyring_add_psks(place->ring, place->path, &place->err));
	assert_int_equal(keyring_count(place->ring).psks, 4);
	assert_true(keyring_psk(place->ring, bytes_str("alice"), 0, &key) && key.len == 2);
	assert_true(keyring_psk(place->ring, bytes_str("alice"), 1, &key) && key.octets[0] == 4);
	assert_true(keyring_psk(place->ring, bytes_str("alice"), 2, &key) && key.octets[0] == 5);
	assert_false(keyring_psk(place->ring, bytes_str("alice"), 3, &key));
	assert_true(keyring_psk(place->ring, bytes_str("a:b"), 0, &key) && key.octets[0] == 3);
	assert_true(keyring_psk(place->ring, bytes_str("bob"), 0, &key) && key.octets[0] == 5);
	assert_false(keyring_psk(place->ring, bytes_str("bob"), 1, &key));
	assert_true(keyring_psk(place->ring, BYTES_NONE, 0, &key));
	assert_false(keyring_psk(place->ring, BYTES_NONE, 1, &key));
	write_text(place->path, "w", "bob:07\nno colon\n");
	assert_false(keyring_add_psks(place->ring, place->path, &place->err));
	assert_non_null(strstr(place->err.text, ":2: "));
	write_text(place->path, "w", "bob:xyz\n");
	assert_false(keyring_add_psks(place->ring, place->path, &place->err));
	assert_null(strstr(place->err.text, "xyz"));
	for (uint8_t i = 0; i < 3; i++)
		assert_true(keyring_add_psk(place->ring, bytes_str("more"), bytes_of(&i, 1), &place->err));
	assert_false(keyring_add_psk(place->ring, bytes_str("more"), bytes_str("x"), &place->err));
	assert_false(keyring_add_psk(place->ring, bytes_str("more"), BYTES_NONE, &place->err));
	secret_wipe(&key);
}

static void record_keys_come_back_as_they_were(void **state)
{
	struct place *place = *state;
	struct keylog_id id = made_id(6);
	struct record_key out[4];
	struct record_key key = {.from_client = true,
		.stage = RECORD_STAGE_APPLICATION,
		.version = 0x0304,
		.suite = 0x1301,
		.first_seq = 0x123456789aULL,
		.key_len = 16,
		.iv_len = 12};
	memcpy(key.client_random, id.octets, sizeof(key.client_random));
	for (uint32_t epoch = 0; epoch < 6; epoch++) {
		key.epoch = epoch;
		key.key[0] = (uint8_t)epoch;
		key.iv[11] = 7;
		assert_true(keyring_add_record_key(place->ring, &key));
		assert_true(keyring_add_record_key(place->ring, &key));
	}
	assert_int_equal(keyring_record_keys(place->ring, random_of(&id), 0, out, 4), 4);
	assert_int_equal(keyring_record_keys(place->ring, random_of(&id), 4, out, 4), 2);
	assert_true(out[1].from_client && out[1].epoch == 5 && out[1].key[0] == 5 && out[1].iv[11] == 7);
	assert_true(out[1].first_seq == key.first_seq && out[1].suite == 0x1301 && out[1].version == 0x0304);
	assert_true(out[1].key_len == 16 && out[1].iv_len == 12 && out[1].mac_len == 0);
	assert_memory_equal(out[1].client_random, id.octets, 32);
	key.iv_len = RECORD_IV_MAX + 1;
	assert_false(keyring_add_record_key(place->ring, &key));
	id = made_id(7);
	assert_int_equal(keyring_record_keys(place->ring, random_of(&id), 0, out, 4), 0);
	/* Nor are they secrets of the session. */
	struct keyset set = {0};
	id = made_id(6);
	assert_int_equal(keyring_find_random(place->ring, random_of(&id), &set), 0);
	assert_int_equal(keyring_count(place->ring).records.duplicates, 6);
}

struct seen {
	size_t count, stop_after;
	bool session[200];
};

static bool see(const struct keyring_candidate *candidate, void *ctx)
{
	struct seen *seen = ctx;
	assert_true(candidate->label == KEYLOG_CLIENT_TRAFFIC || candidate->label == KEYLOG_SERVER_TRAFFIC);
	assert_int_equal(candidate->secret.len, 32);
	for (uint32_t n = 0; n < 200; n++) {
		struct keylog_id id = made_id(n);
		if (keylog_id_equal(&id, &candidate->id)) {
			assert_false(seen->session[n]);
			seen->session[n] = true;
		}
	}
	return ++seen->count != seen->stop_after;
}

static void every_traffic_secret_is_a_candidate_within_the_bound(void **state)
{
	struct place *place = *state;
	for (uint32_t n = 0; n < 200; n++) {
		const char *line = line_of(n % 2 ? "CLIENT_TRAFFIC_SECRET_0" : "SERVER_TRAFFIC_SECRET_2", n, n, 32);
		if (n < 100)
			write_text(n < 50 ? place->path : place->second, "a", line);
		else
			assert_int_equal(keyring_add_text(place->ring, bytes_str(line)), 1);
		line = line_of("EXPORTER_SECRET", n, n, 32);
		if (n < 100)
			write_text(n < 50 ? place->path : place->second, "a", line);
		else
			assert_int_equal(keyring_add_text(place->ring, bytes_str(line)), 1);
	}
	assert_true(keyring_add_file(place->ring, place->path, false, &place->err));
	assert_true(keyring_add_file(place->ring, place->second, false, &place->err));
	assert_int_equal(keyring_update(place->ring, 0, &place->err), KEYRING_NEWS);
	for (size_t max = 1; max < 500; max = max * 5 + 2) {
		struct seen seen = {.stop_after = 30};
		struct keyring_cursor cursor = {0};
		while (keyring_candidates(place->ring, &cursor, max, see, &seen))
			;
		assert_int_equal(seen.count, 200);
		assert_false(keyring_candidates(place->ring, &cursor, max, see, &seen));
	}
	struct seen first = {0};
	struct keyring_cursor cursor = {0};
	assert_true(keyring_candidates(place->ring, &cursor, 1, see, &first));
	assert_true(first.session[199]);
}

struct reader {
	struct keyring *ring;
	uint32_t sessions;
};

/* Waits for every session, looks each up when told, and returns when each was found. */
static void *read_late_keys(void *ctx)
{
	struct reader *reader = ctx;
	struct keyring_inbox *inbox = keyring_inbox_new(reader->ring, -1);
	struct keyring_wait *waits = calloc(reader->sessions, sizeof(*waits));
	uint32_t left = reader->sessions;
	for (uint32_t n = 0; n < reader->sessions; n++) {
		struct keylog_id id = made_id(n);
		struct keyset set = {0};
		keyring_wait_begin(inbox, &waits[n], &id);
		if (keyring_find(reader->ring, &id, 1, &set) > 0) {
			keyring_wait_end(&waits[n]);
			left--;
		}
		keyset_free(&set);
	}
	while (left > 0) {
		struct keyring_wait *wait = keyring_inbox_next(inbox);
		struct keyset set = {0};
		if (wait && keyring_find(reader->ring, &wait->id, 1, &set) > 0)
			left--;
		keyset_free(&set);
	}
	keyring_inbox_free(inbox);
	free(waits);
	return NULL;
}

static void late_keys_reach_every_thread(void **state)
{
	struct place *place = *state;
	enum { SESSIONS = 300 };
	pthread_t threads[2];
	struct reader readers[2];
	write_text(place->path, "w", "");
	assert_true(keyring_add_file(place->ring, place->path, true, &place->err));
	for (int i = 0; i < 2; i++) {
		readers[i] = (struct reader){.ring = place->ring, .sessions = SESSIONS};
		assert_int_equal(pthread_create(&threads[i], NULL, read_late_keys, &readers[i]), 0);
	}
	for (uint32_t n = 0; n < SESSIONS; n++) {
		if (n % 2) {
			(void)keyring_add_text(place->ring, bytes_str(line_of("CLIENT_RANDOM", n, 1, 48)));
			continue;
		}
		write_text(place->path, "a", line_of("CLIENT_RANDOM", n, 1, 48));
		assert_int_equal(keyring_update(place->ring, 0, &place->err), KEYRING_NEWS);
	}
	for (int i = 0; i < 2; i++) {
		assert_int_equal(pthread_join(threads[i], NULL), 0);
	}
	assert_int_equal(keyring_count(place->ring).waiting, 0);
}

/* Real logs, where they are at hand: lines of each, all of which parse. */
static void real_key_logs_are_read_whole(void **state)
{
	struct place *place = *state;
	static const struct {
		const char *name;
		uint64_t secrets;
	} logs[] = {{"tls13-rfc8446.keys", 9}, {"tls12-decryption.keys", 1}, {"dhe1_keylog.dat", 1}};
	uint64_t secrets = 0;
	for (size_t i = 0; i < sizeof(logs) / sizeof(logs[0]); i++) {
		char path[512];
		(void)snprintf(path, sizeof(path), CAPTURES "/%s", logs[i].name);
		if (access(path, R_OK) != 0)
			skip();
		assert_true(keyring_add_file(place->ring, path, false, &place->err));
		secrets += logs[i].secrets;
	}
	assert_int_equal(keyring_update(place->ring, 0, &place->err), KEYRING_NEWS);
	struct keyring_counts counts = keyring_count(place->ring);
	assert_int_equal(counts.files.index.secrets, secrets);
	assert_int_equal(counts.files.index.bad + counts.files.index.unknown + counts.files.index.too_long, 0);
}

#define place_test(function) cmocka_unit_test_setup_teardown(function, place_make, place_clear)

int main(void)
{
	const struct CMUnitTest tests[] = {
		place_test(secrets_of_a_session_come_together_from_all_sources),
		place_test(several_ids_are_looked_up_at_once),
		place_test(a_ring_says_what_it_cannot_use),
		place_test(a_wait_is_told_once_and_only_of_its_own),
		place_test(the_rings_descriptor_tells_of_files_that_grow),
		place_test(a_private_key_opens_the_premaster_secret_of_its_server),
		place_test(keys_that_cannot_be_used_are_named),
		place_test(a_psk_is_found_by_identity_and_then_by_none),
		place_test(record_keys_come_back_as_they_were),
		place_test(every_traffic_secret_is_a_candidate_within_the_bound),
		place_test(late_keys_reach_every_thread),
		place_test(real_key_logs_are_read_whole),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
