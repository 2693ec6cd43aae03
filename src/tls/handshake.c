#include "tls/handshake.h"

#include "tls/extension.h"

enum handshake_result handshake_read(struct bytes *in, size_t max, struct handshake *out)
{
	struct bytes rest = *in;
	struct handshake found;
	uint32_t length;
	if (!bytes_u8(&rest, &found.type) || !bytes_u24(&rest, &length))
		return HANDSHAKE_NEED_MORE;
	if (length > max)
		return HANDSHAKE_TOO_LONG;
	if (!bytes_take(&rest, length, &found.body))
		return HANDSHAKE_NEED_MORE;
	found.whole = bytes_of(in->data, HANDSHAKE_HEADER + (size_t)length);
	*in = rest;
	*out = found;
	return HANDSHAKE_OK;
}

const char *handshake_type_name(uint8_t type)
{
	static const char *const names[256] = {
		[HANDSHAKE_HELLO_REQUEST] = "hello_request",
		[HANDSHAKE_CLIENT_HELLO] = "client_hello",
		[HANDSHAKE_SERVER_HELLO] = "server_hello",
		[3] = "hello_verify_request",
		[HANDSHAKE_NEW_SESSION_TICKET] = "new_session_ticket",
		[HANDSHAKE_END_OF_EARLY_DATA] = "end_of_early_data",
		[6] = "hello_retry_request",
		[HANDSHAKE_ENCRYPTED_EXTENSIONS] = "encrypted_extensions",
		[9] = "request_connection_id",
		[10] = "new_connection_id",
		[HANDSHAKE_CERTIFICATE] = "certificate",
		[HANDSHAKE_SERVER_KEY_EXCHANGE] = "server_key_exchange",
		[HANDSHAKE_CERTIFICATE_REQUEST] = "certificate_request",
		[HANDSHAKE_SERVER_HELLO_DONE] = "server_hello_done",
		[HANDSHAKE_CERTIFICATE_VERIFY] = "certificate_verify",
		[HANDSHAKE_CLIENT_KEY_EXCHANGE] = "client_key_exchange",
		[17] = "client_certificate_request",
		[HANDSHAKE_FINISHED] = "finished",
		[HANDSHAKE_CERTIFICATE_URL] = "certificate_url",
		[HANDSHAKE_CERTIFICATE_STATUS] = "certificate_status",
		[23] = "supplemental_data",
		[HANDSHAKE_KEY_UPDATE] = "key_update",
		[HANDSHAKE_COMPRESSED_CERTIFICATE] = "compressed_certificate",
		[26] = "ekt_key",
		[HANDSHAKE_MESSAGE_HASH] = "message_hash",
	};
	return names[type];
}

/* The server's ALPN holds exactly one name (RFC 7301, 3.1). */
static bool read_alpn(struct bytes data, struct encrypted_extensions *out)
{
	struct bytes list;
	out->has_alpn = true;
	return bytes_vec16(&data, &list) && data.len == 0 && bytes_vec8(&list, &out->alpn) && list.len == 0 &&
	       out->alpn.len > 0;
}

static bool read_extension(struct extension ext, struct encrypted_extensions *out)
{
	switch (ext.type) {
	case EXT_ALPN:
		return read_alpn(ext.data, out);
	case EXT_EARLY_DATA:
		out->early_data = true;
		return ext.data.len == 0;
	case EXT_SERVER_NAME:
		out->server_name = true;
		return ext.data.len == 0;
	case EXT_RECORD_SIZE_LIMIT:
		return bytes_u16(&ext.data, &out->record_size_limit) && ext.data.len == 0 &&
		       out->record_size_limit >= 64;
	default:
		return true;
	}
}

bool encrypted_extensions_parse(struct bytes body, struct encrypted_extensions *out)
{
	*out = (struct encrypted_extensions){0};
	uint16_t faulty;
	if (!bytes_vec16(&body, &out->extensions) || body.len != 0 ||
		extension_check(out->extensions, &out->extension_count, &faulty) != EXTENSION_OK)
		return false;
	struct bytes block = out->extensions;
	struct extension ext;
	while (extension_next(&block, &ext)) {
		if (!read_extension(ext, out))
			return false;
	}
	return true;
}
