#include "keys/seal.h"

#include "keys/hpke.h"
#include "keys/secret.h"

#include <openssl/crypto.h>
#include <sodium/core.h>
#include <sodium/crypto_hash_sha256.h>
#include <sodium/crypto_scalarmult.h>
#include <stdlib.h>

#define SEAL_FORM 1

static const char seal_info[] = "overt seal 1";

const char *seal_result_text(enum seal_result result)
{
	static const char *const texts[SEAL_RESULTS] = {
		[SEAL_OK] = "it is well formed",
		[SEAL_BAD_RELEASE] = "what should be sealed is no release",
		[SEAL_BAD_FORM] = "it is no sealed release, or of another version",
		[SEAL_OTHER_READER] = "it is sealed to another reader",
		[SEAL_BAD_TAG] = "it was altered, or sealed to another key",
		[SEAL_CONTRADICTS] = "its head says other things than what is sealed",
		[SEAL_NO_ROOM] = "there is no room for it",
		[SEAL_FAILED] = "there is no randomness or memory, or the reader's public key is no good",
	};
	return result < SEAL_RESULTS && texts[result] ? texts[result] : "it is not known";
}

bool seal_key_id(const uint8_t public_key[static SEAL_KEY], uint8_t id[static SEAL_KEY_ID])
{
	/* SubjectPublicKeyInfo of X25519 (RFC 8410, 4): always these octets, then the key. */
	uint8_t spki[12 + SEAL_KEY] = {0x30, 0x2a, 0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x6e, 0x03, 0x21, 0x00};
	memcpy(spki + 12, public_key, SEAL_KEY);
	return crypto_hash_sha256(id, spki, sizeof(spki)) == 0;
}

static bool head_write(const struct seal_head *head, struct writer *to)
{
	writer_u8(to, SEAL_FORM);
	writer_bytes(to, bytes_of(head->key_id, SEAL_KEY_ID));
	writer_bytes(to, bytes_of(head->enc, SEAL_ENC));
	writer_u64(to, head->number);
	writer_u8(to, head->grade);
	writer_u8(to, head->mode);
	writer_u8(to, head->consent);
	writer_bytes(to, bytes_of(head->grant, RELEASE_GRANT));
	writer_bytes(to, bytes_of(head->client_random, KEYLOG_RANDOM));
	writer_u8(to, head->from_client);
	writer_u32(to, head->epoch);
	writer_bytes(to, bytes_of(head->check, RELEASE_CHECK));
	writer_u64(to, head->made_ns);
	writer_vec8(to, bytes_str(head->name));
	return !to->full;
}

static bool take(struct bytes *in, void *to, size_t len)
{
	struct bytes field;
	if (!bytes_take(in, len, &field))
		return false;
	memcpy(to, field.data, len);
	return true;
}

/* Moves `in` past the head. */
static bool head_take(struct bytes *in, struct seal_head *head)
{
	uint8_t form, from_client;
	struct bytes name;
	bool ok = bytes_u8(in, &form) && form == SEAL_FORM && take(in, head->key_id, SEAL_KEY_ID) &&
	          take(in, head->enc, SEAL_ENC) && bytes_u64(in, &head->number) && bytes_u8(in, &head->grade) &&
	          bytes_u8(in, &head->mode) && bytes_u8(in, &head->consent) && take(in, head->grant, RELEASE_GRANT) &&
	          take(in, head->client_random, KEYLOG_RANDOM) && bytes_u8(in, &from_client) && from_client <= 1 &&
	          bytes_u32(in, &head->epoch) && take(in, head->check, RELEASE_CHECK) &&
	          bytes_u64(in, &head->made_ns) && bytes_vec8(in, &name) && bytes_find(name, 0, 0) == name.len;
	if (!ok)
		return false;
	head->from_client = from_client != 0;
	release_text(head->name, sizeof(head->name), name);
	bool raw = head->grade == RELEASE_GRADE_RAW;
	return (raw || head->grade == RELEASE_GRADE_RECORD) && (!raw || (!head->from_client && head->epoch == 0)) &&
	       (head->mode == RELEASE_LIVE || head->mode == RELEASE_AFTER_ROTATION) &&
	       (head->consent == RELEASE_BOTH || head->consent == RELEASE_UNILATERAL);
}

