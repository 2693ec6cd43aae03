#include "proxy/upstream.h"

#include "accord/proxy_leg.h"
#include "base/cache.h"
#include "base/clock.h"
#include "pki/summary.h"
#include "proxy/accord_opening.h"
#include "proxy/conn.h"
#include "proxy/local_parts.h"
#include "proxy/offer.h"
#include "proxy/opening.h"
#include "proxy/report.h"
#include "proxy/worker.h"
#include "tls/suite.h"

#include <openssl/core_names.h>
#include <openssl/err.h>
#include <openssl/sha.h>
#include <stdio.h>
#include <stdlib.h>

#define SESSIONS_PER_KEY                                                                                               \
	8 /* servers send several tickets, each good once (RFC 8446, C.4); clients open several at a time */
#define SESSION_MAX_S 3600

struct upstream {
	struct worker *worker;
	SSL_CTX *ctx, *accord; /* with Accord: nothing is resumed */
	SSL_CTX *local[ACCORD_ANY_ROLE +
		       1]; /* as a client of Accord, by the roles that are offered; NULL: we are none */
	int (*security)(const SSL *, const SSL_CTX *, int, int, int, void *, void *); /* libssl's own judgement */
	struct offer_known known;
	struct cache *sessions; /* by conn->session_key: struct kept */
	struct upstream_counts counts;
};

/* What is kept for one client and server, all from handshakes that verified. Newest session last. */
struct kept {
	SSL_SESSION *sessions[SESSIONS_PER_KEY];
	size_t count;
	int64_t ends_s;
	bool asked; /* for a client certificate, when the sessions were made: a resumed handshake does not ask again */
};

static void kept_free(void *value)
{
	struct kept *kept = value;
	for (size_t i = 0; i < kept->count; i++)
		SSL_SESSION_free(kept->sessions[i]);
	free(kept);
}

static struct conn *conn_of(const SSL *ssl)
{
	struct leg *leg = SSL_get_app_data(ssl);
	return (struct conn *)(void *)((char *)leg - offsetof(struct conn, leg2));
}

static int64_t now_s(void)
{
	return (int64_t)(clock_wall_ns() / NS_PER_S);
}

/* What a server that asks would be shown; NULL: nothing. */
static const struct identity *identity_of(const struct conn *conn)
{
	const struct opening *o = conn->opening;
	return identities_find(conn->worker->snapshot.identities, o->verdict.options.client_cert, o->name.text);
}

/*
 * Sessions are bound to the client, the name, where the server was found, what was offered and the rules in force: one
 * made for one client or under one policy is never used for another.
 */
static void make_session_key(struct conn *conn)
{
	const struct opening *o = conn->opening;
	struct writer w = writer_over(conn->worker->scratch, WORKER_SCRATCH);
	writer_bytes(&w, bytes_of(conn->peer.ip, sizeof(conn->peer.ip)));
	writer_bytes(&w, bytes_of(conn->origin.ip, sizeof(conn->origin.ip)));
	writer_u16(&w, conn->origin.port);
	/* Behind another proxy the address is that proxy's: what was asked of it tells servers apart. */
	writer_vec16(&w, bytes_str(o->target.host));
	writer_u16(&w, o->target.port);
	/* What was required of one handshake is not known of another. */
	writer_u8(&w, (uint8_t)o->verdict.options.require);
	writer_u8(&w, (uint8_t)o->verdict.options.allow);
	writer_bytes(&w, bytes_of(policy_digest(o->policy), POLICY_DIGEST));
	writer_u64(&w, trust_generation(conn->worker->trust));
	/* The rules name a file: what stands in it may have changed since, and a session goes on as whom it began. */
	const struct identity *identity = identity_of(conn);
	writer_vec16(&w, identity ? bytes_of(identity->digest, sizeof(identity->digest)) : BYTES_NONE);
	writer_vec16(&w, bytes_str(o->name.text));
	writer_vec16(&w, o->hello.suites);
	writer_vec16(&w, o->hello.versions);
	writer_vec16(&w, o->hello.alpn);
	SHA256(w.data, w.len, conn->session_key);
}

