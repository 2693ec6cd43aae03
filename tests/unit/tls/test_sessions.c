/* Sessions of OpenSSL with itself, read from the outside with the key log, every record of both directions. */
#include "tls/certificate_verify.h"
#include "tls/control.h"
#include "tls/extension.h"
#include "tls/handshake.h"
#include "tls/hello.h"
#include "tls/key_exchange.h"
#include "tls/prf12.h"
#include "tls/protect.h"
#include "tls/schedule13.h"
#include "tls/ticket.h"
#include "tls/transcript.h"
#include "wire.h"

#include <openssl/evp.h>
#include <openssl/rsa.h>
#include <stdlib.h>

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

enum { CLIENT, SERVER };

/* A reader of one session. */
struct reader {
	struct crypto *crypto;
	struct wire *wire;
	const struct wire_keys *own;
	const struct suite *suite;
	struct transcript transcript;
	struct bytes left[2];    /* what has not been read yet of each flow */
	struct protect *open[2]; /* NULL: still in the clear */
	struct tls_secret traffic[2];
	struct server_hello hello;
	struct bytes randoms[2];
	struct tls_secret session_hash; /* TLS 1.2: after ClientKeyExchange */
	struct bytes key_exchange;      /* the body of the client's */
	size_t data_done[2];
	unsigned records, updates;
	uint8_t stream[65536]; /* handshake octets not read yet */
	size_t stream_len;
	uint8_t out[20000];
};

static struct wire_keys keys;
static struct wire wire;
static struct reader reader;

static struct tls_secret hash_now(struct reader *r)
{
	struct tls_secret hash;
	assert_int_equal(transcript_value(&r->transcript, &hash), TRANSCRIPT_OK);
	return hash;
}

/* An altered record is never opened, and does not disturb the unaltered one after it. */
static void assert_flips_fail(struct protect *p, const struct record *record)
{
	static uint8_t altered[20000], out[20000];
	struct opened opened;
	memcpy(altered, record->fragment.data, record->fragment.len);
	for (unsigned i = 0; i < 5; i++) {
		struct record bad = *record;
		size_t bit = i == 0 ? 0 : i * (record->fragment.len * 8 - 1) / 4;
		bad.fragment.data = altered;
		altered[bit / 8] ^= (uint8_t)(1 << bit % 8);
		assert_int_equal(protect_open(p, &bad, out, sizeof(out), &opened), PROTECT_BAD_TAG);
		altered[bit / 8] ^= (uint8_t)(1 << bit % 8);
	}
	struct record bad = *record;
	bad.type ^= 1;
	assert_int_equal(protect_open(p, &bad, out, sizeof(out), &opened), PROTECT_BAD_TAG);
	bad = *record;
	bad.fragment.len--;
	assert_int_not_equal(protect_open(p, &bad, out, sizeof(out), &opened), PROTECT_OK);
}

/* The next record of this side that is no change_cipher_spec, opened. False at the end. */
static bool next_record(struct reader *r, int side, struct opened *out, bool *changed)
{
	struct record record;
	*changed = false;
	if (record_read(&r->left[side], &record) != RECORD_OK)
		return false;
	r->records++;
	if (record.type == RECORD_CHANGE_CIPHER_SPEC) {
		*changed = true;
		return true;
	}
	if (!r->open[side]) {
		*out = (struct opened){.type = record.type, .plaintext = record.fragment};
		return true;
	}
	if (r->records % 3 == 0 && record.fragment.len < 1000)
		assert_flips_fail(r->open[side], &record);
	uint64_t before = protect_sequence(r->open[side]);
	assert_int_equal(protect_open(r->open[side], &record, r->out, sizeof(r->out), out), PROTECT_OK);
	assert_int_equal(out->sequence, before);
	assert_int_equal(protect_sequence(r->open[side]), before + 1);
	return true;
}

static void take_data(struct reader *r, int side, struct bytes data)
{
	const struct wire_flow *flow = &r->wire->flows[side];
	assert_true(data.len <= flow->data_len - r->data_done[side]);
	if (data.len > 0)
		assert_memory_equal(data.data, flow->data + r->data_done[side], data.len);
	r->data_done[side] += data.len;
}

