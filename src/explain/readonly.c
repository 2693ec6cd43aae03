/*
 * explain/readonly.c — can a reader be kept from writing? By what the record protection is made of: a cipher and a MAC apart
 * (RFC 5246, 6.2.3.2; RFC 7366), or both in one (RFC 5116; RFC 8446, 5.2).
 */
#include "explain/readonly_parts.h"
#include "explain/stories.h"
#include "tls/hello.h"
#include "tls/prf12.h"
#include "tls/record.h"
#include "tls/schedule13.h"

#include <openssl/rand.h>

#define CBC_SUITE  "ECDHE-RSA-AES128-SHA256"
#define CBC_MAC    32 /* octets of HMAC-SHA-256 behind the ciphertext, with encrypt-then-MAC */
#define TRUE_TEXT  "transfer 100 to alice"
#define FALSE_TEXT "transfer 999 to mallory"

static const struct lab_setup tls13 = {.version = TLS_VERSION_13, .suites = READONLY_SUITE13, .groups = "X25519"};

bool readonly_keys(struct crypto *crypto, const struct lab_end *end, const char *label, struct traffic_keys *out)
{
	const struct suite *suite = suite_by_name(bytes_str(READONLY_SUITE13));
	struct tls_secret secret = {0};
	bool ok = suite && lab_secret(end, label, 0, &secret) && schedule13_keys(crypto, suite, &secret, out);
	tls_secret_wipe(&secret);
	return ok;
}

struct protect *readonly_protect(struct crypto *crypto, const struct traffic_keys *keys, uint64_t sequence)
{
	const struct protect_setup setup = {.suite = suite_by_name(bytes_str(READONLY_SUITE13)),
		.version = TLS_VERSION_13,
		.keys = keys,
		.sequence = sequence};
	return protect_new(crypto, &setup);
}

bool readonly_seal(struct protect *by, const char *text, uint8_t *room, size_t cap, struct bytes *out)
{
	struct writer w = writer_over(room, cap);
	return protect_seal(by, RECORD_APPLICATION_DATA, bytes_str(text), 0, &w) == PROTECT_OK && writer_done(&w, out);
}

/* Both directions' keys of the TLS 1.2 connection, from the client's key log and the two randoms. */
static bool cbc_keys(struct crypto *crypto, const struct lab_end *client, struct traffic_keys *by_client)
{
	const struct suite *suite = suite_by_name(bytes_str(CBC_SUITE));
	struct tls_secret master = {0};
	struct traffic_keys by_server = {0};
	uint8_t random[2][HELLO_RANDOM];
	(void)SSL_get_client_random(lab_ssl(client), random[0], HELLO_RANDOM);
	(void)SSL_get_server_random(lab_ssl(client), random[1], HELLO_RANDOM);
	bool ok = suite && lab_secret(client, "CLIENT_RANDOM", 0, &master) &&
	          prf12_keys(crypto, suite, tls_secret_bytes(&master), bytes_of(random[0], HELLO_RANDOM),
			  bytes_of(random[1], HELLO_RANDOM), by_client, &by_server);
	tls_secret_wipe(&master);
	traffic_keys_wipe(&by_server);
	return ok;
}

/* What the reader does without the MAC key: it takes the MAC off, unchecked, and deciphers. Padding stays on. */
static bool cbc_read(const uint8_t key[SHAPE_MAX_KEY], struct bytes octets, const char *text)
{
	struct record record;
	struct bytes iv, sealed;
	uint8_t plain[256];
	int len = 0;
	EVP_CIPHER_CTX *ctx = EVP_CIPHER_CTX_new();
	bool ok = ctx && record_read(&octets, &record) == RECORD_OK &&
	          bytes_take(&record.fragment, READONLY_BLOCK, &iv) && record.fragment.len > CBC_MAC &&
	          record.fragment.len <= sizeof(plain) &&
	          bytes_take(&record.fragment, record.fragment.len - CBC_MAC, &sealed) &&
	          EVP_DecryptInit_ex2(ctx, EVP_aes_128_cbc(), key, iv.data, NULL) == 1 &&
	          EVP_CIPHER_CTX_set_padding(ctx, 0) == 1 &&
	          EVP_DecryptUpdate(ctx, plain, &len, sealed.data, (int)sealed.len) == 1 &&
	          bytes_starts(bytes_of(plain, (size_t)len), bytes_str(text));
	EVP_CIPHER_CTX_free(ctx);
	return ok;
}

