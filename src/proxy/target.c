#include "proxy/target.h"

#include "base/text.h"

#include <arpa/inet.h>
#include <stdio.h>

#define MAX_NAME  253
#define MAX_LABEL 63

const char *target_result_text(enum target_result result)
{
	switch (result) {
	case TARGET_OK:
		return "is in order";
	case TARGET_NO_HOST:
		return "has no host";
	case TARGET_TOO_LONG:
		return "is longer than a host name can be";
	case TARGET_BAD_NAME:
		return "is no host name";
	case TARGET_BAD_ADDRESS:
		return "is no IP address in its usual form";
	case TARGET_NO_PORT:
		return "has no port";
	case TARGET_BAD_PORT:
		return "has a port that is not a number from 1 to 65535";
	case TARGET_USERINFO:
		return "has a user name before the host";
	}
	return "is not understood";
}

bool target_ip_read(struct bytes text, struct hostport *out)
{
	char copy[INET6_ADDRSTRLEN];
	struct hostport address;
	/* The text of C would stop at a NUL inside. */
	if (text.len == 0 || text.len >= sizeof(copy) || bytes_find(text, 0, 0) != text.len)
		return false;
	memcpy(copy, text.data, text.len);
	copy[text.len] = '\0';
	if (!hostport_parse_ip(&address, copy))
		return false;
	*out = address;
	return true;
}

struct target target_from_address(const struct hostport *address)
{
	char text[HOSTPORT_TEXT];
	struct target out = {.port = address->port, .is_ip = true, .address = *address};
	snprintf(out.host, sizeof(out.host), "%s", hostport_ip_text(address, text));
	return out;
}

static bool is_digit(uint8_t c)
{
	return c >= '0' && c <= '9';
}

/* Letter, digit, hyphen; the underscore, which no host may have and many have. */
static bool is_name_octet(uint8_t c)
{
	return is_digit(c) || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '-' || c == '_';
}

static enum target_result check_label(struct bytes label)
{
	if (label.len == 0)
		return TARGET_BAD_NAME;
	for (size_t i = 0; i < label.len; i++) {
		if (!is_name_octet(label.data[i]))
			return TARGET_BAD_NAME;
	}
	if (label.len > MAX_LABEL)
		return TARGET_TOO_LONG;
	return label.data[0] == '-' || label.data[label.len - 1] == '-' ? TARGET_BAD_NAME : TARGET_OK;
}

/*
 * A last label of digits, or 0x and hex digits, is read as a number by resolvers: inet_aton takes 0x7f.1 and 127.1 for
 * 127.0.0.1 and 010.0.0.1 for 8.0.0.1. No top-level domain looks so.
 */
static bool is_number(struct bytes label)
{
	struct bytes rest = label;
	if (bytes_starts(label, bytes_str("0x")) || bytes_starts(label, bytes_str("0X"))) {
		if (!bytes_skip(&rest, 2))
			return false;
		for (size_t i = 0; i < rest.len; i++) {
			uint8_t c = rest.data[i] | 0x20;
			if (!is_digit(rest.data[i]) && (c < 'a' || c > 'f'))
				return false;
		}
		return true;
	}
	for (size_t i = 0; i < rest.len; i++) {
		if (!is_digit(rest.data[i]))
			return false;
	}
	return true;
}

static enum target_result name_read(struct bytes name, struct target *out)
{
	if (name.len > MAX_NAME)
		return TARGET_TOO_LONG;
	struct bytes rest = name;
	struct bytes label = BYTES_NONE;
	for (bool last = false; !last;) {
		size_t dot = bytes_find(rest, '.', 0);
		last = dot == rest.len;
		if (!bytes_take(&rest, dot, &label) || (!last && !bytes_skip(&rest, 1)))
			return TARGET_BAD_NAME;
		enum target_result bad = check_label(label);
		if (bad != TARGET_OK)
			return bad;
	}
	/* Read here without leading zeros, without hex, and in exactly four parts. */
	struct hostport address;
	if (is_number(label)) {
		if (!target_ip_read(name, &address))
			return TARGET_BAD_ADDRESS;
		*out = target_from_address(&address);
		return TARGET_OK;
	}
	*out = (struct target){0};
	for (size_t i = 0; i < name.len; i++) {
		uint8_t c = name.data[i];
		out->host[i] = (char)(c >= 'A' && c <= 'Z' ? c | 0x20 : c);
	}
	return TARGET_OK;
}

