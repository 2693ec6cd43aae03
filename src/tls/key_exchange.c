#include "tls/key_exchange.h"

#define TLS12 0x0303

#define CURVE_NAMED 3

/* Which parts the messages of a key exchange have. */
struct parts {
	bool known;
	bool hint; /* server: a PSK hint; client: a PSK identity */
	bool ecdhe, dhe, rsa;
};

static struct parts parts_of(enum suite_kx kx)
{
	switch (kx) {
	case SUITE_KX_RSA:
		return (struct parts){.known = true, .rsa = true};
	case SUITE_KX_DHE:
	case SUITE_KX_DH:
		return (struct parts){.known = true, .dhe = true};
	case SUITE_KX_ECDHE:
	case SUITE_KX_ECDH:
		return (struct parts){.known = true, .ecdhe = true};
	case SUITE_KX_PSK:
		return (struct parts){.known = true, .hint = true};
	case SUITE_KX_RSA_PSK:
		return (struct parts){.known = true, .hint = true, .rsa = true};
	case SUITE_KX_DHE_PSK:
		return (struct parts){.known = true, .hint = true, .dhe = true};
	case SUITE_KX_ECDHE_PSK:
		return (struct parts){.known = true, .hint = true, .ecdhe = true};
	default:
		return (struct parts){0};
	}
}

static enum key_exchange_result read_ecdhe(struct bytes *in, struct server_key_exchange *out)
{
	uint8_t form;
	if (!bytes_u8(in, &form))
		return KEY_EXCHANGE_MALFORMED;
	/* Explicit curves, which RFC 8422 5.4 forbids. */
	if (form != CURVE_NAMED)
		return KEY_EXCHANGE_UNKNOWN;
	bool ok = bytes_u16(in, &out->group) && bytes_vec8(in, &out->key) && out->key.len > 0;
	return ok ? KEY_EXCHANGE_OK : KEY_EXCHANGE_MALFORMED;
}

static enum key_exchange_result read_dhe(struct bytes *in, struct server_key_exchange *out)
{
	bool ok = bytes_vec16(in, &out->dh_p) && out->dh_p.len > 0 && bytes_vec16(in, &out->dh_g) &&
	          out->dh_g.len > 0 && bytes_vec16(in, &out->key) && out->key.len > 0;
	return ok ? KEY_EXCHANGE_OK : KEY_EXCHANGE_MALFORMED;
}

static bool read_signature(struct bytes *in, uint16_t version, struct server_key_exchange *out)
{
	out->is_signed = true;
	return (version < TLS12 || bytes_u16(in, &out->scheme)) && bytes_vec16(in, &out->signature) &&
	       out->signature.len > 0;
}

enum key_exchange_result server_key_exchange_parse(
	struct bytes body, const struct suite *suite, uint16_t version, struct server_key_exchange *out)
{
	struct parts parts = parts_of(suite->kx);
	struct bytes rest = body;
	*out = (struct server_key_exchange){0};
	if (!parts.known)
		return KEY_EXCHANGE_UNKNOWN;
	/* Keys in the certificate leave nothing to say. */
	if (suite->kx == SUITE_KX_RSA || suite->kx == SUITE_KX_DH || suite->kx == SUITE_KX_ECDH)
		return KEY_EXCHANGE_UNEXPECTED;
	if (parts.hint) {
		out->has_hint = true;
		if (!bytes_vec16(&rest, &out->psk_hint))
			return KEY_EXCHANGE_MALFORMED;
	}
	enum key_exchange_result result = KEY_EXCHANGE_OK;
	if (parts.ecdhe)
		result = read_ecdhe(&rest, out);
	else if (parts.dhe)
		result = read_dhe(&rest, out);
	if (result != KEY_EXCHANGE_OK)
		return result;
	if (!bytes_take(&body, body.len - rest.len, &out->params))
		return KEY_EXCHANGE_MALFORMED;
	bool is_signed = !parts.hint && suite->auth != SUITE_AUTH_NONE;
	if (!is_signed)
		out->params = BYTES_NONE;
	else if (!read_signature(&rest, version, out))
		return KEY_EXCHANGE_MALFORMED;
	return rest.len == 0 ? KEY_EXCHANGE_OK : KEY_EXCHANGE_MALFORMED;
}

enum key_exchange_result client_key_exchange_parse(
	struct bytes body, const struct suite *suite, uint16_t version, struct client_key_exchange *out)
{
	struct parts parts = parts_of(suite->kx);
	*out = (struct client_key_exchange){0};
	if (!parts.known)
		return KEY_EXCHANGE_UNKNOWN;
	if (parts.hint) {
		out->has_identity = true;
		if (!bytes_vec16(&body, &out->psk_identity))
			return KEY_EXCHANGE_MALFORMED;
	}
	/* A client whose certificate holds its static key sends nothing here. */
	bool may_be_implicit = !parts.hint && (parts.ecdhe || parts.dhe);
	if (may_be_implicit && body.len == 0)
		return KEY_EXCHANGE_OK;
	bool ok = true;
	if (parts.rsa && version == 0x0300) {
		/* SSL 3.0 has no length here. */
		ok = bytes_take(&body, body.len, &out->encrypted) && out->encrypted.len > 0;
	} else if (parts.rsa) {
		ok = bytes_vec16(&body, &out->encrypted) && out->encrypted.len > 0;
	} else if (parts.ecdhe) {
		ok = bytes_vec8(&body, &out->key) && out->key.len > 0;
	} else if (parts.dhe) {
		ok = bytes_vec16(&body, &out->key) && out->key.len > 0;
	}
	return ok && body.len == 0 ? KEY_EXCHANGE_OK : KEY_EXCHANGE_MALFORMED;
}
