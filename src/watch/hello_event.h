/* watch/hello_event.h — a ClientHello as the event that tells of it (flow/event.h). No I/O. */
#ifndef WATCH_HELLO_EVENT_H
#define WATCH_HELLO_EVENT_H

#include "base/cache.h"
#include "flow/event.h"
#include "tls/fingerprint.h"

/* The event and the texts that it points to: not to be moved. Names point into the hello. */
struct hello_event {
	struct event event; /* `flow` and `time_ns` are the caller's to set */
	char ja3[JA3_LEN + 1], ja4[JA4_LEN + 1];
};

/*
 * Fingerprints by all the octets that they depend on: most clients say the same each time, but for the name, the
 * randoms and the keys. At most 512, of hellos in which these octets are at most 1024. One thread.
 */
struct hello_prints;

/* NULL without memory. */
must_check struct hello_prints *hello_prints_new(void);
/* NULL is allowed. */
void hello_prints_free(struct hello_prints *prints);
must_check struct cache_counts hello_prints_count(const struct hello_prints *prints);

/* `prints` may be NULL: then nothing is remembered. */
void hello_event_of(struct hello_prints *prints, const struct client_hello *hello, enum ja4_transport transport,
	struct hello_event *out);

#endif
