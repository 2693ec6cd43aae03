/* explain/tell.h — a story as text for a terminal, as JSON, and as a page that needs nothing else. */
#ifndef EXPLAIN_TELL_H
#define EXPLAIN_TELL_H

#include "explain/story.h"

#include <stdio.h>

struct tell_style {
	unsigned columns; /* of the terminal; 0: 80 */
	bool colour;
	bool utf8;
};

/* The style that fits this stream, by isatty, NO_COLOR, TERM, the locale and the terminal's width. */
must_check struct tell_style tell_style_of(FILE *out);

/* Each writes the whole story; false with errno set where writing failed. */
must_check bool tell_text(const struct story *story, const struct tell_style *style, FILE *out);
/* The same in parts, while the story grows: its title; the items from `from` on, of which the next is returned; its end. */
void tell_text_begin(const struct story *story, const struct tell_style *style, FILE *out);
must_check size_t tell_text_more(const struct story *story, size_t from, const struct tell_style *style, FILE *out);
must_check bool tell_text_end(const struct story *story, const struct tell_style *style, FILE *out);
/* A list with an object per row: `case`, `title`, its facts, `as_expected`, `why`. */
must_check bool tell_json(const struct story *story, FILE *out);
must_check bool tell_html(const struct story *story, FILE *out);

#endif
