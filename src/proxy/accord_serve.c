#include "proxy/accord_serve.h"

#include "accord/purpose.h"
#include "accord/server.h"
#include "base/clock.h"
#include "base/text.h"
#include "pact/rulebook.h"
#include "pki/private_key.h"
#include "policy/files.h"
#include "proxy/answer.h"
#include "proxy/conn.h"
#include "proxy/opening.h"
#include "proxy/opening_parts.h"
#include "proxy/report.h"
#include "proxy/worker.h"
#include "tls/alert.h"

#include <openssl/pem.h>
#include <stdio.h>
#include <stdlib.h>

#define ENTRY_MAX 4200
#define ABOUT     1700

struct accord_serving {
	unsigned owners; /* the snapshot, and contexts with their connections */
	struct rulebook *book;
	struct trust *anchors; /* NULL: the rules name none */
	X509 *cert;
	STACK_OF(X509) * chain;
	EVP_PKEY *key;
};

void accord_serving_drop(struct accord_serving *serving)
{
	if (!serving || --serving->owners > 0)
		return;
	rulebook_free(serving->book);
	trust_free(serving->anchors);
	X509_free(serving->cert);
	sk_X509_pop_free(serving->chain, X509_free);
	EVP_PKEY_free(serving->key);
	free(serving);
}

/* Into the bundle. */

static const char *entry_of(const char *path, char out[ENTRY_MAX])
{
	snprintf(out, ENTRY_MAX, "file:%s", path);
	return out;
}

static bool hand_out(struct bytes text, size_t max, const char *path, struct file_bytes *out, struct error *err)
{
	if (text.len > max)
		return error_set(err, "%s: over %zu octets", path, max);
	out->data = malloc(text.len + 1);
	if (!out->data)
		return error_set(err, "no memory for %s", path);
	if (text.len > 0)
		memcpy(out->data, text.data, text.len);
	out->len = text.len;
	out->cap = text.len + 1;
	return true;
}

/* Files that the rules name are added as they are asked for. `out` NULL: only added. */
static bool read_and_add(void *ctx, const char *path, size_t max, struct file_bytes *out, struct error *err)
{
	struct bundle_writer *w = ctx;
	char entry[ENTRY_MAX];
	struct bytes text;
	if (!policy_file_read(path, &text, err))
		return false;
	bundle_add(w, entry_of(path, entry), text);
	bool ok = !out || hand_out(text, max, path, out, err);
	policy_file_free(text);
	return ok;
}

static bool anchors_apart(const char *path, const struct trust *web, struct error *err)
{
	struct trust *anchors = trust_new(NULL);
	bool ok = anchors && trust_add_file(anchors, path, err) &&
	          accord_anchors_disjoint(trust_store(anchors), trust_store(web), err);
	trust_free(anchors);
	return ok || (!anchors && error_set(err, "no memory for the Accord anchors"));
}

bool accord_serving_bundle(
	struct bundle_writer *w, const struct config *config, const struct trust *web, struct error *err)
{
	const char *path = config->accord_server;
	const struct rulebook_source source = {.ctx = w, .read = read_and_add};
	struct rulebook *book = NULL;
	struct bytes text;
	char entry[ENTRY_MAX];
	if (!path)
		return true;
	if (!policy_file_read(path, &text, err))
		return error_prefix(err, "--accord-server");
	bundle_add(w, entry_of(path, entry), text);
	bool ok = rulebook_read(&book, text, path, &source, err);
	policy_file_free(text);
	const char *anchors = ok ? rulebook_anchors(book) : NULL;
	ok = ok && (!anchors || (anchors_apart(anchors, web, err) && read_and_add(w, anchors, 0, NULL, err))) &&
	     read_and_add(w, config->server_cert, 0, NULL, err) && read_and_add(w, config->server_key, 0, NULL, err);
	rulebook_free(book);
	return ok;
}

/* And out of it. */

static bool find(const struct bundle *bundle, const char *path, struct bytes *out, struct error *err)
{
	char entry[ENTRY_MAX];
	return bundle_find(bundle, entry_of(path, entry), out) || error_set(err, "%s: is not in the snapshot", path);
}

static bool read_from_bundle(void *ctx, const char *path, size_t max, struct file_bytes *out, struct error *err)
{
	struct bytes text;
	return find(ctx, path, &text, err) && hand_out(text, max, path, out, err);
}

