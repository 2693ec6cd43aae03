/* Connections of every form that OpenSSL makes, watched with their key log: what was sent comes out. */
#include "tls/prf12.h"
#include "tls/record.h"
#include "tls/schedule13.h"
#include "watcher.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include <cmocka.h>

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

static const struct watcher_setup final = {.keys_final = true};

/* Some of everything, in records large and small. */
static void converse(struct talk *talk)
{
	static const size_t sizes[] = {1, 100, 16384, 5000, 60000, 17};
	for (size_t i = 0; i < sizeof(sizes) / sizeof(*sizes); i++) {
		talk_send(talk, FLOW_UP, sizes[i]);
		talk_send(talk, FLOW_DOWN, sizes[i] + 1);
	}
}

static void must_be_whole(const struct talk *talk, size_t most)
{
	struct watcher w;
	watcher_begin(&w, talk, &final);
	watcher_keys(&w, talk->log);
	watcher_feed(&w, most);
	watcher_close(&w);
	struct session_outcome outcome = session_outcome(w.session);
	assert_true(watcher_complete(&w));
	assert_int_equal(outcome.verdict, SESSION_DECRYPTED);
	assert_int_equal(w.hellos, 1);
	assert_int_equal(w.tlses, 1);
	assert_string_equal(w.sni, "talk.test");
	watcher_end(&w);
}

static void every_suite_of_tls13_is_read(void **state)
{
	static const char *const suites[] = {"TLS_AES_128_GCM_SHA256", "TLS_AES_256_GCM_SHA384",
		"TLS_CHACHA20_POLY1305_SHA256", "TLS_AES_128_CCM_SHA256", "TLS_AES_128_CCM_8_SHA256"};
	(void)state;
	for (size_t i = 0; i < sizeof(suites) / sizeof(*suites); i++) {
		struct talk_setup setup = {.keys = &keys, .version = TLS1_3_VERSION, .suite = suites[i]};
		struct talk *talk = talk_new(&setup);
		assert_non_null(talk);
		converse(talk);
		must_be_whole(talk, 1448);
		must_be_whole(talk, 100000);
		talk_free(talk);
	}
}

static void every_suite_of_tls12_is_read(void **state)
{
	unsigned done = 0;
	(void)state;
	SSL_CTX *ctx = SSL_CTX_new(TLS_method());
	assert_int_equal(SSL_CTX_set_cipher_list(ctx, "ALL:COMPLEMENTOFALL:@SECLEVEL=0"), 1);
	SSL *ssl = SSL_new(ctx);
	STACK_OF(SSL_CIPHER) *ciphers = SSL_get_ciphers(ssl);
	for (int i = 0; i < sk_SSL_CIPHER_num(ciphers); i++) {
		const char *name = SSL_CIPHER_get_name(sk_SSL_CIPHER_value(ciphers, i));
		struct talk_setup setup = {.keys = &keys, .version = TLS1_2_VERSION, .suite = name};
		if (strncmp(name, "TLS_", 4) == 0)
			continue;
		for (int variant = 0; variant < 3; variant++) {
			setup.options = variant == 1   ? SSL_OP_NO_EXTENDED_MASTER_SECRET
			                : variant == 2 ? SSL_OP_NO_ENCRYPT_THEN_MAC
			                               : 0;
			struct talk *talk = talk_new(&setup);
			if (!talk)
				break;
			converse(talk);
			must_be_whole(talk, 1448);
			talk_free(talk);
			done++;
		}
	}
	SSL_free(ssl);
	SSL_CTX_free(ctx);
	print_message("# %u connections\n", done);
	assert_true(done > 100);
}

static void octets_may_come_one_by_one(void **state)
{
	(void)state;
	for (int version = TLS1_2_VERSION; version <= TLS1_3_VERSION; version++) {
		struct talk_setup setup = {.keys = &keys, .version = version};
		struct talk *talk = talk_new(&setup);
		talk_send(talk, FLOW_UP, 3000);
		talk_send(talk, FLOW_DOWN, 3000);
		must_be_whole(talk, 1);
		must_be_whole(talk, 7);
		talk_free(talk);
	}
}

static void details_of_the_connection_are_told(void **state)
{
	(void)state;
	for (int version = TLS1_2_VERSION; version <= TLS1_3_VERSION; version++) {
		struct talk_setup setup = {
			.keys = &keys, .version = version, .alpn = "http/1.1", .client_groups = "X25519"};
		struct talk *talk = talk_new(&setup);
		struct watcher w;
		talk_send(talk, FLOW_UP, 10);
		watcher_begin(&w, talk, &final);
		watcher_keys(&w, talk->log);
		watcher_feed(&w, 5000);
		watcher_close(&w);
		assert_int_equal(w.tls.version, version);
		assert_int_equal(w.tls.suite, SSL_CIPHER_get_protocol_id(SSL_get_current_cipher(talk->side[0])));
		assert_string_equal(w.tls_alpn, "http/1.1");
		assert_string_equal(w.tls_group, "x25519");
		assert_true(w.tls.certificate.present);
		assert_string_equal(w.tls_subject, "CN=talk.test");
		assert_true(w.tls.certificate.not_after_s > 1700000000);
		assert_false(w.tls.resumed);
		watcher_end(&w);
		talk_free(talk);
	}
}

