/*
 * Public captures with key logs, made by other people's programs, that stand beside the source folder: every protected
 * record opens. Skipped where they are not at hand.
 */
#include "support.h"
#include "tls/handshake.h"
#include "tls/hello.h"
#include "tls/prf12.h"
#include "tls/protect.h"
#include "tls/schedule13.h"

#include <stdio.h>
#include <stdlib.h>

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

static struct capture capture;
static struct crypto *crypto;

/* The secret of this label and client random; false when the file has none. */
static bool find_secret(const char *file, const char *label, struct bytes random, struct tls_secret *out)
{
	char path[4096], line[512], wanted[200];
	size_t n = (size_t)snprintf(wanted, sizeof(wanted), "%s ", label);
	for (size_t i = 0; i < random.len; i++)
		n += (size_t)snprintf(wanted + n, sizeof(wanted) - n, "%02x", random.data[i]);
	capture_path(file, path, sizeof(path));
	FILE *f = fopen(path, "r");
	out->len = 0;
	while (f && out->len == 0 && fgets(line, sizeof(line), f)) {
		if (strncmp(line, wanted, n) != 0)
			continue;
		for (const char *at = line + n + 1; at[0] > ' ' && at[1] > ' '; at += 2) {
			const char pair[3] = {at[0], at[1], 0};
			out->octets[out->len++] = (uint8_t)strtoul(pair, NULL, 16);
		}
	}
	if (f)
		(void)fclose(f);
	return out->len > 0;
}

struct seen {
	unsigned opened;
	size_t data; /* octets of application data */
};

/* Takes the first records of a stream until its hello is found. */
static struct bytes hello_body(const struct stream *stream, uint8_t type)
{
	assert_non_null(stream);
	struct bytes in = bytes_of(stream->data, stream->len), fragment;
	struct record record;
	struct handshake message;
	assert_int_equal(record_read(&in, &record), RECORD_OK);
	fragment = record.fragment;
	assert_int_equal(handshake_read(&fragment, 65536, &message), HANDSHAKE_OK);
	assert_int_equal(message.type, type);
	return message.body;
}

static void open_record(struct protect *p, const struct record *record, struct seen *seen, bool must)
{
	static uint8_t out[20000];
	struct opened opened;
	enum protect_result result = protect_open(p, record, out, sizeof(out), &opened);
	if (!must && result == PROTECT_BAD_TAG)
		return;
	assert_int_equal(result, PROTECT_OK);
	seen->opened++;
	if (opened.type == RECORD_APPLICATION_DATA)
		seen->data += opened.plaintext.len;
}

/* TLS 1.2: what follows change_cipher_spec. */
static void read_side12(const struct stream *stream, struct protect *p, struct seen *seen)
{
	struct bytes in = bytes_of(stream->data, stream->len);
	struct record record;
	bool changed = false;
	while (record_read(&in, &record) == RECORD_OK) {
		if (changed)
			open_record(p, &record, seen, true);
		changed = changed || record.type == RECORD_CHANGE_CIPHER_SPEC;
	}
	assert_int_equal(in.len, 0);
}

static struct seen read_12(const char *name, const char *key_log)
{
	struct seen seen = {0};
	if (!capture_open(&capture, name)) {
		print_message("# no capture %s\n", name);
		skip();
	}
	const struct stream *from_client = capture_client(&capture, 0);
	assert_non_null(from_client);
	const struct stream *from_server = capture_answer(&capture, from_client);
	struct client_hello client;
	struct server_hello server;
	struct tls_secret master;
	struct traffic_keys keys[2];
	assert_int_equal(client_hello_parse(hello_body(from_client, 1), &client), HELLO_OK);
	assert_int_equal(server_hello_parse(hello_body(from_server, 2), &server), HELLO_OK);
	const struct suite *suite = suite_find(server.suite);
	assert_true(find_secret(key_log, "CLIENT_RANDOM", client.random, &master));
	assert_true(
		prf12_keys(crypto, suite, tls_secret_bytes(&master), client.random, server.random, &keys[0], &keys[1]));
	for (int side = 0; side < 2; side++) {
		struct protect_setup setup = {suite, TLS_VERSION_12, server.has_encrypt_then_mac, &keys[side], 0};
		struct protect *p = protect_new(crypto, &setup);
		assert_non_null(p);
		read_side12(side ? from_server : from_client, p, &seen);
		protect_free(p);
	}
	capture_free(&capture);
	return seen;
}

