/*
 * pact/saved.h — a proof kept for later, with all that is needed to check it again: a block of PEM named "OVERT ACCORD
 * PROOF". What it holds, in the presentation language of TLS:
 *
 *     struct {
 *         uint8 version = 1;
 *         uint64 time;                             seconds since 1970: when the client checked it
 *         uint16 tls_version;                      of leg 1, as all up to the chain
 *         opaque alpn<0..255>;
 *         opaque host<0..2^16-1>;                  server_name
 *         opaque address<0..255>;                  0, 4 or 16 octets
 *         opaque suites<0..2^16-1>, groups<0..2^16-1>, sigalgs<0..2^16-1>;
 *         opaque offer<1..2^16-1>;                 the body that the ClientHello carried
 *         opaque certificate<1..2^32-1> [count];   uint8 count, 1..8: the proxy's, end entity first
 *         opaque proof<1..2^32-1>;                 the body, at most 48 KiB
 *     } SavedProof;
 *
 * What the signatures in the proof do not cover is the word of whoever saved it: the time, that the proxy showed it on
 * leg 1, and the purpose, which the proxy signs there and the server never sees.
 */
#ifndef PACT_SAVED_H
#define PACT_SAVED_H

#include "accord/check.h"

#define SAVED_VERSION 1
#define SAVED_LABEL   "OVERT ACCORD PROOF"
#define SAVED_MAX     ((size_t)1 << 20) /* octets of what the block holds */

struct saved {
	int64_t time_s;
	struct accord_leg1 leg1; /* never resumed; no staple */
	struct bytes proof;
};

enum saved_result {
	SAVED_OK,
	SAVED_TRUNCATED,
	SAVED_TRAILING,
	SAVED_VERSION_UNKNOWN,
	SAVED_VALUE, /* a field with a value that it cannot have */
};

must_check const char *saved_result_text(enum saved_result result);
/* What the block holds, without PEM. *out has views of `in`; not to be used on anything but SAVED_OK. */
must_check enum saved_result saved_read(struct bytes in, struct saved *out);
/* False when a field is too long, or what is written would not be read. */
must_check bool saved_write(struct writer *w, const struct saved *saved);

/*
 * A file of its own, mode 0600: it names the server. `note` stands before the block, for people: lines, of which each
 * is put behind "# ".
 */
must_check bool saved_to_file(const char *path, struct bytes note, const struct saved *saved, struct error *err);
/* *memory is what the views point into, for OPENSSL_free(); NULL on false. */
must_check bool saved_from_file(const char *path, struct saved *out, uint8_t **memory, struct error *err);

#endif
