#include "tls/protect_private.h"

#include <openssl/crypto.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <stdlib.h>

#define TLS12 0x0303
#define TLS13 0x0304

const char *protect_result_text(enum protect_result result)
{
	switch (result) {
	case PROTECT_OK:
		return "ok";
	case PROTECT_BAD_TAG:
		return "the record's tag is wrong: not this key, not this place, or altered";
	case PROTECT_BAD_LENGTH:
		return "the record has a length that its cipher suite cannot have";
	case PROTECT_TOO_LONG:
		return "over 2^14 octets of plaintext";
	case PROTECT_NO_TYPE:
		return "the record holds nothing but padding";
	case PROTECT_NO_ROOM:
		return "the output buffer is too small";
	case PROTECT_EXHAUSTED:
		return "the sequence numbers are used up";
	case PROTECT_FAILED:
		return "libcrypto failed, most likely out of memory";
	}
	return "unknown";
}

const char *protect_support_text(enum protect_support support)
{
	switch (support) {
	case PROTECT_SUPPORTED:
		return "supported";
	case PROTECT_WRONG_VERSION:
		return "the cipher suite is not for this version of TLS";
	case PROTECT_UNKNOWN_FORM:
		return "records of this cipher suite are not implemented";
	case PROTECT_NO_CIPHER:
		return "libcrypto has no such cipher";
	case PROTECT_NO_LEGACY:
		return "only libcrypto's legacy provider has this cipher, and it cannot be loaded";
	}
	return "unknown";
}

enum protect_support protect_supports(struct crypto *crypto, const struct suite *suite, uint16_t version)
{
	struct shape shape;
	bool legacy = false;
	if ((version != TLS12 && version != TLS13) || !suite_fits_version(suite, version))
		return PROTECT_WRONG_VERSION;
	if (!shape_of(suite, version, &shape))
		return PROTECT_UNKNOWN_FORM;
	if (!crypto_md(crypto, suite->prf) || (shape.mac_key > 0 && !crypto_md(crypto, suite->mac)))
		return PROTECT_NO_CIPHER;
	if (shape.form != SHAPE_NULL && !crypto_cipher(crypto, suite, CRYPTO_OWN, &legacy))
		return legacy ? PROTECT_NO_LEGACY : PROTECT_NO_CIPHER;
	return PROTECT_SUPPORTED;
}

/*
 * Contexts that open AEAD records are handed from one key to the next: making one costs more than keying it. CCM's are
 * not, whose lengths are settled before the key.
 */
static bool handed_on(const struct protect *p)
{
	return p->shape.tag > 0 && !p->ccm;
}

static EVP_CIPHER_CTX *used_before(const struct protect *p)
{
	EVP_CIPHER_CTX *ctx = handed_on(p) ? crypto_context_take(p->crypto, p->suite) : NULL;
	if (!ctx || EVP_CipherInit_ex(ctx, NULL, NULL, p->keys.key, NULL, 0))
		return ctx;
	EVP_CIPHER_CTX_free(ctx);
	return NULL;
}

/* One direction's cipher with its key, so that each record only sets its nonce. NULL: out of memory. */
static EVP_CIPHER_CTX *keyed(const struct protect *p, bool sealing)
{
	EVP_CIPHER_CTX *ctx = EVP_CIPHER_CTX_new();
	const struct shape *shape = &p->shape;
	int enc = sealing ? 1 : 0;
	bool ok = ctx && EVP_CipherInit_ex(ctx, p->cipher, NULL, NULL, NULL, enc);
	if (ok && shape->tag > 0)
		ok = EVP_CIPHER_CTX_ctrl(ctx, EVP_CTRL_AEAD_SET_IVLEN, 12, NULL) > 0;
	/* CCM's tag length is part of its first block, so it must be known before the key is used. */
	if (ok && p->ccm)
		ok = EVP_CIPHER_CTX_ctrl(ctx, EVP_CTRL_AEAD_SET_TAG, shape->tag, NULL) > 0;
	if (ok)
		ok = EVP_CipherInit_ex(ctx, NULL, NULL, p->keys.key, NULL, enc);
	if (ok && shape->form == SHAPE_CBC)
		ok = EVP_CIPHER_CTX_set_padding(ctx, 0);
	if (ok)
		return ctx;
	EVP_CIPHER_CTX_free(ctx);
	return NULL;
}

