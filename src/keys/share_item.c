#include "keys/share_item.h"

#define VERSION 2

static void write_text(struct writer *to, const char *text, size_t most)
{
	struct bytes octets = bytes_str(text);
	writer_vec8(to, bytes_of(octets.data, octets.len < most ? octets.len : most));
}

static void write_address(struct writer *to, const struct hostport *address)
{
	bool none = hostport_is_none(address);
	writer_vec8(to, bytes_of(address->ip, none ? 0 : sizeof(address->ip)));
	writer_u16(to, address->port);
}

static bool read_address(struct bytes *in, struct hostport *out)
{
	struct bytes ip;
	if (!bytes_vec8(in, &ip) || !bytes_u16(in, &out->port) || (ip.len != 0 && ip.len != sizeof(out->ip)))
		return false;
	if (ip.len > 0)
		memcpy(out->ip, ip.data, ip.len);
	return true;
}

static bool terms_valid(const struct share_terms *terms)
{
	bool both = terms->consent == SHARE_BOTH;
	return (terms->mode == SHARE_LIVE || terms->mode == SHARE_AFTER_ROTATION) &&
	       (both || terms->consent == SHARE_UNILATERAL) && both == (terms->readers != 0) &&
	       (both || (terms->list == 0 && !terms->resumed));
}

static bool write_key(const struct share_item *item, struct writer *to)
{
	struct share_terms terms = item->terms;
	size_t mark = writer_open(to, 1);
	terms.mode = terms.mode ? terms.mode : SHARE_LIVE;
	terms.consent = terms.consent ? terms.consent : SHARE_UNILATERAL;
	if (!terms_valid(&terms) || !record_key_write(&item->key, to))
		return false;
	writer_close(to, mark, 1);
	write_address(to, &item->local);
	write_address(to, &item->peer);
	writer_u8(to, item->server);
	write_text(to, item->name, SHARE_NAME_MAX);
	writer_u8(to, terms.mode);
	writer_u8(to, terms.consent);
	writer_u8(to, terms.resumed);
	writer_u64(to, terms.list);
	writer_u64(to, terms.readers);
	return true;
}

static void write_refused(const struct share_item *item, struct writer *to)
{
	writer_bytes(to, bytes_of(item->key.client_random, KEYLOG_RANDOM));
	writer_u8(to, item->server);
	writer_u8(to, item->cause);
	write_text(to, item->name, SHARE_NAME_MAX);
	writer_bytes(to, bytes_of(item->key_id, sizeof(item->key_id)));
	write_text(to, item->reader, SHARE_READER_MAX);
}

bool share_item_write(const struct share_item *item, struct writer *to)
{
	bool ok = true;
	writer_u8(to, VERSION);
	writer_u8(to, item->kind);
	if (item->kind == SHARE_KEY)
		ok = write_key(item, to);
	else if (item->kind == SHARE_REFUSED)
		write_refused(item, to);
	else
		write_text(to, item->text, SHARE_TEXT_MAX);
	return ok && !to->full;
}

/* `to` has room for `most` octets and a NUL. */
static bool read_text(struct bytes *in, char *to, size_t most)
{
	struct bytes text;
	if (!bytes_vec8(in, &text) || text.len > most)
		return false;
	if (text.len > 0)
		memcpy(to, text.data, text.len);
	to[text.len] = '\0';
	return true;
}

static bool read_flag(struct bytes *in, bool *out)
{
	uint8_t value;
	if (!bytes_u8(in, &value) || value > 1)
		return false;
	*out = value != 0;
	return true;
}

static bool read_key(struct bytes *in, struct share_item *out)
{
	struct share_terms *terms = &out->terms;
	struct bytes key;
	return bytes_vec8(in, &key) && record_key_read(key, &out->key) && read_address(in, &out->local) &&
	       read_address(in, &out->peer) && read_flag(in, &out->server) &&
	       read_text(in, out->name, SHARE_NAME_MAX) && bytes_u8(in, &terms->mode) &&
	       bytes_u8(in, &terms->consent) && read_flag(in, &terms->resumed) && bytes_u64(in, &terms->list) &&
	       bytes_u64(in, &terms->readers) && terms_valid(terms);
}

static bool read_refused(struct bytes *in, struct share_item *out)
{
	struct bytes random, key_id;
	if (!bytes_take(in, KEYLOG_RANDOM, &random) || !read_flag(in, &out->server) || !bytes_u8(in, &out->cause) ||
		!read_text(in, out->name, SHARE_NAME_MAX) || !bytes_take(in, sizeof(out->key_id), &key_id) ||
		!read_text(in, out->reader, SHARE_READER_MAX))
		return false;
	memcpy(out->key.client_random, random.data, random.len);
	memcpy(out->key_id, key_id.data, key_id.len);
	return true;
}

bool share_item_read(struct bytes in, struct share_item *out)
{
	uint8_t version;
	memset(out, 0, sizeof(*out));
	bool ok = bytes_u8(&in, &version) && version == VERSION && bytes_u8(&in, &out->kind) &&
	          out->kind >= SHARE_KEY && out->kind <= SHARE_SAYS;
	if (ok && out->kind == SHARE_KEY)
		ok = read_key(&in, out);
	else if (ok && out->kind == SHARE_REFUSED)
		ok = read_refused(&in, out);
	else if (ok)
		ok = read_text(&in, out->text, SHARE_TEXT_MAX);
	if (ok && in.len == 0)
		return true;
	share_item_wipe(out);
	return false;
}

void share_item_wipe(struct share_item *item)
{
	explicit_bzero(item, sizeof(*item));
}