static void retries_padding_and_small_fragments_are_read(void **state)
{
	(void)state;
	struct talk_setup setups[] = {
		{.version = TLS1_3_VERSION, .client_groups = "X25519:P-256", .server_groups = "P-256"},
		{.version = TLS1_3_VERSION, .padding = 512},
		{.version = TLS1_3_VERSION, .fragment = 512},
		{.version = TLS1_2_VERSION, .fragment = 512},
		{.version = TLS1_3_VERSION, .options = SSL_OP_NO_TICKET},
		{.version = TLS1_2_VERSION, .options = SSL_OP_NO_TICKET},
	};
	for (size_t i = 0; i < sizeof(setups) / sizeof(*setups); i++) {
		setups[i].keys = &keys;
		struct talk *talk = talk_new(&setups[i]);
		assert_non_null(talk);
		converse(talk);
		must_be_whole(talk, 1448);
		talk_free(talk);
	}
}

static void key_updates_are_followed_with_and_without_their_lines(void **state)
{
	(void)state;
	struct talk_setup setup = {.keys = &keys, .version = TLS1_3_VERSION};
	struct talk *talk = talk_new(&setup);
	for (int i = 0; i < 4; i++) {
		converse(talk);
		talk_update(talk, i % 2 ? FLOW_UP : FLOW_DOWN, i < 2);
	}
	converse(talk);
	must_be_whole(talk, 1448);
	/* Only what stands before the first update. */
	char *cut = strstr(talk->log, "TRAFFIC_SECRET_N");
	if (!cut)
		cut = strstr(talk->log, "TRAFFIC_SECRET_1");
	if (cut) {
		while (cut > talk->log && cut[-1] != '\n')
			cut--;
		*cut = 0;
	}
	must_be_whole(talk, 1448);
	talk_free(talk);
}

/* A connection, and how to resume it. A session serves once. */
static struct talk *begin(const struct talk_setup *setup, struct talk_setup *next)
{
	struct talk *first = talk_new(setup);
	assert_non_null(first);
	talk_send(first, FLOW_UP, 100);
	talk_send(first, FLOW_DOWN, 100);
	*next = *setup;
	next->session = talk_session(first);
	next->server = first->server_ctx;
	return first;
}

static void resumed_connections_are_read(void **state)
{
	(void)state;
	for (int i = 0; i < 4; i++) {
		struct talk_setup first_setup = {.keys = &keys,
			.version = i < 2 ? TLS1_2_VERSION : TLS1_3_VERSION,
			.options = i % 2 ? SSL_OP_NO_TICKET : 0};
		struct talk_setup setup;
		struct talk *first = begin(&first_setup, &setup), *talk = talk_new(&setup);
		assert_non_null(talk);
		assert_true(SSL_session_reused(talk->side[0]));
		converse(talk);
		must_be_whole(talk, 1448);
		/* TLS 1.2: the secret of the first connection opens the second, whose own line is missing. */
		struct watcher w;
		watcher_begin(&w, first, &final);
		watcher_keys(&w, first->log);
		watcher_feed(&w, 1448);
		watcher_close(&w);
		watcher_again(&w, talk, true);
		if (i >= 2)
			watcher_keys(&w, talk->log);
		watcher_feed(&w, 1448);
		watcher_close(&w);
		assert_true(watcher_complete(&w));
		assert_true(w.tls.resumed);
		watcher_end(&w);
		SSL_SESSION_free(setup.session);
		talk_free(talk);
		talk_free(first);
	}
}

static void early_data_is_read_where_the_server_took_it(void **state)
{
	(void)state;
	struct talk_setup first_setup = {.keys = &keys, .version = TLS1_3_VERSION};
	for (int refused = 0; refused < 2; refused++) {
		struct talk_setup setup;
		struct talk *first = begin(&first_setup, &setup), *talk;
		setup.early = 5000;
		setup.refuse_early = refused;
		talk = talk_new(&setup);
		assert_non_null(talk);
		assert_int_equal(SSL_get_early_data_status(talk->side[0]),
			refused ? SSL_EARLY_DATA_REJECTED : SSL_EARLY_DATA_ACCEPTED);
		converse(talk);
		must_be_whole(talk, 1448);
		struct watcher w;
		watcher_begin(&w, talk, &final);
		watcher_keys(&w, talk->log);
		watcher_feed(&w, 100000);
		watcher_close(&w);
		assert_int_equal(watcher_has_notice(&w, "early-data-refused"), refused);
		assert_int_equal(session_outcome(w.session).early_refused > 5000, refused);
		watcher_end(&w);
		SSL_SESSION_free(setup.session);
		talk_free(talk);
		talk_free(first);
	}
}

/* One direction may run ahead of the other: a capture has them as its packets came, or waits for one that is missing. */
static void feed_skewed(struct watcher *w, enum flow_direction first, size_t ahead)
{
	const struct talk *talk = w->talk;
	size_t at[2] = {0, 0};
	while (at[0] < talk->count || at[1] < talk->count) {
		enum flow_direction direction = at[first] <= at[!first] + ahead ? first : !first;
		if (at[direction] >= talk->count)
			direction = !direction;
		const struct talk_piece *piece = &talk->pieces[at[direction]++];
		if (piece->direction == direction)
			watcher_data(w, direction, bytes_of(talk->wire + piece->at, piece->len));
	}
}

