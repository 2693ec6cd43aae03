/* Masking writes inside its buffer, cuts nothing where it has room, and hides again what it has hidden. */
#include "sink/mask.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static char *room_of(size_t cap)
{
	char *room = malloc(cap ? cap : 1); /* exact, so that a write past the end is seen */
	if (!room)
		abort();
	return room;
}

static void header(struct bytes name, struct bytes value, size_t cap)
{
	char *out = room_of(cap);
	if (mask_header(name, value, out, cap) > cap)
		abort();
	free(out);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const char *const names[] = {"authorization", "cookie", "set-cookie", "location", "x-api-key", "accept"};
	struct bytes in = bytes_of(data, size);
	uint8_t cap = 0;
	(void)!bytes_u8(&in, &cap);
	char *once = room_of(mask_room(in.len));
	char *twice = room_of(mask_room(mask_room(in.len)));
	size_t n = mask_url(in, once, mask_room(in.len));
	if (n >= mask_room(in.len))
		abort();
	size_t again = mask_url(bytes_of(once, n), twice, mask_room(mask_room(in.len)));
	if (again != n || memcmp(once, twice, n) != 0)
		abort();
	free(once);
	free(twice);
	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
		header(bytes_str(names[i]), in, cap);
		header(bytes_str(names[i]), in, mask_room(in.len));
	}
	header(in, in, cap);
	return 0;
}
