/* proxy/ca_open.h — the CA that a configuration means: the operator's own, or the one of the state directory. */
#ifndef PROXY_CA_OPEN_H
#define PROXY_CA_OPEN_H

#include "base/error.h"
#include "policy/config.h"

struct authority;

/* Makes the one of the state directory when there is none, which *made then says. */
must_check bool ca_open(const struct config *config, struct authority **out, bool *made, struct error *err);

/* Its key stays in a token (RFC 7512), which is asked for every signature. */
must_check bool ca_in_token(const struct config *config);

#endif
