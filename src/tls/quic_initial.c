#include "tls/quic_initial.h"

#include "tls/handshake.h"
#include "tls/schedule13.h"
#include "tls/suite.h"

#include <openssl/evp.h>

#define AES_128_GCM_SHA256 0x1301
#define SAMPLE             16 /* octets; it begins 4 behind the start of the packet number */
#define NUMBER_MAX         4

/* What a version derives its keys with (RFC 9001, 5.1 and 5.2; RFC 9369, 3.3.1 and 3.3.2). */
struct recipe {
	uint32_t version;
	uint8_t salt[20];
	const char *key, *iv, *header;
};

static const struct recipe recipes[] = {
	{QUIC_VERSION_1,
		{0x38, 0x76, 0x2c, 0xf7, 0xf5, 0x59, 0x34, 0xb3, 0x4d, 0x17, 0x9a, 0xe6, 0xa4, 0xc8, 0x0c, 0xad, 0xcc,
			0xbb, 0x7f, 0x0a},
		"quic key", "quic iv", "quic hp"},
	{QUIC_VERSION_2,
		{0x0d, 0xed, 0xe3, 0xde, 0xf7, 0x00, 0xa6, 0xdb, 0x81, 0x93, 0x81, 0xbe, 0x6e, 0x26, 0x9d, 0xcb, 0xf9,
			0xbd, 0x2e, 0xd9},
		"quicv2 key", "quicv2 iv", "quicv2 hp"},
};

static const struct recipe *recipe_of(uint32_t version)
{
	for (size_t i = 0; i < sizeof(recipes) / sizeof(recipes[0]); i++) {
		if (recipes[i].version == version)
			return &recipes[i];
	}
	return NULL;
}

static bool expand(struct crypto *crypto, const struct tls_secret *secret, const char *label, uint8_t *out, size_t len)
{
	return hkdf_expand_label(
		crypto, SUITE_HASH_SHA256, tls_secret_bytes(secret), bytes_str(label), BYTES_NONE, out, len);
}

bool quic_initial_keys(
	struct crypto *crypto, uint32_t version, struct bytes id, enum quic_side side, struct quic_keys *out)
{
	const struct recipe *recipe = recipe_of(version);
	struct tls_secret initial = {0}, sender = {.len = 32};
	if (!recipe ||
		!hkdf_extract(crypto, SUITE_HASH_SHA256, bytes_of(recipe->salt, sizeof(recipe->salt)), id, &initial))
		return false;
	return expand(crypto, &initial, side == QUIC_CLIENT ? "client in" : "server in", sender.octets, sender.len) &&
	       expand(crypto, &sender, recipe->key, out->key, sizeof(out->key)) &&
	       expand(crypto, &sender, recipe->iv, out->iv, sizeof(out->iv)) &&
	       expand(crypto, &sender, recipe->header, out->header, sizeof(out->header));
}

static const EVP_CIPHER *cipher_of(struct crypto *crypto, enum crypto_mode mode)
{
	const struct suite *suite = suite_find(AES_128_GCM_SHA256);
	return suite ? crypto_cipher(crypto, suite, mode, NULL) : NULL;
}

/* RFC 9001, 5.4.3. */
static bool mask_of(EVP_CIPHER_CTX *ctx, const EVP_CIPHER *cipher, const struct quic_keys *keys, struct bytes sample,
	uint8_t mask[SAMPLE])
{
	int n = 0;
	return cipher && EVP_EncryptInit_ex2(ctx, cipher, keys->header, NULL, NULL) > 0 &&
	       EVP_CIPHER_CTX_set_padding(ctx, 0) > 0 &&
	       EVP_EncryptUpdate(ctx, mask, &n, sample.data, (int)sample.len) > 0 && n == SAMPLE;
}

/* What stands in a packet once header protection is off. */
struct bare {
	uint8_t first;
	uint8_t number[NUMBER_MAX]; /* as sent */
	size_t number_len;
	uint64_t value;      /* of the number */
	struct bytes middle; /* the header between these two */
	struct bytes body;   /* ciphertext */
	uint8_t tag[QUIC_TAG_LEN];
};

/* What of the packet stands where; false where it is too short. */
static bool split(const struct quic_packet *packet, struct bytes *sample)
{
	struct bytes rest = packet->protected_part;
	return bytes_skip(&rest, NUMBER_MAX) && bytes_take(&rest, SAMPLE, sample);
}

