/*
 * tls/psk.h — the binders of a ClientHello's pre_shared_key (RFC 8446, 4.2.11 and 4.2.11.2). Identities: tls/hello.h
 * (psk_identity_next); the one the server selected: struct server_hello, psk_index. No I/O, no allocation.
 */
#ifndef TLS_PSK_H
#define TLS_PSK_H

#include "tls/hello.h"

/* Takes the next binder from `list` (struct client_hello, psk_binders). False at the end. */
must_check bool psk_binder_next(struct bytes *list, struct bytes *binder);
/* The identity and binder with this index. False when there is none. */
must_check bool psk_at(const struct client_hello *hello, size_t index, struct bytes *identity, struct bytes *binder);

/*
 * The part of the ClientHello message that binders are made over: all up to the binders' list, whose length is not in
 * it either. `whole` is the message with its header, whose body `hello` was parsed from. False when there is no
 * pre_shared_key, or `whole` is another message.
 */
must_check bool psk_truncated(struct bytes whole, const struct client_hello *hello, struct bytes *out);

#endif
