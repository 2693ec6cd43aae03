#include "watch/session_parts.h"

#include <openssl/crypto.h>
#include <stdlib.h>

#define FRAMER_CAP   ((size_t)64 * 1024 * 1024)
#define CERTIFICATES 512

const struct session_limits session_limits_default = {
	.park_session = (size_t)4 * 1024 * 1024,
	.park_total = (size_t)64 * 1024 * 1024,
	.park_ns = UINT64_C(60) * 1000 * 1000 * 1000,
	.candidates = 4096,
	.trial = UINT64_C(64) * 1024 * 1024,
};

struct session_room *session_room_new(const struct session_setup *setup)
{
	struct session_room *room = calloc(1, sizeof(*room));
	if (!room)
		return NULL;
	room->setup = *setup;
	room->framers.cap = FRAMER_CAP;
	room->crypto = crypto_new();
	room->certificates = cache_new(CERTIFICATES, free);
	room->prints = hello_prints_new();
	room->sessions.size = sizeof(struct session);
	room->openings.size = sizeof(struct opening);
	if (!setup->keys_final)
		room->inbox = keyring_inbox_new(setup->ring, setup->wake_fd);
	room->generation = keyring_count(setup->ring).generation;
	if (room->crypto && setup->own_thread)
		crypto_spoil_errors(room->crypto);
	if (room->crypto && room->certificates && room->prints && (setup->keys_final || room->inbox))
		return room;
	session_room_free(room);
	return NULL;
}

void session_room_free(struct session_room *room)
{
	if (!room)
		return;
	keyring_inbox_free(room->inbox);
	cache_free(room->certificates);
	hello_prints_free(room->prints);
	spare_free(&room->sessions);
	spare_free(&room->openings);
	crypto_free(room->crypto);
	framer_pool_free(&room->framers);
	OPENSSL_cleanse(room->scratch, sizeof(room->scratch));
	free(room);
}

static struct session *session_of_place(struct park_place *place)
{
	return (struct session *)((char *)place - offsetof(struct session, place));
}

struct session *session_new(struct session_room *room, const struct session_start *start)
{
	struct session *s = spare_take(&room->sessions);
	if (!s) {
		room->counts.no_memory++;
		return NULL;
	}
	s->room = room;
	s->user = start->user;
	s->flow = start->flow;
	s->trial_left = room->setup.limits.trial;
	s->force_cause = SESSION_CAUSES;
	s->lane[FLOW_UP].client = true;
	s->dtls = start->datagrams ? dtls_new() : NULL;
	if (start->datagrams && !s->dtls) {
		room->counts.no_memory++;
		spare_give(&room->sessions, s);
		return NULL;
	}
	for (int i = 0; i < 2; i++) {
		framer_init(&s->lane[i].framer, start->from_start);
		s->lane[i].unsure = s->lane[i].start_lost = !start->from_start && !start->datagrams;
	}
	room->counts.sessions++;
	return s;
}

void session_free(struct session *s)
{
	if (!s)
		return;
	for (int i = 0; i < 2; i++) {
		struct lane *lane = &s->lane[i];
		park_clear(&s->room->park, &lane->queue);
		framer_free(&s->room->framers, &lane->framer);
		lane_unkey(lane);
		lane_clear_message(s, lane);
	}
	park_leave(&s->room->park, &s->place);
	session_forget_keys(s);
	session_opening_free(s);
	dtls_free(s);
	spare_give(&s->room->sessions, s);
}

void session_set_roles(struct session *s, struct lane *client)
{
	s->settled_roles = true;
	s->swapped = client != &s->lane[FLOW_UP];
	client->client = true;
	session_peer(s, client)->client = false;
}

bool session_peer_may_tell(const struct session *s, const struct lane *lane)
{
	const struct lane *peer = lane == &s->lane[0] ? &s->lane[1] : &s->lane[0];
	if (s->force || s->given_up || s->dead || (peer->ended && !peer->queue.first))
		return false;
	return peer->stage != LANE_START || !peer->start_lost;
}

/* The direction whose turn it is: the one that has waited longest and is not stuck. NULL: none. */
static struct lane *next_waiting(struct session *s, const bool stuck[2])
{
	struct lane *found = NULL;
	for (int i = 0; i < 2; i++) {
		struct lane *lane = &s->lane[i];
		if (!stuck[i] && lane->queue.first && (!found || lane->queue.first->order < found->queue.first->order))
			found = lane;
	}
	return found;
}

/* In the order in which it came. */
void session_run(struct session *s)
{
	struct park *park = &s->room->park;
	bool stuck[2] = {false, false};
	struct lane *lane;
	if (s->dtls)
		dtls_pump(s);
	s->moved = false;
	while ((lane = next_waiting(s, stuck))) {
		s->time_ns = lane->queue.first->time_ns;
		if (lane_stretch(s, lane, &lane->queue.first->stretch) == STEP_DONE)
			park_drop(park, &lane->queue);
		else
			stuck[lane - s->lane] = true;
		if (s->moved && s->dtls)
			dtls_pump(s);
		if (s->moved)
			stuck[0] = stuck[1] = false;
		s->moved = false;
	}
	if (!s->lane[0].queue.first && !s->lane[1].queue.first)
		park_leave(park, &s->place);
}

