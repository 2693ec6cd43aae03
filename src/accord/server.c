#include "accord/server.h"

#include "accord/seal.h"
#include "tls/extension.h"
#include "tls/handshake.h"
#include "tls/hello.h"

#include <openssl/crypto.h>
#include <openssl/rand.h>
#include <openssl/x509v3.h>
#include <stdio.h>
#include <stdlib.h>

#define MAX_TOLD    ((size_t)1024) /* octets of our extension in a ClientHello */
#define MAX_VERDICT (2 + 1 + ACCORD_NONCE + 1 + ACCORD_MAX_TEXT)

/* What hangs on the context. */
struct server {
	struct accord_server_config config;
};

/* What hangs on a connection whose ClientHello carries our extension. */
struct state {
	const struct server *server;
	uint8_t random[HELLO_RANDOM]; /* tells one connection of an SSL from the next */
	uint8_t told[MAX_TOLD];
	size_t told_len;
	struct accord_claim claim;
	bool ruled;
	bool late; /* the ClientHello before the HelloRetryRequest told nothing: neither may this one */
	uint8_t verdict[MAX_VERDICT];
	size_t verdict_len;
	uint8_t demand[2];
	EVP_MD_CTX *hash; /* SHA-256 over the messages up to our CertificateVerify */
	bool complete;    /* CertificateVerify is in it */
	bool asked;       /* for the proxy's certificate */
	bool reported;
	uint8_t *approval;
	size_t approval_len;
};

static void report(struct state *state, enum accord_served what)
{
	const struct accord_server_config *config = &state->server->config;
	state->reported = true;
	if (config->report)
		config->report(config->ctx, &state->claim, what);
}

static void state_free(struct state *state)
{
	if (!state)
		return;
	if (state->ruled && !state->reported)
		report(state, ACCORD_SERVED_LEFT);
	EVP_MD_CTX_free(state->hash);
	free(state->approval);
	free(state);
}

static void on_ctx_free(void *parent, void *ptr, CRYPTO_EX_DATA *ad, int idx, long argl, void *argp)
{
	(void)parent, (void)ad, (void)idx, (void)argl, (void)argp;
	free(ptr);
}

static void on_free(void *parent, void *ptr, CRYPTO_EX_DATA *ad, int idx, long argl, void *argp)
{
	(void)parent, (void)ad, (void)idx, (void)argl, (void)argp;
	state_free(ptr);
}

static CRYPTO_ONCE once = CRYPTO_ONCE_STATIC_INIT;
static int ctx_slot = -1;
static int slot = -1;

static void make_slots(void)
{
	ctx_slot = SSL_CTX_get_ex_new_index(0, NULL, NULL, NULL, on_ctx_free);
	slot = SSL_get_ex_new_index(0, NULL, NULL, NULL, on_free);
}

static bool slots_ok(void)
{
	return CRYPTO_THREAD_run_once(&once, make_slots) == 1 && ctx_slot >= 0 && slot >= 0;
}

static struct state *state_of(const SSL *ssl)
{
	return slots_ok() ? SSL_get_ex_data(ssl, slot) : NULL;
}

static struct state *state_new(SSL *ssl, struct bytes random)
{
	const struct server *server = SSL_CTX_get_ex_data(SSL_get_SSL_CTX(ssl), ctx_slot);
	struct state *state = server ? calloc(1, sizeof(*state)) : NULL;
	if (!state)
		return NULL;
	state->server = server;
	memcpy(state->random, random.data, sizeof(state->random));
	state->hash = EVP_MD_CTX_new();
	if (!state->hash || EVP_DigestInit_ex(state->hash, EVP_sha256(), NULL) != 1 ||
		SSL_set_ex_data(ssl, slot, state) != 1) {
		state_free(state);
		return NULL;
	}
	return state;
}

/* What stops a proxy before it can send anything: it has to show a certificate, and the verify callback refuses it. */
static void ask_for_certificate(SSL *ssl, struct state *state)
{
	state->asked = true;
	SSL_set_verify(ssl, SSL_VERIFY_PEER | SSL_VERIFY_FAIL_IF_NO_PEER_CERT, SSL_get_verify_callback(ssl));
}

