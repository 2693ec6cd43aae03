/*
 * Connections of which octets are missing: what comes out is what was sent, or a gap, and never anything else. Also the
 * real captures of shared/data where they are there.
 */
#include "draw.h"
#include "watcher.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

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

/* Where a direction's octets are missing: [from, to), counted in the direction. */
struct hole {
	enum flow_direction direction;
	uint64_t from, to;
};

static uint64_t direction_len(const struct talk *talk, enum flow_direction direction)
{
	uint64_t len = 0;
	for (size_t i = 0; i < talk->count; i++)
		if (talk->pieces[i].direction == direction)
			len += talk->pieces[i].len;
	return len;
}

static bool within(const struct hole *holes, size_t count, enum flow_direction direction, uint64_t at, uint64_t *end)
{
	for (size_t i = 0; i < count; i++) {
		if (holes[i].direction != direction)
			continue;
		if (at >= holes[i].from && at < holes[i].to) {
			*end = holes[i].to;
			return true;
		}
		if (holes[i].from > at && holes[i].from < *end)
			*end = holes[i].from;
	}
	return false;
}

/* The talk but for what is in the holes, in pieces of up to `most` octets. */
static void feed_with_holes(struct watcher *w, const struct hole *holes, size_t count, size_t most, size_t key_at)
{
	const struct talk *talk = w->talk;
	uint64_t at[2] = {0, 0};
	for (size_t i = 0; i < talk->count; i++) {
		const struct talk_piece *piece = &talk->pieces[i];
		enum flow_direction direction = piece->direction;
		if (i == key_at)
			watcher_keys(w, talk->log);
		for (size_t done = 0; done < piece->len;) {
			uint64_t end = at[direction] + (piece->len - done < most ? piece->len - done : most);
			uint64_t limit = end, n;
			bool hole = within(holes, count, direction, at[direction], &limit);
			if (limit < end)
				end = limit;
			n = end - at[direction];
			if (hole)
				session_gap(w->session, direction, n, ++w->now_ns);
			else
				watcher_data(w, direction, bytes_of(talk->wire + piece->at + done, n));
			done += n;
			at[direction] = end;
		}
	}
	if (key_at >= talk->count)
		watcher_keys(w, talk->log);
}

static void converse(struct talk *talk, unsigned turns, uint64_t *seed)
{
	for (unsigned i = 0; i < turns; i++) {
		talk_send(talk, FLOW_UP, 1 + draw(seed, draw(seed, 3) ? 2000 : 40000));
		talk_send(talk, FLOW_DOWN, 1 + draw(seed, draw(seed, 3) ? 2000 : 40000));
	}
}

/* Where in its direction the data begins: behind the handshake, whose octets are not exactly known. */
static uint64_t handshake_len(const struct talk *talk, enum flow_direction direction, size_t pieces)
{
	uint64_t len = 0;
	for (size_t i = 0; i < pieces; i++)
		if (talk->pieces[i].direction == direction)
			len += talk->pieces[i].len;
	return len;
}

static const struct {
	int version;
	const char *suite;
	bool exact; /* the size of a gap can be known exactly */
} forms[] = {
	{TLS1_3_VERSION, "TLS_AES_128_GCM_SHA256", true},
	{TLS1_3_VERSION, "TLS_AES_256_GCM_SHA384", true},
	{TLS1_3_VERSION, "TLS_CHACHA20_POLY1305_SHA256", true},
	{TLS1_3_VERSION, "TLS_AES_128_CCM_SHA256", true},
	{TLS1_2_VERSION, "ECDHE-RSA-AES128-GCM-SHA256", true},
	{TLS1_2_VERSION, "ECDHE-ECDSA-CHACHA20-POLY1305", true},
	{TLS1_2_VERSION, "ECDHE-RSA-AES256-CCM8", true},
	{TLS1_2_VERSION, "ECDHE-ECDSA-AES256-CCM8", true},
	{TLS1_2_VERSION, "ECDHE-RSA-AES128-SHA256", false},
	{TLS1_2_VERSION, "AES256-SHA", false},
};

#define FORMS (sizeof(forms) / sizeof(*forms))

