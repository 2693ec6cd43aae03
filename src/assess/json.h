/*
 * assess/json.h — members of a JSON text (RFC 8259) that another overt wrote, which may have come from a stranger. Views into
 * the text, no tree, no allocation; nesting up to JSON_DEPTH.
 */
#ifndef ASSESS_JSON_H
#define ASSESS_JSON_H

#include "base/bytes.h"

#define JSON_DEPTH 16

/* The value of the first member of that name, as it stands in the text. False when `object` is none, or has none of it. */
must_check bool json_member(struct bytes object, const char *key, struct bytes *value);
/* Begins an array: `rest` is for json_next. False when it is none. */
must_check bool json_array(struct bytes value, struct bytes *rest);
/* The next element. False at the end, and at what is malformed. */
must_check bool json_next(struct bytes *rest, struct bytes *value);
/* A string, decoded, with the closing NUL. False when it is none, has a NUL in it, or does not fit. */
must_check bool json_text(struct bytes value, char *out, size_t cap);
/* A whole number without sign or exponent. */
must_check bool json_number(struct bytes value, uint64_t max, uint64_t *out);
/* A string of hex digits for exactly `len` octets. */
must_check bool json_hex(struct bytes value, uint8_t *out, size_t len);

#endif
