/*
 * What a program of the user gets in place of a connection that was turned away: a page over HTTP that says why. It knows
 * the CA of this machine, so it can be told in words, where an alert has only a number. Nothing of the server is in it.
 */
#include "base/clock.h"
#include "base/html.h"
#include "proxy/answer.h"
#include "proxy/conn.h"
#include "proxy/local_parts.h"
#include "proxy/opening.h"
#include "proxy/opening_parts.h"
#include "proxy/page.h"
#include "proxy/worker.h"

#include <openssl/rand.h>
#include <openssl/x509v3.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>

#define PAGE_MAX  ((size_t)16 * 1024) /* with the words for people in it */
#define HEAD_MAX  ((size_t)32 * 1024)
#define VALID_S   3600
#define EARLIER_S 300 /* for clocks that differ */

static const char style[] =
	"<!doctype html><html lang=en><meta charset=utf-8><meta name=viewport content=\"width=device-width\">"
	"<meta name=color-scheme content=\"light dark\"><title>Connection refused on this machine</title><style>"
	"body{font:16px/1.5 system-ui,sans-serif;max-width:42rem;margin:4rem auto;padding:0 1.2rem;"
	"overflow-wrap:anywhere}h1{font-size:1.6rem;line-height:1.25}</style>";

static void finish(struct conn *conn)
{
	const struct local_case *known = conn->opening->local;
	conn_end(conn, known->by_user ? ENDING_BLOCKED : ENDING_FAILED, known->name, known->text);
}

/* Something that a leaf can be made of: the name that was asked for, for an hour. */

static bool add_name(X509 *cert, const struct subject_name *name)
{
	GENERAL_NAMES *names = GENERAL_NAMES_new();
	GENERAL_NAME *one = GENERAL_NAME_new();
	ASN1_STRING *value = ASN1_STRING_type_new(name->is_ip ? V_ASN1_OCTET_STRING : V_ASN1_IA5STRING);
	bool ok = names && one && value &&
	          ASN1_STRING_set(value, name->is_ip ? (const void *)name->ip : name->text,
			  name->is_ip ? name->ip_len : (int)strlen(name->text)) == 1;
	if (ok) {
		GENERAL_NAME_set0_value(one, name->is_ip ? GEN_IPADD : GEN_DNS, value);
		value = NULL;
		ok = sk_GENERAL_NAME_push(names, one) > 0;
		one = ok ? NULL : one;
	}
	ok = ok && X509_add1_ext_i2d(cert, NID_subject_alt_name, names, 0, 0) == 1;
	ASN1_STRING_free(value);
	GENERAL_NAME_free(one);
	GENERAL_NAMES_free(names);
	return ok;
}

static X509 *make_model(const struct subject_name *name, EVP_PKEY *key)
{
	int64_t serial = 0;
	X509 *cert = X509_new();
	bool ok = cert && key && RAND_bytes((unsigned char *)&serial, 7) == 1 &&
	          X509_set_version(cert, X509_VERSION_3) == 1 &&
	          ASN1_INTEGER_set_int64(X509_get_serialNumber(cert), serial) == 1 &&
	          X509_gmtime_adj(X509_getm_notBefore(cert), -EARLIER_S) &&
	          X509_gmtime_adj(X509_getm_notAfter(cert), VALID_S) && X509_set_pubkey(cert, key) == 1 &&
	          add_name(cert, name) && X509_sign(cert, key, EVP_sha256()) > 0;
	if (ok)
		return cert;
	X509_free(cert);
	return NULL;
}

/* The answer. */

static void write_page(struct html *page, const struct conn *conn)
{
	const struct local_case *known = conn->opening->local;
	html_say(page, style);
	html_say(page, "<h1>The connection to ");
	html_plain(page, bytes_str(conn->opening->name.text));
	html_say(page, " was refused on this machine</h1><p>");
	html_plain(page, bytes_str(known->text));
	html_say(page, "</p><p>What your program wanted to send was not sent. ");
	html_say(page, known->by_user ? "You can take that back, and see w" : "W");
	html_say(page, "ho reads your connections: <a href=http://" PAGE_HOST "/>" PAGE_HOST "</a>.</p></html>");
}

static void closing(struct conn *conn)
{
	if (leg_flush(&conn->leg1) != LEG_OK || !leg_stalled(&conn->leg1)) {
		shutdown(conn->client.fd, SHUT_WR);
		finish(conn);
	}
}

static void late(struct conn *conn)
{
	finish(conn);
}

