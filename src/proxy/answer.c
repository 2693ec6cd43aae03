#include "proxy/answer.h"

#include "accord/proxy_leg.h"
#include "proxy/conn.h"
#include "proxy/opening.h"
#include "proxy/report.h"
#include "proxy/worker.h"

#include <openssl/core_names.h>
#include <openssl/evp.h>
#include <openssl/rand.h>
#include <openssl/sha.h>
#include <openssl/ssl.h>
#include <stdlib.h>

/* libssl's own list has ffdhe8192 in it: what costs a client nothing to ask for costs us a quarter of a second. */
#define GROUPS       "X25519:P-256:X448:P-384:P-521:ffdhe2048:ffdhe3072"
#define GROUPS_PQ    "X25519MLKEM768:" GROUPS
#define SUITES_TLS12 "ECDHE+AESGCM:ECDHE+CHACHA20:ECDHE+AESCCM:!aNULL"
/* Where a rule that names the host allows RSA key exchange (allow: tls12-rsa), to clients as to servers. */
#define SUITES_RSA SUITES_TLS12 ":AES256-GCM-SHA384:AES128-GCM-SHA256"

struct answer {
	struct worker *worker;
	SSL_CTX *ctx;
	EVP_CIPHER *cipher; /* of tickets; fetched once, since a fetch costs more than the encryption */
};

static struct conn *conn_of(const SSL *ssl)
{
	struct leg *leg = SSL_get_app_data(ssl);
	return (struct conn *)(void *)((char *)leg - offsetof(struct conn, leg1));
}

/* The protocol of leg 2, or none: what the client offers was asked of the server already. */
static int choose_alpn(
	SSL *ssl, const unsigned char **out, unsigned char *len, const unsigned char *in, unsigned in_len, void *unused)
{
	(void)in;
	(void)in_len;
	(void)unused;
	const unsigned char *chosen = NULL;
	unsigned chosen_len = 0;
	const struct conn *conn = conn_of(ssl);
	/* Without leg 2 there is only our own answer, which is HTTP/1.1 (local_explain.c). */
	if (!conn->leg2.ssl) {
		*out = (const unsigned char *)"http/1.1";
		*len = 8;
		return SSL_TLSEXT_ERR_OK;
	}
	SSL_get0_alpn_selected(conn->leg2.ssl, &chosen, &chosen_len);
	if (chosen_len == 0)
		return SSL_TLSEXT_ERR_NOACK;
	*out = chosen;
	*len = (unsigned char)chosen_len;
	return SSL_TLSEXT_ERR_OK;
}

/*
 * A ticket is good for the name, the place, the rules and the very server certificate it was issued under: under any
 * other the client must see the leaf again.
 */
static bool make_binding(struct conn *conn)
{
	struct opening *o = conn->opening;
	uint8_t leaf[SHA256_DIGEST_LENGTH] = {0};
	X509 *cert = opening_server(conn);
	if (!cert || X509_digest(cert, EVP_sha256(), leaf, NULL) != 1)
		return false;
	struct writer w = writer_over(conn->worker->scratch, WORKER_SCRATCH);
	writer_vec16(&w, bytes_str(o->name.text));
	writer_bytes(&w, bytes_of(conn->origin.ip, sizeof(conn->origin.ip)));
	writer_u16(&w, conn->origin.port);
	writer_bytes(&w, bytes_of(policy_digest(o->policy), POLICY_DIGEST));
	writer_bytes(&w, bytes_of(leaf, sizeof(leaf)));
	/* A fault that came later (expiry, revocation) must be seen, where a rule has it mirrored. */
	writer_u64(&w, o->verified.faults);
	SHA256(w.data, w.len, o->binding);
	return true;
}

static int ticket_made(SSL *ssl, void *unused)
{
	(void)unused;
	const struct opening *o = conn_of(ssl)->opening;
	return o && SSL_SESSION_set1_ticket_appdata(SSL_get_session(ssl), o->binding, sizeof(o->binding));
}

static SSL_TICKET_RETURN ticket_read(SSL *ssl, SSL_SESSION *session, const unsigned char *name, size_t name_len,
	SSL_TICKET_STATUS status, void *unused)
{
	(void)name;
	(void)name_len;
	(void)unused;
	if (status != SSL_TICKET_SUCCESS && status != SSL_TICKET_SUCCESS_RENEW)
		return SSL_TICKET_RETURN_IGNORE_RENEW;
	const struct opening *o = conn_of(ssl)->opening;
	void *data = NULL;
	size_t len = 0;
	bool bound = o && SSL_SESSION_get0_ticket_appdata(session, &data, &len) == 1 &&
	             bytes_equal_secret(bytes_of(data, len), bytes_of(o->binding, sizeof(o->binding)));
	if (!bound)
		return SSL_TICKET_RETURN_IGNORE_RENEW;
	return status == SSL_TICKET_SUCCESS ? SSL_TICKET_RETURN_USE : SSL_TICKET_RETURN_USE_RENEW;
}

