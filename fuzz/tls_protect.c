/*
 * Records of a stranger's making under a fixed key, in every form of protection: the first octet chooses the suite, the
 * second how the rest is used. A record that this program sealed itself opens, whatever came before; nothing else does.
 */
#include "tls/invert.h"
#include "tls/protect.h"
#include "tls/transcript.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static const struct {
	uint16_t suite, version;
	bool encrypt_then_mac;
} kinds[] = {
	{0x1301, 0x0304, false},
	{0x1303, 0x0304, false},
	{0x1305, 0x0304, false},
	{0xc02f, 0x0303, false},
	{0xc0a0, 0x0303, false},
	{0xcca8, 0x0303, false},
	{0xc013, 0x0303, false},
	{0xc013, 0x0303, true},
	{0xc028, 0x0303, false},
	{0x000a, 0x0303, true},
	{0x003b, 0x0303, false},
	{0x0005, 0x0303, false},
};

/* Whatever the octets are, they have no right tag. */
static void open_foreign(struct crypto *crypto, const struct protect_setup *setup, struct protect *p, struct bytes in)
{
	static uint8_t out[RECORD_MAX_FRAGMENT + 100];
	struct record record;
	struct opened opened;
	uint64_t sequence;
	while (record_read(&in, &record) == RECORD_OK) {
		enum protect_result result = protect_open(p, &record, out, sizeof(out), &opened);
		if (result != PROTECT_BAD_TAG && result != PROTECT_BAD_LENGTH)
			abort();
		if (invert_gcm(crypto, setup, &record, &sequence) == INVERT_FOUND)
			abort();
	}
}

static void open_own(struct protect *from, struct protect *to, struct bytes text, size_t padding)
{
	static uint8_t room[RECORD_HEADER + RECORD_MAX_FRAGMENT + 100];
	struct writer w = writer_over(room, sizeof(room));
	struct bytes sealed;
	struct record record;
	struct opened opened;
	if (text.len + padding > RECORD_MAX_PLAINTEXT)
		return;
	if (protect_seal(from, 23, text, padding, &w) != PROTECT_OK || !writer_done(&w, &sealed) ||
		record_read(&sealed, &record) != RECORD_OK ||
		protect_open(to, &record, room + RECORD_HEADER, record.fragment.len, &opened) != PROTECT_OK ||
		!bytes_equal(opened.plaintext, text) || opened.type != 23)
		abort();
}

static void hash_pieces(struct bytes in)
{
	struct transcript t;
	struct tls_secret value;
	struct bytes piece;
	uint8_t n;
	transcript_init(&t, 64);
	while (bytes_u8(&in, &n)) {
		if (n == 0)
			(void)!transcript_choose(&t, SUITE_HASH_SHA256);
		else if (n == 1)
			(void)!transcript_retry(&t);
		else if (bytes_take(&in, n, &piece))
			(void)!transcript_add(&t, piece);
		if (transcript_value(&t, &value) == TRANSCRIPT_OK && value.len != 32)
			abort();
	}
	transcript_free(&t);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	/* Made once: what costs most is looking ciphers up, which is not what is tried here. */
	static struct crypto *crypto;
	struct traffic_keys keys = {.key = {1, 2, 3}, .mac = {4, 5, 6}, .iv = {7, 8, 9}};
	struct bytes in = bytes_of(data, size);
	uint8_t kind, use;
	if (!crypto)
		crypto = crypto_new();
	if (!crypto || !bytes_u8(&in, &kind) || !bytes_u8(&in, &use))
		return 0;
	kind %= sizeof(kinds) / sizeof(kinds[0]);
	struct protect_setup setup = {
		suite_find(kinds[kind].suite), kinds[kind].version, kinds[kind].encrypt_then_mac, &keys, use};
	struct protect *from = protect_new(crypto, &setup), *to = protect_new(crypto, &setup);
	if (from && to) {
		open_foreign(crypto, &setup, to, in);
		open_own(from, to, in, use);
	}
	protect_free(from);
	protect_free(to);
	hash_pieces(in);
	return 0;
}
