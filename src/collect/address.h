/* collect/address.h — "HOST:PORT" as people write it, and sockets for it. */
#ifndef COLLECT_ADDRESS_H
#define COLLECT_ADDRESS_H

#include "base/attr.h"
#include "base/error.h"

#include <stdbool.h>

#define ADDRESS_HOST 256
#define ADDRESS_PORT 8

/* "127.0.0.1:4489", "[::1]:4489", "collector.example.com:4489". False on anything else; both end in NUL. */
must_check bool address_split(const char *text, char host[static ADDRESS_HOST], char port[static ADDRESS_PORT]);
/* A non-blocking socket that listens there. -1 with a sentence. */
must_check int address_listen(const char *text, struct error *err);
/* A non-blocking socket that is connected or being connected. Resolving names blocks. -1 with a sentence. */
must_check int address_connect(const char *host, const char *port, struct error *err);

#endif
