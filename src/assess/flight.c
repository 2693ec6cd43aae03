#include "assess/flight.h"

#include "tls/certificate.h"
#include "tls/extension.h"
#include "tls/handshake.h"
#include "tls/key_exchange.h"
#include "tls/record.h"
#include "tls/suite.h"

void flight_begin(struct flight *flight)
{
	*flight = (struct flight){.raw = {.cap = FLIGHT_MAX}, .messages = {.cap = FLIGHT_MAX}};
}

void flight_free(struct flight *flight)
{
	buffer_clear(&flight->raw);
	buffer_clear(&flight->messages);
}

static enum flight_kind take_hello(struct flight *flight, struct bytes body)
{
	struct server_hello hello;
	if (flight->hello || server_hello_parse(body, &hello) != HELLO_OK)
		return FLIGHT_BROKEN;
	flight->hello = true;
	flight->retry = hello.retry;
	flight->version = hello.version;
	flight->suite = hello.suite;
	flight->group = hello.group;
	flight->extended_master_secret = hello.has_extended_master_secret;
	flight->renegotiation_info = hello.has_renegotiation_info;
	flight->ticket = hello.has_ticket;
	struct bytes block = hello.extensions;
	for (struct extension one; flight->extensions < FLIGHT_EXTENSIONS && extension_next(&block, &one);)
		flight->extension[flight->extensions++] = one.type;
	flight->session_id_len = hello.session_id.len;
	if (hello.session_id.len > 0)
		memcpy(flight->session_id, hello.session_id.data, hello.session_id.len);
	/* What follows in TLS 1.3 is encrypted, or waits for a second hello. */
	return hello.version == TLS_VERSION_13 ? FLIGHT_HELLO : FLIGHT_MORE;
}

static enum flight_kind take_key_exchange(struct flight *flight, struct bytes body)
{
	struct server_key_exchange exchange;
	const struct suite *suite = suite_find(flight->suite);
	if (!suite)
		return FLIGHT_MORE;
	enum key_exchange_result result = server_key_exchange_parse(body, suite, flight->version, &exchange);
	if (result == KEY_EXCHANGE_UNKNOWN)
		return FLIGHT_MORE;
	if (result != KEY_EXCHANGE_OK || exchange.dh_p.len > FLIGHT_DH || exchange.dh_g.len > FLIGHT_DH)
		return FLIGHT_BROKEN;
	flight->group = exchange.group;
	flight->p_len = exchange.dh_p.len;
	flight->g_len = exchange.dh_g.len;
	if (flight->p_len > 0)
		memcpy(flight->p, exchange.dh_p.data, flight->p_len);
	if (flight->g_len > 0)
		memcpy(flight->g, exchange.dh_g.data, flight->g_len);
	return FLIGHT_MORE;
}

static enum flight_kind take_message(struct flight *flight, const struct handshake *message)
{
	struct certificate_message certificate;
	if (!flight->hello && message->type != HANDSHAKE_SERVER_HELLO)
		return FLIGHT_BROKEN;
	switch (message->type) {
	case HANDSHAKE_SERVER_HELLO:
		return take_hello(flight, message->body);
	case HANDSHAKE_CERTIFICATE:
		if (!certificate_parse(message->body, flight->version, &certificate))
			return FLIGHT_BROKEN;
		flight->certificates = (unsigned)certificate.count;
		return FLIGHT_MORE;
	case HANDSHAKE_SERVER_KEY_EXCHANGE:
		return take_key_exchange(flight, message->body);
	case HANDSHAKE_SERVER_HELLO_DONE:
		return FLIGHT_HELLO;
	default:
		return FLIGHT_MORE;
	}
}

static enum flight_kind take_fragment(struct flight *flight, struct bytes fragment)
{
	if (!buffer_add(&flight->messages, fragment))
		return FLIGHT_FLOOD;
	struct bytes rest = buffer_bytes(&flight->messages);
	struct handshake message;
	enum flight_kind kind = FLIGHT_MORE;
	for (;;) {
		enum handshake_result result = handshake_read(&rest, FLIGHT_MAX, &message);
		if (result == HANDSHAKE_NEED_MORE)
			break;
		kind = result == HANDSHAKE_OK ? take_message(flight, &message) : FLIGHT_FLOOD;
		if (kind != FLIGHT_MORE)
			return kind;
	}
	buffer_drop(&flight->messages, flight->messages.len - rest.len);
	return kind;
}

static enum flight_kind take_record(struct flight *flight, const struct record *record)
{
	switch (record->type) {
	case RECORD_HANDSHAKE:
		return record->fragment.len > 0 ? take_fragment(flight, record->fragment) : FLIGHT_BROKEN;
	case RECORD_ALERT:
		if (!alert_read(record->fragment, &flight->alert))
			return FLIGHT_BROKEN;
		/* unrecognized_name may stand before a hello as a warning. */
		return flight->alert.level == ALERT_WARNING && flight->alert.description != ALERT_CLOSE_NOTIFY
		               ? FLIGHT_MORE
		               : FLIGHT_ALERT;
	default:
		return FLIGHT_BROKEN;
	}
}

enum flight_kind flight_take(struct flight *flight, struct bytes octets)
{
	struct record record;
	if (flight->kind != FLIGHT_MORE)
		return flight->kind;
	flight->taken += octets.len;
	if (flight->taken > FLIGHT_MAX || !buffer_add(&flight->raw, octets))
		return flight->kind = FLIGHT_FLOOD;
	struct bytes rest = buffer_bytes(&flight->raw);
	while (flight->kind == FLIGHT_MORE) {
		enum record_result result = record_read(&rest, &record);
		if (result == RECORD_NEED_MORE)
			break;
		flight->kind = result == RECORD_OK ? take_record(flight, &record) : FLIGHT_NOT_TLS;
	}
	if (flight->kind == FLIGHT_NOT_TLS && flight->hello)
		flight->kind = FLIGHT_BROKEN;
	buffer_drop(&flight->raw, flight->raw.len - rest.len);
	return flight->kind;
}
