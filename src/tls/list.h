/*
 * tls/list.h — lists of 16-bit code points as hellos carry them (suites, groups, signature schemes, versions), and the
 * values reserved for GREASE (RFC 8701). No I/O, no allocation.
 */
#ifndef TLS_LIST_H
#define TLS_LIST_H

#include "base/bytes.h"

/* Takes the next value. False at the end; an odd octet that is left over is no value. */
must_check bool list_next(struct bytes *list, uint16_t *value);
must_check bool list_holds(struct bytes list, uint16_t value);
/* How many values the list holds, GREASE included. */
must_check size_t list_count(struct bytes list);

/*
 * Writes the values of `list` for which `keep` says true, in their order, to `out` (room for `cap` values) and returns
 * how many there were. A result over `cap` says that the rest was cut.
 */
size_t list_filter(
	struct bytes list, bool (*keep)(uint16_t value, const void *ctx), const void *ctx, uint16_t *out, size_t cap);

/* 0x?a?a with two equal octets: a suite, extension, group, version or signature scheme meant to be ignored. */
must_check bool grease_is(uint16_t value);
/* The values of 8 bits that are reserved for PSK key exchange modes: 0x0b, 0x2a, 0x49 … 0xe4. */
must_check bool grease_is_psk_mode(uint8_t value);

#endif