static bool set_mac(EVP_MAC_CTX *mac, const struct ticket_key *key)
{
	/* The parameters are read only; OSSL_PARAM has no const form. */
	uint8_t secret[sizeof(key->hmac)];
	char digest[] = "SHA256";
	memcpy(secret, key->hmac, sizeof(secret));
	OSSL_PARAM params[] = {
		OSSL_PARAM_construct_octet_string(OSSL_MAC_PARAM_KEY, secret, sizeof(secret)),
		OSSL_PARAM_construct_utf8_string(OSSL_MAC_PARAM_DIGEST, digest, 0),
		OSSL_PARAM_construct_end(),
	};
	bool ok = EVP_MAC_CTX_set_params(mac, params) == 1;
	OPENSSL_cleanse(secret, sizeof(secret));
	return ok;
}

/* 0 from an opening: no key of ours, a full handshake follows. -1: nothing works. */
static int ticket_key(
	SSL *ssl, unsigned char *name, unsigned char *iv, EVP_CIPHER_CTX *cipher, EVP_MAC_CTX *mac, int sealing)
{
	struct worker *worker = conn_of(ssl)->worker;
	const struct ticket_keys *keys = keeper_client_tickets(worker->keeper);
	const EVP_CIPHER *aes = worker->answer->cipher;
	if (keys->count == 0)
		return sealing ? -1 : 0;
	if (sealing) {
		const struct ticket_key *key = &keys->key[0];
		memcpy(name, key->name, sizeof(key->name));
		if (RAND_bytes(iv, EVP_CIPHER_get_iv_length(aes)) != 1)
			return -1;
		return EVP_EncryptInit_ex(cipher, aes, NULL, key->aes, iv) == 1 && set_mac(mac, key) ? 1 : -1;
	}
	for (size_t i = 0; i < keys->count; i++) {
		const struct ticket_key *key = &keys->key[i];
		if (memcmp(name, key->name, sizeof(key->name)) != 0)
			continue;
		if (EVP_DecryptInit_ex(cipher, aes, NULL, key->aes, iv) != 1 || !set_mac(mac, key))
			return -1;
		return i == 0 ? 1 : 2; /* 2: good, but renew it under the newest key */
	}
	return 0;
}

static void keylog(const SSL *ssl, const char *line)
{
	report_keylog(conn_of(ssl), line);
}

/* What every context of leg 1 has. */
static SSL_CTX *make_plain_ctx(const struct worker *worker)
{
	SSL_CTX *ctx = SSL_CTX_new(TLS_server_method());
	if (!ctx)
		return NULL;
	SSL_CTX_set_options(ctx, SSL_OP_NO_RENEGOTIATION | SSL_OP_NO_COMPRESSION);
	SSL_CTX_set_mode(ctx, SSL_MODE_RELEASE_BUFFERS);
	leg_set_security(ctx);
	SSL_CTX_set_read_ahead(ctx, 1);
	SSL_CTX_set_default_read_buffer_len(ctx, LEG_FLUSH);
	SSL_CTX_set_session_cache_mode(ctx, SSL_SESS_CACHE_OFF);
	SSL_CTX_set_alpn_select_cb(ctx, choose_alpn, NULL);
	if (worker->config->keylog)
		SSL_CTX_set_keylog_callback(ctx, keylog);
	if ((SSL_CTX_set1_groups_list(ctx, GROUPS_PQ) == 1 || SSL_CTX_set1_groups_list(ctx, GROUPS) == 1) &&
		SSL_CTX_set_min_proto_version(ctx, TLS1_2_VERSION) == 1)
		return ctx;
	SSL_CTX_free(ctx);
	return NULL;
}

static SSL_CTX *make_ctx(const struct worker *worker)
{
	SSL_CTX *ctx = make_plain_ctx(worker);
	if (!ctx)
		return NULL;
	static const unsigned char context[] = "overt leg 1";
	SSL_CTX_set_tlsext_ticket_key_evp_cb(ctx, ticket_key);
	SSL_CTX_set_session_ticket_cb(ctx, ticket_made, ticket_read, NULL);
	/* One ticket per handshake: a client that opens several connections gets one from each. */
	bool ok = SSL_CTX_set_cipher_list(ctx, SUITES_TLS12) == 1 && SSL_CTX_set_num_tickets(ctx, 1) == 1 &&
	          SSL_CTX_set_session_id_context(ctx, context, sizeof(context) - 1) == 1;
	if (ok)
		return ctx;
	SSL_CTX_free(ctx);
	return NULL;
}

