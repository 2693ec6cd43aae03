/* Grants: the folder, what is in force, and what readers have ended. */
#include "collect/parts.h"

#include "base/log.h"
#include "base/text.h"
#include "pki/file.h"

#include <dirent.h>
#include <errno.h>
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

static bool ends(const char *name, const char *with)
{
	size_t len = strlen(name), tail = strlen(with);
	return len > tail && strcmp(name + len - tail, with) == 0;
}

/* One file; a bad one is left out and said, the others count. A grant that cannot be read gives nothing to anybody. */
static void add_file(struct collector *collector, struct grant_set *set, const char *name)
{
	const struct collect_options *options = collector->options;
	char path[FILE_PATH_MAX];
	struct file_bytes file = {0};
	struct error err;
	bool ok = file_join(path, options->grants, name, &err) && file_read(path, GRANT_FILE_MAX, &file, NULL, &err) &&
	          grant_set_add_note(
			  set, bytes_of(file.data, file.len), name, options->signers, options->signer_count, &err);
	file_bytes_free(&file);
	if (ok)
		return;
	collector->counts.grant_errors++;
	log_error("grant not taken", LOG_S("why", err.text));
}

static bool read_folder(struct collector *collector, struct grant_set *set, struct error *err)
{
	DIR *folder = opendir(collector->options->grants);
	if (!folder)
		return error_set_errno(err, "%s", collector->options->grants);
	const struct dirent *one;
	/* A revoked grant stands in both files; which comes first does not matter. */
	while ((one = readdir(folder))) {
		if (one->d_name[0] != '.' && (ends(one->d_name, ".grant") || ends(one->d_name, ".revoked")))
			add_file(collector, set, one->d_name);
	}
	closedir(folder);
	return true;
}

static enum audit_result log_grant(struct collector *collector, const struct grant *grant)
{
	struct grant_texts texts;
	struct audit_entry entry;
	entry_of_grant(grant, &texts, &entry);
	return audit_append(collector->log, &entry, clock_wall_ns(), NULL);
}

static enum audit_result log_revocation(struct collector *collector, const struct grant *grant, const char *reason)
{
	struct grant_texts texts;
	struct audit_entry entry;
	entry_of_revocation(grant, reason, &texts, &entry);
	return audit_append(collector->log, &entry, clock_wall_ns(), NULL);
}

/* What the new set has and the old one had not. False when the log does not take it. */
static bool log_changes(struct collector *collector, const struct grant_set *set)
{
	const struct grant *grant;
	bool ok = true;
	for (size_t i = 0; ok && (grant = grant_set_at(set, i)); i++) {
		const struct grant_set *old = collector->grants;
		const struct grant_revocation *revoked = grant_set_revoked(set, grant->id);
		if (!old || !grant_set_find(old, grant->id))
			ok = log_grant(collector, grant) == AUDIT_QUEUED;
		if (ok && revoked && (!old || !grant_set_revoked(old, grant->id)))
			ok = log_revocation(collector, grant, revoked->reason) == AUDIT_QUEUED;
	}
	return ok && audit_flush(collector->log);
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
}

static void end_old(struct collector *collector, const struct grant_set *old, const struct grant_set *fresh)
{
	const struct grant *grant;
	for (size_t i = 0; old && (grant = grant_set_at(old, i)); i++) {
		bool gone = !grant_set_find(fresh, grant->id);
		bool revoked = grant_set_revoked(fresh, grant->id) && !grant_set_revoked(old, grant->id);
		if (!gone && !revoked)
			continue;
		drop_keys(collector, grant->id);
		tell_senders(collector, grant->id, gone ? COURIER_WHY_NO_GRANT : COURIER_WHY_REVOKED);
	}
}

bool grants_load(struct collector *collector, struct error *err)
{
	struct grant_set *fresh = grant_set_new();
	if (!fresh)
		return error_set(err, "no memory for grants");
	(void)!grants_stale(collector); /* what changes from here on is seen next time */
	if (!read_folder(collector, fresh, err)) {
		grant_set_free(fresh);
		return false;
	}
	if (!log_changes(collector, fresh)) {
		grant_set_free(fresh);
		return error_set(err, "the audit log cannot be written: %s", audit_log_closed(collector->log));
	}
	struct grant_set *old = collector->grants;
	if (!old || grant_set_count(old) != grant_set_count(fresh))
		log_info("grants", LOG_N("count", grant_set_count(fresh)));
	collector->grants = fresh;
	collector->generation++;
	end_old(collector, old, fresh);
	grant_set_free(old);
	return true;
}

bool grants_stale(struct collector *collector)
{
	struct stat now;
	if (stat(collector->options->grants, &now) != 0)
		return false;
	bool same = now.st_mtim.tv_sec == collector->folder_changed.tv_sec &&
	            now.st_mtim.tv_nsec == collector->folder_changed.tv_nsec;
	/* A change within the same tick of the clock leaves the time as it is: what is young is looked at again. */
	int64_t age_s = collect_now_s() - (int64_t)now.st_mtim.tv_sec;
	collector->folder_changed = now.st_mtim;
	return !same || (age_s >= 0 && age_s <= 1);
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
	bool logged = collector->enough_count < GRANT_MAX &&
	              log_revocation(collector, grant, "the reader has said that it is enough") == AUDIT_QUEUED &&
	              audit_flush(collector->log);
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
