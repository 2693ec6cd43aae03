/* A release, as it comes out of a ring or a sealed envelope; and one that is sealed, as a collector gets it. */
#include "keys/seal.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static struct release release, again;
	static uint8_t first[RELEASE_WRITTEN], second[RELEASE_WRITTEN];
	static struct seal_head head;
	struct bytes in = bytes_of(data, size);
	(void)!seal_head_read(in, &head);
	if (release_read(in, &release) != RELEASE_OK)
		return 0;
	/* What reads is what may be released, fits its cap, and is written the same again. */
	struct writer to = writer_over(first, sizeof(first)), more = writer_over(second, sizeof(second));
	if (release_check(&release) != RELEASE_OK || !release_write(&release, &to) ||
		release_read(bytes_of(first, to.len), &again) != RELEASE_OK || !release_write(&again, &more) ||
		!bytes_equal(bytes_of(first, to.len), bytes_of(second, more.len)))
		__builtin_trap();
	return 0;
}
