/* Real hellos out of public captures that stand beside the source folder; skipped where they are not at hand. */
#include "support.h"
#include "tls/collect.h"
#include "tls/extension.h"
#include "tls/fingerprint.h"
#include "tls/group.h"
#include "tls/handshake.h"
#include "tls/record.h"

#include <stdio.h>
#include <stdlib.h>

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

static struct capture capture;
static uint8_t scratch[COLLECT_MAX_MESSAGE];

static void open_or_skip(const char *name)
{
	if (!capture_open(&capture, name)) {
		print_message("no capture %s\n", name);
		skip();
	}
}

static struct client_hello read_hello(const struct stream *stream, struct collect *c)
{
	struct client_hello hello;
	assert_non_null(stream);
	collect_init(c, scratch, sizeof(scratch));
	assert_int_equal(collect_more(c, bytes_of(stream->data, stream->len)), COLLECT_DONE);
	assert_int_equal(client_hello_parse(c->body, &hello), HELLO_OK);
	assert_int_equal(hello.faults, 0);
	return hello;
}

static void chrome_with_a_post_quantum_share_is_read(void **state)
{
	(void)state;
	open_or_skip("chrome-1250-tls-x25519-kyber.pcap");
	struct collect c;
	struct client_hello h = read_hello(capture_client(&capture, 0), &c);
	assert_true(c.consumed > 1500);
	assert_true(bytes_equal(h.server_name, bytes_str("lh3.google.com")));
	assert_true(client_hello_shares_group(&h, GROUP_X25519KYBER768));
	assert_true(client_hello_shares_group(&h, GROUP_X25519));
	assert_int_equal(h.ech, ECH_OUTER);
	assert_true(client_hello_offers_alpn(&h, bytes_str("h2")));
	assert_int_equal(client_hello_max_version(&h), TLS_VERSION_13);
	assert_int_equal(h.cert_compress.len, 2);
	capture_free(&capture);
}

static void an_ech_hello_shows_its_outer_name_only(void **state)
{
	(void)state;
	open_or_skip("tls13-ech.pcap");
	struct collect c;
	struct client_hello h = read_hello(capture_client(&capture, 0), &c);
	assert_int_equal(h.ech, ECH_OUTER);
	assert_true(bytes_equal(h.server_name, bytes_str("cloudflare-ech.com")));
	capture_free(&capture);
}

static void a_retry_and_the_second_hello_are_read(void **state)
{
	(void)state;
	open_or_skip("hrr.pcap");
	const struct stream *client = capture_client(&capture, 0);
	struct collect c;
	struct client_hello first = read_hello(client, &c);
	assert_false(client_hello_shares_group(&first, GROUP_SECP384R1));
	assert_false(first.sni == SNI_OK);

	const struct stream *server = capture_answer(&capture, client);
	assert_non_null(server);
	struct bytes in = bytes_of(server->data, server->len);
	struct record record;
	struct handshake message;
	struct server_hello retry, hello;
	assert_int_equal(record_read(&in, &record), RECORD_OK);
	assert_int_equal(handshake_read(&record.fragment, 1000, &message), HANDSHAKE_OK);
	assert_int_equal(server_hello_parse(message.body, &retry), HELLO_OK);
	assert_true(retry.retry);
	assert_int_equal(retry.faults, 0);
	do
		assert_int_equal(record_read(&in, &record), RECORD_OK);
	while (record.type != RECORD_HANDSHAKE);
	assert_int_equal(handshake_read(&record.fragment, 1000, &message), HANDSHAKE_OK);
	assert_int_equal(server_hello_parse(message.body, &hello), HELLO_OK);
	assert_false(hello.retry);
	assert_int_equal(hello.group, retry.group);

	struct bytes rest = bytes_of(client->data, client->len);
	assert_true(bytes_skip(&rest, c.consumed));
	do
		assert_int_equal(record_read(&rest, &record), RECORD_OK);
	while (record.type != RECORD_HANDSHAKE);
	assert_int_equal(handshake_read(&record.fragment, 1000, &message), HANDSHAKE_OK);
	struct client_hello second;
	assert_int_equal(client_hello_parse(message.body, &second), HELLO_OK);
	assert_true(client_hello_shares_group(&second, retry.group));
	capture_free(&capture);
}

