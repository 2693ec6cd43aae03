/* overt accord — makes and shows the Accord anchor of a proxy, and checks saved proofs. */
#include "accord/anchor.h"
#include "base/clock.h"
#include "base/fold.h"
#include "base/text.h"
#include "cli/accord_tell.h"
#include "cli/arguments.h"
#include "cli/options.h"
#include "cli/verbs.h"
#include "pact/pact.h"
#include "pact/saved.h"
#include "pki/accord_ca.h"
#include "pki/file.h"
#include "pki/name.h"
#include "pki/summary.h"
#include "pki/trust.h"
#include "policy/config.h"

#include <netdb.h>
#include <openssl/crypto.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define JSON_ROOM ((size_t)128 * 1024)

enum given {
	GIVEN_STATE = 1,
	GIVEN_NAME = 2,
	GIVEN_ACCORD = 4,
	GIVEN_TRUST = 8,
	GIVEN_PROXY_NAME = 16,
	GIVEN_AT_PRESENT = 32,
	GIVEN_JSON = 64,
	GIVEN_FILE = 128,
};

struct wish {
	const char *state, *name, *file;
	struct pact_terms terms;
	const char *named[PACT_MAX_PROXIES];
	bool at_present, json;
	int64_t now_s;
	char room[FILE_PATH_MAX]; /* for `state` where it was not given */
};

ARGUMENT_TEXT(read_state, wish, state)
ARGUMENT_TEXT(read_name, wish, name)
ARGUMENT_TEXT(read_accord, wish, terms.anchors)
ARGUMENT_TEXT(read_trust, wish, terms.trust)
ARGUMENT_FLAG(read_present, wish, at_present)
ARGUMENT_FLAG(read_json, wish, json)

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

static bool read_file(void *ctx, const char *value, struct error *err)
{
	struct wish *wish = ctx;
	if (wish->file)
		return error_set(err, "%s: one file at a time", value);
	wish->file = value;
	return true;
}

static const struct argument table[] = {
	{"state", 0, "DIR", read_state, "init, show: where the anchor stands [$XDG_DATA_HOME/overt]"},
	{"name", 0, "HOST", read_name, "init: what its proxies are called [the full name of this machine]"},
	{"accord", 'a', "ANCHORS", read_accord, "verify: file of the Accord anchors that count"},
	{"trust", 0, "FILE", read_trust, "verify: web roots; by default the distribution's"},
	{"proxy-name", 0, "NAME", read_proxy_name, "verify: only proxies of this name or pin; several times"},
	{"at-present", 0, NULL, read_present, "verify: judge certificates as of now, not of when the proof was saved"},
	{"json", 'j', NULL, read_json, "verify: an object on standard output, in place of the story"},
};

static const struct arguments arguments = {
	.verb = "accord", .table = table, .count = sizeof(table) / sizeof(table[0]), .word = read_file};

static int help(void)
{
	puts("usage: overt accord init   [--state DIR] [--name HOST]\n"
	     "       overt accord show   [--state DIR]\n"
	     "       overt accord verify --accord ANCHORS [--trust FILE] [OPTIONS] FILE\n\n"
	     "The anchor of a proxy that speaks Accord, which clients name in place of\n"
	     "trusting a CA; and proofs that overt get has saved.\n");
	arguments_help(&arguments);
	return 0;
}

/* As the proxy finds it. */
static bool find_state(struct wish *wish, struct error *err)
{
	char verb[] = "accord";
	char *argv[] = {verb, NULL};
	int rest;
	if (wish->state)
		return true;
	struct config *config = config_new(err);
	bool ok = config && config_read_args(config, CONFIG_PROXY, 1, argv, &rest, err) &&
	          config_check(config, CONFIG_PROXY, err);
	if (ok && snprintf(wish->room, FILE_PATH_MAX, "%s", config->state) >= FILE_PATH_MAX)
		ok = error_set(err, "--state: the path is too long");
	config_free(config);
	wish->state = wish->room;
	return ok;
}

/* The full name of this machine, if it has one. */
static bool find_name(char out[SUBJECT_NAME_MAX + 1], struct error *err)
{
	const struct addrinfo hints = {.ai_flags = AI_CANONNAME, .ai_socktype = SOCK_STREAM};
	struct addrinfo *found = NULL;
	struct subject_name name;
	char host[SUBJECT_NAME_MAX + 1] = "";
	if (gethostname(host, sizeof(host) - 1) != 0)
		return error_set_errno(err, "the name of this machine");
	bool ok = strchr(host, '.') != NULL;
	if (!ok && getaddrinfo(host, NULL, &hints, &found) == 0 && found->ai_canonname &&
		strchr(found->ai_canonname, '.')) {
		snprintf(host, sizeof(host), "%s", found->ai_canonname);
		ok = true;
	}
	if (found)
		freeaddrinfo(found);
	ok = ok && subject_name_parse(bytes_str(host), &name) == NAME_OK && !name.is_ip;
	if (!ok)
		return error_set(err,
			"this machine has no full name: say what clients shall call the proxy, with --name "
			"proxy.example.com");
	snprintf(out, SUBJECT_NAME_MAX + 1, "%s", name.text);
	return true;
}

