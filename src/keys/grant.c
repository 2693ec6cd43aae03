#include "keys/grant.h"

#include "base/text.h"
#include "keys/name_pattern.h"

#include <sodium/crypto_hash_sha256.h>
#include <stdlib.h>

#define CLOCKS_APART_S 300 /* by which an issuer's clock may be ahead */

bool grant_check(const struct grant *grant, struct error *err)
{
	if (!grant->reader[0] || grant->name_count == 0 || !grant->purpose[0])
		return error_set(err, "a grant needs a reader, names and a purpose");
	if (!grant->from_client && !grant->from_server)
		return error_set(err, "a grant needs a direction");
	if (grant->until_s && grant->until_s <= grant->issued_s)
		return error_set(err, "the grant ends before it is issued");
	if (grant->grade == RELEASE_GRADE_RAW && grant->mode == RELEASE_AFTER_ROTATION)
		return error_set(err, "grade raw gives all epochs at once: it does not go with mode after-rotation");
	if (grant->grade == RELEASE_GRADE_RAW && grant_ends_within(grant))
		return error_set(err, "grade raw gives all epochs at once: it cannot end after bytes or seconds");
	if (grant->consent != RELEASE_UNILATERAL)
		return true;
	if (!grant->reason[0])
		return error_set(err, "consent unilateral needs a `reason`");
	if (!grant->until_s || grant->until_s - grant->issued_s > GRANT_UNILATERAL_MAX_S)
		return error_set(err, "consent unilateral needs an end within 30 days: `until: {time: ...}`");
	return true;
}

bool grant_open(struct bytes note, const char *name, const struct note_key *signers, size_t count, struct grant *out,
	struct error *err)
{
	struct note read;
	size_t which = 0;
	*out = (struct grant){0};
	if (!note_read(note, &read))
		return error_set(err, "%s: no signed note: a text, an empty line and a signature are wanted", name);
	switch (note_verify_any(&read, signers, count, &which)) {
	case NOTE_SIGNED:
		break;
	case NOTE_UNSIGNED:
		return error_set(err, "%s: not signed by anyone whose grants count here", name);
	case NOTE_FORGED:
		return error_set(
			err, "%s: the signature of %s does not fit: the text was altered", name, signers[which].name);
	}
	if (!grant_parse(read.text, name, out, err) ||
		crypto_hash_sha256(out->sha256, read.text.data, read.text.len) != 0)
		return false;
	memcpy(out->signer, signers[which].name, sizeof(out->signer));
	return true;
}

bool grant_has_name(const struct grant *grant, struct bytes name)
{
	if (name.len > 0 && name.data[name.len - 1] == '.')
		name.len--;
	for (size_t i = 0; i < grant->name_count; i++) {
		if (name_pattern_fits(bytes_str(grant->names[i]), name))
			return true;
	}
	return false;
}

bool grant_has_sender(const struct grant *grant, const char *name, const uint8_t key_hash[static 32])
{
	char hex[GRANT_SENDER_MAX + 1];
	bool found = grant->sender_count == 0;
	text_hex(hex, sizeof(hex), bytes_of(key_hash, 32));
	for (size_t i = 0; i < grant->sender_count && !found; i++)
		found = strcmp(grant->senders[i], name) == 0 ||
		        bytes_equal_nocase(bytes_str(grant->senders[i]), bytes_str(hex));
	return found;
}

bool grant_ends_within(const struct grant *grant)
{
	return grant->until_octets > 0 || grant->until_conn_ns > 0;
}

const char *grant_verdict_text(enum grant_verdict verdict)
{
	static const char *const texts[GRANT_VERDICTS] = {
		[GRANT_ALLOWS] = "the grant allows it",
		[GRANT_NOT_YET] = "the grant is of a later time: is a clock wrong?",
		[GRANT_ENDED] = "the grant has ended",
		[GRANT_REVOKED] = "the grant was revoked",
		[GRANT_OTHER_NAME] = "the grant does not have this name",
		[GRANT_OTHER_DIRECTION] = "the grant does not have this direction",
		[GRANT_OTHER_MODE] = "the grant is of another mode",
		[GRANT_OTHER_CONSENT] = "the grant wants both sides to agree, and one alone releases",
		[GRANT_OTHER_GRADE] = "the grant is of another grade",
		[GRANT_OTHER_READER] = "the grant is another reader's",
	};
	return (unsigned)verdict < GRANT_VERDICTS ? texts[verdict] : "the verdict is not known";
}

/* What both forms of a release have. */
struct question {
	uint8_t grade, mode, consent;
	bool from_client;
	struct bytes name;
};

