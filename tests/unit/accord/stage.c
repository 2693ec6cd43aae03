#include "stage.h"

#include "accord/seal.h"

#include <openssl/x509v3.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>

#include <cmocka.h>

static X509_STORE *store_of(const struct forged *root)
{
	X509_STORE *store = X509_STORE_new();
	assert_non_null(store);
	assert_int_equal(X509_STORE_add_cert(store, root->cert), 1);
	return store;
}

struct forge_spec cast_proxy_spec(const struct cast *cast, const char *name)
{
	static char san[ACCORD_MAX_HOPS * 2][64];
	static unsigned next;
	char *text = san[next++ % (ACCORD_MAX_HOPS * 2)];
	snprintf(text, sizeof(san[0]), "DNS:%s", name);
	struct forge_spec spec = forge_leaf_spec(name, text, &cast->accord_root);
	spec.from_s = FORGE_NOW - FORGE_DAY;
	spec.until_s = FORGE_NOW + 5 * FORGE_DAY;
	forge_extension(&spec, "extendedKeyUsage", "clientAuth," ACCORD_KEY_PURPOSE_OID);
	return spec;
}

void cast_make(struct cast *cast)
{
	static const char *const names[] = {"one.proxy.test", "two.proxy.test", "three.proxy.test", "four.proxy.test"};
	*cast = (struct cast){0};
	cast->web_root = forge_root("Web Root");
	cast->accord_root = forge_root("Accord Anchor");
	cast->minted_root = forge_root("Local CA");
	cast->server = forge_leaf(STAGE_HOST, &cast->web_root);
	cast->minted = forge_leaf(STAGE_HOST, &cast->minted_root);
	for (size_t i = 0; i < ACCORD_MAX_HOPS; i++) {
		struct forge_spec spec = cast_proxy_spec(cast, names[i]);
		cast->proxy[i] = forge(&spec);
	}
	cast->web = store_of(&cast->web_root);
	cast->accord = store_of(&cast->accord_root);
	cast->local = store_of(&cast->minted_root);
}

void cast_free(struct cast *cast)
{
	forged_free(&cast->web_root);
	forged_free(&cast->accord_root);
	forged_free(&cast->minted_root);
	forged_free(&cast->server);
	forged_free(&cast->minted);
	for (size_t i = 0; i < ACCORD_MAX_HOPS; i++)
		forged_free(&cast->proxy[i]);
	X509_STORE_free(cast->web);
	X509_STORE_free(cast->accord);
	X509_STORE_free(cast->local);
}

static bool verify_proxy(void *ctx, const struct accord_chain *chain, struct accord_identity *who, struct error *err)
{
	const struct stage *stage = ctx;
	return accord_chain_verify(stage->cast->accord, NULL, chain, FORGE_NOW, who, err);
}

/* As little as a test needs: path, time, name. */
static bool verify_server(
	void *ctx, const struct accord_chain *chain, struct bytes host, struct bytes address, struct error *err)
{
	const struct stage *stage = ctx;
	const unsigned char *at = chain->cert[0].data;
	X509 *leaf = d2i_X509(NULL, &at, (long)chain->cert[0].len);
	X509_STORE_CTX *store = X509_STORE_CTX_new();
	bool ok = leaf && X509_STORE_CTX_init(store, stage->cast->web, leaf, NULL) == 1;
	if (ok) {
		X509_VERIFY_PARAM *param = X509_STORE_CTX_get0_param(store);
		X509_VERIFY_PARAM_set_time(param, FORGE_NOW);
		ok = X509_VERIFY_PARAM_set_purpose(param, X509_PURPOSE_SSL_SERVER) == 1;
		ok = ok && (host.len > 0 ? X509_VERIFY_PARAM_set1_host(param, (const char *)host.data, host.len)
					 : X509_VERIFY_PARAM_set1_ip(param, address.data, address.len)) == 1;
		ok = ok && X509_verify_cert(store) == 1;
	}
	if (!ok)
		(void)error_set(err, "the server: %s", X509_verify_cert_error_string(X509_STORE_CTX_get_error(store)));
	X509_STORE_CTX_free(store);
	X509_free(leaf);
	return ok;
}

struct accord_trust stage_trust(struct stage *stage)
{
	return (struct accord_trust){
		.ctx = stage, .now_s = FORGE_NOW, .verify_proxy = verify_proxy, .verify_server = verify_server};
}