static void directions_may_run_ahead_of_each_other(void **state)
{
	struct talk_setup setups[] = {
		{.version = TLS1_3_VERSION},
		{.version = TLS1_3_VERSION, .client_groups = "X25519:P-256", .server_groups = "P-256"},
		{.version = TLS1_2_VERSION},
		{.version = TLS1_2_VERSION, .suite = "AES128-SHA"},
	};
	(void)state;
	for (size_t i = 0; i < sizeof(setups) / sizeof(*setups); i++) {
		setups[i].keys = &keys;
		struct talk *talk = talk_new(&setups[i]);
		assert_non_null(talk);
		converse(talk);
		if (setups[i].version == TLS1_2_VERSION)
			talk_renegotiate(talk);
		else
			talk_update(talk, FLOW_UP, true);
		converse(talk);
		for (int way = 0; way < 10; way++) {
			struct watcher w;
			bool late = way >= 8;
			watcher_begin(&w, talk, &(struct watcher_setup){.keys_final = !late});
			if (!late)
				watcher_keys(&w, talk->log);
			feed_skewed(&w, way & 1 ? FLOW_DOWN : FLOW_UP, way < 2 ? SIZE_MAX / 2 : (size_t)way * 2);
			if (late)
				watcher_keys(&w, talk->log);
			watcher_close(&w);
			assert_true(watcher_complete(&w));
			assert_int_equal(session_outcome(w.session).verdict, SESSION_DECRYPTED);
			watcher_end(&w);
		}
		talk_free(talk);
	}
}

static void one_direction_alone_is_read(void **state)
{
	(void)state;
	struct talk_setup setup = {.keys = &keys, .version = TLS1_3_VERSION};
	struct talk *talk = talk_new(&setup);
	converse(talk);
	for (int d = 0; d < 2; d++) {
		struct watcher w;
		watcher_begin(&w, talk, &final);
		watcher_keys(&w, talk->log);
		for (size_t i = 0; i < talk->count; i++)
			if (talk->pieces[i].direction == (enum flow_direction)d)
				watcher_data(&w, d, bytes_of(talk->wire + talk->pieces[i].at, talk->pieces[i].len));
		watcher_close(&w);
		assert_int_equal(w.data[d], talk->plain_len[d]);
		assert_int_equal(w.gap[d], 0);
		assert_int_equal(w.wrong, 0);
		watcher_end(&w);
	}
	talk_free(talk);
}

static void renegotiation_is_followed(void **state)
{
	static const char *const suites[] = {"ECDHE-RSA-AES128-GCM-SHA256", "ECDHE-ECDSA-AES256-SHA", "AES128-SHA256"};
	(void)state;
	for (size_t i = 0; i < 3; i++) {
		struct talk_setup setup = {.keys = &keys, .version = TLS1_2_VERSION, .suite = suites[i]};
		struct talk *talk = talk_new(&setup);
		assert_non_null(talk);
		for (int turn = 0; turn < 2; turn++) {
			converse(talk);
			talk_renegotiate(talk);
		}
		converse(talk);
		must_be_whole(talk, 1448);
		talk_free(talk);
	}
}

static void a_private_rsa_key_opens_rsa_key_exchange(void **state)
{
	char path[] = "/tmp/overt-session-XXXXXX";
	(void)state;
	int fd = mkstemp(path);
	assert_true(fd >= 0);
	talk_keys_write_rsa(&keys, path);
	for (int ems = 0; ems < 2; ems++) {
		struct talk_setup setup = {.keys = &keys,
			.version = TLS1_2_VERSION,
			.suite = "AES256-GCM-SHA384",
			.options = ems ? 0 : SSL_OP_NO_EXTENDED_MASTER_SECRET};
		struct talk *talk = talk_new(&setup);
		struct watcher w;
		struct error err;
		assert_non_null(talk);
		converse(talk);
		watcher_begin(&w, talk, &final);
		assert_true(keyring_add_private_keys(w.ring, path, &err));
		watcher_feed(&w, 1448);
		watcher_close(&w);
		assert_true(watcher_complete(&w));
		watcher_end(&w);
		talk_free(talk);
	}
	(void)unlink(path);
	(void)close(fd);
}

/* `others` keys of the same identity come first, which are not the one. */
static void add_psks(struct watcher *w, unsigned others)
{
	struct error err;
	for (unsigned i = 0; i < others; i++) {
		const uint8_t other[] = {1, 2, 3, 4, (uint8_t)i, (uint8_t)(i >> 8)};
		assert_true(keyring_add_psk(w->ring, bytes_str("user"), bytes_of(other, sizeof(other)), &err));
	}
	assert_true(keyring_add_psk(w->ring, bytes_str("user"), bytes_of(talk_psk, sizeof(talk_psk)), &err));
}

static void a_psk_opens_psk_key_exchange(void **state)
{
	static const unsigned others[] = {0, 1, 8, 40};
	(void)state;
	for (size_t i = 0; i < sizeof(others) / sizeof(*others); i++) {
		struct talk_setup setup = {.keys = &keys, .version = TLS1_2_VERSION, .suite = "PSK-AES128-GCM-SHA256"};
		struct talk *talk = talk_new(&setup);
		struct watcher w;
		assert_non_null(talk);
		converse(talk);
		watcher_begin(&w, talk, &final);
		add_psks(&w, others[i]);
		watcher_feed(&w, 1448);
		watcher_close(&w);
		assert_true(watcher_complete(&w));
		watcher_end(&w);
		talk_free(talk);
	}
}

