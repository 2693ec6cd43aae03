#include "cli/get_url.h"

#include "base/text.h"

#include <stdio.h>

#define SCHEME "https://"

/* Octets up to the first of `ends`, taken off the front. */
static struct bytes take_until(struct bytes *in, const char *ends)
{
	size_t len = 0;
	struct bytes out;
	while (len < in->len && !strchr(ends, in->data[len]))
		len++;
	(void)!bytes_take(in, len, &out);
	return out;
}

/* The authority without a port, and in *port what stands behind its colon; empty: none. */
static bool split_port(struct bytes authority, struct bytes *host, struct bytes *port)
{
	struct bytes rest = authority;
	*port = BYTES_NONE;
	if (authority.len > 0 && authority.data[0] == '[') {
		size_t end = bytes_find(rest, ']', 0);
		if (end == rest.len || !bytes_take(&rest, end + 1, host))
			return false;
	} else {
		*host = take_until(&rest, ":");
	}
	if (rest.len == 0)
		return true;
	*port = rest;
	return rest.data[0] == ':' && bytes_skip(port, 1);
}

static bool set_authority(struct bytes authority, struct get_url *out, struct error *err)
{
	struct bytes host;
	struct bytes port;
	uint64_t number = 443;
	if (bytes_find(authority, '@', 0) != authority.len)
		return error_set(err, "credentials in a URL are not sent");
	if (!split_port(authority, &host, &port) ||
		(port.len > 0 && (!text_number(port, UINT16_MAX, &number) || number == 0)))
		return error_set(err, "the port is none");
	enum name_result result = subject_name_parse(host, &out->host);
	if (result != NAME_OK)
		return error_set(err, "the host %s", name_result_text(result));
	snprintf(out->port, sizeof(out->port), "%u", (unsigned)number);
	out->default_port = number == 443;
	return true;
}

bool get_url_parse(const char *text, struct get_url *out, struct error *err)
{
	struct bytes rest = bytes_str(text);
	struct bytes scheme;
	for (size_t i = 0; i < rest.len; i++) {
		if (rest.data[i] <= 0x20 || rest.data[i] >= 0x7f)
			return error_set(err, "a URL has no blanks and no octets beyond ASCII: write them as %%NN");
	}
	if (!bytes_take(&rest, strlen(SCHEME), &scheme) || !bytes_equal_nocase(scheme, bytes_str(SCHEME)))
		return error_set(err, "only URLs that begin with " SCHEME " can be fetched");
	if (!set_authority(take_until(&rest, "/?#"), out, err))
		return false;
	struct bytes target = take_until(&rest, "#");
	if (target.len >= GET_TARGET_MAX)
		return error_set(err, "the URL is too long");
	snprintf(out->target, sizeof(out->target), "%s%.*s", target.len > 0 && target.data[0] == '/' ? "" : "/",
		(int)target.len, target.len > 0 ? (const char *)target.data : "");
	return true;
}

void get_url_authority(const struct get_url *url, char *out, size_t cap)
{
	bool brackets = url->host.ip_len == 16;
	snprintf(out, cap, "%s%s%s:%s", brackets ? "[" : "", url->host.text, brackets ? "]" : "", url->port);
}

void get_url_host(const struct get_url *url, char *out, size_t cap)
{
	get_url_authority(url, out, cap);
	char *port = strrchr(out, ':');
	if (url->default_port && port)
		*port = '\0';
}
