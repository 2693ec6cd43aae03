/* Grants for tests: signed by "boss", whose seed is 01 00 00 .. 00. */
#ifndef TEST_GRANT_MAKER_H
#define TEST_GRANT_MAKER_H

#include "base/note.h"

static inline struct note_signer *grant_boss(void)
{
	static const uint8_t seed[NOTE_SEED] = {1};
	return note_signer_of_seed(bytes_str("boss"), NOTE_ED25519, seed, NULL);
}

/* Who may sign, for those who read. */
static inline bool grant_boss_key(struct note_key *key)
{
	struct note_signer *boss = grant_boss();
	if (boss)
		*key = *note_signer_key(boss);
	note_signer_free(boss);
	return boss != NULL;
}

/* The signed note of a text. */
static inline bool grant_boss_signs(const char *text, struct writer *to)
{
	struct note_signer *boss = grant_boss();
	bool ok = boss && note_write(to, boss, bytes_str(text), 0);
	note_signer_free(boss);
	return ok;
}

#endif
