/*
 * explain/story.h — what a story tells, apart from how it is shown: chapters of paragraphs, rows with facts, tables, and
 * figures of messages between parties. A story is built by running what it tells, then shown as text, JSON or a page
 * (explain/tell.h). Texts are copied, and cut where they pass STORY_TEXT.
 */
#ifndef EXPLAIN_STORY_H
#define EXPLAIN_STORY_H

#include "base/bytes.h"

#define STORY_TEXT    ((size_t)4096) /* octets of one text */
#define STORY_ITEMS   4096           /* items of one story: what is more is left out, and the story did not hold */
#define STORY_FACTS   24             /* of one row */
#define STORY_COLUMNS 8              /* of one table */
#define STORY_LANES   6              /* parties of one figure */

enum story_kind {
	STORY_CHAPTER,   /* a heading */
	STORY_PARAGRAPH, /* prose; one line, folded when it is shown */
	STORY_ROW,       /* one thing tried: its facts, whether it went as was to be expected, and why */
	STORY_TABLE,     /* its header; its lines follow as STORY_LINE */
	STORY_LINE,
	STORY_FIGURE,  /* parties side by side; what passes between them follows as STORY_ARROW */
	STORY_ARROW,   /* a message from one lane to another */
	STORY_MARK,    /* what one party does or knows, within a figure */
	STORY_COMMAND, /* the command that repeats what was shown */
	STORY_QUOTE,   /* what a program said, line by line as it said it */
};

enum story_type { STORY_WORDS, STORY_FLAG, STORY_NUMBER };

struct story_fact {
	const char *name;  /* of the JSON field, snake_case; a literal */
	const char *label; /* for people; a literal */
	enum story_type type;
	char *words;
	bool flag;
	uint64_t number;
};

struct story_item {
	enum story_kind kind;
	char *name;  /* of a row: its case, for JSON */
	char *title; /* heading, paragraph, title of a row, table or figure, text of an arrow or mark, command */
	char *note;  /* of a row: why; of an arrow: what is in it. May be NULL */
	bool held;   /* of a row: what was observed is what was expected */
	bool bad;    /* of a mark, arrow or line: drawn as a warning */
	unsigned from, to;
	size_t count; /* of facts, cells or lanes */
	struct story_fact fact[STORY_FACTS];
	char *cell[STORY_COLUMNS];
};

struct story;

/* NULL without memory. `name` is the verb's word, a literal; `question` is what the story answers. */
must_check struct story *story_new(const char *name, const char *title, const char *question);
void story_free(struct story *story);

/* What it tells of was recorded earlier: it is computed now, and did not happen now. */
void story_of_recording(struct story *story);
must_check bool story_is_of_recording(const struct story *story);

void story_chapter(struct story *story, const char *heading);
__attribute__((format(printf, 2, 3))) void story_say(struct story *story, const char *format, ...);
void story_command(struct story *story, const char *command);
/* Cleaned of what is not for terminals (base/text.h). */
void story_quote(struct story *story, struct bytes said);

/* A row begins; facts that follow are its own, until story_held ends it. */
void story_row(struct story *story, const char *name, const char *title);
void story_words(struct story *story, const char *name, const char *label, const char *value);
void story_hex(struct story *story, const char *name, const char *label, struct bytes value);
void story_flag(struct story *story, const char *name, const char *label, bool value);
void story_number(struct story *story, const char *name, const char *label, uint64_t value);
/* Ends the row: whether what happened is what was expected, and the reason why it happens. */
__attribute__((format(printf, 3, 4))) void story_held(struct story *story, bool held, const char *why, ...);

/* A table: a title and its columns' headings (NULL ends them); then lines of as many cells. */
void story_table(struct story *story, const char *title, const char *const *columns);
void story_line(struct story *story, bool bad, const char *const *cells);

/* A figure: parties from left to right (NULL ends them), then what passes, from top to bottom. */
void story_figure(struct story *story, const char *title, const char *const *lanes);
void story_arrow(struct story *story, unsigned from, unsigned to, const char *text, const char *note);
void story_mark(struct story *story, unsigned lane, bool bad, const char *text);

/* True when every row held and nothing was left out for want of room or memory. False for a story without rows. */
must_check bool story_holds(const struct story *story);
must_check size_t story_count(const struct story *story);
must_check const struct story_item *story_item(const struct story *story, size_t i);
must_check const char *story_name(const struct story *story);
must_check const char *story_title(const struct story *story);
must_check const char *story_question(const struct story *story);

#endif