/* The second ClientHello says nothing any more: libssl then asks none of our callbacks for a verdict. */
static void dropped(SSL *ssl, struct state *state)
{
	state->ruled = true;
	state->claim.ruling.kind = ACCORD_RULING_REFUSE;
	(void)error_set(&state->claim.fault, "the second ClientHello does not introduce the proxy as the first did");
	ask_for_certificate(ssl, state);
	report(state, ACCORD_SERVED_REFUSED);
}

/* A ClientHello has come: the first, the one after a HelloRetryRequest, or that of a new connection of a reused SSL. */
static void begin(SSL *ssl, struct bytes body)
{
	struct client_hello hello;
	struct extension ext;
	struct state *old = state_of(ssl);
	if (client_hello_parse(body, &hello) != HELLO_OK)
		return;
	bool told = extension_find(hello.extensions, ACCORD_EXTENSION, &ext);
	if (old && bytes_equal(hello.random, bytes_of(old->random, sizeof(old->random)))) {
		if (!told && old->told_len > 0 && (old->claim.introduced || old->claim.sealed))
			dropped(ssl, old);
		return;
	}
	if (old && SSL_set_ex_data(ssl, slot, NULL) == 1)
		state_free(old);
	if (told)
		(void)!state_new(ssl, hello.random);
}

/* A HelloRetryRequest goes out to somebody who told nothing: told now, it would be signed halfway only. */
static void retried(SSL *ssl, struct bytes body)
{
	struct server_hello hello;
	uint8_t random[HELLO_RANDOM];
	if (server_hello_parse(body, &hello) != HELLO_OK || !hello.retry || state_of(ssl) ||
		SSL_get_client_random(ssl, random, sizeof(random)) != sizeof(random))
		return;
	struct state *state = state_new(ssl, bytes_of(random, sizeof(random)));
	if (state)
		state->late = true;
}

void accord_server_message(int write, int version, int type, const void *data, size_t len, SSL *ssl, void *arg)
{
	(void)version, (void)arg;
	struct bytes messages = bytes_of(data, len);
	struct handshake message;
	if (type != SSL3_RT_HANDSHAKE || !slots_ok() || !SSL_is_server(ssl) ||
		handshake_read(&messages, len, &message) != HANDSHAKE_OK)
		return;
	if (!write && message.type == HANDSHAKE_CLIENT_HELLO)
		begin(ssl, message.body);
	if (write && message.type == HANDSHAKE_SERVER_HELLO)
		retried(ssl, message.body);
	struct state *state = state_of(ssl);
	if (!state || state->complete)
		return;
	if (EVP_DigestUpdate(state->hash, data, len) == 1)
		state->complete = write && message.type == HANDSHAKE_CERTIFICATE_VERIFY;
}

static enum accord_body_result read_list(struct state *state, struct bytes data)
{
	struct accord_list list;
	struct accord_claim *claim = &state->claim;
	enum accord_body_result result = accord_list_read(data, &list);
	if (result == ACCORD_BODY_OK && list.introduction.len > 0) {
		claim->introduced = true;
		result = accord_introduction_read(list.introduction, &claim->introduction);
	}
	if (result == ACCORD_BODY_OK && list.sealed.len > 0) {
		claim->sealed = true;
		result = accord_sealed_read(list.sealed, &claim->commitment);
	}
	return result;
}

/* Both ClientHellos must say the same. */
static bool take_told(struct state *state, struct bytes data)
{
	if (state->told_len > 0)
		return bytes_equal(data, bytes_of(state->told, state->told_len));
	if (state->late || data.len > MAX_TOLD || read_list(state, data) != ACCORD_BODY_OK)
		return false;
	memcpy(state->told, data.data, data.len);
	state->told_len = data.len;
	return true;
}

static bool take_approval(struct state *state, struct bytes body)
{
	if (body.len == 0 || state->approval)
		return false;
	state->approval = malloc(body.len);
	if (!state->approval)
		return false;
	memcpy(state->approval, body.data, body.len);
	state->approval_len = body.len;
	return true;
}

