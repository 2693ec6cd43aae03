#include "keys/grant_note.h"

#include <sodium/crypto_hash_sha256.h>
#include <sodium/crypto_sign_ed25519.h>
#include <sodium/utils.h>
#include <stdio.h>

#define ED25519   0x01 /* signature type of C2SP signed-note */
#define HASH_LEN  4
#define SIGNATURE 64
#define DASH      "\xe2\x80\x94 " /* em dash and a blank */

bool grant_signer_name_valid(struct bytes name)
{
	for (size_t i = 0; i < name.len; i++) {
		if (name.data[i] <= ' ' || name.data[i] == '+' || name.data[i] >= 0x7f)
			return false;
	}
	return name.len > 0 && name.len <= GRANT_NOTE_NAME_MAX;
}

bool grant_signer_set(struct grant_signer *out, const char *name, const uint8_t public_key[static GRANT_NOTE_PUBLIC])
{
	crypto_hash_sha256_state state;
	uint8_t hash[crypto_hash_sha256_BYTES];
	const uint8_t type[2] = {'\n', ED25519};
	struct bytes named = bytes_str(name);
	*out = (struct grant_signer){0};
	if (!grant_signer_name_valid(named))
		return false;
	crypto_hash_sha256_init(&state);
	crypto_hash_sha256_update(&state, named.data, named.len);
	crypto_hash_sha256_update(&state, type, sizeof(type));
	crypto_hash_sha256_update(&state, public_key, GRANT_NOTE_PUBLIC);
	crypto_hash_sha256_final(&state, hash);
	memcpy(out->name, named.data, named.len);
	memcpy(out->hash, hash, HASH_LEN);
	memcpy(out->public_key, public_key, GRANT_NOTE_PUBLIC);
	return true;
}

static bool unbase64(struct bytes text, uint8_t *out, size_t cap, size_t *len)
{
	return sodium_base642bin(out, cap, (const char *)text.data, text.len, NULL, len, NULL,
		       sodium_base64_VARIANT_ORIGINAL) == 0;
}

static struct bytes trimmed(struct bytes text)
{
	while (text.len > 0 && text.data[text.len - 1] <= ' ')
		text.len--;
	while (text.len > 0 && text.data[0] <= ' ' && bytes_skip(&text, 1))
		continue;
	return text;
}

bool grant_signer_read(struct bytes text, struct grant_signer *out, struct error *err)
{
	struct bytes rest = trimmed(text), name, hash;
	char named[GRANT_NOTE_NAME_MAX + 1] = "", wanted[9];
	uint8_t key[1 + GRANT_NOTE_PUBLIC];
	size_t len = 0;
	bool form = bytes_take(&rest, bytes_find(rest, '+', 0), &name) && bytes_skip(&rest, 1) &&
	            bytes_take(&rest, bytes_find(rest, '+', 0), &hash) && bytes_skip(&rest, 1) &&
	            grant_signer_name_valid(name) && hash.len == (size_t)2 * HASH_LEN &&
	            unbase64(rest, key, sizeof(key), &len) && len == sizeof(key) && key[0] == ED25519;
	if (!form)
		return error_set(
			err, "no verifier key: it has the form NAME+HASH+KEY, as overt grant signer prints it");
	memcpy(named, name.data, name.len);
	if (!grant_signer_set(out, named, key + 1))
		return error_set(err, "no verifier key: its name is no good");
	snprintf(wanted, sizeof(wanted), "%02x%02x%02x%02x", out->hash[0], out->hash[1], out->hash[2], out->hash[3]);
	return bytes_equal(hash, bytes_str(wanted)) ||
	       error_set(err, "the verifier key of %s is damaged: its hash does not fit", named);
}

void grant_signer_text(const struct grant_signer *verifier, char out[static GRANT_NOTE_VKEY_MAX])
{
	uint8_t key[1 + GRANT_NOTE_PUBLIC] = {ED25519};
	char base64[sodium_base64_ENCODED_LEN(1 + GRANT_NOTE_PUBLIC, sodium_base64_VARIANT_ORIGINAL)];
	memcpy(key + 1, verifier->public_key, GRANT_NOTE_PUBLIC);
	sodium_bin2base64(base64, sizeof(base64), key, sizeof(key), sodium_base64_VARIANT_ORIGINAL);
	snprintf(out, GRANT_NOTE_VKEY_MAX, "%s+%02x%02x%02x%02x+%s", verifier->name, verifier->hash[0],
		verifier->hash[1], verifier->hash[2], verifier->hash[3], base64);
}

bool grant_signer_public(const uint8_t seed[static GRANT_NOTE_SEED], uint8_t public_key[static GRANT_NOTE_PUBLIC])
{
	uint8_t secret[crypto_sign_ed25519_SECRETKEYBYTES];
	bool ok = crypto_sign_ed25519_seed_keypair(public_key, secret, seed) == 0;
	sodium_memzero(secret, sizeof(secret));
	return ok;
}

