/* keys/keyring_wait.h — the waits of a keyring, for keyring.c; the rest of the API is in keys/keyring.h. */
#ifndef KEYS_KEYRING_WAIT_H
#define KEYS_KEYRING_WAIT_H

#include "keys/keyring.h"

struct keyring_waits;

must_check struct keyring_waits *keyring_waits_new(void);
/* NULL is allowed. */
void keyring_waits_free(struct keyring_waits *waits);
/* Something new has come under `id`. Nearly free while nobody waits. */
void keyring_waits_tell(struct keyring_waits *waits, const struct keylog_id *id);
void keyring_waits_count(struct keyring_waits *waits, uint64_t *waiting, uint64_t *told);

/* Of a ring: defined in keyring.c. */
must_check struct keyring_waits *keyring_waits_of(struct keyring *ring);

#endif
