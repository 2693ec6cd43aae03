/* watch/hello_event.h — a ClientHello as the event that tells of it (flow/event.h). No I/O. */
#ifndef WATCH_HELLO_EVENT_H
#define WATCH_HELLO_EVENT_H

#include "flow/event.h"
#include "tls/fingerprint.h"

/* The event and the texts that it points to: not to be moved. Names point into the hello. */
struct hello_event {
	struct event event; /* `flow` and `time_ns` are the caller's to set */
	char ja3[JA3_LEN + 1], ja4[JA4_LEN + 1];
};

void hello_event_of(const struct client_hello *hello, enum ja4_transport transport, struct hello_event *out);

#endif
