#include "keys/share_readers.h"

#include "base/text.h"
#include "keys/name_pattern.h"
#include "keys/share_item.h"

#define HEAD   "overt-share-readers 1 "
#define ID_HEX 16

_Static_assert(SHARE_READER_NAME_MAX == SHARE_READER_MAX, "an item has room for a reader's name");

static const char *const modes[] = {[SHARE_LIVE] = "live", [SHARE_AFTER_ROTATION] = "after-rotation"};

/* What stands before the next `end`, which is passed over. */
static bool take_until(struct bytes *in, uint8_t end, struct bytes *out)
{
	size_t at = bytes_find(*in, end, 0);
	return at < in->len && bytes_take(in, at, out) && bytes_skip(in, 1);
}

static bool read_hex(struct bytes text, uint8_t *out, size_t octets)
{
	size_t len;
	return text_unhex(out, octets, &len, text) && len == octets;
}

static bool read_reader(struct bytes line, struct share_reader *out)
{
	struct bytes key_id, mode;
	if (!take_until(&line, '\t', &key_id) || !take_until(&line, '\t', &mode) ||
		!take_until(&line, '\t', &out->name) || !take_until(&line, '\t', &out->purpose))
		return false;
	out->patterns = line;
	out->mode = bytes_equal(mode, bytes_str(modes[SHARE_LIVE]))             ? SHARE_LIVE
	            : bytes_equal(mode, bytes_str(modes[SHARE_AFTER_ROTATION])) ? SHARE_AFTER_ROTATION
	                                                                        : 0;
	return read_hex(key_id, out->key_id, SHARE_KEY_ID) && out->mode != 0 && out->name.len > 0 &&
	       out->name.len <= SHARE_READER_NAME_MAX && out->purpose.len <= SHARE_PURPOSE_MAX &&
	       bytes_find(line, '\t', 0) == line.len;
}

static bool is_new(const struct share_readers *readers, const struct share_reader *reader)
{
	for (size_t i = 0; i < readers->count; i++) {
		if (readers->at[i].mode == reader->mode &&
			memcmp(readers->at[i].key_id, reader->key_id, SHARE_KEY_ID) == 0)
			return false;
	}
	return true;
}

static bool read_all(struct bytes text, struct share_readers *out)
{
	struct bytes line;
	uint8_t id[ID_HEX / 2];
	if (text.len > SHARE_READERS_TEXT || !take_until(&text, '\n', &line) || !bytes_starts(line, bytes_str(HEAD)) ||
		!bytes_skip(&line, sizeof(HEAD) - 1) || !read_hex(line, id, sizeof(id)))
		return false;
	struct bytes number = bytes_of(id, sizeof(id));
	if (!bytes_u64(&number, &out->id))
		return false;
	while (text.len > 0) {
		struct share_reader *reader = &out->at[out->count];
		if (out->count == SHARE_READERS_MAX || !take_until(&text, '\n', &line) || !read_reader(line, reader) ||
			!is_new(out, reader))
			return false;
		out->count++;
	}
	return true;
}

bool share_readers_read(struct bytes text, struct share_readers *out)
{
	memset(out, 0, sizeof(*out));
	if (read_all(text, out))
		return true;
	memset(out, 0, sizeof(*out));
	return false;
}

static void write_hex(struct writer *to, struct bytes octets)
{
	char text[2 * SHARE_KEY_ID + 1];
	writer_bytes(to, bytes_of(text, text_hex(text, sizeof(text), octets)));
}

static bool is_plain(struct bytes text)
{
	return bytes_find(text, '\t', 0) == text.len && bytes_find(text, '\n', 0) == text.len;
}

static bool write_reader(const struct share_reader *reader, struct writer *to)
{
	if ((reader->mode != SHARE_LIVE && reader->mode != SHARE_AFTER_ROTATION) || reader->name.len == 0 ||
		reader->name.len > SHARE_READER_NAME_MAX || reader->purpose.len > SHARE_PURPOSE_MAX ||
		!is_plain(reader->name) || !is_plain(reader->purpose) || !is_plain(reader->patterns))
		return false;
	write_hex(to, bytes_of(reader->key_id, SHARE_KEY_ID));
	writer_u8(to, '\t');
	writer_bytes(to, bytes_str(modes[reader->mode]));
	writer_u8(to, '\t');
	writer_bytes(to, reader->name);
	writer_u8(to, '\t');
	writer_bytes(to, reader->purpose);
	writer_u8(to, '\t');
	writer_bytes(to, reader->patterns);
	writer_u8(to, '\n');
	return true;
}

bool share_readers_write(const struct share_readers *readers, struct writer *to)
{
	uint8_t id[ID_HEX / 2];
	struct writer number = writer_over(id, sizeof(id));
	writer_u64(&number, readers->id);
	writer_bytes(to, bytes_str(HEAD));
	write_hex(to, bytes_of(id, sizeof(id)));
	writer_u8(to, '\n');
	for (size_t i = 0; i < readers->count; i++) {
		if (!write_reader(&readers->at[i], to))
			return false;
	}
	return !to->full;
}

static bool fits_one(struct bytes patterns, struct bytes name)
{
	struct bytes pattern;
	while (patterns.len > 0) {
		if (!take_until(&patterns, ' ', &pattern)) {
			pattern = patterns;
			patterns = BYTES_NONE;
		}
		if (pattern.len > 0 && name_pattern_fits(pattern, name))
			return true;
	}
	return false;
}

uint64_t share_readers_for(const struct share_readers *readers, struct bytes name)
{
	uint64_t set = 0;
	if (name.len > 0 && name.data[name.len - 1] == '.')
		name.len--;
	for (size_t i = 0; i < readers->count; i++) {
		if (fits_one(readers->at[i].patterns, name))
			set |= share_place(i);
	}
	return set;
}
