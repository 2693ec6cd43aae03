#include "accord/check.h"

#include "accord/check_parts.h"
#include "accord/seal.h"

#include <stdarg.h>
#include <stdio.h>

struct fault_row {
	const char *name;
	int check;
};

static const struct fault_row rows[ACCORD_FAULTS] = {
	[ACCORD_OK] = {"ok", 0},
	[ACCORD_LEG1_VERSION] = {"leg1-version", 1},
	[ACCORD_LEG1_RESUMED] = {"leg1-resumed", 1},
	[ACCORD_PROXY_CERTIFICATE] = {"proxy-certificate", 1},
	[ACCORD_PROXY_PURPOSE] = {"proxy-purpose", 1},
	[ACCORD_PROXY_LIFETIME] = {"proxy-lifetime", 1},
	[ACCORD_PROXY_CHAIN] = {"proxy-chain", 1},
	[ACCORD_PROOF_FORM] = {"proof-form", 2},
	[ACCORD_PROOF_SIZE] = {"proof-size", 2},
	[ACCORD_MESSAGES] = {"messages", 2},
	[ACCORD_HELLO] = {"hello", 2},
	[ACCORD_LEG2_VERSION] = {"leg2-version", 2},
	[ACCORD_LEG2_PSK] = {"leg2-psk", 2},
	[ACCORD_CERTIFICATE_FORM] = {"certificate-form", 2},
	[ACCORD_SUITE] = {"suite", 2},
	[ACCORD_GROUP] = {"group", 2},
	[ACCORD_SCHEME] = {"scheme", 2},
	[ACCORD_SCHEME_KEY] = {"scheme-key", 2},
	[ACCORD_INTRODUCTION_MISSING] = {"introduction-missing", 3},
	[ACCORD_INTRODUCTION_FORM] = {"introduction-form", 3},
	[ACCORD_INTRODUCTION_DIFFERS] = {"introduction-differs", 3},
	[ACCORD_SEAL] = {"seal", 3},
	[ACCORD_CLIENT_NONCE] = {"client-nonce", 3},
	[ACCORD_ROLE] = {"role", 3},
	[ACCORD_HOPS] = {"hops", 3},
	[ACCORD_LAST_HOP] = {"last-hop", 3},
	[ACCORD_APPROVAL_HASH] = {"approval-hash", 3},
	[ACCORD_NAME] = {"name", 3},
	[ACCORD_PROTOCOL] = {"protocol", 3},
	[ACCORD_SERVER_CHAIN] = {"server-chain", 4},
	[ACCORD_SIGNATURE] = {"signature", 5},
	[ACCORD_VERDICT_FORM] = {"verdict-form", 6},
	[ACCORD_VERDICT_REFUSED] = {"verdict-refused", 6},
	[ACCORD_INTERNAL] = {"internal", 0},
};

int accord_fault_check(enum accord_fault fault)
{
	return (unsigned)fault < ACCORD_FAULTS ? rows[fault].check : 0;
}

const char *accord_fault_name(enum accord_fault fault)
{
	return (unsigned)fault < ACCORD_FAULTS ? rows[fault].name : "?";
}

bool check_fail(struct check *check, enum accord_fault fault, size_t leg, const char *format, ...)
{
	char text[400];
	va_list args;
	va_start(args, format);
	vsnprintf(text, sizeof(text), format, args);
	va_end(args);
	check->out->fault = fault;
	check->out->check = accord_fault_check(fault);
	check->out->leg = (int)leg;
	if (leg > 0)
		return error_set(&check->out->error, "leg %zu: %s", leg, text);
	return error_set(&check->out->error, "%s", text);
}

X509 *check_decode(const struct check *check, struct bytes der)
{
	const struct accord_trust *trust = check->trust;
	return trust->decode ? trust->decode(trust->ctx, der) : accord_cert_decode(der, trust->lib);
}

/* What of check 1 needs no certificate. */
static bool leg1_ok(struct check *check)
{
	const struct accord_leg1 *leg1 = check->leg1;
	if (leg1->version != TLS_VERSION_13)
		return check_fail(check, ACCORD_LEG1_VERSION, 1, "a proof counts in TLS 1.3 only");
	if (leg1->resumed)
		return check_fail(check, ACCORD_LEG1_RESUMED, 1, "a resumed connection has no proof");
	if (leg1->proxy.count == 0 || leg1->proxy.count > ACCORD_MAX_CERTS)
		return check_fail(check, ACCORD_PROXY_CERTIFICATE, 1, "%zu certificates, where 1 to %d are allowed",
			leg1->proxy.count, ACCORD_MAX_CERTS);
	return true;
}

/* Reads a proof and those inside it, one leg after the other. */
static bool structure_ok(struct check *check, struct bytes body)
{
	while (body.len > 0) {
		size_t index = check->legs;
		if (index == ACCORD_MAX_HOPS)
			return check_fail(check, ACCORD_PROOF_SIZE, index + 2, "over %d proxies", ACCORD_MAX_HOPS);
		check->legs++;
		struct check_leg *leg = &check->leg[index];
		enum accord_body_result result = accord_proof_read(body, &leg->proof);
		if (result != ACCORD_BODY_OK)
			return check_fail(check, result == ACCORD_BODY_TOO_LONG ? ACCORD_PROOF_SIZE : ACCORD_PROOF_FORM,
				index + 1, "the proof: %s", accord_body_text(result));
		if (!check_form(check, index))
			return false;
		body = leg->nested;
	}
	for (size_t i = 0; i < check->legs; i++) {
		if (!check_told(check, i))
			return false;
	}
	if (check->leg1->host.len == 0 && check->leg1->address.len == 0)
		return check_fail(check, ACCORD_NAME, 1, "the client knows neither name nor address of the server");
	return true;
}