static void a_psk_and_a_private_key_open_rsa_psk(void **state)
{
	char path[] = "/tmp/overt-test-XXXXXX";
	int fd = mkstemp(path);
	struct talk_setup setup = {.keys = &keys, .version = TLS1_2_VERSION, .suite = "RSA-PSK-AES128-GCM-SHA256"};
	struct talk *talk = talk_new(&setup);
	struct watcher w;
	struct error err;
	(void)state;
	assert_true(fd >= 0 && talk);
	talk_keys_write_rsa(&keys, path);
	converse(talk);
	for (int both = 0; both < 2; both++) {
		watcher_begin(&w, talk, &final);
		assert_true(keyring_add_private_keys(w.ring, path, &err));
		if (both)
			add_psks(&w, 3);
		watcher_feed(&w, 1448);
		watcher_close(&w);
		assert_int_equal(w.wrong, 0);
		assert_int_equal(watcher_complete(&w), both);
		watcher_end(&w);
	}
	talk_free(talk);
	(void)unlink(path);
	(void)close(fd);
}

/* No group that both have: all there is is the PSK. */
static struct talk_setup psk_alone(const char *suite)
{
	return (struct talk_setup){.keys = &keys,
		.version = TLS1_3_VERSION,
		.suite = suite,
		.client_groups = "P-256",
		.server_groups = "P-384",
		.options = SSL_OP_ALLOW_NO_DHE_KEX,
		.psk13 = true};
}

static void a_psk_alone_opens_tls13(void **state)
{
	static const char *const suites[] = {"TLS_AES_128_GCM_SHA256", "TLS_AES_256_GCM_SHA384"};
	(void)state;
	for (int i = 0; i < 8; i++) {
		struct talk_setup setup = psk_alone(suites[i % 2]);
		setup.early = i & 2 ? 5000 : 0;
		struct talk *talk = talk_new(&setup);
		struct watcher w;
		assert_non_null(talk);
		converse(talk);
		talk_update(talk, FLOW_UP, true);
		talk_send(talk, FLOW_DOWN, 3000);
		watcher_begin(&w, talk, &(struct watcher_setup){.keys_final = i < 4});
		add_psks(&w, i & 4 ? 100 : 0);
		watcher_feed(&w, i & 1 ? 7 : 1448);
		watcher_close(&w);
		assert_true(watcher_complete(&w));
		assert_int_equal(session_outcome(w.session).verdict, SESSION_DECRYPTED);
		assert_true(w.tls.resumed);
		watcher_end(&w);
		talk_free(talk);
	}
}

static void the_secrets_of_a_psk_need_every_message(void **state)
{
	struct talk_setup setup = psk_alone("TLS_AES_128_GCM_SHA256");
	struct talk *talk = talk_new(&setup);
	struct watcher w;
	(void)state;
	assert_non_null(talk);
	converse(talk);
	watcher_begin(&w, talk, &final);
	add_psks(&w, 0);
	/* The client's side runs ahead of all that the server says. */
	for (int direction = 0; direction < 2; direction++)
		for (size_t i = 0; i < talk->count; i++)
			if (talk->pieces[i].direction == (enum flow_direction)direction)
				watcher_data(&w, talk->pieces[i].direction,
					bytes_of(talk->wire + talk->pieces[i].at, talk->pieces[i].len));
	watcher_close(&w);
	assert_true(watcher_complete(&w));
	watcher_end(&w);
	/* Another key: nothing, and no wrong octet. */
	watcher_begin(&w, talk, &final);
	struct error err;
	assert_true(keyring_add_psk(w.ring, bytes_str("user"), bytes_str("another"), &err));
	watcher_feed(&w, 1448);
	watcher_close(&w);
	assert_int_equal(w.data[0] + w.data[1] + w.wrong, 0);
	assert_int_equal(session_outcome(w.session).cause, SESSION_NO_KEY);
	watcher_end(&w);
	talk_free(talk);
}

/* Without the third of its records: ServerHello, ChangeCipherSpec, EncryptedExtensions, Finished. */
static void feed_without_extensions(struct watcher *w, struct bytes flight)
{
	struct record record;
	struct bytes rest = flight;
	for (int i = 0; i < 2; i++)
		assert_int_equal(record_read(&rest, &record), RECORD_OK);
	watcher_data(w, FLOW_DOWN, bytes_of(flight.data, flight.len - rest.len));
	assert_int_equal(record_read(&rest, &record), RECORD_OK);
	session_gap(w->session, FLOW_DOWN, RECORD_HEADER + record.fragment.len, w->now_ns);
	assert_true(rest.len > 0);
	watcher_data(w, FLOW_DOWN, rest);
}

/* The secrets of application data come from every message of the handshake; those of a part of them are not kept. */
static void a_psk_makes_no_secrets_of_half_a_handshake(void **state)
{
	struct talk_setup setup = psk_alone("TLS_AES_128_GCM_SHA256");
	struct talk *talk = talk_new(&setup);
	struct watcher w;
	bool first = true;
	(void)state;
	assert_non_null(talk);
	converse(talk);
	watcher_begin(&w, talk, &final);
	add_psks(&w, 0);
	for (size_t i = 0; i < talk->count; i++) {
		const struct talk_piece *piece = &talk->pieces[i];
		struct bytes octets = bytes_of(talk->wire + piece->at, piece->len);
		if (piece->direction == FLOW_DOWN && first)
			feed_without_extensions(&w, octets);
		else
			watcher_data(&w, piece->direction, octets);
		first = first && piece->direction == FLOW_UP;
	}
	watcher_close(&w);
	assert_int_equal(w.data[0] + w.data[1] + w.wrong, 0);
	/* The handshake's own two. */
	assert_int_equal(session_room_count(w.room).learned, 2);
	assert_int_equal(session_outcome(w.session).octets[SESSION_WRONG_KEY], 0);
	assert_true(session_outcome(w.session).octets[SESSION_NO_KEY] > 0);
	watcher_end(&w);
	talk_free(talk);
}

