/* overt get — fetches one URL over Accord, and says who stands between. */
#include "base/clock.h"
#include "base/text.h"
#include "cli/accord_tell.h"
#include "cli/accord_words.h"
#include "cli/arguments.h"
#include "cli/get_http.h"
#include "cli/options.h"
#include "cli/verbs.h"
#include "pact/pact.h"
#include "pact/saved.h"
#include "pki/private_key.h"

#include <arpa/inet.h>
#include <errno.h>
#include <openssl/pem.h>
#include <openssl/ssl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define MAX_OCTETS ((uint64_t)1 << 30)
#define PATIENCE_S 30
#define JSON_ROOM  ((size_t)128 * 1024)

struct wish {
	struct pact_terms terms;
	const char *named[PACT_MAX_PROXIES];
	enum accord_rule rule;
	uint8_t roles;
	char proxy_host[SUBJECT_NAME_MAX + 1]; /* "" for none */
	char proxy_port[8];
	const char *save, *url_text, *approval;
	bool explain, json, quiet;
	uint64_t max_octets, patience_ns;
	struct get_url url;
};

ARGUMENT_TEXT(read_anchors, wish, terms.anchors)
ARGUMENT_TEXT(read_trust, wish, terms.trust)
ARGUMENT_TEXT(read_save, wish, save)
ARGUMENT_TEXT(read_approval, wish, approval)
ARGUMENT_FLAG(read_explain, wish, explain)
ARGUMENT_FLAG(read_json, wish, json)
ARGUMENT_FLAG(read_quiet, wish, quiet)

/* "host:port", with or without http:// before it. */
static bool read_proxy(void *ctx, const char *value, struct error *err)
{
	struct wish *wish = ctx;
	struct subject_name name;
	uint64_t port;
	if (strncmp(value, "http://", 7) == 0)
		value += 7;
	const char *colon = strrchr(value, ':');
	if (!colon || !text_number(bytes_str(colon + 1), UINT16_MAX, &port) || port == 0)
		return error_set(err, "expected HOST:PORT");
	enum name_result result = subject_name_parse(bytes_of(value, (size_t)(colon - value)), &name);
	if (result != NAME_OK)
		return error_set(err, "%s", name_result_text(result));
	snprintf(wish->proxy_host, sizeof(wish->proxy_host), "%s", name.text);
	snprintf(wish->proxy_port, sizeof(wish->proxy_port), "%u", (unsigned)port);
	return true;
}

static bool read_proxy_name(void *ctx, const char *value, struct error *err)
{
	struct wish *wish = ctx;
	if (wish->terms.proxies == PACT_MAX_PROXIES)
		return error_set(err, "at most %d of these", PACT_MAX_PROXIES);
	if (!pact_proxy_valid(value, err))
		return false;
	wish->named[wish->terms.proxies++] = value;
	return true;
}

static bool read_rule(void *ctx, const char *value, struct error *err)
{
	(void)err;
	return accord_rule_of(value, &((struct wish *)ctx)->rule);
}

static bool read_role(void *ctx, const char *value, struct error *err)
{
	(void)err;
	return accord_roles_of(value, &((struct wish *)ctx)->roles);
}

static bool read_timeout(void *ctx, const char *value, struct error *err)
{
	uint64_t *out = &((struct wish *)ctx)->patience_ns;
	(void)err;
	return text_duration(bytes_str(value), out) && *out >= NS_PER_S && *out <= 3600 * NS_PER_S;
}

static bool read_max_size(void *ctx, const char *value, struct error *err)
{
	(void)err;
	return text_size(bytes_str(value), &((struct wish *)ctx)->max_octets);
}

static bool read_url(void *ctx, const char *value, struct error *err)
{
	struct wish *wish = ctx;
	if (wish->url_text)
		return error_set(err, "%s: one URL at a time", value);
	wish->url_text = value;
	return get_url_parse(value, &wish->url, err) || error_prefix(err, "%s", value);
}

static const struct argument table[] = {
	{"accord", 'a', "ANCHORS", read_anchors, "file of Accord anchors, as accord-anchor.pem of the proxy"},
	{"proxy", 'x', "HOST:PORT", read_proxy, "through this HTTP proxy; without it, straight to the server"},
	{"trust", 0, "FILE", read_trust, "web roots; by default the distribution's, without any that were added here"},
	{"accord-rule", 0, "RULE", read_rule, "require, or prefer: accept a CA that was added here too [require]"},
	{"role", 0, "ROLE", read_role, "what a proxy may be: reader, writer or both [reader]"},
	{"proxy-name", 0, "NAME", read_proxy_name,
		"only proxies of this name or pin; may be given several times, default: all that ANCHORS stand for"},
	{"approval-key", 0, "FILE", read_approval,
		"key that a server may have enrolled, P-256 or Ed25519: approves the proxy where one is demanded"},
	{"explain", 'e', NULL, read_explain, "the long story on standard error"},
	{"json", 'j', NULL, read_json, "an object on standard output, in place of the body"},
	{"save-proof", 0, "FILE", read_save, "keep the proof, for overt accord verify"},
	{"timeout", 0, "DURATION", read_timeout, "how long to wait for any one step [30s]"},
	{"max-size", 0, "SIZE", read_max_size, "of the body [1GiB]"},
	{"quiet", 'q', NULL, read_quiet, "no summary"},
};

