#include "explain/relay_parts.h"
#include "tls/alert.h"
#include "tls/certificate.h"
#include "tls/extension.h"
#include "tls/handshake.h"
#include "tls/prf12.h"
#include "tls/record.h"

#include <stdlib.h>

/* What one end says in one go, up to its Finished. */
struct flight {
	struct buffer messages; /* in the clear */
	struct record sealed;   /* the Finished, as it was sent; empty when there is none */
};

struct relay *relay_new(const struct lab *lab, const struct relay_setup *setup, struct error *err)
{
	struct relay *relay = calloc(1, sizeof(*relay));
	if (relay)
		relay->crypto = crypto_new();
	if (!relay || !relay->crypto) {
		free(relay);
		error_set(err, "no memory");
		return NULL;
	}
	relay->lab = lab;
	relay->setup = *setup;
	for (unsigned i = 0; i < RELAY_LEGS; i++)
		transcript_init(&relay->legs[i].transcript, TRANSCRIPT_CAP);
	return relay;
}

void relay_free(struct relay *relay)
{
	if (!relay)
		return;
	for (unsigned i = 0; i < RELAY_LEGS; i++) {
		struct leg *leg = &relay->legs[i];
		transcript_free(&leg->transcript);
		protect_free(leg->by_client);
		protect_free(leg->by_server);
		tls_secret_wipe(&leg->master);
		OPENSSL_cleanse(leg->premaster, sizeof(leg->premaster));
	}
	EVP_PKEY_free(relay->server_key);
	EVP_PKEY_free(relay->own);
	crypto_free(relay->crypto);
	free(relay);
}

static bool flight_read(struct flight *flight, struct bytes octets, const char *who, struct error *err)
{
	struct record record;
	struct alert alert;
	bool sealed = false;
	flight->messages.cap = RELAY_MESSAGE;
	while (record_read(&octets, &record) == RECORD_OK) {
		if (record.type == RECORD_ALERT && alert_read(record.fragment, &alert)) {
			const char *name = alert_name(alert.description);
			return error_set(err, "the %s broke off: %s", who, name ? name : "an unknown alert");
		}
		if (record.type == RECORD_CHANGE_CIPHER_SPEC)
			sealed = true;
		else if (sealed)
			flight->sealed = record;
		else if (!buffer_add(&flight->messages, record.fragment))
			return error_set(err, "no memory");
	}
	return flight->messages.len > 0 || sealed || error_set(err, "the %s said nothing", who);
}

/* One step of an end, and what it says in it; alerts are told in the end's own words. */
static bool hear(struct lab_end *end, struct flight *flight, const char *who, struct error *err)
{
	if (lab_step(end) == LAB_FAILED)
		return error_set(err, "the %s refused: %s", who, lab_fault(end));
	return flight_read(flight, lab_take(end), who, err);
}

static bool message_find(const struct flight *flight, uint8_t type, struct handshake *out)
{
	struct bytes rest = buffer_bytes(&flight->messages);
	while (handshake_read(&rest, RELAY_MESSAGE, out) == HANDSHAKE_OK) {
		if (out->type == type)
			return true;
	}
	return false;
}

static bool transcribe(struct relay *relay, enum relay_leg leg, struct bytes message)
{
	return transcript_add(&relay->legs[leg].transcript, message) == TRANSCRIPT_OK;
}

/* A handshake message in a record of its own goes out, and into the leg's transcript. */
static bool utter(struct relay *relay, enum relay_leg leg, struct lab_end *to, struct bytes message)
{
	uint8_t room[RECORD_HEADER + RECORD_MAX_PLAINTEXT];
	struct writer w = writer_over(room, sizeof(room));
	struct bytes record;
	writer_u8(&w, RECORD_HANDSHAKE);
	writer_u16(&w, TLS_VERSION_12);
	writer_vec16(&w, message);
	return writer_done(&w, &record) && transcribe(relay, leg, message) && lab_give(to, record);
}

/* As utter, of a body. */
static bool utter_body(struct relay *relay, enum relay_leg leg, struct lab_end *to, uint8_t type, struct bytes body)
{
	uint8_t room[RECORD_MAX_PLAINTEXT];
	struct writer w = writer_over(room, sizeof(room));
	struct bytes message;
	writer_u8(&w, type);
	writer_u24(&w, (uint32_t)body.len);
	writer_bytes(&w, body);
	return writer_done(&w, &message) && utter(relay, leg, to, message);
}

