/*
 * bus/admin.h — streams and consumers of readers, as the administrator makes them on a bus that runs. What stands as it is
 * wanted stays; what differs is changed.
 */
#ifndef BUS_ADMIN_H
#define BUS_ADMIN_H

#include "bus/connect.h"
#include "bus/name.h"

#include <stddef.h>

#define BUS_LIFETIME_NS UINT64_C(3600000000000)
#define BUS_STREAM_SIZE (UINT64_C(1) << 30)

struct bus_stream_wish {
	const uint8_t *key_id; /* SEAL_KEY_ID octets of the reader */
	const char *name;      /* the reader's, for people */
	uint64_t lifetime_ns;  /* messages older than this leave */
	uint64_t octets;       /* of messages; more are refused, so that nothing that was acknowledged leaves early */
	unsigned replicas;     /* copies; a quorum of them makes an acknowledgement */
	const char *const *consumers;
	size_t consumer_count;
};

struct bus_admin;

/* Connects. NULL with a sentence. */
must_check struct bus_admin *bus_admin_new(const struct bus_options *options, struct error *err);
/* NULL is allowed. */
void bus_admin_free(struct bus_admin *admin);

/* A cluster that has just begun may need some seconds: this waits for it, for at most half a minute. */
must_check bool bus_admin_stream(struct bus_admin *admin, const struct bus_stream_wish *wish, struct error *err);
/* Everything that is held comes to this consumer once more. */
must_check bool bus_admin_rewind(
	struct bus_admin *admin, const uint8_t key_id[static SEAL_KEY_ID], const char *consumer, struct error *err);
/* Takes away what is held for this reader, as after a revocation. */
must_check bool bus_admin_purge(struct bus_admin *admin, const uint8_t key_id[static SEAL_KEY_ID], struct error *err);

/* What there is, consumer by consumer; a stream without consumers once, with an empty name. */
struct bus_shown {
	const char *stream, *reader, *consumer, *leader;
	uint64_t messages, octets; /* of the stream */
	uint64_t waiting;          /* not delivered to this consumer yet */
	uint64_t unacknowledged;   /* delivered, and not acknowledged */
	unsigned replicas;
};
must_check bool bus_admin_show(
	struct bus_admin *admin, void (*show)(const struct bus_shown *shown, void *ctx), void *ctx, struct error *err);

#endif
