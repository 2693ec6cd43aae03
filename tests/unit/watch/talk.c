#include "talk.h"

#include <openssl/pem.h>
#include <openssl/rand.h>
#include <openssl/x509.h>
#include <stdlib.h>

#define PLAIN_MAX ((size_t)16 * 1024 * 1024)

const uint8_t talk_psk[16] = "sixteen octets!!";

#define MUST(condition)                                                                                                \
	do {                                                                                                           \
		if (!(condition))                                                                                      \
			abort();                                                                                       \
	} while (0)

static X509 *certify(EVP_PKEY *key)
{
	X509 *cert = X509_new();
	MUST(cert && X509_set_version(cert, 2) && ASN1_INTEGER_set(X509_get_serialNumber(cert), 7) &&
		X509_gmtime_adj(X509_getm_notBefore(cert), -3600) && X509_gmtime_adj(X509_getm_notAfter(cert), 86400) &&
		X509_set_pubkey(cert, key));
	X509_NAME *name = X509_get_subject_name(cert);
	MUST(X509_NAME_add_entry_by_txt(name, "CN", MBSTRING_ASC, (const unsigned char *)"talk.test", -1, -1, 0) &&
		X509_set_issuer_name(cert, name) && X509_sign(cert, key, EVP_sha256()));
	return cert;
}

void talk_keys_make(struct talk_keys *keys)
{
	keys->rsa = EVP_RSA_gen(2048);
	keys->ec = EVP_EC_gen("P-256");
	MUST(keys->rsa && keys->ec);
	keys->rsa_cert = certify(keys->rsa);
	keys->ec_cert = certify(keys->ec);
}

void talk_keys_free(struct talk_keys *keys)
{
	EVP_PKEY_free(keys->rsa);
	EVP_PKEY_free(keys->ec);
	X509_free(keys->rsa_cert);
	X509_free(keys->ec_cert);
}

void talk_keys_write_rsa(const struct talk_keys *keys, const char *path)
{
	FILE *file = fopen(path, "w");
	MUST(file && PEM_write_PrivateKey(file, keys->rsa, NULL, NULL, 0, NULL, NULL) && fclose(file) == 0);
}

static struct talk *talk_of(const SSL *ssl)
{
	return SSL_get_app_data(ssl);
}

static void log_line(const SSL *ssl, const char *line)
{
	struct talk *talk = talk_of(ssl);
	size_t len = strlen(line);
	/* Both sides log the same; the client's suffices. */
	if (!talk || SSL_is_server(ssl))
		return;
	char *longer = realloc(talk->log, talk->log_len + len + 2);
	MUST(longer);
	talk->log = longer;
	memcpy(talk->log + talk->log_len, line, len);
	talk->log[talk->log_len + len] = '\n';
	talk->log_len += len + 1;
	talk->log[talk->log_len] = 0;
}

static unsigned psk_client(
	SSL *ssl, const char *hint, char *identity, unsigned max_identity, unsigned char *psk, unsigned max_psk)
{
	(void)ssl;
	(void)hint;
	MUST(max_identity > 4 && max_psk >= sizeof(talk_psk));
	memcpy(identity, "user", 5);
	memcpy(psk, talk_psk, sizeof(talk_psk));
	return sizeof(talk_psk);
}

static unsigned psk_server(SSL *ssl, const char *identity, unsigned char *psk, unsigned max_psk)
{
	(void)ssl;
	(void)identity;
	MUST(max_psk >= sizeof(talk_psk));
	memcpy(psk, talk_psk, sizeof(talk_psk));
	return sizeof(talk_psk);
}