static void with_a_key_share_the_key_log_decides(void **state)
{
	struct talk_setup setup = {.keys = &keys,
		.version = TLS1_3_VERSION,
		.suite = "TLS_AES_128_GCM_SHA256",
		.psk13 = true,
		.early = 5000};
	struct talk *talk = talk_new(&setup);
	struct watcher w;
	(void)state;
	assert_non_null(talk);
	converse(talk);
	/* The PSK opens 0-RTT data and no more. */
	watcher_begin(&w, talk, &final);
	add_psks(&w, 0);
	watcher_feed(&w, 1448);
	watcher_close(&w);
	assert_int_equal(w.wrong, 0);
	assert_int_equal(w.data[0], 5000);
	assert_int_equal(w.data[1], 0);
	watcher_end(&w);
	watcher_begin(&w, talk, &final);
	add_psks(&w, 0);
	watcher_keys(&w, talk->log);
	watcher_feed(&w, 1448);
	watcher_close(&w);
	assert_true(watcher_complete(&w));
	watcher_end(&w);
	talk_free(talk);
}

static void keys_may_come_late(void **state)
{
	(void)state;
	for (int version = TLS1_2_VERSION; version <= TLS1_3_VERSION; version++) {
		struct talk_setup setup = {.keys = &keys, .version = version};
		struct talk *talk = talk_new(&setup);
		struct watcher w;
		converse(talk);
		talk_shut(talk, FLOW_UP);
		watcher_begin(&w, talk, &(struct watcher_setup){0});
		watcher_feed(&w, 1448);
		assert_int_equal(w.data[0] + w.data[1], 0);
		assert_true(session_room_count(w.room).parked > 100000);
		watcher_keys(&w, talk->log);
		assert_true(watcher_complete(&w));
		assert_int_equal(session_room_count(w.room).parked, 0);
		assert_int_equal(w.halves[FLOW_UP], 1);
		watcher_close(&w);
		assert_int_equal(session_outcome(w.session).verdict, SESSION_DECRYPTED);
		watcher_end(&w);
		talk_free(talk);
	}
}

static void what_waits_too_long_becomes_a_gap(void **state)
{
	(void)state;
	struct talk_setup setup = {.keys = &keys, .version = TLS1_3_VERSION};
	struct talk *talk = talk_new(&setup);
	struct watcher w;
	converse(talk);
	size_t half = talk->count;
	converse(talk);
	watcher_begin(&w, talk, &(struct watcher_setup){0});
	for (size_t i = 0; i < half; i++)
		watcher_data(
			&w, talk->pieces[i].direction, bytes_of(talk->wire + talk->pieces[i].at, talk->pieces[i].len));
	w.now_ns += 2 * session_limits_default.park_ns;
	session_room_tick(w.room, w.now_ns);
	assert_int_equal(session_room_count(w.room).parked, 0);
	assert_int_equal(session_room_count(w.room).gave_up_time, 1);
	/* The key opens what comes after it. */
	watcher_keys(&w, talk->log);
	for (size_t i = half; i < talk->count; i++)
		watcher_data(
			&w, talk->pieces[i].direction, bytes_of(talk->wire + talk->pieces[i].at, talk->pieces[i].len));
	watcher_close(&w);
	assert_int_equal(w.wrong, 0);
	assert_false(w.offsets_bad);
	for (int i = 0; i < 2; i++) {
		assert_true(w.data[i] >= talk->plain_len[i] / 2 - 16384);
		assert_int_equal(w.gaps[i], 1);
		assert_true(w.data[i] + w.gap[i] >= talk->plain_len[i]);
	}
	assert_int_equal(session_outcome(w.session).verdict, SESSION_PARTLY);
	assert_int_equal(session_outcome(w.session).cause, SESSION_NO_KEY);
	watcher_end(&w);
	talk_free(talk);
}

static void what_waits_stays_within_its_bounds(void **state)
{
	(void)state;
	struct talk_setup setup = {.keys = &keys, .version = TLS1_3_VERSION};
	for (int which = 0; which < 2; which++) {
		struct talk *talk = talk_new(&setup);
		struct watcher_setup small = {.limits = session_limits_default};
		struct watcher w;
		size_t cap = 50000;
		if (which)
			small.limits.park_total = cap;
		else
			small.limits.park_session = cap;
		converse(talk);
		converse(talk);
		watcher_begin(&w, talk, &small);
		watcher_feed(&w, 1448);
		assert_true(session_room_count(w.room).parked_peak <= cap + 20000);
		assert_true(session_room_count(w.room).gave_up_full > 0);
		watcher_keys(&w, talk->log);
		talk_free(talk);
		w.talk = talk = NULL;
		session_close(w.session, w.now_ns);
		assert_true(session_outcome(w.session).octets[SESSION_PARK_FULL] > 0);
		watcher_end(&w);
	}
}

