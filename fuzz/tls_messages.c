/*
 * The handshake messages of TLS 1.2 and 1.3 that have a parser of their own, and DTLS: the first octet chooses which,
 * the next two the suite.
 */
#include "tls/certificate_extra.h"
#include "tls/certificate_verify.h"
#include "tls/control.h"
#include "tls/dtls.h"
#include "tls/extension.h"
#include "tls/handshake.h"
#include "tls/key_exchange.h"
#include "tls/psk.h"
#include "tls/ticket.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* A view has to lie within what was parsed. */
static void within(struct bytes view, struct bytes all)
{
	if (view.len > all.len || (view.len > 0 && (view.data < all.data || view.data + view.len > all.data + all.len)))
		abort();
}

static void read_key_exchange(struct bytes body, const struct suite *suite, uint16_t version)
{
	struct server_key_exchange server;
	struct client_key_exchange client;
	if (server_key_exchange_parse(body, suite, version, &server) == KEY_EXCHANGE_OK) {
		within(server.params, body);
		within(server.signature, body);
		if (server.is_signed != (server.signature.len > 0))
			abort();
	}
	if (client_key_exchange_parse(body, suite, version, &client) == KEY_EXCHANGE_OK) {
		within(client.key, body);
		within(client.encrypted, body);
		if (client.key.len > 0 && client.encrypted.len > 0)
			abort();
	}
}

static void read_certificates(struct bytes body, uint16_t version)
{
	struct certificate_verify verify;
	struct certificate_status status;
	struct compressed_certificate packed;
	struct bytes response;
	if (certificate_verify_parse(body, version, &verify) && verify.signature.len == 0)
		abort();
	if (compressed_certificate_parse(body, &packed))
		within(packed.packed, body);
	if (!certificate_status_parse(body, &status))
		return;
	while (certificate_status_next(&status.list, &response))
		within(response, body);
	if (status.list.len != 0)
		abort();
}

static void read_session(struct bytes body, const struct suite *suite, uint16_t version)
{
	struct session_ticket ticket;
	struct extension ext;
	struct bytes verify_data;
	bool requested;
	if (session_ticket_parse(body, version, &ticket)) {
		within(ticket.ticket, body);
		if (ticket.has_early_data != extension_find(ticket.extensions, EXT_EARLY_DATA, &ext))
			abort();
	}
	if (key_update_parse(body, &requested) && body.len != 1)
		abort();
	if (finished_parse(body, version, suite->prf, &verify_data) && verify_data.len != body.len)
		abort();
}

static void read_binders(struct bytes whole)
{
	struct client_hello hello;
	struct bytes body = whole, front, identity, binder;
	if (!bytes_skip(&body, HANDSHAKE_HEADER) || client_hello_parse(body, &hello) != HELLO_OK)
		return;
	if (psk_truncated(whole, &hello, &front) && front.len + 2 + hello.psk_binders.len != whole.len)
		abort();
	for (size_t i = 0; psk_at(&hello, i, &identity, &binder); i++) {
		within(identity, body);
		within(binder, body);
	}
}

static void read_datagram(struct bytes in)
{
	uint8_t room[1024];
	struct dtls_record record;
	struct dtls_handshake part;
	struct hello_verify_request request;
	struct bytes cookie;
	struct writer w = writer_over(room, sizeof(room));
	if (dtls_client_hello_strip(in, &w, &cookie) && !w.full && w.len + 1 + cookie.len != in.len)
		abort();
	if (hello_verify_request_parse(in, &request) && request.cookie.len + 3 != in.len)
		abort();
	while (dtls_record_read(&in, &record) == DTLS_OK) {
		while (dtls_handshake_read(&record.fragment, &part)) {
			if (part.offset + part.body.len > part.length)
				abort();
		}
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const uint16_t versions[] = {0x0302, 0x0303, 0x0304};
	struct bytes in = bytes_of(data, size);
	uint8_t choice;
	uint16_t number;
	if (!bytes_u8(&in, &choice) || !bytes_u16(&in, &number))
		return 0;
	const struct suite *suite = suite_find(number);
	if (!suite)
		suite = suite_at(number % 300);
	if (!suite)
		return 0;
	uint16_t version = versions[choice / 8 % 3];
	switch (choice % 5) {
	case 0:
		read_key_exchange(in, suite, version);
		break;
	case 1:
		read_certificates(in, version);
		break;
	case 2:
		read_session(in, suite, version);
		break;
	case 3:
		read_binders(in);
		break;
	default:
		read_datagram(in);
		break;
	}
	return 0;
}
