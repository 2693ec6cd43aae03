/* What options say together: docs/configuration.md. */
#include "accord/purpose.h"
#include "policy/config_parts.h"

#include <stdarg.h>
#include <stdlib.h>

/* Sets "config.yaml:3:9: metrics: text" or "--metrics: text", from where the option was set. */
printf_like(4, 5) static bool wrong(
	const struct config *config, struct error *err, const char *key, const char *format, ...)
{
	if (!err)
		return false;
	va_list args;
	va_start(args, format);
	char text[400];
	vsnprintf(text, sizeof(text), format, args);
	va_end(args);
	const struct config_option *option = config_option_find(bytes_str(key));
	struct config_origin origin = {0};
	if (option)
		origin = config->origins[config_option_index(option)];
	if (origin.from == ORIGIN_FILE)
		return error_set(err, "%s:%u:%u: %s: %s", config->file ? config->file : "configuration", origin.line,
			origin.column, key, text);
	return error_set(err, "--%s: %s", key, text);
}

/* $XDG_DATA_HOME/overt, or where that variable would point (XDG Base Directory Specification). */
static bool find_state(struct config *config, struct error *err)
{
	if (config->state)
		return true;
	const char *data = getenv("XDG_DATA_HOME");
	const char *home = getenv("HOME");
	int n = -1;
	if (data && data[0] == '/')
		n = asprintf(&config->state, "%s/overt", data);
	else if (home && home[0] == '/')
		n = asprintf(&config->state, "%s/.local/share/overt", home);
	else
		return error_set(err, "--state: neither it nor HOME is set, so there is no place for the CA");
	if (n < 0)
		config->state = NULL;
	return n >= 0 || error_set(err, "no memory");
}

static bool check_metrics(struct config *config, struct error *err)
{
	struct error why;
	if (!config->metrics)
		return true;
	if (!listen_parse(config->metrics, &config->metrics_at, &why))
		return wrong(config, err, "metrics", "%s", why.text);
	if (config->metrics_at.mode != LISTEN_EXPLICIT || !listen_is_loopback(&config->metrics_at))
		return wrong(config, err, "metrics", "\"%s\" is no loopback address; use 127.0.0.1:PORT or [::1]:PORT",
			config->metrics);
	return true;
}

static bool check_log(struct config *config, struct error *err)
{
	config->log_path = NULL;
	if (strcmp(config->log, "stderr") == 0) {
		config->log_target = CONFIG_LOG_STDERR;
	} else if (strcmp(config->log, "journal") == 0) {
		config->log_target = CONFIG_LOG_JOURNAL;
	} else if (strncmp(config->log, "file:", 5) == 0 && config->log[5]) {
		config->log_target = CONFIG_LOG_FILE;
		config->log_path = config->log + 5;
	} else {
		return wrong(config, err, "log", "\"%s\" is neither stderr, journal nor file:PATH", config->log);
	}
	return true;
}

static bool check_outputs(const struct config *config, struct error *err)
{
	const char *const keys[] = {"jsonl", "pcapng", "keylog"};
	const char *const files[] = {config->jsonl, config->pcapng, config->keylog};
	for (size_t i = 0; i < 3; i++) {
		for (size_t j = i + 1; j < 3; j++) {
			if (files[i] && files[j] && strcmp(files[i], files[j]) == 0)
				return wrong(config, err, keys[j], "%s is written by %s already", files[j], keys[i]);
		}
	}
	return true;
}

static bool check_listeners(const struct config *config, struct error *err)
{
	if (config->listen.count == 0)
		return wrong(config, err, "listen", "there is nothing to listen at");
	for (size_t i = 0; i < config->listen.count; i++) {
		for (size_t j = i + 1; j < config->listen.count; j++) {
			const struct hostport *a = &config->listen.items[i].at;
			const struct hostport *b = &config->listen.items[j].at;
			char text[HOSTPORT_TEXT];
			if (a->port != 0 && a->port == b->port && hostport_same_ip(a, b))
				return wrong(config, err, "listen", "%s stands here twice", hostport_text(a, text));
		}
	}
	return true;
}