/* What stands for an external PSK in TLS 1.3. */
static SSL_SESSION *psk_session(SSL *ssl)
{
	const struct talk_setup *setup = talk_of(ssl)->setup;
	bool longer = setup->suite && strstr(setup->suite, "SHA384");
	const unsigned char value[2] = {0x13, longer ? 0x02 : 0x01};
	SSL_SESSION *session = SSL_SESSION_new();
	MUST(session && SSL_SESSION_set1_master_key(session, talk_psk, sizeof(talk_psk)) &&
		SSL_SESSION_set_cipher(session, SSL_CIPHER_find(ssl, value)) &&
		SSL_SESSION_set_protocol_version(session, TLS1_3_VERSION));
	if (setup->early)
		MUST(SSL_SESSION_set_max_early_data(session, 1 << 20));
	return session;
}

static int psk_offer(SSL *ssl, const EVP_MD *md, const unsigned char **id, size_t *id_len, SSL_SESSION **session)
{
	(void)md;
	*id = (const unsigned char *)"user";
	*id_len = 4;
	*session = psk_session(ssl);
	return 1;
}

static int psk_find(SSL *ssl, const unsigned char *identity, size_t len, SSL_SESSION **session)
{
	*session = len == 4 && memcmp(identity, "user", 4) == 0 ? psk_session(ssl) : NULL;
	return 1;
}

static int pick_alpn(SSL *ssl, const unsigned char **out, unsigned char *out_len, const unsigned char *in,
	unsigned in_len, void *arg)
{
	(void)ssl;
	(void)in_len;
	(void)arg;
	*out = in + 1;
	*out_len = in[0];
	return SSL_TLSEXT_ERR_OK;
}

static bool set_up(SSL_CTX *ctx, const struct talk_setup *setup)
{
	SSL_CTX_set_security_level(ctx, 0);
	SSL_CTX_set_keylog_callback(ctx, log_line);
	SSL_CTX_set_options(ctx, setup->options | SSL_OP_ALLOW_CLIENT_RENEGOTIATION);
	MUST(SSL_CTX_set_min_proto_version(ctx, setup->version) && SSL_CTX_set_max_proto_version(ctx, setup->version));
	if (!setup->suite)
		return true;
	return setup->version == TLS1_3_VERSION ? SSL_CTX_set_ciphersuites(ctx, setup->suite)
	                                        : SSL_CTX_set_cipher_list(ctx, setup->suite);
}

static SSL_CTX *new_server(const struct talk_setup *setup)
{
	SSL_CTX *ctx = SSL_CTX_new(TLS_server_method());
	const struct talk_keys *keys = setup->keys;
	MUST(ctx);
	if (!set_up(ctx, setup)) {
		SSL_CTX_free(ctx);
		return NULL;
	}
	MUST(SSL_CTX_use_certificate(ctx, keys->rsa_cert) && SSL_CTX_use_PrivateKey(ctx, keys->rsa) &&
		SSL_CTX_use_certificate(ctx, keys->ec_cert) && SSL_CTX_use_PrivateKey(ctx, keys->ec) &&
		SSL_CTX_set_dh_auto(ctx, 1) && SSL_CTX_set_session_id_context(ctx, (const unsigned char *)"talk", 4));
	if (setup->version == TLS1_2_VERSION)
		SSL_CTX_set_psk_server_callback(ctx, psk_server);
	else if (setup->psk13)
		SSL_CTX_set_psk_find_session_callback(ctx, psk_find);
	SSL_CTX_set_max_early_data(ctx, 1 << 20);
	SSL_CTX_set_recv_max_early_data(ctx, 1 << 20);
	SSL_CTX_set_alpn_select_cb(ctx, pick_alpn, NULL);
	return ctx;
}

static SSL_CTX *new_client(const struct talk_setup *setup)
{
	SSL_CTX *ctx = SSL_CTX_new(TLS_client_method());
	MUST(ctx);
	if (!set_up(ctx, setup)) {
		SSL_CTX_free(ctx);
		return NULL;
	}
	SSL_CTX_set_session_cache_mode(ctx, SSL_SESS_CACHE_CLIENT | SSL_SESS_CACHE_NO_INTERNAL);
	if (setup->version == TLS1_2_VERSION)
		SSL_CTX_set_psk_client_callback(ctx, psk_client);
	else if (setup->psk13)
		SSL_CTX_set_psk_use_session_callback(ctx, psk_offer);
	return ctx;
}

