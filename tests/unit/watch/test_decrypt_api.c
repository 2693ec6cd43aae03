/* The public interface, used as a stranger would: by its header alone. */
#include "overt/decrypt.h"
#include "talk.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>

#include <cmocka.h>

struct heard {
	uint8_t *plain[2];
	size_t len[2];
	uint64_t gaps[2];
	unsigned hellos, tlses, ends, notices;
	char name[100], subject[100];
	bool broken; /* offsets do not follow on each other */
};

static void on_data(void *arg, void *user, enum overt_sender sender, uint64_t offset, const uint8_t *octets, size_t len,
	uint64_t time_ns)
{
	struct heard *h = user;
	assert_string_equal(arg, "argument");
	assert_true(time_ns > 0);
	h->broken |= offset != h->len[sender] + h->gaps[sender];
	h->plain[sender] = realloc(h->plain[sender], h->len[sender] + len);
	assert_non_null(h->plain[sender]);
	memcpy(h->plain[sender] + h->len[sender], octets, len);
	h->len[sender] += len;
}

static void on_gap(void *arg, void *user, enum overt_sender sender, uint64_t offset, uint64_t octets, uint64_t time_ns)
{
	struct heard *h = user;
	(void)arg;
	(void)time_ns;
	h->broken |= offset != h->len[sender] + h->gaps[sender];
	h->gaps[sender] += octets;
}

static void on_hello(void *arg, void *user, const char *server_name, size_t len)
{
	struct heard *h = user;
	(void)arg;
	h->hellos++;
	assert_int_equal(strlen(server_name), len);
	memcpy(h->name, server_name, len + 1);
}

static void on_tls(void *arg, void *user, const struct overt_tls *tls)
{
	struct heard *h = user;
	(void)arg;
	h->tlses++;
	assert_int_equal(tls->version, 0x0304);
	assert_string_equal(tls->suite_name, "TLS_AES_256_GCM_SHA384");
	assert_true(strlen(tls->subject) < sizeof(h->subject));
	memcpy(h->subject, tls->subject, strlen(tls->subject) + 1);
}

static void on_end(void *arg, void *user, enum overt_sender sender)
{
	(void)arg;
	(void)sender;
	((struct heard *)user)->ends++;
}

static void on_notice(void *arg, void *user, const char *name, const char *text)
{
	(void)arg;
	assert_true(strlen(text) > 10);
	((struct heard *)user)->notices += strcmp(name, "key-update") == 0;
}

static char argument[] = "argument";

static struct overt_decryptor_options options_of(bool keys_final)
{
	return (struct overt_decryptor_options){.events = {on_data, on_gap, on_hello, on_tls, on_end, on_notice},
		.arg = argument,
		.keys_final = keys_final};
}

static struct talk *talk_of(const struct talk_setup *setup)
{
	struct talk *talk = talk_new(setup);
	assert_non_null(talk);
	for (int i = 0; i < 3; i++) {
		talk_send(talk, FLOW_UP, 20000);
		talk_send(talk, FLOW_DOWN, 30000);
	}
	talk_update(talk, FLOW_UP, false);
	talk_send(talk, FLOW_UP, 5000);
	talk_shut(talk, FLOW_UP);
	return talk;
}

static void feed(struct overt_connection *connection, const struct talk *talk, size_t lost)
{
	for (size_t i = 0; i < talk->count; i++) {
		const struct talk_piece *piece = &talk->pieces[i];
		enum overt_sender sender = piece->direction == FLOW_UP ? OVERT_CLIENT : OVERT_SERVER;
		if (i == lost)
			overt_connection_gap(connection, sender, piece->len, i + 1);
		else
			overt_connection_data(connection, sender, talk->wire + piece->at, piece->len, i + 1);
	}
}

static void all_of_a_connection_comes_out(void **state)
{
	const struct talk_setup setup = {.keys = *state, .version = TLS1_3_VERSION, .suite = "TLS_AES_256_GCM_SHA384"};
	struct talk *talk = talk_of(&setup);
	for (int late = 0; late < 2; late++) {
		struct heard h = {0};
		struct overt_decryptor_options options = options_of(!late);
		struct overt_decryptor *d = overt_decryptor_new(&options);
		assert_non_null(d);
		if (!late)
			assert_true(overt_decryptor_keys(d, talk->log, talk->log_len) >= 4);
		struct overt_connection *c = overt_connection_new(d, &h, true);
		assert_non_null(c);
		feed(c, talk, SIZE_MAX);
		if (late) {
			assert_int_equal(h.len[0], 0);
			assert_true(overt_decryptor_keys(d, talk->log, talk->log_len) >= 4);
		}
		overt_connection_close(c, 1000);
		for (int i = 0; i < 2; i++) {
			assert_int_equal(h.len[i], talk->plain_len[i]);
			assert_memory_equal(h.plain[i], talk->plain[i], h.len[i]);
			free(h.plain[i]);
		}
		assert_int_equal(h.hellos, 1);
		assert_int_equal(h.tlses, 1);
		assert_int_equal(h.ends, 1);
		assert_int_equal(h.notices, 1);
		assert_false(h.broken);
		assert_string_equal(h.name, "talk.test");
		assert_string_equal(h.subject, "CN=talk.test");
		struct overt_outcome outcome = overt_connection_outcome(c);
		assert_int_equal(outcome.verdict, OVERT_DECRYPTED);
		assert_string_equal(outcome.cause, "");
		assert_memory_equal(outcome.client_random, talk->client_random, 32);
		overt_connection_free(c);
		overt_decryptor_free(d);
	}
	talk_free(talk);
}

static void what_cannot_be_read_is_a_gap(void **state)
{
	const struct talk_setup setup = {.keys = *state, .version = TLS1_3_VERSION, .suite = "TLS_AES_256_GCM_SHA384"};
	struct talk *talk = talk_of(&setup);
	struct heard h = {0};
	struct overt_decryptor_options options = options_of(true);
	struct overt_decryptor *d = overt_decryptor_new(&options);
	struct overt_connection *c = overt_connection_new(d, &h, true);
	size_t lost = talk->count / 2;
	assert_true(overt_decryptor_keys(d, talk->log, talk->log_len) >= 4);
	feed(c, talk, lost);
	overt_connection_end(c, OVERT_SERVER, 1000);
	overt_connection_close(c, 1000);
	assert_true(h.gaps[0] + h.gaps[1] > 0);
	assert_false(h.broken);
	for (int i = 0; i < 2; i++) {
		assert_int_equal(h.len[i] + h.gaps[i], talk->plain_len[i]);
		free(h.plain[i]);
	}
	struct overt_outcome outcome = overt_connection_outcome(c);
	assert_int_equal(outcome.verdict, OVERT_PARTLY);
	assert_string_equal(outcome.cause, "gap");
	assert_int_equal(outcome.missing[0] + outcome.missing[1], h.gaps[0] + h.gaps[1]);
	overt_connection_free(c);
	overt_decryptor_free(d);
	talk_free(talk);
}

static int make_keys(void **state)
{
	static struct talk_keys keys;
	talk_keys_make(&keys);
	*state = &keys;
	return 0;
}

static int free_keys(void **state)
{
	talk_keys_free(*state);
	return 0;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(all_of_a_connection_comes_out),
		cmocka_unit_test(what_cannot_be_read_is_a_gap),
	};
	return cmocka_run_group_tests(tests, make_keys, free_keys);
}