struct protect *protect_new(struct crypto *crypto, const struct protect_setup *setup)
{
	if (protect_supports(crypto, setup->suite, setup->version) != PROTECT_SUPPORTED)
		return NULL;
	struct protect *p = calloc(1, sizeof(*p));
	if (!p)
		return NULL;
	enum suite_cipher cipher = setup->suite->cipher;
	p->crypto = crypto;
	p->suite = setup->suite;
	p->version = setup->version;
	p->encrypt_then_mac = setup->encrypt_then_mac;
	p->ccm = cipher == SUITE_CIPHER_AES_CCM || cipher == SUITE_CIPHER_AES_CCM_8 || cipher == SUITE_CIPHER_SM4_CCM;
	p->sequence = setup->sequence;
	p->keys = *setup->keys;
	bool ok = shape_of(setup->suite, setup->version, &p->shape);
	if (ok && p->shape.form != SHAPE_NULL) {
		p->cipher = crypto_cipher(crypto, setup->suite, CRYPTO_OWN, NULL);
		p->open = used_before(p);
		if (!p->open)
			p->open = keyed(p, false);
		ok = p->open != NULL;
	}
	if (ok && p->shape.form == SHAPE_STREAM) {
		p->spare = EVP_CIPHER_CTX_new();
		ok = p->spare != NULL;
	}
	if (ok)
		return p;
	protect_free(p);
	return NULL;
}

void protect_free(struct protect *p)
{
	if (!p)
		return;
	if (p->open && handed_on(p))
		crypto_context_give(p->crypto, p->suite, p->open);
	else
		EVP_CIPHER_CTX_free(p->open);
	EVP_CIPHER_CTX_free(p->spare);
	EVP_CIPHER_CTX_free(p->seal);
	OPENSSL_cleanse(p, sizeof(*p));
	free(p);
}

uint64_t protect_sequence(const struct protect *p)
{
	return p->sequence;
}

void protect_seek(struct protect *p, uint64_t sequence)
{
	p->sequence = sequence;
}

bool protect_skip(struct protect *p, uint64_t len)
{
	uint8_t zeros[1024] = {0}, lost[1024];
	if (p->shape.form != SHAPE_STREAM)
		return true;
	while (len > 0) {
		int n = len < sizeof(zeros) ? (int)len : (int)sizeof(zeros), done = 0;
		if (!EVP_CipherUpdate(p->open, lost, &done, zeros, n))
			return false;
		len -= (uint64_t)n;
	}
	/* What came out is key stream. */
	OPENSSL_cleanse(lost, sizeof(lost));
	return true;
}

size_t protect_overhead(const struct protect *p)
{
	const struct shape *shape = &p->shape;
	if (p->version == TLS13)
		return 1 + (size_t)shape->tag;
	size_t padding = shape->form == SHAPE_CBC ? 256 : 0;
	return (size_t)shape->sent + shape->mac_key + shape->tag + padding;
}

static enum protect_result open_sealed(
	struct protect *p, const struct sealed *sealed, uint8_t *out, size_t cap, struct opened *opened)
{
	struct opened found = {.sequence = sealed->number};
	if (cap < sealed->fragment.len)
		return PROTECT_NO_ROOM;
	/* A record that does not open is no news to the thread's error queue, where anybody reads it. */
	bool spoil = crypto_spoils_errors(p->crypto);
	if (!spoil)
		ERR_set_mark();
	enum protect_result result =
		p->shape.tag > 0 ? protect_aead_open(p, sealed, out, &found) : protect_mac_open(p, sealed, out, &found);
	if (!spoil)
		ERR_pop_to_mark();
	if (result == PROTECT_OK)
		*opened = found;
	return result;
}

enum protect_result protect_open(
	struct protect *p, const struct record *record, uint8_t *out, size_t cap, struct opened *opened)
{
	struct sealed sealed = {p->sequence, record->type, record->version, record->fragment};
	if (p->sequence == UINT64_MAX)
		return PROTECT_EXHAUSTED;
	enum protect_result result = open_sealed(p, &sealed, out, cap, opened);
	if (result == PROTECT_OK || result == PROTECT_TOO_LONG || result == PROTECT_NO_TYPE)
		p->sequence++;
	return result;
}

