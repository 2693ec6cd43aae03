/* explain/schedule_reader13.c — TLS 1.3 after its ServerHello: handshake, 0-RTT, data and KeyUpdates (RFC 8446, 2, 4.6, 7). */
#include "explain/schedule_reader.h"
#include "tls/schedule13.h"

#define LATE_MAX 64 /* messages after the handshake that are kept; what comes more is read, and not shown */

static const struct {
	enum keylog_label label;
	enum schedule_secret which;
} labels[] = {
	{KEYLOG_EARLY_TRAFFIC, SCHEDULE_EARLY_TRAFFIC},
	{KEYLOG_EARLY_EXPORTER, SCHEDULE_EARLY_EXPORTER},
	{KEYLOG_CLIENT_HANDSHAKE, SCHEDULE_CLIENT_HANDSHAKE},
	{KEYLOG_SERVER_HANDSHAKE, SCHEDULE_SERVER_HANDSHAKE},
	{KEYLOG_CLIENT_TRAFFIC, SCHEDULE_CLIENT_TRAFFIC},
	{KEYLOG_SERVER_TRAFFIC, SCHEDULE_SERVER_TRAFFIC},
	{KEYLOG_EXPORTER, SCHEDULE_EXPORTER},
};

static void gather(struct reader *r)
{
	struct bytes secret;
	for (size_t i = 0; i < sizeof(labels) / sizeof(labels[0]); i++) {
		if (keyset_get(&r->keys, labels[i].label, 0, 0, &secret))
			(void)!tls_secret_set(&r->source->known[labels[i].which], secret);
	}
}

static bool key_of(struct reader *r, unsigned side, const struct tls_secret *traffic, struct schedule_opened *opened)
{
	struct traffic_keys keys = {0};
	bool ok = schedule13_keys(r->crypto, r->suite, traffic, &keys)
	                  ? reader_key(r, side, &keys, opened)
	                  : error_set(r->err, "keys of %s cannot be made here", r->suite->name);
	traffic_keys_wipe(&keys);
	return ok;
}

static bool key(struct reader *r, unsigned side, enum schedule_secret which, const char *label)
{
	if (r->source->known[which].len == 0)
		return error_set(r->err, "the key log has no %s of this connection: its handshake stays closed", label);
	return key_of(r, side, &r->source->known[which], &r->source->opened[which]);
}

static bool note_early(struct reader *r, size_t from)
{
	struct bytes kept = buffer_bytes(r->room);
	struct handshake message;
	struct encrypted_extensions extensions;
	if (!bytes_skip(&kept, from) || handshake_read(&kept, SIZE_MAX, &message) != HANDSHAKE_OK ||
		!encrypted_extensions_parse(message.body, &extensions))
		return error_set(r->err, "the EncryptedExtensions cannot be read");
	r->early_taken = extensions.early_data;
	return true;
}

/*
 * What the client says before its second flight. EndOfEarlyData is always the same octets: where the log has no key for
 * it, what cannot be opened is passed over and the message put in its place (RFC 8446, 4.5).
 */
static bool client_early(struct reader *r)
{
	static const uint8_t end[HANDSHAKE_HEADER] = {HANDSHAKE_END_OF_EARLY_DATA};
	if (!r->early_taken)
		return true;
	if (r->source->known[SCHEDULE_EARLY_TRAFFIC].len == 0)
		return buffer_add(r->room, bytes_of(end, sizeof(end))) || error_set(r->err, "no memory");
	return key(r, READER_CLIENT, SCHEDULE_EARLY_TRAFFIC, "CLIENT_EARLY_TRAFFIC_SECRET") &&
	       reader_until(r, READER_CLIENT, HANDSHAKE_END_OF_EARLY_DATA, false);
}

static bool handshake(struct reader *r)
{
	size_t from = r->room->len;
	bool unread = r->early_offered && !(r->early_taken && r->source->known[SCHEDULE_EARLY_TRAFFIC].len > 0);
	if (!key(r, READER_SERVER, SCHEDULE_SERVER_HANDSHAKE, "SERVER_HANDSHAKE_TRAFFIC_SECRET") ||
		!reader_until(r, READER_SERVER, HANDSHAKE_FINISHED, false) || !note_early(r, from) || !client_early(r))
		return false;
	return key(r, READER_CLIENT, SCHEDULE_CLIENT_HANDSHAKE, "CLIENT_HANDSHAKE_TRAFFIC_SECRET") &&
	       reader_until(r, READER_CLIENT, HANDSHAKE_FINISHED, unread);
}

_Static_assert(SCHEDULE_UPDATES == 16, "the sentence below, the manual page and docs/explain.md name this number");

/* The next secret as the log has it, else as it follows. */
static bool update(struct reader *r, unsigned side)
{
	static const enum keylog_label traffic[2] = {KEYLOG_CLIENT_TRAFFIC, KEYLOG_SERVER_TRAFFIC};
	static const enum schedule_secret base[2] = {SCHEDULE_CLIENT_TRAFFIC, SCHEDULE_SERVER_TRAFFIC};
	struct schedule_source *source = r->source;
	size_t n = source->updates[side];
	struct bytes logged;
	if (n == SCHEDULE_UPDATES) {
		source->ended[side] = "more than 16 key updates follow, and no more are told";
		return true;
	}
	const struct tls_secret *now = n == 0 ? &source->known[base[side]] : &r->current[side];
	struct tls_secret next = {0};
	bool ok = schedule13_next(r->crypto, r->suite->prf, now, &next);
	if (keyset_get(&r->keys, traffic[side], (uint32_t)n + 1, 0, &logged))
		(void)!tls_secret_set(&source->update[side][n], logged);
	r->current[side] = next;
	source->updates[side]++;
	ok = ok && key_of(r, side, &next, &source->opened_update[side][n]);
	tls_secret_wipe(&next);
	return ok;
}

static bool late(struct reader *r, unsigned side, const struct handshake *message)
{
	uint8_t type = message->type;
	if (r->late++ < LATE_MAX && !reader_keep(r, message))
		return false;
	return type != HANDSHAKE_KEY_UPDATE || update(r, side);
}

bool reader_tls13(struct reader *r)
{
	static const enum schedule_secret data[2] = {SCHEDULE_CLIENT_TRAFFIC, SCHEDULE_SERVER_TRAFFIC};
	gather(r);
	bool ok = handshake(r);
	for (unsigned side = 0; ok && side < 2; side++) {
		/* Without it the tree ends here, and says so. */
		if (r->source->known[data[side]].len == 0)
			continue;
		ok = key_of(r, side, &r->source->known[data[side]], &r->source->opened[data[side]]) &&
		     reader_rest(r, side, late);
	}
	return ok;
}
