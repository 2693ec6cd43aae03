#include "proxy/page.h"

#include "base/clock.h"
#include "base/html.h"
#include "base/text.h"
#include "proxy/conn.h"
#include "proxy/intake.h"
#include "proxy/local_page.h"
#include "proxy/opening.h"
#include "proxy/worker.h"

#include <openssl/pem.h>
#include <stdio.h>
#include <stdlib.h>

#define PAGE_MAX ((size_t)16 * 1024) /* more than any configuration needs */

bool page_wanted(const struct conn *conn)
{
	const struct target *target = &conn->opening->http.target;
	return strcmp(target->host, PAGE_HOST) == 0 && target->port == 80;
}

static void say_row(struct html *page, const char *what, const char *value)
{
	if (!value || !value[0])
		return;
	html_say(page, "<dt>");
	html_say(page, what);
	html_say(page, "</dt><dd>");
	html_plain(page, bytes_str(value));
	html_say(page, "</dd>");
}

static void say_retention(struct html *page, const struct config *config)
{
	static const struct {
		uint64_t seconds;
		const char *name;
	} units[] = {{86400, "day"}, {3600, "hour"}, {60, "minute"}, {1, "second"}};
	char text[64] = "";
	uint64_t seconds = config->retention_ns / NS_PER_S;
	size_t i = 0;
	/* To the second: a round number of days that is less than the truth would be a promise broken. */
	while (i < 3 && seconds % units[i].seconds != 0)
		i++;
	uint64_t count = seconds / units[i].seconds;
	if (count > 0)
		snprintf(text, sizeof(text), "%llu %s%s", (unsigned long long)count, units[i].name,
			count == 1 ? "" : "s");
	say_row(page, "How long names and addresses stay readable in the audit log", text);
}

static void say_link(struct html *page, const char *what, const char *url)
{
	html_say(page, "<dt>");
	html_say(page, what);
	html_say(page, "</dt><dd><a href=\"");
	html_plain(page, bytes_str(url));
	html_say(page, "\">");
	html_plain(page, bytes_str(url));
	html_say(page, "</a></dd>");
}

static const char style[] =
	"<!doctype html><html lang=en><meta charset=utf-8><meta name=viewport content=\"width=device-width\">"
	"<meta name=color-scheme content=\"light dark\"><title>Overt: who reads here</title><style>"
	"body{font:16px/1.5 system-ui,sans-serif;max-width:42rem;margin:3rem auto;padding:0 "
	"1rem;overflow-wrap:anywhere}"
	"h1{font-size:1.6rem;line-height:1.25}h2{font-size:1.15rem;margin-top:2rem}"
	"dt{font-weight:600;margin-top:.8rem}dd{margin:0}input,button{font:inherit;padding:.3em .6em}"
	"</style>";

static const char question[] =
	"<h2>Is a site inspected?</h2><form action=/verdict><input name=name placeholder=example.com size=30 required "
	"aria-label=\"host name\"> <button>Ask</button></form>";

#define ACCORD_SAYS(what)                                                                                              \
	"<h2>Programs that speak Accord</h2><p>They need no certificate authority of ours: where the rules take "      \
	"their "                                                                                                       \
	"offer up, they check the signature of the site itself, in which this proxy is named as one that " what ". A " \
	"site that knows Accord can refuse.</p>"
static const char accord_reader[] = ACCORD_SAYS("reads and changes nothing");
static const char accord_writer[] = ACCORD_SAYS("reads and may change what is said");

static void front(struct html *page, const struct worker *worker)
{
	const struct config *config = worker->config;
	html_say(page, style);
	html_say(page,
		"<h1>TLS connections are inspected here</h1><p>This is an Overt proxy. It can read connections that go "
		"through it, by a certificate authority that your machine was told to trust. Sites on its bypass list "
		"are passed through unread.</p>");
	if (config->operator_name) {
		html_say(page, "<dl>");
		say_row(page, "Who operates it", config->operator_name);
		say_row(page, "Whom to ask, and where to object", config->contact);
		say_row(page, "Why", config->purpose);
		say_retention(page, config);
		if (config->disclosure_url)
			say_link(page, "More about it", config->disclosure_url);
		html_say(page, "</dl>");
	} else {
		html_say(page, "<p>It serves this machine only: whoever started it here reads what it shows.</p><dl>");
		if (config->disclosure_url)
			say_link(page, "More about it", config->disclosure_url);
		html_say(page, "</dl>");
	}
	if (worker->shown)
		html_say(page, config->accord_role == CONFIG_ACCORD_WRITER ? accord_writer : accord_reader);
	html_say(page, question);
	html_say(page,
		"<h2>The certificate authority</h2><p><a href=/ca.pem>ca.pem</a> (PEM), <a href=/ca.crt>ca.crt</a> "
		"(DER). Trust it only if you know who operates this proxy; whoever holds its key can show your "
		"programs any name the authority permits.</p></html>");
}