static struct bytes session_key(const struct conn *conn)
{
	return bytes_of(conn->session_key, sizeof(conn->session_key));
}

/* libssl asks whether we keep a new session: it comes with the handshake (1.2) or with a ticket at any time (1.3). */
static int session_new(SSL *ssl, SSL_SESSION *session)
{
	struct conn *conn = conn_of(ssl);
	struct upstream *up = conn->worker->upstream;
	if (conn->session_ends_s <= now_s() || !SSL_SESSION_is_resumable(session))
		return 0;
	struct kept *kept = cache_steal(up->sessions, session_key(conn));
	if (!kept)
		kept = calloc(1, sizeof(*kept));
	if (!kept)
		return 0;
	if (kept->count == SESSIONS_PER_KEY) {
		SSL_SESSION_free(kept->sessions[0]);
		kept->count--;
		for (size_t i = 0; i < kept->count; i++)
			kept->sessions[i] = kept->sessions[i + 1];
	}
	kept->sessions[kept->count++] = session;
	kept->ends_s = conn->session_ends_s;
	kept->asked = conn->session_asked;
	up->counts.kept++;
	cache_put(up->sessions, session_key(conn), kept);
	return 1;
}

/* The newest session leaves the cache for this connection. */
static void offer_session(struct conn *conn)
{
	struct upstream *up = conn->worker->upstream;
	struct kept *kept = cache_get(up->sessions, session_key(conn));
	if (!kept)
		return;
	if (kept->ends_s <= now_s()) {
		cache_remove(up->sessions, session_key(conn));
		return;
	}
	SSL_SESSION *session = kept->sessions[--kept->count];
	if (SSL_SESSION_is_resumable(session) && SSL_set_session(conn->leg2.ssl, session) == 1) {
		conn->session_ends_s = kept->ends_s;
		conn->opening->session_offered = true;
		conn->opening->session_asked = kept->asked;
		up->counts.offered++;
	}
	SSL_SESSION_free(session);
	if (kept->count == 0)
		cache_remove(up->sessions, session_key(conn));
}

/* Verification. */

static struct bytes staple_of(SSL *ssl)
{
	const unsigned char *staple = NULL;
	long len = SSL_get_tlsext_status_ocsp_resp(ssl, &staple);
	return len > 0 ? bytes_of(staple, (size_t)len) : BYTES_NONE;
}

static struct verify_request request_for(const struct conn *conn, SSL *ssl)
{
	const SSL_CIPHER *cipher = SSL_get_pending_cipher(ssl);
	bool rsa = cipher && SSL_CIPHER_get_kx_nid(cipher) == NID_kx_rsa;
	unsigned require = conn->opening->verdict.options.require;
	return (struct verify_request){
		.host = &conn->opening->name,
		.staple = staple_of(ssl),
		.now_s = now_s(),
		.use = rsa ? VERIFY_USE_ENCIPHER : VERIFY_USE_SIGN,
		.policy =
			{
				.require_staple = require & POLICY_REQUIRE_STAPLE,
				.require_crl = require & POLICY_REQUIRE_CRL,
				.require_status = require & POLICY_REQUIRE_STATUS,
			},
	};
}

/* A rule may want an invalid certificate mirrored instead of refused: only then does the handshake go on with it. */
static bool mirrors(struct conn *conn)
{
	struct opening *o = conn->opening;
	struct policy_facts facts = o->facts;
	struct policy_verdict verdict;
	facts.faults = o->verified.faults;
	facts.known |= POLICY_FACT_VERIFICATION;
	if (!policy_decide(o->policy, &facts, &verdict)) {
		facts.issuer_cn = facts.issuer_o = BYTES_NONE;
		facts.client_certificate_requested = false;
		facts.known |= POLICY_PASS_SECOND;
		(void)policy_decide(o->policy, &facts, &verdict);
	}
	return verdict.decided && verdict.action == POLICY_INSPECT && verdict.options.invalid == POLICY_INVALID_MIRROR;
}

/*
 * The issuer is missing and a rule lets it be fetched. True: it was, lately, and the verification is worth repeating. Else
 * aia_url says where to get it, for the next attempt.
 */
