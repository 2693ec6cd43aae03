/* What the page of `overt local` says. */
#include "base/clock.h"
#include "proxy/local_page.h"
#include "proxy/local_parts.h"

#include <inttypes.h>
#include <openssl/pem.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#define SHOWN_ROWS    150 /* of a table; the newest */
#define SHOWN_READERS 64

static const char style[] =
	"<!doctype html><html lang=en><meta charset=utf-8><meta name=viewport content=\"width=device-width\">"
	"<meta name=color-scheme content=\"light dark\"><title>Overt: who reads your connections</title><style>"
	":root{--ink:#1b1f24;--soft:#5b6570;--line:#dfe3e8;--card:#f7f8fa;--page:#fff;--warn:#8a4b00;--bad:#a11d1d;"
	"--dot:#1a7f4b;--act:#0b57b0}"
	"@media(prefers-color-scheme:dark){:root{--ink:#e6e9ec;--soft:#9aa4af;--line:#333a42;--card:#1c2126;--page:#"
	"14181c;"
	"--warn:#f0b060;--bad:#ff8f87;--dot:#4cc38a;--act:#7cb7ff}}"
	"body{font:16px/1.5 system-ui,sans-serif;color:var(--ink);background:var(--page);max-width:66rem;margin:2.5rem "
	"auto;padding:0 1.2rem}"
	"h1{font-size:1.7rem;line-height:1.2;margin:0 0 .4rem}h2{font-size:1.15rem;margin:2.4rem 0 .5rem}"
	"p{margin:.5rem 0;max-width:46rem}.soft,small{color:var(--soft)}"
	".box{background:var(--card);border:1px solid var(--line);border-radius:.6rem;padding:.7rem 1rem;margin:1rem 0}"
	".bad{color:var(--bad)}.warn{color:var(--warn)}"
	".wide{overflow-x:auto}table{border-collapse:collapse;width:100%;min-width:42rem}"
	"th{text-align:left;font-weight:500;font-size:.85rem;color:var(--soft);padding:.3rem .8rem .3rem 0}"
	"td{border-top:1px solid var(--line);padding:.5rem .8rem .5rem 0;vertical-align:top;overflow-wrap:break-word}"
	"td:first-child{min-width:12rem;overflow-wrap:anywhere}td.n{width:8rem;min-width:5rem;font-variant-numeric:"
	"tabular-nums}"
	"td:last-child,th:last-child{padding-right:0;"
	"text-align:right}"
	".now{color:var(--dot);white-space:nowrap}.now::before{content:\"\";display:inline-block;width:.55em;height:."
	"55em;"
	"border-radius:50%;background:var(--dot);margin-right:.4em}"
	"form{display:inline}button,input{font:inherit;font-size:.9rem;color:var(--ink);background:var(--page);border:"
	"1px "
	"solid var(--line);border-radius:.4rem;padding:.2rem .7rem}button{cursor:pointer;white-space:nowrap}"
	"button:hover,button:focus{border-color:var(--act);color:var(--act)}a{color:var(--act)}"
	"</style>";

struct view {
	struct html *page;
	const struct local *local;
	int64_t now_s;
};

static void say(const struct view *view, const char *markup)
{
	html_say(view->page, markup);
}

static void say_text(const struct view *view, const char *text)
{
	html_plain(view->page, bytes_str(text));
}

printf_like(2, 3) static void say_words(const struct view *view, const char *format, ...)
{
	char text[1000];
	va_list args;
	va_start(args, format);
	vsnprintf(text, sizeof(text), format, args);
	va_end(args);
	say_text(view, text);
}

static const char *plural(uint64_t n)
{
	return n == 1 ? "" : "s";
}

/* "22 Nov 2026, 14:03", in the machine's time. */
static void date_text(int64_t at_s, char out[40])
{
	struct tm tm;
	time_t at = (time_t)at_s;
	if (!localtime_r(&at, &tm) || strftime(out, 40, "%-d %b %Y, %H:%M", &tm) == 0)
		snprintf(out, 40, "?");
}

/* How long ago, with the date for who points at it. */
static void say_when(const struct view *view, int64_t at_s)
{
	static const struct {
		int64_t seconds;
		const char *name;
	} units[] = {{86400, "day"}, {3600, "hour"}, {60, "minute"}};
	char date[40];
	int64_t ago = view->now_s > at_s ? view->now_s - at_s : 0;
	date_text(at_s, date);
	say(view, "<span title=\"");
	say_text(view, date);
	say(view, "\">");
	size_t i = 0;
	while (i < 3 && ago < units[i].seconds)
		i++;
	if (i == 3)
		say(view, "just now");
	else
		say_words(view, "%" PRId64 " %s%s ago", (ago / units[i].seconds), units[i].name,
			plural((uint64_t)(ago / units[i].seconds)));
	say(view, "</span>");
}

