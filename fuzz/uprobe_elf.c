/* ELF files of programs, and Go's table of functions in them. */
#include "uprobe/target.h"

static bool read_octets(void *arg, uint64_t at, void *out, size_t len)
{
	struct bytes *whole = arg;
	struct bytes in = *whole, taken;
	if (!bytes_skip(&in, (size_t)at) || !bytes_take(&in, len, &taken))
		return false;
	if (len > 0)
		memcpy(out, taken.data, len);
	return true;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct bytes whole = bytes_of(data, size);
	struct elf_source source = {.read = read_octets, .arg = &whole, .size = size};
	struct target target;
	target_look(&source, &target);
	for (size_t i = 0; i < target.count; i++) {
		if (target.points[i].offset >= size)
			__builtin_trap();
	}
	return 0;
}
