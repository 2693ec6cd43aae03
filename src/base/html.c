#include "base/html.h"

#include "base/text.h"

#include <stdlib.h>

bool html_new(struct html *page, size_t cap)
{
	*page = (struct html){.text = malloc(cap), .cap = cap};
	return page->text != NULL;
}

static void add(struct html *page, struct bytes text)
{
	/* Whole or not at all: half a tag would swallow what comes after it. */
	if (text.len > page->cap - page->len) {
		page->full = true;
		return;
	}
	memcpy(page->text + page->len, text.data, text.len);
	page->len += text.len;
}

void html_say(struct html *page, const char *markup)
{
	add(page, bytes_str(markup));
}

void html_plain(struct html *page, struct bytes text)
{
	char clean[1024];
	text_clean(clean, sizeof(clean), text);
	for (const char *c = clean; *c; c++) {
		switch (*c) {
		case '&':
			html_say(page, "&amp;");
			break;
		case '<':
			html_say(page, "&lt;");
			break;
		case '>':
			html_say(page, "&gt;");
			break;
		case '"':
			html_say(page, "&quot;");
			break;
		case '\'':
			html_say(page, "&#39;");
			break;
		default:
			add(page, bytes_of(c, 1));
		}
	}
}
