/*
 * proxy/record.h — the audit entries of the family itself (docs/privacy.md): that it started, and each snapshot of rules,
 * sinks and readers when it is activated. Sans I/O: the entries' texts live in the caller's struct record and in `config`.
 */
#ifndef PROXY_RECORD_H
#define PROXY_RECORD_H

#include "audit/entry.h"
#include "policy/config.h"
#include "policy/rules.h"

struct record {
	struct audit_entry entry;
	char digest[2 * POLICY_DIGEST + 1];
	char sinks[1024];
	char retention[24]; /* in seconds: "604800s" */
};

void record_start(struct record *record, const struct config *config);
/* `generation` counts the snapshots of this run, from 1. */
void record_snapshot(
	struct record *record, const struct config *config, const struct policy *policy, uint64_t generation);
/* A key log is being written: false when none is configured. */
must_check bool record_keylog(struct record *record, const struct config *config);

#endif
