#include "base/yaml.h"

#include "base/text.h"

#include <openssl/crypto.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <yaml.h>

/* Nodes and texts are cut from blocks, so that a tree is freed at once and costs little per node. */
struct block {
	struct block *next;
	size_t used, size;
	_Alignas(max_align_t) uint8_t data[];
};

#define BLOCK_SIZE 16384U

struct whole {
	struct yaml_tree tree; /* first: what callers hold */
	struct block *blocks;
};

/* A collection that is still open. */
struct level {
	struct yaml_node *node;
	struct yaml_node *last; /* child */
	struct yaml_node *key;  /* of a mapping, read and waiting for its value */
};

struct builder {
	struct whole *whole;
	yaml_parser_t parser;
	struct bytes in;
	struct error *err;
	struct level levels[YAML_MAX_DEPTH];
	unsigned depth;
	size_t nodes;
	bool ended;
};

static void *allot(struct whole *whole, size_t n)
{
	size_t align = _Alignof(max_align_t);
	struct block *block = whole->blocks;
	size_t start = block ? (block->used + align - 1) / align * align : 0;
	if (!block || n > block->size || start > block->size - n) {
		size_t size = n > BLOCK_SIZE ? n : BLOCK_SIZE;
		struct block *fresh = malloc(sizeof(*fresh) + size);
		if (!fresh)
			return NULL;
		*fresh = (struct block){.next = block, .size = size};
		whole->blocks = block = fresh;
		start = 0;
	}
	block->used = start + n;
	return block->data + start;
}

static char *allot_text(struct whole *whole, const void *text, size_t len)
{
	char *copy = allot(whole, len + 1);
	if (!copy)
		return NULL;
	if (len > 0)
		memcpy(copy, text, len);
	copy[len] = '\0';
	return copy;
}

void yaml_tree_free(struct yaml_tree *tree)
{
	struct whole *whole = (struct whole *)tree;
	if (!whole)
		return;
	for (struct block *b = whole->blocks, *next; b; b = next) {
		next = b->next;
		/* Configuration may hold passwords. */
		OPENSSL_cleanse(b->data, b->used);
		free(b);
	}
	free(whole);
}

/* Sets "NAME:LINE:COLUMN: text"; libyaml counts from zero. */
printf_like(4, 5) static enum yaml_result
	fail(struct builder *b, enum yaml_result result, yaml_mark_t at, const char *format, ...)
{
	char text[384];
	va_list args;
	va_start(args, format);
	vsnprintf(text, sizeof(text), format, args);
	va_end(args);
	error_set(b->err, "%s:%zu:%zu: %s", b->whole->tree.name, at.line + 1, at.column + 1, text);
	return result;
}

static enum yaml_result no_memory(struct builder *b)
{
	error_set(b->err, "%s: no memory", b->whole->tree.name);
	return YAML_NO_MEMORY;
}

/* The reader knows only the offset of a wrong octet. */
static yaml_mark_t mark_at(struct bytes in, size_t offset)
{
	yaml_mark_t mark = {0};
	for (size_t i = 0; i < in.len && i < offset; i++) {
		if (in.data[i] == '\n') {
			mark.line++;
			mark.column = 0;
		} else {
			mark.column++;
		}
	}
	return mark;
}

static enum yaml_result parser_failed(struct builder *b)
{
	const yaml_parser_t *p = &b->parser;
	switch (p->error) {
	case YAML_MEMORY_ERROR:
		return no_memory(b);
	case YAML_READER_ERROR:
		return fail(b, YAML_SYNTAX, mark_at(b->in, p->problem_offset), "%s; the file must be UTF-8 text",
			p->problem ? p->problem : "unreadable character");
	default:
		break;
	}
	const char *problem = p->problem ? p->problem : "no YAML";
	if (p->context && p->context_mark.line != p->problem_mark.line)
		return fail(b, YAML_SYNTAX, p->problem_mark, "%s, %s that begins in line %zu", problem, p->context,
			p->context_mark.line + 1);
	return fail(b, YAML_SYNTAX, p->problem_mark, "%s%s%s", problem, p->context ? ", " : "",
		p->context ? p->context : "");
}

static struct yaml_node *node_new(struct builder *b, enum yaml_kind kind, yaml_mark_t at)
{
	struct yaml_node *node = allot(b->whole, sizeof(*node));
	if (!node)
		return NULL;
	*node = (struct yaml_node){
		.kind = kind,
		.line = (unsigned)at.line + 1,
		.column = (unsigned)at.column + 1,
		.text = "",
	};
	return node;
}

