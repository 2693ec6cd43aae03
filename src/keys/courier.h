/*
 * keys/courier.h — what those who send keys, the collector and those who read say to each other over mutual TLS 1.3:
 * ALPN "overt-keys/1" between sender and collector, "overt-read/1" between reader and collector. Frames of
 *
 *     struct { uint8 type; uint24 length; opaque body[length]; }
 *
 * and nothing else. No I/O, no allocation. Releases cross sealed (keys/seal.h): nothing in a frame is secret.
 *
 *     sender     PUT       uint64 batch; { opaque sealed<1..2^16-1>; } ...     batches rise by any step
 *     collector  TAKEN     uint64 batch; uint32 fresh, known, contradictory, refused; uint8 why (of the first refused)
 *     collector  ENDED     opaque grant[16]; uint8 why                         nothing more is taken under this grant; to
 *                                                                              senders, and to who has said ENOUGH
 *     reader     WANT      uint8 follow; opaque instance[16]; uint64 from      once, first
 *     reader     ENOUGH    opaque grant[16]                                    where the grant says `until: reader`
 *     collector  INSTANCE  opaque instance[16]; uint64 lifetime_ms             answers WANT
 *     collector  GIVE      uint64 next; { opaque sender<0..255>; uint64 received_ns; opaque sealed<1..2^16-1>; } ...
 *     collector  CAUGHT_UP uint64 next                                         nothing more is held now
 *     collector  SORRY     uint8 why; opaque text<0..255>                      the last frame of a connection
 *
 * A batch is answered by TAKEN once its entry is in the audit log and its keys can be fetched (with a bus: once that has
 * stored them; when it does not, the connection ends with SORRY): until then it may be sent
 * again, also on another connection or to the collector after a restart; what was taken already is `known`. Batches are
 * answered in order. A sender may have several unanswered.
 *
 * `from` counts the keys of one instance of a collector, 0 being the oldest; a reader that comes again says which instance
 * it knew. With another instance the collector begins at 0.
 */
#ifndef KEYS_COURIER_H
#define KEYS_COURIER_H

#include "keys/seal.h"

#define COURIER_ALPN_KEYS "overt-keys/1"
#define COURIER_ALPN_READ "overt-read/1"
#define COURIER_HEADER    4
#define COURIER_MAX_BODY  65536 /* octets; a longer frame ends the connection */
#define COURIER_INSTANCE  16

enum courier_type {
	COURIER_PUT = 1,
	COURIER_TAKEN,
	COURIER_ENDED,
	COURIER_WANT,
	COURIER_ENOUGH,
	COURIER_INSTANCE_IS,
	COURIER_GIVE,
	COURIER_CAUGHT_UP,
	COURIER_SORRY,
};

/* Why something was refused or ended. Values are those of the wire. */
enum courier_why {
	COURIER_WHY_NONE,
	COURIER_WHY_FORM,     /* the frame or the sealed release is malformed */
	COURIER_WHY_NO_GRANT, /* the collector has no such grant in force */
	COURIER_WHY_OUTSIDE,  /* the grant does not cover this reader, name, direction, mode, grade or consent */
	COURIER_WHY_REVOKED,
	COURIER_WHY_EXPIRED,
	COURIER_WHY_ENOUGH,      /* the reader has said so */
	COURIER_WHY_FULL,        /* the cap on this client, on all, or on what the bus keeps for the reader */
	COURIER_WHY_LOG,         /* the audit log cannot be written */
	COURIER_WHY_NOT_ALLOWED, /* this certificate may not do that */
	COURIER_WHY_RATE,        /* too many at once: come again later */
	COURIER_WHY_STOPPING,
	COURIER_WHY_BUS, /* the fleet's bus has not stored it: come again, here or to another collector */
	COURIER_WHYS,
};

/* "the collector has no such grant". Never NULL. */
must_check const char *courier_why_text(enum courier_why why);

struct courier_frame {
	enum courier_type type;
	struct bytes body; /* in the caller's octets */
};

enum courier_result {
	COURIER_OK,
	COURIER_MORE,     /* not a fault: call again with more octets */
	COURIER_UNKNOWN,  /* no such type */
	COURIER_TOO_LONG, /* over COURIER_MAX_BODY */
};

/* Takes one frame from the front of `in`, which moves past it on COURIER_OK only. */
must_check enum courier_result courier_take(struct bytes *in, struct courier_frame *out);

/* A frame being written: what is written between is its body. */
must_check size_t courier_open(struct writer *to, enum courier_type type);
void courier_close(struct writer *to, size_t mark);

/* Bodies. Each reader: false when it is not one. */
struct courier_taken {
	uint64_t batch;
	uint32_t fresh, known, contradictory, refused;
	uint8_t why; /* enum courier_why */
};

struct courier_want {
	bool follow;
	uint8_t instance[COURIER_INSTANCE];
	uint64_t from;
};

struct courier_given {
	struct bytes sender, sealed; /* in the frame */
	uint64_t received_ns;        /* wall clock of the collector */
};

/* `*items` is what bytes_vec16 takes the sealed releases from; they are not looked at. */
must_check bool courier_put_read(struct bytes body, uint64_t *batch, struct bytes *items);
void courier_taken_write(struct writer *to, const struct courier_taken *taken);
must_check bool courier_taken_read(struct bytes body, struct courier_taken *taken);
void courier_ended_write(struct writer *to, const uint8_t grant[static RELEASE_GRANT], enum courier_why why);
must_check bool courier_ended_read(struct bytes body, uint8_t grant[static RELEASE_GRANT], uint8_t *why);
void courier_want_write(struct writer *to, const struct courier_want *want);
must_check bool courier_want_read(struct bytes body, struct courier_want *want);
void courier_enough_write(struct writer *to, const uint8_t grant[static RELEASE_GRANT]);
must_check bool courier_enough_read(struct bytes body, uint8_t grant[static RELEASE_GRANT]);
void courier_instance_write(struct writer *to, const uint8_t instance[static COURIER_INSTANCE], uint64_t lifetime_ms);
must_check bool courier_instance_read(
	struct bytes body, uint8_t instance[static COURIER_INSTANCE], uint64_t *lifetime_ms);
/* `*items` is what courier_given_take takes from. */
must_check bool courier_give_read(struct bytes body, uint64_t *next, struct bytes *items);
must_check bool courier_given_take(struct bytes *items, struct courier_given *given);
void courier_caught_up_write(struct writer *to, uint64_t next);
must_check bool courier_caught_up_read(struct bytes body, uint64_t *next);
void courier_sorry_write(struct writer *to, enum courier_why why, const char *text);
must_check bool courier_sorry_read(struct bytes body, uint8_t *why, struct bytes *text);

#endif
