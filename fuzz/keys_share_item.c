/* What a program leaves in its ring: whatever is read can be written, and is the same octets again. */
#include "keys/share_item.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct share_item item, again;
	uint8_t room[SHARE_SLOT_MAX];
	struct writer to = writer_over(room, sizeof(room));
	if (size > SHARE_SLOT_MAX || !share_item_read(bytes_of(data, size), &item))
		return 0;
	if (!share_item_write(&item, &to) || !share_item_read(bytes_of(room, to.len), &again) ||
		again.kind != item.kind || again.key.epoch != item.key.epoch)
		abort();
	share_item_wipe(&item);
	share_item_wipe(&again);
	return 0;
}
