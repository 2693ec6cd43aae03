#include "tls/shape.h"

#include "tls/crypto.h"

#include <openssl/crypto.h>

#define TLS12 0x0303
#define TLS13 0x0304

void traffic_keys_wipe(struct traffic_keys *keys)
{
	OPENSSL_cleanse(keys, sizeof(*keys));
}

static struct shape aead(uint16_t version, uint16_t bits, uint8_t tag)
{
	uint8_t key = (uint8_t)(bits / 8);
	if (version == TLS13)
		return (struct shape){.form = SHAPE_AEAD, .key = key, .iv = 12, .tag = tag, .block = 1};
	return (struct shape){.form = SHAPE_AEAD12, .key = key, .iv = 4, .sent = 8, .tag = tag, .block = 1};
}

static struct shape with_mac(enum shape_form form, const struct suite *suite, uint8_t key, uint8_t block)
{
	return (struct shape){.form = form,
		.mac_key = (uint8_t)crypto_hash_len(suite->mac),
		.key = key,
		.sent = form == SHAPE_CBC ? block : 0,
		.block = block};
}

/* False for ciphers not done here. */
static bool by_cipher(const struct suite *suite, uint16_t version, struct shape *out)
{
	uint8_t key = (uint8_t)(suite->key_bits / 8);
	switch (suite->cipher) {
	case SUITE_CIPHER_AES_GCM:
	case SUITE_CIPHER_CAMELLIA_GCM:
	case SUITE_CIPHER_ARIA_GCM:
	case SUITE_CIPHER_SM4_GCM:
	case SUITE_CIPHER_AES_CCM:
	case SUITE_CIPHER_SM4_CCM:
		*out = aead(version, suite->key_bits, 16);
		return true;
	case SUITE_CIPHER_AES_CCM_8:
		*out = aead(version, suite->key_bits, 8);
		return true;
	case SUITE_CIPHER_CHACHA20_POLY1305:
		*out = aead(TLS13, suite->key_bits, 16);
		return true;
	case SUITE_CIPHER_AES_CBC:
	case SUITE_CIPHER_CAMELLIA_CBC:
	case SUITE_CIPHER_ARIA_CBC:
	case SUITE_CIPHER_SEED_CBC:
		*out = with_mac(SHAPE_CBC, suite, key, 16);
		return true;
	case SUITE_CIPHER_3DES_CBC:
		/* Three keys of 56 bits, each with its parity octet's share. */
		*out = with_mac(SHAPE_CBC, suite, 24, 8);
		return true;
	case SUITE_CIPHER_RC4:
		*out = with_mac(SHAPE_STREAM, suite, key, 1);
		return true;
	case SUITE_CIPHER_NONE:
		*out = with_mac(SHAPE_NULL, suite, 0, 1);
		return true;
	default:
		return false;
	}
}

bool shape_of(const struct suite *suite, uint16_t version, struct shape *out)
{
	struct shape found;
	if ((version != TLS12 && version != TLS13) || !suite_fits_version(suite, version) || suite->exported ||
		!by_cipher(suite, version, &found))
		return false;
	/* Without an AEAD there is a MAC, and only below TLS 1.3. */
	if (found.tag == 0 && (found.mac_key == 0 || version == TLS13))
		return false;
	*out = found;
	return true;
}