static bool issuer_is_known(struct conn *conn, X509 *leaf, struct verify_request *request)
{
	struct opening *o = conn->opening;
	bool missing = o->verified.faults & VERIFY_FAULT_BIT(VERIFY_MISSING_INTERMEDIATE);
	o->aia_url[0] = '\0';
	if (!missing || !o->verdict.options.aia || !leaf || !cert_issuer_url(leaf, o->aia_url, sizeof(o->aia_url)))
		return false;
	request->extra = aia_find(conn->worker->aia, o->aia_url);
	return request->extra != NULL;
}

/* Sessions of a handshake that did not verify are never kept. */
static void set_session_end(struct conn *conn)
{
	const struct verify_verdict *verified = &conn->opening->verified;
	int64_t latest = now_s() + SESSION_MAX_S;
	conn->session_ends_s = verified->ends_s < latest ? verified->ends_s : latest;
	if (verified->fault != VERIFY_OK)
		conn->session_ends_s = 0;
}

static int verify(X509_STORE_CTX *store, void *unused)
{
	(void)unused;
	SSL *ssl = X509_STORE_CTX_get_ex_data(store, SSL_get_ex_data_X509_STORE_CTX_idx());
	struct conn *conn = conn_of(ssl);
	struct opening *o = conn->opening;
	if (!o)
		return 0;
	if (o->accord.on && accord_leg2_meets_proxy(ssl)) {
		o->judged = true;
		return accord_judge_proxy(conn, store);
	}
	struct verify_request request = request_for(conn, ssl);
	o->judged = true;
	bool good = verify_store_ctx(conn->worker->verifier, store, &request, &o->verified);
	if (!good && issuer_is_known(conn, X509_STORE_CTX_get0_cert(store), &request))
		good = verify_store_ctx(conn->worker->verifier, store, &request, &o->verified);
	set_session_end(conn);
	if (good)
		return 1;
	/* In TLS 1.2 the staple follows the certificate: check_staple decides when it is there. */
	bool early = SSL_version(ssl) < TLS1_3_VERSION && o->verified.faults == VERIFY_FAULT_BIT(VERIFY_STAPLE_MISSING);
	return early || mirrors(conn);
}

/* TLS 1.2: the whole flight is in. Runs whether or not a staple came. */
static int check_staple(SSL *ssl, void *unused)
{
	(void)unused;
	struct conn *conn = conn_of(ssl);
	struct opening *o = conn->opening;
	X509 *leaf = SSL_get0_peer_certificate(ssl);
	if (!o || !leaf)
		return o != NULL;
	if (SSL_version(ssl) >= TLS1_3_VERSION || (staple_of(ssl).len == 0 && o->verified.fault == VERIFY_OK))
		return 1;
	struct verify_request request = request_for(conn, ssl);
	if (o->aia_url[0] != '\0')
		request.extra = aia_find(conn->worker->aia, o->aia_url);
	verify_chain(conn->worker->verifier, leaf, SSL_get_peer_cert_chain(ssl), &request, &o->verified);
	set_session_end(conn);
	return o->verified.fault == VERIFY_OK || mirrors(conn);
}

/*
 * The server asks for a client certificate and none is configured for it: the handshake stands still, so that nothing is
 * promised and the client itself can be asked (step aside).
 */
static int client_certificate(SSL *ssl, void *unused)
{
	(void)unused;
	struct conn *conn = conn_of(ssl);
	struct opening *o = conn->opening;
	if (!o)
		return 0;
	if (o->accord.on && accord_certificate_due(conn))
		return accord_certificate(conn, ssl);
	conn->session_asked = o->certificate_requested = true;
	if (o->certificate_empty)
		return 1;
	const struct identity *identity = identity_of(conn);
	/* Shown to servers that verified, to no others. */
	if (identity && o->verified.fault == VERIFY_OK) {
		o->shown = true;
		memcpy(o->shown_digest, identity->digest, sizeof(o->shown_digest));
		return SSL_use_cert_and_key(ssl, identity->cert, identity->key, identity->chain, 1);
	}
	o->certificate_lacking = true;
	return -1;
}

static void keylog(const SSL *ssl, const char *line)
{
	report_keylog(conn_of(ssl), line);
}

