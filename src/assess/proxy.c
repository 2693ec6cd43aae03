#include "assess/proxy.h"

#include "assess/identity.h"
#include "assess/origin.h"
#include "assess/proxy_parts.h"
#include "base/clock.h"

#include <openssl/x509v3.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define CONNECTIONS 160
#define LOOK_NS     (6 * NS_PER_S)

/* Plays a case and sends a request through the proxy. False when it cannot be played. */
bool proxy_pass(struct proxy *proxy, const struct play *play, const struct through_wish *wish,
	struct through_seen *shown, struct error *err)
{
	*shown = (struct through_seen){0};
	if (!origin_play(proxy->origin, play, err))
		return false;
	through(&proxy->target, wish, shown);
	origin_look(proxy->origin, LOOK_NS, &proxy->seen);
	return true;
}

static void tell_refusal(const struct through_seen *shown, char *out, size_t cap)
{
	if (shown->answer_len > 0)
		snprintf(out, cap, "refused: no octet of the request arrived; the client got a page: %.*s",
			(int)strcspn(shown->answer, "\r\n"), shown->answer);
	else
		snprintf(out, cap, "refused: no octet of the request arrived; %s", shown->fault);
}

void proxy_try(struct proxy *proxy, const char *check, enum grade grade, const char *probed, const char *why,
	const struct play *play)
{
	struct through_seen shown;
	struct error err = {""};
	char seen[REPORT_TEXT];
	if (!proxy_pass(proxy, play, &proxy->wish, &shown, &err)) {
		report_add(proxy->report, check, GRADE_UNKNOWN, probed, NULL, "not tried: %s", err.text);
		return;
	}
	if (!shown.connected) {
		report_add(proxy->report, check, GRADE_UNKNOWN, probed, NULL, "%s", shown.fault);
	} else if (proxy->seen.connections == 0) {
		report_add(proxy->report, check, GRADE_UNKNOWN, probed, NULL,
			"not asked: it refused without connecting to the server (%s)", shown.fault);
	} else if (proxy->seen.request > 0) {
		report_add(proxy->report, check, grade, probed, why,
			"ACCEPTED: %zu octets of the request reached the server", proxy->seen.request);
	} else {
		tell_refusal(&shown, seen, sizeof(seen));
		report_add(proxy->report, check, GRADE_A, probed, NULL, "%s", seen);
	}
	if (strcmp(check, "02-expired") == 0 && shown.connected)
		report_add(proxy->report, "19-shown", GRADE_NONE, "what the client gets to see of an expired server",
			NULL, "%s",
			shown.answer_len > 0  ? "a page"
			: shown.status >= 400 ? "a status to CONNECT"
					      : shown.fault);
	through_free(&shown);
}

static bool control(struct proxy *proxy, struct error *err)
{
	const struct play play = {.identity = &proxy->good};
	struct through_seen shown;
	bool ok = proxy_pass(proxy, &play, &proxy->wish, &shown, err);
	if (ok && proxy->seen.request == 0)
		ok = error_set(err,
			"%s: not even a good server is reached through it (%s): it must trust the root of --origin, "
			"look %s up as "
			"127.0.0.1 and be allowed to go there; and --ca must be its CA",
			proxy->target.text, shown.fault[0] ? shown.fault : "no request arrived", proxy->wish.name);
	if (ok && shown.leaf && X509_cmp(shown.leaf, proxy->good.leaf) == 0)
		ok = error_set(err, "%s: passes the server's own certificate on: it does not inspect this connection",
			proxy->target.text);
	if (ok) {
		report_add(proxy->report, "control", GRADE_NONE, "a good server", NULL,
			"the request arrives, and the proxy reads it");
		proxy->leaf = shown.leaf && X509_up_ref(shown.leaf) == 1 ? shown.leaf : NULL;
		proxy_tell_leaf(proxy, &shown);
		proxy_tell_upstream(proxy);
	}
	through_free(&shown);
	return ok;
}

static void try_all(struct proxy *proxy)
{
	proxy_certificates(proxy);
	proxy_ca(proxy);
	proxy_clients(proxy);
	proxy_conduct(proxy);
}

static void tell_verdict(struct proxy *proxy)
{
	unsigned accepted = 0;
	for (size_t i = 0; i < proxy->report->findings; i++)
		accepted += proxy->report->finding[i].grade == GRADE_F;
	report_conclude(proxy->report, "upstream-verification", accepted > 0 ? "incomplete" : "complete", accepted > 0,
		accepted > 0 ? "%u cases in which somebody who is in between can pass for a server, or read along, "
			       "unseen by the client"
			     : "no case in which somebody who is in between could pass for a server",
		accepted);
}

static bool begin(struct proxy *proxy, struct error *err)
{
	const struct proxy_options *options = proxy->options;
	const char *name = options->name ? options->name : "localhost";
	if (!target_of_word(options->proxy, "8080", &proxy->target, err) || !proxy_read_ca(proxy, err))
		return false;
	proxy->target.deadline_ns = clock_monotonic_ns() + options->whole_ns;
	proxy->target.step_ns = options->patience_ns;
	proxy->target.left = CONNECTIONS;
	proxy->maker = identity_maker_new(name, options->origin, err);
	proxy->status = proxy->maker ? status_new(identity_crl(proxy->maker), err) : NULL;
	if (proxy->status)
		identity_tell_status_at(proxy->maker, status_port(proxy->status));
	proxy->origin = proxy->status ? origin_new("127.0.0.1", options->origin_port, err) : NULL;
	if (!proxy->origin || !target_find(&proxy->target, err))
		return false;
	proxy->wish = (struct through_wish){
		.name = name, .port = origin_port(proxy->origin), .direct = options->direct, .ca = options->ca};
	proxy->report = report_new("proxy", proxy->target.text);
	return (proxy->report && identity_make(proxy->maker, IDENTITY_GOOD, false, &proxy->good)) ||
	       error_set_openssl(err, "certificates cannot be made");
}

bool proxy_make_root(const char *folder, char *path, size_t cap, struct error *err)
{
	struct identity_maker *maker = identity_maker_new("localhost", folder, err);
	snprintf(path, cap, "%s/root.pem", folder);
	identity_maker_free(maker);
	return maker != NULL;
}

struct report *proxy_assess(const struct proxy_options *options, struct error *err)
{
	struct proxy *proxy = calloc(1, sizeof(*proxy));
	uint64_t began_ns = clock_monotonic_ns();
	if (!proxy) {
		error_set(err, "no memory");
		return NULL;
	}
	proxy->options = options;
	bool ok = begin(proxy, err) && control(proxy, err);
	if (ok) {
		try_all(proxy);
		tell_verdict(proxy);
		proxy->report->connections = proxy->target.made;
		proxy->report->took_ns = clock_monotonic_ns() - began_ns;
	} else {
		report_free(proxy->report);
	}
	struct report *report = ok ? proxy->report : NULL;
	origin_free(proxy->origin);
	status_free(proxy->status);
	X509_free(proxy->ca);
	X509_free(proxy->leaf);
	identity_free(&proxy->good);
	identity_maker_free(proxy->maker);
	free(proxy);
	return report;
}
