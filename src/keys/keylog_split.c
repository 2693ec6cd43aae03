#include "keys/keylog_split.h"

#include <openssl/crypto.h>

static void held_drop(struct keylog_split *split)
{
	OPENSSL_cleanse(split->held, split->len);
	split->len = 0;
	split->borrowed = false;
}

/* Adds to what is held; more than a line may have is dropped whole and counted once. */
static void hold(struct keylog_split *split, struct bytes part)
{
	if (split->skipping || part.len == 0)
		return;
	if (part.len > KEYLOG_MAX_LINE - split->len) {
		held_drop(split);
		split->skipping = true;
		split->too_long++;
		return;
	}
	memcpy(split->held + split->len, part.data, part.len);
	split->len += part.len;
}

/* The line that ends with `part`; false when it is too long to be given. */
static bool line_end(struct keylog_split *split, struct bytes part, struct bytes *line)
{
	if (split->len == 0 && !split->skipping && part.len <= KEYLOG_MAX_LINE) {
		*line = part;
		return true;
	}
	hold(split, part);
	if (split->skipping) {
		split->skipping = false;
		return false;
	}
	split->borrowed = true;
	*line = bytes_of(split->held, split->len);
	return true;
}

bool keylog_split_next(struct keylog_split *split, struct bytes *more, struct bytes *line)
{
	if (split->borrowed)
		held_drop(split);
	while (more->len > 0) {
		struct bytes part = BYTES_NONE;
		size_t end = bytes_find(*more, '\n', 0);
		bool whole = end < more->len;
		uint64_t begun_at = split->next_at - split->len;
		(void)!bytes_take(more, end, &part);
		split->next_at += part.len;
		if (!whole) {
			hold(split, part);
			return false;
		}
		(void)!bytes_skip(more, 1);
		split->next_at++;
		if (line_end(split, part, line)) {
			split->line_at = begun_at;
			return true;
		}
	}
	return false;
}

bool keylog_split_rest(const struct keylog_split *split, struct bytes *line)
{
	if (split->borrowed || split->len == 0)
		return false;
	*line = bytes_of(split->held, split->len);
	return true;
}

void keylog_split_restart(struct keylog_split *split, uint64_t offset)
{
	held_drop(split);
	split->skipping = false;
	split->line_at = split->next_at = offset;
}

void keylog_split_wipe(struct keylog_split *split)
{
	OPENSSL_cleanse(split, sizeof(*split));
}
