#include "proxy/proxy_header.h"

#include "base/text.h"
#include "proxy/target.h"

#define V1_MAX_LINE 107
#define V2_PROXY    0x21
#define V2_LOCAL    0x20
#define TLV_CRC32C  0x03

static const uint8_t v2_signature[12] = {0x0d, 0x0a, 0x0d, 0x0a, 0x00, 0x0d, 0x0a, 0x51, 0x55, 0x49, 0x54, 0x0a};

static enum proxy_header_result bad(struct error *why, const char *what)
{
	error_set(why, "PROXY protocol header: %s", what);
	return PROXY_HEADER_BAD;
}

/* The next word of a line, which one space and no more separates from the rest. */
static bool take_word(struct bytes *line, struct bytes *word)
{
	size_t space = bytes_find(*line, ' ', 0);
	if (space == 0 || !bytes_take(line, space, word))
		return false;
	return line->len == 0 || (line->len > 1 && bytes_skip(line, 1));
}

static bool take_address(struct bytes *line, bool v6, struct hostport *out)
{
	struct bytes word;
	return take_word(line, &word) && (bytes_find(word, ':', 0) < word.len) == v6 && target_ip_read(word, out);
}

static bool take_port(struct bytes *line, uint16_t *out)
{
	struct bytes word;
	uint64_t port;
	if (!take_word(line, &word) || word.len > 5 || !text_number(word, UINT16_MAX, &port))
		return false;
	*out = (uint16_t)port;
	return true;
}

static bool v1_addresses(struct bytes line, struct proxy_header *out)
{
	struct bytes family;
	/* The rest of an UNKNOWN line is to be ignored up to its end. */
	if (bytes_equal(line, bytes_str("UNKNOWN")) || bytes_starts(line, bytes_str("UNKNOWN ")))
		return true;
	if (!take_word(&line, &family))
		return false;
	bool v6 = bytes_equal(family, bytes_str("TCP6"));
	out->addresses = v6 || bytes_equal(family, bytes_str("TCP4"));
	return out->addresses && take_address(&line, v6, &out->source) && take_address(&line, v6, &out->destination) &&
	       take_port(&line, &out->source.port) && take_port(&line, &out->destination.port) && line.len == 0;
}

static enum proxy_header_result v1_read(struct bytes in, struct proxy_header *out, struct error *why)
{
	struct bytes rest = in;
	struct bytes line;
	size_t end = bytes_find(in, '\n', 0);
	if (end >= V1_MAX_LINE || (end == in.len && in.len >= V1_MAX_LINE)) {
		error_set(why, "PROXY protocol header: its line is longer than %d octets", V1_MAX_LINE);
		return PROXY_HEADER_TOO_LONG;
	}
	if (end == in.len)
		return PROXY_HEADER_NEED_MORE;
	struct proxy_header header = {.len = end + 1};
	if (!bytes_skip(&rest, strlen("PROXY ")) || end <= strlen("PROXY ") || in.data[end - 1] != '\r')
		return bad(why, "its line does not end in CRLF");
	if (!bytes_take(&rest, end - 1 - strlen("PROXY "), &line) || !v1_addresses(line, &header))
		return bad(why, "its line is not `PROXY TCP4|TCP6|UNKNOWN source destination port port`");
	*out = header;
	return PROXY_HEADER_OK;
}

/* CRC32C (RFC 9260, Appendix A), reflected, bit by bit: at most one header of it per connection. */
static uint32_t crc32c(uint32_t crc, uint8_t octet)
{
	crc ^= octet;
	for (int bit = 0; bit < 8; bit++)
		crc = crc & 1 ? crc >> 1 ^ 0x82f63b78 : crc >> 1;
	return crc;
}

/* Walks the TLVs. *crc_at is where in the header a checksum stands, 0 when there is none. */
static bool v2_tlvs(struct bytes tlvs, size_t header_len, size_t *crc_at, uint32_t *crc)
{
	*crc_at = 0;
	while (tlvs.len > 0) {
		uint8_t type;
		struct bytes value;
		if (!bytes_u8(&tlvs, &type) || !bytes_vec16(&tlvs, &value))
			return false;
		if (type != TLV_CRC32C)
			continue;
		size_t at = header_len - tlvs.len - value.len;
		if (*crc_at != 0 || !bytes_u32(&value, crc) || value.len != 0)
			return false;
		*crc_at = at;
	}
	return true;
}

static bool crc_fits(struct bytes header, size_t crc_at, uint32_t expected)
{
	uint32_t crc = UINT32_MAX;
	for (size_t i = 0; i < header.len; i++)
		crc = crc32c(crc, i >= crc_at && i < crc_at + 4 ? 0 : header.data[i]);
	return (crc ^ UINT32_MAX) == expected;
}

static const uint8_t mapped[12] = {[10] = 0xff, 0xff};