SSL_CTX *answer_accord_ctx(const struct worker *worker, X509 *cert, EVP_PKEY *key, struct error *err)
{
	/* No early data and no tickets: accord_leg1_register sees to those. */
	static const unsigned char context[] = "overt leg 1, accord";
	SSL_CTX *ctx = make_plain_ctx(worker);
	bool ok = ctx && SSL_CTX_set_session_id_context(ctx, context, sizeof(context) - 1) == 1 &&
	          SSL_CTX_use_cert_and_key(ctx, cert, key, NULL, 1) == 1;
	if (!ok)
		(void)error_set_openssl(err, "the TLS context towards clients of Accord cannot be made");
	if (ok && accord_leg1_register(ctx, err))
		return ctx;
	SSL_CTX_free(ctx);
	return NULL;
}

SSL_CTX *answer_server_ctx(
	const struct worker *worker, X509 *cert, EVP_PKEY *key, STACK_OF(X509) * chain, struct error *err)
{
	SSL_CTX *ctx = make_ctx(worker);
	if (ctx && SSL_CTX_use_cert_and_key(ctx, cert, key, chain, 1) == 1)
		return ctx;
	(void)error_set_openssl(err, "the TLS context of the aware server cannot be made");
	SSL_CTX_free(ctx);
	return NULL;
}

struct answer *answer_new(struct worker *worker, struct error *err)
{
	struct answer *answer = calloc(1, sizeof(*answer));
	if (!answer) {
		error_set(err, "no memory for the context towards clients");
		return NULL;
	}
	answer->worker = worker;
	answer->ctx = make_ctx(worker);
	answer->cipher = EVP_CIPHER_fetch(NULL, "AES-256-CBC", NULL);
	if (answer->ctx && answer->cipher)
		return answer;
	error_set_openssl(err, "the TLS context towards clients cannot be made");
	answer_free(answer);
	return NULL;
}

void answer_free(struct answer *answer)
{
	if (!answer)
		return;
	SSL_CTX_free(answer->ctx);
	EVP_CIPHER_free(answer->cipher);
	free(answer);
}

/* Makes leg 1 of the context, fed with what is held. */
static bool begin(struct conn *conn, SSL_CTX *ctx, struct error *err)
{
	const struct opening *o = conn->opening;
	SSL *ssl = SSL_new(ctx);
	if (!ssl || !leg_init(&conn->leg1, ssl, &conn->client, &conn->worker->room, buffer_bytes(&o->held)))
		return error_set(err, "no memory for another TLS connection");
	/* What still waits for the client in the clear (a proxy's or STARTTLS answer) goes first. */
	conn->leg1.box = conn->to_client;
	conn->to_client = (struct outbox){0};
	SSL_set_accept_state(ssl);
	return true;
}

bool answer_begin_accord(struct conn *conn, SSL_CTX *ctx, struct bytes proof, bool demand, struct error *err)
{
	if (!begin(conn, ctx, err))
		return false;
	if (accord_leg1_begin(conn->leg1.ssl, &conn->opening->accord.client, proof, demand, err))
		return true;
	leg_free(&conn->leg1);
	return false;
}

bool answer_begin_server(struct conn *conn, SSL_CTX *ctx, struct error *err)
{
	if (!begin(conn, ctx, err))
		return false;
	if (make_binding(conn))
		return true;
	leg_free(&conn->leg1);
	return error_set(err, "the handshake cannot be set up");
}

bool answer_begin(struct conn *conn, const struct keeper_leaf *leaf, struct error *err)
{
	if (!begin(conn, conn->worker->answer->ctx, err))
		return false;
	SSL *ssl = conn->leg1.ssl;
	bool rsa = conn->opening->verdict.options.allow & POLICY_ALLOW_TLS12_RSA;
	bool ok = make_binding(conn) && SSL_use_cert_and_key(ssl, leaf->cert, leaf->key, leaf->chain, 1) == 1 &&
	          (!conn->leg2.ssl || SSL_set_max_proto_version(ssl, SSL_version(conn->leg2.ssl)) == 1) &&
	          (!rsa || SSL_set_cipher_list(ssl, SUITES_RSA) == 1);
	if (!ok) {
		error_set_openssl(err, "the leaf does not fit its key, or the handshake cannot be set up");
		leg_free(&conn->leg1);
		return false;
	}
	return true;
}
