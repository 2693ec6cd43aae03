#include "watch/session_parts.h"

#include <openssl/crypto.h>

/* So many octets without a single record are no TLS that begins in the middle. */
#define NO_RECORD ((uint64_t)128 * 1024)

void lane_unkey(struct lane *lane)
{
	protect_free(lane->protect);
	lane->protect = NULL;
	traffic_keys_wipe(&lane->keys);
	tls_secret_wipe(&lane->secret);
}

void lane_key(struct lane *lane, struct protect *protect, const struct traffic_keys *keys)
{
	lane_unkey(lane);
	lane->protect = protect;
	lane->keys = *keys;
	lane->first = 0;
}

/* What a whole record's plaintext is, at most. */
static uint64_t plain_of(const struct session *s, const struct record *record)
{
	size_t overhead = session_overhead(s);
	/* TLS 1.2 says what a record is for, TLS 1.3 does not. */
	if (record->type != RECORD_APPLICATION_DATA)
		return 0;
	return record->fragment.len > overhead ? record->fragment.len - overhead : 0;
}

void lane_lose(struct session *s, struct lane *lane, const struct stretch *stretch, enum session_cause cause)
{
	struct loss *loss = &lane->loss;
	if (s->force && s->force_cause != SESSION_CAUSES && cause == SESSION_NO_KEY)
		cause = (enum session_cause)s->force_cause;
	if (!loss->any)
		*loss = (struct loss){.any = true, .from = lane->next};
	loss->octets[cause] += stretch->octets;
	lane_clear_message(s, lane);
	if (stretch->kind != STRETCH_RECORD && stretch->kind != STRETCH_BROKEN) {
		loss->loose += stretch->octets;
		lane->unsure = true;
		return;
	}
	if (stretch->kind == STRETCH_RECORD)
		s->room->counts.records_lost++;
	loss->records++;
	loss->plain += plain_of(s, &stretch->record);
	lane->next++;
	/* A stream cipher goes on by what it did not see. */
	if (lane->protect && !protect_skip(lane->protect, stretch->record.fragment.len))
		lane->hopeless = true;
}

/* How many records of application data a loss held, now that it is known where it ended. */
static void settle(struct session *s, struct lane *lane, uint64_t sequence, enum lane_stage stage, uint32_t epoch)
{
	uint64_t seen = lane->loss.records, from = lane->loss.from;
	bool same = lane->stage == stage && lane->epoch == epoch;
	/* 0-RTT data ends with a message of four octets (RFC 8446, 4.5). */
	if (stage == LANE_EARLY && !same && lane->loss.plain >= HANDSHAKE_HEADER)
		lane->loss.plain -= HANDSHAKE_HEADER;
	if (same && (stage == LANE_DATA || stage == LANE_EARLY))
		loss_settle(s, lane, sequence > from ? sequence - from : 0);
	else if (lane->stage == LANE_DATA && stage == LANE_DATA)
		loss_settle(s, lane, seen > sequence ? seen : sequence + 1);
	else if (stage == LANE_EARLY || (lane->stage == LANE_DATA && sequence > 0))
		loss_settle(s, lane, seen > sequence ? seen : sequence);
	else
		loss_forget(lane);
}

/* Once both directions go on by themselves nothing of the handshake is needed any more. */
static void tidy(struct session *s)
{
	for (int i = 0; i < 2; i++) {
		const struct lane *lane = &s->lane[i];
		if (lane->stage != LANE_DATA || !lane->protect || (!session_is_13(s) && !lane->finished))
			return;
	}
	if (s->opening && !session_is_13(s) &&
		(s->lane[0].epoch != s->opening->number || s->lane[1].epoch != s->opening->number))
		return;
	session_tell_tls(s);
	session_opening_free(s);
	session_forget_keys(s);
}

static uint64_t loss_octets(const struct loss *loss)
{
	uint64_t sum = 0;
	for (int cause = 0; cause < SESSION_CAUSES; cause++)
		sum += loss->octets[cause];
	return sum;
}

void lane_opened(struct session *s, struct lane *lane, const struct stretch *stretch, const struct opened *opened,
	enum lane_stage stage, uint32_t epoch)
{
	struct session_counts *counts = &s->room->counts;
	lane->next = opened->sequence + 1;
	s->outcome.opened += stretch->octets;
	counts->records_opened++;
	counts->wire_octets += stretch->octets;
	s->trial_left = s->room->setup.limits.trial;
	if (s->waited) {
		s->waited = false;
		counts->waited++;
	}
	if (lane->loss.any) {
		if (lane->unsure) {
			counts->recovered++;
			session_notice(s, SEVERITY_INFO, "resynchronised",
				"The %s's records were found again after a loss of %llu octets.",
				lane->client ? "client" : "server", (unsigned long long)loss_octets(&lane->loss));
		}
		settle(s, lane, opened->sequence, stage, epoch);
	}
	lane->unsure = false;
	/* Data comes after Finished, even where that was lost. */
	if (opened->type == RECORD_APPLICATION_DATA && lane->stage == LANE_DATA && !lane->finished)
		lane->finished = s->moved = true;
	if (s->opening || s->waits)
		tidy(s);
}

