#include "cli/accord_tell.h"

#include "accord/purpose.h"
#include "base/fold.h"
#include "base/hostport.h"
#include "base/text.h"
#include "pki/name.h"
#include "pki/summary.h"
#include "tls/group.h"
#include "tls/sigalg.h"
#include "tls/suite.h"

#include <limits.h>

#define HEX_ROOM  130 /* 64 octets in hex, a blank, and the NUL */
#define HEX_LINE  32  /* octets */
#define TEXT_ROOM 1100
#define LEFT      16 /* columns before what a row says: a digest has room in 80 */
#define COLUMNS   74 /* of prose: overt tour quotes it, a little deeper */

static const char *const path_names[] = {
	[ACCORD_PATH_UNDECIDED] = "undecided",
	[ACCORD_PATH_PROVEN] = "proven",
	[ACCORD_PATH_DIRECT] = "direct",
	[ACCORD_PATH_LOCAL] = "local-ca",
	[ACCORD_PATH_REFUSED] = "refused",
};

static const char *hex(char out[HEX_ROOM], const uint8_t *data, size_t len)
{
	text_hex(out, HEX_ROOM, bytes_of(data, len));
	return out;
}

static const char *or_unknown(const char *name)
{
	return name ? name : "unknown";
}

/* False when the certificate cannot be read. */
static bool summary_of(struct bytes der, struct cert_summary *out)
{
	const unsigned char *at = der.data;
	X509 *cert = der.len <= LONG_MAX ? d2i_X509(NULL, &at, (long)der.len) : NULL;
	if (cert)
		cert_summary_of(cert, out);
	X509_free(cert);
	return cert != NULL;
}

static void host_text(const struct accord_proven *proven, char *out, size_t cap)
{
	struct subject_name name;
	if (proven->host.len > 0)
		text_clean(out, cap, proven->host);
	else if (subject_name_from_ip(proven->address, &name))
		snprintf(out, cap, "%s", name.text);
	else
		snprintf(out, cap, "?");
}

static const char *who_text(const struct accord_identity *who)
{
	return who->name[0] ? who->name : "(no name)";
}

void accord_tell_fault(const struct accord_outcome *outcome, char *out, size_t cap)
{
	const struct accord_judgement *judgement = &outcome->judgement;
	char text[sizeof(judgement->error.text)];
	text_clean(text, sizeof(text), bytes_str(judgement->error.text));
	if (judgement->fault == ACCORD_OK)
		snprintf(out, cap, "refused: %s", text);
	else if (judgement->check == 0)
		snprintf(out, cap, "refused (%s): %s", accord_fault_name(judgement->fault), text);
	else
		snprintf(out, cap, "check %d failed (%s): %s", judgement->check, accord_fault_name(judgement->fault),
			text);
}

static void summary_proxy(FILE *out, const char *verb, const struct accord_proven_proxy *proxy)
{
	char purpose[TEXT_ROOM];
	text_clean(purpose, sizeof(purpose), proxy->purpose);
	fprintf(out, "overt %s: proxy %s, as %s%s%s%s\n", verb, who_text(&proxy->who),
		or_unknown(accord_role_name(proxy->hop.role)), purpose[0] ? ", for: \"" : "", purpose,
		purpose[0] ? "\"" : "");
}

static void summary_server(FILE *out, const char *verb, const struct accord_proven *proven)
{
	struct cert_summary cert;
	char host[300];
	char line[700] = "a certificate that cannot be read";
	host_text(proven, host, sizeof(host));
	if (summary_of(proven->server.cert[0], &cert))
		cert_summary_line(&cert, line, sizeof(line));
	fprintf(out, "overt %s: server %s (%s) signed your nonce and the prox%s%s\n", verb, host, line,
		proven->proxies == 1 ? "y" : "ies",
		proven->has_verdict ? ", and accepts"
		: proven->sealed    ? ", sealed: it was not told who"
				    : "");
}

void accord_tell_summary(FILE *out, const char *verb, const struct accord_outcome *outcome, const char *roots)
{
	switch (outcome->path) {
	case ACCORD_PATH_PROVEN:
		summary_server(out, verb, &outcome->proven);
		for (size_t i = 0; i < outcome->proven.proxies; i++)
			summary_proxy(out, verb, &outcome->proven.proxy[i]);
		break;
	case ACCORD_PATH_DIRECT:
		fprintf(out, "overt %s: no proxy reads this: the server itself is at the other end, by %s\n", verb,
			roots ? "the roots you gave" : "web roots without a local CA");
		break;
	case ACCORD_PATH_LOCAL:
		fprintf(out,
			"overt %s: warning: nothing was proven: the certificate comes from a CA that was added on this "
			"machine; whoever holds its key may read and change all of this\n",
			verb);
		break;
	default:
		break;
	}
}

/* The story. */

static void row(FILE *out, const char *what, const char *value)
{
	fprintf(out, "    %-11s ", what);
	fold(out, value, LEFT, LEFT, COLUMNS);
	fputc('\n', out);
}

