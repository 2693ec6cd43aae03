/* assess/listen_front.c — the front of the listener: pages for browsers and lists for scripts (RFC 9112), answers for paths. */
#include "assess/listen_parts.h"
#include "assess/testimony.h"
#include "base/html.h"
#include "base/text.h"

#include <stdio.h>
#include <stdlib.h>

#define PAGE_MAX ((size_t)64 * 1024)
#define WAIT_S   6 /* until a browser's page asks for the report */

static const char style[] =
	"<style>:root{color-scheme:light dark}body{margin:0 auto;max-width:44rem;padding:2.5rem 1.25rem;font:1rem/1.6 "
	"system-ui,sans-serif}li img{width:1rem;height:1rem}ul{columns:16rem;padding-left:1.2rem}"
	"code{overflow-wrap:anywhere}</style>";

static size_t reply(char *out, size_t cap, const char *status, const char *type, struct bytes body)
{
	int n = snprintf(out, cap,
		"HTTP/1.1 %s\r\nContent-Type: %s\r\nContent-Length: %zu\r\nCache-Control: no-store\r\nConnection: "
		"close\r\n\r\n",
		status, type, body.len);
	if (n <= 0 || (size_t)n + body.len > cap)
		return 0;
	memcpy(out + n, body.data, body.len);
	return (size_t)n + body.len;
}

static size_t not_found(char *out, size_t cap)
{
	return reply(out, cap, "404 Not Found", "text/plain", bytes_str("There is nothing here.\n"));
}

/* The path of "GET /path HTTP/1.1". */
static struct bytes path_of(struct bytes request)
{
	struct bytes none = BYTES_NONE, path;
	size_t end = bytes_find(request, '\r', 0);
	if (!bytes_starts(request, bytes_str("GET /")) || !bytes_take(&request, end, &path) || !bytes_skip(&path, 4))
		return none;
	path.len = bytes_find(path, ' ', 0);
	return path;
}

static size_t answer_path(const struct front_visit *visit, SSL *ssl, const struct visit_seen *seen, struct bytes hex,
	char *out, size_t cap)
{
	struct testimony *testimony = calloc(1, sizeof(*testimony));
	char *body = malloc(TESTIMONY_MAX);
	size_t len = 0, nonce = 0;
	if (testimony && body && text_unhex(testimony->nonce, sizeof(testimony->nonce), &nonce, hex) &&
		nonce == sizeof(testimony->nonce) && seen->hello_len <= sizeof(testimony->hello)) {
		memcpy(testimony->hello, seen->hello, seen->hello_len);
		testimony->hello_len = seen->hello_len;
		hostport_text(&visit->from, testimony->source);
		testimony->version = seen->version;
		testimony->suite = seen->suite;
		testimony->extended_master_secret = seen->extended_master_secret;
		(void)!testimony_binding(ssl, testimony->binding);
		len = testimony_write(testimony, visit->listener->front.identity.key, body, TESTIMONY_MAX);
	}
	size_t n = len > 0 ? reply(out, cap, "200 OK", "application/json", bytes_of(body, len)) : not_found(out, cap);
	free(testimony);
	free(body);
	return n;
}

static size_t answer_cases(struct listener *listener, char *out, size_t cap)
{
	char *body = malloc(PAGE_MAX);
	size_t len = 0;
	for (size_t i = 0; body && i < listener->stalls && len < PAGE_MAX; i++) {
		int n = snprintf(body + len, PAGE_MAX - len, "%s https://%s:%u/\n", listener->stall[i].one.check,
			listener->name, listener->stall[i].port);
		len += n > 0 ? (size_t)n : 0;
	}
	size_t n = body && len < PAGE_MAX ? reply(out, cap, "200 OK", "text/plain", bytes_of(body, len))
	                                  : not_found(out, cap);
	free(body);
	return n;
}

