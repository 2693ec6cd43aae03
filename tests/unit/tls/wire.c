#include "wire.h"

#include <openssl/dsa.h>
#include <openssl/evp.h>
#include <openssl/rand.h>
#include <openssl/x509v3.h>
#include <stdlib.h>

static X509 *certify(EVP_PKEY *key)
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

static EVP_PKEY *make_dsa(void)
{
	EVP_PKEY *params = NULL, *key = NULL;
	EVP_PKEY_CTX *ctx = EVP_PKEY_CTX_new_from_name(NULL, "DSA", NULL);
	EVP_PKEY_paramgen_init(ctx);
	EVP_PKEY_CTX_set_dsa_paramgen_bits(ctx, 1024);
	EVP_PKEY_paramgen(ctx, &params);
	EVP_PKEY_CTX_free(ctx);
	ctx = EVP_PKEY_CTX_new_from_pkey(NULL, params, NULL);
	EVP_PKEY_keygen_init(ctx);
	EVP_PKEY_keygen(ctx, &key);
	EVP_PKEY_CTX_free(ctx);
	EVP_PKEY_free(params);
	return key;
}

void wire_keys_make(struct wire_keys *keys)
{
	keys->rsa = EVP_RSA_gen(2048);
	keys->ecdsa = EVP_EC_gen("P-256");
	keys->dsa = make_dsa();
	keys->rsa_cert = certify(keys->rsa);
	keys->ecdsa_cert = certify(keys->ecdsa);
	keys->dsa_cert = certify(keys->dsa);
}

void wire_keys_free(struct wire_keys *keys)
{
	EVP_PKEY_free(keys->rsa);
	EVP_PKEY_free(keys->ecdsa);
	EVP_PKEY_free(keys->dsa);
	X509_free(keys->rsa_cert);
	X509_free(keys->ecdsa_cert);
	X509_free(keys->dsa_cert);
}

static bool read_hex(const char *text, struct tls_secret *out)
{
	out->len = 0;
	for (; text[0] && text[1] && out->len < TLS_SECRET_MAX; text += 2) {
		const char pair[3] = {text[0], text[1], 0};
		out->octets[out->len++] = (uint8_t)strtoul(pair, NULL, 16);
	}
	return *text == 0;
}

static void keep_secret(const SSL *ssl, const char *line)
{
	struct wire *wire = SSL_CTX_get_app_data(SSL_get_SSL_CTX(ssl));
	struct wire_secrets *to = &wire->secrets;
	const struct {
		const char *label;
		struct tls_secret *secret;
	} labels[] = {
		{"CLIENT_RANDOM ", &to->master},
		{"CLIENT_HANDSHAKE_TRAFFIC_SECRET ", &to->handshake[0]},
		{"SERVER_HANDSHAKE_TRAFFIC_SECRET ", &to->handshake[1]},
		{"CLIENT_TRAFFIC_SECRET_0 ", &to->application[0]},
		{"SERVER_TRAFFIC_SECRET_0 ", &to->application[1]},
		{"EXPORTER_SECRET ", &to->exporter},
	};
	for (size_t i = 0; i < sizeof(labels) / sizeof(labels[0]); i++) {
		size_t n = strlen(labels[i].label);
		if (strncmp(line, labels[i].label, n) == 0 && !read_hex(line + n + 64 + 1, labels[i].secret))
			abort();
	}
}

const uint8_t wire_psk[16] = {1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16};

static unsigned psk_of_client(
	SSL *ssl, const char *hint, char *identity, unsigned max_identity, unsigned char *psk, unsigned max_psk)
{
	(void)ssl;
	(void)hint;
	if (max_identity < 5 || max_psk < 16)
		return 0;
	memcpy(identity, "user", 5);
	memcpy(psk, wire_psk, sizeof(wire_psk));
	return 16;
}

static unsigned psk_of_server(SSL *ssl, const char *identity, unsigned char *psk, unsigned max_psk)
{
	(void)ssl;
	(void)identity;
	if (max_psk < 16)
		return 0;
	memcpy(psk, wire_psk, sizeof(wire_psk));
	return 16;
}

