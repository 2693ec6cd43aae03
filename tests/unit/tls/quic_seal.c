#include "quic_seal.h"

#include <openssl/evp.h>
#include <stdlib.h>

static void must(bool good)
{
	if (!good)
		abort();
}

void put_quic_number(struct writer *w, uint64_t value, unsigned octets)
{
	uint64_t sign = octets == 1 ? 0 : octets == 2 ? 1 : octets == 4 ? 2 : 3;
	value |= sign << (8 * octets - 2);
	while (octets-- > 0)
		writer_u8(w, (uint8_t)(value >> (8 * octets)));
}

void put_crypto_frame(struct writer *w, uint64_t offset, struct bytes octets)
{
	writer_u8(w, 6);
	put_quic_number(w, offset, 4);
	put_quic_number(w, octets.len, 2);
	writer_bytes(w, octets);
}

static void seal(const struct quic_keys *keys, uint32_t number, struct bytes header, struct bytes plain, uint8_t *out)
{
	uint8_t nonce[QUIC_IV_LEN];
	int n = 0;
	EVP_CIPHER_CTX *ctx = EVP_CIPHER_CTX_new();
	memcpy(nonce, keys->iv, sizeof(nonce));
	for (size_t i = 0; i < 4; i++)
		nonce[QUIC_IV_LEN - 1 - i] ^= (uint8_t)(number >> (8 * i));
	must(ctx && EVP_EncryptInit_ex(ctx, EVP_aes_128_gcm(), NULL, keys->key, nonce) > 0);
	must(EVP_EncryptUpdate(ctx, NULL, &n, header.data, (int)header.len) > 0);
	must(EVP_EncryptUpdate(ctx, out, &n, plain.data, (int)plain.len) > 0);
	must(EVP_EncryptFinal_ex(ctx, out + n, &n) > 0);
	must(EVP_CIPHER_CTX_ctrl(ctx, EVP_CTRL_AEAD_GET_TAG, QUIC_TAG_LEN, out + plain.len) > 0);
	EVP_CIPHER_CTX_free(ctx);
}

static void mask(const struct quic_keys *keys, uint8_t *first, uint8_t *number)
{
	uint8_t block[32];
	int n = 0;
	EVP_CIPHER_CTX *ctx = EVP_CIPHER_CTX_new();
	must(ctx && EVP_EncryptInit_ex(ctx, EVP_aes_128_ecb(), NULL, keys->header, NULL) > 0);
	must(EVP_EncryptUpdate(ctx, block, &n, number + 4, 16) > 0 && n == 16);
	EVP_CIPHER_CTX_free(ctx);
	*first ^= block[0] & 0x0f;
	for (size_t i = 0; i < 4; i++)
		number[i] ^= block[1 + i];
}

void quic_seal(struct writer *w, const struct quic_seal *packet)
{
	static uint8_t plain[65536], sealed[65536 + QUIC_TAG_LEN];
	struct crypto *crypto = crypto_new();
	struct quic_keys keys;
	size_t len = packet->pad_to > packet->frames.len ? packet->pad_to : packet->frames.len;
	must(crypto && len <= sizeof(plain));
	must(quic_initial_keys(crypto, packet->version, packet->key_id, packet->side, &keys));
	memset(plain, 0, len);
	memcpy(plain, packet->frames.data, packet->frames.len);
	size_t start = w->len;
	writer_u8(w, packet->version == QUIC_VERSION_2 ? 0xd3 : 0xc3);
	writer_u32(w, packet->version);
	writer_vec8(w, packet->receiver);
	writer_vec8(w, packet->sender);
	put_quic_number(w, packet->token.len, 2);
	writer_bytes(w, packet->token);
	put_quic_number(w, 4 + len + QUIC_TAG_LEN, 4);
	size_t number_at = w->len;
	writer_u32(w, packet->number);
	must(!w->full);
	seal(&keys, packet->number, bytes_of(w->data + start, w->len - start), bytes_of(plain, len), sealed);
	writer_bytes(w, bytes_of(sealed, len + QUIC_TAG_LEN));
	must(!w->full);
	mask(&keys, w->data + start, w->data + number_at);
	crypto_free(crypto);
}