static void without_a_key_everything_is_counted(void **state)
{
	(void)state;
	for (int version = TLS1_VERSION; version <= TLS1_3_VERSION; version++) {
		struct talk_setup setup = {.keys = &keys, .version = version};
		struct talk *talk = talk_new(&setup);
		struct watcher w;
		assert_non_null(talk);
		converse(talk);
		watcher_begin(&w, talk, &final);
		watcher_feed(&w, 1448);
		watcher_close(&w);
		struct session_outcome outcome = session_outcome(w.session);
		assert_int_equal(outcome.verdict, SESSION_NOT);
		assert_int_equal(outcome.cause, version < TLS1_2_VERSION ? SESSION_VERSION : SESSION_NO_KEY);
		assert_int_equal(w.data[0] + w.data[1], 0);
		assert_true(w.gap[0] >= talk->plain_len[0] && w.gap[1] >= talk->plain_len[1]);
		assert_true(w.gap[0] <= talk->plain_len[0] + 5000 && w.gap[1] <= talk->plain_len[1] + 5000);
		assert_int_equal(w.tlses, 1);
		assert_int_equal(w.tls.version, version);
		watcher_end(&w);
		talk_free(talk);
	}
}

static void a_wrong_key_gives_nothing(void **state)
{
	(void)state;
	struct talk_setup setup = {.keys = &keys, .version = TLS1_3_VERSION};
	struct talk *talk = talk_new(&setup);
	struct watcher w;
	converse(talk);
	/* One digit of each secret is another one. */
	for (char *line = talk->log; line && *line; line = strchr(line, '\n') ? strchr(line, '\n') + 1 : NULL) {
		char *last = strchr(line, '\n') - 1;
		*last = *last == '0' ? '1' : '0';
	}
	watcher_begin(&w, talk, &final);
	watcher_keys(&w, talk->log);
	watcher_feed(&w, 1448);
	watcher_close(&w);
	assert_int_equal(w.data[0] + w.data[1], 0);
	assert_int_equal(session_outcome(w.session).verdict, SESSION_NOT);
	assert_int_equal(session_outcome(w.session).cause, SESSION_WRONG_KEY);
	watcher_end(&w);
	talk_free(talk);
}

static void a_log_without_handshake_secrets_suffices(void **state)
{
	(void)state;
	struct talk_setup setup = {.keys = &keys, .version = TLS1_3_VERSION};
	struct talk *talk = talk_new(&setup);
	char only[4096];
	size_t len = 0;
	converse(talk);
	for (char *line = strtok(talk->log, "\n"); line; line = strtok(NULL, "\n"))
		if (strstr(line, "TRAFFIC_SECRET_0"))
			len += (size_t)snprintf(only + len, sizeof(only) - len, "%s\n", line);
	assert_true(len > 0 && len < sizeof(only));
	struct watcher w;
	for (int late = 0; late < 2; late++) {
		watcher_begin(&w, talk, &(struct watcher_setup){.keys_final = !late});
		if (!late)
			watcher_keys(&w, only);
		watcher_feed(&w, 1448);
		if (late)
			watcher_keys(&w, only);
		watcher_close(&w);
		assert_true(watcher_complete(&w));
		assert_int_equal(session_outcome(w.session).verdict, SESSION_DECRYPTED);
		watcher_end(&w);
	}
	talk_free(talk);
}

/* The application keys of a talk, as an endpoint releases them that keeps its secrets. */
static void add_record_keys(struct watcher *w, const struct talk *talk, uint64_t first_seq)
{
	struct crypto *crypto = crypto_new();
	struct keyset set = {0};
	struct keyring *ring = keyring_new(NULL);
	uint16_t value = SSL_CIPHER_get_protocol_id(SSL_get_current_cipher(talk->side[0]));
	const struct suite *suite = suite_find(value);
	struct shape shape = {0};
	assert_true(crypto && ring && suite && shape_of(suite, 0x0304, &shape));
	(void)keyring_add_text(ring, bytes_str(talk->log));
	assert_true(keyring_find_random(ring, bytes_of(talk->client_random, 32), &set) > 0);
	for (int d = 0; d < 2; d++) {
		struct record_key key = {.from_client = d == 0,
			.stage = RECORD_STAGE_APPLICATION,
			.version = 0x0304,
			.suite = value,
			.first_seq = first_seq,
			.key_len = shape.key,
			.iv_len = shape.iv};
		struct traffic_keys traffic = {0};
		struct tls_secret secret = {0};
		struct bytes view = BYTES_NONE;
		memcpy(key.client_random, talk->client_random, 32);
		assert_true(keyset_get(&set, d ? KEYLOG_SERVER_TRAFFIC : KEYLOG_CLIENT_TRAFFIC, 0, 0, &view));
		assert_true(tls_secret_set(&secret, view));
		assert_true(schedule13_keys(crypto, suite, &secret, &traffic));
		memcpy(key.key, traffic.key, shape.key);
		memcpy(key.iv, traffic.iv, shape.iv);
		assert_true(keyring_add_record_key(w->ring, &key));
	}
	keyset_free(&set);
	keyring_free(ring);
	crypto_free(crypto);
}

static void record_keys_suffice_from_where_they_are_given(void **state)
{
	static const char *const suites[] = {"TLS_AES_128_GCM_SHA256", "TLS_CHACHA20_POLY1305_SHA256"};
	(void)state;
	for (int i = 0; i < 6; i++) {
		struct talk_setup setup = {.keys = &keys, .version = TLS1_3_VERSION, .suite = suites[i % 2]};
		struct talk *talk = talk_new(&setup);
		struct watcher w;
		bool late = i / 2 == 1;
		uint64_t first = i / 2 == 2 ? 3 : 0;
		converse(talk);
		watcher_begin(&w, talk, &(struct watcher_setup){.keys_final = !late});
		if (!late)
			add_record_keys(&w, talk, first);
		watcher_feed(&w, 1448);
		if (late) {
			add_record_keys(&w, talk, first);
			session_room_keys(w.room, w.now_ns);
		}
		watcher_close(&w);
		assert_int_equal(w.wrong, 0);
		assert_false(w.offsets_bad);
		if (first == 0)
			assert_true(watcher_complete(&w));
		else
			assert_true(w.data[0] > 0 && w.data[0] < talk->plain_len[0]);
		watcher_end(&w);
		talk_free(talk);
	}
}

