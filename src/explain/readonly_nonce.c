/*
 * explain/readonly_nonce.c — what an edit inside one AEAD session gives away (NIST SP 800-38D, 6.4, 7 and appendix A; Joux,
 * Authentication failures in NIST version of GCM). Two records under one key and nonce are enough.
 */
#include "explain/readonly_parts.h"
#include "tls/record.h"

#define TAG 16
/* Two blocks with the inner content type behind the text; they differ in the second only. */
#define BEFORE "pay to account  12345678 amount"
#define AFTER  "pay to account  66666666 amount"
#define FORGED "pay to account  99999999 amount"

/* An element of GF(2^128) as GCM writes it: the first bit is the coefficient of 1. */
struct element {
	uint64_t high, low;
};

static struct element element_of(struct bytes block)
{
	struct element e = {0};
	(void)!(bytes_u64(&block, &e.high) && bytes_u64(&block, &e.low));
	return e;
}

static struct element add(struct element a, struct element b)
{
	return (struct element){a.high ^ b.high, a.low ^ b.low};
}

static struct element multiply(struct element a, struct element b)
{
	struct element sum = {0};
	for (unsigned i = 0; i < 128; i++) {
		if ((i < 64 ? a.high >> (63 - i) : a.low >> (127 - i)) & 1)
			sum = add(sum, b);
		bool carry = b.low & 1;
		b = (struct element){(b.high >> 1) ^ (carry ? 0xe100000000000000 : 0), b.low >> 1 | b.high << 63};
	}
	return sum;
}

/* a to the 2^127: its square root. */
static struct element root(struct element a)
{
	for (unsigned i = 0; i < 127; i++)
		a = multiply(a, a);
	return a;
}

/* a to the 2^128 - 2: its inverse. */
static struct element inverse(struct element a)
{
	struct element out = multiply(a, a), power = out;
	for (unsigned i = 0; i < 126; i++) {
		power = multiply(power, power);
		out = multiply(out, power);
	}
	return out;
}

static bool same(struct element a, struct element b)
{
	return a.high == b.high && a.low == b.low;
}

/* One record as an observer has it: second block of the ciphertext, and the tag. */
struct seen {
	struct bytes header, first;
	struct element second, tag;
};

static bool look(struct bytes octets, struct seen *out)
{
	struct record record;
	struct bytes second, tag;
	if (!bytes_take(&octets, RECORD_HEADER, &out->header))
		return false;
	record.fragment = octets;
	if (!bytes_take(&record.fragment, READONLY_BLOCK, &out->first) ||
		!bytes_take(&record.fragment, READONLY_BLOCK, &second) || !bytes_take(&record.fragment, TAG, &tag))
		return false;
	out->second = element_of(second);
	out->tag = element_of(tag);
	return record.fragment.len == 0;
}

/* GHASH's key as the library has it: the block cipher over zeros. */
static bool true_key(const struct traffic_keys *keys, struct element *out)
{
	static const uint8_t zeros[READONLY_BLOCK] = {0};
	uint8_t block[READONLY_BLOCK];
	int len = 0;
	EVP_CIPHER_CTX *ctx = EVP_CIPHER_CTX_new();
	bool ok = ctx && EVP_EncryptInit_ex2(ctx, EVP_aes_128_ecb(), keys->key, NULL, NULL) == 1 &&
	          EVP_CIPHER_CTX_set_padding(ctx, 0) == 1 &&
	          EVP_EncryptUpdate(ctx, block, &len, zeros, sizeof(zeros)) == 1;
	*out = element_of(bytes_of(block, sizeof(block)));
	EVP_CIPHER_CTX_free(ctx);
	OPENSSL_cleanse(block, sizeof(block));
	return ok;
}

