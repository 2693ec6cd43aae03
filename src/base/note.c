#include "base/note.h"

#include "base/base64.h"
#include "base/text.h"

#include <inttypes.h>
#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <stdio.h>
#include <stdlib.h>

#define SIGNATURE 64

struct note_signer {
	struct note_key key;
	EVP_PKEY *pkey;
};

#define NOT_A_NAME "%.*s cannot be a key's name: no blanks, no +, at most %d octets"

static const char dash[] = "\xe2\x80\x94 ";
static const char private_start[] = "PRIVATE+KEY+";

bool note_name_valid(struct bytes name)
{
	for (size_t i = 0; i < name.len; i++) {
		/* ASCII only: no blanks of Unicode, and nothing that looks like another name. */
		if (name.data[i] <= ' ' || name.data[i] >= 0x7f || name.data[i] == '+')
			return false;
	}
	return name.len > 0 && name.len <= NOTE_NAME_MAX;
}

bool note_key_make(struct note_key *key, struct bytes name, enum note_type type, const uint8_t public_key[32])
{
	uint8_t text[NOTE_NAME_MAX + 2 + 32];
	uint8_t hash[32];
	struct bytes all;
	struct writer w = writer_over(text, sizeof(text));
	if (!note_name_valid(name))
		return false;
	writer_bytes(&w, name);
	writer_u8(&w, '\n');
	writer_u8(&w, (uint8_t)type);
	writer_bytes(&w, bytes_of(public_key, 32));
	if (!writer_done(&w, &all) || EVP_Digest(all.data, all.len, hash, NULL, EVP_sha256(), NULL) != 1)
		return false;
	*key = (struct note_key){.type = (uint8_t)type};
	memcpy(key->name, name.data, name.len);
	memcpy(key->id, hash, sizeof(key->id));
	memcpy(key->public_key, public_key, 32);
	return true;
}

static struct bytes trimmed(struct bytes text)
{
	while (text.len > 0 && text.data[text.len - 1] <= ' ')
		text.len--;
	while (text.len > 0 && text.data[0] <= ' ' && bytes_skip(&text, 1))
		continue;
	return text;
}

/* NAME+HEX(id)+BASE64(type, 32 octets). */
static bool key_parts(struct bytes text, struct bytes *name, uint8_t id[4], uint8_t octets[33])
{
	struct bytes hex;
	size_t len;
	if (!bytes_take(&text, bytes_find(text, '+', 0), name) || !bytes_skip(&text, 1) ||
		!bytes_take(&text, bytes_find(text, '+', 0), &hex) || !bytes_skip(&text, 1))
		return false;
	return text_unhex(id, 4, &len, hex) && len == 4 && base64_read(text, octets, 33, &len) && len == 33 &&
	       (octets[0] == NOTE_ED25519 || octets[0] == NOTE_COSIGNED);
}

bool note_key_read(struct bytes text, struct note_key *key, struct error *err)
{
	struct bytes name;
	uint8_t id[4];
	uint8_t octets[33];
	struct note_key read;
	if (!key_parts(trimmed(text), &name, id, octets) ||
		!note_key_make(&read, name, (enum note_type)octets[0], octets + 1))
		return error_set(err, "no verifier key: it has the form NAME+8 HEX DIGITS+BASE64");
	if (memcmp(read.id, id, 4) != 0)
		return error_set(err, "no verifier key: that of %s is damaged, its id does not fit", read.name);
	*key = read;
	return true;
}

static void write_parts(struct writer *w, const struct note_key *key, const uint8_t octets[32])
{
	char hex[9];
	uint8_t typed[33] = {key->type};
	memcpy(typed + 1, octets, 32);
	text_hex(hex, sizeof(hex), bytes_of(key->id, sizeof(key->id)));
	writer_bytes(w, bytes_str(key->name));
	writer_u8(w, '+');
	writer_bytes(w, bytes_str(hex));
	writer_u8(w, '+');
	base64_write(w, bytes_of(typed, sizeof(typed)));
	OPENSSL_cleanse(typed, sizeof(typed));
}