/* A picture of each case: a browser fetches all of them, and needs no script for it. */
static size_t answer_home(struct listener *listener, const char *token, char *out, size_t cap)
{
	struct html page;
	char line[500];
	if (!html_new(&page, PAGE_MAX))
		return not_found(out, cap);
	html_say(&page, "<!doctype html><html lang=\"en\"><head><meta charset=\"utf-8\"><meta name=\"viewport\" "
			"content=\"width=device-width,initial-scale=1\"><title>overt assess</title>");
	html_say(&page, style);
	snprintf(line, sizeof(line), "<meta http-equiv=\"refresh\" content=\"%d;url=/report/%s\">", WAIT_S, token);
	html_say(&page, line);
	html_say(&page,
		"</head><body><h1>overt assess</h1><p>This page asks each of the servers below for a picture. All "
		"of them misbehave. What your browser takes from them shows at their end, and in the report, which "
		"comes by itself and is <a href=\"");
	snprintf(line, sizeof(line), "/report/%s\">here</a>.</p><ul>\n", token);
	html_say(&page, line);
	for (size_t i = 0; i < listener->stalls; i++) {
		const struct stall *stall = &listener->stall[i];
		snprintf(line, sizeof(line), "<li><img src=\"https://%s:%u/%zu.svg\" alt=\"\"> %s</li>\n",
			listener->name, stall->port, i, stall->one.check);
		html_say(&page, line);
	}
	html_say(&page, "</ul></body></html>\n");
	size_t n = page.full ? not_found(out, cap) : reply(out, cap, "200 OK", "text/html", html_bytes(&page));
	free(page.text);
	return n;
}

enum form { FORM_HTML, FORM_JSON, FORM_TEXT };

static size_t answer_report(const struct report *report, enum form form, char *out, size_t cap)
{
	static const char *const types[] = {"text/html", "application/json", "text/plain; charset=utf-8"};
	char *body = NULL;
	size_t len = 0;
	FILE *file = report ? open_memstream(&body, &len) : NULL;
	bool ok = file && (form == FORM_HTML          ? report_tell_html(report, file)
				  : form == FORM_JSON ? report_tell_json(report, file)
						      : report_tell_text(report, false, 0, file));
	if (file && fclose(file) != 0)
		ok = false;
	size_t n = ok ? reply(out, cap, "200 OK", types[form], bytes_of(body, len)) : not_found(out, cap);
	free(body);
	return n;
}

static size_t find_report(struct listener *listener, const struct guest *guest, enum form form, char *out, size_t cap)
{
	struct report *report = guest ? guest_report(listener, guest) : NULL;
	size_t n = answer_report(report, form, out, cap);
	report_free(report);
	return n;
}

/* With the lock held. */
static size_t route(struct front_visit *visit, struct bytes path, char *out, size_t cap)
{
	static const char reports[] = "/report/";
	struct listener *listener = visit->listener;
	struct guest *guest = guest_of(listener, &visit->from);
	struct bytes token = path;
	if (!guest)
		return not_found(out, cap);
	if (visit->walk)
		return find_report(listener, guest, FORM_TEXT, out, cap);
	if (bytes_equal(path, bytes_str("/")))
		return answer_home(listener, guest->token, out, cap);
	if (bytes_equal(path, bytes_str("/cases")))
		return answer_cases(listener, out, cap);
	/* Without a token, the client's own. */
	if (bytes_equal(path, bytes_str("/report.json")))
		return find_report(listener, guest, FORM_JSON, out, cap);
	if (bytes_equal(path, bytes_str("/report.txt")))
		return find_report(listener, guest, FORM_TEXT, out, cap);
	if (bytes_starts(path, bytes_str(reports)) && bytes_skip(&token, sizeof(reports) - 1))
		return find_report(listener, guest_of_token(listener, token), FORM_HTML, out, cap);
	return not_found(out, cap);
}

size_t front_answer(void *arg, SSL *ssl, const struct visit_seen *seen, struct bytes request, char *out, size_t cap)
{
	struct front_visit *visit = arg;
	struct bytes path = path_of(request), nonce = path;
	if (!visit->walk && bytes_starts(path, bytes_str(TESTIMONY_PATH)) &&
		bytes_skip(&nonce, sizeof(TESTIMONY_PATH) - 1))
		return answer_path(visit, ssl, seen, nonce, out, cap);
	pthread_mutex_lock(&visit->listener->lock);
	size_t n = route(visit, path, out, cap);
	pthread_mutex_unlock(&visit->listener->lock);
	return n;
}