/* Epoch and sequence number together are what TLS's sequence number is elsewhere (RFC 6347, 4.1.2.1). */
static uint64_t dtls_number(uint16_t epoch, uint64_t sequence)
{
	return (uint64_t)epoch << 48 | (sequence & 0xffffffffffff);
}

enum protect_result protect_open_dtls(
	struct protect *p, const struct dtls_record *record, uint8_t *out, size_t cap, struct opened *opened)
{
	struct sealed sealed = {
		dtls_number(record->epoch, record->sequence), record->type, record->version, record->fragment};
	/* A stream cipher has no place in DTLS (RFC 6347, 4.1.2.2), and TLS 1.3's form is another one there. */
	if (p->shape.form == SHAPE_STREAM || p->version != TLS12)
		return PROTECT_BAD_TAG;
	return open_sealed(p, &sealed, out, cap, opened);
}

/* How long the fragment of such a plaintext is. */
static size_t sealed_len(const struct protect *p, size_t plaintext, size_t padding)
{
	const struct shape *shape = &p->shape;
	if (p->version == TLS13)
		return plaintext + 1 + padding + shape->tag;
	if (shape->form != SHAPE_CBC)
		return shape->sent + plaintext + shape->tag + shape->mac_key;
	size_t inner = plaintext + (p->encrypt_then_mac ? 0 : shape->mac_key);
	/* At least one octet of padding, which says how many follow. */
	inner += shape->block - inner % shape->block;
	return shape->sent + inner + (p->encrypt_then_mac ? shape->mac_key : 0);
}

static enum protect_result seal_at(struct protect *p, struct unsealed *unsealed, struct writer *out)
{
	if (out->full || out->cap - out->len < unsealed->len)
		return PROTECT_NO_ROOM;
	if (!p->seal && p->shape.form != SHAPE_NULL) {
		p->seal = keyed(p, true);
		if (!p->seal)
			return PROTECT_FAILED;
	}
	uint8_t *to = out->data + out->len;
	enum protect_result result =
		p->shape.tag > 0 ? protect_aead_seal(p, unsealed, to) : protect_mac_seal(p, unsealed, to);
	if (result == PROTECT_OK)
		out->len += unsealed->len;
	return result;
}

enum protect_result protect_seal(
	struct protect *p, uint8_t type, struct bytes plaintext, size_t padding, struct writer *out)
{
	struct writer before = *out;
	if (p->version != TLS13)
		padding = 0;
	if (p->sequence == UINT64_MAX)
		return PROTECT_EXHAUSTED;
	if (plaintext.len > RECORD_MAX_PLAINTEXT || padding > RECORD_MAX_PLAINTEXT - plaintext.len)
		return PROTECT_TOO_LONG;
	struct unsealed unsealed = {
		p->sequence, type, TLS12, plaintext, padding, sealed_len(p, plaintext.len, padding)};
	writer_u8(out, p->version == TLS13 ? RECORD_APPLICATION_DATA : type);
	writer_u16(out, TLS12);
	writer_u16(out, (uint16_t)unsealed.len);
	enum protect_result result = seal_at(p, &unsealed, out);
	if (result == PROTECT_OK)
		p->sequence++;
	else
		*out = before;
	return result;
}

enum protect_result protect_seal_dtls(
	struct protect *p, uint8_t type, uint16_t epoch, uint64_t sequence, struct bytes plaintext, struct writer *out)
{
	struct writer before = *out;
	if (p->shape.form == SHAPE_STREAM || p->version != TLS12)
		return PROTECT_FAILED;
	if (plaintext.len > RECORD_MAX_PLAINTEXT)
		return PROTECT_TOO_LONG;
	struct unsealed unsealed = {
		dtls_number(epoch, sequence), type, DTLS_VERSION_12, plaintext, 0, sealed_len(p, plaintext.len, 0)};
	writer_u8(out, type);
	writer_u16(out, DTLS_VERSION_12);
	writer_u64(out, unsealed.number);
	writer_u16(out, (uint16_t)unsealed.len);
	enum protect_result result = seal_at(p, &unsealed, out);
	if (result != PROTECT_OK)
		*out = before;
	return result;
}
