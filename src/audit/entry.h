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

enum audit_kind {
	AUDIT_START,    /* version, config_sha256: the family starts */
	AUDIT_STOP,     /* reason */
	AUDIT_SNAPSHOT, /* rules, rules_sha256, sinks, readers, config_sha256, operator, purpose, generation: activated */
	AUDIT_INSPECTED, /* flow, client*, name*, rule, role, generation, server, accord: one per inspected connection */
	AUDIT_KEYLOG,    /* file, role: a key log of both legs is being written */
	AUDIT_CA,        /* action (made, rotated, opened), subject, sha256, not_after, names */
	AUDIT_REPAIRED,  /* octets: a torn last line was cut off. Written by the log itself */
	AUDIT_RESUMED,   /* reason, lost: the log is writable again. Written by the log itself */
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
/* Whether kind, keys and types are as the table says; `err` names what is not. */
must_check bool audit_entry_check(const struct audit_entry *entry, struct error *err);
must_check const char *audit_kind_name(enum audit_kind kind);

/* Between processes. What is read points into `in` (and keys into the table), and has passed audit_entry_check. */
void audit_entry_write(struct writer *w, const struct audit_entry *entry);
must_check bool audit_entry_read(struct bytes in, struct audit_entry *entry, struct error *err);

#endif
