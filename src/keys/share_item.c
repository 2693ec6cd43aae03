#include "keys/share_item.h"

#define VERSION 1

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

bool share_item_write(const struct share_item *item, struct writer *to)
{
	writer_u8(to, VERSION);
	writer_u8(to, item->kind);
	if (item->kind == SHARE_KEY) {
		size_t mark = writer_open(to, 1);
		if (!record_key_write(&item->key, to))
			return false;
		writer_close(to, mark, 1);
		write_address(to, &item->local);
		write_address(to, &item->peer);
		writer_u8(to, item->server);
		write_text(to, item->name, SHARE_NAME_MAX);
	} else {
		write_text(to, item->text, SHARE_TEXT_MAX);
	}
	return !to->full;
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

bool share_item_read(struct bytes in, struct share_item *out)
{
	uint8_t version, server = 0;
	struct bytes key;
	memset(out, 0, sizeof(*out));
	bool ok = bytes_u8(&in, &version) && version == VERSION && bytes_u8(&in, &out->kind) &&
	          out->kind >= SHARE_KEY && out->kind <= SHARE_BARRED;
	if (ok && out->kind == SHARE_KEY)
		ok = bytes_vec8(&in, &key) && record_key_read(key, &out->key) && read_address(&in, &out->local) &&
		     read_address(&in, &out->peer) && bytes_u8(&in, &server) && server <= 1 &&
		     read_text(&in, out->name, SHARE_NAME_MAX);
	else if (ok)
		ok = read_text(&in, out->text, SHARE_TEXT_MAX);
	out->server = server != 0;
	if (ok && in.len == 0)
		return true;
	share_item_wipe(out);
	return false;
}

void share_item_wipe(struct share_item *item)
{
	explicit_bzero(item, sizeof(*item));
}
