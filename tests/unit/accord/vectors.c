#include "vectors.h"

#include "base/text.h"

#include <openssl/evp.h>
#include <openssl/x509v3.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>

#include <cmocka.h>

#define LINE 96 /* base64 characters in a line of the document */

enum notation { TEXT, HEX, BASE64, SECONDS };

static const struct {
	const char *name;
	enum notation notation;
} rows[VECTOR_INPUTS] = {
	[VECTOR_ACCORD_ANCHOR] = {"accord_anchor", BASE64},
	[VECTOR_WEB_ROOT] = {"web_root", BASE64},
	[VECTOR_AT] = {"at", SECONDS},
	[VECTOR_LEG1_VERSION] = {"leg1_version", HEX},
	[VECTOR_LEG1_RESUMED] = {"leg1_resumed", HEX},
	[VECTOR_SNI] = {"sni", TEXT},
	[VECTOR_ALPN] = {"alpn", TEXT},
	[VECTOR_SUITES] = {"suites", HEX},
	[VECTOR_GROUPS] = {"groups", HEX},
	[VECTOR_SIGALGS] = {"sigalgs", HEX},
	[VECTOR_OFFER] = {"offer", HEX},
	[VECTOR_PROXY_CERTIFICATE] = {"proxy_certificate", BASE64},
	[VECTOR_PROOF] = {"proof", BASE64},
	[VECTOR_APPROVAL] = {"approval", BASE64},
};

const char *vector_input_name(enum vector_input input)
{
	return rows[input].name;
}

void vector_set(struct vector *vector, enum vector_input input, struct bytes octets)
{
	uint8_t *copy = malloc(octets.len ? octets.len : 1);
	assert_non_null(copy);
	if (octets.len > 0)
		memcpy(copy, octets.data, octets.len);
	free(vector->input[input].data);
	vector->input[input].data = copy;
	vector->input[input].len = octets.len;
}

struct bytes vector_get(const struct vector *vector, enum vector_input input)
{
	return bytes_of(vector->input[input].data, vector->input[input].len);
}

void vector_free(struct vector *vector)
{
	for (size_t i = 0; i < VECTOR_INPUTS; i++)
		free(vector->input[i].data);
	*vector = (struct vector){0};
}

/* The value's characters without blanks and line ends, up to the next line that is not indented by eight. */
static char *joined_lines(const char *at)
{
	char *text = malloc(strlen(at) + 1);
	size_t len = 0;
	assert_non_null(text);
	for (bool more = true; more;) {
		for (; *at && *at != '\n'; at++) {
			if (*at != ' ')
				text[len++] = *at;
		}
		more = strncmp(at, "\n        ", 9) == 0;
		at += more ? 9 : 0;
	}
	text[len] = '\0';
	return text;
}

static size_t unbase64(uint8_t *out, const char *text)
{
	size_t chars = strlen(text);
	int len = EVP_DecodeBlock(out, (const unsigned char *)text, (int)chars);
	assert_true(len > 0 && chars >= 4);
	return (size_t)len - (text[chars - 1] == '=') - (text[chars - 2] == '=');
}

static void read_input(struct vector *vector, enum vector_input input, const char *section)
{
	char label[48];
	uint64_t seconds;
	snprintf(label, sizeof(label), "\n    %s =", rows[input].name);
	const char *found = strstr(section, label);
	if (!found)
		return;
	char *text = joined_lines(found + strlen(label));
	size_t cap = strlen(text) + 8;
	uint8_t *octets = malloc(cap);
	assert_non_null(octets);
	struct writer w = writer_over(octets, cap);
	switch (rows[input].notation) {
	case TEXT:
		writer_bytes(&w, bytes_str(text));
		break;
	case HEX:
		assert_true(text_unhex(octets, cap, &w.len, bytes_str(text)));
		break;
	case BASE64:
		w.len = unbase64(octets, text);
		break;
	case SECONDS:
		assert_true(text_number(bytes_str(text), INT64_MAX, &seconds));
		writer_u64(&w, seconds);
		break;
	}
	vector_set(vector, input, bytes_of(octets, w.len));
	free(octets);
	free(text);
}

void vector_read(struct vector *vector, const char *section)
{
	*vector = (struct vector){0};
	for (size_t i = 0; i < VECTOR_INPUTS; i++)
		read_input(vector, (enum vector_input)i, section);
}

static void write_hex(FILE *out, const char *name, struct bytes octets)
{
	char hex[2048];
	assert_true(octets.len * 2 < sizeof(hex));
	text_hex(hex, sizeof(hex), octets);
	fprintf(out, "    %s = %s\n", name, hex);
}

