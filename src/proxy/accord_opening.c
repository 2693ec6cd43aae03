#include "proxy/accord_opening.h"

#include "accord/anchor.h"
#include "accord/proxy_leg.h"
#include "accord/purpose.h"
#include "base/clock.h"
#include "base/log.h"
#include "base/text.h"
#include "proxy/accord_audit.h"
#include "proxy/accord_limit.h"
#include "proxy/accord_shown.h"
#include "proxy/answer.h"
#include "proxy/conn.h"
#include "proxy/opening.h"
#include "proxy/opening_parts.h"
#include "proxy/report.h"
#include "proxy/worker.h"
#include "tls/alert.h"

#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>

/* Who gets it. */

/* What the rules say; of several that may still decide, the one that lets the client be impersonated least. */
static enum config_accord rule_of(const struct conn *conn)
{
	unsigned set = conn->opening->verdict.options.accord;
	if (set & POLICY_ACCORD_CONFIGURED)
		set |= (unsigned)POLICY_ACCORD_OFF << conn->worker->config->accord;
	if (set & POLICY_ACCORD_REQUIRE)
		return CONFIG_ACCORD_REQUIRE;
	return set & POLICY_ACCORD_PREFER ? CONFIG_ACCORD_PREFER : CONFIG_ACCORD_OFF;
}

static uint8_t own_role(const struct conn *conn)
{
	return conn->worker->config->accord_role == CONFIG_ACCORD_WRITER ? ACCORD_WRITER : ACCORD_READER;
}

static void block(struct conn *conn, uint64_t *count, uint8_t alert, const char *name, const char *text)
{
	++*count;
	report_notice(conn, SEVERITY_WARN, name, text);
	opening_block(conn, alert, name, text);
}

static void end_unfit(struct conn *conn)
{
	struct worker_counts *counts = &conn->worker->counts;
	const struct opening *o = conn->opening;
	if (o->accord.unfit)
		block(conn, &counts->accord_role, ALERT_ACCESS_DENIED, "accord-not-accepted", o->accord.unfit);
	else
		block(conn, &counts->accord_unmatched, ALERT_ACCESS_DENIED, "accord-required",
			"Accord is required here, and the client does not speak it: no certificate is made in the "
			"server's "
			"place");
}

/* Why an offer cannot be taken up; static text, NULL: it can. */
static const char *unfit(const struct conn *conn)
{
	const struct accord_hello *client = &conn->opening->accord.client;
	if (!(client->offer.accepted_roles & own_role(conn)))
		return "the client accepts no proxy of this role";
	if (client->introduced && client->introduction.hops >= ACCORD_MAX_HOPS)
		return "there are four proxies already, which is the most";
	if (!conn->worker->shown)
		return "this proxy has no Accord certificate to show";
	return NULL;
}

/* Never a minted leaf: whoever asks often enough would get one otherwise. */
static void end_over_limit(struct conn *conn, enum config_accord rule)
{
	static const char text[] = "this client asks for more Accord handshakes than accord-rate allows";
	struct worker_counts *counts = &conn->worker->counts;
	char peer[HOSTPORT_TEXT];
	if (accord_limit_worth_telling(conn->worker->limit, loop_now_ns(conn->worker->loop)))
		log_warn("accord limit reached", LOG_S("client", hostport_ip_text(&conn->peer, peer)),
			LOG_S("name", conn->opening->name.text), LOG_N("so-far", counts->accord_limited + 1));
	if (rule == CONFIG_ACCORD_REQUIRE) {
		block(conn, &counts->accord_limited, ALERT_ACCESS_DENIED, "accord-limit", text);
		return;
	}
	counts->accord_limited++;
	report_notice(conn, SEVERITY_WARN, "accord-limit", text);
	opening_aside(conn, 1, conn->opening->verdict.label, text);
}

bool accord_apply(struct conn *conn)
{
	struct opening *o = conn->opening;
	enum accord_body_result fault;
	enum config_accord rule = rule_of(conn);
	o->accord.on = false;
	if (rule == CONFIG_ACCORD_OFF)
		return true;
	enum accord_hello_result said = accord_hello_read(&o->hello, &o->accord.client, &fault);
	if (said == ACCORD_HELLO_MALFORMED) {
		block(conn, &conn->worker->counts.accord_malformed, ALERT_ILLEGAL_PARAMETER, "accord-malformed",
			"the client's offer of Accord is malformed");
		return false;
	}
	o->accord.offered = said == ACCORD_HELLO_OFFER;
	o->accord.unfit = o->accord.offered ? unfit(conn) : NULL;
	o->accord.on = o->accord.offered && !o->accord.unfit;
	if (o->accord.on && !accord_limit_take(conn->worker->limit, &conn->peer, loop_now_ns(conn->worker->loop))) {
		o->accord.on = false;
		end_over_limit(conn, rule);
		return false;
	}
	if (o->accord.on) {
		o->accord.shown = accord_shown_keep(conn->worker->shown);
		return true;
	}
	/* A verdict that is still open may come to stepping aside, which comes first. */
	if (!o->verdict.decided || (!o->accord.offered && rule == CONFIG_ACCORD_PREFER))
		return true;
	end_unfit(conn);
	return false;
}