static void on_report(void *ctx, SSL *ssl, const struct accord_outcome *outcome)
{
	struct stage *stage = ctx;
	(void)ssl, (void)outcome;
	stage->reports++;
}

static void on_rule(void *ctx, SSL *ssl, const struct accord_claim *claim, struct accord_ruling *out)
{
	const struct stage *stage = ctx;
	(void)ssl;
	assert_true(claim->introduced || claim->sealed);
	*out = stage->script.ruling;
}

static bool on_enrolled(void *ctx, SSL *ssl, struct bytes key)
{
	const struct stage *stage = ctx;
	unsigned char *spki = NULL;
	(void)ssl;
	if (!stage->script.enrolled)
		return false;
	int len = i2d_PUBKEY(stage->script.enrolled, &spki);
	bool same = len > 0 && bytes_equal(key, bytes_of(spki, (size_t)len));
	OPENSSL_free(spki);
	return same;
}

static int take_h2(
	SSL *ssl, const unsigned char **out, unsigned char *len, const unsigned char *in, unsigned in_len, void *arg)
{
	(void)ssl;
	const char *wanted = arg;
	struct bytes list = bytes_of(in, in_len);
	struct bytes name;
	while (bytes_vec8(&list, &name)) {
		if (bytes_equal(name, bytes_str(wanted))) {
			*out = name.data;
			*len = (unsigned char)name.len;
			return SSL_TLSEXT_ERR_OK;
		}
	}
	return SSL_TLSEXT_ERR_NOACK;
}

/* The hello is held while the server is asked, so what it chose is known here. */
static int take_chosen(
	SSL *ssl, const unsigned char **out, unsigned char *len, const unsigned char *in, unsigned in_len, void *arg)
{
	const struct stage *stage = arg;
	const unsigned char *chosen;
	unsigned chosen_len;
	if (stage->script.leg1_alpn)
		return take_h2(ssl, out, len, in, in_len, (void *)(uintptr_t)stage->script.leg1_alpn);
	size_t i = 0;
	while (stage->leg1[i] != ssl)
		i++;
	SSL_get0_alpn_selected(stage->leg2[i], &chosen, &chosen_len);
	if (chosen_len == 0)
		return SSL_TLSEXT_ERR_NOACK;
	*out = chosen;
	*len = (unsigned char)chosen_len;
	return SSL_TLSEXT_ERR_OK;
}

static void use(SSL_CTX *ctx, const struct forged *identity)
{
	assert_int_equal(SSL_CTX_use_certificate(ctx, identity->cert), 1);
	assert_int_equal(SSL_CTX_use_PrivateKey(ctx, identity->key), 1);
}

static SSL *joined(SSL_CTX *ctx, bool client)
{
	SSL *ssl = SSL_new(ctx);
	assert_non_null(ssl);
	BIO *in = BIO_new(BIO_s_mem());
	BIO *out = BIO_new(BIO_s_mem());
	BIO_set_mem_eof_return(in, -1);
	SSL_set_bio(ssl, in, out);
	if (client)
		SSL_set_connect_state(ssl);
	else
		SSL_set_accept_state(ssl);
	return ssl;
}

static bool carry(SSL *from, SSL *to)
{
	char *data;
	long len = BIO_get_mem_data(SSL_get_wbio(from), &data);
	if (len <= 0)
		return false;
	assert_int_equal(BIO_write(SSL_get_rbio(to), data, (int)len), len);
	(void)BIO_reset(SSL_get_wbio(from));
	return true;
}

/* Goes on until neither has anything to say. True when both have finished. */
static bool converse(SSL *client, SSL *server)
{
	bool moved = true;
	while (moved) {
		(void)SSL_do_handshake(client);
		moved = carry(client, server);
		(void)SSL_do_handshake(server);
		moved |= carry(server, client);
	}
	return SSL_is_init_finished(client) && SSL_is_init_finished(server);
}

/* libssl's macros take these texts without const, and change nothing in them. */
static void ask_for(SSL *ssl, const char *name)
{
	char copy[256];
	snprintf(copy, sizeof(copy), "%s", name);
	assert_int_equal(SSL_set_tlsext_host_name(ssl, copy), 1);
}

static void use_groups(SSL_CTX *ctx, const char *names)
{
	char copy[64];
	snprintf(copy, sizeof(copy), "%s", names);
	assert_int_equal(SSL_CTX_set1_groups_list(ctx, copy), 1);
}

