#include "base/text.h"
#include "pki/summary.h"
#include "tls/alert.h"
#include "tls/group.h"
#include "tls/list.h"
#include "watch/hello_event.h"
#include "watch/preamble.h"
#include "watch/session_parts.h"

#include <openssl/evp.h>
#include <openssl/x509.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

/* What a record of full size takes on the wire, about: what octets that were never told apart are divided by. */
#define FULL_RECORD (RECORD_HEADER + RECORD_MAX_PLAINTEXT + 17)

void session_emit(struct session *s, struct event *event)
{
	const struct session_setup *setup = &s->room->setup;
	event->flow = s->flow;
	event->time_ns = s->time_ns;
	setup->emit(setup->arg, s->user, event);
}

void session_notice(struct session *s, enum flow_severity severity, const char *name, const char *format, ...)
{
	char text[EVENT_TEXT_MAX];
	va_list args;
	va_start(args, format);
	int n = vsnprintf(text, sizeof(text), format, args);
	va_end(args);
	struct event event = {.kind = EVENT_NOTICE};
	event.notice.severity = severity;
	event.notice.name = bytes_str(name);
	event.notice.text = n < 0 ? BYTES_NONE : bytes_str(text);
	session_emit(s, &event);
}

void session_tell_hello(struct session *s, const struct client_hello *hello)
{
	struct hello_event said;
	if (s->told_hello)
		return;
	s->told_hello = true;
	hello_event_of(s->room->prints, hello, s->dtls ? JA4_DTLS : JA4_TCP, &said);
	session_emit(s, &said.event);
}

void session_tell_inner(struct session *s, const struct client_hello *hello)
{
	struct hello_event said;
	hello_event_of(s->room->prints, hello, JA4_TCP, &said);
	session_emit(s, &said.event);
}

void session_tell_preamble(struct session *s, const struct lane *lane, const struct stretch *stretch)
{
	char line[200];
	unsigned long long octets = stretch->octets;
	/* Before the hello, the side is the one that opened the connection. */
	const char *who = lane->client ? "client" : "server";
	const char *name = preamble_name(stretch->text, lane->client);
	if (text_clean(line, sizeof(line), preamble_line(stretch->text)) > 0)
		session_notice(s, SEVERITY_INFO, "preamble",
			"The %s sent %llu octet%s in the clear before TLS began: %s, from \"%s\" on.", who, octets,
			octets == 1 ? "" : "s", name, line);
	else
		session_notice(s, SEVERITY_INFO, "preamble",
			"The %s sent %llu octet%s in the clear before TLS began: %s.", who, octets,
			octets == 1 ? "" : "s", name);
}

static void tell_tls(struct session *s)
{
	const struct opening *opening = s->opening;
	struct event event = {.kind = EVENT_TLS};
	struct event_tls *out = &event.tls;
	s->told_tls = true;
	out->leg = 1;
	out->version = s->outcome.version;
	out->suite = s->outcome.suite;
	const char *name = suite_name(out->suite);
	out->suite_name = name ? bytes_str(name) : BYTES_NONE;
	if (opening) {
		const char *group = group_name(opening->group);
		out->group = group ? bytes_str(group) : BYTES_NONE;
		out->alpn = bytes_of(opening->alpn, opening->alpn_len);
		out->resumed = opening->resumed;
		if (opening->has_note) {
			const struct certificate_note *note = &opening->note;
			out->certificate.present = true;
			out->certificate.subject = bytes_str(note->subject);
			out->certificate.issuer = bytes_str(note->issuer);
			out->certificate.not_after_s = note->not_after_s;
			memcpy(out->certificate.sha256, note->sha256, sizeof(note->sha256));
		}
	}
	session_emit(s, &event);
}

/* Reading a certificate with libcrypto takes longer than all the rest of a handshake: each is read once. */
void session_note_certificate(struct session *s, struct bytes der)
{
	struct tls_secret digest;
	struct opening *opening = s->opening;
	if (!crypto_hash(s->room->crypto, SUITE_HASH_SHA256, der, &digest))
		return;
	struct certificate_note *known = cache_get(s->room->certificates, tls_secret_bytes(&digest));
	if (!known) {
		const unsigned char *in = der.data;
		struct cert_summary summary;
		X509 *cert = d2i_X509(NULL, &in, (long)der.len);
		known = cert ? calloc(1, sizeof(*known)) : NULL;
		if (known) {
			cert_summary_of(cert, &summary);
			(void)snprintf(known->subject, sizeof(known->subject), "%s", summary.subject);
			(void)snprintf(known->issuer, sizeof(known->issuer), "%s", summary.issuer);
			known->not_after_s = summary.not_after_s > 0 ? (uint64_t)summary.not_after_s : 0;
			memcpy(known->sha256, digest.octets, sizeof(known->sha256));
		}
		X509_free(cert);
		if (!known || !cache_put(s->room->certificates, tls_secret_bytes(&digest), known))
			return;
	}
	opening->note = *known;
	opening->has_note = true;
}