/* The ClientHello goes on as it is, or without the one extension that binds the master secret to the handshake. */
static bool pass_hello(struct relay *relay, const struct flight *flight, struct lab_end *server)
{
	struct handshake message;
	struct client_hello hello;
	struct extension extension;
	uint8_t room[RECORD_MAX_PLAINTEXT];
	struct writer w = writer_over(room, sizeof(room));
	struct bytes before, body;
	if (!message_find(flight, HANDSHAKE_CLIENT_HELLO, &message) ||
		client_hello_parse(message.body, &hello) != HELLO_OK || !hello.has_extensions ||
		!transcribe(relay, RELAY_CLIENT, message.whole))
		return false;
	memcpy(relay->client_random, hello.random.data, HELLO_RANDOM);
	if (!relay->setup.strip_ems)
		return utter(relay, RELAY_SERVER, server, message.whole);
	/* Extensions stand last, behind their length. */
	body = message.body;
	if (!bytes_take(&body, body.len - hello.extensions.len - 2, &before))
		return false;
	writer_bytes(&w, before);
	size_t mark = writer_open(&w, 2);
	for (struct bytes rest = hello.extensions; extension_next(&rest, &extension);) {
		if (extension.type == EXT_EXTENDED_MASTER_SECRET)
			continue;
		writer_u16(&w, extension.type);
		writer_vec16(&w, extension.data);
	}
	writer_close(&w, mark, 2);
	return writer_done(&w, &body) && utter_body(relay, RELAY_SERVER, server, HANDSHAKE_CLIENT_HELLO, body);
}

static bool take_server_hello(struct relay *relay, const struct flight *flight)
{
	struct handshake message;
	struct server_hello hello;
	if (!message_find(flight, HANDSHAKE_SERVER_HELLO, &message) ||
		server_hello_parse(message.body, &hello) != HELLO_OK)
		return false;
	memcpy(relay->server_random, hello.random.data, HELLO_RANDOM);
	relay->ems = hello.has_extended_master_secret;
	relay->suite = suite_find(hello.suite);
	for (unsigned i = 0; relay->suite && i < RELAY_LEGS; i++) {
		if (transcript_choose(&relay->legs[i].transcript, relay->suite->prf) != TRANSCRIPT_OK)
			return false;
	}
	return relay->suite != NULL;
}

static bool take_certificate(struct relay *relay, struct bytes body)
{
	struct certificate_message list;
	struct certificate_entry entry;
	if (!certificate_parse(body, TLS_VERSION_12, &list) || !certificate_next(&list, &entry))
		return false;
	const unsigned char *at = entry.der.data;
	X509 *cert = d2i_X509(NULL, &at, (long)entry.der.len);
	relay->server_key = cert ? X509_get_pubkey(cert) : NULL;
	X509_free(cert);
	return relay->server_key != NULL;
}

static bool show_certificate(struct relay *relay, struct lab_end *client)
{
	unsigned char *der = NULL;
	int len = i2d_X509(lab_cert(relay->lab, LAB_RELAY), &der);
	uint8_t room[RELAY_KEY * 8];
	struct writer w = writer_over(room, sizeof(room));
	struct bytes body;
	if (len <= 0)
		return false;
	writer_u24(&w, (uint32_t)len + 3);
	writer_u24(&w, (uint32_t)len);
	writer_bytes(&w, bytes_of(der, (size_t)len));
	OPENSSL_free(der);
	return writer_done(&w, &body) && utter_body(relay, RELAY_CLIENT, client, HANDSHAKE_CERTIFICATE, body);
}

/* The server's first flight: its hello goes on as it is, its certificate and parameters become the relay's. */
static bool pass_answer(struct relay *relay, const struct flight *flight, struct lab_end *client)
{
	struct bytes rest = buffer_bytes(&flight->messages), body;
	struct handshake message;
	uint8_t room[RELAY_KEY * 8];
	if (!take_server_hello(relay, flight))
		return false;
	while (handshake_read(&rest, RELAY_MESSAGE, &message) == HANDSHAKE_OK) {
		struct writer w = writer_over(room, sizeof(room));
		bool ok = transcribe(relay, RELAY_SERVER, message.whole);
		if (message.type == HANDSHAKE_CERTIFICATE)
			ok = ok && take_certificate(relay, message.body) && show_certificate(relay, client);
		else if (message.type == HANDSHAKE_SERVER_KEY_EXCHANGE)
			ok = ok && relay_server_exchange(relay, message.body, &w) && writer_done(&w, &body) &&
			     utter_body(relay, RELAY_CLIENT, client, message.type, body);
		else
			ok = ok && utter(relay, RELAY_CLIENT, client, message.whole);
		if (!ok)
			return false;
	}
	return true;
}

