/* What workers may send to the keeper, and the keeper to workers: every message body, and the datagram around it. */
#include "audit/entry.h"
#include "proxy/ipc.h"
#include "proxy/keeper_wire.h"
#include "proxy/resolver.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static uint8_t room[1 << 18];

/* What was read is written as it was. */
static void same(struct bytes body, const struct writer *w)
{
	struct bytes written;
	if (!writer_done(w, &written) || !bytes_equal(written, body))
		abort();
}

static void requests(struct bytes body)
{
	struct keeper_leaf_request request;
	struct refusal refusal;
	struct audit_entry entry;
	struct writer w = writer_over(room, sizeof(room));
	if (keeper_leaf_request_read(body, &request)) {
		keeper_leaf_request_write(&w, &request);
		same(body, &w);
	}
	w = writer_over(room, sizeof(room));
	if (keeper_refusal_read(body, &refusal)) {
		keeper_refusal_write(&w, &refusal);
		same(body, &w);
	}
	w = writer_over(room, sizeof(room));
	if (audit_entry_read(body, &entry, NULL)) {
		audit_entry_write(&w, &entry);
		same(body, &w);
	}
}

static void answers(struct bytes body)
{
	struct keeper_welcome welcome;
	struct ticket_keys keys;
	struct resolver_answer answer;
	struct writer w = writer_over(room, sizeof(room));
	if (keeper_welcome_read(body, &welcome)) {
		keeper_welcome_write(&w, &welcome);
		same(body, &w);
	}
	w = writer_over(room, sizeof(room));
	if (keeper_tickets_read(body, &keys)) {
		keeper_tickets_write(&w, &keys);
		same(body, &w);
	}
	w = writer_over(room, sizeof(room));
	if (resolver_answer_read(body, &answer)) {
		resolver_answer_write(&w, &answer);
		same(body, &w);
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct ipc_message message;
	requests(bytes_of(data, size));
	answers(bytes_of(data, size));
	(void)ipc_unpack(bytes_of(data, size), &message);
	return 0;
}
