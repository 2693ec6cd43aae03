/* flow/hello.h — what the events of a connection say of its ClientHello. No I/O. */
#ifndef FLOW_HELLO_H
#define FLOW_HELLO_H

#include "flow/event.h"
#include "tls/hello.h"

/* All but the fingerprints. Views of the octets that `hello` has views of; lists are cut at EVENT_LIST_MAX. */
must_check struct event_hello event_hello_of(const struct client_hello *hello);

#endif
