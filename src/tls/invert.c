#include "tls/invert.h"

#include <openssl/crypto.h>
#include <openssl/err.h>
#include <openssl/evp.h>

#define BLOCK 16
#define NONCE 12
#define TLS12 0x0303
#define TLS13 0x0304

/* An element of GF(2^128) as GCM has it (NIST SP 800-38D, 6.3): the first octet's highest bit is the coefficient of x^0. */
struct element {
	uint64_t high, low;
};

static struct element element_of(const uint8_t octets[BLOCK])
{
	struct bytes in = bytes_of(octets, BLOCK);
	struct element e = {0};
	(void)!bytes_u64(&in, &e.high);
	(void)!bytes_u64(&in, &e.low);
	return e;
}

static struct element add(struct element a, struct element b)
{
	return (struct element){a.high ^ b.high, a.low ^ b.low};
}

static struct element multiply(struct element a, struct element b)
{
	struct element product = {0};
	for (int i = 0; i < 128; i++) {
		uint64_t bit = i < 64 ? a.high >> (63 - i) : a.low >> (127 - i);
		uint64_t mask = 0 - (bit & 1), carry = 0 - (b.low & 1);
		product.high ^= b.high & mask;
		product.low ^= b.low & mask;
		b.low = b.low >> 1 | b.high << 63;
		b.high = (b.high >> 1) ^ (carry & 0xe100000000000000);
	}
	return product;
}

/*
 * e to the power of -n. The field has 2^128 - 1 elements other than 0, so that is e^(2^128 - 1 - n), whose exponent is n
 * with every one of 128 bits turned over.
 */
static struct element power_negative(struct element e, uint64_t n)
{
	struct element result = {0x8000000000000000, 0}; /* 1 */
	for (int i = 127; i >= 0; i--) {
		result = multiply(result, result);
		if (i >= 64 || !(n >> i & 1))
			result = multiply(result, e);
	}
	return result;
}

/* What a record is made of, and what its key can do. */
struct trial {
	EVP_CIPHER_CTX *gcm, *forward, *backward; /* forward and backward: the bare block cipher */
	const struct traffic_keys *keys;
	struct shape shape;
	const struct record *record;
	struct bytes sent, ciphertext, tag;
	struct element h; /* E(0), of which GHASH is a polynomial */
};

static bool bare(EVP_CIPHER_CTX *ctx, const uint8_t in[BLOCK], uint8_t out[BLOCK])
{
	int n = 0;
	return EVP_CipherUpdate(ctx, out, &n, in, BLOCK) && n == BLOCK;
}

/*
 * GHASH over `first` (one block, or none) and the ciphertext, with `lengths` as its last block. libcrypto gives GHASH
 * only as part of a tag and only with lengths of its own: so all octets go in as additional data under nonce 0, and what
 * differs is taken out: E(J0), and the difference of the length blocks times H.
 */
static bool ghash(struct trial *trial, struct bytes first, struct element lengths, struct element *out)
{
	static const uint8_t zeros[BLOCK];
	static const uint8_t counter[BLOCK] = {[BLOCK - 1] = 1};
	uint8_t tag[BLOCK], mask[BLOCK];
	size_t tail = trial->ciphertext.len % BLOCK;
	int n = 0;
	uint64_t len = first.len + trial->ciphertext.len;
	if (!EVP_CipherInit_ex(trial->gcm, NULL, NULL, NULL, zeros, 1) ||
		(first.len > 0 && !EVP_CipherUpdate(trial->gcm, NULL, &n, first.data, (int)first.len)))
		return false;
	if (trial->ciphertext.len > 0 &&
		!EVP_CipherUpdate(trial->gcm, NULL, &n, trial->ciphertext.data, (int)trial->ciphertext.len))
		return false;
	if (tail > 0) {
		len += BLOCK - tail;
		if (!EVP_CipherUpdate(trial->gcm, NULL, &n, zeros, (int)(BLOCK - tail)))
			return false;
	}
	if (!EVP_CipherFinal_ex(trial->gcm, tag, &n) ||
		EVP_CIPHER_CTX_ctrl(trial->gcm, EVP_CTRL_AEAD_GET_TAG, BLOCK, tag) <= 0 ||
		!bare(trial->forward, counter, mask))
		return false;
	struct element theirs = {len * 8, 0};
	struct element sum = add(element_of(tag), element_of(mask));
	*out = add(sum, multiply(add(theirs, lengths), trial->h));
	return true;
}

/* TLS 1.3: J0 = (IV xor sequence) || 1 out of the tag. */
static enum invert_result invert_13(struct trial *trial, uint64_t *sequence)
{
	uint8_t first[BLOCK] = {0}, block[BLOCK], nonce[BLOCK];
	struct writer w = writer_over(first, sizeof(first));
	writer_u8(&w, trial->record->type);
	writer_u16(&w, trial->record->version);
	writer_u16(&w, (uint16_t)trial->record->fragment.len);
	struct element lengths = {w.len * 8, trial->ciphertext.len * 8}, hash;
	if (!ghash(trial, bytes_of(first, sizeof(first)), lengths, &hash))
		return INVERT_FAILED;
	struct element masked = add(hash, element_of(trial->tag.data));
	w = writer_over(block, sizeof(block));
	writer_u64(&w, masked.high);
	writer_u64(&w, masked.low);
	if (!bare(trial->backward, block, nonce))
		return INVERT_FAILED;
	for (size_t i = 0; i < NONCE; i++)
		nonce[i] ^= trial->keys->iv[i];
	struct bytes in = bytes_of(nonce, sizeof(nonce));
	uint32_t front, counter;
	uint64_t number;
	if (!bytes_u32(&in, &front) || !bytes_u64(&in, &number) || !bytes_u32(&in, &counter))
		return INVERT_FAILED;
	if (front != 0 || counter != 1)
		return INVERT_NOT_THIS_KEY;
	*sequence = number;
	return INVERT_FOUND;
}

