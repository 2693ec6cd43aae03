#include "audit/verify.h"

#include "base/text.h"

#include <sys/stat.h>
#include <unistd.h>

/* The first line that begins at `from` or behind it, without its LF. False: none that is whole. */
static bool line_at(int fd, uint64_t from, uint8_t *room, struct bytes *line, uint64_t *offset)
{
	/* One octet earlier, to see whether a line begins here. */
	uint64_t at = from > 0 ? from - 1 : 0;
	bool begins = from == 0;
	for (;;) {
		ssize_t n = pread(fd, room, AUDIT_LINE_MAX, (off_t)at);
		if (n <= 0)
			return false;
		struct bytes rest = bytes_of(room, (size_t)n);
		size_t end = bytes_find(rest, '\n', 0);
		if (begins) {
			*line = bytes_of(room, end);
			*offset = at;
			return end < rest.len;
		}
		begins = end < rest.len;
		at += begins ? end + 1 : rest.len;
	}
}

bool audit_find(int fd, uint64_t seq, uint8_t *room, struct bytes *line, uint64_t *offset)
{
	struct stat st;
	if (fstat(fd, &st) < 0)
		return false;
	uint64_t low = 0;
	uint64_t high = (uint64_t)st.st_size;
	/* Lines stand in the order of their numbers, so halving finds one; `low` is always where a line begins. */
	while (low < high) {
		uint64_t middle = low + (high - low) / 2;
		uint64_t found;
		if (!line_at(fd, middle, room, line, offset) || *offset >= high || !audit_line_seq(*line, &found) ||
			found > seq) {
			high = middle;
		} else if (found < seq) {
			low = *offset + line->len + 1;
		} else {
			return true;
		}
	}
	return false;
}
