/*
 * policy/address.h — blocks of IP addresses (RFC 4632, RFC 4291), and the kinds of address that a proxy must not be
 * talked into reaching. No I/O, no allocation.
 */
#ifndef POLICY_ADDRESS_H
#define POLICY_ADDRESS_H

#include "base/hostport.h"

enum address_kind {
	ADDRESS_PUBLIC,
	ADDRESS_PRIVATE,    /* 10/8, 172.16/12, 192.168/16, 100.64/10, fc00::/7 */
	ADDRESS_LINK_LOCAL, /* 169.254/16, fe80::/10 */
	ADDRESS_METADATA,   /* where clouds answer with a machine's credentials; comes before all others */
	ADDRESS_LOOPBACK,   /* 127/8, ::1, and 0/8 and ::, which reach the same machine */
	ADDRESS_KINDS,
};

/*
 * Ports are not looked at. NAT64 (64:ff9b::/96), 6to4 (2002::/16) and IPv4-compatible addresses are judged by the IPv4
 * address inside them.
 */
must_check enum address_kind address_kind(const struct hostport *address);
/* "public", "private", "link-local", "metadata", "loopback": the words that rules use. */
must_check const char *address_kind_name(enum address_kind kind);
must_check bool address_kind_find(const char *word, enum address_kind *out);

/* Addresses that share their first `bits` bits with `base`, in the IPv4-mapped form of base/hostport.h (0..128). */
struct address_block {
	uint8_t base[16];
	uint8_t bits;
};

enum block_result {
	BLOCK_OK,
	BLOCK_NOT_ADDRESS, /* no address before the slash */
	BLOCK_BAD_LENGTH,  /* no number, or more than 32 or 128 */
	BLOCK_HOST_BITS,   /* bits set beyond the prefix: 10.1.2.3/8 is a mistake more often than not */
};

/* "10.0.0.0/8", "2001:db8::/32", or one address. */
must_check enum block_result address_block_parse(const char *text, struct address_block *out);
/* What is wrong and what to do, for people. Static text. */
must_check const char *block_result_text(enum block_result result);
must_check bool address_block_has(const struct address_block *block, const struct hostport *address);

#endif
