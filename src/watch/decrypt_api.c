#include "overt/decrypt.h"

#include "watch/session.h"

#include <stdio.h>
#include <stdlib.h>

struct overt_decryptor {
	struct overt_decryptor_options options;
	struct keyring *ring;
	struct session_room *room;
	uint64_t now_ns; /* the latest time given */
};

struct overt_connection {
	struct overt_decryptor *decryptor;
	struct session *session;
};

_Static_assert((int)OVERT_CLIENT == (int)FLOW_UP && (int)OVERT_SERVER == (int)FLOW_DOWN, "the same sides");
_Static_assert((int)OVERT_NOTHING == (int)SESSION_NOTHING && (int)OVERT_DECRYPTED == (int)SESSION_DECRYPTED &&
		       (int)OVERT_PARTLY == (int)SESSION_PARTLY && (int)OVERT_NOT == (int)SESSION_NOT,
	"the same verdicts");

/* A C string of octets that have none of their own; a NUL within ends it, as it would anywhere. */
static const char *text_of(char *room, size_t cap, struct bytes in)
{
	(void)snprintf(room, cap, "%.*s", (int)in.len, in.len > 0 ? (const char *)in.data : "");
	return room;
}

static void say_tls(const struct overt_decryptor *d, void *user, const struct event_tls *event)
{
	char suite[EVENT_NAME_MAX + 1], group[EVENT_NAME_MAX + 1], alpn[EVENT_NAME_MAX + 1];
	char subject[EVENT_TEXT_MAX + 1], issuer[EVENT_TEXT_MAX + 1];
	const struct overt_tls tls = {
		.version = event->version,
		.suite = event->suite,
		.suite_name = text_of(suite, sizeof(suite), event->suite_name),
		.group = text_of(group, sizeof(group), event->group),
		.alpn = text_of(alpn, sizeof(alpn), event->alpn),
		.subject = text_of(subject, sizeof(subject), event->certificate.subject),
		.issuer = text_of(issuer, sizeof(issuer), event->certificate.issuer),
		.resumed = event->resumed,
	};
	d->options.events.tls(d->options.arg, user, &tls);
}

static void say_notice(const struct overt_decryptor *d, void *user, const struct event_notice *event)
{
	char name[EVENT_NAME_MAX + 1], text[EVENT_TEXT_MAX + 1];
	d->options.events.notice(d->options.arg, user, text_of(name, sizeof(name), event->name),
		text_of(text, sizeof(text), event->text));
}

static void say_hello(const struct overt_decryptor *d, void *user, const struct event_hello *event)
{
	char name[EVENT_TEXT_MAX + 1];
	size_t len = event->sni.len < EVENT_TEXT_MAX ? event->sni.len : EVENT_TEXT_MAX;
	if (len > 0)
		memcpy(name, event->sni.data, len);
	name[len] = 0;
	d->options.events.hello(d->options.arg, user, name, len);
}

static void said(void *arg, void *user, const struct event *event)
{
	const struct overt_decryptor *d = arg;
	const struct overt_decrypt_events *events = &d->options.events;
	const struct event_data *data = &event->data;
	const struct event_gap *gap = &event->gap;
	if (event->kind == EVENT_DATA && events->data)
		events->data(d->options.arg, user, (enum overt_sender)data->direction, data->offset, data->bytes.data,
			data->bytes.len, event->time_ns);
	else if (event->kind == EVENT_GAP && events->gap)
		events->gap(d->options.arg, user, (enum overt_sender)gap->direction, gap->offset, gap->octets,
			event->time_ns);
	else if (event->kind == EVENT_HELLO && events->hello)
		say_hello(d, user, &event->hello);
	else if (event->kind == EVENT_TLS && events->tls)
		say_tls(d, user, &event->tls);
	else if (event->kind == EVENT_HALF && events->end)
		events->end(d->options.arg, user, (enum overt_sender)event->half.direction);
	else if (event->kind == EVENT_NOTICE && events->notice)
		say_notice(d, user, &event->notice);
}

