/*
 * Lines of a key log (RFC 9850) written into a TLS connection. A line lacks the suite, so that no record key can be made
 * of it: it goes on, sealed, to the readers of those grants that say `grade: raw` and cover it, and nowhere else. Nobody
 * asked the peer of that connection, so that such a grant says `consent: unilateral`; no name is known, so that its names
 * are "*"; a line opens both directions, so that it has both.
 */
#include "collect/parts.h"

#include "base/log.h"

#include <openssl/crypto.h>
#include <stdlib.h>

/* That of this reader, else a free one, else the one that was not used for longest. */
static struct raw_sealer *slot_of(struct collector *collector, const struct grant *grant)
{
	struct raw_sealer *found = &collector->raw[0];
	for (size_t i = 0; i < RAW_SEALERS_MAX; i++) {
		struct raw_sealer *slot = &collector->raw[i];
		if (slot->sealer && memcmp(slot->key, grant->public_key, SEAL_KEY) == 0)
			return slot;
		if (found->sealer && (!slot->sealer || slot->used < found->used))
			found = slot;
	}
	sealer_free(found->sealer);
	memcpy(found->key, grant->public_key, SEAL_KEY);
	found->sealer = sealer_new(found->key, 0);
	return found;
}

/* NULL without memory, or when the reader's key is no good. */
static struct sealer *sealer_of(struct collector *collector, const struct grant *grant)
{
	struct raw_sealer *slot = slot_of(collector, grant);
	slot->used = ++collector->raw_turn;
	return slot->sealer;
}

void lines_free(struct collector *collector)
{
	for (size_t i = 0; i < RAW_SEALERS_MAX; i++) {
		sealer_free(collector->raw[i].sealer);
		collector->raw[i].sealer = NULL;
	}
}

/* Exporter secrets open nothing that was sent: no reader needs them. */
static bool wanted(const struct keylog_line *line)
{
	return line->label != KEYLOG_EXPORTER && line->label != KEYLOG_EARLY_EXPORTER;
}

static bool release_of(struct bytes text, const struct keylog_line *line, struct release *release)
{
	*release = (struct release){.grade = RELEASE_GRADE_RAW,
		.mode = RELEASE_LIVE,
		.consent = RELEASE_UNILATERAL,
		.made_ns = clock_wall_ns()};
	if (text.len > RELEASE_LINE_MAX)
		return false;
	memcpy(release->line, text.data, text.len);
	release->line_len = text.len;
	if (line->id.kind == KEYLOG_ID_RANDOM)
		memcpy(release->key.client_random, line->id.octets, KEYLOG_RANDOM);
	return release_check(release) == RELEASE_OK;
}

struct reach {
	unsigned covers; /* grants that cover it */
	unsigned sealed; /* for how many readers of these */
};

/* To the readers of every grant that covers it. */
static struct reach seal_to_all(struct put *put, const struct peer *peer, struct release *release)
{
	struct collector *collector = peer->collector;
	uint8_t room[SEAL_MAX];
	const struct grant *grant;
	enum courier_why why;
	struct reach reach = {0};
	for (size_t i = 0; (grant = grant_set_at(collector->grants, i)); i++) {
		struct writer to = writer_over(room, sizeof(room));
		if (!grants_in_force(collector, grant->id, &why) ||
			!grant_has_sender(grant, peer->source->name, peer->source->key_hash) ||
			grant_judge(grant, release, collect_now_s()) != GRANT_ALLOWS)
			continue;
		reach.covers++;
		memcpy(release->grant, grant->id, RELEASE_GRANT);
		struct sealer *sealer = sealer_of(collector, grant);
		if (!sealer || sealer_seal(sealer, loop_now_ns(collector->loop), release, &to) != SEAL_OK)
			continue;
		put_one(put, bytes_of(room, to.len));
		reach.sealed++;
	}
	return reach;
}

static void take_bad(struct peer *peer, const char *why)
{
	peer->collector->counts.lines_bad++;
	if (peer->lines_bad++ == 0)
		log_warn("line not taken", LOG_S("from", peer->who.name), LOG_S("why", why));
}

static void take_good(struct peer *peer, struct put *put, struct release *release)
{
	struct reach reach = seal_to_all(put, peer, release);
	if (reach.covers > 0 && reach.sealed == reach.covers)
		return;
	peer->collector->counts.lines_refused++;
	put_refuse(put, reach.covers > 0 ? COURIER_WHY_FULL : COURIER_WHY_NO_GRANT);
	if (peer->lines_refused++ == 0)
		log_warn("line refused", LOG_S("from", peer->who.name),
			LOG_S("why",
				reach.covers > 0
					? "it could not be sealed for every reader: no memory, or a key that is no good"
					: "no grant with grade raw, consent unilateral, both directions and names "
					  "\"*\" is in force: a line alone says neither suite nor name"));
}

static void take_line(struct peer *peer, struct put *put, struct bytes text)
{
	struct collector *collector = peer->collector;
	struct keylog_line line;
	struct release release;
	enum keylog_result result = keylog_parse(text, &line);
	if (result == KEYLOG_NOTHING)
		return;
	peer->lines++;
	collector->counts.lines++;
	if (result != KEYLOG_OK) {
		take_bad(peer, keylog_result_text(result));
	} else if (!wanted(&line)) {
		collector->counts.lines_unwanted++;
		peer->lines_unwanted++;
	} else {
		if (release_of(text, &line, &release))
			take_good(peer, put, &release);
		else
			take_bad(peer, "it is longer than a line that can be passed on");
		release_wipe(&release);
	}
}

void lines_take(struct peer *peer, struct bytes text)
{
	struct collector *collector = peer->collector;
	struct bytes line;
	if (!peer->split)
		peer->split = calloc(1, sizeof(*peer->split));
	struct put *put = peer->split ? put_begin(collector, peer->source) : NULL;
	if (!put) {
		peer_close(peer, "no memory");
		return;
	}
	uint64_t before = peer->split->too_long;
	while (keylog_split_next(peer->split, &text, &line))
		take_line(peer, put, line);
	collector->counts.lines_bad += peer->split->too_long - before;
	put_end(put, peer, 0);
}

/* The last line may lack its LF. */
void lines_end(struct peer *peer)
{
	struct bytes line;
	if (peer->split && keylog_split_rest(peer->split, &line)) {
		struct put *put = put_begin(peer->collector, peer->source);
		if (put) {
			take_line(peer, put, line);
			put_end(put, NULL, 0);
		}
	}
	if (peer->split)
		keylog_split_wipe(peer->split);
	free(peer->split);
	peer->split = NULL;
	if (peer->lines > 0)
		log_info("lines ended", LOG_S("from", peer->who.name), LOG_N("lines", peer->lines),
			LOG_N("refused", peer->lines_refused), LOG_N("bad", peer->lines_bad),
			LOG_N("unwanted", peer->lines_unwanted));
}