bool grant_note_sign(struct bytes text, const char *name, const uint8_t seed[static GRANT_NOTE_SEED], struct writer *to)
{
	uint8_t secret[crypto_sign_ed25519_SECRETKEYBYTES], public_key[GRANT_NOTE_PUBLIC], line[HASH_LEN + SIGNATURE];
	char base64[sodium_base64_ENCODED_LEN(HASH_LEN + SIGNATURE, sodium_base64_VARIANT_ORIGINAL)];
	struct grant_signer own;
	if (text.len == 0 || text.data[text.len - 1] != '\n' ||
		crypto_sign_ed25519_seed_keypair(public_key, secret, seed) != 0)
		return false;
	bool ok = grant_signer_set(&own, name, public_key) &&
	          crypto_sign_ed25519_detached(line + HASH_LEN, NULL, text.data, text.len, secret) == 0;
	sodium_memzero(secret, sizeof(secret));
	if (!ok)
		return false;
	memcpy(line, own.hash, HASH_LEN);
	sodium_bin2base64(base64, sizeof(base64), line, sizeof(line), sodium_base64_VARIANT_ORIGINAL);
	writer_bytes(to, text);
	writer_bytes(to, bytes_str("\n" DASH));
	writer_bytes(to, bytes_str(name));
	writer_bytes(to, bytes_str(" "));
	writer_bytes(to, bytes_str(base64));
	writer_bytes(to, bytes_str("\n"));
	return !to->full;
}

/* The text ends at the last empty line; what follows must be signature lines. */
static bool split(struct bytes note, struct bytes *text, struct bytes *lines)
{
	for (size_t at = note.len; at >= 2; at--) {
		if (note.data[at - 1] != '\n' || note.data[at - 2] != '\n')
			continue;
		*text = bytes_of(note.data, at - 1);
		*lines = bytes_of(note.data + at, note.len - at);
		return lines->len > 0 && bytes_starts(*lines, bytes_str(DASH)) && lines->data[lines->len - 1] == '\n';
	}
	return false;
}

bool grant_note_text(struct bytes note, struct bytes *text)
{
	struct bytes lines;
	return split(note, text, &lines);
}

/* One line: by whom of `verifiers`, and whether it is right. */
static enum grant_note_result line_verify(
	struct bytes line, struct bytes text, const struct grant_signer *verifiers, size_t count, size_t *which)
{
	struct bytes name;
	uint8_t signed_by[HASH_LEN + SIGNATURE];
	size_t len = 0;
	bool form = bytes_starts(line, bytes_str(DASH)) && bytes_skip(&line, strlen(DASH)) &&
	            bytes_take(&line, bytes_find(line, ' ', 0), &name) && bytes_skip(&line, 1) &&
	            grant_signer_name_valid(name);
	if (!form)
		return GRANT_NOTE_BAD_FORM;
	for (size_t i = 0; i < count; i++) {
		if (!bytes_equal(name, bytes_str(verifiers[i].name)) ||
			!unbase64(line, signed_by, sizeof(signed_by), &len) || len != sizeof(signed_by) ||
			memcmp(signed_by, verifiers[i].hash, HASH_LEN) != 0)
			continue;
		*which = i;
		bool ok = crypto_sign_ed25519_verify_detached(
				  signed_by + HASH_LEN, text.data, text.len, verifiers[i].public_key) == 0;
		return ok ? GRANT_NOTE_OK : GRANT_NOTE_BAD_SIGNATURE;
	}
	return GRANT_NOTE_NOT_SIGNED;
}

enum grant_note_result grant_note_verify(
	struct bytes note, const struct grant_signer *verifiers, size_t count, struct bytes *text, size_t *which)
{
	struct bytes lines, line;
	enum grant_note_result result = GRANT_NOTE_NOT_SIGNED;
	if (!split(note, text, &lines))
		return GRANT_NOTE_BAD_FORM;
	for (size_t i = 0; i < GRANT_NOTE_SIGNATURES && lines.len > 0; i++) {
		size_t len = bytes_find(lines, '\n', 0);
		if (!bytes_take(&lines, len, &line) || !bytes_skip(&lines, 1))
			return GRANT_NOTE_BAD_FORM;
		enum grant_note_result one = line_verify(line, *text, verifiers, count, which);
		/* A known key with a wrong signature, or a line that is none, spoils the note (signed-note, "Verification"). */
		if (one == GRANT_NOTE_BAD_FORM || one == GRANT_NOTE_BAD_SIGNATURE)
			return one;
		if (one == GRANT_NOTE_OK)
			result = GRANT_NOTE_OK;
	}
	return lines.len > 0 ? GRANT_NOTE_BAD_FORM : result;
}
