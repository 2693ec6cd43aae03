#include "explain/accord_play.h"

#include "base/clock.h"
#include "explain/lab_parts.h"
#include "pki/accord_ca.h"
#include "tls/handshake.h"
#include "tls/hello.h"

#include <stdio.h>
#include <stdlib.h>

static int64_t now_s(void)
{
	return (int64_t)(clock_wall_ns() / 1000000000);
}

static bool verify_proxy(void *ctx, const struct accord_chain *chain, struct accord_identity *who, struct error *err)
{
	const struct play *play = ctx;
	return accord_chain_verify(play->anchors, NULL, chain, now_s(), who, err);
}

static bool verify_server(
	void *ctx, const struct accord_chain *chain, struct bytes host, struct bytes address, struct error *err)
{
	const struct play *play = ctx;
	X509 *leaf = accord_cert_decode(chain->cert[0], NULL);
	X509_STORE_CTX *store = X509_STORE_CTX_new();
	(void)address;
	bool ok = leaf && store && X509_STORE_CTX_init(store, play->roots, leaf, NULL) == 1;
	ok = ok && host.len > 0 &&
	     X509_VERIFY_PARAM_set1_host(X509_STORE_CTX_get0_param(store), (const char *)host.data, host.len) == 1 &&
	     X509_verify_cert(store) == 1;
	if (!ok)
		error_set(err, "the server's certificate does not verify");
	X509_STORE_CTX_free(store);
	X509_free(leaf);
	return ok;
}

static void rule(void *ctx, SSL *ssl, const struct accord_claim *claim, struct accord_ruling *out)
{
	const struct play *play = ctx;
	(void)ssl;
	(void)claim;
	*out = (struct accord_ruling){
		.kind = play->level == PLAY_APPROVAL ? ACCORD_RULING_DEMAND : ACCORD_RULING_ACCEPT,
		.statement = "known here"};
}

static bool enrolled(void *ctx, SSL *ssl, struct bytes key)
{
	const struct play *play = ctx;
	unsigned char *spki = NULL;
	(void)ssl;
	int len = i2d_PUBKEY(play->client_key, &spki);
	bool same = len > 0 && bytes_equal(key, bytes_of(spki, (size_t)len));
	OPENSSL_free(spki);
	return same;
}

static SSL *party(SSL_CTX *ctx, bool client)
{
	SSL *ssl = SSL_new(ctx);
	BIO *in = BIO_new(BIO_s_mem()), *out = BIO_new(BIO_s_mem());
	if (!ssl || !in || !out) {
		SSL_free(ssl);
		BIO_free(in);
		BIO_free(out);
		return NULL;
	}
	BIO_set_mem_eof_return(in, -1);
	BIO_set_mem_eof_return(out, -1);
	SSL_set_bio(ssl, in, out);
	if (client)
		SSL_set_connect_state(ssl);
	else
		SSL_set_accept_state(ssl);
	return ssl;
}

static bool make_trust(struct play *play, const struct lab *lab, struct error *err)
{
	struct accord_ca *ca = NULL;
	struct accord_ca_leaf leaf = {0};
	play->anchors = X509_STORE_new();
	play->roots = X509_STORE_new();
	play->client_key = EVP_EC_gen("P-256");
	if (!play->anchors || !play->roots || !play->client_key)
		return error_set(err, "no memory");
	bool ok = accord_ca_in_memory(&ca, PLAY_PROXY, ACCORD_KEY_PURPOSE_OID, now_s(), err) &&
	          accord_ca_issue(ca, now_s(), &leaf, err);
	if (ok) {
		play->proxy_cert = leaf.cert;
		play->proxy_key = leaf.key;
		ok = X509_STORE_add_cert(play->anchors, accord_ca_cert(ca)) == 1 &&
		     X509_STORE_add_cert(play->roots, lab->identity[LAB_SERVER].ca) == 1;
	}
	accord_ca_free(ca);
	return ok;
}

static bool make_client(struct play *play, struct error *err)
{
	struct accord_client_config config = {
		.rule = ACCORD_REQUIRE,
		.accepted_roles = ACCORD_READER,
		.ctx = play,
		.verify_proxy = verify_proxy,
		.verify_server = verify_server,
		.approval_key = play->level == PLAY_APPROVAL ? play->client_key : NULL,
	};
	char name[] = LAB_NAME;
	play->client_ctx = SSL_CTX_new(TLS_client_method());
	if (!play->client_ctx || !accord_client_attach(play->client_ctx, &config, err))
		return false;
	play->client = party(play->client_ctx, true);
	return play->client && SSL_set_tlsext_host_name(play->client, name) == 1 &&
	       SSL_set1_host(play->client, LAB_NAME) == 1;
}

