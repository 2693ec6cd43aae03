/* proxy/tunnel.h — octets from each socket to the other, untouched: step aside, and whatever is no TLS. */
#ifndef PROXY_TUNNEL_H
#define PROXY_TUNNEL_H

#include "base/bytes.h"

struct conn;

/*
 * Relays from now on; `to_server` and `to_client` (copied by need) go out first. While conn->opening is there every
 * piece passes opening_watch first, which may take the connection back (STARTTLS). With conn->shown what passes is
 * published, save the octets given here.
 */
void tunnel_begin(struct conn *conn, struct bytes to_server, struct bytes to_client);

#endif