/* One context for both ends: what only one of them uses does not disturb the other. */
static SSL_CTX *make_context(const struct wire_keys *keys, const struct wire_case *of, struct wire *wire)
{
	SSL_CTX *ctx = SSL_CTX_new(TLS_method());
	SSL_CTX_set_app_data(ctx, wire);
	SSL_CTX_set_security_level(ctx, 0);
	SSL_CTX_set_min_proto_version(ctx, of->version);
	SSL_CTX_set_max_proto_version(ctx, of->version);
	SSL_CTX_set_keylog_callback(ctx, keep_secret);
	SSL_CTX_use_certificate(ctx, keys->rsa_cert);
	SSL_CTX_use_PrivateKey(ctx, keys->rsa);
	SSL_CTX_use_certificate(ctx, keys->ecdsa_cert);
	SSL_CTX_use_PrivateKey(ctx, keys->ecdsa);
	SSL_CTX_use_certificate(ctx, keys->dsa_cert);
	SSL_CTX_use_PrivateKey(ctx, keys->dsa);
	/* Not constant, for the macros around them cast that away. */
	char schemes[] = "RSA+SHA256:ECDSA+SHA256:DSA+SHA256:RSA-PSS+SHA256";
	SSL_CTX_set1_sigalgs_list(ctx, schemes);
	if (of->no_extended_master_secret)
		SSL_CTX_set_options(ctx, SSL_OP_NO_EXTENDED_MASTER_SECRET);
	if (of->no_encrypt_then_mac)
		SSL_CTX_set_options(ctx, SSL_OP_NO_ENCRYPT_THEN_MAC);
	if (of->padding)
		SSL_CTX_set_block_padding(ctx, of->padding);
	if (of->version == TLS1_2_VERSION) {
		/* Groups of 1024 bits whatever the suite: larger ones only take longer. */
		SSL_CTX_set_dh_auto(ctx, 2);
		SSL_CTX_set_psk_client_callback(ctx, psk_of_client);
		SSL_CTX_set_psk_server_callback(ctx, psk_of_server);
		SSL_CTX_use_psk_identity_hint(ctx, "hint");
		SSL_CTX_set_cipher_list(ctx, of->suite);
	} else {
		SSL_CTX_set_ciphersuites(ctx, of->suite);
	}
	return ctx;
}

/* Moves what one end has written to the other, and keeps it. */
static void carry(SSL *from, SSL *to, struct wire_flow *flow)
{
	uint8_t octets[16384];
	int n;
	while ((n = BIO_read(SSL_get_wbio(from), octets, sizeof(octets))) > 0) {
		if (flow->sent_len + (size_t)n > sizeof(flow->sent))
			abort();
		memcpy(flow->sent + flow->sent_len, octets, (size_t)n);
		flow->sent_len += (size_t)n;
		BIO_write(SSL_get_rbio(to), octets, n);
	}
}

static bool shake_hands(SSL *client, SSL *server, struct wire *out)
{
	for (int i = 0; i < 10; i++) {
		int a = SSL_do_handshake(client);
		carry(client, server, &out->flows[0]);
		int b = SSL_do_handshake(server);
		carry(server, client, &out->flows[1]);
		if (a == 1 && b == 1)
			return true;
	}
	return false;
}

/* Sends `len` octets; the other end has to read them. */
static bool send_data(SSL *from, SSL *to, struct wire_flow *flow, size_t len)
{
	static uint8_t got[65536];
	uint8_t *data = flow->data + flow->data_len;
	size_t done = 0;
	if (len > sizeof(got) || flow->data_len + len > sizeof(flow->data))
		abort();
	RAND_bytes(data, (int)len);
	flow->data_len += len;
	if (SSL_write(from, data, (int)len) != (int)len)
		return false;
	carry(from, to, flow);
	int n;
	while ((n = SSL_read(to, got + done, (int)(sizeof(got) - done))) > 0)
		done += (size_t)n;
	return done == len && memcmp(got, data, len) == 0;
}

static bool exchange(SSL *client, SSL *server, struct wire *out)
{
	static const size_t sizes[] = {1, 15, 16, 17, 300, 16384, 40000};
	for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
		if (!send_data(client, server, &out->flows[0], sizes[i]) ||
			!send_data(server, client, &out->flows[1], sizes[i] + 3))
			return false;
	}
	return true;
}

static bool talk(SSL *client, SSL *server, const struct wire_case *of, struct wire *out)
{
	bool ok = exchange(client, server, out);
	for (int i = 0; ok && of->key_update && i < 2; i++) {
		ok = SSL_key_update(i ? server : client, SSL_KEY_UPDATE_REQUESTED) == 1 &&
		     exchange(client, server, out);
	}
	SSL_shutdown(client);
	carry(client, server, &out->flows[0]);
	SSL_shutdown(server);
	carry(server, client, &out->flows[1]);
	return ok;
}

bool wire_run(const struct wire_keys *keys, const struct wire_case *of, struct wire *out)
{
	memset(out, 0, sizeof(*out));
	SSL_CTX *ctx = make_context(keys, of, out);
	SSL *client = SSL_new(ctx), *server = SSL_new(ctx);
	SSL_set_connect_state(client);
	SSL_set_accept_state(server);
	SSL_set_bio(client, BIO_new(BIO_s_mem()), BIO_new(BIO_s_mem()));
	SSL_set_bio(server, BIO_new(BIO_s_mem()), BIO_new(BIO_s_mem()));
	if (of->retry) {
		char offered[] = "X25519:P-256", wanted[] = "P-256";
		SSL_set1_groups_list(client, offered);
		SSL_set1_groups_list(server, wanted);
	}
	bool ok = shake_hands(client, server, out);
	out->extended_master_secret = ok && SSL_get_extms_support(client) == 1;
	ok = ok && SSL_export_keying_material(client, out->exported, sizeof(out->exported), "EXPORTER-test", 13,
			   (const unsigned char *)"abc", 3, 1) == 1;
	ok = ok && talk(client, server, of, out);
	SSL_free(client);
	SSL_free(server);
	SSL_CTX_free(ctx);
	return ok;
}
