#include "tls/dtls.h"

#include "tls/record.h"

enum dtls_result dtls_record_read(struct bytes *datagram, struct dtls_record *out)
{
	struct bytes rest = *datagram;
	struct dtls_record found;
	uint32_t low;
	uint16_t high;
	if (rest.len == 0)
		return DTLS_END;
	if (!bytes_u8(&rest, &found.type) || !record_type_name(found.type))
		return DTLS_NOT_DTLS;
	if (!bytes_u16(&rest, &found.version))
		return DTLS_TRUNCATED;
	if (found.version != DTLS_VERSION_10 && found.version != DTLS_VERSION_12)
		return DTLS_NOT_DTLS;
	uint16_t length;
	if (!bytes_u16(&rest, &found.epoch) || !bytes_u16(&rest, &high) || !bytes_u32(&rest, &low) ||
		!bytes_u16(&rest, &length))
		return DTLS_TRUNCATED;
	if (length > RECORD_MAX_FRAGMENT)
		return DTLS_TOO_LONG;
	if (!bytes_take(&rest, length, &found.fragment))
		return DTLS_TRUNCATED;
	found.sequence = (uint64_t)high << 32 | low;
	*datagram = rest;
	*out = found;
	return DTLS_OK;
}

bool dtls_handshake_read(struct bytes *in, struct dtls_handshake *out)
{
	struct bytes rest = *in;
	struct dtls_handshake found;
	uint32_t len;
	if (!bytes_u8(&rest, &found.type) || !bytes_u24(&rest, &found.length) || !bytes_u16(&rest, &found.sequence) ||
		!bytes_u24(&rest, &found.offset) || !bytes_u24(&rest, &len) || !bytes_take(&rest, len, &found.body))
		return false;
	if (len > found.length || found.offset > found.length - len)
		return false;
	found.whole = len == found.length;
	found.octets = bytes_of(in->data, DTLS_HANDSHAKE_HEADER + (size_t)len);
	*in = rest;
	*out = found;
	return true;
}

void dtls_handshake_header(struct writer *w, uint8_t type, uint32_t length, uint16_t sequence)
{
	writer_u8(w, type);
	writer_u24(w, length);
	writer_u16(w, sequence);
	writer_u24(w, 0);
	writer_u24(w, length);
}

bool hello_verify_request_parse(struct bytes body, struct hello_verify_request *out)
{
	return bytes_u16(&body, &out->version) && bytes_vec8(&body, &out->cookie) && body.len == 0;
}

bool dtls_client_hello_strip(struct bytes body, struct writer *w, struct bytes *cookie)
{
	struct bytes rest = body, front, session_id, found;
	/* Version and random. */
	if (!bytes_take(&rest, 2 + 32, &front) || !bytes_vec8(&rest, &session_id) || !bytes_vec8(&rest, &found))
		return false;
	writer_bytes(w, front);
	writer_vec8(w, session_id);
	writer_bytes(w, rest);
	*cookie = found;
	return true;
}
