#include "keys/share_offer.h"

#define VERSION 1
#define LABEL   "overt share id 1" /* its NUL is part of what is hashed */
#define MODES   (SHARE_LIVE | SHARE_AFTER_ROTATION)

const char *share_refusal_text(unsigned refusal)
{
	static const char *const texts[SHARE_REFUSALS] = {
		[SHARE_AGREED] = "both sides agree",
		[SHARE_OFFERS_NONE] = "no reader is granted this name here",
		[SHARE_NO_NOTICE] = "the server discloses no reader",
		[SHARE_NOTICE_FORM] = "what the server discloses cannot be read",
		[SHARE_NOTICE_MODE] = "the server discloses a mode that was not offered",
		[SHARE_NOTICE_READER] = "the server discloses a reader who was not offered",
		[SHARE_NOTICE_READER_MODE] = "the server discloses a reader in a mode that was not offered for it",
		[SHARE_NO_OFFER] = "the client does not offer to share",
		[SHARE_OFFER_EMPTY] = "the client lets nobody read",
		[SHARE_OFFER_FORM] = "what the client offers cannot be read",
		[SHARE_OFFER_OTHERS] = "the client offers none of the readers granted here",
		[SHARE_OFFER_MODE] = "the client offers readers granted here, but in another mode",
		[SHARE_OLD_TLS] = "TLS 1.2 has no place for consent",
		[SHARE_LIBRARY_WITHOUT] = "this TLS library cannot be made to ask for consent",
	};
	return refusal < SHARE_REFUSALS && texts[refusal] ? texts[refusal] : "the cause is not known here";
}

bool share_refusal_has_reader(unsigned refusal)
{
	return refusal == SHARE_NOTICE_READER || refusal == SHARE_NOTICE_READER_MODE;
}

bool share_tag(const struct share_sha256 *sha256, const uint8_t nonce[static SHARE_NONCE], uint8_t mode,
	const uint8_t key_id[static SHARE_KEY_ID], uint8_t out[static SHARE_TAG])
{
	uint8_t room[sizeof(LABEL) + SHARE_NONCE + 1 + SHARE_KEY_ID];
	struct writer to = writer_over(room, sizeof(room));
	writer_bytes(&to, bytes_of(LABEL, sizeof(LABEL)));
	writer_bytes(&to, bytes_of(nonce, SHARE_NONCE));
	writer_u8(&to, mode);
	writer_bytes(&to, bytes_of(key_id, SHARE_KEY_ID));
	return !to.full && sha256->compute(sha256->ctx, bytes_of(room, to.len), out);
}

static bool has(uint64_t set, size_t place)
{
	return (set & share_place(place)) != 0;
}

/* Reading. */

bool share_offer_read(struct bytes in, struct share_offer *out)
{
	uint8_t version;
	return bytes_u8(&in, &version) && version == VERSION && bytes_take(&in, SHARE_NONCE, &out->nonce) &&
	       bytes_u8(&in, &out->modes) && (out->modes & ~MODES) == 0 && bytes_vec16(&in, &out->tags) &&
	       in.len == 0 && out->tags.len % SHARE_TAG == 0 && out->tags.len <= SHARE_READERS_MAX * SHARE_TAG &&
	       (out->modes != 0) == (out->tags.len > 0);
}

bool share_notice_next(struct share_notice *notice, struct share_notice_reader *out)
{
	struct bytes *in = &notice->readers;
	return bytes_take(in, SHARE_KEY_ID, &out->key_id) && bytes_vec8(in, &out->name) && out->name.len > 0 &&
	       bytes_vec8(in, &out->purpose);
}

bool share_notice_read(struct bytes in, struct share_notice *out)
{
	struct share_notice_reader reader;
	uint8_t version;
	size_t count = 0;
	if (!bytes_u8(&in, &version) || version != VERSION || !bytes_u8(&in, &out->mode) ||
		!bytes_vec16(&in, &out->readers) || in.len > 0 ||
		(out->mode != SHARE_LIVE && out->mode != SHARE_AFTER_ROTATION))
		return false;
	struct share_notice rest = *out;
	while (count < SHARE_READERS_MAX && share_notice_next(&rest, &reader))
		count++;
	return count > 0 && rest.readers.len == 0;
}

/* The client. */

bool share_offer_write(const struct share_sha256 *sha256, const struct share_readers *readers, uint64_t offered,
	const uint8_t nonce[static SHARE_NONCE], struct writer *to)
{
	uint8_t modes = 0, tag[SHARE_TAG];
	for (size_t i = 0; i < readers->count; i++)
		modes |= has(offered, i) ? readers->at[i].mode : 0;
	writer_u8(to, VERSION);
	writer_bytes(to, bytes_of(nonce, SHARE_NONCE));
	writer_u8(to, modes);
	size_t mark = writer_open(to, 2);
	for (size_t i = 0; i < readers->count; i++) {
		if (!has(offered, i))
			continue;
		if (!share_tag(sha256, nonce, readers->at[i].mode, readers->at[i].key_id, tag))
			return false;
		writer_bytes(to, bytes_of(tag, sizeof(tag)));
	}
	writer_close(to, mark, 2);
	return !to->full;
}

