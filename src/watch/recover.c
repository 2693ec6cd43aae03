/*
 * The place again after a loss. A record that does not open where it stands is tried with other sequence numbers, other
 * epochs, other stages, other secrets. Nothing is taken on trust: what is given out has passed its tag or MAC, and what
 * inversion says about a number is only where to try.
 */
#include "watch/recover.h"
#include "tls/invert.h"
#include "tls/schedule13.h"

#include <openssl/crypto.h>

#define EPOCHS_AHEAD 8 /* KeyUpdates that a loss may have held */
#define SECRETS_EACH 4 /* secrets that a log may give for one label and epoch */
#define UNSURE_AHEAD 4 /* numbers tried where nothing is known to be lost */

bool recover_pay(struct session *s, struct lane *lane, uint64_t octets)
{
	s->room->counts.trials++;
	if (octets > s->trial_left) {
		if (!lane->hopeless)
			s->room->counts.trials_exhausted++;
		lane->hopeless = true;
		return false;
	}
	s->trial_left -= octets;
	return true;
}

bool recover_keys(struct session *s, struct lane *lane, const struct attempt *attempt, struct traffic_keys *keys,
	const struct record *record, struct protect **out, struct opened *opened)
{
	struct session_room *room = s->room;
	struct protect_setup setup = {.suite = attempt->suite,
		.version = attempt->version,
		.encrypt_then_mac = attempt->etm,
		.keys = keys,
		.sequence = attempt->from};
	uint64_t from = attempt->from, count = attempt->count;
	if (!recover_pay(s, lane, record->fragment.len + 64))
		return false;
	switch (invert_gcm(room->crypto, &setup, record, &from)) {
	case INVERT_FOUND:
		if (from < attempt->from)
			return false;
		count = 1;
		break;
	case INVERT_NO_WAY:
		break;
	default:
		return false;
	}
	struct protect *protect = protect_new(room->crypto, &setup);
	if (!protect)
		return false;
	uint64_t most = s->trial_left / (record->fragment.len + 64);
	if (count > most)
		count = most;
	if (invert_search(protect, record, from, count, room->scratch, sizeof(room->scratch), opened) == INVERT_FOUND) {
		*out = protect;
		return true;
	}
	if (count > 1)
		(void)!recover_pay(s, lane, count * (record->fragment.len + 64));
	protect_free(protect);
	return false;
}

uint64_t recover_reach(const struct session *s, const struct lane *lane)
{
	uint64_t least = RECORD_HEADER + session_overhead(s);
	return lane->loss.records + lane->loss.loose / least + UNSURE_AHEAD;
}

bool recover_secret(struct session *s, struct lane *lane, const struct attempt *attempt, struct bytes secret,
	struct place place, const struct record *record, struct opened *opened)
{
	struct tls_secret traffic = {0};
	struct traffic_keys keys;
	struct protect *protect = NULL;
	bool ok = secret.len == crypto_hash_len(attempt->suite->prf) && tls_secret_set(&traffic, secret) &&
	          schedule13_keys(s->room->crypto, attempt->suite, &traffic, &keys) &&
	          recover_keys(s, lane, attempt, &keys, record, &protect, opened);
	if (ok) {
		if (lane->stage != place.stage || lane->epoch != place.epoch)
			lane_enter13(s, lane, place.stage, place.epoch);
		lane_key(lane, protect, &keys);
		lane->secret = traffic;
	}
	OPENSSL_cleanse(&keys, sizeof(keys));
	tls_secret_wipe(&traffic);
	return ok;
}

/* Every secret that the log gives for this place. */
static bool try_logged(struct session *s, struct lane *lane, const struct attempt *attempt, struct place place,
	const struct record *record, struct opened *opened)
{
	enum keylog_label label = lane_label(lane, place.stage);
	struct bytes secret;
	for (size_t nth = 0; nth < SECRETS_EACH && !lane->hopeless; nth++) {
		if (!keyset_get(session_keys(s), label, place.epoch, nth, &secret))
			return false;
		if (recover_secret(s, lane, attempt, secret, place, record, opened))
			return true;
	}
	return false;
}