void note_key_write(struct writer *w, const struct note_key *key)
{
	write_parts(w, key, key->public_key);
}

bool note_key_same(const struct note_key *a, const struct note_key *b)
{
	return strcmp(a->name, b->name) == 0 && a->type == b->type &&
	       memcmp(a->public_key, b->public_key, sizeof(a->public_key)) == 0;
}

static struct note_signer *signer_over(EVP_PKEY *pkey, uint8_t public_key[32])
{
	size_t len = 32;
	struct note_signer *signer = calloc(1, sizeof(*signer));
	if (signer && pkey && EVP_PKEY_get_raw_public_key(pkey, public_key, &len) == 1 && len == 32) {
		signer->pkey = pkey;
		return signer;
	}
	free(signer);
	EVP_PKEY_free(pkey);
	return NULL;
}

struct note_signer *note_signer_new(struct bytes prefix, enum note_type type, struct error *err)
{
	uint8_t public_key[32];
	uint8_t hash[32];
	char name[NOTE_NAME_MAX + 1];
	struct note_signer *signer = signer_over(EVP_PKEY_Q_keygen(NULL, NULL, "ED25519"), public_key);
	if (!signer || EVP_Digest(public_key, 32, hash, NULL, EVP_sha256(), NULL) != 1) {
		error_set_openssl(err, "cannot make a signing key");
		note_signer_free(signer);
		return NULL;
	}
	char hex[17];
	text_hex(hex, sizeof(hex), bytes_of(hash, 8));
	snprintf(name, sizeof(name), "%.*s%s", (int)prefix.len, (const char *)prefix.data, hex);
	if (note_key_make(&signer->key, bytes_str(name), type, public_key))
		return signer;
	error_set(err, NOT_A_NAME, (int)strlen(name), name, NOTE_NAME_MAX);
	note_signer_free(signer);
	return NULL;
}

struct note_signer *note_signer_of_seed(
	struct bytes name, enum note_type type, const uint8_t seed[static NOTE_SEED], struct error *err)
{
	uint8_t public_key[32];
	struct note_signer *signer =
		signer_over(EVP_PKEY_new_raw_private_key_ex(NULL, "ED25519", NULL, seed, NOTE_SEED), public_key);
	if (!signer)
		error_set_openssl(err, "the signing key cannot be used");
	else if (note_key_make(&signer->key, name, type, public_key))
		return signer;
	else
		error_set(err, NOT_A_NAME, (int)name.len, (const char *)name.data, NOTE_NAME_MAX);
	note_signer_free(signer);
	return NULL;
}

struct note_signer *note_signer_read(struct bytes text, struct error *err)
{
	struct bytes name;
	uint8_t id[4];
	uint8_t octets[33];
	struct note_signer *signer = NULL;
	text = trimmed(text);
	if (bytes_starts(text, bytes_str(private_start)) && bytes_skip(&text, sizeof(private_start) - 1) &&
		key_parts(text, &name, id, octets))
		signer = note_signer_of_seed(name, (enum note_type)octets[0], octets + 1, NULL);
	bool good = signer && memcmp(signer->key.id, id, 4) == 0;
	OPENSSL_cleanse(octets, sizeof(octets));
	if (good)
		return signer;
	note_signer_free(signer);
	error_set(err, "no private key of the form PRIVATE+KEY+NAME+8 HEX DIGITS+BASE64");
	return NULL;
}

bool note_signer_write(struct writer *w, const struct note_signer *signer)
{
	uint8_t seed[NOTE_SEED];
	size_t len = sizeof(seed);
	bool good = EVP_PKEY_get_raw_private_key(signer->pkey, seed, &len) == 1 && len == NOTE_SEED;
	writer_bytes(w, bytes_str(private_start));
	if (good)
		write_parts(w, &signer->key, seed);
	writer_u8(w, '\n');
	OPENSSL_cleanse(seed, sizeof(seed));
	return good && !w->full;
}

