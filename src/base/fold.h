/* base/fold.h — prose in lines of few columns: --help, and what verbs tell people. */
#ifndef BASE_FOLD_H
#define BASE_FOLD_H

#include <stddef.h>
#include <stdio.h>

#define FOLD_COLUMNS 80 /* where nobody knows better */

/*
 * Writes the words of `text`, which stand apart by single blanks; the cursor stands at column `at`. A word that would go
 * past `columns` begins a new line, after `left` blanks; one that has no room in any line is not cut. A newline in the
 * text stays one, and what follows it begins at `left`. Ends without a newline. Returns the column that it got to.
 */
size_t fold(FILE *out, const char *text, size_t left, size_t at, size_t columns);

#endif