/* The second block of a text, with the inner content type. */
static struct element block_of(const char *text)
{
	uint8_t block[READONLY_BLOCK];
	struct writer w = writer_over(block, sizeof(block));
	struct bytes rest = bytes_str(text), done = BYTES_NONE;
	(void)!bytes_skip(&rest, READONLY_BLOCK);
	writer_bytes(&w, rest);
	writer_u8(&w, RECORD_APPLICATION_DATA);
	(void)!writer_done(&w, &done);
	return element_of(done);
}

/* A third record of the same number, made of the two that were seen and what was computed from them; without any key. */
static bool forge(const struct seen *from, struct element key, uint8_t *room, size_t cap, struct bytes *out)
{
	struct writer w = writer_over(room, cap);
	struct element change = add(block_of(BEFORE), block_of(FORGED));
	struct element second = add(from->second, change), tag = add(from->tag, multiply(change, multiply(key, key)));
	writer_bytes(&w, from->header);
	writer_bytes(&w, from->first);
	writer_u64(&w, second.high);
	writer_u64(&w, second.low);
	writer_u64(&w, tag.high);
	writer_u64(&w, tag.low);
	return writer_done(&w, out);
}

struct edit {
	bool accepted, leaks, found, forged;
};

static bool observe(struct crypto *crypto, const struct traffic_keys *keys, struct bytes before, struct bytes after,
	struct edit *out)
{
	struct seen a, b;
	struct element key;
	uint8_t room[256];
	struct bytes forged = BYTES_NONE;
	if (!look(before, &a) || !look(after, &b) || !true_key(keys, &key))
		return false;
	/* The same keystream was laid over both texts. */
	struct element difference = add(a.second, b.second);
	out->leaks = same(difference, add(block_of(BEFORE), block_of(AFTER)));
	/* Tags differ by the difference of the blocks times the square of GHASH's key, and nothing else. */
	struct element got = root(multiply(add(a.tag, b.tag), inverse(difference)));
	out->found = same(got, key);
	struct protect *receiver = readonly_protect(crypto, keys, 0);
	struct record record;
	struct opened opened;
	uint8_t plain[256];
	out->forged = receiver && forge(&a, got, room, sizeof(room), &forged) &&
	              record_read(&forged, &record) == RECORD_OK &&
	              protect_open(receiver, &record, plain, sizeof(plain), &opened) == PROTECT_OK &&
	              bytes_equal(opened.plaintext, bytes_str(FORGED));
	protect_free(receiver);
	return receiver != NULL;
}

static void tell(struct story *story, const struct edit *edit, const char *fault)
{
	story_row(
		story, "aead-edited-in-session", "TLS 1.3, AES-GCM: a proxy with the key replaces a record by another");
	story_flag(story, "edit_accepted", "the receiver accepts the edited record", edit->accepted);
	story_flag(story, "keystream_reused", "both records together give away the XOR of both texts", edit->leaks);
	story_flag(story, "mac_key_recovered", "both records together give away the authentication key", edit->found);
	story_flag(story, "stranger_forges", "with it, a stranger without any key forges a third", edit->forged);
	if (fault[0])
		story_words(story, "fault", "the receiver says", fault);
	story_held(story, edit->accepted && edit->leaks && edit->found && edit->forged,
		"The edited record must have the number of the one it stands for, so the same nonce: an AEAD forbids "
		"just that. Somebody "
		"who sees the path before and behind the proxy, and knows no key, XORs the two ciphertexts and has the "
		"XOR of the "
		"texts. The tags differ by (difference of the blocks) times H squared in GF(2^128), H being GCM's "
		"authentication "
		"key; one division and one square root give H, and with H tags can be made for any change to a record "
		"that was "
		"seen. That is why an editing proxy needs a connection of its own on each side, with keys of its own.");
}

