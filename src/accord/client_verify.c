/* The certificate verify callback of a client (docs/accord.md, 4.1). */
#include "accord/client_parts.h"
#include "tls/handshake.h"
#include "tls/hello.h"

#include <openssl/x509v3.h>
#include <stdlib.h>
#include <time.h>

/* Everything about the peer that the checks ask for; views into the state. */
struct facts {
	struct accord_leg1 leg1;
	struct bytes expected; /* address that the program wants to see in the certificate; empty: none */
};

/* The address that the program expects, from its verification parameters. */
static struct bytes expected_address(struct client_state *state, SSL *ssl)
{
	char *text = X509_VERIFY_PARAM_get1_ip_asc(SSL_get0_param(ssl));
	ASN1_OCTET_STRING *ip = text ? a2i_IPADDRESS(text) : NULL;
	size_t len = ip ? (size_t)ASN1_STRING_length(ip) : 0;
	if (len > sizeof(state->address))
		len = 0;
	if (len > 0)
		memcpy(state->address, ASN1_STRING_get0_data(ip), len);
	ASN1_OCTET_STRING_free(ip);
	OPENSSL_free(text);
	return bytes_of(state->address, len);
}

static bool read_facts(struct client_state *state, SSL *ssl, X509_STORE_CTX *store, struct facts *out)
{
	struct bytes messages = bytes_of(state->hello, state->hello_len);
	struct handshake message;
	struct client_hello hello;
	const unsigned char *alpn = NULL;
	unsigned alpn_len = 0;
	if (!state->hello || handshake_read(&messages, CLIENT_MAX_HELLO, &message) != HANDSHAKE_OK ||
		client_hello_parse(message.body, &hello) != HELLO_OK)
		return client_refuse(state, "the ClientHello was not seen: the program replaced the message callback");
	SSL_get0_alpn_selected(ssl, &alpn, &alpn_len);
	*out = (struct facts){.leg1 = {
				      .version = (uint16_t)SSL_version(ssl),
				      .resumed = SSL_session_reused(ssl) == 1,
				      .alpn = bytes_of(alpn, alpn_len),
				      .host = hello.server_name,
				      .suites = hello.suites,
				      .groups = hello.groups,
				      .sigalgs = hello.sigalgs,
				      .offer = state->offer,
			      }};
	out->expected = expected_address(state, ssl);
	out->leg1.address = out->expected;
	free(state->chain);
	if (!accord_chain_write(X509_STORE_CTX_get0_untrusted(store), &state->chain, &out->leg1.proxy))
		return client_refuse(state, "the peer's certificates cannot be read");
	/* Proxies live too briefly for it, and what is kept of a proof outlives libssl's copy. */
	const unsigned char *staple = NULL;
	long len = state->proof ? 0 : SSL_get_tlsext_status_ocsp_resp(ssl, &staple);
	if (staple && len > 0)
		out->leg1.proxy.staple = bytes_of(staple, (size_t)len);
	return true;
}

static int64_t now_of(const struct accord_client_config *config)
{
	return config->now_s ? config->now_s(config->ctx) : (int64_t)time(NULL);
}

static bool ask(const struct accord_client_config *config, const struct accord_chain *chain, struct bytes host,
	struct bytes address, struct error *err)
{
	return chain->count <= ACCORD_MAX_CERTS
	               ? config->verify_server(config->ctx, chain, host, address, err)
	               : error_set(err, "the server sent over %d certificates", ACCORD_MAX_CERTS);
}

/* A program may expect another name than the one it sent: then the certificate must have that one as well. */
static bool expected_ok(const struct accord_client_config *config, SSL *ssl, const struct facts *facts,
	const struct accord_chain *chain, struct error *err)
{
	X509_VERIFY_PARAM *param = SSL_get0_param(ssl);
	const char *name = X509_VERIFY_PARAM_get0_host(param, 0);
	bool ok = name == NULL;
	for (int i = 0; !ok && (name = X509_VERIFY_PARAM_get0_host(param, i)); i++)
		ok = bytes_equal_nocase(bytes_str(name), facts->leg1.host) ||
		     ask(config, chain, bytes_str(name), BYTES_NONE, err);
	if (ok && facts->expected.len > 0 && facts->leg1.host.len > 0)
		ok = ask(config, chain, BYTES_NONE, facts->expected, err);
	return ok;
}