static bool derive(struct relay *relay, struct leg *leg)
{
	struct bytes premaster = bytes_of(leg->premaster, leg->premaster_len);
	struct bytes client = bytes_of(relay->client_random, HELLO_RANDOM),
		     server = bytes_of(relay->server_random, HELLO_RANDOM);
	struct traffic_keys by_client = {0}, by_server = {0};
	struct tls_secret session;
	bool ok = relay->ems ? transcript_value(&leg->transcript, &session) == TRANSCRIPT_OK &&
	                               prf12_extended_master(relay->crypto, relay->suite->prf, premaster,
					       tls_secret_bytes(&session), &leg->master)
	                     : prf12_master(relay->crypto, relay->suite->prf, premaster, client, server, &leg->master);
	ok = ok && prf12_keys(relay->crypto, relay->suite, tls_secret_bytes(&leg->master), client, server, &by_client,
			   &by_server);
	struct protect_setup setup = {.suite = relay->suite, .version = TLS_VERSION_12, .keys = &by_client};
	if (ok)
		leg->by_client = protect_new(relay->crypto, &setup);
	setup.keys = &by_server;
	if (ok)
		leg->by_server = protect_new(relay->crypto, &setup);
	traffic_keys_wipe(&by_client);
	traffic_keys_wipe(&by_server);
	return leg->by_client && leg->by_server;
}

static bool finished_data(
	struct relay *relay, enum relay_leg leg, bool from_client, uint8_t out[HANDSHAKE_HEADER + PRF12_VERIFY_DATA])
{
	struct tls_secret hash, data;
	struct writer w = writer_over(out, HANDSHAKE_HEADER + PRF12_VERIFY_DATA);
	struct bytes done;
	if (transcript_value(&relay->legs[leg].transcript, &hash) != TRANSCRIPT_OK ||
		!prf12_finished(relay->crypto, relay->suite->prf, relay_master(relay, leg), from_client,
			tls_secret_bytes(&hash), &data))
		return false;
	writer_u8(&w, HANDSHAKE_FINISHED);
	writer_u24(&w, PRF12_VERIFY_DATA);
	writer_bytes(&w, tls_secret_bytes(&data));
	return writer_done(&w, &done);
}

/* Whether the end's Finished is what the leg's own transcript wants; it then joins that transcript. */
static bool check_finished(struct relay *relay, enum relay_leg leg, bool from_client, const struct record *sealed)
{
	uint8_t wanted[HANDSHAKE_HEADER + PRF12_VERIFY_DATA], room[256];
	struct opened opened;
	struct protect *by = from_client ? relay->legs[leg].by_client : relay->legs[leg].by_server;
	return sealed->fragment.len <= sizeof(room) && finished_data(relay, leg, from_client, wanted) &&
	       protect_open(by, sealed, room, sizeof(room), &opened) == PROTECT_OK &&
	       bytes_equal(opened.plaintext, bytes_of(wanted, sizeof(wanted))) &&
	       transcribe(relay, leg, opened.plaintext);
}

/* ChangeCipherSpec and a Finished of the relay's own. */
static bool finish(struct relay *relay, enum relay_leg leg, bool from_client, struct lab_end *to)
{
	static const uint8_t change[] = {RECORD_CHANGE_CIPHER_SPEC, 3, 3, 0, 1, 1};
	uint8_t message[HANDSHAKE_HEADER + PRF12_VERIFY_DATA], room[256];
	struct writer w = writer_over(room, sizeof(room));
	struct protect *by = from_client ? relay->legs[leg].by_client : relay->legs[leg].by_server;
	struct bytes out;
	writer_bytes(&w, bytes_of(change, sizeof(change)));
	return finished_data(relay, leg, from_client, message) &&
	       protect_seal(by, RECORD_HANDSHAKE, bytes_of(message, sizeof(message)), 0, &w) == PROTECT_OK &&
	       writer_done(&w, &out) && transcribe(relay, leg, bytes_of(message, sizeof(message))) && lab_give(to, out);
}

