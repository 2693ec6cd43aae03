#include "proxy/local_book.h"

#include "base/text.h"
#include "proxy/local_lines.h"

#include <stdlib.h>
#include <string.h>

static const char *const kinds[BOOK_KINDS] = {
	[BOOK_READ] = "read",
	[BOOK_NOBODY] = "nobody",
	[BOOK_LOCAL_CA] = "local-ca",
	[BOOK_PLAIN] = "plain",
	[BOOK_REFUSED] = "refused",
};

const char *book_reader_key(const struct book_reader *reader)
{
	return reader->name[0] ? reader->name : reader->pin;
}

void book_init(struct book *book, size_t cap)
{
	*book = (struct book){.cap = cap ? cap : 1};
}

static void unlink_row(struct book *book, struct book_row *row)
{
	*(row->newer ? &row->newer->older : &book->newest) = row->older;
	*(row->older ? &row->older->newer : &book->oldest) = row->newer;
}

static void link_newest(struct book *book, struct book_row *row)
{
	row->newer = NULL;
	row->older = book->newest;
	*(book->newest ? &book->newest->newer : &book->oldest) = row;
	book->newest = row;
}

static void drop(struct book *book, struct book_row *row)
{
	unlink_row(book, row);
	book->rows--;
	free(row);
}

void book_clear(struct book *book)
{
	for (struct book_row *row = book->newest, *older; row; row = older) {
		older = row->older;
		free(row);
	}
	*book = (struct book){.cap = book->cap};
}

static bool same_reader(const struct book_reader *a, const struct book_reader *b)
{
	/* A pin changes whenever the proxy renews its key; a name stays. */
	return strcmp(book_reader_key(a), book_reader_key(b)) == 0 && a->role == b->role &&
	       strcmp(a->purpose, b->purpose) == 0;
}

static bool same(const struct book_entry *a, const struct book_entry *b)
{
	bool alike = a->kind == b->kind && a->readers == b->readers && a->check == b->check &&
	             a->accepted == b->accepted && strcmp(a->site, b->site) == 0 && strcmp(a->why, b->why) == 0;
	for (size_t i = 0; alike && i < a->readers; i++)
		alike = same_reader(&a->reader[i], &b->reader[i]);
	return alike;
}

static struct book_row *find(const struct book *book, const struct book_entry *what)
{
	struct book_row *row = book->newest;
	while (row && !same(&row->what, what))
		row = row->older;
	return row;
}

/* False when every row is of a connection of now. */
static bool make_room(struct book *book)
{
	if (book->rows < book->cap)
		return true;
	struct book_row *row = book->oldest;
	while (row && row->open > 0)
		row = row->newer;
	if (!row)
		return false;
	drop(book, row);
	book->dropped++;
	return true;
}

static struct book_row *add(struct book *book, const struct book_entry *what, int64_t now_s)
{
	struct book_row *row = make_room(book) ? calloc(1, sizeof(*row)) : NULL;
	if (!row) {
		book->lost++;
		return NULL;
	}
	row->what = *what;
	row->since_s = now_s;
	link_newest(book, row);
	book->rows++;
	return row;
}

struct book_row *book_note(struct book *book, const struct book_entry *what, int64_t now_s)
{
	struct book_row *row = find(book, what);
	if (!row)
		row = add(book, what, now_s);
	if (!row)
		return NULL;
	unlink_row(book, row);
	link_newest(book, row);
	for (size_t i = 0; i < row->what.readers; i++)
		memcpy(row->what.reader[i].pin, what->reader[i].pin, BOOK_PIN);
	row->last_s = now_s;
	row->count++;
	return row;
}

void book_ended(struct book *book, struct book_row *row, int64_t now_s)
{
	row->open--;
	row->last_s = now_s;
	unlink_row(book, row);
	link_newest(book, row);
}

size_t book_expire(struct book *book, int64_t before_s)
{
	size_t gone = 0;
	for (struct book_row *row = book->oldest, *newer; row; row = newer) {
		newer = row->newer;
		if (row->open > 0 || row->last_s >= before_s)
			continue;
		drop(book, row);
		gone++;
	}
	return gone;
}

/* A row is a line: kind, site, since, last, count, check, accepted, why; then name, pin, role and purpose of each reader. */

void book_write(const struct book *book, struct writer *w)
{
	for (const struct book_row *row = book->oldest; row; row = row->newer) {
		const struct book_entry *what = &row->what;
		local_lines_text(w, kinds[what->kind]);
		local_lines_text(w, what->site);
		local_lines_number(w, (uint64_t)row->since_s);
		local_lines_number(w, (uint64_t)row->last_s);
		local_lines_number(w, row->count);
		local_lines_number(w, what->check);
		local_lines_number(w, what->accepted);
		local_lines_text(w, what->why);
		for (size_t i = 0; i < what->readers; i++) {
			const struct book_reader *reader = &what->reader[i];
			local_lines_text(w, reader->name);
			local_lines_text(w, reader->pin);
			local_lines_number(w, reader->role);
			local_lines_text(w, reader->purpose);
		}
		local_lines_end(w);
	}
}

static bool read_kind(struct bytes *line, enum book_kind *out)
{
	char word[16];
	if (!local_lines_take_text(line, word, sizeof(word)))
		return false;
	for (int i = 0; i < BOOK_KINDS; i++) {
		if (strcmp(word, kinds[i]) == 0) {
			*out = (enum book_kind)i;
			return true;
		}
	}
	return false;
}

static bool read_readers(struct bytes *line, struct book_entry *what)
{
	while (line->len > 0) {
		uint64_t role;
		struct book_reader *reader = &what->reader[what->readers];
		if (what->readers == BOOK_READERS || !local_lines_take_text(line, reader->name, sizeof(reader->name)) ||
			!local_lines_take_text(line, reader->pin, sizeof(reader->pin)) ||
			!local_lines_take_number(line, UINT8_MAX, &role) ||
			!local_lines_take_text(line, reader->purpose, sizeof(reader->purpose)))
			return false;
		reader->role = (uint8_t)role;
		what->readers++;
	}
	return (what->readers > 0) == (what->kind == BOOK_READ);
}

static bool read_row(struct book *book, struct bytes line)
{
	struct book_entry what = {0};
	uint64_t since, last, count, check, accepted;
	if (!read_kind(&line, &what.kind) || !local_lines_take_text(&line, what.site, sizeof(what.site)) ||
		!local_lines_take_number(&line, INT64_MAX, &since) ||
		!local_lines_take_number(&line, INT64_MAX, &last) ||
		!local_lines_take_number(&line, UINT64_MAX, &count) ||
		!local_lines_take_number(&line, UINT16_MAX, &check) || !local_lines_take_number(&line, 1, &accepted) ||
		!local_lines_take_text(&line, what.why, sizeof(what.why)) || !read_readers(&line, &what))
		return false;
	what.check = (unsigned)check;
	what.accepted = accepted != 0;
	struct book_row *row = book_note(book, &what, (int64_t)last);
	if (!row)
		return false;
	row->since_s = (int64_t)since;
	row->count = count;
	return true;
}

size_t book_read(struct book *book, struct bytes text)
{
	struct bytes line;
	size_t bad = 0;
	while (local_lines_next(&text, &line))
		bad += !read_row(book, line);
	return bad;
}