/* Leg 2. */

/* At most what fits, and no half of a character. */
static struct bytes purpose_of(const struct conn *conn)
{
	struct bytes text = bytes_str(conn->worker->config->purpose ? conn->worker->config->purpose : "");
	if (text.len > ACCORD_MAX_TEXT) {
		text.len = ACCORD_MAX_TEXT;
		while (text.len > 0 && (text.data[text.len] & 0xc0) == 0x80)
			text.len--;
	}
	return text;
}

static uint8_t purpose_code_of(const struct conn *conn)
{
	const struct policy_options *options = &conn->opening->verdict.options;
	uint8_t code;
	if (options->has_purpose)
		return options->purpose;
	/* It was read once when the configuration was. */
	return accord_purpose_read(conn->worker->config->accord_purpose, &code) ? code : 0;
}

bool accord_introduce(struct conn *conn, struct error *err)
{
	struct opening *o = conn->opening;
	o->accord.paused = o->accord.approved = false;
	struct accord_leg2_plan plan = {
		.client = &o->accord.client,
		.role = own_role(conn),
		.purpose = purpose_of(conn),
		.purpose_code = purpose_code_of(conn),
		.towards_proxy = conn->worker->config->accord_upstream,
	};
	/* The next proxy must read the hops to add its own. */
	plan.sealed = o->verdict.options.sealed && !plan.towards_proxy;
	memcpy(plan.leaf_hash, o->accord.shown->hash, sizeof(plan.leaf_hash));
	return accord_leg2_begin(conn->leg2.ssl, &plan, err);
}

int accord_judge_proxy(struct conn *conn, X509_STORE_CTX *store)
{
	struct accord_chain chain;
	struct accord_identity who;
	struct error err = {""};
	uint8_t *memory = NULL;
	const struct trust *anchors = conn->worker->snapshot.accord;
	struct verify_verdict *verified = &conn->opening->verified;
	bool ok = anchors && accord_chain_write(X509_STORE_CTX_get0_untrusted(store), &memory, &chain) &&
	          accord_chain_verify(
			  trust_store(anchors), NULL, &chain, (int64_t)(clock_wall_ns() / NS_PER_S), &who, &err);
	free(memory);
	*verified = (struct verify_verdict){
		.fault = ok ? VERIFY_OK : VERIFY_UNKNOWN_ROOT,
		.faults = ok ? 0 : VERIFY_FAULT_BIT(VERIFY_UNKNOWN_ROOT),
		.depth = -1,
	};
	if (ok)
		snprintf(verified->text, sizeof(verified->text), "the Accord proxy %.200s", who.name);
	else
		snprintf(verified->text, sizeof(verified->text),
			"an Accord proxy that no anchor here stands behind: %.200s", err.text);
	return ok;
}

static bool is_refused(const SSL *ssl)
{
	const struct accord_verdict *verdict = accord_leg2_verdict(ssl);
	return verdict && verdict->decision != ACCORD_ACCEPT;
}

bool accord_certificate_due(const struct conn *conn)
{
	return accord_leg2_demanded(conn->leg2.ssl) || is_refused(conn->leg2.ssl);
}

int accord_certificate(struct conn *conn, SSL *ssl)
{
	struct opening *o = conn->opening;
	/* Where the client cannot approve, the server asks only who we are. */
	bool identity = accord_leg2_demanded(ssl) && !is_refused(ssl) && !o->accord.client.offer.has_approval;
	if (o->accord.approved || identity)
		return SSL_use_cert_and_key(ssl, o->accord.shown->cert, o->accord.shown->key, NULL, 1);
	o->accord.paused = true;
	return -1;
}

/* What the server was told while it was open which rule decides. */
static bool told_rightly(const struct conn *conn)
{
	const struct accord_introduction *in = accord_leg2_introduction(conn->leg2.ssl);
	return !in || in->purpose_code == purpose_code_of(conn);
}

/* Once more, from the start of leg 2. */
static void begin_again(struct conn *conn, const char *name)
{
	const char *why;
	if (opening_may_reconnect(conn, &why))
		opening_reconnect(conn, opening_look);
	else
		opening_block(conn, ALERT_ACCESS_DENIED, name, why);
}