static bool unmask(const struct quic_packet *packet, const uint8_t mask[SAMPLE], struct bare *bare)
{
	struct bytes header = packet->before_number, rest = packet->protected_part, tag;
	if (!bytes_u8(&header, &bare->first))
		return false;
	bare->middle = header;
	bare->first ^= mask[0] & 0x0f;
	bare->number_len = (size_t)(bare->first & 3) + 1;
	bare->value = 0;
	for (size_t i = 0; i < bare->number_len; i++) {
		if (!bytes_u8(&rest, &bare->number[i]))
			return false;
		bare->number[i] ^= mask[1 + i];
		bare->value = bare->value << 8 | bare->number[i];
	}
	if (rest.len < QUIC_TAG_LEN || !bytes_take(&rest, rest.len - QUIC_TAG_LEN, &bare->body) ||
		!bytes_take(&rest, QUIC_TAG_LEN, &tag))
		return false;
	memcpy(bare->tag, tag.data, sizeof(bare->tag));
	return true;
}

static bool add_header(EVP_CIPHER_CTX *ctx, const struct bare *bare)
{
	int n = 0;
	return EVP_DecryptUpdate(ctx, NULL, &n, &bare->first, 1) > 0 &&
	       EVP_DecryptUpdate(ctx, NULL, &n, bare->middle.data, (int)bare->middle.len) > 0 &&
	       EVP_DecryptUpdate(ctx, NULL, &n, bare->number, (int)bare->number_len) > 0;
}

/* RFC 9001, 5.3. */
static enum quic_open open_aead(
	EVP_CIPHER_CTX *ctx, const EVP_CIPHER *cipher, const struct quic_keys *keys, struct bare *bare, uint8_t *room)
{
	uint8_t nonce[QUIC_IV_LEN];
	int n = 0;
	memcpy(nonce, keys->iv, sizeof(nonce));
	for (size_t i = 0; i < sizeof(bare->value); i++)
		nonce[QUIC_IV_LEN - 1 - i] ^= (uint8_t)(bare->value >> (8 * i));
	if (!cipher || EVP_DecryptInit_ex2(ctx, cipher, keys->key, nonce, NULL) <= 0 ||
		EVP_CIPHER_CTX_ctrl(ctx, EVP_CTRL_AEAD_SET_TAG, QUIC_TAG_LEN, bare->tag) <= 0 || !add_header(ctx, bare))
		return QUIC_OPEN_FAILED;
	if (bare->body.len > 0 && EVP_DecryptUpdate(ctx, room, &n, bare->body.data, (int)bare->body.len) <= 0)
		return QUIC_OPEN_FAILED;
	return EVP_DecryptFinal_ex(ctx, room + bare->body.len, &n) > 0 ? QUIC_OPEN_OK : QUIC_OPEN_TAG;
}

static enum quic_open open_with(EVP_CIPHER_CTX *ctx, struct crypto *crypto, const struct quic_keys *keys,
	const struct quic_packet *packet, uint8_t *room, size_t cap, struct bare *bare)
{
	uint8_t mask[SAMPLE];
	struct bytes sample;
	if (!split(packet, &sample))
		return QUIC_OPEN_SHORT;
	if (!mask_of(ctx, cipher_of(crypto, CRYPTO_ECB), keys, sample, mask))
		return QUIC_OPEN_FAILED;
	if (!unmask(packet, mask, bare))
		return QUIC_OPEN_SHORT;
	/* libcrypto counts in int. */
	if (bare->body.len > cap || packet->whole.len > QUIC_PACKET_MAX)
		return QUIC_OPEN_ROOM;
	return open_aead(ctx, cipher_of(crypto, CRYPTO_OWN), keys, bare, room);
}

enum quic_open quic_initial_open(struct crypto *crypto, const struct quic_keys *keys, const struct quic_packet *packet,
	uint8_t *room, size_t cap, struct quic_opened *out)
{
	struct bare bare;
	EVP_CIPHER_CTX *ctx = EVP_CIPHER_CTX_new();
	if (!ctx)
		return QUIC_OPEN_FAILED;
	enum quic_open result = open_with(ctx, crypto, keys, packet, room, cap, &bare);
	EVP_CIPHER_CTX_free(ctx);
	if (result != QUIC_OPEN_OK)
		return result;
	if ((bare.first & 0x0c) || bare.body.len == 0)
		return QUIC_OPEN_BITS;
	*out = (struct quic_opened){bare.value, bytes_of(room, bare.body.len)};
	return QUIC_OPEN_OK;
}

