/*
 * DTLS 1.2 (RFC 6347): what differs from TLS is that records come in any order, more than once or not at all, say their
 * epoch and number themselves, and that handshake messages come in fragments. Secrets, waiting and events are TLS's.
 */
#include "tls/dtls_join.h"
#include "watch/session_parts.h"

#include <openssl/crypto.h>
#include <stdlib.h>

#define HELLO_VERIFY_REQUEST 3
#define RECORD_TLS12_CID     25 /* RFC 9146 */
#define EPOCHS_PLAUSIBLE     16 /* of a connection whose beginning was not seen */
#define HELLOS_BEFORE        8  /* a hello's number, at most, where earlier ones were lost */

/* Which numbers of an epoch have come (RFC 6347, 4.1.2.6). */
struct window {
	uint64_t top;  /* the highest, plus 1 */
	uint64_t seen; /* how many */
	uint64_t bits[SESSION_WINDOW / 64];
};

struct dtls_lane {
	struct dtls_join join;
	struct window window; /* of the lane's epoch */
	struct window before_window;
	struct protect *before; /* of the epoch before, for what comes late */
	uint64_t lost;          /* records of the epoch that did not open */
	uint64_t missing;       /* of epochs that are over */
};

struct dtls {
	struct dtls_lane lane[2];
	uint64_t number; /* epoch and sequence number of the record that is being dealt with */
	bool told_missing, told_id;
};

struct dtls *dtls_new(void)
{
	return calloc(1, sizeof(struct dtls));
}

static struct dtls_lane *side_of(struct session *s, const struct lane *lane)
{
	return &s->dtls->lane[lane == &s->lane[1]];
}

static void join_reset(struct session *s, struct dtls_lane *side, uint16_t next)
{
	s->room->held -= side->join.cost;
	dtls_join_reset(&side->join, next);
}

void dtls_free(struct session *s)
{
	if (!s->dtls)
		return;
	for (int i = 0; i < 2; i++) {
		join_reset(s, &s->dtls->lane[i], 0);
		protect_free(s->dtls->lane[i].before);
	}
	free(s->dtls);
	s->dtls = NULL;
}

/* The window. */

static bool window_takes(const struct window *window, uint64_t number)
{
	if (number >= window->top)
		return true;
	if (window->top - number > SESSION_WINDOW)
		return false;
	return (window->bits[number / 64 % (SESSION_WINDOW / 64)] >> number % 64 & 1) == 0;
}

static void window_mark(struct window *window, uint64_t number)
{
	if (number >= window->top && number - window->top >= SESSION_WINDOW)
		memset(window->bits, 0, sizeof(window->bits));
	else
		for (uint64_t n = window->top; n <= number; n++)
			window->bits[n / 64 % (SESSION_WINDOW / 64)] &= ~(UINT64_C(1) << n % 64);
	if (number >= window->top)
		window->top = number + 1;
	window->bits[number / 64 % (SESSION_WINDOW / 64)] |= UINT64_C(1) << number % 64;
	window->seen++;
}

static uint64_t window_missing(const struct window *window, uint64_t lost)
{
	return window->top > window->seen + lost ? window->top - window->seen - lost : 0;
}

/* Handshakes. */

static bool waits_for_nothing(const struct session *s)
{
	return s->force || s->given_up || s->dead;
}

/*
 * A hello says by itself where its direction's numbers begin: those of earlier hellos may be lost, and another handshake
 * begins anew.
 */
static void anchor(struct session *s, const struct lane *lane, struct dtls_lane *side,
	const struct dtls_handshake *fragment, uint16_t epoch)
{
	const struct opening *opening = s->opening;
	bool client = fragment->type == HANDSHAKE_CLIENT_HELLO;
	bool hello = client || fragment->type == HANDSHAKE_SERVER_HELLO || fragment->type == HANDSHAKE_HELLO_REQUEST;
	if (!hello || fragment->sequence == side->join.next)
		return;
	bool begun = opening && opening->number > lane->epoch && (client ? opening->has_client : opening->has_server);
	bool first = epoch == 0 && lane->epoch == 0 && fragment->sequence > side->join.next &&
	             fragment->sequence < HELLOS_BEFORE && !(opening && opening->has_server);
	bool another = epoch > 0 && lane->finished && !begun;
	if (first || another)
		join_reset(s, side, fragment->sequence);
}

