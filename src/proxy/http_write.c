#include "proxy/http_parts.h"

#include "base/text.h"

#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <stdio.h>

bool http_is_hop_field(const struct http_head *head, struct bytes name)
{
	static const char *const hop[] = {"Connection", "Proxy-Connection", "Keep-Alive", "TE", "Upgrade",
		"HTTP2-Settings", "Proxy-Authorization", "Proxy-Authenticate", "Proxy-Authentication-Info",
		"Content-Length", "Transfer-Encoding"};
	for (size_t i = 0; i < sizeof(hop) / sizeof(hop[0]); i++) {
		if (http_name_is(name, hop[i]))
			return true;
	}
	return http_list_has(head, "Connection", name);
}

/* Another version of HTTP, or TLS (RFC 2817): requests would go by unseen. */
static bool changes_to_http(struct bytes protocol)
{
	static const char *const names[] = {"h2c", "h2", "HTTP", "TLS"};
	struct bytes name = http_take_until(&protocol, '/');
	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
		if (http_name_is(name, names[i]))
			return true;
	}
	return name.len == 0;
}

struct bytes http_upgrade_of(const struct http_head *request)
{
	struct bytes all = http_field(request, "Upgrade"), list = all;
	bool asks = request->minor > 0 && http_field_count(request, "Upgrade") == 1 && all.len <= HTTP_UPGRADE_MAX &&
	            request->framing == HTTP_NO_BODY && http_list_has(request, "Connection", bytes_str("upgrade"));
	while (list.len > 0) {
		if (changes_to_http(http_trim(http_take_until(&list, ','))))
			return BYTES_NONE;
	}
	return asks ? all : BYTES_NONE;
}

void http_put(struct writer *w, const char *text)
{
	writer_bytes(w, bytes_str(text));
}

void http_put_number(struct writer *w, uint64_t value)
{
	char text[24];
	snprintf(text, sizeof(text), "%llu", (unsigned long long)value);
	http_put(w, text);
}

void http_put_field(struct writer *w, struct bytes name, struct bytes value)
{
	writer_bytes(w, name);
	http_put(w, ": ");
	writer_bytes(w, value);
	http_put(w, "\r\n");
}

void http_put_basic(struct writer *w, struct bytes credentials)
{
	uint8_t text[4 * ((512 + 2) / 3) + 1];
	if (credentials.len > 512) {
		w->full = true;
		return;
	}
	int n = EVP_EncodeBlock(text, credentials.data, (int)credentials.len);
	http_put(w, "Proxy-Authorization: Basic ");
	writer_bytes(w, bytes_of(text, (size_t)n));
	http_put(w, "\r\n");
	OPENSSL_cleanse(text, sizeof(text));
}

void http_put_via(struct writer *w, const struct http_head *head, struct bytes via)
{
	http_put(w, head->minor ? "Via: 1.1 " : "Via: 1.0 ");
	writer_bytes(w, via);
	http_put(w, "\r\n");
}

void http_put_framing(struct writer *w, const struct http_head *head)
{
	if (head->chunked)
		http_put(w, "Transfer-Encoding: chunked\r\n");
	if (head->has_length) {
		http_put(w, "Content-Length: ");
		http_put_number(w, head->content_length);
		http_put(w, "\r\n");
	}
}

void http_put_authority(struct writer *w, const struct target *target, bool port_always)
{
	char text[TARGET_TEXT_MAX];
	size_t n = target_print(target, text);
	if (!port_always && target->port == 80)
		n -= strlen(":80");
	writer_bytes(w, bytes_of(text, n));
}

static void put_target(struct writer *w, const struct intake_http *h, bool absolute)
{
	if (absolute) {
		http_put(w, "http://");
		http_put_authority(w, &h->target, false);
	} else if (h->path.len == 0 && bytes_equal(h->head.method, bytes_str("OPTIONS"))) {
		http_put(w, "*"); /* RFC 9112, 3.2.4 */
		return;
	}
	if (h->path.len > 0 && h->path.data[0] == '?')
		http_put(w, "/");
	/* In absolute-form an empty path of OPTIONS must stay empty: it is how the last proxy knows the `*`. */
	if (h->path.len == 0 && !(absolute && bytes_equal(h->head.method, bytes_str("OPTIONS"))))
		http_put(w, "/");
	writer_bytes(w, h->path);
}

void intake_http_forward(const struct intake_http *h, struct bytes via,
	const struct http_upstream_proxy *upstream_proxy, struct writer *w)
{
	const struct http_head *head = &h->head;
	writer_bytes(w, head->method);
	http_put(w, " ");
	put_target(w, h, upstream_proxy != NULL);
	http_put(w, head->minor ? " HTTP/1.1\r\nHost: " : " HTTP/1.0\r\nHost: ");
	http_put_authority(w, &h->target, false);
	http_put(w, "\r\n");
	if (upstream_proxy && upstream_proxy->credentials.len > 0)
		http_put_basic(w, upstream_proxy->credentials);
	for (size_t i = 0; i < head->count; i++) {
		struct bytes name = head->fields[i].name;
		struct bytes value = head->fields[i].value;
		uint64_t hops;
		if (http_name_is(name, "Host") || http_is_hop_field(head, name))
			continue;
		if (http_name_is(name, "Max-Forwards") && text_number(value, UINT32_MAX, &hops) && hops > 0) {
			http_put(w, "Max-Forwards: ");
			http_put_number(w, hops - 1);
			http_put(w, "\r\n");
			continue;
		}
		http_put_field(w, name, value);
	}
	http_put_framing(w, head);
	http_put_via(w, head, via);
	struct bytes upgrade = http_upgrade_of(head);
	if (upgrade.len > 0)
		http_put_field(w, bytes_str("Upgrade"), upgrade);
	http_put(w, upgrade.len > 0 ? "Connection: upgrade\r\n\r\n" : "Connection: close\r\n\r\n");
}