/* Frames (RFC 9000, 19). */

enum frame_type {
	FRAME_PADDING = 0,
	FRAME_PING = 1,
	FRAME_ACK = 2,
	FRAME_ACK_ECN = 3,
	FRAME_CRYPTO = 6,
	FRAME_CONNECTION_CLOSE = 0x1c,
};

static bool skip_numbers(struct bytes *in, uint64_t count)
{
	uint64_t ignored;
	for (; count > 0; count--) {
		/* Each takes an octet at least: a count of strangers ends with the frame. */
		if (!quic_number(in, &ignored))
			return false;
	}
	return true;
}

static bool skip_ack(struct bytes *in, bool ecn)
{
	uint64_t ranges;
	/* Largest acknowledged and delay; first range; then pairs of gap and length. */
	if (!skip_numbers(in, 2) || !quic_number(in, &ranges) || ranges > in->len)
		return false;
	return skip_numbers(in, 1 + 2 * ranges) && (!ecn || skip_numbers(in, 3));
}

static bool read_crypto(struct bytes *in, struct quic_crypto *out)
{
	uint64_t len;
	if (!quic_number(in, &out->offset) || !quic_number(in, &len) || len > in->len)
		return false;
	return bytes_take(in, (size_t)len, &out->octets);
}

enum quic_frame quic_crypto_next(struct bytes *frames, struct quic_crypto *out)
{
	uint64_t type;
	while (quic_number(frames, &type)) {
		bool good = true;
		switch (type) {
		case FRAME_PADDING:
		case FRAME_PING:
			break;
		case FRAME_ACK:
		case FRAME_ACK_ECN:
			good = skip_ack(frames, type == FRAME_ACK_ECN);
			break;
		case FRAME_CRYPTO:
			return read_crypto(frames, out) ? QUIC_FRAME_CRYPTO : QUIC_FRAME_BAD;
		case FRAME_CONNECTION_CLOSE:
			*frames = BYTES_NONE;
			return QUIC_FRAME_CLOSE;
		default:
			good = false;
		}
		if (!good)
			return QUIC_FRAME_BAD;
	}
	return frames->len == 0 ? QUIC_FRAME_END : QUIC_FRAME_BAD;
}

/* The ClientHello. */

static bool is_there(const struct quic_hello *hello, size_t at)
{
	return hello->there[at / 8] >> at % 8 & 1;
}

void quic_hello_begin(struct quic_hello *hello)
{
	hello->have = 0;
	hello->end = 0;
	memset(hello->there, 0, sizeof(hello->there));
}

void quic_hello_add(struct quic_hello *hello, const struct quic_crypto *part)
{
	struct bytes octets = part->octets;
	if (part->offset >= QUIC_HELLO_MAX)
		return;
	size_t at = (size_t)part->offset;
	for (uint8_t octet; at < QUIC_HELLO_MAX && bytes_u8(&octets, &octet); at++) {
		if (is_there(hello, at))
			continue;
		hello->octets[at] = octet;
		hello->there[at / 8] |= (uint8_t)(1U << at % 8);
	}
	if (at > hello->end)
		hello->end = at;
	while (hello->have < hello->end && is_there(hello, hello->have))
		hello->have++;
}

enum quic_hello_result quic_hello_get(const struct quic_hello *hello, struct bytes *body)
{
	struct bytes in = bytes_of(hello->octets, hello->have);
	struct handshake message;
	if (hello->have > 0 && hello->octets[0] != HANDSHAKE_CLIENT_HELLO)
		return QUIC_HELLO_NONE;
	switch (handshake_read(&in, QUIC_HELLO_MAX - HANDSHAKE_HEADER, &message)) {
	case HANDSHAKE_OK:
		*body = message.body;
		return QUIC_HELLO_DONE;
	case HANDSHAKE_TOO_LONG:
		return QUIC_HELLO_TOO_LONG;
	case HANDSHAKE_NEED_MORE:
		break;
	}
	return QUIC_HELLO_MORE;
}
