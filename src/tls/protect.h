/*
 * tls/protect.h — record protection of TLS 1.3 (RFC 8446, 5.2 to 5.4), TLS 1.2 (RFC 5246, 6.2.3; RFC 7366; RFC 7905)
 * and DTLS 1.2 (RFC 6347, 4.1.2), for one direction and one epoch. No I/O; no allocation per record, save with RC4.
 *
 * Written for a reader of other people's traffic: nothing runs in constant time, so do not let a peer see which of the
 * results it caused. Never are octets given out as plaintext that did not pass their tag or MAC.
 */
#ifndef TLS_PROTECT_H
#define TLS_PROTECT_H

#include "tls/crypto.h"
#include "tls/dtls.h"
#include "tls/record.h"
#include "tls/shape.h"

enum protect_result {
	PROTECT_OK,
	PROTECT_BAD_TAG,    /* tag, MAC or padding is wrong: another key or sequence number, or an altered record */
	PROTECT_BAD_LENGTH, /* too short, or no whole blocks: no key opens it */
	PROTECT_TOO_LONG,   /* over 2^14 octets of plaintext, or what is sealed would be */
	PROTECT_NO_TYPE,    /* TLS 1.3: authentic, but nothing but padding */
	PROTECT_NO_ROOM,    /* the output buffer is too small */
	PROTECT_EXHAUSTED,  /* the sequence number would wrap */
	PROTECT_FAILED,     /* libcrypto failed: out of memory */
};

/* For people. Never NULL. */
must_check const char *protect_result_text(enum protect_result result);

enum protect_support {
	PROTECT_SUPPORTED,
	PROTECT_WRONG_VERSION, /* the suite is not for this version */
	PROTECT_UNKNOWN_FORM,  /* its records have a form that is not implemented: GOST, AEGIS, export suites */
	PROTECT_NO_CIPHER,     /* libcrypto has no such cipher or hash */
	PROTECT_NO_LEGACY,     /* only the legacy provider has it, which cannot be loaded */
};

/* Whether records of this suite can be opened here, and why not. Version 0x0303 (also for DTLS 1.2) or 0x0304. */
must_check enum protect_support protect_supports(struct crypto *crypto, const struct suite *suite, uint16_t version);
/* "libcrypto has no such cipher" and so on. Never NULL. */
must_check const char *protect_support_text(enum protect_support support);

struct protect_setup {
	const struct suite *suite;
	uint16_t version;                /* 0x0303, also for DTLS 1.2, or 0x0304 */
	bool encrypt_then_mac;           /* RFC 7366 was agreed; without meaning for AEADs and RC4 */
	const struct traffic_keys *keys; /* of this direction; not needed after protect_new */
	uint64_t sequence;               /* of the first record */
};

struct protect;

/* NULL when the suite is not supported (ask protect_supports) or memory is out. Wiped by protect_free. */
must_check struct protect *protect_new(struct crypto *crypto, const struct protect_setup *setup);
/* NULL is allowed. */
void protect_free(struct protect *p);

/* The sequence number that the next record is expected to have. */
must_check uint64_t protect_sequence(const struct protect *p);
/* After a loss: go on with this one. (RC4 cannot follow without its lost octets: protect_skip.) */
void protect_seek(struct protect *p, uint64_t sequence);
/* RC4 only: move on over `len` octets of lost fragments; other ciphers need nothing of it. False: libcrypto failed. */
must_check bool protect_skip(struct protect *p, uint64_t len);
/* How many octets longer a fragment is than its plaintext, at most: IV, padding, MAC, tag and inner type. */
must_check size_t protect_overhead(const struct protect *p);

/* One record opened. */
struct opened {
	uint8_t type;           /* the true content type: TLS 1.3's inner one */
	struct bytes plaintext; /* in the output buffer, not always at its start */
	uint64_t sequence;      /* the record's */
	size_t padding;         /* TLS 1.3: zero octets that were taken off */
};

/*
 * Opens a record. `out` has room for record->fragment.len octets (`cap` at least that much) and is either the
 * fragment's own memory, which is then overwritten even if the record does not open, or does not overlap it. After
 * PROTECT_OK, TOO_LONG and NO_TYPE (the last two: authentic, but not legal) the sequence number has moved on; else it
 * is as before. `*opened` is set by PROTECT_OK only; `out` holds nothing that may be used after anything else. In TLS
 * 1.3 records of type change_cipher_spec are not protected: they are not for this function.
 */
must_check enum protect_result protect_open(
	struct protect *p, const struct record *record, uint8_t *out, size_t cap, struct opened *opened);

/* The same for DTLS 1.2: epoch and sequence number are the record's own, that of `p` is not looked at nor changed. */
must_check enum protect_result protect_open_dtls(
	struct protect *p, const struct dtls_record *record, uint8_t *out, size_t cap, struct opened *opened);

/*
 * Seals a record, for tests and laboratories: writes the whole record, header included. `padding` is for TLS 1.3 only.
 * `plaintext` may not overlap the output. The sequence number moves on after PROTECT_OK.
 */
must_check enum protect_result protect_seal(
	struct protect *p, uint8_t type, struct bytes plaintext, size_t padding, struct writer *out);
/* The same for DTLS 1.2, with this epoch and 48-bit sequence number. */
must_check enum protect_result protect_seal_dtls(
	struct protect *p, uint8_t type, uint16_t epoch, uint64_t sequence, struct bytes plaintext, struct writer *out);

#endif
