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
	return &s->keys;
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
