/* tls/group.h — named groups (IANA "TLS Supported Groups"). A constant table; no I/O, no allocation. */
#ifndef TLS_GROUP_H
#define TLS_GROUP_H

#include "base/bytes.h"

#define GROUP_SECP256R1          0x0017
#define GROUP_SECP384R1          0x0018
#define GROUP_SECP521R1          0x0019
#define GROUP_X25519             0x001d
#define GROUP_X448               0x001e
#define GROUP_FFDHE2048          0x0100
#define GROUP_SECP256R1MLKEM768  0x11eb
#define GROUP_X25519MLKEM768     0x11ec
#define GROUP_SECP384R1MLKEM1024 0x11ed
#define GROUP_X25519KYBER768     0x6399 /* the draft that browsers spoke in 2023 and 2024 */

enum group_kind {
	GROUP_EC,     /* elliptic curve */
	GROUP_FF,     /* finite field (RFC 7919) */
	GROUP_KEM,    /* ML-KEM alone */
	GROUP_HYBRID, /* elliptic curve and a post-quantum KEM */
};

struct group {
	const char *name; /* IANA's */
	/*
	 * What SSL_set1_groups_list calls it; NULL when no OpenSSL has it. A name does not mean that the OpenSSL at
	 * hand has the group (`since`; a provider may lack it too), and one unknown name makes the whole list fail: try
	 * each alone once.
	 */
	const char *openssl;
	uint32_t since; /* OPENSSL_VERSION_NUMBER from which on the name is known, 0 for all of 3.x */
	enum group_kind kind;
	uint16_t value;
	uint16_t bits; /* classical security strength, about: 128 for secp256r1 */
	bool tls13;    /* may be used with TLS 1.3 (RFC 8446, 4.2.7) */
	bool tls12;    /* may be used with TLS 1.2 */
};

/* NULL when the value is not in the table. */
must_check const struct group *group_find(uint16_t value);
/* By IANA's or OpenSSL's name, letters of either case; NULL when there is none. */
must_check const struct group *group_by_name(struct bytes name);
/* IANA's name; "GREASE"; NULL when unknown. */
must_check const char *group_name(uint16_t value);
/* The table in order of value; NULL at and past its end. */
must_check const struct group *group_at(size_t index);

#endif
