/* Grants: the folder, what is in force, and what readers have ended. */
#include "collect/parts.h"

#include "base/log.h"
#include "base/text.h"
#include "pki/file.h"

#include <stdlib.h>

enum courier_why collect_why_of(enum grant_verdict verdict)
{
	switch (verdict) {
	case GRANT_ALLOWS:
		return COURIER_WHY_NONE;
	case GRANT_ENDED:
		return COURIER_WHY_EXPIRED;
	case GRANT_REVOKED:
		return COURIER_WHY_REVOKED;
	default:
		return COURIER_WHY_OUTSIDE;
	}
}

static void bad_file(void *arg, const char *text)
{
	(void)arg;
	log_error("grant not taken", LOG_S("why", text));
}

static bool append(void *arg, const struct audit_entry *entry)
{
	struct collector *collector = arg;
	return audit_append(collector->log, entry, clock_wall_ns(), NULL) == AUDIT_QUEUED;
}

static bool log_enough(struct collector *collector, const struct grant *grant)
{
	struct grant_texts texts;
	struct audit_entry entry;
	entry_of_revocation(grant, "the reader has said that it is enough", &texts, &entry);
	return append(collector, &entry) && audit_flush(collector->log);
}

static void tell(struct peer *peer, const uint8_t id[static RELEASE_GRANT], enum courier_why why)
{
	uint8_t room[64];
	struct writer to = writer_over(room, sizeof(room));
	struct bytes frame;
	courier_ended_write(&to, id, why);
	if (writer_done(&to, &frame))
		peer_send(peer, frame);
}

static void tell_senders(struct collector *collector, const uint8_t id[static RELEASE_GRANT], enum courier_why why)
{
	for (struct peer *peer = collector->peers, *next; peer; peer = next) {
		next = peer->next;
		if (peer->stage == PEER_KEYS && !peer->dead)
			tell(peer, id, why);
	}
}

/* Keys of a grant that ended are of no use to anyone any more. */
static void drop_keys(struct collector *collector, const uint8_t id[static RELEASE_GRANT])
{
	struct store_item item;
	struct seal_head head;
	for (uint64_t n = store_first(collector->store); n < store_end(collector->store); n++) {
		if (store_at(collector->store, n, &item) && seal_head_read(item.sealed, &head) &&
			memcmp(head.grant, id, RELEASE_GRANT) == 0)
			store_drop(collector->store, n);
	}
	collector->spool_owes = true;
}

static void say_ended(const struct grant *grant, const char *why)
{
	char id[2 * RELEASE_GRANT + 1];
	text_hex(id, sizeof(id), bytes_of(grant->id, RELEASE_GRANT));
	log_info("grant ended", LOG_S("grant", id), LOG_S("reader", grant->reader), LOG_S("why", why));
}

static void end_old(struct collector *collector, const struct grant_set *old, const struct grant_set *fresh)
{
	const struct grant *grant;
	for (size_t i = 0; old && (grant = grant_set_at(old, i)); i++) {
		bool gone = !grant_set_find(fresh, grant->id);
		bool revoked = grant_set_revoked(fresh, grant->id) && !grant_set_revoked(old, grant->id);
		if (!gone && !revoked)
			continue;
		say_ended(grant, revoked ? "it was revoked" : "it is not in the folder any more");
		drop_keys(collector, grant->id);
		tell_senders(collector, grant->id, gone ? COURIER_WHY_NO_GRANT : COURIER_WHY_REVOKED);
	}
}

/* False when the log does not take the entry. */
static bool end_one(struct collector *collector, const struct grant *grant)
{
	static const char reason[] = "its time is over";
	struct grant_texts texts;
	struct audit_entry entry;
	enum courier_why why;
	/* What was revoked, or enough, has its end in the log. */
	if (!grants_in_force(collector, grant->id, &why))
		return true;
	entry_of_revocation(grant, reason, &texts, &entry);
	if (!append(collector, &entry))
		return false;
	say_ended(grant, reason);
	drop_keys(collector, grant->id);
	collector->generation++;
	return true;
}

void grants_end_by_time(struct collector *collector)
{
	const struct grant *grant;
	int64_t now_s = collect_now_s();
	bool ok = audit_log_closed(collector->log) == NULL;
	if (now_s <= collector->ended_s)
		return;
	for (size_t i = 0; ok && (grant = grant_set_at(collector->grants, i)); i++) {
		if (grant->until_s > collector->ended_s && grant->until_s <= now_s)
			ok = end_one(collector, grant);
	}
	if (ok)
		collector->ended_s = now_s;
}

/* A grant may come when its time is over already. */
static void end_late(struct collector *collector, const struct grant_set *old)
{
	const struct grant *grant;
	for (size_t i = 0; (grant = grant_set_at(collector->grants, i)); i++) {
		bool late = grant->until_s != 0 && grant->until_s <= collector->ended_s;
		if (late && (!old || !grant_set_find(old, grant->id)))
			(void)!end_one(collector, grant);
	}
}

void grants_begin(struct collector *collector)
{
	const struct collect_options *options = collector->options;
	collector->folder = (struct grant_folder){.path = options->grants,
		.signers = options->signers,
		.signer_count = options->signer_count,
		.bad = bad_file};
}