static bool judge_proof(SSL *ssl, struct client_state *state, const struct facts *facts)
{
	const struct accord_client_config *config = &state->client->config;
	struct accord_outcome *outcome = &state->outcome;
	const struct accord_trust trust = {.ctx = config->ctx,
		.now_s = now_of(config),
		.lib = config->lib,
		.decode = config->decode,
		.verify_proxy = config->verify_proxy,
		.verify_server = config->verify_server};
	outcome->proof = bytes_of(state->proof, state->proof_len);
	outcome->leg1 = facts->leg1;
	bool ok = accord_check(&outcome->leg1, outcome->proof, &trust, &outcome->proven, &outcome->judgement);
	struct error why = {""};
	if (ok && !expected_ok(config, ssl, facts, &outcome->proven.server, &why)) {
		outcome->judgement = (struct accord_judgement){.fault = ACCORD_SERVER_CHAIN,
			.check = accord_fault_check(ACCORD_SERVER_CHAIN),
			.leg = (int)outcome->proven.proxies + 1,
			.error = why};
		ok = false;
	}
	outcome->path = ok ? ACCORD_PATH_PROVEN : ACCORD_PATH_REFUSED;
	return ok && client_approve(ssl, state);
}

/* What the program would have done without us. */
static bool program_accepts(const struct client_state *state, X509_STORE_CTX *store)
{
	const struct accord_client_config *config = &state->client->config;
	int ok = config->next_verify ? config->next_verify(store, config->next_verify_arg) : X509_verify_cert(store);
	return ok > 0 || state->told_to_ignore;
}

static bool judge_chain(SSL *ssl, struct client_state *state, X509_STORE_CTX *store, const struct facts *facts)
{
	const struct accord_client_config *config = &state->client->config;
	struct error why = {""};
	const struct accord_chain *chain = &facts->leg1.proxy;
	if (config->rule == ACCORD_REQUIRE && facts->leg1.version != TLS_VERSION_13)
		return client_refuse(state, "Accord is required, which needs TLS 1.3");
	if (facts->leg1.host.len == 0 && facts->leg1.address.len == 0)
		(void)error_set(&why, "neither the server's name nor its address is known");
	else if (ask(config, chain, facts->leg1.host, facts->leg1.address, &why) &&
		 expected_ok(config, ssl, facts, chain, &why)) {
		state->outcome.path = ACCORD_PATH_DIRECT;
		return true;
	}
	if (config->rule == ACCORD_REQUIRE)
		return client_refuse(state, "no proof came, and the certificate is no web server's: %s", why.text);
	if (!program_accepts(state, store))
		return client_refuse(state, "neither web roots nor the program accept the certificate: %s", why.text);
	state->outcome.path = ACCORD_PATH_LOCAL;
	return true;
}

/* From these libssl chooses its alert. */
static int x509_error(const struct client_state *state)
{
	switch (state->outcome.judgement.check) {
	case 1:
	case 4:
		return X509_V_ERR_CERT_UNTRUSTED;
	case 5:
		return X509_V_ERR_CERT_SIGNATURE_FAILURE;
	default:
		return X509_V_ERR_APPLICATION_VERIFICATION;
	}
}

int accord_client_verify(X509_STORE_CTX *store, void *arg)
{
	(void)arg;
	SSL *ssl = X509_STORE_CTX_get_ex_data(store, SSL_get_ex_data_X509_STORE_CTX_idx());
	struct client_state *state = ssl ? client_state_of(ssl) : NULL;
	struct facts facts = {0};
	if (!state) {
		/* No offer went out: the program speaks no TLS 1.3 on this connection, or is no client. */
		X509_STORE_CTX_set_error(store, X509_V_ERR_APPLICATION_VERIFICATION);
		return 0;
	}
	state->passed = read_facts(state, ssl, store, &facts);
	if (state->passed)
		state->passed = state->proof ? judge_proof(ssl, state, &facts) : judge_chain(ssl, state, store, &facts);
	if (!state->passed) {
		/* A program's callback or libssl may have left a more telling error behind. */
		if (state->proof || X509_STORE_CTX_get_error(store) == X509_V_OK)
			X509_STORE_CTX_set_error(store, x509_error(state));
		client_report(ssl, state);
		return 0;
	}
	/* What libssl would have said of a chain that leads to no web root does not count where a proof does. */
	if (state->outcome.path != ACCORD_PATH_LOCAL)
		X509_STORE_CTX_set_error(store, X509_V_OK);
	return 1;
}