/* The name in the query, as a form writes it: percent-encoded, blanks as plus. Blanks around it are no part of it. */
static struct bytes query_name(struct bytes path, uint8_t *room, size_t cap)
{
	static const char prefix[] = "/verdict?name=";
	struct writer w = writer_over(room, cap);
	struct bytes name;
	if (!bytes_starts(path, bytes_str(prefix)) || !bytes_skip(&path, sizeof(prefix) - 1))
		return BYTES_NONE;
	path.len = bytes_find(path, '&', 0);
	uint8_t c;
	while (bytes_u8(&path, &c)) {
		uint8_t octet = c == '+' ? ' ' : c;
		struct bytes hex;
		size_t len;
		if (c == '%' && (!bytes_take(&path, 2, &hex) || !text_unhex(&octet, 1, &len, hex)))
			return BYTES_NONE;
		if (octet != ' ')
			writer_u8(&w, octet);
	}
	return writer_done(&w, &name) ? name : BYTES_NONE;
}

static void verdict_for(struct html *page, const struct worker *worker, struct bytes name)
{
	struct policy_facts facts = {
		.known = POLICY_PASS_SECOND & ~(unsigned)(POLICY_FACT_CLIENT | POLICY_FACT_SERVER),
		.port = 443,
		.connect_name = name,
		.sni = name,
	};
	struct policy_verdict verdict;
	html_say(page, style);
	html_say(page, "<h1>");
	html_plain(page, name);
	html_say(page, "</h1><p>");
	if (policy_decide(worker->snapshot.policy, &facts, &verdict)) {
		html_say(page, verdict.action == POLICY_INSPECT ? "Connections to this name are <b>inspected</b>"
			       : verdict.action == POLICY_BYPASS
				       ? "Connections to this name are passed through <b>unread</b>"
				       : "Connections to this name are <b>blocked</b>");
		html_say(page, ", by ");
		html_plain(page, bytes_str(verdict.label));
		html_say(page, ".</p>");
	} else {
		html_say(page, "It depends on more than the name: on who asks, or on where the name leads.</p>");
	}
	html_say(page, question);
	html_say(page, "<p><a href=/>Who reads here</a></p></html>");
}

static void answer(struct conn *conn, uint16_t status, const char *type, struct bytes body)
{
	struct http_reply reply = {
		.status = status,
		.content_type = type,
		.body = body,
		.head_only = bytes_equal(conn->opening->http.head.method, bytes_str("HEAD")),
	};
	intake_reply(conn, &reply);
}

/* The first certificate of the PEM as DER, which telephones take. */
static void answer_der(struct conn *conn)
{
	struct bytes pem = conn->worker->snapshot.own_pem;
	BIO *bio = BIO_new_mem_buf(pem.data, (int)pem.len);
	X509 *cert = bio ? PEM_read_bio_X509(bio, NULL, NULL, NULL) : NULL;
	uint8_t *der = NULL;
	int len = cert ? i2d_X509(cert, &der) : 0;
	if (len > 0)
		answer(conn, 200, "application/x-x509-ca-cert", bytes_of(der, (size_t)len));
	else
		answer(conn, 404, "text/plain; charset=utf-8", bytes_str("There is no CA here.\n"));
	OPENSSL_free(der);
	X509_free(cert);
	BIO_free(bio);
}

void page_serve(struct conn *conn)
{
	const struct intake_http *http = &conn->opening->http;
	struct bytes path = http->path;
	struct html made, *page = &made;
	uint8_t room[512];
	struct bytes name = query_name(path, room, sizeof(room));
	bool reads =
		bytes_equal(http->head.method, bytes_str("GET")) || bytes_equal(http->head.method, bytes_str("HEAD"));
	if (conn->worker->mine && local_page_serve(conn))
		return;
	if (!html_new(page, PAGE_MAX) || !reads) {
		answer(conn, 405, "text/plain; charset=utf-8", bytes_str("Only GET and HEAD are answered here.\n"));
	} else if (bytes_equal(path, bytes_str("/"))) {
		front(page, conn->worker);
		answer(conn, 200, "text/html; charset=utf-8", html_bytes(page));
	} else if (bytes_equal(path, bytes_str("/ca.pem"))) {
		answer(conn, 200, "application/x-pem-file", conn->worker->snapshot.own_pem);
	} else if (bytes_equal(path, bytes_str("/ca.crt"))) {
		answer_der(conn);
	} else if (name.len > 0) {
		verdict_for(page, conn->worker, name);
		answer(conn, 200, "text/html; charset=utf-8", html_bytes(page));
	} else {
		answer(conn, 404, "text/plain; charset=utf-8",
			bytes_str("Nothing here. The page is at http://overt.internal/ through the proxy.\n"));
	}
	free(page->text);
	conn_end(conn, ENDING_DONE, "own-page", "answered by the proxy itself");
}
