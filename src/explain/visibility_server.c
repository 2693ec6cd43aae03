/* explain/visibility_server.c — as much of a TLS 1.3 server as the story needs (RFC 8446, 4), on src/tls. */
#include "explain/visibility_parts.h"
#include "tls/certificate_verify.h"
#include "tls/extension.h"
#include "tls/group.h"
#include "tls/handshake.h"
#include "tls/hello.h"
#include "tls/psk.h"
#include "tls/schedule13.h"
#include "tls/sigalg.h"

#include <openssl/crypto.h>
#include <openssl/rand.h>
#include <openssl/rsa.h>

#define SUITE_VALUE         0x1301
#define HASH                SUITE_HASH_SHA256
#define RSA_PSS_RSAE_SHA256 0x0804
#define MESSAGE_MAX         ((size_t)8 * 1024)

static bool fail(struct own_server *server, const char *why)
{
	server->fault = why;
	return false;
}

/* The next record that is no change_cipher_spec, which TLS 1.3 sends for the eyes of middleboxes. */
static bool next_record(struct bytes *octets, struct record *record)
{
	while (record_read(octets, record) == RECORD_OK) {
		if (record->type != RECORD_CHANGE_CIPHER_SPEC)
			return true;
	}
	return false;
}

static bool hash_now(const struct own_server *server, struct tls_secret *hash)
{
	return transcript_value(&server->transcript, hash) == TRANSCRIPT_OK;
}

/* A message into the transcript and the flight. */
static bool add_message(struct own_server *server, uint8_t type, struct bytes body)
{
	uint8_t room[MESSAGE_MAX];
	struct writer w = writer_over(room, sizeof(room));
	struct bytes whole;
	writer_u8(&w, type);
	writer_u24(&w, (uint32_t)body.len);
	writer_bytes(&w, body);
	return writer_done(&w, &whole) && transcript_add(&server->transcript, whole) == TRANSCRIPT_OK &&
	       buffer_add(&server->flight, whole);
}

/* What is in the flight, as one record: in the clear before there are keys. */
static bool send_flight(struct own_server *server, uint8_t type, struct buffer *out)
{
	uint8_t room[MESSAGE_MAX * 2];
	struct writer w = writer_over(room, sizeof(room));
	struct bytes flight = buffer_bytes(&server->flight), record;
	if (!server->out) {
		writer_u8(&w, type);
		writer_u16(&w, TLS_VERSION_12);
		writer_vec16(&w, flight);
	} else if (protect_seal(server->out, type, flight, 0, &w) != PROTECT_OK) {
		return false;
	}
	buffer_clear(&server->flight);
	return writer_done(&w, &record) && buffer_add(out, record);
}

static bool change_keys(struct own_server *server, struct protect **which, const struct tls_secret *traffic)
{
	struct traffic_keys keys;
	const struct suite *suite = suite_find(SUITE_VALUE);
	if (!schedule13_keys(server->crypto, suite, traffic, &keys))
		return false;
	struct protect_setup setup = {.suite = suite, .version = TLS_VERSION_13, .keys = &keys};
	protect_free(*which);
	*which = protect_new(server->crypto, &setup);
	traffic_keys_wipe(&keys);
	return *which != NULL;
}

static bool derive(
	struct own_server *server, const struct tls_secret *from, enum schedule13_label label, struct tls_secret *out)
{
	struct tls_secret hash;
	return hash_now(server, &hash) &&
	       schedule13_derive(server->crypto, HASH, from, label, tls_secret_bytes(&hash), out);
}

/* The binder shows that the client has the same PSK; nothing else would make it. */
static bool takes_psk(struct own_server *server, const struct client_hello *hello, struct bytes whole)
{
	struct tls_secret key, hash, binder;
	struct bytes truncated, identity, sent;
	return server->psk.len > 0 && hello->has_psk && psk_at(hello, 0, &identity, &sent) &&
	       psk_truncated(whole, hello, &truncated) &&
	       transcript_value_with(&server->transcript, truncated, &hash) == TRANSCRIPT_OK &&
	       schedule13_derive(server->crypto, HASH, &server->early, SCHEDULE13_RES_BINDER, BYTES_NONE, &key) &&
	       schedule13_finished(server->crypto, HASH, &key, tls_secret_bytes(&hash), &binder) &&
	       bytes_equal(tls_secret_bytes(&binder), sent);
}

static bool agree(struct own_server *server, const struct client_hello *hello)
{
	struct bytes shares = hello->key_shares, key;
	struct tls_secret shared;
	uint16_t group;
	bool ok = false;
	while (!ok && key_share_next(&shares, &group, &key))
		ok = group == GROUP_X25519 && visibility_agree(server->share.own, key, &shared);
	if (ok)
		ok = schedule13_handshake(
			     server->crypto, HASH, &server->early, tls_secret_bytes(&shared), &server->handshake) &&
		     schedule13_master(server->crypto, HASH, &server->handshake, &server->master);
	tls_secret_wipe(&shared);
	return ok;
}