/* Nothing waits any longer: what does not open now is lost. */
static void force_all(struct session *s, enum session_cause cause)
{
	s->force = true;
	s->force_cause = (uint8_t)cause;
	session_run(s);
	s->force = false;
	s->force_cause = SESSION_CAUSES;
}

/* The session's bound: the oldest go, one by one. */
static void slide(struct session *s)
{
	size_t cap = s->room->setup.limits.park_session;
	if (s->lane[0].queue.cost + s->lane[1].queue.cost <= cap)
		return;
	s->room->counts.gave_up_full++;
	while (s->lane[0].queue.cost + s->lane[1].queue.cost > cap) {
		struct lane *lane = &s->lane[s->lane[0].queue.cost < s->lane[1].queue.cost];
		if (!lane->queue.first)
			return;
		s->force = true;
		s->force_cause = SESSION_PARK_FULL;
		s->time_ns = lane->queue.first->time_ns;
		if (lane_stretch(s, lane, &lane->queue.first->stretch) != STEP_DONE)
			lane_lose(s, lane, &lane->queue.first->stretch, SESSION_PARK_FULL);
		park_drop(&s->room->park, &lane->queue);
		s->force = false;
		s->force_cause = SESSION_CAUSES;
	}
}

static void park_stretch(struct session *s, struct lane *lane, const struct stretch *stretch, uint64_t time_ns)
{
	struct session_room *room = s->room;
	if (!park_add(&room->park, &lane->queue, stretch, time_ns)) {
		room->counts.no_memory++;
		lane_lose(s, lane, stretch, SESSION_NO_MEMORY);
		return;
	}
	s->waited = true;
	park_join(&room->park, &s->place, time_ns);
	slide(s);
	while (room->park.cost > room->setup.limits.park_total && room->park.longest) {
		struct session *longest = session_of_place(room->park.longest);
		room->counts.gave_up_full++;
		longest->given_up = true;
		force_all(longest, SESSION_PARK_FULL);
		longest->given_up = false;
		park_leave(&room->park, &longest->place);
	}
}

void session_take(struct session *s, struct lane *lane, const struct stretch *stretch, uint64_t time_ns)
{
	s->time_ns = time_ns;
	/* Of DTLS, what is not of the newest epoch is not behind what waits for that one's key. */
	bool behind = lane->queue.first && (!s->dtls || stretch->number >> 48 > lane->epoch ||
						   (lane->epoch > 0 && stretch->number >> 48 == lane->epoch));
	if (behind || lane_stretch(s, lane, stretch) != STEP_DONE)
		park_stretch(s, lane, stretch, time_ns);
	if (s->moved)
		session_run(s);
}

static void turn(struct session *s, struct lane *lane, struct framer_turn turn, uint64_t time_ns)
{
	struct stretch stretch;
	while (!s->dtls && framer_next(&s->room->framers, &lane->framer, &turn, &stretch))
		session_take(s, lane, &stretch, time_ns);
}

void session_room_tick(struct session_room *room, uint64_t now_ns)
{
	struct park *park = &room->park;
	while (park->longest && now_ns > park->longest->since_ns &&
		now_ns - park->longest->since_ns > room->setup.limits.park_ns) {
		struct session *s = session_of_place(park->longest);
		room->counts.gave_up_time++;
		s->given_up = true;
		force_all(s, SESSION_CAUSES);
		park_leave(park, &s->place);
	}
}

void session_data(struct session *s, enum flow_direction direction, struct bytes octets, uint64_t time_ns)
{
	if (s->room->park.longest)
		session_room_tick(s->room, time_ns);
	turn(s, &s->lane[direction], framer_data(octets), time_ns);
}

void session_gap(struct session *s, enum flow_direction direction, uint64_t octets, uint64_t time_ns)
{
	turn(s, &s->lane[direction], framer_gap(octets), time_ns);
}

void session_half(struct session *s, enum flow_direction direction, uint64_t time_ns)
{
	struct lane *lane = &s->lane[direction];
	turn(s, lane, framer_end(), time_ns);
	lane->ended = true;
	session_run(s);
	/* Said after all that was sent; what waits for a key is sent later. */
	s->time_ns = time_ns;
	if (!lane->queue.first && !s->not_tls)
		session_tell_half(s, lane);
}

void session_close(struct session *s, uint64_t time_ns)
{
	bool ended[2] = {s->lane[0].ended, s->lane[1].ended};
	if (s->closed)
		return;
	s->closed = true;
	for (int i = 0; i < 2; i++) {
		turn(s, &s->lane[i], framer_end(), time_ns);
		s->lane[i].ended = true;
	}
	if (s->dtls)
		dtls_close(s);
	force_all(s, SESSION_CAUSES);
	if (s->dtls)
		dtls_close(s);
	s->time_ns = time_ns;
	if (!s->record_seen && !s->dead && (s->lane[0].loss.any || s->lane[1].loss.any))
		session_is_no_tls(s);
	for (int i = 0; i < 2; i++) {
		loss_close(s, &s->lane[i]);
		if (ended[i] && !s->not_tls)
			session_tell_half(s, &s->lane[i]);
	}
	session_tell_tls(s);
	park_leave(&s->room->park, &s->place);
	session_wait_end(s);
}

