/*
 * watch/session.h — one TLS connection that others hold, read from the octets of both directions and the secrets of an
 * endpoint (RFC 8446, RFC 5246), or one of DTLS 1.2, read from its datagrams. No I/O, no clock: time is that of the packets.
 *
 *	struct session_room *room = session_room_new(&setup);
 *	struct session *s = session_new(room, &start);
 *	session_data, session_gap, session_half ...   as the stream comes (watch/table.h)
 *	session_close(s, now);  session_outcome(s);  session_free(s);
 *
 * What comes out are events of flow/event.h: HELLO, TLS (leg 1), DATA, GAP, HALF, NOTICE. OPEN and CLOSE are the
 * caller's. Everything in a DATA has passed its tag or MAC.
 *
 * Offsets and GAPs. A GAP stands where plaintext is missing, at the latest when the session is closed; its size is
 * counted as follows, and the offsets behind it go on by as much. Where the next record opens, its sequence number says
 * how many records were lost: the size is the lost octets less those of that many headers, tags and types. It is exact
 * when all lost records held application data without padding (TLS 1.3) or were of an AEAD (TLS 1.2), an upper bound
 * else. Where nothing opens any more, whole records in view are counted as such and the rest as records of full size.
 * Records that can only have been handshake are not counted.
 *
 * Late keys. Records whose key is not known wait, within the limits, and are opened in order when it comes. With
 * `keys_final` nothing waits for keys.
 */
#ifndef WATCH_SESSION_H
#define WATCH_SESSION_H

#include "flow/event.h"
#include "keys/keyring.h"

struct session_limits {
	size_t park_session; /* octets of records that may wait, per session (4 MiB) */
	size_t park_total;   /* in all sessions of the room (64 MiB) */
	uint64_t park_ns;    /* how long the first of them waits (60 s) */
	uint32_t candidates; /* secrets of others tried on a connection whose start was not seen (4096) */
	uint64_t trial; /* octets decrypted in vain between two successes of a session before it is given up (64 MiB) */
};

/* The values in parentheses. */
extern const struct session_limits session_limits_default;

struct session;
struct session_room;

struct session_setup {
	struct session_limits limits;
	struct keyring *ring; /* outlives the room */
	bool keys_final;      /* the keyring will not get any more secrets */
	bool own_thread;      /* whoever calls has no TLS connections of libssl: its error queue is nobody's concern */
	int wake_fd;          /* as in keyring_inbox_new; -1: none */
	/*
	 * Gets every event; `user` is the session's. Views live during the call. No call of this file from within. Events
	 * of one session may come while another one is fed (a bound was hit, or its key was learned).
	 */
	void (*emit)(void *arg, void *user, const struct event *event);
	/*
	 * Between which ends the connection runs: where its hello was not seen, keys that are said to be of these are
	 * tried before others. False: not known. NULL: nobody knows.
	 */
	bool (*ends)(void *arg, void *user, struct keyring_ends *ends);
	void *arg;
};

/* What sessions of one thread share: limits, buffers, counters. NULL without memory. */
must_check struct session_room *session_room_new(const struct session_setup *setup);
/* All its sessions must be freed before. NULL is allowed. */
void session_room_free(struct session_room *room);

/* Secrets have come to the keyring: opens what waited for them. Cheap when nothing came. */
void session_room_keys(struct session_room *room, uint64_t now_ns);
/* No more secrets will come: gives up what waits for them, and from now on nothing waits. */
void session_room_keys_final(struct session_room *room, uint64_t now_ns);
/* Time goes on: gives up what has waited too long. Called by session_data as well. */
void session_room_tick(struct session_room *room, uint64_t now_ns);

struct session_start {
	uint64_t flow;   /* goes into the events */
	void *user;      /* goes to `emit` */
	bool from_start; /* the first octets of the stream are the first of the connection */
	bool datagrams; /* DTLS: session_datagram in place of session_data, _gap and _half; `from_start` means nothing */
};

/* NULL without memory. */
must_check struct session *session_new(struct session_room *room, const struct session_start *start);
/* NULL is allowed. Emits nothing: session_close first. */
void session_free(struct session *s);

/*
 * In-order octets of one direction, and missing ones. `direction` is as the caller knows it and always means the same
 * side for one session; where it turns out to be the wrong way round (session_swapped), events have it right.
 */
void session_data(struct session *s, enum flow_direction direction, struct bytes octets, uint64_t time_ns);
void session_gap(struct session *s, enum flow_direction direction, uint64_t octets, uint64_t time_ns);
/* A FIN. */
void session_half(struct session *s, enum flow_direction direction, uint64_t time_ns);

/* Whether a datagram may be DTLS: the beginning of a handshake, or nothing but whole records. */
must_check bool session_datagram_opens(struct bytes datagram);
/*
 * DTLS 1.2 (RFC 6347): one datagram, in whatever order they come; `cut` octets behind it were not captured. False, and
 * nothing taken, when it begins another connection of the same addresses and ports: close this one and give it to a new
 * one. What is no DTLS is passed over, since other protocols may share the ports (RFC 7983). No record is given out
 * twice, nor one that is more than SESSION_WINDOW numbers late.
 */