static void note_piece(struct talk *talk, enum flow_direction direction, const uint8_t *octets, size_t len)
{
	if (talk->wire_len + len > talk->wire_room) {
		talk->wire_room = (talk->wire_len + len) * 2;
		talk->wire = realloc(talk->wire, talk->wire_room);
		MUST(talk->wire);
	}
	memcpy(talk->wire + talk->wire_len, octets, len);
	MUST(talk->count < TALK_PIECES);
	talk->pieces[talk->count++] = (struct talk_piece){direction, talk->wire_len, len};
	talk->wire_len += len;
}

/* What one side has to say reaches the other. */
static bool carry(struct talk *talk, enum flow_direction direction)
{
	uint8_t octets[16384];
	bool some = false;
	int n;
	while ((n = BIO_read(talk->out[direction], octets, sizeof(octets))) > 0) {
		note_piece(talk, direction, octets, (size_t)n);
		MUST(BIO_write(talk->in[!direction], octets, n) == n);
		some = true;
	}
	return some;
}

static void drain(struct talk *talk, enum flow_direction direction)
{
	uint8_t octets[16384];
	SSL *reader = talk->side[!direction];
	while (SSL_read(reader, octets, sizeof(octets)) > 0)
		;
}

/* Both sides go on as long as there is something to go on with. */
static void settle(struct talk *talk)
{
	bool some;
	do {
		some = carry(talk, FLOW_UP);
		drain(talk, FLOW_UP);
		some = carry(talk, FLOW_DOWN) || some;
		drain(talk, FLOW_DOWN);
	} while (some);
}

static uint8_t *more_plain(struct talk *talk, enum flow_direction direction, size_t len)
{
	uint8_t *at;
	if (!talk->plain[direction])
		talk->plain[direction] = malloc(PLAIN_MAX);
	MUST(talk->plain[direction] && talk->plain_len[direction] + len <= PLAIN_MAX);
	at = talk->plain[direction] + talk->plain_len[direction];
	MUST(RAND_bytes(at, (int)len));
	talk->plain_len[direction] += len;
	return at;
}

static void early(struct talk *talk, size_t len)
{
	const uint8_t *data = more_plain(talk, FLOW_UP, len);
	uint8_t octets[16384];
	size_t n;
	MUST(SSL_write_early_data(talk->side[0], data, len, &n) && n == len);
	carry(talk, FLOW_UP);
	while (SSL_read_early_data(talk->side[1], octets, sizeof(octets), &n) == SSL_READ_EARLY_DATA_SUCCESS)
		;
	if (talk->setup->refuse_early)
		talk->plain_len[FLOW_UP] = 0;
}

static bool shake(struct talk *talk)
{
	const struct talk_setup *setup = talk->setup;
	if (setup->early)
		early(talk, setup->early);
	for (int turn = 0; turn < 20; turn++) {
		int a = SSL_do_handshake(talk->side[0]);
		carry(talk, FLOW_UP);
		int b = SSL_do_handshake(talk->side[1]);
		carry(talk, FLOW_DOWN);
		if (a == 1 && b == 1) {
			settle(talk);
			return true;
		}
	}
	return false;
}

