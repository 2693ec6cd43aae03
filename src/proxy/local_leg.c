/* Leg 2 of `overt local`: a client of Accord (docs/accord.md, 4.1), and what it found. */
#include "base/clock.h"
#include "base/text.h"
#include "proxy/conn.h"
#include "proxy/local_parts.h"
#include "proxy/opening.h"
#include "proxy/opening_parts.h"
#include "proxy/report.h"
#include "proxy/worker.h"
#include "tls/alert.h"

#include <stdio.h>
#include <stdlib.h>

#define REFUSED_BY_USER "refused-by-user"

static struct conn *conn_of(const SSL *ssl)
{
	struct leg *leg = SSL_get_app_data(ssl);
	return (struct conn *)(void *)((char *)leg - offsetof(struct conn, leg2));
}

void local_case_free(struct local_case *known)
{
	if (!known)
		return;
	X509_free(known->server);
	free(known);
}

static void fill_reader(struct book_reader *out, const struct accord_proven_proxy *proxy)
{
	text_clean(out->name, sizeof(out->name), bytes_str(proxy->who.name));
	text_hex(out->pin, sizeof(out->pin), bytes_of(proxy->who.pin, sizeof(proxy->who.pin)));
	text_clean(out->purpose, sizeof(out->purpose), proxy->purpose);
	out->role = proxy->hop.role;
}

static bool fill_case(struct local_case *known, const struct conn *conn, const struct accord_outcome *outcome)
{
	struct book_entry *what = &known->what;
	snprintf(what->site, sizeof(what->site), "%s", conn->opening->name.text);
	what->kind = outcome->path == ACCORD_PATH_PROVEN   ? BOOK_READ
	             : outcome->path == ACCORD_PATH_DIRECT ? BOOK_NOBODY
	                                                   : BOOK_LOCAL_CA;
	if (outcome->path != ACCORD_PATH_PROVEN)
		return true;
	for (size_t i = 0; i < outcome->proven.proxies; i++)
		fill_reader(&what->reader[what->readers++], &outcome->proven.proxy[i]);
	what->accepted = outcome->proven.has_verdict; /* a refusal would have failed check 6 */
	known->server = accord_cert_decode(outcome->proven.server.cert[0], NULL);
	return known->server != NULL;
}

static void say_verified(struct opening *o, bool good, const char *text)
{
	o->verified = (struct verify_verdict){.fault = good ? VERIFY_OK : VERIFY_UNKNOWN_ROOT,
		.faults = good ? 0 : VERIFY_FAULT_BIT(VERIFY_UNKNOWN_ROOT),
		.depth = -1};
	snprintf(o->verified.text, sizeof(o->verified.text), "%s", text);
}

/* Everything has passed: may it be, by the user's word? */
static bool take(struct conn *conn, const struct accord_outcome *outcome)
{
	struct opening *o = conn->opening;
	local_case_free(o->local);
	o->local = calloc(1, sizeof(*o->local));
	if (!o->local || !fill_case(o->local, conn, outcome)) {
		say_verified(o, false, "no memory to remember who reads");
		return false;
	}
	if (outcome->path == ACCORD_PATH_PROVEN)
		say_verified(o, true, "verified by the proof of Accord");
	else if (outcome->path == ACCORD_PATH_DIRECT)
		say_verified(o, true, "verified by web roots");
	return !refused_concerns(&conn->worker->mine->refused, &o->local->what, &o->local->why);
}

static int verify(X509_STORE_CTX *store, void *arg)
{
	SSL *ssl = X509_STORE_CTX_get_ex_data(store, SSL_get_ex_data_X509_STORE_CTX_idx());
	struct conn *conn = conn_of(ssl);
	if (!conn->opening)
		return 0;
	int ok = accord_client_verify(store, arg);
	const struct accord_outcome *outcome = accord_client_outcome(ssl);
	conn->opening->judged = true;
	if (ok <= 0 || !outcome) {
		say_verified(conn->opening, false, "refused");
		return 0;
	}
	if (take(conn, outcome))
		return 1;
	X509_STORE_CTX_set_error(store, X509_V_ERR_APPLICATION_VERIFICATION);
	return 0;
}

bool local_attach(struct local *local, SSL_CTX *ctx, uint8_t roles,
	int (*program_verify)(X509_STORE_CTX *store, void *arg), struct error *err)
{
	const struct accord_client_config config = {
		.rule = local->options.rule,
		.accepted_roles = roles,
		.ctx = local->options.pact,
		.verify_proxy = pact_verify_proxy,
		.verify_server = pact_verify_server,
		.lib = pact_lib(local->options.pact),
		.now_s = pact_now,
		.next_verify = program_verify,
	};
	if (!accord_client_attach(ctx, &config, err))
		return false;
	SSL_CTX_set_cert_verify_callback(ctx, verify, NULL);
	return true;
}

