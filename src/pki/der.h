/*
 * pki/der.h — reading and writing the distinguished encoding rules (X.690, 10 and 11), as much as certificates need. No
 * I/O, no allocation.
 */
#ifndef PKI_DER_H
#define PKI_DER_H

#include "base/bytes.h"

enum der_tag {
	DER_BOOLEAN = 0x01,
	DER_INTEGER = 0x02,
	DER_BIT_STRING = 0x03,
	DER_OCTET_STRING = 0x04,
	DER_NULL = 0x05,
	DER_OID = 0x06,
	DER_UTF8 = 0x0c,
	DER_IA5 = 0x16,
	DER_UTC_TIME = 0x17,
	DER_GENERALIZED_TIME = 0x18,
	DER_SEQUENCE = 0x30,
	DER_SET = 0x31,
	DER_CONTEXT = 0x80,             /* | number: implicit, primitive */
	DER_CONTEXT_CONSTRUCTED = 0xa0, /* | number */
};

/*
 * Readers take one element from the front of `in` and move past it; on false `in` and `*out` stay. Lengths must be
 * definite and minimal, tags below 31.
 */
must_check bool der_any(struct bytes *in, uint8_t *tag, struct bytes *content);
must_check bool der_take(struct bytes *in, uint8_t tag, struct bytes *content);
/* As der_take, with tag and length: the element whole. */
must_check bool der_whole(struct bytes *in, uint8_t tag, struct bytes *element);
/* Skips one element of that tag when it stands there; false only when it does and is broken. */
must_check bool der_skip_optional(struct bytes *in, uint8_t tag);
/* UTCTime or GeneralizedTime in the form of RFC 5280, 4.1.2.5 (seconds, Z), as seconds since 1970. */
must_check bool der_take_time(struct bytes *in, int64_t *out_s);
must_check bool der_take_bool(struct bytes *in, bool *out);

/* Writers. What does not fit sets `full` in the writer, as in base/bytes.h. */
/* Begins an element; der_close fills in its length, moving the content when that takes more than one octet. */
size_t der_open(struct writer *w, uint8_t tag);
void der_close(struct writer *w, size_t mark);
void der_put(struct writer *w, uint8_t tag, struct bytes content);
/* A non-negative INTEGER from octets in network order; leading zeros are dropped. */
void der_put_unsigned(struct writer *w, struct bytes value);
/* UTCTime up to 2049, GeneralizedTime from 2050 (RFC 5280, 4.1.2.5). Years outside 1950..9999 set `full`. */
void der_put_time(struct writer *w, int64_t at_s);
void der_put_bool(struct writer *w, bool value);
/* BIT STRING of whole octets. */
void der_put_bits(struct writer *w, struct bytes value);

#endif
