/*
 * Connections whose beginning, or a hello, is missing, tied to their keys by what an endpoint says of their addresses and
 * ports, or by trying.
 */
#include "draw.h"
#include "watcher.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "keys/release.h"
#include "watch/engine.h"

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

static const struct watcher_setup middle = {.keys_final = true, .from_middle = true};
static const struct watcher_setup middle_late = {.from_middle = true};

static const struct {
	int version;
	const char *suite;
	uint64_t options;
	bool inverts; /* one record tells its number */
} forms[] = {
	{TLS1_3_VERSION, "TLS_AES_128_GCM_SHA256", 0, true},
	{TLS1_3_VERSION, "TLS_CHACHA20_POLY1305_SHA256", 0, false},
	{TLS1_2_VERSION, "ECDHE-RSA-AES128-GCM-SHA256", 0, true},
	{TLS1_2_VERSION, "ECDHE-RSA-CHACHA20-POLY1305", 0, false},
	{TLS1_2_VERSION, "ECDHE-RSA-AES128-SHA256", 0, false},
	{TLS1_2_VERSION, "ECDHE-RSA-AES128-SHA256", SSL_OP_NO_ENCRYPT_THEN_MAC, false},
};
#define FORMS (sizeof(forms) / sizeof(*forms))

static const struct keyring_ends here = {
	{{.ip = {[10] = 255, 255, 192, 0, 2, 1}, .port = 40000}, {.ip = {[10] = 255, 255, 192, 0, 2, 2}, .port = 443}}};

/* A talk that has gone on for `before` records in each direction, so long that a number cannot be guessed. */
static struct talk *long_talk(size_t form, unsigned before)
{
	static struct talk_setup setup;
	setup = (struct talk_setup){.keys = &keys,
		.version = forms[form].version,
		.suite = forms[form].suite,
		.options = forms[form].options};
	struct talk *talk = talk_new(&setup);
	assert_non_null(talk);
	for (unsigned i = 0; i < before; i++) {
		talk_send(talk, FLOW_UP, 10);
		talk_send(talk, FLOW_DOWN, 10);
	}
	return talk;
}

static void send_more(struct talk *talk)
{
	uint64_t seed = 21;
	for (unsigned i = 0; i < 6; i++) {
		talk_send(talk, FLOW_UP, 1000 + draw(&seed, 20000));
		talk_send(talk, FLOW_DOWN, 1000 + draw(&seed, 20000));
	}
}

static void traffic_secret(const struct talk *talk, bool client, struct tls_secret *out)
{
	struct keyring *ring = keyring_new(NULL);
	struct keyset set = {0};
	struct bytes view = BYTES_NONE;
	assert_non_null(ring);
	(void)keyring_add_text(ring, bytes_str(talk->log));
	assert_true(keyring_find_random(ring, bytes_of(talk->client_random, 32), &set) > 0);
	assert_true(keyset_get(&set, client ? KEYLOG_CLIENT_TRAFFIC : KEYLOG_SERVER_TRAFFIC, 0, 0, &view));
	assert_true(tls_secret_set(out, view));
	keyset_free(&set);
	keyring_free(ring);
}

/* What an endpoint of this talk would release: keys of records, and no secret. */
static void make_releases(const struct talk *talk, struct release release[2])
{
	struct crypto *crypto = crypto_new();
	uint16_t suite = SSL_CIPHER_get_protocol_id(SSL_get_current_cipher(talk->side[0]));
	assert_non_null(crypto);
	for (int d = 0; d < 2; d++) {
		release[d] = (struct release){.grade = RELEASE_GRADE_RECORD,
			.mode = RELEASE_LIVE,
			.consent = RELEASE_UNILATERAL,
			.client = here.end[0],
			.server = here.end[1]};
		memcpy(release[d].key.client_random, talk->client_random, 32);
	}
	if (talk->setup->version == TLS1_3_VERSION) {
		for (int d = 0; d < 2; d++) {
			struct tls_secret secret = {0};
			traffic_secret(talk, d == 0, &secret);
			assert_true(release_from_secret13(
				&release[d], crypto, suite, d == 0, 0, tls_secret_bytes(&secret)));
		}
	} else {
		uint8_t random[32], master[48];
		assert_int_equal(SSL_get_server_random(talk->side[0], random, 32), 32);
		assert_int_equal(SSL_SESSION_get_master_key(SSL_get_session(talk->side[0]), master, 48), 48);
		assert_true(release_from_master12(
			&release[0], &release[1], crypto, suite, bytes_of(random, 32), bytes_of(master, 48)));
	}
	crypto_free(crypto);
}

static void release_all(struct keyring *ring, const struct talk *talk, bool with_ends)
{
	struct release release[2];
	make_releases(talk, release);
	for (int d = 0; d < 2; d++) {
		if (!with_ends)
			release[d].client = release[d].server = (struct hostport){0};
		assert_true(release_to_keyring(&release[d], ring));
	}
}

