/* proxy/relay.h — step 6 of a split connection: plaintext from each leg to the other, until both have ended. */
#ifndef PROXY_RELAY_H
#define PROXY_RELAY_H

struct conn;

/* Both legs have finished their handshakes. From now on the relay answers for the connection's sockets and deadline. */
void relay_begin(struct conn *conn);

#endif