/* An anchor that programs here trust for servers could be told apart from nothing. */
static bool not_a_web_root(X509 *anchor, struct error *err)
{
	X509_STORE *own = X509_STORE_new();
	struct trust *web = trust_new(NULL);
	bool ok = own && web && X509_STORE_add_cert(own, anchor) == 1;
	if (!ok)
		(void)error_set(err, "no memory for certificates");
	/* A store that cannot be read is trusted by nobody. */
	ok = ok && (!trust_add_system(web, NULL) || accord_anchors_disjoint(own, trust_store(web), err));
	trust_free(web);
	X509_STORE_free(own);
	return ok;
}

static bool open_anchor(const struct wish *wish, struct accord_ca **out, struct error *err)
{
	if (accord_ca_open(out, wish->state, ACCORD_KEY_PURPOSE_OID, wish->now_s, err) != ACCORD_CA_OK)
		return false;
	if (not_a_web_root(accord_ca_cert(*out), err))
		return true;
	accord_ca_free(*out);
	return false;
}

static bool print_anchor(const struct accord_ca *ca, struct error *err)
{
	struct cert_summary cert;
	unsigned char *spki = NULL;
	uint8_t pin[ACCORD_PIN];
	char text[2 * ACCORD_PIN + 1];
	char until[16];
	int len = i2d_X509_PUBKEY(X509_get_X509_PUBKEY(accord_ca_cert(ca)), &spki);
	bool ok = len > 0 && EVP_Digest(spki, (size_t)len, pin, NULL, EVP_sha256(), NULL) == 1;
	OPENSSL_free(spki);
	if (!ok)
		return error_set_openssl(err, "the anchor's key");
	cert_summary_of(accord_ca_cert(ca), &cert);
	cert_date(until, sizeof(until), cert.not_after_s);
	text_hex(text, sizeof(text), bytes_of(pin, sizeof(pin)));
	printf("anchor   %s\n", cert.subject);
	printf("proxies  %s, or a name below it\n", accord_ca_name(ca));
	printf("until    %s\n", until);
	printf("SHA-256  %s\n", cert.sha256);
	printf("pin      %s\n", text);
	return true;
}

static int show(struct wish *wish)
{
	struct error err;
	struct accord_ca *ca;
	if (!find_state(wish, &err))
		return complain("accord show", &err, EXIT_MISUSE);
	if (!open_anchor(wish, &ca, &err))
		return complain("accord show", &err, EXIT_FAILURE);
	bool ok = print_anchor(ca, &err);
	accord_ca_free(ca);
	return ok ? EXIT_SUCCESS : complain("accord show", &err, EXIT_FAILURE);
}

static int init(struct wish *wish)
{
	struct error err;
	struct accord_ca *ca;
	char name[SUBJECT_NAME_MAX + 1];
	if (!find_state(wish, &err) || (!wish->name && !find_name(name, &err)))
		return complain("accord init", &err, EXIT_MISUSE);
	if (!make_state(wish->state, &err) ||
		!accord_ca_make(wish->state, wish->name ? wish->name : name, ACCORD_KEY_PURPOSE_OID, wish->now_s, &err))
		return complain("accord init", &err, EXIT_FAILURE);
	if (!open_anchor(wish, &ca, &err))
		return complain("accord init", &err, EXIT_FAILURE);
	bool ok = print_anchor(ca, &err);
	accord_ca_free(ca);
	if (!ok)
		return complain("accord init", &err, EXIT_FAILURE);
	printf("\nMade %s/%s and, readable by you alone, %s/%s.\n"
	       "Give clients the first one: overt get --accord %s ...\n"
	       "It serves Accord and nothing else: do not add it to the certificates that a system or a browser "
	       "trusts.\n",
		wish->state, ACCORD_CA_FILE, wish->state, ACCORD_CA_KEY_FILE, ACCORD_CA_FILE);
	return EXIT_SUCCESS;
}

static bool print_json(const struct saved *saved, const struct accord_outcome *outcome)
{
	char *room = malloc(JSON_ROOM);
	struct jsonout json = jsonout_over(room, room ? JSON_ROOM : 0);
	size_t len = 0;
	jsonout_object(&json, NULL);
	jsonout_time(&json, "saved", (uint64_t)saved->time_s * NS_PER_S);
	accord_tell_json(&json, outcome);
	jsonout_object_end(&json);
	bool ok = jsonout_done(&json, &len) && fwrite(room, 1, len, stdout) == len;
	free(room);
	return ok;
}