static void say_button(
	const struct view *view, const char *wish, enum refused_kind kind, const char *what, const char *label)
{
	say(view, "<form method=post action=/decide><input type=hidden name=token value=");
	say_text(view, view->local->token);
	say(view, "><input type=hidden name=do value=");
	say(view, wish);
	say(view, "><input type=hidden name=kind value=");
	say(view, refused_kind_name(kind));
	say(view, "><input type=hidden name=what value=\"");
	say_text(view, what);
	say(view, "\"><button>");
	say_text(view, label);
	say(view, "</button></form>");
}

static void say_toggle(const struct view *view, enum refused_kind kind, const char *what, const char *label)
{
	bool refused = refused_has(&view->local->refused, kind, what);
	say_button(view, refused ? "allow" : "refuse", kind, what, refused ? "Take back" : label);
}

static const char *role_text(uint8_t role)
{
	const char *name = accord_role_name(role);
	return name ? name : "?";
}

/* Who reads: proxies, summed up over all sites. */

struct sum {
	const struct book_reader *reader;
	size_t sites, open;
	uint64_t count;
	int64_t since_s, last_s;
};

static struct sum *sum_of(struct sum *sums, size_t *count, const struct book_reader *reader)
{
	for (size_t i = 0; i < *count; i++) {
		const struct book_reader *known = sums[i].reader;
		if (strcmp(book_reader_key(known), book_reader_key(reader)) == 0 && known->role == reader->role &&
			strcmp(known->purpose, reader->purpose) == 0)
			return &sums[i];
	}
	if (*count == SHOWN_READERS)
		return NULL;
	sums[*count] = (struct sum){.reader = reader, .since_s = INT64_MAX};
	return &sums[(*count)++];
}

static size_t sum_up(const struct book *book, struct sum sums[SHOWN_READERS])
{
	size_t count = 0;
	for (const struct book_row *row = book->newest; row; row = row->older) {
		for (size_t i = 0; i < row->what.readers; i++) {
			struct sum *sum = sum_of(sums, &count, &row->what.reader[i]);
			if (!sum)
				continue;
			sum->sites++;
			sum->open += row->open;
			sum->count += row->count;
			sum->since_s = row->since_s < sum->since_s ? row->since_s : sum->since_s;
			sum->last_s = row->last_s > sum->last_s ? row->last_s : sum->last_s;
		}
	}
	return count;
}

/* Now, or how long ago; and how often. */
static void say_use(const struct view *view, size_t open, uint64_t count, int64_t since_s, int64_t last_s)
{
	say(view, "<td class=n>");
	say_when(view, since_s);
	say(view, "</td><td class=n>");
	if (open > 0) {
		say(view, "<span class=now>now");
		if (open > 1)
			say_words(view, ", %zu at once", open);
		say(view, "</span>");
	} else {
		say_when(view, last_s);
	}
	say(view, "</td><td class=n>");
	say_words(view, "%" PRIu64, count);
	say(view, "</td>");
}

static void say_readers(const struct view *view)
{
	struct sum sums[SHOWN_READERS];
	size_t count = sum_up(&view->local->book, sums);
	say(view, "<h2>Readers</h2>");
	if (count == 0) {
		say(view, "<p class=soft>No proxy has read anything.</p>");
		return;
	}
	say(view, "<div class=wide><table><tr><th>Proxy<th>As<th>For<th>Since<th>Last<th>Connections<th></tr>");
	for (size_t i = 0; i < count; i++) {
		const struct sum *sum = &sums[i];
		say(view, "<tr><td><b>");
		say_text(view, book_reader_key(sum->reader));
		say(view, "</b><br><small>");
		say_words(view, "%zu site%s", sum->sites, plural(sum->sites));
		say(view, "</small></td><td>");
		say_text(view, role_text(sum->reader->role));
		say(view, "</td><td>");
		say_text(view, sum->reader->purpose[0] ? sum->reader->purpose : "not said");
		say(view, "</td>");
		say_use(view, sum->open, sum->count, sum->since_s, sum->last_s);
		say(view, "<td>");
		say_toggle(view, REFUSED_PROXY, book_reader_key(sum->reader), "Refuse proxy");
		say(view, "</td></tr>");
	}
	say(view, "</table></div>");
}

/* Sites. */

