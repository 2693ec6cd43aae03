#include "audit/verify.h"

#include "base/text.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <unistd.h>

/* Fixed width, so that a later head never leaves a piece of an older one behind: seq, hash, offset. */
#define HEAD_LEN (20 + 1 + 64 + 1 + 20 + 1)

bool audit_head_path(char *out, size_t cap, const char *path)
{
	int n = snprintf(out, cap, "%s.head", path);
	return n > 0 && (size_t)n < cap;
}

bool audit_head_write(int fd, const struct audit_place *place)
{
	char text[HEAD_LEN + 1];
	char hex[2 * AUDIT_HASH + 1];
	text_hex(hex, sizeof(hex), bytes_of(place->hash, sizeof(place->hash)));
	snprintf(text, sizeof(text), "%020" PRIu64 " %s %020" PRIu64 "\n", place->seq, hex, place->offset);
	ssize_t n = pwrite(fd, text, HEAD_LEN, 0);
	if (n >= 0 && n != HEAD_LEN)
		errno = ENOSPC;
	return n == HEAD_LEN;
}

static bool head_parse(struct bytes in, struct audit_place *place)
{
	struct bytes seq;
	struct bytes hash;
	struct bytes offset;
	struct audit_place read = {0};
	size_t len;
	if (in.len != HEAD_LEN || !bytes_take(&in, 20, &seq) || !bytes_skip(&in, 1) || !bytes_take(&in, 64, &hash) ||
		!bytes_skip(&in, 1) || !bytes_take(&in, 20, &offset))
		return false;
	if (!text_number(seq, UINT64_MAX, &read.seq) || !text_unhex(read.hash, sizeof(read.hash), &len, hash) ||
		!text_number(offset, INT64_MAX, &read.offset))
		return false;
	*place = read;
	return true;
}

bool audit_head_read(const char *path, struct audit_place *place, struct error *err)
{
	char name[4096];
	*place = (struct audit_place){0};
	if (!audit_head_path(name, sizeof(name), path))
		return error_set(err, "%s: the path is too long", path);
	int fd = open(name, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return errno == ENOENT || error_set_errno(err, "cannot read %s", name);
	uint8_t text[HEAD_LEN + 1];
	ssize_t n = read(fd, text, sizeof(text));
	close(fd);
	/* Empty: made, but nothing was ever synced. */
	if (n == 0 || (n > 0 && head_parse(bytes_of(text, (size_t)n), place)))
		return true;
	return error_set(err, "%s is damaged: remove it once you know why", name);
}