static void make_client(struct stage *stage)
{
	const struct script *script = &stage->script;
	struct accord_client_config config = {
		.rule = script->rule,
		.accepted_roles = script->roles ? script->roles : ACCORD_ANY_ROLE,
		.ctx = stage,
		.verify_proxy = verify_proxy,
		.verify_server = verify_server,
		.report = on_report,
		.approval_key = script->approval_key,
	};
	stage->client_ctx = SSL_CTX_new(TLS_client_method());
	X509_VERIFY_PARAM_set_time(SSL_CTX_get0_param(stage->client_ctx), FORGE_NOW);
	SSL_CTX_set1_cert_store(stage->client_ctx, stage->cast->local);
	SSL_CTX_set_verify(stage->client_ctx, SSL_VERIFY_PEER, NULL);
	if (!accord_client_attach(stage->client_ctx, &config, &stage->error))
		fail_msg("%s", stage->error.text);
	use_groups(stage->client_ctx, "X25519:P-256:P-384");
	stage->client = joined(stage->client_ctx, true);
	ask_for(stage->client, STAGE_HOST);
	SSL_set1_host(stage->client, STAGE_HOST);
	if (script->alpn)
		SSL_set_alpn_protos(stage->client, (const unsigned char *)"\x02h2\x08http/1.1", 12);
	if (script->tune_client)
		script->tune_client(stage->client);
}

static void make_server(struct stage *stage)
{
	const struct script *script = &stage->script;
	const struct accord_server_config config = {
		.ctx = stage, .rule = on_rule, .verify_proxy = verify_proxy, .enrolled = on_enrolled};
	stage->server_ctx = SSL_CTX_new(TLS_server_method());
	use(stage->server_ctx, script->server ? script->server : &stage->cast->server);
	if (script->retry)
		use_groups(stage->server_ctx, "P-384");
	if (script->leg2_tls12)
		SSL_CTX_set_max_proto_version(stage->server_ctx, TLS1_2_VERSION);
	SSL_CTX_set_alpn_select_cb(stage->server_ctx, take_h2, (void *)(uintptr_t) "h2");
	if (script->aware && !accord_server_attach(stage->server_ctx, &config, &stage->error))
		fail_msg("%s", stage->error.text);
	stage->server = joined(stage->server_ctx, false);
}

static int pause_for_approval(SSL *ssl, void *arg)
{
	const struct forged *identity = arg;
	if (SSL_get_app_data(ssl) == NULL)
		return accord_leg2_demanded(ssl) ? -1 : 1;
	return SSL_use_certificate(ssl, identity->cert) == 1 && SSL_use_PrivateKey(ssl, identity->key) == 1;
}

/* A proxy judges the next one by Accord anchors; what it makes of the server is not this room's. */
static int on_leg2_chain(X509_STORE_CTX *store, void *arg)
{
	const struct cast *cast = arg;
	const SSL *ssl = X509_STORE_CTX_get_ex_data(store, SSL_get_ex_data_X509_STORE_CTX_idx());
	struct accord_chain chain;
	struct accord_identity who;
	struct error err = {""};
	uint8_t *memory;
	if (!accord_leg2_meets_proxy(ssl))
		return 1;
	bool ok = accord_chain_write(X509_STORE_CTX_get0_untrusted(store), &memory, &chain) &&
	          accord_chain_verify(cast->accord, NULL, &chain, FORGE_NOW, &who, &err);
	free(memory);
	return ok;
}

static const struct forged *identity_of(const struct stage *stage, size_t index)
{
	return index == 0 && stage->script.proxy ? stage->script.proxy : &stage->cast->proxy[index];
}

