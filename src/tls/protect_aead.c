#include "tls/protect_private.h"

#include <openssl/core_names.h>
#include <openssl/evp.h>
#include <openssl/params.h>

#define NONCE 12
#define TLS13 0x0304

/* `sent` is what the record carries of its nonce; empty where it carries nothing. */
static void make_nonce(const struct protect *p, uint64_t number, struct bytes sent, uint8_t nonce[NONCE])
{
	memcpy(nonce, p->keys.iv, p->shape.iv);
	if (sent.len > 0) {
		memcpy(nonce + p->shape.iv, sent.data, sent.len);
		return;
	}
	for (size_t i = 0; i < sizeof(number); i++)
		nonce[NONCE - 1 - i] ^= (uint8_t)(number >> (8 * i));
}

static bool start(const struct protect *p, EVP_CIPHER_CTX *ctx, const uint8_t *nonce, struct bytes aad, size_t len)
{
	int n = 0;
	if (!EVP_CipherInit_ex(ctx, NULL, NULL, NULL, nonce, -1))
		return false;
	/* CCM wants to know the length before all else. */
	if (p->ccm && !EVP_CipherUpdate(ctx, NULL, &n, NULL, (int)len))
		return false;
	return EVP_CipherUpdate(ctx, NULL, &n, aad.data, (int)aad.len);
}

/* The whole of an IV, where its fixed part is set: what EVP_CTRL_GCM_SET_IV_FIXED takes -1 for. */
#define WHOLE_IV ((size_t)-1)

/*
 * Nonce and tag in one call. Setting the nonce by EVP_CipherInit_ex has libcrypto ask the provider how long it is, and
 * the tag comes through a translation of control codes: with short records that took half of what opening them does.
 */
static bool start_gcm(const struct protect *p, uint8_t nonce[NONCE], uint8_t *tag, struct bytes aad)
{
	int n = 0;
	OSSL_PARAM params[] = {
		OSSL_PARAM_octet_string(OSSL_CIPHER_PARAM_AEAD_TLS1_IV_FIXED, nonce, WHOLE_IV),
		OSSL_PARAM_octet_string(OSSL_CIPHER_PARAM_AEAD_TAG, tag, p->shape.tag),
		OSSL_PARAM_END,
	};
	return EVP_CIPHER_CTX_set_params(p->open, params) > 0 &&
	       EVP_CipherUpdate(p->open, NULL, &n, aad.data, (int)aad.len) > 0;
}

static bool start_open(
	const struct protect *p, uint8_t nonce[NONCE], uint8_t *tag, struct bytes aad, struct bytes ciphertext)
{
	/* An older way for a libcrypto that does not know this one. */
	return (p->suite->cipher == SUITE_CIPHER_AES_GCM && start_gcm(p, nonce, tag, aad)) ||
	       (start(p, p->open, nonce, aad, ciphertext.len) &&
		       EVP_CIPHER_CTX_ctrl(p->open, EVP_CTRL_AEAD_SET_TAG, p->shape.tag, tag) > 0);
}

static enum protect_result decrypt(const struct protect *p, uint8_t nonce[NONCE], struct bytes aad,
	struct bytes ciphertext, struct bytes tag, uint8_t *out)
{
	uint8_t expected[16];
	int n = 0;
	memcpy(expected, tag.data, tag.len);
	if (!p->ccm) {
		if (!start_open(p, nonce, expected, aad, ciphertext) ||
			(ciphertext.len > 0 &&
				!EVP_CipherUpdate(p->open, out, &n, ciphertext.data, (int)ciphertext.len)))
			return PROTECT_FAILED;
		return EVP_CipherFinal_ex(p->open, out, &n) > 0 ? PROTECT_OK : PROTECT_BAD_TAG;
	}
	/* CCM checks its tag while it decrypts, so it has to have it by then. */
	if (EVP_CIPHER_CTX_ctrl(p->open, EVP_CTRL_AEAD_SET_TAG, (int)tag.len, expected) <= 0 ||
		!start(p, p->open, nonce, aad, ciphertext.len))
		return PROTECT_FAILED;
	return EVP_CipherUpdate(p->open, out, &n, ciphertext.data, (int)ciphertext.len) > 0 ? PROTECT_OK
	                                                                                    : PROTECT_BAD_TAG;
}

