#include "policy/suggest.h"

#include <stdint.h>
#include <string.h>

#define WORD_MAX 40

static size_t least(size_t a, size_t b)
{
	return a < b ? a : b;
}

/* Edits between two words, a swap of neighbours counting as one (optimal string alignment). WORD_MAX when too long. */
static size_t distance(const char *a, const char *b)
{
	size_t rows[3][WORD_MAX + 1];
	size_t n = strlen(a);
	size_t m = strlen(b);
	if (n > WORD_MAX || m > WORD_MAX)
		return WORD_MAX;
	for (size_t j = 0; j <= m; j++)
		rows[0][j] = j;
	for (size_t i = 1; i <= n; i++) {
		size_t *row = rows[i % 3];
		const size_t *above = rows[(i - 1) % 3];
		row[0] = i;
		for (size_t j = 1; j <= m; j++) {
			row[j] = least(least(above[j], row[j - 1]) + 1, above[j - 1] + (a[i - 1] != b[j - 1]));
			if (i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1])
				row[j] = least(row[j], rows[(i - 2) % 3][j - 2] + 1);
		}
	}
	return rows[n % 3][m];
}

const char *suggest(const char *word, const void *words, size_t count, size_t stride)
{
	const char *best = NULL;
	size_t best_edits = SIZE_MAX;
	for (size_t i = 0; i < count; i++) {
		const char *known;
		memcpy(&known, (const char *)words + i * stride, sizeof(known));
		size_t edits = distance(word, known);
		size_t longer = strlen(known) > strlen(word) ? strlen(known) : strlen(word);
		if (edits * 3 <= longer && edits < best_edits) {
			best = known;
			best_edits = edits;
		}
	}
	return best;
}
