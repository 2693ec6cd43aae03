/* Record protection by a cipher and a MAC (RFC 5246, 6.2.3.1 and 6.2.3.2; RFC 7366). */
#include "tls/protect_private.h"

#include <openssl/evp.h>
#include <openssl/rand.h>

static bool make_mac(const struct protect *p, const struct sealed *of, struct bytes content, struct tls_secret *mac)
{
	uint8_t room[PROTECT_AAD_MAX];
	struct bytes parts[2] = {protect_aad12(room, of->number, of->type, of->version, content.len), content};
	return crypto_hmac(p->crypto, p->suite->mac, bytes_of(p->keys.mac, p->shape.mac_key), parts, 2, mac);
}

static enum protect_result check_mac(
	const struct protect *p, const struct sealed *of, struct bytes content, struct bytes mac)
{
	struct tls_secret expected;
	if (!make_mac(p, of, content, &expected))
		return PROTECT_FAILED;
	return bytes_equal_secret(tls_secret_bytes(&expected), mac) ? PROTECT_OK : PROTECT_BAD_TAG;
}

/* Takes content and MAC, which follows it, apart, and checks it. */
static enum protect_result split_mac(
	const struct protect *p, const struct sealed *of, struct bytes in, struct bytes *content)
{
	if (in.len < p->shape.mac_key)
		return PROTECT_BAD_TAG;
	struct bytes rest = in, found;
	if (!bytes_take(&rest, in.len - p->shape.mac_key, &found))
		return PROTECT_BAD_TAG;
	enum protect_result result = check_mac(p, of, found, rest);
	if (result == PROTECT_OK)
		*content = found;
	return result;
}

/* Takes the padding off: its last octet says how many of the same value stand before it. */
static bool unpad(struct bytes *in)
{
	if (in->len == 0)
		return false;
	size_t pad = (size_t)in->data[in->len - 1] + 1;
	if (pad > in->len)
		return false;
	for (size_t i = in->len - pad; i < in->len; i++) {
		if (in->data[i] != pad - 1)
			return false;
	}
	in->len -= pad;
	return true;
}

/* IV and blocks, decrypted to where the blocks stand in `out`. */
static enum protect_result decrypt_blocks(const struct protect *p, struct bytes in, uint8_t *out, struct bytes *plain)
{
	struct bytes iv;
	int n = 0;
	if (!bytes_take(&in, p->shape.block, &iv) || in.len == 0 || in.len % p->shape.block != 0)
		return PROTECT_BAD_LENGTH;
	if (!EVP_CipherInit_ex(p->open, NULL, NULL, NULL, iv.data, -1) ||
		!EVP_CipherUpdate(p->open, out + p->shape.block, &n, in.data, (int)in.len) || (size_t)n != in.len)
		return PROTECT_FAILED;
	*plain = bytes_of(out + p->shape.block, in.len);
	return unpad(plain) ? PROTECT_OK : PROTECT_BAD_TAG;
}

static enum protect_result open_blocks(
	const struct protect *p, const struct sealed *sealed, uint8_t *out, struct bytes *content)
{
	size_t block = p->shape.block, mac = p->shape.mac_key, len = sealed->fragment.len;
	struct bytes rest = sealed->fragment, plain;
	if (!p->encrypt_then_mac) {
		/* The smallest: IV, MAC and one octet of padding, in whole blocks. */
		if (len < block + mac + 1 || len % block != 0)
			return PROTECT_BAD_LENGTH;
		enum protect_result result = decrypt_blocks(p, rest, out, &plain);
		return result == PROTECT_OK ? split_mac(p, sealed, plain, content) : result;
	}
	if (len < 2 * block + mac || (len - mac) % block != 0)
		return PROTECT_BAD_LENGTH;
	enum protect_result result = split_mac(p, sealed, sealed->fragment, &rest);
	return result == PROTECT_OK ? decrypt_blocks(p, rest, out, content) : result;
}