/* A server's own group may be so large that one handshake in it keeps everybody else waiting for a second. */
#define DH_BITS_MAX 4096

static int security(const SSL *ssl, const SSL_CTX *ctx, int op, int bits, int nid, void *other, void *ex)
{
	const struct upstream *up = ex;
	if (op == SSL_SECOP_TMP_DH && other && EVP_PKEY_get_bits(other) > DH_BITS_MAX)
		return 0;
	return up->security(ssl, ctx, op, bits, nid, other, ex);
}

static bool ask_known(const struct worker *worker, struct offer_known *known)
{
	SSL_CTX *ctx = SSL_CTX_new_ex(slim_lib(worker->slim), NULL, TLS_client_method());
	if (!ctx)
		return false;
	offer_ask(known, ctx);
	SSL_CTX_free(ctx); /* asking has left its lists behind */
	return true;
}

static SSL_CTX *make_ctx(const struct worker *worker)
{
	SSL_CTX *ctx = SSL_CTX_new_ex(slim_lib(worker->slim), NULL, TLS_client_method());
	if (!ctx)
		return NULL;
	SSL_CTX_set_options(ctx, SSL_OP_NO_RENEGOTIATION | SSL_OP_NO_COMPRESSION);
	SSL_CTX_set_mode(ctx, SSL_MODE_RELEASE_BUFFERS);
	SSL_CTX_set_read_ahead(ctx, 1);
	/* Longer chains than libssl's own limit get as far as the verifier, which names what is wrong with them. */
	SSL_CTX_set_max_cert_list(ctx, VERIFY_MAX_BYTES + 4096);
	SSL_CTX_set_default_read_buffer_len(ctx, LEG_FLUSH);
	leg_set_security(ctx);
	SSL_CTX_set_verify(ctx, SSL_VERIFY_PEER, NULL);
	SSL_CTX_set_cert_verify_callback(ctx, verify, NULL);
	SSL_CTX_set_tlsext_status_type(ctx, TLSEXT_STATUSTYPE_ocsp);
	SSL_CTX_set_tlsext_status_cb(ctx, check_staple);
	SSL_CTX_set_cert_cb(ctx, client_certificate, NULL);
	SSL_CTX_set_session_cache_mode(ctx, SSL_SESS_CACHE_CLIENT | SSL_SESS_CACHE_NO_INTERNAL);
	SSL_CTX_sess_set_new_cb(ctx, session_new);
	if (worker->config->keylog)
		SSL_CTX_set_keylog_callback(ctx, keylog);
	return ctx;
}

static SSL_CTX *make_accord_ctx(const struct worker *worker, struct error *err)
{
	SSL_CTX *ctx = make_ctx(worker);
	if (ctx)
		SSL_CTX_set_session_cache_mode(ctx, SSL_SESS_CACHE_OFF);
	if (ctx && accord_leg2_register(ctx, err))
		return ctx;
	SSL_CTX_free(ctx);
	return NULL;
}

/* Nothing is resumed there either, and libssl's staple is judged with the chain. */
static SSL_CTX *make_local_ctx(const struct worker *worker, uint8_t roles, struct error *err)
{
	SSL_CTX *ctx = make_ctx(worker);
	if (!ctx)
		return NULL;
	SSL_CTX_set_tlsext_status_cb(ctx, NULL);
	if (local_attach(worker->mine, ctx, roles, verify, err))
		return ctx;
	SSL_CTX_free(ctx);
	return NULL;
}

static bool make_local(struct upstream *up, struct error *err)
{
	bool ok = true;
	for (uint8_t roles = 0; ok && up->worker->mine && roles <= ACCORD_ANY_ROLE; roles++) {
		up->local[roles] = make_local_ctx(up->worker, roles, err);
		ok = up->local[roles] != NULL;
	}
	return ok;
}

static void guard(struct upstream *up, SSL_CTX *ctx)
{
	SSL_CTX_set0_security_ex_data(ctx, up);
	SSL_CTX_set_security_callback(ctx, security);
}