static void write_base64(FILE *out, const char *name, struct bytes octets)
{
	unsigned char *text = malloc(octets.len * 4 / 3 + 8);
	assert_non_null(text);
	int len = EVP_EncodeBlock(text, octets.data, (int)octets.len);
	fprintf(out, "    %s =\n", name);
	for (int at = 0; at < len; at += LINE)
		fprintf(out, "        %.*s\n", len - at < LINE ? len - at : LINE, (const char *)text + at);
	free(text);
}

void vector_write(FILE *out, const struct vector *vector)
{
	for (size_t i = 0; i < VECTOR_INPUTS; i++) {
		struct bytes octets = vector_get(vector, (enum vector_input)i);
		uint64_t seconds;
		if (octets.len == 0)
			continue;
		if (rows[i].notation == TEXT)
			fprintf(out, "    %s = %.*s\n", rows[i].name, (int)octets.len, (const char *)octets.data);
		else if (rows[i].notation == HEX)
			write_hex(out, rows[i].name, octets);
		else if (rows[i].notation == BASE64)
			write_base64(out, rows[i].name, octets);
		else if (bytes_u64(&octets, &seconds))
			fprintf(out, "    %s = %llu\n", rows[i].name, (unsigned long long)seconds);
	}
}

struct trust {
	X509_STORE *anchors, *web;
	int64_t at_s;
};

static X509 *decode(struct bytes der)
{
	const unsigned char *at = der.data;
	return d2i_X509(NULL, &at, (long)der.len);
}

static X509_STORE *store_of(const struct vector *anchors, enum vector_input input)
{
	X509_STORE *store = X509_STORE_new();
	X509 *cert = decode(vector_get(anchors, input));
	assert_non_null(cert);
	assert_int_equal(X509_STORE_add_cert(store, cert), 1);
	X509_free(cert);
	return store;
}

static bool verify_proxy(void *ctx, const struct accord_chain *chain, struct accord_identity *who, struct error *err)
{
	const struct trust *trust = ctx;
	return accord_chain_verify(trust->anchors, NULL, chain, trust->at_s, who, err);
}

/* The servers of the document show one certificate, issued by the web root. */
static bool verify_server(
	void *ctx, const struct accord_chain *chain, struct bytes host, struct bytes address, struct error *err)
{
	const struct trust *trust = ctx;
	X509 *leaf = decode(chain->cert[0]);
	X509_STORE_CTX *store = X509_STORE_CTX_new();
	(void)address;
	bool ok = leaf && X509_STORE_CTX_init(store, trust->web, leaf, NULL) == 1;
	if (ok) {
		X509_VERIFY_PARAM *param = X509_STORE_CTX_get0_param(store);
		X509_VERIFY_PARAM_set_time(param, (time_t)trust->at_s);
		ok = X509_VERIFY_PARAM_set_purpose(param, X509_PURPOSE_SSL_SERVER) == 1 &&
		     X509_VERIFY_PARAM_set1_host(param, (const char *)host.data, host.len) == 1 &&
		     X509_verify_cert(store) == 1;
	}
	if (!ok)
		(void)error_set(err, "%s", X509_verify_cert_error_string(X509_STORE_CTX_get_error(store)));
	X509_STORE_CTX_free(store);
	X509_free(leaf);
	return ok;
}

static void read_leg1(const struct vector *vector, struct accord_leg1 *leg1)
{
	struct bytes version = vector_get(vector, VECTOR_LEG1_VERSION);
	uint8_t resumed = 0;
	struct bytes flag = vector_get(vector, VECTOR_LEG1_RESUMED);
	*leg1 = (struct accord_leg1){.alpn = vector_get(vector, VECTOR_ALPN),
		.host = vector_get(vector, VECTOR_SNI),
		.suites = vector_get(vector, VECTOR_SUITES),
		.groups = vector_get(vector, VECTOR_GROUPS),
		.sigalgs = vector_get(vector, VECTOR_SIGALGS)};
	assert_true(bytes_u16(&version, &leg1->version) && bytes_u8(&flag, &resumed));
	leg1->resumed = resumed != 0;
	leg1->proxy.cert[0] = vector_get(vector, VECTOR_PROXY_CERTIFICATE);
	leg1->proxy.count = 1;
	assert_int_equal(accord_offer_read(vector_get(vector, VECTOR_OFFER), &leg1->offer), ACCORD_BODY_OK);
}

