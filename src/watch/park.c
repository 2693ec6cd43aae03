#include "watch/park.h"

#include <stdlib.h>

bool park_add(struct park *park, struct park_queue *queue, const struct stretch *stretch, uint64_t time_ns)
{
	struct bytes fragment = stretch->kind == STRETCH_RECORD ? stretch->record.fragment : BYTES_NONE;
	size_t cost = sizeof(struct parked) + fragment.len;
	struct parked *parked = malloc(cost);
	if (!parked)
		return false;
	*parked = (struct parked){.stretch = *stretch, .order = ++park->joined, .time_ns = time_ns, .cost = cost};
	parked->stretch.text = BYTES_NONE;
	if (stretch->kind == STRETCH_RECORD) {
		uint8_t *octets = (uint8_t *)(parked + 1);
		if (fragment.len > 0)
			memcpy(octets, fragment.data, fragment.len);
		parked->stretch.record.fragment = bytes_of(octets, fragment.len);
	}
	if (queue->last)
		queue->last->next = parked;
	else
		queue->first = parked;
	queue->last = parked;
	queue->cost += cost;
	park->cost += cost;
	if (park->cost > park->peak)
		park->peak = park->cost;
	return true;
}

void park_drop(struct park *park, struct park_queue *queue)
{
	struct parked *first = queue->first;
	queue->first = first->next;
	if (!queue->first)
		queue->last = NULL;
	queue->cost -= first->cost;
	park->cost -= first->cost;
	free(first);
}

void park_clear(struct park *park, struct park_queue *queue)
{
	while (queue->first)
		park_drop(park, queue);
}

void park_join(struct park *park, struct park_place *place, uint64_t now_ns)
{
	if (place->waits)
		return;
	*place = (struct park_place){.longer = park->shortest, .since_ns = now_ns, .waits = true};
	if (park->shortest)
		park->shortest->shorter = place;
	else
		park->longest = place;
	park->shortest = place;
	park->places++;
}

void park_leave(struct park *park, struct park_place *place)
{
	if (!place->waits)
		return;
	if (place->longer)
		place->longer->shorter = place->shorter;
	else
		park->longest = place->shorter;
	if (place->shorter)
		place->shorter->longer = place->longer;
	else
		park->shortest = place->longer;
	*place = (struct park_place){0};
	park->places--;
}
