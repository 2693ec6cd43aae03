/* assess/serving.h — a thread of its own that serves one connection after the other, on a port of its own. */
#ifndef ASSESS_SERVING_H
#define ASSESS_SERVING_H

#include "base/error.h"

#include <stdint.h>

struct serving;

/*
 * Serves one connection, whose socket does not block and is closed behind it. From the thread; returns in bounded time,
 * and at once where serving_ends(self).
 */
typedef void serving_fn(void *arg, const struct serving *self, int fd);

/* Listens on `ip` (an address) and port, 0: of the kernel's choice. NULL with `err` set. */
must_check struct serving *serving_new(const char *ip, uint16_t port, serving_fn *serve, void *arg, struct error *err);
/* Waits for the connection that is served. NULL is allowed. */
void serving_free(struct serving *serving);
must_check uint16_t serving_port(const struct serving *serving);
must_check bool serving_ends(const struct serving *serving);

#endif
