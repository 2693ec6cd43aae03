/* keys/name_pattern.h — names of servers as grants write them. libc only. */
#ifndef KEYS_NAME_PATTERN_H
#define KEYS_NAME_PATTERN_H

#include "base/bytes.h"

/*
 * "example.com": this name; "*.example.com": those below it; ".example.com": both; "*": all, and the empty one. Case does
 * not matter.
 */
must_check bool name_pattern_fits(struct bytes pattern, struct bytes name);

#endif