/* The talk from its piece `first` on. */
static void feed_from(struct watcher *w, size_t first, bool swap)
{
	const struct talk *talk = w->talk;
	for (size_t i = first; i < talk->count; i++)
		watcher_data(w, swap ? !talk->pieces[i].direction : talk->pieces[i].direction,
			bytes_of(talk->wire + talk->pieces[i].at, talk->pieces[i].len));
}

static void assert_all_from(const struct watcher *w, const size_t before[2])
{
	assert_int_equal(w->wrong, 0);
	for (int d = 0; d < 2; d++)
		assert_int_equal(w->data[d], w->talk->plain_len[d] - before[d]);
	assert_int_equal(session_outcome(w->session).verdict, SESSION_DECRYPTED);
	assert_memory_equal(session_outcome(w->session).client_random, w->talk->client_random, 32);
}

static void record_keys_of_these_ends_open_a_connection_from_its_middle(void **state)
{
	(void)state;
	for (size_t i = 0; i < 4 * FORMS; i++) {
		struct talk *talk = long_talk(i % FORMS, 200);
		size_t first = talk->count, before[2] = {talk->plain_len[0], talk->plain_len[1]};
		bool late = i / FORMS & 1, swap = i / FORMS & 2;
		struct watcher w;
		send_more(talk);
		watcher_begin(&w, talk, late ? &middle_late : &middle);
		w.ends = here;
		if (!late)
			release_all(w.ring, talk, true);
		feed_from(&w, first, swap);
		if (late) {
			assert_int_equal(w.data[0] + w.data[1], 0);
			release_all(w.ring, talk, true);
			session_room_keys(w.room, w.now_ns);
		}
		watcher_close(&w);
		assert_all_from(&w, before);
		assert_int_equal(session_swapped(w.session), swap);
		watcher_end(&w);
		talk_free(talk);
	}
}

static void of_several_connections_of_the_same_ends_the_right_one_is_found(void **state)
{
	(void)state;
	struct talk *old = long_talk(1, 1), *talk = long_talk(1, 200), *later = long_talk(1, 1);
	size_t first = talk->count, before[2] = {talk->plain_len[0], talk->plain_len[1]};
	struct watcher w;
	send_more(talk);
	watcher_begin(&w, talk, &middle);
	w.ends = (struct keyring_ends){{here.end[1], here.end[0]}};
	release_all(w.ring, old, true);
	release_all(w.ring, talk, true);
	release_all(w.ring, later, true);
	feed_from(&w, first, false);
	watcher_close(&w);
	assert_all_from(&w, before);
	watcher_end(&w);
	talk_free(old);
	talk_free(talk);
	talk_free(later);
}

static void record_keys_are_tried_where_nothing_is_said_of_their_ends(void **state)
{
	(void)state;
	for (size_t form = 0; form < FORMS; form++) {
		if (!forms[form].inverts)
			continue;
		struct talk *talk = long_talk(form, 200), *other = long_talk(form, 1);
		size_t first = talk->count, before[2] = {talk->plain_len[0], talk->plain_len[1]};
		struct watcher w;
		send_more(talk);
		watcher_begin(&w, talk, &middle);
		release_all(w.ring, talk, false);
		release_all(w.ring, other, false);
		feed_from(&w, first, false);
		watcher_close(&w);
		assert_all_from(&w, before);
		watcher_end(&w);
		talk_free(other);
		talk_free(talk);
	}
}

static void keys_of_other_connections_open_nothing(void **state)
{
	(void)state;
	for (size_t form = 0; form < FORMS; form++) {
		struct talk *talk = long_talk(form, 3), *other = long_talk(form, 3);
		size_t first = talk->count;
		struct watcher w;
		send_more(talk);
		watcher_begin(&w, talk, &middle);
		w.ends = here;
		release_all(w.ring, other, true);
		feed_from(&w, first, false);
		watcher_close(&w);
		assert_int_equal(w.data[0] + w.data[1] + w.wrong, 0);
		assert_int_equal(session_outcome(w.session).verdict, SESSION_NOT);
		watcher_end(&w);
		talk_free(other);
		talk_free(talk);
	}
}

/* A key log's lines that are released as they are. Large records only, of a suite that has to be searched. */
static void a_line_of_these_ends_finds_the_key_of_a_search_suite(void **state)
{
	(void)state;
	struct talk *talk = long_talk(1, 200);
	size_t first = talk->count, before[2] = {talk->plain_len[0], talk->plain_len[1]};
	for (int tied = 0; tied < 2; tied++) {
		struct watcher w;
		if (!tied)
			send_more(talk);
		watcher_begin(&w, talk, &middle);
		watcher_keys(&w, talk->log);
		w.ends = here;
		if (tied)
			assert_true(keyring_add_ends(w.ring, &here, bytes_of(talk->client_random, 32)));
		feed_from(&w, first, false);
		watcher_close(&w);
		if (tied)
			assert_all_from(&w, before);
		else
			assert_int_equal(w.data[0] + w.data[1], 0);
		watcher_end(&w);
	}
	talk_free(talk);
}

