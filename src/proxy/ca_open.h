/* proxy/ca_open.h — the CA that a configuration means: the operator's own, or the one of the state directory. */
#ifndef PROXY_CA_OPEN_H
#define PROXY_CA_OPEN_H

#include "base/error.h"
#include "policy/config.h"

struct accord_ca;
struct authority;

/* Makes the one of the state directory when there is none, which *made then says. */
must_check bool ca_open(const struct config *config, struct authority **out, bool *made, struct error *err);

/*
 * The Accord anchor of the state directory. *out is NULL when there is none; that is an error where the configuration asks
 * for Accord.
 */
must_check bool ca_open_accord(const struct config *config, struct accord_ca **out, struct error *err);

/* Says in `err` that there is none, and what to do. */
void ca_lacks_accord(const struct config *config, struct error *err);

/* Its key stays in a token (RFC 7512), which is asked for every signature. */
must_check bool ca_in_token(const struct config *config);

#endif
