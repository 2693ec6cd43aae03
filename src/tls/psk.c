#include "tls/psk.h"

#include "tls/extension.h"
#include "tls/handshake.h"

bool psk_binder_next(struct bytes *list, struct bytes *binder)
{
	return bytes_vec8(list, binder);
}

bool psk_at(const struct client_hello *hello, size_t index, struct bytes *identity, struct bytes *binder)
{
	struct bytes identities = hello->psk_identities, binders = hello->psk_binders, a, b;
	uint32_t age;
	for (size_t i = 0; psk_identity_next(&identities, &a, &age) && psk_binder_next(&binders, &b); i++) {
		if (i == index) {
			*identity = a;
			*binder = b;
			return true;
		}
	}
	return false;
}

bool psk_truncated(struct bytes whole, const struct client_hello *hello, struct bytes *out)
{
	struct bytes rest = whole;
	/* The extension is the hello's last, and the binders are the extension's: they and their length end it. */
	size_t cut = 2 + hello->psk_binders.len;
	if (!hello->has_psk || whole.len != HANDSHAKE_HEADER + hello->body.len || whole.len < cut ||
		!bytes_skip(&rest, HANDSHAKE_HEADER) || !bytes_equal(rest, hello->body))
		return false;
	rest = whole;
	return bytes_take(&rest, whole.len - cut, out);
}