/* Sorts a mapping's children by key, then by place, so that equal keys stand side by side, the earlier one first. */
static int by_key(const void *a, const void *b)
{
	const struct yaml_node *x = *(const struct yaml_node *const *)a;
	const struct yaml_node *y = *(const struct yaml_node *const *)b;
	int order = bytes_compare(bytes_of(x->key->text, x->key->len), bytes_of(y->key->text, y->key->len));
	if (order != 0)
		return order;
	if (x->key->line != y->key->line)
		return x->key->line < y->key->line ? -1 : 1;
	return x->key->column < y->key->column ? -1 : 1;
}

static enum yaml_result find_duplicate(struct builder *b, const struct yaml_node *mapping)
{
	if (mapping->count < 2)
		return YAML_OK;
	const struct yaml_node **sorted = malloc(mapping->count * sizeof(struct yaml_node *));
	if (!sorted)
		return no_memory(b);
	size_t n = 0;
	for (const struct yaml_node *child = mapping->first; child; child = child->next)
		sorted[n++] = child;
	qsort(sorted, n, sizeof(struct yaml_node *), by_key);
	enum yaml_result result = YAML_OK;
	for (size_t i = 1; i < n && result == YAML_OK; i++) {
		const struct yaml_node *one = sorted[i - 1]->key;
		const struct yaml_node *two = sorted[i]->key;
		if (!bytes_equal(bytes_of(one->text, one->len), bytes_of(two->text, two->len)))
			continue;
		yaml_error(b->err, &b->whole->tree, two, "\"%s\" stands here a second time; the first is in line %u",
			two->text, one->line);
		result = YAML_DUPLICATE;
	}
	free(sorted);
	return result;
}

/* Hangs a node into the collection that is open, or makes it the root. */
static enum yaml_result attach(struct builder *b, struct yaml_node *node, yaml_mark_t at)
{
	if (b->depth == 0) {
		b->whole->tree.root = node;
		return YAML_OK;
	}
	struct level *level = &b->levels[b->depth - 1];
	if (level->node->kind == YAML_KIND_MAPPING && !level->key) {
		if (node->kind != YAML_KIND_SCALAR)
			return fail(b, YAML_REFUSED, at, "a key must be plain text, not a list or a mapping");
		if (node->plain && strcmp(node->text, "<<") == 0)
			return fail(b, YAML_REFUSED, at, "merge keys (<<) are not taken: write the keys out");
		level->key = node;
		return YAML_OK;
	}
	node->key = level->key;
	level->key = NULL;
	if (level->last)
		level->last->next = node;
	else
		level->node->first = node;
	level->last = node;
	level->node->count++;
	return YAML_OK;
}

/* What every node may not have: an anchor, or a tag of its own. */
static enum yaml_result check_plain(
	struct builder *b, yaml_mark_t at, const yaml_char_t *anchor, const yaml_char_t *tag)
{
	if (anchor)
		return fail(b, YAML_REFUSED, at, "anchors (&%s) are not taken: write the value where it is meant",
			(const char *)anchor);
	if (tag)
		return fail(b, YAML_REFUSED, at, "tags (%s) are not taken", (const char *)tag);
	if (++b->nodes > YAML_MAX_NODES)
		return fail(b, YAML_TOO_LARGE, at, "more than %u values", YAML_MAX_NODES);
	return YAML_OK;
}

static enum yaml_result on_scalar(struct builder *b, const yaml_event_t *event)
{
	yaml_mark_t at = event->start_mark;
	enum yaml_result result = check_plain(b, at, event->data.scalar.anchor, event->data.scalar.tag);
	if (result != YAML_OK)
		return result;
	size_t len = event->data.scalar.length;
	if (memchr(event->data.scalar.value, '\0', len))
		return fail(b, YAML_REFUSED, at, "text with a NUL character is not taken");
	struct yaml_node *node = node_new(b, YAML_KIND_SCALAR, at);
	if (!node)
		return no_memory(b);
	node->plain = event->data.scalar.style == YAML_PLAIN_SCALAR_STYLE;
	node->text = allot_text(b->whole, event->data.scalar.value, len);
	node->len = len;
	if (!node->text)
		return no_memory(b);
	return attach(b, node, at);
}

static enum yaml_result on_open(struct builder *b, enum yaml_kind kind, const yaml_event_t *event)
{
	yaml_mark_t at = event->start_mark;
	bool sequence = kind == YAML_KIND_SEQUENCE;
	enum yaml_result result =
		check_plain(b, at, sequence ? event->data.sequence_start.anchor : event->data.mapping_start.anchor,
			sequence ? event->data.sequence_start.tag : event->data.mapping_start.tag);
	if (result != YAML_OK)
		return result;
	if (b->depth == YAML_MAX_DEPTH)
		return fail(b, YAML_TOO_LARGE, at, "more than %u levels deep", YAML_MAX_DEPTH);
	struct yaml_node *node = node_new(b, kind, at);
	if (!node)
		return no_memory(b);
	result = attach(b, node, at);
	if (result == YAML_OK)
		b->levels[b->depth++] = (struct level){.node = node};
	return result;
}