/* The lines of a key log that have this in them. */
static void add_lines_with(struct watcher *w, const struct talk *talk, const char *word)
{
	const char *line = talk->log;
	while (*line) {
		size_t len = strcspn(line, "\n") + 1;
		const char *found = memmem(line, len, word, strlen(word));
		if (found)
			assert_int_equal(keyring_add_text(w->ring, bytes_of(line, len)), 1);
		line += len;
	}
}

/* The handshake is read, so that the place of every record is known; what stands before the key's own is not for it. */
static void a_record_key_opens_nothing_before_its_first_record(void **state)
{
	struct talk_setup setup = {.keys = &keys, .version = TLS1_3_VERSION, .suite = "TLS_AES_128_GCM_SHA256"};
	struct talk *talk = talk_new(&setup);
	struct watcher w;
	(void)state;
	converse(talk);
	watcher_begin(&w, talk, &final);
	add_lines_with(&w, talk, "_HANDSHAKE_TRAFFIC_SECRET");
	add_record_keys(&w, talk, 3);
	watcher_feed(&w, 1448);
	watcher_close(&w);
	assert_int_equal(w.wrong, 0);
	assert_false(w.offsets_bad);
	/* The client's first three records; of the server's two are tickets. */
	assert_int_equal(w.gap[FLOW_UP], 1 + 100 + 16384);
	assert_int_equal(w.data[FLOW_UP], talk->plain_len[FLOW_UP] - w.gap[FLOW_UP]);
	assert_int_equal(w.data[FLOW_DOWN], talk->plain_len[FLOW_DOWN] - 2);
	watcher_end(&w);
	talk_free(talk);
}

/* Both directions' keys of a TLS 1.2 talk, made of its master secret. */
static void add_record_keys12(struct watcher *w, const struct talk *talk, uint64_t first_seq)
{
	struct crypto *crypto = crypto_new();
	uint16_t value = SSL_CIPHER_get_protocol_id(SSL_get_current_cipher(talk->side[0]));
	const struct suite *suite = suite_find(value);
	struct shape shape = {0};
	struct traffic_keys traffic[2];
	uint8_t server_random[32], master[PRF12_MASTER];
	assert_true(crypto && suite && shape_of(suite, 0x0303, &shape));
	assert_int_equal(SSL_get_server_random(talk->side[0], server_random, 32), 32);
	assert_int_equal(
		SSL_SESSION_get_master_key(SSL_get_session(talk->side[0]), master, sizeof(master)), sizeof(master));
	assert_true(prf12_keys(crypto, suite, bytes_of(master, sizeof(master)), bytes_of(talk->client_random, 32),
		bytes_of(server_random, 32), &traffic[0], &traffic[1]));
	for (int d = 0; d < 2; d++) {
		struct record_key key = {.from_client = d == 0,
			.stage = RECORD_STAGE_APPLICATION,
			.version = 0x0303,
			.suite = value,
			.first_seq = first_seq,
			.key_len = shape.key,
			.iv_len = shape.iv,
			.mac_len = shape.mac_key};
		memcpy(key.client_random, talk->client_random, 32);
		memcpy(key.key, traffic[d].key, shape.key);
		memcpy(key.iv, traffic[d].iv, shape.iv);
		memcpy(key.mac, traffic[d].mac, shape.mac_key);
		assert_true(keyring_add_record_key(w->ring, &key));
	}
	crypto_free(crypto);
}

static void record_keys_of_tls12_suffice_from_where_they_are_given(void **state)
{
	static const char *const suites[] = {
		"ECDHE-RSA-AES128-GCM-SHA256", "ECDHE-RSA-CHACHA20-POLY1305", "ECDHE-RSA-AES128-SHA256"};
	(void)state;
	for (int i = 0; i < 6; i++) {
		struct talk_setup setup = {.keys = &keys, .version = TLS1_2_VERSION, .suite = suites[i % 3]};
		struct talk *talk = talk_new(&setup);
		struct watcher w;
		assert_non_null(talk);
		converse(talk);
		watcher_begin(&w, talk, &final);
		add_record_keys12(&w, talk, i < 3 ? 0 : 3);
		watcher_feed(&w, 1448);
		watcher_close(&w);
		assert_int_equal(w.wrong, 0);
		assert_false(w.offsets_bad);
		if (i < 3) {
			assert_true(watcher_complete(&w));
		} else {
			/* Number 0 is Finished, 1 and 2 are the first two of data. */
			assert_int_equal(w.data[FLOW_UP], talk->plain_len[FLOW_UP] - 101);
			assert_int_equal(w.data[FLOW_DOWN], talk->plain_len[FLOW_DOWN] - 103);
		}
		watcher_end(&w);
		talk_free(talk);
	}
}

