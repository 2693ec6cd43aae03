#include "tls/sigalg.h"

#include "tls/list.h"

#include <stdlib.h>

#define OPENSSL_32 0x30200000
#define OPENSSL_35 0x30500000

#define ROW(value, name, openssl, since, key, group, tls13, weak)                                                      \
	{                                                                                                              \
		name, openssl, since, SIGALG_##key, value, group, tls13, weak                                          \
	}

/*
 * In order of value. Below 0x0700 the first octet is a hash and the second a signature (RFC 5246, 7.4.1.4.1); OpenSSL
 * knows the pairs that TLS 1.3 gave no name of its own by "SIGNATURE+HASH".
 */
static const struct sigalg table[] = {
	ROW(0x0101, "rsa_pkcs1_md5", NULL, 0, RSA, 0, false, true),
	ROW(0x0102, "dsa_md5", NULL, 0, DSA, 0, false, true),
	ROW(0x0103, "ecdsa_md5", NULL, 0, ECDSA, 0, false, true),
	ROW(0x0201, "rsa_pkcs1_sha1", "rsa_pkcs1_sha1", 0, RSA, 0, false, true),
	ROW(0x0202, "dsa_sha1", "DSA+SHA1", 0, DSA, 0, false, true),
	ROW(0x0203, "ecdsa_sha1", "ECDSA+SHA1", 0, ECDSA, 0, false, true),
	ROW(0x0301, "rsa_pkcs1_sha224", "rsa_pkcs1_sha224", 0, RSA, 0, false, false),
	ROW(0x0302, "dsa_sha224", "DSA+SHA224", 0, DSA, 0, false, true),
	ROW(0x0303, "ecdsa_sha224", "ECDSA+SHA224", 0, ECDSA, 0, false, false),
	ROW(0x0401, "rsa_pkcs1_sha256", "rsa_pkcs1_sha256", 0, RSA, 0, false, false),
	ROW(0x0402, "dsa_sha256", "DSA+SHA256", 0, DSA, 0, false, true),
	ROW(0x0403, "ecdsa_secp256r1_sha256", "ecdsa_secp256r1_sha256", 0, ECDSA, 0x0017, true, false),
	ROW(0x0420, "rsa_pkcs1_sha256_legacy", NULL, 0, RSA, 0, false, false),
	ROW(0x0501, "rsa_pkcs1_sha384", "rsa_pkcs1_sha384", 0, RSA, 0, false, false),
	ROW(0x0502, "dsa_sha384", "DSA+SHA384", 0, DSA, 0, false, true),
	ROW(0x0503, "ecdsa_secp384r1_sha384", "ecdsa_secp384r1_sha384", 0, ECDSA, 0x0018, true, false),
	ROW(0x0520, "rsa_pkcs1_sha384_legacy", NULL, 0, RSA, 0, false, false),
	ROW(0x0601, "rsa_pkcs1_sha512", "rsa_pkcs1_sha512", 0, RSA, 0, false, false),
	ROW(0x0602, "dsa_sha512", "DSA+SHA512", 0, DSA, 0, false, true),
	ROW(0x0603, "ecdsa_secp521r1_sha512", "ecdsa_secp521r1_sha512", 0, ECDSA, 0x0019, true, false),
	ROW(0x0620, "rsa_pkcs1_sha512_legacy", NULL, 0, RSA, 0, false, false),
	ROW(0x0708, "sm2sig_sm3", NULL, 0, SM2, 0x0029, true, false),
	ROW(0x0709, "gostr34102012_256a", NULL, 0, GOST, 0x0022, true, false),
	ROW(0x070a, "gostr34102012_256b", NULL, 0, GOST, 0x0023, true, false),
	ROW(0x070b, "gostr34102012_256c", NULL, 0, GOST, 0x0024, true, false),
	ROW(0x070c, "gostr34102012_256d", NULL, 0, GOST, 0x0025, true, false),
	ROW(0x070d, "gostr34102012_512a", NULL, 0, GOST, 0x0026, true, false),
	ROW(0x070e, "gostr34102012_512b", NULL, 0, GOST, 0x0027, true, false),
	ROW(0x070f, "gostr34102012_512c", NULL, 0, GOST, 0x0028, true, false),
	ROW(0x0804, "rsa_pss_rsae_sha256", "rsa_pss_rsae_sha256", 0, RSA_PSS_RSAE, 0, true, false),
	ROW(0x0805, "rsa_pss_rsae_sha384", "rsa_pss_rsae_sha384", 0, RSA_PSS_RSAE, 0, true, false),
	ROW(0x0806, "rsa_pss_rsae_sha512", "rsa_pss_rsae_sha512", 0, RSA_PSS_RSAE, 0, true, false),
	ROW(0x0807, "ed25519", "ed25519", 0, ED25519_KEY, 0, true, false),
	ROW(0x0808, "ed448", "ed448", 0, ED448_KEY, 0, true, false),
	ROW(0x0809, "rsa_pss_pss_sha256", "rsa_pss_pss_sha256", 0, RSA_PSS_PSS, 0, true, false),
	ROW(0x080a, "rsa_pss_pss_sha384", "rsa_pss_pss_sha384", 0, RSA_PSS_PSS, 0, true, false),
	ROW(0x080b, "rsa_pss_pss_sha512", "rsa_pss_pss_sha512", 0, RSA_PSS_PSS, 0, true, false),
	ROW(0x081a, "ecdsa_brainpoolP256r1tls13_sha256", "ecdsa_brainpoolP256r1_sha256", OPENSSL_32, ECDSA, 0x001f,
		true, false),
	ROW(0x081b, "ecdsa_brainpoolP384r1tls13_sha384", "ecdsa_brainpoolP384r1_sha384", OPENSSL_32, ECDSA, 0x0020,
		true, false),
	ROW(0x081c, "ecdsa_brainpoolP512r1tls13_sha512", "ecdsa_brainpoolP512r1_sha512", OPENSSL_32, ECDSA, 0x0021,
		true, false),
	ROW(0x0904, "mldsa44", "mldsa44", OPENSSL_35, MLDSA, 0, true, false),
	ROW(0x0905, "mldsa65", "mldsa65", OPENSSL_35, MLDSA, 0, true, false),
	ROW(0x0906, "mldsa87", "mldsa87", OPENSSL_35, MLDSA, 0, true, false),
};

#define TABLE_LEN (sizeof(table) / sizeof(table[0]))

static int by_value(const void *key, const void *row)
{
	uint16_t wanted = *(const uint16_t *)key, value = ((const struct sigalg *)row)->value;
	return (wanted > value) - (wanted < value);
}

const struct sigalg *sigalg_find(uint16_t value)
{
	return bsearch(&value, table, TABLE_LEN, sizeof(table[0]), by_value);
}

const struct sigalg *sigalg_by_name(struct bytes name)
{
	for (size_t i = 0; i < TABLE_LEN; i++) {
		if (bytes_equal_nocase(name, bytes_str(table[i].name)) ||
			(table[i].openssl && bytes_equal_nocase(name, bytes_str(table[i].openssl))))
			return &table[i];
	}
	return NULL;
}

const char *sigalg_name(uint16_t value)
{
	const struct sigalg *sigalg = sigalg_find(value);
	if (sigalg)
		return sigalg->name;
	return grease_is(value) ? "GREASE" : NULL;
}

const struct sigalg *sigalg_at(size_t index)
{
	return index < TABLE_LEN ? &table[index] : NULL;
}