void note_signer_free(struct note_signer *signer)
{
	if (!signer)
		return;
	EVP_PKEY_free(signer->pkey);
	free(signer);
}

const struct note_key *note_signer_key(const struct note_signer *signer)
{
	return &signer->key;
}

/* What is signed: the text itself, or with a heading and the time. NULL without memory; the caller frees. */
static uint8_t *message(enum note_type type, struct bytes text, uint64_t time_s, struct bytes *out)
{
	char heading[64] = "";
	if (type == NOTE_COSIGNED)
		snprintf(heading, sizeof(heading), "cosignature/v1\ntime %" PRIu64 "\n", time_s);
	size_t len = strlen(heading);
	uint8_t *room = malloc(len + text.len + 1);
	if (!room)
		return NULL;
	struct writer w = writer_over(room, len + text.len);
	writer_bytes(&w, bytes_of(heading, len));
	writer_bytes(&w, text);
	*out = bytes_of(room, len + text.len);
	return room;
}

bool note_sign(struct writer *w, const struct note_signer *signer, struct bytes text, uint64_t time_s)
{
	uint8_t octets[4 + 8 + SIGNATURE];
	uint8_t signature[SIGNATURE];
	size_t len = sizeof(signature);
	struct bytes all;
	struct bytes told;
	struct writer s = writer_over(octets, sizeof(octets));
	uint8_t *room = message((enum note_type)signer->key.type, text, time_s, &told);
	EVP_MD_CTX *ctx = EVP_MD_CTX_new();
	bool good = room && ctx && EVP_DigestSignInit(ctx, NULL, NULL, NULL, signer->pkey) == 1 &&
	            EVP_DigestSign(ctx, signature, &len, told.data, told.len) == 1 && len == sizeof(signature);
	EVP_MD_CTX_free(ctx);
	free(room);
	if (!good)
		return false;
	writer_bytes(&s, bytes_of(signer->key.id, sizeof(signer->key.id)));
	if (signer->key.type == NOTE_COSIGNED)
		writer_u64(&s, time_s);
	writer_bytes(&s, bytes_of(signature, sizeof(signature)));
	if (!writer_done(&s, &all))
		return false;
	writer_bytes(w, bytes_str(dash));
	writer_bytes(w, bytes_str(signer->key.name));
	writer_u8(w, ' ');
	base64_write(w, all);
	writer_u8(w, '\n');
	return !w->full;
}

bool note_write(struct writer *w, const struct note_signer *signer, struct bytes text, uint64_t time_s)
{
	if (text.len == 0 || text.data[text.len - 1] != '\n')
		return false;
	writer_bytes(w, text);
	writer_u8(w, '\n');
	return note_sign(w, signer, text, time_s);
}

/* The text ends at the last empty line. */
static size_t last_empty_line(struct bytes octets)
{
	for (size_t i = octets.len; i > 1; i--) {
		if (octets.data[i - 1] == '\n' && octets.data[i - 2] == '\n')
			return i;
	}
	return 0;
}

/* NAME and base64 of "— NAME BASE64". */
static bool signature_line(struct bytes line, struct bytes *name, struct bytes *base64)
{
	if (!bytes_starts(line, bytes_str(dash)) || !bytes_skip(&line, sizeof(dash) - 1) ||
		!bytes_take(&line, bytes_find(line, ' ', 0), name) || !bytes_skip(&line, 1))
		return false;
	*base64 = line;
	return name->len > 0 && line.len > 0 && bytes_find(line, ' ', 0) == line.len;
}

static bool next_line(struct bytes *in, struct bytes *line)
{
	size_t end = bytes_find(*in, '\n', 0);
	return end < in->len && bytes_take(in, end, line) && bytes_skip(in, 1);
}

