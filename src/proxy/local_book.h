/*
 * proxy/local_book.h — who reads which site, now and before: what `overt local` remembers of connections, one row per
 * site and per company in which it was reached. No I/O; time is an argument.
 */
#ifndef PROXY_LOCAL_BOOK_H
#define PROXY_LOCAL_BOOK_H

#include "base/bytes.h"

#define BOOK_READERS  4 /* proxies in a row, as many as Accord allows */
#define BOOK_NAME     256
#define BOOK_TEXT     256
#define BOOK_PIN      65             /* hex of 32 octets, and the NUL */
#define BOOK_ROW_TEXT ((size_t)4096) /* octets that one row needs in a file at most */

enum book_kind {
	BOOK_READ,   /* proxies read, and have proven who the server is */
	BOOK_NOBODY, /* the server itself: nobody in between, or somebody who stepped aside */
	BOOK_LOCAL_CA, /* a certificate that only a CA added on this machine vouches for: somebody reads, nothing is proven */
	BOOK_PLAIN,   /* no TLS: everybody on the way may read */
	BOOK_REFUSED, /* turned away; `why` says what for */
	BOOK_KINDS,
};

/* Texts are clean (base/text.h). */
struct book_reader {
	char name[BOOK_NAME]; /* "": the proxy has none */
	char pin[BOOK_PIN];
	uint8_t role; /* enum accord_role */
	char purpose[BOOK_TEXT];
};

struct book_entry {
	enum book_kind kind;
	char site[BOOK_NAME];
	struct book_reader reader[BOOK_READERS]; /* BOOK_READ: the next one first */
	size_t readers;
	bool accepted;       /* BOOK_READ: the server knows of them, and has signed that it accepts them */
	unsigned check;      /* BOOK_REFUSED: the number of the check, 0: none */
	char why[BOOK_TEXT]; /* BOOK_REFUSED */
};

struct book_row {
	struct book_row *newer, *older; /* by `last_s` */
	struct book_entry what;
	int64_t since_s, last_s;
	uint64_t count; /* connections, those of now included */
	size_t open;
};

struct book {
	struct book_row *newest, *oldest;
	size_t rows, cap;
	uint64_t dropped; /* rows that gave way to newer ones */
	uint64_t lost;    /* connections that got no row: without memory, or all rows are of connections of now */
};

/* Who a reader is, over the days: its name, or its pin where it has none. */
must_check const char *book_reader_key(const struct book_reader *reader);

/* `cap` rows at most, at least 1. */
void book_init(struct book *book, size_t cap);
void book_clear(struct book *book);

/*
 * Notes a connection: its row, found or made, is the newest now. Once it is open, count in row->open. Of full books the
 * row longest unused goes. NULL when there is no room: counted.
 */
must_check struct book_row *book_note(struct book *book, const struct book_entry *what, int64_t now_s);
/* A connection of the row has ended. */
void book_ended(struct book *book, struct book_row *row, int64_t now_s);
/* Forgets rows that no connection was of since `before_s`. Returns how many. */
size_t book_expire(struct book *book, int64_t before_s);

/* All rows as lines of text, oldest first: BOOK_ROW_TEXT octets per row always suffice. */
void book_write(const struct book *book, struct writer *w);
/* Adds what book_write wrote. Returns how many lines could not be read; they are left out. */
size_t book_read(struct book *book, struct bytes text);

#endif
