/* The ClientHello's fields and the content of its extensions (RFC 8446, 4.1.2 and 4.2). */
#include "tls/extension.h"
#include "tls/hello.h"
#include "tls/list.h"
#include "tls/sni.h"

#define PSK_BINDER_MIN 32

/* A list of u16 behind a length of 16 bits, alone in its extension, with at least one value. */
static bool read_list16(struct bytes data, struct bytes *out)
{
	struct bytes list;
	if (!bytes_vec16(&data, &list) || data.len != 0 || list.len == 0 || list.len % 2 != 0)
		return false;
	*out = list;
	return true;
}

/* As read_list16, behind a length of 8 bits. */
static bool read_short_list16(struct bytes data, struct bytes *out)
{
	struct bytes list;
	if (!bytes_vec8(&data, &list) || data.len != 0 || list.len == 0 || list.len % 2 != 0)
		return false;
	*out = list;
	return true;
}

/* Octets behind a length of 8 bits, alone in their extension. */
static bool read_octets8(struct bytes data, size_t least, struct bytes *out)
{
	struct bytes octets;
	if (!bytes_vec8(&data, &octets) || data.len != 0 || octets.len < least)
		return false;
	*out = octets;
	return true;
}

static bool read_alpn(struct bytes data, struct bytes *out)
{
	struct bytes list, name;
	if (!bytes_vec16(&data, &list) || data.len != 0 || list.len == 0)
		return false;
	struct bytes rest = list;
	while (alpn_next(&rest, &name))
		;
	if (rest.len != 0)
		return false;
	*out = list;
	return true;
}

/* An empty list is allowed: the client asks for a HelloRetryRequest. */
static bool read_key_shares(struct bytes data, struct bytes *out)
{
	struct bytes list, key;
	uint16_t group;
	if (!bytes_vec16(&data, &list) || data.len != 0)
		return false;
	struct bytes rest = list;
	while (key_share_next(&rest, &group, &key))
		;
	if (rest.len != 0)
		return false;
	*out = list;
	return true;
}

static bool read_psk(struct bytes data, struct client_hello *out)
{
	struct bytes identities, binders, item;
	uint32_t age;
	size_t names = 0, proofs = 0;
	if (!bytes_vec16(&data, &identities) || !bytes_vec16(&data, &binders) || data.len != 0)
		return false;
	struct bytes rest = identities;
	while (psk_identity_next(&rest, &item, &age))
		names++;
	if (rest.len != 0 || names == 0)
		return false;
	rest = binders;
	while (bytes_vec8(&rest, &item)) {
		if (item.len < PSK_BINDER_MIN)
			return false;
		proofs++;
	}
	if (rest.len != 0 || proofs != names)
		return false;
	out->psk_identities = identities;
	out->psk_binders = binders;
	return true;
}

/* ECHClientHello (RFC 9849, 5): outer with suite, config id, enc and payload; inner with nothing more. */
static enum hello_ech read_ech(struct bytes data)
{
	uint8_t kind;
	struct bytes enc, payload;
	if (!bytes_u8(&data, &kind))
		return ECH_MALFORMED;
	if (kind == 1)
		return data.len == 0 ? ECH_INNER : ECH_MALFORMED;
	if (kind != 0 || !bytes_skip(&data, 2 + 2 + 1) || !bytes_vec16(&data, &enc) || !bytes_vec16(&data, &payload))
		return ECH_MALFORMED;
	return data.len == 0 && payload.len > 0 ? ECH_OUTER : ECH_MALFORMED;
}

static bool read_cookie(struct bytes data, struct bytes *out)
{
	struct bytes cookie;
	if (!bytes_vec16(&data, &cookie) || data.len != 0 || cookie.len == 0)
		return false;
	*out = cookie;
	return true;
}

static bool read_record_size_limit(struct bytes data, uint16_t *out)
{
	uint16_t limit;
	/* RFC 8449, 4: below 64 is not allowed. */
	if (!bytes_u16(&data, &limit) || data.len != 0 || limit < 64)
		return false;
	*out = limit;
	return true;
}

static bool read_max_fragment(struct bytes data, uint8_t *out)
{
	uint8_t code;
	if (!bytes_u8(&data, &code) || data.len != 0 || code < 1 || code > 4)
		return false;
	*out = code;
	return true;
}

/* CertificateStatusRequest: only type 1 (ocsp) has a known form. */
static bool read_status_request(struct bytes data)
{
	uint8_t type;
	struct bytes responders, extensions;
	if (!bytes_u8(&data, &type))
		return false;
	return type != 1 || (bytes_vec16(&data, &responders) && bytes_vec16(&data, &extensions) && data.len == 0);
}

