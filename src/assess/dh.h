/* assess/dh.h — a finite-field group that a server chose: is it one of those everybody knows, and is it sound? */
#ifndef ASSESS_DH_H
#define ASSESS_DH_H

#include "base/bytes.h"

enum dh_kind {
	DH_NAMED,      /* RFC 7919 */
	DH_KNOWN,      /* RFC 3526, which many share: sound, but not named in TLS */
	DH_SAFE_PRIME, /* of its own, and (p - 1) / 2 is prime too */
	DH_PRIME,      /* prime, but not safe: subgroups of small order may be there */
	DH_COMPOSITE,  /* no prime: somebody may know its factors */
	DH_TRIVIAL,    /* even, under 512 bits, or a generator of 0, 1 or p - 1 */
	DH_TOO_LONG,   /* over 4096 bits and not known by name: not judged */
};

struct dh_group {
	enum dh_kind kind;
	unsigned bits;
	const char *name; /* "ffdhe2048", "RFC 3526 group 14"; else NULL */
};

/* Primality by OpenSSL's BN_check_prime: seconds for a safe prime of 4096 bits. Neither may be over 65,535 octets. False without memory. */
must_check bool dh_judge(struct bytes p, struct bytes g, struct dh_group *out);
/* A sentence's end: "its own safe prime". */
must_check const char *dh_kind_text(enum dh_kind kind);

#endif