static void take_fragments(struct session *s, struct lane *lane, struct bytes content, uint16_t epoch)
{
	struct dtls_lane *side = side_of(s, lane);
	struct session_room *room = s->room;
	struct dtls_handshake fragment;
	while (dtls_handshake_read(&content, &fragment)) {
		anchor(s, lane, side, &fragment, epoch);
		size_t before = side->join.cost;
		enum dtls_join_result result =
			dtls_join_add(&side->join, &fragment, epoch, SESSION_HELD_MAX - room->held);
		room->held = room->held - before + side->join.cost;
		if (result != DTLS_JOIN_ADDED && result != DTLS_JOIN_OLD)
			room->counts.fragments_refused++;
	}
}

/* The client's second flight is understood once all of the server's first one is. */
static bool is_due(struct session *s, const struct lane *lane, const struct dtls_message *message)
{
	const struct opening *opening = s->opening;
	if (!lane->client || message->type == HANDSHAKE_CLIENT_HELLO || waits_for_nothing(s) || !opening ||
		!opening->has_client || opening->number <= lane->epoch)
		return true;
	return opening->has_server && (opening->server_done || session_peer(s, lane)->epoch >= opening->number);
}

static enum step deliver(struct session *s, struct lane *lane, const struct dtls_message *from)
{
	struct handshake message = {.type = from->type, .body = from->body, .whole = from->whole};
	struct bytes cookie;
	if (from->type == HELLO_VERIFY_REQUEST)
		return STEP_DONE;
	if (from->type == HANDSHAKE_CLIENT_HELLO) {
		struct writer w = writer_over(s->room->scratch, sizeof(s->room->scratch));
		if (!dtls_client_hello_strip(from->body, &w, &cookie) || !writer_done(&w, &message.body))
			return STEP_DONE;
		/* One with a cookie takes the place of the one before (RFC 6347, 4.2.1). */
		if (from->epoch == 0 && s->opening && !s->opening->has_server)
			session_opening_free(s);
	}
	return session_message(s, lane, &message, from->epoch > 0);
}

static bool pump_lane(struct session *s, struct lane *lane)
{
	struct dtls_lane *side = side_of(s, lane);
	struct dtls_message message;
	bool any = false;
	while (side->join.parts) {
		size_t before = side->join.cost;
		bool whole = dtls_join_next(&side->join, &message) ||
		             ((s->force || s->given_up) && dtls_join_skip(&side->join) &&
				     dtls_join_next(&side->join, &message));
		s->room->held = s->room->held - before + side->join.cost;
		if (!whole || !is_due(s, lane, &message) || deliver(s, lane, &message) != STEP_DONE)
			break;
		before = side->join.cost;
		dtls_join_pop(&side->join);
		s->room->held = s->room->held - before + side->join.cost;
		any = true;
	}
	return any;
}

void dtls_pump(struct session *s)
{
	bool any;
	do {
		any = pump_lane(s, &s->lane[0]);
		any |= pump_lane(s, &s->lane[1]);
	} while (any);
}

/* Records. */

enum protect_result dtls_open(
	struct session *s, struct protect *protect, const struct record *record, struct opened *opened)
{
	struct dtls_record as_it_came = {.type = record->type,
		.version = record->version,
		.epoch = (uint16_t)(s->dtls->number >> 48),
		.sequence = s->dtls->number & 0xffffffffffff,
		.fragment = record->fragment};
	return protect_open_dtls(protect, &as_it_came, s->room->scratch, sizeof(s->room->scratch), opened);
}

static void lose(struct session *s, struct lane *lane, const struct stretch *stretch, enum session_cause cause)
{
	side_of(s, lane)->lost++;
	lane_lose(s, lane, stretch, cause);
}

static void clear_record(struct session *s, struct lane *lane, const struct stretch *stretch)
{
	const struct record *record = &stretch->record;
	/* Once a direction has keys only what is sent again is in the clear; and it could be anybody's. */
	if (lane->finished)
		return;
	if (record->type == RECORD_HANDSHAKE) {
		take_fragments(s, lane, record->fragment, 0);
		dtls_pump(s);
	} else if (record->type == RECORD_ALERT && lane->epoch == 0) {
		(void)!lane_content(s, lane, record->type, record->fragment, false);
	}
}

static void content(struct session *s, struct lane *lane, const struct opened *opened, uint16_t epoch)
{
	if (opened->type == RECORD_HANDSHAKE) {
		take_fragments(s, lane, opened->plaintext, epoch);
		dtls_pump(s);
		return;
	}
	/* Behind data no message of its handshake comes any more. */
	if (opened->type == RECORD_APPLICATION_DATA && side_of(s, lane)->join.parts && !s->opening)
		join_reset(s, side_of(s, lane), side_of(s, lane)->join.next);
	(void)!lane_content(s, lane, opened->type, opened->plaintext, true);
}

