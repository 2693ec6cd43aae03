#include "support.h"

#include <openssl/evp.h>
#include <openssl/x509v3.h>
#include <stdio.h>
#include <stdlib.h>

void put_hello(struct writer *w, const struct hello_parts *parts)
{
	struct bytes suites = parts->suites.len ? parts->suites : RAW(0x13, 0x01);
	struct bytes compression = parts->compression.len ? parts->compression : RAW(0);
	writer_u16(w, parts->version ? parts->version : 0x0303);
	for (int i = 0; i < 32; i++)
		writer_u8(w, 0x33);
	writer_vec8(w, parts->session_id);
	writer_vec16(w, suites);
	writer_vec8(w, compression);
	if (!parts->bare)
		writer_vec16(w, parts->extensions);
}

void put_extension(struct writer *w, uint16_t type, struct bytes data)
{
	writer_u16(w, type);
	writer_vec16(w, data);
}

void put_message(struct writer *w, uint8_t type, struct bytes body)
{
	writer_u8(w, type);
	writer_u24(w, (uint32_t)body.len);
	writer_bytes(w, body);
}

void put_records(struct writer *w, uint8_t type, struct bytes content, size_t most)
{
	while (content.len > 0) {
		struct bytes part;
		size_t n = content.len < most ? content.len : most;
		if (!bytes_take(&content, n, &part))
			abort();
		writer_u8(w, type);
		writer_u16(w, 0x0301);
		writer_vec16(w, part);
	}
}

size_t openssl_hello(void (*tune)(SSL *client), uint8_t *out, size_t cap)
{
	SSL_CTX *ctx = SSL_CTX_new(TLS_client_method());
	SSL *ssl = SSL_new(ctx);
	BIO *in = BIO_new(BIO_s_mem()), *sent = BIO_new(BIO_s_mem());
	SSL_set_bio(ssl, in, sent);
	if (tune)
		tune(ssl);
	SSL_connect(ssl);
	int n = BIO_read(sent, out, (int)cap);
	SSL_free(ssl);
	SSL_CTX_free(ctx);
	return n > 0 ? (size_t)n : 0;
}

struct party {
	struct handshake_log *log;
	bool server;
};

static void keep_message(int sending, int version, int content, const void *data, size_t len, SSL *ssl, void *arg)
{
	const struct party *party = arg;
	struct handshake_log *log = party->log;
	(void)version;
	(void)ssl;
	if (!sending || content != SSL3_RT_HANDSHAKE || log->count == 32 || len > sizeof(log->messages[0].data))
		return;
	struct message *message = &log->messages[log->count++];
	message->from_server = party->server;
	message->len = len;
	memcpy(message->data, data, len);
}

static X509 *make_certificate(EVP_PKEY *key)
{
	X509 *cert = X509_new();
	X509_set_version(cert, X509_VERSION_3);
	ASN1_INTEGER_set(X509_get_serialNumber(cert), 1);
	X509_gmtime_adj(X509_getm_notBefore(cert), -60);
	X509_gmtime_adj(X509_getm_notAfter(cert), 3600);
	X509_NAME *name = X509_get_subject_name(cert);
	X509_NAME_add_entry_by_txt(name, "CN", MBSTRING_ASC, (const unsigned char *)"server.test", -1, -1, 0);
	X509_set_issuer_name(cert, name);
	X509_set_pubkey(cert, key);
	X509_sign(cert, key, EVP_sha256());
	return cert;
}

static bool finish_handshake(SSL *client, SSL *server)
{
	for (int i = 0; i < 20; i++) {
		int a = SSL_do_handshake(client), b = SSL_do_handshake(server);
		if (a == 1 && b == 1)
			return true;
	}
	return false;
}

bool openssl_handshake(uint16_t version, void (*tune)(SSL *client, SSL *server), struct handshake_log *log)
{
	EVP_PKEY *key = EVP_EC_gen("P-256");
	X509 *cert = make_certificate(key);
	SSL_CTX *ctx = SSL_CTX_new(TLS_method());
	SSL_CTX_use_certificate(ctx, cert);
	SSL_CTX_use_PrivateKey(ctx, key);
	SSL_CTX_set_min_proto_version(ctx, version);
	SSL_CTX_set_max_proto_version(ctx, version);
	SSL *client = SSL_new(ctx), *server = SSL_new(ctx);
	SSL_set_connect_state(client);
	SSL_set_accept_state(server);
	BIO *a, *b;
	BIO_new_bio_pair(&a, 65536, &b, 65536);
	SSL_set_bio(client, a, a);
	SSL_set_bio(server, b, b);
	struct party parties[2] = {{log, false}, {log, true}};
	SSL_set_msg_callback(client, keep_message);
	SSL_set_msg_callback_arg(client, &parties[0]);
	SSL_set_msg_callback(server, keep_message);
	SSL_set_msg_callback_arg(server, &parties[1]);
	log->count = 0;
	if (tune)
		tune(client, server);
	bool ok = finish_handshake(client, server);
	SSL_free(client);
	SSL_free(server);
	SSL_CTX_free(ctx);
	X509_free(cert);
	EVP_PKEY_free(key);
	return ok;
}

struct bytes log_message(const struct handshake_log *log, bool from_server, uint8_t type)
{
	for (size_t i = 0; i < log->count; i++) {
		const struct message *message = &log->messages[i];
		if (message->from_server == from_server && message->len > 4 && message->data[0] == type)
			return bytes_of(message->data, message->len);
	}
	return BYTES_NONE;
}