/* TLS 1.2: the master secret is in a log, whose random nobody saw; the other hello is there. */
static void a_lost_client_hello_of_tls12_is_made_up_for(void **state)
{
	(void)state;
	for (size_t i = 0; i < 2 * FORMS; i++) {
		size_t form = i % FORMS;
		bool late = i >= FORMS;
		if (forms[form].version != TLS1_2_VERSION)
			continue;
		struct talk *talk = long_talk(form, 2), *other = long_talk(form, 1);
		struct watcher w;
		send_more(talk);
		watcher_begin(&w, talk, &(struct watcher_setup){.keys_final = !late});
		if (!late) {
			watcher_keys(&w, other->log);
			watcher_keys(&w, talk->log);
			watcher_keys(&w, other->log);
		}
		assert_int_equal(talk->pieces[0].direction, FLOW_UP);
		session_gap(w.session, FLOW_UP, talk->pieces[0].len, ++w.now_ns);
		feed_from(&w, 1, false);
		if (late)
			watcher_keys(&w, talk->log);
		watcher_close(&w);
		assert_int_equal(w.wrong, 0);
		for (int d = 0; d < 2; d++)
			assert_int_equal(w.data[d], talk->plain_len[d]);
		assert_memory_equal(session_outcome(w.session).client_random, talk->client_random, 32);
		watcher_end(&w);
		talk_free(other);
		talk_free(talk);
	}
}

/* The same through packets: the engine knows the ends. */

static void put(struct engine *engine, uint64_t number, bool up, uint32_t seq, struct bytes payload)
{
	static uint8_t room[64 * 1024];
	struct writer w = writer_over(room, sizeof(room));
	struct bytes whole;
	writer_u16(&w, 0x4500);
	writer_u16(&w, (uint16_t)(40 + payload.len));
	writer_u32(&w, 0);
	writer_u8(&w, 64);
	writer_u8(&w, PACKET_TCP);
	writer_u16(&w, 0);
	writer_u32(&w, up ? 0xc0000201 : 0xc0000202);
	writer_u32(&w, up ? 0xc0000202 : 0xc0000201);
	writer_u16(&w, up ? 40000 : 443);
	writer_u16(&w, up ? 443 : 40000);
	writer_u32(&w, seq);
	writer_u32(&w, 1);
	writer_u16(&w, 0x5010);
	writer_u16(&w, 65535);
	writer_u32(&w, 0);
	writer_bytes(&w, payload);
	assert_true(writer_done(&w, &whole));
	engine_frame(engine, &(struct frame){.time_ns = number * 1000000,
				     .number = number,
				     .bytes = whole,
				     .original = (uint32_t)whole.len,
				     .link = LINKTYPE_RAW});
}

static void a_capture_that_begins_in_the_middle_is_tied_by_its_addresses(void **state)
{
	(void)state;
	for (size_t form = 0; form < FORMS; form++) {
		struct talk *talk = long_talk(form, 200);
		size_t first = talk->count, before = talk->plain_len[0] + talk->plain_len[1];
		struct error err;
		struct keyring *ring = keyring_new(NULL);
		struct feed *feed = feed_new(&(struct feed_options){0}, &err);
		struct engine *engine = engine_new(&(struct engine_options){.ring = ring,
							   .feed = feed,
							   .keys_final = true,
							   .table = table_limits_default(),
							   .session = session_limits_default},
			&err);
		assert_true(ring && feed && engine);
		send_more(talk);
		release_all(ring, talk, true);
		uint32_t seq[2] = {1000, 2000};
		for (size_t i = first; i < talk->count; i++) {
			const struct talk_piece *piece = &talk->pieces[i];
			put(engine, i, piece->direction == FLOW_UP, seq[piece->direction],
				bytes_of(talk->wire + piece->at, piece->len));
			seq[piece->direction] += (uint32_t)piece->len;
		}
		engine_finish(engine);
		struct engine_counts counts = {0};
		engine_count(engine, &counts);
		assert_int_equal(counts.verdicts[SESSION_DECRYPTED], 1);
		assert_int_equal(counts.plain, talk->plain_len[0] + talk->plain_len[1] - before);
		engine_free(engine);
		feed_close(feed);
		keyring_free(ring);
		talk_free(talk);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(record_keys_of_these_ends_open_a_connection_from_its_middle),
		cmocka_unit_test(of_several_connections_of_the_same_ends_the_right_one_is_found),
		cmocka_unit_test(record_keys_are_tried_where_nothing_is_said_of_their_ends),
		cmocka_unit_test(keys_of_other_connections_open_nothing),
		cmocka_unit_test(a_line_of_these_ends_finds_the_key_of_a_search_suite),
		cmocka_unit_test(a_lost_client_hello_of_tls12_is_made_up_for),
		cmocka_unit_test(a_capture_that_begins_in_the_middle_is_tied_by_its_addresses),
	};
	return cmocka_run_group_tests(tests, make_keys, free_keys);
}
