#include "watch/segment.h"

#include <stdlib.h>

#define ALLOCATOR_OVERHEAD 8
#define ALLOCATOR_STEP     16

struct segment *segment_new(uint64_t start, struct bytes octets)
{
	struct segment *s = malloc(sizeof(*s) + octets.len);
	if (!s)
		return NULL;
	*s = (struct segment){.start = start, .end = start + octets.len, .room = (uint32_t)octets.len};
	memcpy(s->data, octets.data, octets.len);
	return s;
}

struct segment *segment_void(uint64_t start, uint64_t end)
{
	struct segment *s = malloc(sizeof(*s));
	if (s)
		*s = (struct segment){.start = start, .end = end};
	return s;
}

struct bytes segment_bytes(const struct segment *s)
{
	struct bytes all = bytes_of(s->data, s->room);
	size_t len = s->end - s->start;
	if (segment_is_void(s) || !bytes_skip(&all, s->room - len))
		return BYTES_NONE;
	return all;
}

size_t segment_cost(const struct segment *s)
{
	size_t size = sizeof(*s) + s->room + ALLOCATOR_OVERHEAD + ALLOCATOR_STEP - 1;
	return size - size % ALLOCATOR_STEP;
}

/* Parts `tree` into what is below `position` and the rest. */
static void split(struct segment *tree, uint64_t position, struct segment **below, struct segment **above)
{
	while (tree) {
		if (tree->start < position) {
			*below = tree;
			below = &tree->greater;
			tree = tree->greater;
		} else {
			*above = tree;
			above = &tree->lesser;
			tree = tree->lesser;
		}
	}
	*below = NULL;
	*above = NULL;
}

/* All of `below` lies before all of `above`. */
static void join(struct segment **at, struct segment *below, struct segment *above)
{
	while (below && above) {
		if (below->priority >= above->priority) {
			*at = below;
			at = &below->greater;
			below = below->greater;
		} else {
			*at = above;
			at = &above->lesser;
			above = above->lesser;
		}
	}
	*at = below ? below : above;
}

void segment_insert(struct segment **tree, struct segment *s)
{
	while (*tree && (*tree)->priority >= s->priority)
		tree = s->start < (*tree)->start ? &(*tree)->lesser : &(*tree)->greater;
	split(*tree, s->start, &s->lesser, &s->greater);
	*tree = s;
}

struct segment *segment_after(struct segment *tree, uint64_t position)
{
	struct segment *found = NULL;
	while (tree) {
		if (tree->end > position) {
			found = tree;
			tree = tree->lesser;
		} else {
			tree = tree->greater;
		}
	}
	return found;
}

struct segment *segment_first(struct segment *tree)
{
	while (tree && tree->lesser)
		tree = tree->lesser;
	return tree;
}

struct segment *segment_pop(struct segment **tree)
{
	while ((*tree)->lesser)
		tree = &(*tree)->lesser;
	struct segment *first = *tree;
	*tree = first->greater;
	return first;
}

void segment_remove(struct segment **tree, const struct segment *s)
{
	while (*tree != s)
		tree = s->start < (*tree)->start ? &(*tree)->lesser : &(*tree)->greater;
	join(tree, s->lesser, s->greater);
}

void segment_free_all(struct segment **tree)
{
	while (*tree)
		free(segment_pop(tree));
}
