#include "proxy/local_page.h"

#include "base/clock.h"
#include "base/log.h"
#include "proxy/conn.h"
#include "proxy/intake.h"
#include "proxy/local_form.h"
#include "proxy/local_parts.h"
#include "proxy/opening.h"
#include "proxy/page.h"
#include "proxy/worker.h"

#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>

#define PAGE_MAX ((size_t)4 * 1024 * 1024) /* more than all rows that are shown, however they are escaped */

/* Answering. */

static void sent_ready(struct conn *conn)
{
	if (!outbox_send(&conn->to_client, &conn->client, BYTES_NONE)) {
		conn_abort(conn, "reset", "client: connection lost");
		return;
	}
	if (outbox_stalled(&conn->to_client))
		return;
	shutdown(conn->client.fd, SHUT_WR);
	conn_end(conn, ENDING_DONE, "own-page", "answered by the proxy itself");
}

static void late(struct conn *conn)
{
	conn_end(conn, ENDING_TIMEOUT, "own-page", "the client did not ask, or did not read, in time");
}

/*
 * `location` (may be NULL) is where to look next. No other page may frame this one or read it, nothing is fetched, no
 * script runs. Origin must be told to us: it is what distinguishes our forms from others'.
 */
static void answer(struct conn *conn, const char *status, const char *type, const char *location, struct bytes body)
{
	char head[900];
	bool head_only = bytes_equal(conn->opening->http.head.method, bytes_str("HEAD"));
	int n = snprintf(head, sizeof(head),
		"HTTP/1.1 %s\r\nContent-Type: %s; charset=utf-8\r\nContent-Length: %zu\r\n%s%s%sCache-Control: "
		"no-store\r\nX-Content-Type-Options: nosniff\r\nX-Frame-Options: DENY\r\nReferrer-Policy: "
		"same-origin\r\nCross-Origin-Resource-Policy: same-origin\r\nContent-Security-Policy: default-src "
		"'none'; style-src 'unsafe-inline'; form-action 'self'; frame-ancestors 'none'; base-uri "
		"'none'\r\nConnection: close\r\n\r\n",
		status, type, body.len, location ? "Location: " : "", location ? location : "", location ? "\r\n" : "");
	bool ok = n > 0 && outbox_send(&conn->to_client, &conn->client, bytes_of(head, (size_t)n)) &&
	          (head_only || outbox_send(&conn->to_client, &conn->client, body));
	if (ok)
		conn_enter(conn, sent_ready, late, conn->worker->config->hello_timeout_ns);
	else
		conn_abort(conn, "reset", "client: connection lost");
}

static void answer_text(struct conn *conn, const char *status, const char *text)
{
	answer(conn, status, "text/plain", NULL, bytes_str(text));
}

static void answer_page(struct conn *conn, const char *status, const char *said, bool failed)
{
	struct html page;
	if (!html_new(&page, PAGE_MAX)) {
		answer_text(conn, "503 Service Unavailable", "No memory for the page.\n");
		return;
	}
	local_page_write(&page, conn->worker->mine, said, failed, conn->worker->snapshot.own_pem);
	answer(conn, status, "text/html", NULL, html_bytes(&page));
	free(page.text);
}

/* What a form wants. */

static void forged(struct conn *conn, const char *why)
{
	conn->worker->mine->counts.forged++;
	log_warn("request to the page refused", LOG_S("why", why));
	answer_text(conn, "403 Forbidden", why);
}

static bool carry_out(struct local *local, struct bytes body, struct error *err)
{
	char wish[8], word[8], what[BOOK_NAME];
	enum refused_kind kind;
	bool known = form_value(body, "do", wish, sizeof(wish)) && form_value(body, "kind", word, sizeof(word)) &&
	             refused_kind_find(bytes_str(word), &kind) && form_value(body, "what", what, sizeof(what));
	bool allow = known && strcmp(wish, "allow") == 0;
	if (!known || (!allow && strcmp(wish, "refuse") != 0))
		return error_set(err, "the form is not one of this page");
	return allow ? local_take_back(local, kind, bytes_str(what), err)
	             : local_refuse(local, kind, bytes_str(what), err);
}

static void decide(struct conn *conn, struct bytes body)
{
	char token[LOCAL_TOKEN];
	struct error err;
	struct local *local = conn->worker->mine;
	bool ours = form_value(body, "token", token, sizeof(token)) &&
	            bytes_equal_secret(bytes_str(token), bytes_str(local->token));
	if (!ours) {
		forged(conn, "This form is not of this run of overt local: load its page again.\n");
		return;
	}
	/* Behind a redirect, so that loading the page again does not send the form again. */
	if (carry_out(local, body, &err))
		answer(conn, "303 See Other", "text/plain", "/", BYTES_NONE);
	else
		answer_page(conn, "400 Bad Request", err.text, true);
}

/* The body comes behind the head, in its own time. Views of the head move when what is held grows: it is read again. */
static void body_ready(struct conn *conn)
{
	struct opening *o = conn->opening;
	if (!opening_fill(conn))
		return;
	o->http = (struct intake_http){0};
	enum intake_http_result result = intake_http_read(&o->http, buffer_bytes(&o->held), intake_via(conn));
	struct bytes body = buffer_bytes(&o->held);
	struct bytes whole;
	if (result != INTAKE_HTTP_ORIGIN && result != INTAKE_HTTP_ABSOLUTE) {
		conn_end(conn, ENDING_FAILED, "own-page", "the request changed while it came");
		return;
	}
	if (!bytes_skip(&body, o->http.head.len) || !bytes_take(&body, (size_t)o->http.head.content_length, &whole)) {
		(void)!opening_starved(conn);
		return;
	}
	decide(conn, whole);
}

static void post(struct conn *conn)
{
	const struct intake_http *http = &conn->opening->http;
	if (!form_same_origin(http, PAGE_HOST))
		forged(conn, "Another site's page has sent this.\n");
	else if (!http->head.has_length || http->head.chunked || http->head.content_length > FORM_MAX)
		answer_text(conn, "413 Content Too Large", "That is no form of this page.\n");
	else
		conn_enter(conn, body_ready, late, conn->worker->config->hello_timeout_ns);
}

bool local_page_serve(struct conn *conn)
{
	const struct intake_http *http = &conn->opening->http;
	struct bytes method = http->head.method;
	bool reads = bytes_equal(method, bytes_str("GET")) || bytes_equal(method, bytes_str("HEAD"));
	if (!form_meant_for_us(http, PAGE_HOST, conn->listener->address.port)) {
		conn->worker->mine->counts.forged++;
		answer_text(conn, "421 Misdirected Request",
			"Nothing of that name is here. The page is at http://" PAGE_HOST
			"/ through this proxy, or at its loopback address.\n");
	} else if (bytes_equal(http->path, bytes_str("/ca.pem")) || bytes_equal(http->path, bytes_str("/ca.crt"))) {
		return false;
	} else if (bytes_equal(http->path, bytes_str("/")) && reads) {
		answer_page(conn, "200 OK", "", false);
	} else if (bytes_equal(http->path, bytes_str("/decide")) && bytes_equal(method, bytes_str("POST"))) {
		post(conn);
	} else {
		bool known = bytes_equal(http->path, bytes_str("/")) || bytes_equal(http->path, bytes_str("/decide"));
		answer_text(conn, known ? "405 Method Not Allowed" : "404 Not Found", "Nothing is answered here.\n");
	}
	return true;
}