bool local_required(const struct local *local)
{
	return local->options.rule == ACCORD_REQUIRE;
}

uint8_t local_roles(const struct conn *conn)
{
	const struct local *local = conn->worker->mine;
	return refused_roles_left(&local->refused, local->options.roles, conn->opening->name.text);
}

/* Ending. */

static void end(struct conn *conn, unsigned check, uint8_t alert, const char *name, const char *text)
{
	struct opening *o = conn->opening;
	bool by_user = strcmp(name, REFUSED_BY_USER) == 0;
	local_note_refused(conn, check, text);
	report_notice(conn, SEVERITY_WARN, name, text);
	report_verdict(conn, ACTION_BLOCK, 2, o->verdict.label, text);
	if (!o->local)
		o->local = calloc(1, sizeof(*o->local));
	if (o->local) {
		o->local->name = name;
		o->local->alert = alert;
		o->local->by_user = by_user;
		snprintf(o->local->text, sizeof(o->local->text), "%s", text);
	}
	*(by_user ? &conn->worker->counts.blocked : &conn->worker->counts.failed) += 1;
	if (o->local && local_explain(conn))
		return;
	conn_alert(conn, alert);
	conn_end(conn, by_user ? ENDING_BLOCKED : ENDING_FAILED, name, text);
}

static void end_by_user(struct conn *conn, const char *why)
{
	char text[700];
	snprintf(text, sizeof(text), "refused on this machine: %s", why);
	conn->worker->mine->counts.refused++;
	end(conn, 0, ALERT_ACCESS_DENIED, REFUSED_BY_USER, text);
}

static void end_by_check(struct conn *conn, const struct accord_outcome *outcome)
{
	const struct accord_judgement *judgement = &outcome->judgement;
	char text[700];
	/* Without a number: there was no proof to be checked. */
	if (judgement->check > 0)
		snprintf(text, sizeof(text), "check %d of Accord failed (%s): %s", judgement->check,
			accord_fault_name(judgement->fault), judgement->error.text);
	else
		snprintf(text, sizeof(text), "Accord: %s", judgement->error.text);
	conn->worker->mine->counts.failed++;
	end(conn, (unsigned)judgement->check, ALERT_BAD_CERTIFICATE, "accord-check", text);
}

/* What was offered to the proxy is less than what the command line allows. */
static bool end_by_offer(struct conn *conn)
{
	struct local *local = conn->worker->mine;
	const char *site = conn->opening->name.text;
	uint8_t left = local_roles(conn);
	if (left == local->options.roles)
		return false;
	char why[400];
	if (refused_has(&local->refused, REFUSED_SITE, site))
		snprintf(why, sizeof(why),
			"you decided that nobody may read %s, and the network's proxy does not step aside", site);
	else
		snprintf(why, sizeof(why), "you accept no proxy as %s, and the network's proxy does not step aside",
			refused_has(&local->refused, REFUSED_ROLE, "reader") ? "reader" : "writer");
	end_by_user(conn, why);
	return true;
}

bool local_settles_failure(struct conn *conn, enum leg_result result)
{
	const struct accord_outcome *outcome = accord_client_outcome(conn->leg2.ssl);
	const struct local_case *known = conn->opening->local;
	if (known && known->why.text[0]) {
		end_by_user(conn, known->why.text);
		return true;
	}
	if (outcome && outcome->path == ACCORD_PATH_REFUSED) {
		end_by_check(conn, outcome);
		return true;
	}
	if (result != LEG_ALERT || conn->leg2.alert_received != ALERT_ACCESS_DENIED)
		return false;
	if (end_by_offer(conn))
		return true;
	conn->worker->mine->counts.failed++;
	end(conn, 0, ALERT_ACCESS_DENIED, "network-refuses",
		"the network's proxy ended the connection: access_denied. It, or the server behind it, permits it not");
	return true;
}

bool local_passed(struct conn *conn)
{
	if (accord_client_passed(conn->leg2.ssl) && conn->opening->local)
		return true;
	conn->worker->mine->counts.failed++;
	end(conn, 0, ALERT_BAD_CERTIFICATE, "accord-check", "the peer showed no certificate: nothing was checked");
	return false;
}