static void say_company(const struct view *view, const struct book_entry *what)
{
	if (what->kind == BOOK_LOCAL_CA)
		say(view, "<span class=warn>somebody: only a CA that was added on this machine vouches for the "
			  "certificate, and nothing is proven</span>");
	if (what->kind == BOOK_PLAIN)
		say(view, "<span class=warn>everybody on the way: there is no TLS</span>");
	for (size_t i = 0; i < what->readers; i++) {
		const struct book_reader *reader = &what->reader[i];
		say(view, i ? "<br>" : "");
		say_text(view, book_reader_key(reader));
		say(view, ", ");
		say_text(view, role_text(reader->role));
		if (reader->purpose[0]) {
			say(view, "<br><small>");
			say_text(view, reader->purpose);
			say(view, "</small>");
		}
	}
	if (what->accepted)
		say(view, "<br><small>the server knows, and accepts</small>");
}

static void say_site(const struct view *view, const struct book_row *row, bool company)
{
	say(view, "<tr><td>");
	say_text(view, row->what.site);
	say(view, "</td>");
	if (company) {
		say(view, "<td>");
		say_company(view, &row->what);
		say(view, "</td>");
	}
	say_use(view, row->open, row->count, row->since_s, row->last_s);
	say(view, "<td>");
	say_toggle(view, REFUSED_SITE, row->what.site, "Let nobody read it");
	say(view, "</td></tr>");
}

static bool is_read(const struct book_row *row)
{
	return row->what.kind == BOOK_READ || row->what.kind == BOOK_LOCAL_CA || row->what.kind == BOOK_PLAIN;
}

static bool is_unread(const struct book_row *row)
{
	return row->what.kind == BOOK_NOBODY;
}

static void say_rest(const struct view *view, size_t count)
{
	if (count > SHOWN_ROWS)
		say_words(view, "And %zu more, of longer ago.", count - SHOWN_ROWS);
}

static void say_sites(const struct view *view, bool (*wanted)(const struct book_row *row), bool company)
{
	size_t count = 0;
	for (const struct book_row *row = view->local->book.newest; row; row = row->older) {
		if (!wanted(row) || ++count > SHOWN_ROWS)
			continue;
		if (count == 1) {
			say(view, "<div class=wide><table><tr><th>Site");
			say(view, company ? "<th>Read by" : "");
			say(view, "<th>Since<th>Last<th>Connections<th></tr>");
		}
		say_site(view, row, company);
	}
	say(view, count ? "</table></div><p class=soft>" : "<p class=soft>None.");
	say_rest(view, count);
	say(view, "</p>");
}

static void say_turned_away(const struct view *view)
{
	size_t count = 0;
	for (const struct book_row *row = view->local->book.newest; row; row = row->older) {
		if (row->what.kind != BOOK_REFUSED || ++count > SHOWN_ROWS)
			continue;
		if (count == 1)
			say(view, "<h2>Connections that were turned away</h2><div "
				  "class=wide><table><tr><th>Site<th>Why<th>"
				  "Last<th>Times</tr>");
		say(view, "<tr><td>");
		say_text(view, row->what.site);
		say(view, "</td><td>");
		say_text(view, row->what.why);
		say(view, "</td><td class=n>");
		say_when(view, row->last_s);
		say(view, "</td><td class=n>");
		say_words(view, "%" PRIu64, row->count);
		say(view, "</td></tr>");
	}
	say(view, count ? "</table></div><p class=soft>" : "");
	say_rest(view, count);
	say(view, count ? "</p>" : "");
}

/* What is refused. */

static const char *const refusal_words[REFUSED_KINDS] = {
	[REFUSED_PROXY] = "The proxy ", [REFUSED_ROLE] = "Every proxy as ", [REFUSED_SITE] = "Whoever reads "};

static void say_refused(const struct view *view)
{
	const struct refused *refused = &view->local->refused;
	say(view, "<h2>Refused by you</h2>");
	if (refused->count > 0)
		say(view, "<div class=wide><table><tr><th>What<th>Since<th></tr>");
	for (size_t i = 0; i < refused->count; i++) {
		const struct refused_item *item = &refused->item[i];
		say(view, "<tr><td>");
		say(view, refusal_words[item->kind]);
		say(view, "<b>");
		say_text(view, item->what);
		say(view, "</b>");
		say(view, "</td><td class=n>");
		say_when(view, item->since_s);
		say(view, "</td><td>");
		say_button(view, "allow", item->kind, item->what, "Take back");
		say(view, "</td></tr>");
	}
	say(view, refused->count ? "</table></div>" : "<p class=soft>Nothing.</p>");
	say(view, "<p class=soft>What is refused holds at once, also for connections in progress. The network's proxy "
		  "is told "
		  "what it may be; where it does not step aside, the site cannot be reached.</p><p>");
	if (!refused_has(refused, REFUSED_ROLE, "reader"))
		say_button(view, "refuse", REFUSED_ROLE, "reader", "Refuse every reader");
	say(view, " ");
	if (!refused_has(refused, REFUSED_ROLE, "writer"))
		say_button(view, "refuse", REFUSED_ROLE, "writer", "Refuse every writer");
	say(view, "</p><p><form method=post action=/decide><input type=hidden name=token value=");
	say_text(view, view->local->token);
	say(view,
		"><input type=hidden name=do value=refuse><input type=hidden name=kind value=site><input name=what "
		"required size=30 placeholder=example.com aria-label=\"site that nobody may read\"> <button>Let nobody "
		"read this site</button></form></p>");
}

