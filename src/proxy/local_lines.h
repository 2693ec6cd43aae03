/*
 * proxy/local_lines.h — the form of the files that `overt local` keeps: lines of fields with a tab behind each. Fields are
 * clean text (base/text.h), in which there are neither tabs nor line feeds. No I/O.
 */
#ifndef PROXY_LOCAL_LINES_H
#define PROXY_LOCAL_LINES_H

#include "base/bytes.h"

void local_lines_text(struct writer *w, const char *text);
void local_lines_number(struct writer *w, uint64_t number);
void local_lines_end(struct writer *w);

/* The next line without its line feed. False at the end; a last line that has none was cut off and is left out. */
must_check bool local_lines_next(struct bytes *text, struct bytes *line);
/* The next field, made clean. False when there is none, or it does not fit into `cap` octets with a NUL. */
must_check bool local_lines_take_text(struct bytes *line, char *out, size_t cap);
must_check bool local_lines_take_number(struct bytes *line, uint64_t max, uint64_t *out);

#endif