static bool check_url(const struct config *config, struct error *err)
{
	const char *url = config->disclosure_url;
	if (!url)
		return true;
	if (strncmp(url, "https://", 8) != 0 && strncmp(url, "http://", 7) != 0)
		return wrong(config, err, "disclosure-url", "\"%s\" begins with neither https:// nor http://", url);
	/* It stands in every leaf, as an IA5String. */
	for (const char *at = url; *at; at++) {
		if (*at <= 0x20 || *at > 0x7e)
			return wrong(config, err, "disclosure-url",
				"\"%s\" holds what no URL may: percent-encode blanks and what is not ASCII", url);
	}
	if (strlen(url) > CONFIG_MAX_URL)
		return wrong(config, err, "disclosure-url",
			"%zu octets are too many: it stands in every leaf, %d are the most", strlen(url),
			CONFIG_MAX_URL);
	return true;
}

bool config_check_disclosure(const struct config *config, enum config_verb verb, struct error *err)
{
	if (verb == CONFIG_EXEC || config->print_nft)
		return true;
	const struct listen_at *open = NULL;
	for (size_t i = 0; i < config->listen.count && !open; i++) {
		const struct listen_at *at = &config->listen.items[i];
		if (!listen_is_loopback(at) || at->mode == LISTEN_TPROXY)
			open = at;
	}
	if (!open)
		return true;
	char missing[64] = "";
	struct writer w = writer_over(missing, sizeof(missing) - 1);
	const char *const keys[] = {"operator", "contact", "purpose", "retention"};
	const bool there[] = {config->operator_name != NULL, config->contact != NULL, config->purpose != NULL,
		config->retention_ns != 0};
	for (size_t i = 0; i < 4; i++) {
		if (there[i])
			continue;
		writer_bytes(&w, bytes_str(w.len ? ", " : ""));
		writer_bytes(&w, bytes_str(keys[i]));
	}
	if (w.len == 0)
		return true;
	char text[LISTEN_TEXT];
	listen_text(open, text);
	return wrong(config, err, "listen",
		"%s can be reached by others, who must be able to learn who inspects them: set %s", text, missing);
}

/* What `overt exec` shows is its user's own, of one program, and seen by nobody else. */
static void show_own_secrets(struct config *config, enum config_verb verb)
{
	const struct config_option *option = config_option_find(bytes_str("show-secrets"));
	if (verb == CONFIG_EXEC && option && config->origins[config_option_index(option)].from == ORIGIN_DEFAULT)
		config->show_secrets = true;
}

static bool has_reverse(const struct config *config)
{
	for (size_t i = 0; i < config->listen.count; i++) {
		if (config->listen.items[i].mode == LISTEN_REVERSE)
			return true;
	}
	return false;
}

static bool check_accord(struct config *config, struct error *err)
{
	uint8_t code;
	if (config->accord_purpose && !accord_purpose_read(config->accord_purpose, &code))
		return wrong(config, err, "accord-purpose", ACCORD_PURPOSE_EXPECTED, config->accord_purpose);
	if (config->accord_upstream && config->upstream_proxy.kind == UPSTREAM_DIRECT)
		return wrong(config, err, "accord-upstream", "needs upstream-proxy beside it");
	if (config->accord_server && (!config->server_cert || !config->server_key))
		return wrong(config, err, "accord-server", "needs server-cert and server-key beside it");
	if (config->accord_server && !has_reverse(config))
		return wrong(config, err, "accord-server", "needs a listener of the mode reverse");
	if (config->server_cert && !config->accord_server)
		return wrong(config, err, "server-cert", "needs accord-server beside it");
	return !config->server_key || config->accord_server ||
	       wrong(config, err, "server-key", "needs accord-server beside it");
}

bool config_check(struct config *config, enum config_verb verb, struct error *err)
{
	show_own_secrets(config, verb);
	if (!find_state(config, err) || !check_metrics(config, err) || !check_log(config, err))
		return false;
	if (config->ca_cert && !config->ca_key)
		return wrong(config, err, "ca-cert", "needs ca-key beside it");
	if (config->ca_key && !config->ca_cert)
		return wrong(config, err, "ca-key", "needs ca-cert beside it");
	return check_accord(config, err) && check_outputs(config, err) && check_listeners(config, err) &&
	       check_url(config, err) && config_check_disclosure(config, verb, err);
}
