/*
 * keys/keylog_file.h — a key log on disk, followed while it grows, is cut or is replaced; or a FIFO. Of a file only an
 * index is in memory (keys/keylog_index.h); what comes out of a FIFO goes to a bounded store (keys/keystore.h).
 *
 * When the file is replaced (rotation by renaming), the old one stays open and is still followed, for its writer may not
 * know yet: look-ups go to old ones too, up to KEYLOG_FILE_OLD of them. When it is cut in place (copytruncate), what stood there
 * is gone and the index begins anew.
 */
#ifndef KEYS_KEYLOG_FILE_H
#define KEYS_KEYLOG_FILE_H

#include "base/error.h"
#include "keys/keylog_index.h"
#include "keys/keystore.h"

#define KEYLOG_FILE_OLD 4 /* replaced files that are kept open */

struct keylog_file;

struct keylog_file_counts {
	struct keylog_index_counts index; /* all that are open, together */
	uint64_t replaced;                /* files that took the place of another */
	uint64_t truncated;               /* times a file became shorter, or was rewritten in place */
	uint64_t forgotten;               /* replaced files that had to be let go (KEYLOG_FILE_OLD) */
};

/*
 * A regular file, FIFO, pipe or terminal. With `follow` it may be missing yet, and the name is watched. `store`
 * takes what cannot be sought in and outlives the file; `sessions` bounds the index. NULL with a sentence on failure.
 */
must_check struct keylog_file *keylog_file_open(
	const char *path, bool follow, size_t sessions, struct keystore *store, struct error *err);
/* NULL is allowed. */
void keylog_file_free(struct keylog_file *file);

enum keylog_file_result {
	KEYLOG_FILE_QUIET,  /* nothing new */
	KEYLOG_FILE_NEW,    /* something was read; nothing more is there now */
	KEYLOG_FILE_MORE,   /* stopped at `budget` */
	KEYLOG_FILE_FAILED, /* cannot be read, or no memory: the sentence says so. May be tried again. */
};

/* Reads what is there and not yet read, at most about `budget` octets (0: all). Never blocks on FIFOs. */
enum keylog_file_result keylog_file_update(
	struct keylog_file *file, size_t budget, keylog_told_fn *told, void *ctx, struct error *err);
/*
 * Readable when an update may find something: an inotify descriptor, or the FIFO itself. -1 when not followed. The
 * update takes from it what is there to be taken. The file's.
 */
must_check int keylog_file_fd(const struct keylog_file *file);

/* Adds to `out` what the file's indices know of `id`: oldest file first. May run beside other look-ups, not updates. */
size_t keylog_file_find(const struct keylog_file *file, const struct keylog_id *id, struct keyset *out);
/*
 * Reads on from `*at`, which begins at 0 and moves, and shows each line. False at the end (of what is indexed); true
 * when `visit` said stop, after that line.
 */
must_check bool keylog_file_each(const struct keylog_file *file, uint64_t *at, keylog_visit_fn *visit, void *ctx);

must_check struct keylog_file_counts keylog_file_count(const struct keylog_file *file);

#endif
