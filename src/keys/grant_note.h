/*
 * keys/grant_note.h — signed notes with Ed25519 (C2SP signed-note): a text, an empty line, and lines of
 *
 *     — NAME base64(key hash in 4 octets || signature)
 *
 * The signature is over the text with its last LF. No I/O, no allocation.
 */
#ifndef KEYS_GRANT_NOTE_H
#define KEYS_GRANT_NOTE_H

#include "base/bytes.h"
#include "base/error.h"

#define GRANT_NOTE_NAME_MAX   63
#define GRANT_NOTE_SEED       32
#define GRANT_NOTE_PUBLIC     32
#define GRANT_NOTE_SIGNED_MAX (GRANT_NOTE_NAME_MAX + 128) /* octets that grant_note_sign adds to a text, at most */
#define GRANT_NOTE_VKEY_MAX   (GRANT_NOTE_NAME_MAX + 64)  /* of a verifier key as text, with its NUL */
#define GRANT_NOTE_SIGNATURES 16                          /* lines that are looked at */

/* Who may sign. "NAME+HASH+KEY" as text: what others are given. */
struct grant_signer {
	char name[GRANT_NOTE_NAME_MAX + 1];
	uint8_t hash[4];
	uint8_t public_key[GRANT_NOTE_PUBLIC];
};

/* Names have no blanks, no plus sign and no control characters, and are not empty. */
must_check bool grant_signer_name_valid(struct bytes name);
must_check bool grant_signer_set(
	struct grant_signer *out, const char *name, const uint8_t public_key[static GRANT_NOTE_PUBLIC]);
/* From a line of text; blanks around it do not matter. `err` may be NULL. */
must_check bool grant_signer_read(struct bytes text, struct grant_signer *out, struct error *err);
void grant_signer_text(const struct grant_signer *verifier, char out[static GRANT_NOTE_VKEY_MAX]);
/* Of a seed (RFC 8032). */
must_check bool grant_signer_public(
	const uint8_t seed[static GRANT_NOTE_SEED], uint8_t public_key[static GRANT_NOTE_PUBLIC]);

/* Writes the text, which must end in LF, and one signature. False when it does not, or the writer is full. */
must_check bool grant_note_sign(
	struct bytes text, const char *name, const uint8_t seed[static GRANT_NOTE_SEED], struct writer *to);

enum grant_note_result {
	GRANT_NOTE_OK,
	GRANT_NOTE_BAD_FORM,      /* no text, empty line and signature */
	GRANT_NOTE_NOT_SIGNED,    /* by none of these */
	GRANT_NOTE_BAD_SIGNATURE, /* by one of these, but not over this text */
};
/* `*text` is in `note`; `*which` the verifier. */
must_check enum grant_note_result grant_note_verify(
	struct bytes note, const struct grant_signer *verifiers, size_t count, struct bytes *text, size_t *which);
/* What stands before the signatures, unverified: to show a note nobody here can verify. */
must_check bool grant_note_text(struct bytes note, struct bytes *text);

#endif
