#include "accord/body.h"

#define HOP_LEN (ACCORD_HASH + ACCORD_NONCE + 1)

const char *accord_body_text(enum accord_body_result result)
{
	static const char *const texts[] = {
		[ACCORD_BODY_OK] = "well formed",
		[ACCORD_BODY_UNKNOWN] = "a kind or version that is not known here",
		[ACCORD_BODY_TRUNCATED] = "a field reaches past the end",
		[ACCORD_BODY_TRAILING] = "octets after the last field",
		[ACCORD_BODY_HASH_LENGTH] = "a hash that is neither empty nor of 32 octets",
		[ACCORD_BODY_ROLE] = "a role that has no meaning",
		[ACCORD_BODY_HOPS] = "no hop, or more than four",
		[ACCORD_BODY_EMPTY] = "something empty that must not be",
		[ACCORD_BODY_VALUE] = "a verdict that is neither accept nor refuse",
		[ACCORD_BODY_TOO_LONG] = "a proof over 48 KiB",
		[ACCORD_BODY_DUPLICATE] = "two bodies of one kind",
		[ACCORD_BODY_MISPLACED] = "a kind that has no place there",
	};
	return texts[result];
}

const char *accord_kind_name(uint8_t kind)
{
	static const char *const names[] = {
		[ACCORD_OFFER] = "offer",
		[ACCORD_INTRODUCTION] = "introduction",
		[ACCORD_VERDICT] = "verdict",
		[ACCORD_PROOF] = "proof",
		[ACCORD_DEMAND] = "demand",
		[ACCORD_APPROVAL] = "approval",
		[ACCORD_SEALED] = "sealed",
	};
	return kind < sizeof(names) / sizeof(names[0]) ? names[kind] : NULL;
}

const char *accord_role_name(uint8_t role)
{
	return role == ACCORD_READER ? "reader" : role == ACCORD_WRITER ? "writer" : NULL;
}

/* Kind and version, which every body begins with. */
static enum accord_body_result read_head(struct bytes *in, enum accord_kind wanted)
{
	uint8_t kind;
	uint8_t version;
	if (!bytes_u8(in, &kind) || !bytes_u8(in, &version))
		return ACCORD_BODY_TRUNCATED;
	return kind == wanted && version == ACCORD_VERSION ? ACCORD_BODY_OK : ACCORD_BODY_UNKNOWN;
}

static void write_head(struct writer *w, enum accord_kind kind)
{
	writer_u8(w, (uint8_t)kind);
	writer_u8(w, ACCORD_VERSION);
}

/* 32 octets into an array of that size: every nonce and every hash. */
static bool read_32(struct bytes *in, uint8_t out[32])
{
	struct bytes octets;
	if (!bytes_take(in, 32, &octets))
		return false;
	memcpy(out, octets.data, 32);
	return true;
}

/* opaque hash<0..32>, of which only the two ends are allowed. */
static enum accord_body_result read_hash(struct bytes *in, bool *has, uint8_t out[ACCORD_HASH])
{
	struct bytes hash;
	if (!bytes_vec8(in, &hash))
		return ACCORD_BODY_TRUNCATED;
	*has = hash.len > 0;
	if (*has && !(hash.len == ACCORD_HASH && read_32(&hash, out)))
		return ACCORD_BODY_HASH_LENGTH;
	return ACCORD_BODY_OK;
}

static void write_hash(struct writer *w, bool has, const uint8_t hash[ACCORD_HASH])
{
	writer_vec8(w, bytes_of(hash, has ? ACCORD_HASH : 0));
}

static enum accord_body_result at_end(struct bytes in)
{
	return in.len == 0 ? ACCORD_BODY_OK : ACCORD_BODY_TRAILING;
}

enum accord_body_result accord_offer_read(struct bytes body, struct accord_offer *out)
{
	*out = (struct accord_offer){0};
	enum accord_body_result result = read_head(&body, ACCORD_OFFER);
	if (result != ACCORD_BODY_OK)
		return result;
	if (!read_32(&body, out->client_nonce) || !bytes_u8(&body, &out->accepted_roles))
		return ACCORD_BODY_TRUNCATED;
	if ((out->accepted_roles & ~ACCORD_ANY_ROLE) != 0)
		return ACCORD_BODY_ROLE;
	result = read_hash(&body, &out->has_approval, out->approval_hash);
	return result != ACCORD_BODY_OK ? result : at_end(body);
}

void accord_offer_write(struct writer *w, const struct accord_offer *offer)
{
	write_head(w, ACCORD_OFFER);
	writer_bytes(w, bytes_of(offer->client_nonce, ACCORD_NONCE));
	writer_u8(w, offer->accepted_roles);
	write_hash(w, offer->has_approval, offer->approval_hash);
	w->full |= (offer->accepted_roles & ~ACCORD_ANY_ROLE) != 0;
}