static void answer(struct conn *conn)
{
	struct html page;
	char head[400];
	if (!html_new(&page, PAGE_MAX)) {
		finish(conn);
		return;
	}
	write_page(&page, conn);
	int n = snprintf(head, sizeof(head),
		"HTTP/1.1 %s\r\nContent-Type: text/html; charset=utf-8\r\nContent-Length: %zu\r\nCache-Control: "
		"no-store\r\nX-Content-Type-Options: nosniff\r\nContent-Security-Policy: default-src 'none'; style-src "
		"'unsafe-inline'\r\nConnection: close\r\n\r\n",
		conn->opening->local->by_user ? "403 Forbidden" : "502 Bad Gateway", page.len);
	bool ok = n > 0 && leg_write(&conn->leg1, bytes_of(head, (size_t)n)) == LEG_OK &&
	          leg_write(&conn->leg1, html_bytes(&page)) == LEG_OK;
	free(page.text);
	if (!ok) {
		finish(conn);
		return;
	}
	leg_notify(&conn->leg1);
	conn_enter(conn, closing, late, conn->worker->config->hello_timeout_ns);
}

/* The request is waited for, and not looked at: the answer is the same to all. */
static void request_ready(struct conn *conn)
{
	static const uint8_t empty_line[] = {'\r', '\n', '\r', '\n'};
	struct buffer *held = &conn->opening->held;
	for (;;) {
		size_t n;
		enum leg_result result = leg_read(&conn->leg1, &n);
		if (result == LEG_WAIT)
			return;
		if (result != LEG_OK || !buffer_add(held, bytes_of(conn->leg1.room->plain, n))) {
			finish(conn);
			return;
		}
		if (memmem(held->data, held->len, empty_line, sizeof(empty_line))) {
			answer(conn);
			return;
		}
	}
}

static void handshake_ready(struct conn *conn)
{
	enum leg_result result = leg_handshake(&conn->leg1);
	if (result == LEG_WAIT)
		return;
	if (result != LEG_OK) {
		finish(conn);
		return;
	}
	buffer_clear(&conn->opening->held);
	conn->opening->held.cap = HEAD_MAX;
	conn_enter(conn, request_ready, late, conn->worker->config->hello_timeout_ns);
}

static void pending(struct conn *conn)
{
	if (conn->client.hung)
		finish(conn);
}

static void leaf_done(enum keeper_result result, const struct keeper_leaf *leaf, const char *text, void *ctx)
{
	struct conn *conn = ctx;
	struct error err;
	(void)text;
	conn->opening->leaf_wait = NULL;
	if (result == KEEPER_OK && answer_begin(conn, leaf, &err)) {
		conn_enter(conn, handshake_ready, late, conn->worker->config->handshake_timeout_ns);
		return;
	}
	conn_alert(conn, conn->opening->local->alert);
	finish(conn);
}

/* Only to who will take the answer for one: what else runs over TLS would be disturbed by HTTP. */
static bool speaks_http(const struct opening *o)
{
	struct bytes list = o->hello.alpn, name;
	while (!o->agreed && alpn_next(&list, &name)) {
		if (bytes_equal(name, bytes_str("http/1.1")))
			return true;
	}
	return false;
}

bool local_explain(struct conn *conn)
{
	struct opening *o = conn->opening;
	struct keeper_client *keeper = conn->worker->keeper;
	uint8_t *der = NULL;
	if (!speaks_http(o) || conn->leg1.ssl)
		return false;
	X509_free(o->local->server);
	o->local->server = make_model(&o->name, keeper_client_key(keeper, KEEPER_KEY_ECDSA));
	int len = o->local->server ? i2d_X509(o->local->server, &der) : -1;
	if (len <= 0)
		return false;
	leg_free(&conn->leg2);
	conn_drop_server(conn);
	bool tls13 = client_hello_offers_version(&o->hello, TLS_VERSION_13);
	const struct keeper_leaf_request request = {
		.key = opening_leaf_key(&o->hello, tls13 ? TLS1_3_VERSION : TLS1_2_VERSION),
		.host = bytes_str(o->name.text),
		.upstream = bytes_of(der, (size_t)len)};
	uint64_t patience_ns = conn->worker->config->handshake_timeout_ns;
	o->leaf_wait =
		keeper_client_leaf(keeper, &request, loop_now_ns(conn->worker->loop) + patience_ns, leaf_done, conn);
	OPENSSL_free(der);
	if (!o->leaf_wait)
		return false;
	conn_stage(conn, pending, late);
	conn_deadline(conn, 2 * patience_ns);
	return true;
}
