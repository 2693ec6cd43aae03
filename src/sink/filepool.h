/*
 * sink/filepool.h — many files of one directory, written piece by piece in turn: at most FILEPOOL_MAX of them are open at
 * a time, and the one longest unused is closed and opened again when needed. No link is followed. One thread.
 */
#ifndef SINK_FILEPOOL_H
#define SINK_FILEPOOL_H

#include "base/bytes.h"
#include "base/error.h"

#include <limits.h>

#define FILEPOOL_MAX 256

/* A file. Embedded, zeroed when new; not to be moved while it is in use. */
struct pooled {
	bool open;
	int fd;
	struct pooled *older, *newer; /* among those that are open, by use */
	char name[NAME_MAX + 1];      /* in the directory; set by the owner */
};

struct filepool {
	int directory;
	struct pooled *oldest, *newest;
	unsigned open;
};

/* The directory is made with mode 0700 when it is missing. False with `err` set. */
must_check bool filepool_open(struct filepool *pool, const char *directory, struct error *err);
/* Every file has been shut. */
void filepool_close(struct filepool *pool);

enum pooled_mode {
	POOLED_NEW,     /* there must be no such file yet */
	POOLED_REPLACE, /* one that is there is emptied */
};

/* Makes the file of that name, empty, with mode 0600. False with errno set. */
must_check bool pooled_make(struct filepool *pool, struct pooled *file, enum pooled_mode mode);
/* Adds to it. False with errno set: the file is not whole. */
must_check bool pooled_write(struct filepool *pool, struct pooled *file, struct bytes octets);
/* Closes it. Harmless where it is closed or was never made. */
void pooled_shut(struct filepool *pool, struct pooled *file);

#endif
