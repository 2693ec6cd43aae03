#include "pki/name.h"

#include "base/error.h"
#include "base/text.h"

#include <arpa/inet.h>
#include <stdio.h>

static bool is_digit(uint8_t c)
{
	return c >= '0' && c <= '9';
}

/* Underscore is no host name's letter, yet names with it are in use and certificates carry them. */
static bool is_name_octet(uint8_t c)
{
	return is_digit(c) || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '-' || c == '_';
}

/* Takes one label and the dot behind it. */
static enum name_result label_take(struct bytes *in, struct bytes *label)
{
	size_t dot = bytes_find(*in, '.', 0);
	bool more = dot < in->len;
	if (!bytes_take(in, dot, label) || (more && !bytes_skip(in, 1)))
		return NAME_BAD_LABEL;
	for (size_t i = 0; i < label->len; i++) {
		if (!is_name_octet(label->data[i]))
			return NAME_BAD_CHARACTER;
	}
	if (label->len == 0 || label->data[0] == '-' || label->data[label->len - 1] == '-')
		return NAME_BAD_LABEL;
	/* A dot at the very end leaves one more label, which is empty. */
	if (more && in->len == 0)
		return NAME_BAD_LABEL;
	return label->len > 63 ? NAME_TOO_LONG : NAME_OK;
}

static bool all_digits(struct bytes in)
{
	for (size_t i = 0; i < in.len; i++) {
		if (!is_digit(in.data[i]))
			return false;
	}
	return true;
}

/* Checks the labels of a host name without closing dot; `labels` counts them. */
static enum name_result labels_check(struct bytes in, size_t *labels)
{
	if (in.len == 0)
		return NAME_EMPTY;
	if (in.len > SUBJECT_NAME_MAX)
		return NAME_TOO_LONG;
	struct bytes label = BYTES_NONE;
	*labels = 0;
	while (in.len > 0) {
		enum name_result result = label_take(&in, &label);
		if (result != NAME_OK)
			return result;
		++*labels;
	}
	return all_digits(label) ? NAME_BAD_ADDRESS : NAME_OK;
}

static bool address_read(struct bytes in, struct subject_name *out)
{
	char text[INET6_ADDRSTRLEN];
	if (in.len == 0 || in.len >= sizeof(text) || bytes_find(in, 0, 0) < in.len)
		return false;
	memcpy(text, in.data, in.len);
	text[in.len] = '\0';
	uint8_t ip[16];
	if (inet_pton(AF_INET, text, ip) == 1)
		return subject_name_from_ip(bytes_of(ip, 4), out);
	if (inet_pton(AF_INET6, text, ip) == 1)
		return subject_name_from_ip(bytes_of(ip, 16), out);
	return false;
}

enum name_result subject_name_parse(struct bytes in, struct subject_name *out)
{
	if (in.len == 0)
		return NAME_EMPTY;
	bool bracketed = in.data[0] == '[';
	if (bracketed) {
		if (in.data[in.len - 1] != ']' || in.len < 2)
			return NAME_BAD_ADDRESS;
		struct bytes inner = bytes_of(in.data + 1, in.len - 2);
		bool six = bytes_find(inner, ':', 0) < inner.len;
		return six && address_read(inner, out) ? NAME_OK : NAME_BAD_ADDRESS;
	}
	if (address_read(in, out))
		return NAME_OK;
	if (bytes_find(in, ':', 0) < in.len)
		return NAME_BAD_ADDRESS;
	if (in.data[in.len - 1] == '.')
		in.len--;
	size_t labels;
	enum name_result result = labels_check(in, &labels);
	if (result != NAME_OK)
		return result;
	*out = (struct subject_name){.is_ip = false};
	for (size_t i = 0; i < in.len; i++) {
		uint8_t c = in.data[i];
		out->text[i] = (char)(c >= 'A' && c <= 'Z' ? c + 32 : c);
	}
	return NAME_OK;
}

const char *name_result_text(enum name_result result)
{
	switch (result) {
	case NAME_OK:
		return "is a name";
	case NAME_EMPTY:
		return "is empty";
	case NAME_TOO_LONG:
		return "is longer than 253 octets, or a label of it longer than 63";
	case NAME_BAD_LABEL:
		return "has an empty label, or one that begins or ends with a hyphen";
	case NAME_BAD_CHARACTER:
		return "holds a character that no host name may have";
	case NAME_BAD_ADDRESS:
		return "looks like an address and is none";
	}
	return "is no name";
}

bool subject_name_from_ip(struct bytes ip, struct subject_name *out)
{
	if (ip.len != 4 && ip.len != 16)
		return false;
	struct subject_name name = {.is_ip = true, .ip_len = (uint8_t)ip.len};
	memcpy(name.ip, ip.data, ip.len);
	if (!inet_ntop(ip.len == 4 ? AF_INET : AF_INET6, name.ip, name.text, sizeof(name.text)))
		return false;
	*out = name;
	return true;
}

bool subject_name_equal(const struct subject_name *a, const struct subject_name *b)
{
	return a->is_ip == b->is_ip && strcmp(a->text, b->text) == 0;
}

static bool wildcard_take(struct bytes *pattern)
{
	return bytes_starts(*pattern, bytes_str("*.")) && bytes_skip(pattern, 2);
}

