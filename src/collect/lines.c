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

/* Of a reader; NULL when there are too many. */
static struct sealer *sealer_of(struct collector *collector, const struct grant *grant)
{
	for (size_t i = 0; i < collector->raw_count; i++) {
		if (memcmp(collector->raw[i].key, grant->public_key, SEAL_KEY) == 0)
			return collector->raw[i].sealer;
	}
	if (collector->raw_count == RAW_SEALERS_MAX)
		return NULL;
	struct raw_sealer *slot = &collector->raw[collector->raw_count];
	slot->sealer = sealer_new(grant->public_key, 0);
	if (!slot->sealer)
		return NULL;
	memcpy(slot->key, grant->public_key, SEAL_KEY);
	collector->raw_count++;
	return slot->sealer;
}

void lines_free(struct collector *collector)
{
	for (size_t i = 0; i < collector->raw_count; i++)
		sealer_free(collector->raw[i].sealer);
	collector->raw_count = 0;
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

/* To the readers of every grant that covers it; how many. */
static unsigned seal_to_all(struct put *put, const struct peer *peer, struct release *release)
{
	struct collector *collector = peer->collector;
	uint8_t room[SEAL_MAX];
	const struct grant *grant;
	enum courier_why why;
	unsigned sealed = 0;
	for (size_t i = 0; (grant = grant_set_at(collector->grants, i)); i++) {
		struct writer to = writer_over(room, sizeof(room));
		if (!grants_in_force(collector, grant->id, &why) ||
			!grant_has_sender(grant, peer->source->name, peer->source->key_hash) ||
			grant_judge(grant, release, collect_now_s()) != GRANT_ALLOWS)
			continue;
		memcpy(release->grant, grant->id, RELEASE_GRANT);
		struct sealer *sealer = sealer_of(collector, grant);
		if (!sealer || sealer_seal(sealer, loop_now_ns(collector->loop), release, &to) != SEAL_OK)
			continue;
		put_one(put, bytes_of(room, to.len));
		sealed++;
	}
	return sealed;
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
	if (result != KEYLOG_OK || !release_of(text, &line, &release)) {
		collector->counts.lines_bad++;
		if (peer->lines_bad++ == 0)
			log_warn("line not taken", LOG_S("from", peer->who.name),
				LOG_S("why", result == KEYLOG_OK ? "it is longer than a line that can be passed on"
								 : keylog_result_text(result)));
		return;
	}
	if (wanted(&line) && seal_to_all(put, peer, &release) == 0) {
		collector->counts.lines_refused++;
		put_refuse(put, COURIER_WHY_NO_GRANT);
		if (peer->lines_refused++ == 0)
			log_warn("line refused", LOG_S("from", peer->who.name),
				LOG_S("why",
					"no grant with grade raw, consent unilateral, both directions and names \"*\" "
					"is in force: a line alone says neither suite nor name"));
	}
	release_wipe(&release);
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
			LOG_N("refused", peer->lines_refused), LOG_N("bad", peer->lines_bad));
}
