#include "explain/tell.h"

#include "sink/jsonout.h"

#include <stdlib.h>

#define LINE_MAX_JSON ((size_t)512 * 1024) /* octets: more than a row's facts can take */

static void tell_fact(struct jsonout *json, const struct story_fact *fact)
{
	switch (fact->type) {
	case STORY_WORDS:
		jsonout_text(json, fact->name, bytes_str(fact->words ? fact->words : ""));
		break;
	case STORY_FLAG:
		jsonout_bool(json, fact->name, fact->flag);
		break;
	case STORY_NUMBER:
		jsonout_number(json, fact->name, fact->number);
		break;
	}
}

static bool tell_row(const struct story_item *row, uint8_t *room, size_t *len)
{
	struct jsonout json = jsonout_over(room, LINE_MAX_JSON);
	jsonout_object(&json, NULL);
	jsonout_text(&json, "case", bytes_str(row->name ? row->name : ""));
	jsonout_text(&json, "title", bytes_str(row->title ? row->title : ""));
	for (size_t i = 0; i < row->count; i++)
		tell_fact(&json, &row->fact[i]);
	jsonout_bool(&json, "as_expected", row->held);
	jsonout_text(&json, "why", bytes_str(row->note ? row->note : ""));
	jsonout_object_end(&json);
	return jsonout_done(&json, len);
}

bool tell_json(const struct story *story, FILE *out)
{
	uint8_t *room = malloc(LINE_MAX_JSON);
	bool ok = room != NULL, first = true;
	fputs("[\n", out);
	for (size_t i = 0; ok && i < story_count(story); i++) {
		size_t len = 0;
		if (story_item(story, i)->kind != STORY_ROW)
			continue;
		ok = tell_row(story_item(story, i), room, &len) && len > 0;
		/* The line's end moves behind the comma. */
		fprintf(out, "%s%.*s", first ? "" : ",\n", ok ? (int)len - 1 : 0, (const char *)room);
		first = false;
	}
	fputs("\n]\n", out);
	free(room);
	return fflush(out) == 0 && !ferror(out) && ok;
}