/* The next whole handshake message of a side; data that comes before it is compared. Stops at `changed`. */
static bool next_message(struct reader *r, int side, struct handshake *out)
{
	for (;;) {
		struct bytes in = bytes_of(r->stream, r->stream_len);
		struct opened opened;
		bool changed;
		static uint8_t whole[65536];
		if (handshake_read(&in, 65536, out) == HANDSHAKE_OK) {
			memcpy(whole, out->whole.data, out->whole.len);
			memmove(r->stream, in.data, in.len);
			r->stream_len = in.len;
			out->whole.data = whole;
			out->body.data = whole + HANDSHAKE_HEADER;
			return true;
		}
		if (!next_record(r, side, &opened, &changed))
			return false;
		if (changed && r->suite && r->hello.version == TLS_VERSION_12)
			return false;
		if (changed || opened.type == RECORD_ALERT)
			continue;
		if (opened.type == RECORD_APPLICATION_DATA) {
			take_data(r, side, opened.plaintext);
			continue;
		}
		assert_int_equal(opened.type, RECORD_HANDSHAKE);
		memcpy(r->stream + r->stream_len, opened.plaintext.data, opened.plaintext.len);
		r->stream_len += opened.plaintext.len;
	}
}

static void add(struct reader *r, struct bytes whole)
{
	assert_int_equal(transcript_add(&r->transcript, whole), TRANSCRIPT_OK);
}

static void start(struct reader *r)
{
	memset(r, 0, sizeof(*r));
	r->crypto = crypto_new();
	r->wire = &wire;
	r->own = &keys;
	transcript_init(&r->transcript, TRANSCRIPT_CAP);
	for (int i = 0; i < 2; i++)
		r->left[i] = bytes_of(wire.flows[i].sent, wire.flows[i].sent_len);
}

static void finish(struct reader *r)
{
	for (int i = 0; i < 2; i++) {
		assert_int_equal(r->data_done[i], wire.flows[i].data_len);
		assert_int_equal(r->left[i].len, 0);
		protect_free(r->open[i]);
	}
	transcript_free(&r->transcript);
	crypto_free(r->crypto);
}

/* Both hellos, into the transcript, up to the one that is no HelloRetryRequest. */
static void read_hellos(struct reader *r)
{
	struct handshake message;
	static uint8_t kept[2][32], body[4096];
	do {
		assert_true(next_message(r, CLIENT, &message));
		assert_int_equal(message.type, HANDSHAKE_CLIENT_HELLO);
		memcpy(kept[CLIENT], message.body.data + 2, 32);
		add(r, message.whole);
		assert_true(next_message(r, SERVER, &message));
		assert_int_equal(message.type, HANDSHAKE_SERVER_HELLO);
		assert_true(message.body.len <= sizeof(body));
		memcpy(body, message.body.data, message.body.len);
		assert_int_equal(server_hello_parse(bytes_of(body, message.body.len), &r->hello), HELLO_OK);
		memcpy(kept[SERVER], message.body.data + 2, 32);
		r->suite = suite_find(r->hello.suite);
		assert_non_null(r->suite);
		assert_int_equal(transcript_choose(&r->transcript, r->suite->prf), TRANSCRIPT_OK);
		if (r->hello.retry)
			assert_int_equal(transcript_retry(&r->transcript), TRANSCRIPT_OK);
		add(r, message.whole);
	} while (r->hello.retry);
	r->randoms[CLIENT] = bytes_of(kept[CLIENT], 32);
	r->randoms[SERVER] = bytes_of(kept[SERVER], 32);
}

/* The premaster secret where it can be known without a key log: RSA key exchange, and plain PSK. */
static struct bytes premaster_of(struct reader *r, uint8_t *room, size_t cap)
{
	struct client_key_exchange sent;
	enum key_exchange_result result = client_key_exchange_parse(r->key_exchange, r->suite, TLS_VERSION_12, &sent);
	if (r->suite->kx == SUITE_KX_SRP)
		return BYTES_NONE;
	assert_int_equal(result, KEY_EXCHANGE_OK);
	struct writer w = writer_over(room, cap);
	struct bytes premaster, psk = bytes_of(wire_psk, sizeof(wire_psk));
	if (r->suite->kx == SUITE_KX_PSK) {
		assert_true(bytes_equal(sent.psk_identity, bytes_str("user")));
		assert_true(prf12_psk_premaster(psk, BYTES_NONE, &w));
		assert_true(writer_done(&w, &premaster));
		return premaster;
	}
	if (r->suite->kx != SUITE_KX_RSA && r->suite->kx != SUITE_KX_RSA_PSK)
		return BYTES_NONE;
	uint8_t plain[256];
	size_t len = sizeof(plain);
	EVP_PKEY_CTX *ctx = EVP_PKEY_CTX_new_from_pkey(NULL, r->own->rsa, NULL);
	assert_true(EVP_PKEY_decrypt_init(ctx) == 1 && EVP_PKEY_CTX_set_rsa_padding(ctx, RSA_PKCS1_PADDING) == 1);
	assert_int_equal(EVP_PKEY_decrypt(ctx, plain, &len, sent.encrypted.data, sent.encrypted.len), 1);
	EVP_PKEY_CTX_free(ctx);
	assert_int_equal(len, 48);
	if (r->suite->kx == SUITE_KX_RSA)
		writer_bytes(&w, bytes_of(plain, len));
	else
		assert_true(prf12_psk_premaster(psk, bytes_of(plain, len), &w));
	assert_true(writer_done(&w, &premaster));
	return premaster;
}

