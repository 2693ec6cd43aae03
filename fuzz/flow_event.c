/* Whatever decodes encodes again to the same octets, and a flow takes it in. */
#include "flow/event.h"
#include "flow/flow.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static uint8_t again[EVENT_SIZE_MAX];
	struct event event;
	struct event_head head;
	struct bytes in = bytes_of(data, size);
	enum event_result peeked = event_peek(bytes_of(data, size < EVENT_DATA_AT ? size : EVENT_DATA_AT), size, &head);
	if (event_decode(in, &event) != EVENT_OK)
		return 0;
	if (peeked != EVENT_OK || head.kind != event.kind || head.flow != event.flow)
		abort();
	size_t len;
	/* The two reserved octets are not looked at, and are 0 when written. */
	if (!event_encode(&event, again, sizeof(again), &len) || len != size ||
		memcmp(again + 8, data + 8, size - 8) != 0)
		abort();
	struct flow *flow = flow_new(1, &event);
	if (!flow)
		return 0;
	flow_apply(flow, &event);
	char label[FLOW_ADDRESS_TEXT];
	if (flow_label(flow, label).len == 0)
		abort();
	flow_free(flow);
	return 0;
}
