#include "decode/coding.h"

#include "decode/coding_stage.h"

#include <stdlib.h>

struct coding {
	struct coding_setup setup;
	enum coding_result result;
	uint64_t taken, made, given; /* made: by all stages together */
	size_t count;
	struct stage *stages[CODING_STACK_MAX]; /* in the order they are taken off */
};

const char *coding_result_name(enum coding_result result)
{
	switch (result) {
	case CODING_MORE:
		return "more";
	case CODING_DONE:
		return "done";
	case CODING_BAD:
		return "bad-coding";
	case CODING_TOO_LARGE:
		return "too-large";
	case CODING_NO_MEMORY:
		return "no-memory";
	}
	return "unknown";
}

/* The list (RFC 9110, 5.6.1). */

static bool is_blank(uint8_t c)
{
	return c == ' ' || c == '\t';
}

/* The next name without the blanks around it, perhaps empty. False at the end. */
static bool next_name(struct bytes *list, struct bytes *name)
{
	if (list->data == NULL || !bytes_take(list, bytes_find(*list, ',', 0), name))
		return false;
	if (!bytes_skip(list, 1))
		*list = BYTES_NONE;
	while (name->len > 0 && is_blank(name->data[0]))
		(void)!bytes_skip(name, 1);
	while (name->len > 0 && is_blank(name->data[name->len - 1]))
		name->len--;
	return true;
}

static bool kind_of(struct bytes name, enum coding_kind *kind)
{
	static const struct {
		const char *name;
		enum coding_kind kind;
	} known[] = {{"gzip", CODING_GZIP}, {"x-gzip", CODING_GZIP}, {"deflate", CODING_DEFLATE}, {"br", CODING_BR},
		{"zstd", CODING_ZSTD}};
	for (size_t i = 0; i < sizeof(known) / sizeof(known[0]); i++) {
		if (bytes_equal_nocase(name, bytes_str(known[i].name))) {
			*kind = known[i].kind;
			return true;
		}
	}
	return false;
}

static enum coding_open read_list(struct bytes list, enum coding_kind kinds[CODING_STACK_MAX], size_t *count)
{
	struct bytes name;
	*count = 0;
	while (next_name(&list, &name)) {
		enum coding_kind kind;
		if (name.len == 0 || bytes_equal_nocase(name, bytes_str("identity")))
			continue;
		if (!kind_of(name, &kind))
			return CODING_OPEN_UNKNOWN;
		if (*count == CODING_STACK_MAX)
			return CODING_OPEN_TOO_MANY;
		kinds[(*count)++] = kind;
	}
	return *count > 0 ? CODING_OPEN_OK : CODING_OPEN_NONE;
}

static bool add_stage(struct coding *c, enum coding_kind kind)
{
	struct coding_memory *memory = c->setup.memory;
	if (!coding_charge(memory, sizeof(struct stage)))
		return false;
	struct stage *stage = malloc(sizeof(*stage));
	if (!stage) {
		coding_refund(memory, sizeof(struct stage));
		return false;
	}
	memset(stage, 0, offsetof(struct stage, out));
	stage->kind = kind;
	stage->memory = memory;
	c->stages[c->count++] = stage;
	return true;
}

struct coding *coding_new(const struct coding_setup *setup, struct bytes encodings, enum coding_open *why)
{
	enum coding_kind kinds[CODING_STACK_MAX];
	size_t count;
	*why = read_list(encodings, kinds, &count);
	if (*why != CODING_OPEN_OK)
		return NULL;
	struct coding *c = calloc(1, sizeof(*c));
	*why = CODING_OPEN_NO_MEMORY;
	if (!c)
		return NULL;
	c->setup = *setup;
	while (count > 0) {
		if (add_stage(c, kinds[--count]))
			continue;
		coding_free(c);
		return NULL;
	}
	*why = CODING_OPEN_OK;
	return c;
}

void coding_free(struct coding *c)
{
	if (!c)
		return;
	for (size_t i = 0; i < c->count; i++) {
		stage_free(c->stages[i]);
		coding_refund(c->setup.memory, sizeof(struct stage));
		free(c->stages[i]);
	}
	free(c);
}

uint64_t coding_given(const struct coding *c)
{
	return c->given;
}

uint64_t coding_taken(const struct coding *c)
{
	return c->taken;
}

static bool within(const struct coding *c)
{
	const struct coding_limits *limits = &c->setup.limits;
	return c->made <= limits->free || c->made / (limits->ratio ? limits->ratio : 1) <= c->taken;
}

static enum coding_result result_of(enum stage_result result)
{
	switch (result) {
	case STAGE_BAD:
		return CODING_BAD;
	case STAGE_TOO_LARGE:
		return CODING_TOO_LARGE;
	case STAGE_NO_MEMORY:
		return CODING_NO_MEMORY;
	case STAGE_OK:
		break;
	}
	return CODING_MORE;
}

static enum coding_result step(struct coding *c, size_t i)
{
	struct stage *stage = c->stages[i];
	size_t made;
	enum coding_result result = result_of(stage_run(stage, &made));
	c->made += made;
	/* Empty blocks make nothing of any number of octets: the stage before has paid for those. */
	if (!within(c))
		return CODING_TOO_LARGE;
	if (made == 0)
		return result;
	struct bytes out = bytes_of(stage->out, made);
	if (i + 1 < c->count) {
		c->stages[i + 1]->in = out;
		return result;
	}
	c->given += made;
	c->setup.give(c->setup.ctx, out);
	return result;
}

/* Octets go on as far as they can before any further are made: there is one room per stage. */
static bool next_stage(const struct coding *c, size_t *at)
{
	for (size_t i = c->count; i > 0; i--) {
		if (c->stages[i - 1]->in.len == 0 && !c->stages[i - 1]->full)
			continue;
		*at = i - 1;
		return true;
	}
	return false;
}

static bool all_ended(const struct coding *c)
{
	for (size_t i = 0; i < c->count; i++) {
		if (!c->stages[i]->ended)
			return false;
	}
	return true;
}

enum coding_result coding_feed(struct coding *c, struct bytes in)
{
	size_t at;
	bool may_go_on = c->result == CODING_MORE || c->result == CODING_DONE;
	if (!may_go_on)
		return c->result;
	c->taken += in.len;
	c->stages[0]->in = in;
	while (next_stage(c, &at)) {
		enum coding_result result = step(c, at);
		if (result == CODING_MORE)
			continue;
		c->result = result;
		return result;
	}
	c->result = all_ended(c) ? CODING_DONE : CODING_MORE;
	return c->result;
}