static void sessions_of_tls12_are_read(void **state)
{
	(void)state;
	struct seen seen = read_12("tls12-decryption.pcap", "tls12-decryption.keys");
	print_message("# %u records, %zu octets\n", seen.opened, seen.data);
	assert_true(seen.opened >= 4 && seen.data > 100);
	seen = read_12("http2-data-reassembly.pcap", "http2-data-reassembly.keys");
	print_message("# %u records, %zu octets\n", seen.opened, seen.data);
	assert_true(seen.opened >= 4 && seen.data > 10000);
}

/* TLS 1.3: each record opens with the epoch at hand or the next one. */
static void read_side13(const struct stream *stream, const char *key_log, const char *const labels[4],
	const struct suite *suite, struct bytes random, struct seen *seen)
{
	struct bytes in = bytes_of(stream->data, stream->len);
	struct record record;
	struct tls_secret secret;
	struct traffic_keys keys;
	struct protect *p = NULL;
	size_t epoch = 0;
	while (record_read(&in, &record) == RECORD_OK) {
		if (record.type != RECORD_APPLICATION_DATA)
			continue;
		unsigned before = seen->opened;
		if (p)
			open_record(p, &record, seen, false);
		while (seen->opened == before) {
			assert_non_null(labels[epoch]);
			protect_free(p);
			p = NULL;
			if (!find_secret(key_log, labels[epoch++], random, &secret))
				continue;
			assert_true(schedule13_keys(crypto, suite, &secret, &keys));
			struct protect_setup setup = {suite, TLS_VERSION_13, false, &keys, 0};
			p = protect_new(crypto, &setup);
			assert_non_null(p);
			open_record(p, &record, seen, false);
		}
	}
	assert_int_equal(in.len, 0);
	protect_free(p);
}

static void sessions_of_tls13_are_read_with_early_data(void **state)
{
	(void)state;
	static const char *const labels[2][4] = {
		{"CLIENT_EARLY_TRAFFIC_SECRET", "CLIENT_HANDSHAKE_TRAFFIC_SECRET", "CLIENT_TRAFFIC_SECRET_0", NULL},
		{"SERVER_HANDSHAKE_TRAFFIC_SECRET", "SERVER_TRAFFIC_SECRET_0", NULL, NULL}};
	const char *log = "tls13-rfc8446.keys";
	if (!capture_open(&capture, "tls13-rfc8446.pcap")) {
		print_message("# no capture tls13-rfc8446.pcap\n");
		skip();
	}
	for (size_t i = 0; i < 2; i++) {
		const struct stream *from_client = capture_client(&capture, i);
		assert_non_null(from_client);
		const struct stream *from_server = capture_answer(&capture, from_client);
		struct client_hello client;
		struct server_hello server;
		struct seen seen = {0};
		assert_int_equal(client_hello_parse(hello_body(from_client, 1), &client), HELLO_OK);
		assert_int_equal(server_hello_parse(hello_body(from_server, 2), &server), HELLO_OK);
		const struct suite *suite = suite_find(server.suite);
		read_side13(from_client, log, labels[0], suite, client.random, &seen);
		read_side13(from_server, log, labels[1], suite, client.random, &seen);
		print_message("# %u records, %zu octets\n", seen.opened, seen.data);
		assert_true(seen.opened >= 4 && seen.data > 0);
	}
	capture_free(&capture);
}

static int begin(void **state)
{
	(void)state;
	crypto = crypto_new();
	return crypto ? 0 : -1;
}

static int end(void **state)
{
	(void)state;
	crypto_free(crypto);
	return 0;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(sessions_of_tls12_are_read),
		cmocka_unit_test(sessions_of_tls13_are_read_with_early_data),
	};
	return cmocka_run_group_tests(tests, begin, end);
}