static int parse(SSL *ssl, unsigned type, unsigned context, const unsigned char *in, size_t len, X509 *cert,
	size_t index, int *alert, void *arg)
{
	(void)type, (void)cert, (void)arg;
	struct state *state = state_of(ssl);
	bool ok = true;
	if (context == SSL_EXT_CLIENT_HELLO)
		ok = !SSL_is_server(ssl) || (state && take_told(state, bytes_of(in, len)));
	if (context == SSL_EXT_TLS1_3_CERTIFICATE)
		ok = state && index == 0 && take_approval(state, bytes_of(in, len));
	if (!ok)
		*alert = SSL_AD_ILLEGAL_PARAMETER;
	return ok;
}

static void refuse(struct accord_ruling *ruling, const char *statement)
{
	ruling->kind = ACCORD_RULING_REFUSE;
	snprintf(ruling->statement, sizeof(ruling->statement), "%s", statement);
}

static void rule(SSL *ssl, struct state *state)
{
	const struct accord_server_config *config = &state->server->config;
	struct accord_claim *claim = &state->claim;
	struct accord_ruling *ruling = &claim->ruling;
	const char *host = SSL_get_servername(ssl, TLSEXT_NAMETYPE_host_name);
	snprintf(claim->host, sizeof(claim->host), "%s", host ? host : "");
	config->rule(config->ctx, ssl, claim, ruling);
	ruling->statement[ACCORD_MAX_TEXT] = '\0';
	/* Only a client that has a key can approve, and only a proxy that says who it is can show that it is. */
	if (ruling->kind == ACCORD_RULING_DEMAND && !(claim->introduced && claim->introduction.has_approval))
		refuse(ruling, "the client's approval is needed and not offered");
	if (ruling->kind == ACCORD_RULING_IDENTIFY && !claim->introduced)
		refuse(ruling, "who the proxy is has to be known, and its introduction is sealed");
}

static bool write_verdict(struct state *state)
{
	struct accord_claim *claim = &state->claim;
	struct bytes done;
	struct accord_verdict verdict = {
		.decision = claim->ruling.kind == ACCORD_RULING_REFUSE ? ACCORD_REFUSE : ACCORD_ACCEPT,
		.statement = bytes_str(claim->ruling.statement)};
	if (RAND_bytes(claim->server_nonce, ACCORD_NONCE) != 1)
		return false;
	memcpy(verdict.server_nonce, claim->server_nonce, ACCORD_NONCE);
	struct writer w = writer_over(state->verdict, sizeof(state->verdict));
	accord_verdict_write(&w, &verdict);
	state->verdict_len = w.len;
	return writer_done(&w, &done);
}

/* Rules, and makes the ruling felt: a refused proxy has to show a certificate, as one whose client must approve. */
static bool answer(SSL *ssl, struct state *state)
{
	struct accord_claim *claim = &state->claim;
	rule(ssl, state);
	state->ruled = true;
	if (claim->ruling.kind == ACCORD_RULING_SILENT)
		return true;
	/* No Certificate would be asked for in a resumed handshake. */
	if (SSL_session_reused(ssl)) {
		(void)error_set(&claim->fault, "it resumes a session: nobody would sign anything");
		report(state, ACCORD_SERVED_REFUSED);
		return false;
	}
	/* What could be resumed later would be resumed by a proxy, which may not. */
	(void)SSL_set_num_tickets(ssl, 0);
	if (claim->ruling.kind != ACCORD_RULING_ACCEPT)
		ask_for_certificate(ssl, state);
	if (claim->ruling.kind == ACCORD_RULING_REFUSE)
		report(state, ACCORD_SERVED_REFUSED);
	return write_verdict(state);
}

static bool demands(const struct state *state)
{
	enum accord_ruling_kind kind = state->claim.ruling.kind;
	return kind == ACCORD_RULING_DEMAND || kind == ACCORD_RULING_IDENTIFY;
}

static int add(SSL *ssl, unsigned type, unsigned context, const unsigned char **out, size_t *len, X509 *cert,
	size_t index, int *alert, void *arg)
{
	(void)type, (void)cert, (void)index, (void)arg;
	struct state *state = state_of(ssl);
	if (!state || !SSL_is_server(ssl) || !(state->claim.introduced || state->claim.sealed))
		return 0;
	if (context == SSL_EXT_TLS1_3_ENCRYPTED_EXTENSIONS) {
		if (!answer(ssl, state)) {
			*alert = SSL_AD_HANDSHAKE_FAILURE;
			return -1;
		}
		*out = state->verdict;
		*len = state->verdict_len;
		return state->claim.ruling.kind != ACCORD_RULING_SILENT;
	}
	if (context != SSL_EXT_TLS1_3_CERTIFICATE_REQUEST || !state->ruled || !demands(state))
		return 0;
	struct writer w = writer_over(state->demand, sizeof(state->demand));
	accord_demand_write(&w);
	*out = state->demand;
	*len = w.len;
	return 1;
}