static bool open_rules(
	struct accord_serving *serving, struct bundle *bundle, const struct config *config, struct error *err)
{
	const struct rulebook_source source = {.ctx = bundle, .read = read_from_bundle};
	struct bytes text;
	if (!find(bundle, config->accord_server, &text, err) ||
		!rulebook_read(&serving->book, text, config->accord_server, &source, err))
		return false;
	const char *anchors = rulebook_anchors(serving->book);
	if (!anchors)
		return true;
	serving->anchors = trust_new(NULL);
	return serving->anchors && find(bundle, anchors, &text, err) &&
	       trust_add_bytes(serving->anchors, text, anchors, err);
}

static bool open_cert(struct accord_serving *serving, const struct bundle *bundle, const char *path, struct error *err)
{
	struct bytes text;
	X509 *above;
	BIO *bio = find(bundle, path, &text, err) ? BIO_new_mem_buf(text.data, (int)text.len) : NULL;
	serving->cert = bio ? PEM_read_bio_X509(bio, NULL, NULL, NULL) : NULL;
	serving->chain = sk_X509_new_null();
	bool ok = serving->cert && serving->chain;
	while (ok && (above = PEM_read_bio_X509(bio, NULL, NULL, NULL)) != NULL) {
		ok = sk_X509_push(serving->chain, above) > 0;
		if (!ok)
			X509_free(above);
	}
	BIO_free(bio);
	return ok || error_set_openssl(err, "%s: holds no certificate in PEM", path);
}

static bool open_key(struct accord_serving *serving, const struct bundle *bundle, const char *path, struct error *err)
{
	struct bytes text;
	serving->key = find(bundle, path, &text, err) ? private_key_parse(text, path, err) : NULL;
	if (!serving->key)
		return false;
	return X509_check_private_key(serving->cert, serving->key) == 1 ||
	       error_set_openssl(err, "%s: does not fit the certificate of server-cert", path);
}

bool accord_serving_open(
	struct accord_serving **out, struct bundle *bundle, const struct config *config, struct error *err)
{
	*out = NULL;
	if (!config->accord_server)
		return true;
	struct accord_serving *serving = calloc(1, sizeof(*serving));
	if (!serving)
		return error_set(err, "no memory for the rules of the aware server");
	serving->owners = 1;
	if (open_rules(serving, bundle, config, err) && open_cert(serving, bundle, config->server_cert, err) &&
		open_key(serving, bundle, config->server_key, err)) {
		*out = serving;
		return true;
	}
	accord_serving_drop(serving);
	return false;
}

/* Leg 1's context. */

static void on_rule(void *ctx, SSL *ssl, const struct accord_claim *claim, struct accord_ruling *out)
{
	const struct accord_serving *serving = ctx;
	(void)ssl;
	rulebook_rule(serving->book, claim, out);
}

static bool verify_proxy(void *ctx, const struct accord_chain *chain, struct accord_identity *who, struct error *err)
{
	const struct accord_serving *serving = ctx;
	if (!serving->anchors)
		return error_set(err, "the rules name no Accord anchors");
	return accord_chain_verify(
		trust_store(serving->anchors), NULL, chain, (int64_t)(clock_wall_ns() / NS_PER_S), who, err);
}

static bool enrolled(void *ctx, SSL *ssl, struct bytes key)
{
	const struct accord_serving *serving = ctx;
	const struct accord_claim *claim = accord_server_claim(ssl);
	return claim && rulebook_approver(serving->book, claim, key) != NULL;
}

static void on_ctx_free(void *parent, void *ptr, CRYPTO_EX_DATA *ad, int idx, long argl, void *argp)
{
	(void)parent, (void)ad, (void)idx, (void)argl, (void)argp;
	accord_serving_drop(ptr);
}

static CRYPTO_ONCE once = CRYPTO_ONCE_STATIC_INIT;
static int slot = -1;

static void make_slot(void)
{
	slot = SSL_CTX_get_ex_new_index(0, NULL, NULL, NULL, on_ctx_free);
}

static const struct accord_serving *serving_of(const SSL *ssl)
{
	return SSL_CTX_get_ex_data(SSL_get_SSL_CTX(ssl), slot);
}

SSL_CTX *accord_serving_ctx(struct accord_serving *serving, const struct worker *worker, struct error *err)
{
	const struct accord_server_config config = {
		.ctx = serving, .rule = on_rule, .verify_proxy = verify_proxy, .enrolled = enrolled};
	SSL_CTX *ctx = answer_server_ctx(worker, serving->cert, serving->key, serving->chain, err);
	if (!ctx)
		return NULL;
	if (CRYPTO_THREAD_run_once(&once, make_slot) != 1 || slot < 0 || SSL_CTX_set_ex_data(ctx, slot, serving) != 1) {
		SSL_CTX_free(ctx);
		(void)error_set(err, "no place for the rules of the aware server");
		return NULL;
	}
	serving->owners++;
	if (accord_server_attach(ctx, &config, err))
		return ctx;
	SSL_CTX_free(ctx);
	return NULL;
}

