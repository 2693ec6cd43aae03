/* tls/protect_private.h — what the files of record protection share. For tls/protect*.c only. */
#ifndef TLS_PROTECT_PRIVATE_H
#define TLS_PROTECT_PRIVATE_H

#include "tls/protect.h"

struct protect {
	struct crypto *crypto;
	const struct suite *suite;
	struct shape shape;
	uint16_t version;
	bool encrypt_then_mac;
	bool ccm;
	uint64_t sequence;
	struct traffic_keys keys;
	const EVP_CIPHER *cipher; /* NULL without encryption */
	EVP_CIPHER_CTX *open;
	EVP_CIPHER_CTX *spare; /* RC4: its state before the record that is being tried */
	EVP_CIPHER_CTX *seal;  /* made when first needed */
};

/* A fragment to be opened, with all that is authenticated beside it. */
struct sealed {
	uint64_t number; /* the sequence number, in DTLS with the epoch in front */
	uint8_t type;
	uint16_t version;
	struct bytes fragment;
};

/* A plaintext to be sealed into a fragment that is `len` octets long. */
struct unsealed {
	uint64_t number;
	uint8_t type;
	uint16_t version;
	struct bytes plaintext;
	size_t padding;
	size_t len;
};

#define PROTECT_AAD_MAX 13

/* seq, type, version and length as TLS 1.2 authenticates them. */
static inline struct bytes protect_aad12(
	uint8_t room[PROTECT_AAD_MAX], uint64_t number, uint8_t type, uint16_t version, size_t len)
{
	struct writer w = writer_over(room, PROTECT_AAD_MAX);
	writer_u64(&w, number);
	writer_u8(&w, type);
	writer_u16(&w, version);
	writer_u16(&w, (uint16_t)len);
	return bytes_of(room, w.len);
}

/* Each opens into `out` (at least as long as the fragment) and sets type, plaintext and padding. */
must_check enum protect_result protect_aead_open(
	struct protect *p, const struct sealed *sealed, uint8_t *out, struct opened *opened);
must_check enum protect_result protect_mac_open(
	struct protect *p, const struct sealed *sealed, uint8_t *out, struct opened *opened);

/* Each fills the `len` octets at `out`. */
must_check enum protect_result protect_aead_seal(struct protect *p, const struct unsealed *unsealed, uint8_t *out);
must_check enum protect_result protect_mac_seal(struct protect *p, const struct unsealed *unsealed, uint8_t *out);

#endif
