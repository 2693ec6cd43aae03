#include "proxy/local_form.h"

#include "base/text.h"

#include <stdio.h>

static bool decode(struct bytes in, char *out, size_t cap)
{
	struct writer w = writer_over(out, cap);
	struct bytes done;
	uint8_t c;
	while (bytes_u8(&in, &c)) {
		struct bytes hex;
		size_t len;
		uint8_t octet = c == '+' ? ' ' : c;
		if (c == '%' && (!bytes_take(&in, 2, &hex) || !text_unhex(&octet, 1, &len, hex)))
			return false;
		if (octet == '\0')
			return false;
		if (octet == ' ' && w.len == 0)
			continue;
		writer_u8(&w, octet);
	}
	while (w.len > 0 && out[w.len - 1] == ' ')
		w.len--;
	writer_u8(&w, '\0');
	return writer_done(&w, &done);
}

static struct bytes take_until(struct bytes *in, uint8_t mark)
{
	struct bytes part = BYTES_NONE;
	size_t end = bytes_find(*in, mark, 0);
	if (bytes_take(in, end, &part))
		(void)!bytes_skip(in, 1);
	return part;
}

bool form_value(struct bytes body, const char *key, char *out, size_t cap)
{
	bool found = false;
	while (body.len > 0) {
		struct bytes value = take_until(&body, '&');
		if (!bytes_equal(take_until(&value, '='), bytes_str(key)))
			continue;
		if (found || !decode(value, out, cap))
			return false;
		found = true;
	}
	return found;
}

static bool is_absolute(const struct intake_http *http)
{
	return !bytes_starts(http->head.uri, bytes_str("/"));
}

static bool is_loopback(const struct target *target)
{
	static const uint8_t loopback6[16] = {[15] = 1};
	if (!target->is_ip)
		return strcmp(target->host, "localhost") == 0;
	return hostport_is_v4(&target->address) ? target->address.ip[12] == 127
	                                        : memcmp(target->address.ip, loopback6, sizeof(loopback6)) == 0;
}

bool form_meant_for_us(const struct intake_http *http, const char *page_host, uint16_t port)
{
	if (is_absolute(http))
		return strcmp(http->target.host, page_host) == 0 && http->target.port == 80;
	return http->target.port == port && is_loopback(&http->target);
}

bool form_same_origin(const struct intake_http *http, const char *page_host)
{
	char own[TARGET_TEXT_MAX + 8], authority[TARGET_TEXT_MAX];
	struct bytes origin = http_field(&http->head, "Origin");
	struct bytes site = http_field(&http->head, "Sec-Fetch-Site");
	if (site.len > 0 && !bytes_equal(site, bytes_str("same-origin")))
		return false;
	(void)target_print(&http->target, authority);
	/* A port of 80 is left out by browsers. */
	if (is_absolute(http))
		snprintf(own, sizeof(own), "http://%s", page_host);
	else if (http->target.port == 80)
		snprintf(own, sizeof(own), "http://%.*s", (int)(strrchr(authority, ':') - authority), authority);
	else
		snprintf(own, sizeof(own), "http://%s", authority);
	return origin.len == 0 || bytes_equal_nocase(origin, bytes_str(own));
}
