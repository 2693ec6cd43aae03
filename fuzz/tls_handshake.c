/* Handshake messages one after the other, each read by its parser; the first octet chooses the version. */
#include "tls/certificate.h"
#include "tls/extension.h"
#include "tls/handshake.h"
#include "tls/list.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void read_certificate(struct bytes body, uint16_t version)
{
	struct certificate_message list;
	struct certificate_entry entry;
	struct bytes ocsp;
	size_t count = 0;
	if (!certificate_parse(body, version, &list))
		return;
	while (certificate_next(&list, &entry)) {
		if (entry.der.len == 0 || (certificate_staple(&entry, &ocsp) && ocsp.len == 0))
			abort();
		count++;
	}
	if (count != list.count || list.entries.len != 0)
		abort();
}

static void read_request(struct bytes body, uint16_t version)
{
	struct certificate_request request;
	struct bytes name;
	uint16_t scheme;
	if (!certificate_request_parse(body, version, &request))
		return;
	while (authority_next(&request.authorities, &name))
		;
	while (list_next(&request.sigalgs, &scheme))
		;
	if (request.authorities.len != 0 || request.sigalgs.len != 0)
		abort();
}

static void read_message(const struct handshake *message, uint16_t version)
{
	struct encrypted_extensions extensions;
	switch (message->type) {
	case HANDSHAKE_CERTIFICATE:
		read_certificate(message->body, version);
		break;
	case HANDSHAKE_CERTIFICATE_REQUEST:
		read_request(message->body, version);
		break;
	case HANDSHAKE_ENCRYPTED_EXTENSIONS:
		if (encrypted_extensions_parse(message->body, &extensions) && extensions.has_alpn &&
			extensions.alpn.len == 0)
			abort();
		break;
	default:
		break;
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const uint16_t versions[] = {0x0302, 0x0303, 0x0304, 0x0304};
	struct bytes in = bytes_of(data, size);
	struct handshake message;
	uint8_t choice;
	if (!bytes_u8(&in, &choice))
		return 0;
	while (handshake_read(&in, 1 << 16, &message) == HANDSHAKE_OK) {
		if (message.whole.len != message.body.len + HANDSHAKE_HEADER)
			abort();
		read_message(&message, versions[choice % 4]);
	}
	return 0;
}