static void extensions(struct own_server *server, struct writer *w)
{
	size_t all = writer_open(w, 2);
	writer_u16(w, EXT_SUPPORTED_VERSIONS);
	writer_u16(w, 2);
	writer_u16(w, TLS_VERSION_13);
	writer_u16(w, EXT_KEY_SHARE);
	size_t share = writer_open(w, 2);
	writer_u16(w, GROUP_X25519);
	writer_vec16(w, bytes_of(server->share.public, VISIBILITY_KEY));
	writer_close(w, share, 2);
	if (server->resumed) {
		writer_u16(w, EXT_PRE_SHARED_KEY);
		writer_u16(w, 2);
		writer_u16(w, 0);
	}
	if (server->reader) {
		writer_u16(w, VISIBILITY_EXTENSION);
		size_t data = writer_open(w, 2);
		visibility_wrap(w, server->reader, &server->early, &server->handshake);
		writer_close(w, data, 2);
	}
	writer_close(w, all, 2);
}

static bool send_hello(struct own_server *server, const struct client_hello *hello, struct buffer *out)
{
	uint8_t room[MESSAGE_MAX], random[HELLO_RANDOM];
	struct writer w = writer_over(room, sizeof(room));
	struct bytes body;
	if (RAND_bytes(random, sizeof(random)) != 1)
		return false;
	writer_u16(&w, TLS_VERSION_12);
	writer_bytes(&w, bytes_of(random, sizeof(random)));
	writer_vec8(&w, hello->session_id);
	writer_u16(&w, SUITE_VALUE);
	writer_u8(&w, 0);
	extensions(server, &w);
	return writer_done(&w, &body) && add_message(server, HANDSHAKE_SERVER_HELLO, body) &&
	       send_flight(server, RECORD_HANDSHAKE, out) &&
	       derive(server, &server->handshake, SCHEDULE13_C_HS_TRAFFIC, &server->client_handshake) &&
	       derive(server, &server->handshake, SCHEDULE13_S_HS_TRAFFIC, &server->server_handshake) &&
	       change_keys(server, &server->out, &server->server_handshake) &&
	       change_keys(server, &server->in, &server->client_handshake);
}

static bool sign(EVP_PKEY *key, struct bytes content, uint8_t *out, size_t *len)
{
	EVP_MD_CTX *ctx = EVP_MD_CTX_new();
	EVP_PKEY_CTX *how = NULL;
	bool ok = ctx && EVP_DigestSignInit(ctx, &how, EVP_sha256(), NULL, key) == 1 &&
	          EVP_PKEY_CTX_set_rsa_padding(how, RSA_PKCS1_PSS_PADDING) == 1 &&
	          EVP_PKEY_CTX_set_rsa_pss_saltlen(how, RSA_PSS_SALTLEN_DIGEST) == 1 &&
	          EVP_DigestSign(ctx, out, len, content.data, content.len) == 1;
	EVP_MD_CTX_free(ctx);
	return ok;
}

static bool add_certificate(struct own_server *server)
{
	uint8_t room[MESSAGE_MAX], content[CERTIFICATE_VERIFY_CONTENT], signature[512];
	struct writer w = writer_over(room, sizeof(room)), to_sign = writer_over(content, sizeof(content));
	size_t signature_len = sizeof(signature);
	struct tls_secret hash;
	struct bytes body, octets;
	unsigned char *der = NULL;
	int len = i2d_X509(server->cert, &der);
	writer_u8(&w, 0);
	size_t list = writer_open(&w, 3), cert = writer_open(&w, 3);
	writer_bytes(&w, bytes_of(der, len > 0 ? (size_t)len : 0));
	writer_close(&w, cert, 3);
	writer_u16(&w, 0);
	writer_close(&w, list, 3);
	OPENSSL_free(der);
	if (len <= 0 || !writer_done(&w, &body) || !add_message(server, HANDSHAKE_CERTIFICATE, body) ||
		!hash_now(server, &hash))
		return false;
	certificate_verify_content(&to_sign, true, tls_secret_bytes(&hash));
	if (!writer_done(&to_sign, &octets) || !sign(server->key, octets, signature, &signature_len))
		return false;
	w = writer_over(room, sizeof(room));
	writer_u16(&w, RSA_PSS_RSAE_SHA256);
	writer_vec16(&w, bytes_of(signature, signature_len));
	return writer_done(&w, &body) && add_message(server, HANDSHAKE_CERTIFICATE_VERIFY, body);
}

static bool add_finished(struct own_server *server)
{
	struct tls_secret hash, verify;
	return hash_now(server, &hash) &&
	       schedule13_finished(server->crypto, HASH, &server->server_handshake, tls_secret_bytes(&hash), &verify) &&
	       add_message(server, HANDSHAKE_FINISHED, tls_secret_bytes(&verify));
}

static bool send_rest(struct own_server *server, struct buffer *out)
{
	static const uint8_t none[2] = {0};
	return add_message(server, HANDSHAKE_ENCRYPTED_EXTENSIONS, bytes_of(none, sizeof(none))) &&
	       (server->resumed || add_certificate(server)) && add_finished(server) &&
	       send_flight(server, RECORD_HANDSHAKE, out) &&
	       derive(server, &server->master, SCHEDULE13_C_AP_TRAFFIC, &server->client_traffic) &&
	       derive(server, &server->master, SCHEDULE13_S_AP_TRAFFIC, &server->server_traffic) &&
	       change_keys(server, &server->out, &server->server_traffic);
}