static enum accord_body_result read_hops(struct bytes list, struct accord_introduction *out)
{
	if (list.len == 0 || list.len > (size_t)ACCORD_MAX_HOPS * HOP_LEN)
		return ACCORD_BODY_HOPS;
	while (list.len > 0) {
		struct accord_hop *hop = &out->hop[out->hops];
		if (!read_32(&list, hop->leaf_hash) || !read_32(&list, hop->proxy_nonce) ||
			!bytes_u8(&list, &hop->role))
			return ACCORD_BODY_TRUNCATED;
		if (!accord_role_name(hop->role))
			return ACCORD_BODY_ROLE;
		out->hops++;
	}
	return ACCORD_BODY_OK;
}

enum accord_body_result accord_introduction_read(struct bytes body, struct accord_introduction *out)
{
	*out = (struct accord_introduction){0};
	struct bytes list;
	enum accord_body_result result = read_head(&body, ACCORD_INTRODUCTION);
	if (result != ACCORD_BODY_OK)
		return result;
	if (!read_32(&body, out->client_nonce) || !bytes_vec16(&body, &list))
		return ACCORD_BODY_TRUNCATED;
	result = read_hops(list, out);
	if (result != ACCORD_BODY_OK)
		return result;
	result = read_hash(&body, &out->has_approval, out->approval_hash);
	if (result != ACCORD_BODY_OK)
		return result;
	return bytes_u8(&body, &out->purpose_code) ? at_end(body) : ACCORD_BODY_TRUNCATED;
}

void accord_introduction_write(struct writer *w, const struct accord_introduction *introduction)
{
	if (introduction->hops == 0 || introduction->hops > ACCORD_MAX_HOPS) {
		w->full = true;
		return;
	}
	write_head(w, ACCORD_INTRODUCTION);
	writer_bytes(w, bytes_of(introduction->client_nonce, ACCORD_NONCE));
	size_t mark = writer_open(w, 2);
	for (size_t i = 0; i < introduction->hops; i++) {
		const struct accord_hop *hop = &introduction->hop[i];
		writer_bytes(w, bytes_of(hop->leaf_hash, ACCORD_HASH));
		writer_bytes(w, bytes_of(hop->proxy_nonce, ACCORD_NONCE));
		writer_u8(w, hop->role);
		w->full |= !accord_role_name(hop->role);
	}
	writer_close(w, mark, 2);
	write_hash(w, introduction->has_approval, introduction->approval_hash);
	writer_u8(w, introduction->purpose_code);
}

enum accord_body_result accord_verdict_read(struct bytes body, struct accord_verdict *out)
{
	*out = (struct accord_verdict){0};
	enum accord_body_result result = read_head(&body, ACCORD_VERDICT);
	if (result != ACCORD_BODY_OK)
		return result;
	if (!bytes_u8(&body, &out->decision) || !read_32(&body, out->server_nonce) ||
		!bytes_vec8(&body, &out->statement))
		return ACCORD_BODY_TRUNCATED;
	if (out->decision != ACCORD_ACCEPT && out->decision != ACCORD_REFUSE)
		return ACCORD_BODY_VALUE;
	return at_end(body);
}

void accord_verdict_write(struct writer *w, const struct accord_verdict *verdict)
{
	write_head(w, ACCORD_VERDICT);
	writer_u8(w, verdict->decision);
	writer_bytes(w, bytes_of(verdict->server_nonce, ACCORD_NONCE));
	writer_vec8(w, verdict->statement);
	w->full |= verdict->decision != ACCORD_ACCEPT && verdict->decision != ACCORD_REFUSE;
}

/* Blind and introduction are both there or both not. */
static bool opening_ok(const struct accord_proof *proof)
{
	return proof->introduction.len == 0 ? proof->blind.len == 0 : proof->blind.len == ACCORD_HASH;
}

enum accord_body_result accord_proof_read(struct bytes body, struct accord_proof *out)
{
	*out = (struct accord_proof){0};
	if (body.len > ACCORD_MAX_PROOF)
		return ACCORD_BODY_TOO_LONG;
	enum accord_body_result result = read_head(&body, ACCORD_PROOF);
	if (result != ACCORD_BODY_OK)
		return result;
	if (!bytes_vec8(&body, &out->purpose) || !bytes_vec8(&body, &out->blind) ||
		!bytes_vec16(&body, &out->introduction) || !bytes_vec16(&body, &out->transcript))
		return ACCORD_BODY_TRUNCATED;
	if (!opening_ok(out))
		return ACCORD_BODY_HASH_LENGTH;
	if (out->transcript.len == 0)
		return ACCORD_BODY_EMPTY;
	return at_end(body);
}

