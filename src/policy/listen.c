#include "policy/listen.h"

#include "base/text.h"

#include <stdio.h>

static const char *const mode_names[] = {
	[LISTEN_EXPLICIT] = "explicit",
	[LISTEN_TRANSPARENT] = "transparent",
	[LISTEN_TPROXY] = "tproxy",
	[LISTEN_REVERSE] = "reverse",
	[LISTEN_SNI] = "sni",
};

const char *listen_mode_name(enum listen_mode mode)
{
	return mode_names[mode];
}

/* The last place of `c`; in.len when there is none. */
static size_t find_last(struct bytes in, uint8_t c)
{
	size_t at = in.len;
	for (size_t i = 0; i < in.len; i++) {
		if (in.data[i] == c)
			at = i;
	}
	return at;
}

/* Splits at `at`, which stands for one octet that neither part keeps. */
static void split(struct bytes in, size_t at, struct bytes *before, struct bytes *after)
{
	*before = bytes_of(in.data, at);
	*after = at < in.len ? bytes_of(in.data + at + 1, in.len - at - 1) : BYTES_NONE;
}

/* Splits "HOST:PORT" and takes brackets off; IPv6 without them is refused, as nobody could tell where it ends. */
static bool host_port_split(struct bytes text, char *host, struct bytes *port, bool *bracketed)
{
	struct bytes name;
	size_t colon = find_last(text, ':');
	if (colon == text.len)
		return false;
	split(text, colon, &name, port);
	*bracketed = name.len >= 2 && name.data[0] == '[' && name.data[name.len - 1] == ']';
	if (*bracketed)
		name = bytes_of(name.data + 1, name.len - 2);
	else if (bytes_find(name, ':', 0) < name.len)
		return false;
	if (name.len == 0 || name.len >= LISTEN_HOST)
		return false;
	memcpy(host, name.data, name.len);
	host[name.len] = '\0';
	return true;
}

static bool is_host(const char *host, bool bracketed)
{
	struct hostport ip;
	if (bracketed)
		return strchr(host, ':') && hostport_parse_ip(&ip, host);
	for (const char *c = host; *c; c++) {
		bool letter = (*c >= 'a' && *c <= 'z') || (*c >= 'A' && *c <= 'Z') || (*c >= '0' && *c <= '9');
		if (!letter && *c != '-' && *c != '_' && *c != '.')
			return false;
	}
	return true;
}

bool host_port_parse(struct bytes text, char *host, uint16_t *port)
{
	struct bytes digits;
	bool bracketed;
	uint64_t number;
	char name[LISTEN_HOST];
	if (!host_port_split(text, name, &digits, &bracketed) || !is_host(name, bracketed))
		return false;
	if (!text_number(digits, UINT16_MAX, &number) || number == 0)
		return false;
	memcpy(host, name, strlen(name) + 1);
	*port = (uint16_t)number;
	return true;
}

static bool parse_mode(struct bytes mode, struct listen_at *out, const char *text, struct error *err)
{
	struct bytes word, rest;
	size_t colon = bytes_find(mode, ':', 0);
	bool more = colon < mode.len;
	split(mode, colon, &word, &rest);
	size_t i = 0;
	while (i <= LISTEN_SNI && !bytes_equal(word, bytes_str(mode_names[i])))
		i++;
	if (i > LISTEN_SNI)
		return error_set(err,
			"\"%s\": no mode \"%.*s\"; there are explicit, transparent, tproxy, reverse:HOST:PORT and "
			"sni[:PORT]",
			text, (int)(word.len > 40 ? 40 : word.len), (const char *)word.data);
	out->mode = (enum listen_mode)i;
	uint64_t port = 443;
	switch (out->mode) {
	case LISTEN_REVERSE:
		if (!host_port_parse(rest, out->host, &out->target_port))
			return error_set(err,
				"\"%s\": reverse needs HOST:PORT, as in reverse:www.example.com:443@127.0.0.1:8443",
				text);
		return true;
	case LISTEN_SNI:
		if (more && (!text_number(rest, UINT16_MAX, &port) || port == 0))
			return error_set(err, "\"%s\": sni takes a port from 1 to 65535, as in sni:443@[::]:443", text);
		out->target_port = (uint16_t)port;
		return true;
	default:
		return !more || error_set(err, "\"%s\": mode %s takes nothing after a colon", text, mode_names[i]);
	}
}

bool listen_parse(const char *text, struct listen_at *out, struct error *err)
{
	struct listen_at at = {.mode = LISTEN_EXPLICIT};
	struct bytes mode, place = bytes_str(text), whole = place;
	size_t sign = find_last(whole, '@');
	if (sign < whole.len) {
		split(whole, sign, &mode, &place);
		if (!parse_mode(mode, &at, text, err))
			return false;
	}
	char host[LISTEN_HOST];
	struct bytes digits;
	bool bracketed;
	uint64_t port;
	if (!host_port_split(place, host, &digits, &bracketed))
		return error_set(err, "\"%s\": expected [MODE@]ADDRESS:PORT, as in 127.0.0.1:8080 or [::1]:8080", text);
	if (!hostport_parse_ip(&at.at, host) || bracketed != (strchr(host, ':') != NULL))
		return error_set(err, "\"%s\": \"%s\" is no IP address; 0.0.0.0 and [::] stand for all of this machine",
			text, host);
	if (!text_number(digits, UINT16_MAX, &port))
		return error_set(err, "\"%s\": the port must be a number from 0 to 65535", text);
	at.at.port = (uint16_t)port;
	*out = at;
	return true;
}

bool listen_is_loopback(const struct listen_at *at)
{
	static const uint8_t any_v6[16] = {0};
	/* 0.0.0.0 and [::] reach this machine as a target, but as a listener they are reached by all. */
	bool any = memcmp(at->at.ip, any_v6, 16) == 0 || (hostport_is_v4(&at->at) && at->at.ip[12] == 0);
	return !any && address_kind(&at->at) == ADDRESS_LOOPBACK;
}

size_t listen_text(const struct listen_at *at, char *out)
{
	char place[HOSTPORT_TEXT];
	hostport_text(&at->at, place);
	int n = 0;
	switch (at->mode) {
	case LISTEN_REVERSE:
		n = snprintf(out, LISTEN_TEXT, strchr(at->host, ':') ? "reverse:[%s]:%u@%s" : "reverse:%s:%u@%s",
			at->host, at->target_port, place);
		break;
	case LISTEN_SNI:
		n = snprintf(out, LISTEN_TEXT, "sni:%u@%s", at->target_port, place);
		break;
	case LISTEN_EXPLICIT:
		n = snprintf(out, LISTEN_TEXT, "%s", place);
		break;
	default:
		n = snprintf(out, LISTEN_TEXT, "%s@%s", mode_names[at->mode], place);
		break;
	}
	return (size_t)n;
}
