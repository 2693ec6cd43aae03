#include "share/refusals.h"

#include "base/text.h"
#include "keys/share_offer.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>

struct refusal {
	uint8_t client_random[KEYLOG_RANDOM], key_id[SHARE_KEY_ID];
	uint8_t cause;
	bool server;
	char name[SHARE_NAME_MAX + 1];
};

struct refusals {
	pthread_mutex_t lock;
	size_t first, count;
	uint64_t lost;
	struct refusal waiting[REFUSALS_MAX];
};

struct refusals *refusals_new(void)
{
	struct refusals *refusals = calloc(1, sizeof(*refusals));
	if (refusals && pthread_mutex_init(&refusals->lock, NULL) == 0)
		return refusals;
	free(refusals);
	return NULL;
}

void refusals_free(struct refusals *refusals)
{
	if (!refusals)
		return;
	pthread_mutex_destroy(&refusals->lock);
	free(refusals);
}

void refusals_put(struct refusals *refusals, const struct share_item *item)
{
	pthread_mutex_lock(&refusals->lock);
	if (refusals->count == REFUSALS_MAX) {
		refusals->lost++;
	} else {
		struct refusal *to = &refusals->waiting[(refusals->first + refusals->count++) % REFUSALS_MAX];
		*to = (struct refusal){.cause = item->cause, .server = item->server};
		memcpy(to->client_random, item->key.client_random, KEYLOG_RANDOM);
		memcpy(to->key_id, item->key_id, SHARE_KEY_ID);
		memcpy(to->name, item->name, sizeof(to->name));
	}
	pthread_mutex_unlock(&refusals->lock);
}

static bool look(struct refusals *refusals, struct refusal *out)
{
	pthread_mutex_lock(&refusals->lock);
	bool any = refusals->count > 0;
	if (any)
		*out = refusals->waiting[refusals->first];
	pthread_mutex_unlock(&refusals->lock);
	return any;
}

static void drop_first(struct refusals *refusals)
{
	pthread_mutex_lock(&refusals->lock);
	refusals->first = (refusals->first + 1) % REFUSALS_MAX;
	refusals->count--;
	pthread_mutex_unlock(&refusals->lock);
}

static bool log_one(
	const struct refusal *refusal, bool (*append)(void *arg, const struct audit_entry *entry), void *arg)
{
	char key[2 * SHARE_KEY_ID + 1], random[2 * KEYLOG_RANDOM + 1];
	struct audit_entry entry = {.kind = AUDIT_REFUSAL};
	text_hex(key, sizeof(key), bytes_of(refusal->key_id, SHARE_KEY_ID));
	text_hex(random, sizeof(random), bytes_of(refusal->client_random, KEYLOG_RANDOM));
	audit_entry_add(&entry, AUDIT_T("why", bytes_str(share_refusal_text(refusal->cause))));
	audit_entry_add(&entry, AUDIT_T("side", bytes_str(refusal->server ? "server" : "client")));
	if (share_refusal_has_reader(refusal->cause))
		audit_entry_add(&entry, AUDIT_T("reader_key", bytes_str(key)));
	audit_entry_add(&entry, AUDIT_C("connection", bytes_str(random)));
	if (refusal->name[0])
		audit_entry_add(&entry, AUDIT_C("name", bytes_str(refusal->name)));
	audit_entry_add(&entry, AUDIT_N("count", 1));
	return append(arg, &entry);
}

/* As many as there was no room for, whatever they were. */
static bool log_lost(struct refusals *refusals, bool (*append)(void *arg, const struct audit_entry *entry), void *arg)
{
	struct audit_entry entry = {.kind = AUDIT_REFUSAL};
	pthread_mutex_lock(&refusals->lock);
	uint64_t lost = refusals->lost;
	pthread_mutex_unlock(&refusals->lock);
	if (lost == 0)
		return true;
	audit_entry_add(&entry, AUDIT_T("why", bytes_str("the sides do not agree; too many at once to say more")));
	audit_entry_add(&entry, AUDIT_T("side", bytes_str("host")));
	audit_entry_add(&entry, AUDIT_N("count", lost));
	if (!append(arg, &entry))
		return false;
	pthread_mutex_lock(&refusals->lock);
	refusals->lost -= lost;
	pthread_mutex_unlock(&refusals->lock);
	return true;
}

bool refusals_log(struct refusals *refusals, bool (*append)(void *arg, const struct audit_entry *entry), void *arg)
{
	struct refusal refusal;
	while (look(refusals, &refusal)) {
		if (!log_one(&refusal, append, arg))
			return false;
		drop_first(refusals);
	}
	return log_lost(refusals, append, arg);
}