static enum target_result ipv6_read(struct bytes text, struct target *out)
{
	struct hostport address;
	if (bytes_find(text, ':', 0) == text.len || !target_ip_read(text, &address))
		return TARGET_BAD_ADDRESS;
	*out = target_from_address(&address);
	return TARGET_OK;
}

enum target_result target_from_host(struct bytes host, uint16_t port, struct target *out)
{
	if (port == 0)
		return TARGET_BAD_PORT;
	struct target target;
	enum target_result result;
	if (bytes_find(host, ':', 0) < host.len) {
		result = ipv6_read(host, &target);
	} else {
		/* The root's empty label at the end; a name that is nothing else stays empty. */
		struct bytes name = host;
		if (host.len > 0 && host.data[host.len - 1] == '.')
			name.len--;
		result = name.len == 0 ? TARGET_NO_HOST : name_read(name, &target);
	}
	if (result != TARGET_OK)
		return result;
	target.port = target.address.port = port;
	*out = target;
	return TARGET_OK;
}

static enum target_result port_read(struct bytes rest, uint16_t default_port, uint16_t *port)
{
	*port = default_port;
	if (rest.len == 0)
		return default_port ? TARGET_OK : TARGET_NO_PORT;
	uint64_t value = 0;
	if (rest.data[0] != ':' || !bytes_skip(&rest, 1))
		return TARGET_BAD_PORT;
	/* Five digits: 000443 is nothing that an honest client writes. */
	if (rest.len > 5 || !text_number(rest, UINT16_MAX, &value) || value == 0)
		return TARGET_BAD_PORT;
	*port = (uint16_t)value;
	return TARGET_OK;
}

enum target_result target_parse(struct bytes authority, uint16_t default_port, struct target *out)
{
	if (bytes_find(authority, '@', 0) < authority.len)
		return TARGET_USERINFO;
	struct bytes rest = authority;
	struct bytes host;
	bool brackets = rest.len > 0 && rest.data[0] == '[';
	size_t end = bytes_find(rest, brackets ? ']' : ':', 0);
	if (brackets) {
		if (end == rest.len || !bytes_skip(&rest, 1))
			return TARGET_BAD_ADDRESS;
		end--;
	}
	if (!bytes_take(&rest, end, &host) || (brackets && !bytes_skip(&rest, 1)))
		return TARGET_BAD_ADDRESS;
	/* Two colons without brackets: IPv6 that nobody could tell from its port. */
	if (!brackets && rest.len > 0 && bytes_find(rest, ':', 1) < rest.len)
		return TARGET_BAD_ADDRESS;
	uint16_t port;
	enum target_result result = port_read(rest, default_port, &port);
	if (host.len == 0)
		return brackets ? TARGET_BAD_ADDRESS : TARGET_NO_HOST;
	if (result != TARGET_OK)
		return result;
	if (!brackets)
		return target_from_host(host, port, out);
	struct target target;
	result = ipv6_read(host, &target);
	if (result != TARGET_OK)
		return result;
	target.port = target.address.port = port;
	*out = target;
	return TARGET_OK;
}

size_t target_print(const struct target *target, char out[TARGET_TEXT_MAX])
{
	bool brackets = target->is_ip && !hostport_is_v4(&target->address);
	return (size_t)snprintf(out, TARGET_TEXT_MAX, brackets ? "[%s]:%u" : "%s:%u", target->host, target->port);
}
