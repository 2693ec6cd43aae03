#include "agent/core.h"

#include "accord/client.h"
#include "agent/context.h"
#include "agent/post.h"
#include "agent/server_attach.h"
#include "agent/shown.h"
#include "pact/pact.h"
#include "pki/private_key.h"

#include <openssl/pem.h>
#include <stdatomic.h>
#include <stdio.h>

static struct pact *pact; /* NULL: not ready, and `fault` says why */
static bool require;
static struct accord_client_config config;
static struct error fault;
static atomic_bool attached;

static uint8_t wire_path(enum accord_path path)
{
	static const uint8_t wire[] = {[ACCORD_PATH_UNDECIDED] = REPORT_REFUSED,
		[ACCORD_PATH_PROVEN] = REPORT_PROVEN,
		[ACCORD_PATH_DIRECT] = REPORT_DIRECT,
		[ACCORD_PATH_LOCAL] = REPORT_LOCAL,
		[ACCORD_PATH_REFUSED] = REPORT_REFUSED};
	return wire[path];
}

static void add_proven(struct report *report, const struct accord_proven *proven)
{
	report->hops = proven->proxies;
	for (size_t i = 0; i < proven->proxies; i++) {
		const struct accord_proven_proxy *proxy = &proven->proxy[i];
		report->hop[i] = (struct report_hop){
			.name = bytes_str(proxy->who.name), .role = proxy->hop.role, .purpose = proxy->purpose};
	}
	if (proven->sealed)
		report->told |= REPORT_TOLD_SEALED;
	if (proven->has_verdict) {
		report->told |= REPORT_TOLD_VERDICT;
		report->statement = proven->verdict.statement;
	}
}

static void tell(void *ctx, SSL *ssl, const struct accord_outcome *outcome)
{
	const char *name = SSL_get_servername(ssl, TLSEXT_NAMETYPE_host_name);
	char *address = name ? NULL : X509_VERIFY_PARAM_get1_ip_asc(SSL_get0_param(ssl));
	const char *host = name ? name : address;
	struct report report = {.kind = REPORT_CONNECTION,
		.path = wire_path(outcome->path),
		.host = host ? bytes_str(host) : BYTES_NONE};
	(void)ctx;
	if (outcome->path == ACCORD_PATH_PROVEN)
		add_proven(&report, &outcome->proven);
	if (report.path == REPORT_REFUSED) {
		const struct accord_judgement *judgement = &outcome->judgement;
		report.check = (uint8_t)judgement->check;
		report.leg = (uint8_t)judgement->leg;
		report.text = bytes_str(judgement->error.text);
		if (judgement->fault != ACCORD_OK)
			report.fault = bytes_str(accord_fault_name(judgement->fault));
	}
	post_report(&report);
	OPENSSL_free(address);
}

/* For datagrams and for QUIC there is no Accord: their methods are left alone, or refused. */
static bool method_is(const SSL_METHOD *method, bool *datagram)
{
	*datagram = method == DTLS_method() || method == DTLS_client_method() || method == DTLS_server_method();
	return !*datagram && method != TLS_server_method();
}

static SSL_CTX *barred(SSL_CTX *ctx, const char *why)
{
	post_text(REPORT_BARRED, why);
	if (!require)
		return ctx;
	SSL_CTX_free(ctx);
	return NULL;
}

/*
 * A context of TLS_method() may yet become a server's. What attaching changes for clients alone is set on each
 * connection as well, so it is put back here.
 */
static bool attach(SSL_CTX *ctx, const SSL_METHOD *method, struct error *err)
{
	int least = (int)SSL_CTX_get_min_proto_version(ctx);
	long cache = SSL_CTX_get_session_cache_mode(ctx);
	if (!accord_client_attach(ctx, &config, err) || !context_take(ctx, false, err))
		return false;
	if (method == TLS_method()) {
		(void)SSL_CTX_set_min_proto_version(ctx, least);
		(void)SSL_CTX_set_session_cache_mode(ctx, cache);
	}
	return true;
}

static SSL_CTX *ctx_new(OSSL_LIB_CTX *lib, const char *propq, const SSL_METHOD *method)
{
	bool datagram;
	struct error err = {""};
	SSL_CTX *ctx = SSL_CTX_new_ex(lib, propq, method);
	if (!ctx || !method_is(method, &datagram))
		return ctx;
	if (!pact)
		return barred(ctx, fault.text);
	if (!attach(ctx, method, &err))
		return barred(ctx, err.text);
	if (!atomic_exchange(&attached, true))
		post_text(REPORT_ATTACHED, OpenSSL_version(OPENSSL_VERSION));
	return ctx;
}

static SSL_CTX *server_ctx_new(OSSL_LIB_CTX *lib, const char *propq, const SSL_METHOD *method)
{
	bool datagram;
	struct error err = {""};
	SSL_CTX *ctx = SSL_CTX_new_ex(lib, propq, method);
	(void)method_is(method, &datagram);
	if (!ctx || datagram || method == TLS_client_method())
		return ctx;
	if (!server_attach(ctx, &err))
		return barred(ctx, err.text);
	if (!atomic_exchange(&attached, true))
		post_text(REPORT_ATTACHED, OpenSSL_version(OPENSSL_VERSION));
	return ctx;
}

static struct agent_core core = {
	.ctx_new = ctx_new,
	.ctx_set_msg_callback = context_set_message,
	.set_msg_callback = context_set_ssl_message,
	.ctx_set_info_callback = context_set_info,
	.ctx_get_info_callback = context_get_info,
	.set_info_callback = context_set_ssl_info,
	.get_info_callback = context_get_ssl_info,
	.ctx_set_cert_verify_callback = context_set_verify,
	.set_verify = context_set_ssl_verify,
	.get0_peer_certificate = shown_get0,
	.get1_peer_certificate = shown_get1,
	.get_peer_cert_chain = shown_chain,
};

static void start_server(const struct agent_settings *settings)
{
	post_keep();
	server_start(settings->server);
	core.ctx_new = server_ctx_new;
	core.get0_peer_certificate = server_peer_get0;
	core.get1_peer_certificate = server_peer_get1;
	core.get_peer_cert_chain = server_peer_chain;
}

const struct agent_core *agent_core_start(const struct agent_settings *settings)
{
	struct pact_terms terms = {.anchors = settings->anchors,
		.trust = settings->trust,
		.proxy = settings->proxy,
		.proxies = settings->proxies};
	/* The preloaded object has a copy of its own of what is linked into both. */
	post_open(settings->report, settings->token);
	core.real_ctx_new = (const void *)(uintptr_t)SSL_CTX_new;
	require = settings->require;
	if (settings->server) {
		start_server(settings);
		return &core;
	}
	if (!pact_make(&pact, &terms, &fault))
		pact = NULL;
	/* Once read it stays: it is the program's for as long as it runs. */
	EVP_PKEY *approval = settings->approval ? private_key_read(settings->approval, &fault) : NULL;
	if (settings->approval && !approval)
		pact = NULL;
	config = (struct accord_client_config){.rule = require ? ACCORD_REQUIRE : ACCORD_PREFER,
		.accepted_roles = settings->roles,
		.ctx = pact,
		.verify_proxy = pact_verify_proxy,
		.verify_server = pact_verify_server,
		.lib = pact ? pact_lib(pact) : NULL,
		.decode = pact ? pact_decode : NULL,
		.now_s = pact_now,
		.report = tell,
		.approval_key = approval,
		.next_verify = context_next_verify};
	return &core;
}
