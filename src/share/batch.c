#include "share/batch.h"

#define NUMBER 8
#define ITEMS  ((size_t)COURIER_HEADER + NUMBER)

void batch_number(struct batch *batch, uint64_t number)
{
	struct writer to = writer_over(batch->frame + COURIER_HEADER, NUMBER);
	writer_u64(&to, number);
}

bool batch_is_empty(const struct batch *batch)
{
	return batch->len <= ITEMS;
}

uint32_t batch_leave_out(struct batch *batch, bool (*wanted)(void *arg, const struct seal_head *head), void *arg)
{
	struct bytes rest = bytes_of(batch->frame, batch->len), before, sealed;
	struct seal_head head;
	size_t end = ITEMS;
	uint32_t out = 0;
	if (!bytes_skip(&rest, ITEMS))
		return 0;
	while (before = rest, bytes_vec16(&rest, &sealed)) {
		size_t len = before.len - rest.len;
		if (!seal_head_read(sealed, &head) || !wanted(arg, &head)) {
			out++;
			continue;
		}
		if (out > 0)
			memmove(batch->frame + end, before.data, len);
		end += len;
	}
	batch->len = end;
	struct writer header = writer_over(batch->frame, COURIER_HEADER);
	writer_u8(&header, COURIER_PUT);
	writer_u24(&header, (uint32_t)(end - COURIER_HEADER));
	uint32_t open = batch->sealed - batch->taken;
	out = out < open ? out : open;
	batch->sealed -= out;
	return out;
}