static void plaintext_before_the_hello_is_passed_over(void **state)
{
	static const char before[] = "CONNECT talk.test:443 HTTP/1.1\r\nHost: talk.test\r\n\r\n";
	static const char answer[] = "HTTP/1.1 200 OK\r\n\r\n";
	(void)state;
	struct talk_setup setup = {.keys = &keys, .version = TLS1_3_VERSION};
	struct talk *talk = talk_new(&setup);
	struct watcher w;
	converse(talk);
	watcher_begin(&w, talk, &final);
	watcher_keys(&w, talk->log);
	watcher_data(&w, FLOW_UP, bytes_str(before));
	watcher_data(&w, FLOW_DOWN, bytes_str(answer));
	watcher_feed(&w, 1448);
	watcher_close(&w);
	assert_true(watcher_complete(&w));
	assert_string_equal(watcher_notice(&w, "preamble", 0),
		"The client sent 51 octets in the clear before TLS began: CONNECT (HTTP), from "
		"\"CONNECT talk.test:443 HTTP/1.1\" on.");
	assert_string_equal(watcher_notice(&w, "preamble", 1), "The server sent 19 octets in the clear before TLS "
							       "began: CONNECT (HTTP), from \"HTTP/1.1 200 OK\" on.");
	watcher_end(&w);
	talk_free(talk);
}

static void what_is_no_tls_is_said_to_be_none(void **state)
{
	uint8_t text[40000];
	(void)state;
	memset(text, 'x', sizeof(text));
	struct talk talk = {0};
	struct watcher w;
	watcher_begin(&w, &talk, &final);
	for (size_t i = 0; i < sizeof(text); i += 1000)
		watcher_data(&w, FLOW_UP, bytes_of(text + i, 1000));
	assert_false(session_wants_data(w.session));
	watcher_close(&w);
	assert_int_equal(session_outcome(w.session).cause, SESSION_NOT_TLS);
	assert_int_equal(session_outcome(w.session).verdict, SESSION_NOT);
	watcher_end(&w);
}

static void no_tls_is_told_from_tls_that_begins_in_the_middle(void **state)
{
	static uint8_t text[300000];
	(void)state;
	memset(text, 'x', sizeof(text));
	struct talk talk = {0};
	for (int i = 0; i < 2; i++) {
		struct watcher w;
		size_t len = i ? sizeof(text) : 5000;
		watcher_begin(&w, &talk, &(struct watcher_setup){.keys_final = true, .from_middle = true});
		for (size_t at = 0; at < len; at += 1000)
			watcher_data(&w, FLOW_DOWN, bytes_of(text + at, 1000));
		assert_int_equal(session_wants_data(w.session), i == 0);
		watcher_close(&w);
		assert_int_equal(session_outcome(w.session).cause, SESSION_NOT_TLS);
		assert_int_equal(session_outcome(w.session).octets[SESSION_NOT_TLS], len);
		assert_int_equal(w.gaps[0] + w.gaps[1], 0);
		watcher_end(&w);
	}
}

static void the_side_that_greets_is_the_client(void **state)
{
	(void)state;
	struct talk_setup setup = {.keys = &keys, .version = TLS1_3_VERSION};
	struct talk *talk = talk_new(&setup);
	struct watcher w;
	converse(talk);
	watcher_begin(&w, talk, &final);
	watcher_keys(&w, talk->log);
	for (size_t i = 0; i < talk->count; i++)
		watcher_data(
			&w, !talk->pieces[i].direction, bytes_of(talk->wire + talk->pieces[i].at, talk->pieces[i].len));
	watcher_close(&w);
	assert_true(session_swapped(w.session));
	assert_true(watcher_complete(&w));
	watcher_end(&w);
	talk_free(talk);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_suite_of_tls13_is_read),
		cmocka_unit_test(every_suite_of_tls12_is_read),
		cmocka_unit_test(octets_may_come_one_by_one),
		cmocka_unit_test(details_of_the_connection_are_told),
		cmocka_unit_test(retries_padding_and_small_fragments_are_read),
		cmocka_unit_test(key_updates_are_followed_with_and_without_their_lines),
		cmocka_unit_test(resumed_connections_are_read),
		cmocka_unit_test(early_data_is_read_where_the_server_took_it),
		cmocka_unit_test(directions_may_run_ahead_of_each_other),
		cmocka_unit_test(one_direction_alone_is_read),
		cmocka_unit_test(renegotiation_is_followed),
		cmocka_unit_test(a_private_rsa_key_opens_rsa_key_exchange),
		cmocka_unit_test(a_psk_opens_psk_key_exchange),
		cmocka_unit_test(a_psk_and_a_private_key_open_rsa_psk),
		cmocka_unit_test(a_psk_alone_opens_tls13),
		cmocka_unit_test(the_secrets_of_a_psk_need_every_message),
		cmocka_unit_test(a_psk_makes_no_secrets_of_half_a_handshake),
		cmocka_unit_test(with_a_key_share_the_key_log_decides),
		cmocka_unit_test(keys_may_come_late),
		cmocka_unit_test(what_waits_too_long_becomes_a_gap),
		cmocka_unit_test(what_waits_stays_within_its_bounds),
		cmocka_unit_test(without_a_key_everything_is_counted),
		cmocka_unit_test(a_wrong_key_gives_nothing),
		cmocka_unit_test(a_log_without_handshake_secrets_suffices),
		cmocka_unit_test(record_keys_suffice_from_where_they_are_given),
		cmocka_unit_test(a_record_key_opens_nothing_before_its_first_record),
		cmocka_unit_test(record_keys_of_tls12_suffice_from_where_they_are_given),
		cmocka_unit_test(plaintext_before_the_hello_is_passed_over),
		cmocka_unit_test(what_is_no_tls_is_said_to_be_none),
		cmocka_unit_test(no_tls_is_told_from_tls_that_begins_in_the_middle),
		cmocka_unit_test(the_side_that_greets_is_the_client),
	};
	return cmocka_run_group_tests(tests, make_keys, free_keys);
}
