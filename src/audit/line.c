#include "audit/line.h"

#include "base/clock.h"
#include "base/text.h"

#include <inttypes.h>
#include <openssl/evp.h>
#include <stdio.h>
#include <time.h>

static const char label[] = "overt audit line 1";
static const char hash_key[] = "\",\"hash\":\"";
static const char prev_key[] = ",\"prev\":\"";

#define HEX ((size_t)2 * AUDIT_HASH)
/* What follows the fields: ,"prev":"64","hash":"64"} */
#define TAIL (sizeof(prev_key) - 1 + HEX + sizeof(hash_key) - 1 + HEX + 2)

static bool line_hash(struct bytes text, uint8_t out[AUDIT_HASH])
{
	EVP_MD_CTX *ctx = EVP_MD_CTX_new();
	bool good = ctx && EVP_DigestInit_ex(ctx, EVP_sha256(), NULL) == 1 &&
	            EVP_DigestUpdate(ctx, label, sizeof(label)) == 1 && /* with its 0x00 */
	            EVP_DigestUpdate(ctx, text.data, text.len) == 1 && EVP_DigestFinal_ex(ctx, out, NULL) == 1;
	EVP_MD_CTX_free(ctx);
	return good;
}

static void put(struct writer *w, const char *text)
{
	writer_bytes(w, bytes_str(text));
}

static void put_hex(struct writer *w, const uint8_t *octets, size_t len)
{
	char hex[HEX + 1];
	text_hex(hex, sizeof(hex), bytes_of(octets, len));
	put(w, hex);
}

void audit_json_text(struct writer *w, struct bytes clean)
{
	for (size_t i = 0; i < clean.len; i++) {
		if (clean.data[i] == '"' || clean.data[i] == '\\')
			writer_u8(w, '\\');
		writer_u8(w, clean.data[i]);
	}
}

static void put_opening(struct writer *w, uint64_t seq, uint64_t wall_ns, enum audit_kind kind)
{
	time_t seconds = (time_t)(wall_ns / NS_PER_S);
	struct tm utc = {0};
	gmtime_r(&seconds, &utc);
	char date[32];
	strftime(date, sizeof(date), "%Y-%m-%dT%H:%M:%S", &utc);
	char text[160];
	snprintf(text, sizeof(text), "{\"seq\":%" PRIu64 ",\"time\":\"%s.%03uZ\",\"kind\":\"%s\"", seq, date,
		(unsigned)(wall_ns / NS_PER_MS % 1000), audit_kind_name(kind));
	put(w, text);
}

static void put_field(struct writer *w, const struct audit_field *field, const uint8_t *commitment)
{
	put(w, ",\"");
	put(w, field->key);
	if (field->type == AUDIT_NUMBER) {
		char number[32];
		snprintf(number, sizeof(number), "\":%" PRIu64, field->number);
		put(w, number);
		return;
	}
	put(w, "\":\"");
	if (field->type == AUDIT_COMMIT) {
		put_hex(w, commitment, AUDIT_COMMIT_LEN);
	} else {
		char clean[AUDIT_TEXT_MAX];
		size_t len = text_clean(clean, sizeof(clean), field->text);
		audit_json_text(w, bytes_of(clean, len));
	}
	put(w, "\"");
}

bool audit_line_write(struct writer *w, const struct audit_entry *entry, const uint8_t commitments[][AUDIT_COMMIT_LEN],
	uint64_t wall_ns, struct audit_place *at)
{
	size_t start = w->len;
	size_t commits = 0;
	put_opening(w, at->seq + 1, wall_ns, entry->kind);
	for (size_t i = 0; i < entry->count; i++) {
		const uint8_t *commitment = NULL;
		if (entry->fields[i].type == AUDIT_COMMIT)
			commitment = commitments[commits++];
		put_field(w, &entry->fields[i], commitment);
	}
	put(w, prev_key);
	put_hex(w, at->hash, sizeof(at->hash));
	/* The quote that ends prev is hashed, so the hash covers all before ,"hash". */
	writer_u8(w, '"');
	uint8_t hash[AUDIT_HASH];
	if (w->full || !line_hash(bytes_of(w->data + start, w->len - start), hash))
		return false;
	put(w, hash_key + 1);
	put_hex(w, hash, sizeof(hash));
	put(w, "\"}\n");
	if (w->full)
		return false;
	at->seq++;
	at->offset += w->len - start;
	memcpy(at->hash, hash, sizeof(hash));
	return true;
}

static bool take_hash(struct bytes *in, uint8_t out[AUDIT_HASH])
{
	struct bytes hex;
	size_t len;
	if (!bytes_take(in, HEX, &hex))
		return false;
	/* Upper-case digits would be the same hash under other octets. */
	for (size_t i = 0; i < hex.len; i++) {
		if (hex.data[i] >= 'A' && hex.data[i] <= 'F')
			return false;
	}
	return text_unhex(out, AUDIT_HASH, &len, hex);
}

static bool take_text(struct bytes *in, const char *text)
{
	return bytes_starts(*in, bytes_str(text)) && bytes_skip(in, strlen(text));
}

struct tail {
	uint8_t prev[AUDIT_HASH], hash[AUDIT_HASH];
};

static bool read_tail(struct bytes line, struct bytes *hashed, struct tail *tail)
{
	struct bytes fields;
	struct bytes rest = line;
	if (line.len < TAIL || !bytes_take(&rest, line.len - TAIL, &fields))
		return false;
	*hashed = bytes_of(line.data, fields.len + sizeof(prev_key) - 1 + HEX + 1);
	return take_text(&rest, prev_key) && take_hash(&rest, tail->prev) && take_text(&rest, hash_key) &&
	       take_hash(&rest, tail->hash) && take_text(&rest, "\"}") && rest.len == 0;
}

static bool read_seq(struct bytes line, uint64_t *seq)
{
	struct bytes digits;
	if (!take_text(&line, "{\"seq\":"))
		return false;
	size_t end = bytes_find(line, ',', 0);
	return bytes_take(&line, end, &digits) && text_number(digits, UINT64_MAX, seq);
}

enum audit_verdict audit_line_check(struct bytes line, struct audit_place *at)
{
	struct bytes hashed;
	struct tail tail;
	uint64_t seq;
	uint8_t hash[AUDIT_HASH];
	if (!read_tail(line, &hashed, &tail) || !read_seq(line, &seq) || !line_hash(hashed, hash))
		return AUDIT_ALTERED;
	if (!bytes_equal(bytes_of(hash, sizeof(hash)), bytes_of(tail.hash, sizeof(tail.hash))))
		return AUDIT_ALTERED;
	if (seq > at->seq + 1)
		return AUDIT_MISSING;
	if (seq != at->seq + 1 ||
		!bytes_equal(bytes_of(tail.prev, sizeof(tail.prev)), bytes_of(at->hash, sizeof(at->hash))))
		return AUDIT_ALTERED;
	at->seq = seq;
	at->offset += line.len + 1;
	memcpy(at->hash, hash, sizeof(hash));
	return AUDIT_INTACT;
}
