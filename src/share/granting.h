/*
 * share/granting.h — the grants in a folder, and a sealer for each: which readers get a release. One thread. Grants come
 * and go while it runs: the folder is looked at again when it has changed.
 */
#ifndef SHARE_GRANTING_H
#define SHARE_GRANTING_H

#include "base/error.h"
#include "keys/courier.h"
#include "keys/grant.h"

struct granting;

/* The texts and the signers must stay. NULL with `err` set when the folder cannot be read. */
must_check struct granting *granting_new(
	const char *folder, const struct grant_signer *signers, size_t count, struct error *err);
void granting_free(struct granting *granting); /* NULL is allowed */
/* Reads the folder again when it has changed. On a fault the old grants stay. */
void granting_refresh(struct granting *granting);
/* The collector takes no more under this grant. */
void granting_end(struct granting *granting, const uint8_t id[static RELEASE_GRANT]);

/*
 * Seals the release to the reader of each grant that covers it, in the order of the folder, and gives each to `give`,
 * with grant, mode and consent set. `wall_s` since 1970 UTC, `now_ns` monotonic. Returns how many.
 */
size_t granting_seal(struct granting *granting, struct release *release, int64_t wall_s, uint64_t now_ns,
	void (*give)(void *arg, const struct grant *grant, const struct release *release, struct bytes sealed),
	void *arg);

#endif