static bool run(struct crypto *crypto, struct story *story, struct lab_end *client, struct lab_end *server)
{
	struct traffic_keys keys = {0};
	struct edit edit = {0};
	uint8_t room[256];
	struct bytes after = BYTES_NONE;
	bool ok =
		readonly_keys(crypto, client, "CLIENT_TRAFFIC_SECRET_0", &keys) && lab_write(client, bytes_str(BEFORE));
	struct bytes before = ok ? lab_take(client) : BYTES_NONE;
	struct protect *proxy = ok ? readonly_protect(crypto, &keys, 0) : NULL;
	ok = proxy && readonly_seal(proxy, AFTER, room, sizeof(room), &after) && lab_give(server, after);
	edit.accepted = ok && lab_reads(server, bytes_str(AFTER));
	ok = ok && observe(crypto, &keys, before, after, &edit);
	if (ok)
		tell(story, &edit, lab_fault(server));
	protect_free(proxy);
	traffic_keys_wipe(&keys);
	return ok;
}

bool readonly_nonce(const struct lab *lab, struct story *story, struct error *err)
{
	const struct lab_setup setup = {.version = TLS_VERSION_13, .suites = READONLY_SUITE13, .groups = "X25519"};
	struct crypto *crypto = crypto_new();
	struct lab_end *client = lab_client(lab, &setup, err), *server = lab_server(lab, &setup, err);
	bool ok = crypto && client && server && lab_join(client, server, NULL, NULL, err) &&
	          (run(crypto, story, client, server) || error_set(err, "the edited connection cannot be shown"));
	lab_end_free(client);
	lab_end_free(server);
	crypto_free(crypto);
	return ok;
}

/* The client's record on one leg, and the edited one on the other, as somebody before and behind the proxy sees them. */
static bool tell_two(struct story *story, struct lab_end *client, struct lab_end *at_client, struct lab_end *at_server,
	struct lab_end *server)
{
	struct seen a, b;
	uint8_t room[256];
	struct writer w = writer_over(room, sizeof(room));
	struct bytes before = BYTES_NONE, after;
	bool ok = lab_write(client, bytes_str(BEFORE));
	writer_bytes(&w, ok ? lab_take(client) : BYTES_NONE);
	ok = ok && writer_done(&w, &before) && lab_give(at_client, before) && lab_reads(at_client, bytes_str(BEFORE)) &&
	     lab_write(at_server, bytes_str(AFTER));
	after = ok ? lab_take(at_server) : BYTES_NONE;
	bool accepted = ok && lab_give(server, after) && lab_reads(server, bytes_str(AFTER));
	ok = ok && look(before, &a) && look(after, &b);
	bool leaks = ok && same(add(a.second, b.second), add(block_of(BEFORE), block_of(AFTER)));
	story_row(story, "aead-edited-in-two-sessions",
		"TLS 1.3, AES-GCM: a proxy with a session on each side replaces a record by another");
	story_flag(story, "edit_accepted", "the receiver accepts the edited record", accepted);
	story_flag(story, "keystream_reused", "both records together give away the XOR of both texts", leaks);
	story_held(story, ok && accepted && !leaks,
		"For comparison: an inspecting proxy as it should be. It opens the record with the keys of one session "
		"and seals what it makes of it with those of another, and the two ciphertexts have nothing to do with "
		"each other. The client knows: it shook hands with the proxy.");
	return ok;
}

bool readonly_two_sessions(const struct lab *lab, struct story *story, struct error *err)
{
	const struct lab_setup setup = {.version = TLS_VERSION_13, .suites = READONLY_SUITE13, .groups = "X25519"};
	struct lab_end *client = lab_client(lab, &setup, err), *at_client = lab_server(lab, &setup, err);
	struct lab_end *at_server = lab_client(lab, &setup, err), *server = lab_server(lab, &setup, err);
	bool ok = client && at_client && at_server && server && lab_join(client, at_client, NULL, NULL, err) &&
	          lab_join(at_server, server, NULL, NULL, err) &&
	          (tell_two(story, client, at_client, at_server, server) ||
			  error_set(err, "the proxy's two connections cannot be shown"));
	lab_end_free(client);
	lab_end_free(at_client);
	lab_end_free(at_server);
	lab_end_free(server);
	return ok;
}