static bool make_server(struct play *play, const struct lab *lab, struct error *err)
{
	struct accord_server_config config = {
		.ctx = play, .rule = rule, .verify_proxy = verify_proxy, .enrolled = enrolled};
	play->server_ctx = SSL_CTX_new(TLS_server_method());
	if (!play->server_ctx || SSL_CTX_use_certificate(play->server_ctx, lab_cert(lab, LAB_SERVER)) != 1 ||
		SSL_CTX_use_PrivateKey(play->server_ctx, lab_key(lab, LAB_SERVER)) != 1)
		return false;
	if (play->level != PLAY_UNAWARE && !accord_server_attach(play->server_ctx, &config, err))
		return false;
	play->server = party(play->server_ctx, false);
	return play->server != NULL;
}

/* Stands still before leg 2's Certificate where the server demands, until the client has approved. */
static int pause_for_approval(SSL *ssl, void *arg)
{
	const struct play *play = arg;
	if (!SSL_get_app_data(ssl))
		return accord_leg2_demanded(ssl) ? -1 : 1;
	return SSL_use_certificate(ssl, play->proxy_cert) == 1 && SSL_use_PrivateKey(ssl, play->proxy_key) == 1;
}

static bool make_proxy(struct play *play, struct error *err)
{
	char name[] = LAB_NAME;
	play->leg1_ctx = SSL_CTX_new(TLS_server_method());
	play->leg2_ctx = SSL_CTX_new(TLS_client_method());
	if (!play->leg1_ctx || !play->leg2_ctx || !accord_leg1_register(play->leg1_ctx, err) ||
		!accord_leg2_register(play->leg2_ctx, err))
		return false;
	if (SSL_CTX_use_certificate(play->leg1_ctx, play->proxy_cert) != 1 ||
		SSL_CTX_use_PrivateKey(play->leg1_ctx, play->proxy_key) != 1)
		return false;
	SSL_CTX_set1_cert_store(play->leg2_ctx, play->roots);
	SSL_CTX_set_verify(play->leg2_ctx, SSL_VERIFY_PEER, NULL);
	SSL_CTX_set_cert_cb(play->leg2_ctx, pause_for_approval, play);
	play->leg1 = party(play->leg1_ctx, false);
	play->leg2 = party(play->leg2_ctx, true);
	return play->leg1 && play->leg2 && SSL_set_tlsext_host_name(play->leg2, name) == 1 &&
	       SSL_set1_host(play->leg2, LAB_NAME) == 1;
}

static bool carry(SSL *from, SSL *to)
{
	char *data = NULL;
	long len = BIO_get_mem_data(SSL_get_wbio(from), &data);
	if (len <= 0 || BIO_write(SSL_get_rbio(to), data, (int)len) != len)
		return false;
	(void)BIO_reset(SSL_get_wbio(from));
	return true;
}

/* Goes on until neither has anything to say: whether both have finished. */
static bool converse(SSL *client, SSL *server)
{
	for (bool moved = true; moved;) {
		(void)SSL_do_handshake(client);
		moved = carry(client, server);
		(void)SSL_do_handshake(server);
		moved |= carry(server, client);
	}
	return SSL_is_init_finished(client) && SSL_is_init_finished(server);
}

/* What the held ClientHello says to proxies. */
static bool read_offer(struct play *play, struct accord_hello *told)
{
	char *data = NULL;
	(void)SSL_do_handshake(play->client);
	long len = BIO_get_mem_data(SSL_get_wbio(play->client), &data);
	struct bytes in = bytes_of(data, len > 0 ? (size_t)len : 0), fragment = BYTES_NONE;
	struct handshake message;
	struct client_hello hello;
	enum accord_body_result fault;
	return bytes_skip(&in, 3) && bytes_vec16(&in, &fragment) &&
	       handshake_read(&fragment, fragment.len, &message) == HANDSHAKE_OK &&
	       client_hello_parse(message.body, &hello) == HELLO_OK &&
	       accord_hello_read(&hello, told, &fault) == ACCORD_HELLO_OFFER;
}

