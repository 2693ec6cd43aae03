/*
 * share/refusals.h — connections whose sides do not agree (keys/share_offer.h), on their way to this host's audit log. Up
 * to a number of them wait; what is more is counted, and the count logged. Any thread puts, one takes.
 */
#ifndef SHARE_REFUSALS_H
#define SHARE_REFUSALS_H

#include "audit/entry.h"
#include "keys/share_item.h"

#define REFUSALS_MAX 1024

struct refusals;

must_check struct refusals *refusals_new(void); /* NULL without memory */
void refusals_free(struct refusals *refusals);  /* NULL is allowed */
/* Copies an item of kind SHARE_REFUSED; never blocks. */
void refusals_put(struct refusals *refusals, const struct share_item *item);
/* Appends what waits, in its order. False when the log cannot be written: what is left waits on. */
bool refusals_log(struct refusals *refusals, bool (*append)(void *arg, const struct audit_entry *entry), void *arg);

#endif
