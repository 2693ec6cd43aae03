#include "tls/group.h"

#include "tls/list.h"

#include <stdlib.h>

#define OPENSSL_32 0x30200000
#define OPENSSL_35 0x30500000

#define ROW(value, name, openssl, since, kind, bits, tls13, tls12)                                                     \
	{                                                                                                              \
		name, openssl, since, GROUP_##kind, value, bits, tls13, tls12                                          \
	}

/*
 * In order of value. Curves below 224 bits, characteristic two and secp256k1 stand here for their names: RFC 8422 and
 * RFC 8446 have given them up. The brainpool values 0x1f.. are TLS 1.3's own (RFC 8734).
 */
static const struct group table[] = {
	ROW(0x0001, "sect163k1", "K-163", 0, EC, 80, false, true),
	ROW(0x0002, "sect163r1", "sect163r1", 0, EC, 80, false, true),
	ROW(0x0003, "sect163r2", "B-163", 0, EC, 80, false, true),
	ROW(0x0004, "sect193r1", "sect193r1", 0, EC, 80, false, true),
	ROW(0x0005, "sect193r2", "sect193r2", 0, EC, 80, false, true),
	ROW(0x0006, "sect233k1", "K-233", 0, EC, 112, false, true),
	ROW(0x0007, "sect233r1", "B-233", 0, EC, 112, false, true),
	ROW(0x0008, "sect239k1", "sect239k1", 0, EC, 112, false, true),
	ROW(0x0009, "sect283k1", "K-283", 0, EC, 128, false, true),
	ROW(0x000a, "sect283r1", "B-283", 0, EC, 128, false, true),
	ROW(0x000b, "sect409k1", "K-409", 0, EC, 192, false, true),
	ROW(0x000c, "sect409r1", "B-409", 0, EC, 192, false, true),
	ROW(0x000d, "sect571k1", "K-571", 0, EC, 256, false, true),
	ROW(0x000e, "sect571r1", "B-571", 0, EC, 256, false, true),
	ROW(0x000f, "secp160k1", "secp160k1", 0, EC, 80, false, true),
	ROW(0x0010, "secp160r1", "secp160r1", 0, EC, 80, false, true),
	ROW(0x0011, "secp160r2", "secp160r2", 0, EC, 80, false, true),
	ROW(0x0012, "secp192k1", "secp192k1", 0, EC, 80, false, true),
	ROW(0x0013, "secp192r1", "P-192", 0, EC, 80, false, true),
	ROW(0x0014, "secp224k1", "secp224k1", 0, EC, 112, false, true),
	ROW(0x0015, "secp224r1", "P-224", 0, EC, 112, false, true),
	ROW(0x0016, "secp256k1", "secp256k1", 0, EC, 128, false, true),
	ROW(0x0017, "secp256r1", "P-256", 0, EC, 128, true, true),
	ROW(0x0018, "secp384r1", "P-384", 0, EC, 192, true, true),
	ROW(0x0019, "secp521r1", "P-521", 0, EC, 256, true, true),
	ROW(0x001a, "brainpoolP256r1", "brainpoolP256r1", 0, EC, 128, false, true),
	ROW(0x001b, "brainpoolP384r1", "brainpoolP384r1", 0, EC, 192, false, true),
	ROW(0x001c, "brainpoolP512r1", "brainpoolP512r1", 0, EC, 256, false, true),
	ROW(0x001d, "x25519", "X25519", 0, EC, 128, true, true),
	ROW(0x001e, "x448", "X448", 0, EC, 224, true, true),
	ROW(0x001f, "brainpoolP256r1tls13", "brainpoolP256r1tls13", OPENSSL_32, EC, 128, true, false),
	ROW(0x0020, "brainpoolP384r1tls13", "brainpoolP384r1tls13", OPENSSL_32, EC, 192, true, false),
	ROW(0x0021, "brainpoolP512r1tls13", "brainpoolP512r1tls13", OPENSSL_32, EC, 256, true, false),
	ROW(0x0022, "GC256A", NULL, 0, EC, 128, true, true),
	ROW(0x0023, "GC256B", NULL, 0, EC, 128, true, true),
	ROW(0x0024, "GC256C", NULL, 0, EC, 128, true, true),
	ROW(0x0025, "GC256D", NULL, 0, EC, 128, true, true),
	ROW(0x0026, "GC512A", NULL, 0, EC, 256, true, true),
	ROW(0x0027, "GC512B", NULL, 0, EC, 256, true, true),
	ROW(0x0028, "GC512C", NULL, 0, EC, 256, true, true),
	ROW(0x0029, "curveSM2", NULL, 0, EC, 128, true, false),
	ROW(0x0100, "ffdhe2048", "ffdhe2048", 0, FF, 103, true, true),
	ROW(0x0101, "ffdhe3072", "ffdhe3072", 0, FF, 125, true, true),
	ROW(0x0102, "ffdhe4096", "ffdhe4096", 0, FF, 150, true, true),
	ROW(0x0103, "ffdhe6144", "ffdhe6144", 0, FF, 175, true, true),
	ROW(0x0104, "ffdhe8192", "ffdhe8192", 0, FF, 192, true, true),
	ROW(0x0200, "MLKEM512", "MLKEM512", OPENSSL_35, KEM, 128, true, false),
	ROW(0x0201, "MLKEM768", "MLKEM768", OPENSSL_35, KEM, 192, true, false),
	ROW(0x0202, "MLKEM1024", "MLKEM1024", OPENSSL_35, KEM, 256, true, false),
	ROW(0x11eb, "SecP256r1MLKEM768", "SecP256r1MLKEM768", OPENSSL_35, HYBRID, 128, true, false),
	ROW(0x11ec, "X25519MLKEM768", "X25519MLKEM768", OPENSSL_35, HYBRID, 128, true, false),
	ROW(0x11ed, "SecP384r1MLKEM1024", "SecP384r1MLKEM1024", OPENSSL_35, HYBRID, 192, true, false),
	ROW(0x11ee, "curveSM2MLKEM768", NULL, 0, HYBRID, 128, true, false),
	ROW(0x6399, "X25519Kyber768Draft00", NULL, 0, HYBRID, 128, true, false),
	ROW(0x639a, "SecP256r1Kyber768Draft00", NULL, 0, HYBRID, 128, true, false),
	ROW(0xff01, "arbitrary_explicit_prime_curves", NULL, 0, EC, 0, false, true),
	ROW(0xff02, "arbitrary_explicit_char2_curves", NULL, 0, EC, 0, false, true),
};

#define TABLE_LEN (sizeof(table) / sizeof(table[0]))

static int by_value(const void *key, const void *row)
{
	uint16_t wanted = *(const uint16_t *)key, value = ((const struct group *)row)->value;
	return (wanted > value) - (wanted < value);
}

const struct group *group_find(uint16_t value)
{
	return bsearch(&value, table, TABLE_LEN, sizeof(table[0]), by_value);
}

const struct group *group_by_name(struct bytes name)
{
	for (size_t i = 0; i < TABLE_LEN; i++) {
		if (bytes_equal_nocase(name, bytes_str(table[i].name)) ||
			(table[i].openssl && bytes_equal_nocase(name, bytes_str(table[i].openssl))))
			return &table[i];
	}
	return NULL;
}

const char *group_name(uint16_t value)
{
	const struct group *group = group_find(value);
	if (group)
		return group->name;
	return grease_is(value) ? "GREASE" : NULL;
}

const struct group *group_at(size_t index)
{
	return index < TABLE_LEN ? &table[index] : NULL;
}