/* A chain as the callbacks get it. */
static struct accord_chain with_leaf(const struct check *check, const struct accord_chain *chain, X509 *leaf)
{
	struct accord_chain all = *chain;
	all.leaf = leaf;
	all.lib = check->trust->lib;
	return all;
}

/* Check 1 of the proxy that stands before check->leg[index]. */
static bool proxy_ok(struct check *check, size_t index)
{
	struct error why = {""};
	if (index == 0)
		check->neighbour = check_decode(check, check->leg1->proxy.cert[0]);
	X509 *leaf = index == 0 ? check->neighbour : check->leg[index - 1].leaf;
	if (!leaf)
		return check_fail(check, ACCORD_PROXY_CERTIFICATE, index + 1, "the proxy's certificate cannot be read");
	enum accord_leaf_result result = accord_leaf_judge(leaf, &check->proxy[index], &why);
	if (result == ACCORD_LEAF_MALFORMED)
		return check_fail(check, ACCORD_PROXY_CERTIFICATE, index + 1, "%s", why.text);
	if (result == ACCORD_LEAF_LIFETIME)
		return check_fail(check, ACCORD_PROXY_LIFETIME, index + 1, "%s", why.text);
	if (result != ACCORD_LEAF_OK)
		return check_fail(check, ACCORD_PROXY_PURPOSE, index + 1, "%s", why.text);
	const struct accord_chain chain =
		with_leaf(check, index == 0 ? &check->leg1->proxy : &check->leg[index - 1].chain, leaf);
	return check->trust->verify_proxy(check->trust->ctx, &chain, &check->proxy[index], &why) ||
	       check_fail(check, ACCORD_PROXY_CHAIN, index + 1, "%s",
		       why.text[0] ? why.text : "the proxy's chain is not trusted");
}

static bool server_ok(struct check *check)
{
	struct error why = {""};
	const struct check_leg *last = &check->leg[check->legs - 1];
	const struct accord_chain chain = with_leaf(check, &last->chain, last->leaf);
	return check->trust->verify_server(check->trust->ctx, &chain, check->leg1->host, check->leg1->address, &why) ||
	       check_fail(check, ACCORD_SERVER_CHAIN, check->legs + 1, "%s",
		       why.text[0] ? why.text : "the server's chain is not trusted");
}

/* A verdict counts once its signature is good: before, it could be anybody's. */
static bool verdicts_ok(struct check *check)
{
	for (size_t i = 0; i < check->legs; i++) {
		struct accord_verdict verdict;
		if (check->leg[i].verdict.len == 0)
			continue;
		if (accord_verdict_read(check->leg[i].verdict, &verdict) != ACCORD_BODY_OK)
			return check_fail(check, ACCORD_VERDICT_FORM, i + 2, "the verdict cannot be read");
		if (verdict.decision != ACCORD_ACCEPT)
			return check_fail(check, ACCORD_VERDICT_REFUSED, i + 2,
				"the server refuses this proxy: \"%.*s\"", (int)verdict.statement.len,
				(const char *)verdict.statement.data);
	}
	return true;
}

static bool trust_ok(struct check *check)
{
	for (size_t i = 0; i < check->legs; i++) {
		if (!proxy_ok(check, i))
			return false;
	}
	if (!server_ok(check))
		return false;
	for (size_t i = 0; i < check->legs; i++) {
		if (!check_signature(check, i))
			return false;
	}
	return verdicts_ok(check);
}

static bool tell(struct check *check, struct accord_proven *proven)
{
	const struct check_leg *last = &check->leg[check->legs - 1];
	*proven = (struct accord_proven){.proxies = check->legs,
		.sealed = last->proof.introduction.len > 0,
		.host = check->leg1->host,
		.address = check->leg1->address,
		.server = last->chain,
		.demanded = last->demanded};
	for (size_t i = 0; i < check->legs; i++) {
		struct accord_proven_proxy *proxy = &proven->proxy[i];
		proxy->who = check->proxy[i];
		proxy->hop = check->leg[i].introduction.hop[i];
		proxy->leaf = i == 0 ? check->leg1->proxy.cert[0] : check->leg[i - 1].chain.cert[0];
		proxy->purpose = check->leg[i].proof.purpose;
		proxy->purpose_code = check->leg[i].introduction.purpose_code;
		proxy->leg = check->proven[i];
	}
	memcpy(proven->server_leaf_hash, last->leaf_hash, ACCORD_HASH);
	if (last->verdict.len > 0)
		proven->has_verdict = accord_verdict_read(last->verdict, &proven->verdict) == ACCORD_BODY_OK;
	return accord_hash(last->proof.transcript, proven->approval_digest) ||
	       check_fail(check, ACCORD_INTERNAL, 0, "SHA-256 is not available");
}

bool accord_check(const struct accord_leg1 *leg1, struct bytes proof, const struct accord_trust *trust,
	struct accord_proven *proven, struct accord_judgement *out)
{
	struct check check = {.leg1 = leg1, .trust = trust, .out = out};
	*out = (struct accord_judgement){.fault = ACCORD_OK};
	bool ok = leg1_ok(&check);
	if (ok && proof.len == 0)
		ok = check_fail(&check, ACCORD_PROOF_FORM, 1, "an empty proof");
	ok = ok && structure_ok(&check, proof) && trust_ok(&check) && tell(&check, proven);
	for (size_t i = 0; i < check.legs; i++)
		X509_free(check.leg[i].leaf);
	X509_free(check.neighbour);
	return ok;
}
