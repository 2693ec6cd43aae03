/*
 * audit/commit.h — salted commitments: SHA-256("overt audit 1", 0x00, salt, value). Who knows salt and value can show that
 * an entry speaks of it; once the opening is destroyed nobody can, not even by trying all names. No I/O.
 */
#ifndef AUDIT_COMMIT_H
#define AUDIT_COMMIT_H

#include "base/bytes.h"

#define AUDIT_SALT       32 /* octets, random for each value of each entry */
#define AUDIT_COMMIT_LEN 32 /* octets */

/* False only when OpenSSL fails. */
must_check bool audit_commit(const uint8_t salt[AUDIT_SALT], struct bytes value, uint8_t out[AUDIT_COMMIT_LEN]);

#endif
