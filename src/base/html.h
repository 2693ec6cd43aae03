/* base/html.h — a page under construction, in memory of a fixed size. No I/O. */
#ifndef BASE_HTML_H
#define BASE_HTML_H

#include "base/bytes.h"

struct html {
	char *text;
	size_t len, cap;
	bool full; /* something did not fit, and was left out */
};

/* False without memory. Free `text`. */
must_check bool html_new(struct html *page, size_t cap);
/* Markup, as it is. */
void html_say(struct html *page, const char *markup);
/* Text of the configuration or of a stranger: cleaned, and no markup in it. At most 1,023 octets of it. */
void html_plain(struct html *page, struct bytes text);

static inline struct bytes html_bytes(const struct html *page)
{
	return bytes_of(page->text, page->len);
}

#endif