static void after_a_loss_in_the_data_everything_else_comes(void **state)
{
	uint64_t seed = 11;
	unsigned done = 0;
	(void)state;
	for (size_t form = 0; form < FORMS; form++) {
		struct talk_setup setup = {.keys = &keys, .version = forms[form].version, .suite = forms[form].suite};
		struct talk *talk = talk_new(&setup);
		if (!talk)
			continue;
		size_t start = talk->count;
		converse(talk, 12, &seed);
		for (int i = 0; i < 20; i++) {
			enum flow_direction direction = draw(&seed, 2) ? FLOW_UP : FLOW_DOWN;
			uint64_t low = handshake_len(talk, direction, start), high = direction_len(talk, direction);
			uint64_t from = low + draw(&seed, high - low - 1);
			uint64_t len = 1 + draw(&seed, draw(&seed, 2) ? 1500 : 60000);
			struct hole hole = {direction, from, from + len};
			struct watcher w;
			watcher_begin(&w, talk, &final);
			watcher_keys(&w, talk->log);
			feed_with_holes(&w, &hole, 1, 1448, SIZE_MAX - 1);
			watcher_close(&w);
			assert_int_equal(w.wrong, 0);
			assert_false(w.offsets_bad);
			assert_int_equal(w.data[!direction], talk->plain_len[!direction]);
			assert_int_equal(w.gap[!direction], 0);
			/* At most the records that were touched: 16 KiB before, 16 KiB behind. */
			assert_true(w.data[direction] + len + (size_t)2 * 16384 >= talk->plain_len[direction]);
			if (forms[form].exact && from + len < high - 20000) {
				assert_int_equal(w.astray, 0);
				assert_int_equal(w.data[direction] + w.gap[direction], talk->plain_len[direction]);
			} else if (!forms[form].exact) {
				assert_true(w.data[direction] + w.gap[direction] >= talk->plain_len[direction]);
			}
			assert_true(w.gaps[direction] <= 1);
			watcher_end(&w);
		}
		done++;
		talk_free(talk);
	}
	assert_true(done >= 9);
}

static void losses_anywhere_never_give_wrong_octets(void **state)
{
	uint64_t seed = 12;
	(void)state;
	for (size_t form = 0; form < FORMS; form++) {
		struct talk_setup setup = {.keys = &keys, .version = forms[form].version, .suite = forms[form].suite};
		struct talk *talk = talk_new(&setup);
		if (!talk)
			continue;
		converse(talk, 6, &seed);
		if (setup.version == TLS1_3_VERSION)
			talk_update(talk, FLOW_DOWN, true);
		else
			talk_renegotiate(talk);
		converse(talk, 6, &seed);
		talk_shut(talk, FLOW_UP);
		for (int i = 0; i < 40; i++) {
			struct hole holes[6];
			size_t count = 1 + draw(&seed, 6);
			struct watcher w;
			for (size_t h = 0; h < count; h++) {
				enum flow_direction direction = draw(&seed, 2) ? FLOW_UP : FLOW_DOWN;
				uint64_t from = draw(&seed, draw(&seed, 3) ? direction_len(talk, direction) : 2000);
				holes[h] = (struct hole){direction, from, from + 1 + draw(&seed, 4000)};
			}
			bool late = draw(&seed, 2);
			watcher_begin(&w, talk, &(struct watcher_setup){.keys_final = !late});
			if (!late)
				watcher_keys(&w, talk->log);
			feed_with_holes(&w, holes, count, 1 + draw(&seed, 6000),
				late ? draw(&seed, talk->count + 2) : SIZE_MAX - 1);
			watcher_close(&w);
			assert_int_equal(w.wrong, 0);
			assert_false(w.offsets_bad);
			struct session_outcome outcome = session_outcome(w.session);
			for (int d = 0; d < 2; d++)
				if (w.data[d] < talk->plain_len[d])
					assert_true(
						outcome.verdict == SESSION_PARTLY || outcome.verdict == SESSION_NOT);
			watcher_end(&w);
		}
		talk_free(talk);
	}
}

static void a_key_update_in_a_hole_is_found(void **state)
{
	uint64_t seed = 13;
	(void)state;
	for (size_t i = 0; i < 8; i++) {
		size_t form = i % 4;
		struct talk_setup setup = {.keys = &keys, .version = TLS1_3_VERSION, .suite = forms[form].suite};
		struct talk *talk = talk_new(&setup);
		struct watcher w;
		converse(talk, 3, &seed);
		uint64_t from = direction_len(talk, FLOW_DOWN);
		talk_update(talk, FLOW_DOWN, false);
		talk_update(talk, FLOW_DOWN, false);
		uint64_t to = direction_len(talk, FLOW_DOWN);
		converse(talk, 3, &seed);
		struct hole hole = {FLOW_DOWN, from, to};
		/* With the lines of later secrets, and without: then they are derived. */
		char *later = strstr(talk->log, "TRAFFIC_SECRET_N");
		if (i >= 4 && later) {
			while (later > talk->log && later[-1] != '\n')
				later--;
			*later = 0;
		}
		watcher_begin(&w, talk, &final);
		watcher_keys(&w, talk->log);
		feed_with_holes(&w, &hole, 1, 1448, SIZE_MAX - 1);
		watcher_close(&w);
		assert_int_equal(w.wrong, 0);
		assert_int_equal(w.data[FLOW_UP], talk->plain_len[FLOW_UP]);
		assert_int_equal(w.data[FLOW_DOWN], talk->plain_len[FLOW_DOWN]);
		watcher_end(&w);
		talk_free(talk);
	}
}

