/* base/base64.h — base64 of RFC 4648, section 4, in its one canonical form: padded, no blanks, no stray bits. No I/O. */
#ifndef BASE_BASE64_H
#define BASE_BASE64_H

#include "base/bytes.h"

#define BASE64_LEN(octets) (((size_t)(octets) + 2) / 3 * 4)

void base64_write(struct writer *w, struct bytes octets);
/* False on anything that base64_write would not have written, and when `cap` octets do not hold it. */
must_check bool base64_read(struct bytes text, uint8_t *out, size_t cap, size_t *len);

#endif
