#include "share/granting.h"

#include "base/log.h"
#include "base/text.h"
#include "policy/grant_entry.h"
#include "policy/grant_folder.h"
#include "share/octets.h"

#include <stdlib.h>

struct place {
	uint8_t grant[RELEASE_GRANT];
	struct sealer *sealer;
	bool ended; /* for good: by the collector, by its time */
};

struct granting {
	struct granting_options options;
	struct grant_folder folder;
	struct grant_set *set;
	struct ends *ends;
	struct octets *octets; /* NULL: nobody can count */
	struct place places[GRANT_MAX];
	size_t place_count;
	uint64_t kept_back;
	int64_t looked_s; /* when grants were last asked whether their time is over */
};

static void bad_file(void *arg, const char *text)
{
	(void)arg;
	log_error("grant not taken", LOG_S("why", text));
}

/* That of a grant which is in the folder no more, or never was; NULL: all are. */
static struct place *place_free(struct granting *granting)
{
	for (size_t i = 0; i < granting->place_count; i++) {
		struct place *place = &granting->places[i];
		if (grant_set_find(granting->set, place->grant))
			continue;
		sealer_free(place->sealer);
		*place = (struct place){0};
		return place;
	}
	return NULL;
}

/* A set has no more grants than there are places. */
static struct place *place_of(struct granting *granting, const uint8_t id[static RELEASE_GRANT])
{
	for (size_t i = 0; i < granting->place_count; i++) {
		if (memcmp(granting->places[i].grant, id, RELEASE_GRANT) == 0)
			return &granting->places[i];
	}
	bool full = granting->place_count == GRANT_MAX;
	struct place *place = full ? place_free(granting) : &granting->places[granting->place_count++];
	if (place)
		memcpy(place->grant, id, RELEASE_GRANT);
	return place;
}

/* Ends. */

static void log_over(
	struct granting *granting, const struct grant *grant, const uint8_t *client_random, const char *why)
{
	char id[2 * RELEASE_GRANT + 1], key[2 * SEAL_KEY_ID + 1], random[2 * KEYLOG_RANDOM + 1];
	struct audit_entry entry = {.kind = AUDIT_REFUSAL};
	text_hex(id, sizeof(id), bytes_of(grant->id, RELEASE_GRANT));
	text_hex(key, sizeof(key), bytes_of(grant->key_id, SEAL_KEY_ID));
	text_hex(random, sizeof(random), bytes_of(client_random, KEYLOG_RANDOM));
	bool ok = audit_entry_add(&entry, AUDIT_T("why", bytes_str(why))) &&
	          audit_entry_add(&entry, AUDIT_T("side", bytes_str("host"))) &&
	          audit_entry_add(&entry, AUDIT_T("grant", bytes_str(id))) &&
	          audit_entry_add(&entry, AUDIT_T("reader_key", bytes_str(key))) &&
	          audit_entry_add(&entry, AUDIT_C("connection", bytes_str(random)));
	/* That nothing more leaves needs no entry to take effect. */
	(void)!(ok && granting->options.log(granting->options.arg, &entry));
}

static void connection_over(void *arg, const uint8_t grant[static RELEASE_GRANT],
	const uint8_t client_random[static KEYLOG_RANDOM], const uint8_t *tag)
{
	struct granting *granting = arg;
	const struct grant *known = grant_set_find(granting->set, grant);
	/* Nothing leaves by it: the entry may come after. */
	granting->options.over(granting->options.arg, grant, client_random, tag);
	if (known)
		log_over(granting, known, client_random, "the grant has ended in this connection");
}

static void nobody(void *arg, const uint8_t grant[static RELEASE_GRANT],
	const uint8_t client_random[static KEYLOG_RANDOM], const uint8_t *tag)
{
	(void)arg, (void)grant, (void)client_random, (void)tag;
}

/* The entry first, where it can be written: that nothing more leaves does not wait for it. */
static void end_for_good(struct granting *granting, const struct grant *grant, const char *reason)
{
	struct place *place = place_of(granting, grant->id);
	struct grant_texts texts;
	struct audit_entry entry;
	if (!place || place->ended)
		return;
	entry_of_revocation(grant, reason, &texts, &entry);
	(void)!granting->options.log(granting->options.arg, &entry);
	place->ended = true;
	ends_all(granting->ends, grant->id, granting->options.over, granting->options.arg);
	log_info("grant ended", LOG_S("reader", grant->reader), LOG_S("why", reason));
}

void granting_end(struct granting *granting, const uint8_t id[static RELEASE_GRANT], enum courier_why why)
{
	const struct grant *grant = grant_set_find(granting->set, id);
	struct place *place = place_of(granting, id);
	/* What it lacks may come to it yet; its other reasons are for ever. */
	if (why == COURIER_WHY_NO_GRANT)
		return;
	if (grant)
		end_for_good(granting, grant, courier_why_text(why));
	else if (place)
		place->ended = true;
}

static void end_by_time(struct granting *granting, int64_t wall_s)
{
	const struct grant *grant;
	if (wall_s == granting->looked_s)
		return;
	granting->looked_s = wall_s;
	for (size_t i = 0; (grant = grant_set_at(granting->set, i)); i++) {
		if (grant->until_s && wall_s >= grant->until_s)
			end_for_good(granting, grant, "its time is over");
	}
}

static void end_what_left(struct granting *granting, const struct grant_set *old)
{
	const struct grant *grant;
	for (size_t i = 0; old && (grant = grant_set_at(old, i)); i++) {
		if (!grant_set_find(granting->set, grant->id) || grant_set_revoked(granting->set, grant->id))
			ends_all(granting->ends, grant->id, granting->options.over, granting->options.arg);
	}
}

/* The folder. */