static void row_hex(FILE *out, const char *what, const uint8_t *data, size_t len)
{
	char text[HEX_ROOM];
	size_t front = len < HEX_LINE ? len : HEX_LINE, at = text_hex(text, sizeof(text), bytes_of(data, front));
	if (front < len) {
		text[at++] = ' ';
		text_hex(text + at, sizeof(text) - at, bytes_of(data + front, len - front));
	}
	row(out, what, text);
}

static void tell_cert(FILE *out, struct bytes der)
{
	struct cert_summary cert;
	char line[700];
	if (!summary_of(der, &cert))
		return;
	cert_summary_line(&cert, line, sizeof(line));
	row(out, "certificate", line);
	row(out, "its SHA-256", cert.sha256);
}

static const char *role_text(uint8_t role)
{
	return role == ACCORD_READER
	               ? "reader: it reads, and promises to change nothing; nothing but its word holds it to that"
	               : "writer: it reads and may change what is said";
}

static void tell_proxy(FILE *out, const struct accord_proven_proxy *proxy, size_t number)
{
	char purpose[TEXT_ROOM], code[ACCORD_PURPOSE_TEXT], told[TEXT_ROOM + ACCORD_PURPOSE_TEXT + 16];
	text_clean(purpose, sizeof(purpose), proxy->purpose);
	fprintf(out, "\nproxy %zu    %s\n", number, who_text(&proxy->who));
	row_hex(out, "pin", proxy->who.pin, sizeof(proxy->who.pin));
	tell_cert(out, proxy->leaf);
	row(out, "role", role_text(proxy->hop.role));
	snprintf(told, sizeof(told), "%s (code: %s)", purpose[0] ? purpose : "none told",
		accord_purpose_text(proxy->purpose_code, code));
	row(out, "purpose", told);
	row_hex(out, "its nonce", proxy->hop.proxy_nonce, sizeof(proxy->hop.proxy_nonce));
	row(out, "signed",
		number == 1 ? "your connection to it, the proof included"
			    : "the handshake with the proxy before it, in which that one is introduced");
}

static void tell_server(FILE *out, const struct accord_proven *proven)
{
	const struct accord_proven_leg *leg = &proven->proxy[proven->proxies - 1].leg;
	char host[300], text[TEXT_ROOM + 16];
	host_text(proven, host, sizeof(host));
	fprintf(out, "\nserver     %s\n", host);
	tell_cert(out, proven->server.cert[0]);
	snprintf(text, sizeof(text), "with %s, in %s with %s%s", or_unknown(sigalg_name(leg->scheme)),
		or_unknown(suite_name(leg->suite)), or_unknown(group_name(leg->group)),
		leg->retried ? ", after a HelloRetryRequest" : "");
	row(out, "signed", text);
	row_hex(out, "over", leg->transcript_hash, leg->transcript_hash_len);
	row(out, "",
		proven->sealed ? "a handshake with a commitment to your nonce and the list of proxies"
			       : "a handshake with your nonce and the list of proxies, their nonces and roles");
	if (proven->has_verdict) {
		char statement[TEXT_ROOM];
		text_clean(statement, sizeof(statement), proven->verdict.statement);
		snprintf(text, sizeof(text), "accepts%s%s%s", statement[0] ? ": \"" : "", statement,
			statement[0] ? "\"" : "");
		row(out, "verdict", text);
		row_hex(out, "its nonce", proven->verdict.server_nonce, sizeof(proven->verdict.server_nonce));
	} else {
		row(out, "verdict",
			proven->sealed ? "none: it was not told who stands in between"
				       : "none: it was told, which is not to say that it noticed");
	}
}

static void tell_check(FILE *out, int number, const char *what)
{
	fprintf(out, "    %d  ", number);
	fold(out, what, 7, 7, COLUMNS);
	fputc('\n', out);
}

/* What check 4 rested on. */
static void tell_roots(FILE *out, const char *roots)
{
	char name[TEXT_ROOM], text[TEXT_ROOM + 100];
	if (!roots) {
		tell_check(out, 4,
			"the server's certificate leads to a web root, none of them added on this machine, and names "
			"it");
		return;
	}
	text_clean(name, sizeof(name), bytes_str(roots));
	snprintf(text, sizeof(text), "the server's certificate leads to a root in %s, the file you gave, and names it",
		name);
	tell_check(out, 4, text);
}

