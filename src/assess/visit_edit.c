#include "assess/visit_edit.h"

#include "tls/extension.h"
#include "tls/handshake.h"
#include "tls/record.h"

#define RECORD_HEAD  5
#define MESSAGE_HEAD 4
#define EMPTY_INFO   5 /* type, length, and an empty vector */

void edit_hide_versions(uint8_t *octets, size_t len, const struct client_hello *hello)
{
	struct bytes block = hello->extensions;
	for (struct extension one;;) {
		size_t at = (size_t)(block.data - octets);
		if (!extension_next(&block, &one))
			return;
		if (one.type == EXT_SUPPORTED_VERSIONS && at + 1 < len) {
			octets[at] = 0xfa;
			octets[at + 1] = 0xfb;
		}
	}
}

static void lower(uint8_t *length, size_t by)
{
	size_t value = ((size_t)length[0] << 8 | length[1]) - by;
	length[0] = (uint8_t)(value >> 8);
	length[1] = (uint8_t)value;
}

size_t edit_hide_renegotiation(uint8_t *octets, size_t len)
{
	struct bytes rest = bytes_of(octets, len);
	struct record record;
	struct handshake message;
	struct server_hello hello;
	if (record_read(&rest, &record) != RECORD_OK || record.type != RECORD_HANDSHAKE ||
		handshake_read(&record.fragment, len, &message) != HANDSHAKE_OK ||
		message.type != HANDSHAKE_SERVER_HELLO || server_hello_parse(message.body, &hello) != HELLO_OK)
		return len;
	struct bytes block = hello.extensions;
	for (struct extension one;;) {
		size_t at = (size_t)(block.data - octets);
		if (!extension_next(&block, &one))
			return len;
		if (one.type != EXT_RENEGOTIATION_INFO || one.data.len + 4 != EMPTY_INFO)
			continue;
		/* The lengths of record, message and block, of which the middle one has three octets. */
		lower(octets + RECORD_HEAD - 2, EMPTY_INFO);
		lower(octets + RECORD_HEAD + MESSAGE_HEAD - 2, EMPTY_INFO);
		lower(octets + (size_t)(hello.extensions.data - octets) - 2, EMPTY_INFO);
		memmove(octets + at, octets + at + EMPTY_INFO, len - at - EMPTY_INFO);
		return len - EMPTY_INFO;
	}
}
