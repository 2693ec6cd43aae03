#include "cli/local_options.h"

#include "base/clock.h"
#include "base/text.h"
#include "cli/accord_words.h"
#include "cli/arguments.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define LISTEN        "127.0.0.1:8088"
#define DAY_NS        (86400 * NS_PER_S)
#define RETENTION_NS  (90 * DAY_NS)
#define RETENTION_MAX (3650 * DAY_NS)

#define READ_TEXT(name, field)                                                                                         \
	static bool name(void *ctx, const char *value, struct error *err)                                              \
	{                                                                                                              \
		(void)err;                                                                                             \
		((struct local_wish *)ctx)->field = value;                                                             \
		return *value != '\0';                                                                                 \
	}

READ_TEXT(read_anchors, terms.anchors)
READ_TEXT(read_trust, terms.trust)
READ_TEXT(read_state, state)
READ_TEXT(read_jsonl, jsonl)

static bool read_verbose(void *ctx, const char *value, struct error *err)
{
	(void)value, (void)err;
	((struct local_wish *)ctx)->verbose = true;
	return true;
}

/* Only this machine may come, and only its user: the kernel can tell whose a connection is on loopback alone. */
static bool read_listen(void *ctx, const char *value, struct error *err)
{
	struct listen_at at;
	((struct local_wish *)ctx)->listen = value;
	if (!listen_parse(value, &at, err))
		return false;
	return (at.mode == LISTEN_EXPLICIT && listen_is_loopback(&at)) ||
	       error_set(err, "not a loopback address: use 127.0.0.1:PORT or [::1]:PORT");
}

/* "host:port", or a URL with a scheme and credentials. */
static bool read_proxy(void *ctx, const char *value, struct error *err)
{
	struct local_wish *wish = ctx;
	bool url = strstr(value, "://") != NULL;
	int n = snprintf(wish->proxy, sizeof(wish->proxy), "%s%s", url ? "" : "http://", value);
	return (n > 0 && (size_t)n < sizeof(wish->proxy)) || error_set(err, "too long");
}

static bool read_proxy_name(void *ctx, const char *value, struct error *err)
{
	struct local_wish *wish = ctx;
	if (wish->terms.proxies == PACT_MAX_PROXIES)
		return error_set(err, "at most %d of these", PACT_MAX_PROXIES);
	wish->named[wish->terms.proxies++] = value;
	return pact_proxy_valid(value, err);
}

static bool read_rule(void *ctx, const char *value, struct error *err)
{
	(void)err;
	return accord_rule_of(value, &((struct local_wish *)ctx)->rule);
}

static bool read_role(void *ctx, const char *value, struct error *err)
{
	(void)err;
	return accord_roles_of(value, &((struct local_wish *)ctx)->roles);
}

static bool read_retention(void *ctx, const char *value, struct error *err)
{
	uint64_t *out = &((struct local_wish *)ctx)->retention_ns;
	(void)err;
	return text_duration(bytes_str(value), out) && *out >= NS_PER_S && *out <= RETENTION_MAX;
}

static const struct argument table[] = {
	{"accord", 'a', "ANCHORS", read_anchors, "file of Accord anchors, as accord-anchor.pem of the network's proxy"},
	{"proxy", 'x', "HOST:PORT", read_proxy,
		"the network's proxy, or a URL http:// or socks5://; without it, connections go straight out"},
	{"trust", 0, "FILE", read_trust, "web roots; by default the distribution's, without any that were added here"},
	{"accord-rule", 0, "RULE", read_rule, "require, or prefer: accept a CA that was added here too [require]"},
	{"role", 0, "ROLE", read_role, "what a proxy may be: reader, writer or both [reader]"},
	{"proxy-name", 0, "NAME", read_proxy_name,
		"only proxies of this name or pin; may be given several times, default: all that ANCHORS stand for"},
	{"listen", 0, "ADDRESS:PORT", read_listen, "where programs find it, on loopback [" LISTEN "]"},
	{"state", 0, "DIR", read_state, "CA, history and refusals; default $XDG_STATE_HOME/overt-local"},
	{"retention", 0, "TIME", read_retention,
		"how long a site stays in the history after its last connection [90d]"},
	{"jsonl", 0, "FILE", read_jsonl, "write events as JSON lines; - is standard output"},
	{"verbose", 'v', NULL, read_verbose, "more lines in the log"},
};

static const struct arguments arguments = {.verb = "local", .table = table, .count = sizeof(table) / sizeof(table[0])};

void local_options_help(void)
{
	arguments_help(&arguments);
}

/* XDG Base Directory Specification: what a program finds again, and nobody would miss on another machine. */
static bool find_state(const char *named, char out[4096], struct error *err)
{
	const char *place = getenv("XDG_STATE_HOME");
	const char *home = getenv("HOME");
	int n = -1;
	if (named)
		n = snprintf(out, 4096, "%s", named);
	else if (place && place[0] == '/')
		n = snprintf(out, 4096, "%s/overt-local", place);
	else if (home && home[0] == '/')
		n = snprintf(out, 4096, "%s/.local/state/overt-local", home);
	else
		return error_set(err, "--state: neither it nor HOME is set, so there is no place for the CA");
	return (n > 0 && n < 4096) || error_set(err, "--state: the path is too long");
}

/* In the words of overt proxy, so that there is one reader of each. */
static struct config *configure(const struct local_wish *wish, const char *state, struct error *err)
{
	const char *words[16] = {
		"local", "--single", "--state", state, "--listen", wish->listen, "--drain-timeout", "2s"};
	int count = 8, rest;
	if (wish->proxy[0]) {
		words[count++] = "--upstream-proxy";
		words[count++] = wish->proxy;
	}
	if (wish->jsonl) {
		words[count++] = "--jsonl";
		words[count++] = wish->jsonl;
	}
	if (wish->verbose)
		words[count++] = "--verbose";
	/* Words are read and not written; main's argv has no const form. */
	return config_load(CONFIG_PROXY, count, (char *const *)(uintptr_t)words, &rest, err);
}

/* Each connection would come back for ever. */
static bool is_itself(const struct config *config)
{
	struct hostport network;
	const struct config_upstream *up = &config->upstream_proxy;
	const struct hostport *own = &config->listen.items[0].at;
	if (up->kind == UPSTREAM_DIRECT || up->port != own->port)
		return false;
	return strcmp(up->host, "localhost") == 0 ||
	       (hostport_parse_ip(&network, up->host) && hostport_same_ip(&network, own));
}

struct config *local_options_read(struct local_wish *wish, int argc, char **argv, struct error *err)
{
	char state[4096];
	int rest;
	*wish = (struct local_wish){
		.rule = ACCORD_REQUIRE, .roles = ACCORD_READER, .retention_ns = RETENTION_NS, .listen = LISTEN};
	wish->terms.proxy = wish->named;
	if (!arguments_read(&arguments, argc, argv, wish, &rest, err))
		return NULL;
	if (!wish->terms.anchors) {
		error_set(err, "--accord names the file of Accord anchors, and is needed");
		return NULL;
	}
	struct config *config = find_state(wish->state, state, err) ? configure(wish, state, err) : NULL;
	if (!config || !is_itself(config))
		return config;
	config_free(config);
	error_set(err, "--proxy %s: that is where overt local listens itself", wish->proxy);
	return NULL;
}