void accord_proof_write(struct writer *w, const struct accord_proof *proof)
{
	size_t before = w->len;
	write_head(w, ACCORD_PROOF);
	writer_vec8(w, proof->purpose);
	writer_vec8(w, proof->blind);
	writer_vec16(w, proof->introduction);
	writer_vec16(w, proof->transcript);
	w->full |= !opening_ok(proof) || proof->transcript.len == 0 || w->len - before > ACCORD_MAX_PROOF;
}

enum accord_body_result accord_demand_read(struct bytes body)
{
	enum accord_body_result result = read_head(&body, ACCORD_DEMAND);
	return result != ACCORD_BODY_OK ? result : at_end(body);
}

void accord_demand_write(struct writer *w)
{
	write_head(w, ACCORD_DEMAND);
}

enum accord_body_result accord_approval_read(struct bytes body, struct accord_approval *out)
{
	*out = (struct accord_approval){0};
	enum accord_body_result result = read_head(&body, ACCORD_APPROVAL);
	if (result != ACCORD_BODY_OK)
		return result;
	if (!bytes_vec8(&body, &out->key) || !bytes_u16(&body, &out->scheme) || !bytes_vec16(&body, &out->signature))
		return ACCORD_BODY_TRUNCATED;
	if (out->key.len == 0 || out->signature.len == 0)
		return ACCORD_BODY_EMPTY;
	return at_end(body);
}

void accord_approval_write(struct writer *w, const struct accord_approval *approval)
{
	write_head(w, ACCORD_APPROVAL);
	writer_vec8(w, approval->key);
	writer_u16(w, approval->scheme);
	writer_vec16(w, approval->signature);
	w->full |= approval->key.len == 0 || approval->signature.len == 0;
}

enum accord_body_result accord_sealed_read(struct bytes body, struct accord_sealed *out)
{
	*out = (struct accord_sealed){0};
	enum accord_body_result result = read_head(&body, ACCORD_SEALED);
	if (result != ACCORD_BODY_OK)
		return result;
	return read_32(&body, out->commitment) ? at_end(body) : ACCORD_BODY_TRUNCATED;
}

void accord_sealed_write(struct writer *w, const struct accord_sealed *sealed)
{
	write_head(w, ACCORD_SEALED);
	writer_bytes(w, bytes_of(sealed->commitment, ACCORD_HASH));
}

/* Reads one body of a list where it is of our version, and keeps it where it has a place in a ClientHello. */
static enum accord_body_result take_body(uint8_t kind, struct bytes body, struct accord_list *out)
{
	struct accord_offer offer;
	struct accord_introduction introduction;
	struct accord_sealed sealed;
	switch (kind) {
	case ACCORD_OFFER:
		out->offer = body;
		return accord_offer_read(body, &offer);
	case ACCORD_INTRODUCTION:
		out->introduction = body;
		return accord_introduction_read(body, &introduction);
	case ACCORD_SEALED:
		out->sealed = body;
		return accord_sealed_read(body, &sealed);
	default:
		return accord_kind_name(kind) ? ACCORD_BODY_MISPLACED : ACCORD_BODY_OK;
	}
}

enum accord_body_result accord_list_read(struct bytes data, struct accord_list *out)
{
	bool seen[256] = {false};
	*out = (struct accord_list){0};
	if (data.len == 0)
		return ACCORD_BODY_EMPTY;
	while (data.len > 0) {
		struct bytes body;
		uint8_t kind;
		uint8_t version;
		if (!bytes_vec16(&data, &body))
			return ACCORD_BODY_TRUNCATED;
		struct bytes head = body;
		if (head.len == 0)
			return ACCORD_BODY_EMPTY;
		if (!bytes_u8(&head, &kind) || !bytes_u8(&head, &version))
			return ACCORD_BODY_TRUNCATED;
		if (seen[kind])
			return ACCORD_BODY_DUPLICATE;
		seen[kind] = true;
		enum accord_body_result result =
			version == ACCORD_VERSION ? take_body(kind, body, out) : ACCORD_BODY_OK;
		if (result != ACCORD_BODY_OK)
			return result;
	}
	return out->introduction.len > 0 && out->sealed.len > 0 ? ACCORD_BODY_MISPLACED : ACCORD_BODY_OK;
}

void accord_list_write(struct writer *w, const struct accord_list *list)
{
	const struct bytes bodies[] = {list->offer, list->introduction, list->sealed};
	for (size_t i = 0; i < sizeof(bodies) / sizeof(bodies[0]); i++) {
		if (bodies[i].len > 0)
			writer_vec16(w, bodies[i]);
	}
}
