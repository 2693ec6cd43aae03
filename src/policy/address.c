#include "policy/address.h"

#include "base/text.h"

#include <arpa/inet.h>

/* Where clouds serve a machine its own credentials, by any provider that documents such an address. */
static const uint8_t metadata_v4[][4] = {
	{169, 254, 169, 254}, /* most of them */
	{169, 254, 170, 2},   /* containers of AWS */
	{169, 254, 170, 23},  /* pods of AWS */
	{169, 254, 0, 23},    /* Tencent */
	{169, 254, 42, 42},   /* Scaleway */
	{100, 100, 100, 200}, /* Alibaba */
	{192, 0, 0, 192},     /* Oracle */
	{168, 63, 129, 16},   /* Azure, the host's agent */
};
static const uint8_t metadata_v6[][16] = {
	{0xfd, 0x00, 0x0e, 0xc2, [14] = 0x02, 0x54}, /* fd00:ec2::254, AWS */
	{0xfd, 0x00, 0x0e, 0xc2, [15] = 0x23},       /* fd00:ec2::23, pods of AWS */
	{0xfd, 0x20, 0x00, 0xce, [14] = 0x02, 0x54}, /* fd20:ce::254, Google */
	{0xfe, 0x80, [12] = 0xa9, 0xfe, 0xa9, 0xfe}, /* fe80::a9fe:a9fe, OpenStack */
	{0xfd, 0x00, 0x00, 0x42, [15] = 0x42},       /* fd00:42::42, Scaleway */
};

static bool shares(const uint8_t *ip, const uint8_t *prefix, size_t bits)
{
	if (memcmp(ip, prefix, bits / 8) != 0)
		return false;
	return bits % 8 == 0 || ((ip[bits / 8] ^ prefix[bits / 8]) >> (8 - bits % 8)) == 0;
}

static enum address_kind kind_v4(const uint8_t *ip)
{
	for (size_t i = 0; i < sizeof(metadata_v4) / sizeof(metadata_v4[0]); i++) {
		if (memcmp(ip, metadata_v4[i], 4) == 0)
			return ADDRESS_METADATA;
	}
	static const struct {
		uint8_t ip[4], bits;
		enum address_kind kind;
	} blocks[] = {
		{{127}, 8, ADDRESS_LOOPBACK},
		{{0}, 8, ADDRESS_LOOPBACK},
		{{169, 254}, 16, ADDRESS_LINK_LOCAL},
		{{10}, 8, ADDRESS_PRIVATE},
		{{172, 16}, 12, ADDRESS_PRIVATE},
		{{192, 168}, 16, ADDRESS_PRIVATE},
		{{100, 64}, 10, ADDRESS_PRIVATE},
	};
	for (size_t i = 0; i < sizeof(blocks) / sizeof(blocks[0]); i++) {
		if (shares(ip, blocks[i].ip, blocks[i].bits))
			return blocks[i].kind;
	}
	return ADDRESS_PUBLIC;
}

/* Where in an IPv6 address an IPv4 one stands that the packet may end up at; 16 when nowhere. */
static size_t v4_within(const uint8_t *ip)
{
	static const uint8_t nat64[12] = {0x00, 0x64, 0xff, 0x9b};
	static const uint8_t mapped[12] = {[10] = 0xff, 0xff};
	static const uint8_t compatible[12] = {0};
	if (memcmp(ip, nat64, 12) == 0 || memcmp(ip, mapped, 12) == 0 || memcmp(ip, compatible, 12) == 0)
		return 12;
	if (ip[0] == 0x20 && ip[1] == 0x02)
		return 2;
	return 16;
}

enum address_kind address_kind(const struct hostport *address)
{
	const uint8_t *ip = address->ip;
	static const uint8_t loopback[16] = {[15] = 1};
	static const uint8_t none[16] = {0};
	if (memcmp(ip, loopback, 16) == 0 || memcmp(ip, none, 16) == 0)
		return ADDRESS_LOOPBACK;
	for (size_t i = 0; i < sizeof(metadata_v6) / sizeof(metadata_v6[0]); i++) {
		if (memcmp(ip, metadata_v6[i], 16) == 0)
			return ADDRESS_METADATA;
	}
	size_t v4 = v4_within(ip);
	if (v4 < 16)
		return kind_v4(ip + v4);
	if (ip[0] == 0xfe && (ip[1] & 0xc0) == 0x80)
		return ADDRESS_LINK_LOCAL;
	if ((ip[0] & 0xfe) == 0xfc)
		return ADDRESS_PRIVATE;
	return ADDRESS_PUBLIC;
}

static const char *const kind_names[ADDRESS_KINDS] = {
	[ADDRESS_PUBLIC] = "public",
	[ADDRESS_PRIVATE] = "private",
	[ADDRESS_LINK_LOCAL] = "link-local",
	[ADDRESS_METADATA] = "metadata",
	[ADDRESS_LOOPBACK] = "loopback",
};

const char *address_kind_name(enum address_kind kind)
{
	return kind_names[kind];
}

bool address_kind_find(const char *word, enum address_kind *out)
{
	for (size_t i = 0; i < ADDRESS_KINDS; i++) {
		if (strcmp(word, kind_names[i]) == 0) {
			*out = (enum address_kind)i;
			return true;
		}
	}
	return false;
}

static bool host_bits_set(const struct address_block *block)
{
	for (size_t bit = block->bits; bit < 128; bit++) {
		if (block->base[bit / 8] >> (7 - bit % 8) & 1)
			return true;
	}
	return false;
}

enum block_result address_block_parse(const char *text, struct address_block *out)
{
	struct bytes in = bytes_str(text);
	size_t slash = bytes_find(in, '/', 0);
	char ip[INET6_ADDRSTRLEN];
	struct hostport address;
	if (slash >= sizeof(ip))
		return BLOCK_NOT_ADDRESS;
	memcpy(ip, text, slash);
	ip[slash] = '\0';
	if (!hostport_parse_ip(&address, ip))
		return BLOCK_NOT_ADDRESS;
	bool v4 = !strchr(ip, ':');
	uint64_t bits = v4 ? 32 : 128;
	struct bytes length = in;
	if (slash < in.len && (!bytes_skip(&length, slash + 1) || !text_number(length, bits, &bits)))
		return BLOCK_BAD_LENGTH;
	struct address_block block = {.bits = (uint8_t)(v4 ? bits + 96 : bits)};
	memcpy(block.base, address.ip, sizeof(block.base));
	if (host_bits_set(&block))
		return BLOCK_HOST_BITS;
	*out = block;
	return BLOCK_OK;
}

const char *block_result_text(enum block_result result)
{
	switch (result) {
	case BLOCK_OK:
		return "a block of addresses";
	case BLOCK_NOT_ADDRESS:
		return "is no IP address or block (like 192.0.2.7, 10.0.0.0/8, 2001:db8::/32)";
	case BLOCK_BAD_LENGTH:
		return "has a prefix length that is no number from 0 to 32 (IPv4) or 128 (IPv6)";
	case BLOCK_HOST_BITS:
		return "has bits set beyond its prefix length";
	}
	return "is wrong";
}

bool address_block_has(const struct address_block *block, const struct hostport *address)
{
	return shares(address->ip, block->base, block->bits);
}