static const struct arguments arguments = {
	.verb = "get", .table = table, .count = sizeof(table) / sizeof(table[0]), .word = read_url};

static int help(void)
{
	puts("usage: overt get --accord ANCHORS [OPTIONS] URL\n\n"
	     "Fetches a page over TLS 1.3 with Accord: a proxy in between must show that the\n"
	     "server itself signed a handshake in which it is named. The body goes to standard\n"
	     "output, what was proven to standard error.\n\n"
	     "  overt get --accord accord-anchor.pem --proxy proxy.example.com:8080 \\\n"
	     "      https://www.example.org/\n");
	arguments_help(&arguments);
	return 0;
}

static bool give_body(void *ctx, struct bytes part, struct error *err)
{
	const struct wish *wish = ctx;
	return wish->json || fwrite(part.data, 1, part.len, stdout) == part.len ||
	       error_set_errno(err, "standard output");
}

/* NULL with an error when there is none in the file. */
static SSL_CTX *make_context(const struct wish *wish, struct pact *pact, EVP_PKEY *approval_key, struct error *err)
{
	const struct accord_client_config config = {
		.rule = wish->rule,
		.accepted_roles = wish->roles,
		.ctx = pact,
		.verify_proxy = pact_verify_proxy,
		.verify_server = pact_verify_server,
		.lib = pact_lib(pact),
		.decode = pact_decode,
		.now_s = pact_now,
		.approval_key = approval_key,
	};
	SSL_CTX *ctx = SSL_CTX_new(TLS_client_method());
	if (!ctx) {
		(void)error_set_openssl(err, "TLS");
		return NULL;
	}
	SSL_CTX_set_verify(ctx, SSL_VERIFY_PEER, NULL);
	(void)SSL_CTX_set_min_proto_version(ctx, TLS1_2_VERSION);
	/* Asked only where the rule is prefer and there is no proof: what other programs here would accept. */
	if (wish->rule == ACCORD_PREFER)
		(void)SSL_CTX_set_default_verify_paths(ctx);
	if (accord_client_attach(ctx, &config, err))
		return ctx;
	SSL_CTX_free(ctx);
	return NULL;
}

static SSL *make_tls(SSL_CTX *ctx, const struct get_url *url, struct error *err)
{
	static const unsigned char http11[] = "\x08http/1.1";
	SSL *ssl = SSL_new(ctx);
	bool ok = ssl && SSL_set_alpn_protos(ssl, http11, sizeof(http11) - 1) == 0;
	if (ok && url->host.is_ip)
		ok = X509_VERIFY_PARAM_set1_ip(SSL_get0_param(ssl), url->host.ip, url->host.ip_len) == 1;
	else if (ok)
		ok = SSL_set_tlsext_host_name(ssl, (void *)(uintptr_t)url->host.text) == 1 &&
		     SSL_set1_host(ssl, url->host.text) == 1;
	if (ok)
		return ssl;
	SSL_free(ssl);
	(void)error_set_openssl(err, "TLS");
	return NULL;
}

static bool connect_to(const struct wish *wish, struct get_link *link, SSL_CTX *ctx, struct error *err)
{
	char authority[SUBJECT_NAME_MAX + 16];
	bool through = wish->proxy_host[0] != '\0';
	get_url_authority(&wish->url, authority, sizeof(authority));
	if (!get_link_dial(link, through ? wish->proxy_host : wish->url.host.text,
		    through ? wish->proxy_port : wish->url.port, err))
		return false;
	if (through && !get_link_tunnel(link, authority, err))
		return error_prefix(err, "the proxy %s:%s", wish->proxy_host, wish->proxy_port);
	SSL *ssl = make_tls(ctx, &wish->url, err);
	return ssl && (get_link_handshake(link, ssl, err) || error_prefix(err, "%s", authority));
}

/* The proof that came, also one that did not pass: it may be worth showing to somebody. */
static bool save(const struct wish *wish, const struct accord_outcome *outcome, struct error *err)
{
	char note[1024];
	char verdict[700] = "all checks passed";
	if (outcome->path == ACCORD_PATH_REFUSED)
		accord_tell_fault(outcome, verdict, sizeof(verdict));
	int n = snprintf(note, sizeof(note),
		"Accord proof for https://%s:%s, checked by overt %s: %s.\n"
		"To check it again: overt accord verify --accord ANCHORS FILE",
		wish->url.host.text, wish->url.port, OVERT_VERSION, verdict);
	const struct saved saved = {
		.time_s = (int64_t)(clock_wall_ns() / NS_PER_S), .leg1 = outcome->leg1, .proof = outcome->proof};
	return saved_to_file(
		wish->save, bytes_of(note, n < (int)sizeof(note) ? (size_t)n : sizeof(note) - 1), &saved, err);
}

