/* Files that `overt local` keeps: what is read is clean, and what is written of it is read again as the same. */
#include "proxy/local_refused.h"

#include <stdlib.h>

static void need(bool is)
{
	if (!is)
		abort();
}

static struct bytes written(const struct book *book, uint8_t *room, size_t cap)
{
	struct writer w = writer_over(room, cap);
	struct bytes text;
	book_write(book, &w);
	need(writer_done(&w, &text));
	return text;
}

static void try_book(struct bytes in)
{
	enum { ROWS = 8 };
	static uint8_t first[ROWS * BOOK_ROW_TEXT], second[ROWS * BOOK_ROW_TEXT];
	struct book book, again;
	book_init(&book, ROWS);
	book_init(&again, ROWS);
	(void)book_read(&book, in);
	need(book.rows <= ROWS);
	struct bytes text = written(&book, first, sizeof(first));
	need(book_read(&again, text) == 0);
	need(bytes_equal(text, written(&again, second, sizeof(second))));
	book_clear(&book);
	book_clear(&again);
}

static void try_refused(struct bytes in)
{
	static struct refused refused, again;
	static uint8_t room[(size_t)REFUSED_MAX * 512];
	struct writer w = writer_over(room, sizeof(room));
	struct bytes text;
	refused = again = (struct refused){0};
	(void)refused_read(&refused, in);
	refused_write(&refused, &w);
	need(writer_done(&w, &text));
	need(refused_read(&again, text) == 0);
	need(again.count == refused.count);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	try_book(bytes_of(data, size));
	try_refused(bytes_of(data, size));
	return 0;
}