bool seal_head_read(struct bytes in, struct seal_head *head)
{
	struct bytes sealed;
	return head_take(&in, head) && bytes_vec16(&in, &sealed) && in.len == 0 && sealed.len > SEAL_TAG &&
	       sealed.len <= RELEASE_WRITTEN + SEAL_TAG;
}

/* The head that fits a release, but for reader, context and number. */
static bool head_of(const struct release *release, struct seal_head *head)
{
	bool raw = release->grade == RELEASE_GRADE_RAW;
	head->grade = release->grade;
	head->mode = release->mode;
	head->consent = release->consent;
	head->from_client = !raw && release->key.from_client;
	head->epoch = raw ? 0 : release->key.epoch;
	head->made_ns = release->made_ns;
	memcpy(head->grant, release->grant, RELEASE_GRANT);
	memcpy(head->client_random, release->key.client_random, KEYLOG_RANDOM);
	memcpy(head->name, release->name, sizeof(head->name));
	return release_check_octets(release, head->check);
}

struct sealer {
	uint8_t public_key[SEAL_KEY], key_id[SEAL_KEY_ID], enc[SEAL_ENC];
	struct hpke context;
	uint64_t number, begun_ns, interval_ns, contexts;
};

static bool begin_context(struct sealer *sealer, uint64_t now_ns)
{
	hpke_wipe(&sealer->context);
	if (!hpke_send(&sealer->context, sealer->enc, sealer->public_key, bytes_str(seal_info)))
		return false;
	sealer->number = 0;
	sealer->begun_ns = now_ns;
	sealer->contexts++;
	return true;
}

struct sealer *sealer_new(const uint8_t public_key[static SEAL_KEY], uint64_t interval_ns)
{
	struct sealer *sealer = secret_alloc(sizeof(*sealer));
	if (!sealer)
		return NULL;
	memcpy(sealer->public_key, public_key, SEAL_KEY);
	sealer->interval_ns = interval_ns ? interval_ns : SEAL_INTERVAL_NS;
	if (sodium_init() < 0 || !seal_key_id(public_key, sealer->key_id) || !begin_context(sealer, 0)) {
		sealer_free(sealer);
		return NULL;
	}
	sealer->contexts = 0; /* that one was made to try the key */
	return sealer;
}

void sealer_free(struct sealer *sealer)
{
	secret_free(sealer);
}

static bool context_ready(struct sealer *sealer, uint64_t now_ns)
{
	bool due = sealer->contexts == 0 || sealer->number >= SEAL_PER_CONTEXT || now_ns < sealer->begun_ns ||
	           now_ns - sealer->begun_ns >= sealer->interval_ns;
	return !due || begin_context(sealer, now_ns);
}

enum seal_result sealer_seal(struct sealer *sealer, uint64_t now_ns, const struct release *release, struct writer *to)
{
	uint8_t plain[RELEASE_WRITTEN], sealed[RELEASE_WRITTEN + SEAL_TAG];
	struct writer body = writer_over(plain, sizeof(plain));
	struct seal_head head;
	if (!release_write(release, &body) || !head_of(release, &head)) {
		OPENSSL_cleanse(plain, body.len);
		return SEAL_BAD_RELEASE;
	}
	if (!context_ready(sealer, now_ns)) {
		OPENSSL_cleanse(plain, body.len);
		return SEAL_FAILED;
	}
	memcpy(head.key_id, sealer->key_id, SEAL_KEY_ID);
	memcpy(head.enc, sealer->enc, SEAL_ENC);
	head.number = sealer->number;
	size_t mark = to->len;
	bool room = head_write(&head, to);
	if (room) {
		struct bytes aad = bytes_of(to->data + mark, to->len - mark);
		hpke_seal(&sealer->context, sealer->number++, aad, bytes_of(plain, body.len), sealed);
		writer_vec16(to, bytes_of(sealed, body.len + SEAL_TAG));
	}
	OPENSSL_cleanse(plain, body.len);
	return to->full ? SEAL_NO_ROOM : SEAL_OK;
}

