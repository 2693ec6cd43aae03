/*
 * sink/objects_file.h — many files of one directory, written piece by piece in turn: at most OBJECTS_OPEN_MAX of them
 * are open at a time, and the one longest unused is closed and opened again when needed. No file that exists already is
 * ever written to, and no link is followed.
 */
#ifndef SINK_OBJECTS_FILE_H
#define SINK_OBJECTS_FILE_H

#include "base/error.h"
#include "sink/objects_name.h"

#define OBJECTS_OPEN_MAX 256
#define OBJECTS_SUFFIX   ".incomplete"

struct objects_file {
	int fd; /* -1: closed for now */
	struct objects_file *older, *newer;
	char name[OBJECTS_NAME_MAX + sizeof(OBJECTS_SUFFIX)]; /* empty: none was made */
};

struct objects_files {
	int directory;
	struct objects_file *oldest, *newest;
	unsigned open;
	uint64_t made; /* files; numbers for names go on from there where small ones are taken */
};

/* The directory is made with mode 0700 when it is missing. False with `err` set. */
must_check bool objects_files_open(struct objects_files *files, const char *directory, struct error *err);
/* Every file has been ended. */
void objects_files_close(struct objects_files *files);

/* Makes an empty file (mode 0600) with a name of its own. False with errno set; `file` then holds nothing. */
must_check bool objects_file_make(
	struct objects_files *files, struct objects_file *file, const struct objects_named *named);
/* Adds to it. False with errno set: the file is not whole. */
must_check bool objects_file_write(struct objects_files *files, struct objects_file *file, struct bytes octets);
/* Closes it; one that is not whole gets OBJECTS_SUFFIX behind its name, where that is not taken. */
void objects_file_end(struct objects_files *files, struct objects_file *file, bool whole);

#endif
