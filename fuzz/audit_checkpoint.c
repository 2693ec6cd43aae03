/* Checkpoints of strangers, alone and in a signed note. */
#include "audit/checkpoint.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void checkpoint_again(struct bytes text)
{
	struct checkpoint checkpoint;
	if (!checkpoint_read(text, &checkpoint))
		return;
	size_t cap = text.len + 1;
	uint8_t *room = malloc(cap);
	struct writer w = writer_over(room, cap);
	checkpoint_write(&w, &checkpoint);
	/* Extensions are left out; the three lines have one form only. */
	if (w.full || !bytes_starts(text, bytes_of(room, w.len)))
		__builtin_trap();
	free(room);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct bytes octets = bytes_of(data, size);
	struct note note;
	checkpoint_again(octets);
	if (note_read(octets, &note))
		checkpoint_again(note.text);
	return 0;
}