bool own_server_answer(struct own_server *server, struct bytes octets, struct buffer *out)
{
	struct record record;
	struct handshake message;
	struct client_hello hello;
	server->flight.cap = VISIBILITY_STREAM;
	transcript_init(&server->transcript, TRANSCRIPT_CAP);
	if (!next_record(&octets, &record) ||
		handshake_read(&record.fragment, record.fragment.len, &message) != HANDSHAKE_OK ||
		client_hello_parse(message.body, &hello) != HELLO_OK)
		return fail(server, "the ClientHello cannot be read");
	if (server->reader && !client_hello_has(&hello, VISIBILITY_EXTENSION))
		return fail(server, "the client does not offer to be read, and is turned away");
	if (transcript_choose(&server->transcript, HASH) != TRANSCRIPT_OK ||
		!schedule13_early(server->crypto, HASH, tls_secret_bytes(&server->psk), &server->early))
		return fail(server, "no memory");
	server->resumed = takes_psk(server, &hello, message.whole);
	if (!server->resumed && !server->cert)
		return fail(server, "the client does not know the secret, and there is no certificate to show");
	if (!server->resumed && !schedule13_early(server->crypto, HASH, BYTES_NONE, &server->early))
		return fail(server, "no memory");
	if (transcript_add(&server->transcript, message.whole) != TRANSCRIPT_OK || !agree(server, &hello))
		return fail(server, "no key can be agreed on");
	return (send_hello(server, &hello, out) && send_rest(server, out)) || fail(server, "the flight cannot be made");
}

/* The resumption master secret goes into the PSK at once; nothing else is done with it. */
static bool send_ticket(struct own_server *server, struct buffer *out)
{
	static const uint8_t nonce[1] = {0};
	uint8_t room[128], ticket[32];
	struct writer w = writer_over(room, sizeof(room));
	struct tls_secret resumption;
	struct bytes body;
	if (RAND_bytes(ticket, sizeof(ticket)) != 1 ||
		!derive(server, &server->master, SCHEDULE13_RES_MASTER, &resumption) ||
		!schedule13_ticket_psk(server->crypto, HASH, &resumption, bytes_of(nonce, sizeof(nonce)), &server->psk))
		return false;
	tls_secret_wipe(&resumption);
	writer_u32(&w, 3600);
	writer_u32(&w, 0);
	writer_vec8(&w, bytes_of(nonce, sizeof(nonce)));
	writer_vec16(&w, bytes_of(ticket, sizeof(ticket)));
	writer_u16(&w, 0);
	return writer_done(&w, &body) && add_message(server, HANDSHAKE_NEW_SESSION_TICKET, body) &&
	       send_flight(server, RECORD_HANDSHAKE, out);
}

bool own_server_finish(struct own_server *server, struct bytes octets, struct buffer *out)
{
	uint8_t plain[MESSAGE_MAX];
	struct record record;
	struct opened opened;
	struct handshake message;
	struct tls_secret hash, verify;
	if (!next_record(&octets, &record) || record.fragment.len > sizeof(plain) ||
		protect_open(server->in, &record, plain, sizeof(plain), &opened) != PROTECT_OK ||
		opened.type != RECORD_HANDSHAKE)
		return fail(server, "the client's Finished does not open");
	if (!hash_now(server, &hash) ||
		!schedule13_finished(server->crypto, HASH, &server->client_handshake, tls_secret_bytes(&hash), &verify))
		return fail(server, "no memory");
	if (handshake_read(&opened.plaintext, MESSAGE_MAX, &message) != HANDSHAKE_OK ||
		message.type != HANDSHAKE_FINISHED || !bytes_equal(message.body, tls_secret_bytes(&verify)))
		return fail(server, "the client's Finished is wrong");
	return (transcript_add(&server->transcript, message.whole) == TRANSCRIPT_OK &&
		       change_keys(server, &server->in, &server->client_traffic) && send_ticket(server, out)) ||
	       fail(server, "no ticket can be made");
}

bool own_server_says(struct own_server *server, const char *text, struct buffer *out)
{
	return buffer_add(&server->flight, bytes_str(text)) && send_flight(server, RECORD_APPLICATION_DATA, out);
}

bool own_server_reads(struct own_server *server, struct bytes octets, const char *text)
{
	uint8_t plain[MESSAGE_MAX];
	struct record record;
	struct opened opened;
	return next_record(&octets, &record) && record.fragment.len <= sizeof(plain) &&
	       protect_open(server->in, &record, plain, sizeof(plain), &opened) == PROTECT_OK &&
	       bytes_equal(opened.plaintext, bytes_str(text));
}

void own_server_clear(struct own_server *server)
{
	transcript_free(&server->transcript);
	protect_free(server->out);
	protect_free(server->in);
	buffer_clear(&server->flight);
	OPENSSL_cleanse(server, sizeof(*server));
}