static bool pass_exchange(struct relay *relay, const struct flight *flight, struct lab_end *server)
{
	struct handshake message;
	uint8_t room[RELAY_KEY * 2];
	struct writer w = writer_over(room, sizeof(room));
	struct bytes body;
	return message_find(flight, HANDSHAKE_CLIENT_KEY_EXCHANGE, &message) &&
	       transcribe(relay, RELAY_CLIENT, message.whole) && relay_client_exchange(relay, message.body, &w) &&
	       writer_done(&w, &body) && utter_body(relay, RELAY_SERVER, server, message.type, body) &&
	       derive(relay, &relay->legs[RELAY_CLIENT]) && derive(relay, &relay->legs[RELAY_SERVER]) &&
	       check_finished(relay, RELAY_CLIENT, true, &flight->sealed) && finish(relay, RELAY_SERVER, true, server);
}

static bool join(struct relay *relay, struct lab_end *client, struct lab_end *server, struct flight flights[4],
	struct error *err)
{
	if (!hear(client, &flights[0], "client", err) || !pass_hello(relay, &flights[0], server) ||
		!hear(server, &flights[1], "server", err) || !pass_answer(relay, &flights[1], client) ||
		!hear(client, &flights[2], "client", err) || !pass_exchange(relay, &flights[2], server) ||
		!hear(server, &flights[3], "server", err) ||
		!check_finished(relay, RELAY_SERVER, false, &flights[3].sealed) ||
		!finish(relay, RELAY_CLIENT, false, client))
		return false;
	if (lab_step(client) == LAB_READY && lab_step(server) == LAB_READY)
		return true;
	return error_set(err, "a handshake did not end: %s%s", lab_fault(client), lab_fault(server));
}

bool relay_join(struct relay *relay, struct lab_end *client, struct lab_end *server, struct error *err)
{
	struct flight flights[4] = {0};
	error_set(err, "the relay did not understand what it was sent");
	bool ok = join(relay, client, server, flights, err);
	for (unsigned i = 0; i < 4; i++)
		buffer_clear(&flights[i].messages);
	return ok;
}

bool relay_carry(struct relay *relay, struct lab_end *from, struct lab_end *to, bool from_client, const char *text)
{
	const struct leg *in = &relay->legs[from_client ? RELAY_CLIENT : RELAY_SERVER];
	const struct leg *out = &relay->legs[from_client ? RELAY_SERVER : RELAY_CLIENT];
	uint8_t room[1024], sealed[1024];
	struct writer w = writer_over(sealed, sizeof(sealed));
	struct record record;
	struct opened opened;
	struct bytes octets;
	if (!lab_write(from, bytes_str(text)))
		return false;
	octets = lab_take(from);
	return record_read(&octets, &record) == RECORD_OK && record.fragment.len <= sizeof(room) &&
	       protect_open(from_client ? in->by_client : in->by_server, &record, room, sizeof(room), &opened) ==
	               PROTECT_OK &&
	       bytes_equal(opened.plaintext, bytes_str(text)) &&
	       protect_seal(from_client ? out->by_client : out->by_server, RECORD_APPLICATION_DATA, opened.plaintext, 0,
		       &w) == PROTECT_OK &&
	       writer_done(&w, &octets) && lab_give(to, octets) && lab_reads(to, bytes_str(text));
}

struct bytes relay_master(const struct relay *relay, enum relay_leg leg)
{
	return tls_secret_bytes(&relay->legs[leg].master);
}

bool relay_premasters_equal(const struct relay *relay)
{
	const struct leg *a = &relay->legs[RELAY_CLIENT], *b = &relay->legs[RELAY_SERVER];
	return a->premaster_len > 0 &&
	       bytes_equal_secret(bytes_of(a->premaster, a->premaster_len), bytes_of(b->premaster, b->premaster_len));
}

bool relay_saw_certificate(const struct relay *relay)
{
	return relay->server_key != NULL;
}

bool relay_has_ems(const struct relay *relay)
{
	return relay->ems;
}

unsigned relay_modulus_bits(const struct relay *relay)
{
	return relay->modulus_bits;
}
