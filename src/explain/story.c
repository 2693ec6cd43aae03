#include "explain/story.h"

#include "base/text.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct story {
	const char *name, *title, *question;
	struct story_item *items;
	size_t count, room;
	bool lacking; /* something was left out */
	bool of_recording;
	struct story_item *row;  /* that facts go to */
	struct story_item scrap; /* where memory is refused: written to, never shown */
};

struct story *story_new(const char *name, const char *title, const char *question)
{
	struct story *story = calloc(1, sizeof(*story));
	if (story)
		*story = (struct story){.name = name, .title = title, .question = question};
	return story;
}

void story_of_recording(struct story *story)
{
	story->of_recording = true;
}

bool story_is_of_recording(const struct story *story)
{
	return story->of_recording;
}

static void item_clear(struct story_item *item)
{
	free(item->name);
	free(item->title);
	free(item->note);
	for (size_t i = 0; i < STORY_FACTS; i++)
		free(item->fact[i].words);
	for (size_t i = 0; i < STORY_COLUMNS; i++)
		free(item->cell[i]);
	*item = (struct story_item){0};
}

void story_free(struct story *story)
{
	if (!story)
		return;
	for (size_t i = 0; i < story->count; i++)
		item_clear(&story->items[i]);
	item_clear(&story->scrap);
	free(story->items);
	free(story);
}

/* Never NULL. */
static struct story_item *add(struct story *story, enum story_kind kind)
{
	if (story->count == story->room) {
		size_t room = story->room ? story->room * 2 : 64;
		struct story_item *items =
			room > STORY_ITEMS ? NULL : realloc(story->items, room * sizeof(*story->items));
		if (!items) {
			story->lacking = true;
			item_clear(&story->scrap);
			return &story->scrap;
		}
		story->items = items;
		story->room = room;
	}
	struct story_item *item = &story->items[story->count++];
	*item = (struct story_item){.kind = kind};
	story->row = NULL;
	return item;
}

static char *copy(struct story *story, const char *text)
{
	char *made = text ? strndup(text, STORY_TEXT) : NULL;
	story->lacking |= text && !made;
	return made;
}

void story_chapter(struct story *story, const char *heading)
{
	add(story, STORY_CHAPTER)->title = copy(story, heading);
}

void story_say(struct story *story, const char *format, ...)
{
	char text[STORY_TEXT];
	va_list args;
	va_start(args, format);
	vsnprintf(text, sizeof(text), format, args);
	va_end(args);
	add(story, STORY_PARAGRAPH)->title = copy(story, text);
}

void story_command(struct story *story, const char *command)
{
	add(story, STORY_COMMAND)->title = copy(story, command);
}

void story_quote(struct story *story, struct bytes said)
{
	char text[STORY_TEXT] = "", line[STORY_TEXT];
	size_t used = 0;
	while (said.len > 0) {
		struct bytes part = BYTES_NONE;
		size_t len = bytes_find(said, '\n', 0);
		(void)!bytes_take(&said, len < said.len ? len : said.len, &part);
		(void)!bytes_skip(&said, said.len > 0);
		text_clean(line, sizeof(line), part);
		int n = snprintf(text + used, sizeof(text) - used, "%s%s", used ? "\n" : "", line);
		used += n > 0 ? (size_t)n : 0;
		/* Longer than there is room for: cut, as other texts are. */
		if (used >= sizeof(text))
			break;
	}
	add(story, STORY_QUOTE)->title = copy(story, text);
}

void story_row(struct story *story, const char *name, const char *title)
{
	struct story_item *item = add(story, STORY_ROW);
	item->name = copy(story, name);
	item->title = copy(story, title);
	story->row = item;
}

static struct story_fact *fact(struct story *story, const char *name, const char *label, enum story_type type)
{
	struct story_item *row = story->row ? story->row : &story->scrap;
	if (row == &story->scrap || row->count == STORY_FACTS) {
		story->lacking = true;
		return NULL;
	}
	struct story_fact *made = &row->fact[row->count++];
	*made = (struct story_fact){.name = name, .label = label, .type = type};
	return made;
}

void story_words(struct story *story, const char *name, const char *label, const char *value)
{
	struct story_fact *made = fact(story, name, label, STORY_WORDS);
	if (made)
		made->words = copy(story, value);
}

void story_hex(struct story *story, const char *name, const char *label, struct bytes value)
{
	char text[STORY_TEXT];
	(void)!text_hex(text, sizeof(text), value);
	story_words(story, name, label, text);
}

void story_flag(struct story *story, const char *name, const char *label, bool value)
{
	struct story_fact *made = fact(story, name, label, STORY_FLAG);
	if (made)
		made->flag = value;
}

void story_number(struct story *story, const char *name, const char *label, uint64_t value)
{
	struct story_fact *made = fact(story, name, label, STORY_NUMBER);
	if (made)
		made->number = value;
}

void story_held(struct story *story, bool held, const char *why, ...)
{
	char text[STORY_TEXT];
	va_list args;
	va_start(args, why);
	vsnprintf(text, sizeof(text), why, args);
	va_end(args);
	if (!story->row) {
		story->lacking = true;
		return;
	}
	story->row->held = held;
	story->row->note = copy(story, text);
	story->row = NULL;
}

static void cells(struct story *story, struct story_item *item, const char *const *from, size_t count)
{
	for (item->count = 0; item->count < count && from[item->count]; item->count++)
		item->cell[item->count] = copy(story, from[item->count]);
	story->lacking |= item->count == count && from[count] != NULL;
}

void story_table(struct story *story, const char *title, const char *const *columns)
{
	struct story_item *item = add(story, STORY_TABLE);
	item->title = copy(story, title);
	cells(story, item, columns, STORY_COLUMNS);
}

void story_line(struct story *story, bool bad, const char *const *columns)
{
	struct story_item *item = add(story, STORY_LINE);
	item->bad = bad;
	cells(story, item, columns, STORY_COLUMNS);
}

void story_figure(struct story *story, const char *title, const char *const *lanes)
{
	struct story_item *item = add(story, STORY_FIGURE);
	item->title = copy(story, title);
	cells(story, item, lanes, STORY_LANES);
}

void story_arrow(struct story *story, unsigned from, unsigned to, const char *text, const char *note)
{
	struct story_item *item = add(story, STORY_ARROW);
	item->from = from;
	item->to = to;
	item->title = copy(story, text);
	item->note = copy(story, note);
}

void story_mark(struct story *story, unsigned lane, bool bad, const char *text)
{
	struct story_item *item = add(story, STORY_MARK);
	item->from = lane;
	item->bad = bad;
	item->title = copy(story, text);
}

bool story_holds(const struct story *story)
{
	size_t rows = 0;
	for (size_t i = 0; i < story->count; i++) {
		if (story->items[i].kind != STORY_ROW)
			continue;
		rows++;
		if (!story->items[i].held)
			return false;
	}
	return rows > 0 && !story->lacking;
}

size_t story_count(const struct story *story)
{
	return story->count;
}

const struct story_item *story_item(const struct story *story, size_t i)
{
	return &story->items[i];
}

const char *story_name(const struct story *story)
{
	return story->name;
}

const char *story_title(const struct story *story)
{
	return story->title;
}

const char *story_question(const struct story *story)
{
	return story->question;
}