/* A connection. */

bool accord_serves(const struct conn *conn)
{
	return conn->worker->served && conn->opening->intake == INTAKE_REVERSE;
}

void accord_serve_decided(struct conn *conn)
{
	struct policy_verdict *verdict = &conn->opening->verdict;
	if (verdict->rule == POLICY_RULE_SENSITIVE && verdict->action == POLICY_BYPASS && accord_serves(conn))
		verdict->action = POLICY_INSPECT;
}

void accord_serve(struct conn *conn)
{
	struct error err;
	if (!opening_begin_inspection(conn))
		return;
	if (answer_begin_server(conn, conn->worker->served, &err))
		opening_await_answer(conn);
	else
		opening_fail(conn, ALERT_INTERNAL_ERROR, "answer-failed", err.text);
}

/* "the proxy proxy.test as reader, for malware (aware.yaml:3), approved by alice: statement". */
static void describe(const SSL *ssl, const struct accord_claim *claim, char *out, size_t cap)
{
	char code[ACCORD_PURPOSE_TEXT], statement[300], fault[300];
	const struct accord_introduction *in = &claim->introduction;
	struct bytes key = bytes_of(claim->approval_key, claim->approval_key_len);
	const char *client = key.len > 0 ? rulebook_approver(serving_of(ssl)->book, claim, key) : NULL;
	const char *role = claim->introduced ? accord_role_name(in->hop[in->hops - 1].role) : NULL;
	text_clean(statement, sizeof(statement), bytes_str(claim->ruling.statement));
	text_clean(fault, sizeof(fault), bytes_str(claim->fault.text));
	snprintf(out, cap, "%s%s%s%s, for %s (%s)%s%s%s%s%s%s", claim->introduced ? "the proxy" : "a sealed proxy",
		claim->identified ? " " : "", claim->identified ? claim->proxy.name : "",
		!role            ? ""
		: role[0] == 'w' ? ", a writer"
				 : ", a reader",
		accord_purpose_text(claim->introduced ? in->purpose_code : 0, code), claim->ruling.label,
		client ? ", approved by " : "", client ? client : "", statement[0] ? ": " : "", statement,
		fault[0] ? ": " : "", fault);
}

bool accord_serve_passed(struct conn *conn)
{
	char about[ABOUT], text[ABOUT + 100];
	const SSL *ssl = conn->leg1.ssl;
	const struct accord_claim *claim = accord_server_claim(ssl);
	if (!accord_server_passed(ssl)) {
		accord_serve_failed(conn);
		return false;
	}
	if (!claim)
		return true;
	describe(ssl, claim, about, sizeof(about));
	bool silent = claim->ruling.kind == ACCORD_RULING_SILENT;
	snprintf(text, sizeof(text), "%s %s", silent ? "ignored" : "accepted", about);
	conn->worker->counts.accord_served++;
	report_notice(conn, SEVERITY_INFO, "accord-server", text);
	return true;
}

void accord_serve_failed(struct conn *conn)
{
	char why[200], about[ABOUT], text[ABOUT + 100];
	const SSL *ssl = conn->leg1.ssl;
	struct worker_counts *counts = &conn->worker->counts;
	const struct accord_claim *claim = accord_server_claim(ssl);
	leg_fault_text(&conn->leg1, why, sizeof(why));
	leg_notify(&conn->leg2);
	if (!claim || !claim->ruling.label[0] || claim->ruling.kind == ACCORD_RULING_SILENT) {
		snprintf(text, sizeof(text), "client: %s", why);
		conn_end(conn, ENDING_FAILED, "client-handshake", text);
		return;
	}
	bool refused = claim->ruling.kind == ACCORD_RULING_REFUSE;
	describe(ssl, claim, about, sizeof(about));
	snprintf(text, sizeof(text), "%s %s", refused ? "refused" : "did not get what was demanded of", about);
	counts->accord_served_refused += refused;
	counts->accord_served_unmet += !refused;
	report_notice(conn, SEVERITY_WARN, "accord-server", text);
	conn_end(conn, refused ? ENDING_BLOCKED : ENDING_REFUSED, refused ? "accord-refused" : "accord-unmet", text);
}