static bool take_ip(struct bytes *in, bool v6, struct hostport *out)
{
	struct bytes raw;
	struct writer w = writer_over(out->ip, sizeof(out->ip));
	if (!bytes_take(in, v6 ? 16 : 4, &raw))
		return false;
	if (!v6)
		writer_bytes(&w, bytes_of(mapped, sizeof(mapped)));
	writer_bytes(&w, raw);
	return !w.full;
}

/* The address block by its family; `in` is left at the TLVs. Sockets of AF_UNIX and datagrams give no addresses. */
static bool v2_addresses(struct bytes *in, uint8_t family, struct proxy_header *out)
{
	static const uint8_t unix_block = 216;
	bool v6 = family >> 4 == 2;
	switch (family >> 4) {
	case 0:
		return true;
	case 1:
	case 2:
		out->addresses = (family & 15) == 1 && !out->local;
		return take_ip(in, v6, &out->source) && take_ip(in, v6, &out->destination) &&
		       bytes_u16(in, &out->source.port) && bytes_u16(in, &out->destination.port);
	case 3:
		return bytes_skip(in, unix_block);
	default:
		return false;
	}
}

static enum proxy_header_result v2_read(struct bytes in, struct proxy_header *out, struct error *why)
{
	struct bytes rest = in;
	struct bytes block;
	struct proxy_header header = {0};
	uint8_t command, family;
	uint16_t len;
	if (!bytes_skip(&rest, sizeof(v2_signature)) || !bytes_u8(&rest, &command))
		return PROXY_HEADER_NEED_MORE;
	if (command != V2_PROXY && command != V2_LOCAL)
		return bad(why, "its version is not 2, or its command neither LOCAL nor PROXY");
	if (!bytes_u8(&rest, &family) || !bytes_u16(&rest, &len))
		return PROXY_HEADER_NEED_MORE;
	header.len = in.len - rest.len + len;
	header.local = command == V2_LOCAL;
	if (header.len > PROXY_HEADER_MAX) {
		error_set(why, "PROXY protocol header: it is longer than %d octets", PROXY_HEADER_MAX);
		return PROXY_HEADER_TOO_LONG;
	}
	if ((family & 15) > 2)
		return bad(why, "its transport is not known");
	if (!bytes_take(&rest, len, &block))
		return PROXY_HEADER_NEED_MORE;
	/* What follows a LOCAL header or one without family is to be ignored, whatever it is. */
	struct bytes tlvs = block;
	bool block_fits = v2_addresses(&tlvs, family, &header);
	if (header.local || family >> 4 == 0) {
		*out = (struct proxy_header){.len = header.len, .local = header.local};
		return PROXY_HEADER_OK;
	}
	size_t crc_at = 0;
	uint32_t crc = 0;
	if (!block_fits || !v2_tlvs(tlvs, header.len, &crc_at, &crc))
		return bad(why, "its addresses or its TLVs do not fit its length");
	if (crc_at != 0 && !crc_fits(bytes_of(in.data, header.len), crc_at, crc)) {
		error_set(why, "PROXY protocol header: its CRC32C does not fit");
		return PROXY_HEADER_BAD_CRC;
	}
	*out = header;
	return PROXY_HEADER_OK;
}

enum proxy_header_result proxy_header_read(struct bytes in, struct proxy_header *out, struct error *why)
{
	struct bytes v1 = bytes_str("PROXY ");
	struct bytes v2 = bytes_of(v2_signature, sizeof(v2_signature));
	if (bytes_starts(in, v1))
		return v1_read(in, out, why);
	if (bytes_starts(in, v2))
		return v2_read(in, out, why);
	if (bytes_starts(v1, in) || bytes_starts(v2, in))
		return PROXY_HEADER_NEED_MORE;
	return bad(why, "the connection does not begin with one");
}

static void write_ip(const struct hostport *address, bool v6, struct writer *w)
{
	struct bytes ip = bytes_of(address->ip, sizeof(address->ip));
	if (!v6 && !bytes_skip(&ip, sizeof(mapped)))
		w->full = true;
	writer_bytes(w, ip);
}

void proxy_header_write(const struct hostport *source, const struct hostport *destination, struct writer *w)
{
	writer_bytes(w, bytes_of(v2_signature, sizeof(v2_signature)));
	if (hostport_is_none(source) || hostport_is_none(destination)) {
		writer_u8(w, V2_LOCAL);
		writer_u8(w, 0);
		writer_u16(w, 0);
		return;
	}
	bool v6 = !hostport_is_v4(source) || !hostport_is_v4(destination);
	writer_u8(w, V2_PROXY);
	writer_u8(w, v6 ? 0x21 : 0x11);
	writer_u16(w, v6 ? 36 : 12);
	write_ip(source, v6, w);
	write_ip(destination, v6, w);
	writer_u16(w, source->port);
	writer_u16(w, destination->port);
}