static enum yaml_result on_event(struct builder *b, const yaml_event_t *event)
{
	switch (event->type) {
	case YAML_SCALAR_EVENT:
		return on_scalar(b, event);
	case YAML_SEQUENCE_START_EVENT:
		return on_open(b, YAML_KIND_SEQUENCE, event);
	case YAML_MAPPING_START_EVENT:
		return on_open(b, YAML_KIND_MAPPING, event);
	case YAML_SEQUENCE_END_EVENT:
		b->depth--;
		return YAML_OK;
	case YAML_MAPPING_END_EVENT:
		b->depth--;
		return find_duplicate(b, b->levels[b->depth].node);
	case YAML_ALIAS_EVENT:
		return fail(b, YAML_REFUSED, event->start_mark,
			"aliases (*%s) are not taken: write the value out, or quote it if the star is meant",
			(const char *)event->data.alias.anchor);
	case YAML_DOCUMENT_START_EVENT:
		if (b->whole->tree.root)
			return fail(b, YAML_REFUSED, event->start_mark, "a second document is not taken");
		return YAML_OK;
	case YAML_STREAM_END_EVENT:
		b->ended = true;
		return YAML_OK;
	default:
		return YAML_OK;
	}
}

static enum yaml_result build(struct builder *b)
{
	enum yaml_result result = YAML_OK;
	while (result == YAML_OK && !b->ended) {
		yaml_event_t event;
		if (!yaml_parser_parse(&b->parser, &event))
			return parser_failed(b);
		result = on_event(b, &event);
		yaml_event_delete(&event);
	}
	/* libyaml gives an empty document as one empty plain scalar. */
	const struct yaml_node *root = b->whole->tree.root;
	if (result == YAML_OK && root && root->kind == YAML_KIND_SCALAR && root->plain && root->len == 0)
		b->whole->tree.root = NULL;
	return result;
}

enum yaml_result yaml_tree_read(struct yaml_tree **out, struct bytes in, const char *name, struct error *err)
{
	*out = NULL;
	if (in.len > YAML_MAX_OCTETS) {
		error_set(err, "%s: more than %u MiB", name, YAML_MAX_OCTETS >> 20);
		return YAML_TOO_LARGE;
	}
	struct whole *whole = calloc(1, sizeof(*whole));
	if (!whole) {
		error_set(err, "%s: no memory", name);
		return YAML_NO_MEMORY;
	}
	struct builder b = {.whole = whole, .in = in, .err = err};
	whole->tree.name = allot_text(whole, name, strlen(name));
	enum yaml_result result = YAML_NO_MEMORY;
	if (!whole->tree.name || !yaml_parser_initialize(&b.parser)) {
		error_set(err, "%s: no memory", name);
	} else {
		/* Said, not guessed: a byte order mark must not turn the file into another one. */
		yaml_parser_set_encoding(&b.parser, YAML_UTF8_ENCODING);
		yaml_parser_set_input_string(&b.parser, in.len > 0 ? in.data : (const uint8_t *)"", in.len);
		result = build(&b);
		yaml_parser_delete(&b.parser);
	}
	if (result == YAML_OK)
		*out = &whole->tree;
	else
		yaml_tree_free(&whole->tree);
	return result;
}

const struct yaml_node *yaml_get(const struct yaml_node *node, const char *key)
{
	if (!node || node->kind != YAML_KIND_MAPPING)
		return NULL;
	for (const struct yaml_node *child = node->first; child; child = child->next) {
		if (strcmp(child->key->text, key) == 0)
			return child;
	}
	return NULL;
}

bool yaml_is(const struct yaml_node *node, const char *text)
{
	return node && node->kind == YAML_KIND_SCALAR && strcmp(node->text, text) == 0;
}

bool yaml_bool(const struct yaml_node *node, bool *out)
{
	static const char *const words[] = {"false", "true", "no", "yes", "off", "on"};
	if (!node || !node->plain)
		return false;
	for (size_t i = 0; i < sizeof(words) / sizeof(words[0]); i++) {
		if (strcmp(node->text, words[i]) == 0) {
			*out = i % 2 == 1;
			return true;
		}
	}
	return false;
}

bool yaml_error(struct error *err, const struct yaml_tree *tree, const struct yaml_node *at, const char *format, ...)
{
	char text[400];
	va_list args;
	va_start(args, format);
	vsnprintf(text, sizeof(text), format, args);
	va_end(args);
	return error_set(err, "%s:%u:%u: %s", tree->name, at->line, at->column, text);
}