/* TLS 1.2: J0 is known, and the first block of what is hashed is sequence, type, version, length, 0 0 0. */
static enum invert_result invert_12(struct trial *trial, uint64_t *sequence)
{
	uint8_t counter[BLOCK], mask[BLOCK];
	struct writer w = writer_over(counter, sizeof(counter));
	writer_bytes(&w, bytes_of(trial->keys->iv, trial->shape.iv));
	writer_bytes(&w, trial->sent);
	writer_u32(&w, 1);
	struct element lengths = {(uint64_t)13 * 8, trial->ciphertext.len * 8}, rest;
	/* A first block of zeros adds nothing to GHASH: what is missing is that of the true one. */
	if (!bare(trial->forward, counter, mask) || !ghash(trial, BYTES_NONE, lengths, &rest))
		return INVERT_FAILED;
	uint64_t blocks = (trial->ciphertext.len + BLOCK - 1) / BLOCK;
	struct element term = add(add(element_of(trial->tag.data), element_of(mask)), rest);
	struct element first = multiply(term, power_negative(trial->h, blocks + 2));
	const struct record *record = trial->record;
	uint64_t known =
		(uint64_t)record->type << 56 | (uint64_t)record->version << 40 | (uint64_t)trial->ciphertext.len << 24;
	if (first.low != known)
		return INVERT_NOT_THIS_KEY;
	*sequence = first.high;
	return INVERT_FOUND;
}

static EVP_CIPHER_CTX *start(const EVP_CIPHER *cipher, const uint8_t *key, int enc)
{
	EVP_CIPHER_CTX *ctx = EVP_CIPHER_CTX_new();
	if (ctx && EVP_CipherInit_ex(ctx, cipher, NULL, key, NULL, enc) && EVP_CIPHER_CTX_set_padding(ctx, 0))
		return ctx;
	EVP_CIPHER_CTX_free(ctx);
	return NULL;
}

static enum invert_result run(
	struct crypto *crypto, const struct protect_setup *setup, struct trial *trial, uint64_t *sequence)
{
	static const uint8_t zeros[BLOCK];
	uint8_t h[BLOCK];
	const EVP_CIPHER *gcm = crypto_cipher(crypto, setup->suite, CRYPTO_OWN, NULL);
	const EVP_CIPHER *block = crypto_cipher(crypto, setup->suite, CRYPTO_ECB, NULL);
	bool tls13 = setup->version == TLS13;
	if (!gcm || !block)
		return INVERT_NO_WAY;
	trial->gcm = start(gcm, setup->keys->key, 1);
	trial->forward = start(block, setup->keys->key, 1);
	if (tls13)
		trial->backward = start(block, setup->keys->key, 0);
	if (!trial->gcm || !trial->forward || (tls13 && !trial->backward) || !bare(trial->forward, zeros, h))
		return INVERT_FAILED;
	trial->h = element_of(h);
	return tls13 ? invert_13(trial, sequence) : invert_12(trial, sequence);
}

enum invert_result invert_gcm(
	struct crypto *crypto, const struct protect_setup *setup, const struct record *record, uint64_t *sequence)
{
	struct trial trial = {.keys = setup->keys, .record = record};
	enum suite_cipher cipher = setup->suite->cipher;
	if (!shape_of(setup->suite, setup->version, &trial.shape) ||
		(cipher != SUITE_CIPHER_AES_GCM && cipher != SUITE_CIPHER_ARIA_GCM && cipher != SUITE_CIPHER_SM4_GCM))
		return INVERT_NO_WAY;
	const struct shape *shape = &trial.shape;
	struct bytes rest = record->fragment;
	size_t least = (size_t)shape->sent + shape->tag + (setup->version == TLS13 ? 1 : 0);
	if (rest.len < least || rest.len > RECORD_MAX_FRAGMENT || !bytes_take(&rest, shape->sent, &trial.sent) ||
		!bytes_take(&rest, rest.len - shape->tag, &trial.ciphertext))
		return INVERT_BAD_RECORD;
	trial.tag = rest;
	ERR_set_mark();
	enum invert_result result = run(crypto, setup, &trial, sequence);
	ERR_pop_to_mark();
	EVP_CIPHER_CTX_free(trial.gcm);
	EVP_CIPHER_CTX_free(trial.forward);
	EVP_CIPHER_CTX_free(trial.backward);
	OPENSSL_cleanse(&trial.h, sizeof(trial.h));
	return result;
}

enum invert_result invert_search(struct protect *p, const struct record *record, uint64_t from, uint64_t count,
	uint8_t *scratch, size_t cap, struct opened *opened)
{
	uint64_t before = protect_sequence(p);
	if (cap < record->fragment.len)
		return INVERT_NO_ROOM;
	for (uint64_t i = 0; i < count && from + i >= from; i++) {
		protect_seek(p, from + i);
		switch (protect_open(p, record, scratch, cap, opened)) {
		case PROTECT_OK:
			return INVERT_FOUND;
		case PROTECT_BAD_TAG:
			break;
		case PROTECT_EXHAUSTED:
			i = count - 1;
			break;
		case PROTECT_FAILED:
			protect_seek(p, before);
			return INVERT_FAILED;
		default:
			protect_seek(p, before);
			return INVERT_BAD_RECORD;
		}
	}
	protect_seek(p, before);
	return INVERT_NOT_THIS_KEY;
}