static void make_proxy(struct stage *stage, size_t index, bool last)
{
	const struct script *script = &stage->script;
	const struct forged *identity = identity_of(stage, index);
	stage->leg1_ctx[index] = SSL_CTX_new(TLS_server_method());
	stage->leg2_ctx[index] = SSL_CTX_new(TLS_client_method());
	if (script->minted)
		use(stage->leg1_ctx[index], &stage->cast->minted);
	else
		use(stage->leg1_ctx[index], index == 0 && script->shown ? script->shown : identity);
	if (!script->leg1_tls12 && (!accord_leg1_register(stage->leg1_ctx[index], &stage->error) ||
					   !accord_leg2_register(stage->leg2_ctx[index], &stage->error)))
		fail_msg("%s", stage->error.text);
	if (script->retry_leg1)
		use_groups(stage->leg1_ctx[index], "P-384");
	if (script->leg1_tls12)
		SSL_CTX_set_max_proto_version(stage->leg1_ctx[index], TLS1_2_VERSION);
	SSL_CTX_set_alpn_select_cb(stage->leg1_ctx[index], take_chosen, stage);
	SSL_CTX_set_cert_verify_callback(stage->leg2_ctx[index], on_leg2_chain, (void *)(uintptr_t)stage->cast);
	SSL_CTX_set_verify(stage->leg2_ctx[index], SSL_VERIFY_PEER, NULL);
	SSL_CTX_set_cert_cb(stage->leg2_ctx[index], pause_for_approval,
		(void *)(uintptr_t)(script->approved ? script->approved : identity));
	use_groups(stage->leg2_ctx[index], "X25519:P-256:P-384");
	stage->leg1[index] = joined(stage->leg1_ctx[index], false);
	stage->leg2[index] = joined(stage->leg2_ctx[index], true);
	if (script->tune_leg2 && last)
		script->tune_leg2(stage->leg2[index]);
}

/* The ClientHello that `from` has written and nobody has read. */
static struct client_hello held_hello(SSL *from)
{
	char *data;
	long len = BIO_get_mem_data(SSL_get_wbio(from), &data);
	struct bytes in = bytes_of(data, (size_t)len);
	struct bytes fragment = BYTES_NONE;
	struct client_hello hello;
	assert_true(bytes_skip(&in, 3) && bytes_vec16(&in, &fragment) && bytes_skip(&fragment, 4));
	assert_int_equal(client_hello_parse(fragment, &hello), HELLO_OK);
	return hello;
}

/* Keeps leg 2's messages as accord_leg2_message would, for a proxy that shows a refusal as a proof. */
static void spy(int write, int version, int type, const void *data, size_t len, SSL *ssl, void *arg)
{
	struct stage *stage = arg;
	bool done = SSL_get_app_data(ssl) != NULL;
	accord_leg2_message(write, version, type, data, len, ssl, NULL);
	if (type != SSL3_RT_HANDSHAKE || done || stage->spied_len + len > sizeof(stage->spied))
		return;
	memcpy(stage->spied + stage->spied_len, data, len);
	stage->spied_len += len;
	if (!write && *(const uint8_t *)data == SSL3_MT_CERTIFICATE_VERIFY)
		SSL_set_app_data(ssl, stage);
}

static void begin_leg2(
	struct stage *stage, size_t index, const struct client_hello *hello, const struct accord_hello *told, bool last)
{
	const struct script *script = &stage->script;
	char name[256];
	struct accord_leg2_plan plan = {.client = told,
		.role = script->role ? script->role : ACCORD_READER,
		.purpose_code = 1,
		.purpose = bytes_str("looks for malware"),
		.sealed = script->sealed && last,
		.towards_proxy = !last};
	struct accord_chain chain;
	uint8_t *memory;
	STACK_OF(X509) *certs = sk_X509_new_null();
	sk_X509_push(certs, identity_of(stage, index)->cert);
	assert_true(accord_chain_write(certs, &memory, &chain));
	assert_true(accord_hash(chain.cert[0], plan.leaf_hash));
	free(memory);
	sk_X509_free(certs);
	if (!accord_leg2_begin(stage->leg2[index], &plan, &stage->error))
		return;
	snprintf(name, sizeof(name), "%.*s", (int)hello->server_name.len, (const char *)hello->server_name.data);
	if (script->server_name && last)
		snprintf(name, sizeof(name), "%s", script->server_name);
	if (name[0])
		ask_for(stage->leg2[index], name);
	if (script->push_on) {
		SSL_set_msg_callback(stage->leg2[index], spy);
		SSL_set_msg_callback_arg(stage->leg2[index], stage);
	}
	if (hello->alpn.len > 0 && !(script->no_alpn && last))
		SSL_set_alpn_protos(stage->leg2[index], hello->alpn.data, (unsigned)hello->alpn.len);
}