static bool load(struct granting *granting, uint64_t now_ns, struct error *err)
{
	struct grant_set *fresh = grant_folder_read(&granting->folder, now_ns, err);
	struct grant_set *old = granting->set;
	if (!fresh)
		return false;
	if (!grant_folder_changes(old, fresh, granting->options.log, granting->options.arg)) {
		grant_set_free(fresh);
		/* It is read again, whether or not it changes. */
		granting->folder.changed = (struct timespec){0};
		return error_set(err, "the audit log cannot be written");
	}
	granting->set = fresh;
	end_what_left(granting, old);
	grant_set_free(old);
	return true;
}

static bool count_octets(void *arg, const struct hostport *client, const struct hostport *server, uint64_t *octets)
{
	struct granting *granting = arg;
	return granting->octets && octets_of(granting->octets, client, server, octets);
}

struct granting *granting_new(const struct granting_options *options, struct error *err)
{
	struct granting *granting = calloc(1, sizeof(*granting));
	if (!granting) {
		error_set(err, "no memory for grants");
		return NULL;
	}
	granting->options = *options;
	if (!granting->options.over)
		granting->options.over = nobody;
	granting->folder = (struct grant_folder){.path = options->folder,
		.signers = options->signers,
		.signer_count = options->signer_count,
		.bad = bad_file};
	granting->octets = octets_new();
	granting->ends = ends_new(count_octets, granting);
	if (!granting->ends)
		error_set(err, "no memory for grants");
	else if (load(granting, 0, err))
		return granting;
	granting_free(granting);
	return NULL;
}

void granting_free(struct granting *granting)
{
	if (!granting)
		return;
	for (size_t i = 0; i < granting->place_count; i++)
		sealer_free(granting->places[i].sealer);
	grant_set_free(granting->set);
	ends_free(granting->ends);
	octets_free(granting->octets);
	free(granting);
}

void granting_refresh(struct granting *granting, int64_t wall_s, uint64_t now_ns)
{
	struct error err;
	if (grant_folder_stale(&granting->folder, wall_s, now_ns) && !load(granting, now_ns, &err))
		log_error("grants not read again", LOG_S("why", err.text), LOG_S("in-force", "those read before"));
	end_by_time(granting, wall_s);
	ends_due(granting->ends, now_ns, connection_over, granting);
}

uint64_t granting_next(const struct granting *granting)
{
	return ends_next(granting->ends);
}

/* Releases. */

static bool in_force(struct granting *granting, const struct grant *grant)
{
	const struct place *place = place_of(granting, grant->id);
	return place && !place->ended && !grant_set_revoked(granting->set, grant->id) &&
	       grant_has_sender(grant, granting->options.sender, granting->options.sender_key);
}

bool granting_lasts(struct granting *granting, const uint8_t id[static RELEASE_GRANT], int64_t wall_s)
{
	const struct grant *grant = grant_set_find(granting->set, id);
	return grant && in_force(granting, grant) && (!grant->until_s || wall_s < grant->until_s);
}

bool granting_wants_lines(const struct granting *granting, int64_t wall_s)
{
	const struct grant *grant;
	for (size_t i = 0; (grant = grant_set_at(granting->set, i)); i++) {
		if (grant->grade == RELEASE_GRADE_RAW && !grant_set_revoked(granting->set, grant->id) &&
			(!grant->until_s || wall_s < grant->until_s))
			return true;
	}
	return false;
}

/* Whether the grant goes on in this connection. */
static bool goes_on(struct granting *granting, const struct grant *grant, const struct release *release,
	const struct granting_ask *ask)
{
	if (release->grade == RELEASE_GRADE_RAW ||
		ends_ask(granting->ends, grant, release, ask->now_ns, ask->tag) == ENDS_OPEN)
		return true;
	granting->kept_back++;
	return false;
}

static bool seal_for(struct granting *granting, const struct grant *grant, const struct release *release,
	uint64_t now_ns, struct writer *to)
{
	struct place *place = place_of(granting, grant->id);
	if (!place->sealer)
		place->sealer = sealer_new(grant->public_key, 0);
	return place->sealer && sealer_seal(place->sealer, now_ns, release, to) == SEAL_OK;
}

/* Sets the consent by which it would leave: a grant that asks only one side releases by that side's rule. */
static bool has_consent(const struct grant *grant, struct release *release)
{
	bool both = grant->consent == RELEASE_BOTH;
	if (both && !release_agreed(release, grant->key_id))
		return false;
	release->consent = grant->consent;
	return true;
}

size_t granting_seal(struct granting *granting, struct release *release, const struct granting_ask *ask,
	void (*give)(void *arg, const struct grant *grant, const struct release *release, struct bytes sealed),
	void *arg)
{
	uint8_t room[SEAL_MAX];
	const struct grant *grant;
	const uint8_t consent = release->consent;
	size_t count = 0;
	for (size_t i = 0; (grant = grant_set_at(granting->set, i)); i++) {
		struct writer to = writer_over(room, sizeof(room));
		memcpy(release->grant, grant->id, RELEASE_GRANT);
		release->consent = consent;
		/* What is cheap first: there may be many. */
		if (!has_consent(grant, release) || grant_judge(grant, release, ask->wall_s) != GRANT_ALLOWS ||
			!in_force(granting, grant) || !goes_on(granting, grant, release, ask) ||
			!seal_for(granting, grant, release, ask->now_ns, &to))
			continue;
		give(arg, grant, release, bytes_of(room, to.len));
		count++;
	}
	return count;
}

struct granting_counts granting_count(const struct granting *granting)
{
	struct ends_counts counts = ends_count(granting->ends);
	return (struct granting_counts){
		.over = counts.over, .kept_back = granting->kept_back, .evicted = counts.evicted};
}