/* Deals with the whole messages at the front of `in`, which moves on. */
static enum step messages(struct session *s, struct lane *lane, struct bytes *in, bool protected)
{
	uint8_t stage = lane->stage;
	uint32_t epoch = lane->epoch;
	struct handshake message;
	bool first = true;
	while (!s->dead && handshake_read(in, SESSION_MESSAGE_MAX, &message) == HANDSHAKE_OK) {
		enum step step = session_message(s, lane, &message, protected);
		if (step != STEP_DONE && first)
			return step;
		first = false;
		/* What follows a change of keys in the same record is no message of this epoch (RFC 8446, 5.1). */
		if (lane->stage != stage || lane->epoch != epoch) {
			*in = BYTES_NONE;
			return STEP_DONE;
		}
	}
	return STEP_DONE;
}

static bool is_message(struct bytes in)
{
	uint8_t type;
	return bytes_u8(&in, &type) && handshake_type_name(type) != NULL;
}

void lane_clear_message(struct session *s, struct lane *lane)
{
	s->room->held -= lane->message.len;
	buffer_clear(&lane->message);
}

/* False: it is not kept, and what was kept of the message is let go. */
static bool hold(struct session *s, struct lane *lane, struct bytes part)
{
	struct session_room *room = s->room;
	lane->message.cap = SESSION_MESSAGE_MAX;
	if (part.len <= SESSION_HELD_MAX - room->held && buffer_add(&lane->message, part)) {
		room->held += part.len;
		return true;
	}
	room->counts.held_refused++;
	lane_clear_message(s, lane);
	return false;
}

static enum step handshake_content(struct session *s, struct lane *lane, struct bytes content, bool protected)
{
	struct buffer *held = &lane->message;
	struct bytes in = content;
	if (held->len == 0) {
		/* After a loss this may be the middle of a message. */
		if (!is_message(in))
			return STEP_DONE;
		enum step step = messages(s, lane, &in, protected);
		if (step == STEP_DONE && in.len > 0 && is_message(in))
			(void)!hold(s, lane, in);
		return step;
	}
	if (!hold(s, lane, content))
		return STEP_DONE;
	in = buffer_bytes(held);
	size_t before = in.len;
	enum step step = messages(s, lane, &in, protected);
	if (step != STEP_DONE) {
		/* The record comes again. */
		held->len -= content.len;
		s->room->held -= content.len;
		return step;
	}
	s->room->held -= before - in.len;
	buffer_drop(held, before - in.len);
	if (held->len == 0)
		buffer_clear(held);
	return STEP_DONE;
}

enum step lane_content(struct session *s, struct lane *lane, uint8_t type, struct bytes content, bool protected)
{
	switch (type) {
	case RECORD_APPLICATION_DATA:
		if (protected && (lane->stage == LANE_DATA || lane->stage == LANE_EARLY))
			session_tell_data(s, lane, content);
		return STEP_DONE;
	case RECORD_ALERT:
		session_tell_alert(s, lane, content);
		return STEP_DONE;
	case RECORD_HANDSHAKE:
		return handshake_content(s, lane, content, protected);
	default:
		return STEP_DONE;
	}
}

/*
 * Whether it is TLS 1.2 can be told without its hellos: AEADs but ChaCha20 count up in the first eight octets of each record
 * (RFC 5288, 3), and alerts and handshake messages are longer than they can be in the clear. TLS 1.3 has neither.
 */
static void guess_version(struct session *s, struct lane *lane, const struct record *record)
{
	struct bytes in = record->fragment;
	uint64_t nonce;
	if (s->version != 0 || !lane->start_lost || !bytes_u64(&in, &nonce))
		return;
	if (record->type == RECORD_ALERT)
		s->seems_12 = true;
	if (record->type != RECORD_APPLICATION_DATA)
		return;
	s->seems_12 |= lane->nonce != 0 && nonce == lane->nonce + 1;
	lane->nonce = nonce;
}

/* No hello was seen in either direction: what one has shown of the connection does not say where the other one is. */
static bool from_middle(const struct session *s, const struct lane *lane)
{
	return lane->start_lost && !s->opening && s->version != 0;
}