/* A record sealed with the true cipher key and, where the reader was not given it, a MAC key that is guessed. */
static bool cbc_forge(
	struct crypto *crypto, struct traffic_keys keys, bool with_mac, uint8_t *room, size_t cap, struct bytes *out)
{
	struct protect_setup setup = {.suite = suite_by_name(bytes_str(CBC_SUITE)),
		.version = TLS_VERSION_12,
		.encrypt_then_mac = true,
		.keys = &keys,
		.sequence = 2};
	if (!with_mac)
		memset(keys.mac, 0, sizeof(keys.mac));
	struct protect *by = protect_new(crypto, &setup);
	bool ok = by && readonly_seal(by, FALSE_TEXT, room, cap, out);
	protect_free(by);
	traffic_keys_wipe(&keys);
	return ok;
}

static bool tell_cbc(
	struct crypto *crypto, struct story *story, struct lab_end *client, struct lab_end *server, bool with_mac)
{
	struct buffer tap = {.cap = LAB_STREAM};
	struct traffic_keys keys = {0};
	uint8_t room[512];
	struct bytes forged = BYTES_NONE;
	bool ok = cbc_keys(crypto, client, &keys) && lab_says(client, server, TRUE_TEXT, &tap);
	bool reads = ok && cbc_read(keys.key, buffer_bytes(&tap), TRUE_TEXT);
	bool sent = ok && cbc_forge(crypto, keys, with_mac, room, sizeof(room), &forged) && lab_give(server, forged);
	bool accepted = sent && lab_reads(server, bytes_str(FALSE_TEXT));
	story_row(story, with_mac ? "cbc-both-keys" : "cbc-mac-key-withheld",
		with_mac ? "TLS 1.2, AES-CBC and HMAC: the reader has both keys"
			 : "The same, and the reader has the cipher key, not the MAC key");
	story_flag(story, "reads", "the reader reads", reads);
	story_flag(story, "forges", "the receiver accepts what the reader made", accepted);
	if (!with_mac)
		story_words(story, "fault", "the receiver says", lab_fault(server));
	story_held(story, ok && sent && reads && accepted == with_mac && !lab_fault(server)[0] == with_mac, "%s",
		with_mac
			? "For comparison: with all that an endpoint has, the reader writes as the endpoint does. The "
			  "record below is made in just this way, but for one key."
			: "Cipher and MAC have keys of their own here, so one can be given away without the other. "
			  "What the reader writes deciphers well and fails the MAC. There is a price: the reader, too, "
			  "cannot tell whether what it reads is genuine. And this is history: TLS 1.3 has no such "
			  "suites, and CBC in TLS 1.2 is being turned off.");
	traffic_keys_wipe(&keys);
	buffer_clear(&tap);
	return ok;
}

static bool cbc(const struct lab *lab, struct crypto *crypto, bool with_mac, struct story *story, struct error *err)
{
	const struct lab_setup setup = {.version = TLS_VERSION_12, .suites = CBC_SUITE};
	struct lab_end *client = lab_client(lab, &setup, err), *server = lab_server(lab, &setup, err);
	bool ok = client && server && lab_join(client, server, NULL, NULL, err) &&
	          (tell_cbc(crypto, story, client, server, with_mac) ||
			  error_set(err, "the TLS 1.2 connection cannot be shown"));
	lab_end_free(client);
	lab_end_free(server);
	return ok;
}

/* Every record of the tap that opens, from the first one on. */
static unsigned opened_of(struct protect *by, struct bytes octets)
{
	struct record record;
	struct opened opened;
	uint8_t room[1024];
	unsigned count = 0;
	while (record_read(&octets, &record) == RECORD_OK && record.fragment.len <= sizeof(room)) {
		if (protect_open(by, &record, room, sizeof(room), &opened) != PROTECT_OK)
			break;
		count += opened.type == RECORD_APPLICATION_DATA && bytes_equal(opened.plaintext, bytes_str(TRUE_TEXT));
	}
	return count;
}

/* Somebody on the path who was given nothing: a key is guessed. */
static bool tell_no_key(struct crypto *crypto, struct story *story, struct lab_end *client, struct lab_end *server)
{
	struct buffer tap = {.cap = LAB_STREAM};
	struct traffic_keys keys = {0};
	uint8_t room[512];
	struct bytes forged = BYTES_NONE;
	bool ok = lab_says(client, server, TRUE_TEXT, &tap) && RAND_bytes(keys.key, sizeof(keys.key)) == 1 &&
	          RAND_bytes(keys.iv, sizeof(keys.iv)) == 1;
	struct protect *reading = ok ? readonly_protect(crypto, &keys, 0) : NULL;
	struct protect *writing = ok ? readonly_protect(crypto, &keys, 1) : NULL;
	unsigned read = reading ? opened_of(reading, buffer_bytes(&tap)) : 0;
	bool sent =
		writing && readonly_seal(writing, FALSE_TEXT, room, sizeof(room), &forged) && lab_give(server, forged);
	bool accepted = sent && lab_reads(server, bytes_str(FALSE_TEXT));
	story_row(story, "aead-no-key", "TLS 1.3, AES-GCM: somebody on the path without a key");
	story_flag(story, "reads", "the reader reads", read > 0);
	story_flag(story, "forges", "the receiver accepts what the reader made", accepted);
	story_words(story, "fault", "the receiver says", lab_fault(server));
	story_held(story, ok && sent && read == 0 && !accepted && lab_fault(server)[0],
		"For comparison: what TLS promises against those who were given nothing. A forged record ends the "
		"connection.");
	protect_free(reading);
	protect_free(writing);
	buffer_clear(&tap);
	return ok && sent;
}

