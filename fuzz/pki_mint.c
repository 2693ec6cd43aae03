/*
 * Minting from whatever a server may send as its certificate: what comes out is a certificate, or nothing. The input is
 * 64 bits of faults, then the certificate; where bit 1 of the faults is set, places (16 bits) and octets to put there
 * into a good certificate made at start.
 */
#include "pki/leaf_key.h"
#include "pki/mint.h"

#include <openssl/ec.h>
#include <openssl/x509v3.h>
#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define NOW INT64_C(1800000000)

static struct authority *authority;
static struct leaf_keys *keys;

static uint8_t good[2048];
static size_t good_len;

static void good_make(void)
{
	EVP_PKEY *key = EVP_EC_gen("P-256");
	X509 *cert = X509_new();
	X509V3_CTX ctx;
	X509V3_set_ctx(&ctx, cert, cert, NULL, NULL, 0);
	X509_EXTENSION *names = X509V3_EXT_nconf(
		NULL, &ctx, "subjectAltName", "DNS:www.example.com,DNS:*.example.com,IP:10.0.0.1,email:a@example.com");
	unsigned char *at = good;
	if (!key || !cert || !names || X509_set_version(cert, X509_VERSION_3) != 1 ||
		!ASN1_TIME_set(X509_getm_notBefore(cert), NOW - 1000) ||
		!ASN1_TIME_set(X509_getm_notAfter(cert), NOW + 1000) || X509_set_pubkey(cert, key) != 1 ||
		X509_add_ext(cert, names, -1) != 1 || X509_sign(cert, key, EVP_sha256()) <= 0 ||
		i2d_X509(cert, NULL) > (int)sizeof(good))
		abort();
	good_len = (size_t)i2d_X509(cert, &at);
	X509_EXTENSION_free(names);
	X509_free(cert);
	EVP_PKEY_free(key);
}

static struct bytes patched(struct bytes in)
{
	static uint8_t copy[sizeof(good)];
	memcpy(copy, good, good_len);
	uint16_t place;
	uint8_t octet;
	while (bytes_u16(&in, &place) && bytes_u8(&in, &octet))
		copy[place % good_len] = octet;
	return bytes_of(copy, good_len);
}

static void start(void)
{
	struct name_ranges permit = {.count = 0};
	if (!name_ranges_parse(bytes_str("example.com,10.0.0.0/8"), &permit, NULL) ||
		!authority_in_memory(&authority, &(struct authority_make){.permit = &permit}, NOW, NULL) ||
		!leaf_keys_open(&keys, NULL, NOW, NULL))
		abort();
	good_make();
}

static void must_decode(const struct minted *minted)
{
	const unsigned char *at = minted->der.data;
	X509 *cert = d2i_X509(NULL, &at, (long)minted->der.len);
	if (!cert || at != minted->der.data + minted->der.len)
		abort();
	X509_free(cert);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static uint8_t out[MINT_MAX_DER];
	if (!authority)
		start();
	struct subject_name host;
	const struct leaf_key *key = leaf_keys_get(keys, LEAF_ECDSA, NOW, NULL);
	struct bytes in = bytes_of(data, size);
	uint64_t faults;
	if (!key || !bytes_u64(&in, &faults) ||
		subject_name_parse(bytes_str(faults & 1 ? "10.0.0.1" : "www.example.com"), &host) != NAME_OK)
		return 0;
	struct mint_request request = {.upstream = faults & 2 ? patched(in) : in,
		.host = &host,
		.spki = bytes_of(key->spki, key->spki_len),
		.now_s = NOW,
		.faults = faults};
	struct minted minted;
	enum mint_result result = mint_leaf(authority, &request, out, sizeof(out), &minted);
	if (result == MINT_OK)
		must_decode(&minted);
	/* The buffer is said to be always enough for good leaves. */
	if (result == MINT_NO_ROOM)
		abort();
	if (mint_invalid(authority, &request, out, sizeof(out), &minted) == MINT_OK)
		must_decode(&minted);
	return 0;
}