void session_keys_arrived(struct session *s, uint64_t time_ns)
{
	s->looked = s->waiting = s->given_up = false;
	s->lane[0].hopeless = s->lane[1].hopeless = false;
	if (s->opening && !s->opening->chosen)
		s->opening->gathered = false;
	session_run(s);
	s->time_ns = time_ns;
	for (int i = 0; i < 2; i++)
		if (s->lane[i].ended && !s->lane[i].queue.first && !s->not_tls)
			session_tell_half(s, &s->lane[i]);
}

/* Connections whose start nobody saw wait for no secret in particular. */
static void retry_unknown(struct session_room *room, uint64_t now_ns)
{
	struct park_place *place = room->park.longest;
	while (place) {
		struct park_place *next = place->shorter;
		struct session *s = session_of_place(place);
		if (!s->outcome.has_random)
			session_keys_arrived(s, now_ns);
		place = next;
	}
}

void session_room_keys(struct session_room *room, uint64_t now_ns)
{
	struct keyring_wait *wait;
	while (room->inbox && (wait = keyring_inbox_next(room->inbox)))
		session_keys_arrived(wait->owner, now_ns);
	uint64_t generation = keyring_count(room->setup.ring).generation;
	if (generation == room->generation)
		return;
	room->generation = generation;
	retry_unknown(room, now_ns);
}

void session_room_keys_final(struct session_room *room, uint64_t now_ns)
{
	session_room_keys(room, now_ns);
	room->setup.keys_final = true;
	while (room->park.longest) {
		struct session *s = session_of_place(room->park.longest);
		park_leave(&room->park, &s->place);
		/* What waits for the other direction waits on. */
		session_run(s);
		if (s->lane[0].queue.first || s->lane[1].queue.first) {
			force_all(s, SESSION_CAUSES);
			park_leave(&room->park, &s->place);
		}
	}
}

bool session_swapped(const struct session *s)
{
	return s->swapped;
}

bool session_wants_data(const struct session *s)
{
	return !s->not_tls;
}

struct session_outcome session_outcome(const struct session *s)
{
	struct session_outcome out = s->outcome;
	uint64_t most = 0, lost = 0;
	for (int i = 0; i < 2; i++) {
		const struct lane *lane = &s->lane[i];
		out.plain[lane_direction(lane)] = lane->plain;
		out.missing[lane_direction(lane)] = lane->missing;
	}
	if (s->seems_12 || s->dtls) {
		out.octets[SESSION_START_12] += out.octets[SESSION_START_MISSING];
		out.octets[SESSION_START_MISSING] = 0;
	}
	for (int cause = 0; cause < SESSION_CAUSES; cause++) {
		lost += out.octets[cause];
		if (out.octets[cause] > most) {
			most = out.octets[cause];
			out.cause = (enum session_cause)cause;
		}
	}
	if (lost == 0)
		out.verdict = out.opened > 0 ? SESSION_DECRYPTED : SESSION_NOTHING;
	else
		out.verdict = out.plain[0] + out.plain[1] > 0 ? SESSION_PARTLY : SESSION_NOT;
	return out;
}

struct session_counts session_room_count(const struct session_room *room)
{
	struct session_counts counts = room->counts;
	counts.parked = room->park.cost;
	counts.parked_peak = room->park.peak;
	counts.waiting = room->park.places;
	counts.held = room->held;
	return counts;
}

const char *session_verdict_name(enum session_verdict verdict)
{
	static const char *const names[] = {
		[SESSION_NOTHING] = "nothing",
		[SESSION_DECRYPTED] = "decrypted",
		[SESSION_PARTLY] = "partly",
		[SESSION_NOT] = "not",
	};
	return verdict <= SESSION_NOT ? names[verdict] : "unknown";
}

const char *session_cause_name(enum session_cause cause)
{
	static const char *const names[SESSION_CAUSES] = {
		[SESSION_NO_KEY] = "no-key",
		[SESSION_WRONG_KEY] = "wrong-key",
		[SESSION_GAP] = "gap",
		[SESSION_START_MISSING] = "start-missing",
		[SESSION_PARK_FULL] = "park-full",
		[SESSION_START_12] = "start-missing-tls12",
		[SESSION_SUITE] = "suite-unsupported",
		[SESSION_CONNECTION_ID] = "connection-id",
		[SESSION_VERSION] = "version-unsupported",
		[SESSION_NOT_TLS] = "not-tls",
		[SESSION_MALFORMED] = "malformed",
		[SESSION_NO_MEMORY] = "no-memory",
	};
	return cause < SESSION_CAUSES ? names[cause] : "unknown";
}
