#include "keys/keyset.h"

#include <openssl/crypto.h>

/* Nearly every secret is of 32 or 48 octets; longer ones are held apart. */
struct keyset_entry {
	uint8_t label;
	bool counted, cut;
	uint16_t len;
	uint32_t epoch;
	uint8_t *longer; /* NULL: in `octets` */
	uint8_t octets[64];
};

#define ROOM_FIRST 8

static struct bytes entry_secret(const struct keyset_entry *entry)
{
	return bytes_of(entry->longer ? entry->longer : entry->octets, entry->len);
}

/* Not realloc, which would leave copies of secrets behind. */
static bool grow(struct keyset *set)
{
	size_t room = set->room ? set->room * 2 : ROOM_FIRST;
	struct keyset_entry *wider = OPENSSL_zalloc(room * sizeof(*wider));
	if (!wider)
		return false;
	if (set->count)
		memcpy(wider, set->entries, set->count * sizeof(*wider));
	if (set->entries)
		OPENSSL_clear_free(set->entries, set->room * sizeof(*set->entries));
	set->entries = wider;
	set->room = room;
	return true;
}

/* One epoch after the last that was counted. */
static uint32_t next_counted(const struct keyset *set, enum keylog_label label)
{
	uint32_t epoch = 1;
	for (size_t i = 0; i < set->count; i++)
		epoch += set->entries[i].label == label && set->entries[i].counted;
	return epoch;
}

static bool entry_fill(struct keyset_entry *entry, struct bytes secret)
{
	uint8_t *to = entry->octets;
	if (secret.len > sizeof(entry->octets)) {
		to = entry->longer = OPENSSL_malloc(secret.len);
		if (!to)
			return false;
	}
	if (secret.len)
		memcpy(to, secret.data, secret.len);
	entry->len = (uint16_t)secret.len;
	return true;
}

static enum keyset_result refuse(struct keyset *set)
{
	set->refused++;
	return KEYSET_REFUSED;
}

enum keyset_result keyset_add(
	struct keyset *set, enum keylog_label label, uint32_t epoch, bool cut, struct bytes secret)
{
	bool contradicts = false;
	bool unnamed = epoch == KEYLOG_EPOCH_UNNAMED;
	for (size_t i = 0; i < set->count; i++) {
		struct keyset_entry *e = &set->entries[i];
		if (e->label != label)
			continue;
		/* One endpoint may name the epoch that the other does not. */
		bool same_epoch = unnamed || e->counted || e->epoch == epoch;
		if (same_epoch && bytes_equal_secret(entry_secret(e), secret)) {
			e->cut = e->cut && cut;
			if (!unnamed)
				e->epoch = epoch;
			set->duplicates++;
			return KEYSET_DUPLICATE;
		}
		contradicts = contradicts || (!unnamed && e->epoch == epoch);
	}
	if (set->count >= KEYSET_MAX || secret.len > KEYLOG_MAX_SECRET || (set->count == set->room && !grow(set)))
		return refuse(set);
	struct keyset_entry *entry = &set->entries[set->count];
	*entry = (struct keyset_entry){.label = (uint8_t)label, .counted = unnamed, .cut = cut};
	entry->epoch = unnamed ? next_counted(set, label) : epoch;
	if (!entry_fill(entry, secret))
		return refuse(set);
	set->count++;
	set->contradictory += contradicts;
	return contradicts ? KEYSET_CONTRADICTS : KEYSET_ADDED;
}

enum keyset_result keyset_add_line(struct keyset *set, const struct keylog_line *line, bool cut)
{
	uint8_t octets[KEYLOG_MAX_SECRET];
	size_t len = keylog_secret(line, octets, sizeof(octets));
	enum keyset_result result = keyset_add(set, line->label, line->epoch, cut, bytes_of(octets, len));
	OPENSSL_cleanse(octets, len);
	return result;
}

bool keyset_at(const struct keyset *set, size_t at, struct keyset_key *out)
{
	if (at >= set->count)
		return false;
	const struct keyset_entry *e = &set->entries[at];
	*out = (struct keyset_key){
		.label = e->label, .epoch = e->epoch, .counted = e->counted, .cut = e->cut, .secret = entry_secret(e)};
	return true;
}

bool keyset_get(const struct keyset *set, enum keylog_label label, uint32_t epoch, size_t nth, struct bytes *secret)
{
	for (size_t i = 0; i < set->count; i++) {
		const struct keyset_entry *e = &set->entries[i];
		if (e->label != label || e->epoch != epoch)
			continue;
		if (nth-- == 0) {
			*secret = entry_secret(e);
			return true;
		}
	}
	return false;
}

void keyset_free(struct keyset *set)
{
	for (size_t i = 0; i < set->count; i++) {
		if (set->entries[i].longer)
			OPENSSL_clear_free(set->entries[i].longer, set->entries[i].len);
	}
	if (set->entries)
		OPENSSL_clear_free(set->entries, set->room * sizeof(*set->entries));
	*set = (struct keyset){0};
}