struct upstream *upstream_new(struct worker *worker, struct error *err)
{
	struct upstream *up = calloc(1, sizeof(*up));
	if (!up) {
		error_set(err, "no memory for the upstream context");
		return NULL;
	}
	up->worker = worker;
	up->ctx = ask_known(worker, &up->known) ? make_ctx(worker) : NULL;
	up->accord = make_accord_ctx(worker, err);
	up->sessions = cache_new(worker->config->session_cache ? worker->config->session_cache : 1, kept_free);
	if (up->ctx && up->accord && up->sessions && make_local(up, err)) {
		up->security = SSL_CTX_get_security_callback(up->ctx);
		guard(up, up->ctx);
		guard(up, up->accord);
		for (size_t i = 0; i <= ACCORD_ANY_ROLE && up->local[i]; i++)
			guard(up, up->local[i]);
		return up;
	}
	error_set_openssl(err, "the upstream TLS context cannot be made");
	upstream_free(up);
	return NULL;
}

void upstream_free(struct upstream *up)
{
	if (!up)
		return;
	cache_free(up->sessions);
	SSL_CTX_free(up->ctx);
	SSL_CTX_free(up->accord);
	for (size_t i = 0; i <= ACCORD_ANY_ROLE; i++)
		SSL_CTX_free(up->local[i]);
	free(up);
}

struct upstream_counts upstream_count(const struct upstream *up)
{
	struct upstream_counts counts = up->counts;
	struct cache_counts cache = cache_count(up->sessions);
	counts.evicted = cache.evicted;
	counts.held = cache.held;
	counts.cap = cache.cap;
	return counts;
}

static bool set_names(struct conn *conn, SSL *ssl)
{
	const struct opening *o = conn->opening;
	/* Accord's client checks that its own name was asked for, or none. */
	bool named = !o->name.is_ip && (!o->accord.on || o->hello.sni == SNI_OK);
	if (named && SSL_set_tlsext_host_name(ssl, o->name.text) != 1)
		return false;
	/* As a client we know from the program which address it wants. */
	if (conn->worker->mine && o->name.is_ip &&
		X509_VERIFY_PARAM_set1_ip(SSL_get0_param(ssl), o->name.ip, o->name.ip_len) != 1)
		return false;
	/* SSL_set_alpn_protos returns 0 on success. */
	return o->hello.alpn.len == 0 || SSL_set_alpn_protos(ssl, o->hello.alpn.data, (unsigned)o->hello.alpn.len) == 0;
}

/* The program's own part of the connection ends here: an old one is no reason to do without Accord. */
static void offer_for_local(const struct conn *conn, struct offer *offer)
{
	bool required = local_required(conn->worker->mine);
	if (offer->max_version < TLS1_3_VERSION)
		offer->suites13[0] = offer->groups[0] = offer->sigalgs[0] = '\0';
	offer->max_version = TLS1_3_VERSION;
	if (required) {
		offer->min_version = TLS1_3_VERSION;
		offer->suites12[0] = '\0';
	}
}

static bool make_offer(struct conn *conn, struct offer *offer)
{
	const struct opening *o = conn->opening;
	bool rsa = o->verdict.options.allow & POLICY_ALLOW_TLS12_RSA;
	if (!offer_make(offer, &conn->worker->upstream->known, &o->hello, rsa))
		return false;
	if (conn->worker->mine)
		offer_for_local(conn, offer);
	return !o->accord.on || offer_tls13_only(offer);
}

static SSL_CTX *context_for(const struct conn *conn)
{
	const struct upstream *up = conn->worker->upstream;
	if (conn->worker->mine)
		return up->local[local_roles(conn)];
	return conn->opening->accord.on ? up->accord : up->ctx;
}