/* The epochs after this one, by derivation. */
static bool try_ahead(struct session *s, struct lane *lane, const struct attempt *attempt, const struct record *record,
	struct opened *opened)
{
	struct tls_secret next = lane->secret;
	uint32_t epoch = lane->epoch;
	bool ok = false;
	for (unsigned i = 0; i < EPOCHS_AHEAD && !ok && !lane->hopeless; i++) {
		if (!schedule13_next(s->room->crypto, attempt->suite->prf, &next, &next))
			break;
		struct place place = {LANE_DATA, ++epoch};
		ok = recover_secret(s, lane, attempt, tls_secret_bytes(&next), place, record, opened);
	}
	tls_secret_wipe(&next);
	return ok;
}

static bool try_one_record_key(struct session *s, struct lane *lane, struct attempt attempt, struct place place,
	struct traffic_keys *keys, uint64_t first, const struct record *record, struct opened *opened)
{
	struct protect *protect = NULL;
	if (first > attempt.from) {
		uint64_t later = first - attempt.from;
		attempt.count = attempt.count > later ? attempt.count - later : 1;
		attempt.from = first;
	}
	if (!recover_keys(s, lane, &attempt, keys, record, &protect, opened))
		return false;
	if (lane->stage != place.stage || lane->epoch != place.epoch)
		lane_enter13(s, lane, place.stage, place.epoch);
	lane_key(lane, protect, keys);
	lane->first = first;
	return true;
}

/*
 * With record keys alone there is no secret to derive from: the place's own keys are tried, each from where it may be. There
 * are several where somebody contradicts somebody.
 */
static bool try_record_key(struct session *s, struct lane *lane, uint64_t from, uint64_t count, struct place place,
	const struct record *record, struct opened *opened)
{
	const struct attempt attempt = {.suite = s->suite, .version = TLS_VERSION_13, .from = from, .count = count};
	struct traffic_keys keys;
	uint64_t first;
	bool ok = false;
	for (size_t nth = 0; !ok && session_record_key(s, lane, place.stage, place.epoch, nth, &keys, &first); nth++) {
		ok = try_one_record_key(s, lane, attempt, place, &keys, first, record, opened);
		traffic_keys_wipe(&keys);
	}
	return ok;
}

bool recover_13(struct session *s, struct lane *lane, const struct record *record, struct opened *opened)
{
	enum lane_stage stage = lane->stage;
	struct attempt here = {
		.suite = s->suite, .version = TLS_VERSION_13, .from = lane->loss.any ? lane->loss.from : lane->next};
	struct attempt later = {.suite = s->suite, .version = TLS_VERSION_13};
	if (!s->suite || lane->hopeless)
		return false;
	here.count = later.count = recover_reach(s, lane);
	/* In the stage where it is: what was lost is of it, or its key is another one. */
	if (lane->secret.len > 0) {
		struct tls_secret secret = lane->secret;
		struct place place = {stage, lane->epoch};
		bool ok = recover_secret(s, lane, &here, tls_secret_bytes(&secret), place, record, opened);
		tls_secret_wipe(&secret);
		if (ok)
			return true;
	}
	if (try_logged(s, lane, &here, (struct place){stage, stage == LANE_DATA ? lane->epoch : 0}, record, opened))
		return true;
	for (int after = (int)stage + 1; after <= LANE_DATA && !lane->hopeless; after++)
		if (try_logged(s, lane, &later, (struct place){(enum lane_stage)after, 0}, record, opened))
			return true;
	if (try_record_key(s, lane, here.from, here.count, (struct place){stage, lane->epoch}, record, opened) ||
		(stage != LANE_DATA &&
			try_record_key(s, lane, 0, later.count, (struct place){LANE_DATA, 0}, record, opened)))
		return true;
	/* KeyUpdates are lost only where something is, or where their key was not known. */
	if (!lane->unsure && !lane->loss.any)
		return false;
	if (stage == LANE_DATA && lane->secret.len > 0 && try_ahead(s, lane, &later, record, opened))
		return true;
	uint32_t first = stage == LANE_DATA ? lane->epoch + 1 : 1;
	for (uint32_t epoch = first; epoch < first + EPOCHS_AHEAD && !lane->hopeless; epoch++)
		if (try_logged(s, lane, &later, (struct place){LANE_DATA, epoch}, record, opened) ||
			try_record_key(s, lane, 0, later.count, (struct place){LANE_DATA, epoch}, record, opened))
			return true;
	return false;
}