/* The head and the foot. */

static void say_summary(const struct view *view)
{
	size_t read = 0, unread = 0, other = 0;
	for (const struct book_row *row = view->local->book.newest; row; row = row->older) {
		if (row->what.kind == BOOK_READ)
			read += row->open;
		else if (row->what.kind == BOOK_NOBODY)
			unread += row->open;
		else
			other += row->open;
	}
	say(view, "<div class=box>");
	if (read + unread + other == 0) {
		say(view, "No connection is open now.");
	} else {
		say_words(view, "Open now: %zu read by a proxy, %zu by nobody", read, unread);
		if (other > 0)
			say_words(view, ", and %zu of which nothing is proven", other);
		say(view, ".");
	}
	say(view, " <span class=soft>");
	say(view, local_required(view->local)
			  ? "Accord is required: a proxy reads only where it proves who the server is, and says who "
			    "it is itself."
			  : "Accord is preferred: where it is not spoken, a CA that was added on this machine is "
			    "accepted too.");
	say(view, " <a href=/>Look again</a></span></div>");
}

static void say_ca(const struct view *view, struct bytes pem)
{
	char date[40], subject[300] = "";
	struct tm tm;
	BIO *bio = pem.len > 0 ? BIO_new_mem_buf(pem.data, (int)pem.len) : NULL;
	X509 *cert = bio ? PEM_read_bio_X509(bio, NULL, NULL, NULL) : NULL;
	if (cert) {
		X509_NAME_get_text_by_NID(X509_get_subject_name(cert), NID_commonName, subject, sizeof(subject));
		say(view, "<h2>The certificate authority of this machine</h2><p>Your programs trust <b>");
		say_text(view, subject);
		say(view, "</b>, whose key never leaves this machine");
		if (ASN1_TIME_to_tm(X509_get0_notAfter(cert), &tm) == 1) {
			date_text((int64_t)timegm(&tm), date);
			say_words(view, " and which ends on %s", date);
		}
		say(view, ". Certificate: <a href=/ca.pem>ca.pem</a>, <a href=/ca.crt>ca.crt</a>.</p>");
	}
	X509_free(cert);
	BIO_free(bio);
}

static void say_counts(const struct view *view)
{
	const struct local_counts *counts = &view->local->counts;
	const struct book *book = &view->local->book;
	uint64_t days = view->local->options.retention_ns / NS_PER_S / 86400;
	say(view, "<p class=soft><small>");
	say_words(view,
		"Rows are forgotten %" PRIu64 " day%s after their last connection; %d are kept at most, %" PRIu64
		" gave way.",
		days, plural(days), LOCAL_ROWS, (book->dropped + book->lost));
	if (counts->strangers + counts->unknown > 0)
		say_words(view, " Connections of other users turned away: %" PRIu64 ".",
			(counts->strangers + counts->unknown));
	if (counts->forged > 0)
		say_words(view, " Requests to this page that did not come from it: %" PRIu64 ".", counts->forged);
	if (counts->not_saved + counts->unreadable > 0)
		say_words(view, " Files not written: %" PRIu64 "; lines not understood: %" PRIu64 ".",
			counts->not_saved, counts->unreadable);
	say(view, "</small></p>");
}

void local_page_write(struct html *page, const struct local *local, const char *said, bool failed, struct bytes ca_pem)
{
	const struct view view = {.page = page, .local = local, .now_s = (int64_t)(clock_wall_ns() / NS_PER_S)};
	say(&view, style);
	say(&view, "<h1>Who reads your connections</h1><p class=soft>As seen from this machine by overt local. Where a "
		   "proxy is "
		   "named, it has proven who it is, and who the server is, before anything was sent.</p>");
	if (said[0]) {
		say(&view, failed ? "<div class=\"box bad\">" : "<div class=box>");
		say_text(&view, said);
		say(&view, "</div>");
	}
	say_summary(&view);
	say_readers(&view);
	say(&view, "<h2>Sites that are read</h2>");
	say_sites(&view, is_read, true);
	say(&view, "<h2>Sites that nobody reads</h2>");
	say_sites(&view, is_unread, false);
	say_refused(&view);
	say_turned_away(&view);
	say_ca(&view, ca_pem);
	say_counts(&view);
	say(&view, "</html>");
}