/* A thousand hellos in a hundred connections, cut into records wherever it fell; each holds its number. */
static unsigned count_hellos(const struct stream *stream, bool seen[1001])
{
	static uint8_t room[1 << 20];
	struct writer w = writer_over(room, sizeof(room));
	struct bytes in = bytes_of(stream->data, stream->len), joined;
	struct record record;
	while (record_read(&in, &record) == RECORD_OK)
		writer_bytes(&w, record.fragment);
	assert_int_equal(in.len, 0);
	assert_true(writer_done(&w, &joined));
	struct handshake message;
	unsigned count = 0;
	while (handshake_read(&joined, 1000, &message) == HANDSHAKE_OK) {
		struct client_hello hello;
		struct extension ext;
		uint16_t number;
		assert_int_equal(client_hello_parse(message.body, &hello), HELLO_OK);
		assert_true(extension_find(hello.extensions, 0xaaaa, &ext));
		assert_true(bytes_u16(&ext.data, &number) && number >= 1 && number <= 1000);
		assert_false(seen[number]);
		seen[number] = true;
		count++;
	}
	assert_int_equal(joined.len, 0);
	return count;
}

static void a_thousand_fragmented_hellos_are_read(void **state)
{
	(void)state;
	open_or_skip("tls-fragmented-handshakes.pcap.gz");
	static bool seen[1001];
	unsigned count = 0;
	for (size_t i = 0; i < capture.count; i++)
		count += count_hellos(&capture.streams[i], seen);
	assert_int_equal(count, 1000);
	capture_free(&capture);
}

static void a_collect_stops_where_hellos_share_a_record(void **state)
{
	(void)state;
	open_or_skip("tls-fragmented-handshakes.pcap.gz");
	struct collect c;
	const struct stream *stream = capture_client(&capture, 0);
	assert_non_null(stream);
	collect_init(&c, scratch, sizeof(scratch));
	assert_int_equal(collect_more(&c, bytes_of(stream->data, stream->len)), COLLECT_TRAILING);
	capture_free(&capture);
}

static bool ask_tshark(const char *name, const char *field, char *out, size_t cap)
{
	char path[4096], command[4400];
	capture_path(name, path, sizeof(path));
	snprintf(command, sizeof(command),
		"tshark -r '%s' -Y tls.handshake.type==1 -T fields -e %s 2>/dev/null | head -1", path, field);
	FILE *answer = popen(command, "r"); /* NOLINT(cert-env33-c) */
	bool ok = answer && fgets(out, (int)cap, answer);
	if (answer)
		pclose(answer);
	if (ok)
		out[strcspn(out, "\n")] = 0;
	return ok && out[0];
}

static void fingerprints_agree_with_tshark(void **state)
{
	(void)state;
	static const char *const names[] = {"chrome-1250-tls-x25519-kyber.pcap", "tls13-ech.pcap", "hrr.pcap",
		"tls12-decryption.pcap", "tls13-rfc8446.pcap", "http2-data-reassembly.pcap"};
	unsigned compared = 0;
	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
		char expected[4096], text[4096], sum[JA3_LEN + 1], four[JA4_LEN + 1];
		struct collect c;
		if (!capture_open(&capture, names[i]))
			continue;
		struct client_hello h = read_hello(capture_client(&capture, 0), &c);
		if (ask_tshark(names[i], "tls.handshake.ja3_full", expected, sizeof(expected))) {
			assert_true(ja3_string(&h, text, sizeof(text)));
			assert_string_equal(text, expected);
			compared++;
		}
		if (ask_tshark(names[i], "tls.handshake.ja3", expected, sizeof(expected))) {
			assert_true(ja3(&h, sum));
			assert_string_equal(sum, expected);
		}
		/* From tshark 4.2 on. */
		if (ask_tshark(names[i], "tls.handshake.ja4", expected, sizeof(expected))) {
			assert_true(ja4(&h, JA4_TCP, four));
			assert_string_equal(four, expected);
		}
		capture_free(&capture);
	}
	if (compared == 0)
		skip();
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(chrome_with_a_post_quantum_share_is_read),
		cmocka_unit_test(an_ech_hello_shows_its_outer_name_only),
		cmocka_unit_test(a_retry_and_the_second_hello_are_read),
		cmocka_unit_test(a_thousand_fragmented_hellos_are_read),
		cmocka_unit_test(a_collect_stops_where_hellos_share_a_record),
		cmocka_unit_test(fingerprints_agree_with_tshark),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
