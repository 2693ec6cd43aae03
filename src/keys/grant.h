/*
 * keys/grant.h — a grant: which reader may get which record keys, and until when. YAML within a signed note
 * (base/note.h); the octets that are signed are the text as it stands. No I/O, no clock.
 *
 *     grant: 1
 *     id: 3f0c…                  # 32 hex digits
 *     issued: 2026-11-22T05:00:00Z
 *     reader:
 *       name: ops-laptop          # also the name in its certificate, unless `certificate` says which
 *       key: MCowBQYDK2VuAyEA…    # SubjectPublicKeyInfo, X25519, base64
 *       certificate: 64 hex digits  # optional: SHA-256 of the SubjectPublicKeyInfo of its client certificate
 *     names: ["*.example.org", example.com]   # "*": all, and what has no name
 *     directions: [client, server]
 *     mode: live                  # or after-rotation
 *     consent: both               # or unilateral, with `reason` and an end within 30 days
 *     purpose: why
 *     grade: record               # or raw
 *     senders: [web1, 64 hex digits]  # optional: names, or key hashes, of the certificates that may send under it
 *     until: {time: 2026-12-01T00:00:00Z, bytes: 10MiB, seconds: 600, reader: true}   # any of them
 *
 * A revocation is a signed note too: `revocation: 1`, `grant: ID`, `time: …`, `reason: …`.
 *
 * Names are exact ("example.com"), below ("*.example.com"), or both (".example.com"); case does not matter.
 */
#ifndef KEYS_GRANT_H
#define KEYS_GRANT_H

#include "base/note.h"
#include "keys/seal.h"

#define GRANT_NAMES_MAX        64
#define GRANT_NAME_MAX         255
#define GRANT_SENDERS_MAX      64
#define GRANT_SENDER_MAX       64  /* octets: a common name, or the hex digits of a key's SHA-256 */
#define GRANT_TEXT_MAX         255 /* octets of purpose and reason */
#define GRANT_READER_MAX       63
#define GRANT_FILE_MAX         65536
#define GRANT_MAX              1024 /* grants in a set, and as many revocations */
#define GRANT_UNILATERAL_MAX_S (INT64_C(30) * 86400)

struct grant {
	uint8_t id[RELEASE_GRANT];
	int64_t issued_s; /* since 1970 UTC */
	char reader[GRANT_READER_MAX + 1];
	uint8_t public_key[SEAL_KEY], key_id[SEAL_KEY_ID];
	bool has_certificate;
	uint8_t certificate[32];
	char names[GRANT_NAMES_MAX][GRANT_NAME_MAX + 1];
	size_t name_count;
	char senders[GRANT_SENDERS_MAX][GRANT_SENDER_MAX + 1];
	size_t sender_count;           /* 0: whoever may send at all */
	bool from_client, from_server; /* directions: what the client, what the server sends */
	uint8_t mode, consent, grade;  /* enum release_mode, release_consent, release_grade */
	char purpose[GRANT_TEXT_MAX + 1], reason[GRANT_TEXT_MAX + 1];
	int64_t until_s;        /* since 1970 UTC; 0: no such end */
	uint64_t until_octets;  /* of records in one connection; 0: no such end */
	uint64_t until_conn_ns; /* of one connection, from its first release; 0: no such end */
	bool until_reader;      /* the reader may say enough */
	/* Set by grant_open. */
	uint8_t sha256[32]; /* of the signed text */
	char signer[NOTE_NAME_MAX + 1];
};

/* The text of a grant, without its signatures. `name` is that of the file: "NAME:LINE:COLUMN: what is wrong". */
must_check bool grant_parse(struct bytes text, const char *name, struct grant *out, struct error *err);
/* The text that says this; grant_parse of it gives the same again. False when the writer is full. */
must_check bool grant_write(const struct grant *grant, struct writer *to);
/* What grant_parse asks of the values beyond their form: what `overt grant new` checks before signing. */
must_check bool grant_check(const struct grant *grant, struct error *err);
/* A signed note that holds a grant, signed by one of these. */
must_check bool grant_open(struct bytes note, const char *name, const struct note_key *signers, size_t count,
	struct grant *out, struct error *err);

struct grant_revocation {
	uint8_t grant[RELEASE_GRANT];
	int64_t time_s;
	char reason[GRANT_TEXT_MAX + 1];
};
must_check bool grant_revocation_write(const struct grant_revocation *revocation, struct writer *to);
must_check bool grant_revocation_parse(
	struct bytes text, const char *name, struct grant_revocation *out, struct error *err);

/* Times: "2026-12-01T00:00:00Z" or "2026-12-01". Since 1970 UTC. */
must_check bool grant_time_read(struct bytes text, int64_t *out_s);
#define GRANT_TIME_TEXT 24
const char *grant_time_text(int64_t s, char out[static GRANT_TIME_TEXT]);

/* Whether a name is one of the patterns. An empty name is one only of "*". */
must_check bool grant_has_name(const struct grant *grant, struct bytes name);

/* Whether who has a certificate of this common name and this key (SHA-256 of its SubjectPublicKeyInfo) may send under it. */
must_check bool grant_has_sender(const struct grant *grant, const char *name, const uint8_t key_hash[static 32]);
/* Whether it may end within a connection, by what crosses there or by the time that it lasts. */
must_check bool grant_ends_within(const struct grant *grant);

enum grant_verdict {
	GRANT_ALLOWS,
	GRANT_NOT_YET, /* issued later than `now_s`, by more than five minutes */
	GRANT_ENDED,
	GRANT_REVOKED,
	GRANT_OTHER_NAME,
	GRANT_OTHER_DIRECTION,
	GRANT_OTHER_MODE,
	GRANT_OTHER_CONSENT, /* it wants both sides to agree, and one side alone releases */
	GRANT_OTHER_GRADE,
	GRANT_OTHER_READER,
	GRANT_VERDICTS,
};
must_check const char *grant_verdict_text(enum grant_verdict verdict);
/* Whether this may leave for the grant's reader at that time. Does not know of revocations. */
must_check enum grant_verdict grant_judge(const struct grant *grant, const struct release *release, int64_t now_s);
/* The same of what stands on a sealed release; also that it is the grant's reader. */
must_check enum grant_verdict grant_judge_head(const struct grant *grant, const struct seal_head *head, int64_t now_s);

/* Grants and revocations in force together. */
struct grant_set;
must_check struct grant_set *grant_set_new(void);
/* NULL is allowed. */
void grant_set_free(struct grant_set *set);
/* Copies. False with a sentence when the set is full, or another grant has this id. The same again changes nothing. */
must_check bool grant_set_add(struct grant_set *set, const struct grant *grant, struct error *err);
must_check bool grant_set_revoke(struct grant_set *set, const struct grant_revocation *revocation, struct error *err);
/* A signed note of either kind. */
must_check bool grant_set_add_note(struct grant_set *set, struct bytes note, const char *name,
	const struct note_key *signers, size_t count, struct error *err);
must_check size_t grant_set_count(const struct grant_set *set);
/* NULL at and past the end. Revoked ones are among them. */
must_check const struct grant *grant_set_at(const struct grant_set *set, size_t at);
must_check const struct grant *grant_set_find(const struct grant_set *set, const uint8_t id[static RELEASE_GRANT]);
/* NULL when it is not revoked. */
must_check const struct grant_revocation *grant_set_revoked(
	const struct grant_set *set, const uint8_t id[static RELEASE_GRANT]);

#endif