const uint8_t *sealer_key_id(const struct sealer *sealer)
{
	return sealer->key_id;
}

uint64_t sealer_contexts(const struct sealer *sealer)
{
	return sealer->contexts;
}

struct known_context {
	bool used;
	uint8_t enc[SEAL_ENC];
	struct hpke context;
};

struct opener {
	uint8_t private_key[SEAL_KEY], key_id[SEAL_KEY_ID];
	size_t next; /* slot that the next context takes */
	size_t last; /* slot that was used last: nearly always the one wanted */
	struct known_context known[OPENER_CONTEXTS];
};

struct opener *opener_new(const uint8_t private_key[static SEAL_KEY])
{
	uint8_t public_key[SEAL_KEY];
	struct opener *opener = secret_alloc(sizeof(*opener));
	if (!opener)
		return NULL;
	memcpy(opener->private_key, private_key, SEAL_KEY);
	if (sodium_init() < 0 || crypto_scalarmult_base(public_key, private_key) != 0 ||
		!seal_key_id(public_key, opener->key_id)) {
		opener_free(opener);
		return NULL;
	}
	return opener;
}

void opener_free(struct opener *opener)
{
	secret_free(opener);
}

const uint8_t *opener_key_id(const struct opener *opener)
{
	return opener->key_id;
}

static const struct hpke *context_of(struct opener *opener, const uint8_t enc[static SEAL_ENC])
{
	for (size_t i = 0; i < OPENER_CONTEXTS; i++) {
		size_t at = (opener->last + i) % OPENER_CONTEXTS;
		if (opener->known[at].used && memcmp(opener->known[at].enc, enc, SEAL_ENC) == 0) {
			opener->last = at;
			return &opener->known[at].context;
		}
	}
	struct known_context *slot = &opener->known[opener->next];
	slot->used = hpke_receive(&slot->context, enc, opener->private_key, bytes_str(seal_info));
	if (!slot->used)
		return NULL;
	memcpy(slot->enc, enc, SEAL_ENC);
	opener->last = opener->next;
	opener->next = (opener->next + 1) % OPENER_CONTEXTS;
	return &slot->context;
}

/* What was in the clear, and perhaps decided whether it came here at all, must be what was meant. */
static bool same(const struct seal_head *head, const struct release *release)
{
	struct seal_head meant = *head;
	return head_of(release, &meant) && meant.grade == head->grade && meant.mode == head->mode &&
	       meant.consent == head->consent && meant.from_client == head->from_client && meant.epoch == head->epoch &&
	       meant.made_ns == head->made_ns && memcmp(meant.grant, head->grant, RELEASE_GRANT) == 0 &&
	       memcmp(meant.client_random, head->client_random, KEYLOG_RANDOM) == 0 &&
	       memcmp(meant.check, head->check, RELEASE_CHECK) == 0 && strcmp(meant.name, head->name) == 0;
}

enum seal_result opener_open(struct opener *opener, struct bytes sealed, struct release *out)
{
	uint8_t plain[RELEASE_WRITTEN];
	struct seal_head head;
	struct bytes rest = sealed, body;
	*out = (struct release){0};
	if (!seal_head_read(sealed, &head) || !head_take(&rest, &head))
		return SEAL_BAD_FORM;
	struct bytes aad = bytes_of(sealed.data, sealed.len - rest.len);
	if (memcmp(head.key_id, opener->key_id, SEAL_KEY_ID) != 0)
		return SEAL_OTHER_READER;
	const struct hpke *context = context_of(opener, head.enc);
	if (!context || !bytes_vec16(&rest, &body) || !hpke_open(context, head.number, aad, body, plain))
		return SEAL_BAD_TAG;
	enum release_result read = release_read(bytes_of(plain, body.len - SEAL_TAG), out);
	OPENSSL_cleanse(plain, sizeof(plain));
	if (read != RELEASE_OK)
		return SEAL_BAD_RELEASE;
	if (same(&head, out))
		return SEAL_OK;
	release_wipe(out);
	return SEAL_CONTRADICTS;
}
