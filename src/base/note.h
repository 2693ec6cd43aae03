/*
 * base/note.h — signed notes (C2SP signed-note) with Ed25519, and cosignatures of witnesses (C2SP tlog-cosignature,
 * cosignature/v1). No I/O.
 *
 * A note is text that ends in LF, an empty line, and signature lines "— NAME BASE64(key id, signature)".
 */
#ifndef BASE_NOTE_H
#define BASE_NOTE_H

#include "base/bytes.h"
#include "base/error.h"

#define NOTE_MAX            ((size_t)64 * 1024) /* octets of a note */
#define NOTE_NAME_MAX       128                 /* octets of a key's name */
#define NOTE_KEY_TEXT       256                 /* octets of a verifier or private key as text, at most */
#define NOTE_LINE_MAX       320                 /* octets of a signature line, at most */
#define NOTE_SIGNATURES_MAX 32
#define NOTE_SEED           32 /* octets of a private key */

enum note_type {
	NOTE_ED25519 = 1,  /* over the text */
	NOTE_COSIGNED = 4, /* cosignature/v1: over "cosignature/v1", the time, and the text */
};

/* Who may have signed. As text: NAME+HEX(id)+BASE64(type, public key), a "verifier key". */
struct note_key {
	char name[NOTE_NAME_MAX + 1];
	uint8_t type; /* enum note_type */
	uint8_t id[4];
	uint8_t public_key[32];
};

/* Names have no blanks, no "+" and no control characters, and are neither empty nor over NOTE_NAME_MAX. */
must_check bool note_name_valid(struct bytes name);
/* The id is computed. False when the name is no good. */
must_check bool note_key_make(
	struct note_key *key, struct bytes name, enum note_type type, const uint8_t public_key[32]);
/* Reads a verifier key; blanks and line ends around it are allowed. False with `err`. */
must_check bool note_key_read(struct bytes text, struct note_key *key, struct error *err);
void note_key_write(struct writer *w, const struct note_key *key);
must_check bool note_key_same(const struct note_key *a, const struct note_key *b);

struct note_signer;

/* A new key pair. Its name is `prefix` followed by 16 hex digits of the public key's SHA-256. NULL with `err`. */
must_check struct note_signer *note_signer_new(struct bytes prefix, enum note_type type, struct error *err);
/* Of a seed (RFC 8032), which the caller wipes. NULL with `err`. */
must_check struct note_signer *note_signer_of_seed(
	struct bytes name, enum note_type type, const uint8_t seed[static NOTE_SEED], struct error *err);
/* From "PRIVATE+KEY+NAME+HEX(id)+BASE64(type, seed)" (and LF). NULL with `err`. */
must_check struct note_signer *note_signer_read(struct bytes text, struct error *err);
/* The same text, with LF: a secret, which the caller wipes. */
must_check bool note_signer_write(struct writer *w, const struct note_signer *signer);
/* NULL is allowed. Wipes. */
void note_signer_free(struct note_signer *signer);
must_check const struct note_key *note_signer_key(const struct note_signer *signer);
/* The signature line over `text`. `time_s` (Unix) counts for cosignatures only. False when OpenSSL fails or `w` is full. */
must_check bool note_sign(struct writer *w, const struct note_signer *signer, struct bytes text, uint64_t time_s);

/* The whole note: the text, which must end in LF, the empty line, and one signature line. False as note_sign. */
must_check bool note_write(struct writer *w, const struct note_signer *signer, struct bytes text, uint64_t time_s);

/* Views of the octets that were read. */
struct note {
	struct bytes text;       /* with its last LF */
	struct bytes signatures; /* whole lines */
};

/* False: not in the form of a note. Says nothing of who signed. */
must_check bool note_read(struct bytes octets, struct note *note);

enum note_result {
	NOTE_SIGNED,
	NOTE_UNSIGNED, /* no signature of that key */
	NOTE_FORGED,   /* one with its name and id, which does not verify */
};

/* *time_s (may be NULL) is that of a cosignature, else 0. */
must_check enum note_result note_verify(const struct note *note, const struct note_key *key, uint64_t *time_s);
/*
 * Whether one of these keys signed; *which is the first that did. A forged signature of any of them spoils the note,
 * whoever else signed: then *which is that key.
 */
must_check enum note_result note_verify_any(
	const struct note *note, const struct note_key *keys, size_t count, size_t *which);

#endif
