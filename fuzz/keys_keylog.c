/*
 * Any octets as a key log, in pieces whose size the first octet says: the lines are those of the whole text cut at each
 * LF; what parses has an id and a secret of lengths that are allowed, and is the same when it is written and read again.
 */
#include "keys/keylog_split.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* What was read, written and read again, is the same. */
static void check_written(const struct keylog_line *line, struct bytes secret)
{
	uint8_t octets[KEYLOG_WRITTEN];
	struct writer to = writer_over(octets, sizeof(octets));
	struct bytes written;
	struct keylog_line again;
	uint8_t same[KEYLOG_MAX_SECRET];
	if (!keylog_write(&to, line->label, line->epoch, &line->id, secret) || !writer_done(&to, &written))
		abort();
	written.len--;
	if (keylog_parse(written, &again) != KEYLOG_OK || again.label != line->label || again.epoch != line->epoch ||
		!keylog_id_equal(&again.id, &line->id))
		abort();
	if (!bytes_equal(bytes_of(same, keylog_secret(&again, same, sizeof(same))), secret))
		abort();
}

static void check_line(struct bytes text)
{
	struct keylog_line line;
	uint8_t secret[KEYLOG_MAX_SECRET];
	enum keylog_result result = keylog_parse(text, &line);
	if (result >= KEYLOG_RESULTS || keylog_result_text(result) == NULL)
		abort();
	if (result != KEYLOG_OK)
		return;
	if (line.label >= KEYLOG_LABELS || line.id.len == 0 || line.id.len > KEYLOG_MAX_ID)
		abort();
	if (line.epoch != 0 && line.label != KEYLOG_CLIENT_TRAFFIC && line.label != KEYLOG_SERVER_TRAFFIC)
		abort();
	size_t len = keylog_secret(&line, secret, sizeof(secret));
	if (len * 2 != line.secret_hex.len || len == 0)
		abort();
	check_written(&line, bytes_of(secret, len));
}

/* The next line of the whole text that is not too long; false when only the rest is left. */
static bool line_of(struct bytes *text, struct bytes *line)
{
	for (;;) {
		size_t end = bytes_find(*text, '\n', 0);
		if (end == text->len)
			return false;
		if (!bytes_take(text, end, line) || !bytes_skip(text, 1))
			abort();
		if (line->len <= KEYLOG_MAX_LINE)
			return true;
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct bytes all = bytes_of(data, size);
	struct bytes piece;
	struct bytes line;
	struct bytes expected;
	uint8_t step;
	if (!bytes_u8(&all, &step))
		return 0;
	struct bytes whole = all;
	struct keylog_split split = {0};
	while (all.len) {
		size_t take = (size_t)step + 1 < all.len ? (size_t)step + 1 : all.len;
		if (!bytes_take(&all, take, &piece))
			abort();
		while (keylog_split_next(&split, &piece, &line)) {
			if (!line_of(&whole, &expected) || !bytes_equal(line, expected))
				abort();
			check_line(line);
		}
	}
	if (line_of(&whole, &expected) || split.next_at != size - 1)
		abort();
	if (keylog_split_rest(&split, &line)) {
		if (!bytes_equal(line, whole))
			abort();
		check_line(line);
	} else if (whole.len > 0 && whole.len <= KEYLOG_MAX_LINE) {
		abort();
	}
	keylog_split_wipe(&split);
	return 0;
}