static bool begin_leg2(struct play *play, const struct accord_hello *told, struct error *err)
{
	struct accord_leg2_plan plan = {
		.client = told, .role = ACCORD_READER, .purpose_code = 4, .purpose = bytes_str("shows how it is done")};
	unsigned char *der = NULL;
	int len = i2d_X509(play->proxy_cert, &der);
	bool ok = len > 0 && accord_hash(bytes_of(der, (size_t)len), plan.leaf_hash);
	OPENSSL_free(der);
	return ok && accord_leg2_begin(play->leg2, &plan, err);
}

/* The order of a proxy: the hello is held, the server asked, then the client answered. */
static bool shake_hands(struct play *play, struct error *err)
{
	struct accord_hello told;
	if (!read_offer(play, &told))
		return error_set(err, "the client made no offer");
	if (!begin_leg2(play, &told, err))
		return false;
	play->leg2_up = converse(play->leg2, play->server);
	if (accord_leg2_proof(play->leg2, &play->proof) != ACCORD_LEG2_PROOF)
		return error_set(err, "leg 2 gave no proof");
	if (!accord_leg1_begin(play->leg1, &told, play->proof, accord_leg2_demanded(play->leg2), err))
		return false;
	play->leg1_up = converse(play->client, play->leg1);
	struct bytes approval = accord_leg1_approval(play->leg1);
	if (play->leg1_up && approval.len > 0) {
		SSL_set_app_data(play->leg2, play);
		if (!accord_leg2_approve(play->leg2, approval, err))
			return false;
		play->leg2_up = converse(play->leg2, play->server);
	}
	return true;
}

static bool says(SSL *from, SSL *to, const char *text, char *out, size_t cap)
{
	size_t written = 0, len = 0;
	bool ok = SSL_write_ex(from, text, strlen(text), &written) == 1 && carry(from, to) &&
	          SSL_read_ex(to, out, cap - 1, &len) == 1;
	out[ok ? len : 0] = '\0';
	return ok && strcmp(out, text) == 0;
}

/* The server's words pass the proxy; then the proxy, a reader by its promise, says something of its own. */
static void relay(struct play *play)
{
	static const char made_up[] = "the server never said this";
	char held[64], got[64];
	if (!play->leg1_up || !play->leg2_up)
		return;
	if (says(play->server, play->leg2, "hello from the server", held, sizeof(held)))
		(void)!says(play->leg1, play->client, held, play->server_said, sizeof(play->server_said));
	play->invented = says(play->leg1, play->client, made_up, got, sizeof(got));
}

bool play_run(struct play *play, const struct lab *lab, enum play_level level, struct error *err)
{
	*play = (struct play){.level = level};
	if (!make_trust(play, lab, err) || !make_client(play, err) || !make_server(play, lab, err) ||
		!make_proxy(play, err))
		return err->text[0] ? false : error_set_openssl(err, "the three parties cannot be made");
	if (!shake_hands(play, err))
		return false;
	relay(play);
	return true;
}

void play_free(struct play *play)
{
	SSL_free(play->client);
	SSL_free(play->leg1);
	SSL_free(play->leg2);
	SSL_free(play->server);
	SSL_CTX_free(play->client_ctx);
	SSL_CTX_free(play->leg1_ctx);
	SSL_CTX_free(play->leg2_ctx);
	SSL_CTX_free(play->server_ctx);
	X509_STORE_free(play->anchors);
	X509_STORE_free(play->roots);
	X509_free(play->proxy_cert);
	EVP_PKEY_free(play->proxy_key);
	EVP_PKEY_free(play->client_key);
	*play = (struct play){0};
}

struct bytes play_signed_by_server(const struct play *play)
{
	struct accord_proof proof;
	struct handshake message;
	if (play->proof.len == 0 || accord_proof_read(play->proof, &proof) != ACCORD_BODY_OK)
		return BYTES_NONE;
	size_t covered = 0;
	for (struct bytes rest = proof.transcript; handshake_read(&rest, rest.len, &message) == HANDSHAKE_OK &&
						   message.type != HANDSHAKE_CERTIFICATE_VERIFY;)
		covered += message.whole.len;
	return bytes_of(proof.transcript.data, covered);
}

bool play_holds(struct bytes in, struct bytes needle)
{
	while (needle.len > 0 && in.len >= needle.len) {
		if (bytes_starts(in, needle))
			return true;
		(void)!bytes_skip(&in, 1);
	}
	return false;
}
