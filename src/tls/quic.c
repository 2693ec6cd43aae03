#include "tls/quic.h"

#define FORM_LONG     0x80
#define FIXED         0x40
#define DRAFT         0xff000000U
#define DRAFT_MASK    0xffffff00U
#define RESERVED      0x0a0a0a0aU
#define RESERVED_MASK 0x0f0f0f0fU
#define CLIENT_LEAST  1200 /* octets of a datagram with a client's Initial (RFC 9000, 14.1) */

bool quic_number(struct bytes *in, uint64_t *out)
{
	struct bytes rest = *in;
	uint8_t octet;
	if (!bytes_u8(&rest, &octet))
		return false;
	uint64_t value = octet & 0x3f;
	for (unsigned more = (1U << (octet >> 6)) - 1; more > 0; more--) {
		if (!bytes_u8(&rest, &octet))
			return false;
		value = value << 8 | octet;
	}
	*in = rest;
	*out = value;
	return true;
}

const char *quic_version_name(uint32_t version)
{
	switch (version) {
	case 0:
		return "Version Negotiation";
	case QUIC_VERSION_1:
		return "QUIC version 1";
	case QUIC_VERSION_2:
		return "QUIC version 2";
	default:
		return NULL;
	}
}

const char *quic_type_name(enum quic_type type)
{
	static const char *const names[QUIC_TYPES] = {
		"initial", "0-rtt", "handshake", "retry", "version-negotiation", "1-rtt", "other-version"};
	return (unsigned)type < QUIC_TYPES ? names[type] : "unknown";
}

static bool is_read(uint32_t version)
{
	return version == QUIC_VERSION_1 || version == QUIC_VERSION_2;
}

/* The two bits go round by one in version 2, so that nobody takes them for granted (RFC 9369, 3.2). */
static enum quic_type type_of(uint32_t version, uint8_t first)
{
	static const enum quic_type types[] = {QUIC_INITIAL, QUIC_ZERO_RTT, QUIC_HANDSHAKE, QUIC_RETRY};
	if (version == 0)
		return QUIC_NEGOTIATION;
	if (!is_read(version))
		return QUIC_OTHER;
	unsigned bits = first >> 4 & 3;
	return types[version == QUIC_VERSION_2 ? (bits + 3) & 3 : bits];
}

/* The part of a long header that no version may change (RFC 8999, 5.1). */
static enum quic_result read_invariant(struct bytes *in, struct quic_packet *out)
{
	uint8_t first;
	if (!bytes_u8(in, &first) || !bytes_u32(in, &out->version) || !bytes_vec8(in, &out->receiver) ||
		!bytes_vec8(in, &out->sender))
		return QUIC_TRUNCATED;
	out->type = type_of(out->version, first);
	if (is_read(out->version) && (out->receiver.len > QUIC_ID_MAX || out->sender.len > QUIC_ID_MAX))
		return QUIC_NOT_QUIC;
	return QUIC_OK;
}

static bool read_protected(struct bytes *in, struct quic_packet *out)
{
	uint64_t len;
	if (out->type == QUIC_INITIAL) {
		if (!quic_number(in, &len) || len > in->len || !bytes_take(in, (size_t)len, &out->token))
			return false;
	}
	if (!quic_number(in, &len) || len > in->len)
		return false;
	out->before_number = bytes_of(out->whole.data, out->whole.len - in->len);
	if (!bytes_take(in, (size_t)len, &out->protected_part))
		return false;
	out->whole.len -= in->len;
	return true;
}

static enum quic_result read_long(struct bytes *rest, struct quic_packet *found)
{
	enum quic_result result = read_invariant(rest, found);
	if (result != QUIC_OK)
		return result;
	if (found->type <= QUIC_HANDSHAKE)
		return read_protected(rest, found) ? QUIC_OK : QUIC_TRUNCATED;
	if (found->type == QUIC_RETRY) {
		/* An integrity tag of 16 octets ends it (RFC 9000, 17.2.5). */
		if (rest->len < 16)
			return QUIC_TRUNCATED;
		found->token = bytes_of(rest->data, rest->len - 16);
	}
	*rest = BYTES_NONE;
	return QUIC_OK;
}

enum quic_result quic_packet_read(struct bytes *datagram, struct quic_packet *out)
{
	struct bytes rest = *datagram;
	struct quic_packet found = {.type = QUIC_SHORT, .whole = *datagram};
	uint8_t first;
	if (!bytes_u8(&rest, &first))
		return QUIC_END;
	if (first & FORM_LONG) {
		rest = *datagram;
		enum quic_result result = read_long(&rest, &found);
		if (result != QUIC_OK)
			return result;
	} else if (first & FIXED) {
		rest = BYTES_NONE;
	} else {
		return QUIC_NOT_QUIC;
	}
	*datagram = rest;
	*out = found;
	return QUIC_OK;
}

bool quic_opens(struct bytes datagram)
{
	struct quic_packet packet = {0};
	size_t whole = datagram.len;
	if (datagram.len == 0 || !(datagram.data[0] & FORM_LONG))
		return false;
	if (read_invariant(&datagram, &packet) != QUIC_OK)
		return false;
	if (packet.receiver.len > QUIC_ID_MAX || packet.sender.len > QUIC_ID_MAX)
		return false;
	/* A list of versions, and not an empty one. */
	if (packet.version == 0)
		return datagram.len >= 4 && datagram.len % 4 == 0;
	if (is_read(packet.version))
		return true;
	return whole >= CLIENT_LEAST &&
	       ((packet.version & DRAFT_MASK) == DRAFT || (packet.version & RESERVED_MASK) == RESERVED);
}
