#include "base/fold.h"

#include <stdbool.h>
#include <string.h>

/* Of UTF-8, one for a character. */
static size_t columns_of(const char *word, size_t len)
{
	size_t columns = 0;
	for (size_t i = 0; i < len; i++)
		columns += ((unsigned char)word[i] & 0xc0) != 0x80;
	return columns;
}

size_t fold(FILE *out, const char *text, size_t left, size_t at, size_t columns)
{
	bool first = true;
	size_t indent = 0; /* blanks that a word needs before it; none stand at the end of a line */
	while (*text) {
		size_t len = strcspn(text, " \n"), word = columns_of(text, len);
		if (at + !first + word > columns && at > left) {
			fputc('\n', out);
			at = indent = left;
		} else if (!first) {
			fputc(' ', out);
			at++;
		}
		if (len > 0) {
			fprintf(out, "%*s%.*s", (int)indent, "", (int)len, text);
			indent = 0;
		}
		at += word;
		text += len;
		first = *text == '\n';
		if (first) {
			fputc('\n', out);
			at = indent = left;
		}
		text += *text != '\0';
	}
	return at;
}
