/* base/hash.h — a keyed short hash for tables whose keys strangers choose. The key is made anew in each process. */
#ifndef BASE_HASH_H
#define BASE_HASH_H

#include "base/bytes.h"

/* 64 bits of SipHash-2-4 under this process's random key: the same key gives the same value within one process only. */
must_check uint64_t hash_bytes(struct bytes in);

#endif