static void a_lost_server_hello_is_made_up_for(void **state)
{
	uint64_t seed = 14;
	(void)state;
	for (size_t form = 0; form < 4; form++) {
		struct talk_setup setup = {.keys = &keys, .version = TLS1_3_VERSION, .suite = forms[form].suite};
		struct talk *talk = talk_new(&setup);
		converse(talk, 3, &seed);
		for (int late = 0; late < 2; late++) {
			struct hole hole = {FLOW_DOWN, 0, 60};
			struct watcher w;
			watcher_begin(&w, talk, &(struct watcher_setup){.keys_final = !late});
			if (!late)
				watcher_keys(&w, talk->log);
			feed_with_holes(&w, &hole, 1, 1448, late ? SIZE_MAX : SIZE_MAX - 1);
			watcher_close(&w);
			assert_int_equal(w.wrong, 0);
			assert_int_equal(w.data[FLOW_UP], talk->plain_len[FLOW_UP]);
			assert_int_equal(w.data[FLOW_DOWN], talk->plain_len[FLOW_DOWN]);
			assert_int_equal(
				w.tls.suite, SSL_CIPHER_get_protocol_id(SSL_get_current_cipher(talk->side[0])));
			watcher_end(&w);
		}
		talk_free(talk);
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

static void a_capture_that_begins_in_the_middle_is_read(void **state)
{
	uint64_t seed = 15;
	(void)state;
	for (int i = 0; i < 8; i++) {
		struct talk_setup setup = {.keys = &keys, .version = TLS1_3_VERSION, .suite = forms[i % 2].suite};
		struct talk *talk = talk_new(&setup), *other[4];
		struct watcher w;
		converse(talk, 3, &seed);
		size_t first = talk->count;
		size_t before[2] = {talk->plain_len[0], talk->plain_len[1]};
		converse(talk, 6, &seed);
		watcher_begin(&w, talk, &(struct watcher_setup){.keys_final = true, .from_middle = true});
		for (int k = 0; k < 4; k++) {
			other[k] = talk_new(&setup);
			watcher_keys(&w, other[k]->log);
		}
		watcher_keys(&w, talk->log);
		feed_from(&w, first, i & 4);
		watcher_close(&w);
		assert_int_equal(w.wrong, 0);
		for (int d = 0; d < 2; d++)
			assert_int_equal(w.data[d], talk->plain_len[d] - before[d]);
		assert_true(session_outcome(w.session).has_random);
		assert_memory_equal(session_outcome(w.session).client_random, talk->client_random, 32);
		assert_int_equal(session_swapped(w.session), i >= 4);
		for (int k = 0; k < 4; k++)
			talk_free(other[k]);
		watcher_end(&w);
		talk_free(talk);
	}
}

static void an_altered_octet_costs_its_record(void **state)
{
	uint64_t seed = 17;
	(void)state;
	for (size_t form = 0; form < FORMS; form++) {
		struct talk_setup setup = {.keys = &keys, .version = forms[form].version, .suite = forms[form].suite};
		struct talk *talk = talk_new(&setup);
		if (!talk)
			continue;
		converse(talk, 3, &seed);
		size_t at = talk->wire_len;
		size_t before = talk->plain_len[FLOW_DOWN];
		talk_send(talk, FLOW_DOWN, 3000);
		talk->wire[at + 100] ^= 1;
		converse(talk, 3, &seed);
		struct watcher w;
		watcher_begin(&w, talk, &final);
		watcher_keys(&w, talk->log);
		watcher_feed(&w, 1448);
		watcher_close(&w);
		assert_int_equal(w.wrong, 0);
		assert_int_equal(w.data[FLOW_UP], talk->plain_len[FLOW_UP]);
		assert_int_equal(w.data[FLOW_DOWN], talk->plain_len[FLOW_DOWN] - 3000);
		assert_true(w.gap[FLOW_DOWN] >= 3000 && w.gap[FLOW_DOWN] < 3050);
		assert_true(session_outcome(w.session).octets[SESSION_WRONG_KEY] > 3000);
		assert_true(before > 0);
		watcher_end(&w);
		talk_free(talk);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(after_a_loss_in_the_data_everything_else_comes),
		cmocka_unit_test(losses_anywhere_never_give_wrong_octets),
		cmocka_unit_test(a_key_update_in_a_hole_is_found),
		cmocka_unit_test(a_lost_server_hello_is_made_up_for),
		cmocka_unit_test(a_capture_that_begins_in_the_middle_is_read),
		cmocka_unit_test(an_altered_octet_costs_its_record),
	};
	return cmocka_run_group_tests(tests, make_keys, free_keys);
}
