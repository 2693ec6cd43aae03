#include "proxy/http_parts.h"

#include <openssl/crypto.h>
#include <openssl/evp.h>

#define MAX_CREDENTIALS 1024

static bool find_user(struct bytes secret, int scheme, const struct intake_users *users, size_t *which)
{
	bool found = false;
	for (size_t i = 0; i < users->count; i++) {
		bool same = bytes_equal_secret(users->list[i].secret, secret) && (int)users->list[i].scheme == scheme;
		if (same && !found)
			*which = i;
		found |= same;
	}
	return found;
}

/* EVP_DecodeBlock takes blanks at the ends and padding in odd places: only what RFC 4648, 4 allows reaches it. */
static bool base64_read(struct bytes in, uint8_t out[MAX_CREDENTIALS], size_t *len)
{
	size_t padding = 0;
	if (in.len == 0 || in.len % 4 != 0 || in.len / 4 * 3 > MAX_CREDENTIALS)
		return false;
	for (size_t i = 0; i < in.len; i++) {
		uint8_t c = in.data[i];
		bool digit = (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '+' ||
		             c == '/';
		if (c == '=' && i + 2 >= in.len)
			padding++;
		else if (!digit || padding > 0)
			return false;
	}
	int n = EVP_DecodeBlock(out, in.data, (int)in.len);
	if (n < 0 || (size_t)n < padding)
		return false;
	*len = (size_t)n - padding;
	return true;
}

bool intake_auth_header(struct bytes value, const struct intake_users *users, size_t *which)
{
	struct bytes rest = value;
	struct bytes scheme = http_take_until(&rest, ' ');
	rest = http_trim(rest);
	if (http_name_is(scheme, "Bearer"))
		return rest.len > 0 && find_user(rest, INTAKE_USER_BEARER, users, which);
	if (!http_name_is(scheme, "Basic"))
		return false;
	uint8_t plain[MAX_CREDENTIALS];
	size_t len = 0;
	bool known = base64_read(rest, plain, &len) && find_user(bytes_of(plain, len), INTAKE_USER_BASIC, users, which);
	OPENSSL_cleanse(plain, sizeof(plain));
	return known;
}

bool intake_auth_password(struct bytes name, struct bytes password, const struct intake_users *users, size_t *which)
{
	uint8_t plain[MAX_CREDENTIALS];
	struct bytes secret;
	struct writer w = writer_over(plain, sizeof(plain));
	writer_bytes(&w, name);
	writer_u8(&w, ':');
	writer_bytes(&w, password);
	/* "a" with "b:c" and "a:b" with "c" would read the same. */
	bool known = bytes_find(name, ':', 0) == name.len && writer_done(&w, &secret) &&
	             find_user(secret, INTAKE_USER_BASIC, users, which);
	OPENSSL_cleanse(plain, sizeof(plain));
	return known;
}
