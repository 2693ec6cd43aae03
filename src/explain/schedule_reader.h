/* explain/schedule_reader.h — what the files that read a captured connection share: records in, messages and data out. */
#ifndef EXPLAIN_SCHEDULE_READER_H
#define EXPLAIN_SCHEDULE_READER_H

#include "explain/schedule_streams.h"
#include "tls/handshake.h"
#include "tls/hello.h"
#include "tls/protect.h"

enum { READER_CLIENT, READER_SERVER };

struct reader_side {
	struct bytes rest;              /* of the stream */
	uint64_t number;                /* of the record that was read last, from 1 */
	struct protect *opens;          /* NULL: in the clear */
	struct schedule_opened *opened; /* what is counted when it opens one; NULL: nobody asks */
	struct buffer held;             /* handshake octets of messages that are not dealt with */
	const char *because;            /* why `rest` ends where it does; NULL: the connection did */
};

struct reader {
	struct crypto *crypto;
	struct keyset keys;
	struct reader_side side[2];
	struct buffer *room; /* messages kept */
	struct schedule_source *source;
	const struct suite *suite;
	uint16_t version;
	uint8_t random[2][HELLO_RANDOM];
	uint8_t session_len, session_id[HELLO_MAX_SESSION_ID]; /* the server's */
	bool etm, ems, early_offered, early_taken;
	struct tls_secret current[2]; /* TLS 1.3: of the newest epoch, after a KeyUpdate */
	struct tls_secret master;     /* TLS 1.2 */
	unsigned late;                /* messages after the handshake */
	struct error *err;
	uint8_t scratch[RECORD_MAX_FRAGMENT];
};

enum reader_piece {
	READER_MESSAGE,
	READER_DATA,   /* application data; of records without any, too */
	READER_CHANGE, /* ChangeCipherSpec */
	READER_ALERT,
	READER_CLOSED, /* a record that did not open */
	READER_END,    /* of what there is */
};

/* The next piece of one side. A message is valid until the next call for that side. */
must_check enum reader_piece reader_next(struct reader *r, unsigned side, struct handshake *message);
/* Adds a message to those kept. False with err set. */
must_check bool reader_keep(struct reader *r, const struct handshake *message);
/* Keeps messages up to and with the first of this type. `past_closed`: records that do not open are passed over. */
must_check bool reader_until(struct reader *r, unsigned side, uint8_t type, bool past_closed);
/* Sets err: reading of this side, which wanted a message of this type, ended with `piece`. Returns false. */
bool reader_stuck(struct reader *r, unsigned side, enum reader_piece piece, const char *wanted);
/* From now on, records of this side open with these keys. False with err set. */
must_check bool reader_key(
	struct reader *r, unsigned side, const struct traffic_keys *keys, struct schedule_opened *opened);
/* Counts what is left of a side, which ends where the keys do. Messages go to `each`, which may be NULL. */
must_check bool reader_rest(struct reader *r, unsigned side,
	bool (*each)(struct reader *r, unsigned side, const struct handshake *message));

/* After the ServerHello of each version. */
must_check bool reader_tls13(struct reader *r);
must_check bool reader_tls12(struct reader *r, struct keyring *ring);

#endif
