#include "sink/mask.h"

static void put_hidden(struct writer *w)
{
	writer_bytes(w, bytes_str("***"));
}

static void put_some(struct writer *w, struct bytes b)
{
	size_t room = w->cap - w->len;
	writer_bytes(w, bytes_of(b.data, b.len < room ? b.len : room));
}

/* The front of `in` up to `at`, which moves past it. */
static struct bytes take_front(struct bytes *in, size_t at)
{
	struct bytes front = BYTES_NONE;
	if (!bytes_take(in, at < in->len ? at : in->len, &front))
		return BYTES_NONE;
	return front;
}

static size_t find_any(struct bytes in, const char *set)
{
	for (size_t i = 0; i < in.len; i++) {
		if (in.data[i] && strchr(set, in.data[i]))
			return i;
	}
	return in.len;
}

static int hex_value(uint8_t c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	c |= 0x20;
	return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* A parameter's name, percent-decoded, lower case, without the separators people put into names. */
static struct bytes plain_name(struct bytes name, uint8_t out[static 32])
{
	size_t n = 0;
	for (size_t i = 0; i < name.len && n < 32; i++) {
		uint8_t c = name.data[i];
		if (c == '%' && i + 2 < name.len && hex_value(name.data[i + 1]) >= 0 &&
			hex_value(name.data[i + 2]) >= 0) {
			c = (uint8_t)(hex_value(name.data[i + 1]) << 4 | hex_value(name.data[i + 2]));
			i += 2;
		}
		if (c >= 'A' && c <= 'Z')
			c |= 0x20;
		if (c != '_' && c != '-' && c != '.')
			out[n++] = c;
	}
	return bytes_of(out, n);
}

static bool ends(struct bytes in, const char *suffix)
{
	size_t n = strlen(suffix);
	return in.len >= n && memcmp(in.data + in.len - n, suffix, n) == 0;
}

static bool parameter_is_secret(struct bytes raw)
{
	static const char *const whole[] = {"key", "sig", "code", "auth", "pass", "pwd", "passwd", "sid", "ticket",
		"otp", "pin", "state", "nonce", "assertion", "samlresponse", "samlrequest", "jwt", "hmac", "apikey",
		"authcode", "session", "codeverifier", "clientassertion", NULL};
	/* access_token, id_token, X-Amz-Signature, client_secret, api_key, sessionid … */
	static const char *const tails[] = {"token", "secret", "signature", "password", "apikey", "accesskey",
		"secretkey", "authkey", "privatekey", "credential", "credentials", "sessionid", "passphrase", NULL};
	uint8_t buffer[32];
	struct bytes name = plain_name(raw, buffer);
	for (size_t i = 0; whole[i]; i++) {
		if (bytes_equal(name, bytes_str(whole[i])))
			return true;
	}
	for (size_t i = 0; tails[i]; i++) {
		if (ends(name, tails[i]))
			return true;
	}
	return false;
}

/* "name=value" where the name says secret; else the name alone, since its value may hold a URL in turn. */
static void mask_parameter(struct writer *w, struct bytes *in)
{
	struct bytes name = take_front(in, find_any(*in, "=?/&;# \t\r\n\"'<>"));
	put_some(w, name);
	if (in->len < 2 || in->data[0] != '=' || !parameter_is_secret(name))
		return;
	put_some(w, take_front(in, 1));
	if (take_front(in, find_any(*in, "&;# \t\r\n\"'<>")).len > 0)
		put_hidden(w);
}

/* After "//": user:password@ of an authority. */
static void mask_user(struct writer *w, struct bytes *in)
{
	struct bytes authority = bytes_of(in->data, find_any(*in, "/?# \t\"'<>"));
	size_t at = authority.len;
	while (at > 0 && authority.data[at - 1] != '@')
		at--;
	if (at == 0)
		return;
	put_hidden(w);
	writer_bytes(w, bytes_str("@"));
	(void)take_front(in, at);
}

size_t mask_url(struct bytes in, char *out, size_t cap)
{
	struct writer w = writer_over(out, cap);
	uint8_t mark;
	while (in.len > 0 && !w.full) {
		struct bytes front = take_front(&in, find_any(in, "?#&;/"));
		put_some(&w, front);
		if (!bytes_u8(&in, &mark))
			break;
		writer_u8(&w, mark);
		if (mark != '/') {
			mask_parameter(&w, &in);
		} else if (in.len > 0 && in.data[0] == '/' && front.len > 0 && front.data[front.len - 1] == ':') {
			put_some(&w, take_front(&in, 1));
			mask_user(&w, &in);
		}
	}
	return w.len;
}

/* "Bearer abc" → "Bearer ***"; without a scheme, nothing stays. */
static void mask_authorization(struct writer *w, struct bytes value)
{
	size_t blank = bytes_find(value, ' ', 0);
	if (blank < value.len) {
		put_some(w, bytes_of(value.data, blank));
		writer_bytes(w, bytes_str(" "));
	}
	put_hidden(w);
}

/* "a=1; b=2" → "a=***; b=***"; of Set-Cookie only the first pair is the cookie. */
static void mask_cookies(struct writer *w, struct bytes value, bool first_only)
{
	for (bool first = true; value.len > 0 && !w->full; first = false) {
		struct bytes pair = take_front(&value, bytes_find(value, ';', 0));
		struct bytes separator = take_front(&value, 1);
		if (first_only && !first) {
			put_some(w, pair);
		} else {
			size_t equals = bytes_find(pair, '=', 0);
			/* A cookie without a name is all value. */
			if (equals < pair.len)
				put_some(w, take_front(&pair, equals + 1));
			if (pair.len > 0)
				put_hidden(w);
		}
		put_some(w, separator);
	}
}

enum concern { CONCERN_NONE, CONCERN_AUTHORIZATION, CONCERN_COOKIE, CONCERN_SET_COOKIE, CONCERN_URL, CONCERN_ALL };

static enum concern concern_of(struct bytes name)
{
	static const struct {
		const char *name;
		enum concern concern;
	} table[] = {
		{"authorization", CONCERN_AUTHORIZATION},
		{"proxy-authorization", CONCERN_AUTHORIZATION},
		{"cookie", CONCERN_COOKIE},
		{"cookie2", CONCERN_COOKIE},
		{"set-cookie", CONCERN_SET_COOKIE},
		{"set-cookie2", CONCERN_SET_COOKIE},
		{"location", CONCERN_URL},
		{"content-location", CONCERN_URL},
		{"referer", CONCERN_URL},
		{"link", CONCERN_URL},
		{"refresh", CONCERN_URL},
		{"origin", CONCERN_URL},
		{"destination", CONCERN_URL},
		{":path", CONCERN_URL},
		{"authentication-info", CONCERN_ALL},
		{"proxy-authentication-info", CONCERN_ALL},
		{"sec-websocket-protocol", CONCERN_NONE},
	};
	for (size_t i = 0; i < sizeof(table) / sizeof(table[0]); i++) {
		if (bytes_equal_nocase(name, bytes_str(table[i].name)))
			return table[i].concern;
	}
	/* X-Api-Key, X-Auth-Token, X-Amz-Security-Token, Private-Token … */
	static const char *const tails[] = {"token", "apikey", "secret", "password", "signature", "authkey",
		"accesskey", "subscriptionkey", "credential", "sessionid", NULL};
	uint8_t buffer[32];
	struct bytes plain = plain_name(name.len > 32 ? bytes_of(name.data + name.len - 32, 32) : name, buffer);
	for (size_t i = 0; tails[i]; i++) {
		if (ends(plain, tails[i]))
			return CONCERN_ALL;
	}
	return CONCERN_NONE;
}

bool mask_concerns(struct bytes name)
{
	return concern_of(name) != CONCERN_NONE;
}

size_t mask_header(struct bytes name, struct bytes value, char *out, size_t cap)
{
	struct writer w = writer_over(out, cap);
	switch (concern_of(name)) {
	case CONCERN_AUTHORIZATION:
		mask_authorization(&w, value);
		break;
	case CONCERN_COOKIE:
		mask_cookies(&w, value, false);
		break;
	case CONCERN_SET_COOKIE:
		mask_cookies(&w, value, true);
		break;
	case CONCERN_URL:
		return mask_url(value, out, cap);
	case CONCERN_ALL:
		put_hidden(&w);
		break;
	case CONCERN_NONE:
		put_some(&w, value);
		break;
	}
	return w.len;
}
