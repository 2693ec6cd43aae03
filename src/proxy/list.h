/* proxy/list.h — a list whose members know their place, so that one leaves it without being looked for. */
#ifndef PROXY_LIST_H
#define PROXY_LIST_H

#include "base/attr.h"

#include <stdbool.h>
#include <stddef.h>

/* First in its owner. Zeroed when new: on no list. */
struct list_item {
	struct list_item *next, **at;
};

/* In front. Not while on a list. */
static inline void list_push(struct list_item **list, struct list_item *item)
{
	item->next = *list;
	item->at = list;
	if (item->next)
		item->next->at = &item->next;
	*list = item;
}

/* Off its list. Harmless when on none. */
static inline void list_remove(struct list_item *item)
{
	if (!item->at)
		return;
	*item->at = item->next;
	if (item->next)
		item->next->at = item->at;
	item->at = NULL;
}

/* The first, taken off; NULL when there is none. */
must_check static inline struct list_item *list_pop(struct list_item **list)
{
	struct list_item *item = *list;
	if (!item)
		return NULL;
	*list = item->next;
	if (item->next)
		item->next->at = list;
	item->at = NULL;
	return item;
}

#endif