void session_tell_tls(struct session *s)
{
	/* Asked for every record: no event is made for nothing. */
	if (!s->told_tls && s->version != 0)
		tell_tls(s);
}

void session_tell_half(struct session *s, struct lane *lane)
{
	struct event event = {.kind = EVENT_HALF};
	if (lane->told_half)
		return;
	lane->told_half = true;
	event.half.direction = lane_direction(lane);
	session_emit(s, &event);
}

void session_tell_data(struct session *s, struct lane *lane, struct bytes plain)
{
	/* Only what is used is set: the union is large, and this is called for every record. */
	struct event event;
	session_tell_tls(s);
	if (plain.len == 0)
		return;
	event.kind = EVENT_DATA;
	event.data.direction = lane_direction(lane);
	event.data.offset = lane->plain + lane->missing;
	event.data.bytes = plain;
	lane->plain += plain.len;
	s->room->counts.plain_octets += plain.len;
	session_emit(s, &event);
}

void session_tell_alert(struct session *s, struct lane *lane, struct bytes content)
{
	struct alert alert;
	const char *who = lane->client ? "client" : "server";
	if (!alert_read(content, &alert))
		return;
	if (alert.description == ALERT_CLOSE_NOTIFY) {
		session_tell_half(s, lane);
		return;
	}
	const char *name = alert_name(alert.description);
	/* TLS 1.3 knows no warnings but these two, whatever the level says (RFC 8446, 6). */
	bool warning = alert.description == ALERT_USER_CANCELED || alert.description == ALERT_NO_RENEGOTIATION ||
	               (alert.level == ALERT_WARNING && !session_is_13(s));
	if (name)
		session_notice(s, warning ? SEVERITY_INFO : SEVERITY_WARN, "tls-alert", "The %s sent the alert %s.",
			who, name);
	else
		session_notice(s, SEVERITY_WARN, "tls-alert", "The %s sent alert number %u, which is not registered.",
			who, alert.description);
}

size_t session_overhead(const struct session *s)
{
	struct shape shape;
	uint16_t version = s->version == TLS_VERSION_12 || s->dtls ? TLS_VERSION_12 : TLS_VERSION_13;
	if (!s->suite || !shape_of(s->suite, version, &shape))
		return 17;
	if (version == TLS_VERSION_13)
		return 1 + (size_t)shape.tag;
	/* CBC: at least one octet of padding; how many more cannot be seen. */
	return (size_t)shape.sent + shape.tag + shape.mac_key + (shape.block > 1 ? 1 : 0);
}

static uint64_t less(uint64_t from, uint64_t by)
{
	return from > by ? from - by : 0;
}

static void tell_gap(struct session *s, struct lane *lane, uint64_t octets, enum flow_gap why)
{
	struct event event = {.kind = EVENT_GAP};
	if (octets == 0)
		return;
	session_tell_tls(s);
	event.gap.direction = lane_direction(lane);
	event.gap.offset = lane->plain + lane->missing;
	event.gap.octets = octets;
	event.gap.why = why;
	lane->missing += octets;
	session_emit(s, &event);
}

void loss_settle(struct session *s, struct lane *lane, uint64_t lost)
{
	struct loss loss = lane->loss;
	uint64_t unseen = less(lost, loss.records);
	uint64_t plain = loss.plain + less(loss.loose, unseen * (RECORD_HEADER + session_overhead(s)));
	lane->loss = (struct loss){0};
	for (int cause = 0; cause < SESSION_CAUSES; cause++)
		s->outcome.octets[cause] += loss.octets[cause];
	/* Octets that held no whole record cannot have held data either. */
	tell_gap(s, lane, plain, loss.octets[SESSION_GAP] > 0 ? GAP_LOST : GAP_SEALED);
}

void loss_forget(struct lane *lane)
{
	lane->loss = (struct loss){0};
}

void loss_close(struct session *s, struct lane *lane)
{
	const struct loss *loss = &lane->loss;
	if (loss->any)
		loss_settle(s, lane, loss->records + (loss->loose + FULL_RECORD - 1) / FULL_RECORD);
}
