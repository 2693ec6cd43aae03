/*
 * What is kept of a client's words is bounded and gone once something must not be said twice; what is said again are
 * whole lines of it, in order, each once, and none of them carries credentials.
 */
#include "proxy/replay.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void must(bool truth)
{
	if (!truth)
		abort();
}

/* Turns of one octet (side, length) and that many octets: first all of the client's, later the fresh server's. */
static bool turn(struct bytes *in, uint8_t side, struct bytes *said)
{
	uint8_t head;
	while (bytes_u8(in, &head)) {
		if (!bytes_take(in, (head >> 1) < in->len ? head >> 1 : in->len, said))
			return false;
		if ((head & 1) == side)
			return true;
	}
	return false;
}

static void check_line(const struct replay *r, struct bytes line, size_t *at)
{
	must(line.len > 0);
	if (r->watch.protocol == STARTTLS_POSTGRESQL)
		return;
	must(line.data >= r->said.data + *at && line.data + line.len <= r->said.data + r->judged);
	must(line.data[line.len - 1] == '\n' && bytes_find(line, '\n', 0) == line.len - 1);
	if (r->watch.protocol != STARTTLS_IMAP)
		must(!bytes_starts(line, bytes_str("AUTH")) && !bytes_starts(line, bytes_str("PASS")));
	*at = (size_t)(line.data - r->said.data) + line.len;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct replay r = {0};
	struct bytes in = bytes_of(data, size), said, out;
	uint8_t which;
	size_t at = 0;
	if (!bytes_u8(&in, &which))
		return 0;
	enum starttls_protocol protocol = which % 5;
	struct bytes again = in;
	while (turn(&in, 0, &said)) {
		replay_note(&r, protocol, said);
		must(r.said.len <= REPLAY_MAX && r.judged <= r.said.len && (!r.never || r.said.len == 0));
	}
	if (!replay_never(&r, protocol)) {
		replay_begin(&r, protocol);
		enum replay_result result = replay_step(&r, BYTES_NONE, &out);
		while (result == REPLAY_SAY || (result == REPLAY_WAIT && turn(&again, 1, &said))) {
			if (result == REPLAY_SAY)
				check_line(&r, out, &at);
			result = replay_step(&r, result == REPLAY_SAY ? BYTES_NONE : said, &out);
		}
		must((result == REPLAY_FAILED) == (r.why != NULL));
	}
	replay_clear(&r);
	return 0;
}