static bool make_sides(struct talk *talk)
{
	const struct talk_setup *setup = talk->setup;
	for (int i = 0; i < 2; i++) {
		talk->side[i] = SSL_new(i ? talk->server_ctx : talk->client_ctx);
		talk->in[i] = BIO_new(BIO_s_mem());
		talk->out[i] = BIO_new(BIO_s_mem());
		MUST(talk->side[i] && talk->in[i] && talk->out[i]);
		SSL_set_bio(talk->side[i], talk->in[i], talk->out[i]);
		BIO_set_mem_eof_return(talk->in[i], -1);
		BIO_set_mem_eof_return(talk->out[i], -1);
		SSL_set_app_data(talk->side[i], talk);
		if (setup->padding)
			MUST(SSL_set_block_padding(talk->side[i], setup->padding));
		if (setup->fragment)
			MUST(SSL_set_max_send_fragment(talk->side[i], (long)setup->fragment));
	}
	if (setup->client_groups && !SSL_set1_groups_list(talk->side[0], setup->client_groups))
		return false;
	if (setup->server_groups && !SSL_set1_groups_list(talk->side[1], setup->server_groups))
		return false;
	if (setup->refuse_early)
		SSL_set_max_early_data(talk->side[1], 0);
	if (setup->alpn) {
		uint8_t list[64];
		size_t len = strlen(setup->alpn);
		list[0] = (uint8_t)len;
		memcpy(list + 1, setup->alpn, len);
		MUST(SSL_set_alpn_protos(talk->side[0], list, (unsigned)len + 1) == 0);
	}
	if (setup->session)
		MUST(SSL_set_session(talk->side[0], setup->session));
	MUST(SSL_set_tlsext_host_name(talk->side[0], "talk.test"));
	SSL_set_connect_state(talk->side[0]);
	SSL_set_accept_state(talk->side[1]);
	return true;
}

struct talk *talk_new(const struct talk_setup *setup)
{
	struct talk *talk = calloc(1, sizeof(*talk));
	MUST(talk);
	talk->setup = setup;
	talk->client_ctx = new_client(setup);
	talk->server_ctx = setup->server ? setup->server : new_server(setup);
	if (setup->server)
		SSL_CTX_up_ref(setup->server);
	if (!talk->client_ctx || !talk->server_ctx || !make_sides(talk) || !shake(talk)) {
		talk_free(talk);
		return NULL;
	}
	(void)SSL_get_client_random(talk->side[0], talk->client_random, sizeof(talk->client_random));
	return talk;
}

void talk_free(struct talk *talk)
{
	if (!talk)
		return;
	for (int i = 0; i < 2; i++) {
		/* Else the session would count as broken, and not be resumed. */
		if (talk->side[i])
			SSL_set_shutdown(talk->side[i], SSL_SENT_SHUTDOWN | SSL_RECEIVED_SHUTDOWN);
		SSL_free(talk->side[i]);
		free(talk->plain[i]);
	}
	SSL_CTX_free(talk->client_ctx);
	SSL_CTX_free(talk->server_ctx);
	free(talk->wire);
	free(talk->log);
	free(talk);
}

void talk_send(struct talk *talk, enum flow_direction direction, size_t len)
{
	const uint8_t *data = more_plain(talk, direction, len);
	MUST(SSL_write(talk->side[direction], data, (int)len) == (int)len);
	settle(talk);
}

void talk_update(struct talk *talk, enum flow_direction direction, bool both)
{
	MUST(SSL_key_update(talk->side[direction], both ? SSL_KEY_UPDATE_REQUESTED : SSL_KEY_UPDATE_NOT_REQUESTED));
	MUST(SSL_do_handshake(talk->side[direction]) == 1);
	settle(talk);
}

void talk_renegotiate(struct talk *talk)
{
	MUST(SSL_renegotiate(talk->side[0]));
	for (int turn = 0; turn < 20; turn++) {
		(void)SSL_do_handshake(talk->side[0]);
		settle(talk);
		(void)SSL_do_handshake(talk->side[1]);
		settle(talk);
		if (!SSL_renegotiate_pending(talk->side[0]) && SSL_is_init_finished(talk->side[0]) &&
			SSL_is_init_finished(talk->side[1]))
			return;
	}
	MUST(false);
}

void talk_shut(struct talk *talk, enum flow_direction direction)
{
	MUST(SSL_shutdown(talk->side[direction]) >= 0);
	settle(talk);
}

SSL_SESSION *talk_session(struct talk *talk)
{
	SSL_SESSION *session = SSL_get1_session(talk->side[0]);
	MUST(session);
	return session;
}