void vector_judge(const struct vector *vector, const struct vector *anchors, struct vector_result *out)
{
	struct bytes at = vector_get(vector, VECTOR_AT);
	uint64_t seconds = 0;
	*out = (struct vector_result){0};
	read_leg1(vector, &out->leg1);
	assert_true(bytes_u64(&at, &seconds));
	struct trust trust = {.anchors = store_of(anchors, VECTOR_ACCORD_ANCHOR),
		.web = store_of(anchors, VECTOR_WEB_ROOT),
		.at_s = (int64_t)seconds};
	const struct accord_trust asked = {
		.ctx = &trust, .now_s = trust.at_s, .verify_proxy = verify_proxy, .verify_server = verify_server};
	out->passed = accord_check(&out->leg1, vector_get(vector, VECTOR_PROOF), &asked, &out->proven, &out->judgement);
	X509_STORE_free(trust.anchors);
	X509_STORE_free(trust.web);
}

/* The introduction that the party after this proxy was given. */
static void tell_introduction(FILE *out, const struct vector_result *result, size_t index)
{
	const struct accord_proven *proven = &result->proven;
	struct accord_introduction in = {.hops = index + 1,
		.has_approval = result->leg1.offer.has_approval,
		.purpose_code = proven->proxy[index].purpose_code};
	uint8_t body[ACCORD_MAX_INTRODUCTION];
	struct bytes octets;
	char name[32];
	memcpy(in.client_nonce, result->leg1.offer.client_nonce, ACCORD_NONCE);
	memcpy(in.approval_hash, result->leg1.offer.approval_hash, ACCORD_HASH);
	for (size_t i = 0; i <= index; i++)
		in.hop[i] = proven->proxy[i].hop;
	struct writer w = writer_over(body, sizeof(body));
	accord_introduction_write(&w, &in);
	assert_true(writer_done(&w, &octets));
	snprintf(name, sizeof(name), "leg%zu_introduction", index + 2);
	write_hex(out, name, octets);
}

static void tell_leg(FILE *out, const struct vector_result *result, size_t index)
{
	const struct accord_proven_proxy *proxy = &result->proven.proxy[index];
	char name[48];
	fprintf(out, "    proxy%zu_name = %s\n", index + 1, proxy->who.name);
	snprintf(name, sizeof(name), "proxy%zu_pin", index + 1);
	write_hex(out, name, bytes_of(proxy->who.pin, ACCORD_PIN));
	fprintf(out, "    proxy%zu_role = %s\n", index + 1, accord_role_name(proxy->hop.role));
	fprintf(out, "    proxy%zu_purpose = %.*s\n", index + 1, (int)proxy->purpose.len,
		(const char *)proxy->purpose.data);
	tell_introduction(out, result, index);
	fprintf(out, "    leg%zu_retried = %s\n", index + 2, proxy->leg.retried ? "yes" : "no");
	fprintf(out, "    leg%zu_suite = %04x\n", index + 2, proxy->leg.suite);
	fprintf(out, "    leg%zu_group = %04x\n", index + 2, proxy->leg.group);
	fprintf(out, "    leg%zu_scheme = %04x\n", index + 2, proxy->leg.scheme);
	snprintf(name, sizeof(name), "leg%zu_transcript_hash", index + 2);
	write_hex(out, name, bytes_of(proxy->leg.transcript_hash, proxy->leg.transcript_hash_len));
}

void vector_tell(FILE *out, const struct vector_result *result)
{
	const struct accord_proven *proven = &result->proven;
	if (!result->passed) {
		fprintf(out, "    result = %d %s leg %d\n", result->judgement.check,
			accord_fault_name(result->judgement.fault), result->judgement.leg);
		return;
	}
	fprintf(out, "    result = 0 ok\n    proxies = %zu\n    sealed = %s\n", proven->proxies,
		proven->sealed ? "yes" : "no");
	for (size_t i = 0; i < proven->proxies; i++)
		tell_leg(out, result, i);
	write_hex(out, "server_leaf_hash", bytes_of(proven->server_leaf_hash, ACCORD_HASH));
	if (proven->has_verdict) {
		write_hex(out, "verdict_nonce", bytes_of(proven->verdict.server_nonce, ACCORD_NONCE));
		fprintf(out, "    verdict_statement = %.*s\n", (int)proven->verdict.statement.len,
			(const char *)proven->verdict.statement.data);
	} else {
		fprintf(out, "    verdict = none\n");
	}
	fprintf(out, "    demanded = %s\n", proven->demanded ? "yes" : "no");
	write_hex(out, "approval_digest", bytes_of(proven->approval_digest, ACCORD_HASH));
}
