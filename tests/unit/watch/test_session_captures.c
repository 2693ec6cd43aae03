/* The real captures beside the source folder, through the whole path: capture, packets, connections, sessions. */
#include "watch/capture.h"
#include "watch/link.h"
#include "watch/session.h"
#include "watch/table.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include <cmocka.h>

#define TEXT_MAX 400000

/* Everything that a capture said. */
struct reading {
	struct keyring *ring;
	struct session_room *room;
	struct table *table;
	uint8_t text[TEXT_MAX]; /* all plaintext, of all connections */
	size_t len;
	uint64_t gaps;
	unsigned hellos, sessions, verdicts[SESSION_NOT + 1];
	char notices[2000];
};

static void heard(void *arg, void *user, const struct event *event)
{
	struct reading *r = arg;
	(void)user;
	if (event->kind == EVENT_DATA) {
		struct bytes data = event->data.bytes;
		assert_true(data.len <= TEXT_MAX - r->len);
		memcpy(r->text + r->len, data.data, data.len);
		r->len += data.len;
	}
	if (event->kind == EVENT_GAP)
		r->gaps += event->gap.octets;
	if (event->kind == EVENT_HELLO)
		r->hellos++;
	if (event->kind == EVENT_NOTICE) {
		size_t n = strlen(r->notices);
		(void)snprintf(r->notices + n, sizeof(r->notices) - n, "%.*s ", (int)event->notice.name.len,
			(const char *)event->notice.name.data);
	}
}

static void opened(void *arg, struct connection *c, uint64_t time_ns)
{
	struct reading *r = arg;
	(void)time_ns;
	c->user = session_new(r->room, &(struct session_start){.flow = c->number, .from_start = c->from_start});
	assert_non_null(c->user);
}

static void data(void *arg, struct connection *c, enum flow_direction direction, uint64_t offset, struct bytes octets,
	uint64_t time_ns)
{
	(void)arg;
	(void)offset;
	session_data(c->user, direction, octets, time_ns);
}

static void gap(void *arg, struct connection *c, enum flow_direction direction, uint64_t offset, uint64_t octets,
	enum stream_cause cause, uint64_t time_ns)
{
	(void)arg;
	(void)offset;
	(void)cause;
	session_gap(c->user, direction, octets, time_ns);
}

static void half_closed(void *arg, struct connection *c, enum flow_direction direction, uint64_t time_ns)
{
	(void)arg;
	session_half(c->user, direction, time_ns);
}

static void closed(void *arg, struct connection *c, enum table_reason reason, uint64_t time_ns)
{
	struct reading *r = arg;
	(void)reason;
	session_close(c->user, time_ns);
	r->verdicts[session_outcome(c->user).verdict]++;
	r->sessions++;
	session_free(c->user);
}

static void take_secrets(const struct capture_secrets *secrets, void *context)
{
	struct reading *r = context;
	(void)keyring_add_text(r->ring, secrets->text);
}

static void read_all(struct reading *r, struct capture *capture)
{
	struct capture_item item;
	struct error err;
	struct packet packet;
	struct fragments *fragments = NULL;
	for (;;) {
		enum capture_result result = capture_next(capture, &item, -1, &err);
		if (result == CAPTURE_END)
			break;
		if (result != CAPTURE_FRAME)
			continue;
		if (link_decode(&item.frame, fragments, &packet) == LINK_PACKET && packet.protocol == PACKET_TCP)
			table_packet(r->table, &packet, table_hash(&packet));
	}
	table_finish(r->table);
}

