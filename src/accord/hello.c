/* What a held ClientHello says of Accord (docs/accord.md, 4.2). */
#include "accord/proxy_leg.h"
#include "tls/extension.h"

/* A hello that introduces a proxy and offers for somebody else than that proxy's client is a splice. */
static bool fits_offer(const struct accord_hello *hello)
{
	const struct accord_introduction *in = &hello->introduction;
	return memcmp(in->client_nonce, hello->offer.client_nonce, ACCORD_NONCE) == 0 &&
	       in->has_approval == hello->offer.has_approval &&
	       memcmp(in->approval_hash, hello->offer.approval_hash, ACCORD_HASH) == 0;
}

enum accord_hello_result accord_hello_read(
	const struct client_hello *hello, struct accord_hello *out, enum accord_body_result *fault)
{
	struct extension ext;
	struct accord_list list;
	*out = (struct accord_hello){0};
	*fault = ACCORD_BODY_OK;
	if (!extension_find(hello->extensions, ACCORD_EXTENSION, &ext))
		return ACCORD_HELLO_NONE;
	*fault = accord_list_read(ext.data, &list);
	if (*fault != ACCORD_BODY_OK)
		return ACCORD_HELLO_MALFORMED;
	/* Below TLS 1.3 nothing can be proven. */
	if (list.offer.len == 0 || !client_hello_offers_version(hello, TLS_VERSION_13))
		return ACCORD_HELLO_NONE;
	*fault = accord_offer_read(list.offer, &out->offer);
	if (*fault != ACCORD_BODY_OK)
		return ACCORD_HELLO_MALFORMED;
	/* A commitment beside an offer would hide hops from a proxy that must list them. */
	if (list.sealed.len > 0)
		*fault = ACCORD_BODY_MISPLACED;
	if (*fault == ACCORD_BODY_OK && list.introduction.len > 0) {
		out->introduced = true;
		*fault = accord_introduction_read(list.introduction, &out->introduction);
		if (*fault == ACCORD_BODY_OK && !fits_offer(out))
			*fault = ACCORD_BODY_MISPLACED;
	}
	return *fault == ACCORD_BODY_OK ? ACCORD_HELLO_OFFER : ACCORD_HELLO_MALFORMED;
}