static void check_master(struct reader *r)
{
	uint8_t room[512];
	struct tls_secret made;
	struct bytes premaster = premaster_of(r, room, sizeof(room));
	if (premaster.len == 0)
		return;
	if (r->hello.has_extended_master_secret)
		assert_true(prf12_extended_master(
			r->crypto, r->suite->prf, premaster, tls_secret_bytes(&r->session_hash), &made));
	else
		assert_true(prf12_master(
			r->crypto, r->suite->prf, premaster, r->randoms[CLIENT], r->randoms[SERVER], &made));
	assert_true(bytes_equal(tls_secret_bytes(&made), tls_secret_bytes(&wire.secrets.master)));
}

static void check_finished12(struct reader *r, int side)
{
	struct handshake message;
	struct tls_secret hash = hash_now(r), expected;
	struct bytes got;
	assert_true(next_message(r, side, &message));
	assert_int_equal(message.type, HANDSHAKE_FINISHED);
	assert_true(finished_parse(message.body, TLS_VERSION_12, r->suite->prf, &got));
	assert_true(prf12_finished(r->crypto, r->suite->prf, tls_secret_bytes(&wire.secrets.master), side == CLIENT,
		tls_secret_bytes(&hash), &expected));
	assert_true(bytes_equal(got, tls_secret_bytes(&expected)));
	add(r, message.whole);
}

static void open_12(struct reader *r)
{
	struct traffic_keys made[2];
	assert_true(prf12_keys(r->crypto, r->suite, tls_secret_bytes(&wire.secrets.master), r->randoms[CLIENT],
		r->randoms[SERVER], &made[CLIENT], &made[SERVER]));
	for (int i = 0; i < 2; i++) {
		struct protect_setup setup = {.suite = r->suite,
			.version = TLS_VERSION_12,
			.encrypt_then_mac = r->hello.has_encrypt_then_mac,
			.keys = &made[i]};
		r->open[i] = protect_new(r->crypto, &setup);
		assert_non_null(r->open[i]);
		traffic_keys_wipe(&made[i]);
	}
}

static void check_server_key_exchange(struct reader *r, struct bytes body)
{
	struct server_key_exchange sent;
	enum key_exchange_result result = server_key_exchange_parse(body, r->suite, TLS_VERSION_12, &sent);
	if (r->suite->kx == SUITE_KX_SRP) {
		assert_int_equal(result, KEY_EXCHANGE_UNKNOWN);
		return;
	}
	assert_int_equal(result, KEY_EXCHANGE_OK);
	if (sent.has_hint)
		assert_true(bytes_equal(sent.psk_hint, bytes_str("hint")));
	if (r->suite->kx == SUITE_KX_ECDHE)
		assert_true(sent.group != 0 && sent.key.len >= 32);
	if (r->suite->kx == SUITE_KX_DHE)
		assert_true(sent.dh_p.len >= 128 && sent.key.len > 0);
	bool is_signed = r->suite->auth == SUITE_AUTH_RSA || r->suite->auth == SUITE_AUTH_ECDSA ||
	                 r->suite->auth == SUITE_AUTH_DSS;
	assert_int_equal(sent.is_signed, is_signed && !sent.has_hint);
	for (size_t n = 0; n < body.len; n++) {
		uint8_t *copy = malloc(n ? n : 1);
		assert_non_null(copy);
		memcpy(copy, body.data, n);
		assert_int_not_equal(
			server_key_exchange_parse(bytes_of(copy, n), r->suite, TLS_VERSION_12, &sent), KEY_EXCHANGE_OK);
		free(copy);
	}
}