/* Of the epoch before, come late. */
static void late_record(struct session *s, struct lane *lane, const struct stretch *stretch, uint16_t epoch)
{
	struct dtls_lane *side = side_of(s, lane);
	uint64_t number = stretch->number & 0xffffffffffff;
	struct opened opened = {0};
	if (!window_takes(&side->before_window, number)) {
		s->room->counts.repeated++;
		return;
	}
	if ((uint32_t)epoch + 1 != lane->epoch || !side->before ||
		dtls_open(s, side->before, &stretch->record, &opened) != PROTECT_OK) {
		lane_lose(s, lane, stretch, SESSION_WRONG_KEY);
		return;
	}
	window_mark(&side->before_window, number);
	if (side->missing > 0)
		side->missing--;
	lane_opened(s, lane, stretch, &opened, LANE_DATA, lane->epoch);
	if (opened.type != RECORD_HANDSHAKE)
		(void)!lane_content(s, lane, opened.type, opened.plaintext, true);
}

/* The first record of an epoch: the handshake that agreed on it must have been read. */
static enum step enter(struct session *s, struct lane *lane, const struct stretch *stretch, uint16_t epoch)
{
	struct opening *opening = s->opening;
	struct dtls_lane *side = side_of(s, lane);
	if (!opening || !opening->has_server || opening->number != epoch) {
		if (opening && opening->number >= epoch && !waits_for_nothing(s))
			return STEP_WAIT_PEER;
		lose(s, lane, stretch, SESSION_START_MISSING);
		return STEP_DONE;
	}
	if (!lane->client && !opening->server_done)
		opening->resumed = true;
	protect_free(side->before);
	side->before = lane->protect;
	lane->protect = NULL;
	side->missing += window_missing(&side->window, side->lost);
	side->before_window = side->window;
	side->window = (struct window){0};
	side->lost = 0;
	lane_unkey(lane);
	lane->stage = LANE_DATA;
	lane->epoch = epoch;
	lane->next = 0;
	lane->finished = false;
	s->moved = true;
	return STEP_DONE;
}

/* What the secrets come from may come yet, behind this record or in the other direction. */
static bool secret_may_come(struct session *s, const struct lane *lane)
{
	const struct opening *opening = s->opening;
	return opening->master_count == 0 && !lane->protect && !opening->exchanged && !opening->resumed &&
	       !waits_for_nothing(s);
}

static enum step sealed_record(struct session *s, struct lane *lane, const struct stretch *stretch)
{
	struct opened opened = {0};
	struct opening *opening = s->opening;
	struct dtls_lane *side = side_of(s, lane);
	uint64_t number = stretch->number & 0xffffffffffff;
	enum protect_result result = PROTECT_BAD_TAG;
	bool had_key = lane->protect != NULL;
	if (!window_takes(&side->window, number)) {
		s->room->counts.repeated++;
		return STEP_DONE;
	}
	if (lane->protect) {
		result = number >= lane->first ? dtls_open(s, lane->protect, &stretch->record, &opened)
		                               : PROTECT_BAD_TAG;
	} else if (opening && opening->has_server && opening->number == lane->epoch) {
		if (opening_open(s, lane, &stretch->record, &opened))
			result = PROTECT_OK;
		had_key = opening->master_count > 0 || lane->protect;
		if (result != PROTECT_OK && !opening->chosen && session_wait_key(s) != STEP_DONE)
			return STEP_WAIT_KEY;
		if (result != PROTECT_OK && secret_may_come(s, lane))
			return STEP_WAIT_PEER;
	}
	if (result != PROTECT_OK) {
		lose(s, lane, stretch,
			result != PROTECT_BAD_TAG ? SESSION_MALFORMED
			: had_key                 ? SESSION_WRONG_KEY
						  : SESSION_NO_KEY);
		return STEP_DONE;
	}
	window_mark(&side->window, number);
	lane_opened(s, lane, stretch, &opened, LANE_DATA, lane->epoch);
	content(s, lane, &opened, (uint16_t)lane->epoch);
	return STEP_DONE;
}

enum step lane_record_dtls(struct session *s, struct lane *lane, const struct stretch *stretch)
{
	uint16_t epoch = (uint16_t)(stretch->number >> 48);
	s->dtls->number = stretch->number;
	if (epoch == 0) {
		clear_record(s, lane, stretch);
		return STEP_DONE;
	}
	if (epoch < lane->epoch) {
		late_record(s, lane, stretch, epoch);
		return STEP_DONE;
	}
	if (epoch > lane->epoch) {
		enum step step = enter(s, lane, stretch, epoch);
		if (step != STEP_DONE || lane->epoch != epoch)
			return step;
	}
	return sealed_record(s, lane, stretch);
}

/* Datagrams. */