struct overt_decryptor *overt_decryptor_new(const struct overt_decryptor_options *options)
{
	struct overt_decryptor *d = calloc(1, sizeof(*d));
	struct session_setup setup = {.limits = session_limits_default,
		.keys_final = options->keys_final,
		.wake_fd = -1,
		.emit = said,
		.arg = d};
	struct keyring_limits keys = {.text = options->key_memory};
	if (!d)
		return NULL;
	d->options = *options;
	if (options->wait_connection > 0)
		setup.limits.park_session = options->wait_connection;
	if (options->wait_total > 0)
		setup.limits.park_total = options->wait_total;
	if (options->wait_ns > 0)
		setup.limits.park_ns = options->wait_ns;
	d->ring = setup.ring = keyring_new(&keys);
	d->room = d->ring ? session_room_new(&setup) : NULL;
	if (d->room)
		return d;
	overt_decryptor_free(d);
	return NULL;
}

void overt_decryptor_free(struct overt_decryptor *decryptor)
{
	if (!decryptor)
		return;
	session_room_free(decryptor->room);
	keyring_free(decryptor->ring);
	free(decryptor);
}

size_t overt_decryptor_keys(struct overt_decryptor *decryptor, const char *text, size_t len)
{
	size_t taken = keyring_add_text(decryptor->ring, bytes_of(text, len));
	session_room_keys(decryptor->room, decryptor->now_ns);
	return taken;
}

void overt_decryptor_keys_final(struct overt_decryptor *decryptor)
{
	session_room_keys_final(decryptor->room, decryptor->now_ns);
}

void overt_decryptor_tick(struct overt_decryptor *decryptor, uint64_t now_ns)
{
	decryptor->now_ns = now_ns;
	session_room_tick(decryptor->room, now_ns);
}

struct overt_connection *overt_connection_new(struct overt_decryptor *decryptor, void *user, bool from_start)
{
	struct overt_connection *connection = calloc(1, sizeof(*connection));
	if (!connection)
		return NULL;
	connection->decryptor = decryptor;
	connection->session =
		session_new(decryptor->room, &(struct session_start){.user = user, .from_start = from_start});
	if (connection->session)
		return connection;
	free(connection);
	return NULL;
}

void overt_connection_free(struct overt_connection *connection)
{
	if (!connection)
		return;
	session_free(connection->session);
	free(connection);
}

void overt_connection_data(
	struct overt_connection *connection, enum overt_sender sender, const void *octets, size_t len, uint64_t time_ns)
{
	connection->decryptor->now_ns = time_ns;
	session_data(connection->session, (enum flow_direction)sender, bytes_of(octets, len), time_ns);
}

void overt_connection_gap(
	struct overt_connection *connection, enum overt_sender sender, uint64_t octets, uint64_t time_ns)
{
	connection->decryptor->now_ns = time_ns;
	session_gap(connection->session, (enum flow_direction)sender, octets, time_ns);
}

void overt_connection_end(struct overt_connection *connection, enum overt_sender sender, uint64_t time_ns)
{
	connection->decryptor->now_ns = time_ns;
	session_half(connection->session, (enum flow_direction)sender, time_ns);
}

void overt_connection_close(struct overt_connection *connection, uint64_t time_ns)
{
	connection->decryptor->now_ns = time_ns;
	session_close(connection->session, time_ns);
}

bool overt_connection_is_other(const struct overt_connection *connection)
{
	return !session_wants_data(connection->session);
}

struct overt_outcome overt_connection_outcome(const struct overt_connection *connection)
{
	struct session_outcome from = session_outcome(connection->session);
	bool lacking = from.verdict == SESSION_PARTLY || from.verdict == SESSION_NOT;
	struct overt_outcome out = {
		.verdict = (enum overt_verdict)from.verdict,
		.cause = lacking ? session_cause_name(from.cause) : "",
		.plain = {from.plain[FLOW_UP], from.plain[FLOW_DOWN]},
		.missing = {from.missing[FLOW_UP], from.missing[FLOW_DOWN]},
		.has_random = from.has_random,
	};
	memcpy(out.client_random, from.client_random, sizeof(out.client_random));
	return out;
}