/* A record that does not open must not move the key stream: the state before it is kept. */
static enum protect_result open_stream(
	struct protect *p, const struct sealed *sealed, uint8_t *out, struct bytes *content)
{
	int n = 0;
	struct bytes in = sealed->fragment;
	if (in.len < p->shape.mac_key)
		return PROTECT_BAD_LENGTH;
	if (!EVP_CIPHER_CTX_copy(p->spare, p->open))
		return PROTECT_FAILED;
	enum protect_result result = PROTECT_FAILED;
	if (EVP_CipherUpdate(p->open, out, &n, in.data, (int)in.len))
		result = split_mac(p, sealed, bytes_of(out, in.len), content);
	if (result != PROTECT_OK) {
		EVP_CIPHER_CTX *moved = p->open;
		p->open = p->spare;
		p->spare = moved;
	}
	return result;
}

static enum protect_result open_null(
	const struct protect *p, const struct sealed *sealed, uint8_t *out, struct bytes *content)
{
	if (sealed->fragment.len < p->shape.mac_key)
		return PROTECT_BAD_LENGTH;
	enum protect_result result = split_mac(p, sealed, sealed->fragment, content);
	if (result != PROTECT_OK)
		return result;
	if (content->len > 0)
		memmove(out, content->data, content->len);
	content->data = out;
	return PROTECT_OK;
}

enum protect_result protect_mac_open(
	struct protect *p, const struct sealed *sealed, uint8_t *out, struct opened *opened)
{
	struct bytes content = BYTES_NONE;
	enum protect_result result;
	if (sealed->fragment.len > UINT16_MAX)
		return PROTECT_BAD_LENGTH;
	switch (p->shape.form) {
	case SHAPE_CBC:
		result = open_blocks(p, sealed, out, &content);
		break;
	case SHAPE_STREAM:
		result = open_stream(p, sealed, out, &content);
		break;
	default:
		result = open_null(p, sealed, out, &content);
		break;
	}
	if (result == PROTECT_OK && content.len > RECORD_MAX_PLAINTEXT)
		result = PROTECT_TOO_LONG;
	opened->type = sealed->type;
	opened->plaintext = content;
	return result;
}

static bool add_mac(const struct protect *p, const struct unsealed *unsealed, struct bytes content, struct writer *w)
{
	struct sealed of = {unsealed->number, unsealed->type, unsealed->version, BYTES_NONE};
	struct tls_secret mac;
	if (!make_mac(p, &of, content, &mac))
		return false;
	writer_bytes(w, tls_secret_bytes(&mac));
	return true;
}

static enum protect_result seal_blocks(struct protect *p, const struct unsealed *unsealed, uint8_t *out)
{
	size_t block = p->shape.block, mac = p->encrypt_then_mac ? p->shape.mac_key : 0;
	uint8_t iv[SHAPE_MAX_IV];
	struct writer w = writer_over(out, unsealed->len);
	if (RAND_bytes(iv, (int)block) <= 0)
		return PROTECT_FAILED;
	writer_bytes(&w, bytes_of(iv, block));
	writer_bytes(&w, unsealed->plaintext);
	if (!p->encrypt_then_mac && !add_mac(p, unsealed, unsealed->plaintext, &w))
		return PROTECT_FAILED;
	size_t pad = unsealed->len - mac - w.len;
	for (size_t i = 0; i < pad; i++)
		writer_u8(&w, (uint8_t)(pad - 1));
	int n = 0;
	if (!EVP_CipherInit_ex(p->seal, NULL, NULL, NULL, iv, -1) ||
		!EVP_CipherUpdate(p->seal, out + block, &n, out + block, (int)(w.len - block)))
		return PROTECT_FAILED;
	if (p->encrypt_then_mac && !add_mac(p, unsealed, bytes_of(out, w.len), &w))
		return PROTECT_FAILED;
	return w.full || w.len != unsealed->len ? PROTECT_FAILED : PROTECT_OK;
}

enum protect_result protect_mac_seal(struct protect *p, const struct unsealed *unsealed, uint8_t *out)
{
	if (p->shape.form == SHAPE_CBC)
		return seal_blocks(p, unsealed, out);
	struct writer w = writer_over(out, unsealed->len);
	int n = 0;
	writer_bytes(&w, unsealed->plaintext);
	if (!add_mac(p, unsealed, unsealed->plaintext, &w))
		return PROTECT_FAILED;
	if (p->shape.form == SHAPE_STREAM && !EVP_CipherUpdate(p->seal, out, &n, out, (int)w.len))
		return PROTECT_FAILED;
	return PROTECT_OK;
}