bool session_datagram_opens(struct bytes datagram)
{
	struct dtls_record record, next;
	struct dtls_handshake message;
	enum dtls_result result;
	if (dtls_record_read(&datagram, &record) != DTLS_OK)
		return false;
	if (record.epoch == 0)
		return record.type == RECORD_HANDSHAKE && dtls_handshake_read(&record.fragment, &message);
	if (record.epoch > EPOCHS_PLAUSIBLE || record.version != DTLS_VERSION_12 || record.fragment.len == 0)
		return false;
	do
		result = dtls_record_read(&datagram, &next);
	while (result == DTLS_OK);
	return result == DTLS_END;
}

/* Another client begins where one has begun already: its random is another. */
static bool is_another(const struct session *s, const struct lane *lane, struct bytes datagram)
{
	struct dtls_record record;
	struct dtls_handshake message;
	struct bytes random;
	if (!s->outcome.has_random || !lane->client || dtls_record_read(&datagram, &record) != DTLS_OK ||
		record.epoch != 0 || record.type != RECORD_HANDSHAKE ||
		!dtls_handshake_read(&record.fragment, &message) || message.type != HANDSHAKE_CLIENT_HELLO ||
		message.offset != 0)
		return false;
	return bytes_skip(&message.body, 2) && bytes_take(&message.body, HELLO_RANDOM, &random) &&
	       !bytes_equal(random, bytes_of(s->outcome.client_random, HELLO_RANDOM));
}

/* What stands where a record should. */
static void strange(struct session *s, struct lane *lane, enum dtls_result result, struct bytes rest, uint64_t cut)
{
	struct bytes at = rest;
	uint8_t type;
	if (!bytes_u8(&at, &type))
		return;
	struct stretch stretch = {.kind = STRETCH_BROKEN, .octets = rest.len + cut};
	stretch.record.type = type == RECORD_TLS12_CID ? RECORD_APPLICATION_DATA : type;
	size_t inner = rest.len > DTLS_RECORD_HEADER ? rest.len - DTLS_RECORD_HEADER : 0;
	stretch.record.fragment = bytes_of(NULL, inner);
	enum session_cause cause = cut > 0 ? SESSION_GAP : SESSION_MALFORMED;
	if (type == RECORD_TLS12_CID) {
		cause = SESSION_CONNECTION_ID;
		if (!s->dtls->told_id)
			session_notice(s, SEVERITY_WARN, "connection-id",
				"Records with a connection ID (RFC 9146) are not decrypted.");
		s->dtls->told_id = true;
	} else if (result == DTLS_NOT_DTLS && !(s->dead && (type & 0xe0) == 0x20)) {
		/* Another protocol on the same ports. DTLS 1.3 has a short header of its own. */
		return;
	}
	lane_lose(s, lane, &stretch, s->dead ? (enum session_cause)s->dead_cause : cause);
}

bool session_datagram(
	struct session *s, enum flow_direction direction, struct bytes datagram, uint64_t cut, uint64_t time_ns)
{
	struct lane *lane = &s->lane[direction];
	struct dtls_record record;
	enum dtls_result result;
	if (is_another(s, lane, datagram))
		return false;
	session_room_tick(s->room, time_ns);
	while ((result = dtls_record_read(&datagram, &record)) == DTLS_OK) {
		struct stretch stretch = {.kind = STRETCH_RECORD,
			.octets = DTLS_RECORD_HEADER + record.fragment.len,
			.record = {.type = record.type, .version = record.version, .fragment = record.fragment},
			.number = (uint64_t)record.epoch << 48 | record.sequence};
		session_take(s, lane, &stretch, time_ns);
	}
	s->time_ns = time_ns;
	strange(s, lane, result, datagram, cut);
	return true;
}

void dtls_close(struct session *s)
{
	s->force = true;
	dtls_pump(s);
	s->force = false;
	if (s->lane[0].queue.first || s->lane[1].queue.first || s->dtls->told_missing)
		return;
	s->dtls->told_missing = true;
	uint64_t missing[2] = {0};
	for (int i = 0; i < 2; i++) {
		const struct dtls_lane *side = &s->dtls->lane[i];
		missing[lane_direction(&s->lane[i])] += side->missing + window_missing(&side->window, side->lost);
	}
	s->room->counts.missing += missing[FLOW_UP] + missing[FLOW_DOWN];
	if (missing[FLOW_UP] + missing[FLOW_DOWN] > 0)
		session_notice(s, SEVERITY_INFO, "records-missing",
			"%llu records of the client's and %llu of the server's are not in the capture.",
			(unsigned long long)missing[FLOW_UP], (unsigned long long)missing[FLOW_DOWN]);
}
