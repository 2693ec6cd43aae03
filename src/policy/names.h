/*
 * policy/names.h — a set of DNS names and of patterns over them, built from a text with one per line, for up to
 * NAMES_MAX names. It keeps eight octets per slot and refers to the text for the rest. No I/O.
 *
 *   example.com      this name and no other
 *   *.example.com    every name below it, however deep (a.example.com, a.b.example.com), not example.com itself
 *   .example.com     both: the name and every name below it
 *
 * Blanks around a name, empty lines, and what follows a # are passed over; so is one closing dot. Case does not matter.
 * A name that is not ASCII is refused: its A-label form ("xn--...") is what stands in a ClientHello.
 */
#ifndef POLICY_NAMES_H
#define POLICY_NAMES_H

#include "base/bytes.h"
#include "base/error.h"

#define NAMES_MAX        1000000U
#define NAMES_MAX_OCTETS (64U << 20) /* of the text */
#define NAME_MAX_OCTETS  253U        /* of a DNS name in text form without the closing dot (RFC 1035, 2.3.4) */

enum pattern_kind { PATTERN_EXACT, PATTERN_BELOW, PATTERN_BOTH };

enum pattern_result {
	PATTERN_OK,
	PATTERN_EMPTY,     /* nothing on this line: not a fault */
	PATTERN_BAD_CHARS, /* anything but letters, digits, hyphen, underscore and dots; a star anywhere but in front */
	PATTERN_BAD_LABEL, /* an empty label, or one over 63 octets */
	PATTERN_TOO_LONG,  /* over NAME_MAX_OCTETS */
	PATTERN_NOT_ASCII,
	PATTERN_ADDRESS, /* an IP address: rules match those with `server` */
};

/* Reads one line. On PATTERN_OK *out is the name without its pattern marks and closing dot; it points into `line`. */
must_check enum pattern_result pattern_read(struct bytes line, enum pattern_kind *kind, struct bytes *out);
/* What is wrong and what to do, for people. Static text. */
must_check const char *pattern_result_text(enum pattern_result result);

/*
 * A name to look up: what a client sent, lower-cased, without its closing dot, with what every set needs to know of it.
 * `len` 0 when the name is no DNS name (empty, too long, odd characters, an IP address): such a name fits no pattern.
 */
#define NAME_MAX_LABELS 127U
struct name_key {
	bool address;   /* it was an IP address; then `len` is 0 */
	uint8_t labels; /* how many */
	uint8_t len;
	uint8_t starts[NAME_MAX_LABELS];  /* of each label in `text`, the leftmost first */
	uint64_t hashes[NAME_MAX_LABELS]; /* of the name from that label on */
	char text[NAME_MAX_OCTETS + 1];   /* NUL-terminated */
};
void name_key_set(struct name_key *key, struct bytes name);

struct names;

/* `text` is not copied: it must stay, unchanged, as long as the set. `label` names it in errors: "LABEL:LINE: ...". */
must_check struct names *names_new(struct bytes text, const char *label, struct error *err);
void names_free(struct names *names);

/* Whether any pattern fits the name. No allocation; at most one probe per label. */
must_check bool names_has(const struct names *names, const struct name_key *key);
/* As names_has; *out is the most specific pattern that fits, as it stands in the text. */
must_check bool names_find(const struct names *names, const struct name_key *key, struct bytes *out);

struct names_counts {
	size_t names, duplicates; /* duplicates were dropped */
	size_t octets;            /* held by the set, without the text */
};
must_check struct names_counts names_count(const struct names *names);

#endif