/* The object of --json. */
static bool print_json(const struct wish *wish, const struct accord_outcome *outcome, const struct get_answer *answer,
	const struct error *failed)
{
	char *room = malloc(JSON_ROOM);
	struct jsonout json = jsonout_over(room, room ? JSON_ROOM : 0);
	size_t len = 0;
	jsonout_object(&json, NULL);
	jsonout_text(&json, "url", bytes_str(wish->url_text));
	if (outcome)
		accord_tell_json(&json, outcome);
	if (answer->status > 0) {
		jsonout_object(&json, "response");
		jsonout_number(&json, "status", answer->status);
		jsonout_number(&json, "octets", answer->octets);
		if (answer->location[0])
			jsonout_word(&json, "location", answer->location);
		jsonout_object_end(&json);
	}
	if (failed->text[0])
		jsonout_text(&json, "error", bytes_str(failed->text));
	jsonout_object_end(&json);
	bool ok = jsonout_done(&json, &len) && fwrite(room, 1, len, stdout) == len;
	free(room);
	return ok;
}

static void tell(const struct wish *wish, const struct accord_outcome *outcome)
{
	if (!wish->quiet || outcome->path == ACCORD_PATH_LOCAL)
		accord_tell_summary(stderr, "get", outcome, wish->terms.trust);
	if (wish->explain && outcome->path == ACCORD_PATH_PROVEN) {
		fputc('\n', stderr);
		accord_tell_story(stderr, outcome, wish->terms.trust);
	}
}

/* After the handshake, whatever became of it. False: the connection is not to be used. */
static bool settle(const struct wish *wish, const struct get_link *link, bool up, struct error *err)
{
	const struct accord_outcome *outcome = link->ssl ? accord_client_outcome(link->ssl) : NULL;
	bool saved = true;
	struct error why = {""};
	if (wish->save && outcome && outcome->proof.len > 0)
		saved = save(wish, outcome, &why);
	if (outcome && outcome->path == ACCORD_PATH_REFUSED)
		accord_tell_fault(outcome, err->text, sizeof(err->text));
	if (!up)
		return false;
	if (!outcome || !accord_client_passed(link->ssl))
		return error_set(err, "the connection is not to be believed: no check was made");
	tell(wish, outcome);
	if (wish->save && outcome->proof.len == 0)
		fprintf(stderr, "overt get: no proxy, so no proof: %s was not written\n", wish->save);
	return saved || error_set(err, "%s", why.text);
}

/* Says what the server answered beside the body. False for what is an error in HTTP. */
static bool judge_answer(const struct get_answer *answer, struct error *err)
{
	if (answer->status >= 300 && answer->status < 400 && answer->location[0])
		fprintf(stderr, "overt get: the server points to %s (status %u), which was not followed\n",
			answer->location, answer->status);
	return answer->status < 400 || error_set(err, "the server answers with status %u", answer->status);
}

static bool fetch(const struct wish *wish, struct get_link *link, SSL_CTX *ctx, struct error *err)
{
	struct get_answer answer = {0};
	const struct get_request request = {
		.url = &wish->url, .max_octets = wish->max_octets, .body = give_body, .ctx = (void *)(uintptr_t)wish};
	bool up = connect_to(wish, link, ctx, err);
	bool ok = settle(wish, link, up, err) && get_http(link, &request, &answer, err) && judge_answer(&answer, err);
	struct error failed = {""};
	if (!ok)
		failed = *err;
	if (wish->json && !print_json(wish, link->ssl ? accord_client_outcome(link->ssl) : NULL, &answer, &failed))
		ok = error_set(err, "the object could not be printed");
	if (fflush(stdout) != 0 && ok)
		ok = error_set_errno(err, "standard output");
	return ok;
}

static bool consistent(const struct wish *wish, struct error *err)
{
	if (!wish->url_text)
		return error_set(err, "which URL?");
	return wish->terms.anchors || error_set(err, "--accord names the file of Accord anchors, and is needed");
}

int verb_get(int argc, char **argv)
{
	static struct wish wish = {.rule = ACCORD_REQUIRE,
		.roles = ACCORD_READER,
		.max_octets = MAX_OCTETS,
		.patience_ns = PATIENCE_S * NS_PER_S};
	struct error err = {""};
	struct pact *pact = NULL;
	int rest;
	if (wants_help(argc, argv))
		return help();
	wish.terms.proxy = wish.named;
	if (!arguments_read(&arguments, argc, argv, &wish, &rest, &err) || !consistent(&wish, &err))
		return complain("get", &err, EXIT_MISUSE);
	if (!pact_make(&pact, &wish.terms, &err))
		return complain("get", &err, EXIT_FAILURE);
	struct get_link link = {.fd = -1, .patience_ns = wish.patience_ns};
	EVP_PKEY *key = wish.approval ? private_key_read(wish.approval, &err) : NULL;
	SSL_CTX *ctx = key || !wish.approval ? make_context(&wish, pact, key, &err) : NULL;
	bool ok = ctx && fetch(&wish, &link, ctx, &err);
	get_link_close(&link);
	SSL_CTX_free(ctx);
	EVP_PKEY_free(key);
	pact_free(pact);
	return ok ? EXIT_SUCCESS : complain("get", &err, EXIT_FAILURE);
}