bool accord_confirm(struct conn *conn)
{
	struct opening *o = conn->opening;
	enum config_accord rule = rule_of(conn);
	/* A refusal is final: nothing is tried again, without Accord or with other words. accord_answer ends it. */
	if (o->accord.on && is_refused(conn->leg2.ssl))
		return true;
	if (o->accord.on && rule != CONFIG_ACCORD_OFF) {
		if (told_rightly(conn))
			return true;
		begin_again(conn, "accord-purpose");
		return false;
	}
	if (!o->accord.on) {
		if (rule == CONFIG_ACCORD_OFF || (rule == CONFIG_ACCORD_PREFER && !o->accord.offered))
			return true;
		end_unfit(conn);
		return false;
	}
	/* Offered on account of a rule that did not decide: the one that did ignores offers. */
	o->accord.on = false;
	begin_again(conn, "accord-off");
	return false;
}

/* The server's answer. */

static void end_refused(struct conn *conn)
{
	struct opening *o = conn->opening;
	struct worker_counts *counts = &conn->worker->counts;
	const struct accord_verdict *verdict = accord_leg2_verdict(conn->leg2.ssl);
	char statement[300] = "";
	char text[400];
	if (verdict && verdict->statement.len > 0)
		text_clean(statement, sizeof(statement), verdict->statement);
	snprintf(text, sizeof(text), "the server refuses this proxy%s%s", statement[0] ? ": " : "", statement);
	if (!o->verdict.options.aside_when_refused) {
		block(conn, &counts->accord_refused, ALERT_ACCESS_DENIED, "accord-refused", text);
		return;
	}
	counts->accord_refused++;
	report_notice(conn, SEVERITY_WARN, "accord-refused", text);
	opening_aside_afresh(conn, "the server refuses this proxy");
}

/* There is no proof to show. A client that offered never gets a minted leaf: it would have to take it for an attack. */
static void end_without_proof(struct conn *conn, enum accord_leg2_result result)
{
	struct worker_counts *counts = &conn->worker->counts;
	const char *text = accord_leg2_text(result);
	const char *name = "accord-malformed";
	uint64_t *count = &counts->accord_malformed;
	if (result == ACCORD_LEG2_TOO_LONG) {
		name = "accord-too-long";
		count = &counts->accord_too_long;
		log_warn("accord proof too long", LOG_N("flow", conn->flow.id), LOG_S("name", conn->opening->name.text),
			LOG_S("why", text));
	} else if (result == ACCORD_LEG2_NOT_TLS13) {
		name = "accord-not-tls13";
		count = &counts->accord_not_tls13;
	}
	if (rule_of(conn) == CONFIG_ACCORD_REQUIRE) {
		block(conn, count, ALERT_ACCESS_DENIED, name, text);
		return;
	}
	++*count;
	report_notice(conn, SEVERITY_WARN, name, text);
	opening_aside_afresh(conn, text);
}

bool accord_settles_failure(struct conn *conn, enum leg_result result)
{
	struct bytes proof;
	const struct leg *leg = &conn->leg2;
	enum accord_leg2_result outcome = accord_leg2_proof(leg->ssl, &proof);
	/*
	 * What a server says that knows nothing of TLS 1.3, or nothing of what of it was offered. A proxy speaks it, and says
	 * the latter two of what it refuses.
	 */
	bool server = !conn->worker->config->accord_upstream;
	bool old = leg->alert_sent == ALERT_PROTOCOL_VERSION ||
	           (result == LEG_ALERT && (leg->alert_received == ALERT_PROTOCOL_VERSION ||
						   (server && leg->alert_received == ALERT_HANDSHAKE_FAILURE) ||
						   (server && leg->alert_received == ALERT_INSUFFICIENT_SECURITY)));
	if (outcome == ACCORD_LEG2_PENDING && old)
		outcome = ACCORD_LEG2_NOT_TLS13;
	if (outcome == ACCORD_LEG2_PENDING || outcome == ACCORD_LEG2_PROOF)
		return false;
	if (outcome == ACCORD_LEG2_REFUSED)
		end_refused(conn);
	else
		end_without_proof(conn, outcome);
	return true;
}

/* Leg 1. */