/* Extensions that hold lists or octets. Sets *known for those it answers for. */
static bool read_lists(struct extension ext, struct client_hello *out, bool *known)
{
	switch (ext.type) {
	case EXT_SUPPORTED_VERSIONS:
		return out->has_versions = read_short_list16(ext.data, &out->versions);
	case EXT_SUPPORTED_GROUPS:
		return out->has_groups = read_list16(ext.data, &out->groups);
	case EXT_SIGNATURE_ALGORITHMS:
		return out->has_sigalgs = read_list16(ext.data, &out->sigalgs);
	case EXT_SIGNATURE_ALGORITHMS_CERT:
		return read_list16(ext.data, &out->sigalgs_cert);
	case EXT_COMPRESS_CERTIFICATE:
		return read_short_list16(ext.data, &out->cert_compress);
	case EXT_ALPN:
		return out->has_alpn = read_alpn(ext.data, &out->alpn);
	case EXT_KEY_SHARE:
		return out->has_key_share = read_key_shares(ext.data, &out->key_shares);
	case EXT_EC_POINT_FORMATS:
		return read_octets8(ext.data, 1, &out->point_formats);
	case EXT_PSK_KEY_EXCHANGE_MODES:
		return out->has_psk_modes = read_octets8(ext.data, 1, &out->psk_modes);
	case EXT_PRE_SHARED_KEY:
		return out->has_psk = read_psk(ext.data, out);
	case EXT_RENEGOTIATION_INFO:
		return out->has_renegotiation_info = read_octets8(ext.data, 0, &out->renegotiated);
	case EXT_COOKIE:
		return out->has_cookie = read_cookie(ext.data, &out->cookie);
	default:
		*known = false;
		return true;
	}
}

/* Extensions that say one thing. */
static bool read_flags(struct extension ext, struct client_hello *out)
{
	bool empty = ext.data.len == 0;
	switch (ext.type) {
	case EXT_SERVER_NAME:
		out->sni = sni_parse(ext.data, &out->server_name);
		return out->sni != SNI_MALFORMED;
	case EXT_ENCRYPTED_CLIENT_HELLO:
		out->ech = read_ech(ext.data);
		return out->ech != ECH_MALFORMED;
	case EXT_SESSION_TICKET:
		out->ticket = ext.data;
		return out->has_ticket = true;
	case EXT_RECORD_SIZE_LIMIT:
		return read_record_size_limit(ext.data, &out->record_size_limit);
	case EXT_MAX_FRAGMENT_LENGTH:
		return read_max_fragment(ext.data, &out->max_fragment);
	case EXT_STATUS_REQUEST:
		return out->has_status_request = read_status_request(ext.data);
	case EXT_EARLY_DATA:
		return out->has_early_data = empty;
	case EXT_EXTENDED_MASTER_SECRET:
		return out->has_extended_master_secret = empty;
	case EXT_ENCRYPT_THEN_MAC:
		return out->has_encrypt_then_mac = empty;
	case EXT_SIGNED_CERTIFICATE_TIMESTAMP:
		return out->has_sct = empty;
	case EXT_POST_HANDSHAKE_AUTH:
		return out->has_post_handshake_auth = empty;
	default:
		return true;
	}
}

static enum hello_result read_extensions(struct client_hello *out)
{
	switch (extension_check(out->extensions, &out->extension_count, &out->faulty)) {
	case EXTENSION_TRUNCATED:
		return HELLO_BAD_EXTENSIONS;
	case EXTENSION_DUPLICATE:
		return HELLO_DUPLICATE_EXTENSION;
	case EXTENSION_OK:
		break;
	}
	struct bytes block = out->extensions;
	struct extension ext;
	while (extension_next(&block, &ext)) {
		bool known = true;
		bool good = read_lists(ext, out, &known);
		if (!known)
			good = read_flags(ext, out);
		if (!good && out->faults++ == 0)
			out->faulty = ext.type;
		/* The binders cover all before them: anything after would be unprotected. */
		if (ext.type == EXT_PRE_SHARED_KEY && block.len > 0)
			return HELLO_PSK_NOT_LAST;
	}
	return HELLO_OK;
}

enum hello_result client_hello_parse(struct bytes body, struct client_hello *out)
{
	*out = (struct client_hello){.body = body};
	if (!bytes_u16(&body, &out->legacy_version) || !bytes_take(&body, HELLO_RANDOM, &out->random) ||
		!bytes_vec8(&body, &out->session_id))
		return HELLO_TRUNCATED;
	if (out->session_id.len > HELLO_MAX_SESSION_ID)
		return HELLO_BAD_SESSION_ID;
	if (!bytes_vec16(&body, &out->suites))
		return HELLO_TRUNCATED;
	if (out->suites.len == 0 || out->suites.len % 2 != 0)
		return HELLO_BAD_SUITES;
	if (!bytes_vec8(&body, &out->compression))
		return HELLO_TRUNCATED;
	if (out->compression.len == 0)
		return HELLO_BAD_COMPRESSION;
	if (body.len == 0)
		return HELLO_OK;
	out->has_extensions = true;
	if (!bytes_vec16(&body, &out->extensions))
		return HELLO_TRUNCATED;
	if (body.len != 0)
		return HELLO_TRAILING;
	return read_extensions(out);
}