/* No control characters but LF; no octet that UTF-8 never has; sequences whole. */
static bool text_fit(struct bytes in)
{
	unsigned more = 0;
	for (size_t i = 0; i < in.len; i++) {
		uint8_t c = in.data[i];
		if (more ? (c & 0xc0) != 0x80
			 : (c < ' ' && c != '\n') || c == 0x7f || (c >= 0x80 && c < 0xc2) || c > 0xf4)
			return false;
		if (more)
			more--;
		else
			more = c < 0x80 ? 0 : c < 0xe0 ? 1 : c < 0xf0 ? 2 : 3;
	}
	return more == 0;
}

bool note_read(struct bytes octets, struct note *note)
{
	size_t at = octets.len <= NOTE_MAX ? last_empty_line(octets) : 0;
	struct note read;
	struct bytes rest = octets;
	struct bytes line;
	struct bytes name;
	struct bytes base64;
	size_t count = 0;
	/* The empty line's own LF belongs to neither. */
	if (at < 2 || !text_fit(octets) || !bytes_take(&rest, at - 1, &read.text) || !bytes_skip(&rest, 1))
		return false;
	read.signatures = rest;
	while (next_line(&rest, &line)) {
		if (++count > NOTE_SIGNATURES_MAX || !signature_line(line, &name, &base64))
			return false;
	}
	if (rest.len > 0 || count == 0)
		return false;
	*note = read;
	return true;
}

static bool verify(const struct note_key *key, struct bytes text, struct bytes signature, uint64_t time_s)
{
	struct bytes told;
	uint8_t *room = message((enum note_type)key->type, text, time_s, &told);
	EVP_PKEY *pkey = EVP_PKEY_new_raw_public_key_ex(NULL, "ED25519", NULL, key->public_key, 32);
	EVP_MD_CTX *ctx = EVP_MD_CTX_new();
	bool good = room && pkey && ctx && EVP_DigestVerifyInit(ctx, NULL, NULL, NULL, pkey) == 1 &&
	            EVP_DigestVerify(ctx, signature.data, signature.len, told.data, told.len) == 1;
	EVP_MD_CTX_free(ctx);
	EVP_PKEY_free(pkey);
	free(room);
	return good;
}

enum note_result note_verify(const struct note *note, const struct note_key *key, uint64_t *time_s)
{
	struct bytes rest = note->signatures;
	struct bytes line;
	struct bytes name;
	struct bytes base64;
	if (time_s)
		*time_s = 0;
	while (next_line(&rest, &line)) {
		uint8_t room[4 + 8 + SIGNATURE];
		struct bytes octets;
		struct bytes id;
		uint64_t when = 0;
		size_t len;
		if (!signature_line(line, &name, &base64) || !bytes_equal(name, bytes_str(key->name)) ||
			!base64_read(base64, room, sizeof(room), &len))
			continue;
		octets = bytes_of(room, len);
		if (!bytes_take(&octets, 4, &id) || memcmp(id.data, key->id, 4) != 0)
			continue;
		if (key->type == NOTE_COSIGNED && !bytes_u64(&octets, &when))
			return NOTE_FORGED;
		if (octets.len != SIGNATURE || when > INT64_MAX || !verify(key, note->text, octets, when))
			return NOTE_FORGED;
		if (time_s)
			*time_s = when;
		return NOTE_SIGNED;
	}
	return NOTE_UNSIGNED;
}

enum note_result note_verify_any(const struct note *note, const struct note_key *keys, size_t count, size_t *which)
{
	enum note_result result = NOTE_UNSIGNED;
	for (size_t i = 0; i < count; i++) {
		enum note_result one = note_verify(note, &keys[i], NULL);
		if (one == NOTE_FORGED || (one == NOTE_SIGNED && result == NOTE_UNSIGNED))
			*which = i;
		if (one == NOTE_FORGED)
			return NOTE_FORGED;
		if (one == NOTE_SIGNED)
			result = NOTE_SIGNED;
	}
	return result;
}
