/*
 * cli/exec_share_consent.h — overt exec --share --collector: for which readers programs ask the other side of their
 * connections, by the grants of this host with consent both, and what came of it.
 */
#ifndef CLI_EXEC_SHARE_CONSENT_H
#define CLI_EXEC_SHARE_CONSENT_H

#include "agent/share_settings.h"
#include "keys/grant.h"
#include "keys/share_item.h"
#include "share/shipper.h"

struct exec_consent;

struct exec_consent_options {
	const char *grants; /* the folder */
	const struct note_key *signers;
	size_t signer_count;
	const char *sender; /* the certificate by which this host sends, as in struct sender_options */
	const uint8_t *sender_key;
	const char *file; /* where the list is to stand, and stay; NULL: in a folder of this run, and not after it */
	bool quiet;
};

/*
 * Reads the grants, writes the list and sets settings->readers. A thread writes it anew when the grants change:
 * programs that begin later ask by it; those that have begun go by theirs. The options' texts must stay. NULL with
 * `err` set.
 */
must_check struct exec_consent *exec_consent_new(
	const struct exec_consent_options *options, struct share_settings *settings, struct error *err);
/* Says what was refused, and takes the list away. NULL is allowed. */
void exec_consent_free(struct exec_consent *consent);

/* Mode, consent and on whom was agreed, from what came with the key. `release` must not outlive `consent`. */
void exec_consent_terms(struct exec_consent *consent, const struct shipper_from *from, const struct share_item *item,
	struct release *release);
/* An item of kind SHARE_REFUSED: counts, and says each cause once. True: it belongs in the log. */
must_check bool exec_consent_refused(
	struct exec_consent *consent, const struct shipper_from *from, const struct share_item *item);

#endif
