/*
 * assess/circle.h — leads a proxy's connection back to the proxy: what it takes for a server is itself, with a certificate of
 * its own CA (check 12). For that its key is not needed.
 */
#ifndef ASSESS_CIRCLE_H
#define ASSESS_CIRCLE_H

#include "assess/target.h"

struct circle;

/* Whoever connects to its port is led to `proxy`, and by CONNECT to `where` ("HOST:PORT"). Both are copied. */
must_check struct circle *circle_new(const struct target *proxy, const char *where, struct error *err);
void circle_free(struct circle *circle); /* NULL is allowed */
must_check uint16_t circle_port(const struct circle *circle);
/* Whether somebody came, and was led on. */
must_check bool circle_used(struct circle *circle);

#endif