/* True when the certificate is the one introduced, and a proxy's that may act as a TLS client. */
static bool proxy_ok(struct state *state, X509_STORE_CTX *store, struct error *err)
{
	const struct accord_server_config *config = &state->server->config;
	struct accord_claim *claim = &state->claim;
	const struct accord_hop *hop = &claim->introduction.hop[claim->introduction.hops - 1];
	struct accord_chain chain;
	uint8_t *memory;
	uint8_t hash[ACCORD_HASH];
	X509 *leaf = X509_STORE_CTX_get0_cert(store);
	if (!accord_chain_write(X509_STORE_CTX_get0_untrusted(store), &memory, &chain) ||
		chain.count > ACCORD_MAX_CERTS) {
		free(memory);
		return error_set(err, "the proxy's certificates cannot be read");
	}
	bool ok = accord_hash(chain.cert[0], hash) && memcmp(hash, hop->leaf_hash, ACCORD_HASH) == 0;
	if (!ok)
		(void)error_set(err, "the certificate shown is not the one introduced");
	ok = ok && accord_leaf_judge(leaf, &claim->proxy, err) == ACCORD_LEAF_OK;
	if (ok && !(X509_get_extended_key_usage(leaf) & XKU_SSL_CLIENT))
		ok = error_set(err, "the proxy's certificate lacks the key purpose clientAuth");
	ok = ok && config->verify_proxy && config->verify_proxy(config->ctx, &chain, &claim->proxy, err);
	free(memory);
	return ok;
}

static bool digest_of(const struct state *state, uint8_t out[ACCORD_HASH])
{
	EVP_MD_CTX *copy = EVP_MD_CTX_new();
	bool ok = copy && state->complete && EVP_MD_CTX_copy_ex(copy, state->hash) == 1 &&
	          EVP_DigestFinal_ex(copy, out, NULL) == 1;
	EVP_MD_CTX_free(copy);
	return ok;
}

static bool approval_ok(SSL *ssl, struct state *state, struct error *err)
{
	const struct accord_server_config *config = &state->server->config;
	struct accord_approval approval;
	uint8_t digest[ACCORD_HASH];
	enum accord_body_result body = accord_approval_read(bytes_of(state->approval, state->approval_len), &approval);
	if (body != ACCORD_BODY_OK)
		return error_set(err, "no approval came with the proxy's certificate, or one that cannot be read");
	if (!digest_of(state, digest))
		return error_set(err, "the handshake was not seen: the program replaced the message callback");
	if (!config->enrolled || !config->enrolled(config->ctx, ssl, approval.key))
		return error_set(err, "the approval key is not enrolled here");
	enum accord_approval_result result = accord_approval_verify(&approval, &state->claim.introduction, digest);
	if (result != ACCORD_APPROVAL_OK)
		return error_set(err, "%s", accord_approval_text(result));
	memcpy(state->claim.approval_key, approval.key.data, approval.key.len);
	state->claim.approval_key_len = approval.key.len;
	return true;
}

/* Who the proxy is, is known now: what was open is decided. */
static bool rule_again(SSL *ssl, struct state *state, bool *approval, struct error *err)
{
	const struct accord_server_config *config = &state->server->config;
	struct accord_ruling second = {.kind = ACCORD_RULING_REFUSE};
	config->rule(config->ctx, ssl, &state->claim, &second);
	second.statement[ACCORD_MAX_TEXT] = '\0';
	memcpy(state->claim.ruling.label, second.label, sizeof(second.label));
	*approval = second.kind == ACCORD_RULING_DEMAND;
	if (*approval || second.kind == ACCORD_RULING_ACCEPT)
		return true;
	return error_set(err, "the proxy %.200s is refused%s%s", state->claim.proxy.name,
		second.statement[0] ? ": " : "", second.statement);
}