/* False: the capture is not there. */
static bool reading_of(struct reading *r, const char *name, const char *key_name)
{
	const struct table_events events = {
		.opened = opened, .data = data, .gap = gap, .half_closed = half_closed, .closed = closed};
	const struct table_limits limits = table_limits_default();
	char path[1024];
	struct error err;
	*r = (struct reading){0};
	(void)snprintf(path, sizeof(path), "%s/%s", CAPTURES, name);
	if (access(path, R_OK) != 0)
		return false;
	struct capture *capture = capture_open(&(struct capture_options){.path = path, .stop_fd = -1}, &err);
	assert_non_null(capture);
	r->ring = keyring_new(NULL);
	assert_non_null(r->ring);
	if (key_name) {
		(void)snprintf(path, sizeof(path), "%s/%s", CAPTURES, key_name);
		assert_true(keyring_add_file(r->ring, path, false, &err));
		while (keyring_update(r->ring, 0, &err) == KEYRING_MORE)
			;
	}
	assert_true(capture_scan_secrets(capture, take_secrets, r, &err));
	r->room = session_room_new(&(struct session_setup){.limits = session_limits_default,
		.ring = r->ring,
		.keys_final = true,
		.wake_fd = -1,
		.emit = heard,
		.arg = r});
	r->table = table_new(&limits, &events, r);
	assert_true(r->room && r->table);
	read_all(r, capture);
	table_free(r->table);
	session_room_free(r->room);
	keyring_free(r->ring);
	capture_free(capture);
	return true;
}

static bool says(const struct reading *r, const char *text)
{
	return memmem(r->text, r->len, text, strlen(text)) != NULL;
}

static struct reading r;

static void early_data_and_resumption_of_tls13(void **state)
{
	(void)state;
	if (!reading_of(&r, "tls13-rfc8446.pcap", "tls13-rfc8446.keys"))
		skip();
	assert_true(says(&r, "/first") && says(&r, "/early") && says(&r, "/second"));
	assert_int_equal(r.gaps, 0);
	assert_int_equal(r.verdicts[SESSION_DECRYPTED], r.sessions);
}

static void early_data_without_its_key_is_reported_lost(void **state)
{
	(void)state;
	if (!reading_of(&r, "tls13-rfc8446.pcap", "tls13-rfc8446-noearly.keys"))
		skip();
	assert_true(says(&r, "/first") && !says(&r, "GET /early") && says(&r, "/second"));
	/* "GET /early HTTP/1.1" and its line ends. */
	assert_int_equal(r.gaps, 23);
	assert_int_equal(r.verdicts[SESSION_PARTLY], 1);
}

static void secrets_within_the_capture(void **state)
{
	(void)state;
	if (!reading_of(&r, "tls12-dsb.pcapng", NULL))
		skip();
	assert_true(says(&r, "example.com") && says(&r, "example.net") && says(&r, "200 OK"));
	assert_int_equal(r.gaps, 0);
}

static void http2_on_another_port(void **state)
{
	(void)state;
	if (!reading_of(&r, "http2-data-reassembly.pcap", "http2-data-reassembly.keys"))
		skip();
	assert_true(says(&r, "PRI * HTTP/2.0") && says(&r, "IHDR"));
	assert_int_equal(r.gaps, 0);
}

static void rsa_key_exchange_of_tls12(void **state)
{
	(void)state;
	if (!reading_of(&r, "tls12-decryption.pcap", "tls12-decryption.keys"))
		skip();
	assert_true(says(&r, "heise.de") && says(&r, " 301 "));
	assert_int_equal(r.gaps, 0);
}

static void tls10_is_named_and_not_read(void **state)
{
	(void)state;
	if (!reading_of(&r, "dhe1.pcapng.gz", "dhe1_keylog.dat"))
		skip();
	assert_int_equal(r.verdicts[SESSION_NOT], 1);
	assert_non_null(strstr(r.notices, "version-unsupported"));
	assert_true(r.gaps > 0);
}

static void hellos_of_every_form_are_told(void **state)
{
	static const char *const names[] = {
		"tls-fragmented-handshakes.pcap.gz", "hrr.pcap", "tls13-ech.pcap", "chrome-1250-tls-x25519-kyber.pcap"};
	(void)state;
	for (size_t i = 0; i < sizeof(names) / sizeof(*names); i++) {
		if (!reading_of(&r, names[i], NULL))
			skip();
		assert_true(r.hellos > 0);
		assert_int_equal(r.len, 0);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(early_data_and_resumption_of_tls13),
		cmocka_unit_test(early_data_without_its_key_is_reported_lost),
		cmocka_unit_test(secrets_within_the_capture),
		cmocka_unit_test(http2_on_another_port),
		cmocka_unit_test(rsa_key_exchange_of_tls12),
		cmocka_unit_test(tls10_is_named_and_not_read),
		cmocka_unit_test(hellos_of_every_form_are_told),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
