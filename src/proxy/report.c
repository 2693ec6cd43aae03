#include "proxy/report.h"

#include "base/clock.h"
#include "flow/hello.h"
#include "pki/summary.h"
#include "pki/verify.h"
#include "proxy/conn.h"
#include "proxy/opening.h"
#include "proxy/worker.h"
#include "tls/group.h"
#include "tls/hello.h"
#include "tls/suite.h"

#include <openssl/evp.h>

static struct publisher *publisher(const struct conn *conn)
{
	return &conn->worker->publisher;
}

static struct event event_of(const struct conn *conn, enum event_kind kind)
{
	return (struct event){.kind = kind, .flow = conn->flow.id, .time_ns = clock_wall_ns()};
}

static struct bytes text_of(const char *text)
{
	return text ? bytes_str(text) : BYTES_NONE;
}

static struct flow_address address_of(const struct hostport *from)
{
	struct flow_address out = {0};
	if (hostport_is_none(from))
		return out;
	bool v4 = hostport_is_v4(from);
	out.family = v4 ? 4 : 6;
	memcpy(out.ip, v4 ? from->ip + 12 : from->ip, v4 ? 4 : 16);
	out.port = from->port;
	return out;
}

void report_open(struct conn *conn, enum flow_intake intake, const char *host, uint16_t port)
{
	if (!publish_wanted(publisher(conn)))
		return;
	struct event event = event_of(conn, EVENT_OPEN);
	event.open = (struct event_open){
		.client = address_of(&conn->peer),
		.server = address_of(&conn->origin),
		.host = text_of(host),
		.port = port,
		.intake = intake,
		.worker = conn->worker->number,
	};
	publish_event(publisher(conn), &event);
}

void report_upstream(struct conn *conn)
{
	if (!publish_wanted(publisher(conn)))
		return;
	struct event event = event_of(conn, EVENT_UPSTREAM);
	event.upstream.server = address_of(&conn->origin);
	publish_event(publisher(conn), &event);
}

void report_hello(struct conn *conn, const struct client_hello *hello, const char *ja3, const char *ja4)
{
	if (!publish_wanted(publisher(conn)))
		return;
	struct event event = event_of(conn, EVENT_HELLO);
	event.hello = event_hello_of(hello);
	event.hello.ja3 = text_of(ja3);
	event.hello.ja4 = text_of(ja4);
	publish_event(publisher(conn), &event);
}

static const char *group_of(SSL *ssl)
{
	/* libssl knows the names of the TLS registry; what a provider added it may not, but then the number is in it. */
	int nid = (int)SSL_get_negotiated_group(ssl);
	const char *name = nid ? SSL_group_to_name(ssl, nid) : NULL;
	if (!name && nid & TLSEXT_nid_unknown)
		name = group_name((uint16_t)(nid & 0xffff));
	return name ? name : "";
}

static void certificate_of(
	X509 *cert, const struct verify_verdict *verdict, struct cert_summary *summary, struct event_certificate *out)
{
	if (!cert)
		return;
	cert_summary_of(cert, summary);
	out->present = true;
	out->subject = bytes_str(summary->subject);
	out->issuer = bytes_str(summary->issuer);
	unsigned int len = 0;
	X509_digest(cert, EVP_sha256(), out->sha256, &len);
	out->not_after_s = summary->not_after_s > 0 ? (uint64_t)summary->not_after_s : 0;
	if (!verdict)
		return;
	out->verification = bytes_str(verify_fault_name(verdict->fault));
	out->verification_text = bytes_str(verdict->text);
}