/* Protected, and nobody knows how: the hellos are missing, or one of them. */
static enum step unknown_start(struct session *s, struct lane *lane, const struct stretch *stretch)
{
	struct opened opened = {0};
	if (s->opening && s->opening->retry && !s->opening->again && !lane->unsure) {
		s->outcome.early_refused += stretch->octets;
		return STEP_DONE;
	}
	if (session_peer_may_tell(s, lane) && !from_middle(s, lane))
		return STEP_WAIT_PEER;
	if (recover_start(s, lane, &stretch->record, &opened)) {
		lane_opened(s, lane, stretch, &opened, LANE_START, 0);
		return lane_content(s, lane, opened.type, opened.plaintext, true);
	}
	if (session_wait_key(s) != STEP_DONE)
		return STEP_WAIT_KEY;
	lane_lose(s, lane, stretch, SESSION_START_MISSING);
	return STEP_DONE;
}

static enum step start_13(struct session *s, struct lane *lane, const struct stretch *stretch)
{
	/* Without the ClientHello's random no secret can be looked up: candidates are. */
	if (!s->outcome.has_random || !s->suite || from_middle(s, lane))
		return unknown_start(s, lane, stretch);
	if (lane->client && s->early == EARLY_REFUSED && s->opening && s->opening->retry && !s->opening->again &&
		!lane->unsure) {
		s->outcome.early_refused += stretch->octets;
		return STEP_DONE;
	}
	bool early = lane->client && (s->early == EARLY_OFFERED || s->early == EARLY_ACCEPTED);
	lane->skip_refused =
		lane->client && s->early == EARLY_REFUSED && !(s->opening && s->opening->retry) && !s->told_refused;
	lane_enter13(s, lane, early ? LANE_EARLY : LANE_HANDSHAKE, 0);
	return lane_record13(s, lane, stretch);
}

/* Nothing protected came in this direction yet. */
static enum step start_record(struct session *s, struct lane *lane, const struct stretch *stretch)
{
	const struct opening *opening = s->opening;
	uint8_t type = stretch->record.type;
	guess_version(s, lane, &stretch->record);
	if (s->version == TLS_VERSION_12)
		return lane_record12(s, lane, stretch);
	if (type == RECORD_APPLICATION_DATA)
		return session_is_13(s) ? start_13(s, lane, stretch) : unknown_start(s, lane, stretch);
	/* What a client says after its hello depends on the answer. */
	bool said = lane->client && opening && opening->has_client && !opening->retry && lane->message.len == 0;
	if (said && s->version == 0 && type != RECORD_ALERT && session_peer_may_tell(s, lane))
		return STEP_WAIT_PEER;
	return lane_content(s, lane, type, stretch->record.fragment, false);
}

static enum step record(struct session *s, struct lane *lane, const struct stretch *stretch)
{
	s->record_seen = true;
	if (s->dead) {
		lane_lose(s, lane, stretch, (enum session_cause)s->dead_cause);
		return STEP_DONE;
	}
	if (s->dtls)
		return lane_record_dtls(s, lane, stretch);
	if (lane->stage == LANE_START)
		return start_record(s, lane, stretch);
	return session_is_13(s) ? lane_record13(s, lane, stretch) : lane_record12(s, lane, stretch);
}

void session_is_no_tls(struct session *s)
{
	s->not_tls = s->dead = s->moved = true;
	s->dead_cause = SESSION_NOT_TLS;
	/* No plaintext is missing from what never had any. */
	for (int i = 0; i < 2; i++) {
		struct loss *loss = &s->lane[i].loss;
		for (int cause = 0; cause < SESSION_CAUSES; cause++)
			s->outcome.octets[SESSION_NOT_TLS] += loss->octets[cause];
		*loss = (struct loss){0};
	}
}

/* Octets are missing. */
static void missing(struct session *s, struct lane *lane, const struct stretch *stretch)
{
	lane_lose(s, lane, stretch, stretch->kind == STRETCH_MALFORMED ? SESSION_MALFORMED : SESSION_GAP);
	if (lane->stage == LANE_START) {
		lane->start_lost = lane->unsure = true;
		s->moved = true;
	}
	if (!s->record_seen && lane->loss.loose > NO_RECORD)
		session_is_no_tls(s);
}

enum step lane_stretch(struct session *s, struct lane *lane, const struct stretch *stretch)
{
	lane->heard = true;
	if (s->not_tls) {
		s->outcome.octets[SESSION_NOT_TLS] += stretch->octets;
		return STEP_DONE;
	}
	switch (stretch->kind) {
	case STRETCH_RECORD:
		return record(s, lane, stretch);
	case STRETCH_BROKEN:
	case STRETCH_LOST:
	case STRETCH_MALFORMED:
		missing(s, lane, stretch);
		return STEP_DONE;
	case STRETCH_PREAMBLE:
		session_tell_preamble(s, lane, stretch);
		return STEP_DONE;
	case STRETCH_NOT_TLS:
		session_is_no_tls(s);
		s->outcome.octets[SESSION_NOT_TLS] += stretch->octets;
		return STEP_DONE;
	}
	return STEP_DONE;
}
