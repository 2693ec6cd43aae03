/* The ServerHello and the HelloRetryRequest (RFC 8446, 4.1.3 and 4.1.4; RFC 5246, 7.4.1.3). */
#include "tls/extension.h"
#include "tls/hello.h"

/* SHA-256 of "HelloRetryRequest" (RFC 8446, 4.1.3): a ServerHello with this random is one. */
static const uint8_t retry_random[HELLO_RANDOM] = {0xcf, 0x21, 0xad, 0x74, 0xe5, 0x9a, 0x61, 0x11, 0xbe, 0x1d, 0x8c,
	0x02, 0x1e, 0x65, 0xb8, 0x91, 0xc2, 0xa2, 0x11, 0x16, 0x7a, 0xbb, 0x8c, 0x5e, 0x07, 0x9e, 0x09, 0xe2, 0xc8,
	0xa8, 0x33, 0x9c};

static enum hello_downgrade read_sentinel(struct bytes random)
{
	static const uint8_t to_12[] = {'D', 'O', 'W', 'N', 'G', 'R', 'D', 1};
	static const uint8_t to_11[] = {'D', 'O', 'W', 'N', 'G', 'R', 'D', 0};
	if (!bytes_skip(&random, HELLO_RANDOM - sizeof(to_12)))
		return DOWNGRADE_NONE;
	if (bytes_equal(random, bytes_of(to_12, sizeof(to_12))))
		return DOWNGRADE_TO_12;
	return bytes_equal(random, bytes_of(to_11, sizeof(to_11))) ? DOWNGRADE_TO_11 : DOWNGRADE_NONE;
}

static bool read_u16(struct bytes data, uint16_t *out)
{
	uint16_t value;
	if (!bytes_u16(&data, &value) || data.len != 0)
		return false;
	*out = value;
	return true;
}

/* A retry names only the group it wants; a hello brings the share. */
static bool read_key_share(struct bytes data, struct server_hello *out)
{
	if (out->retry)
		return read_u16(data, &out->group);
	uint16_t group;
	struct bytes key;
	if (!key_share_next(&data, &group, &key) || data.len != 0)
		return false;
	out->group = group;
	out->key_share = key;
	return true;
}

static bool read_alpn(struct bytes data, struct bytes *out)
{
	struct bytes list, name;
	if (!bytes_vec16(&data, &list) || data.len != 0 || !alpn_next(&list, &name) || list.len != 0)
		return false;
	*out = name;
	return true;
}

static bool read_vec8(struct bytes data, struct bytes *out)
{
	struct bytes octets;
	if (!bytes_vec8(&data, &octets) || data.len != 0)
		return false;
	*out = octets;
	return true;
}

static bool read_cookie(struct bytes data, struct bytes *out)
{
	struct bytes cookie;
	if (!bytes_vec16(&data, &cookie) || data.len != 0 || cookie.len == 0)
		return false;
	*out = cookie;
	return true;
}

static bool read_extension(struct extension ext, struct server_hello *out)
{
	bool empty = ext.data.len == 0;
	switch (ext.type) {
	case EXT_SUPPORTED_VERSIONS:
		return read_u16(ext.data, &out->version);
	case EXT_KEY_SHARE:
		return read_key_share(ext.data, out);
	case EXT_PRE_SHARED_KEY:
		return out->has_psk = read_u16(ext.data, &out->psk_index);
	case EXT_COOKIE:
		return read_cookie(ext.data, &out->cookie);
	case EXT_ALPN:
		return read_alpn(ext.data, &out->alpn);
	case EXT_RENEGOTIATION_INFO:
		return out->has_renegotiation_info = read_vec8(ext.data, &out->renegotiated);
	case EXT_EXTENDED_MASTER_SECRET:
		return out->has_extended_master_secret = empty;
	case EXT_ENCRYPT_THEN_MAC:
		return out->has_encrypt_then_mac = empty;
	case EXT_SESSION_TICKET:
		return out->has_ticket = empty;
	case EXT_STATUS_REQUEST:
		return out->has_status_request = empty;
	case EXT_SERVER_NAME:
		return empty;
	case EXT_ENCRYPTED_CLIENT_HELLO:
		out->ech = ext.data.len == 8 ? ECH_OUTER : ECH_MALFORMED;
		return out->ech == ECH_OUTER;
	default:
		return true;
	}
}

static enum hello_result read_extensions(struct server_hello *out)
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
		if (!read_extension(ext, out) && out->faults++ == 0)
			out->faulty = ext.type;
	}
	return HELLO_OK;
}

enum hello_result server_hello_parse(struct bytes body, struct server_hello *out)
{
	*out = (struct server_hello){.body = body};
	if (!bytes_u16(&body, &out->legacy_version) || !bytes_take(&body, HELLO_RANDOM, &out->random) ||
		!bytes_vec8(&body, &out->session_id))
		return HELLO_TRUNCATED;
	if (out->session_id.len > HELLO_MAX_SESSION_ID)
		return HELLO_BAD_SESSION_ID;
	if (!bytes_u16(&body, &out->suite) || !bytes_u8(&body, &out->compression))
		return HELLO_TRUNCATED;
	out->version = out->legacy_version;
	out->retry = bytes_equal(out->random, bytes_of(retry_random, sizeof(retry_random)));
	out->downgrade = read_sentinel(out->random);
	if (body.len == 0)
		return HELLO_OK;
	out->has_extensions = true;
	if (!bytes_vec16(&body, &out->extensions))
		return HELLO_TRUNCATED;
	if (body.len != 0)
		return HELLO_TRAILING;
	return read_extensions(out);
}

bool server_hello_has(const struct server_hello *hello, uint16_t type)
{
	struct extension ext;
	return extension_find(hello->extensions, type, &ext);
}