void report_tls(struct conn *conn, unsigned number, const struct leg *leg, const struct verify_verdict *verdict)
{
	if (!publish_wanted(publisher(conn)))
		return;
	struct event event = event_of(conn, EVENT_TLS);
	struct event_tls *out = &event.tls;
	const SSL_CIPHER *cipher = SSL_get_current_cipher(leg->ssl);
	uint16_t suite = cipher ? SSL_CIPHER_get_protocol_id(cipher) : 0;
	const unsigned char *alpn = NULL;
	unsigned alpn_len = 0;
	SSL_get0_alpn_selected(leg->ssl, &alpn, &alpn_len);
	*out = (struct event_tls){
		.leg = number,
		.version = (uint16_t)SSL_version(leg->ssl),
		.suite = suite,
		.suite_name = text_of(suite_name(suite)),
		.group = text_of(group_of(leg->ssl)),
		.alpn = bytes_of(alpn, alpn_len),
		.resumed = SSL_session_reused(leg->ssl),
	};
	struct cert_summary summary;
	X509 *cert = number == 2 ? opening_server(conn) : SSL_get_certificate(leg->ssl);
	certificate_of(cert, verdict, &summary, &out->certificate);
	publish_event(publisher(conn), &event);
}

void report_verdict(struct conn *conn, enum flow_action action, unsigned pass, const char *rule, const char *reason)
{
	if (!publish_wanted(publisher(conn)))
		return;
	struct event event = event_of(conn, EVENT_VERDICT);
	const struct opening *opening = action == ACTION_INSPECT ? conn->opening : NULL; /* else nothing is read */
	event.verdict = (struct event_verdict){
		.action = action,
		.pass = pass,
		.rule = text_of(rule),
		.reason = text_of(reason),
		.unmasked = opening && opening->verdict.decided && !opening->verdict.options.mask,
	};
	publish_event(publisher(conn), &event);
}

void report_notice(struct conn *conn, enum flow_severity severity, const char *name, const char *text)
{
	if (!publish_wanted(publisher(conn)))
		return;
	struct event event = event_of(conn, EVENT_NOTICE);
	event.notice = (struct event_notice){.severity = severity, .name = text_of(name), .text = text_of(text)};
	publish_event(publisher(conn), &event);
}

void report_keylog(struct conn *conn, const char *line)
{
	if (!publish_wants_secrets(publisher(conn)))
		return;
	struct event event = event_of(conn, EVENT_KEYLOG);
	event.keylog.line = text_of(line);
	publish_event(publisher(conn), &event);
}

void report_half(struct conn *conn, enum flow_direction direction)
{
	if (!publish_wanted(publisher(conn)))
		return;
	struct event event = event_of(conn, EVENT_HALF);
	publish_gaps(publisher(conn), &conn->flow, event.time_ns);
	event.half.direction = direction;
	publish_event(publisher(conn), &event);
}

void report_data(struct conn *conn, enum flow_direction direction, struct bytes plain)
{
	struct publisher *pub = publisher(conn);
	if (conn->unread)
		return;
	worker_take_skips(conn->worker);
	/* The clock is asked only where the answer will be used. */
	publish_data(pub, &conn->flow, direction, plain, publish_wants_data(pub) ? clock_wall_ns() : 0);
}

bool report_ready(struct conn *conn, size_t octets)
{
	return !conn->worker->config->lossless || conn->unread || publish_ready(publisher(conn), octets);
}

void report_close(struct conn *conn, enum flow_ending ending, const char *name, const char *text)
{
	if (!publish_wanted(publisher(conn)))
		return;
	struct event event = event_of(conn, EVENT_CLOSE);
	publish_gaps(publisher(conn), &conn->flow, event.time_ns);
	bool split = conn->leg1.ssl != NULL;
	event.close = (struct event_close){
		.ending = ending,
		.name = text_of(name),
		.text = text_of(text),
		.wire_octets = {split ? conn->leg1.wire_in : conn->half[FLOW_UP].octets,
			split ? conn->leg1.box.sent : conn->half[FLOW_DOWN].octets},
		.plain_octets = {split ? conn->half[FLOW_UP].octets : 0, split ? conn->half[FLOW_DOWN].octets : 0},
		.duration_ns = clock_monotonic_ns() - conn->opened_ns,
	};
	publish_event(publisher(conn), &event);
}