static bool demand_met(SSL *ssl, struct state *state, X509_STORE_CTX *store)
{
	struct accord_claim *claim = &state->claim;
	bool approval = claim->ruling.kind == ACCORD_RULING_DEMAND;
	claim->identified = proxy_ok(state, store, &claim->fault);
	return claim->identified && (approval || rule_again(ssl, state, &approval, &claim->fault)) &&
	       (!approval || approval_ok(ssl, state, &claim->fault));
}

int accord_server_verify(X509_STORE_CTX *store, void *arg)
{
	SSL *ssl = X509_STORE_CTX_get_ex_data(store, SSL_get_ex_data_X509_STORE_CTX_idx());
	struct state *state = ssl ? state_of(ssl) : NULL;
	const struct server *server = state ? state->server
	                              : ssl ? SSL_CTX_get_ex_data(SSL_get_SSL_CTX(ssl), ctx_slot)
	                                    : NULL;
	(void)arg;
	if (!state || !state->asked)
		return server && server->config.next_verify
		               ? server->config.next_verify(store, server->config.next_verify_arg)
		               : X509_verify_cert(store);
	if (demands(state))
		state->claim.confirmed = demand_met(ssl, state, store);
	else if (state->claim.fault.text[0] == '\0')
		(void)error_set(&state->claim.fault, "the proxy was refused and went on");
	if (!state->claim.confirmed)
		report(state, demands(state) ? ACCORD_SERVED_UNMET : ACCORD_SERVED_REFUSED);
	X509_STORE_CTX_set_error(store, state->claim.confirmed ? X509_V_OK : X509_V_ERR_APPLICATION_VERIFICATION);
	return state->claim.confirmed;
}

void accord_server_info(const SSL *ssl, int where, int ret)
{
	struct state *state = (where & SSL_CB_HANDSHAKE_DONE) && SSL_is_server(ssl) ? state_of(ssl) : NULL;
	(void)ret;
	if (state && !state->reported && accord_server_passed(ssl) && accord_server_claim(ssl))
		report(state, ACCORD_SERVED_ACCEPTED);
}

bool accord_server_attach(SSL_CTX *ctx, const struct accord_server_config *config, struct error *err)
{
	const unsigned where = SSL_EXT_CLIENT_HELLO | SSL_EXT_TLS1_3_ENCRYPTED_EXTENSIONS | SSL_EXT_TLS1_3_CERTIFICATE |
	                       SSL_EXT_TLS1_3_CERTIFICATE_REQUEST | SSL_EXT_TLS1_3_ONLY;
	if (!config->rule)
		return error_set(err, "an aware server needs a rule");
	if (!slots_ok() || SSL_CTX_get_ex_data(ctx, ctx_slot))
		return error_set(err, "this context is aware of Accord already");
	struct server *server = calloc(1, sizeof(*server));
	if (!server)
		return error_set(err, "no memory for Accord");
	server->config = *config;
	if (SSL_CTX_add_custom_ext(ctx, ACCORD_EXTENSION, where, add, NULL, NULL, parse, NULL) != 1 ||
		SSL_CTX_set_ex_data(ctx, ctx_slot, server) != 1) {
		free(server);
		return error_set_openssl(err, "Accord cannot be attached to this context");
	}
	SSL_CTX_set_cert_verify_callback(ctx, accord_server_verify, NULL);
	SSL_CTX_set_msg_callback(ctx, accord_server_message);
	return true;
}

const struct accord_claim *accord_server_claim(const SSL *ssl)
{
	const struct state *state = state_of(ssl);
	return state && (state->claim.introduced || state->claim.sealed) ? &state->claim : NULL;
}

bool accord_server_passed(const SSL *ssl)
{
	const struct accord_claim *claim = accord_server_claim(ssl);
	if (!SSL_is_init_finished(ssl))
		return false;
	if (!claim)
		return true;
	if (!state_of(ssl)->ruled)
		return false;
	return demands(state_of(ssl)) ? claim->confirmed : claim->ruling.kind != ACCORD_RULING_REFUSE;
}

bool accord_server_asked(const SSL *ssl)
{
	const struct state *state = state_of(ssl);
	return state && state->asked;
}
