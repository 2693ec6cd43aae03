/*
 * tls/invert.h — which sequence number a record was protected with, when those before it are lost or were never seen,
 * and whether a key belongs to a connection at all. No I/O.
 *
 * GCM is a sum: tag = E(J0) xor GHASH(header, ciphertext). With the key at hand everything but one term is known:
 *  - TLS 1.3: GHASH gives E(J0), and the block cipher, run backwards, J0 = (IV xor sequence) || 1;
 *  - TLS 1.2: J0 is sent, and GHASH, which is a polynomial, gives its first block: sequence, type, version, length.
 * Either way 64 bits of the result are known beforehand, so that another key passes once in 2^64 times. One record is
 * enough, whatever its number. Other ciphers are searched over a range.
 */
#ifndef TLS_INVERT_H
#define TLS_INVERT_H

#include "tls/protect.h"

enum invert_result {
	INVERT_FOUND,
	INVERT_NOT_THIS_KEY, /* other key or IV, or an altered record; for a search: none in the range */
	INVERT_BAD_RECORD,   /* too short to be one of this suite's */
	INVERT_NO_WAY,       /* the suite is no GCM, or libcrypto lacks it: only a search will do */
	INVERT_NO_ROOM,      /* a search's scratch is smaller than the fragment */
	INVERT_FAILED,       /* out of memory */
};

/* For AES-GCM and ARIA-GCM in TLS 1.2 and 1.3. `setup->sequence` is not looked at. `*sequence` is set when FOUND. */
must_check enum invert_result invert_gcm(
	struct crypto *crypto, const struct protect_setup *setup, const struct record *record, uint64_t *sequence);

/*
 * For any suite but RC4: tries `count` numbers from `from` on, upwards. `scratch` (`cap` octets) takes as much as the
 * fragment's length and is not the fragment. The smallest record at hand is the cheapest. When FOUND, `p` stands behind
 * the record and `*opened` is what protect_open says; else `p` is as before.
 */
must_check enum invert_result invert_search(struct protect *p, const struct record *record, uint64_t from,
	uint64_t count, uint8_t *scratch, size_t cap, struct opened *opened);

#endif