#define SESSION_WINDOW 512
must_check bool session_datagram(
	struct session *s, enum flow_direction direction, struct bytes datagram, uint64_t cut, uint64_t time_ns);

/* The connection is over, or the capture: opens what can be, and reports what could not. */
void session_close(struct session *s, uint64_t time_ns);
/* Secrets of this session may have come. session_room_keys does it for those that wait. */
void session_keys_arrived(struct session *s, uint64_t time_ns);

/* The caller's up is the client's down. */
must_check bool session_swapped(const struct session *s);
/* False: neither data nor gaps of this connection will change anything any more (it is no TLS): the caller may drop them. */
must_check bool session_wants_data(const struct session *s);

enum session_verdict {
	SESSION_NOTHING,   /* no protected record was seen: nothing to decrypt */
	SESSION_DECRYPTED, /* every record that may have held data was opened */
	SESSION_PARTLY,
	SESSION_NOT, /* none */
};

/* Why records were not opened. */
enum session_cause {
	SESSION_NO_KEY,
	SESSION_WRONG_KEY,     /* there are secrets, but they do not open it; or the record was altered */
	SESSION_GAP,           /* octets missing in the capture, and what they took along */
	SESSION_START_MISSING, /* the handshake was not seen, and no secret at hand fits */
	SESSION_START_12,      /* the same, and it is TLS 1.2, whose keys need the randoms of both hellos */
	SESSION_PARK_FULL,     /* had to leave before a key came */
	SESSION_SUITE,         /* a cipher suite (or compression) that is not done here */
	SESSION_VERSION,       /* SSL 3.0, TLS 1.0, TLS 1.1 */
	SESSION_CONNECTION_ID, /* DTLS with connection IDs (RFC 9146) */
	SESSION_NOT_TLS,
	SESSION_MALFORMED, /* what stands there breaks the record layer's form */
	SESSION_NO_MEMORY,
	SESSION_CAUSES,
};

/* Encrypted Client Hello (RFC 9849). */
enum session_ech {
	SESSION_ECH_NONE,
	SESSION_ECH_OFFERED, /* or GREASE; not opened */
	SESSION_ECH_TIED,    /* not opened, but secrets under the inner random were found by trial */
	SESSION_ECH_TAKEN,   /* opened, and the server took it */
	SESSION_ECH_REFUSED, /* opened, but the server did not take it */
	SESSION_ECHES,
};

struct session_outcome {
	enum session_verdict verdict;
	enum session_cause cause;        /* the one with most octets; meaningful unless DECRYPTED or NOTHING */
	uint64_t octets[SESSION_CAUSES]; /* on the wire, not opened, by cause */
	uint64_t opened, early_refused;  /* octets on the wire: of opened records, of refused 0-RTT data */
	uint64_t plain[2];               /* plaintext octets given out, by true direction */
	uint64_t missing[2];             /* in GAPs */
	uint16_t version, suite;         /* 0: not known */
	bool has_random;                 /* `client_random` is known */
	uint8_t client_random[32];       /* of the (first) hello, or of the secret that fitted */
	enum session_ech ech;
	bool has_inner;           /* secrets stand under `inner_random`, or may */
	uint8_t inner_random[32]; /* of the inner hello */
};

/* As far as it has come; complete after session_close. */
must_check struct session_outcome session_outcome(const struct session *s);

struct session_counts {
	uint64_t sessions;
	uint64_t records_opened, records_lost; /* lost: whole records in view that did not open */
	uint64_t wire_octets, plain_octets;    /* of opened records */
	uint64_t recovered;                    /* found the place again after a loss */
	uint64_t trials;                       /* records tried with a key or number that was only a guess */
	uint64_t trials_exhausted;             /* sessions given up at session_limits.trial or .candidates */
	uint64_t waited;                       /* sessions that had to wait for a key and got it */
	uint64_t gave_up_time, gave_up_full;   /* sessions that waited in vain; had to make room */
	uint64_t learned;           /* secrets made here and remembered: TLS 1.2's for resumption, those of a PSK */
	uint64_t held_refused;      /* handshake messages not put together, or not kept, for want of room */
	uint64_t fragments_refused; /* of DTLS handshakes: contradict others, too far ahead, too long, or no room */
	uint64_t repeated,
		missing; /* records of DTLS: that came before, or too late to tell; whose numbers never came */
	uint64_t certificates_packed; /* compressed ones that could not be unpacked, or are too large to be */
	uint64_t no_memory;
	size_t parked, parked_peak; /* octets that wait, now and at most */
	size_t waiting;             /* sessions that wait */
	size_t held;                /* octets of handshake messages kept, now */
};

must_check struct session_counts session_room_count(const struct session_room *room);

/* Stable lower-case words: "decrypted", "partly", "not", "nothing"; "no-key", "gap", … Never NULL. */
must_check const char *session_verdict_name(enum session_verdict verdict);
must_check const char *session_cause_name(enum session_cause cause);

#endif
