/* sink/objects_file.h — files of bodies: names of their own, and a mark on those that are not whole. */
#ifndef SINK_OBJECTS_FILE_H
#define SINK_OBJECTS_FILE_H

#include "sink/filepool.h"
#include "sink/objects_name.h"

#define OBJECTS_SUFFIX ".incomplete"

struct objects_files {
	struct filepool pool;
	uint64_t made; /* files; numbers for names go on from there where small ones are taken */
};

/*
 * Makes an empty file with a name that no file had yet. False with errno set; its name is then empty. Write to it with
 * pooled_write.
 */
must_check bool objects_file_make(struct objects_files *files, struct pooled *file, const struct objects_named *named);
/* Closes it; one that is not whole gets OBJECTS_SUFFIX behind its name, where that is not taken. */
void objects_file_end(struct objects_files *files, struct pooled *file, bool whole);

#endif