static bool tell_aead(struct crypto *crypto, struct story *story, struct lab_end *client, struct lab_end *server)
{
	struct traffic_keys keys = {0};
	uint8_t room[512];
	struct bytes forged = BYTES_NONE;
	struct buffer tap = {.cap = LAB_STREAM};
	bool ok = readonly_keys(crypto, client, "CLIENT_TRAFFIC_SECRET_0", &keys) &&
	          lab_says(client, server, TRUE_TEXT, &tap);
	struct protect *by = ok ? readonly_protect(crypto, &keys, 0) : NULL;
	/* It reads what the client said first, and goes on with the number behind it. */
	bool reads = by && opened_of(by, buffer_bytes(&tap)) == 1;
	bool sent = by && readonly_seal(by, FALSE_TEXT, room, sizeof(room), &forged) && lab_give(server, forged);
	bool accepted = sent && lab_reads(server, bytes_str(FALSE_TEXT));
	/* The client knows nothing of it and uses the number that is taken. */
	bool next = lab_says(client, server, TRUE_TEXT, NULL);
	story_row(story, "aead-key-given", "The same, and the reader has the record key");
	story_flag(story, "reads", "the reader reads", reads);
	story_flag(story, "forges", "the receiver accepts what the reader made", accepted);
	story_flag(story, "next_accepted", "the client's own next record is accepted after that", next);
	story_words(story, "fault", "the receiver says", lab_fault(server));
	story_held(story, ok && reads && accepted && !next,
		"An AEAD has one key for both. Who can open a record can make one, and the receiver takes it for the "
		"client's. It "
		"shows afterwards, if the reader does not hold back the client's own records: their numbers are taken. "
		"While a key "
		"is in use, giving it to somebody is giving the right to write, whatever was agreed on.");
	protect_free(by);
	traffic_keys_wipe(&keys);
	buffer_clear(&tap);
	return ok && sent;
}

/* Two records are read; then the key is rotated out, or is not; and only then given away. */
static bool tell_late(
	struct crypto *crypto, struct story *story, struct lab_end *client, struct lab_end *server, bool rotated)
{
	struct buffer tap = {.cap = LAB_STREAM};
	struct traffic_keys keys = {0};
	uint8_t room[512];
	struct bytes forged = BYTES_NONE;
	bool ok = true;
	for (unsigned i = 0; i < 2; i++)
		ok = ok && lab_says(client, server, TRUE_TEXT, &tap);
	if (rotated)
		ok = ok && SSL_key_update(lab_ssl(client), SSL_KEY_UPDATE_NOT_REQUESTED) == 1 &&
		     lab_says(client, server, TRUE_TEXT, NULL);
	ok = ok && readonly_keys(crypto, client, "CLIENT_TRAFFIC_SECRET_0", &keys);
	struct protect *reading = ok ? readonly_protect(crypto, &keys, 0) : NULL;
	/* The numbers begin anew with the new key, under which one record was read since. */
	struct protect *writing = ok ? readonly_protect(crypto, &keys, rotated ? 1 : 2) : NULL;
	unsigned read = reading ? opened_of(reading, buffer_bytes(&tap)) : 0;
	bool sent =
		writing && readonly_seal(writing, FALSE_TEXT, room, sizeof(room), &forged) && lab_give(server, forged);
	bool accepted = sent && lab_reads(server, bytes_str(FALSE_TEXT));
	story_row(story, rotated ? "aead-released-after-rotation" : "aead-released-before-rotation",
		rotated ? "The same, and the key is given away after it was rotated out"
			: "TLS 1.3, AES-GCM: the key is given away after two records, while it is in use");
	story_number(story, "records_read", "records of the key that the reader reads, of two", read);
	story_flag(story, "forges", "the receiver accepts what the reader made", accepted);
	if (rotated)
		story_words(story, "fault", "the receiver says", lab_fault(server));
	story_held(story, ok && sent && read == 2 && accepted == !rotated && !lab_fault(server)[0] == !rotated, "%s",
		rotated ? "After KeyUpdate the receiver opens records with the next key only, which does not follow "
			  "from the old one: the reader holds a record key, and the next comes from the secret above "
			  "it. "
			  "So all of the past can be read and nothing of the future be written. It costs delay: "
			  "reading "
			  "comes after rotation. Grants have a mode for it, after-rotation."
			: "For comparison: waiting alone does not take the pen away. The record below is made in just "
			  "this way, with the same key, after one KeyUpdate.");
	protect_free(reading);
	protect_free(writing);
	traffic_keys_wipe(&keys);
	buffer_clear(&tap);
	return ok && sent;
}

