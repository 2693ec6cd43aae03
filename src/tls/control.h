/*
 * tls/control.h — the handshake messages that hold next to nothing: KeyUpdate, EndOfEarlyData, Finished (RFC 8446,
 * 4.4.4, 4.5, 4.6.3), HelloRequest and ServerHelloDone (RFC 5246, 7.4.1.1 and 7.4.5). No I/O, no allocation.
 */
#ifndef TLS_CONTROL_H
#define TLS_CONTROL_H

#include "base/bytes.h"
#include "tls/suite.h"

/* `*requested`: the sender wants the other side to do the same. False when malformed. */
must_check bool key_update_parse(struct bytes body, bool *requested);

/* True for a type of message that has no body (hello_request, server_hello_done, end_of_early_data). */
must_check bool control_is_empty(uint8_t type);

/*
 * verify_data: as long as the hash in TLS 1.3 (`hash` is the suite's prf), 12 octets in TLS 1.2. False when it has
 * another length.
 */
must_check bool finished_parse(struct bytes body, uint16_t version, enum suite_hash hash, struct bytes *verify_data);

#endif
