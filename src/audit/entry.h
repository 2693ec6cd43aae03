/*
 * audit/entry.h — what may stand in the audit log: a kind and its fields, checked against one table. No I/O. Entries come
 * from processes that face the network: a field the kind does not know, or one too long, is refused.
 */
#ifndef AUDIT_ENTRY_H
#define AUDIT_ENTRY_H

#include "base/bytes.h"
#include "base/error.h"

#define AUDIT_FIELDS_MAX 16
#define AUDIT_TEXT_MAX   2048 /* octets of one field, after cleaning */

/* The number of a kind is its place here and in the table, between processes only: the log has names. */
enum audit_kind {
	AUDIT_START,    /* version, config_sha256: the family starts */
	AUDIT_STOP,     /* reason */
	AUDIT_SNAPSHOT, /* rules, rules_sha256, sinks, readers, config_sha256, operator, purpose, generation: activated */
	AUDIT_INSPECTED, /* flow, client*, name*, rule, role, generation, server, accord: one per inspected connection */
	AUDIT_KEYLOG,    /* file, role: a key log of both legs is being written */
	AUDIT_CA,        /* action (made, rotated, opened), subject, sha256, not_after, names */
	AUDIT_REPAIRED,  /* octets: a torn last line was cut off. Written by the log itself */
	AUDIT_RESUMED,   /* reason, lost: the log is writable again. Written by the log itself */
	AUDIT_CONTINUES, /* file, origin, size, root: the log whose follower this is. Its first line, written by itself */
	AUDIT_CONTINUED, /* verifier: the public key of the log which follows. The last line, written by the log itself */
	/*
	 * Accord: before the proof is sent, or the approval acted on. `proxies`: the leaf hashes, 64 hex digits each, one
	 * space between. `verdict` is the approver's word.
	 */
	AUDIT_PROOF,    /* flow, worker, proof_sha256, client*, name*, server*, proxies, role, level, generation */
	AUDIT_APPROVAL, /* flow, worker, approval_key, proof_sha256, client*, verdict, reason */
	/*
	 * Shared keys. `names` where the grant lets them be read by all, else `names_commit`*. `consent` is "both" or
	 * "unilateral"; unilateral needs `reason` and `ends`. `until` is where it ends within a connection; `ends` is a
	 * date (RFC 3339). `grant_sha256` is that of the signed text; `signer` the id of the key that signed.
	 */
	AUDIT_GRANT,  /* grant, reader_key, reader, names or names_commit*, directions, mode, grade, purpose, until,
	               * consent, reason, ends, grant_sha256, signer */
	AUDIT_REVOKE, /* grant, reason, reader_key */
	/*
	 * One entry for each key, or one for a batch: then `count` > 1, and `connection`, `epoch` and the rest are those all
	 * have in common. `consent` again, so that unilateral releases can be listed without their grant; with
	 * "both", `bound` says by what: "certificate", or "finished" alone where the connection was resumed.
	 */
	/* At a collector: `sender`, the name in the certificate of who sent it, `sender_key` the SHA-256 of its public key. */
	AUDIT_RELEASE, /* grant, reader_key, connection*, name*, direction, epoch, suite, mode, grade, count, consent,
	                * bound, sender, sender_key */
	AUDIT_REFUSAL, /* why, side (client, server, host, collector, reader), grant, reader_key, connection*, name*, count,
	                * sender, sender_key */
	/* Somebody fetched keys: `client` is the certificate's SHA-256 or key id, `as` reader, watch, fifo, dsb. */
	AUDIT_READ,      /* client, client_name, as, keys, of*, grant, reader_key */
	AUDIT_COLLECTOR, /* action (start, stop), listening, cert_sha256, reason, lifetime, sealed */
	AUDIT_KINDS,
};

enum audit_type {
	AUDIT_TEXT, /* stands in the log as it is, cleaned (text_clean) and cut at AUDIT_TEXT_MAX */
	AUDIT_NUMBER,
	AUDIT_COMMIT, /* a person's name, address or site: only its salted commitment stands in the log */
};

struct audit_field {
	const char *key; /* must be one of the kind's keys, with its type */
	enum audit_type type;
	struct bytes text;
	uint64_t number;
};

#define AUDIT_T(k, v) ((struct audit_field){.key = (k), .type = AUDIT_TEXT, .text = (v)})
#define AUDIT_N(k, v) ((struct audit_field){.key = (k), .type = AUDIT_NUMBER, .number = (v)})
#define AUDIT_C(k, v) ((struct audit_field){.key = (k), .type = AUDIT_COMMIT, .text = (v)})

/* The fields are the caller's and are read during the call only. Fields may be left out; none stands twice. */
struct audit_entry {
	enum audit_kind kind;
	struct audit_field fields[AUDIT_FIELDS_MAX];
	size_t count;
};

/* A field more; false (and nothing added) when there is no room. */
bool audit_entry_add(struct audit_entry *entry, struct audit_field field);
/* Whether kind, keys and types are as the table says, and a grant as a grant must be; `err` names what is not. */
must_check bool audit_entry_check(const struct audit_entry *entry, struct error *err);
must_check const char *audit_kind_name(enum audit_kind kind);
/* The kind of that name; AUDIT_KINDS when there is none. */
must_check enum audit_kind audit_kind_named(struct bytes name);
/* The type of the kind's field; false when it has no such field. */
must_check bool audit_field_type(enum audit_kind kind, struct bytes key, enum audit_type *type);

/* Between processes. What is read points into `in` (and keys into the table), and has passed audit_entry_check. */
void audit_entry_write(struct writer *w, const struct audit_entry *entry);
must_check bool audit_entry_read(struct bytes in, struct audit_entry *entry, struct error *err);

#endif