/* One row, of a TLS 1.3 connection of its own. */
static bool show(const struct lab *lab, struct crypto *crypto, struct story *story, struct error *err,
	bool (*run)(struct crypto *crypto, struct story *story, struct lab_end *client, struct lab_end *server))
{
	struct lab_end *client = lab_client(lab, &tls13, err), *server = lab_server(lab, &tls13, err);
	bool ok = client && server && lab_join(client, server, NULL, NULL, err) &&
	          (run(crypto, story, client, server) || error_set(err, "the TLS 1.3 connection cannot be shown"));
	lab_end_free(client);
	lab_end_free(server);
	return ok;
}

static bool tell_before(struct crypto *crypto, struct story *story, struct lab_end *client, struct lab_end *server)
{
	return tell_late(crypto, story, client, server, false);
}

static bool tell_after(struct crypto *crypto, struct story *story, struct lab_end *client, struct lab_end *server)
{
	return tell_late(crypto, story, client, server, true);
}

/* What the rows below show, in short. */
static void draw(struct story *story)
{
	story_figure(story, "Who holds which key, and who can write",
		(const char *const[]){"sender", "reader", "receiver", NULL});
	story_mark(story, 0, false, "two keys: cipher C, MAC M");
	story_arrow(story, 0, 1, "C", "opens records; M stays with the ends");
	story_arrow(story, 1, 2, "a record: C, M guessed", "refused: the MAC is wrong");
	story_mark(story, 0, false, "one key: AEAD K");
	story_arrow(story, 0, 1, "K, in use", "opens records, and makes them");
	story_arrow(story, 1, 2, "a record under K", "accepted as the sender's");
	story_mark(story, 1, true, "can write");
	story_arrow(story, 0, 2, "KeyUpdate", "from here on, both have the next key");
	story_arrow(story, 0, 1, "K, rotated out", "opens the records of the past");
	story_arrow(story, 1, 2, "a record under K", "refused: it opens under the next key alone");
}

static bool tell(const struct lab *lab, struct crypto *crypto, struct story *story, struct error *err)
{
	story_say(story, "To let somebody read and not write sounds like a matter of rights. On the wire it is a "
			 "matter of keys: "
			 "whether there is one that opens records and does not make them. Client and server below are "
			 "the OpenSSL of "
			 "this machine, unchanged, inside this program; the reader gets from an endpoint just the keys "
			 "that are named. Each thing that cannot be done stands beside one that can, made in the same "
			 "way: so it is the missing key, and nothing else, that stops it.");
	draw(story);
	story_chapter(story, "Two keys: cipher and MAC");
	if (!cbc(lab, crypto, true, story, err) || !cbc(lab, crypto, false, story, err))
		return false;
	story_chapter(story, "One key: AEAD");
	if (!show(lab, crypto, story, err, tell_no_key) || !show(lab, crypto, story, err, tell_aead))
		return false;
	story_chapter(story, "Editing inside one session");
	if (!readonly_two_sessions(lab, story, err) || !readonly_nonce(lab, story, err))
		return false;
	story_chapter(story, "Keys of the past");
	if (!show(lab, crypto, story, err, tell_before) || !show(lab, crypto, story, err, tell_after))
		return false;
	story_chapter(story, "What follows");
	story_say(story, "With the ciphers of today a reader who may not write must come after the fact: the key is "
			 "released once it is "
			 "no longer in use. Who must read in time can write, and is to be trusted with that or watched "
			 "by both ends. "
			 "And who must write should hold two connections, not edit inside one.");
	story_command(story, "overt explain readonly --html readonly.html");
	return true;
}

bool explain_readonly(const struct explain_options *options, struct story *story, struct error *err)
{
	(void)options;
	struct lab *lab = lab_new(err);
	struct crypto *crypto = lab ? crypto_new() : NULL;
	if (lab && !crypto)
		error_set(err, "no memory");
	bool ok = crypto && tell(lab, crypto, story, err);
	crypto_free(crypto);
	lab_free(lab);
	return ok;
}