static void read_12(struct reader *r)
{
	struct handshake message;
	static uint8_t kept[1024];
	do {
		assert_true(next_message(r, SERVER, &message));
		if (message.type == HANDSHAKE_SERVER_KEY_EXCHANGE)
			check_server_key_exchange(r, message.body);
		add(r, message.whole);
	} while (message.type != HANDSHAKE_SERVER_HELLO_DONE);
	assert_true(control_is_empty(message.type));
	assert_true(next_message(r, CLIENT, &message));
	assert_int_equal(message.type, HANDSHAKE_CLIENT_KEY_EXCHANGE);
	memcpy(kept, message.body.data, message.body.len);
	r->key_exchange = bytes_of(kept, message.body.len);
	add(r, message.whole);
	r->session_hash = hash_now(r);
	check_master(r);
	assert_false(next_message(r, CLIENT, &message));
	open_12(r);
	check_finished12(r, CLIENT);
	/* The server's ticket is still in the clear. */
	struct protect *later = r->open[SERVER];
	r->open[SERVER] = NULL;
	while (next_message(r, SERVER, &message)) {
		struct session_ticket ticket;
		assert_int_equal(message.type, HANDSHAKE_NEW_SESSION_TICKET);
		assert_true(session_ticket_parse(message.body, TLS_VERSION_12, &ticket));
		assert_true(ticket.ticket.len > 0);
		add(r, message.whole);
	}
	r->open[SERVER] = later;
	check_finished12(r, SERVER);
	assert_false(next_message(r, CLIENT, &message));
	assert_false(next_message(r, SERVER, &message));
	uint8_t exported[32];
	struct bytes context = bytes_str("abc");
	assert_true(prf12_export(r->crypto, r->suite->prf, tls_secret_bytes(&wire.secrets.master),
		bytes_str("EXPORTER-test"), r->randoms[CLIENT], r->randoms[SERVER], &context, exported, 32));
	assert_memory_equal(exported, wire.exported, 32);
}

static void open_13(struct reader *r, int side, const struct tls_secret *traffic)
{
	struct traffic_keys made;
	r->traffic[side] = *traffic;
	assert_true(schedule13_keys(r->crypto, r->suite, traffic, &made));
	struct protect_setup setup = {.suite = r->suite, .version = TLS_VERSION_13, .keys = &made};
	protect_free(r->open[side]);
	r->open[side] = protect_new(r->crypto, &setup);
	assert_non_null(r->open[side]);
}

static void check_finished13(struct reader *r, int side, const struct handshake *message)
{
	struct tls_secret hash = hash_now(r), expected;
	struct bytes got;
	assert_true(finished_parse(message->body, TLS_VERSION_13, r->suite->prf, &got));
	assert_true(
		schedule13_finished(r->crypto, r->suite->prf, &r->traffic[side], tls_secret_bytes(&hash), &expected));
	assert_true(bytes_equal(got, tls_secret_bytes(&expected)));
	add(r, message->whole);
}

/* What comes after the handshake: tickets, key updates, data. */
static void read_rest13(struct reader *r, int side)
{
	struct handshake message;
	struct session_ticket ticket;
	bool requested;
	while (next_message(r, side, &message)) {
		if (message.type == HANDSHAKE_NEW_SESSION_TICKET) {
			assert_true(session_ticket_parse(message.body, TLS_VERSION_13, &ticket));
			continue;
		}
		assert_int_equal(message.type, HANDSHAKE_KEY_UPDATE);
		assert_true(key_update_parse(message.body, &requested));
		r->updates++;
		struct tls_secret next;
		assert_true(schedule13_next(r->crypto, r->suite->prf, &r->traffic[side], &next));
		open_13(r, side, &next);
	}
}

static void read_13(struct reader *r)
{
	struct handshake message;
	struct certificate_verify verify;
	open_13(r, SERVER, &wire.secrets.handshake[SERVER]);
	open_13(r, CLIENT, &wire.secrets.handshake[CLIENT]);
	for (;;) {
		assert_true(next_message(r, SERVER, &message));
		if (message.type == HANDSHAKE_FINISHED)
			break;
		if (message.type == HANDSHAKE_CERTIFICATE_VERIFY)
			assert_true(certificate_verify_parse(message.body, TLS_VERSION_13, &verify));
		add(r, message.whole);
	}
	check_finished13(r, SERVER, &message);
	assert_true(next_message(r, CLIENT, &message));
	assert_int_equal(message.type, HANDSHAKE_FINISHED);
	check_finished13(r, CLIENT, &message);
	for (int i = 0; i < 2; i++) {
		open_13(r, i, &wire.secrets.application[i]);
		read_rest13(r, i);
	}
	uint8_t exported[32];
	assert_true(schedule13_export(r->crypto, r->suite->prf, &wire.secrets.exporter, bytes_str("EXPORTER-test"),
		bytes_str("abc"), exported, 32));
	assert_memory_equal(exported, wire.exported, 32);
}