static bool answer(struct stage *stage, size_t index, SSL *client, const struct accord_hello *told)
{
	const struct script *script = &stage->script;
	struct bytes proof;
	static uint8_t changed[ACCORD_MAX_PROOF + 64];
	stage->leg2_result = accord_leg2_proof(stage->leg2[index], &proof);
	if (stage->leg2_result != ACCORD_LEG2_PROOF && !(script->push_on && index == 0))
		return false;
	if (script->push_on) {
		struct writer w = writer_over(changed, sizeof(changed));
		accord_proof_write(&w, &(struct accord_proof){.transcript = bytes_of(stage->spied, stage->spied_len)});
		assert_true(writer_done(&w, &proof));
	}
	size_t len = proof.len;
	if (script->other_proof.len > 0)
		proof = script->other_proof;
	if (script->tamper && index == 0) {
		memmove(changed, proof.data, proof.len);
		script->tamper(changed, &len);
		proof = bytes_of(changed, len);
	}
	if (script->no_proof)
		proof = BYTES_NONE;
	bool demand = (accord_leg2_demanded(stage->leg2[index]) && !script->no_demand) || script->own_demand;
	if (!accord_leg1_begin(stage->leg1[index], told, proof, demand, &stage->error))
		return false;
	bool up = converse(client, stage->leg1[index]);
	if (index == 0)
		stage->leg1_up = up;
	return up || index > 0;
}

/* The proxy at `index` with the client before it: from the held hello to its answer. */
static bool play_proxy(struct stage *stage, size_t index, SSL *client)
{
	size_t proxies = stage->script.proxies ? stage->script.proxies : 1;
	bool last = index + 1 == proxies;
	struct accord_hello told;
	enum accord_body_result fault;
	make_proxy(stage, index, last);
	(void)SSL_do_handshake(client);
	if (index == 0 && stage->script.on_path) {
		char *data;
		long len = BIO_get_mem_data(SSL_get_wbio(client), &data);
		stage->script.on_path((uint8_t *)data, (size_t)len);
	}
	if (BIO_pending(SSL_get_wbio(client)) == 0)
		return false;
	struct client_hello hello = held_hello(client);
	if (accord_hello_read(&hello, &told, &fault) != ACCORD_HELLO_OFFER) {
		/* No Accord: the proxy answers as it would have. */
		stage->leg1_up = converse(client, stage->leg1[index]);
		return false;
	}
	struct accord_hello lied = told;
	if (stage->script.lie)
		stage->script.lie(&lied, index);
	begin_leg2(stage, index, &hello, &lied, last);
	if (stage->error.text[0])
		return false;
	if (last)
		stage->leg2_up = converse(stage->leg2[index], stage->server);
	else if (!play_proxy(stage, index + 1, stage->leg2[index]))
		return false;
	bool up = answer(stage, index, client, &told);
	return up;
}

/* The approval goes from proxy to proxy, each of which has waited for it before its own Certificate. */
static void pass_approval(struct stage *stage)
{
	size_t proxies = stage->script.proxies ? stage->script.proxies : 1;
	for (size_t i = 0; i < proxies; i++) {
		struct bytes approval = accord_leg1_approval(stage->leg1[i]);
		bool last = i + 1 == proxies;
		if (approval.len == 0)
			return;
		SSL_set_app_data(stage->leg2[i], stage);
		if (!accord_leg2_approve(stage->leg2[i], approval, &stage->error))
			return;
		bool up = converse(stage->leg2[i], last ? stage->server : stage->leg1[i + 1]);
		stage->leg2_up = last && up;
	}
}

void stage_play(struct stage *stage, const struct cast *cast, const struct script *script)
{
	*stage = (struct stage){.cast = cast, .script = *script};
	make_client(stage);
	make_server(stage);
	if (script->direct)
		stage->leg1_up = converse(stage->client, stage->server);
	else if (play_proxy(stage, 0, stage->client))
		pass_approval(stage);
}

void stage_free(struct stage *stage)
{
	SSL_free(stage->client);
	SSL_free(stage->server);
	SSL_CTX_free(stage->client_ctx);
	SSL_CTX_free(stage->server_ctx);
	for (size_t i = 0; i < ACCORD_MAX_HOPS; i++) {
		SSL_free(stage->leg1[i]);
		SSL_free(stage->leg2[i]);
		SSL_CTX_free(stage->leg1_ctx[i]);
		SSL_CTX_free(stage->leg2_ctx[i]);
	}
}

const struct accord_outcome *stage_outcome(const struct stage *stage)
{
	const struct accord_outcome *outcome = accord_client_outcome(stage->client);
	assert_non_null(outcome);
	return outcome;
}
