#include "audit/checkpoint.h"

#include "base/base64.h"
#include "base/text.h"

#include <inttypes.h>
#include <stdio.h>

static bool take_line(struct bytes *in, struct bytes *line)
{
	size_t end = bytes_find(*in, '\n', 0);
	return end > 0 && end < in->len && bytes_take(in, end, line) && bytes_skip(in, 1);
}

bool checkpoint_read(struct bytes text, struct checkpoint *checkpoint)
{
	struct checkpoint read;
	struct bytes size;
	struct bytes root;
	struct bytes line;
	size_t len;
	if (!take_line(&text, &read.origin) || !take_line(&text, &size) || !take_line(&text, &root))
		return false;
	if (!text_number(size, MERKLE_SIZE_MAX, &read.head.size) || (size.len > 1 && size.data[0] == '0'))
		return false;
	if (!base64_read(root, read.head.root.octets, MERKLE_HASH, &len) || len != MERKLE_HASH)
		return false;
	while (text.len > 0) {
		if (!take_line(&text, &line))
			return false;
	}
	*checkpoint = read;
	return true;
}

void checkpoint_write(struct writer *w, const struct checkpoint *checkpoint)
{
	char size[32];
	snprintf(size, sizeof(size), "\n%" PRIu64 "\n", checkpoint->head.size);
	writer_bytes(w, checkpoint->origin);
	writer_bytes(w, bytes_str(size));
	base64_write(w, bytes_of(checkpoint->head.root.octets, MERKLE_HASH));
	writer_u8(w, '\n');
}

bool checkpoint_sign(struct writer *w, const struct checkpoint *checkpoint, const struct note_signer *signer)
{
	size_t start = w->len;
	checkpoint_write(w, checkpoint);
	if (w->full)
		return false;
	struct bytes text = bytes_of(w->data + start, w->len - start);
	writer_u8(w, '\n');
	return note_sign(w, signer, text, 0);
}