void accord_answer(struct conn *conn)
{
	struct error err;
	struct bytes proof;
	struct opening *o = conn->opening;
	enum accord_leg2_result result = accord_leg2_proof(conn->leg2.ssl, &proof);
	if (result == ACCORD_LEG2_REFUSED) {
		end_refused(conn);
		return;
	}
	if (result != ACCORD_LEG2_PROOF) {
		end_without_proof(conn, result == ACCORD_LEG2_PENDING ? ACCORD_LEG2_MALFORMED : result);
		return;
	}
	if (!opening_begin_inspection(conn))
		return;
	const char *unaudited = accord_audit_proof(conn, proof);
	if (unaudited) {
		opening_block(conn, ALERT_INTERNAL_ERROR, "audit-closed", unaudited);
		return;
	}
	if (answer_begin_accord(conn, o->accord.shown->ctx, proof, o->accord.paused, &err))
		opening_await_answer(conn);
	else
		opening_fail(conn, ALERT_INTERNAL_ERROR, "answer-failed", err.text);
}

/* Nothing of leg 1 is read as data before leg 2 stands (docs/accord.md, 7). */
static void approval_ready(struct conn *conn)
{
	char why[200], text[256];
	enum leg_result result = leg_handshake(&conn->leg2);
	if (result == LEG_WAIT)
		return;
	if (result == LEG_OK) {
		conn->worker->counts.handshakes[2]++;
		report_tls(conn, 2, &conn->leg2, &conn->opening->verified);
		opening_answered(conn);
		return;
	}
	leg_fault_text(&conn->leg2, why, sizeof(why));
	snprintf(text, sizeof(text), "the server did not take the client's approval: %s", why);
	conn->worker->counts.failed++;
	report_notice(conn, SEVERITY_WARN, "accord-approval", text);
	leg_notify(&conn->leg1);
	conn_end(conn, ENDING_FAILED, "accord-approval", text);
}

void accord_pass_approval(struct conn *conn)
{
	struct error err;
	struct opening *o = conn->opening;
	struct bytes approval = accord_leg1_approval(conn->leg1.ssl);
	if (approval.len == 0)
		(void)error_set(&err, "the server demands the client's approval, and the client gave none");
	const char *unaudited = approval.len > 0 ? accord_audit_approval(conn, approval) : NULL;
	if (unaudited)
		(void)error_set(&err, "%s", unaudited);
	if (approval.len == 0 || unaudited || !accord_leg2_approve(conn->leg2.ssl, approval, &err)) {
		accord_note_not_taken(conn, err.text);
		leg_notify(&conn->leg1);
		conn_end(conn, ENDING_REFUSED, "accord-approval", err.text);
		return;
	}
	o->accord.approved = true;
	conn_enter(conn, approval_ready, opening_handshake_late, conn->worker->config->handshake_timeout_ns);
}

/* What is said of it. */

void accord_summary(const struct conn *conn, char out[ACCORD_SUMMARY])
{
	const SSL *ssl = conn->leg2.ssl;
	const struct accord_introduction *in = accord_leg2_introduction(ssl);
	const struct opening *o = conn->opening;
	bool sealed = o->verdict.options.sealed && !conn->worker->config->accord_upstream;
	const char *demand = !accord_leg2_demanded(ssl)            ? ""
	                     : o->accord.client.offer.has_approval ? " approval=demanded"
	                                                           : " certificate=demanded";
	snprintf(out, ACCORD_SUMMARY, "level=%d introduction=%s hops=%zu%s", accord_leg2_verdict(ssl) ? 2 : 1,
		sealed ? "sealed" : "open", in ? in->hops : 0, demand);
}

/*
 * The client's last flight is acknowledged now. No ticket follows that would do it, and a client that fills segments
 * (TCP_NODELAY unset) would hold its request back for 40 ms.
 */
static void acknowledge(const struct conn *conn)
{
	int yes = 1;
	(void)setsockopt(conn->client.fd, IPPROTO_TCP, TCP_QUICKACK, &yes, sizeof(yes));
}

void accord_note_taken(struct conn *conn)
{
	char summary[ACCORD_SUMMARY], text[256];
	struct bytes proof;
	conn->worker->counts.accord++;
	accord_summary(conn, summary);
	(void)!accord_leg2_proof(conn->leg2.ssl, &proof);
	snprintf(text, sizeof(text), "%s role=%s proof=%zu: the client checked the server's own signature", summary,
		accord_role_name(own_role(conn)), proof.len);
	report_notice(conn, SEVERITY_INFO, "accord", text);
	acknowledge(conn);
	/* A proof weighs more than all else that a connection at rest holds. */
	accord_leg2_forget(conn->leg2.ssl);
	accord_leg1_forget(conn->leg1.ssl);
}

void accord_note_not_taken(struct conn *conn, const char *why)
{
	conn->worker->counts.accord_client_refused++;
	report_notice(conn, SEVERITY_WARN, "accord-client-refuses", why);
}
