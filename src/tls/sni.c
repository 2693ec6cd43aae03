#include "tls/sni.h"

#define MAX_LABEL 63

static bool is_digit(uint8_t c)
{
	return c >= '0' && c <= '9';
}

static bool is_hex(uint8_t c)
{
	return is_digit(c) || (c >= 'a' && c <= 'f') || (c >= 'A' && c <= 'F');
}

/* The underscore is no letter of host names, but of names that stand in DNS and in certificates. */
static bool in_host_name(uint8_t c)
{
	return is_digit(c) || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '-' || c == '_' || c == '.';
}

/* Colons among hex digits and dots: an IPv6 address in some form, brackets and zones aside. */
static bool is_ipv6(struct bytes name)
{
	bool colon = false;
	uint8_t c;
	while (bytes_u8(&name, &c)) {
		if (!is_hex(c) && c != ':' && c != '.')
			return false;
		colon |= c == ':';
	}
	return colon;
}

/* Resolvers take a name whose last label is a number for an IPv4 address, and no top-level domain is one. */
static bool last_label_is_number(struct bytes name)
{
	bool digits = true;
	uint8_t c;
	while (bytes_u8(&name, &c))
		digits = c == '.' || (digits && is_digit(c));
	return digits;
}

static enum hello_sni judge_labels(struct bytes name)
{
	while (true) {
		size_t end = bytes_find(name, '.', 0);
		if (end == 0 || end > MAX_LABEL)
			return SNI_BAD_LABEL;
		if (!bytes_skip(&name, end) || !bytes_skip(&name, 1))
			return SNI_OK;
		if (name.len == 0)
			return SNI_TRAILING_DOT;
	}
}

enum hello_sni sni_judge(struct bytes name)
{
	if (name.len == 0)
		return SNI_EMPTY;
	if (is_ipv6(name))
		return SNI_ADDRESS;
	struct bytes rest = name;
	uint8_t c;
	while (bytes_u8(&rest, &c)) {
		if (!in_host_name(c))
			return SNI_BAD_OCTET;
	}
	enum hello_sni labels = judge_labels(name);
	if (labels == SNI_BAD_LABEL || name.len > HELLO_MAX_SERVER_NAME + (labels == SNI_TRAILING_DOT))
		return SNI_BAD_LABEL;
	return labels == SNI_OK && last_label_is_number(name) ? SNI_ADDRESS : labels;
}

enum hello_sni sni_parse(struct bytes data, struct bytes *name)
{
	struct bytes list, host;
	uint8_t type;
	*name = BYTES_NONE;
	if (data.len == 0)
		return SNI_EMPTY;
	if (!bytes_vec16(&data, &list) || data.len != 0)
		return SNI_MALFORMED;
	/* One host_name and nothing else: there is no other name type, and of two each side could take another. */
	if (!bytes_u8(&list, &type) || type != 0 || !bytes_vec16(&list, &host) || list.len != 0 || host.len == 0)
		return SNI_MALFORMED;
	*name = host;
	return sni_judge(host);
}
