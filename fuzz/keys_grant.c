/* A grant or a revocation, as somebody may have written it; also in a signed note. */
#include "keys/grant.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static struct grant grant, again;
	static uint8_t text[GRANT_FILE_MAX];
	static struct grant_revocation revocation;
	struct note_key signer = {.name = "boss", .type = NOTE_ED25519, .id = {1, 2, 3, 4}};
	struct bytes in = bytes_of(data, size);
	struct error err;
	(void)!grant_open(in, "fuzz", &signer, 1, &grant, &err);
	(void)!grant_revocation_parse(in, "fuzz", &revocation, &err);
	if (!grant_parse(in, "fuzz", &grant, &err))
		return 0;
	/* What is read can be written, and reads again. */
	struct writer to = writer_over(text, sizeof(text));
	if (!grant_write(&grant, &to) || !grant_parse(bytes_of(text, to.len), "fuzz", &again, &err))
		__builtin_trap();
	return 0;
}