static enum grant_verdict judge(const struct grant *grant, const struct question *asked, int64_t now_s)
{
	if (grant->issued_s > now_s + CLOCKS_APART_S)
		return GRANT_NOT_YET;
	if (grant->until_s && now_s >= grant->until_s)
		return GRANT_ENDED;
	if (asked->grade != grant->grade)
		return GRANT_OTHER_GRADE;
	if (asked->mode != grant->mode)
		return GRANT_OTHER_MODE;
	if (grant->consent == RELEASE_BOTH && asked->consent != RELEASE_BOTH)
		return GRANT_OTHER_CONSENT;
	/* A raw line opens what it opens: such a grant must be for both. */
	bool raw = grant->grade == RELEASE_GRADE_RAW;
	if (raw                      ? !grant->from_client || !grant->from_server
		: asked->from_client ? !grant->from_client
				     : !grant->from_server)
		return GRANT_OTHER_DIRECTION;
	return grant_has_name(grant, asked->name) ? GRANT_ALLOWS : GRANT_OTHER_NAME;
}

enum grant_verdict grant_judge(const struct grant *grant, const struct release *release, int64_t now_s)
{
	const struct question asked = {.grade = release->grade,
		.mode = release->mode,
		.consent = release->consent,
		.from_client = release->key.from_client,
		.name = bytes_str(release->name)};
	return judge(grant, &asked, now_s);
}

enum grant_verdict grant_judge_head(const struct grant *grant, const struct seal_head *head, int64_t now_s)
{
	const struct question asked = {.grade = head->grade,
		.mode = head->mode,
		.consent = head->consent,
		.from_client = head->from_client,
		.name = bytes_str(head->name)};
	if (memcmp(head->key_id, grant->key_id, SEAL_KEY_ID) != 0)
		return GRANT_OTHER_READER;
	return judge(grant, &asked, now_s);
}

/* Sets. */

struct grant_set {
	struct grant *grants[GRANT_MAX];
	struct grant_revocation revocations[GRANT_MAX];
	size_t count, revoked;
};

struct grant_set *grant_set_new(void)
{
	return calloc(1, sizeof(struct grant_set));
}

void grant_set_free(struct grant_set *set)
{
	for (size_t i = 0; set && i < set->count; i++)
		free(set->grants[i]);
	free(set);
}

bool grant_set_add(struct grant_set *set, const struct grant *grant, struct error *err)
{
	const struct grant *known = grant_set_find(set, grant->id);
	if (known && memcmp(known->sha256, grant->sha256, sizeof(grant->sha256)) == 0)
		return true;
	if (known)
		return error_set(err, "two different grants have one id: remove one of them");
	if (set->count == GRANT_MAX)
		return error_set(err, "over %d grants: remove those that have ended", GRANT_MAX);
	struct grant *copy = malloc(sizeof(*copy));
	if (!copy)
		return error_set(err, "no memory for a grant");
	*copy = *grant;
	set->grants[set->count++] = copy;
	return true;
}

bool grant_set_revoke(struct grant_set *set, const struct grant_revocation *revocation, struct error *err)
{
	if (grant_set_revoked(set, revocation->grant))
		return true;
	if (set->revoked == GRANT_MAX)
		return error_set(err, "over %d revocations: remove those of grants that have ended", GRANT_MAX);
	set->revocations[set->revoked++] = *revocation;
	return true;
}

static bool revocation_open(struct bytes note, const char *name, const struct note_key *signers, size_t count,
	struct grant_revocation *out, struct error *err)
{
	struct note read;
	size_t which;
	if (!note_read(note, &read) || note_verify_any(&read, signers, count, &which) != NOTE_SIGNED)
		return error_set(err, "%s: the revocation is not signed by anyone whose grants count here", name);
	return grant_revocation_parse(read.text, name, out, err);
}

bool grant_set_add_note(struct grant_set *set, struct bytes note, const char *name, const struct note_key *signers,
	size_t count, struct error *err)
{
	struct grant_revocation revocation;
	struct grant grant;
	if (bytes_starts(note, bytes_str("revocation:")))
		return revocation_open(note, name, signers, count, &revocation, err) &&
		       (grant_set_revoke(set, &revocation, err) || error_prefix(err, "%s", name));
	return grant_open(note, name, signers, count, &grant, err) &&
	       (grant_set_add(set, &grant, err) || error_prefix(err, "%s", name));
}

size_t grant_set_count(const struct grant_set *set)
{
	return set->count;
}

const struct grant *grant_set_at(const struct grant_set *set, size_t at)
{
	return at < set->count ? set->grants[at] : NULL;
}

const struct grant *grant_set_find(const struct grant_set *set, const uint8_t id[static RELEASE_GRANT])
{
	for (size_t i = 0; i < set->count; i++) {
		if (memcmp(set->grants[i]->id, id, RELEASE_GRANT) == 0)
			return set->grants[i];
	}
	return NULL;
}

const struct grant_revocation *grant_set_revoked(const struct grant_set *set, const uint8_t id[static RELEASE_GRANT])
{
	for (size_t i = 0; i < set->revoked; i++) {
		if (memcmp(set->revocations[i].grant, id, RELEASE_GRANT) == 0)
			return &set->revocations[i];
	}
	return NULL;
}