static bool try_master(struct session *s, struct lane *lane, const struct tls_secret *master,
	const struct attempt *attempt, const struct record *record, struct opened *opened)
{
	struct traffic_keys keys;
	struct protect *protect = protect_of_master(s, lane, master, &keys), *found = NULL;
	bool ok = protect && recover_keys(s, lane, attempt, &keys, record, &found, opened);
	protect_free(protect);
	if (ok) {
		struct opening *opening = s->opening;
		lane_key(lane, found, &keys);
		lane->stage = LANE_DATA;
		lane->epoch = opening->number;
		opening->masters[0] = *master;
		opening->master_count = 1;
		opening->chosen = s->moved = true;
	}
	OPENSSL_cleanse(&keys, sizeof(keys));
	return ok;
}

/* The key is known, and only the number is not. */
static bool try_numbers12(
	struct session *s, struct lane *lane, uint64_t count, const struct record *record, struct opened *opened)
{
	if (!recover_pay(s, lane, record->fragment.len + 64))
		return false;
	struct traffic_keys keys = lane->keys;
	uint64_t from = lane->loss.from, sequence;
	/* What a shared record key may not open is not looked for. */
	if (from < lane->first) {
		count = count > lane->first - from ? count - (lane->first - from) : 1;
		from = lane->first;
	}
	struct protect_setup setup = {s->suite, TLS_VERSION_12, false, &keys, from};
	bool tried = false, ok = false;
	switch (invert_gcm(s->room->crypto, &setup, record, &sequence)) {
	case INVERT_FOUND:
		if (sequence >= from) {
			from = sequence;
			count = 1;
		} else {
			tried = true;
		}
		break;
	case INVERT_NO_WAY:
		break;
	default:
		tried = true;
	}
	/* The lane's own protect knows what was agreed about its MAC; a search leaves it where it was. */
	if (!tried && s->suite->cipher != SUITE_CIPHER_RC4)
		ok = invert_search(lane->protect, record, from, count, s->room->scratch, sizeof(s->room->scratch),
			     opened) == INVERT_FOUND;
	if (!ok && count > 1)
		(void)!recover_pay(s, lane, count * (record->fragment.len + 64));
	traffic_keys_wipe(&keys);
	return ok;
}

bool recover_12(struct session *s, struct lane *lane, const struct record *record, struct opened *opened)
{
	const struct opening *opening = s->opening;
	struct attempt attempt = {.suite = s->suite, .version = TLS_VERSION_12, .from = lane->next};
	if (!s->suite || lane->hopeless || (!lane->loss.any && lane->protect))
		return false;
	attempt.count = recover_reach(s, lane);
	if (lane->protect)
		return try_numbers12(s, lane, attempt.count, record, opened);
	if (!opening || !opening->has_server || opening->number < lane->epoch)
		return false;
	if (lane->stage != LANE_DATA || lane->epoch != opening->number)
		attempt.from = 0;
	attempt.etm = opening->etm;
	opening_gather(s);
	struct tls_secret masters[SESSION_MASTERS];
	size_t count = opening->master_count;
	memcpy(masters, opening->masters, sizeof(masters));
	bool ok = false;
	for (size_t i = 0; i < count && !ok && !lane->hopeless; i++)
		ok = try_master(s, lane, &masters[i], &attempt, record, opened);
	OPENSSL_cleanse(masters, sizeof(masters));
	return ok;
}
