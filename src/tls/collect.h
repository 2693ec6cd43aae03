/*
 * tls/collect.h — the first flight's ClientHello out of a growing stream, whatever its fragmentation over segments and
 * records (RFC 8446, 5.1). No I/O, no allocation, and work in proportion to the octets, even at one octet a call.
 *
 *	struct collect c;
 *	collect_init(&c, scratch, sizeof(scratch));
 *	loop: read more into `stream`; result = collect_more(&c, stream); until result is not COLLECT_NEED_MORE
 *
 * The caller keeps all octets from the start of the connection and gives all of them each time; the buffer may move
 * between calls. Nothing is looked at twice save the header of an unfinished record.
 *
 * How the rules of RFC 8446 5.1 and RFC 5246 6.2.1 are read here, each with its own result:
 *  - handshake fragments of no octets are forbidden: EMPTY_FRAGMENT (they would also make the stream endless);
 *  - no record of another type may come before the hello's end: INTERLEAVED;
 *  - a plaintext fragment holds at most 2^14 octets: RECORD_OVERFLOW;
 *  - a ClientHello ends its record, since nothing the client could say next in the clear belongs into the handshake
 *    before the server's answer: further octets in that record are TRAILING.
 * What follows in further records (change_cipher_spec, 0-RTT data) is no concern of this file: `consumed` says where
 * it starts.
 */
#ifndef TLS_COLLECT_H
#define TLS_COLLECT_H

#include "base/bytes.h"

/* A handshake message longer than this, its 4 octets of header included, is refused. */
#define COLLECT_MAX_MESSAGE 65536
/* No stream has to be kept longer than this for an answer: the longest message with each octet in its own record. */
#define COLLECT_MAX_STREAM ((size_t)COLLECT_MAX_MESSAGE * 6)

enum collect_result {
	COLLECT_DONE,
	COLLECT_NEED_MORE,   /* so far all is well */
	COLLECT_NOT_TLS,     /* the stream does not begin with a TLS record */
	COLLECT_SSLV2,       /* an SSLv2 hello, or the SSLv2 form of a later one: never answered (RFC 6176, RFC 8996) */
	COLLECT_NOT_HELLO,   /* the first record or message is TLS, but no ClientHello */
	COLLECT_INTERLEAVED, /* another record type before the hello was complete */
	COLLECT_EMPTY_FRAGMENT,  /* a handshake record of no octets */
	COLLECT_TRAILING,        /* octets after the hello in its last record */
	COLLECT_RECORD_OVERFLOW, /* a fragment over 2^14 octets */
	COLLECT_BROKEN_RECORD,   /* what follows the first records is no record header */
	COLLECT_TOO_LONG,        /* the message says it is longer than COLLECT_MAX_MESSAGE */
	COLLECT_NO_ROOM,         /* the message spans records and is longer than the scratch buffer */
};

struct collect {
	/* Results, valid after COLLECT_DONE. */
	struct bytes message; /* the handshake message, its 4 octets of header included */
	struct bytes body;    /* the message without its header: for client_hello_parse */
	size_t consumed;      /* octets of the stream that the hello's records occupy */
	unsigned records;     /* over how many records the hello is spread */
	uint16_t version;     /* legacy_record_version of the first record */
	/*
	 * After COLLECT_NEED_MORE: no hello can be complete before the stream has this many octets. For callers who
	 * would rather not call at each segment, or who set SO_RCVLOWAT.
	 */
	size_t wanted;

	/* Private. */
	struct writer into; /* the scratch, holding what came in earlier records */
	size_t position;    /* in the stream: start of the first record not yet taken */
	enum collect_result settled;
};

/*
 * `scratch` (cap octets, the caller's, alive as long as the collect) takes the message when it spans several records;
 * when it lies in one, `message` and `body` point into the stream and the scratch is not touched. `scratch` may be
 * NULL with cap 0: hellos over several records are then refused as NO_ROOM.
 */
void collect_init(struct collect *c, void *scratch, size_t cap);

/*
 * Goes on with the stream as far as it has come. After any result but NEED_MORE the same is returned again. `message`
 * and `body` of a hello in one record point into the `stream` of the call that returned DONE.
 */
must_check enum collect_result collect_more(struct collect *c, struct bytes stream);

/* What went wrong, for people: "the ClientHello is longer than 64 KiB". Never NULL. */
must_check const char *collect_result_text(enum collect_result result);
/* The alert that fits (enum alert_description); ALERT_CLOSE_NOTIFY for results that are no fault or no TLS. */
must_check uint8_t collect_alert(enum collect_result result);

#endif