static struct share_agreement refused(enum share_refusal why)
{
	return (struct share_agreement){.refusal = (uint8_t)why};
}

static struct share_agreement refused_reader(enum share_refusal why, const struct share_notice_reader *reader)
{
	struct share_agreement out = refused(why);
	size_t len = bytes_find(reader->name, 0, 0);
	memcpy(out.key_id, reader->key_id.data, SHARE_KEY_ID);
	memcpy(out.reader, reader->name.data, len < SHARE_READER_MAX ? len : SHARE_READER_MAX);
	return out;
}

/* The places of those who have this key. */
static uint64_t places_of(const struct share_readers *readers, uint64_t among, struct bytes key_id)
{
	uint64_t set = 0;
	for (size_t i = 0; i < readers->count; i++) {
		if (has(among, i) && bytes_equal(bytes_of(readers->at[i].key_id, SHARE_KEY_ID), key_id))
			set |= share_place(i);
	}
	return set;
}

static uint64_t places_in(const struct share_readers *readers, uint64_t among, uint8_t mode)
{
	uint64_t set = 0;
	for (size_t i = 0; i < readers->count; i++) {
		if (has(among, i) && readers->at[i].mode == mode)
			set |= share_place(i);
	}
	return set;
}

struct share_agreement share_notice_check(const struct share_readers *readers, uint64_t offered, struct bytes notice)
{
	struct share_agreement out = {0};
	struct share_notice_reader reader;
	struct share_notice in;
	if (!share_notice_read(notice, &in))
		return refused(SHARE_NOTICE_FORM);
	out.mode = in.mode;
	uint64_t of_mode = places_in(readers, offered, in.mode);
	if (of_mode == 0)
		return refused(SHARE_NOTICE_MODE);
	while (share_notice_next(&in, &reader)) {
		uint64_t meant = places_of(readers, offered, reader.key_id);
		if (meant == 0)
			return refused_reader(SHARE_NOTICE_READER, &reader);
		if ((meant & of_mode) == 0)
			return refused_reader(SHARE_NOTICE_READER_MODE, &reader);
		/* Nobody is named twice. */
		if ((out.readers & meant) != 0)
			return refused(SHARE_NOTICE_FORM);
		out.readers |= meant & of_mode;
	}
	return out;
}

/* The server. */

/* 1 when it is there, 0 when not, -1 when nothing can be hashed. */
static int find_tag(const struct share_sha256 *sha256, const struct share_offer *offer, uint8_t mode,
	const uint8_t key_id[static SHARE_KEY_ID])
{
	struct bytes tags = offer->tags, one;
	uint8_t tag[SHARE_TAG];
	if (!share_tag(sha256, offer->nonce.data, mode, key_id, tag))
		return -1;
	while (bytes_take(&tags, SHARE_TAG, &one)) {
		if (bytes_equal(one, bytes_of(tag, sizeof(tag))))
			return 1;
	}
	return 0;
}

static unsigned count_of(uint64_t set)
{
	return (unsigned)__builtin_popcountll(set);
}

struct share_agreement share_offer_decide(
	const struct share_sha256 *sha256, const struct share_readers *readers, uint64_t own, struct bytes offer)
{
	struct share_offer in;
	uint64_t live = 0, after = 0;
	bool other_mode = false;
	if (!share_offer_read(offer, &in))
		return refused(SHARE_OFFER_FORM);
	if (in.tags.len == 0)
		return refused(SHARE_OFFER_EMPTY);
	for (size_t i = 0; i < readers->count; i++) {
		const struct share_reader *reader = &readers->at[i];
		if (!has(own, i))
			continue;
		int found = find_tag(sha256, &in, reader->mode, reader->key_id);
		if (found > 0)
			*(reader->mode == SHARE_LIVE ? &live : &after) |= share_place(i);
		else if (found == 0)
			other_mode |= find_tag(sha256, &in, MODES ^ reader->mode, reader->key_id) > 0;
	}
	if ((live | after) == 0)
		return refused(other_mode ? SHARE_OFFER_MODE : SHARE_OFFER_OTHERS);
	/* One mode for all: that of most readers, and where it is the same the one that lets nobody forge. */
	bool rotate = count_of(after) >= count_of(live);
	return (struct share_agreement){
		.mode = rotate ? SHARE_AFTER_ROTATION : SHARE_LIVE, .readers = rotate ? after : live};
}

bool share_notice_write(const struct share_readers *readers, const struct share_agreement *agreement, struct writer *to)
{
	if (agreement->refusal != SHARE_AGREED || agreement->readers == 0)
		return false;
	writer_u8(to, VERSION);
	writer_u8(to, agreement->mode);
	size_t mark = writer_open(to, 2);
	for (size_t i = 0; i < readers->count; i++) {
		if (!has(agreement->readers, i))
			continue;
		writer_bytes(to, bytes_of(readers->at[i].key_id, SHARE_KEY_ID));
		writer_vec8(to, readers->at[i].name);
		writer_vec8(to, readers->at[i].purpose);
	}
	writer_close(to, mark, 2);
	return !to->full;
}