/* One session; false when OpenSSL does not do it. */
static bool read_session(const struct wire_case *of)
{
	if (!wire_run(&keys, of, &wire))
		return false;
	struct reader *r = &reader;
	start(r);
	read_hellos(r);
	assert_int_equal(r->hello.version, of->version);
	if (of->version == TLS_VERSION_13)
		read_13(r);
	else
		read_12(r);
	assert_int_equal(r->updates, of->key_update ? 4 : 0);
	finish(r);
	return true;
}

/* Every suite that OpenSSL lists for TLS 1.2, with the options named; `only_cbc`: those that they make a difference to. */
static void every_suite_12(bool no_ems, bool no_etm, bool only_cbc)
{
	SSL_CTX *ctx = SSL_CTX_new(TLS_method());
	unsigned read = 0, refused = 0;
	assert_int_equal(SSL_CTX_set_cipher_list(ctx, "ALL:COMPLEMENTOFALL:@SECLEVEL=0"), 1);
	STACK_OF(SSL_CIPHER) *list = SSL_CTX_get_ciphers(ctx);
	for (int i = 0; i < sk_SSL_CIPHER_num(list); i++) {
		const SSL_CIPHER *cipher = sk_SSL_CIPHER_value(list, i);
		const struct suite *suite = suite_find(SSL_CIPHER_get_protocol_id(cipher));
		char name[128];
		assert_non_null(suite);
		if (suite->max_version == TLS_VERSION_13 || (only_cbc && suite_is_aead(suite)))
			continue;
		(void)snprintf(name, sizeof(name), "%s:@SECLEVEL=0", SSL_CIPHER_get_name(cipher));
		struct wire_case of = {.version = TLS_VERSION_12,
			.suite = name,
			.no_extended_master_secret = no_ems,
			.no_encrypt_then_mac = no_etm};
		if (read_session(&of)) {
			read++;
			assert_int_equal(wire.extended_master_secret, !no_ems);
			continue;
		}
		/* SRP needs a password file, which these sessions do not have. */
		assert_int_equal(suite->kx, SUITE_KX_SRP);
		refused++;
	}
	print_message("# %u suites read, %u not tried (SRP)\n", read, refused);
	assert_true(read >= (only_cbc ? 40 : 100));
	SSL_CTX_free(ctx);
}

static void every_suite_of_tls12_is_read(void **state)
{
	(void)state;
	every_suite_12(false, false, false);
}

static void every_suite_of_tls12_is_read_without_extended_master_secret(void **state)
{
	(void)state;
	every_suite_12(true, false, false);
}

static void every_mac_suite_is_read_without_encrypt_then_mac(void **state)
{
	(void)state;
	every_suite_12(false, true, true);
}

static const char *const suites13[] = {"TLS_AES_128_GCM_SHA256", "TLS_AES_256_GCM_SHA384",
	"TLS_CHACHA20_POLY1305_SHA256", "TLS_AES_128_CCM_SHA256", "TLS_AES_128_CCM_8_SHA256"};

static void every_suite_of_tls13_is_read(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof(suites13) / sizeof(suites13[0]); i++) {
		struct wire_case of = {.version = TLS_VERSION_13, .suite = suites13[i]};
		assert_true(read_session(&of));
	}
}

static void key_updates_are_followed(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof(suites13) / sizeof(suites13[0]); i++) {
		struct wire_case of = {.version = TLS_VERSION_13, .suite = suites13[i], .key_update = true};
		assert_true(read_session(&of));
	}
}

static void retried_and_padded_sessions_are_read(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof(suites13) / sizeof(suites13[0]); i++) {
		struct wire_case of = {.version = TLS_VERSION_13, .suite = suites13[i], .retry = true, .padding = 512};
		assert_true(read_session(&of));
	}
}

static int make_keys(void **state)
{
	(void)state;
	wire_keys_make(&keys);
	return 0;
}

static int free_keys(void **state)
{
	(void)state;
	wire_keys_free(&keys);
	return 0;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_suite_of_tls12_is_read),
		cmocka_unit_test(every_suite_of_tls12_is_read_without_extended_master_secret),
		cmocka_unit_test(every_mac_suite_is_read_without_encrypt_then_mac),
		cmocka_unit_test(every_suite_of_tls13_is_read),
		cmocka_unit_test(key_updates_are_followed),
		cmocka_unit_test(retried_and_padded_sessions_are_read),
	};
	return cmocka_run_group_tests(tests, make_keys, free_keys);
}