enum upstream_offer upstream_begin(struct conn *conn, struct error *err)
{
	struct opening *o = conn->opening;
	struct offer offer;
	if (!make_offer(conn, &offer)) {
		error_set(err, o->accord.on
				       ? "for Accord the client offers no suite, group or signature scheme of TLS 1.3 "
					 "that is known here"
				       : "the client offers no TLS 1.2 or 1.3 cipher suite that is both known and "
					 "strong");
		return UPSTREAM_NOTHING_SHARED;
	}
	SSL *ssl = SSL_new(context_for(conn));
	bool made = ssl && leg_init(&conn->leg2, ssl, &conn->server, &conn->worker->room, BYTES_NONE);
	if (!made) {
		error_set(err, "no memory for another TLS connection");
		return UPSTREAM_NO_MEMORY;
	}
	/* What still waits for the server in the clear (STARTTLS, PROXY header) goes first. */
	conn->leg2.box = conn->to_server;
	conn->to_server = (struct outbox){0};
	if (!offer_apply(&offer, ssl) || !set_names(conn, ssl)) {
		error_set_openssl(err, "libssl does not take the offer made for this client");
		leg_free(&conn->leg2);
		return UPSTREAM_NO_MEMORY;
	}
	if (o->accord.on && !accord_introduce(conn, err)) {
		leg_free(&conn->leg2);
		return UPSTREAM_NO_MEMORY;
	}
	SSL_set_connect_state(ssl);
	o->verified = (struct verify_verdict){.fault = VERIFY_INTERNAL,
		.faults = VERIFY_FAULT_BIT(VERIFY_INTERNAL),
		.depth = -1,
		.text = "nothing was verified"};
	o->judged = o->certificate_requested = o->certificate_lacking = o->certificate_empty = false;
	o->shown = conn->session_asked = false;
	if (!o->accord.on && !conn->worker->mine) {
		make_session_key(conn);
		offer_session(conn);
	}
	return UPSTREAM_OFFERED;
}

/* RFC 7919 groups are known by name; a server's own may be anything, and OpenSSL 3.0 does not test it for primality. */
static bool group_is_named(SSL *ssl)
{
	EVP_PKEY *key = NULL;
	char name[64] = "";
	if (SSL_get_peer_tmp_key(ssl, &key) != 1)
		return false;
	bool named = EVP_PKEY_get_utf8_string_param(key, OSSL_PKEY_PARAM_GROUP_NAME, name, sizeof(name), NULL) == 1 &&
	             strncmp(name, "ffdhe", 5) == 0;
	EVP_PKEY_free(key);
	ERR_clear_error();
	return named;
}

bool upstream_acceptable(const struct conn *conn, struct error *err)
{
	SSL *ssl = conn->leg2.ssl;
	const struct opening *o = conn->opening;
	unsigned allow = o->verdict.options.allow;
	if (SSL_version(ssl) >= TLS1_3_VERSION)
		return true;
	const char *remedy = "a rule that names the host may allow it";
	const SSL_CIPHER *cipher = SSL_get_current_cipher(ssl);
	const struct suite *suite = cipher ? suite_find(SSL_CIPHER_get_protocol_id(cipher)) : NULL;
	if (!suite)
		return error_set(err, "the server chose a cipher suite that is not known here");
	if (suite->kx == SUITE_KX_RSA && !(allow & POLICY_ALLOW_TLS12_RSA))
		return error_set(
			err, "the server uses RSA key exchange (no forward secrecy); %s with allow: tls12-rsa", remedy);
	if (suite->kx == SUITE_KX_DHE && !(allow & POLICY_ALLOW_DHE_CUSTOM) && !SSL_session_reused(ssl) &&
		!group_is_named(ssl))
		return error_set(err,
			"the server uses a DHE group that RFC 7919 does not name; %s with allow: dhe-custom", remedy);
	if (SSL_get_extms_support(ssl) != 1 && !(allow & POLICY_ALLOW_NO_EMS))
		return error_set(err,
			"the server does not use extended master secret (RFC 7627); %s with allow: no-ems", remedy);
	if (!o->hello.has_extended_master_secret && !(allow & POLICY_ALLOW_NO_EMS))
		return error_set(err,
			"the client does not offer extended master secret (RFC 7627); %s with allow: no-ems", remedy);
	return true;
}

void upstream_settle(struct conn *conn)
{
	/* The stack belongs to the session, which nobody asks for its issuers any more: a fifth of an idle connection. */
	STACK_OF(X509) *chain = SSL_get_peer_cert_chain(conn->leg2.ssl);
	while (chain && sk_X509_num(chain) > 1)
		X509_free(sk_X509_pop(chain));
}
