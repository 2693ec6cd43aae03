/*
 * pki/name.h — host names and addresses as certificates carry them (RFC 5280, 4.2.1.6; RFC 9525, 6). No I/O, no
 * allocation.
 */
#ifndef PKI_NAME_H
#define PKI_NAME_H

#include "base/bytes.h"

#define SUBJECT_NAME_MAX 253 /* octets of a host name without its closing dot (RFC 1035, 2.3.4) */

/* What a client asked for, in canonical form: two names are the same exactly when their texts are. */
struct subject_name {
	char text[SUBJECT_NAME_MAX +
		  1]; /* lower-case A-labels without closing dot, or an address as inet_ntop writes it */
	bool is_ip;
	uint8_t ip_len; /* 4 or 16; 0 for a host name */
	uint8_t ip[16]; /* network order */
};

enum name_result {
	NAME_OK,
	NAME_EMPTY,
	NAME_TOO_LONG,      /* over 253 octets, or a label over 63 */
	NAME_BAD_LABEL,     /* empty label, or one that begins or ends with a hyphen */
	NAME_BAD_CHARACTER, /* anything but letters, digits, hyphen, underscore and dot: NUL bytes and UTF-8 too */
	NAME_BAD_ADDRESS,   /* looks like an address (brackets, colon, last label all digits) and is none */
};

/*
 * Reads a host name of SNI, CONNECT or a URL (no port): letters fold to lower case, one closing dot is dropped, IPv6 may
 * stand in brackets. A name whose last label is all digits is an address or nothing. On anything but NAME_OK `*out` stays.
 */
must_check enum name_result subject_name_parse(struct bytes in, struct subject_name *out);
/* For people: "holds a character that no host name may have". Static text. */
must_check const char *name_result_text(enum name_result result);
/* From 4 or 16 octets in network order; false for any other length. */
must_check bool subject_name_from_ip(struct bytes ip, struct subject_name *out);
must_check bool subject_name_equal(const struct subject_name *a, const struct subject_name *b);
static inline struct bytes subject_name_bytes(const struct subject_name *name)
{
	return bytes_str(name->text);
}

/*
 * A dNSName as certificates may carry it: a host name, or "*." and a host name of at least two labels. No closing dot,
 * no NUL, no partial or inner wildcard.
 */
must_check bool dns_pattern_valid(struct bytes pattern);
/* Whether a valid pattern names this host. A wildcard stands for exactly one whole label; never for an address. */
must_check bool dns_pattern_matches(struct bytes pattern, const struct subject_name *name);

/*
 * Ranges of names for nameConstraints (RFC 5280, 4.2.1.10). A DNS entry holds its own name and everything below it. An
 * IP entry is address and mask.
 */
struct name_range {
	char dns[SUBJECT_NAME_MAX + 1]; /* "" when this is an IP range; for DNS never begins with a dot */
	uint8_t ip_len;                 /* 4 or 16; 0 for DNS */
	uint8_t ip[16], mask[16];
	bool whole; /* every DNS name: the empty constraint */
};

#define NAME_RANGES_MAX 64

struct name_ranges {
	struct name_range at[NAME_RANGES_MAX];
	size_t count;
};

/*
 * Reads one entry: "example.com", ".example.com", "*.example.com" (all three the same), "10.0.0.0/8", "fd00::/8",
 * "192.0.2.7". False, with a reason naming the entry, on anything else.
 */
struct error;
must_check bool name_range_parse(struct bytes in, struct name_range *out, struct error *err);
/* Reads entries between commas or blanks and adds them. False also when there are more than NAME_RANGES_MAX, or none. */
must_check bool name_ranges_parse(struct bytes in, struct name_ranges *out, struct error *err);
/* A pattern with a wildcard is in a range when all it can match is. */
must_check bool name_range_holds_dns(const struct name_range *range, struct bytes pattern);
must_check bool name_range_holds_ip(const struct name_range *range, struct bytes ip);
/* As name_range_parse reads it, with the closing NUL; cut at cap. */
void name_range_print(const struct name_range *range, char *out, size_t cap);
must_check bool name_range_equal(const struct name_range *a, const struct name_range *b);

#endif
