/* Signed notes, and verifier and private keys, of strangers. */
#include "base/note.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* What was read must be what is written. */
static void key_again(struct bytes octets)
{
	struct note_key key;
	struct note_key again;
	char text[NOTE_KEY_TEXT];
	struct error err;
	struct writer w = writer_over(text, sizeof(text));
	if (!note_key_read(octets, &key, &err))
		return;
	note_key_write(&w, &key);
	if (w.full || !note_key_read(bytes_of(text, w.len), &again, &err) || !note_key_same(&key, &again))
		__builtin_trap();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const uint8_t public_key[32] = {1};
	struct bytes octets = bytes_of(data, size);
	struct note note;
	struct note_key key;
	struct error err;
	uint64_t time_s;
	size_t which;
	key_again(octets);
	note_signer_free(note_signer_read(octets, &err));
	if (!note_read(octets, &note))
		return 0;
	if (note.text.len + 1 + note.signatures.len != size)
		__builtin_trap();
	for (int type = NOTE_ED25519; type <= NOTE_COSIGNED; type += NOTE_COSIGNED - NOTE_ED25519) {
		if (note_key_make(&key, bytes_str("a"), (enum note_type)type, public_key) &&
			(note_verify(&note, &key, &time_s) == NOTE_SIGNED ||
				note_verify_any(&note, &key, 1, &which) == NOTE_SIGNED))
			__builtin_trap();
	}
	return 0;
}