/* Runs the checks again. */
static void check(struct pact *pact, const struct saved *saved, struct accord_outcome *out)
{
	const struct accord_trust trust = {.ctx = pact,
		.now_s = pact_now(pact),
		.lib = pact_lib(pact),
		.verify_proxy = pact_verify_proxy,
		.verify_server = pact_verify_server};
	*out = (struct accord_outcome){.leg1 = saved->leg1, .proof = saved->proof};
	bool ok = accord_check(&out->leg1, out->proof, &trust, &out->proven, &out->judgement);
	out->path = ok ? ACCORD_PATH_PROVEN : ACCORD_PATH_REFUSED;
}

static bool tell(
	const struct wish *wish, const struct saved *saved, const struct accord_outcome *outcome, struct error *err)
{
	char date[16], word[200];
	if (wish->json && !print_json(saved, outcome))
		return error_set(err, "the object could not be printed");
	if (outcome->path == ACCORD_PATH_REFUSED) {
		accord_tell_fault(outcome, err->text, sizeof(err->text));
		return false;
	}
	if (wish->json)
		return true;
	cert_date(date, sizeof(date), saved->time_s);
	accord_tell_story(stdout, outcome, wish->terms.trust);
	snprintf(word, sizeof(word),
		"the file's word, not proven: that it was saved on %s, that the proxy showed it on a connection, and "
		"that it told this purpose.",
		date);
	fold(stdout, word, 0, 0, FOLD_COLUMNS);
	puts("");
	return true;
}

static int verify(struct wish *wish)
{
	struct error err;
	struct saved saved;
	uint8_t *memory = NULL;
	struct pact *pact = NULL;
	static struct accord_outcome outcome; /* large */
	if (!wish->file || !wish->terms.anchors)
		return complain("accord verify",
			&(struct error){"name the file with the proof, and with --accord the anchors that count"},
			EXIT_MISUSE);
	wish->terms.proxy = wish->named;
	if (!saved_from_file(wish->file, &saved, &memory, &err) || !pact_make(&pact, &wish->terms, &err)) {
		OPENSSL_free(memory);
		return complain("accord verify", &err, EXIT_FAILURE);
	}
	pact_set_time(pact, wish->at_present ? wish->now_s : saved.time_s);
	check(pact, &saved, &outcome);
	bool ok = tell(wish, &saved, &outcome, &err);
	pact_free(pact);
	OPENSSL_free(memory);
	return ok ? EXIT_SUCCESS : complain("accord verify", &err, EXIT_FAILURE);
}

/* A set of enum given. */
static unsigned given(const struct wish *wish)
{
	return (wish->state ? GIVEN_STATE : 0U) | (wish->name ? GIVEN_NAME : 0U) |
	       (wish->terms.anchors ? GIVEN_ACCORD : 0U) | (wish->terms.trust ? GIVEN_TRUST : 0U) |
	       (wish->terms.proxies > 0 ? GIVEN_PROXY_NAME : 0U) | (wish->at_present ? GIVEN_AT_PRESENT : 0U) |
	       (wish->json ? GIVEN_JSON : 0U) | (wish->file ? GIVEN_FILE : 0U);
}

/* Options that do not go with the action. */
static bool fits(const struct wish *wish, unsigned allowed, const char *action, struct error *err)
{
	static const char *const names[] = {
		"--state", "--name", "--accord", "--trust", "--proxy-name", "--at-present", "--json", "a file"};
	for (unsigned i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
		if (given(wish) & ~allowed & (1U << i))
			return error_set(err, "%s does not go with %s", names[i], action);
	}
	return true;
}

int verb_accord(int argc, char **argv)
{
	static const struct action {
		const char *name;
		int (*run)(struct wish *wish);
		unsigned allowed;
	} actions[] = {
		{"init", init, GIVEN_STATE | GIVEN_NAME},
		{"show", show, GIVEN_STATE},
		{"verify", verify,
			GIVEN_ACCORD | GIVEN_TRUST | GIVEN_PROXY_NAME | GIVEN_AT_PRESENT | GIVEN_JSON | GIVEN_FILE},
	};
	static struct wish wish;
	struct error err = {"an action is missing: init, show or verify"};
	int rest;
	if (wants_help(argc, argv))
		return help();
	wish.now_s = (int64_t)(clock_wall_ns() / NS_PER_S);
	for (size_t i = 0; argc >= 2 && i < sizeof(actions) / sizeof(actions[0]); i++) {
		if (strcmp(argv[1], actions[i].name) != 0)
			continue;
		if (!arguments_read(&arguments, argc - 1, argv + 1, &wish, &rest, &err) ||
			!fits(&wish, actions[i].allowed, argv[1], &err))
			return complain("accord", &err, EXIT_MISUSE);
		return actions[i].run(&wish);
	}
	if (argc >= 2)
		(void)error_set(&err, "there is no action %s; there are init, show and verify", argv[1]);
	return complain("accord", &err, EXIT_MISUSE);
}
