/* Any octets as the rules of an aware server: a book that decides, or an error. */
#include "pact/rulebook.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* Files that rules name hold the rules themselves. */
static bool read_self(void *ctx, const char *path, size_t max, struct file_bytes *out, struct error *err)
{
	const struct bytes *self = ctx;
	if (self->len > max)
		return error_set(err, "%s: too long", path);
	out->data = malloc(self->len + 1);
	out->len = out->data ? self->len : 0;
	if (out->data && self->len > 0)
		memcpy(out->data, self->data, self->len);
	return out->data != NULL;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct bytes text = bytes_of(data, size);
	struct error err = {""};
	const struct rulebook_source source = {.ctx = &text, .read = read_self};
	struct rulebook *book = NULL;
	if (size > RULEBOOK_MAX_OCTETS)
		return 0;
	if (rulebook_read(&book, text, "dir/fuzz.yaml", &source, &err) != (err.text[0] == '\0'))
		abort();
	struct accord_claim claim = {.introduced = true, .introduction = {.hops = 1}};
	struct rulebook_verdict verdict;
	for (unsigned i = 0; book && i < 8; i++) {
		claim.introduction.hop[0].role = i & 1 ? ACCORD_WRITER : ACCORD_READER;
		claim.identified = i & 2;
		claim.introduced = !(i & 4);
		rulebook_decide(book, &claim, &verdict);
		/* Of whom all is known nothing is left to ask, and of the sealed nothing can be asked. */
		if (verdict.unknown && (claim.identified || !claim.introduced))
			abort();
		if (rulebook_client(book, &verdict, text))
			abort();
	}
	rulebook_free(book);
	return 0;
}
