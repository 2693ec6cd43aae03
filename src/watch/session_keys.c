#include "watch/session_parts.h"

#include <stdlib.h>

void session_note_random(struct session *s, const uint8_t random[HELLO_RANDOM])
{
	memcpy(s->outcome.client_random, random, HELLO_RANDOM);
	s->outcome.has_random = true;
}

/* All that the connection's secrets may stand under. Returns how many. */
static size_t ids_of(const struct session *s, struct keylog_id ids[5])
{
	const struct opening *opening = s->opening;
	size_t count = 0;
	const uint8_t *random = opening && opening->has_client ? opening->client_random
	                        : s->outcome.has_random        ? s->outcome.client_random
	                                                       : NULL;
	if (random && keylog_id_set(&ids[count], KEYLOG_ID_RANDOM, bytes_of(random, HELLO_RANDOM)))
		count++;
	if (opening_ech_id(s, &ids[count]))
		count++;
	for (size_t i = 0; opening && !session_is_13(s) && i < sizeof(opening->ids) / sizeof(*opening->ids); i++)
		if (opening->ids[i].len > 0)
			ids[count++] = opening->ids[i];
	return count;
}

static void wait_begin(struct session *s)
{
	struct keylog_id ids[5];
	size_t count = ids_of(s, ids);
	if (!s->waits)
		s->waits = calloc(SESSION_WAITS, sizeof(*s->waits));
	if (!s->waits) {
		s->room->counts.no_memory++;
		return;
	}
	for (size_t i = 0; i < count && i < SESSION_WAITS; i++) {
		s->waits[i].owner = s;
		keyring_wait_begin(s->room->inbox, &s->waits[i], &ids[i]);
	}
}

enum step session_wait_key(struct session *s)
{
	if (s->force || s->given_up || s->room->setup.keys_final || !s->room->inbox)
		return STEP_DONE;
	if (s->waiting)
		return STEP_WAIT_KEY;
	/* Waits first and looks again then: what came between is not missed. */
	size_t before = session_keys(s)->count;
	s->waiting = true;
	wait_begin(s);
	s->looked = false;
	if (session_keys(s)->count != before)
		s->moved = true;
	return STEP_WAIT_KEY;
}

void session_wait_end(struct session *s)
{
	for (size_t i = 0; s->waits && i < SESSION_WAITS; i++)
		keyring_wait_end(&s->waits[i]);
	free(s->waits);
	s->waits = NULL;
	s->waiting = false;
}

const struct keyset *session_keys(struct session *s)
{
	struct keylog_id ids[5];
	if (s->looked)
		return &s->keys;
	s->looked = true;
	keyset_free(&s->keys);
	size_t count = ids_of(s, ids);
	if (count > 0)
		(void)keyring_find(s->room->setup.ring, ids, count, &s->keys);
	if (s->opening && s->opening->ech)
		opening_ech_look(s);
	return &s->keys;
}

/* Whether the key is the one of this place, and has the form that its suite wants. */
static bool fits(const struct session *s, const struct lane *lane, enum lane_stage stage, uint32_t epoch,
	const struct record_key *key)
{
	struct shape shape;
	enum record_stage named = stage == LANE_EARLY       ? RECORD_STAGE_EARLY
	                          : stage == LANE_HANDSHAKE ? RECORD_STAGE_HANDSHAKE
	                                                    : RECORD_STAGE_APPLICATION;
	/* Record keys count the handshakes of TLS 1.2 from 0. */
	uint32_t number = stage != LANE_DATA ? 0 : session_is_13(s) ? epoch : epoch - 1;
	return key->from_client == lane->client && key->stage == named && key->epoch == number &&
	       key->version == s->version && key->suite == s->suite->value && shape_of(s->suite, s->version, &shape) &&
	       key->key_len == shape.key && key->iv_len == shape.iv && key->mac_len == shape.mac_key;
}

bool session_record_key(struct session *s, const struct lane *lane, enum lane_stage stage, uint32_t epoch, size_t nth,
	struct traffic_keys *keys, uint64_t *first)
{
	struct record_key found[8];
	size_t from = 0, count;
	bool ok = false;
	if (!s->suite || !s->outcome.has_random)
		return false;
	struct bytes random =
		bytes_of(s->outcome.has_inner ? s->outcome.inner_random : s->outcome.client_random, HELLO_RANDOM);
	do {
		count = keyring_record_keys(s->room->setup.ring, random, from, found, 8);
		for (size_t i = 0; i < count; i++) {
			if (!ok && fits(s, lane, stage, epoch, &found[i]) && nth-- == 0) {
				*keys = (struct traffic_keys){0};
				memcpy(keys->key, found[i].key, found[i].key_len);
				memcpy(keys->iv, found[i].iv, found[i].iv_len);
				memcpy(keys->mac, found[i].mac, found[i].mac_len);
				*first = found[i].first_seq;
				ok = true;
			}
			record_key_wipe(&found[i]);
		}
		from += count;
	} while (!ok && count == 8);
	return ok;
}

void session_forget_keys(struct session *s)
{
	keyset_free(&s->keys);
	s->looked = false;
	session_wait_end(s);
}

static void learn(struct session *s, const struct keylog_id *id)
{
	const struct opening *opening = s->opening;
	if (id->len > 0 &&
		keyring_add_secret(s->room->setup.ring, id, KEYLOG_MASTER, 0, tls_secret_bytes(&opening->masters[0])))
		s->room->counts.learned++;
}

/* A full handshake's secret is what later ones resume: their own randoms need not be in any log. */
void session_learn(struct session *s)
{
	const struct opening *opening = s->opening;
	if (!opening || !opening->chosen || opening->resumed)
		return;
	learn(s, &opening->ids[0]);
	learn(s, &opening->ticket);
}