void accord_tell_story(FILE *out, const struct accord_outcome *outcome, const char *roots)
{
	const struct accord_proven *proven = &outcome->proven;
	const struct accord_offer *offer = &outcome->leg1.offer;
	fprintf(out, "you        offered to accept%s%s\n", offer->accepted_roles & ACCORD_READER ? " readers" : "",
		offer->accepted_roles & ACCORD_WRITER ? " writers" : "");
	row_hex(out, "your nonce", offer->client_nonce, sizeof(offer->client_nonce));
	for (size_t i = 0; i < proven->proxies; i++)
		tell_proxy(out, &proven->proxy[i], i + 1);
	tell_server(out, proven);
	fputs("\nchecks\n", out);
	tell_check(
		out, 1, "TLS 1.3, not resumed; the proxy's certificate leads to your anchor, and it is one you named");
	tell_check(
		out, 2, "the proof is a whole TLS 1.3 handshake, without a resumed session, of algorithms you offer");
	tell_check(
		out, 3, "that handshake was about your nonce, this proxy, a role you accept, the name you asked for");
	tell_roots(out, roots);
	tell_check(out, 5, "the server's signature over that handshake is good");
	tell_check(out, 6, "the server refuses nothing");
	fputs("    all passed\n\n"
	      "not proven: that the content is the server's. The proxy is trusted with it.\n",
		out);
}

/* JSON. */

static void json_hex(struct jsonout *json, const char *key, const uint8_t *data, size_t len)
{
	char text[HEX_ROOM];
	jsonout_word(json, key, hex(text, data, len));
}

static void json_clean(struct jsonout *json, const char *key, struct bytes in)
{
	char text[TEXT_ROOM];
	text_clean(text, sizeof(text), in);
	jsonout_word(json, key, text);
}

static void json_cert(struct jsonout *json, struct bytes der)
{
	struct cert_summary cert;
	if (!summary_of(der, &cert))
		return;
	jsonout_object(json, "certificate");
	jsonout_word(json, "subject", cert.subject);
	jsonout_word(json, "issuer", cert.issuer);
	jsonout_word(json, "sha256", cert.sha256);
	jsonout_word(json, "key", cert.key);
	if (cert.not_after_s > 0)
		jsonout_time(json, "not_after", (uint64_t)cert.not_after_s * 1000000000ULL);
	jsonout_object_end(json);
}

static void json_leg(struct jsonout *json, const struct accord_proven_leg *leg)
{
	jsonout_object(json, "next_leg");
	jsonout_word(json, "suite", or_unknown(suite_name(leg->suite)));
	jsonout_word(json, "group", or_unknown(group_name(leg->group)));
	jsonout_word(json, "scheme", or_unknown(sigalg_name(leg->scheme)));
	jsonout_bool(json, "retried", leg->retried);
	json_hex(json, "transcript_hash", leg->transcript_hash, leg->transcript_hash_len);
	jsonout_object_end(json);
}

static void json_proxy(struct jsonout *json, const struct accord_proven_proxy *proxy)
{
	jsonout_object(json, NULL);
	jsonout_word(json, "name", proxy->who.name);
	json_hex(json, "pin", proxy->who.pin, sizeof(proxy->who.pin));
	jsonout_word(json, "role", or_unknown(accord_role_name(proxy->hop.role)));
	json_clean(json, "purpose", proxy->purpose);
	jsonout_number(json, "purpose_code", proxy->purpose_code);
	if (accord_purpose_name(proxy->purpose_code))
		jsonout_word(json, "purpose_word", accord_purpose_name(proxy->purpose_code));
	json_hex(json, "nonce", proxy->hop.proxy_nonce, sizeof(proxy->hop.proxy_nonce));
	json_cert(json, proxy->leaf);
	json_leg(json, &proxy->leg);
	jsonout_object_end(json);
}

static void json_proven(struct jsonout *json, const struct accord_proven *proven)
{
	char host[300];
	host_text(proven, host, sizeof(host));
	jsonout_array(json, "proxies");
	for (size_t i = 0; i < proven->proxies; i++)
		json_proxy(json, &proven->proxy[i]);
	jsonout_array_end(json);
	jsonout_object(json, "server");
	jsonout_word(json, "name", host);
	json_cert(json, proven->server.cert[0]);
	jsonout_bool(json, "sealed", proven->sealed);
	jsonout_bool(json, "demanded_approval", proven->demanded);
	if (proven->has_verdict) {
		jsonout_word(json, "verdict", "accept");
		json_clean(json, "statement", proven->verdict.statement);
		json_hex(json, "nonce", proven->verdict.server_nonce, sizeof(proven->verdict.server_nonce));
	}
	jsonout_object_end(json);
}

void accord_tell_json(struct jsonout *json, const struct accord_outcome *outcome)
{
	const struct accord_judgement *judgement = &outcome->judgement;
	jsonout_word(json, "path", path_names[outcome->path]);
	if (outcome->path == ACCORD_PATH_REFUSED) {
		jsonout_object(json, "failed");
		jsonout_number(json, "check", (uint64_t)judgement->check);
		if (judgement->fault != ACCORD_OK)
			jsonout_word(json, "name", accord_fault_name(judgement->fault));
		json_clean(json, "reason", bytes_str(judgement->error.text));
		jsonout_object_end(json);
	}
	if (outcome->proof.len > 0)
		json_hex(json, "client_nonce", outcome->leg1.offer.client_nonce, ACCORD_NONCE);
	if (outcome->path == ACCORD_PATH_PROVEN)
		json_proven(json, &outcome->proven);
}
