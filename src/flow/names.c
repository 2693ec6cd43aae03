/* The words of flow/event.h and flow/message.h, and addresses as text. */
#include "flow/event.h"
#include "flow/message.h"

#include <arpa/inet.h>
#include <stdio.h>

static const char *name_at(const char *const *names, size_t count, unsigned at)
{
	return at < count && names[at] ? names[at] : "unknown";
}

#define NAME_AT(names, at) name_at(names, sizeof(names) / sizeof((names)[0]), (unsigned)(at))

const char *event_kind_name(enum event_kind kind)
{
	static const char *const names[] = {NULL, "open", "upstream", "hello", "tls", "verdict", "data", "gap", "half",
		"notice", "keylog", "close"};
	return NAME_AT(names, kind);
}

const char *flow_intake_name(enum flow_intake intake)
{
	static const char *const names[] = {
		"connect", "http", "socks5", "redirect", "tproxy", "reverse", "sni", "capture"};
	return NAME_AT(names, intake);
}

const char *flow_action_name(enum flow_action action)
{
	static const char *const names[] = {"inspect", "bypass", "block"};
	return NAME_AT(names, action);
}

const char *flow_gap_name(enum flow_gap why)
{
	static const char *const names[] = {"ring-full", "until", "skipped", "lost", "sealed"};
	return NAME_AT(names, why);
}

const char *flow_ech_name(enum flow_ech ech)
{
	static const char *const names[] = {"none", "outer", "inner"};
	return NAME_AT(names, ech);
}

const char *flow_severity_name(enum flow_severity severity)
{
	static const char *const names[] = {"info", "warn", "error"};
	return NAME_AT(names, severity);
}

const char *flow_ending_name(enum flow_ending ending)
{
	static const char *const names[] = {
		"done", "reset", "timeout", "failed", "refused", "blocked", "stopped", "lost"};
	return NAME_AT(names, ending);
}

const char *flow_direction_name(enum flow_direction direction)
{
	return direction == FLOW_UP ? "up" : "down";
}

const char *message_version_name(enum message_version version)
{
	static const char *const names[] = {"HTTP/1.0", "HTTP/1.1", "HTTP/2"};
	return NAME_AT(names, version);
}

const char *message_ending_name(enum message_ending ending)
{
	static const char *const names[] = {"done", "reset", "upgraded", "broken", "missed"};
	return NAME_AT(names, ending);
}

bool message_header_find(const struct message_header *headers, size_t count, const char *name, struct bytes *out)
{
	struct bytes wanted = bytes_str(name);
	for (size_t i = 0; i < count; i++) {
		if (bytes_equal_nocase(headers[i].name, wanted)) {
			*out = headers[i].value;
			return true;
		}
	}
	return false;
}

static size_t put(char *out, size_t cap, const char *text)
{
	int n = snprintf(out, cap, "%s", text);
	return n < 0 ? 0 : (size_t)n < cap ? (size_t)n : cap - 1;
}

size_t flow_ip_text(const struct flow_address *address, char *out, size_t cap)
{
	char text[INET6_ADDRSTRLEN];
	int family = address->family == 4 ? AF_INET : AF_INET6;
	if (address->family == 0 || !inet_ntop(family, address->ip, text, sizeof(text)))
		return put(out, cap, "-");
	return put(out, cap, text);
}

size_t flow_address_text(const struct flow_address *address, char *out, size_t cap)
{
	char ip[INET6_ADDRSTRLEN];
	flow_ip_text(address, ip, sizeof(ip));
	if (address->family == 0)
		return put(out, cap, "-");
	char text[FLOW_ADDRESS_TEXT];
	snprintf(text, sizeof(text), address->family == 4 ? "%s:%u" : "[%s]:%u", ip, address->port);
	return put(out, cap, text);
}