bool dns_pattern_valid(struct bytes pattern)
{
	bool wild = wildcard_take(&pattern);
	size_t labels;
	return labels_check(pattern, &labels) == NAME_OK && (!wild || labels >= 2);
}

bool dns_pattern_matches(struct bytes pattern, const struct subject_name *name)
{
	if (name->is_ip || !dns_pattern_valid(pattern))
		return false;
	struct bytes host = subject_name_bytes(name);
	if (wildcard_take(&pattern)) {
		size_t dot = bytes_find(host, '.', 0);
		if (dot == 0 || !bytes_skip(&host, dot) || !bytes_skip(&host, 1))
			return false;
	}
	return bytes_equal_nocase(pattern, host);
}

/* "/24" behind an address of `ip_len` octets, or nothing: all bits. */
static bool mask_read(struct bytes prefix, struct name_range *range)
{
	uint64_t bits = (uint64_t)range->ip_len * 8;
	if (prefix.len > 0 && (!bytes_skip(&prefix, 1) || !text_number(prefix, bits, &bits)))
		return false;
	for (size_t i = 0; i < range->ip_len; i++) {
		uint64_t here = bits > 8 ? 8 : bits;
		range->mask[i] = (uint8_t)(0xff00U >> here);
		range->ip[i] &= range->mask[i];
		bits -= here;
	}
	return true;
}

bool name_range_parse(struct bytes in, struct name_range *out, struct error *err)
{
	char shown[80];
	text_clean(shown, sizeof(shown), in);
	struct name_range range = {0};
	struct subject_name name;
	size_t slash = bytes_find(in, '/', 0);
	struct bytes rest = in;
	struct bytes front;
	if (bytes_take(&rest, slash, &front) && front.len > 0 && address_read(front, &name)) {
		range.ip_len = name.ip_len;
		memcpy(range.ip, name.ip, name.ip_len);
		if (!mask_read(rest, &range))
			return error_set(err, "%s: the prefix length must be 0 to %u", shown, range.ip_len * 8U);
		*out = range;
		return true;
	}
	if (!wildcard_take(&in) && bytes_starts(in, bytes_str(".")) && !bytes_skip(&in, 1))
		return false;
	enum name_result result = subject_name_parse(in, &name);
	if (result != NAME_OK || name.is_ip)
		return error_set(err, "%s %s", shown, name_result_text(result == NAME_OK ? NAME_BAD_ADDRESS : result));
	memcpy(range.dns, name.text, sizeof(range.dns));
	*out = range;
	return true;
}

bool name_ranges_parse(struct bytes in, struct name_ranges *out, struct error *err)
{
	size_t before = out->count;
	while (in.len > 0) {
		size_t end = 0;
		while (end < in.len && in.data[end] != ',' && in.data[end] != ' ' && in.data[end] != '\t')
			end++;
		struct bytes entry;
		if (!bytes_take(&in, end, &entry) || (in.len > 0 && !bytes_skip(&in, 1)))
			return false;
		if (entry.len == 0)
			continue;
		if (out->count == NAME_RANGES_MAX)
			return error_set(err, "more than %d names and ranges", NAME_RANGES_MAX);
		if (!name_range_parse(entry, &out->at[out->count], err))
			return false;
		out->count++;
	}
	return out->count > before || error_set(err, "no name given");
}

bool name_range_holds_dns(const struct name_range *range, struct bytes pattern)
{
	if (range->ip_len != 0)
		return false;
	if (range->whole)
		return true;
	struct bytes base = bytes_str(range->dns);
	if (pattern.len < base.len)
		return false;
	size_t front = pattern.len - base.len;
	struct bytes tail = pattern;
	if (!bytes_skip(&tail, front) || !bytes_equal_nocase(tail, base))
		return false;
	return front == 0 || pattern.data[front - 1] == '.';
}

bool name_range_holds_ip(const struct name_range *range, struct bytes ip)
{
	if (range->ip_len == 0 || range->ip_len != ip.len)
		return false;
	for (size_t i = 0; i < ip.len; i++) {
		if ((ip.data[i] & range->mask[i]) != (range->ip[i] & range->mask[i]))
			return false;
	}
	return true;
}

static unsigned mask_bits(const struct name_range *range)
{
	unsigned bits = 0;
	for (size_t i = 0; i < range->ip_len; i++)
		bits += (unsigned)__builtin_popcount(range->mask[i]);
	return bits;
}

void name_range_print(const struct name_range *range, char *out, size_t cap)
{
	if (range->ip_len == 0) {
		snprintf(out, cap, "%s", range->whole ? "every name" : range->dns);
		return;
	}
	char address[INET6_ADDRSTRLEN];
	if (!inet_ntop(range->ip_len == 4 ? AF_INET : AF_INET6, range->ip, address, sizeof(address)))
		address[0] = '\0';
	unsigned bits = mask_bits(range);
	if (bits == range->ip_len * 8U)
		snprintf(out, cap, "%s", address);
	else
		snprintf(out, cap, "%s/%u", address, bits);
}

bool name_range_equal(const struct name_range *a, const struct name_range *b)
{
	return a->ip_len == b->ip_len && a->whole == b->whole && strcmp(a->dns, b->dns) == 0 &&
	       memcmp(a->ip, b->ip, a->ip_len) == 0 && memcmp(a->mask, b->mask, a->ip_len) == 0;
}