/* Takes the padding and the inner type off (RFC 8446, 5.2). */
static enum protect_result unwrap(const uint8_t *inner, size_t len, struct opened *opened)
{
	size_t end = len;
	if (len > RECORD_MAX_PLAINTEXT + 1)
		return PROTECT_TOO_LONG;
	while (end > 0 && inner[end - 1] == 0)
		end--;
	if (end == 0)
		return PROTECT_NO_TYPE;
	opened->type = inner[end - 1];
	opened->plaintext = bytes_of(inner, end - 1);
	opened->padding = len - end;
	return PROTECT_OK;
}

enum protect_result protect_aead_open(
	struct protect *p, const struct sealed *sealed, uint8_t *out, struct opened *opened)
{
	const struct shape *shape = &p->shape;
	bool tls13 = p->version == TLS13;
	struct bytes rest = sealed->fragment, sent, ciphertext;
	size_t least = (size_t)shape->sent + shape->tag + (tls13 ? 1 : 0);
	if (rest.len < least || rest.len > UINT16_MAX)
		return PROTECT_BAD_LENGTH;
	size_t len = rest.len - shape->sent - shape->tag;
	if (!bytes_take(&rest, shape->sent, &sent) || !bytes_take(&rest, len, &ciphertext))
		return PROTECT_BAD_LENGTH;
	uint8_t nonce[NONCE], room[PROTECT_AAD_MAX];
	struct bytes aad;
	make_nonce(p, sealed->number, sent, nonce);
	if (tls13) {
		struct writer w = writer_over(room, sizeof(room));
		writer_u8(&w, sealed->type);
		writer_u16(&w, sealed->version);
		writer_u16(&w, (uint16_t)sealed->fragment.len);
		aad = bytes_of(room, w.len);
	} else {
		aad = protect_aad12(room, sealed->number, sealed->type, sealed->version, len);
	}
	/* The plaintext stands where the ciphertext stood: libcrypto works in place or apart, not shifted. */
	uint8_t *to = out + shape->sent;
	enum protect_result result = decrypt(p, nonce, aad, ciphertext, rest, to);
	if (result != PROTECT_OK)
		return result;
	if (tls13)
		return unwrap(to, len, opened);
	if (len > RECORD_MAX_PLAINTEXT)
		return PROTECT_TOO_LONG;
	opened->type = sealed->type;
	opened->plaintext = bytes_of(to, len);
	return PROTECT_OK;
}

static bool encrypt(
	const struct protect *p, const uint8_t *nonce, struct bytes aad, struct bytes plaintext, uint8_t *to)
{
	int n = 0;
	return start(p, p->seal, nonce, aad, plaintext.len) &&
	       ((plaintext.len == 0 && !p->ccm) ||
		       EVP_CipherUpdate(p->seal, to, &n, plaintext.data, (int)plaintext.len) > 0) &&
	       EVP_CipherFinal_ex(p->seal, to + plaintext.len, &n) > 0 &&
	       EVP_CIPHER_CTX_ctrl(p->seal, EVP_CTRL_AEAD_GET_TAG, p->shape.tag, to + plaintext.len) > 0;
}

enum protect_result protect_aead_seal(struct protect *p, const struct unsealed *unsealed, uint8_t *out)
{
	uint8_t nonce[NONCE], room[PROTECT_AAD_MAX];
	struct writer w = writer_over(out, unsealed->len), to_aad = writer_over(room, sizeof(room));
	struct bytes aad, inner, sent = BYTES_NONE;
	if (p->shape.sent > 0) {
		/* The sequence number is a nonce that never comes twice. */
		writer_u64(&w, unsealed->number);
		sent = bytes_of(out, w.len);
	}
	writer_bytes(&w, unsealed->plaintext);
	if (p->version == TLS13) {
		writer_u8(&w, unsealed->type);
		for (size_t i = 0; i < unsealed->padding; i++)
			writer_u8(&w, 0);
		writer_u8(&to_aad, RECORD_APPLICATION_DATA);
		writer_u16(&to_aad, unsealed->version);
		writer_u16(&to_aad, (uint16_t)unsealed->len);
		aad = bytes_of(room, to_aad.len);
	} else {
		aad = protect_aad12(room, unsealed->number, unsealed->type, unsealed->version, unsealed->plaintext.len);
	}
	make_nonce(p, unsealed->number, sent, nonce);
	inner = bytes_of(out + sent.len, w.len - sent.len);
	return encrypt(p, nonce, aad, inner, out + sent.len) ? PROTECT_OK : PROTECT_FAILED;
}
