/* Any octets as a list of names: every line that was taken is found again. */
#include "policy/names.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void look_up(const struct names *names, struct bytes line)
{
	enum pattern_kind kind;
	struct bytes name, found;
	if (pattern_read(line, &kind, &name) != PATTERN_OK)
		return;
	struct name_key key;
	char below[NAME_MAX_OCTETS + 3];
	struct writer w = writer_over(below, sizeof(below));
	writer_bytes(&w, bytes_str(kind == PATTERN_BELOW ? "x." : ""));
	writer_bytes(&w, name);
	name_key_set(&key, bytes_of(below, w.len));
	bool too_long = w.len > NAME_MAX_OCTETS;
	if (!too_long && (!names_find(names, &key, &found) || found.len == 0))
		abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct bytes text = bytes_of(data, size);
	struct error err = {{0}};
	struct names *names = names_new(text, "list", &err);
	struct name_key key;
	name_key_set(&key, text);
	if (!names)
		return 0;
	(void)names_has(names, &key);
	while (text.len > 0) {
		struct bytes line;
		if (!bytes_take(&text, bytes_find(text, '\n', 0), &line))
			abort();
		(void)!bytes_skip(&text, text.len > 0);
		look_up(names, line);
	}
	names_free(names);
	return 0;
}