bool grants_load(struct collector *collector, struct error *err)
{
	struct grant_set *fresh = grant_folder_read(&collector->folder, clock_monotonic_ns(), err);
	struct grant_set *old = collector->grants;
	if (!fresh)
		return false;
	if (!grant_folder_changes(old, fresh, append, collector) || !audit_flush(collector->log)) {
		grant_set_free(fresh);
		return error_set(err, "the audit log cannot be written: %s", audit_log_closed(collector->log));
	}
	if (!old || grant_set_count(old) != grant_set_count(fresh))
		log_info("grants", LOG_N("count", grant_set_count(fresh)));
	collector->grants = fresh;
	collector->generation++;
	end_old(collector, old, fresh);
	end_late(collector, old);
	grants_end_by_time(collector);
	grant_set_free(old);
	return true;
}

bool grants_stale(struct collector *collector)
{
	return grant_folder_stale(&collector->folder, collect_now_s(), clock_monotonic_ns());
}

void grants_refresh(struct collector *collector)
{
	struct error err;
	bool loaded = grants_load(collector, &err);
	if (!loaded && !collector->grants_owed)
		log_error("grants not read", LOG_S("why", err.text), LOG_S("in-force", "the grants before"));
	collector->grants_owed = !loaded;
	give_pump_all(collector);
}

/*
 * What readers have ended stands in a file beside the audit log, an id a line, so that a restart does not begin it again.
 */
static bool enough_path(const struct collector *collector, char path[FILE_PATH_MAX])
{
	return snprintf(path, FILE_PATH_MAX, "%s.enough", collector->options->audit) < FILE_PATH_MAX;
}

bool grants_read_enough(struct collector *collector, struct error *err)
{
	char path[FILE_PATH_MAX];
	struct file_bytes file = {0};
	struct bytes line;
	size_t len;
	if (!enough_path(collector, path))
		return error_set(err, "--log: the path is too long");
	if (!file_exists(path))
		return true;
	if (!file_read(path, (size_t)GRANT_MAX * 64, &file, NULL, err))
		return false;
	struct bytes text = bytes_of(file.data, file.len);
	while (text.len > 0 && collector->enough_count < GRANT_MAX) {
		(void)!bytes_take(&text, bytes_find(text, '\n', 0), &line);
		(void)!bytes_skip(&text, 1);
		if (text_unhex(collector->enough[collector->enough_count], RELEASE_GRANT, &len, line) &&
			len == RELEASE_GRANT)
			collector->enough_count++;
	}
	file_bytes_free(&file);
	return true;
}

static bool write_enough(const struct collector *collector)
{
	char path[FILE_PATH_MAX], hex[2 * RELEASE_GRANT + 1];
	struct error err;
	char *text = malloc((size_t)GRANT_MAX * sizeof(hex));
	size_t len = 0;
	for (size_t i = 0; text && i < collector->enough_count; i++) {
		len += text_hex(text + len, sizeof(hex), bytes_of(collector->enough[i], RELEASE_GRANT));
		text[len++] = '\n';
	}
	bool ok = text && enough_path(collector, path) && file_replace(path, bytes_of(text, len), 0600, &err);
	free(text);
	return ok;
}

static bool said_enough(const struct collector *collector, const uint8_t id[static RELEASE_GRANT])
{
	for (size_t i = 0; i < collector->enough_count; i++) {
		if (memcmp(collector->enough[i], id, RELEASE_GRANT) == 0)
			return true;
	}
	return false;
}

const struct grant *grants_in_force(
	const struct collector *collector, const uint8_t id[static RELEASE_GRANT], enum courier_why *why)
{
	const struct grant *grant = grant_set_find(collector->grants, id);
	*why = !grant                                     ? COURIER_WHY_NO_GRANT
	       : grant_set_revoked(collector->grants, id) ? COURIER_WHY_REVOKED
	       : said_enough(collector, id)               ? COURIER_WHY_ENOUGH
	                                                  : COURIER_WHY_NONE;
	return *why == COURIER_WHY_NONE ? grant : NULL;
}

bool grant_is_of(const struct grant *grant, const struct collect_identity *who)
{
	if (grant->has_certificate)
		return memcmp(grant->certificate, who->key_hash, sizeof(who->key_hash)) == 0;
	return strcmp(grant->reader, who->name) == 0;
}

bool grants_have_reader(const struct collector *collector, const struct collect_identity *who)
{
	const struct grant *grant;
	for (size_t i = 0; (grant = grant_set_at(collector->grants, i)); i++) {
		if (grant_is_of(grant, who))
			return true;
	}
	return false;
}

void grants_enough(struct collector *collector, struct peer *peer, const uint8_t id[static RELEASE_GRANT])
{
	enum courier_why why;
	const struct grant *grant = grants_in_force(collector, id, &why);
	if (!grant || !grant_is_of(grant, &peer->who) || !grant->until_reader) {
		peer_sorry(peer, grant ? COURIER_WHY_NOT_ALLOWED : why,
			"only the reader of a grant with `until: {reader: true}`");
		return;
	}
	if (collector->enough_count == GRANT_MAX) {
		peer_sorry(peer, COURIER_WHY_FULL, "too many grants have ended so: revoke this one");
		return;
	}
	bool logged = log_enough(collector, grant);
	if (!logged) {
		peer_sorry(peer, COURIER_WHY_LOG, courier_why_text(COURIER_WHY_LOG));
		return;
	}
	memcpy(collector->enough[collector->enough_count++], id, RELEASE_GRANT);
	if (!write_enough(collector))
		log_error("a grant's end is not kept", LOG_S("in-force", "until the collector is started again"));
	collector->generation++;
	drop_keys(collector, id);
	tell_senders(collector, id, COURIER_WHY_ENOUGH);
	tell(peer, id, COURIER_WHY_ENOUGH);
	log_info("grant ended by its reader", LOG_S("reader", grant->reader));
}
