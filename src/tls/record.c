#include "tls/record.h"

/* Judges the octets of a header that are there, so that what is not TLS is known at its first wrong octet. */
static enum record_result read_header(struct bytes *in, struct record *out, uint16_t *length)
{
	uint8_t major, minor;
	if (!bytes_u8(in, &out->type))
		return RECORD_NEED_MORE;
	if (out->type < RECORD_CHANGE_CIPHER_SPEC || out->type > RECORD_HEARTBEAT)
		return RECORD_NOT_TLS;
	if (!bytes_u8(in, &major))
		return RECORD_NEED_MORE;
	if (major != 3)
		return RECORD_NOT_TLS;
	if (!bytes_u8(in, &minor) || !bytes_u16(in, length))
		return RECORD_NEED_MORE;
	out->version = (uint16_t)(major << 8 | minor);
	return *length > RECORD_MAX_FRAGMENT ? RECORD_TOO_LONG : RECORD_OK;
}

enum record_result record_read(struct bytes *in, struct record *out)
{
	struct bytes rest = *in;
	struct record found = {0};
	uint16_t length = 0;
	enum record_result result = read_header(&rest, &found, &length);
	if (result != RECORD_OK)
		return result;
	if (!bytes_take(&rest, length, &found.fragment))
		return RECORD_NEED_MORE;
	*in = rest;
	*out = found;
	return RECORD_OK;
}

size_t record_missing(struct bytes in)
{
	struct record found;
	uint16_t length = 0;
	size_t have = in.len;
	enum record_result result = read_header(&in, &found, &length);
	if (result == RECORD_NEED_MORE)
		return RECORD_HEADER - have;
	if (result != RECORD_OK || in.len >= length)
		return 0;
	return length - in.len;
}

const char *record_type_name(uint8_t type)
{
	switch (type) {
	case RECORD_CHANGE_CIPHER_SPEC:
		return "change_cipher_spec";
	case RECORD_ALERT:
		return "alert";
	case RECORD_HANDSHAKE:
		return "handshake";
	case RECORD_APPLICATION_DATA:
		return "application_data";
	case RECORD_HEARTBEAT:
		return "heartbeat";
	default:
		return NULL;
	}
}
